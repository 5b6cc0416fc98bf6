//! Looks for the request that costs most: no request may cost more than a bound, whatever it sends and whatever a config says.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::float_arithmetic,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that cannot go on stops, with a message"
)]

#[allow(unreachable_pub, missing_debug_implementations, reason = "a part of this test")]
mod worst;

use kit::envoy::module;
use kit::host::{Exchange, Host, Module};
use kit::http::Request;
use kit::scene::Scene;
use serde_json::json;
use tidegate_engine::plan::Plan;
use worst::Case;

/// Instructions of the module in all callbacks of a request; `None` where the config is refused.
fn steps(module: &Module, case: &Case) -> Option<u64> {
    let mut host = Host::new(module).unwrap();
    host.set_property(&["plugin_name"], "tidegate");
    if !host.configure("tidegate", case.config.as_bytes()).unwrap()
        || host.logs().iter().any(|(_, line)| line.contains("undecided"))
    {
        return None;
    }
    let path = String::from_utf8(case.path.clone()).unwrap();
    let exchange =
        case.headers.iter().fold(Exchange::get(&path), |exchange, (name, value)| exchange.header(name, value));
    host.request(&exchange).unwrap();
    let before = host.fuel_burnt();
    host.request(&exchange).unwrap();
    Some(host.fuel_burnt() - before)
}

/// How many instructions a request may cost: some 20 million of them take a millisecond in Envoy.
const MOST: u64 = 18_000_000;

/// The worst requests of small configs, and each config as large as it is accepted.
fn accepted(module: &Module) -> Vec<(Case, u64)> {
    let mut all: Vec<(Case, u64)> = worst::requests()
        .into_iter()
        .map(|case| {
            let steps = steps(module, &case).unwrap();
            (case, steps)
        })
        .collect();
    let sizes: Vec<Vec<Case>> = [1, 2, 4, 8, 16, 64].into_iter().map(worst::configs).collect();
    for place in 0..sizes[0].len() {
        let fits = sizes.iter().map(|cases| cases[place].clone()).find(|case| {
            let (compiled, problems) = Plan::from_bytes(case.config.as_bytes());
            // What is refused says by which limit.
            let named = |error: &String| error.contains("may cost one request at most") || error.contains("bytes");
            let errors: Vec<String> = problems.errors().iter().map(ToString::to_string).collect();
            assert!(errors.is_empty() || errors.iter().any(named), "{errors:?}");
            compiled.ready().is_some()
        });
        let Some(case) = fits else { continue };
        let steps = steps(module, &case).unwrap();
        all.push((case, steps));
    }
    all
}

#[test]
fn nothing_costs_more_than_it_may() {
    let module = Module::load_metered(module(), 100_000_000_000).unwrap();
    let all = accepted(&module);
    for (case, steps) in &all {
        println!("{:40} {steps:>12} steps {:>4} KiB", case.name, case.config.len() / 1024);
    }
    for (case, steps) in all {
        assert!(steps <= MOST, "{}: {steps} steps", case.name);
    }
}

#[test]
fn a_config_that_costs_too_much_is_refused() {
    for part in [1, 2] {
        let case = worst::configs(part).into_iter().find(|case| case.name == "contains").unwrap();
        let (compiled, problems) = Plan::from_bytes(case.config.as_bytes());
        assert!(compiled.ready().is_none());
        assert!(problems.to_string().contains("flags: may cost one request at most 600, not "), "{problems}");
    }
    let flag = |count: usize| {
        let rules: Vec<_> =
            (0..count).map(|_| json!({"when": {"header": "x", "contains": "a"}, "serve": "on"})).collect();
        json!({"version": 1, "flags": {"f": {"rules": rules}, "g": {"rules": rules}}}).to_string()
    };
    assert!(Plan::from_bytes(flag(50).as_bytes()).1.warnings().is_empty());
    let (compiled, problems) = Plan::from_bytes(flag(85).as_bytes());
    let warnings: Vec<String> = problems.warnings().iter().map(ToString::to_string).collect();
    assert!(compiled.ready().is_some() && warnings.join(" ").contains("of at most 600 microseconds"), "{warnings:?}");
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
    for (case, steps) in accepted(&module).into_iter().filter(|(case, _)| case.name.contains(&named)) {
        println!("{:40} {steps:>12} steps {:>8.0} us", case.name, micros(&case));
    }
}
