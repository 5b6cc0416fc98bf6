//! What the manifests of the fleet give to judge and steer: `kubectl apply -k` of the overlay, and then each thing that their
//! `ServiceAccount` may do and each that it may not, asked of a real API server with its own token.
//!
//! What is refused must be refused because of rights, and by that server. Never runs a Pod: there is no kubelet.

use std::fs;

use kit::istio::fleet;
use serde_json::{Value, json};
use tidegate_engine::plan::Plan;
use tidegate_engine::value::time::Timestamp;
use tidegate_fleet::cluster::{Access, Act, Cluster, Lead, RENDERS, Selected};

use super::{Land, SPACE, read};

/// The name of a kubeconfig with the token of the `ServiceAccount`.
const ACCOUNT: &str = "fleet";
const NAME: &str = "system:serviceaccount:istio-ingress:tidegate-fleet";

/// The field manager of steer, and so the annotation of whoever reads the managers.
const STEER: &str = "tidegate-steer";

/// Applies the overlay as an operator does it, and makes a kubeconfig of the `ServiceAccount`.
fn deploy(land: &Land, lines: &[&str]) {
    let scratch = tempfile::tempdir().unwrap();
    let folder = fleet(scratch.path(), lines);
    land.server.run(&["apply", "--server-side", "--validate=strict", "-k", folder.to_str().unwrap()]);
    let token = land.server.run(&["create", "token", "tidegate-fleet", "-n", SPACE]);
    let admin = fs::read_to_string(land.server.kubeconfig("admin")).unwrap();
    let mut config: Value = serde_json::from_str(&admin).unwrap();
    config["users"][0]["user"] = json!({"token": token.trim()});
    fs::write(land.server.kubeconfig(ACCOUNT), config.to_string()).unwrap();
}

/// Things to be tried upon, besides the object itself.
fn furnish(land: &Land) {
    land.component("wasmplugin");
    land.component("trafficextension");
    land.component("envoyfilter");
    land.server.run(&["create", "namespace", "shop"]);
    let object = |kind: &str, name: &str, space: &str| json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": space}});
    let plugin = |name: &str, space: &str| {
        json!({"apiVersion": "extensions.istio.io/v1alpha1", "kind": "WasmPlugin",
        "metadata": {"name": name, "namespace": space}, "spec": {"url": "oci://registry.example/other"}})
    };
    let lease = |name: &str, space: &str| {
        json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": name, "namespace": space}, "spec": {}})
    };
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "gateway", "namespace": SPACE},
        "spec": {"containers": [{"name": "a", "image": "a"}]}});
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "tidegate", "namespace": SPACE,
        "annotations": {RENDERS: "tidegate"}}, "data": {"shop.yaml": "# Ours.\nversion: 1\nflags:\n  nav: {rules: [{serve: \"on\"}]}\n"}});
    let items = [
        object("Secret", "tidegate", SPACE),
        object("ConfigMap", "other", SPACE),
        plugin("other", SPACE),
        plugin("tidegate", "shop"),
        lease("other", SPACE),
        lease("tidegate-steer", "shop"),
        pod,
        map,
    ];
    land.server.apply(&json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string());
}

const LEASE: &str =
    r#"{"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "tidegate-steer"}}"#;
const EVENT: &str = r#"{"apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"generateName": "tidegate-"},
    "eventTime": "2026-12-01T09:00:00.000000Z", "reportingController": "tidegate.dev/tidegate", "reportingInstance": "a",
    "action": "Held", "reason": "Held", "type": "Normal", "note": "Hold checkout",
    "regarding": {"apiVersion": "extensions.istio.io/v1alpha1", "kind": "WasmPlugin", "name": "tidegate", "namespace": "NS"}}"#;
const PLUGIN: &str = r#"{"apiVersion": "extensions.istio.io/v1alpha1", "kind": "WasmPlugin", "metadata": {"name": "mine"},
    "spec": {"url": "oci://registry.example/mine"}}"#;
