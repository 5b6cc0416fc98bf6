//! Holds guards to what they are for: a version that fails is found in seconds, and a healthy one is left alone.
//!
//! The same simulation, on a smaller scale, as that of `make simulate`. Its seeds are fixed: a failure is a change
//! in the guard or in the simulation, never bad luck.

use kit::simulate::{Clients, Faults, HOUR, Times, Traffic, all, find, limits, watch, watch_clients};
use tidegate_proxy::guard::verdict::{Limits, Verdict};
use tidegate_proxy::guard::window::Measure;

const TRAFFIC: Traffic = Traffic { requests: 100, canary: 10 };

/// The limits that the simulation uses for errors, with an absolute one and without.
fn both() -> Limits {
    limits(Measure::Errors, Some(5), Some(2))
}

fn over() -> Limits {
    limits(Measure::Errors, None, Some(2))
}

fn times(traffic: Traffic, percent: u32, limits: Limits, runs: u32) -> Vec<Option<u32>> {
    all(runs, |run| find(traffic, Faults::of_variant(percent), limits, run), |_| {})
}

#[test]
fn the_same_seeds_give_the_same_numbers() {
    let found = || times(TRAFFIC, 50, both(), 4);
    let first = found();
    assert_eq!(first, found());
    assert_eq!(first, [3_401, 3_739, 2_371, 2_138].map(Some));
    assert_eq!(times(Traffic { requests: 1_000, canary: 5 }, 5, over(), 3), [12_530, 13_827, 14_387].map(Some));
}

#[test]
fn a_version_that_breaks_is_found_in_seconds() {
    let times = Times::new(times(TRAFFIC, 50, both(), 40));
    assert!(times.percentile(50).is_some_and(|median| median < 4_000), "{times:?}");
    assert!(times.percentile(100).is_some_and(|longest| longest < 15_000), "{times:?}");
}

#[test]
fn slow_answers_are_found_like_errors() {
    let slow = times(TRAFFIC, 50, limits(Measure::Latency, Some(5), Some(2)), 3);
    assert_eq!(slow, times(TRAFFIC, 50, both(), 3));
}

#[test]
fn a_healthy_version_is_left_alone() {
    for (requests, canary) in [(10, 10), (100, 5), (1_000, 50)] {
        let traffic = Traffic { requests, canary };
        let hours = all(2, |hour| watch(traffic, Faults::alike(1), over(), hour, HOUR), |_| {});
        assert_eq!(hours, [(None, Verdict::Healthy); 2], "{traffic:?}");
    }
}

#[test]
fn one_client_that_always_fails_speaks_for_nobody_else() {
    let faults = Faults { broken_client: 20, ..Faults::alike(1) };
    assert_eq!(watch(TRAFFIC, faults, over(), 0, HOUR), (None, Verdict::Healthy));
}

#[test]
fn clients_that_break_one_by_one_move_nothing() {
    for (identities, requests, canary) in [(2_000, 1_000, 5), (200, 100, 10), (150, 100, 10)] {
        let clients = Clients { identities, traffic: Traffic { requests, canary }, background: 1 };
        let days = all(2, |day| watch_clients(clients, over(), day, 3 * HOUR), |_| {});
        assert_eq!(days, [None; 2], "{clients:?}");
    }
}

#[test]
fn a_version_that_fails_as_its_baseline_does_is_left_alone() {
    let faults = Faults::alike(50);
    assert_eq!(watch(TRAFFIC, faults, over(), 0, HOUR), (None, Verdict::Healthy));
    let (rolled_back, last) = watch(TRAFFIC, faults, both(), 0, HOUR);
    assert!(rolled_back.is_none() && matches!(last, Verdict::BothBad(_)), "{last:?}");
}

#[test]
fn silence_is_not_enough_to_say() {
    let nobody = |requests, canary| watch(Traffic { requests, canary }, Faults::alike(1), both(), 0, HOUR / 4);
    assert_eq!(nobody(0, 10), (None, Verdict::NotEnough));
    assert_eq!(nobody(100, 0), (None, Verdict::NotEnough));
    assert_eq!(nobody(100, 100), (None, Verdict::NotEnough));
}
