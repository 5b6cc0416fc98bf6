//! Measures what the filter adds to Envoy's CPU time for a request, beside other ways to do the job.
//!
//! Whole Envoys take turns, so that a change of the machine's speed meets all of them; the upstream is an Envoy of
//! its own, whose time does not count. Prints the median over the rounds, what is added to the bare proxy, and the
//! ratio to a Lua filter that does the same job. Asserts nothing: speed is a matter of the machine. With `-- tick` it
//! measures only what guards cost on the tick.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_precision_loss,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::float_arithmetic,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    missing_docs,
    reason = "a benchmark prints, and stops when it cannot go on"
)]

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use kit::envoy::{Envoy, Pushed};
use kit::http::Request;
use kit::scene::Scene;
use serde_json::{Value, json};

const ROUNDS: usize = 11;
const REQUESTS: usize = 10_000;

static UPSTREAM: OnceLock<PathBuf> = OnceLock::new();

/// A routing flag, and more flags up to this number.
fn config(flags: usize) -> String {
    let mut all = json!({"checkout": {
        "route": {"header": "x-upstream-version"}, "variants": ["v1", "v2"], "baseline": "v1",
        "rules": [{"percent": 10, "serve": "v2"}],
    }});
    for n in 1..flags {
        all[format!("flag-{n}")] = json!({"rules": [{"percent": 50, "serve": "on"}]});
    }
    json!({"version": 1, "identity": [{"header": "x-user-id"}], "flags": all}).to_string()
}

/// The routing flag with a guard: what it adds is asking each request's outcome of Envoy, counting it, and the tick.
fn guarded() -> String {
    let mut config: Value = serde_json::from_str(&config(1)).unwrap();
    config["flags"]["checkout"]["guard"] = json!({"errors": {"max": 5, "overBaseline": 2}});
    config.to_string()
}

/// The routing flag and another one, with what others get to see of them.
fn seen(telemetry: &Value) -> String {
    let mut config: Value = serde_json::from_str(&config(2)).unwrap();
    config["telemetry"] = telemetry.clone();
    config.to_string()
}

/// The same with this for the metrics of every flag.
fn counted(flags: usize, metrics: &str) -> String {
    let mut config: Value = serde_json::from_str(&config(flags)).unwrap();
    for flag in config["flags"].as_object_mut().unwrap().values_mut() {
        flag["metrics"] = metrics.into();
    }
    config.to_string()
}

/// The same job in Lua: the same hash, the same headers, the same spellings of forged headers removed. Its own
/// 64-bit integers, salts prepared once, one look over the headers.
fn lua(flags: usize) -> String {
    let names: Vec<String> = (1..flags).map(|n| format!("'flag-{n}'")).collect();
    LUA.replace("NAMES", &names.join(", "))
}

const LUA: &str = r"
local ffi, bit = require('ffi'), require('bit')
local prime, half = ffi.new('uint64_t', 0x100000001b3ULL), ffi.new('uint64_t', 0xffffffffULL)
local function fnv(state, text)
  for i = 1, #text do state = bit.bxor(state, text:byte(i)) * prime end
  return state
end
local function exposure(state, id)
  local k = fnv(state, id)
  k = bit.bxor(k, bit.rshift(k, 33)) * 0xff51afd7ed558ccdULL
  k = bit.bxor(k, bit.rshift(k, 33)) * 0xc4ceb9fe1a85ec53ULL
  k = bit.bxor(k, bit.rshift(k, 33))
  return tonumber(bit.rshift(bit.rshift(k, 32) * 1000000ULL, 32))
