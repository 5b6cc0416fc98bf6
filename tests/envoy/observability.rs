//! Holds dashboard, rules and templates to what they speak of: the metrics of the code, and a real Prometheus that
//! looks at real Envoys.
//!
//! Expressions are taken out of their files as they stand; only variables are given values, and long times short ones.
//! Never repeats an expression: what is asked is that each of them parses, names what exists, and answers.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test stops where it fails; a steady load has to wait"
)]

mod templates;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use kit::envoy::{Envoy, Pushed, repository};
use kit::http::Request;
use kit::prometheus::{Prometheus, promtool};
use kit::scene::Scene;
use kit::scrape::Scrape;
use serde_json::{Value, json};
use tidegate_proxy::metrics::catalogue::{self, Kind, Tag};

/// Where the alerts say what to do: their page, in this project's home.
const PAGE: &str = concat!(env!("CARGO_PKG_REPOSITORY"), "/blob/main/envoy/observability/README.md");

/// Envoy's own metrics that are spoken of.
const ENVOYS: [&str; 7] = [
    "envoy_extension_config_discovery_http_filter_tidegate_config_fail",
    "envoy_extension_config_discovery_http_filter_tidegate_update_attempt",
    "envoy_extension_config_discovery_http_filter_tidegate_update_rejected",
    "envoy_extension_config_discovery_http_filter_tidegate_update_success",
    "envoy_wasm_tidegate_vm_reload_backoff",
    "envoy_wasm_tidegate_vm_reload_failure",
    "envoy_wasm_tidegate_vm_reload_success",
];

/// What `tidegate judge` and `tidegate steer` tell: neither runs here.
const FLEETS: [&str; 10] = [
    "tidegate_judge_bits",
    "tidegate_judge_blind",
    "tidegate_judge_current_proxies",
    "tidegate_judge_phase",
    "tidegate_judge_proxies",
    "tidegate_judge_ready",
    "tidegate_steer_applies",
    "tidegate_steer_blind",
    "tidegate_steer_failed_total",
    "tidegate_steer_leading",
];

/// What a test cannot bring about, and so may say nothing.
const SILENT: [(&str, &str); 3] = [
    ("TidegateReloaded", "no test makes the module crash"),
    ("TidegateErrors", "Envoy changes all headers that it is asked to"),
    ("Forged headers and errors, B", "the same; and whether a count waits for a tick is chance"),
];

// === the files ===

fn folder() -> PathBuf {
    repository().join("envoy/observability")
}

