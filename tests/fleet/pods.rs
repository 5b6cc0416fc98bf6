//! How many Pods are ready, as the API server has them, and what is read beside other work.
//!
//! Nothing runs a Pod here: what a kubelet would say of it is written into its status.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;
use tidegate_fleet::cluster::{Cause, Place, Question, Reader, Selected};

use super::{Land, SPACE};

const LONG: Duration = Duration::from_mins(1);

fn selected(namespace: Option<&str>, selector: &str) -> Selected {
    Selected { namespace: namespace.map(str::to_owned), selector: selector.to_owned() }
}

fn pod(land: &Land, name: &str, version: &str, ready: &str) {
    let pod = json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": SPACE, "labels": {"app": "checkout", "version": version}},
        "spec": {"nodeName": "node", "containers": [{"name": "app", "image": "app"}]}});
    land.server.apply(&pod.to_string());
    let conditions = json!([{"type": "Initialized", "status": "True"}, {"type": "Ready", "status": ready}]);
    let status = json!({"status": {"phase": "Running", "conditions": conditions}}).to_string();
    land.server.run(&["patch", "pod", name, "-n", SPACE, "--subresource=status", "--type=merge", "-p", &status]);
}

#[test]
fn what_is_ready_and_goes_on_is_counted() {
    let Some(land) = Land::new() else { return };
    pod(&land, "a", "v2", "True");
    pod(&land, "b", "v2", "True");
    pod(&land, "c", "v2", "False");
    pod(&land, "d", "v1", "True");
    let cluster = land.admin();
    let of = |version: &str| cluster.ready(&selected(None, &format!("app=checkout,version={version}"))).unwrap();
    assert_eq!((of("v1"), of("v2"), of("v3")), (1, 2, 0));
    assert_eq!(cluster.ready(&selected(Some("default"), "app=checkout")).unwrap(), 0);
    // It ends as soon as its kubelet says so, and there is none: until then it is terminating.
    land.server.run(&["delete", "pod", "a", "-n", SPACE, "--wait=false"]);
    assert_eq!(of("v2"), 1);
    let refused = land.as_user("jane").ready(&selected(Some("shop"), "app=checkout")).unwrap_err();
    assert_eq!(refused.what, "'jane' does not have the right to list pods in namespace shop");
    let wrong = cluster.ready(&selected(None, "app=checkout,=")).unwrap_err();
    assert!(wrong.cause == Cause::Other && wrong.what.contains("refuses"), "{wrong:?}");
}

#[test]
fn a_reader_survives_that_the_server_goes_and_comes_back() {
    let Some(mut land) = Land::new() else { return };
    land.component("wasmplugin");
    pod(&land, "a", "v2", "True");
    let mut reader = Reader::new(land.access("admin")).unwrap();
    let v2 = selected(None, "version=v2");
    let question = || Question { object: Some(Place::parse("wasmplugin/tidegate").unwrap()), ready: vec![v2.clone()] };
    let answer = reader.ask(question(), LONG).unwrap();
    assert!(answer.object.unwrap().is_ok());
    assert_eq!(answer.ready, BTreeMap::from([(v2.clone(), Ok(1))]));
    land.server.go();
    let answer = reader.ask(question(), LONG).unwrap();
    let away = answer.object.unwrap().unwrap_err();
    assert_eq!(away.cause, Cause::Away, "{away:?}");
    assert_eq!(answer.ready, BTreeMap::from([(v2.clone(), Err(away))]));
    land.server.come_back();
    let answer = reader.ask(question(), LONG).unwrap();
    assert!(answer.object.unwrap().is_ok());
    assert_eq!(answer.ready, BTreeMap::from([(v2, Ok(1))]));
}

/// A server that takes a connection and says nothing: whoever asks goes on all the same.
#[test]
fn a_server_that_says_nothing_makes_nobody_wait() {
    let silent = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kubeconfig");
    let server = format!("http://{}", silent.local_addr().unwrap());
    let config = json!({"apiVersion": "v1", "kind": "Config", "current-context": "here",
        "clusters": [{"name": "here", "cluster": {"server": server}}], "users": [{"name": "me", "user": {}}],
        "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}]});
    std::fs::write(&file, config.to_string()).unwrap();
    let access = tidegate_fleet::cluster::Access { kubeconfig: Some(file), context: None, namespace: None };
    let mut reader = Reader::new(access).unwrap();
    let question = || Question { object: None, ready: vec![selected(None, "a=b")] };
    for _ in 0..20 {
        assert!(reader.ask(question(), Duration::from_millis(1)).is_none());
    }
    // When there is an answer, it is that there was none.
    drop(silent);
    let answer = reader.ask(question(), LONG).unwrap();
    assert!(answer.ready.values().all(|counted| counted.as_ref().is_err_and(|trouble| trouble.cause == Cause::Away)));
}
