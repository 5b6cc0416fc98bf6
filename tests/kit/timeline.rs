//! Turns a file of timelines into phases of a load with what is expected of them, and runs them.
//!
//! A file is YAML: a config, and timelines of phases. What a phase may say stands in `tests/timelines/README.md`.
//! Where a phase names no events, there must be none. Never knows what a guard should do.

use super::cluster::{Cluster, Load, Manner, Seen, TICK};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use tidegate_engine::value::share::Ppm;
use tidegate_engine::value::time::{Span, Timestamp};

/// When a timeline begins that does not say it.
const BEGINNING: &str = "2026-12-01T09:00:00Z";

const PHASE: [&str; 15] = [
    "do", "for", "rate", "users", "split", "broken", "answers", "ticks", "clock", "standing", "events", "within",
    "served", "then", "reasons",
];

/// Runs every timeline of the repository; how many there are.
pub fn run_all() -> usize {
    let folder = super::envoy::repository().join("tests/timelines");
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|end| end == "yaml"));
    files.sort();
    let results: Vec<(usize, Vec<String>)> = thread::scope(|scope| {
        let running: Vec<_> = files.iter().map(|file| scope.spawn(|| run_file(file))).collect();
        running.into_iter().map(|file| file.join().expect("a file runs to its end")).collect()
    });
    let wrong: Vec<String> = results.iter().flat_map(|(_, wrong)| wrong.clone()).collect();
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    results.iter().map(|(count, _)| count).sum()
}

/// Runs the timelines of one file; how many there are, and what is not as expected.
fn run_file(file: &Path) -> (usize, Vec<String>) {
    let name = file.file_stem().unwrap().to_string_lossy().into_owned();
    let text = fs::read_to_string(file).unwrap();
    let suite: Value = serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
    only(&suite, &["about", "config", "timelines"], &name);
    let timelines = suite["timelines"].as_array().expect("timelines");
    (timelines.len(), timelines.iter().flat_map(|timeline| run(&name, &suite["config"], timeline)).collect())
}

/// Runs one timeline; what is not as expected.
fn run(file: &str, config: &Value, timeline: &Value) -> Vec<String> {
    let name = format!("{file}: {}", timeline["name"].as_str().expect("a timeline has a name"));
    only(timeline, &["name", "with", "workers", "begins", "phases"], &name);
    let mut config = config.clone();
    config["version"] = json!(1);
    merge(&mut config, &timeline["with"]);
    let workers = usize::try_from(timeline["workers"].as_u64().unwrap_or(2)).unwrap();
    let begins = Timestamp::parse(timeline["begins"].as_str().unwrap_or(BEGINNING)).unwrap();
    let mut cluster = Cluster::new("checkout", &config, workers, begins);
    let (mut load, mut wrong) = (Load { rate: 100, users: 5_000, tick: TICK, ..Load::default() }, Vec::new());
    for (place, phase) in timeline["phases"].as_array().expect("phases").iter().enumerate() {
        let name = format!("{name}, phase {}", place + 1);
        only(phase, &[&PHASE[..], &["inFlight"]].concat(), &name);
        act(&mut cluster, &mut config, &phase["do"], &name);
        change(&mut load, phase, &name);
        let began = cluster.at;
        let seen = cluster.run(&load);
        wrong.extend(check(&cluster, phase, &load, began, &seen).into_iter().map(|wrong| format!("{name}: {wrong}")));
    }
    wrong
}

/// What is done before a phase begins.
fn act(cluster: &mut Cluster, config: &mut Value, acts: &Value, name: &str) {
    only(acts, &["seed", "clock", "push", "reload", "restart", "join", "refuse"], name);
    if let Some(seed) = acts["seed"].as_u64() {
        cluster.seed(seed);
    }
    if let Some(jump) = acts["clock"].as_str() {
        let (forward, span) = (jump.starts_with('+'), jump.trim_start_matches(['+', '-']));
        cluster.clock += if forward { millis(span) } else { -millis(span) };
    }
    if !acts["push"].is_null() {
        merge(config, &acts["push"]);
        cluster.push(config);
    }
    if acts["reload"] == json!(true) {
        cluster.reload();
    }
    if acts["restart"] == json!(true) {
        cluster.restart();
    }
    for _ in 0..acts["join"].as_u64().unwrap_or(0) {
        cluster.join();
    }
    match acts["refuse"].as_str() {
        Some("every write") => cluster.store.refuses = u32::MAX,
        Some("nothing") => cluster.store.refuses = 0,
        other => assert!(other.is_none(), "{name}: refuse {other:?}"),
    }
}

/// What a phase changes of the load; the rest goes on as it was.
fn change(load: &mut Load, phase: &Value, name: &str) {
    load.millis = millis(phase["for"].as_str().unwrap_or("0s"));
    load.rate = phase["rate"].as_i64().unwrap_or(load.rate);
    load.users = phase["users"].as_u64().unwrap_or(load.users);
    load.frozen = phase["clock"] == json!("frozen");
    load.tick = phase["ticks"].as_str().map_or(TICK, millis);
    if let Some(split) = phase["split"].as_array() {
        load.split = split.iter().map(|weight| weight.as_u64().unwrap()).collect();
    }
    if let Some(broken) = phase["broken"].as_object() {
        only(&phase["broken"], &["users", "percent"], name);
        load.broken = broken["users"].as_array().unwrap().iter().map(|user| user.as_u64().unwrap()).collect();
        load.theirs = broken.get("percent").map_or(0, |percent| percent.as_u64().unwrap());
    }
    if let Some(answers) = phase["answers"].as_object() {
        load.manners = answers.iter().map(|(variant, manner)| (variant.clone(), read_manner(manner, name))).collect();
    }
}

