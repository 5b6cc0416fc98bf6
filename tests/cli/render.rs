//! Holds rendered manifests to all that will read them: the command itself, Istio's schemas, and a real Envoy.
//!
//! Turns configs into manifests by the command, as a person would, and asks each reader what it makes of them. Never
//! looks at how a manifest is made.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a manifest that is not as expected stops its test, with a message"
)]

use kit::envoy::{ENVOY, OLDEST_ENVOY, binary, module, repository};
use kit::http::Request;
use kit::istio;
use kit::scene::Scene;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use tidegate_engine::plan::Plan;

const SHOP: &str = "tests/cli/configs/shop.yaml";
const URL: [&str; 2] = ["--url", "oci://registry.example/tidegate:0.1.0"];
const DIGEST: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn tidegate(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.current_dir(repository()).args(args).output().expect("the command runs")
}

#[track_caller]
pub(super) fn render(args: &[&str]) -> String {
    let output = tidegate(&[&["render"], args].concat());
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

pub(super) fn read(manifest: &str) -> Value {
    serde_saphyr::from_str(manifest).unwrap_or_else(|error| panic!("{error}\n{manifest}"))
}

/// The config in a manifest, in the bytes in which a proxy gets it.
fn config(manifest: &Value) -> String {
    if !manifest["spec"]["pluginConfig"].is_null() {
        return manifest["spec"]["pluginConfig"].to_string();
    }
    let places = ["/spec/configPatches/1/patch/value", "/resources/0", ""];
    let found = places.iter().find_map(|at| manifest.pointer(&format!("{at}/typed_config/config/configuration/value")));
    found.and_then(Value::as_str).unwrap_or_else(|| panic!("no config in {manifest}")).to_owned()
}

#[track_caller]
fn fingerprint(config: &str) -> u64 {
    let (plan, problems) = Plan::from_bytes(config.as_bytes());
    plan.ready().unwrap_or_else(|| panic!("{problems}")).fingerprint()
}

/// Every way to bring a config to a proxy.
const FORMS: [&[&str]; 6] = [
    &["istio", "--url", "oci://registry.example/tidegate:0.1.0", "--sha256", DIGEST],
    &["istio", "--url", "file:///tidegate.wasm", "--mode", "server", "--namespace", "shop", "--fail-strategy", "close"],
    &["istio", "--kind", "envoyfilter", "--selector", "app=edge", "--selector", "tier=web", "--name", "edge"],
    &[
        "istio",
        "--kind",
        "envoyfilter",
        "--url",
        "https://modules.example/t.wasm",
        "--sha256",
        DIGEST,
        "--mode",
        "client",
        "--namespace",
        "shop",
        "--fail-strategy",
        "open",
    ],
    &["envoy"],
    &["envoy", "--form", "discovery", "--module", "/var/lib/tidegate/tidegate.wasm"],
];

/// What renders well must be read back: texts that YAML would take for something else, and lines of their own.
fn hard_config() -> Value {
    json!({"version": 1, "revision": "on", "identity": [{"header": "x-user-id"}], "flags": {
        "no": {
            "type": "kill-switch", "owner": "null", "description": "a: b # c, \"d\" 'e' \\ {f} - ~ é 日本 &g *h !i %j @k `l",
            "expires": "2027-03-01", "match": {"paths": ["/y", "/~"], "hosts": ["*.shop.example", "1.2.3.4"]},
            "header": "x_no", "salt": "0x1F", "variants": ["on", "off", "1e3", "1_000", "0o7", {"name": "012", "value": "1.0",
                "headers": {"x-theme": "- |"},
                "reply": {"status": 503, "body": "two\n  lines\n\n", "headers": {"retry-after": "120"}}}],
            "baseline": "off", "default": "on",
            "rules": [
                {"when": {"header": "x-country", "in": ["NO", "yes", "N", "~", " ", "=", "<<", "1:30", "0.10"]},
                 "percent": 12.5, "serve": "on"},
                {"when": {"any": [{"cookie": "a", "equals": "\u{1f600}\u{7f}\u{85}\u{2028}"}, {"path": {"glob": "*\n\t?"}}]},
                 "percent": 0.0001, "serve": [{"variant": "012", "weight": 1}, {"variant": "1e3", "weight": 0}]},
            ],
        },
    }})
}

#[test]
fn every_form_reads_back_as_the_config_that_it_was_made_of() {
    let folder = tempfile::tempdir().unwrap();
    let hard = folder.path().join("hard.json");
    fs::write(&hard, hard_config().to_string()).unwrap();
    let everything = repository().join("tests/fuzz/everything.json");
    let shop: Value = serde_saphyr::from_str(&fs::read_to_string(repository().join(SHOP)).unwrap()).unwrap();
    let sources = [
        (repository().join(SHOP), fingerprint(&shop.to_string())),
        (hard, fingerprint(&hard_config().to_string())),
        (everything.clone(), fingerprint(&fs::read_to_string(everything).unwrap())),
    ];
    let next = folder.path().join("rendered.yaml");
    let next = next.to_str().unwrap();
    for (file, due) in &sources {
        for form in FORMS {
            for output in ["table", "json"] {
                let manifest = render(&[form, &[file.to_str().unwrap(), "--output", output]].concat());
                assert_eq!(fingerprint(&config(&read(&manifest))), *due, "{form:?}\n{manifest}");
                fs::write(next, &manifest).unwrap();
                let checked = tidegate(&["validate", next]);
                assert!(checked.status.success(), "{form:?}: {}", String::from_utf8_lossy(&checked.stdout));
                // From one form to any other, and the config is still the same.
                let again = render(&[FORMS[0], &[next]].concat());
                assert_eq!(fingerprint(&config(&read(&again))), *due, "{form:?}\n{again}");
            }
        }
    }
}

#[test]
fn what_is_said_stands_where_it_is_due() {
    let plugin = read(&render(&[FORMS[1], &[SHOP]].concat()));
    assert_eq!(plugin["metadata"], json!({"name": "tidegate", "namespace": "shop"}));
    let spec = &plugin["spec"];
    assert_eq!([&spec["url"], &spec["failStrategy"]], ["file:///tidegate.wasm", "FAIL_CLOSE"]);
    assert_eq!(spec["match"], json!([{"mode": "SERVER"}]));
    for absent in ["sha256", "selector", "imagePullPolicy"] {
        assert_eq!(spec.get(absent), None);
    }

    // To YAML, a digest may look like a number, and a label like a boolean.
    for digest in ["0".repeat(64), format!("1e{}", "5".repeat(62)), format!("12{}", "7".repeat(62))] {
        let plugin = render(&["istio", SHOP, URL[0], URL[1], "--sha256", &digest, "--selector", "on=true"]);
        assert!(plugin.contains(&format!("  sha256: \"{digest}\"\n")), "{plugin}");
        assert!(plugin.contains("      \"on\": \"true\"\n"), "{plugin}");
    }

    let filter = read(&render(&[FORMS[2], &[SHOP]].concat()));
    assert_eq!(filter["spec"]["workloadSelector"], json!({"labels": {"app": "edge", "tier": "web"}}));
    let patches = &filter["spec"]["configPatches"];
    assert_eq!([&patches[0]["patch"]["value"]["name"], &patches[1]["patch"]["value"]["name"]], ["edge", "edge"]);

    let filter = read(&render(&[FORMS[3], &[SHOP]].concat()));
    assert_eq!(filter["spec"].get("workloadSelector"), None);
    let patches = &filter["spec"]["configPatches"];
    assert_eq!([&patches[0]["match"]["context"], &patches[1]["match"]["context"]], ["SIDECAR_OUTBOUND"; 2]);
    let config = &patches[1]["patch"]["value"]["typed_config"]["config"];
    assert_eq!(config["failure_policy"], "FAIL_OPEN");
    let remote = json!({"remote": {"sha256": DIGEST, "http_uri":
        {"uri": "https://modules.example/t.wasm", "timeout": "30s", "cluster": "_"}}});
    assert_eq!(config["vm_config"]["code"], remote);
}

#[test]
fn istio_knows_every_field() {
    let Some(schemas) = istio::schemas() else { return };
    for form in FORMS.into_iter().filter(|form| form[0] == "istio") {
        for file in [SHOP, "envoy/configs/filter.yaml", "tests/fuzz/everything.json"] {
            let manifest = read(&render(&[form, &[file]].concat()));
            assert_eq!(istio::errors(&schemas, &manifest), [""; 0], "{form:?} {file}");
        }
    }
    let mut spoilt = read(&render(&[&["istio", SHOP], &URL[..]].concat()));
    spoilt["spec"]["ur"] = spoilt["spec"]["url"].take();
    assert!(!istio::errors(&schemas, &spoilt).is_empty());
}

/// A bootstrap with one listener, whose requests pass this filter.
fn bootstrap(filter: &Value) -> Value {
    let router = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router";
    let manager =
        "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
    json!({"static_resources": {"listeners": [{
        "name": "ingress",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
        "filter_chains": [{"filters": [{"name": "http", "typed_config": {
            "@type": manager,
            "stat_prefix": "ingress",
            "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [
                {"match": {"prefix": "/"}, "direct_response": {"status": 200}}]}]},
            "http_filters": [filter, {"name": "router", "typed_config": {"@type": router}}],
        }}]}],
    }]}})
}

