//! Runs the guards through hours in seconds: what they do with bad versions, odd clocks, pushes and lost swaps.
//!
//! The timelines are data, in `tests/timelines`; here stands what needs a hand inside: a store that refuses, races,
//! or holds what nobody wrote. Native and without a clock: no Envoy, and nothing sleeps.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a timeline that fails stops its test, with a message"
)]

use kit::cluster::{Cluster, Load, Manner, Memory, TICK, compile};
use kit::timeline::run_all;
use proptest::prelude::*;
use serde_json::{Value, json};
use tidegate_engine::decide::standing::Phase;
use tidegate_engine::value::time::Timestamp;
use tidegate_proxy::guard::ledger::Ledger;
use tidegate_proxy::guard::{Keep, Store, Worker};

const BEGINS: Timestamp = Timestamp::from_millis(1_800_000_000_000);

fn config() -> Value {
    json!({
        "version": 1,
        "identity": [{"header": "x-user"}],
        "flags": {"checkout": {
            "variants": ["v1", {"name": "v2", "limit": {"requests": "1000/s"}}], "baseline": "v1",
            "rules": [{"percent": 50, "serve": "v2"}],
            "guard": {"errors": {"max": "5%"}, "latency": {"percentile": 99, "max": "800ms"}},
        }},
    })
}

/// A load under which v2 fails half of its requests.
fn bad(millis: i64) -> Load {
    let manner = Manner { errors: 500_000, ..Manner::default() };
    Load { millis, rate: 100, users: 1_000, tick: TICK, manners: [("v2".into(), manner)].into(), ..Load::default() }
}

/// The ledger of a flag that is rolled back, with its key.
fn rolled_back() -> (String, Vec<u8>) {
    let mut cluster = Cluster::new("checkout", &config(), 2, BEGINS);
    cluster.run(&bad(5_000));
    assert_eq!(cluster.phases(), [Phase::RolledBack; 2]);
    cluster.ledger()
}

#[test]
fn timelines_are_as_written() {
    let count = run_all();
    println!("{count} timelines");
    assert!(count >= 40, "timelines have gone missing: {count}");
}

#[test]
fn counts_wait_until_the_store_takes_them() {
    // A second without a tick, and the same second with ticks whose swaps are all lost, come to the same ledger.
    let ledger = |refuses: bool| {
        let mut cluster = Cluster::new("checkout", &config(), 1, BEGINS);
        cluster.store.refuses = if refuses { u32::MAX } else { 0 };
        let seen = cluster.run(&Load { tick: if refuses { TICK } else { i64::MAX }, ..bad(1_100) });
        assert!(seen.events.is_empty());
        cluster.store.refuses = 0;
        let seen = cluster.run(&Load { rate: 0, ..bad(300) });
        assert!(cluster.at > 1_250 && seen.events.len() <= 1);
        cluster.ledger()
    };
    assert_eq!(ledger(true), ledger(false));
}

#[test]
fn a_rollback_is_taken_up_by_a_worker_whose_swaps_are_lost() {
    let (key, bytes) = rolled_back();
    // A proxy that knows nothing of it, with counts of its own, and a store that another worker writes all the time.
    let mut other = Cluster::new("checkout", &config(), 1, BEGINS);
    other.run(&bad(200));
    other.store.put(&key, &bytes);
    other.store.refuses = u32::MAX;
    other.run(&bad(100));
    assert_eq!(other.phases(), [Phase::RolledBack]);
}

/// A store to which another worker writes, once, between what this one reads and what it writes.
struct Racing<F> {
    memory: Memory,
    other: Option<F>,
}

impl<F: FnOnce(&mut Memory)> Store for Racing<F> {
    fn read(&mut self, key: &str) -> (Option<Vec<u8>>, Option<u32>) {
        self.memory.read(key)
    }

    fn write(&mut self, key: &str, value: &[u8], version: Option<u32>) -> bool {
        if let Some(other) = self.other.take() {
            other(&mut self.memory);
        }
        self.memory.write(key, value, version)
    }
}

