//! Breaks the life of a config on purpose: bad first pushes, bad later ones, any order of VMs, reloads, upgrades.
//!
//! What must hold: traffic passes, a decision changes only by a good config, a push is judged once, and an operator
//! can see all of it. In a real Envoy where Envoy's own behaviour is the question; in the fake host where an order of
//! events is, that no Envoy lets a test choose.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that cannot go on stops, with a message"
)]

use kit::envoy::{Door, Envoy, Pushed, module};
use kit::host::{Exchange, Host, Module, Shared};
use kit::http::Request;
use kit::scene::Scene;
use proptest::prelude::*;
use serde_json::json;

const POLICIES: [&str; 3] = ["FAIL_CLOSED", "FAIL_OPEN", "FAIL_RELOAD"];

/// A good config that sends everybody to this version.
fn good(version: &str) -> String {
    json!({"version": 1, "revision": format!("all-{version}"), "flags": {"checkout": {
        "route": {"header": "x-upstream-version"}, "variants": ["v1", "v2"], "baseline": "v1", "rules": [{"serve": version}],
    }}})
    .to_string()
}

/// A config with two problems, one of them in a flag whose header can still be read.
fn bad(name: &str) -> String {
    json!({"version": 1, "revision": name, "flags": {
        "checkout": {"route": {"header": "x-upstream-version"}, "variants": ["v1", "v2"], "baseline": "v3"},
        "nav": {"rules": [{"percent": 101, "serve": "on"}]},
    }})
    .to_string()
}

/// A request with headers that only the filter may write.
fn forged() -> Request {
    Request::get("/")
        .header("x-upstream-version", "v2")
        .header("X-Flag-Checkout", "v2")
        .header("x_flag_anything", "on")
        .header("x-mine", "stays")
}

/// What a client sees while nothing is decided: an answer of the default route, and no forged header behind it.
fn passes_undecided(envoy: &Envoy) {
    let response = envoy.client().send(&forged());
    assert_eq!(response.status, 200, "{}", response.text());
    let upstream = response.upstream();
    assert_eq!(upstream.version, "v1");
    for name in ["x-upstream-version", "x-flag-checkout", "x_flag_anything"] {
        assert!(upstream.all(name).is_empty(), "{name}");
    }
    assert_eq!(upstream.header("x-mine"), Some("stays"));
}

fn serves(envoy: &Envoy, version: &str) {
    let upstream = envoy.client().send(&forged()).upstream();
    assert_eq!((upstream.version.as_str(), upstream.header("x-flag-checkout")), (version, Some(version)));
}

fn gauges(envoy: &Envoy) -> (u64, u64, u64) {
    let gauge = |name: &str| envoy.stat(&format!("wasmcustom.tidegate.config.{name}")).unwrap_or(u64::MAX);
    (gauge("state"), gauge("refused"), gauge("problems"))
}

fn says_what_is_wrong(envoy: &Envoy) {
    let log = envoy.log();
    let line = log.lines().find(|line| line.contains("config: not good") || line.contains("config: refused"));
    let line = line.unwrap_or_else(|| panic!("{log}"));
    for problem in [
        "flags.checkout.baseline: is not a variant of this flag (known: v1, v2; found \"v3\")",
        "flags.nav.rules[0].percent: must be from 0 to 100 (found 101)",
        "2 problems",
    ] {
        assert!(line.contains(problem), "{line}");
    }
}

// === nine cells: cold, warm, static x three policies ===

#[test]
fn a_bad_first_config_passes_traffic_and_a_good_one_heals() {
    for policy in POLICIES {
        let envoy = Scene::new(bad("first")).failure_policy(policy).concurrency(2).start();
        passes_undecided(&envoy);
        assert_eq!(gauges(&envoy), (0, 1, 2), "{policy}");
        says_what_is_wrong(&envoy);
        assert_eq!(envoy.push(&good("v2")), Pushed::Accepted, "{policy}");
        serves(&envoy, "v2");
        assert_eq!(gauges(&envoy), (1, 0, 0), "{policy}");
    }
}

#[test]
fn a_bad_later_config_is_refused_and_the_one_before_it_serves() {
    for policy in POLICIES {
        let envoy = Scene::new(good("v2")).failure_policy(policy).concurrency(2).start();
        serves(&envoy, "v2");
        assert_eq!(envoy.push(&bad("later")), Pushed::Rejected, "{policy}");
        serves(&envoy, "v2");
        assert_eq!(gauges(&envoy), (1, 1, 2), "{policy}");
        says_what_is_wrong(&envoy);
        assert_eq!(envoy.push(&good("v1")), Pushed::Accepted, "{policy}");
        serves(&envoy, "v1");
        assert_eq!(gauges(&envoy), (1, 0, 0), "{policy}");
    }
}

#[test]
fn a_bad_static_config_lets_envoy_start_and_passes_traffic() {
    for policy in POLICIES {
        let envoy = Scene::inline(&bad("static")).failure_policy(policy).concurrency(2).start();
        passes_undecided(&envoy);
        assert_eq!(gauges(&envoy), (0, 1, 2), "{policy}");
        says_what_is_wrong(&envoy);
    }
}

