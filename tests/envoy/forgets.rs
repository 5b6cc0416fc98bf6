//! What the config says was decided about a flag holds under load, whatever becomes of a proxy: it is killed, another one
//! starts, the filter gets a new VM. Not one request may get past it.
//!
//! `TIMES` is how often each is done: three times, or a hundred by `make forgets`.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test stops where it fails; a load reads the environment"
)]

use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::thread;

use kit::envoy::{Door, Envoy};
use kit::http::{Client, Request};
use kit::scene::Scene;
use kit::swarm::Simulated;
use serde_json::{Value, json};
use tidegate_engine::config::Config;
use tidegate_engine::plan::Plan;
use tidegate_engine::problem::Problems;

/// How many people ask.
const PEOPLE: u64 = 10_000;

fn times() -> u64 {
    std::env::var("TIMES").ok().and_then(|text| text.parse().ok()).unwrap_or(3)
}

/// A config of which everybody would get `v2`: at once, or with its second step, which is due.
fn config(phase: &str, steps: &Value, rules: &Value) -> Value {
    let mut config = json!({"version": 1, "identity": [{"header": "x-user-id"}], "flags": {"checkout": {
        "route": {"header": "x-upstream-version"}, "variants": ["v1", "v2"], "baseline": "v1", "rules": rules,
        "guard": {"errors": {"max": "50%"}}}}});
    let mut problems = Problems::default();
    let read = Config::from_bytes(config.to_string().as_bytes(), &mut problems);
    let plan = Plan::compile(&read, &mut problems).ready().unwrap();
    let of = format!("{:016x}", plan.generation(&read, "checkout").unwrap());
    config["standing"] =
        json!({"checkout": {"of": of, "phase": phase, "steps": steps, "since": "2026-01-01T00:00:00Z"}});
    config
}

/// What a load has seen.
#[derive(Debug, Default)]
struct Seen {
    port: AtomicU16,
    v1: AtomicU64,
    v2: AtomicU64,
    stop: AtomicBool,
}

impl Seen {
    fn take(&self, client: &mut Client, number: u64) -> Option<()> {
        let answer = client.try_send(&Request::get("/").header("x-user-id", format!("user-{number}"))).ok()?;
        // While a proxy ends, an answer may be none of a version.
        if answer.status == 200 {
            let of = if answer.upstream().version == "v2" { &self.v2 } else { &self.v1 };
            of.fetch_add(1, Ordering::Relaxed);
        }
        Some(())
    }

    /// One client, which goes over to wherever the proxy is.
    fn send(&self, part: u64) {
        let (mut at, mut client) = (0, Client::new(1));
        for number in 0.. {
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            let now = self.port.load(Ordering::Relaxed);
            if now != at {
                (at, client) = (now, Client::new(now));
            }
            if self.take(&mut client, (number * 4 + part) % PEOPLE).is_none() {
                client = Client::new(at);
                thread::sleep(std::time::Duration::from_millis(5));
            }
            thread::sleep(std::time::Duration::from_millis(2));
        }
    }
}

/// How many of so many people are due to get `v2`, by the filter's own code.
fn due(config: &Value, people: u64) -> usize {
    let mut proxy = Simulated::new("due", "tidegate");
    assert!(proxy.push(&config.to_string()));
    let mut ask = |number: u64| {
        let user = format!("user-{number}");
        let headers = [(":method", "GET"), (":authority", "shop.example"), (":path", "/"), ("x-user-id", &*user)];
        proxy.request("x-upstream-version", &headers, |_| 200)
    };
    (0..people).filter(|number| ask(*number).as_deref() == Some("v2")).count()
}

/// Does all of it under load; nobody may get `v2`.
fn holds(config: &Value) {
    // Some of a million are at the first step of a ramp.
    assert_eq!(due(config, PEOPLE), 0);
    let scene = || Scene::new(config.to_string()).vm_id("tidegate").concurrency(2);
    let mut envoy = scene().start();
    let seen = Seen::default();
    let look = |envoy: &Envoy| seen.port.store(envoy.port("ingress"), Ordering::Relaxed);
    look(&envoy);
    let counts = || [&seen.v1, &seen.v2].map(|count| count.load(Ordering::Relaxed));
    let mut told = vec![(String::from("begin"), counts())];
    thread::scope(|scope| {
        for part in 0..4 {
            let seen = &seen;
            scope.spawn(move || seen.send(part));
        }
        let stopping = Stopping(&seen.stop);
        for _ in 0..times() {
            envoy.restart();
            look(&envoy);
            let before = counts()[0];
            envoy.poll("requests", || (counts()[0] > before + 20).then_some(()));
        }
        told.push((String::from("kill -9"), counts()));
        for _ in 0..times() {
            let another = scene().start();
            look(&another);
            let before = counts()[0];
            another.poll("requests", || (counts()[0] > before + 20).then_some(()));
            look(&envoy);
        }
        told.push((String::from("scale-out"), counts()));
        // Another file is another library, which Envoy does not load again.
        for version in (1_000..1_000 + times()).filter(|_| Door::default() == Door::Wasm) {
            let mut next = config.clone();
            next["revision"] = format!("r{version}").into();
            envoy.upgrade(&next.to_string(), version);
            let gauge = format!("wasmcustom.tidegate.config.revision=.=r{version};.;info");
            envoy.poll("the new VM", || (envoy.stat(&gauge) == Some(1)).then_some(()));
            let before = counts()[0];
            envoy.poll("requests", || (counts()[0] > before + 20).then_some(()));
        }
        told.push((String::from("new VM"), counts()));
        drop(stopping);
    });
    for pair in told.windows(2) {
        let [v1, v2] = [0, 1].map(|at| pair[1].1[at] - pair[0].1[at]);
        println!("{} {} times: {} requests, {v2} to v2", pair[1].0, times(), v1 + v2);
        assert_eq!(v2, 0, "{}", pair[1].0);
    }
}

struct Stopping<'s>(&'s AtomicBool);

impl Drop for Stopping<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn nobody_gets_a_version_that_was_rolled_back() {
    holds(&config("rolledBack", &json!({}), &json!([{"percent": 100, "serve": "v2"}])));
}

#[test]
fn nobody_gets_to_a_later_step_of_a_ramp_that_is_held() {
    let rules = json!([{"serve": "v2", "steps": [
        {"at": "2020-01-01T00:00:00Z", "percent": 0.0001}, {"at": "2020-01-02T00:00:00Z", "percent": 100}]}]);
    holds(&config("held", &json!({"1": 1}), &rules));
}
