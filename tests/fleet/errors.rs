//! What cannot be done, in words, and who may do what.

use std::fs;

use serde_json::json;
use tidegate_fleet::cluster::{Access, Cause, Cluster, Place, Trouble};

use super::{Land, SPACE, kill, read};

fn of(cluster: &Cluster, place: &str) -> Trouble {
    cluster.read(&Place::parse(place).unwrap()).unwrap_err()
}

#[track_caller]
fn is(trouble: &Trouble, cause: Cause, what: &str, help: &str) {
    assert_eq!((trouble.cause, trouble.what.as_str()), (cause, what));
    assert!(trouble.help.as_deref().unwrap_or_default().contains(help), "{trouble:?}");
}

#[test]
fn what_is_not_there_is_told_with_what_is() {
    let Some(land) = Land::new() else { return };
    land.component("wasmplugin");
    let cluster = land.admin();
    let missing = "there is no wasmplugin/tidegat in namespace istio-ingress";
    is(&of(&cluster, "wasmplugin/tidegat"), Cause::Missing, missing, "did you mean wasmplugin/tidegate?");
    let missing = "there is no wasmplugin/shop in namespace istio-ingress";
    is(&of(&cluster, "wasmplugin/shop"), Cause::Missing, missing, "there are tidegate");
    let missing = "there is no trafficextension/tidegate in namespace istio-ingress";
    is(&of(&cluster, "trafficextension/tidegate"), Cause::Missing, missing, "no TrafficExtension at all");
    let elsewhere = Cluster::connect(&Access { namespace: None, ..land.access("admin") }).unwrap();
    let missing = "there is no wasmplugin/tidegate in namespace default";
    is(&of(&elsewhere, "wasmplugin/tidegate"), Cause::Missing, missing, "add -n istio-ingress");
    land.server.run(&["create", "configmap", "other", "-n", SPACE, "--from-literal=a=b"]);
    let foreign = of(&cluster, "cm/other");
    let what = "configmap/other in namespace istio-ingress has no config of Tidegate under any of its keys (a)";
    assert_eq!((foreign.cause, &*foreign.what), (Cause::Foreign, what));
    land.server.run(&["delete", "crd", "trafficextensions.extensions.istio.io"]);
    let none = of(&cluster, "trafficextension/tidegate");
    assert_eq!(none.cause, Cause::Missing);
    assert!(none.what.ends_with("knows no trafficextensions"), "{none:?}");
    let server = cluster.server().to_owned();
    drop(land);
    is(
        &of(&cluster, "wasmplugin/tidegate"),
        Cause::Away,
        &format!("the API server {server} cannot be reached: connection refused"),
        "kubectl version",
    );
}

#[test]
fn only_the_rights_that_the_page_names_are_needed() {
    let Some(land) = Land::new() else { return };
    land.component("wasmplugin");
    let place = "wasmplugin/tidegate";
    let jane = land.as_user("jane");
    let what = "'jane' does not have the right to get wasmplugins in namespace istio-ingress";
    is(&of(&jane, place), Cause::Forbidden, what, "`get` on `wasmplugins` of extensions.istio.io");
    let what = "'jane' does not have the right to list pods in namespace istio-ingress";
    is(&jane.pods("a=b").unwrap_err(), Cause::Forbidden, what, "`list` on `pods` of the core group");
    // Who may look only.
    let bind = |user: &str, role: &str| {
        land.server.apply(
            &json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "metadata": {"name": format!("{user}-{role}"), "namespace": SPACE},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": role},
            "subjects": [{"kind": "User", "name": user}]})
            .to_string(),
        );
    };
    let page = fs::read_to_string(kit::envoy::repository().join("envoy/istio/README.md")).unwrap();
    let roles = page.split("```yaml\n").skip(1).filter_map(|block| block.split("```").next());
    let roles: Vec<&str> = roles.filter(|block| block.contains("kind: Role\n")).collect();
    assert_eq!(roles.len(), 2, "the page has a Role for who looks, and one for who changes");
    for role in roles {
        land.server.apply(role);
    }
    bind("jane", "tidegate-view");
    bind("tom", "tidegate-view");
    bind("tom", "tidegate-change");
    let held = read(&jane, place);
    let mut content = held.content().clone();
    content["flags"]["checkout"]["kill"] = json!(true);
    let told = jane.write(&held, &content, &kill(None, 0)).unwrap_err();
    let what = "'jane' does not have the right to patch wasmplugins in namespace istio-ingress";
    is(&told, Cause::Forbidden, what, "`patch` on `wasmplugins` of extensions.istio.io");
    assert_eq!(read(&jane, place).content(), held.content());
    let tom = land.as_user("tom");
    let written = tom.write(&read(&tom, place), &content, &kill(Some("it burns"), 1)).unwrap();
    assert_eq!((&*written.by, written.unrecorded), ("tom", None));
    // Without the right to record it, the change stands, and that is said.
    land.server.run(&["delete", "rolebinding", "tom-tidegate-change", "-n", SPACE]);
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
        "metadata": {"name": "patch-only", "namespace": SPACE},
        "rules": [{"apiGroups": ["extensions.istio.io"], "resources": ["wasmplugins"], "verbs": ["patch"]}]});
    land.server.apply(&role.to_string());
    bind("tom", "patch-only");
    content["flags"]["checkout"]["kill"] = json!(false);
    let written = tom.write(&read(&tom, place), &content, &kill(None, 2)).unwrap();
    let why = "'tom' does not have the right to create events in namespace istio-ingress";
    assert_eq!(written.unrecorded.as_deref(), Some(why));
    assert_eq!(read(&tom, place).content(), &content);
    // What the Role does not name, it does not give.
    let denied = ["secrets", "deployments.apps"];
    for resource in denied {
        let may = land.server.attempt("tom", &["auth", "can-i", "get", resource, "-n", SPACE], "");
        assert!(may.is_err(), "{resource}: {may:?}");
    }
}

#[test]
fn a_kubeconfig_that_cannot_be_used_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config");
    let connect = |context: Option<&str>| {
        let access = Access { kubeconfig: Some(file.clone()), context: context.map(str::to_owned), namespace: None };
        Cluster::connect(&access).map(|_| ()).unwrap_err()
    };
    let what = format!("cannot read the kubeconfig {}: No such file or directory (os error 2)", file.display());
    assert_eq!((connect(None).cause, connect(None).what), (Cause::Away, what));
    let context = |name: &str| json!({"name": name, "context": {"cluster": "a", "user": "a"}});
    let mut config = json!({"apiVersion": "v1", "kind": "Config", "contexts": [context("staging"), context("prod")],
        "clusters": [{"name": "a", "cluster": {"server": "https://127.0.0.1:1"}}], "users": [{"name": "a", "user": {}}]});
    fs::write(&file, config.to_string()).unwrap();
    is(&connect(None), Cause::Away, "the kubeconfig has no current-context", "it has staging, prod");
    is(&connect(Some("stagin")), Cause::Away, "the kubeconfig has no context 'stagin'", "did you mean staging?");
    config["current-context"] = json!("gone");
    fs::write(&file, config.to_string()).unwrap();
    let what = "the kubeconfig's current-context 'gone' is not in it";
    is(&connect(None), Cause::Away, what, "name one with --context");
    fs::write(&file, "contexts: {").unwrap();
    assert!(connect(None).what.contains("cannot be used"), "{:?}", connect(None));
}
