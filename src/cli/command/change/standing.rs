//! `tidegate hold`, `resume` and `rollback`: what is decided about a flag, written into the config as its standing.
//!
//! Of two entries the more careful one wins, by the engine's own rule: nothing here makes a flag freer but `resume`.

use super::hand::{self, Deed, Hand, Subject};
use crate::error::{CliError, Found};
use crate::terminal::Screen;
use tidegate_analysis::source::edit::{self, Comments, Edit, Path};
use tidegate_analysis::words;
use tidegate_analysis::words::time::{moment, whole};
use tidegate_engine::config::standing::{Phase, Standing, merge};
use tidegate_engine::config::{Config, Exposure, Node};
use tidegate_engine::plan::Plan;
use tidegate_engine::problem::Problems;
use tidegate_engine::value::name::Prose;

/// The field of a config that has the standings.
const FIELD: &str = "standing";

/// Let a flag's ramps take no further step
///
/// Writes a standing into the config: the share stays where it is. `tidegate resume` lets the ramps go on.
#[derive(Debug, clap::Args)]
pub(crate) struct Hold {
    /// The flag
    #[arg(value_name = "FLAG")]
    flag: String,
    /// Why, for those who read the config and its history
    #[arg(long, value_name = "TEXT")]
    why: Option<String>,
    #[command(flatten)]
    hand: Hand,
}

/// Serve everybody the baseline, until the flag is changed or resumed
///
/// Writes a standing into the config. It holds in every proxy, also in those that start later. Allowed in a freeze.
#[derive(Debug, clap::Args)]
pub(crate) struct Rollback {
    /// The flag
    #[arg(value_name = "FLAG")]
    flag: String,
    /// Why, for those who read the config and its history
    #[arg(long, value_name = "TEXT", required = true)]
    why: String,
    #[command(flatten)]
    hand: Hand,
}

/// End a hold or a rollback: the flag's rules decide again
///
/// Takes the standing out of the config. Where the flag has a guard, it gets a new `rearm`, which ends what single
/// proxies have decided as well.
#[derive(Debug, clap::Args)]
pub(crate) struct Resume {
    /// The flag
    #[arg(value_name = "FLAG")]
    flag: String,
    /// Why, for the commit
    #[arg(long, value_name = "TEXT")]
    why: Option<String>,
    #[command(flatten)]
    hand: Hand,
}

pub(crate) fn hold(args: &Hold, screen: &mut Screen) -> Result<Found, CliError> {
    hand::run(&args.hand, &args.flag, screen, |subject| {
        let ramps = subject.flag.rules.iter().any(|rule| matches!(rule.exposure, Exposure::Steps(_)));
        if !ramps {
            return Ok(Deed::idle("Hold", format!("{} has no ramp that could go on", subject.key)));
        }
        write(subject, "Hold", Phase::Held, args.why.as_ref())
    })
}

pub(crate) fn rollback(args: &Rollback, screen: &mut Screen) -> Result<Found, CliError> {
    hand::run(&args.hand, &args.flag, screen, |subject| write(subject, "Roll back", Phase::RolledBack, Some(&args.why)))
}

pub(crate) fn resume(args: &Resume, screen: &mut Screen) -> Result<Found, CliError> {
    hand::run(&args.hand, &args.flag, screen, |subject| {
        let mut edits: Vec<Edit> = gone(subject).into_iter().collect();
        if subject.flag.guard.is_some() {
            let at = subject.path().key("guard").key("rearm");
            let to = Node::Text(moment(whole(subject.now)).into());
            edits.push(Edit::Set { at, to });
        }
        if edits.is_empty() {
            let why = format!("{} has no standing, and no guard that could have one", subject.key);
            return Ok(Deed::idle("Resume", why));
        }
        Ok(Deed { verb: "Resume", edits, why: args.why.clone(), remarks: overdue(subject), ..Deed::default() })
    })
}

/// What ramps catch up with at once when they go on: their clocks have not waited.
fn overdue(subject: &Subject<'_>) -> Vec<String> {
    let stands = in_force(subject);
    let rules = subject.flag.rules.iter().zip(1_u8..);
    let behind = rules.filter_map(|(rule, number)| {
        let begun = rule.exposure.begun(subject.now);
        let was = begun.min(usize::from(rule.exposure.cap(stands.map(|entry| (entry, number)))));
        let is = begun.min(usize::from(rule.exposure.cap(None)));
        let (from, to) = (rule.exposure.after(was), rule.exposure.after(is));
        (is > was)
            .then(|| format!("rule {number} goes from {from} to {to} at once: its steps have become due meanwhile"))
    });
    behind.collect()
}