fn validated_by_envoy(version: &str, folder: &Path, filter: &Value) -> Result<(), String> {
    let file = folder.join("bootstrap.json");
    fs::write(&file, bootstrap(filter).to_string()).unwrap();
    let mut command = Command::new(binary(version));
    let output =
        command.args(["--mode", "validate", "--log-level", "warn", "--config-path"]).arg(&file).output().unwrap();
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

#[test]
fn a_real_envoy_takes_the_filter() {
    let folder = tempfile::tempdir().unwrap();
    let module = module();
    let module = module.to_str().unwrap();
    for version in [ENVOY, OLDEST_ENVOY] {
        for file in [SHOP, "envoy/istio/components/wasmplugin/wasmplugin.yaml", "tests/fuzz/everything.json"] {
            let filter = read(&render(&["envoy", file, "--module", module]));
            let mut resource =
                read(&render(&["envoy", file, "--module", module, "--form", "discovery"]))["resources"][0].take();
            assert!(resource.as_object_mut().unwrap().remove("@type").is_some());
            assert_eq!(filter, resource, "the forms hold one filter");
            validated_by_envoy(version, folder.path(), &filter).unwrap_or_else(|log| panic!("{version} {file}: {log}"));
        }
        let mut spoilt = read(&render(&["envoy", SHOP, "--module", module]));
        spoilt["typed_config"]["config"]["failure_policie"] = "FAIL_RELOAD".into();
        assert!(validated_by_envoy(version, folder.path(), &spoilt).is_err());
    }
}

#[test]
fn a_proxy_runs_a_rendered_filter() {
    let module = module();
    let filter = read(&render(&["envoy", SHOP, "--module", module.to_str().unwrap()]));
    let envoy = Scene::bare().filter(filter).start();
    let request = Request::get("/api/export").header("x-user-id", "ana").header("x-flag-export", "off");
    let seen = envoy.client().send(&request).upstream();
    assert_eq!(seen.header("x-flag-export"), Some("on"));
}

/// A proxy that has no module yet still takes away what only the filter may say, under the names of this config.
#[test]
fn without_the_module_nothing_forged_passes() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.json");
    let routing = json!({"route": {"header": "x_version"}, "header": "X-Checkout", "baseline": "v1",
        "variants": ["v1", {"name": "v2", "headers": {"x-theme": "dark"}}]});
    let config = json!({"version": 1, "dictionary": true, "flags": {"a": routing, "b": {}}});
    fs::write(&file, config.to_string()).unwrap();
    let manifest = read(&render(&["istio", "--kind", "envoyfilter", file.to_str().unwrap()]));
    let place = &manifest["spec"]["configPatches"][0]["patch"]["value"];
    let script = place["config_discovery"]["default_config"].clone();
    let envoy = Scene::bare().filter(json!({"name": "tidegate", "typed_config": script})).start();
    let forged = ["x_version", "x-version", "x-checkout", "x_checkout", "x-theme", "x-flag-b", "x_flag_b", "x-flags"];
    let request = forged.iter().fold(Request::get("/"), |request, name| request.header(*name, "forged"));
    let seen = envoy.client().send(&request.header("x-other", "kept")).upstream();
    for name in forged {
        assert_eq!(seen.header(name), None, "{name}");
    }
    assert_eq!(seen.header("x-other"), Some("kept"));
}
