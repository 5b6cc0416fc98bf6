//! What is written, and who owns it afterwards.

use kit::apiserver::ADMIN;
use serde_json::{Value, json};
use tidegate_engine::plan::Plan;
use tidegate_fleet::cluster::{Cause, Place, RENDERS};

use super::{Land, kill, read};

/// The fields that a manager owns, below the config.
fn owned(object: &Value, manager: &str, operation: &str) -> String {
    let list = object["metadata"]["managedFields"].as_array().unwrap();
    let of = |one: &&Value| one["manager"] == manager && one["operation"] == operation;
    list.iter().filter(of).map(|one| one["fieldsV1"]["f:spec"].to_string()).collect()
}

#[test]
fn a_kill_writes_one_field_and_says_who_when_and_why() {
    let Some(land) = Land::new() else { return };
    for (name, config) in [("wasmplugin", "/spec/pluginConfig"), ("trafficextension", "/spec/wasm/pluginConfig")] {
        land.component(name);
        let cluster = land.admin();
        let before = land.object(&format!("{name}/tidegate"));
        let held = read(&cluster, &format!("{name}/tidegate"));
        let mut content = held.content().clone();
        content["flags"]["checkout"]["kill"] = json!(true);
        assert!(held.owners(&content, "tidegate").is_empty(), "nobody else speaks of kill");
        let written = cluster.write(&held, &content, &kill(Some("it burns"), 0)).unwrap();
        assert_eq!((written.by.as_str(), &written.unrecorded), (ADMIN, &None));
        let after = land.object(&format!("{name}/tidegate"));
        let mut due = before.pointer(config).unwrap().clone();
        due["flags"]["checkout"]["kill"] = json!(true);
        assert_eq!(after.pointer(config).unwrap(), &due);
        let notes = &after["metadata"]["annotations"];
        assert_eq!(notes["tidegate.dev/changed-by"], ADMIN);
        assert_eq!(notes["tidegate.dev/changed-at"], "2026-12-01T09:00:00Z");
        assert_eq!(notes["tidegate.dev/changed-why"], "it burns");
        let own = owned(&after, "tidegate", "Apply");
        assert!(own.contains("f:kill") && !own.contains("f:rules") && !own.contains("f:url"), "{own}");
        let events = land.events();
        assert!(events.contains(&("Killed".to_owned(), "kill checkout, by admin: it burns".to_owned())), "{events:?}");
    }
}

#[test]
fn a_second_change_keeps_the_first() {
    let Some(land) = Land::new() else { return };
    land.component("wasmplugin");
    let cluster = land.admin();
    let held = read(&cluster, "wasmplugin/tidegate");
    let mut content = held.content().clone();
    content["flags"]["checkout"]["kill"] = json!(true);
    cluster.write(&held, &content, &kill(Some("first"), 0)).unwrap();
    let held = read(&cluster, "wasmplugin/tidegate");
    let mut content = held.content().clone();
    content["flags"]["checkout"]["rules"][1]["percent"] = json!(25);
    let owners = held.owners(&content, "tidegate");
    assert_eq!(owners.len(), 1, "{owners:?}");
    assert_eq!((&*owners[0].manager, &*owners[0].fields), ("kubectl", &["flags.checkout.rules".to_owned()][..]));
    cluster.write(&held, &content, &kill(None, 1)).unwrap();
    let after = land.object("wasmplugin/tidegate");
    let checkout = &after["spec"]["pluginConfig"]["flags"]["checkout"];
    assert_eq!((&checkout["kill"], &checkout["rules"][1]["percent"]), (&json!(true), &json!(25)));
    // The reason of the first is none of the second.
    assert_eq!(after["metadata"]["annotations"]["tidegate.dev/changed-why"], Value::Null);
    // Whoever applies their manifest again is told by the API server whose field it is now.
    let file = "envoy/istio/components/wasmplugin/wasmplugin.yaml";
    let told = land.server.attempt(ADMIN, &["apply", "--server-side", "-f", file], "").unwrap_err();
    assert!(told.contains("conflict with \"tidegate\"") && told.contains(".rules"), "{told}");
}

#[test]
fn a_field_of_another_manager_can_be_removed() {
    let Some(land) = Land::new() else { return };
    land.component("wasmplugin");
    let cluster = land.admin();
    let held = read(&cluster, "wasmplugin/tidegate");
    let mut content = held.content().clone();
    content["flags"].as_object_mut().unwrap().remove("new-nav");
    content["flags"]["checkout"]["kill"] = json!(true);
    assert_eq!(held.owners(&content, "tidegate")[0].manager, "kubectl");
    cluster.write(&held, &content, &kill(Some("done with it"), 0)).unwrap();
    let after = land.object("wasmplugin/tidegate");
    assert_eq!(after["spec"]["pluginConfig"], content);
    // And so can one of its own, set by an apply.
    let held = read(&cluster, "wasmplugin/tidegate");
    let mut content = held.content().clone();
    content["standing"] = json!({"checkout": {"phase": "held"}});
    cluster.write(&held, &content, &kill(None, 1)).unwrap();
    let held = read(&cluster, "wasmplugin/tidegate");
    content["standing"] = json!({});
    content["flags"]["checkout"].as_object_mut().unwrap().remove("kill");
    cluster.write(&held, &content, &kill(None, 2)).unwrap();
    assert_eq!(land.object("wasmplugin/tidegate")["spec"]["pluginConfig"], content);
}

