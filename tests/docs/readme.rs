//! Holds the README to what it says: its configs are read, its commands run, its tables and numbers are the code's.
//!
//! A block whose kind no test knows is an error, so that nothing is shown that was not tried. `TIDEGATE_BLESS=1` writes
//! the reference tables anew from `src/engine/config/schema/reference.rs`; every other difference is for a person to settle.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a page that is not as it should be stops its test, with a message"
)]

mod shell;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kit::envoy::{ENVOY, Envoy, Pushed, module, repository};
use kit::http::Request;
use kit::scene::Scene;
use kit::{past, stage};
use serde_json::{Value, json};
use shell::{Shell, compare, run};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;
use tidegate_engine::config::schema::reference::{SECTIONS, Section};
use tidegate_engine::config::{Config, Node};
use tidegate_engine::decide::standing::Standing;
use tidegate_engine::decide::{Reason, decide};
use tidegate_engine::output::effect::{self, Effect};
use tidegate_engine::plan::{Compiled, Plan};
use tidegate_engine::problem::Problems;
use tidegate_engine::value::hash::Salt;
use tidegate_engine::value::time::Timestamp;
use tidegate_proxy::metrics::catalogue;

const PAGE: &str = include_str!("../../README.md");

// === the page and its parts ===

/// A fenced block: what stands behind the fence, and the lines inside.
#[derive(Debug)]
struct Block {
    kind: &'static str,
    text: String,
}

fn blocks() -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for line in PAGE.lines() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(kind), None) => open = Some(Block { kind, text: String::new() }),
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (None, Some(block)) => writeln!(block.text, "{line}").unwrap(),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block has no end");
    blocks
}

fn blocks_of(kind: &str) -> Vec<String> {
    let found: Vec<String> = blocks().into_iter().filter(|block| block.kind == kind).map(|block| block.text).collect();
    assert!(!found.is_empty(), "the page has no {kind}");
    found
}