/// The edit that takes the standing of a flag out of the config, if there is one.
pub(super) fn gone(subject: &Subject<'_>) -> Option<Edit> {
    let all = Path::of(FIELD);
    let Some(Node::Map(entries)) = subject.written(&all) else { return None };
    let is_there = entries.iter().any(|(key, _)| **key == *subject.key);
    let at = if entries.len() == 1 { all } else { all.key(subject.key) };
    is_there.then_some(Edit::Remove { at, comments: Comments::Drop })
}

/// The standing of the flag, if it speaks of the flag as it is.
pub(super) fn in_force<'s>(subject: &Subject<'s>) -> Option<&'s Standing> {
    let generation = subject.loaded.plan.generation(&subject.loaded.config, subject.key)?;
    subject.loaded.config.standing(subject.key).filter(|entry| entry.is_of(generation))
}

/// The edit that keeps a standing in force for a flag that goes on, after these edits.
pub(super) fn carried(subject: &Subject<'_>, entry: Option<&Standing>, edits: &[Edit]) -> Option<Edit> {
    entry?;
    let mut values = subject.values().clone();
    edit::apply(&mut values, edits).ok()?;
    let mut problems = Problems::default();
    let config = Config::from_node(&values, &mut problems);
    let plan = Plan::compile(&config, &mut problems).ready()?;
    let generation = plan.generation(&config, subject.key)?;
    let at = Path::of(FIELD).key(subject.key).key("of");
    Some(Edit::Set { at, to: Node::Text(format!("{generation:016x}").into()) })
}

fn write(subject: &Subject<'_>, verb: &'static str, phase: Phase, why: Option<&String>) -> Result<Deed, CliError> {
    let generation = subject
        .loaded
        .plan
        .generation(&subject.loaded.config, subject.key)
        .ok_or_else(|| CliError::Broken(format!("{} has no generation", subject.key)))?;
    let prose = |text: &str| Prose::parse(text).map_err(|wrong| CliError::Usage(format!("--why: {wrong}")));
    let mut steps = Vec::new();
    let before = in_force(subject);
    for (rule, number) in subject.flag.rules.iter().zip(1_u8..) {
        if matches!(rule.exposure, Exposure::Steps(_)) {
            let cap = rule.exposure.cap(before.map(|entry| (entry, number)));
            let begun = u8::try_from(rule.exposure.begun(subject.now)).unwrap_or(u8::MAX);
            steps.push((number, begun.min(cap)));
        }
    }
    let since = whole(subject.now);
    let new = Standing {
        of: generation,
        phase,
        steps,
        since,
        why: why.map(|why| prose(why)).transpose()?,
        by: Some(prose(subject.by)?),
    };
    let known = subject.loaded.config.standing(subject.key);
    let entry = known.map_or_else(|| new.clone(), |known| merge(generation, known.clone(), new.clone()));
    if known == Some(&entry) {
        return Ok(Deed::idle(verb, format!("{} is {}", subject.key, words::standing(&entry))));
    }
    let edits = edits(subject.values(), subject.key, &entry);
    Ok(Deed { verb, edits, why: why.cloned(), ..Deed::default() })
}

/// The edits of a config, whose values these are, that write an entry into it.
pub(crate) fn edits(values: &Node, key: &str, entry: &Standing) -> Vec<Edit> {
    let at = Path::of(FIELD).key(key);
    let node = node(entry);
    match (edit::at(values, &at), &node) {
        // Field by field, so that what is as it was stays as it is written.
        (Some(Node::Map(old)), Node::Map(fields)) => {
            let changed =
                fields.iter().filter(|(name, value)| !old.iter().any(|(key, was)| key == name && was == value));
            let set = changed.map(|(name, value)| Edit::Set { at: at.clone().key(name), to: value.clone() });
            let gone = old.iter().filter(|(name, _)| !fields.iter().any(|(key, _)| key == name));
            let gone = gone.map(|(name, _)| Edit::Remove { at: at.clone().key(name), comments: Comments::Keep });
            set.chain(gone).collect()
        }
        _ => vec![Edit::Set { at, to: node }],
    }
}

/// An entry, as a config has it.
pub(crate) fn node(entry: &Standing) -> Node {
    let Standing { of, phase, steps, since, why, by } = entry;
    let text = |text: &str| Node::Text(text.into());
    let mut fields = vec![("of".into(), text(&format!("{of:016x}"))), ("phase".into(), text(phase.name()))];
    if !steps.is_empty() {
        let steps = steps.iter().map(|(rule, steps)| (rule.to_string().into(), Node::Number(steps.to_string().into())));
        fields.push(("steps".into(), Node::Map(steps.collect())));
    }
    fields.push(("since".into(), text(&moment(*since))));
    fields.extend(why.as_ref().map(|why| ("why".into(), text(why.as_str()))));
    fields.extend(by.as_ref().map(|by| ("by".into(), text(by.as_str()))));
    Node::Map(fields)
}