#[test]
fn of_two_at_once_the_second_is_told_and_nothing_is_lost() {
    let Some(land) = Land::new() else { return };
    land.component("wasmplugin");
    land.server.apply(
        &json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
        "metadata": {"name": "jane", "namespace": "istio-ingress"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "User", "name": "jane"}]})
        .to_string(),
    );
    let (ana, jane) = (land.admin(), land.as_user("jane"));
    let (one, other) = (read(&ana, "wasmplugin/tidegate"), read(&jane, "wasmplugin/tidegate"));
    let mut killed = one.content().clone();
    killed["flags"]["checkout"]["kill"] = json!(true);
    jane.write(&other, &killed, &kill(Some("it burns"), 5)).unwrap();
    for removes in [false, true] {
        let mut content = one.content().clone();
        content["flags"]["checkout"]["rules"][1]["percent"] = json!(50);
        if removes {
            content["flags"]["checkout"].as_object_mut().unwrap().remove("owner");
        }
        let told = ana.write(&one, &content, &kill(None, 6)).unwrap_err();
        assert_eq!(told.cause, Cause::Conflict);
        assert_eq!(
            told.what,
            "wasmplugin/tidegate was changed meanwhile, by jane at 2026-12-01T09:00:05Z, \"it burns\": \
             flags.checkout.kill is true"
        );
    }
    assert_eq!(land.object("wasmplugin/tidegate")["spec"]["pluginConfig"], killed);
    // What is no change of the config stands in nobody's way.
    let held = read(&ana, "wasmplugin/tidegate");
    land.server.run(&["label", "wasmplugin/tidegate", "-n", "istio-ingress", "team=web"]);
    let mut content = held.content().clone();
    content["flags"]["checkout"]["rules"][1]["percent"] = json!(50);
    ana.write(&held, &content, &kill(None, 7)).unwrap();
    let after = land.object("wasmplugin/tidegate");
    assert_eq!((&after["spec"]["pluginConfig"], &after["metadata"]["labels"]["team"]), (&content, &json!("web")));
}

#[test]
fn a_text_in_a_config_map_is_changed_whole() {
    let Some(land) = Land::new() else { return };
    let text = "# Ours.\nversion: 1\nflags:\n  nav: {rules: [{serve: \"on\"}]}  # new\n";
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "flags", "namespace": "istio-ingress"},
        "data": {"shop.yaml": text, "notes": "mine"}});
    land.server.apply(&map.to_string());
    let cluster = land.admin();
    let held = read(&cluster, "configmap/flags");
    assert_eq!((held.place().key.as_deref(), held.content()), (Some("shop.yaml"), &json!(text)));
    let next = text.replace("serve: \"on\"", "percent: 5, serve: \"on\"");
    assert_eq!(held.owners(&json!(next), "tidegate")[0].manager, "kubectl");
    cluster.write(&held, &json!(next), &kill(None, 0)).unwrap();
    let after = land.object("configmap/flags");
    assert_eq!(after["data"], json!({"shop.yaml": next, "notes": "mine"}));
    assert_eq!(after["metadata"]["annotations"]["tidegate.dev/changed-by"], "admin");
}

#[test]
fn an_envoy_filter_is_rendered_from_its_config_map() {
    let Some(land) = Land::new() else { return };
    land.component("envoyfilter");
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "flags", "namespace": "istio-ingress", "annotations": {RENDERS: "tidegate"}},
        "data": {"shop.yaml": "version: 1\nflags:\n  nav: {header: x-nav, rules: [{serve: \"on\"}]}\n"}});
    land.server.apply(&map.to_string());
    let cluster = land.admin();
    let place = read(&cluster, "configmap/flags").renders().unwrap();
    let config = r#"{"version": 1, "flags": {"nav": {"header": "x-nav", "rules": [{"serve": "on"}]}}}"#;
    let plan = Plan::from_bytes(config.as_bytes()).0.ready().unwrap();
    let before = land.object("envoyfilter/tidegate");
    assert!(cluster.render(&place, config, &plan, &kill(None, 0)).unwrap().is_some());
    assert!(cluster.render(&place, config, &plan, &kill(None, 1)).unwrap().is_none(), "it is there already");
    let mut after = land.object("envoyfilter/tidegate");
    let text = "/spec/configPatches/1/patch/value/typed_config/config/configuration/value";
    assert_eq!(after.pointer(text).unwrap(), &json!(format!("{config}\n")));
    let script = "/spec/configPatches/0/patch/value/config_discovery/default_config/default_source_code/inline_string";
    assert!(after.pointer(script).unwrap().as_str().unwrap().contains("if folded == \"x-nav\" or folded:find"));
    for path in [text, script] {
        *after.pointer_mut(path).unwrap() = before.pointer(path).unwrap().clone();
    }
    assert_eq!(after["spec"], before["spec"], "nothing else is another one");
}

#[test]
fn the_patches_of_an_envoy_filter_are_changed_whole() {
    let Some(land) = Land::new() else { return };
    land.component("envoyfilter");
    let cluster = land.admin();
    let held = cluster.read(&Place::parse("envoyfilter/tidegate").unwrap()).unwrap();
    let mut content = held.content().clone();
    let value = content.pointer_mut("/1/patch/value/typed_config/config/configuration/value").unwrap();
    let next = value.as_str().unwrap().replace("\"percent\": 5", "\"percent\": 50");
    *value = json!(next);
    cluster.write(&held, &content, &kill(None, 0)).unwrap();
    let after = land.object("envoyfilter/tidegate");
    assert_eq!(after["spec"]["configPatches"], content);
    assert_eq!(after["spec"]["priority"], 10);
}
