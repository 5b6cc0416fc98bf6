//! The cells: whole Envoys by name, each with what it must do before it is measured.

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use kit::envoy::{Door, Envoy, library, module};
use kit::http::Request;
use kit::scene::Scene;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::config::{each, elsewhere, guarded, listed, routing, ruled, segmented, with};
use crate::floor::Floor;

/// The socket of what answers for all cells.
pub static UPSTREAM: OnceLock<PathBuf> = OnceLock::new();

/// Where the floors are written to.
static MODULES: OnceLock<TempDir> = OnceLock::new();

pub struct Cell {
    pub name: String,
    pub scene: Scene,
    /// The flags and routes that the upstream has to see, and no others.
    headers: Vec<String>,
}

impl Cell {
    /// Whether the upstream gets what the job comes to; if not, what it gets.
    pub fn check(&self, envoy: &Envoy) -> Result<(), String> {
        let request = Request::get("/check").header("x-user-id", "user-1").header("x-flag-checkout", "forged");
        let response = envoy.client().send(&request);
        if response.status != 200 {
            return Err(format!("{}: {}", response.status, response.text()));
        }
        let owned = |name: &str| name.starts_with("x-flag") || name == "x-upstream-version";
        let mut seen: Vec<(String, Vec<u8>)> = response.upstream().headers;
        seen.retain(|(name, value)| owned(name) && value != b"forged");
        let mut names: Vec<&str> = seen.iter().map(|(name, _)| name.as_str()).collect();
        let mut wanted: Vec<&str> = self.headers.iter().map(String::as_str).collect();
        names.sort_unstable();
        wanted.sort_unstable();
        let few = |names: &[&str]| names.iter().take(4).copied().collect::<Vec<_>>().join(", ");
        if names == wanted {
            return Ok(());
        }
        Err(format!(
            "the upstream got {} headers ({}, ...), not {} ({}, ...)",
            names.len(),
            few(&names),
            wanted.len(),
            few(&wanted)
        ))
    }
}

fn cell(name: impl Into<String>, scene: Scene, headers: Vec<String>) -> Cell {
    Cell { name: name.into(), scene: scene.edit(measured), headers }
}

/// Sends both versions to the upstream of the bench, and the path of the check to this one's own.
fn measured(bootstrap: &mut Value) {
    let pipe = |path: &str| json!({"endpoint": {"address": {"pipe": {"path": path}}}});
    let upstream = UPSTREAM.get().unwrap().to_string_lossy();
    let clusters = bootstrap["static_resources"]["clusters"].as_array_mut().unwrap();
    for cluster in clusters.iter_mut() {
        cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0] = pipe(&upstream);
    }
    clusters.push(json!({"name": "check", "load_assignment": {
        "cluster_name": "check", "endpoints": [{"lb_endpoints": [pipe("v1.sock")]}],
    }}));
    let manager = &mut bootstrap["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"];
    let routes = &mut manager["route_config"]["virtual_hosts"][0]["routes"];
    routes.as_array_mut().unwrap().insert(0, json!({"match": {"path": "/check"}, "route": {"cluster": "check"}}));
    // What stands before the native door for claims and names of listeners, which no flag here asks for.
    manager["http_filters"].as_array_mut().unwrap().retain(|filter| filter["name"] != "told");
    many_headers(bootstrap);
}

