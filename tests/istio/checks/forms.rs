//! The manifests as a person takes them: an overlay with one line exchanged, and its placeholders filled.

use std::fs;
use std::process::Command;

use kit::envoy::repository;
use kit::istio::exchanged;
use serde_json::{Value, json};

use crate::cluster::Cluster;

pub(super) const ENVOY_FILTER: &str = "EnvoyFilter";
pub(super) const TRAFFIC_EXTENSION: &str = "TrafficExtension";
pub(super) const WASM_PLUGIN: &str = "WasmPlugin";

const PLACEHOLDER: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// An overlay with this form of the filter, as `kubectl apply -k` sends it, with the digest of the image in its place.
pub(super) fn overlay(cluster: &Cluster, name: &str, form: &str) -> String {
    let folder = exchanged(&cluster.folder.path().join("forms"), name, form);
    let made = cluster.kube.run(&["kustomize", folder.to_str().expect("text")]);
    let made = made.replace(PLACEHOLDER, digest(cluster).trim_start_matches("sha256:"));
    // A private address is asked over plain HTTP as well.
    made.replace("registry.example", "10.96.0.20")
}

/// The digest of the image that `make image` has made, pushed under the name that the manifests have.
pub(super) fn digest(cluster: &Cluster) -> String {
    cluster.registry.push(&repository().join("target/oci"), "tidegate", "0.1.0")
}

/// The config that all forms carry.
pub(super) fn config() -> Value {
    let file = repository().join("envoy/istio/components/wasmplugin/wasmplugin.yaml");
    let plugin: Value = serde_saphyr::from_str(&fs::read_to_string(file).expect("a file")).expect("YAML");
    plugin["spec"]["pluginConfig"].clone()
}

/// The same with all drawn people at v2, under another revision.
pub(super) fn everybody(revision: &str) -> Value {
    let mut config = config();
    config["revision"] = revision.into();
    config["flags"]["checkout"]["rules"][1]["percent"] = json!(100);
    config
}

/// A push as the README has it: the config, rendered, and applied.
#[track_caller]
pub(super) fn push(cluster: &Cluster, form: &str, config: &Value, more: &[&str]) {
    cluster.kube.apply(&rendered(cluster, form, config, more));
}

pub(super) fn rendered(cluster: &Cluster, form: &str, config: &Value, more: &[&str]) -> String {
    let file = cluster.folder.path().join("config.json");
    fs::write(&file, config.to_string()).expect("a file can be written");
    let mut command = Command::new(repository().join("target/debug/tidegate"));
    command.args(["render", "istio", "--kind", &form.to_lowercase()]).arg(&file);
    if form != ENVOY_FILTER && !more.contains(&"--url") {
        let digest = digest(cluster);
        command.args(["--url", "oci://10.96.0.20/tidegate:0.1.0", "--sha256", &digest]);
    }
    let output = command.args(more).output().expect("the command is built");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}
