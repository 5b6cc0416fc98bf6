//! The filter inside of the mesh: in sidecars, for what they send and for what they receive, and in a waypoint.

use std::fs::File;
use std::thread;

use kit::envoy::module;
use kit::http::Client;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde_json::json;
use std::os::fd::AsFd as _;

use super::Course;
use super::crowd::{HOST, Seen, crowd, decides, expected, user};
use super::forms::{ENVOY_FILTER, TRAFFIC_EXTENSION, WASM_PLUGIN, config, overlay, push};
use crate::cluster::Cluster;
use crate::land::poll;
use crate::pod::{Pod, Proxy};

const SERVICE: &str = "checkout.shop.svc.cluster.local";

/// A workload that calls others: its sidecar listens at the ports of services, because nothing redirects to it here.
fn caller() -> Pod {
    Pod {
        name: "caller",
        space: "shop",
        account: "client",
        role: "sidecar",
        labels: json!({"app": "caller"}),
        network: 2,
        module: Some(module()),
        env: vec![("ISTIO_META_INTERCEPTION_MODE", "NONE".to_owned())],
        version: None,
    }
}

/// Runs something in the network of a Pod.
fn within<T: Send + 'static>(proxy: &Proxy, work: impl FnOnce() -> T + Send + 'static) -> T {
    let file = File::open(format!("/proc/{}/ns/net", proxy.id())).expect("the Pod runs");
    let thread = thread::spawn(move || {
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).expect("its network can be entered");
        work()
    });
    thread.join().unwrap_or_else(|_| panic!("it failed inside of the Pod"))
}

pub(super) fn sidecars(course: &mut Course, cluster: &mut Cluster) {
    cluster.kube.apply_overlay("dev");
    for kind in ["envoyfilter", "telemetry"] {
        cluster.kube.delete(kind, "istio-ingress");
    }
    let due = expected(&config(), SERVICE);
    for form in [ENVOY_FILTER, TRAFFIC_EXTENSION, WASM_PLUGIN] {
        cluster.kube.apply(&overlay(cluster, "sidecar", form));
        let caller = Proxy::start(cluster, caller()).ready();
        course.claim("a sidecar, for what it sends", form, || {
            let due: Vec<Seen> = due.clone();
            within(&caller, move || {
                let mut client = Client::new(80);
                poll("the port of the service", 30, || client.try_send(&user(1).host(SERVICE)).ok());
                // By any name that a caller writes.
                for host in ["checkout", "checkout.shop", "checkout.shop.svc", "checkout.shop.svc:80"] {
                    assert_eq!(crowd(&mut client, host, false), due, "{host}");
                }
                decides(&mut client, SERVICE, &due) + ", by each name of the service"
            })
        });
        drop(caller);
        cluster.kube.delete(&form.to_lowercase(), "shop");
    }
}