/// Takes the headers of 200 flags: Envoy's own limit for a request is 100 headers.
fn many_headers(bootstrap: &mut Value) {
    for listener in bootstrap["static_resources"]["listeners"].as_array_mut().unwrap() {
        let manager = &mut listener["filter_chains"][0]["filters"][0]["typed_config"];
        manager["common_http_protocol_options"] = json!({"max_headers_count": 1_000});
    }
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

/// A door by its name, with the module or library behind it.
pub struct Way {
    pub name: String,
    pub door: Door,
    pub module: PathBuf,
}

impl Way {
    /// The doors of this build, or the files that are named: `.so` is a library, all else a module.
    pub fn all(files: &[PathBuf]) -> Vec<Self> {
        let named = |file: &PathBuf| {
            let door = if file.extension().is_some_and(|end| end == "so") { Door::Native } else { Door::Wasm };
            let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            Self { name, door, module: file.clone() }
        };
        if !files.is_empty() {
            return files.iter().map(named).collect();
        }
        let native = Some(library()).filter(|built| built.is_file()).map(|module| Self {
            name: "native".to_owned(),
            door: Door::Native,
            module,
        });
        std::iter::once(Self { name: "wasm".to_owned(), door: Door::Wasm, module: module() }).chain(native).collect()
    }

    /// The filter by this way, with this config.
    pub fn scene(&self, config: &Value) -> Scene {
        Scene::new(config.to_string()).door(self.door).untold().module(&self.module)
    }

    fn cell(&self, name: &str, config: &Value, headers: Vec<String>) -> Cell {
        cell(format!("{} {name}", self.name), self.scene(config), headers)
    }
}

/// How many flags the scripts and the filter are measured with, the routing one among them.
pub const FLAGS: [usize; 4] = [5, 20, 50, 200];

/// The proxy without a filter: what all others are compared with.
pub fn bare() -> Cell {
    cell("no filter", Scene::bare(), Vec::new())
}

/// Everything else that does the job or a part of it, and Tidegate by each way.
pub fn all(ways: &[Way], empty: Option<PathBuf>) -> Vec<Cell> {
    let (plain, strips) = (include_str!("lua/plain.lua"), include_str!("lua/strips.lua"));
    let mut cells = vec![cell("use_hash_policy", Scene::bare().routes(weighted()), Vec::new())];
    let sizes = [("1".to_owned(), 1), ("1+1".to_owned(), 2), ("20+1".to_owned(), 21)];
    for (name, flags) in sizes.into_iter().chain(FLAGS.map(|flags| (flags.to_string(), flags))) {
        cells.push(cell(format!("lua {name}"), lua(plain, flags), headers(flags - 1)));
    }
    for (name, flags) in [("1+1", 2), ("20+1", 21)] {
        cells.push(cell(format!("lua strips {name}"), lua(strips, flags), headers(flags - 1)));
    }
    cells.extend(empty.map(|module| cell("empty filter", Scene::new("").door(Door::Wasm).module(module), Vec::new())));
    cells.extend(floors());
    cells.extend(ways.iter().flat_map(tidegate));
    cells
}

/// Tidegate by this way, with every kind of config.
fn tidegate(way: &Way) -> Vec<Cell> {
    let dictionary = || vec!["x-flags".to_owned(), "x-upstream-version".to_owned()];
    let mut cells = vec![
        way.cell("nothing decided", &json!({"version": 1}), Vec::new()),
        way.cell("nothing matches", &elsewhere(), Vec::new()),
        way.cell("1", &routing(0), headers(0)),
    ];
    for (name, others) in [("1+1", 1), ("20+1", 20)] {
        cells.push(way.cell(name, &routing(others), headers(others)));
        for metrics in ["none", "counts", "all"] {
            let config = each(others, "metrics", &metrics.into());
            cells.push(way.cell(&format!("{name} metrics {metrics}"), &config, headers(others)));
        }
        cells.push(way.cell(&format!("{name} guarded"), &guarded(others), headers(others)));
        cells.push(way.cell(
            &format!("{name} dictionary"),
            &with(others, "headers", "dictionary".into()),
            dictionary(),
        ));
    }
    for telemetry in ["accessLog", "spans", "baggage"] {
        let config = with(1, "telemetry", json!({telemetry: true}));
        cells.push(way.cell(&format!("1+1 {telemetry}"), &config, headers(1)));
    }
    cells.extend(FLAGS.map(|flags| way.cell(&flags.to_string(), &routing(flags - 1), headers(flags - 1))));
    cells
}

/// What is counted when a cost is drawn, and how many there are of it.
pub const SCALES: [(&str, &[usize]); 4] =
    [("rules", &[1, 10, 100]), ("segments", &[1, 10, 100]), ("list", &[1, 100, 10_000]), ("workers", &[1, 2, 4])];

/// One flag with more and more of each.
pub fn scales(ways: &[Way]) -> Vec<Cell> {
    let cells = ways.iter().flat_map(|way| {
        let cell = |(kind, count): (&str, usize)| {
            let config = match kind {
                "rules" => ruled(1, count),
                "segments" => segmented(count),
                "list" => listed(count),
                _ => ruled(1, 1),
            };
            let mut cell = way.cell(&format!("{kind} {count}"), &config, vec!["x-flag-f0".to_owned()]);
            if kind == "workers" {
                cell.scene = cell.scene.concurrency(u32::try_from(count).expect("few"));
            }
            cell
        };
        SCALES.iter().flat_map(|(kind, counts)| counts.iter().map(|&count| (*kind, count))).map(cell)
    });
    cells.collect()
}

/// What a rate is kept up against: no filter, and 50 flags with five rules each.
pub fn steady(ways: &[Way]) -> Vec<Cell> {
    let flags: Vec<String> = (0..50).map(|n| format!("x-flag-f{n}")).collect();
    let tidegate = ways.iter().map(|way| way.cell("50 x 5", &ruled(50, 5), flags.clone()));
    std::iter::once(bare()).chain(tidegate).collect()
}

/// What no filter in wasm can do for less: see [`Floor`].
fn floors() -> Vec<Cell> {
    let writes = |others: usize| headers(others).into_iter().map(|name| (name, "off".to_owned())).collect::<Vec<_>>();
    let dictionary = vec![("x-flags".to_owned(), "checkout=v1, new-nav=?1, ".repeat(12))];
    let cells = [
        ("empty", Floor::default()),
        ("nothing matches", Floor { fetches: true, ..Floor::default() }),
        ("1+1 none", Floor { fetches: true, writes: writes(1), ..Floor::default() }),
        ("1+1", Floor { fetches: true, writes: writes(1), watches: true, ..Floor::default() }),
        ("1+1 none whole", Floor { fetches: true, writes: writes(1), whole: true, ..Floor::default() }),
        ("1+1 whole", Floor { fetches: true, writes: writes(1), watches: true, whole: true }),
        ("20+1 none", Floor { fetches: true, writes: writes(20), ..Floor::default() }),
        ("20+1", Floor { fetches: true, writes: writes(20), watches: true, ..Floor::default() }),
        ("dictionary none", Floor { fetches: true, writes: dictionary, ..Floor::default() }),
    ];
    let scene = |name: &str, floor: &Floor| {
        let path = MODULES.get_or_init(|| tempfile::tempdir().expect("a folder")).path().join(format!("{name}.wasm"));
        fs::write(&path, floor.module()).expect("the folder can be written");
        Scene::new("").door(Door::Wasm).module(path)
    };
    cells
        .into_iter()
        .map(|(name, floor)| {
            let headers = floor.writes.iter().map(|(name, _)| name.clone()).collect();
            cell(format!("floor {name}"), scene(name, &floor), headers)
        })
        .collect()
}
