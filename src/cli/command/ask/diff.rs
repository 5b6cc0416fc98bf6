//! `tidegate diff`: what changed between two configs, in words, and which users move.
//!
//! A plain change is no finding. Warnings are, and flags that move more users than allowed. Never applies a change.

use serde_json::{Value, json};

use crate::command::check::policy;
use crate::error::{CliError, Found};
use crate::input::git::FileAtRevision;
use crate::input::load::load;
use crate::input::past::KeyHistory;
use crate::input::time::When;
use crate::input::{RequestArgs, SampleArgs, files};
use crate::terminal::style::{BAD, FAINT, GOOD, paint};
use crate::terminal::{Screen, diagnostic, difference};
use tidegate_analysis::diff::Difference;
use tidegate_analysis::diff::callout::{self, Code};
use tidegate_analysis::diff::change::Fate;
use tidegate_analysis::diff::moves::{Side, Survey};
use tidegate_analysis::source::Diagnostic;
use tidegate_analysis::words::number::{count, thousands};
use tidegate_analysis::words::time;
use tidegate_analysis::{lint, policy as policies};
use tidegate_engine::value::share::Ppm;

/// Show what changed between two configs, and which users move
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The old config, or a manifest that contains it; REV:PATH reads it from git, such as main:flags.yaml
    #[arg(value_name = "OLD")]
    old: String,
    /// The new config
    #[arg(value_name = "NEW")]
    new: String,
    /// The largest share of users that one flag may move; more is a finding
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    max_moved: Option<Ppm>,
    /// A warning that is intended: it is shown, and is not a finding
    #[arg(long, value_name = "CODE", value_enum)]
    allow: Vec<Allowed>,
    /// Also check the change against a policy: largest step, freezes; `validate --policy` checks a config by itself
    #[arg(long, value_name = "POLICY")]
    policy: Option<String>,
    #[command(flatten)]
    when: When,
    #[command(flatten)]
    sample: SampleArgs,
    #[command(flatten)]
    request: RequestArgs,
}

fn percent(text: &str) -> Result<Ppm, String> {
    Ppm::parse_percent(text).map_err(|wrong| wrong.to_string())
}

/// A code, as an option takes it.
#[derive(Clone, Copy, Debug)]
struct Allowed(Code);

impl clap::ValueEnum for Allowed {
    fn value_variants<'a>() -> &'a [Self] {
        const ALL: [Allowed; Code::ALL.len()] = {
            let [one, two, three, four, five] = Code::ALL;
            [Allowed(one), Allowed(two), Allowed(three), Allowed(four), Allowed(five)]
        };
        &ALL
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        Some(clap::builder::PossibleValue::new(self.0.word()).help(self.0.about()))
    }
}

pub(crate) fn run(args: &Args, screen: &mut Screen) -> Result<Found, CliError> {
    let policy = args.policy.as_ref().map(|path| policy::load(path, screen)).transpose()?;
    let (old, new) = (load(&args.old, screen)?, load(&args.new, screen)?);
    let survey = Survey {
        base: args.request.spec()?,
        given: args.request.given(),
        ids: args.sample.ids()?,
        now: args.when.time(),
    };
    let (before, after) =
        (Side { config: &old.config, plan: &old.plan }, Side { config: &new.config, plan: &new.plan });
    let mut difference = difference::measure(before, after, &survey, screen);
    let unknown_past = call_reused_keys(args, &mut difference)?;
    let against = policy.map(|policy| policies::judge_change(&policy, &old.config, &new.config, survey.now));
    let against = against.unwrap_or_default();
    let findings = findings(args, &difference, &against);
    let found = Found::when(!findings.is_empty());
    screen.decide(found);
    if screen.is_json() {
        let mut document = difference.json();
        if let Value::Object(map) = &mut document {
            let list = findings.iter().map(|one| json!({"code": one.code, "flag": one.flag, "why": one.why}));
            map.insert("old".to_owned(), Value::from(old.document.name()));
            map.insert("new".to_owned(), Value::from(new.document.name()));
            map.insert("at".to_owned(), Value::from(time::text(survey.now)));
            map.insert("users".to_owned(), Value::from(survey.ids.len()));
            map.insert("keysCheckedInHistory".to_owned(), Value::from(!unknown_past));
            map.insert("findings".to_owned(), Value::from(list.collect::<Vec<_>>()));
        }
        screen.json(&document)?;
        return Ok(found);
    }
    difference::show(&difference, screen, "")?;
    if difference.comparison.is_empty() {
        screen.line("nothing changed")?;
        return Ok(found);
    }
    if unknown_past {
        let why = "two files do not show whether a new key was in use before: name the old one as REV:PATH";
        screen.line(paint(FAINT, why))?;
    }
    for one in findings.iter().filter(|one| one.code == "max-moved") {
        screen.line(format!("{} {}", paint(BAD, "max-moved:"), one.why))?;
    }
    let places: Vec<Diagnostic> = against.iter().map(|one| one.diagnostic(&new.document)).collect();
    diagnostic::show(screen, &new.document, &places)?;
    let (changed, same) = (difference.comparison.flags.len(), difference.comparison.unchanged);
    let same = thousands(u64::try_from(same).unwrap_or(u64::MAX));
    let number = paint(if findings.is_empty() { GOOD } else { BAD }, count(findings.len(), "finding"));
    screen.line(format!("{} changed, {same} as before: {number}", count(changed, "flag")))?;
    Ok(found)
}

/// Looks for added keys in the history of the old file; true if there are some and it has no known history.
fn call_reused_keys(args: &Args, difference: &mut Difference) -> Result<bool, CliError> {
    let mut added = difference.comparison.flags.iter_mut().filter(|flag| flag.fate == Fate::Added).peekable();
    if added.peek().is_none() {
        return Ok(false);
    }
    let Some(past) = FileAtRevision::parse(files::split(&args.old).0) else { return Ok(true) };
    let history = past.history()?;
    let mut keys = KeyHistory::new(&history, &args.old);
    for flag in added {
        if let Some(removed) = keys.removed(flag.key.as_str(), 0) {
            flag.callouts.push(callout::used_before(&removed));
        }
    }
    Ok(false)
}

/// A finding that makes the command exit with 1.
struct Finding {
    code: &'static str,
    flag: Option<String>,
    why: String,
}

fn findings(args: &Args, difference: &Difference, against: &[lint::Finding]) -> Vec<Finding> {
    let meant = |code: Code| args.allow.iter().any(|allowed| allowed.0 == code);
    let called = difference.callouts().filter(|(_, callout)| !meant(callout.code));
    let called = called.map(|(flag, callout)| Finding {
        code: callout.code.word(),
        flag: flag.map(ToString::to_string),
        why: callout.why.clone(),
    });
    let over = difference.moves.iter().filter_map(|(key, moves)| {
        let most = args.max_moved.filter(|most| moves.exceeds(*most))?;
        let why = format!("{key} moves {}: the limit is {most}", moves.share());
        Some(Finding { code: "max-moved", flag: Some(key.to_string()), why })
    });
    let against = against.iter().map(|one| Finding {
        code: one.code,
        flag: one.flag.clone(),
        why: format!("{}: {}", one.path, one.message),
    });
    called.chain(over).chain(against).collect()
}
