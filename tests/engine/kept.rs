//! Holds what is kept beyond one run to frozen numbers: the fingerprints of plans, and the generations of flags.
//!
//! A proxy finds a rollback again by the generation, also after an update of the module. A number that changes here
//! loses it: that takes a new version in `plan/fingerprint.rs`, and a line in the changelog.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "a test stops")]

use serde_json::{Value, json};
use tidegate_engine::plan::Plan;

fn plan(config: &Value) -> Plan {
    let (compiled, problems) = Plan::from_bytes(config.to_string().as_bytes());
    compiled.ready().unwrap_or_else(|| panic!("{problems}"))
}

/// The fingerprint of a config, and the generation of each flag that is watched.
fn numbers(config: &Value) -> (String, Vec<String>) {
    let plan = plan(config);
    (format!("{:016x}", plan.fingerprint()), plan.watches().iter().map(|watch| watch.key.to_string()).collect())
}

fn small() -> Value {
    json!({
        "version": 1,
        "identity": [{"header": "x-user-id"}],
        "flags": {"new-nav": {"rules": [{"percent": 12.5, "serve": "on"}]}},
    })
}

fn guarded() -> Value {
    json!({
        "version": 1,
        "revision": "r-7",
        "identity": [
            {"claim": ["realm", "sub"]}, {"header": "X-User-Id", "lower": true, "trim": true}, {"query": "uid"},
            {"peer": true}, {"generate": {"cookie": "tg_id", "maxAge": "30d"}},
        ],
        "segments": {
            "staff": {"header": "x-staff", "exists": true},
            "testers": {"any": [{"segment": "staff"}, {"identity": {"in": ["ana", "bo"]}}]},
        },
        "flags": {"checkout": {
            "type": "release", "stage": "trusted", "owner": "payments", "description": "The new till",
            "created": "2026-11-01", "expires": "2027-03-01",
            "match": {"hosts": ["shop.example", "*.shop.example"], "paths": ["/api"], "methods": ["GET", "POST"]},
            "route": {"header": "x-version"},
            "rescue": "30s",
            "variants": [
                "v1",
                {"name": "v2", "value": "second", "headers": {"x-theme": "dark"},
                 "limit": {"requests": "300/m", "inFlight": 20}},
                {"name": "closed", "reply": {"status": 503, "body": "Back at nine.", "headers": {"retry-after": "60"}}},
            ],
            "baseline": "v1",
            "salt": "till",
            "identity": [{"cookie": "sid"}, {"unverifiedClaim": "sub"}, {"address": true}, {"proxy": true}],
            "rules": [
                {"when": {"segment": "testers"}, "serve": "v2"},
                {"when": {"not": {"method": "GET"}}, "percent": "0.0001%", "serve": "closed"},
                {"steps": [
                    {"at": "2026-12-01T09:00:00Z", "percent": 1},
                    {"at": "2026-12-02T09:00:00+01:00", "percent": 50, "requires": "nothing"},
                 ], "serve": [{"variant": "v2", "weight": 9}, {"variant": "v1", "weight": 1}]},
            ],
            "guard": {
                "window": "5m", "errors": {"max": "5%", "overBaseline": "1%"},
                "latency": {"percentile": 99.9, "max": "800ms", "overBaseline": "1.5x"},
                "failures": ["5xx", "reset", "429"], "action": "rollback", "retryAfter": "1h", "rearm": "2",
            },
            "metrics": "counts",
        }},
        "dictionary": true,
        "inspect": {"header": "x-look", "equals": "word", "page": true, "listener": "page"},
        "telemetry": {"accessLog": true, "spans": true, "baggage": true},
    })
}

/// Each operator and each subject, once.
fn conditions() -> Value {
    json!({
        "version": 1,
        "identity": [{"header": "x-user-id"}],
        "flags": {"all": {
            "variants": ["a", "b"], "baseline": "a",
            "guard": {"errors": {"max": 1}, "action": "alert"},
            "rules": [{"percent": 5, "serve": "b", "when": {"all": [
                {"header": "x-a", "equals": "1"},
                {"cookie": "b", "in": ["2", "1"]},
                {"query": "c", "startsWith": "3"},
                {"claim": "d", "endsWith": "4"},
                {"unverifiedClaim": ["e", "f"], "contains": "5"},
                {"method": "GET"},
                {"host": {"glob": "*.example"}},
                {"path": {"startsWith": "/api"}},
                {"peer": {"equals": "spiffe://shop"}},
                {"address": {"cidr": ["10.0.0.0/8", "2001:db8::/32"]}},
                {"device": "mobile"},
                {"proxy": {"exists": false}},
                {"identity": {"endsWith": "@example.com"}},
                {"header": "x-version", "semver": ">=1.4.0-rc.1"},
                {"header": "x-age", "number": ">= 17.5"},
            ]}}],
        }},
    })
}

#[test]
fn fingerprints_and_generations_are_frozen() {
    let found = [json!({"version": 1}), small(), guarded(), conditions()].map(|config| numbers(&config));
    let frozen: [(&str, &[&str]); 4] = [
        ("6365fe182188e885", &[]),
        ("db4f9f198bfa2ef8", &[]),
        ("4e338d12b2917d47", &["guard/checkout/a7ff17b7ebaa9812"]),
        ("2da9871a0578a543", &["guard/all/2f1baee342487182"]),
    ];
    let frozen = frozen.map(|(print, keys)| (print.to_owned(), keys.iter().map(|key| (*key).to_owned()).collect()));
    assert_eq!(found, frozen);
}

