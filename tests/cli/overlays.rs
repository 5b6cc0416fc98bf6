//! Holds the overlays of `envoy/istio` to what reads them: kubectl's kustomize, Istio's schemas, and the command, which
//! renders the very same manifests.
//!
//! Never sends anything to a cluster: `make test-istio` does.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a manifest that is not as expected stops its test, with a message"
)]

use super::render::{read, render};
use kit::istio::{self, FORMS, OVERLAYS, exchanged};
use serde_json::{Value, json};
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

const CONFIG: &str = "envoy/istio/components/wasmplugin/wasmplugin.yaml";
const IMAGE: [&str; 4] = [
    "--url",
    "oci://registry.example/tidegate:0.1.0",
    "--sha256",
    "0000000000000000000000000000000000000000000000000000000000000000",
];

/// What kubectl makes of a folder: that which is installed, or which `make test-istio` has built; none, loudly, where there
/// is no kubectl.
fn kustomize(folder: &Path) -> Option<Vec<Value>> {
    let built = kit::envoy::repository().join("target/istio/kubectl");
    let run = |program: &Path| Command::new(program).arg("kustomize").arg(folder).output();
    let Ok(output) = run(Path::new("kubectl")).or_else(|_| run(&built)) else {
        let line = b"\nSKIPPED: no kubectl, so no overlay was built\n";
        std::io::stderr().write_all(line).unwrap();
        return None;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(serde_saphyr::from_multiple(&String::from_utf8(output.stdout).unwrap()).unwrap())
}

fn of_kind<'d>(documents: &'d [Value], kind: &str) -> Vec<&'d Value> {
    documents.iter().filter(|document| document["kind"] == kind).collect()
}

/// A manifest in which a config that stands as text is a tree: how it was laid out is of no account.
fn plain(manifest: &Value) -> Value {
    let mut manifest = manifest.clone();
    let place = "/spec/configPatches/1/patch/value/typed_config/config/configuration/value";
    if let Some(value) = manifest.pointer_mut(place) {
        *value = serde_json::from_str(value.as_str().unwrap()).unwrap();
    }
    manifest
}

#[test]
fn every_overlay_holds_one_filter_of_each_form_as_the_command_renders_it() {
    let scratch = tempfile::tempdir().unwrap();
    let schemas = istio::schemas();
    for form in FORMS {
        for overlay in OVERLAYS {
            let Some(documents) = kustomize(&exchanged(scratch.path(), overlay, form)) else { return };
            let filters: Vec<&Value> = FORMS.iter().flat_map(|kind| of_kind(&documents, kind)).collect();
            let [filter] = filters[..] else { panic!("{overlay}, {form}: {} filters", filters.len()) };
            assert_eq!(filter["kind"], form, "{overlay}");
            let place: &[&str] = match overlay {
                "sidecar" => &["--mode", "client", "--namespace", "shop"],
                "waypoint" => &["--mode", "waypoint", "--namespace", "shop"],
                _ => &[],
            };
            let image: &[&str] = if form == "EnvoyFilter" { &[] } else { &IMAGE };
            let rendered = render(&[&["istio", CONFIG, "--kind", &form.to_lowercase()], place, image].concat());
            assert_eq!(plain(filter), plain(&read(&rendered)), "{overlay}, {form}");
            for document in &documents {
                let ours = document["apiVersion"].as_str().unwrap().contains("istio.io/");
                if let (true, Some(schemas)) = (ours, &schemas) {
                    assert_eq!(istio::errors(schemas, document), [""; 0], "{overlay}, {form}: {}", document["kind"]);
                }
            }
        }
    }
}

#[test]
fn dev_shows_all_of_it_and_prod_knows_people_by_their_token() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = |overlay| exchanged(scratch.path(), overlay, "EnvoyFilter");
    let (Some(dev), Some(prod)) = (kustomize(&folder("dev")), kustomize(&folder("prod"))) else { return };
    let names = |kind| of_kind(&dev, kind).into_iter().map(|one| one["metadata"]["name"].clone()).collect::<Value>();
    assert_eq!(names("Deployment"), json!(["ingress", "checkout-v1", "checkout-v2"]));
    assert_eq!(of_kind(&dev, "Gateway")[0]["metadata"], json!({"name": "shop", "namespace": "istio-ingress"}));
    let share =
        |documents| of_kind(documents, "Telemetry")[0]["spec"]["tracing"][0]["randomSamplingPercentage"].clone();
    assert_eq!([share(&dev), share(&prod)], [100, 1]);
    assert_eq!(of_kind(&prod, "RequestAuthentication").len(), 1);
    // A gateway without the ConfigMap starts all the same.
    let volumes = &of_kind(&dev, "Deployment")[0]["spec"]["template"]["spec"]["volumes"];
    assert_eq!(volumes[0]["configMap"], json!({"name": "tidegate-module", "optional": true}));
}

