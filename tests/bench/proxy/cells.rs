//! The cells: whole Envoys by name, each with what it must do before it is measured.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use kit::envoy::{Door, Envoy, module};
use kit::http::{Request, Upstream};
use kit::scene::Scene;
use serde_json::{Value, json};

/// The folder of the Envoy that answers for all cells, and whose time does not count.
pub static UPSTREAM: OnceLock<PathBuf> = OnceLock::new();

/// Looks at what the upstream got.
type Expected = Box<dyn Fn(&str, &Envoy)>;

pub struct Cell {
    pub name: String,
    pub scene: Scene,
    pub expected: Expected,
}

fn cell(name: impl Into<String>, scene: Scene, headers: Vec<String>) -> Cell {
    let expected = move |name: &str, envoy: &Envoy| {
        let seen = ask(name, envoy, "user-1");
        for header in &headers {
            assert!(seen.header(header).is_some(), "{name}: no {header} in {seen:?}");
        }
        let flags = seen.headers.iter().filter(|(name, _)| name.starts_with("x-flag")).count();
        let wanted = headers.iter().filter(|name| name.starts_with("x-flag")).count();
        assert_eq!(flags, wanted, "{name}: {seen:?}");
    };
    Cell { name: name.into(), scene: scene.silent_after_check(), expected: Box::new(expected) }
}

/// One request by the way that shows what arrives.
fn ask(cell: &str, envoy: &Envoy, user: &str) -> Upstream {
    let request = Request::get("/check").header("x-user-id", user);
    let response = envoy.client().send(&request);
    assert_eq!(response.status, 200, "{cell}: {}", response.text());
    response.upstream()
}

trait Measured {
    fn silent_after_check(self) -> Self;
}

