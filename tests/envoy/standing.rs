//! What the config says was decided about flags, in a real Envoy: in force with the first request, and with a push.
//! And what guards compare, as a judge of the fleet reads it.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test stops where it fails"
)]

use kit::envoy::{Door, Envoy, Pushed};
use kit::http::Request;
use kit::scene::Scene;
use kit::scrape::Scrape;
use serde_json::{Value, json};
use tidegate_engine::config::Config;
use tidegate_engine::plan::Plan;
use tidegate_engine::problem::Problems;
use tidegate_engine::value::hash::Salt;

const COMPARED: [&str; 3] =
    ["tidegate_guard_requests_total", "tidegate_guard_failed_total", "tidegate_guard_slow_total"];

fn config(guarded: bool, rules: &Value) -> Value {
    let mut config = json!({"version": 1, "identity": [{"header": "x-user-id"}], "flags": {"checkout": {
        "type": "release", "owner": "payments & co", "stage": "trusted", "expires": "2127-03-01",
        "route": {"header": "x-upstream-version"}, "variants": ["v1", "v2"], "baseline": "v1", "rules": rules,
    }}});
    if guarded {
        config["flags"]["checkout"]["guard"] = json!({"errors": {"max": "90%"}});
    }
    config
}

/// The same config with a standing for what its flag serves.
fn standing(config: &Value, phase: &str, since: &str, steps: &Value) -> Value {
    let mut problems = Problems::default();
    let read = Config::from_bytes(config.to_string().as_bytes(), &mut problems);
    let plan = Plan::compile(&read, &mut problems).ready().unwrap();
    let mut with = config.clone();
    let of = format!("{:016x}", plan.generation(&read, "checkout").unwrap());
    with["standing"] = json!({"checkout": {"of": of, "phase": phase, "steps": steps, "since": since}});
    with
}

/// How many of so many users v2 answers, on four connections.
fn at_v2(envoy: &Envoy, users: usize) -> usize {
    let mut clients: Vec<_> = (0..4).map(|_| envoy.client()).collect();
    let ask = |user: usize| Request::get("/").header("x-user-id", format!("user-{user}"));
    (0..users).filter(|user| clients[user % 4].send(&ask(*user)).upstream().version == "v2").count()
}

#[test]
fn a_proxy_that_starts_after_a_rollback_never_serves_v2_and_a_push_takes_a_warm_one_back() {
    let since = "2026-01-01T00:00:00Z";
    for guarded in [true, false] {
        let rules = json!([{"when": {"header": "x-none", "exists": false}, "percent": 50, "serve": "v2"}]);
        let free = config(guarded, &rules);
        let back = standing(&free, "rolledBack", since, &json!({}));
        let envoy = Scene::new(back.to_string()).concurrency(2).start();
        assert_eq!(at_v2(&envoy, 400), 0, "cold");
        let told = |envoy: &Envoy| Scrape::of(envoy).sum("tidegate_guard_standing", &[("flag", "checkout")]);
        assert_eq!(told(&envoy), 3);
        let decided = envoy.poll("the counts", || {
            let scrape = Scrape::of(&envoy);
            (scrape.sum("tidegate_decisions_total", &[("flag", "checkout")]) == 400).then_some(scrape)
        });
        assert_eq!(decided.sum("tidegate_decisions_total", &[("reason", "rolled_back"), ("variant", "v1")]), 400);
        // Without the entry it goes forward again, and with it, back: also while a guard finds nothing wrong.
        assert_eq!(envoy.push(&free.to_string()), Pushed::Accepted);
        assert!((120..280).contains(&at_v2(&envoy, 400)), "warm");
        envoy.poll("the gauge", || (told(&envoy) == 0).then_some(()));
        assert_eq!(envoy.push(&back.to_string()), Pushed::Accepted);
        assert_eq!(at_v2(&envoy, 400), 0, "pushed");
        envoy.poll("the gauge", || (told(&envoy) == 3).then_some(()));
        // A changed flag is another one, of which the entry says nothing.
        let mut changed = back.clone();
        changed["flags"]["checkout"]["rules"][0]["percent"] = 49.into();
        assert_eq!(envoy.push(&changed.to_string()), Pushed::Accepted);
        assert!(at_v2(&envoy, 400) > 120, "changed");
        envoy.poll("the gauge", || (told(&envoy) == 0).then_some(()));
    }
}

