//! Pushes a large config to the built module: what a worker does in the push itself, and what on its ticks.
//!
//! Work is counted in the interpreter's fuel, some one unit an instruction, which is the same on every machine.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that cannot go on stops, with a message"
)]

use kit::envoy::module;
use kit::host::{Exchange, Host, Module, Proxy, Push};
use serde_json::{Map, Value, json};

/// A config of some 440 KiB that serves this value to everybody.
fn large(value: &str) -> String {
    let rules: Vec<Value> = (0..15).map(|n| json!({"percent": n, "serve": "on"})).collect();
    let matched = |n: usize| json!({"match": {"paths": [format!("/elsewhere/{n}")]}, "rules": rules});
    let mut flags: Map<String, Value> = (0..990).map(|n| (format!("flag-{n}"), matched(n))).collect();
    flags.insert("nav".to_owned(), json!({"variants": [value], "baseline": value}));
    json!({"version": 1, "revision": value, "flags": flags}).to_string()
}

/// What a worker tells the upstream.
fn served(host: &mut Host) -> String {
    let outcome = host.request(&Exchange::get("/")).unwrap();
    outcome.request.text("x-flag-nav").unwrap_or_default().to_owned()
}

#[test]
fn a_worker_accepts_what_another_has_found_good_and_reads_it_on_its_ticks() {
    let module = Module::load_metered(module(), 10_000_000_000).unwrap();
    let mut proxy = Proxy::new(&module, "tidegate", 2).unwrap();
    assert_eq!(proxy.push(large("one").as_bytes()).unwrap(), Push::Applied);
    let whole: Vec<u64> = proxy.workers().iter().map(Host::fuel_used).collect();
    for worker in proxy.workers() {
        assert_eq!(served(worker), "one", "a first config is in force at once");
    }
    // A request that is open keeps the root of the config before: it began there, and it ends there.
    let open: Vec<_> = proxy.workers().iter_mut().map(|worker| worker.open(&Exchange::get("/")).unwrap()).collect();
    assert_eq!(proxy.push(large("two").as_bytes()).unwrap(), Push::Applied);
    for (worker, whole) in proxy.workers().iter_mut().zip(whole) {
        let part = worker.fuel_used();
        println!("{part} of {whole} units of fuel in the push itself");
        assert!(part * 10 < whole, "{part} of {whole}");
        assert_eq!((served(worker).as_str(), worker.tick_millis()), ("one", 1));
    }
    // The clock stands still here, so that a slice never ends before the work does.
    proxy.tick_all().unwrap();
    for (worker, open) in proxy.workers().iter_mut().zip(open) {
        assert_eq!(served(worker), "two");
        worker.close(open).unwrap();
        assert!(worker.logs().iter().any(|(_, line)| line.contains("revision two is active")));
        assert_eq!(worker.roots().len(), 1, "{:?}", worker.roots());
    }
    // A new VM has nothing else to serve.
    assert_eq!(proxy.reload().unwrap(), Push::Applied);
    for worker in proxy.workers() {
        assert_eq!(served(worker), "two");
    }
}
