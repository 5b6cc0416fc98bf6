//! The fleet's judge and who steers, for real: a thousand proxies, twelve of which are gateways under istiod and the others
//! simulated by the product's own code, and one Prometheus that reads them every fifteen seconds.
//!
//! `RUNS` is how often each fault is measured, one by default; from five on the medians are held to what is promised.

mod away;
mod object;
mod trickle;
mod world;

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use std::{env, fs, thread};

use kit::chance::Chance;
use kit::envoy::module;
use serde_json::{Value, json};

use self::world::{World, employee, gateways, number, program, prometheus};
use super::Course;
use super::forms::{ENVOY_FILTER, WASM_PLUGIN, config, overlay, push};
use crate::cluster::Cluster;
use crate::echo::FAILS;
use crate::land::poll;
use crate::pod::{Pod, Proxy};

/// A version that breaks, and one that is worse: what of a million of its requests fails, and how long it may take to the
/// last gateway.
const FAULTS: [Fault; 2] = [
    Fault { name: "1 -> 50 %", fails: 500_000, most: Duration::from_secs(20) },
    Fault { name: "1 -> 5 %", fails: 50_000, most: Duration::from_secs(45) },
];

/// What of a million requests fails before, at either version.
const BASE: u32 = 10_000;

/// From so many runs on, the medians are asserted.
const MEASURED: usize = 5;

/// How long all goes well before something does not, at least, from when the Prometheus has read the config of each proxy: one
/// more scrape of each.
const WARM: Duration = Duration::from_secs(20);

/// When a fault that is not found is given up.
const PATIENCE: Duration = Duration::from_secs(180);

#[derive(Clone, Copy, Debug)]
struct Fault {
    name: &'static str,
    fails: u32,
    most: Duration,
}

/// How long after the fault: the judge has found it, it stands in the object, and the last gateway has it.
#[derive(Clone, Copy, Debug)]
struct Took {
    found: Duration,
    written: Duration,
    last: Duration,
}

fn runs() -> usize {
    env::var("RUNS").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// The flag under a guard, in a generation of its own.
pub(super) fn guarded(generation: &str) -> Value {
    let mut config = config();
    config["revision"] = generation.into();
    config["flags"]["checkout"]["guard"] = json!({"errors": {"overBaseline": "2%"}, "rearm": generation});
    config
}

/// Pushes a config, and where it has a source, that source with it.
pub(super) fn give(cluster: &Cluster, form: &str, config: &Value) {
    if form == ENVOY_FILTER {
        let source = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "flags",
            "namespace": "istio-ingress", "annotations": {"tidegate.dev/envoyfilter": "tidegate"}},
            "data": {"shop.yaml": serde_saphyr::to_string(config).expect("YAML")}});
        cluster.kube.apply(&source.to_string());
    }
    push(cluster, form, config, &[]);
}

/// So many of a million fail at the baseline and at `v2`, at all proxies.
fn fail(world: &World, base: u32, v2: u32) {
    let faults = world.swarm.faults();
    for (of, most) in [(&faults.base, base), (&faults.v2, v2), (&FAILS[0], base), (&FAILS[1], v2)] {
        of.store(most, Ordering::Relaxed);
    }
}

pub(super) fn fleet(course: &mut Course, cluster: &mut Cluster) {
    let all = env::var("FORMS").unwrap_or_else(|_| WASM_PLUGIN.to_owned());
    let prometheus = prometheus(cluster);
    if !prometheus.is_file() {
        println!("  SKIPPED: no Prometheus at {}", prometheus.display());
        return;
    }
    println!("  {} and {}, load {}", prometheus.display(), program().display(), load());
    cluster.kube.apply_overlay("dev");
    let mut gateways = gateways(cluster);
    for form in all.split(',') {
        if form != ENVOY_FILTER {
            cluster.kube.delete("envoyfilter", "istio-ingress");
            cluster.kube.apply(&overlay(cluster, "gateway", form));
        }
        give(cluster, form, &guarded("begin"));
        let mut world = World::start(cluster, gateways, form);
        measure(course, cluster, &world, form);
        if form == WASM_PLUGIN {
            away::away(course, cluster, &mut world);
        }
        gateways = std::mem::take(&mut world.gateways);
        drop(world);
        if form != ENVOY_FILTER {
            cluster.kube.delete(&form.to_lowercase(), "istio-ingress");
            cluster.kube.apply_overlay("dev");
        }
    }
    for rate in &FAILS {
        rate.store(0, Ordering::Relaxed);
    }
}