#[test]
fn a_held_ramp_stays_where_it_is() {
    let rules = json!([{"steps": [
        {"at": "2020-01-01T00:00:00Z", "percent": 0.0001}, {"at": "2020-01-02T00:00:00Z", "percent": 100, "requires": "fleet"},
    ], "serve": "v2"}]);
    let by_clock = json!([{"steps": [
        {"at": "2020-01-01T00:00:00Z", "percent": 0.0001}, {"at": "2020-01-03T00:00:00Z", "percent": 100},
    ], "serve": "v2"}]);
    for guarded in [true, false] {
        let held = standing(&config(guarded, &by_clock), "held", "2020-01-02T00:00:00Z", &json!({}));
        let capped = standing(&config(guarded, &by_clock), "running", "2020-01-02T00:00:00Z", &json!({"1": 1}));
        let fleet = config(guarded, &rules);
        let granted = standing(&fleet, "running", "2020-01-02T00:00:00Z", &json!({"1": 2}));
        let envoy = Scene::new(held.to_string()).concurrency(2).start();
        let step = |envoy: &Envoy| Scrape::of(envoy).sum("tidegate_rule_step", &[("flag", "checkout")]);
        assert_eq!((at_v2(&envoy, 100), step(&envoy)), (0, 1), "held");
        assert_eq!(Scrape::of(&envoy).sum("tidegate_guard_standing", &[("flag", "checkout")]), 2);
        for (config, v2, steps) in [(&capped, 0, 1), (&fleet, 0, 1), (&granted, 100, 2), (&held, 0, 1)] {
            assert_eq!(envoy.push(&config.to_string()), Pushed::Accepted);
            envoy.poll("the step", || (step(&envoy) == steps).then_some(()));
            assert_eq!(at_v2(&envoy, 100), v2, "{config}");
        }
    }
}

#[test]
fn what_a_guard_compares_is_counted_once_and_was_there_before() {
    let group = |id: &str| Salt::new("groups").point(id.as_bytes()).bits().trailing_zeros() >= 3;
    let ids: Vec<String> = (0..100).map(|n| format!("proxy-{n}")).collect();
    // A library is not told the id of its proxy.
    let doors = if Door::default() == Door::Native { &[false][..] } else { &[false, true] };
    for grouped in doors {
        let id = ids.iter().find(|id| group(id) == *grouped).unwrap();
        let mut config = config(true, &json!([{"percent": 50, "serve": "v2"}]));
        let scene = Scene::new(config.to_string()).concurrency(2).faults().set("/node/id", json!(id));
        let envoy = scene.start();
        let before = Scrape::of(&envoy);
        let groups: Vec<String> = if *grouped { (0..16).map(|n| n.to_string()).collect() } else { vec![String::new()] };
        for family in COMPARED {
            let labels = [("flag", "checkout"), ("rule", "1"), ("variant", "v2")];
            let all: Vec<_> = before.find(family, &labels).collect();
            assert_eq!(all.len(), 2 * groups.len(), "{family} {all:?}");
            assert!(all.iter().all(|one| groups.contains(&one.label("group").to_owned())), "{all:?}");
            assert_eq!(before.sum(family, &[]), 0);
        }
        let about = [
            ("flag", "checkout"),
            ("type", "release"),
            ("stage", "trusted"),
            ("owner", "payments___co"),
            ("expires", "2127-03-01"),
        ];
        assert_eq!(before.sum("tidegate_flag_info", &about), 1);
        // Half of what v2 answers is a failure, by the proxy's own fault filter, which the upstream never sees.
        envoy.set_runtime("fail.v2", 50);
        let (mut exposed, mut failed) = (0, 0);
        let mut clients: Vec<_> = (0..4).map(|_| envoy.client()).collect();
        for user in 0..1_000 {
            if user == 500 {
                // A push in the middle loses nothing, and what is said of a flag is no other flag.
                config["flags"]["checkout"]["owner"] = "web".into();
                assert_eq!(envoy.push(&config.to_string()), Pushed::Accepted);
            }
            let request = Request::get("/").header("x-user-id", format!("user-{user}"));
            let response = clients[user % 4].send(&request);
            let bad = response.status >= 500;
            failed += u64::from(bad);
            exposed += u64::from(bad || response.upstream().version == "v2");
        }
        let scrape = envoy.poll("all counts", || {
            let scrape = Scrape::of(&envoy);
            (scrape.sum(COMPARED[0], &[]) >= 1_000).then_some(scrape)
        });
        let sum = |family, arm| scrape.sum(family, &[("flag", "checkout"), ("arm", arm)]);
        assert_eq!((sum(COMPARED[0], "exposed"), sum(COMPARED[0], "control")), (exposed, 1_000 - exposed));
        assert_eq!((sum(COMPARED[1], "exposed"), sum(COMPARED[1], "control")), (failed, 0));
        assert_eq!(sum(COMPARED[2], "exposed"), 0);
        assert!(failed > 100 && exposed > 400, "{failed} of {exposed}");
        let full = scrape.find(COMPARED[0], &[("arm", "control")]).filter(|one| one.value > 0.0).count();
        assert_eq!(full, groups.len(), "every group has its users");
        assert_eq!(scrape.sum("tidegate_flag_info", &about), 0, "the owner has changed");
        assert_eq!(scrape.sum("tidegate_flag_info", &[("flag", "checkout"), ("owner", "web")]), 1);
    }
}