#[test]
fn two_workers_that_begin_at_once_are_two() {
    let plan = compile(&config());
    let vm = || {
        let mut keep = Keep::default();
        (Worker::new(&plan, BEGINS, &mut Memory::default(), &mut keep), keep)
    };
    let (_one, mut keep) = vm();
    let other = |memory: &mut Memory| {
        let (_two, mut keep) = vm();
        keep.tick(BEGINS, memory);
    };
    let mut store = Racing { memory: Memory::default(), other: Some(other) };
    keep.tick(BEGINS, &mut store);
    let (_, count) = store.memory.find("workers").unwrap();
    assert_eq!(count, 2_u32.to_le_bytes(), "two workers have one number, and each takes the whole limit");
}

#[test]
fn a_ledger_that_two_workers_begin_at_once_is_written_over_by_none() {
    let plan = compile(&config());
    let mut memory = Memory::default();
    let mut worker = Worker::new(&plan, BEGINS, &mut memory, &mut Keep::default());
    let (key, bytes) = rolled_back();
    let other = move |memory: &mut Memory| memory.put(&key, &bytes);
    let now = Timestamp::from_millis(BEGINS.millis() + 100);
    worker.tick(&plan, now, &mut Racing { memory, other: Some(other) });
    assert_eq!(worker.standing(now).of(Some(0)).phase, Phase::RolledBack, "the rollback was written over");
}

/// The config with another salt, which is another generation of the flag.
fn salted(salt: &str) -> Value {
    let mut config = config();
    config["flags"]["checkout"]["salt"] = salt.into();
    config
}

#[test]
fn a_generation_that_comes_back_at_once_is_still_rolled_back() {
    let mut cluster = Cluster::new("checkout", &salted("a"), 2, BEGINS);
    cluster.run(&bad(5_000));
    assert_eq!(cluster.phases(), [Phase::RolledBack; 2]);
    cluster.push(&salted("b"));
    assert_eq!(cluster.phases(), [Phase::Running; 2]);
    cluster.run(&Load { manners: [].into(), ..bad(1_000) });
    cluster.push(&salted("a"));
    assert_eq!(cluster.phases(), [Phase::RolledBack; 2]);
    let seen = cluster.run(&bad(2_000));
    assert!(seen.events.is_empty() && seen.requests.iter().all(|(_, variant, _)| variant == "v1"), "{:?}", seen.events);
}

#[test]
fn what_was_counted_of_a_generation_goes_with_it() {
    let mut cluster = Cluster::new("checkout", &salted("0"), 2, BEGINS);
    let good = Load { manners: [].into(), ..bad(1_500) };
    cluster.run(&good);
    let one = cluster.store.size("guard/");
    for n in 1..=50 {
        cluster.push(&salted(&n.to_string()));
        cluster.run(&good);
    }
    let all = cluster.store.size("guard/");
    println!("{one} bytes of one generation, {all} of 51");
    assert!(all < 2 * one + 51 * 40, "{all} bytes, {one} of one");
    // Of one that two workers still have, nothing is lost by a third that has it no more.
    cluster.push(&salted("x"));
    cluster.run(&bad(5_000));
    assert_eq!(cluster.phases(), [Phase::RolledBack; 2]);
    let plan = compile(&salted("x"));
    let mut keep = Keep::default();
    drop(Worker::new(&plan, cluster.now(), &mut cluster.store, &mut keep));
    keep.tick(cluster.now(), &mut cluster.store);
    assert!(cluster.store.size(&plan_key(&plan)) < 40);
    cluster.run(&bad(2_000));
    assert_eq!(cluster.phases(), [Phase::RolledBack; 2]);
}

/// Under which key the ledger of the flag is kept: it is the only one of a cluster with this config.
fn plan_key(plan: &std::rc::Rc<tidegate_engine::plan::Plan>) -> String {
    let mut store = Memory::default();
    let mut worker = Worker::new(plan, BEGINS, &mut store, &mut Keep::default());
    worker.tick(plan, BEGINS, &mut store);
    store.find("guard/").unwrap().0.to_owned()
}