const BINDING: &str = r#"{"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "mine"},
    "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
    "subjects": [{"kind": "ServiceAccount", "name": "tidegate-fleet", "namespace": "istio-ingress"}]}"#;
const STAND: &str = r#"{"spec": {"pluginConfig": {"standing": {}}}}"#;
const RENEW: &str = r#"{"spec": {"holderIdentity": "a", "leaseDurationSeconds": 15}}"#;
const NOTE: &str = r#"{"metadata": {"annotations": {"a": "b"}}}"#;

/// In the namespace of the object, what each of the two may do: in a dry run, and with `apply`.
/// `-` stands for an object on the standard input, and `=` for a patch of it.
const IN_ITS_NAMESPACE: &[(&str, &str, [bool; 2])] = &[
    // What the judge and a dry run need, and all that they get.
    ("get wasmplugin tidegate", "", [true, true]),
    ("auth whoami", "", [true, true]),
    // What steer needs besides.
    ("patch wasmplugin tidegate --type merge -p =", STAND, [false, true]),
    ("create -f -", LEASE, [false, true]),
    ("get lease tidegate-steer", "", [false, true]),
    ("patch lease tidegate-steer --type merge -p =", RENEW, [false, true]),
    ("create -f -", EVENT, [false, true]),
    // The object, but otherwise.
    ("delete wasmplugin tidegate", "", [false, false]),
    ("replace -f -", "", [false, false]),
    ("get wasmplugins", "", [false, false]),
    ("get wasmplugin tidegate --watch", "", [false, false]),
    // Others of its kind, and of the other kinds that hold configs.
    ("get wasmplugin other", "", [false, false]),
    ("patch wasmplugin other --type merge -p =", STAND, [false, false]),
    ("create -f -", PLUGIN, [false, false]),
    ("get trafficextension tidegate", "", [false, false]),
    ("patch trafficextension tidegate --type merge -p =", NOTE, [false, false]),
    ("get envoyfilter tidegate", "", [false, false]),
    ("patch envoyfilter tidegate --type merge -p =", NOTE, [false, false]),
    ("get configmap tidegate", "", [false, false]),
    ("get configmap other", "", [false, false]),
    ("patch configmap other --type merge -p =", NOTE, [false, false]),
    ("get configmaps", "", [false, false]),
    // Leases and Events of others, and its own but for what it needs.
    ("get lease other", "", [false, false]),
    ("patch lease other --type merge -p =", RENEW, [false, false]),
    ("get leases", "", [false, false]),
    ("delete lease tidegate-steer", "", [false, false]),
    ("get events", "", [false, false]),
    ("get events.events.k8s.io", "", [false, false]),
    ("delete events.events.k8s.io --all", "", [false, false]),
    // Secrets, Pods, and its own strength.
    ("get secret tidegate", "", [false, false]),
    ("get secrets", "", [false, false]),
    ("get pods", "", [false, false]),
    ("get pod gateway", "", [false, false]),
    ("delete pod gateway", "", [false, false]),
    ("logs gateway", "", [false, false]),
    ("create --raw /api/v1/namespaces/istio-ingress/pods/gateway/exec?command=a -f -", "{}", [false, false]),
    ("get --raw /api/v1/namespaces/istio-ingress/pods/gateway/proxy/", "", [false, false]),
    ("create --raw /api/v1/namespaces/istio-ingress/pods/gateway/portforward -f -", "{}", [false, false]),
    ("get deployments", "", [false, false]),
    ("scale deployment tidegate-fleet --replicas 0", "", [false, false]),
    ("get role tidegate-fleet", "", [false, false]),
    ("patch role tidegate-fleet --type merge -p =", NOTE, [false, false]),
    ("create -f -", BINDING, [false, false]),
    ("create token tidegate-fleet", "", [false, false]),
];

