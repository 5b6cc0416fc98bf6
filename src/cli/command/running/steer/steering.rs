//! Asks the judge and reads the config again and again, and writes what follows: into a file, or an object of a cluster.
//!
//! What can be neither asked nor written is told once, and tried again. What is to be written is said by the fleet's
//! own rule. Never ends by itself, if it is not to make one pass only.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::json;

use super::super::wrong::{Wrong, said};
use super::Args;
use crate::command::change::commit::Note;
use crate::command::change::hand::broken;
use crate::command::change::on::Object;
use crate::command::change::place::{FilePlace, Place, node};
use crate::command::change::standing::{edits, node as entry_node};
use crate::command::check::policy;
use crate::error::{CliError, Found};
use crate::input::files;
use crate::input::time::{clock, now};
use crate::terminal::Screen;
use crate::terminal::style::{BAD, FAINT, GOOD, ODD, paint};
use tidegate_analysis::source::Loaded;
use tidegate_analysis::words;
use tidegate_engine::config::Node;
use tidegate_engine::config::standing::Phase;
use tidegate_engine::value::time::Timestamp;
use tidegate_fleet::cluster::{Candidate, Lead};
use tidegate_fleet::door::Door;
use tidegate_fleet::judge::STEER;
use tidegate_fleet::steer::act::{Act, Deed, next};
use tidegate_fleet::steer::page::{self, Page};
use tidegate_fleet::steer::told::{Judge, Told};

/// The field manager as which it writes.
const MANAGER: &str = "tidegate-steer";

/// After so many passes in a row that failed, it is unwell.
const FAILED: u32 = 3;

/// So many flags may be changed in one pass.
const MOST: usize = 1_000;

/// What is told from pass to pass.
#[derive(Debug, Default)]
struct News {
    failed: Wrong,
    blind: Wrong,
    lead: Option<Lead>,
    /// What was said of a flag that is not written, so that it is said once.
    unwritten: BTreeMap<String, String>,
}

/// All that a pass needs.
struct Steering<'a> {
    args: &'a Args,
    judge: Judge,
    place: Box<dyn Place>,
    /// Where it is, in words.
    name: String,
    news: News,
    page: Page,
    /// Passes in a row that failed.
    failed: u32,
}

pub(super) fn run(args: &Args, screen: &mut Screen) -> Result<Found, CliError> {
    let judge = Judge::new(&args.judge, Duration::from_millis(args.timeout.millis()))?;
    if let Some(path) = &args.policy {
        policy::load(path, screen)?;
    }
    let (name, mut place, cluster): (String, Box<dyn Place>, _) = match &args.on {
        Some(on) => {
            let object = Object::by(MANAGER, on, &args.cluster)?;
            let cluster = object.cluster();
            (on.clone(), Box::new(object), Some(cluster))
        }
        None => {
            let name = files::one_or_usual(args.config.as_ref())?;
            let place = FilePlace::new(&name, args.commit)?;
            (name, Box::new(place), None)
        }
    };
    // What cannot be read at all is better told at once.
    place.read()?;
    let page = Page { applies: args.apply, ..Page::default() };
    let mut steering = Steering { args, judge, place, name, news: News::default(), page, failed: 0 };
    if args.once {
        let done = steering.pass(screen)?;
        screen.decide(Found::when(done.unwritten > 0));
        if done.all == 0 && !screen.is_json() {
            screen.remark("nothing to write: the config says what the judge does")?;
        }
        return Ok(screen.verdict());
    }
    let candidate = match &cluster {
        Some(cluster) if args.apply => Some(cluster.stand(&args.lease, &identity(args))?),
        _ => None,
    };
    let door = page::open(args.listen).map_err(|error| CliError::Trouble {
        what: format!("{} cannot be listened at: {error}", args.listen),
        help: Some("choose another address with --listen; port 0 takes a free one".to_owned()),
    })?;
    if !screen.is_quiet() {
        let dry = if args.apply { "" } else { "; dry run: nothing is written" };
        screen.note(format!(
            "steer: follows {}, for {}{dry}; others may ask at http://{}",
            args.judge,
            steering.name,
            door.address()
        ))?;
    }
    steering.watch(candidate.as_ref(), &door, screen)
}

/// Its own name in the Lease.
fn identity(args: &Args) -> String {
    let host = || std::env::var_os("HOSTNAME").map(|name| name.to_string_lossy().into_owned());
    let host = || host().filter(|name| !name.is_empty());
    args.identity
        .clone()
        .unwrap_or_else(|| format!("{}-{}", host().unwrap_or_else(|| "tidegate-steer".to_owned()), std::process::id()))
}

