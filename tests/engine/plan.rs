//! Asks the engine directly for what its doors only show in parts: cookies, plans that only strip, fingerprints.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "a test stops")]

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tidegate_engine::config::schema::reference::SECTIONS;
use tidegate_engine::config::schema::shape::Shape;
use tidegate_engine::decide::standing::Standing;
use tidegate_engine::decide::{Decisions, Reason, decide};
use tidegate_engine::output::effect::{Effect, OnResponse, on_request};
use tidegate_engine::plan::{Compiled, Plan};
use tidegate_engine::request::Request;
use tidegate_engine::value::time::Timestamp;

fn compiled(config: &Value) -> Compiled {
    Plan::from_bytes(config.to_string().as_bytes()).0
}

fn plan(config: &Value) -> Plan {
    compiled(config).ready().expect("a good config")
}

fn request<'r>(plan: &'r Plan, headers: &[(&'static str, &'static str)]) -> Request<'r> {
    let headers = headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    Request::new(plan.inputs(), headers, plan.inputs().properties().map(|_| None))
}

fn decided<'p>(plan: &'p Plan, request: &Request<'_>) -> Decisions<'p> {
    decide(plan, request, &Standing::NONE, Timestamp::from_millis(0))
}

fn flags(flags: &Value) -> Value {
    json!({"version": 1, "revision": "r-7", "identity": [{"header": "x-user-id"}], "flags": flags})
}

#[test]
fn a_visitor_gets_a_cookie_and_a_user_gets_none() {
    let plan = plan(&json!({
        "version": 1,
        "identity": [{"header": "x-user-id"}, {"generate": {"cookie": "tg_id", "maxAge": "30d"}}],
        "flags": {"a": {"rules": [{"percent": 50, "serve": "on"}]}},
    }));
    let visitor = request(&plan, &[("x-request-id", "4bf92f35-77b3-4da6-a3ce-929d0e0e4736")]);
    let decisions = decided(&plan, &visitor);
    let header = decisions.cookie().expect("a cookie").header();
    let (id, rest) = header.strip_prefix("tg_id=").unwrap().split_once(';').unwrap();
    assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{header}");
    assert_eq!(rest, " Max-Age=2592000; Path=/; HttpOnly; SameSite=Lax; Secure");
    assert_eq!(OnResponse::new(&plan, &visitor, &decisions).cookie, Some(header));
    let user = request(&plan, &[("x-user-id", "ana"), ("x-request-id", "1")]);
    assert!(decided(&plan, &user).cookie().is_none());
}

#[test]
fn a_draw_that_was_missed_is_told() {
    let plan = plan(&flags(&json!({"a": {"rules": [{"percent": 50, "serve": "on"}, {"serve": "on"}]}})));
    let nobody = request(&plan, &[]);
    let decisions = decided(&plan, &nobody);
    let decision = decisions.find("a").unwrap();
    assert!(decision.missed_draw() && decision.exposure().is_none());
    assert_eq!((decision.variant().name().as_str(), decision.reason()), ("on", Reason::TargetingMatch));
    let ana = request(&plan, &[("x-user-id", "ana")]);
    assert!(!decided(&plan, &ana).find("a").unwrap().missed_draw());
    assert!(decided(&plan, &ana).find("b").is_none());
}

#[test]
fn a_broken_config_still_strips() {
    let broken = flags(&json!({
        "a": {"header": "x-mine", "rules": [{"serve": "on"}]},
        "b": {"rules": [{"serve": "nothing"}]},
    }));
    let Compiled::Broken(plan) = compiled(&broken) else { panic!("it has an error") };
    let owned: Vec<&str> = plan.owned_headers().iter().map(tidegate_engine::value::name::OwnedHeader::as_str).collect();
    assert_eq!(owned, ["x-flag-b", "x-mine", "x-flags"]);
    let sent = request(&plan, &[("x-mine", "1"), ("X_Flag_B", "1"), ("x-flag-unknown", "1"), ("x-other", "1")]);
    let decisions = decided(&plan, &sent);
    assert!(decisions.list().is_empty());
    let effects = on_request(&plan, &sent, &decisions);
    let removed = [&b"x-mine"[..], b"X_Flag_B", b"x-flag-unknown"].map(|name| Effect::Remove(name.into()));
    assert!(effects.iter().eq(removed.iter().chain([&Effect::ClearRoute])), "{effects:?}");
}