/// The cells of the table with this head, row by row.
fn table(head: &str) -> Vec<Vec<String>> {
    let rows = PAGE.lines().skip_while(|line| *line != head).skip(2).take_while(|line| line.starts_with('|'));
    let rows: Vec<Vec<String>> = rows
        .map(|row| row.trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`').to_owned()).collect())
        .collect();
    assert!(!rows.is_empty(), "there is no table {head}");
    rows
}

fn compile(text: &str) -> (Compiled, Problems) {
    Plan::from_bytes(text.as_bytes())
}

#[track_caller]
fn plan(config: &Value) -> Plan {
    let (compiled, problems) = compile(&config.to_string());
    compiled.ready().unwrap_or_else(|| panic!("{problems}"))
}

#[test]
fn every_block_is_of_a_kind_that_is_tried() {
    for Block { kind, text } in blocks() {
        match kind {
            // The last one is tried by tests/rollback.rs.
            "console" | "sh" | "yaml" | "yaml wrong" | "yaml envoy" | "yaml stats" => {}
            "text" => {
                let told = text.lines().last().is_some_and(|line| line.ends_with(" problems"));
                let picture = ["client ---", "= fmix64("].iter().any(|part| text.contains(part));
                assert!(told || picture, "an untried block:\n{text}");
            }
            other => panic!("{other:?} is no kind of block that is tried:\n{text}"),
        }
    }
}

#[test]
fn every_link_leads_somewhere() {
    let anchor = |heading: &str| -> String {
        let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-'));
        kept.collect::<String>().trim().to_lowercase().replace(' ', "-")
    };
    let heading = |line: &str| line.starts_with('#').then(|| anchor(line.trim_start_matches('#')));
    let anchors: Vec<String> = PAGE.lines().filter_map(heading).collect();
    for (_, rest) in PAGE.match_indices("](").map(|(at, _)| PAGE.split_at(at + 2)) {
        let target = rest.split(')').next().unwrap();
        if let Some(wanted) = target.strip_prefix('#') {
            assert!(anchors.iter().any(|anchor| anchor == wanted), "no heading #{wanted} among {anchors:?}");
        } else if !target.starts_with("https://") {
            assert!(repository().join(target).exists(), "{target} does not exist");
        }
    }
}

// === configs ===

#[test]
fn every_config_is_read_without_a_word() {
    for text in blocks_of("yaml") {
        let mut problems = Problems::default();
        let document: Value = serde_saphyr::from_str(&text).unwrap();
        if let Some(value) = document.pointer("/typed_config/config/configuration/value") {
            problems = compile(value.as_str().unwrap()).1;
        } else {
            let node: Node = serde_saphyr::from_str(&text).unwrap();
            let config = Config::from_node(&node, &mut problems);
            assert!(Plan::compile(&config, &mut problems).ready().is_some(), "{problems}");
        }
        assert_eq!(problems, Problems::default(), "{text}");
    }
}

#[test]
fn the_config_of_the_commands_is_the_one_above() {
    let file = fs::read_to_string(repository().join("tests/cli/configs/shop.yaml")).unwrap();
    assert_eq!(file, blocks_of("yaml")[0]);
}

#[test]
fn a_wrong_config_is_answered_as_shown() {
    let problems = compile(&wrong_config()).1;
    assert_eq!(format!("{problems}\n"), answer_to_wrong_config());
    let [unknown] = problems.unknown_fields() else { panic!("{:?}", problems.unknown_fields()) };
    assert_eq!(unknown.path(), "flags.checkout.rules[0].owner");
}

/// The wrong config as JSON, which is what Envoy is sent.
fn wrong_config() -> String {
    let document: Value = serde_saphyr::from_str(&blocks_of("yaml wrong")[0]).unwrap();
    document.to_string()
}

fn answer_to_wrong_config() -> String {
    let all = blocks();
    let wrong = all.iter().position(|block| block.kind == "yaml wrong").unwrap();
    all[wrong + 1].text.clone()
}

#[test]
fn a_wrong_config_never_stops_traffic() {
    let good = json!({"version": 1, "revision": "good", "flags": {
        "checkout": {"route": {"header": "x-upstream-version"}, "variants": ["v1", "v2"], "baseline": "v1",
                     "rules": [{"serve": "v2"}]}}});
    let forged = Request::get("/").header("X-Flag-Checkout", "v2").header("x-upstream-version", "v2");
    let stat = |envoy: &Envoy, name: &str| envoy.stat(&format!("wasmcustom.tidegate.config.{name}"));

    let warm = Scene::new(good.to_string()).start();
    assert_eq!(warm.push(&wrong_config()), Pushed::Rejected);
    let got = warm.client().send(&forged).upstream();
    assert_eq!((got.version.as_str(), got.header("x-flag-checkout")), ("v2", Some("v2")));
    assert_eq!((stat(&warm, "state"), stat(&warm, "refused"), stat(&warm, "problems")), (Some(1), Some(1), Some(4)));
    assert_eq!(stat(&warm, "revision=.=good;.;info"), Some(1));

    // The routing header's name is in no part of the wrong config, so that nothing says it is ours.
    let cold = Scene::new(wrong_config()).start();
    let got = cold.client().send(&Request::get("/").header("X-Flag-Checkout", "v2")).upstream();
    assert_eq!((got.version.as_str(), got.header("x-flag-checkout")), ("v1", None));
    assert_eq!((stat(&cold, "state"), stat(&cold, "problems")), (Some(0), Some(4)));
    for line in answer_to_wrong_config().lines() {
        assert!(warm.log().contains(line) && cold.log().contains(line), "{line}");
    }
}

#[test]
fn the_labels_are_those_of_the_code() {
    let due: Value =
        catalogue::Tag::ALL.iter().map(|tag| json!({"tag_name": tag.name(), "regex": tag.pattern()})).collect();
    let shown: Value = serde_saphyr::from_str(&blocks_of("yaml stats")[0]).unwrap();
    assert_eq!(shown["stats_config"]["stats_tags"], due);
    let file = |name: &str| fs::read_to_string(repository().join(name)).unwrap();
    let scene: Value = serde_saphyr::from_str(&file("envoy/envoy.yaml")).unwrap();
    assert_eq!(scene["stats_config"]["stats_tags"], due);
    let names: Vec<&str> = catalogue::Tag::ALL.iter().map(|tag| tag.name()).collect();
    assert!(file("envoy/istio/README.md").contains(&format!("extraStatTags: {}\n", names.join(","))));
}

#[test]
fn the_metrics_are_those_of_the_code() {
    let labels = |metric: &catalogue::Metric| metric.tags.iter().map(|tag| tag.name()).collect::<Vec<_>>().join("`, `");
    let due: Vec<Vec<String>> = catalogue::ALL
        .iter()
        .map(|metric| {
            let kind = format!("{:?}", metric.kind).to_lowercase();
            vec![metric.family(), kind, labels(metric), metric.about.to_owned()]
        })
        .collect();
    assert_eq!(table("| metric | kind | labels | what it says |"), due);
}

#[test]
fn the_filter_runs_in_an_envoy_as_shown_with_text_and_with_a_struct() {
    let shown = blocks_of("yaml").into_iter().find(|text| text.contains("typed_config")).unwrap();
    let mut filter: Value = serde_saphyr::from_str(&shown).unwrap();
    *filter.pointer_mut("/typed_config/config/vm_config/code/local/filename").unwrap() = json!(module());
    let mut with_struct = filter.clone();
    let configuration = with_struct.pointer_mut("/typed_config/config/configuration").unwrap();
    let value: Value = serde_json::from_str(configuration["value"].as_str().unwrap()).unwrap();
    *configuration = json!({"@type": "type.googleapis.com/google.protobuf.Struct", "value": value});
    for filter in [filter, with_struct] {
        let envoy = Scene::bare().filter(filter).start();
        let got = envoy.client().send(&Request::get("/").header("x-user-id", "ana").header("x_flag_new_nav", "off"));
        let got = got.upstream();
        assert_eq!(got.header("x-flag-new-nav"), Some("on"));
        assert_eq!(got.header("x_flag_new_nav"), None);
    }
}

// === commands ===

#[test]
fn every_command_does_what_is_shown() {
    let mut shell = Shell::default();
    for block in blocks_of("console") {
        let mut lines = block.lines().peekable();
        while let Some(line) = lines.next() {
            let command = line.strip_prefix("$ ").unwrap_or_else(|| panic!("no command begins with {line}"));
            let mut shown = Vec::new();
            while let Some(line) = lines.next_if(|line| !line.starts_with("$ ")) {
                shown.push(line);
            }
            let output = shell.run(command);
            // What only narrates is not shown.
            if !shown.is_empty() || command.contains('|') {
                compare(command, &shown, &output);
            }
        }
    }
    assert!(!shell.is_running(), "the page starts an Envoy and does not stop it");
}

#[test]
fn every_command_names_what_is_there() {
    let makefile = fs::read_to_string(repository().join("Makefile")).unwrap();
    let shown = blocks_of("console").concat().replace("\n$ ", "\n") + &blocks_of("sh").concat();
    for command in shown.lines().flat_map(|line| line.trim_start_matches("$ ").split(" && ")) {
        let words: Vec<&str> = command.split_whitespace().collect();
        if let ["make", target, ..] = words[..] {
            assert!(makefile.contains(&format!("\n{target}: ")), "there is no {command}");
        }
        for pair in words.windows(2).filter(|pair| pair[0] == "-f") {
            assert!(repository().join(pair[1]).is_file(), "{command}: there is no {}", pair[1]);
        }
    }
    assert!(makefile.contains(&format!("ENVOY_VERSION := {ENVOY}\n")), "tests and demo run different Envoys");
}

#[test]
fn compose_mounts_files_that_exist_and_opens_three_ports() {
    let folder = repository().join("envoy");
    let compose: Value =
        serde_saphyr::from_str(&fs::read_to_string(folder.join("docker-compose.yaml")).unwrap()).unwrap();
    let service = &compose["services"]["envoy"];
    assert_eq!(service["image"], format!("envoyproxy/envoy:v{ENVOY}"));
    let mut mounted = Vec::new();
    for volume in service["volumes"].as_array().unwrap() {
        let short = volume.as_str().and_then(|text| text.split_once(':'));
        let source = short.map_or_else(|| volume["source"].as_str().unwrap(), |(source, _)| source);
        let target = short.map_or_else(|| volume["target"].as_str().unwrap(), |(_, target)| target);
        // The module is built before, and where is cargo's to say.
        let built = Path::new(source) == Path::new("..").join("target").join("tidegate.wasm");
        assert!(built || folder.join(source).exists(), "{source} does not exist");
        mounted.push(Path::new(target.trim_end_matches(":ro")).strip_prefix("/tidegate").unwrap().to_owned());
    }
    for needed in ["envoy.yaml", "upstream.lua", "configs", "tidegate.wasm"] {
        assert!(mounted.iter().any(|target| target == Path::new(needed)), "{needed} is not mounted");
    }
    let script = service["command"][0].as_str().unwrap().replace("$$", "$");
    let scene = script.lines().find(|line| line.starts_with("scene=")).unwrap();
    let scene = run(Command::new("sh").args(["-c", &format!("{scene}; printf %s \"$scene\"")]).current_dir(folder));
    assert_eq!(scene.matches("0.0.0.0").count(), 3);
    for open in [10_000, 10_003, 9_901] {
        let open = format!("{{address: 0.0.0.0, port_value: {open}}}");
        assert!(scene.contains(&open), "{open}");
    }
    serde_saphyr::from_str::<Value>(&scene).unwrap();
}

// === tables ===

const BEGIN: &str = "<!-- reference: written by the tests, from src/engine/config/schema/reference.rs -->\n";
const END: &str = "<!-- /reference -->";

#[test]
fn the_reference_is_that_of_the_code() {
    let (before, rest) = PAGE.split_once(BEGIN).unwrap();
    let (shown, behind) = rest.split_once(END).unwrap();
    let due: String = SECTIONS.iter().map(|section| reference(section)).collect();
    if std::env::var_os("TIDEGATE_BLESS").is_some() {
        fs::write(repository().join("README.md"), [before, BEGIN, &due, END, behind].concat()).unwrap();
    } else {
        assert_eq!(shown, due, "write it anew: TIDEGATE_BLESS=1 cargo test -p tidegate --test docs");
    }
}

fn reference(section: &Section) -> String {
    // Where no field has anything to say about its absence, there is no column for it.
    let absence = section.fields.iter().any(|field| !field.without.is_empty());
    let mut text = format!("\n### {}\n\n", section.title);
    text += if absence {
        "| field | takes | without it | meaning |\n| --- | --- | --- | --- |\n"
    } else {
        "| field | takes | meaning |\n| --- | --- | --- |\n"
    };
    for field in section.fields {
        let without = if absence { format!("| {} ", field.without) } else { String::new() };
        let row = format!("| `{}` | {} {without}| {} |\n", field.name, field.takes(), field.about);
        text += &row.replace("|  |", "| |");
    }
    if std::ptr::eq(section, SECTIONS[SECTIONS.len() - 1]) { text + "\n" } else { text }
}

#[test]
fn the_reasons_are_those_of_the_code() {
    let shown = table("| reason | OpenFeature | when |");
    let shown: Vec<[&str; 2]> = shown.iter().map(|row| [row[0].as_str(), row[1].as_str()]).collect();
    assert_eq!(shown, Reason::ALL.map(|reason| [reason.code().to_owned(), reason.open_feature()]));
}

#[test]
fn the_hashes_are_those_of_the_code() {
    for row in table("| salt | identity | h |") {
        assert_eq!(format!("{:016x}", Salt::new(&row[0]).point(row[1].as_bytes()).bits()), row[2], "{row:?}");
    }
}

#[test]
fn rules_of_a_flag_share_one_draw() {
    let rules = json!([{"percent": 25, "serve": "a"}, {"percent": 25, "serve": "b"}, {"percent": 40, "serve": "c"}]);
    let flag = json!({"variants": ["none", "a", "b", "c"], "baseline": "none", "rules": rules});
    let plan = plan(&json!({"version": 1, "identity": [{"header": "u"}], "flags": {"f": flag}}));
    let mut counts = std::collections::BTreeMap::new();
    for user in 0..10_000 {
        let served = served(&plan, &[("u", user.to_string().as_str())]);
        *counts.entry(served[0].0.clone()).or_insert(0_usize) += 1;
    }
    let near = |variant: &str, due: usize| counts.get(variant).is_some_and(|count| count.abs_diff(due) < 200);
    assert!(near("a", 2_500) && !counts.contains_key("b") && near("c", 1_500), "{counts:?}");
}

/// The variant and the reason of every flag for a request with these headers.
fn served(plan: &Plan, headers: &[(&str, &str)]) -> Vec<(String, Reason)> {
    let headers = headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    let request = tidegate_engine::request::Request::new(plan.inputs(), headers, std::iter::empty());
    let decisions = decide(plan, &request, &Standing::NONE, Timestamp::from_millis(0));
    decisions.list().iter().map(|decision| (decision.variant().name().to_string(), decision.reason())).collect()
}

// === limits ===

/// The config that has just so many of what a row names.
fn at_limit(row: &str, n: usize) -> String {
    let flag = |flag: Value| json!({"version": 1, "flags": {"f": flag}});
    let rule = |rule: Value| flag(json!({"rules": [rule]}));
    let when = |when: Value| rule(json!({"when": when, "serve": "on"}));
    let numbered = |prefix: &str| -> Vec<String> { (0..n).map(|i| format!("{prefix}{i}")).collect() };
    let named = |value: &Value| -> Value { numbered("n").into_iter().map(|name| (name, value.clone())).collect() };
    let long = "a".repeat(n);
    let one = json!({"method": "GET"});
    let (guard, draws) = (json!({"errors": {"max": 5}}), json!({"percent": 1, "serve": "on"}));
    let config = match row {
        "the config" => return r#"{"version": 1}"#.to_owned() + &" ".repeat(n - 14),
        // Six levels lie around a condition and in it.
        "lists and maps inside each other" => when((6..n).fold(one, |inside, _| json!({"not": inside}))),
        "flags" => json!({"version": 1, "flags": named(&json!({}))}),
        "variants of a flag" => flag(json!({"variants": numbered("v"), "baseline": "v0"})),
        "rules of a flag" => flag(json!({"rules": vec![json!({"percent": 1, "serve": "on"}); n]})),
        "steps of a rule" => {
            let step = |i| json!({"at": format!("2026-12-01T09:{:02}:{:02}Z", i / 60, i % 60), "percent": 1});
            rule(json!({"steps": (0..n).map(step).collect::<Value>(), "serve": "on"}))
        }
        "parts of a weighted serve" => rule(json!({"serve": vec![json!({"variant": "on", "weight": 1}); n]})),
        "a weight" => rule(json!({"serve": [{"variant": "on", "weight": n}]})),
        "further headers of a variant" => {
            flag(json!({"variants": [{"name": "v", "headers": named(&json!("x"))}], "baseline": "v"}))
        }
        "hosts, paths, methods of a flag, each" => {
            flag(json!({"match": {"hosts": numbered("h"), "paths": numbered("/"), "methods": numbered("M")}}))
        }
        "segments" => json!({"version": 1, "segments": named(&one)}),
        "segments behind a segment, each naming the next" => {
            let chain = (0..n).map(|i| (format!("s{i}"), json!({"segment": format!("s{}", i + 1)})));
            json!({"version": 1, "segments": chain.chain([(format!("s{n}"), one)]).collect::<Value>()})
        }
        "conditions in one all or any" => when(json!({"all": [{"any": vec![one; n]}]})),
        "values of one in or cidr" => when(json!({"header": "h", "in": (0..n).collect::<Value>()})),
        "sources in a list" => json!({"version": 1, "identity": vec![json!({"peer": true}); n]}),
        "names in the path of a claim" => when(json!({"claim": numbered("c"), "exists": true})),
        "name of a flag, variant or segment" => json!({
            "version": 1,
            "segments": {long.clone(): one},
            "flags": {long.clone(): {"variants": [long], "baseline": long}},
        }),
        "name of a header, cookie or parameter; value of a header" => json!({
            "version": 1,
            "identity": [{"header": long}, {"cookie": long}, {"query": long}],
            "flags": {"f": {"header": format!("x{}", "b".repeat(n - 1)),
                            "variants": [{"name": "v", "value": long}], "baseline": "v"}},
        }),
        "value in a condition; path in paths" => flag(json!({
            "match": {"paths": [format!("/{}", "a".repeat(n - 1))]},
            "rules": [{"when": {"header": "h", "equals": long}, "serve": "on"}],
        })),
        "guards" => json!({"version": 1, "flags": named(&json!({"guard": guard, "rules": [draws]}))}),
        "rules that draw in a flag with a guard" => flag(json!({"guard": guard, "rules": vec![draws; n]})),
        "variants in them, rule by rule" => {
            let split: Value = numbered("v").into_iter().map(|v| json!({"variant": v, "weight": 1})).collect();
            let variants: Vec<String> = numbered("v").into_iter().chain(["base".to_owned()]).collect();
            flag(json!({"variants": variants, "baseline": "base", "guard": guard, "rules": [{"serve": split}]}))
        }
        "revision, owner, description, salt, rearm" => json!({
            "version": 1, "revision": long,
            "flags": {"f": {"owner": long, "description": long, "salt": long,
                            "rules": [draws], "guard": {"errors": {"max": 5}, "rearm": long}}},
        }),
        "maxAge" => json!({"version": 1, "identity": [{"generate": {"cookie": "c", "maxAge": format!("{n}d")}}]}),
        other => panic!("no test knows the limit of {other:?}"),
    };
    config.to_string()
}

/// `512 KiB`, `1,000 bytes` or `64` as a number.
fn number(cell: &str) -> usize {
    let (digits, unit) = cell.split_once(' ').unwrap_or((cell, ""));
    digits.replace(',', "").parse::<usize>().unwrap() * if unit == "KiB" { 1_024 } else { 1 }
}

#[test]
fn each_limit_of_a_config_is_where_it_is_said_to_be() {
    let rows = table("| what | at most |");
    assert!(rows.len() > 20, "rows have gone missing");
    for row in rows {
        if row[0].starts_with("CPU time") {
            // A sum of prices has no place at which one more is one too many.
            let drawing = |count: usize| {
                let flags: Value =
                    (0..count).map(|n| (format!("f{n}"), json!({"rules": [{"percent": 5, "serve": "on"}]}))).collect();
                compile(&json!({"version": 1, "identity": [{"header": "u"}], "flags": flags}).to_string())
            };
            assert!(drawing(500).0.ready().is_some());
            let over = drawing(1_000).1.to_string();
            assert!(over.contains(&row[1].replace(" µs", "")), "{over}");
            continue;
        }
        let (what, most) = (row[0].replace('`', ""), number(&row[1]));
        let (compiled, problems) = compile(&at_limit(&what, most));
        assert!(compiled.ready().is_some(), "{what}, {most}: {problems}");
        let over = compile(&at_limit(&what, most + 1)).1.to_string();
        let told = if what == "maxAge" { "ten years".to_owned() } else { most.to_string() };
        assert!(over.contains(&told), "{what}, {most} and one more: {over}");
    }
}