fn text(file: &str) -> String {
    fs::read_to_string(folder().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap()
}

fn dashboard() -> Value {
    serde_json::from_str(&text("tidegate.json")).unwrap()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// All panels, also those in a row that is folded.
fn panels(dashboard: &Value) -> impl Iterator<Item = &Value> {
    list(&dashboard["panels"]).iter().flat_map(|panel| std::iter::once(panel).chain(list(&panel["panels"])))
}

/// All rules, and those of them that are alerts.
fn rules() -> Vec<Value> {
    list(&yaml(&text("rules.yaml"))["groups"]).iter().flat_map(|group| list(&group["rules"]).to_vec()).collect()
}

/// The documents of a file.
fn documents(file: &str) -> Vec<Value> {
    text(file).split("\n---\n").map(yaml).collect()
}

/// One expression, by its place.
#[derive(Debug)]
struct Expression {
    name: String,
    text: String,
}

fn of_the_dashboard() -> Vec<Expression> {
    let dashboard = dashboard();
    let mut found = Vec::new();
    for panel in panels(&dashboard) {
        for target in list(&panel["targets"]) {
            let name = format!("{}, {}", word(&panel["title"]), word(&target["refId"]));
            found.push(Expression { name, text: word(&target["expr"]).to_owned() });
        }
    }
    for note in list(&dashboard["annotations"]["list"]) {
        let name = format!("annotation {}", word(&note["name"]));
        found.push(Expression { name, text: word(&note["expr"]).to_owned() });
    }
    found
}

fn of_the_rules() -> Vec<Expression> {
    let name = |rule: &Value| word(&rule["record"]).to_owned() + word(&rule["alert"]);
    rules().iter().map(|rule| Expression { name: name(rule), text: word(&rule["expr"]).to_owned() }).collect()
}

fn of_the_templates() -> Vec<Expression> {
    let mut found = Vec::new();
    for template in documents("analysis-template.yaml") {
        for metric in list(&template["spec"]["metrics"]) {
            // Another one asks the judge, and has no expression.
            let Some(query) = metric["provider"]["prometheus"]["query"].as_str().map(str::to_owned) else { continue };
            found.push(Expression { name: format!("analysis {}", word(&metric["name"])), text: query });
        }
    }
    for template in documents("metric-template.yaml") {
        let name = format!("template {}", word(&template["metadata"]["name"]));
        found.push(Expression { name, text: word(&template["spec"]["query"]).to_owned() });
    }
    found
}

fn all_expressions() -> Vec<Expression> {
    let all: Vec<_> = of_the_dashboard().into_iter().chain(of_the_rules()).chain(of_the_templates()).collect();
    assert!(all.len() > 80 && all.iter().all(|one| !one.text.is_empty()), "{all:#?}");
    all
}

/// The names of series in an expression: words outside of quotes that begin as ours, as Envoy's, or hold a colon. Of a
/// pattern for names, the one that it takes where the filter is called `tidegate`.
fn names(expression: &str) -> BTreeSet<String> {
    let mut bare: String = expression.split('"').step_by(2).collect::<Vec<_>>().join(" ");
    for pattern in expression.split("__name__=~\"").skip(1).filter_map(|rest| rest.split('"').next()) {
        bare.push(' ');
        bare.push_str(&pattern.replace("(.+_)?", "").replace("(_.+)?", ""));
    }
    let words = bare.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | ':')));
    let words = words.filter(|word| word.starts_with(|c: char| c.is_ascii_alphabetic()));
    let named = |word: &&str| word.starts_with("tidegate_") || word.starts_with("envoy_") || word.contains(':');
    words.filter(named).map(str::to_owned).collect()
}

