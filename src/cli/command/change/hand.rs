//! What every command that changes a flag does: show the change, keep the policy, ask, write.
//!
//! What is shown is what `tidegate diff` shows, and what is kept is what `validate` and `diff` check with a policy. A
//! config with errors is never written, and where nothing would change, nothing is.

use std::io::{self, BufRead, IsTerminal};

use serde_json::{Value, json};
use similar::TextDiff;

use super::commit::{self, Note};
use super::place::{Edited, FilePlace, Place, Written, node};
use crate::command::check::policy;
use crate::error::{CliError, Found};
use crate::input::cluster::ClusterArgs;
use crate::input::files::{self, VARIABLE};
use crate::input::time::When;
use crate::input::{RequestArgs, SampleArgs, load};
use crate::terminal::style::{BAD, FAINT, GOOD, MAIN, ODD, paint};
use crate::terminal::{Screen, diagnostic, difference};
use tidegate_analysis::diff::Difference;
use tidegate_analysis::diff::moves::{Side, Survey};
use tidegate_analysis::policy::{Policy, judge, judge_change};
use tidegate_analysis::source::edit::{self, Edit, Path};
use tidegate_analysis::source::{Diagnostic, Loaded};
use tidegate_analysis::words::number::thousands;
use tidegate_analysis::{lint, words};
use tidegate_engine::config::{Config, Flag, Node};
use tidegate_engine::value::time::Timestamp;

/// The environment's name for the policy that changes must keep.
const POLICY: &str = "TIDEGATE_POLICY";

/// What every change takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Hand {
    /// The config to change, or a manifest that contains it [default: tidegate.yaml]
    #[arg(long, value_name = "FILE", env = VARIABLE, hide_env_values = true)]
    config: Option<String>,
    /// The object of a cluster to change in place of a file: wasmplugin/NAME, trafficextension/NAME or configmap/NAME
    #[arg(long, value_name = "KIND/NAME", conflicts_with = "commit")]
    on: Option<String>,
    #[command(flatten)]
    cluster: ClusterArgs,
    /// The policy that the change must keep: caps, largest step, freezes
    #[arg(long, value_name = "POLICY", env = POLICY, hide_env_values = true)]
    policy: Option<String>,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    /// Show the change, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Commit the file to git, and nothing else with it
    #[arg(long)]
    commit: bool,
    #[command(flatten)]
    when: When,
    #[command(flatten)]
    sample: SampleArgs,
    #[command(flatten)]
    request: RequestArgs,
}

/// A flag that is to be changed.
pub(crate) struct Subject<'l> {
    pub(crate) loaded: &'l Loaded,
    pub(crate) flag: &'l Flag,
    pub(crate) key: &'l str,
    pub(crate) now: Timestamp,
    pub(crate) by: &'l str,
    node: &'l Node,
}

impl Subject<'_> {
    /// The way to the flag.
    pub(crate) fn path(&self) -> Path {
        Path::of("flags").key(self.key)
    }

    /// All that was written.
    pub(crate) fn values(&self) -> &Node {
        self.node
    }

    /// What was written at a path.
    pub(crate) fn written(&self, path: &Path) -> Option<&Node> {
        edit::at(self.node, path)
    }
}

/// What a command wants to do with a flag.
#[derive(Default)]
pub(crate) struct Deed {
    /// `Kill`, as a commit says it.
    pub(crate) verb: &'static str,
    pub(crate) edits: Vec<Edit>,
    pub(crate) why: Option<String>,
    /// What there is to say besides what changes.
    pub(crate) remarks: Vec<String>,
    /// Why there is nothing to do, where there is not.
    pub(crate) idle: Option<String>,
    /// What is refused, and by what rule, such as `not-finished`.
    pub(crate) refused: Option<(&'static str, String)>,
}

impl Deed {
    /// There is nothing to do.
    pub(crate) fn idle(verb: &'static str, why: impl Into<String>) -> Self {
        Self { verb, idle: Some(why.into()), ..Self::default() }
    }

