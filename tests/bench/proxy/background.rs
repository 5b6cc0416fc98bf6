//! What is not paid for a request: guards on the tick, and a push of the largest config.

use std::time::{Duration, Instant};

use kit::envoy::{Envoy, Pushed};
use kit::http::Request;
use kit::scene::Scene;
use serde_json::{Value, json};

/// What guards cost while nobody counts, and while all of them do: CPU time of one Envoy with two workers.
pub fn tick() {
    println!();
    for guards in [0, 1, 10, 100] {
        let flag = json!({"rules": [{"percent": 50, "serve": "on"}], "guard": {"errors": {"max": 5}}});
        let flags: serde_json::Map<String, Value> = (0..guards).map(|n| (format!("f{n}"), flag.clone())).collect();
        let config = json!({"version": 1, "identity": [{"header": "x-user-id"}], "flags": flags}).to_string();
        let envoy = Scene::new(config).concurrency(2).start();
        let cpu = |pause: Duration, requests: usize| {
            let (before, start) = (envoy.cpu_seconds().unwrap(), Instant::now());
            let mut client = envoy.client();
            for n in 0..requests {
                client.send(&Request::get("/api/cart?item=7").header("x-user-id", format!("user-{n}")));
                std::thread::sleep(pause);
            }
            (envoy.cpu_seconds().unwrap() - before) / start.elapsed().as_secs_f64() * 1e3
        };
        let counting = cpu(Duration::from_millis(20), 250);
        let idle = cpu(Duration::from_secs(5), 1);
        println!(
            "{guards:3} guards, 2 workers: {idle:5.1} ms a second when idle, {counting:5.1} at 50 requests a second"
        );
    }
}

/// How long the module takes for the largest configs, by Envoy's own clock: from one line of its log to the next.
pub fn configure() {
    let rules: Vec<Value> =
        (0..20).map(|n| if n < 10 { json!({"percent": n, "serve": "on"}) } else { json!({"serve": "on"}) }).collect();
    let flags: serde_json::Map<String, Value> =
        (0..1_000).map(|n| (format!("f{n}"), json!({"rules": rules}))).collect();
    let config = json!({"version": 1, "flags": flags}).to_string();
    let envoy = Scene::new(r#"{"version": 1}"#).start();
    let small = seconds(&envoy, r#"{"version": 1, "revision": "small"}"#);
    let large = seconds(&envoy, &config);
    // A push is judged once and loaded by the main thread and by each worker: three times with one worker.
    println!(
        "\na push of 1,000 flags x 20 rules ({} KiB): {:.0} ms for three VMs, {:.0} ms each",
        config.len() / 1024,
        large * 1e3,
        (large - small) / 3.0 * 1e3
    );
}

fn seconds(envoy: &Envoy, config: &str) -> f64 {
    let begun = std::time::Instant::now();
    assert_eq!(envoy.push(config), Pushed::Accepted);
    begun.elapsed().as_secs_f64()
}