#[test]
fn every_name_is_one_of_the_code_of_envoy_or_of_the_rules() {
    let mut known: BTreeSet<String> = ENVOYS.into_iter().chain(FLEETS).map(str::to_owned).collect();
    known.extend(rules().iter().map(|rule| word(&rule["record"]).to_owned()));
    for metric in catalogue::ALL {
        let family = metric.family();
        match metric.kind {
            Kind::Histogram => known.extend(["_bucket", "_sum", "_count"].map(|end| format!("{family}{end}"))),
            Kind::Counter | Kind::Gauge => _ = known.insert(family),
        }
    }
    let mut used = BTreeSet::new();
    for expression in all_expressions() {
        let names = names(&expression.text);
        assert!(!names.is_empty(), "{expression:?}");
        let unknown: Vec<_> = names.difference(&known).collect();
        assert!(unknown.is_empty(), "{}: {unknown:?}", expression.name);
        used.extend(names);
    }
    // Whatever is counted can be seen somewhere.
    for metric in catalogue::ALL {
        assert!(used.iter().any(|name| name.starts_with(&metric.family())), "nothing shows {}", metric.family());
    }
    assert!(ENVOYS.iter().chain(&FLEETS).all(|name| used.contains(*name)), "{used:#?}");
    assert_eq!(names(r#"sum by (flag) (rate(tidegate_x{a="tidegate_y"}[5m:1s])) / job:z:sum"#).len(), 2);
}

/// The labels in an expression: in selectors, and in what is grouped and matched by.
fn labels(expression: &str) -> BTreeSet<String> {
    let bare: String = expression.split('"').step_by(2).collect::<Vec<_>>().join(" ");
    let mut found = BTreeSet::new();
    for (open, close) in [("{", '}'), ("by (", ')'), ("on (", ')'), ("ignoring (", ')'), ("group_left (", ')')] {
        for inner in bare.split(open).skip(1).filter_map(|rest| rest.split(close).next()) {
            let inner = inner.split(',').filter_map(|one| one.split(['=', '!']).next());
            found.extend(inner.map(|label| label.trim().to_owned()).filter(|label| !label.is_empty()));
        }
    }
    found
}

#[test]
fn every_label_is_one_of_the_code_or_of_prometheus() {
    let known: BTreeSet<&str> =
        Tag::ALL.iter().map(|tag| tag.name()).chain(["job", "instance", "le", "type", "__name__"]).collect();
    let mut used = BTreeSet::new();
    for expression in all_expressions() {
        for label in labels(&expression.text) {
            assert!(known.contains(label.as_str()), "{}: {label}", expression.name);
            used.insert(label);
        }
    }
    // Groups are for a judge of the fleet, and what a flag is besides its owner's for people.
    let others = [Tag::Group, Tag::Type, Tag::Stage, Tag::Expires];
    let mut shown = Tag::ALL.iter().filter(|tag| !others.contains(tag));
    assert!(shown.all(|tag| used.contains(tag.name())), "{used:?}");
}

#[test]
fn the_dashboard_is_one() {
    let dashboard = dashboard();
    let declared: BTreeSet<&str> =
        list(&dashboard["templating"]["list"]).iter().map(|variable| word(&variable["name"])).collect();
    assert_eq!(declared, ["datasource", "debt", "flag", "job"].into());
    let mut ids = BTreeSet::new();
    let mut taken = BTreeSet::new();
    for panel in panels(&dashboard) {
        let title = word(&panel["title"]);
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}");
        let at = |field: &str| panel["gridPos"][field].as_u64().unwrap();
        assert!(at("x") + at("w") <= 24, "{title}");
        for x in at("x")..at("x") + at("w") {
            for y in at("y")..at("y") + at("h") {
                assert!(taken.insert((x, y)), "{title} lies on another panel");
            }
        }
        if panel["type"] != "row" {
            assert!(!word(&panel["description"]).is_empty(), "{title}");
            assert!(!list(&panel["targets"]).is_empty(), "{title}");
            assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
        }
    }
    for expression in of_the_dashboard() {
        for used in expression.text.split('$').skip(1) {
            let end = used.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(used.len());
            let used = &used[..end];
            assert!(declared.contains(used) || used == "__rate_interval", "{expression:?}");
        }
    }
    // What the timelines of standings show for each number is what the code means by it.
    for title in ["Standing", "Verdict of the judge"] {
        let timeline = panels(&dashboard).find(|panel| panel["title"] == title).unwrap();
        let shown = &timeline["fieldConfig"]["defaults"]["mappings"][0]["options"];
        for code in 0..4 {
            let phase = tidegate_engine::decide::standing::Phase::of_code(code).unwrap();
            assert_eq!(word(&shown[code.to_string()]["text"]), phase.name().replace('_', " "));
        }
    }
}

#[test]
fn every_alert_says_what_it_is_and_what_to_do() {
    let page = text("README.md");
    for alert in rules().iter().filter(|rule| rule["alert"].is_string()) {
        let name = word(&alert["alert"]);
        let notes = &alert["annotations"];
        assert!(!word(&notes["summary"]).is_empty() && !word(&notes["description"]).is_empty(), "{name}");
        assert!(["critical", "warning", "info"].contains(&word(&alert["labels"]["severity"])), "{name}");
        assert_eq!(word(&notes["runbook_url"]), format!("{PAGE}#{}", name.to_lowercase()));
        assert!(page.contains(&format!("\n### {name}\n")), "the README does not say what to do about {name}");
    }
    let headings = page.lines().filter_map(|line| line.strip_prefix("### "));
    let alerts: BTreeSet<String> = rules().iter().map(|rule| word(&rule["alert"]).to_owned()).collect();
    assert!(headings.clone().count() > 10 && headings.clone().all(|heading| alerts.contains(heading)));
    for file in fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()) {
        let shown = file == "README.md" || page.contains(&format!("`{file}")) || page.contains(&format!("`{file}/`"));
        assert!(shown, "the README does not name {file}");
    }
}