#[test]
fn no_config_at_all_is_a_bad_one() {
    for config in ["", "{}", "null", "\u{0}"] {
        let envoy = Scene::inline(config).start();
        // Nothing can be read of it, not even which header routes: only what flags have by themselves is stripped.
        let upstream = envoy.client().send(&forged()).upstream();
        assert!(upstream.all("x-flag-checkout").is_empty() && upstream.all("x_flag_anything").is_empty());
        assert_eq!(gauges(&envoy).0, 0, "{config:?}");
    }
}

// === sequences, in a real Envoy ===

#[test]
fn good_bad_good_a_hundred_times_is_the_last_good_one() {
    let envoy = Scene::new(good("v1")).concurrency(2).start();
    for round in 0..100 {
        let version = if round % 2 == 0 { "v2" } else { "v1" };
        assert_eq!(envoy.push(&good(version)), Pushed::Accepted);
        assert_eq!(envoy.push(&bad(&round.to_string())), Pushed::Rejected);
        serves(&envoy, version);
    }
}

#[test]
fn two_quick_pushes_on_a_cold_start_end_with_the_last_one() {
    let envoy = Scene::new(bad("one")).concurrency(4).start();
    // Not waited for: the second may come while workers still load the first.
    let tickets: Vec<_> = (0..10).map(|n| envoy.publish(&bad(&n.to_string()))).collect();
    passes_undecided(&envoy);
    drop(tickets);
    assert_eq!(envoy.push(&good("v2")), Pushed::Accepted);
    for _ in 0..20 {
        serves(&envoy, "v2");
    }
    assert_eq!(envoy.push(&good("v1")), Pushed::Accepted, "later pushes are still taken");
    serves(&envoy, "v1");
}

#[test]
fn listeners_that_share_a_vm_share_a_judgement() {
    let envoy = Scene::new(bad("cold")).ingress(2).concurrency(2).start();
    let both = |check: &dyn Fn(u16)| ["ingress", "ingress-2"].iter().for_each(|name| check(envoy.port(name)));
    let version = |port: u16| kit::http::Client::new(port).send(&forged()).upstream().version;
    both(&|port| assert_eq!(version(port), "v1"));
    assert_eq!(envoy.push(&good("v2")), Pushed::Accepted);
    both(&|port| assert_eq!(version(port), "v2"));
    assert_eq!(envoy.push(&bad("warm")), Pushed::Rejected);
    both(&|port| assert_eq!(version(port), "v2"));
    assert_eq!(envoy.push(&good("v1")), Pushed::Accepted);
    both(&|port| assert_eq!(version(port), "v1"));
}

#[test]
fn the_same_decisions_come_back_after_kill_9() {
    let half = json!({"version": 1, "identity": [{"header": "x-user-id"}], "flags": {"checkout": {
        "route": {"header": "x-upstream-version"}, "variants": ["v1", "v2"], "baseline": "v1",
        "rules": [{"percent": 50, "serve": "v2"}],
    }}});
    let mut envoy = Scene::new(half.to_string()).concurrency(2).start();
    let all = |envoy: &Envoy| {
        let mut client = envoy.client();
        let users = (0..2_000).map(|n| Request::get("/").header("x-user-id", format!("user-{n}")));
        users.map(|request| client.send(&request).upstream().version).collect::<Vec<_>>()
    };
    let before = all(&envoy);
    envoy.kill9();
    envoy.restart();
    assert!(before == all(&envoy));
}

#[test]
fn a_module_upgrade_in_place_keeps_what_is_remembered() {
    if Door::default() == Door::Native {
        // Another file is another library, with a memory of its own.
        return;
    }
    let envoy = Scene::new(good("v2")).vm_id("tidegate").concurrency(2).start();
    serves(&envoy, "v2");
    let discovery = |name: &str| envoy.stat(&format!("extension_config_discovery.http_filter.tidegate.{name}"));
    let refused = discovery("update_rejected");
    envoy.upgrade(&bad("with new code"), 1_000);
    envoy.poll("a refusal", || (discovery("update_rejected") > refused).then_some(()));
    serves(&envoy, "v2");
    envoy.upgrade(&good("v1"), 1_001);
    envoy.poll("the new code", || (envoy.client().send(&forged()).upstream().version == "v1").then_some(()));
    serves(&envoy, "v1");
    // The new code tells its gauges on its next tick.
    envoy.poll("the gauges of the new code", || (gauges(&envoy) == (1, 0, 0)).then_some(()));
}

