//! What is not paid for a request: a push of the largest config, guards on the tick, memory.

use std::time::{Duration, Instant};

use kit::envoy::{Envoy, Pushed};
use kit::http::Request;
use kit::scene::Scene;
use serde_json::{Map, Value, json};

use crate::cells::Way;
use crate::config::{largest, routing};
use crate::latency::Rate;
use crate::load::{Load, request};
use crate::report::Report;

/// A rate at which nothing queues.
const RATE: f64 = 500.0;

/// How long a push takes, and the longest request meanwhile, beside one of the same time without a push.
pub fn push(report: &mut Report, ways: &[Way]) {
    let users: Vec<Vec<u8>> = (0..1_000).map(request).collect();
    let config = largest().to_string();
    let rows = ways.iter().map(|way| {
        let envoy = way.scene(&routing(1)).silent_upstreams().start();
        let small = seconds(&envoy, &json!({"version": 1, "revision": "small"}).to_string());
        let longest = |span: Duration| {
            let times = Rate::of(RATE).run(envoy.port("ingress"), span, &users);
            times.into_iter().max().unwrap_or_default().as_secs_f64() * 1e3
        };
        let mut quiet: Vec<f64> = (0..3).map(|_| longest(Duration::from_secs(1))).collect();
        let (mut loaded, mut pushes) = (Vec::new(), Vec::new());
        for number in 0..3 {
            let config = config.replacen("{\"", &format!("{{\"revision\":\"{number}\",\""), 1);
            std::thread::scope(|scope| {
                let push = scope.spawn(|| {
                    std::thread::sleep(Duration::from_millis(300));
                    seconds(&envoy, &config)
                });
                loaded.push(longest(Duration::from_secs(1)));
                pushes.push(push.join().expect("a push"));
            });
        }
        for list in [&mut quiet, &mut loaded, &mut pushes] {
            list.sort_by(f64::total_cmp);
        }
        (way.name.clone(), [small * 1e3, pushes[1] * 1e3, quiet[1], loaded[1]])
    });
    report.push(&rows.collect::<Vec<_>>(), config.len());
}

fn seconds(envoy: &Envoy, config: &str) -> f64 {
    let begun = Instant::now();
    assert_eq!(envoy.push(config), Pushed::Accepted);
    begun.elapsed().as_secs_f64()
}

/// What a worker more takes, at 50 flags and after some load, in MiB: between two workers and six.
pub fn memory(report: &mut Report, ways: &[Way]) {
    let users: Vec<Vec<u8>> = (0..1_000).map(request).collect();
    let resident = |scene: &Scene, workers: u32| {
        let envoy = scene.clone().silent_upstreams().concurrency(workers).start();
        for _ in 0..10 {
            Load::open(envoy.port("ingress")).run(&users);
        }
        envoy.rss_bytes().unwrap_or_default() as f64 / f64::from(1 << 20)
    };
    let scenes = ways.iter().map(|way| (way.name.clone(), way.scene(&routing(49))));
    let rows = std::iter::once(("no filter".to_owned(), Scene::bare())).chain(scenes).map(|(name, scene)| {
        let [two, six] = [2, 6].map(|workers| resident(&scene, workers));
        (name, [two, (six - two) / 4.0])
    });
    report.memory(&rows.collect::<Vec<_>>());
}

/// What guards cost while nobody counts, and while all of them do: CPU time of one Envoy with two workers.
pub fn tick(report: &mut Report) {
    let rows = [0, 1, 10, 100].map(|guards| {
        let flag = json!({"rules": [{"percent": 50, "serve": "on"}], "guard": {"errors": {"max": 5}}});
        let flags: Map<String, Value> = (0..guards).map(|n| (format!("f{n}"), flag.clone())).collect();
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
        (guards, cpu(Duration::from_secs(5), 1), counting)
    });
    report.guards(&rows);
}