#[test]
fn every_rule_is_tested_and_every_alert_both_ways() {
    let mut said: BTreeMap<String, BTreeSet<bool>> = BTreeMap::new();
    let mut asked = BTreeSet::new();
    for file in ["rules_test.yaml", "rules_week_test.yaml"] {
        for test in list(&yaml(&text(file))["tests"]) {
            for case in list(&test["alert_rule_test"]) {
                let fires = !list(&case["exp_alerts"]).is_empty();
                said.entry(word(&case["alertname"]).to_owned()).or_default().insert(fires);
            }
            asked.extend(list(&test["promql_expr_test"]).iter().flat_map(|case| names(word(&case["expr"]))));
        }
    }
    for rule in rules() {
        if let Some(alert) = rule["alert"].as_str() {
            assert_eq!(said.get(alert), Some(&[false, true].into()), "{alert}");
        } else {
            assert!(asked.contains(word(&rule["record"])), "{}", rule["record"]);
        }
    }
}

#[test]
fn promtool_finds_nothing() {
    for arguments in [
        &["check", "config", "prometheus.yaml"][..],
        &["check", "rules", "rules.yaml"],
        &["test", "rules", "rules_test.yaml", "rules_week_test.yaml"],
    ] {
        let Some(said) = promtool(&folder(), arguments) else { return };
        let all = [said.stdout, said.stderr].concat();
        let all = String::from_utf8_lossy(&all);
        assert!(said.status.success() && all.contains("SUCCESS"), "{arguments:?}: {all}");
    }
}

#[test]
fn the_script_of_the_profile_sends_users() {
    let config = json!({"version": 1, "identity": [{"header": "x-user-id"}],
                        "flags": {"checkout": {"rules": [{"percent": 50, "serve": "on"}]}}});
    let envoy = Scene::new(config.to_string()).start();
    let mut script = Command::new("bash");
    script.arg(folder().join("load.sh")).args(["127.0.0.1", &envoy.port("ingress").to_string(), "200"]);
    let mut script = script.stdin(Stdio::null()).spawn().unwrap();
    let seen = envoy.poll("users of all kinds", || {
        let scrape = Scrape::of(&envoy);
        let count = |name, label| scrape.sum(name, &[label]);
        let decided = ["on", "off"].map(|variant| count("tidegate_decisions_total", ("variant", variant)));
        let sources = ["header", "none"].map(|source| count("tidegate_identities_total", ("source", source)));
        let forged = scrape.sum("tidegate_forged_headers_total", &[]);
        [decided, sources].concat().into_iter().chain([forged]).all(|count| count > 0).then_some(decided)
    });
    script.kill().unwrap();
    script.wait().unwrap();
    println!("{seen:?}");
}

// === a real Prometheus ===

/// Flags that have everything that can happen to one.
fn config() -> Value {
    let two = json!(["v1", "v2"]);
    let ramp = json!([{"at": "2020-01-01T00:00:00Z", "percent": 50}, {"at": "2120-01-01T00:00:00Z", "percent": 100}]);
    let done = json!([{"at": "2020-01-01T00:00:00Z", "percent": 10}, {"at": "2021-01-01T00:00:00Z", "percent": 100}]);
    let errors = json!({"max": "5%", "overBaseline": "2%"});
    json!({"version": 1, "revision": "2026-11-26.1", "identity": [{"header": "x-user-id"}], "flags": {
        "checkout": {"route": {"header": "x-upstream-version"}, "variants": two, "baseline": "v1", "guard": {"errors": errors},
                     "rules": [{"steps": ramp, "serve": "v2"}]},
        // Drawn as the one before, so that it sees the same failures.
        "held": {"salt": "checkout", "guard": {"errors": errors, "action": "hold"}, "rules": [{"steps": ramp, "serve": "on"}]},
        "limited": {"variants": ["off", {"name": "on", "limit": {"requests": "5/s"}}], "baseline": "off",
                    "rules": [{"percent": 50, "serve": "on"}]},
        "lost": {"route": {"header": "x-third"}, "variants": ["v1", "v3"], "baseline": "v1", "rescue": "1s",
                 "rules": [{"percent": 10, "serve": "v3"}]},
        "done": {"rules": [{"steps": done, "serve": "on"}]},
        "paused": {"kill": true, "rules": [{"serve": "on"}]},
        "nowhere": {"match": {"paths": ["/nowhere"]}, "rules": [{"percent": 10, "serve": "on"}]},
    }})
}

