//! Which labels the judge finds on what Prometheus reads in a mesh: the shipped scrape configuration, with Pods laid down in
//! the words of Prometheus' own discovery, in a real Prometheus.
//!
//! Only the discovery itself is exchanged: nothing here is a cluster, and Debian's Prometheus is built without it.

use kit::envoy::repository;
use kit::prometheus::Prometheus;
use serde_json::{Value, json};
use tidegate_fleet::judge::reading::Labels;

const FILE: &str = "envoy/observability/prometheus-mesh.yaml";

/// A Pod as discovery tells it: its address, what is particular to it, and its labels afterwards, if it is read at all.
type Case = (&'static str, &'static [(&'static str, &'static str)], Option<Value>);

fn proxies() -> Vec<Case> {
    let gateway = &[
        ("pod_name", "ingress-6d4cf56db6-x2x7k"),
        ("namespace", "istio-ingress"),
        ("pod_controller_kind", "ReplicaSet"),
        ("pod_controller_name", "ingress-6d4cf56db6"),
        ("node_label_topology_kubernetes_io_zone", "eu-1a"),
    ];
    let sidecar = &[
        ("pod_name", "web-0"),
        ("namespace", "shop"),
        ("pod_controller_kind", "StatefulSet"),
        ("pod_controller_name", "web"),
        ("node_label_topology_kubernetes_io_zone", "eu-1b"),
    ];
    let named = &[
        ("pod_name", "cart-v2-5f7c9-abcde"),
        ("namespace", "shop"),
        ("pod_controller_kind", "ReplicaSet"),
        ("pod_controller_name", "cart-v2-5f7c9"),
        ("pod_label_service_istio_io_canonical_name", "cart"),
    ];
    let labels = |address: &str, namespace: &str, pod: &str, workload: &str| json!({"job": "tidegate", "instance": address, "namespace": namespace, "pod": pod, "workload": workload});
    let with = |mut labels: Value, zone: &str| {
        labels["zone"] = json!(zone);
        labels
    };
    vec![
        (
            "127.0.0.1:11",
            gateway,
            Some(with(labels("127.0.0.1:11", "istio-ingress", "ingress-6d4cf56db6-x2x7k", "ingress"), "eu-1a")),
        ),
        ("127.0.0.1:12", sidecar, Some(with(labels("127.0.0.1:12", "shop", "web-0", "web"), "eu-1b"))),
        // A node without a zone: the label is not there, and the judge takes that for one zone.
        ("127.0.0.1:13", named, Some(labels("127.0.0.1:13", "shop", "cart-v2-5f7c9-abcde", "cart"))),
        ("127.0.0.1:14", &[("pod_container_port_name", "http"), ("pod_name", "a")], None),
        ("127.0.0.1:15", &[("pod_phase", "Succeeded"), ("pod_name", "b")], None),
    ]
}

fn fleet() -> Vec<Case> {
    let labels = |address: &str, container: &str| json!({"job": "tidegate-fleet", "instance": address, "namespace": "istio-ingress", "pod": "tidegate-fleet-1", "container": container});
    let judge = &[
        ("pod_label_app_kubernetes_io_name", "tidegate-fleet"),
        ("pod_container_port_name", "judge"),
        ("pod_container_name", "judge"),
        ("namespace", "istio-ingress"),
        ("pod_name", "tidegate-fleet-1"),
    ];
    let steer = &[
        ("pod_label_app_kubernetes_io_name", "tidegate-fleet"),
        ("pod_container_port_name", "steer"),
        ("pod_container_name", "steer"),
        ("namespace", "istio-ingress"),
        ("pod_name", "tidegate-fleet-1"),
    ];
    vec![
        ("127.0.0.1:21", judge, Some(labels("127.0.0.1:21", "judge"))),
        ("127.0.0.1:22", steer, Some(labels("127.0.0.1:22", "steer"))),
        ("127.0.0.1:23", &[("pod_label_app_kubernetes_io_name", "other"), ("pod_container_port_name", "judge")], None),
    ]
}

#[test]
fn proxies_have_the_labels_that_the_judge_looks_for() {
    let text = std::fs::read_to_string(repository().join(FILE)).unwrap();
    let mut config: Value = serde_saphyr::from_str(&text).unwrap();
    let jobs = config["scrape_configs"].as_array_mut().unwrap();
    assert_eq!(jobs.len(), 2);
    let mut due = Vec::new();
    for (job, cases) in jobs.iter_mut().zip([proxies(), fleet()]) {
        let job = job.as_object_mut().unwrap();
        let discovery = job.remove("kubernetes_sd_configs").unwrap();
        assert_eq!(discovery[0]["role"], "pod");
        let is_of_proxies = job["job_name"] == "tidegate";
        assert_eq!(discovery[0]["attach_metadata"]["node"].as_bool().unwrap_or(false), is_of_proxies);
        let targets: Vec<Value> = cases
            .iter()
            .map(|(address, labels, _)| {
                let mut all = json!({"__meta_kubernetes_pod_phase": "Running",
                    "__meta_kubernetes_pod_container_port_name": "http-envoy-prom"});
                for (name, value) in *labels {
                    all[format!("__meta_kubernetes_{name}")] = json!(value);
                }
                json!({"targets": [address], "labels": all})
            })
            .collect();
        job.insert("static_configs".to_owned(), json!(targets));
        job.insert("scrape_interval".to_owned(), json!("1s"));
        job.insert("scrape_timeout".to_owned(), json!("1s"));
        due.extend(cases.into_iter().filter_map(|(_, _, labels)| labels));
    }
    config["rule_files"] = json!([]);
    let Some(prometheus) = Prometheus::start(&[("prometheus.yaml", &config.to_string())]) else { return };
    // Nobody answers there, which Prometheus says of each target that it reads, with all of its labels.
    let labels = |mut one: Value| {
        one["metric"].as_object_mut().unwrap().remove("__name__");
        one["metric"].take()
    };
    let mut seen = prometheus.poll("all targets", || {
        let seen: Vec<Value> = prometheus.query("up").ok()?.into_iter().map(labels).collect();
        (seen.len() >= due.len()).then_some(seen)
    });
    let key = |one: &Value| one["instance"].to_string();
    seen.sort_by_key(key);
    due.sort_by_key(key);
    assert_eq!(seen, due);
    let own = Labels::default();
    for label in [&own.proxy, &own.zone, &own.workload] {
        assert!(seen[0][label].is_string(), "the judge looks for {label}: {}", seen[0]);
    }
}

#[test]
fn only_metrics_that_somebody_looks_at_are_kept() {
    let text = std::fs::read_to_string(repository().join(FILE)).unwrap();
    let config: Value = serde_saphyr::from_str(&text).unwrap();
    let keep = &config["scrape_configs"][0]["metric_relabel_configs"][0];
    assert_eq!((keep["action"].as_str(), keep["source_labels"][0].as_str()), (Some("keep"), Some("__name__")));
    // What the rules name of Envoy's own metrics, whatever the filter is called, is in it.
    let rules = std::fs::read_to_string(repository().join("envoy/observability/rules.yaml")).unwrap();
    let kept: Vec<&str> = keep["regex"].as_str().unwrap().split('|').collect();
    let named: Vec<&str> = rules.split("__name__=~\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert!(named.len() >= 6, "{named:?}");
    for one in named {
        assert!(
            kept.iter().any(|kept| kept.strip_suffix(".*").is_some_and(|stem| one.starts_with(stem))),
            "{one} is dropped by {kept:?}"
        );
    }
}