/// A change of a config, with a word for it.
type Change = (&'static str, fn(&mut Value));

/// What a change of the guarded config does to its two numbers.
fn changed(change: impl Fn(&mut Value)) -> [bool; 2] {
    let mut other = guarded();
    change(&mut other);
    assert_ne!(other, guarded());
    let ((fingerprint, keys), (was, were)) = (numbers(&other), numbers(&guarded()));
    [fingerprint != was, keys != were]
}

#[test]
fn what_only_people_read_and_other_words_for_the_same_change_neither() {
    let changes: [Change; 10] = [
        ("whose requests are counted, as without a word", |config| {
            config["flags"]["checkout"]["guard"]["identities"] = json!("any");
        }),
        ("what caches are told, as without a word", |config| config["cache"] = json!("vary")),
        ("owner", |config| config["flags"]["checkout"]["owner"] = json!("web")),
        ("expires", |config| config["flags"]["checkout"]["expires"] = json!("2028-01-01")),
        ("stage", |config| config["flags"]["checkout"]["stage"] = json!("stable")),
        ("a default that is written out", |config| config["flags"]["checkout"]["default"] = json!("v1")),
        ("a header that is written out", |config| config["flags"]["checkout"]["header"] = json!("x-flag-checkout")),
        ("a segment that nothing asks", |config| config["segments"]["none"] = json!({"method": "PUT"})),
        ("another name for a segment", |config| {
            let map = config["segments"].as_object_mut().unwrap();
            let staff = map.remove("staff").unwrap();
            map.insert("a-colleague".to_owned(), staff);
            map["testers"]["any"][0]["segment"] = json!("a-colleague");
        }),
        ("a weight for nobody", |config| {
            let serve = config["flags"]["checkout"]["rules"][2]["serve"].as_array_mut().unwrap();
            serve.push(json!({"variant": "closed", "weight": 0}));
        }),
    ];
    for (what, change) in changes {
        assert_eq!(changed(change), [false, false], "{what}");
    }
}

#[test]
fn what_is_done_with_a_flag_is_another_plan_and_the_same_generation() {
    let changes: [Change; 9] = [
        ("cache", |config| config["cache"] = json!("private")),
        ("revision", |config| config["revision"] = json!("r-8")),
        ("kill", |config| config["flags"]["checkout"]["kill"] = json!(true)),
        ("rescue", |config| config["flags"]["checkout"]["rescue"] = json!("31s")),
        ("metrics", |config| config["flags"]["checkout"]["metrics"] = json!("all")),
        ("another flag", |config| {
            config["flags"]["a"] = json!({"rules": [{"when": {"cookie": "x", "exists": true}, "serve": "on"}]});
        }),
        ("dictionary", |config| config["dictionary"] = json!(false)),
        ("inspect", |config| config["inspect"]["listener"] = json!("other")),
        ("telemetry", |config| config["telemetry"]["spans"] = json!(false)),
    ];
    for (what, change) in changes {
        assert_eq!(changed(change), [true, false], "{what}");
    }
}

#[test]
fn whatever_a_flag_serves_makes_both() {
    let changes: [Change; 20] = [
        ("identities of a guard", |config| config["flags"]["checkout"]["guard"]["identities"] = json!("verified")),
        ("fleet of a guard", |config| config["flags"]["checkout"]["guard"]["fleet"] = json!(100)),
        ("match", |config| config["flags"]["checkout"]["match"]["paths"] = json!(["/api", "/v2"])),
        ("route", |config| config["flags"]["checkout"]["route"]["header"] = json!("x-other")),
        ("header", |config| config["flags"]["checkout"]["header"] = json!("x-other")),
        ("value", |config| config["flags"]["checkout"]["variants"][1]["value"] = json!("other")),
        ("headers", |config| config["flags"]["checkout"]["variants"][1]["headers"] = json!({"x-theme": "light"})),
        ("limit", |config| config["flags"]["checkout"]["variants"][1]["limit"]["inFlight"] = json!(21)),
        ("reply", |config| config["flags"]["checkout"]["variants"][2]["reply"]["body"] = json!("Back at ten.")),
        ("baseline", |config| config["flags"]["checkout"]["baseline"] = json!("closed")),
        ("default", |config| config["flags"]["checkout"]["default"] = json!("closed")),
        ("salt", |config| config["flags"]["checkout"]["salt"] = json!("other")),
        ("identity", |config| config["flags"]["checkout"]["identity"][0] = json!({"cookie": "other"})),
        ("order of rules", |config| config["flags"]["checkout"]["rules"].as_array_mut().unwrap().swap(0, 1)),
        ("share", |config| config["flags"]["checkout"]["rules"][1]["percent"] = json!("0.0002%")),
        ("step", |config| config["flags"]["checkout"]["rules"][2]["steps"][1]["requires"] = json!("healthy")),
        ("weight", |config| config["flags"]["checkout"]["rules"][2]["serve"][1]["weight"] = json!(2)),
        ("guard", |config| config["flags"]["checkout"]["guard"]["rearm"] = json!("3")),
        ("a segment behind a segment", |config| config["segments"]["staff"]["exists"] = json!(false)),
        ("identity of segments", |config| config["identity"][2] = json!({"query": "user"})),
    ];
    for (what, change) in changes {
        assert_eq!(changed(change), [true, true], "{what}");
    }
}
