//! What an API server says of each manifest: Istio's kinds with its webhook, and those of Envoy Gateway.

use kit::envoy::repository;

use super::Course;
use super::forms::{ENVOY_FILTER, TRAFFIC_EXTENSION, WASM_PLUGIN, overlay};
use crate::cluster::Cluster;

pub(super) fn taken(course: &mut Course, cluster: &mut Cluster) {
    let kube = &cluster.kube;
    for form in [ENVOY_FILTER, TRAFFIC_EXTENSION, WASM_PLUGIN] {
        course.claim("every overlay is taken", form, || {
            for name in ["gateway", "sidecar", "waypoint", "dev", "prod"] {
                kube.apply(&overlay(cluster, name, form));
            }
            // What nobody refuses proves nothing.
            let spoilt = overlay(cluster, "gateway", form).replace("priority: 10", "priorities: 10");
            let refused = kube.attempt(&["apply", "--server-side", "--force-conflicts", "-f", "-"], &spoilt);
            assert!(refused.expect_err("a field that is none").contains("priorities"));
            "gateway, sidecar, waypoint, dev, prod".to_owned()
        });
        for space in ["istio-ingress", "shop"] {
            kube.delete(&form.to_lowercase(), space);
        }
    }
    course.claim("every overlay is taken", "Envoy Gateway", || {
        let folder = cluster.sources("envoy-gateway").join("charts/gateway-helm/charts/crds/crds/generated");
        for kind in ["envoyextensionpolicies", "envoyproxies"] {
            let file = folder.join(format!("gateway.envoyproxy.io_{kind}.yaml"));
            kube.run(&["apply", "--server-side", "-f", file.to_str().expect("a path of text")]);
        }
        kube.run(&["wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"]);
        kube.run(&["apply", "--server-side", "-k", "envoy/gateway"]);
        let space = r#"{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "envoy-gateway-system"}}"#;
        kube.apply(space);
        let native = repository().join("envoy/native/gateway.yaml");
        kube.run(&["apply", "--server-side", "--force-conflicts", "-f", native.to_str().expect("a path of text")]);
        "envoy/gateway, envoy/native/gateway.yaml".to_owned()
    });
}
