//! Runs `tidegate probe` against real Envoys: one that runs the config, and others that do not.
//!
//! What is looked at is what a script would: the exit code, the JSON, the line that says why. Never looks into the
//! command.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on stops, with a message"
)]

use std::fs;
use std::net::TcpListener;
use std::process::Command;

use kit::envoy::Envoy;
use kit::scene::Scene;
use serde_json::{Value, json};

/// A part of the sesame that must be in no output.
const KEY: &str = "a-word-of-our-own";

fn config() -> Value {
    json!({
        "version": 1,
        "revision": "probed",
        "identity": [{"claim": "sub"}, {"header": "x-user-id"}],
        "inspect": {"header": "x-look", "equals": KEY},
        "flags": {
            "by-place": {"identity": [{"address": true}], "rules": [{"percent": 50, "serve": "on"}]},
            "checkout": {
                "route": {"header": "x-upstream-version"},
                "variants": ["v1", "v2"],
                "baseline": "v1",
                "rules": [{"percent": 10, "serve": "v2"}],
            },
            "nav": {"rules": [{"when": {"header": "x-staff", "equals": "1"}, "serve": "on"}]},
            "search": {
                "identity": [{"cookie": "session"}, {"query": "session"}],
                "variants": ["old", "new", "newer"],
                "baseline": "old",
                "rules": [{"percent": 50, "serve": [{"variant": "new", "weight": 1}, {"variant": "newer", "weight": 1}]}],
            },
        },
    })
}

/// What came of a probe.
struct Probed {
    code: i32,
    out: String,
    err: String,
}

impl Probed {
    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {} {}", self.out, self.err))
    }
}

/// Probes what listens at a URL for a config.
fn probe_url(url: &str, config: &Value, options: &[&str]) -> Probed {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.json");
    fs::write(&file, config.to_string()).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.args(["probe", url, "--users", "200", "--config"]).arg(file).args(options);
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let probed = Probed { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) };
    assert!(!probed.out.contains(KEY) && !probed.err.contains(KEY), "{}{}", probed.out, probed.err);
    probed
}

fn probe(envoy: &Envoy, config: &Value, options: &[&str]) -> Probed {
    probe_url(&format!("http://127.0.0.1:{}/api?a=b", envoy.port("ingress")), config, options)
}

#[test]
fn a_proxy_that_runs_the_config_is_fine() {
    let envoy = Scene::new(config().to_string()).concurrency(2).start();
    let probed = probe(&envoy, &config(), &["--output", "json"]);
    let told = probed.json();
    assert_eq!((probed.code, &told["differences"], &told["failures"]), (0, &json!([]), &json!([])), "{told:#}");
    assert_eq!(told["notCompared"], json!([{"flag": "by-place", "because": "address"}]));
    let variants = told["variants"].as_array().unwrap();
    for (flag, variant) in [
        ("checkout", "v1"),
        ("checkout", "v2"),
        ("nav", "off"),
        ("search", "old"),
        ("search", "new"),
        ("search", "newer"),
    ] {
        let row = variants.iter().find(|row| row["flag"] == flag && row["variant"] == variant).unwrap();
        assert!(row["users"].as_u64().unwrap() >= 3, "{row}");
        assert_eq!((&row["statuses"], &row["failed"]), (&json!([200]), &json!(0)), "{row}");
        assert!(row["p50Micros"].as_u64().unwrap() <= row["maxMicros"].as_u64().unwrap(), "{row}");
    }
    let nobody = variants.iter().find(|row| row["flag"] == "nav" && row["variant"] == "on").unwrap();
    assert_eq!((&nobody["users"], &nobody["p50Micros"]), (&json!(0), &Value::Null));

    let probed = probe(&envoy, &config(), &["-H", "x-staff: 1", "--address", "127.0.0.1:4711", "--each", "1"]);
    assert_eq!(probed.code, 0, "{}{}", probed.out, probed.err);
    assert!(probed.out.ends_with("ok each answered as the config says\n"), "{}", probed.out);
    assert!(!probed.out.contains("not compared"), "{}", probed.out);
}

