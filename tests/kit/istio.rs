//! Turns Istio's own definitions into a judgement of manifests: what its schemas say of each field.
//!
//! The definitions may stand beside the package and are no part of it: where they are not there, nothing is judged, and
//! that is said. Never looks into a config.

use jsonschema::Validator;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::envoy::repository;

/// Istio's own definitions, unmodified.
const DEFINITIONS: &str = "../shared/data/istio-crds.yaml";

/// What the package has manifests of.
const KINDS: [&str; 8] = [
    "DestinationRule",
    "EnvoyFilter",
    "Gateway",
    "RequestAuthentication",
    "Telemetry",
    "TrafficExtension",
    "VirtualService",
    "WasmPlugin",
];

/// A validator for each `apiVersion` and `kind`.
pub type Schemas = BTreeMap<(String, String), Validator>;

/// The forms of the filter, by their kinds.
pub const FORMS: [&str; 3] = ["EnvoyFilter", "TrafficExtension", "WasmPlugin"];

/// The overlays of `envoy/istio`.
pub const OVERLAYS: [&str; 5] = ["dev", "gateway", "prod", "sidecar", "waypoint"];

/// An overlay in a copy of `envoy/istio` below this folder, in which the line that names the form names this one.
pub fn exchanged(scratch: &Path, overlay: &str, form: &str) -> PathBuf {
    let folder = scratch.join(form);
    copy(&repository().join("envoy/istio"), &folder);
    for name in OVERLAYS {
        let file = folder.join("overlays").join(name).join("kustomization.yaml");
        let text = fs::read_to_string(&file).expect("an overlay");
        let place = |form: &str| format!("components/{} ", form.to_lowercase());
        let text = FORMS.iter().fold(text, |text, other| text.replace(&place(other), &place(form)));
        fs::write(&file, text).expect("a file can be written");
    }
    folder.join("overlays").join(overlay)
}

/// The overlay of the fleet in such a copy, with these of the lines in force that it leaves out as it stands.
pub fn fleet(scratch: &Path, lines: &[&str]) -> PathBuf {
    let folder = exchanged(scratch, "fleet", "WasmPlugin");
    let file = folder.join("kustomization.yaml");
    let mut text = fs::read_to_string(&file).expect("an overlay");
    for line in lines {
        let place = format!("components/fleet/{line} ");
        let found = text.lines().find(|found| found.contains(&place)).map(str::to_owned);
        let found = found.unwrap_or_else(|| panic!("the overlay does not offer {line}"));
        assert!(found.trim_start().starts_with("# - "), "{found}");
        text = text.replace(&found, &found.replacen("# - ", "- ", 1));
    }
    fs::write(&file, text).expect("a file can be written");
    folder
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder can be made");
    for entry in fs::read_dir(from).expect("a folder can be listed").flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("a file can be copied");
        }
    }
}

/// What the schema of its kind says against a manifest.
pub fn errors(schemas: &Schemas, document: &Value) -> Vec<String> {
    let errors = schema(schemas, document).iter_errors(document);
    errors.map(|error| format!("{}: {error}", error.instance_path())).collect()
}

/// A validator for each `apiVersion` and `kind` that Istio serves; none, loudly, where the definitions are absent.
pub fn schemas() -> Option<Schemas> {
    let path = repository().join(DEFINITIONS);
    let Ok(text) = fs::read_to_string(&path) else {
        // Not `eprintln`: the test runner would keep it to itself.
        let line = format!("\nSKIPPED: no Istio definitions at {}, so no manifest was checked\n", path.display());
        std::io::stderr().write_all(line.as_bytes()).expect("a line can be written");
        return None;
    };
    let mut schemas = BTreeMap::new();
    for definition in serde_saphyr::from_multiple::<Value>(&text).expect("the definitions are YAML") {
        let spec = &definition["spec"];
        let kind = &spec["names"]["kind"];
        // Compiling all of them takes as long as the rest of this file.
        if !KINDS.contains(&word(kind)) {
            continue;
        }
        for version in spec["versions"].as_array().expect("a definition has versions") {
            let mut schema = version["schema"]["openAPIV3Schema"].clone();
            let api = format!("{}/{}", word(&spec["group"]), word(&version["name"]));
            // Kubernetes adds these to every kind, and the definitions leave them out.
            for (field, rule) in [("apiVersion", json!({"const": api})), ("kind", json!({"const": kind}))] {
                schema["properties"][field] = rule;
            }
            schema["properties"]["metadata"] = json!({"type": "object", "required": ["name", "namespace"]});
            close(&mut schema);
            let validator = jsonschema::validator_for(&schema).expect("the definition is a schema");
            schemas.insert((api, word(kind).to_owned()), validator);
        }
    }
    Some(schemas)
}

fn schema<'a>(schemas: &'a Schemas, document: &Value) -> &'a Validator {
    let field = |name: &str| {
        let spoilt = format!("{name}x");
        word(document.get(name).or_else(|| document.get(&spoilt)).expect("a document has a kind")).to_owned()
    };
    let key = (field("apiVersion"), field("kind"));
    schemas.get(&key).unwrap_or_else(|| panic!("Istio knows no {key:?}"))
}

/// Forbids what a schema does not name. Kubernetes drops such fields in silence, so a typing error would do nothing.
/// Alternatives (`oneOf` and the like) stay open: they add conditions to fields that are named elsewhere.
fn close(schema: &mut Value) {
    let Some(schema) = schema.as_object_mut() else { return };
    if schema.remove("nullable") == Some(Value::Bool(true))
        && let Some(kind) = schema.get_mut("type")
    {
        *kind = json!([kind.take(), "null"]);
    }
    if schema.contains_key("properties") && !schema.contains_key("x-kubernetes-preserve-unknown-fields") {
        schema.insert("additionalProperties".to_owned(), false.into());
    }
    for place in ["items", "additionalProperties"] {
        if let Some(inner) = schema.get_mut(place) {
            close(inner);
        }
    }
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        properties.values_mut().for_each(close);
    }
}

#[track_caller]
fn word(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("not a text: {value}"))
}
