//! Turns two configs into everything that can be said of their difference: what changed, who moves, what is called
//! out. Shows it to people and to programs, for `diff` and for each commit of `log`.
//!
//! Never reads a file, and never says whether a change may pass: the command does.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Stop;
use super::callout::CallOut;
use super::compare::{Comparison, Fate, FlagChange, compare};
use super::moves::{self, Moves, Side, Survey};
use super::screen::{BAD, FAINT, GOOD, MAIN, ODD, Screen, paint, thousands};
use tidegate_engine::value::name::FlagKey;

/// What changed, and who moves.
#[derive(Debug)]
pub(super) struct Difference {
    pub(super) comparison: Comparison,
    pub(super) moves: BTreeMap<FlagKey, Moves>,
}

impl Difference {
    /// Compares two sides, and asks the survey's users about what may have moved them.
    pub(super) fn new(old: Side<'_>, new: Side<'_>, survey: &Survey<'_>, screen: &Screen) -> Self {
        let comparison = compare(old.config, new.config, survey.now);
        let bar = screen.progress(moves::steps(&comparison, old, new, survey), "asking both");
        let moves = moves::count(&comparison, old, new, survey, &bar);
        bar.finish_and_clear();
        Self { comparison, moves }
    }

    /// All that is called out, with the flag that it is about.
    pub(super) fn callouts(&self) -> impl Iterator<Item = (Option<&FlagKey>, &CallOut)> {
        let config = self.comparison.callouts.iter().map(|callout| (None, callout));
        let flags = self.comparison.flags.iter();
        config.chain(flags.flat_map(|flag| flag.callouts.iter().map(|callout| (Some(&flag.key), callout))))
    }

    /// Writes it down for people, each line behind this margin.
    pub(super) fn show(&self, screen: &mut Screen, margin: &str) -> Result<(), Stop> {
        let Comparison { config, callouts, flags, .. } = &self.comparison;
        if !config.is_empty() || !callouts.is_empty() {
            screen.line(format!("{margin}{}", paint(MAIN, "the config")))?;
            for change in config {
                screen.line(format!("{margin}  {}", change.words()))?;
            }
            show_callouts(screen, margin, callouts)?;
        }
        flags.iter().try_for_each(|flag| self.show_flag(screen, margin, flag))
    }

    fn show_flag(&self, screen: &mut Screen, margin: &str, flag: &FlagChange) -> Result<(), Stop> {
        let FlagChange { key, fate, changes, callouts, .. } = flag;
        let style = match fate {
            Fate::Added => GOOD,
            Fate::Removed => BAD,
            Fate::Changed => ODD,
        };
        screen.line(format!("{margin}{}  {}", paint(MAIN, key), paint(style, fate.word())))?;
        for change in changes {
            let words = match (fate, &change.new) {
                // All of a new flag is new.
                (Fate::Added, Some(new)) => format!("{}: {new}", change.field),
                _ => change.words(),
            };
            screen.line(format!("{margin}  {words}"))?;
        }
        show_callouts(screen, margin, callouts)?;
        match self.moves.get(key) {
            Some(moves) => show_moves(screen, margin, moves),
            None => Ok(screen.line(format!("{margin}  {}", paint(FAINT, "decides as before: nobody moves")))?),
        }
    }

    pub(super) fn json(&self) -> Value {
        let Comparison { config, callouts, flags, unchanged } = &self.comparison;
        let flags = flags.iter().map(|flag| {
            json!({
                "flag": flag.key.as_str(),
                "change": flag.fate.word(),
                "changes": flag.changes.iter().map(super::compare::Change::json).collect::<Vec<_>>(),
                "callouts": flag.callouts.iter().map(CallOut::json).collect::<Vec<_>>(),
                "moves": self.moves.get(&flag.key).map(Moves::json),
            })
        });
        json!({
            "config": config.iter().map(super::compare::Change::json).collect::<Vec<_>>(),
            "callouts": callouts.iter().map(CallOut::json).collect::<Vec<_>>(),
            "flags": flags.collect::<Vec<_>>(),
            "unchanged": unchanged,
        })
    }
}

fn show_callouts(screen: &mut Screen, margin: &str, callouts: &[CallOut]) -> Result<(), Stop> {
    for callout in callouts {
        screen.line(format!("{margin}  {} {}", paint(BAD, format!("{}:", callout.code.word())), callout.why))?;
    }
    Ok(())
}

fn show_moves(screen: &mut Screen, margin: &str, moves: &Moves) -> Result<(), Stop> {
    let asked = paint(FAINT, format!("asked with {}", moves.request));
    let users = thousands(moves.users);
    let line = match (moves.decided, moves.moved) {
        (false, _) => format!("not decided for this request on either side, so that nobody can be counted  {asked}"),
        (true, 0) => format!("nobody moves, of {users}  {asked}"),
        (true, some) => format!("{} of {users} move, {}  {asked}", thousands(some), moves.share()),
    };
    screen.line(format!("{margin}  {line}"))?;
    for way in &moves.ways {
        let part = moves::share(way.users, moves.users);
        let ids = paint(FAINT, format!("such as {}", way.sample.join(", ")));
        screen.line(format!("{margin}    {} -> {}  {}, {part}  {ids}", way.from, way.to, thousands(way.users)))?;
    }
    Ok(())
}
