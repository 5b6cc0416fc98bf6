//! Runs the commands that change a flag against a real API server, as people would, two of them at once among others.

use std::process::Command;

use kit::apiserver::{ADMIN, ApiServer};
use serde_json::{Value, json};

use super::Watched;

pub(super) struct Land(pub(super) ApiServer);

impl Land {
    pub(super) fn new() -> Option<Self> {
        let server = ApiServer::start()?;
        server.run(&["create", "namespace", "istio-ingress"]);
        Some(Self(server))
    }

    pub(super) fn component(&self, name: &str) {
        self.0.run(&["apply", "--server-side", "-f", &format!("envoy/istio/components/{name}/{name}.yaml")]);
    }

    fn tidegate(&self, args: &[&str]) -> Watched {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command.args(args).args(["-n", "istio-ingress", "--kubeconfig"]).arg(self.0.kubeconfig(ADMIN));
        let output = command.output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Watched { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
    }

    #[track_caller]
    fn done(&self, args: &[&str]) -> String {
        let Watched { code, out, err } = self.tidegate(args);
        assert_eq!((code, err.as_str()), (0, ""), "{out}");
        out
    }

    pub(super) fn object(&self, name: &str) -> Value {
        self.0.get(&[name, "-n", "istio-ingress"])
    }
}

#[test]
fn a_flag_is_changed_where_it_stands_in_the_cluster() {
    let Some(land) = Land::new() else { return };
    for (kind, config) in [("wasmplugin", "/spec/pluginConfig"), ("trafficextension", "/spec/wasm/pluginConfig")] {
        land.component(kind);
        let on = format!("{kind}/tidegate");
        let now = || land.object(&on).pointer(config).unwrap().clone();
        let before = now();

        let dry = land.done(&["kill", "checkout", "--on", &on, "--why", "it burns", "--dry-run"]);
        assert!(dry.contains("nothing is written"), "{dry}");
        assert_eq!(now(), before);
        let killed = land.done(&["kill", "checkout", "--on", &on, "--why", "it burns", "--yes"]);
        assert!(killed.ends_with(&format!("written: {on} in namespace istio-ingress\n")), "{killed}");
        let mut due = before.clone();
        due["flags"]["checkout"]["kill"] = json!(true);
        assert_eq!(now(), due);
        assert_eq!(land.object(&on)["metadata"]["annotations"]["tidegate.dev/changed-why"], "it burns");
        let again = land.done(&["kill", "checkout", "--on", &on, "--why", "it burns", "--yes"]);
        assert_eq!(again, "nothing to change: checkout is killed\n");

        let set = land.done(&["set", "checkout", "--rule", "2", "--percent", "25", "--on", &on, "--yes"]);
        let note =
            "note: kubectl owns flags.checkout.rules: its next apply puts that back, unless it is changed there, too";
        assert!(set.contains(note), "{set}");
        due["flags"]["checkout"]["rules"][1]["percent"] = json!(25);
        assert_eq!(now(), due);
        land.done(&["unkill", "checkout", "--on", &on, "--yes"]);
        due["flags"]["checkout"].as_object_mut().unwrap().remove("kill");
        assert_eq!(now(), due);
        let events = land.0.run(&["get", "events", "-n", "istio-ingress"]);
        for word in ["Killed", "Changed", "Unkilled", "Kill checkout, by admin: it burns"] {
            assert!(events.contains(word), "{word} in {events}");
        }
    }
}

#[test]
fn a_config_map_keeps_its_comments_and_renders_its_envoy_filter() {
    let Some(land) = Land::new() else { return };
    land.component("envoyfilter");
    let text = "# Ours.\nversion: 1\nflags:\n  nav:   # the new one\n    rules:\n      - {percent: 5, serve: \"on\"}  # five\n";
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "flags", "namespace": "istio-ingress",
        "annotations": {"tidegate.dev/envoyfilter": "tidegate"}}, "data": {"shop.yaml": text}});
    land.0.apply(&map.to_string());
    let carried = || {
        let filter = land.object("envoyfilter/tidegate");
        let path = "/spec/configPatches/1/patch/value/typed_config/config/configuration/value";
        serde_json::from_str::<Value>(filter.pointer(path).unwrap().as_str().unwrap()).unwrap()
    };
    let set = land.done(&["set", "nav", "--percent", "50", "--on", "configmap/flags", "--yes"]);
    assert!(set.contains("rendered envoyfilter/tidegate anew"), "{set}");
    assert_eq!(land.object("configmap/flags")["data"]["shop.yaml"], text.replace("percent: 5,", "percent: 50,"));
    assert_eq!(carried()["flags"]["nav"]["rules"][0]["percent"], 50);

    // What was rendered over is rendered again, by a command that has nothing else to do.
    land.0.run(&[
        "apply",
        "--server-side",
        "--force-conflicts",
        "-f",
        "envoy/istio/components/envoyfilter/envoyfilter.yaml",
    ]);
    assert_eq!(carried()["flags"]["nav"], Value::Null);
    let again = land.done(&["set", "nav", "--percent", "50", "--on", "configmap/flags", "--yes"]);
    assert!(
        again.starts_with("nothing to change: ") && again.contains("rendered envoyfilter/tidegate anew"),
        "{again}"
    );
    assert_eq!(carried()["flags"]["nav"]["rules"][0]["percent"], 50);

    let direct = land.tidegate(&["kill", "nav", "--on", "envoyfilter/tidegate", "--why", "x", "--yes"]);
    assert_eq!(direct.code, 2);
    assert!(direct.err.contains("--on configmap/NAME"), "{}", direct.err);
    let missing = land.tidegate(&["kill", "nav", "--on", "configmap/flag", "--why", "x", "--yes"]);
    assert_eq!((missing.code, missing.out.as_str()), (2, ""));
    assert_eq!(
        missing.err,
        "error: there is no configmap/flag in namespace istio-ingress\n  |\n  = help: did you mean configmap/flags?\n"
    );
}
