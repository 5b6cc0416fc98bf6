//! Holds that large configs are pushed without a request that waits for them or is decided by half of one.
//!
//! Such a config is in force some milliseconds after Envoy's answer to the push: each worker reads it in parts.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use kit::envoy::{Envoy, Pushed, module};
use kit::http::Request;
use kit::scene::Scene;
use serde_json::{Map, Value, json};

use super::Stopping;

/// A config of nearly 500 KiB. Its first and its last flag serve everybody its name; the others match other paths.
fn large(revision: usize) -> String {
    let segment = |n: usize| {
        let values: Vec<String> = (0..10).map(|value| format!("value-{n}-{value}")).collect();
        let parts =
            json!([{"header": format!("x-h{}", n % 50), "in": values}, {"cookie": "c", "equals": n.to_string()}]);
        (format!("segment-{n}"), json!({ "any": parts }))
    };
    let mut segments: Map<String, Value> = (0..200).map(segment).collect();
    let list: Vec<String> = (0..9_000).map(|n| format!("user-{n:06}")).collect();
    segments.insert("list".to_owned(), json!({"header": "x-user-id", "in": list}));
    let flag = |n: usize| {
        let rules = json!([
            {"when": {"segment": format!("segment-{}", n % 200)}, "serve": "on"},
            {"when": {"header": "x-country", "in": ["DE", "FR", "IT", "ES"]}, "percent": n % 100, "serve": "on"},
            {"percent": 5, "serve": "on"},
        ]);
        let matched = json!({"hosts": [format!("h{}.shop.example", n % 100)], "paths": [format!("/elsewhere/{n}")]});
        let description = format!("{:110}", "Says what the flag is for.");
        (format!("flag-{n}"), json!({"owner": "web", "description": description, "match": matched, "rules": rules}))
    };
    let mut flags: Map<String, Value> = (0..850).map(flag).collect();
    for name in ["a", "z"] {
        let value = format!("r{revision}");
        flags.insert(name.to_owned(), json!({"variants": [value], "baseline": value}));
    }
    json!({
        "version": 1, "revision": format!("revision-{revision}"), "identity": [{"header": "x-user-id"}],
        "segments": segments, "flags": flags,
    })
    .to_string()
}

/// What the longest request waits during a push of a large config: one worker, one connection, a steady load.
///
/// `MODULES=before.wasm,after.wasm` measures other modules than the built one, in turn; `CONFIGS=one.json,two.json`
/// other configs than a mixed one.
#[test]
#[ignore = "a measurement"]
fn measure_the_longest_request_during_a_push() {
    let listed = |name: &str| {
        let list = std::env::var(name).unwrap_or_default();
        list.split(',').filter(|path| !path.is_empty()).map(PathBuf::from).collect::<Vec<_>>()
    };
    let modules = Some(listed("MODULES")).filter(|modules| !modules.is_empty()).unwrap_or_else(|| vec![module()]);
    let mut configs = vec![("mixed".to_owned(), (0..=PUSHES).map(large).collect::<Vec<_>>())];
    for path in listed("CONFIGS") {
        let mut config: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        let each = (0..=PUSHES).map(|n| {
            config["revision"] = format!("revision-{n}").into();
            config.to_string()
        });
        configs.push((path.display().to_string(), each.collect()));
    }
    for (name, configs) in configs {
        println!("{name}, {} KiB, {PUSHES} pushes", configs[0].len() / 1_024);
        let start = |path: &PathBuf| Scene::new(configs[0].clone()).module(path).silent_upstreams().start();
        let envoys: Vec<Envoy> = modules.iter().map(start).collect();
        let mut longest = vec![(Vec::new(), Vec::new()); envoys.len()];
        for config in &configs[1..] {
            for (envoy, (quiet, pushed)) in envoys.iter().zip(&mut longest) {
                quiet.push(longest_request(envoy, || super::wait(200)));
                pushed.push(longest_request(envoy, || {
                    assert_eq!(envoy.push(config), Pushed::Accepted);
                    super::wait(150);
                }));
            }
        }
        for (module, (quiet, pushed)) in modules.iter().zip(longest) {
            println!(
                "  longest request with {}: {}; without a push: {}",
                module.display(),
                figures(pushed),
                figures(quiet)
            );
        }
    }
    println!("load: {}", fs::read_to_string("/proc/loadavg").unwrap_or_default().trim());
}