/// A config of so many flags that its series come to their limit.
fn huge() -> Value {
    let flag = |n: u32| (format!("flag-{n:03}"), json!({"metrics": "all", "rules": [{"percent": 50, "serve": "on"}]}));
    let flags: serde_json::Map<String, Value> = (0..400).map(flag).collect();
    json!({"version": 1, "revision": "huge", "identity": [{"header": "x-user-id"}], "flags": flags})
}

/// A third version has a route by another header, and a cluster, and is not there.
fn with_a_lost_version(bootstrap: &mut Value) {
    let listeners = bootstrap["static_resources"]["listeners"].as_array_mut().unwrap();
    listeners.retain(|listener| listener["name"] != "upstream-v3");
    let manager = &mut listeners[0]["filter_chains"][0]["filters"][0]["typed_config"];
    let routes = manager["route_config"]["virtual_hosts"][0]["routes"].as_array_mut().unwrap();
    let third = routes.iter_mut().find(|route| route["route"]["cluster"] == "v3").unwrap();
    third["match"]["headers"][0]["name"] = "x-third".into();
    routes.sort_by_key(|route| route["route"]["cluster"] != "v3");
}

/// Sends users of all kinds while the work goes on.
fn under_load(envoys: &[&Envoy], work: impl FnOnce()) {
    struct Stopping<'s>(&'s AtomicBool);
    impl Drop for Stopping<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for (part, envoy) in
            envoys.iter().enumerate().flat_map(|(place, envoy)| (0..4).map(move |n| (place * 4 + n, envoy)))
        {
            let stop = &stop;
            scope.spawn(move || {
                let mut client = envoy.client();
                for n in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let user = format!("user-{}", (n * 4 + part) * 7_919 % 50_000);
                    let request = Request::get("/");
                    let request = match n % 10 {
                        0..3 => request,
                        3 => request.header("x-user-id", user).header("x-flag-done", "off"),
                        _ => request.header("x-user-id", user),
                    };
                    client.send(&request);
                    thread::sleep(Duration::from_millis(20));
                }
            });
        }
        let _stopping = Stopping(&stop);
        work();
    });
}

/// An expression with values for its variables; where it looks back for long, it looks back for as long as tests last.
fn ready(expression: &str, rate_interval: &str) -> String {
    let mut text = expression.to_owned();
    for (variable, value) in [
        ("$__rate_interval", rate_interval),
        ("$job", "tide.+"),
        ("$flag", "checkout"),
        ("$debt", "5s"),
        ("{{args.job}}", ".+"),
        ("{{args.flag}}", "checkout"),
        ("{{args.variant}}", "v2"),
        ("{{ variables.flag }}", "checkout"),
        ("{{ variables.variant }}", "v2"),
        ("[7d:1h]", "[5s:1s]"),
        ("offset 7d", "offset 5s"),
        ("offset 10m", "offset 1m"),
        ("[10m]", "[1m]"),
        ("[5m]", "[1m]"),
    ] {
        text = text.replace(variable, value);
    }
    text
}

/// Whether it is about what a judge or a steerer tells; promtool has made-up ones.
fn is_of_a_fleet(expression: &Expression) -> bool {
    names(&expression.text).iter().any(|name| FLEETS.contains(&name.as_str()))
}

/// Whether it says anything, which is a number.
fn answers(prometheus: &Prometheus, expression: &Expression, rate_interval: &str) -> bool {
    let text = ready(&expression.text, rate_interval);
    let series = prometheus.query(&text).unwrap_or_else(|error| panic!("{}: {error}\n{text}", expression.name));
    series.iter().any(|one| one["value"][1] != "NaN")
}

