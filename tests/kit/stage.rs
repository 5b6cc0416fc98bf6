//! Turns the files beside this folder into a stage of their own: a temporary folder, and ports that are free.
//!
//! Changes addresses and nothing else: what runs is what `envoy/envoy.yaml` and `envoy/configs/filter.yaml` say.

use super::envoy::{ENVOY, FilterFile, Launch, module, repository};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

/// What is needed to start Envoy, and the configuration that it starts with.
pub fn set() -> (Launch, Value) {
    let dir = tempfile::Builder::new().prefix("tidegate-").tempdir().expect("a temporary folder");
    let source = repository().join("envoy");
    let mut scene = yaml(&source.join("envoy.yaml"));
    free_ports(&mut scene, dir.path());
    let bootstrap = dir.path().join("envoy.json");
    fs::write(&bootstrap, format!("{scene:#}")).expect("the bootstrap can be written");
    fs::create_dir(dir.path().join("configs")).expect("a folder can be made");
    for (from, to) in [
        (module(), "tidegate.wasm"),
        (source.join("upstream.lua"), "upstream.lua"),
        (source.join("configs/filter.yaml"), "configs/filter.yaml"),
    ] {
        fs::copy(&from, dir.path().join(to)).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
    }
    let path = dir.path().join("configs/filter.yaml");
    let filter = FilterFile { response: yaml(&path), path };
    let config: Value = serde_json::from_str(filter.config()).expect("the configuration in filter.yaml is JSON");
    let launch = Launch {
        version: ENVOY.to_owned(),
        concurrency: 2,
        log_level: "warning".to_owned(),
        wasm_log_level: "info".to_owned(),
        dir,
        bootstrap,
        filter: Some(filter),
    };
    (launch, config)
}

/// The configuration with another percentage for `checkout`.
pub fn with_percent(config: &Value, percent: u32) -> String {
    let mut config = config.clone();
    let rules = config.pointer_mut("/flags/checkout/rules").and_then(Value::as_array_mut).expect("checkout has rules");
    let draw =
        rules.iter_mut().find(|rule| rule.get("percent").is_some()).expect("a rule of checkout has a percentage");
    draw["percent"] = percent.into();
    text(config, &format!("demo-{percent}-percent"))
}

/// The configuration with `checkout` killed.
pub fn killed(config: &Value) -> String {
    let mut config = config.clone();
    config["flags"]["checkout"]["kill"] = true.into();
    text(config, "demo-killed")
}

fn text(mut config: Value, revision: &str) -> String {
    config["revision"] = revision.into();
    format!("{config:#}")
}

fn yaml(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Leaves the choice of the ports of the proxy, its page and the admin interface to the kernel, and puts the upstreams, whose
/// addresses the clusters must know beforehand, on socket files.
fn free_ports(value: &mut Value, dir: &Path) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| free_ports(item, dir)),
        Value::Object(fields) => match fields.get("socket_address").and_then(|socket| socket["port_value"].as_u64()) {
            Some(10_000 | 10_003 | 9_901) => fields["socket_address"]["port_value"] = 0.into(),
            Some(port) => *value = json!({"pipe": {"path": dir.join(format!("{port}.sock"))}}),
            None => fields.values_mut().for_each(|field| free_ports(field, dir)),
        },
        _ => {}
    }
}
