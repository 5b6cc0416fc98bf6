//! Wears a real Envoy with the filter down: a storm of large pushes under load, and a long steady load.
//!
//! Not part of `cargo test`: `make storm` and `make soak` run it, for as long as they are told. What must hold: no
//! request fails, and the memory of the second half is that of the first, within a tenth.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_precision_loss,
    clippy::disallowed_methods,
    clippy::float_arithmetic,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a run that fails stops, with a message; how long it takes is the point"
)]

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use kit::envoy::{Envoy, Pushed};
use kit::http::Request;
use kit::scene::Scene;
use serde_json::{Map, Value, json};

/// How long to go on: `SECONDS_LONG`, or this.
fn seconds(without: u64) -> u64 {
    std::env::var("SECONDS_LONG").ok().and_then(|text| text.parse().ok()).unwrap_or(without)
}

/// A config of some 200 KB: 1,000 flags, one of which matches.
fn large(revision: usize) -> String {
    let rule = json!({"when": {"header": "x-country", "in": ["DE", "FR", "IT", "ES", "PT", "NL", "BE", "PL", "AT", "CZ", "DK", "FI", "SE", "HU"]}, "percent": 5, "serve": "on"});
    let mut flags: Map<String, Value> = (0..999)
        .map(|n| (format!("flag-{n}"), json!({"match": {"paths": [format!("/elsewhere/{n}")]}, "rules": [rule]})))
        .collect();
    flags.insert("nav".to_owned(), json!({"rules": [{"percent": 50, "serve": "on"}]}));
    json!({"version": 1, "revision": revision.to_string(), "identity": [{"header": "x-user-id"}], "flags": flags})
        .to_string()
}

/// Keeps two connections busy while `work` goes on; how many requests there were, none of them failed.
fn under_load(envoy: &Envoy, pause: Duration, work: impl FnOnce()) -> usize {
    let (stop, sent) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        let (stop, sent) = (&stop, &sent);
        for part in 0..2 {
            scope.spawn(move || {
                let mut client = envoy.client();
                for n in (0..).take_while(|_| !stop.load(Ordering::Relaxed)) {
                    let response =
                        client.send(&Request::get("/").header("x-user-id", format!("user-{}", 2 * n + part)));
                    assert_eq!(response.status, 200, "{}", response.text());
                    assert!(response.upstream().header("x-flag-nav").is_some(), "undecided");
                    sent.fetch_add(1, Ordering::Relaxed);
                    thread::sleep(pause);
                }
            });
        }
        let _end = Stop(stop);
        work();
    });
    sent.into_inner()
}

/// Stops the load also when the work panics.
struct Stop<'s>(&'s AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Holds the highest memory of the second half against that of the first.
fn is_level(what: &str, memory: &[u64]) {
    let (first, second) = memory.split_at(memory.len() / 2);
    let most = |half: &[u64]| half.iter().copied().max().unwrap() as f64 / 1_048_576.0;
    println!("{what}: memory {:.1} MiB at most in the first half, {:.1} MiB in the second", most(first), most(second));
    assert!(most(second) <= most(first) * 1.1, "memory grows");
}

#[test]
#[ignore = "takes as long as it is told: make storm"]
fn storm() {
    let envoy = Scene::new(large(0)).concurrency(2).start();
    println!("pushes of {} KB", large(0).len() / 1_000);
    let (mut memory, mut pushes) = (Vec::new(), 0);
    let sent = under_load(&envoy, Duration::ZERO, || {
        let end = Instant::now() + Duration::from_secs(seconds(60));
        while Instant::now() < end {
            let next = Instant::now() + Duration::from_millis(100);
            pushes += 1;
            // Not waited for, as a control plane does not wait; now and then, that all is well.
            if pushes % 50 == 0 {
                assert_eq!(envoy.push(&large(pushes)), Pushed::Accepted);
            } else {
                envoy.publish(&large(pushes));
            }
            memory.push(envoy.rss_bytes().unwrap());
            if pushes % 100 == 0 {
                println!("{pushes} pushes");
            }
            thread::sleep(next.saturating_duration_since(Instant::now()));
        }
    });
    println!("{pushes} pushes and {sent} requests, none failed");
    is_level("storm", &memory);
}

#[test]
#[ignore = "takes as long as it is told: make soak"]
fn soak() {
    let envoy = Scene::new(large(0)).concurrency(2).start();
    let mut memory = Vec::new();
    let length = seconds(300);
    let sent = under_load(&envoy, Duration::from_micros(500), || {
        for second in 1..=length {
            thread::sleep(Duration::from_secs(1));
            // The first seconds fill pools and compile the module.
            if second > length / 10 {
                memory.push(envoy.rss_bytes().unwrap());
            }
            if second % 30 == 0 {
                println!("{second} of {length} s");
            }
        }
    });
    println!("{sent} requests in {length} s, none failed");
    is_level("soak", &memory);
}