end
local function salt(key) return fnv(0xcbf29ce484222325ULL, key .. '\0') end
local flags, owned = {}, {['x-flag-checkout'] = true, ['x-upstream-version'] = true, ['x-flags'] = true}
for _, name in ipairs({NAMES}) do
  flags[#flags + 1] = {header = 'x-flag-' .. name, salt = salt(name)}
  owned['x-flag-' .. name] = true
end
local checkout = salt('checkout')
function envoy_on_request(handle)
  local headers, forged, id, ids = handle:headers(), nil, nil, 0
  for name, value in pairs(headers) do
    if name == 'x-user-id' then id, ids = value, ids + 1 end
    if owned[(name:gsub('_', '-'))] then forged = forged or {}; forged[#forged + 1] = name end
  end
  if forged then for _, name in ipairs(forged) do headers:remove(name) end end
  if ids ~= 1 then id = nil end
  local version = (id and exposure(checkout, id) < 100000) and 'v2' or 'v1'
  headers:replace('x-flag-checkout', version)
  headers:replace('x-upstream-version', version)
  for i = 1, #flags do
    local flag = flags[i]
    headers:replace(flag.header, (id and exposure(flag.salt, id) < 500000) and 'on' or 'off')
  end
end";

/// Envoy's own sticky split, for the routing alone: it tells no flags.
fn weighted() -> Value {
    json!([{"match": {"prefix": "/"}, "route": {
        "weighted_clusters": {"clusters": [{"name": "v1", "weight": 90}, {"name": "v2", "weight": 10}], "use_hash_policy": true},
        "hash_policy": [{"header": {"header_name": "x-user-id"}}],
    }}])
}

/// Sends both versions to the Envoy whose time does not count.
fn elsewhere(bootstrap: &mut Value) {
    for cluster in bootstrap["static_resources"]["clusters"].as_array_mut().unwrap() {
        let endpoint = &mut cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"];
        endpoint["address"] = json!({"pipe": {"path": UPSTREAM.get().unwrap().join("v1.sock")}});
    }
}

/// Takes the headers of 200 flags: Envoy's own limit for a request is 100 headers.
fn many_headers(bootstrap: &mut Value) {
    for listener in bootstrap["static_resources"]["listeners"].as_array_mut().unwrap() {
        let manager = &mut listener["filter_chains"][0]["filters"][0]["typed_config"];
        manager["common_http_protocol_options"] = json!({"max_headers_count": 1_000});
    }
}

fn request(n: usize) -> Request {
    Request::get("/api/cart?item=7")
        .host("shop.example")
        .header("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")
        .header("accept", "*/*")
        .header("accept-language", "en-US,en;q=0.5")
        .header("cookie", "session=0123456789abcdef; theme=dark")
        .header("x-country", "DE")
        .header("x-user-id", format!("user-{n}"))
}

fn main() {
    if std::env::args().any(|argument| argument == "tick") {
        return tick();
    }
    let upstream = Scene::bare().silent_upstreams().edit(many_headers).start();
    UPSTREAM.set(upstream.dir().to_owned()).unwrap();
    if upstream.cpu_seconds().is_none() {
        println!("proxy: this system has no /proc to read an Envoy's CPU time from: skipped");
        return;
    }
    let cells: Vec<(&str, Scene)> = vec![
        ("no filter", Scene::bare()),
        ("weighted_clusters, hash policy", Scene::bare().routes(weighted())),
        ("Lua, routing flag + 1", Scene::bare().lua(&lua(2))),
        ("Lua, routing flag + 19", Scene::bare().lua(&lua(20))),
        ("Tidegate, nothing decided", Scene::new(r#"{"version": 1}"#)),
        ("Tidegate, routing flag", Scene::new(config(1))),
        ("Tidegate, routing flag, guarded", Scene::new(guarded())),
        ("Tidegate, routing flag + 1", Scene::new(config(2))),
        ("Tidegate, routing flag + 19", Scene::new(config(20))),
        ("Tidegate, routing flag + 199", Scene::new(config(200))),
        ("... + 19, metrics: none", Scene::new(counted(20, "none"))),
        ("... + 19, metrics: counts", Scene::new(counted(20, "counts"))),
        ("... + 19, metrics: all", Scene::new(counted(20, "all"))),
        ("Tidegate, + 1, for access logs", Scene::new(seen(&json!({"accessLog": true})))),
        ("Tidegate, + 1, for spans", Scene::new(seen(&json!({"spans": true})))),
        ("Tidegate, + 1, in baggage", Scene::new(seen(&json!({"baggage": true})))),
    ];
    let cells: Vec<(&str, Envoy)> =
        cells.into_iter().map(|(name, scene)| (name, scene.silent_upstreams().edit(elsewhere).start())).collect();
    let mut times: Vec<Vec<f64>> = vec![Vec::new(); cells.len()];
    for round in 0..ROUNDS {
        println!("proxy: round {} of {ROUNDS}", round + 1);
        for ((name, envoy), times) in cells.iter().zip(&mut times) {
            let before = envoy.cpu_seconds().unwrap();
            envoy
                .client()
                .pipeline((0..REQUESTS).map(request), |_, response| assert_eq!(response.status, 200, "{name}"));
            // The first round warms caches and compilers up.
            if round > 0 {
                times.push((envoy.cpu_seconds().unwrap() - before) / REQUESTS as f64 * 1e6);
            }
        }
    }
    let median = |cell: usize| {
        let mut sorted = times[cell].clone();
        sorted.sort_by(f64::total_cmp);
        sorted[sorted.len() / 2]
    };
    let adds = |cell: usize| median(cell) - median(0);
    println!("\n{:32} {:>12} {:>8} {:>8}", "", "us/request", "adds", "to Lua");
    for (cell, (name, _)) in cells.iter().enumerate() {
        let lua = match cell {
            5 | 7 => Some(2),
            8 => Some(3),
            _ => None,
        };
        let ratio = lua.map_or_else(String::new, |lua| format!("{:.2}", adds(cell) / adds(lua)));
        println!("{name:32} {:12.1} {:8.1} {ratio:>8}", median(cell), adds(cell));
    }
    configure();
    tick();
}

/// What guards cost while nobody counts, and while all of them do: CPU time of one Envoy with two workers.
fn tick() {
    println!();
    for guards in [0, 1, 10, 100] {
        let flag = json!({"rules": [{"percent": 50, "serve": "on"}], "guard": {"errors": {"max": 5}}});
        let flags: serde_json::Map<String, Value> = (0..guards).map(|n| (format!("f{n}"), flag.clone())).collect();
        let config = json!({"version": 1, "identity": [{"header": "x-user-id"}], "flags": flags}).to_string();
        let envoy = Scene::new(config).concurrency(2).start();
        let cpu = |pause: Duration, requests: usize| {
            let (before, start) = (envoy.cpu_seconds().unwrap(), Instant::now());
            let mut client = envoy.client();
            for n in 0..requests {
                client.send(&request(n));
                std::thread::sleep(pause);
            }
            (envoy.cpu_seconds().unwrap() - before) / start.elapsed().as_secs_f64() * 1e3
        };
        let counting = cpu(Duration::from_millis(20), 250);
        let idle = cpu(Duration::from_secs(5), 1);
        println!(
            "{guards:3} guards, 2 workers: {idle:5.1} ms a second when idle, {counting:5.1} at 50 requests a second"
        );
    }
}

/// How long the module takes for the largest configs, by Envoy's own clock: from one line of its log to the next.
fn configure() {
    let rules: Vec<Value> =
        (0..20).map(|n| if n < 10 { json!({"percent": n, "serve": "on"}) } else { json!({"serve": "on"}) }).collect();
    let flags: serde_json::Map<String, Value> =
        (0..1_000).map(|n| (format!("f{n}"), json!({"rules": rules}))).collect();
    let config = json!({"version": 1, "flags": flags}).to_string();
    let envoy = Scene::new(r#"{"version": 1}"#).start();
    let small = seconds(&envoy, r#"{"version": 1, "revision": "small"}"#);
    let large = seconds(&envoy, &config);
    // A push is judged once and loaded by the main thread and by each worker: three times with one worker.
    println!(
        "\na push of 1,000 flags x 20 rules ({} KiB): {:.0} ms for three VMs, {:.0} ms each",
        config.len() / 1024,
        large * 1e3,
        (large - small) / 3.0 * 1e3
    );
}

fn seconds(envoy: &Envoy, config: &str) -> f64 {
    let begun = std::time::Instant::now();
    assert_eq!(envoy.push(config), Pushed::Accepted);
    begun.elapsed().as_secs_f64()
}