    pub(crate) fn refused(verb: &'static str, rule: &'static str, why: impl Into<String>) -> Self {
        Self { verb, refused: Some((rule, why.into())), ..Self::default() }
    }
}

/// Changes a flag: `deed` says how.
pub(crate) fn run(
    hand: &Hand,
    key: &str,
    screen: &mut Screen,
    deed: impl FnOnce(&Subject<'_>) -> Result<Deed, CliError>,
) -> Result<Found, CliError> {
    let can_ask = io::stdin().is_terminal() && io::stderr().is_terminal() && !screen.is_json();
    if !hand.yes && !hand.dry_run && !can_ask {
        let why = "nobody can be asked here, because this is no terminal";
        return Err(CliError::Usage(why.to_owned()));
    }
    let policy = hand.policy.as_ref().map(|path| policy::load(path, screen)).transpose()?;
    let (name, mut place) = place_of(hand)?;
    let document = place.read()?;
    let values = node(&document);
    let old = load::compile(document, screen)?;
    old.knows(&old.document.file, &[key.to_owned()])?;
    let flag = old.config.flag(key).ok_or_else(|| format!("{name} has no flag {key}"))?;
    let (now, by) = (hand.when.time(), commit::author());
    let deed = deed(&Subject { loaded: &old, flag, key, now, by: &by, node: &values })?;
    let mut told =
        Told { hand, key, deed: &deed, by: &by, now, file: old.document.name(), remarks: deed.remarks.clone() };
    if let Some(why) = &deed.idle {
        return told.idle(why, place.as_mut(), screen);
    }
    if let Some((rule, why)) = &deed.refused {
        screen.decide(Found::Something);
        if screen.is_json() {
            let refused = json!([{"code": rule, "flag": key, "why": why}]);
            screen.json(&told.document(&[("refused", refused)]))?;
        } else {
            screen.line(format!("{} {why}", paint(BAD, format!("{rule}:"))))?;
            screen.line(format!("refused by {}: nothing is written", paint(BAD, rule)))?;
        }
        return Ok(Found::Something);
    }
    let edited = place.edited(deed.edits.clone())?;
    if edited.old == edited.new {
        return told.idle("it is so already", place.as_mut(), screen);
    }
    let new = load::compile(edited.document.clone(), screen).inspect_err(|_| {
        // What is shown is the config as it would be.
        let _ = screen.complain("with this change the config would have errors; nothing is written");
    })?;
    told.file = new.document.name();
    told.remarks.extend(voided(&old, &new, key));
    let survey = Survey { base: hand.request.spec()?, given: hand.request.given(), ids: hand.sample.ids()?, now };
    let sides = (Side { config: &old.config, plan: &old.plan }, Side { config: &new.config, plan: &new.plan });
    let difference = difference::measure(sides.0, sides.1, &survey, screen);
    if !screen.is_json() {
        difference::show(&difference, screen, "")?;
        for remark in &told.remarks {
            screen.line(remark)?;
        }
        for warning in place.warnings(&edited) {
            screen.line(format!("{} {warning}", paint(ODD, "note:")))?;
        }
    }
    let broken = policy.map(|policy| broken(&policy, &old.config, &new.config, now)).unwrap_or_default();
    if !broken.is_empty() {
        return told.refuse(&broken, &new, &difference, screen);
    }
    let text = diff(&told.file, &edited);
    if hand.dry_run {
        if screen.is_json() {
            let more = [("difference", difference.json()), ("diff", Value::from(text)), ("written", false.into())];
            screen.json(&told.document(&more))?;
        } else {
            screen.line("")?;
            difference::text(screen, &text)?;
            screen.line(paint(FAINT, "dry run: nothing is written"))?;
        }
        return Ok(Found::Nothing);
    }
    if !hand.yes && !agreed(screen)? {
        screen.line("nothing is written")?;
        return Ok(Found::Something);
    }
    let note = told.note(&difference);
    let Written { place, commit, remarks } = place.write(&edited, &note)?;
    if screen.is_json() {
        let more = [
            ("difference", difference.json()),
            ("diff", Value::from(text)),
            ("written", true.into()),
            ("commit", Value::from(commit)),
            ("notes", Value::from(remarks)),
        ];
        screen.json(&told.document(&more))?;
    } else {
        let commit = commit.map_or_else(String::new, |commit| format!(", commit {commit}"));
        screen.remark(format!("{} {place}{commit}", paint(GOOD, "written:")))?;
        for remark in remarks {
            screen.remark(remark)?;
        }
    }
    Ok(Found::Nothing)
}

/// Where the config lives that is meant, and its name.
fn place_of(hand: &Hand) -> Result<(String, Box<dyn Place>), CliError> {
    if let Some(on) = &hand.on {
        #[cfg(feature = "fleet")]
        return Ok((on.clone(), Box::new(super::on::Object::new(on, &hand.cluster)?)));
        #[cfg(not(feature = "fleet"))]
        return Err(hand.cluster.document(on).err().unwrap_or(CliError::Problems));
    }
    let name = files::one_or_usual(hand.config.as_ref())?;
    let place = FilePlace::new(&name, hand.commit && !hand.dry_run)?;
    Ok((name, Box::new(place)))
}

/// What is said where a hold or a rollback ends, because it speaks of the flag as it was.
fn voided(old: &Loaded, new: &Loaded, key: &str) -> Option<String> {
    let stands = |loaded: &Loaded| {
        let generation = loaded.plan.generation(&loaded.config, key)?;
        loaded.config.standing(key).filter(|entry| entry.is_of(generation)).cloned()
    };
    let was = stands(old)?;
    let is_there = new.config.standing(key).is_some();
    (is_there && stands(new).is_none()).then(|| {
        format!(
            "its standing ends with this change, because it speaks of the flag as it was: {}",
            words::standing(&was)
        )
    })
}

/// What a policy has against a change: what the change breaks, and what was not broken before it.
pub(crate) fn broken(policy: &Policy, old: &Config, new: &Config, now: Timestamp) -> Vec<lint::Finding> {
    let before = judge(policy, old, now);
    let known = |one: &lint::Finding| {
        before.iter().any(|was| was.code == one.code && was.path == one.path && was.message == one.message)
    };
    let own = judge(policy, new, now).into_iter().filter(|one| !known(one));
    judge_change(policy, old, new, now).into_iter().chain(own).collect()
}

fn agreed(screen: &mut Screen) -> Result<bool, CliError> {
    screen.raw(&format!("{} [y/N] ", paint(MAIN, "Apply?")))?;
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    Ok(matches!(line.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

/// What changes in the file, line by line.
fn diff(file: &str, edited: &Edited) -> String {
    let diff = TextDiff::from_lines(&edited.old, &edited.new);
    diff.unified_diff().context_radius(2).header(file, file).to_string()
}

/// What is told of a change.
struct Told<'t> {
    hand: &'t Hand,
    key: &'t str,
    deed: &'t Deed,
    by: &'t str,
    now: Timestamp,
    file: String,
    remarks: Vec<String>,
}

impl Told<'_> {
    fn document(&self, more: &[(&str, Value)]) -> Value {
        let edits: Vec<Value> = self.deed.edits.iter().filter_map(told_edit).collect();
        let mut document = json!({
            "flag": self.key,
            "change": self.deed.verb.to_ascii_lowercase(),
            "config": self.file,
            "edits": edits,
            "why": self.deed.why,
            "by": self.by,
            "at": words::time::text(self.now),
            "dryRun": self.hand.dry_run,
            "written": false,
            "refused": [],
            "remarks": self.remarks,
        });
        if let Value::Object(map) = &mut document {
            map.extend(more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        }
        document
    }

    fn idle(&self, why: &str, place: &mut dyn Place, screen: &mut Screen) -> Result<Found, CliError> {
        let settled = if self.hand.dry_run { None } else { place.settle(self.now)? };
        if screen.is_json() {
            screen.json(&self.document(&[("unchanged", Value::from(why))]))?;
        } else {
            screen.line(format!("nothing to change: {why}"))?;
            if let Some(settled) = settled {
                screen.line(settled)?;
            }
        }
        Ok(Found::Nothing)
    }

    fn refuse(
        &self,
        broken: &[lint::Finding],
        new: &Loaded,
        difference: &Difference,
        screen: &mut Screen,
    ) -> Result<Found, CliError> {
        screen.decide(Found::Something);
        if screen.is_json() {
            let refused: Vec<Value> = broken
                .iter()
                .map(|one| json!({"code": one.code, "flag": one.flag, "why": format!("{}: {}", one.path, one.message)}))
                .collect();
            screen.json(&self.document(&[("difference", difference.json()), ("refused", Value::from(refused))]))?;
            return Ok(Found::Something);
        }
        let places: Vec<Diagnostic> = broken.iter().map(|one| one.diagnostic(&new.document)).collect();
        diagnostic::show(screen, &new.document, &places)?;
        let rules: std::collections::BTreeSet<&str> = broken.iter().map(|one| one.code).collect();
        let rules = rules.into_iter().collect::<Vec<_>>().join(", ");
        screen.line(format!("refused by {}: nothing is written", paint(BAD, rules)))?;
        Ok(Found::Something)
    }

    fn note(&self, difference: &Difference) -> Note {
        let mut changes = Vec::new();
        for flag in &difference.comparison.flags {
            changes.extend(flag.changes.iter().map(|change| format!("- {}: {}", flag.key, change.words())));
            if let Some(moves) = difference.moves.get(&flag.key) {
                let (moved, users) = (thousands(moves.moved), thousands(moves.users));
                changes.push(format!("- {}: {moved} of {users} users move, {}", flag.key, moves.share()));
            }
        }
        Note {
            subject: format!("{} {}", self.deed.verb, self.key),
            flag: self.key.to_owned(),
            why: self.deed.why.clone(),
            by: self.by.to_owned(),
            at: self.now,
            changes,
        }
    }
}

/// An edit as data; none for what is only said in a comment.
fn told_edit(one: &Edit) -> Option<Value> {
    Some(match one {
        Edit::Set { at, to } => json!({"set": at.to_string(), "to": to}),
        Edit::Insert { at, to } => json!({"insert": at.to_string(), "to": to}),
        Edit::Remove { at, .. } => json!({"remove": at.to_string()}),
        Edit::Remark { .. } | Edit::Unremark { .. } => return None,
    })
}

/// The comment that is put behind what a change has set.
pub(crate) fn remark(subject: &Subject<'_>, word: &str, why: &str) -> String {
    let note = Note {
        subject: String::new(),
        flag: subject.key.to_owned(),
        why: Some(why.to_owned()),
        by: subject.by.to_owned(),
        at: subject.now,
        changes: Vec::new(),
    };
    note.remark(word)
}