fn measure(course: &mut Course, cluster: &Cluster, world: &World, form: &str) {
    world.settled("begin");
    course.claim("simulated proxies", form, || {
        let series = world.is_alike().unwrap_or_else(|difference| panic!("{difference}"));
        let read = number("count({__name__=~%22tidegate_.%2B%22})").unwrap_or_default();
        format!("{series} series as a gateway has them; the Prometheus has {read} of all proxies")
    });
    for fault in FAULTS {
        let row = format!("a fault, {}, to the last of 12 gateways", fault.name);
        course.claim(&row, form, || {
            let runs = runs();
            let all: Vec<Took> = (1..=runs).map(|run| once(cluster, world, form, fault, run)).collect();
            let [found, written, last] =
                [|took: &Took| took.found, |took: &Took| took.written, |took: &Took| took.last]
                    .map(|of| middle(all.iter().map(of).collect()));
            if runs >= MEASURED {
                assert!(last.0 <= fault.most, "{last:?}");
            }
            format!(
                "{:.1} s (median of {runs}), at most {:.1} s; found after {:.1} ({:.1}), written after {:.1} ({:.1})",
                last.0.as_secs_f64(),
                last.1.as_secs_f64(),
                found.0.as_secs_f64(),
                found.1.as_secs_f64(),
                written.0.as_secs_f64(),
                written.1.as_secs_f64()
            )
        });
    }
    course.claim("after a rollback of the fleet: kill -9, and more gateways", form, || never_forgets(cluster));
}

/// Median and maximum.
fn middle(mut all: Vec<Duration>) -> (Duration, Duration) {
    all.sort();
    let of = |place: usize| all.get(place).copied().unwrap_or_default();
    // Of an even number of runs, the longer of the two in the middle.
    (of(all.len() / 2), of(all.len().saturating_sub(1)))
}

/// A generation of its own, which goes well for a while; then the fault.
fn once(cluster: &Cluster, world: &World, form: &str, fault: Fault, run: usize) -> Took {
    static GENERATION: AtomicU32 = AtomicU32::new(0);
    fail(world, BASE, BASE);
    let name = format!("run-{}", GENERATION.fetch_add(1, Ordering::Relaxed));
    give(cluster, form, &guarded(&name));
    let generation = world.settled(&name);
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let some = Chance::of(&[u64::try_from(nanos % 1_000_000_007).unwrap_or_default()]).below(15_000);
    thread::sleep(WARM + Duration::from_millis(some.into()));
    let before = World::judged();
    assert!(before["phase"] == "running" && before["blind"].is_null(), "without a fault: {before}");
    let (sent, late) = (world.trickle.told(), world.swarm.late());
    let busy = load();
    fail(world, BASE, fault.fails);
    let begin = Instant::now();
    let found = loop {
        if World::judged()["phase"] == "rolledBack" {
            break begin.elapsed();
        }
        assert!(begin.elapsed() < PATIENCE, "not found: {}", World::judged());
        thread::sleep(Duration::from_millis(50));
    };
    let last = world.until_all(begin);
    let told = world.trickle.told();
    // What a worker had in hand at that moment, and no more.
    let last = told.last_v2.map_or(last, |at| last.max(at.saturating_duration_since(begin)));
    let written = poll("the standing in the object", 60, || world.object.written(&generation, "rolledBack"));
    let written = written.saturating_duration_since(begin);
    poll("all simulated proxies", 60, || (world.swarm.current() == world.swarm.proxies()).then_some(()));
    let [sent_before, v2_before] = world.swarm.sent();
    thread::sleep(Duration::from_secs(3));
    let [sent_after, v2_after] = world.swarm.sent();
    assert_eq!(v2_after, v2_before, "of {} at simulated proxies", sent_after - sent_before);
    let after = world.trickle.told();
    assert_eq!((after.v2, after.lost), (told.v2, 0), "of {} at gateways", after.sent - sent.sent);
    let why = World::judged()["why"].to_string();
    println!(
        "    {} {run}: found {:.1} s, written {:.1} s, last gateway {:.1} s; {why}; load {busy}, rounds late by {late:.0?} at most",
        fault.name,
        found.as_secs_f64(),
        written.as_secs_f64(),
        last.as_secs_f64()
    );
    Took { found, written, last }
}

/// A new gateway, and one whose Envoy was killed, have the rollback before their first request.
fn never_forgets(cluster: &Cluster) -> String {
    let (mut asked, times) = (0, runs().clamp(1, 5));
    for _ in 0..times {
        let pod = Pod { name: "fleet-more", network: 40, ..Pod::gateway(Some(module())) };
        for is_killed in [true, false] {
            let gateway = Proxy::start(cluster, pod.clone()).ready().listening(80);
            let mut clients = [(); 4].map(|()| gateway.client(80));
            for number in 0..200 {
                assert_eq!(employee(&mut clients[number % 4]).as_deref(), Some("v1"), "{number}");
                asked += 1;
            }
            if is_killed {
                gateway.kill_envoy();
            }
        }
    }
    format!("{times} of each: {asked} requests, 0 to v2")
}

/// How busy the machine is.
fn load() -> String {
    let all = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    all.split(' ').next().unwrap_or_default().to_owned()
}