/// In another namespace, and in all of them: nothing, be it a dry run or not.
const ELSEWHERE: &[(&str, &str)] = &[
    ("get wasmplugin tidegate -n shop", ""),
    ("patch wasmplugin tidegate -n shop --type merge -p =", STAND),
    ("get lease tidegate-steer -n shop", ""),
    ("patch lease tidegate-steer -n shop --type merge -p =", RENEW),
    ("create -n shop -f -", LEASE),
    ("create -n shop -f -", EVENT),
    ("get secrets -n kube-system", ""),
    ("get wasmplugins -A", ""),
    ("get leases -A", ""),
    ("get pods -A", ""),
    ("get secrets -A", ""),
    ("get namespaces", ""),
    ("get nodes", ""),
    ("get clusterroles", ""),
    ("get crd wasmplugins.extensions.istio.io", ""),
    ("get --raw /metrics", ""),
];

/// Tries a line of a table; whether it is allowed.
#[track_caller]
fn may(land: &Land, line: &str, input: &str) -> bool {
    let mut args: Vec<&str> = line.split(' ').map(|word| if word == "=" { input } else { word }).collect();
    if !["-n", "-A", "--raw"].iter().any(|own| args.contains(own)) {
        args.extend(["-n", SPACE]);
    }
    let space = if line.contains("-n shop") { "shop" } else { SPACE };
    let input = if line.contains("-p =") { String::new() } else { input.replace("NS", space) };
    match land.server.attempt(ACCOUNT, &args, &input) {
        Ok(_) => true,
        Err(error) => {
            // kubectl reads an object before it replaces, scales or logs it, and that may be what is refused.
            let told = error.contains("(Forbidden)") && error.contains(NAME);
            assert!(told || error.contains(&format!("User \"{NAME}\" cannot")), "{line}: {error}");
            false
        }
    }
}

fn table(land: &Land, applies: bool) {
    for (line, input, due) in IN_ITS_NAMESPACE {
        let input = match *line {
            "replace -f -" => &*land.server.run(&["get", "wasmplugin", "tidegate", "-n", SPACE, "-o", "json"]),
            _ => input,
        };
        assert_eq!(may(land, line, input), due[usize::from(applies)], "apply {applies}: {line} {input}");
    }
    for (line, input) in ELSEWHERE {
        assert!(!may(land, line, input), "apply {applies}: {line} {input}");
    }
}

#[test]
fn a_dry_run_may_get_one_object() {
    let Some(land) = Land::new() else { return };
    furnish(&land);
    deploy(&land, &[]);
    let before = land.object("wasmplugin/tidegate");
    table(&land, false);
    assert_eq!(land.object("wasmplugin/tidegate")["spec"], before["spec"]);
    let cluster = account(&land);
    read(&cluster, "wasmplugin/tidegate");
    let refused = cluster.stand("tidegate-steer", "a").unwrap_err();
    assert!(refused.what.contains("does not have the right") && refused.what.contains("leases"), "{refused:?}");
}

#[test]
fn with_apply_it_may_write_that_object_its_lease_and_events() {
    let Some(land) = Land::new() else { return };
    furnish(&land);
    deploy(&land, &["apply"]);
    table(&land, true);
}

fn account(land: &Land) -> Cluster {
    let kubeconfig = Some(land.server.kubeconfig(ACCOUNT));
    // As in a Pod: the namespace is said by nobody, and is that of the ServiceAccount.
    Cluster::connect(&Access { kubeconfig, context: None, namespace: Some(SPACE.to_owned()) }).unwrap()
}

fn act(second: i64) -> Act<'static> {
    let at = Timestamp::from_millis(1_796_115_600_000 + second * 1_000);
    Act { manager: STEER, reason: "RolledBack", note: "Roll back checkout", why: Some("errors v2 50%"), at }
}

