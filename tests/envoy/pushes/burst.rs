//! Holds that pushes of any size and sense that come faster than workers read them lose no request and no count.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use kit::envoy::{Envoy, Pushed};
use kit::http::Request;
use kit::scene::Scene;
use serde_json::json;

use super::Stopping;

/// A config in which `nav` serves the revision, with a list of so many users in a flag that nobody meets.
fn config(revision: usize, users: usize) -> String {
    let list: Vec<String> = (0..users).map(|n| format!("user-{revision}-{n:06}-who-is-on-a-long-list")).collect();
    let value = format!("r{revision}");
    let mut flags =
        json!({"nav": {"variants": [{"name": "now", "value": value}, {"name": "never"}], "baseline": "now"}});
    let name = format!("only-{}", revision % 7);
    flags[name] =
        json!({"match": {"paths": ["/only"]}, "rules": [{"when": {"header": "x-user-id", "in": list}, "serve": "on"}]});
    json!({"version": 1, "revision": value, "identity": [{"header": "x-user-id"}], "flags": flags}).to_string()
}

/// By turns a large config, a larger one, a small one, a bad one, a large one that was there before, and none.
fn next(n: usize) -> String {
    match n % 6 {
        0 => config(n, 5_000),
        1 => config(n, 9_000),
        2 => config(n, 3),
        3 => json!({"version": 1, "flags": {"nav": {"rules": [{"serve": format!("v{n}")}]}}}).to_string(),
        4 => config(n - 3, 9_000),
        _ => String::new(),
    }
}

/// Waits until so many new connections in a row are served this revision.
fn in_force(envoy: &Envoy, revision: usize, sent: &AtomicUsize) {
    let wanted = format!("r{revision}");
    envoy.poll("the last config", || {
        let served = |_| {
            sent.fetch_add(1, Ordering::Relaxed);
            envoy.client().send(&Request::get("/")).upstream().header("x-flag-nav") == Some(&wanted)
        };
        (0..40).all(served).then_some(())
    });
}

#[test]
fn a_burst_of_all_kinds_of_pushes_loses_no_request_and_no_count() {
    for (workers, pause) in [(1, 1), (8, 20)] {
        let envoy = Scene::new(config(0, 3)).concurrency(workers).start();
        let (stop, sent) = (AtomicBool::new(false), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mut client = envoy.client();
                    while !stop.load(Ordering::Relaxed) {
                        let request = Request::get("/only").header("x-flag-nav", "forged").header("x-user-id", "ana");
                        let upstream = client.send(&request).upstream();
                        let nav = upstream.header("x-flag-nav").unwrap_or_default();
                        assert!(nav.starts_with('r'), "{nav:?}");
                        assert_eq!(upstream.header("x-user-id"), Some("ana"));
                        sent.fetch_add(1, Ordering::Relaxed);
                        thread::sleep(Duration::from_millis(2));
                    }
                });
            }
            let stopping = Stopping(&stop);
            for n in 1..=60 {
                envoy.publish(&next(n));
                thread::sleep(Duration::from_millis(pause));
            }
            assert_eq!(envoy.push(&config(1_000, 9_000)), Pushed::Accepted);
            in_force(&envoy, 1_000, &sent);
            drop(stopping);
        });
        let sent = u64::try_from(sent.load(Ordering::Relaxed)).unwrap();
        envoy.poll("all counts", || {
            let decided: u64 =
                envoy.stats("tidegate.decisions").iter().filter(|(name, _)| name.contains("nav")).map(|(_, n)| n).sum();
            assert!(decided <= sent, "{decided} of {sent}");
            (decided == sent).then_some(())
        });
        let shown = envoy
            .stats("tidegate.config.")
            .into_iter()
            .filter(|(name, value)| name.contains("revision") && *value != 0);
        let shown: Vec<String> = shown.map(|(name, _)| name).collect();
        assert!(matches!(shown.as_slice(), [one] if one.contains("r1000")), "{shown:?}");
        let gauge = |name: &str| envoy.stats(name).values().copied().collect::<Vec<_>>();
        assert_eq!([gauge("config.state"), gauge("config.refused"), gauge("config.flags")], [[1], [0], [2]]);
    }
}
