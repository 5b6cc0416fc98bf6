//! Holds every message about a config to its golden text: where, what is wrong, what was found, and nothing else.
//!
//! The cases are the files in `tests/invalid`; `tests/kit/invalid.rs` says how they are read.
//!
//! `TIDEGATE_BLESS=1 cargo test -p tidegate-tests --test module invalid` writes what is said into the files. Then read every line that changed:
//! a message that nobody has read is not golden.
//!
//! Configs that are made to cost are in `tests/module/invalid/bombs.rs`.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_precision_loss,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::float_arithmetic,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a case that fails stops its test, with a message"
)]

mod bombs;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;

use kit::envoy::module;
use kit::host::{Host, Module};
use kit::invalid::{Part, cases, files, parts};
use tidegate_engine::config::schema::reference::{SECTIONS, Section};
use tidegate_engine::config::{MAX_BYTES, Node};
use tidegate_engine::plan::{Compiled, Plan};
use tidegate_engine::problem::Problems;

/// Everything that is said of a config, in order.
fn said(problems: &Problems) -> Vec<String> {
    let kinds =
        [("error", problems.errors()), ("unknown", problems.unknown_fields()), ("warning", problems.warnings())];
    kinds.iter().flat_map(|(kind, list)| list.iter().map(move |problem| format!("{kind} {problem}"))).collect()
}

/// What is said of the bytes of a config, which has a plan exactly if there is no error.
fn judge(bytes: &[u8]) -> Vec<String> {
    let (compiled, problems) = tidegate_proxy::read(bytes);
    assert_eq!(matches!(compiled, Compiled::Ready(_)), problems.errors().is_empty(), "{problems}");
    said(&problems)
}

fn errors(lines: &[String]) -> impl Iterator<Item = &str> {
    lines.iter().filter_map(|line| line.strip_prefix("error "))
}

/// The place and the sentence of a message.
fn apart(message: &str) -> (&str, &str) {
    // A key may hold a colon, too, but then it stands in quotes.
    let keyed = message.find("\"]: ").map(|at| at + 2);
    let at = keyed.or_else(|| message.find(": ")).unwrap_or_else(|| panic!("no place in {message}"));
    (&message[..at], &message[at + 2..])
}

// === what is said ===

#[test]
fn each_config_is_told_what_is_wrong_with_it() {
    let bless = std::env::var_os("TIDEGATE_BLESS").is_some();
    let mut wrong = String::new();
    for file in files() {
        let mut blessed = String::new();
        for part in parts(&file) {
            let case = match part {
                Part::Line(line) => {
                    writeln!(blessed, "{line}").unwrap();
                    continue;
                }
                Part::Case(case) => case,
            };
            let mut lines = judge(case.text.as_bytes());
            if lines.is_empty() {
                lines.push("ok".to_owned());
            }
            if lines != case.expect {
                writeln!(wrong, "{}: {}\n  due {:#?}\n  got {lines:#?}", case.place, case.hole, case.expect).unwrap();
            }
            writeln!(blessed, "{}", case.hole).unwrap();
            for line in &lines {
                writeln!(blessed, "  {line}").unwrap();
            }
        }
        if bless {
            fs::write(&file, blessed).unwrap();
        }
    }
    assert!(
        bless || wrong.is_empty(),
        "{wrong}\nafter a change that is meant: TIDEGATE_BLESS=1 cargo test -p tidegate-tests --test module invalid"
    );
}

#[test]
fn there_are_enough_cases_of_both_kinds() {
    let cases = cases();
    let invalid = cases.iter().filter(|case| errors(&case.expect).next().is_some()).count();
    let valid = cases.len() - invalid;
    println!("{invalid} invalid configs, {valid} valid neighbours");
    assert!(invalid >= 1_000 && valid >= 200, "case files have gone missing: {invalid} invalid, {valid} valid");
}

/// Where the maps of a section stand.
fn places(section: &Section) -> &'static [&'static str] {
    match section.title {
        "The config" => &[""],
        "A source of identity" => &["identity[].", "flags.*.identity[]."],
        "`generate`" => &["identity[].generate."],
        "`inspect`" => &["inspect."],
        "`telemetry`" => &["telemetry."],
        "A flag" => &["flags.*."],
        "`match`" => &["flags.*.match."],
        "`route`" => &["flags.*.route."],
        "A variant" => &["flags.*.variants[]."],
        "`limit`" => &["flags.*.variants[].limit."],
        "`reply`" => &["flags.*.variants[].reply."],
        "A rule" => &["flags.*.rules[]."],
        "A step" => &["flags.*.rules[].steps[]."],
        "`requires` of a step" => &["flags.*.rules[].steps[].requires.", "flags.*.rules[].steps[].requires[]."],
        "A standing" => &["standing.*."],
        "A part of a weighted `serve`" => &["flags.*.rules[].serve[]."],
        "A guard" => &["flags.*.guard."],
        "`errors` of a guard" => &["flags.*.guard.errors."],
        "`latency` of a guard" => &["flags.*.guard.latency."],
        "A condition" => &["flags.*.rules[].when.", "flags.*.rules[].when.address.", "segments.*."],
        other => panic!("say where the maps of {other} stand"),
    }
}