#[test]
fn a_plan_knows_its_name_and_what_it_needs() {
    let fixed = plan(&flags(&json!({"a": {"rules": [{"percent": 5, "serve": "on"}]}})));
    let ramp = json!({"a": {"rules": [{"steps": [{"at": "2026-01-01T00:00:00Z", "percent": 5}], "serve": "on"}]}});
    let limited = json!({"a": {"variants": ["v", {"name": "w", "limit": {"inFlight": 5}}], "baseline": "v"}});
    assert_eq!(fixed.revision().map(tidegate_engine::value::name::Prose::as_str), Some("r-7"));
    assert_eq!(fixed.flags().len(), 1);
    assert!(!fixed.needs_time() && plan(&flags(&ramp)).needs_time() && plan(&flags(&limited)).needs_time());
}

#[test]
fn a_fingerprint_is_of_what_is_served() {
    let print = |flags: &Value| plan(&self::flags(flags)).fingerprint();
    let one = json!({"a": {"rules": [{"percent": 5, "serve": "on"}]}, "b": {"salt": "s"}});
    let same = json!({"b": {"salt": "s"}, "a": {"owner": "web", "rules": [{"serve": "on", "percent": 5.0}]}});
    assert_eq!(print(&one), print(&same));
    let others = [
        json!({"a": {"rules": [{"percent": 6, "serve": "on"}]}, "b": {"salt": "s"}}),
        json!({"a": {"rules": [{"percent": 5, "serve": "on"}]}, "b": {"salt": "t"}}),
        json!({"a": {"rules": [{"percent": 5, "serve": "on"}]}, "c": {"salt": "s"}}),
        json!({"a": {"kill": true, "rules": [{"percent": 5, "serve": "on"}]}, "b": {"salt": "s"}}),
    ];
    let mut prints: Vec<u64> = others.iter().map(print).chain([print(&one)]).collect();
    prints.sort_unstable();
    prints.dedup();
    assert_eq!(prints.len(), others.len() + 1, "{prints:x?}");
    // Whatever built the module: proxies of one release have to agree, and so have a laptop and a proxy.
    let reads = json!({"a": {"match": {"hosts": ["x.example"]}, "rules": [{"when": {"header": "x-a", "equals": "1"}, "serve": "on"}]}});
    assert_ne!(
        print(&reads),
        print(&json!({"a": {"rules": [{"when": {"header": "x-b", "equals": "1"}, "serve": "on"}]}}))
    );
}

#[test]
fn each_reason_has_its_word_in_both_worlds() {
    let words = Reason::ALL.map(|reason| (reason.code(), reason.telemetry()));
    assert_eq!(
        words,
        [
            ("static", "static"),
            ("default", "default"),
            ("no_identity", "default"),
            ("targeting_match", "targeting_match"),
            ("split", "split"),
            ("killed", "disabled"),
            ("rolled_back", "disabled"),
            ("throttled", "default"),
            ("rescued", "error"),
        ]
    );
    assert_eq!(Reason::TargetingMatch.open_feature(), "TARGETING_MATCH");
}

#[test]
fn the_words_of_the_reference_are_those_that_are_read() {
    let mut config = flags(&json!({"a": {
        "type": "?", "stage": "?", "metrics": "?", "guard": {"errors": {"max": 1}, "action": "?", "identities": "?"},
        "rules": [{"steps": [{"at": "2026-01-01T00:00:00Z", "percent": 5, "requires": "?"}], "serve": "on"}],
    }}));
    config["cache"] = json!("?");
    config["headers"] = json!("?");
    config["standing"] = json!({"a": {"of": "0123456789abcdef", "phase": "?", "since": "2026-01-01T00:00:00Z"}});
    let (_, problems) = Plan::from_bytes(config.to_string().as_bytes());
    let read: BTreeMap<&str, Vec<&str>> = problems
        .errors()
        .iter()
        .map(|problem| {
            let known = problem.wrong().known().iter().map(|word| &**word).collect();
            (problem.path().rsplit('.').next().unwrap(), known)
        })
        .collect();
    let fields = SECTIONS.iter().flat_map(|section| section.fields);
    let told = fields.filter_map(|field| match field.shape {
        Shape::Words(words) => Some((field.name, words.to_vec())),
        // A word, or one of the other forms of what a step waits for.
        Shape::Either([Shape::Either([Shape::Words(words), ..]), ..]) => Some((field.name, words.to_vec())),
        _ => None,
    });
    assert_eq!(read, told.collect());
}