impl Measured for Scene {
    /// Sends both versions to the Envoy whose time does not count, and the path of the check to this one's own.
    fn silent_after_check(self) -> Self {
        self.edit(|bootstrap| {
            for cluster in bootstrap["static_resources"]["clusters"].as_array_mut().unwrap() {
                let endpoint = &mut cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"];
                endpoint["address"] = json!({"pipe": {"path": UPSTREAM.get().unwrap().join("v1.sock")}});
            }
            let endpoint = json!({"endpoint": {"address": {"pipe": {"path": "v1.sock"}}}});
            let check = json!({"name": "check", "load_assignment": {
                "cluster_name": "check", "endpoints": [{"lb_endpoints": [endpoint]}],
            }});
            bootstrap["static_resources"]["clusters"].as_array_mut().unwrap().push(check);
            let manager = &mut bootstrap["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0];
            let routes = &mut manager["typed_config"]["route_config"]["virtual_hosts"][0]["routes"];
            let check = json!({"match": {"path": "/check"}, "route": {"cluster": "check"}});
            routes.as_array_mut().unwrap().insert(0, check);
            many_headers(bootstrap);
        })
    }
}

/// Takes the headers of 200 flags: Envoy's own limit for a request is 100 headers.
pub fn many_headers(bootstrap: &mut Value) {
    for listener in bootstrap["static_resources"]["listeners"].as_array_mut().unwrap() {
        let manager = &mut listener["filter_chains"][0]["filters"][0]["typed_config"];
        manager["common_http_protocol_options"] = json!({"max_headers_count": 1_000});
    }
}

/// A routing flag, and this many others.
pub fn config(others: usize) -> Value {
    let mut flags = json!({"checkout": {
        "route": {"header": "x-upstream-version"}, "variants": ["v1", "v2"], "baseline": "v1",
        "rules": [{"percent": 10, "serve": "v2"}],
    }});
    for n in 1..=others {
        flags[format!("flag-{n}")] = json!({"rules": [{"percent": 50, "serve": "on"}]});
    }
    json!({"version": 1, "identity": [{"header": "x-user-id"}], "flags": flags})
}

/// The same with a field set for every flag.
fn each(others: usize, field: &str, value: &Value) -> Value {
    let mut config = config(others);
    for flag in config["flags"].as_object_mut().unwrap().values_mut() {
        flag[field] = value.clone();
    }
    config
}

/// The same with a guard on the routing flag.
fn guarded(others: usize) -> Value {
    let mut config = config(others);
    config["flags"]["checkout"]["guard"] = json!({"errors": {"max": 5, "overBaseline": 2}});
    config
}

/// The same with a field of the whole config.
fn with(others: usize, field: &str, value: Value) -> Value {
    let mut config = config(others);
    config[field] = value;
    config
}

/// The headers that all the work of a routing flag and others comes to.
fn headers(others: usize) -> Vec<String> {
    let flags = (1..=others).map(|n| format!("x-flag-flag-{n}"));
    ["x-upstream-version", "x-flag-checkout"].into_iter().map(str::to_owned).chain(flags).collect()
}

/// A script that decides this many flags, the first of which routes.
fn lua(script: &str, flags: usize) -> Scene {
    let names = std::iter::once("checkout".to_owned()).chain((1..flags).map(|n| format!("flag-{n}")));
    Scene::bare().lua(&script.replace("@FLAGS@", &names.collect::<Vec<_>>().join(",")))
}

/// Envoy's own sticky split, for the routing alone: it tells no flags.
fn weighted() -> Value {
    json!([{"match": {"prefix": "/"}, "route": {
        "weighted_clusters": {"clusters": [{"name": "v1", "weight": 90}, {"name": "v2", "weight": 10}], "use_hash_policy": true},
        "hash_policy": [{"header": {"header_name": "x-user-id"}}],
    }}])
}

/// All cells, with those of Tidegate once for each module.
pub fn all(modules: &[PathBuf]) -> Vec<Cell> {
    let (plain, strips) = (include_str!("plain.lua"), include_str!("strips.lua"));
    let mut cells = vec![
        cell("no filter", Scene::bare(), Vec::new()),
        cell("use_hash_policy", Scene::bare().routes(weighted()), Vec::new()),
    ];
    for (name, flags) in [("1", 1), ("1+1", 2), ("20", 20), ("20+1", 21)] {
        cells.push(cell(format!("lua {name}"), lua(plain, flags), headers(flags - 1)));
    }
    for (name, flags) in [("1+1", 2), ("20+1", 21)] {
        cells.push(cell(format!("lua strips {name}"), lua(strips, flags), headers(flags - 1)));
    }
    match modules {
        [] => cells.extend(tidegate("wasm", &module())),
        [only] => cells.extend(tidegate("wasm", only)),
        several => {
            for module in several {
                let name = module.file_stem().unwrap_or_default().to_string_lossy();
                cells.extend(tidegate(&name, module));
            }
        }
    }
    cells
}

/// Tidegate by this name, with this module: a library goes through the native door.
fn tidegate(door: &str, module: &Path) -> Vec<Cell> {
    let nothing = json!({"version": 1, "identity": [{"header": "x-user-id"}], "flags": {"other": {
        "match": {"hosts": ["other.example"]}, "rules": [{"percent": 50, "serve": "on"}],
    }}});
    let cells = [
        ("1", config(0), headers(0)),
        ("1+1", config(1), headers(1)),
        ("1+1 metrics none", each(1, "metrics", &"none".into()), headers(1)),
        ("1+1 metrics counts", each(1, "metrics", &"counts".into()), headers(1)),
        ("1+1 metrics all", each(1, "metrics", &"all".into()), headers(1)),
        ("1+1 guarded", guarded(1), headers(1)),
        ("1+1 access log", with(1, "telemetry", json!({"accessLog": true})), headers(1)),
        ("1+1 spans", with(1, "telemetry", json!({"spans": true})), headers(1)),
        ("1+1 baggage", with(1, "telemetry", json!({"baggage": true})), headers(1)),
        ("1+1 dictionary too", with(1, "dictionary", true.into()), [headers(1), vec!["x-flags".into()]].concat()),
        ("5", config(4), headers(4)),
        ("20+1", config(20), headers(20)),
        ("20+1 metrics none", each(20, "metrics", &"none".into()), headers(20)),
        ("20+1 metrics all", each(20, "metrics", &"all".into()), headers(20)),
        ("20+1 guarded", guarded(20), headers(20)),
        ("50", config(49), headers(49)),
        ("200", config(199), headers(199)),
        ("nothing matches", nothing, Vec::new()),
        ("nothing decided", json!({"version": 1}), Vec::new()),
    ];
    let through = if module.extension().is_some_and(|kind| kind == "so") { Door::Native } else { Door::Wasm };
    let scene = |config: Value| Scene::new(config.to_string()).door(through).untold().module(module);
    cells.into_iter().map(|(name, config, headers)| cell(format!("{door} {name}"), scene(config), headers)).collect()
}
