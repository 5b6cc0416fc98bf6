//! Counts what a request costs in the built module: instructions of wasm, callback by callback, and calls of the host.
//!
//! Both are the same on every machine, for one module. Prints; asserts only that a request is decided.
#![allow(clippy::arithmetic_side_effects, clippy::print_stdout, clippy::unwrap_used, reason = "a test that prints")]

use kit::envoy::module;
use kit::host::{Exchange, Headers, Host, Module};
use serde_json::{Value, json};

fn config(flags: usize, more: &Value) -> String {
    let mut all = json!({"checkout": {
        "route": {"header": "x-upstream-version"}, "variants": ["v1", "v2"], "baseline": "v1",
        "rules": [{"percent": 10, "serve": "v2"}],
    }});
    for n in 1..flags {
        all[format!("flag-{n}")] = json!({"rules": [{"percent": 50, "serve": "on"}]});
    }
    for (key, value) in more.as_object().unwrap() {
        if key == "headers" {
            continue;
        }
        for flag in all.as_object_mut().unwrap().values_mut() {
            flag[key] = value.clone();
        }
    }
    let mut config = json!({"version": 1, "identity": [{"header": "x-user-id"}], "flags": all});
    if let Some(headers) = more.get("headers") {
        config["headers"] = headers.clone();
    }
    config.to_string()
}

fn visit(n: usize) -> Exchange {
    Exchange::get("/api/cart?item=7")
        .header("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")
        .header("accept", "*/*")
        .header("accept-language", "en-US,en;q=0.5")
        .header("cookie", "session=0123456789abcdef; theme=dark")
        .header("x-country", "DE")
        .header("x-user-id", format!("user-{n}"))
        .header("x-forwarded-proto", "http")
        .header("x-request-id", "0f8fad5b-d9cb-469f-a165-70867728950e")
}

#[test]
#[ignore = "prints: cargo test --package tidegate-tests --test module price -- --ignored --nocapture"]
fn of_a_request() {
    let loaded = Module::load_metered(module(), 1_000_000_000).unwrap();
    let none = json!({"metrics": "none"});
    let guard = json!({"guard": {"errors": {"max": 5}}});
    for (name, config) in [
        ("nothing decided", json!({"version": 1}).to_string()),
        ("nothing matches", config(2, &json!({"match": {"hosts": ["other.example"]}}))),
        ("1+1, none", config(2, &none)),
        ("1+1", config(2, &json!({}))),
        ("1+1, guarded", config(2, &guard)),
        ("20+1, none", config(21, &none)),
        ("20+1", config(21, &json!({}))),
        ("20+1, dictionary", config(21, &json!({"headers": "dictionary"}))),
        ("200", config(200, &json!({}))),
    ] {
        let mut host = Host::new(&loaded).unwrap();
        host.set_property(&["plugin_name"], "tidegate");
        if !host.configure("tidegate", config.as_bytes()).unwrap() {
            println!("{name:18} is refused");
            continue;
        }
        for n in 0..20 {
            host.request(&visit(n)).unwrap();
        }
        let calls_before = host.calls().clone();
        let stream = host.open(&visit(7)).unwrap();
        let created = host.fuel_used();
        host.request_headers(stream).unwrap();
        let headers = host.fuel_used();
        host.response_headers(stream, &Headers::of([(":status", "200")])).unwrap();
        let response = host.fuel_used();
        host.log(stream).unwrap();
        let log = host.fuel_used();
        let made: Vec<String> = host
            .calls()
            .iter()
            .filter_map(|(call, count)| {
                let more = count - calls_before.get(call).copied().unwrap_or(0);
                (more > 0).then(|| format!("{} {more}", call.trim_start_matches("proxy_")))
            })
            .collect();
        println!(
            "{name:18} {:6} = {created} + {headers} + {response} + {log}; {}",
            created + headers + response + log,
            made.join(", ")
        );
        host.close(stream).unwrap();
    }
}

#[test]
#[ignore = "prints"]
fn probe() {
    let loaded = Module::load_metered(module(), 1_000_000_000).unwrap();
    for (name, visit) in [
        ("empty", Exchange::get("/")),
        ("path 100", Exchange::get(&format!("/{}", "a".repeat(100)))),
        ("query 100", Exchange::get(&format!("/?{}", "a".repeat(100)))),
        ("value 100", Exchange::get("/").header("x-a", "a".repeat(100))),
        ("value 1000", Exchange::get("/").header("x-a", "a".repeat(1000))),
        ("name 50", Exchange::get("/").header(&"a".repeat(50), "a")),
        ("10 headers", (0..10).fold(Exchange::get("/"), |e, n| e.header(&format!("x-{n}"), "a"))),
    ] {
        let mut host = Host::new(&loaded).unwrap();
        host.set_property(&["plugin_name"], "tidegate");
        host.configure("tidegate", b"{\"version\": 1}").unwrap();
        host.request(&visit).unwrap();
        let stream = host.open(&visit).unwrap();
        host.request_headers(stream).unwrap();
        println!("{name} = {}", host.fuel_used());
        host.close(stream).unwrap();
    }
}
#[test]
#[ignore = "prints"]
fn unit() {
    let mut config = wasmi::Config::default();
    config.consume_fuel(true);
    let engine = wasmi::Engine::new(&config);
    let module = wasmi::Module::new(&engine, &std::fs::read("/tmp/w/t.wasm").unwrap()[..]).unwrap();
    let mut store = wasmi::Store::new(&engine, ());
    store.set_fuel(1_000_000).unwrap();
    let instance = wasmi::Linker::new(&engine).instantiate_and_start(&mut store, &module).unwrap();
    let f = instance.get_typed_func::<(), i32>(&store, "f").unwrap();
    f.call(&mut store, ()).unwrap();
    println!("unit = {}", 1_000_000 - store.get_fuel().unwrap());
}