#[test]
fn each_field_of_the_reference_has_been_wrong_in_several_ways() {
    // `flags.a.rules[2].percent: ...` as `flags.*.rules[].percent`.
    let general = |message: &str| -> String {
        let (path, _) = apart(message);
        let mut steps: Vec<String> =
            path.split('.').map(|step| step.replace(|c: char| c.is_ascii_digit(), "")).collect();
        if matches!(steps[0].as_str(), "flags" | "segments" | "standing") && steps.len() > 1 {
            "*".clone_into(&mut steps[1]);
        }
        steps.join(".")
    };
    let cases = cases();
    let told: BTreeSet<(String, &str)> =
        cases.iter().flat_map(|case| errors(&case.expect)).map(|message| (general(message), message)).collect();
    for section in SECTIONS {
        for field in section.fields {
            let places = places(section).iter().map(|place| format!("{place}{}", field.name));
            let ways: usize = places
                .map(|place| {
                    let here = |path: &str| {
                        path.strip_prefix(&place).is_some_and(|rest| !rest.starts_with(char::is_alphabetic))
                    };
                    told.iter().filter(|(path, _)| here(path)).count()
                })
                .sum();
            assert!(ways >= 4, "{} of {} is wrong in {ways} ways only", field.name, section.title);
        }
    }
}

/// A message says where, what, and what was found; never what a person could not act on.
#[test]
fn each_message_has_a_place_and_a_sentence() {
    for case in cases() {
        for line in case.expect.iter().filter(|line| *line != "ok") {
            let (place, sentence) = apart(line);
            assert!(place.len() < 200 && sentence.len() < 900, "{}: is too long to be read: {line}", case.place);
            assert!(sentence.starts_with(|c: char| c.is_ascii_lowercase()), "{}: {line}", case.place);
            assert!(!sentence.ends_with('.') || sentence.ends_with(".."), "{}: {line}", case.place);
            assert!(!line.contains(char::is_control), "{}: a control character in {line:?}", case.place);
            for inside in ["serde", "Node", "visitor", "variant `", "unwrap", "Err("] {
                assert!(!line.contains(inside), "{}: speaks of our inside: {line}", case.place);
            }
        }
    }
}

/// Flags that are wrong in a hundred ways make one config that is told all of it.
#[test]
fn the_problems_of_many_flags_are_told_in_one_go() {
    let mut flags: BTreeMap<String, String> = BTreeMap::new();
    let mut due: Vec<String> = Vec::new();
    for case in cases() {
        let prefix = "{\"version\": 1, \"flags\": {\"a\": ";
        let Some(flag) = case.text.strip_prefix(prefix).and_then(|text| text.strip_suffix("}}")) else { continue };
        let whole = serde_json::from_str::<serde_json::Value>(flag).is_ok() && flag.len() < 1_000;
        let alone =
            errors(&case.expect).next().is_some() && case.expect.iter().all(|line| line.starts_with("error flags.a."));
        if !whole || !alone || flags.len() == 700 || case.expect.iter().any(|line| line.contains("header")) {
            continue;
        }
        let key = format!("f{:03}", flags.len());
        due.extend(case.expect.iter().map(|line| line.replacen("flags.a.", &format!("flags.{key}."), 1)));
        flags.insert(key, flag.to_owned());
    }
    assert!(flags.len() > 300, "{}", flags.len());
    let flags: Vec<String> = flags.iter().map(|(key, flag)| format!("\"{key}\": {flag}")).collect();
    let mut got = judge(format!("{{\"version\": 1, \"flags\": {{{}}}}}", flags.join(", ")).as_bytes());
    got.sort();
    due.sort();
    assert_eq!(got, due);
}

// === the same in another form ===

/// A `google.protobuf.Struct` in its wire form, or `None` where a number is none that a double holds.
fn structure(node: &Node, turned: bool) -> Option<Vec<u8>> {
    let Node::Map(entries) = node else { return None };
    let mut bytes = Vec::new();
    let mut entries: Vec<_> = entries.iter().collect();
    if turned {
        entries.reverse();
    }
    for (key, node) in entries {
        let entry = [field(1, key.as_bytes()), field(2, &value(node, turned)?)].concat();
        bytes.extend(field(1, &entry));
    }
    Some(bytes)
}