#[test]
fn from_four_fifths_of_a_limit_on_there_is_a_warning() {
    // That so many flags make too many series is another matter.
    let warnings = |config: &str| {
        let problems = compile(config).1;
        problems.warnings().iter().filter(|warning| !warning.to_string().contains("series of metrics")).count()
    };
    for (what, from) in [("flags", 800), ("variants of a flag", 52), ("rules of a flag", 80), ("the config", 419_431)] {
        assert_eq!(warnings(&at_limit(what, from - 1)), 0, "{what}");
        assert_eq!(warnings(&at_limit(what, from)), 1, "{what}");
    }
    assert_eq!(warnings(&at_limit("sources in a list", 16)), 0);
}

#[test]
fn each_limit_of_a_request_is_where_it_is_said_to_be() {
    let rows = table("| what | at most | beyond it |");
    let most: Vec<(&str, usize)> = rows.iter().map(|row| (row[0].trim_matches('`'), number(&row[1]))).collect();
    let limit = |begins: &str| {
        let row = most.iter().find(|(what, _)| what.starts_with(begins));
        row.unwrap_or_else(|| panic!("no row {begins}: {most:?}")).1
    };
    let (identity, token, header) = (limit("an identity"), limit("a bearer token"), limit("x-flags"));
    assert_eq!(most.len(), 7, "a row that no test knows: {most:?}");
    let draws = |source: Value| {
        let flag = json!({"rules": [{"serve": [{"variant": "on", "weight": 1}, {"variant": "off", "weight": 1}]}]});
        plan(&json!({"version": 1, "identity": [source], "flags": {"f": flag}}))
    };
    let reason = |plan: &Plan, name, value: &str| served(plan, &[(name, value)])[0].1;

    let plan_of_header = draws(json!({"header": "u"}));
    for (length, due) in [(1, Reason::Split), (identity, Reason::Split), (identity + 1, Reason::NoIdentity)] {
        assert_eq!(reason(&plan_of_header, "u", &"a".repeat(length)), due, "{length}");
    }
    let plan_of_claim = draws(json!({"unverifiedClaim": "sub"}));
    let start = format!("e30.{}.", URL_SAFE_NO_PAD.encode(r#"{"sub": "ana"}"#));
    for (length, due) in [(token, Reason::Split), (token + 1, Reason::NoIdentity)] {
        let value = format!("Bearer {start}{}", "a".repeat(length - start.len()));
        assert_eq!(reason(&plan_of_claim, "authorization", &value), due, "{length}");
    }

    let asks = |when: Value| plan(&json!({"version": 1, "flags": {"f": {"rules": [{"when": when, "serve": "on"}]}}}));
    let holds = |when: Value, name: &str, value: &str| served(&asks(when), &[(name, value)])[0].1 != Reason::Default;
    let value = limit("a value that conditions");
    for (length, due) in [(value, true), (value + 1, false)] {
        assert_eq!(holds(json!({"header": "h", "startsWith": "a"}), "h", &"a".repeat(length)), due, "{length}");
        assert!(holds(json!({"header": "h", "exists": true}), "h", &"a".repeat(length)), "{length}");
    }
    let digits = limit("a value for `number");
    for (length, due) in [(digits, true), (digits + 1, false)] {
        let version = format!("1.2.3+{}", "a".repeat(length - 6));
        assert_eq!(holds(json!({"header": "h", "semver": "^1.2"}), "h", &version), due, "{length}");
    }
    let cookies = limit("cookies, and query");
    for (before, due) in [(cookies - 1, true), (cookies, false)] {
        let pairs = |joined: &str| format!("{}last=1", format!("x=1{joined}").repeat(before));
        assert_eq!(holds(json!({"cookie": "last", "exists": true}), "cookie", &pairs("; ")), due, "{before}");
        assert_eq!(
            holds(json!({"query": "last", "exists": true}), ":path", &format!("/?{}", pairs("&"))),
            due,
            "{before}"
        );
    }

    let flags: Value = (0..200).map(|i| (format!("{}-{i:03}", "f".repeat(40)), json!({}))).collect();
    let plan = plan(&json!({"version": 1, "dictionary": true, "flags": flags}));
    let request = tidegate_engine::request::Request::new(plan.inputs(), std::iter::empty(), std::iter::empty());
    let decisions = decide(&plan, &request, &Standing::NONE, Timestamp::from_millis(0));
    let effects = effect::on_request(&plan, &request, &decisions);
    let written = effects.iter().find_map(|effect| match effect {
        Effect::Dictionary(text) => Some(text.as_str()),
        _ => None,
    });
    let (members, more) = written.unwrap().rsplit_once(", *more=").unwrap();
    assert!(members.len() <= header && header - members.len() < 60, "{}", members.len());
    assert_eq!(members.split(", ").count() + more.parse::<usize>().unwrap(), 200);
}
