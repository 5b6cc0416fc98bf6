//! Finds the rule of a flag that a change is about.
//!
//! Rules are counted from 1, as in messages. Never guesses: where several could be meant, it says which there are.

use super::hand::Subject;
use crate::error::CliError;
use tidegate_analysis::source::edit::Path;
use tidegate_analysis::words;
use tidegate_engine::config::Rule;

/// The place of the rule that is meant, counted from 0: the one that was named, or the only one that fits.
pub(crate) fn pick(
    subject: &Subject<'_>,
    named: Option<usize>,
    what: &str,
    fits: impl Fn(&Rule) -> bool,
) -> Result<usize, CliError> {
    let rules = &subject.flag.rules;
    if let Some(named) = named {
        let place = named.checked_sub(1).filter(|place| *place < rules.len());
        return place.ok_or_else(|| {
            let known = list(subject);
            CliError::Usage(format!("--rule {named}: {} has no such rule, but {known}", subject.key))
        });
    }
    let fitting: Vec<usize> = rules.iter().enumerate().filter(|(_, rule)| fits(rule)).map(|(place, _)| place).collect();
    match fitting.as_slice() {
        [only] => Ok(*only),
        [] => {
            let known = list(subject);
            Err(CliError::Usage(format!(
                "{} has no rule with {what}: name one with --rule; it has {known}",
                subject.key
            )))
        }
        several => {
            let number = several.len();
            let known = list(subject);
            Err(CliError::Usage(format!(
                "{} has {number} rules with {what}: name one with --rule; it has {known}",
                subject.key
            )))
        }
    }
}

/// The rules of a flag, in words.
fn list(subject: &Subject<'_>) -> String {
    let rules = subject.flag.rules.iter().zip(1_usize..);
    let rules: Vec<String> = rules.map(|(rule, number)| format!("{number} ({})", words::rule(rule))).collect();
    if rules.is_empty() { "no rules".to_owned() } else { rules.join(", ") }
}

/// The way to a rule.
pub(crate) fn path(subject: &Subject<'_>, place: usize) -> Path {
    subject.path().key("rules").index(place)
}
