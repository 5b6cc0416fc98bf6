//! Looks for the request that costs most: no request may cost more than a bound, whatever it sends and whatever a config says.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that cannot go on stops, with a message"
)]

mod support;

#[path = "bounds/worst.rs"]
#[allow(unreachable_pub, missing_debug_implementations, reason = "a part of this test")]
mod worst;

use support::envoy::module;
use serde_json::json;
use support::http::Request;
use support::scene::Scene;
use support::host::{Exchange, Host, Module};
use tidegate::plan::Plan;
use worst::Case;

/// Instructions of the module in the request phase, response and log; `None` where the config is refused.
fn steps(module: &Module, case: &Case) -> Option<u64> {
    let mut host = Host::new(module).unwrap();
    host.set_property(&["plugin_name"], "tidegate");
    if !host.configure("tidegate", case.config.as_bytes()).unwrap() || host.logs().iter().any(|(_, line)| line.contains("undecided")) {
        return None;
    }
    let path = String::from_utf8(case.path.clone()).unwrap();
    let exchange = case.headers.iter().fold(Exchange::get(&path), |exchange, (name, value)| exchange.header(name, value));
    host.request(&exchange).unwrap();
    let stream = host.open(&exchange).unwrap();
    host.request_headers(stream).unwrap();
    let mut steps = host.fuel_used();
    host.response_headers(stream, exchange.response.as_ref().unwrap()).unwrap();
    steps += host.fuel_used();
    host.log(stream).unwrap();
    Some(steps + host.fuel_used())
}

#[test]
fn nothing_costs_more_than_it_may() {
    let module = Module::load_metered(module(), 100_000_000_000).unwrap();
    for case in worst::requests().into_iter().chain(worst::configs()) {
        let (_, problems) = Plan::from_bytes(case.config.as_bytes());
        let steps = steps(&module, &case);
        println!("{:40} {:>12} {:>8} KiB  {}", case.name, steps.map_or("refused".into(), |s| s.to_string()), case.config.len() / 1024, problems.errors().first().map_or(String::new(), ToString::to_string));
    }
}

/// CPU time of Envoy for a request, in microseconds, over what it takes without the filter.
fn micros(case: &Case) -> f64 {
    const REQUESTS: usize = 200;
    let request = case.headers.iter().fold(Request::get(&case.path), |request, (name, value)| match &**name {
        ":authority" => request.host(value),
        ":method" => request,
        _ => request.header(name, value),
    });
    let each = |scene: Scene| {
        let envoy = scene.silent_upstreams().fields(json!({"max_request_headers_kb": 96})).start();
        let mut client = envoy.client();
        let mut send = |count: usize| (0..count).for_each(|_| drop(client.send(&request)));
        // V8 compiles while it runs.
        send(100);
        let before = envoy.cpu_seconds().unwrap();
        send(REQUESTS);
        (envoy.cpu_seconds().unwrap() - before) * 1e6 / f64::from(u32::try_from(REQUESTS).unwrap())
    };
    each(Scene::new(case.config.as_str())) - each(Scene::bare())
}

#[test]
#[ignore = "a measurement, by make bench"]
fn what_the_worst_requests_cost() {
    let module = Module::load_metered(module(), 100_000_000_000).unwrap();
    let named = std::env::var("CASE").unwrap_or_default();
    for case in worst::requests().into_iter().chain(worst::configs()).filter(|case| case.name.contains(&named)) {
        let Some(steps) = steps(&module, &case) else { continue };
        let micros = micros(&case);
        println!("{:40} {steps:>12} steps {micros:>8.0} us", case.name);
    }
}