#[test]
fn the_routes_and_the_policy_of_envoy_gateway_are_what_the_command_renders() {
    let shipped = |file: &str| -> Vec<Value> {
        let text = std::fs::read_to_string(kit::envoy::repository().join(file)).unwrap();
        serde_saphyr::from_multiple(&text).unwrap()
    };
    let rendered = |args: &[&str]| -> Vec<Value> { serde_saphyr::from_multiple(&render(args)).unwrap() };
    let routes = ["routes", CONFIG, "--namespace", "shop", "--gateway", "istio-ingress/shop"];
    assert_eq!(rendered(&routes), shipped("envoy/istio/base/routes.yaml"));

    let policy = "envoy/gateway/policy.yaml";
    let config = shipped(policy)[0]["spec"]["wasm"][0]["config"].clone();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("shop.json");
    std::fs::write(&file, config.to_string()).unwrap();
    let file = file.to_str().unwrap();
    let place = ["--namespace", "shop"];
    let gateway = [&["envoy-gateway", file, "--target", "Gateway/shop"], &place[..], &IMAGE].concat();
    assert_eq!(rendered(&gateway), shipped(policy));
    let routes = [&["routes", file, "--kind", "httproute", "--gateway", "shop/shop"], &place[..]].concat();
    assert_eq!(rendered(&routes), shipped("envoy/gateway/routes.yaml"));

    let native = "envoy/native/gateway.yaml";
    let config = shipped(native)[1]["spec"]["dynamicModule"][0]["config"].clone();
    std::fs::write(file, config.to_string()).unwrap();
    let args = [&["envoy-gateway", file, "--door", "native", "--target", "Gateway/shop"], &place[..]].concat();
    assert_eq!(rendered(&args), shipped(native)[1..]);
}

#[test]
fn the_command_knows_what_judge_and_steer_are_told() {
    let scratch = tempfile::tempdir().unwrap();
    let policy = kit::envoy::repository().join("envoy/policy/policy.yaml");
    let nowhere = scratch.path().join("nowhere");
    for (form, lines) in [
        ("wasmplugin", &[][..]),
        ("wasmplugin", &["policy", "apply"]),
        ("trafficextension", &["trafficextension", "apply"]),
        ("configmap", &["configmap", "policy", "apply"]),
    ] {
        let Some(documents) = kustomize(&istio::fleet(scratch.path(), lines)) else { return };
        let deployments = of_kind(&documents, "Deployment");
        let containers = deployments[0]["spec"]["template"]["spec"]["containers"].as_array().unwrap();
        for (container, name) in containers.iter().zip(["judge", "steer"]) {
            let args: Vec<String> = serde_json::from_value(container["args"].clone()).unwrap();
            assert_eq!([&*args[0], &*args[1]], [name, &*format!("--on={form}/tidegate")]);
            assert_eq!(args.contains(&"--apply".to_owned()), name == "steer" && lines.contains(&"apply"));
            // It gets as far as the cluster, which is not here: everything it was told is understood.
            let here = |arg: &String| arg.replace("/etc/tidegate/policy.yaml", policy.to_str().unwrap());
            let output = Command::new(env!("CARGO_BIN_EXE_tidegate"))
                .args(args.iter().map(here))
                .arg("--kubeconfig")
                .arg(&nowhere)
                .output()
                .unwrap();
            let told = String::from_utf8_lossy(&output.stderr);
            if told.contains("this build of tidegate") {
                std::io::stderr()
                    .write_all(b"\nSKIPPED: a build without the feature fleet reads no cluster\n")
                    .unwrap();
                return;
            }
            assert!(told.contains("cannot read the kubeconfig"), "{args:?}: {told}");
            assert_eq!(output.status.code(), Some(2), "{told}");
        }
        // What is probed and read is where they listen.
        for (container, port) in containers.iter().zip([9911, 9912]) {
            assert_eq!(container["ports"][0]["containerPort"], port);
            assert!(container["args"].to_string().contains(&format!("--listen=0.0.0.0:{port}")));
            let name = &container["name"];
            for pointer in ["/readinessProbe/httpGet/port", "/livenessProbe/tcpSocket/port", "/ports/0/name"] {
                assert_eq!(container.pointer(pointer), Some(name), "{pointer}");
            }
        }
    }
}
