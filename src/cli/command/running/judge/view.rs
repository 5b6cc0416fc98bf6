//! The verdicts of the fleet's judge for people: a table with a row for each comparison, and whether it sees.

use serde_json::{Value, json};

use crate::terminal::style::{BAD, FAINT, GOOD, ODD, paint};
use crate::terminal::table::Rows;
use tidegate_analysis::words::time::moment;
use tidegate_engine::config::standing::Phase;
use tidegate_engine::value::time::Timestamp;
use tidegate_fleet::judge::page::{Page, parts, tenths, why};
use tidegate_fleet::judge::watcher::Watcher;

/// Whether a verdict, and not the config, holds a flag or has rolled it back.
pub(super) fn is_judged(watcher: &Watcher) -> bool {
    watcher.fleet().flags().iter().any(tidegate_fleet::judge::Flag::is_judged)
}

/// All flags, and what was said of each comparison.
pub(super) fn table(watcher: &Watcher) -> Vec<String> {
    let fleet = watcher.fleet();
    // Only where Pods are counted.
    let counts = fleet.flags().iter().any(|flag| fleet.endpoints(&flag.key).is_some());
    let ready = counts.then_some(">ready");
    let heads = ["flag", "phase", "since", "rule", "variant", ">bits", ">phi", ">steps"];
    let heads: Vec<&str> = heads.into_iter().chain(ready).chain(["why"]).collect();
    let mut rows = Rows::new(&heads);
    for flag in fleet.flags() {
        let style = match flag.phase() {
            Phase::Running => GOOD,
            Phase::Held => ODD,
            Phase::RolledBack => BAD,
        };
        let head = [flag.key.clone(), paint(style, flag.phase().name()), moment(flag.since())];
        let cause = flag.cause().map(why).unwrap_or_default();
        let (mut is_first, steps) = (true, flag.steps());
        for (comparison, said) in flag.said() {
            let allowed = steps.get(&comparison.rule).map_or_else(|| "-".to_owned(), u8::to_string);
            let numbers = [
                comparison.rule.to_string(),
                comparison.variant.clone(),
                tenths(said.evidence.tenths()),
                parts(said.phi),
                allowed,
            ];
            let [key, phase, since] = if is_first { head.clone() } else { Default::default() };
            let why = if is_first { cause.clone() } else { String::new() };
            let known = fleet.endpoints(&flag.key).and_then(|all| *all.get(&comparison.variant)?);
            let ready = counts.then(|| known.map_or_else(|| "-".to_owned(), |ready| ready.to_string()));
            rows.add([key, phase, since].into_iter().chain(numbers).chain(ready).chain([why]));
            is_first = false;
        }
        if is_first {
            let [key, phase, since] = head;
            let none = ["", "", "", "", ""].map(str::to_owned);
            let ready = counts.then(String::new);
            rows.add([key, phase, since].into_iter().chain(none).chain(ready).chain([cause]));
        }
    }
    rows.to_string().lines().map(|line| line.trim_end().to_owned()).collect()
}

/// Whether it sees, and what.
pub(super) fn state(watcher: &Watcher, at: Timestamp) -> Vec<String> {
    let proxies = watcher.fleet().proxies().len();
    let all = if proxies == watcher.known() {
        if proxies == 1 { "1 proxy".to_owned() } else { format!("{proxies} proxies") }
    } else {
        format!("{} of {proxies} proxies have this config", watcher.known())
    };
    match watcher.blind() {
        Some(why) => vec![paint(BAD, format!("blind: {why}"))],
        None => vec![paint(FAINT, format!("{all}, seen at {}", moment(watcher.last().unwrap_or(at))))],
    }
}

/// All of it for programs.
pub(super) fn document(watcher: &Watcher, page: &Page) -> Value {
    let flags: serde_json::Map<String, Value> =
        page.flags.iter().map(|(key, told)| (key.clone(), told.json.clone())).collect();
    json!({"blind": watcher.blind(), "proxies": watcher.fleet().proxies().len(), "currentProxies": watcher.known(),
        "flags": flags, "unguarded": page.unguarded})
}