/// Filters that only Istio's own build of Envoy has, taken out of a waypoint: with them the official one refuses all.
fn stripped() -> serde_json::Value {
    let filters = ["waypoint_downstream_peer_metadata", "waypoint_upstream_peer_metadata"];
    let patches = filters.map(|name| {
        let http = json!({"name": "envoy.filters.network.http_connection_manager", "subFilter": {"name": name}});
        json!({"applyTo": "HTTP_FILTER", "patch": {"operation": "REMOVE"},
            "match": {"context": "SIDECAR_INBOUND", "listener": {"filterChain": {"filter": http}}}})
    });
    json!({"apiVersion": "networking.istio.io/v1alpha3", "kind": "EnvoyFilter",
        "metadata": {"name": "stripped", "namespace": "shop"}, "spec": {"configPatches": patches,
            "targetRefs": [{"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "waypoint"}]}})
}

/// What the controllers make that do not run here: the waypoint's Service, and who is behind it.
fn waypoint_service(cluster: &Cluster, address: &str) {
    let labels = json!({"gateway.networking.k8s.io/gateway-name": "waypoint"});
    let service = json!({"apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "waypoint", "namespace": "shop", "labels": labels},
        "spec": {"ports": [{"name": "mesh", "port": 15008, "appProtocol": "hbone"}], "selector": labels}});
    let slice = json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": "waypoint-1", "namespace": "shop", "labels": {"kubernetes.io/service-name": "waypoint"}},
        "ports": [{"name": "mesh", "port": 15008}],
        "endpoints": [{"addresses": [address], "conditions": {"ready": true},
            "targetRef": {"kind": "Pod", "name": "waypoint", "namespace": "shop"}}]});
    cluster.kube.apply(&json!({"apiVersion": "v1", "kind": "List", "items": [service, slice]}).to_string());
    let place = json!({"spec": {"addresses": [{"type": "Hostname", "value": "waypoint.shop.svc.cluster.local"}]}});
    let gateway = "gateways.gateway.networking.k8s.io";
    cluster.kube.run(&["patch", gateway, "waypoint", "-n", "shop", "--type=merge", "-p", &place.to_string()]);
}

pub(super) fn waypoint(course: &mut Course, cluster: &mut Cluster) {
    cluster.kube.apply_overlay("dev");
    cluster.kube.delete("envoyfilter", "istio-ingress");
    cluster.kube.apply(&stripped().to_string());
    let due = expected(&config(), HOST);
    let pod = Pod {
        name: "waypoint",
        space: "shop",
        account: "waypoint",
        role: "waypoint",
        labels: json!({"gateway.networking.k8s.io/gateway-name": "waypoint",
            "gateway.networking.k8s.io/gateway-class-name": "istio-waypoint"}),
        network: 3,
        module: Some(module()),
        // The last version to which istiod sends what the official Envoy knows.
        env: vec![("ISTIO_META_ISTIO_VERSION", "1.29.1".to_owned())],
        version: None,
    };
    for form in [TRAFFIC_EXTENSION, WASM_PLUGIN, ENVOY_FILTER] {
        cluster.kube.apply(&overlay(cluster, "waypoint", form));
        waypoint_service(cluster, &pod.address().to_string());
        cluster.kube.run(&[
            "label",
            "namespace",
            "shop",
            "istio.io/use-waypoint=waypoint",
            "istio.io/dataplane-mode=ambient",
            "--overwrite",
        ]);
        cluster.kube.run(&[
            "label",
            "service",
            "checkout",
            "-n",
            "shop",
            "istio.io/ingress-use-waypoint=true",
            "--overwrite",
        ]);
        let waypoint = Proxy::start(cluster, pod.clone()).ready();
        let mut gateway = Pod::gateway(None);
        gateway.env.push(("ISTIO_META_ENABLE_HBONE", "true".to_owned()));
        let gateway = Proxy::start(cluster, gateway).ready().listening(80);
        course.claim("a waypoint", form, || {
            poll("a way through the waypoint", 60, || {
                let seen = gateway.client(80).try_send(&user(1)).ok().filter(|seen| seen.status == 200)?;
                seen.upstream().header("x-flag-new-nav").map(drop)
            });
            let told = decides(&mut gateway.client(80), HOST, &due);
            assert!(waypoint.metrics().contains("tidegate_decisions_total{"), "it was not the waypoint");
            told + ", over HBONE"
        });
        drop((gateway, waypoint));
        cluster.kube.run(&["delete", &form.to_lowercase(), "tidegate", "-n", "shop"]);
    }
    for label in ["istio.io/use-waypoint-", "istio.io/dataplane-mode-"] {
        cluster.kube.run(&["label", "namespace", "shop", label]);
    }
    cluster.kube.run(&["label", "service", "checkout", "-n", "shop", "istio.io/ingress-use-waypoint-"]);
}

/// The caller's certificate as an identity, in the proxy that receives: the gateway is the caller.
pub(super) fn peer(course: &mut Course, cluster: &mut Cluster) {
    cluster.kube.apply_overlay("dev");
    cluster.kube.delete("envoyfilter", "istio-ingress");
    let principal = "spiffe://cluster.local/ns/istio-ingress/sa/default";
    let config = json!({"version": 1, "identity": [{"peer": true}], "flags": {
        "caller": {"rules": [{"when": {"peer": principal}, "serve": "on"}]},
        "drawn": {"rules": [{"percent": 50, "serve": "on"}]}}});
    let more = ["--mode", "server", "--namespace", "shop", "--selector", "app=checkout"];
    push(cluster, ENVOY_FILTER, &config, &more);
    let server = Pod {
        name: "checkout-v1",
        space: "shop",
        account: "default",
        role: "sidecar",
        labels: json!({"app": "checkout", "version": "v1", "security.istio.io/tlsMode": "istio"}),
        network: 4,
        module: Some(module()),
        env: vec![("ISTIO_META_INTERCEPTION_MODE", "NONE".to_owned())],
        version: Some("v1"),
    };
    let address = server.address().to_string();
    cluster.endpoints(&[("checkout-v1".to_owned(), address.clone())]);
    // Nothing redirects here: the proxy has the port, and the application another one.
    let ingress = json!([{"port": {"number": 8080, "protocol": "HTTP", "name": "http"}, "bind": address,
        "defaultEndpoint": "127.0.0.1:9080", "captureMode": "NONE"}]);
    cluster.kube.apply(
        &json!({"apiVersion": "networking.istio.io/v1", "kind": "Sidecar",
            "metadata": {"name": "checkout", "namespace": "shop"},
            "spec": {"workloadSelector": {"labels": {"app": "checkout"}}, "ingress": ingress}})
        .to_string(),
    );
    let server = Proxy::start(cluster, server).ready().listening(8080);
    let gateway = Proxy::start(cluster, Pod::gateway(None)).ready().listening(80);
    course.claim("the caller's mTLS certificate as an identity", ENVOY_FILTER, || {
        let mut client = gateway.client(80);
        let seen = poll("an answer", 30, || client.try_send(&user(1)).ok().filter(|seen| seen.status == 200));
        let seen = seen.upstream();
        assert_eq!(seen.header("x-flag-caller"), Some("on"), "{seen:?}");
        let drawn = seen.header("x-flag-drawn").map(str::to_owned);
        for number in 0..50 {
            let again = client.send(&user(number)).upstream();
            assert_eq!(again.header("x-flag-drawn").map(str::to_owned), drawn, "one caller, one answer");
        }
        // Whoever comes without a certificate is nobody.
        let plain = server.client(8080).send(&user(1)).upstream();
        assert_eq!(plain.header("x-flag-caller"), Some("off"), "{plain:?}");
        poll("the count of its source", 10, || {
            let page = server.metrics();
            page.lines().any(|line| line.contains("source=\"peer\"") && !line.ends_with(" 0")).then_some(())
        });
        format!("{principal} by a real handshake; without one, nobody")
    });
}