fn value(node: &Node, turned: bool) -> Option<Vec<u8>> {
    Some(match node {
        Node::Null => vec![0x08, 0],
        Node::Bool(value) => vec![0x20, u8::from(*value)],
        Node::Number(text) => {
            let number = match text.strip_prefix("0x") {
                Some(bits) => f64::from_bits(u64::from_str_radix(bits, 16).ok()?),
                None => text.parse().ok().filter(|_| text.len() < 16)?,
            };
            [&[0x11], &number.to_le_bytes()[..]].concat()
        }
        Node::Text(text) => field(3, text.as_bytes()),
        Node::List(items) => {
            let items: Option<Vec<Vec<u8>>> = items.iter().map(|item| Some(field(1, &value(item, turned)?))).collect();
            field(6, &items?.concat())
        }
        Node::Map(_) => field(5, &structure(node, turned)?),
    })
}

fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut field = vec![number << 3 | 2];
    let mut length = bytes.len();
    while length >= 0x80 {
        field.push(0x80 | u8::try_from(length & 0x7f).unwrap());
        length >>= 7;
    }
    field.push(u8::try_from(length).unwrap());
    field.extend(bytes);
    field
}

#[test]
fn a_struct_has_the_problems_of_its_json() {
    let (mut same, mut left_out) = (0, Vec::new());
    for case in cases() {
        // The size of a text says nothing about that of its message.
        let sized = case.expect.iter().any(|line| line.contains(" bytes"));
        let node = serde_json::from_str::<Node>(&case.text).ok().filter(|_| case.text.len() <= 400_000 || !sized);
        let Some(bytes) = node
            .as_ref()
            .and_then(|node| structure(node, false))
            .filter(|bytes| (1..=MAX_BYTES).contains(&bytes.len()))
        else {
            left_out.push(case.place);
            continue;
        };
        assert_eq!(judge(&bytes), judge(case.text.as_bytes()), "{}", case.place);
        same += 1;
    }
    println!("{same} as a Struct; {} left out: no JSON, no map, no double, or too long", left_out.len());
    assert!(same > 1_000 && left_out.len() < 80, "{left_out:?}");
}

/// A map has no order: what is said is the same, if not in the same line, however it was written.
#[test]
fn the_order_of_a_map_changes_nothing() {
    let mut differ = Vec::new();
    for case in cases() {
        let Some(node) = serde_json::from_str::<Node>(&case.text).ok() else { continue };
        let repeated = case.expect.iter().any(|line| line.contains("more than once"));
        let Some((bytes, turned)) = structure(&node, false).zip(structure(&node, true)).filter(|_| !repeated) else {
            continue;
        };
        let sorted = |bytes: &[u8]| {
            let mut lines = judge(bytes);
            lines.sort();
            lines
        };
        if sorted(&bytes) != sorted(&turned) {
            differ.push(format!("{}: {:?} or {:?}", case.place, judge(&bytes), judge(&turned)));
        }
        let print = |bytes: &[u8]| Plan::from_bytes(bytes).0.ready().map(|plan| plan.fingerprint());
        if print(&bytes) != print(&turned) {
            differ.push(format!("{}: the fingerprint", case.place));
        }
    }
    assert!(differ.is_empty(), "{differ:#?}");
}

/// On a cold proxy the module takes each of them, stays inert, and logs what is wrong.
#[test]
fn the_built_module_says_the_same_and_never_traps() {
    let module = Module::load(module()).unwrap();
    for case in cases().iter().filter(|case| case.text.len() < 20_000) {
        let mut host = Host::new(&module).unwrap_or_else(|trap| panic!("{trap}"));
        let taken =
            host.configure("tidegate", case.text.as_bytes()).unwrap_or_else(|trap| panic!("{}: {trap}", case.place));
        assert!(taken, "{}", case.place);
        let log: Vec<&str> = host.logs().iter().map(|(_, line)| line.as_str()).collect();
        for line in case.expect.iter().filter(|line| *line != "ok").take(50) {
            let (_, message) = line.split_once(' ').unwrap();
            assert!(log.iter().any(|line| line.contains(message)), "{}: {message}: {log:#?}", case.place);
        }
    }
}

/// Bytes that are no text at all.
#[test]
fn bytes_that_are_no_text_are_told_what_they_are() {
    for (bytes, due) in [
        (&b"\xff"[..], "config: is not JSON: expected value at line 1 column 1"),
        (b"\0\0\0\0", "config: is not JSON: expected value at line 1 column 1"),
        (
            b"{\"version\": 1, \"revision\": \"\xff\"}",
            "config: is not JSON: invalid unicode code point at line 1 column 29",
        ),
        (
            b"\x0a\xff\xff",
            "config: is neither JSON nor a google.protobuf.Struct: send it as JSON in a google.protobuf.StringValue",
        ),
    ] {
        assert_eq!(judge(bytes), [format!("error {due}")], "{}", bytes.escape_ascii());
    }
}