#[test]
fn requests_in_flight_and_counts_outlive_a_push() {
    let limited = |revision: usize, most: u32| {
        let mut config = config();
        config["revision"] = revision.to_string().into();
        config["flags"]["checkout"]["variants"] = json!(["v1", {"name": "v2", "limit": {"inFlight": most}}]);
        config["flags"]["checkout"]["rules"] = json!([{"serve": "v2"}]);
        config
    };
    let mut cluster = Cluster::new("checkout", &limited(0, 6), 2, BEGINS);
    let most = |seen: &kit::cluster::Seen| seen.in_flight.get("v2").copied().unwrap_or(0);
    let manner = Manner { latency: (3_000, 3_000), ..Manner::default() };
    let load = Load { manners: [("v2".into(), manner)].into(), ..bad(400) };
    for n in 1..=20 {
        let seen = cluster.run(&load);
        assert!(most(&seen) <= 8, "{} after {n} pushes", most(&seen));
        cluster.push(&limited(n, 6));
    }
    // A lower limit holds for those that are in flight, too.
    cluster.push(&limited(21, 2));
    cluster.run(&Load { millis: 4_000, ..load.clone() });
    let seen = cluster.run(&Load { millis: 4_000, ..load });
    assert!((1..=4).contains(&most(&seen)), "{}", most(&seen));
}

#[test]
fn the_last_events_are_kept() {
    let mut config = config();
    config["flags"]["checkout"]["guard"]["action"] = json!("alert");
    config["flags"]["checkout"]["guard"]["window"] = json!("1s");
    let mut cluster = Cluster::new("checkout", &config, 2, BEGINS);
    let mut told = Vec::new();
    for _ in 0..80 {
        for load in [bad(2_000), Load { manners: [].into(), ..bad(2_000) }] {
            told.extend(cluster.run(&load).events.into_iter().map(|(_, line)| line));
        }
    }
    assert!(told.len() > 64, "{}", told.len());
    let (_, kept) = cluster.store.find("events").unwrap();
    let kept = String::from_utf8(kept.to_vec()).unwrap();
    let kept: Vec<&str> = kept.lines().map(|line| line.split_once(' ').unwrap().1).collect();
    assert_eq!(kept, told[told.len() - 64..]);
}

/// A ledger as it is kept, after some time under a load.
fn kept() -> impl Strategy<Value = (String, Vec<u8>)> {
    (0..4_000_i64, 0..200_i64, 0..1_000_000_u64, 1..1_000_u64).prop_map(|(millis, rate, errors, latency)| {
        let mut cluster = Cluster::new("checkout", &config(), 2, BEGINS);
        let manner = Manner { errors, latency: (0, latency), ..Manner::default() };
        cluster.run(&Load { rate, manners: [("v2".into(), manner)].into(), ..bad(1_000 + millis) });
        cluster.ledger()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn a_ledger_is_kept_as_it_is((_, bytes) in kept()) {
        let plan = compile(&config());
        let (watch, flag) = (&plan.watches()[0], &plan.flags()[0]);
        let mut ledger = Ledger::from_bytes(&bytes, watch, flag).expect("it was written");
        prop_assert_eq!(ledger.to_bytes(), bytes.clone());
        prop_assert_eq!(Ledger::from_bytes(&ledger.to_bytes(), watch, flag), Some(ledger));
        prop_assert_eq!(Ledger::from_bytes(&bytes[..bytes.len() - 1], watch, flag), None);
        prop_assert_eq!(Ledger::from_bytes(&[&bytes[..], &[1]].concat(), watch, flag), None);
    }

    #[test]
    fn a_ledger_with_broken_bytes_stops_nobody(
        (key, mut bytes) in kept(),
        broken in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        for (place, byte) in broken {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        let mut cluster = Cluster::new("checkout", &config(), 2, BEGINS);
        cluster.store.put(&key, &bytes);
        cluster.reload();
        cluster.run(&bad(1_500));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn what_is_no_ledger_is_nothing(form in 0..3_u8, mut bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if form < 2 && let Some(first) = bytes.first_mut() {
            *first = form;
        }
        let mut cluster = Cluster::new("checkout", &config(), 2, BEGINS);
        let plan = compile(&config());
        prop_assume!(Ledger::from_bytes(&bytes, &plan.watches()[0], &plan.flags()[0]).is_none());
        let key = {
            cluster.run(&bad(300));
            cluster.ledger().0
        };
        for key in [&key, "workers", "events", "limit/checkout/v2"] {
            cluster.store.put(key, &bytes);
        }
        cluster.reload();
        let seen = cluster.run(&Load { rate: 100, manners: [].into(), ..bad(1_000) });
        prop_assert_eq!(cluster.phases(), [Phase::Running; 2]);
        prop_assert!(seen.events.is_empty(), "{:?}", seen.events);
    }
}