#[test]
fn every_expression_answers_and_a_rollback_is_seen_within_five_seconds() {
    let three = ["v1", "v2", "v3"];
    let main =
        Scene::new(config().to_string()).versions(&three).edit(with_a_lost_version).concurrency(2).faults().start();
    let other = Scene::new(huge().to_string()).start();
    let inert = Scene::new("{}").start();
    let absent = Scene::new(config().to_string()).module("nowhere.wasm").start();

    let targets: Vec<String> =
        [&main, &other, &inert, &absent].iter().map(|envoy| format!("127.0.0.1:{}", envoy.admin_port())).collect();
    let mut settings = yaml(&text("prometheus.yaml"));
    settings["global"]["evaluation_interval"] = "1s".into();
    settings["scrape_configs"][0]["static_configs"][0]["targets"] = json!(targets);
    let Some(prometheus) = Prometheus::start(&[
        ("prometheus.yaml", &settings.to_string()),
        ("rules.yaml", &ready(&text("rules.yaml"), "")),
    ]) else {
        return;
    };
    under_load(&[&main, &other], || {
        let counts = || prometheus.query("sum(tidegate_decisions_total{flag=\"checkout\"})").unwrap();
        prometheus.poll("counts", || (!counts().is_empty()).then_some(()));
        thread::sleep(Duration::from_secs(5));

        main.set_runtime("slow.v2", 10);
        main.set_runtime("fail.v2", 50);
        assert_eq!(other.push("{}"), Pushed::Rejected);
        main.poll("the rollback", || {
            (main.stat("wasmcustom.tidegate.guard.flag=.=checkout;.;standing") == Some(3)).then_some(())
        });
        let begin = Instant::now();
        for name in ["annotation Rollbacks", "Flags rolled back, A", "Standing, A", "Proxies that rolled back, A"] {
            let expression = of_the_dashboard().into_iter().find(|one| one.name == name).unwrap();
            prometheus.poll(name, || {
                let series = prometheus.query(&ready(&expression.text, "4s")).unwrap();
                let value = |one: &Value| word(&one["value"][1]).parse::<f64>().unwrap();
                let due = if name.starts_with("Standing") { 3.0 } else { 0.1 };
                series.iter().any(|one| value(one) >= due).then_some(())
            });
            println!("{name}: {:?} after the rollback", begin.elapsed());
        }
        assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
        prometheus.poll("the alert", || {
            prometheus.alerts().unwrap().contains(&"TidegateRolledBack".to_owned()).then_some(())
        });

        for (variable, values) in variables(&prometheus) {
            assert!(!values.is_empty(), "{variable} has no value");
        }
        let mut waiting = all_expressions();
        waiting
            .retain(|expression| SILENT.iter().all(|(name, _)| *name != expression.name) && !is_of_a_fleet(expression));
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_mins(1) && !waiting.is_empty() {
            waiting.retain(|expression| !answers(&prometheus, expression, "1m"));
            thread::sleep(Duration::from_millis(500));
        }
        let mute: Vec<_> = waiting.iter().map(|one| format!("{}:\n{}", one.name, ready(&one.text, "1m"))).collect();
        assert!(mute.is_empty(), "{} expressions say nothing:\n{}", mute.len(), mute.join("\n"));
        let silent = SILENT.len() + all_expressions().iter().filter(|expression| is_of_a_fleet(expression)).count();
        println!("all {} expressions answer after {:?}", all_expressions().len() - silent, begin.elapsed());
        // Those of which nothing can be asked here are at least understood.
        for expression in all_expressions() {
            answers(&prometheus, &expression, "1m");
        }
    });
}

/// What the dashboard's variables offer.
fn variables(prometheus: &Prometheus) -> BTreeMap<String, Vec<String>> {
    let mut found = BTreeMap::new();
    for variable in list(&dashboard()["templating"]["list"]).iter().filter(|variable| variable["type"] == "query") {
        let query = word(&variable["query"]["query"]);
        assert_eq!(variable["definition"], query);
        let inner = query.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')')).unwrap();
        let (selector, label) = inner.rsplit_once(", ").unwrap();
        let values = prometheus.label_values(&ready(selector, ""), label).unwrap();
        found.insert(word(&variable["name"]).to_owned(), values);
    }
    found
}