fn read_manner(written: &Value, name: &str) -> Manner {
    let mut manner = Manner::default();
    match written {
        Value::String(word) if word == "unreachable" => manner.unreachable = true,
        Value::String(word) if word == "client gone" => manner.client_gone = true,
        Value::Object(_) => {
            only(written, &["errors", "status", "latency", "gone"], name);
            manner.client_gone = written["gone"] == json!(true);
            if let Some(errors) = written["errors"].as_str() {
                manner.errors = Ppm::parse_percent(errors.trim_end_matches('%')).unwrap().parts().into();
            }
            manner.status = written["status"].as_u64().unwrap_or(500);
            if let Some(latency) = written["latency"].as_str() {
                let (from, to) = latency.split_once("..").unwrap_or((latency, latency));
                manner.latency = (millis(from).unsigned_abs(), millis(to).unsigned_abs());
            }
        }
        other => panic!("{name}: {other} is no way to answer"),
    }
    manner
}

fn check(cluster: &Cluster, phase: &Value, load: &Load, began: i64, seen: &Seen) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut must = |holds: bool, text: String| wrong.extend((!holds).then_some(text));
    if let Some(standing) = phase["standing"].as_str() {
        let found: Vec<&str> = cluster.phases().iter().map(|phase| phase.name()).collect();
        must(found.iter().all(|found| *found == standing), format!("must be {standing}, is {found:?}"));
    }
    let none = Vec::new();
    let events = phase["events"].as_array().unwrap_or(&none);
    let fits = |event: &Value, (_, line): &(i64, String)| {
        event.as_str().expect("an event is text").split(' ').all(|word| line.split(' ').any(|found| found == word))
    };
    let same = events.len() == seen.events.len() && events.iter().zip(&seen.events).all(|(due, is)| fits(due, is));
    must(same, format!("events must be {events:?}, are {:#?}", seen.events));
    let last = seen.events.last().map_or(began, |(at, _)| *at);
    if let Some(within) = phase["within"].as_str() {
        let took = last - began;
        must(took <= millis(within), format!("must be told within {within}, took {took} ms"));
    }
    let after = last + TICK;
    let of = |variant: &str, from: i64| {
        let wanted = seen.requests.iter().filter(|(at, served, _)| *at >= from && served == variant);
        i64::try_from(wanted.count()).unwrap()
    };
    for (part, from) in [("served", began), ("then", after)] {
        for (variant, due) in phase[part].as_object().into_iter().flatten() {
            let (found, length) = (of(variant, from), began + load.millis - from);
            must(is(found, length, due), format!("{part} {variant} must be {due}: {found} in {length} ms"));
        }
    }
    let mut reasons: BTreeMap<&str, i64> = BTreeMap::new();
    for (.., reason) in &seen.requests {
        *reasons.entry(reason).or_default() += 1;
    }
    for (reason, due) in phase["reasons"].as_object().into_iter().flatten() {
        let found = reasons.get(reason.as_str()).copied().unwrap_or(0);
        must(is(found, load.millis, due), format!("{reason} must be {due}: {reasons:?}"));
    }
    for (variant, most) in phase["inFlight"].as_object().into_iter().flatten() {
        let found = seen.in_flight.get(variant).copied().unwrap_or(0);
        must(found <= most.as_i64().unwrap(), format!("{found} of {variant} in flight, {most} are the most"));
    }
    wrong
}

/// Whether a count over so many milliseconds is `none`, `some`, or a rate such as `43..57/s`.
fn is(count: i64, length: i64, due: &Value) -> bool {
    match due.as_str().expect("none, some, or a rate") {
        "none" => count == 0,
        "some" => count > 0,
        rate => {
            let (from, to) = rate.strip_suffix("/s").and_then(|rate| rate.split_once("..")).expect("43..57/s");
            let bound = |text: &str| text.parse::<i64>().unwrap() * length;
            (bound(from)..=bound(to)).contains(&(count * 1_000))
        }
    }
}

/// RFC 7396: maps are merged, all else is replaced, null takes away.
fn merge(value: &mut Value, patch: &Value) {
    let Some(patch) = patch.as_object() else { return };
    for (key, patch) in patch {
        match patch {
            Value::Null => {
                value.as_object_mut().unwrap().remove(key);
            }
            Value::Object(_) => {
                if !value[key].is_object() {
                    value[key] = json!({});
                }
                merge(&mut value[key], patch);
            }
            other => value[key] = other.clone(),
        }
    }
}

fn millis(text: &str) -> i64 {
    let span = Span::parse(text).unwrap_or_else(|_| panic!("{text} is no duration"));
    i64::try_from(span.millis()).unwrap()
}

fn only(value: &Value, known: &[&str], name: &str) {
    for key in value.as_object().into_iter().flatten().map(|(key, _)| key) {
        assert!(known.contains(&key.as_str()), "{name}: {key} is not known here");
    }
}
