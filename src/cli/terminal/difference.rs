//! Shows the difference of two configs, for `diff` and for each commit of `log`: changes, moved users, warnings; and
//! that of two texts.
//!
//! Never reads a file, and never says whether a change may pass: the command does.

use super::Screen;
use super::style::{BAD, FAINT, GOOD, MAIN, ODD, paint};
use crate::error::CliError;
use tidegate_analysis::diff::Difference;
use tidegate_analysis::diff::callout::CallOut;
use tidegate_analysis::diff::change::{Comparison, Fate, FlagChange};
use tidegate_analysis::diff::compare::compare;
use tidegate_analysis::diff::moves::{self, Moves, Side, Survey};
use tidegate_analysis::words::number::thousands;

/// Compares two sides, and asks the survey's users about what may have moved them.
pub(crate) fn measure(old: Side<'_>, new: Side<'_>, survey: &Survey, screen: &Screen) -> Difference {
    let comparison = compare(old.config, new.config, survey.now);
    let bar = screen.progress(moves::steps(&comparison, old, new, survey), "asking both");
    let moves = moves::count(&comparison, old, new, survey, &bar);
    bar.finish();
    Difference { comparison, moves }
}

/// Writes it down for people, each line behind this margin.
pub(crate) fn show(difference: &Difference, screen: &mut Screen, margin: &str) -> Result<(), CliError> {
    let Comparison { config, callouts, flags, .. } = &difference.comparison;
    if !config.is_empty() || !callouts.is_empty() {
        screen.line(format!("{margin}{}", paint(MAIN, "the config")))?;
        for change in config {
            screen.line(format!("{margin}  {}", change.words()))?;
        }
        show_callouts(screen, margin, callouts)?;
    }
    flags.iter().try_for_each(|flag| show_flag(difference, screen, margin, flag))
}

fn show_flag(difference: &Difference, screen: &mut Screen, margin: &str, flag: &FlagChange) -> Result<(), CliError> {
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
    match difference.moves.get(key) {
        Some(moves) => show_moves(screen, margin, moves),
        None => Ok(screen.line(format!("{margin}  {}", paint(FAINT, "decides as before: no user moves")))?),
    }
}

fn show_callouts(screen: &mut Screen, margin: &str, callouts: &[CallOut]) -> Result<(), CliError> {
    for callout in callouts {
        screen.line(format!("{margin}  {} {}", paint(BAD, format!("{}:", callout.code.word())), callout.why))?;
    }
    Ok(())
}

fn show_moves(screen: &mut Screen, margin: &str, moves: &Moves) -> Result<(), CliError> {
    let asked = paint(FAINT, format!("request: {}", moves.request));
    let users = thousands(moves.users);
    let line = match (moves.decided, moves.moved) {
        (false, _) => format!("neither side decides the flag for this request, so nobody can be counted  {asked}"),
        (true, 0) => format!("none of {users} users move  {asked}"),
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

/// Writes down what changes in a text, line by line.
pub(crate) fn text(screen: &mut Screen, diff: &str) -> std::io::Result<()> {
    for line in diff.lines() {
        let style = match line.get(..1) {
            _ if line.starts_with("---") || line.starts_with("+++") => Some(MAIN),
            Some("+") => Some(GOOD),
            Some("-") => Some(BAD),
            Some("@") => Some(FAINT),
            _ => None,
        };
        match style {
            Some(style) => screen.line(paint(style, line))?,
            None => screen.line(line)?,
        }
    }
    Ok(())
}
