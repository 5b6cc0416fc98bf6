//! `tidegate diff`: what changed between two configs, in words, and which users it moves.
//!
//! A plain change is none to complain of. What is called out is, and so is whatever moves more users than may be moved.
//! Never applies a change.

use serde_json::{Value, json};

use super::ask::{Ask, When};
use super::callout::{self, Code};
use super::compare::Fate;
use super::diagnostic::{self, Diagnostic};
use super::difference::Difference;
use super::git::Past;
use super::load::load;
use super::moves::{Side, Survey};
use super::past::Keys;
use super::people::Sample;
use super::screen::{BAD, FAINT, GOOD, Screen, count, paint, thousands};
use super::{Found, Stop, finding, policy, source, words};
use tidegate_engine::value::share::Ppm;

/// Show what changed between two configs, and which users move
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The config before, or what carries it; REV:PATH is a file as git has it, such as main:flags.yaml
    #[arg(value_name = "OLD")]
    old: String,
    /// The config after
    #[arg(value_name = "NEW")]
    new: String,
    /// The share of users that one flag may move; more is a finding
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    max_moved: Option<Ppm>,
    /// What may be called out and is meant; said, and no finding
    #[arg(long, value_name = "CODE", value_enum)]
    allow: Vec<Code>,
    /// Hold the change to a policy, too: largest step, freezes; `validate --policy` judges what a config is by itself
    #[arg(long, value_name = "POLICY")]
    policy: Option<String>,
    #[command(flatten)]
    when: When,
    #[command(flatten)]
    sample: Sample,
    #[command(flatten)]
    ask: Ask,
}

fn percent(text: &str) -> Result<Ppm, String> {
    Ppm::parse_percent(text).map_err(|wrong| wrong.to_string())
}

pub(super) fn run(args: &Args, screen: &mut Screen) -> Result<Found, Stop> {
    let policy = args.policy.as_ref().map(|path| policy::load(path, screen)).transpose()?;
    let (old, new) = (load(&args.old, screen)?, load(&args.new, screen)?);
    let survey = Survey { ask: &args.ask, base: args.ask.question()?, ids: args.sample.ids()?, now: args.when.time() };
    let (before, after) =
        (Side { config: &old.config, plan: &old.plan }, Side { config: &new.config, plan: &new.plan });
    let mut difference = Difference::new(before, after, &survey, screen);
    let unknown_past = call_reused_keys(args, &mut difference)?;
    let against = policy.map(|policy| policy::judge_change(&policy, &old.config, &new.config, survey.now));
    let against = against.unwrap_or_default();
    let findings = findings(args, &difference, &against);
    let found = Found::when(!findings.is_empty());
    if screen.is_json() {
        let mut document = difference.json();
        if let Value::Object(map) = &mut document {
            let list = findings.iter().map(|one| json!({"code": one.code, "flag": one.flag, "why": one.why}));
            map.insert("old".to_owned(), Value::from(old.document.name()));
            map.insert("new".to_owned(), Value::from(new.document.name()));
            map.insert("at".to_owned(), Value::from(words::time(survey.now)));
            map.insert("users".to_owned(), Value::from(survey.ids.len()));
            map.insert("keysCheckedInHistory".to_owned(), Value::from(!unknown_past));
            map.insert("findings".to_owned(), Value::from(list.collect::<Vec<_>>()));
        }
        screen.json(&document)?;
        return Ok(found);
    }
    difference.show(screen, "")?;
    if difference.comparison.is_empty() {
        screen.line("nothing changed")?;
        return Ok(found);
    }
    if unknown_past {
        let why = "whether a new key was in use before cannot be seen in two files: name the old one as REV:PATH";
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

/// Looks for added keys in the past of the old file. Whether there are some whose past cannot be known.
fn call_reused_keys(args: &Args, difference: &mut Difference) -> Result<bool, Stop> {
    let mut added = difference.comparison.flags.iter_mut().filter(|flag| flag.fate == Fate::Added).peekable();
    if added.peek().is_none() {
        return Ok(false);
    }
    let Some(past) = Past::parse(source::split(&args.old).0) else { return Ok(true) };
    let history = past.history()?;
    let mut keys = Keys::new(&history, &args.old);
    for flag in added {
        if let Some(removed) = keys.removed(flag.key.as_str(), 0) {
            flag.callouts.push(callout::used_before(&removed));
        }
    }
    Ok(false)
}

/// What a pipeline stops for.
struct Finding {
    code: &'static str,
    flag: Option<String>,
    why: String,
}

fn findings(args: &Args, difference: &Difference, against: &[finding::Finding]) -> Vec<Finding> {
    let meant = |code: Code| args.allow.contains(&code);
    let called = difference.callouts().filter(|(_, callout)| !meant(callout.code));
    let called = called.map(|(flag, callout)| Finding {
        code: callout.code.word(),
        flag: flag.map(ToString::to_string),
        why: callout.why.clone(),
    });
    let over = difference.moves.iter().filter_map(|(key, moves)| {
        let most = args.max_moved.filter(|most| moves.exceeds(*most))?;
        let why = format!("{key} moves {}, and {most} are the most", moves.share());
        Some(Finding { code: "max-moved", flag: Some(key.to_string()), why })
    });
    let against = against.iter().map(|one| Finding {
        code: one.code,
        flag: one.flag.clone(),
        why: format!("{}: {}", one.path, one.message),
    });
    called.chain(over).chain(against).collect()
}