#[test]
fn a_proxy_that_runs_another_config_differs() {
    let envoy = Scene::new(config().to_string()).start();
    let with = |change: fn(&mut Value)| {
        let mut other = config();
        change(&mut other["flags"]);
        let probed = probe(&envoy, &other, &["--output", "json"]);
        let told = probed.json();
        assert_eq!(probed.code, 1, "{told:#}");
        let differences = told["differences"].as_array().unwrap().iter();
        differences
            .map(|one| format!("{}: {}", one["flag"].as_str().unwrap(), one["what"].as_str().unwrap()))
            .collect::<Vec<_>>()
    };
    let killed = with(|flags| flags["checkout"]["kill"] = json!(true));
    assert_eq!(
        killed,
        [
            "checkout: the proxy says v1 (default), the config v1 (killed)",
            "checkout: the proxy says v2 (split), the config v1 (killed)",
        ]
    );
    let raised = with(|flags| flags["checkout"]["rules"][0]["percent"] = json!(100));
    assert!(raised.contains(&"checkout: the proxy says v1 (default), the config v2 (static)".to_owned()), "{raised:?}");
    let salted = with(|flags| flags["search"]["salt"] = json!("next"));
    let another = "search: old (default) in both, but by another draw: the salt or the identity differs";
    assert!(salted.contains(&another.to_owned()) && salted.iter().all(|one| one.starts_with("search: ")), "{salted:?}");
    let added = with(|flags| flags["more"] = json!({}));
    assert_eq!(added, ["more: the proxy says not decided, the config off (static)"]);
    let removed = with(|flags| {
        flags.as_object_mut().unwrap().remove("nav");
    });
    assert_eq!(removed, ["nav: the proxy says off (default), the config not decided"]);
}

#[test]
fn a_proxy_without_the_filter_is_told() {
    let envoy = Scene::bare().start();
    let probed = probe(&envoy, &config(), &[]);
    assert_eq!(probed.code, 1);
    assert!(probed.out.contains("the response has no x-tidegate header"), "{}", probed.out);
}

#[test]
fn a_variant_that_fails_is_named() {
    let envoy = Scene::new(config().to_string()).faults().start();
    envoy.set_runtime("fail.v2", 100);
    let probed = probe(&envoy, &config(), &["--output", "json"]);
    let told = probed.json();
    assert_eq!((probed.code, &told["differences"]), (1, &json!([])));
    let failures = told["failures"].as_array().unwrap();
    assert_eq!((failures.len(), &failures[0]["what"]), (1, &json!("checkout=v2: answered with 500")), "{told:#}");
    envoy.set_runtime("fail.v2", 0);
    envoy.set_runtime("slow.v2", 100);
    let probed = probe(&envoy, &config(), &["--output", "json", "--timeout", "150ms"]);
    let failures = &probed.json()["failures"];
    assert_eq!(failures[0]["what"], json!("checkout=v2: no answer within 150 ms"), "{failures:#}");
}

#[test]
fn an_answer_of_the_proxy_itself_is_as_the_config_says() {
    let paused = |status: u16| {
        let mut config = config();
        config["flags"] = json!({"export": {
            "kill": true,
            "variants": ["on", {"name": "off", "reply": {"status": status, "body": "Paused."}}],
            "baseline": "off",
        }});
        config
    };
    let envoy = Scene::new(paused(503).to_string()).start();
    let probed = probe(&envoy, &paused(503), &[]);
    assert_eq!(probed.code, 0, "{}", probed.out);
    let probed = probe(&envoy, &paused(429), &[]);
    assert_eq!(probed.code, 1);
    assert!(probed.out.contains("answered with 503, and the config itself answers with 429"), "{}", probed.out);
}

#[test]
fn without_inspection_what_can_be_seen_is_looked_at() {
    let mut config = config();
    config.as_object_mut().unwrap().remove("inspect");
    let envoy = Scene::new(config.to_string()).start();
    let probed = probe(&envoy, &config, &[]);
    assert_eq!(probed.code, 0, "{}{}", probed.out, probed.err);
    assert!(probed.out.contains("the config has no inspection key"), "{}", probed.out);
    assert!(probed.out.ends_with("ok each answered\n"), "{}", probed.out);
}

#[test]
fn who_does_not_answer_is_told_in_one_line() {
    let line = |url: &str, options: &[&str]| {
        let probed = probe_url(url, &config(), options);
        assert_eq!((probed.code, probed.out.as_str()), (2, ""), "{}", probed.err);
        assert!(probed.err.contains("\n --> command line:1:"), "{}", probed.err);
        format!("{}\n", probed.err.lines().next().unwrap_or_default())
    };
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{port}/");
    let told = line(&url, &["--timeout", "200ms"]);
    assert_eq!(told, format!("error: cannot probe {url}: no answer within 200 ms\n"));
    drop(silent);
    assert_eq!(line(&url, &[]), format!("error: cannot probe {url}: connection refused\n"));
    let envoy = Scene::new(config().to_string()).start();
    let url = format!("https://127.0.0.1:{}/", envoy.port("ingress"));
    let told = line(&url, &[]);
    assert!(told.starts_with(&format!("error: cannot probe {url}: ")), "{told}");
}
