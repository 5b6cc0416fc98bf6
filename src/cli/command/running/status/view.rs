//! Turns a state of the proxies into lines for people. Never decides anything.

use std::collections::BTreeMap;

use super::due::Due;
use super::state::{Proxy, Rule, State, Verdict, revisions};
use crate::terminal::style::{BAD, FAINT, GOOD, MAIN, ODD, paint};
use crate::terminal::table::Rows;
use tidegate_analysis::words::number::count;
use tidegate_engine::decide::standing::Phase;
use tidegate_engine::value::share::Ppm;

/// How many names stand in a line.
const NAMES: usize = 3;

/// All of it; and what to do about a proxy that refuses.
pub(super) fn lines(state: &State, hint: &str) -> Vec<String> {
    let mut lines = Vec::new();
    if !state.due.is_empty() {
        lines.extend(dues(state));
        lines.push(String::new());
    }
    lines.extend(proxies(state));
    if !state.refusing().is_empty() {
        lines.push(paint(FAINT, format!("Of a config that was refused, {hint}.")));
    }
    if !state.flags.is_empty() {
        lines.push(String::new());
        lines.extend(flags(state));
    }
    lines
}

fn table(rows: &Rows) -> Vec<String> {
    rows.to_string().lines().map(|line| line.trim_end().to_owned()).collect()
}

/// What should run, and where that differs.
fn dues(state: &State) -> Vec<String> {
    let mut rows = Rows::new(&["should run", "revision", "config", ""]);
    for due in &state.due {
        let other = state.disagreements().into_iter().find(|(_, other)| *other == due);
        let note = other.map(|(one, _)| paint(BAD, format!("another one than {}", one.name)));
        let print = due.print.map_or_else(|| "-".to_owned(), |print| format!("{print:012x}"));
        rows.add([due.name.clone(), revision(due), print, note.unwrap_or_default()]);
    }
    table(&rows)
}

fn revision(due: &Due) -> String {
    due.revision.clone().unwrap_or_else(|| "-".to_owned())
}

/// The proxies, those of one kind in one line.
fn proxies(state: &State) -> Vec<String> {
    let mut kinds: BTreeMap<(usize, String, String, String), Vec<&str>> = BTreeMap::new();
    for proxy in &state.proxies {
        let (rank, what) = kind(state, proxy);
        let prints: Vec<String> = proxy.configs.values().map(|config| format!("{:012x}", config.fingerprint)).collect();
        let print = if prints.is_empty() { "-".to_owned() } else { prints.join(", ") };
        kinds.entry((rank, revisions(&proxy.configs), print, what)).or_default().push(&proxy.name);
    }
    let mut rows = Rows::new(&[">proxies", "revision", "config", "", ""]);
    for ((rank, revision, print, what), names) in kinds {
        let style = match rank {
            0 => GOOD,
            1 => ODD,
            _ => BAD,
        };
        let who = if state.proxies.len() == names.len() && names.len() > NAMES { String::new() } else { some(&names) };
        rows.add([names.len().to_string(), revision, print, paint(style, what), who]);
    }
    table(&rows)
}

/// How a proxy is, with what is well first.
fn kind(state: &State, proxy: &Proxy) -> (usize, String) {
    if let Some(why) = &proxy.silent {
        return (3, format!("silent: {why}"));
    }
    if let Some(config) = proxy.refused() {
        return (
            2,
            format!("refused the last push, {}", count(usize::try_from(config.problems).unwrap_or(0), "problem")),
        );
    }
    let names = |places: &[usize]| {
        let all = places.iter().filter_map(|place| state.due.get(*place)).map(|due| due.name.as_str());
        all.collect::<Vec<_>>().join(" nor ")
    };
    match (&proxy.lacks[..], &state.due[..]) {
        ([], []) => (0, "runs".to_owned()),
        ([], _) => (0, "as it should be".to_owned()),
        (lacks, _) => (1, format!("not {}", names(lacks))),
    }
}

fn some(names: &[&str]) -> String {
    let text = names.iter().take(NAMES).copied().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMES) {
        0 => text,
        more => format!("{text} and {more} more"),
    }
}

fn flags(state: &State) -> Vec<String> {
    let several = state.flags.keys().map(|(plugin, _)| plugin).collect::<std::collections::BTreeSet<_>>().len() > 1;
    let mut rows = Rows::new(&["flag", "standing", ">rule", ">step", ">share"]);
    for ((plugin, key), flag) in &state.flags {
        let name = if several { format!("{plugin}/{key}") } else { key.clone() };
        let mut stands: Vec<String> = Vec::new();
        for (code, names) in &flag.standings {
            let all = names.len() == flag.proxies;
            let on = if all {
                String::new()
            } else {
                format!(" on {}", some(&names.iter().map(String::as_str).collect::<Vec<_>>()))
            };
            stands.push(standing(*code, &on));
        }
        if stands.is_empty() {
            stands.push("no guard".to_owned());
        }
        let mut first = Some((paint(MAIN, name), stands.join(", ")));
        for (number, rule) in &flag.rules {
            let (name, stands) = first.take().unwrap_or_default();
            rows.add([name, stands, number.to_string(), step(*rule), share(*rule)]);
        }
        if let Some((name, stands)) = first {
            rows.add([name, stands, String::new(), String::new(), String::new()]);
        }
    }
    table(&rows)
}

fn standing(code: u64, on: &str) -> String {
    let phase = u8::try_from(code).ok().and_then(Phase::of_code);
    let name = phase.map_or_else(|| format!("standing {code}"), |phase| phase.name().replace('_', " "));
    let style = match phase {
        Some(Phase::Running) => GOOD,
        Some(Phase::RolledBack) => BAD,
        _ => ODD,
    };
    paint(style, format!("{name}{on}"))
}

fn step(rule: Rule) -> String {
    match rule.step {
        None => String::new(),
        Some((least, most)) if least == most => most.to_string(),
        Some((least, most)) => format!("{least} to {most}"),
    }
}

fn share(rule: Rule) -> String {
    let ppm = |parts: u64| Ppm::of(u32::try_from(parts).unwrap_or(u32::MAX)).to_string();
    let (least, most) = rule.share;
    if least == most { ppm(most) } else { format!("{} to {}", ppm(least), ppm(most)) }
}

/// How far waiting is.
pub(super) fn waits(state: &State) -> String {
    let all = state.proxies.len();
    let have = state.proxies.iter().filter(|proxy| proxy.silent.is_none() && proxy.lacks.is_empty()).count();
    let lacking: Vec<&str> =
        state.proxies.iter().filter(|proxy| !proxy.lacks.is_empty()).map(|proxy| proxy.name.as_str()).collect();
    let others = if lacking.is_empty() { String::new() } else { format!(", not yet: {}", some(&lacking)) };
    format!("waiting: {have} of {all} proxies run it{others}")
}

/// How waiting ended, and what was missing.
pub(super) fn ended(verdict: &Verdict, timeout: &str) -> String {
    let list = |reasons: &[String]| {
        let mut lines: Vec<String> = reasons.iter().take(10).map(|reason| format!("\n  {reason}")).collect();
        if reasons.len() > 10 {
            lines.push(format!("\n  and {} more", reasons.len().saturating_sub(10)));
        }
        lines.concat()
    };
    match verdict {
        Verdict::Done => paint(GOOD, "all proxies run it, and no guard objects"),
        Verdict::Failed(reasons) => format!("{}:{}", paint(BAD, "it will not come"), list(reasons)),
        Verdict::Pending(reasons) => format!("{}:{}", paint(BAD, format!("not within {timeout}")), list(reasons)),
    }
}