/// What a pass has come to.
#[derive(Clone, Copy, Debug, Default)]
struct Done {
    all: usize,
    unwritten: usize,
}

impl Steering<'_> {
    /// What goes on until a signal ends it.
    fn watch(
        &mut self,
        candidate: Option<&Candidate<'_>>,
        door: &Door<Page>,
        screen: &mut Screen,
    ) -> Result<Found, CliError> {
        let every = Duration::from_millis(self.args.every.millis().max(100));
        let mut due = clock();
        loop {
            let lead = candidate.map(Candidate::lead);
            self.page.leading = self.args.apply && lead.as_ref().is_none_or(|lead| *lead == Lead::Leads);
            self.tell_lead(lead.as_ref(), screen)?;
            match lead {
                Some(Lead::StandsBy) => self.went_well(screen)?,
                Some(Lead::Unknown(why)) => self.went_wrong(&format!("it cannot be known who leads: {why}"), screen)?,
                Some(Lead::Leads) | None => match self.pass(screen) {
                    Ok(_) => self.went_well(screen)?,
                    Err(CliError::Output(error)) => return Err(error.into()),
                    Err(error) => self.went_wrong(&said(&error), screen)?,
                },
            }
            door.show(self.page.clone());
            due = (due + every).max(clock());
            if door.ends_within(due.saturating_duration_since(clock())) {
                return Ok(Found::Nothing);
            }
        }
    }

    fn tell_lead(&mut self, lead: Option<&Lead>, screen: &mut Screen) -> Result<(), CliError> {
        let lease = &self.args.lease;
        let line = match lead {
            Some(Lead::Leads) => format!("steer: leads, by lease/{lease}"),
            Some(Lead::StandsBy) => format!("steer: stands by: another one has lease/{lease}"),
            // That is told as what went wrong.
            Some(Lead::Unknown(_)) | None => return Ok(()),
        };
        if self.news.lead.as_ref() != lead {
            screen.note(line)?;
        }
        self.news.lead = lead.cloned();
        Ok(())
    }

    fn went_well(&mut self, screen: &mut Screen) -> Result<(), CliError> {
        (self.failed, self.page.unwell) = (0, None);
        if self.news.failed.ends() {
            screen.note("steer: goes on")?;
        }
        Ok(())
    }

    fn went_wrong(&mut self, why: &str, screen: &mut Screen) -> Result<(), CliError> {
        self.failed = self.failed.saturating_add(1);
        self.page.failed = self.page.failed.saturating_add(1);
        if self.failed >= FAILED {
            self.page.unwell = Some(why.to_owned());
        }
        if self.news.failed.begins(why) {
            screen.note(format!("steer: {why}; what holds goes on to hold"))?;
        }
        Ok(())
    }

    /// Asks, reads, and writes what follows.
    fn pass(&mut self, screen: &mut Screen) -> Result<Done, CliError> {
        let told = self.judge.ask().map_err(|what| CliError::Trouble {
            what,
            help: Some("tidegate judge tells at --listen; --judge takes its address".to_owned()),
        })?;
        let old = told.is_old(now());
        self.page.blind = old.is_some();
        self.tell_blind(old.as_deref(), screen)?;
        let (mut done, mut seen) = (Done::default(), BTreeSet::new());
        let mut failed = None;
        // What is written makes another config: the next flag is looked up in that one.
        for _ in 0..MOST {
            let Some((act, loaded, values)) = self.find(&told, old.is_none(), &seen)? else { break };
            seen.insert(act.flag.clone());
            done.all += 1;
            match self.act(&act, &loaded, &values, screen) {
                Ok(is_written) => done.unwritten += usize::from(!is_written),
                Err(CliError::Output(error)) => return Err(error.into()),
                // One that cannot be written keeps no other one from it.
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        self.news.unwritten.retain(|key, _| seen.contains(key));
        if self.args.apply
            && let Some(settled) = self.place.settle(now())?
        {
            screen.note(format!("steer: {settled}"))?;
        }
        failed.map_or(Ok(done), Err)
    }

    fn tell_blind(&mut self, old: Option<&str>, screen: &mut Screen) -> Result<(), CliError> {
        match old {
            Some(why) if self.news.blind.begins(why) => {
                screen.note(format!("steer: lets no ramp go on, because of the judge: {why}"))?;
            }
            None if self.news.blind.ends() => screen.note("steer: the judge sees again")?,
            Some(_) | None => {}
        }
        Ok(())
    }

    /// The next thing to be written, with the config that it is for.
    fn find(
        &mut self,
        told: &Told,
        granting: bool,
        seen: &BTreeSet<String>,
    ) -> Result<Option<(Act, Loaded, Node)>, CliError> {
        let document = self.place.read()?;
        let values = node(&document);
        let loaded = Loaded::new(document, false)
            .map_err(|_| CliError::Broken(format!("{}: the config has errors", self.name)))?;
        let at = now();
        let acts = told.flags.iter().filter(|(key, _)| !seen.contains(*key));
        // What is more careful goes first.
        let acts = acts.filter_map(|(key, flag)| next(key, flag, &loaded.config, &loaded.plan, granting, at, STEER));
        let act = acts.max_by_key(|act| (act.entry.phase, std::cmp::Reverse(act.flag.clone())));
        Ok(act.map(|act| (act, loaded, values)))
    }

    /// Writes it, or says why not; whether it was written.
    fn act(&mut self, act: &Act, old: &Loaded, values: &Node, screen: &mut Screen) -> Result<bool, CliError> {
        let edited = self.place.edited(edits(values, &act.flag, &act.entry))?;
        let new = Loaded::new(edited.document.clone(), false)
            .map_err(|_| CliError::Broken(format!("{}: with this standing it would have errors", self.name)))?;
        let at = now();
        // A policy may keep a ramp from going on, and never a version from being taken back.
        if let (Deed::Grant { .. }, Some(path)) = (act.deed, &self.args.policy) {
            let policy = policy::load(path, screen)?;
            let against = broken(&policy, &old.config, &new.config, at);
            if !against.is_empty() {
                self.page.refused = self.page.refused.saturating_add(1);
                let rules: Vec<String> = against.iter().map(|one| format!("{}: {}", one.code, one.message)).collect();
                return self.unwritten(act, &format!("refused by {}", rules.join("; ")), screen);
            }
        }
        if !self.args.apply {
            return self.unwritten(act, "dry run: not written", screen);
        }
        let note = Note {
            subject: format!("{} {}", act.verb(), act.flag),
            flag: act.flag.clone(),
            why: Some(act.why().to_owned()),
            by: STEER.to_owned(),
            at,
            changes: vec![format!("- {}: {}", act.flag, words::standing(&act.entry))],
        };
        let written = self.place.write(&edited, &note)?;
        let count = self.page.written.entry(done(act)).or_default();
        *count = count.saturating_add(1);
        let commit = written.commit.map_or_else(String::new, |commit| format!(", commit {commit}"));
        self.show(act, at, true, &format!("written to {}{commit}", written.place), screen)?;
        for remark in written.remarks {
            screen.note(format!("steer: {remark}"))?;
        }
        Ok(true)
    }

    /// Says once what is not written, and why.
    fn unwritten(&mut self, act: &Act, why: &str, screen: &mut Screen) -> Result<bool, CliError> {
        let line = format!("{} {:?} {why}", done(act), act.entry.steps);
        if self.news.unwritten.get(&act.flag) != Some(&line) {
            self.show(act, now(), false, why, screen)?;
            self.news.unwritten.insert(act.flag.clone(), line);
        }
        Ok(false)
    }

    fn show(
        &self,
        act: &Act,
        at: Timestamp,
        is_written: bool,
        what: &str,
        screen: &mut Screen,
    ) -> Result<(), CliError> {
        let at = words::time::moment(at);
        if screen.is_json() {
            screen.line(json!({"at": at, "flag": act.flag, "act": done(act), "standing": entry_node(&act.entry),
                "written": is_written, "config": self.name, "note": what}))?;
            return Ok(());
        }
        let style = match act.entry.phase {
            Phase::Running => GOOD,
            Phase::Held => ODD,
            Phase::RolledBack => BAD,
        };
        screen.line(format!(
            "{at} {}: {}: {} {}",
            act.flag,
            paint(style, done(act)),
            act.why(),
            paint(FAINT, format!("({what})"))
        ))?;
        Ok(())
    }
}

/// What was done, in a word.
fn done(act: &Act) -> &'static str {
    match act.deed {
        Deed::Hold | Deed::RollBack => act.entry.phase.name(),
        Deed::Grant { .. } => "granted",
    }
}
