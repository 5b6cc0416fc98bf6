//! Simulated proxies beside a real one: the same config and the same requests make the same series, with the same counts.
#![allow(clippy::arithmetic_side_effects, clippy::panic, clippy::unwrap_used, reason = "a test stops where it fails")]

use std::collections::BTreeMap;

use kit::envoy::Door;
use kit::http::Request;
use kit::scene::Scene;
use kit::scrape::Scrape;
use kit::swarm::Simulated;
use serde_json::json;
use tidegate_engine::value::hash::Salt;

/// Values by name and labels.
type Values = BTreeMap<(String, Vec<(String, String)>), Option<u64>>;

/// The filter's own series by name and labels; how long an answer took is nowhere the same twice.
fn series(page: &str) -> Values {
    let ours = Scrape::read(page).0.into_iter().filter(|one| one.name.starts_with("tidegate_"));
    ours.map(|one| {
        let is_time = one.name.starts_with("tidegate_latency") || one.name.ends_with("timestamp_seconds");
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts of a test are small")]
        let value = (!is_time).then_some(one.value as u64);
        ((one.name, one.labels.into_iter().collect()), value)
    })
    .collect()
}

#[test]
fn a_simulated_proxy_exports_what_a_real_one_does() {
    let has_groups = |id: &&String| Salt::new("groups").point(id.as_bytes()).bits().trailing_zeros() >= 3;
    let ids: Vec<String> = (0..100).map(|n| format!("proxy-{n}")).collect();
    // A library is not told the id of its proxy.
    let doors = if Door::default() == Door::Native { &[false][..] } else { &[false, true] };
    let config = json!({"version": 1, "revision": "a", "identity": [{"header": "x-user-id"}], "flags": {
        "checkout": {"owner": "payments", "stage": "experimental", "route": {"header": "x-upstream-version"},
            "variants": ["v1", "v2"], "baseline": "v1", "rules": [
                {"steps": [{"at": "2020-01-01T00:00:00Z", "percent": 30}], "serve": "v2"}],
            "guard": {"errors": {"overBaseline": "20%"}}},
        "nav": {"rules": [{"percent": 50, "serve": "on"}]}}})
    .to_string();
    for grouped in doors {
        let id = ids.iter().find(|id| has_groups(id) == *grouped).unwrap();
        let envoy = Scene::new(config.clone()).faults().set("/node/id", json!(id)).start();
        let mut simulated = Simulated::new(id, "tidegate");
        assert!(simulated.push(&config));
        assert_eq!(series(&simulated.page()), series(&envoy.admin_get("/stats/prometheus")), "before any request");
        envoy.set_runtime("fail.v2", 100);
        let mut client = envoy.client();
        for user in 0..100 {
            let user = format!("user-{user}");
            let status = client.send(&Request::get("/").header("x-user-id", &user)).status;
            let headers = [(":method", "GET"), (":authority", "shop.example"), (":path", "/"), ("x-user-id", &*user)];
            let mut said = 0;
            let answer = |version: Option<&str>| {
                said = if version == Some("v2") { 500 } else { 200 };
                said
            };
            simulated.request("x-upstream-version", &headers, answer);
            assert_eq!(u64::from(status), said, "{user}");
        }
        simulated.tick();
        let counts = |page: &str| Scrape::read(page).sum("tidegate_guard_requests_total", &[]);
        envoy.poll("the counts", || (counts(&envoy.admin_get("/stats/prometheus")) == 100).then_some(()));
        simulated.tick();
        let (real, made) = (series(&envoy.admin_get("/stats/prometheus")), series(&simulated.page()));
        assert!(real.len() > 60, "{}", real.len());
        assert_eq!(made, real, "simulated is left, real is right");
    }
}