#[test]
fn what_is_in_force_can_be_seen() {
    let envoy = Scene::new(good("v2")).start();
    let stat = |name: &str| envoy.stat(&format!("wasmcustom.tidegate.config.{name}")).unwrap();
    let print = tidegate_engine::plan::Plan::from_bytes(good("v2").as_bytes()).0.ready().unwrap().fingerprint();
    assert_eq!(stat("fingerprint"), print & 0xffff_ffff_ffff, "the module and this process agree on the plan");
    assert_eq!((stat("flags"), stat("revision=.=all-v2;.;info")), (1, 1));
    assert!(stat("timestamp_seconds") > 1_700_000_000);
    assert!(envoy.log().contains(&format!("config: revision all-v2 is active: 1 flags, plan {print:016x}")));
    assert_eq!(envoy.push(&good("v1")), Pushed::Accepted);
    assert_eq!((stat("revision=.=all-v2;.;info"), stat("revision=.=all-v1;.;info")), (0, 1));
    assert_ne!(stat("fingerprint"), print & 0xffff_ffff_ffff);
}

// === any order of VMs, in the fake host ===

/// One VM that takes pushes in their order, at its own pace.
struct Vm {
    host: Host,
    next: usize,
    /// The version that it serves, where it serves one.
    version: Option<String>,
}

impl Vm {
    fn configure(&mut self, config: &str) -> bool {
        self.host.configure("tidegate", config.as_bytes()).unwrap_or_else(|trap| panic!("{trap}"))
    }

    fn served(&mut self) -> Option<String> {
        let outcome = self.host.request(&Exchange::get("/")).unwrap_or_else(|trap| panic!("{trap}"));
        outcome.request.text("x-upstream-version").map(str::to_owned)
    }
}

#[derive(Clone, Debug)]
enum Event {
    /// The control plane pushes the config of this number.
    Push(usize),
    /// The worker of this number loads the next push that was accepted.
    Load(usize),
    /// The worker of this number loses its VM, and starts one anew with what it loaded last.
    Reload(usize),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        3 => (0..6_usize).prop_map(Event::Push),
        4 => (0..3_usize).prop_map(Event::Load),
        1 => (0..3_usize).prop_map(Event::Reload),
    ];
    prop::collection::vec(event, 1..30)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the order, no VM refuses what a canary accepted, and in the end all serve the last good config (a
    /// good one, if a worker lagged behind by whole pushes), or pass requests on if there never was one.
    #[test]
    fn no_vm_refuses_what_another_accepted(events in events()) {
        static MODULE: std::sync::OnceLock<Module> = std::sync::OnceLock::new();
        let module = MODULE.get_or_init(|| Module::load(module()).unwrap());
        let shared = Shared::default();
        let vm = || Host::in_proxy(module, &shared).unwrap_or_else(|trap| panic!("{trap}"));
        let mut vms: Vec<Vm> = (0..3).map(|_| Vm { host: vm(), next: 0, version: None }).collect();
        // Even numbers are good, odd ones bad.
        let config = |number: usize| match number {
            0 | 4 => good("v1"),
            2 => good("v2"),
            odd => bad(&odd.to_string()),
        };
        let (mut accepted, mut last, mut lagged): (Vec<usize>, Option<usize>, bool) = (Vec::new(), None, false);
        for event in events {
            match event {
                // Envoy looks at no config twice in a row.
                Event::Push(number) if last != Some(number) => {
                    last = Some(number);
                    let mut canary = Vm { host: vm(), next: 0, version: None };
                    let taken = canary.configure(&config(number));
                    let running = accepted.iter().any(|number| number % 2 == 0);
                    prop_assert!(taken || running, "a proxy without a good config refused one");
                    prop_assert!(taken || number % 2 == 1, "a good config was refused");
                    if taken {
                        lagged |= vms.iter().any(|worker| worker.next < accepted.len());
                        accepted.push(number);
                    }
                }
                Event::Push(_) => {}
                Event::Load(number) => {
                    let worker = &mut vms[number];
                    if let Some(push) = accepted.get(worker.next) {
                        worker.next += 1;
                        prop_assert!(worker.configure(&config(*push)), "push {} was accepted and then refused", push);
                        worker.version = worker.served();
                    }
                }
                Event::Reload(number) => {
                    let worker = &mut vms[number];
                    worker.host = vm();
                    if let Some(push) = worker.next.checked_sub(1).and_then(|last| accepted.get(last)) {
                        prop_assert!(worker.configure(&config(*push)), "push {} was refused by a new VM", push);
                        worker.version = worker.served();
                    }
                }
            }
        }
        for worker in &mut vms {
            for push in accepted.iter().skip(worker.next) {
                prop_assert!(worker.configure(&config(*push)));
            }
            if accepted.is_empty() {
                continue;
            }
            let wanted = accepted.iter().rev().find(|number| *number % 2 == 0);
            let wanted = wanted.map(|number| if *number == 2 { "v2".to_owned() } else { "v1".to_owned() });
            let served = worker.served();
            let ends_bad = accepted.last().is_some_and(|number| number % 2 == 1);
            prop_assert_eq!(served.is_some(), wanted.is_some());
            prop_assert!(served == wanted || (lagged && ends_bad), "{:?} is served, not {:?}", served, wanted);
        }
    }
}
