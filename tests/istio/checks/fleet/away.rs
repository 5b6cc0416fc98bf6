//! What the judge and who steers need is killed under load: no request is lost, ramps wait, it is said, and it goes on.

use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use tidegate_analysis::words::time::moment;
use tidegate_engine::value::time::Timestamp;

use super::super::Course;
use super::super::crowd::Load;
use super::super::forms::WASM_PLUGIN;
use super::world::World;
use super::{fail, give, guarded};
use crate::cluster::Cluster;
use crate::echo::FAILS;
use crate::land::{Job, get, poll};

/// How long after the push a step is due that waits for the fleet.
const DUE: Duration = Duration::from_secs(45);

/// How long what is away is away after that.
const AWAY: Duration = Duration::from_secs(15);

#[derive(Clone, Copy, Debug)]
enum Gone {
    Prometheus,
    Server,
    Judge,
}

pub(super) fn away(course: &mut Course, cluster: &mut Cluster, world: &mut World) {
    for (gone, row) in [
        (Gone::Prometheus, "the Prometheus is killed, and comes back"),
        (Gone::Server, "the API server is killed, and comes back"),
        (Gone::Judge, "the judge is killed, and comes back"),
    ] {
        course.claim(row, WASM_PLUGIN, || check(cluster, world, gone));
    }
}

fn check(cluster: &mut Cluster, world: &mut World, gone: Gone) -> String {
    // Whatever is lost now is lost by somebody else than the versions.
    fail(world, super::BASE, super::BASE);
    FAILS.iter().for_each(|rate| rate.store(0, Ordering::Relaxed));
    // After what was lost before, istiod takes its time until it hears of changes again.
    let before = format!("before {gone:?}");
    give(cluster, WASM_PLUGIN, &guarded(&before));
    world.settled(&before);
    let begin = Instant::now();
    let due = Timestamp::from_millis(now() + i64::try_from(DUE.as_millis()).expect("a minute"));
    let revision = format!("{gone:?}");
    let mut config = guarded(&revision);
    config["flags"]["checkout"]["rules"][1] = json!({"serve": "v2", "steps": [
        {"at": "2020-01-01T00:00:00Z", "percent": 5}, {"at": moment(due), "percent": 50, "requires": "fleet"}]});
    give(cluster, WASM_PLUGIN, &config);
    let generation = world.settled(&revision);
    let load = Load::start(world.gateways[0].address(80));
    assert!(begin.elapsed() < DUE, "settled too late: {:?}", begin.elapsed());
    match gone {
        Gone::Prometheus => world.prometheus = None,
        Gone::Server => cluster.stop_server(),
        Gone::Judge => world.judge = None,
    }
    thread::sleep((DUE + AWAY).saturating_sub(begin.elapsed()));
    let last = |job: Option<&Job>| {
        let log = job.map(Job::log).unwrap_or_default();
        log.lines().rev().find(|line| line.contains("hold") || line.contains("lets no ramp")).map(str::to_owned)
    };
    let (steps, steer, judge) =
        (world.object.steps(&generation), last(world.steer.as_ref()), last(world.judge.as_ref()));
    let health = get(&format!("{}/healthz", super::world::STEER)).unwrap_or_default();
    match gone {
        Gone::Prometheus => world.start_prometheus(cluster),
        Gone::Server => cluster.start_server(),
        Gone::Judge => world.start_judge(cluster),
    }
    let back = Instant::now();
    assert!(steps.is_none_or(|steps| steps == 1), "a step was taken while it could not be known how it goes");
    let said = steer.unwrap_or_else(|| panic!("steer does not say it"));
    if matches!(gone, Gone::Prometheus) {
        let judge = judge.unwrap_or_else(|| panic!("the judge does not say it"));
        assert!(judge.contains("blind"), "{judge}");
    } else {
        assert!(!health.starts_with("ok"), "{health}");
    }
    poll("the step", 120, || (world.object.steps(&generation) == Some(2)).then_some(()));
    let after = back.elapsed();
    format!("{}; {said}; it goes on {:.0} s after it is back", load.end(), after.as_secs_f64())
}

fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("it is after 1970");
    i64::try_from(since.as_millis()).expect("a time")
}
