//! Measures a decision natively: one flag, many flags, many flags of which few match, and compiling a config.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs,
    unreachable_pub,
    reason = "a benchmark that cannot go on stops"
)]

mod fixture;

use std::collections::BTreeMap;
use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use serde_json::{Value, json};
use tidegate_engine::decide::decide;
use tidegate_engine::decide::standing::Standing;
use tidegate_engine::output::effect::{OnResponse, on_request};
use tidegate_engine::plan::Plan;
use tidegate_engine::value::time::Timestamp;
use tidegate_proxy::guard::{Keep, Store, Worker};
use tidegate_proxy::outcome::{Answer, Time};

use fixture::{flag, flags, plan, request};

fn deciding(criterion: &mut Criterion) {
    let now = Timestamp::from_millis(0);
    let one = plan(&json!({"checkout": flag(Value::Null)}));
    let seen = request(&one);
    criterion.bench_function("decide/one flag, one condition, 50 %", |bench| {
        bench.iter(|| decide(black_box(&one), black_box(&seen), &Standing::NONE, now));
    });
    criterion.bench_function("request/12 headers", |bench| bench.iter(|| request(black_box(&one))));
    criterion.bench_function("whole/12 headers, one flag", |bench| {
        bench.iter(|| {
            let seen = request(black_box(&one));
            let decisions = decide(&one, &seen, &Standing::NONE, now);
            (on_request(&one, &seen, &decisions).len(), OnResponse::new(&one, &seen, &decisions))
        });
    });
    let mut group = criterion.benchmark_group("decide/flags that all match");
    for count in [1, 10, 100, 1_000] {
        let plan = flags(count, |_| Value::Null);
        let seen = request(&plan);
        group.bench_with_input(BenchmarkId::from_parameter(count), &plan, |bench, plan| {
            bench.iter(|| decide(plan, &seen, &Standing::NONE, now));
        });
    }
    group.finish();
    for kind in ["host", "path"] {
        let mut group = criterion.benchmark_group(format!("decide/of 1000 flags match, by {kind}"));
        for count in [1, 10, 100] {
            let plan = flags(1_000, |n| match (kind, n < count) {
                ("host", true) => json!({"hosts": ["shop.example"]}),
                ("host", false) => json!({"hosts": [format!("s{n}.example")]}),
                (_, true) => json!({"paths": ["/api"]}),
                (_, false) => json!({"paths": [format!("/p{n}")]}),
            });
            let seen = request(&plan);
            group.bench_with_input(BenchmarkId::from_parameter(count), &plan, |bench, plan| {
                bench.iter(|| decide(plan, &seen, &Standing::NONE, now));
            });
        }
        group.finish();
    }
}

fn compiling(criterion: &mut Criterion) {
    // Short rules: 20 for each of 1,000 flags have to fit the limit of 512 KiB.
    let rules: Vec<Value> =
        (0..20).map(|n| if n < 10 { json!({"percent": n, "serve": "on"}) } else { json!({"serve": "on"}) }).collect();
    let flags: serde_json::Map<String, Value> =
        (0..1_000).map(|n| (format!("f{n}"), json!({"rules": rules}))).collect();
    let config = json!({"version": 1, "flags": flags}).to_string();
    let mut group = criterion.benchmark_group("compile");
    group.sample_size(20);
    group.bench_function(format!("1000 flags x 20 rules, {} KiB", config.len() / 1024), |bench| {
        bench.iter(|| Plan::from_bytes(black_box(config.as_bytes())));
    });
    group.finish();
}

/// A store in which a worker is alone.
#[derive(Default)]
struct Alone(BTreeMap<String, Vec<u8>>);

impl Store for Alone {
    fn read(&mut self, key: &str) -> (Option<Vec<u8>>, Option<u32>) {
        (self.0.get(key).cloned(), Some(1))
    }

    fn write(&mut self, key: &str, value: &[u8], _: Option<u32>) -> bool {
        self.0.insert(key.to_owned(), value.to_vec());
        true
    }
}

fn guarding(criterion: &mut Criterion) {
    let plan = plan(&json!({"checkout": {
        "rules": [{"percent": 50, "serve": "on"}],
        "guard": {"errors": {"max": 5}, "latency": {"percentile": 99, "overBaseline": 1.5}},
    }}));
    let (seen, answer) = (request(&plan), Answer { code: Some(200), time: Time::Answered(5_000), ..Answer::default() });
    let (mut store, now) = (Alone::default(), Timestamp::from_millis(0));
    let mut worker = Worker::new(&plan, now, &mut store, &mut Keep::default());
    criterion.bench_function("guard/one request: standing, decision, count", |bench| {
        bench.iter(|| {
            let decisions = decide(&plan, &seen, worker.standing(now), now);
            let entries = worker.served(&decisions);
            worker.done(&plan, &entries, now, &answer);
        });
    });
    let mut millis = 0;
    criterion.bench_function("guard/one tick: merge, judge, hand on", |bench| {
        bench.iter(|| {
            let decisions = decide(&plan, &seen, worker.standing(now), now);
            let entries = worker.served(&decisions);
            worker.done(&plan, &entries, now, &answer);
            millis += 250;
            worker.tick(&plan, Timestamp::from_millis(millis), &mut store).len()
        });
    });
}

criterion_group!(benches, deciding, guarding, compiling);
criterion_main!(benches);