#[test]
fn its_rights_are_all_that_the_command_needs_in_each_form() {
    let standing =
        json!({"checkout": {"of": "9f3a6c1e02b7d455", "phase": "rolledBack", "since": "2026-12-01T09:00:00Z"}});
    for form in ["wasmplugin", "trafficextension"] {
        let Some(land) = Land::new() else { return };
        furnish(&land);
        deploy(&land, if form == "wasmplugin" { &["apply"] } else { &["trafficextension", "apply"] });
        let cluster = account(&land);
        let held = read(&cluster, &format!("{form}/tidegate"));
        let mut content = held.content().clone();
        content["standing"] = standing.clone();
        let written = cluster.write(&held, &content, &act(0)).unwrap();
        assert_eq!((written.by.as_str(), &written.unrecorded), (NAME, &None), "{form}");
        assert!(land.events().iter().any(|(reason, _)| reason == "RolledBack"), "{form}");
        if form == "wasmplugin" {
            leads(&land, &cluster);
        } else {
            assert!(!may(&land, "get wasmplugin tidegate", ""), "the rights are exchanged, and not added to");
        }
    }
}

/// Takes the Lease, and gives it back.
fn leads(land: &Land, cluster: &Cluster) {
    let candidate = cluster.stand("tidegate-steer", "pod-a").unwrap();
    let mut looks = 0;
    while candidate.lead() != Lead::Leads {
        looks += 1;
        assert!(looks < 600, "{:?}", candidate.lead());
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let holder = || land.object("lease/tidegate-steer")["spec"]["holderIdentity"].clone();
    assert_eq!(holder(), "pod-a");
    drop(candidate);
    assert_ne!(holder(), "pod-a", "it is given back");
}

#[test]
fn a_config_map_and_its_envoy_filter_are_written_with_these_rights() {
    let Some(land) = Land::new() else { return };
    furnish(&land);
    // Whichever of the two stands first.
    deploy(&land, &["configmap", "apply"]);
    let cluster = account(&land);
    let held = read(&cluster, "configmap/tidegate");
    let text = held.content().as_str().unwrap().to_owned()
        + "standing:\n  nav: {of: 9f3a6c1e02b7d455, phase: held, since: \"2026-12-01T09:00:00Z\"}\n";
    assert_eq!(cluster.write(&held, &json!(text), &act(0)).unwrap().unrecorded, None);
    let config = r#"{"version": 1, "flags": {"nav": {"rules": [{"serve": "on"}]}}}"#;
    let plan = Plan::from_bytes(config.as_bytes()).0.ready().unwrap();
    let place = held.renders().unwrap();
    assert!(cluster.render(&place, config, &plan, &act(1)).unwrap().is_some());
    for (line, input) in [
        ("get configmap other", ""),
        ("patch configmap other --type merge -p =", NOTE),
        ("get configmaps", ""),
        ("delete configmap tidegate", ""),
        ("get envoyfilters", ""),
        ("delete envoyfilter tidegate", ""),
        ("get wasmplugin tidegate", ""),
    ] {
        assert!(!may(&land, line, input), "{line}");
    }
    // A dry run of this form may read both, and write neither.
    deploy(&land, &["configmap"]);
    for (line, due) in [
        ("get configmap tidegate", true),
        ("get envoyfilter tidegate", true),
        ("patch configmap tidegate --type merge -p =", false),
        ("patch envoyfilter tidegate --type merge -p =", false),
    ] {
        assert_eq!(may(&land, line, NOTE), due, "{line}");
    }
}

#[test]
fn pods_are_listed_where_they_are_counted_and_no_more() {
    let Some(land) = Land::new() else { return };
    furnish(&land);
    deploy(&land, &["ready"]);
    let versions = Selected { namespace: None, selector: "app=shop,version=v2".to_owned() };
    assert_eq!(account(&land).ready(&versions).unwrap(), 0);
    for (line, due) in [
        ("get pods", true),
        ("get pod gateway", false),
        ("get pods -n shop", false),
        ("get pods -A", false),
        ("delete pod gateway", false),
        ("logs gateway", false),
        ("get secrets", false),
        ("get wasmplugin tidegate", true),
    ] {
        assert_eq!(may(&land, line, ""), due, "{line}");
    }
}

#[test]
fn every_way_to_deploy_it_is_taken_and_is_safe() {
    let Some(land) = Land::new() else { return };
    // What the strictest of the standards of Pods asks for.
    land.server.run(&["label", "namespace", SPACE, "pod-security.kubernetes.io/enforce=restricted"]);
    land.server.run(&["create", "namespace", "shop"]);
    land.server.run(&["label", "namespace", "shop", "pod-security.kubernetes.io/enforce=restricted"]);
    for lines in [
        &[][..],
        &["apply"],
        &["policy", "apply"],
        &["trafficextension"],
        &["trafficextension", "apply"],
        &["configmap"],
        &["configmap", "policy", "apply"],
        &["ready"],
        &["trafficextension", "ready", "policy", "apply"],
    ] {
        for space in [SPACE, "shop"] {
            let scratch = tempfile::tempdir().unwrap();
            let folder = fleet(scratch.path(), lines);
            let file = folder.join("kustomization.yaml");
            let text = fs::read_to_string(&file).unwrap();
            if space == "shop" {
                fs::write(&file, text.replace("# namespace: shop", "namespace: shop")).unwrap();
            }
            let path = folder.to_str().unwrap();
            let strict = ["apply", "--dry-run=server", "--validate=strict", "-o", "json", "-k", path];
            let all: Value = serde_json::from_str(&land.server.run(&strict)).unwrap();
            let items = all["items"].as_array().unwrap();
            let kinds: Vec<&str> = items.iter().map(|one| one["kind"].as_str().unwrap()).collect();
            assert_eq!(kinds.len(), 7, "{kinds:?}");
            assert!(items.iter().all(|one| one["metadata"]["namespace"] == space), "{kinds:?} in {space}");
            let of = |kind: &str| items.iter().find(|one| one["kind"] == kind).unwrap();
            assert_eq!(of("RoleBinding")["subjects"][0]["namespace"], space);
            // The argument and the right to write come together or not at all.
            let deployment = of("Deployment");
            let steer = deployment["spec"]["template"]["spec"]["containers"][1]["args"].to_string();
            let writes = of("Role")["rules"].to_string().contains("patch");
            let applies = lines.contains(&"apply");
            assert_eq!((steer.contains("--apply"), writes), (applies, applies), "{lines:?}");
            // All that is selected is selected by labels that the Pods have.
            let labels = &deployment["spec"]["template"]["metadata"]["labels"];
            for selector in [
                &of("Service")["spec"]["selector"],
                &of("PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
                &of("NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
                &deployment["spec"]["selector"]["matchLabels"],
            ] {
                let selector = selector.as_object().unwrap();
                assert!(!selector.is_empty() && selector.iter().all(|(name, value)| labels[name] == *value));
            }
            let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "namespace": space,
                "labels": labels}, "spec": deployment["spec"]["template"]["spec"]});
            let taken = land.server.attempt("admin", &["create", "--dry-run=server", "-f", "-"], &pod.to_string());
            assert!(taken.is_ok(), "{lines:?}: {taken:?}");
        }
    }
    // One that may do more than it should is refused, so that the standard is one.
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "namespace": SPACE},
        "spec": {"containers": [{"name": "a", "image": "a"}]}});
    let refused = land.server.attempt("admin", &["create", "--dry-run=server", "-f", "-"], &pod.to_string());
    assert!(refused.unwrap_err().contains("violates PodSecurity"));
}

#[test]
fn a_form_that_is_named_twice_is_refused() {
    let Some(land) = Land::new() else { return };
    let scratch = tempfile::tempdir().unwrap();
    let folder = fleet(scratch.path(), &["trafficextension", "configmap"]);
    let refused = land.server.attempt("admin", &["kustomize", folder.to_str().unwrap()], "").unwrap_err();
    assert!(refused.contains("test"), "{refused}");
}