const PUSHES: usize = 30;

fn figures(mut all: Vec<Duration>) -> String {
    all.sort();
    let millis = |at: usize| all[at].as_secs_f64() * 1e3;
    let [lower, median, last] = [all.len() / 4, all.len() / 2, all.len() - 1].map(millis);
    format!("lower quartile {lower:.1}, median {median:.1}, max {last:.1} ms")
}

/// The longest of the requests that a steady load has while `work` goes on.
fn longest_request(envoy: &Envoy, work: impl FnOnce()) -> Duration {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let load = scope.spawn(|| {
            let mut client = envoy.client();
            let mut longest = Duration::ZERO;
            while !stop.load(Ordering::Relaxed) {
                let begun = Instant::now();
                client.send(&Request::get("/").header("x-user-id", "ana"));
                longest = longest.max(begun.elapsed());
                thread::sleep(Duration::from_micros(500));
            }
            longest
        });
        let stopping = Stopping(&stop);
        work();
        drop(stopping);
        load.join().unwrap()
    })
}

#[test]
fn each_request_is_decided_by_one_of_two_large_configs_and_in_the_end_by_the_new_one() {
    let envoy = Scene::new(large(0)).concurrency(2).start();
    assert!(large(0).len() > 480 * 1_024, "{}", large(0).len());
    let stop = AtomicBool::new(false);
    let seen = thread::scope(|scope| {
        let connections: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    let (mut client, mut seen) = (envoy.client(), Vec::new());
                    while !stop.load(Ordering::Relaxed) {
                        let upstream = client.send(&Request::get("/")).upstream();
                        let [a, z] = ["x-flag-a", "x-flag-z"].map(|name| upstream.header(name).map(str::to_owned));
                        assert!(a.is_some() && a == z, "{a:?} {z:?}");
                        seen.extend(a);
                        thread::sleep(Duration::from_millis(2));
                    }
                    seen
                })
            })
            .collect();
        let stopping = Stopping(&stop);
        for n in 1..=10 {
            assert_eq!(envoy.push(&large(n)), Pushed::Accepted);
            // By turns: wait until it is in force, or push into the work on it.
            if n % 2 == 0 {
                in_force(&envoy, n);
            }
        }
        drop(stopping);
        connections.into_iter().map(|connection| connection.join().unwrap()).collect::<Vec<_>>()
    });
    let revisions: BTreeSet<&String> = seen.iter().flatten().collect();
    println!("{} requests saw {revisions:?}", seen.iter().map(Vec::len).sum::<usize>());
    // No connection sees an older config after a newer one.
    for connection in &seen {
        let numbers: Vec<u32> = connection.iter().map(|value| value[1..].parse().unwrap()).collect();
        assert!(numbers.is_sorted(), "{numbers:?}");
    }
    let revisions = envoy.stats("tidegate.config.revision").into_iter().filter(|(_, value)| *value != 0);
    let revisions: Vec<String> = revisions.map(|(name, _)| name).collect();
    assert_eq!(revisions, ["wasmcustom.tidegate.config.revision=.=revision-10;.;info"]);
    assert!(!envoy.log().contains("[error]"), "{}", envoy.log());
}

/// Waits until so many new connections in a row, which Envoy spreads over its workers, are served this revision.
fn in_force(envoy: &Envoy, revision: usize) {
    let wanted = format!("r{revision}");
    envoy.poll("the new config", || {
        let served = |_| envoy.client().send(&Request::get("/")).upstream().header("x-flag-a") == Some(&wanted);
        (0..12).all(served).then_some(())
    });
}
