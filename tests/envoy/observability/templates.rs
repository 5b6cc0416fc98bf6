//! Holds the templates for Argo Rollouts and Flagger, and the profile of docker-compose.yaml, to what they name.
//!
//! Never runs any of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use kit::envoy::{ENVOY, repository};
use serde_json::json;

use super::{documents, list, text, word, yaml};

#[test]
fn the_templates_use_what_they_declare() {
    let all = text("analysis-template.yaml");
    let parts: Vec<&str> = all.split("\n---\n").collect();
    assert_eq!(parts.len(), 2);
    for text in parts {
        let analysis = yaml(text);
        assert_eq!(
            (word(&analysis["apiVersion"]), word(&analysis["kind"])),
            ("argoproj.io/v1alpha1", "AnalysisTemplate")
        );
        let declared: BTreeSet<&str> = list(&analysis["spec"]["args"]).iter().map(|arg| word(&arg["name"])).collect();
        let used: BTreeSet<&str> = text.split("{{args.").skip(1).map(|rest| rest.split('}').next().unwrap()).collect();
        assert_eq!(declared, used);
        for metric in list(&analysis["spec"]["metrics"]) {
            let result = if metric["provider"]["web"].is_object() { "result." } else { "result[0]" };
            assert!(word(&metric["successCondition"]).contains(result), "{metric}");
        }
    }
    let templates = documents("metric-template.yaml");
    let [canary] = &documents("canary.yaml")[..] else { panic!("one canary") };
    let used: BTreeSet<&str> = list(&canary["spec"]["analysis"]["metrics"])
        .iter()
        .map(|metric| {
            let name = word(&metric["templateRef"]["name"]);
            let template = templates.iter().find(|template| template["metadata"]["name"] == name).unwrap();
            for needed in word(&template["spec"]["query"]).split("{{ variables.").skip(1) {
                let needed = needed.split(' ').next().unwrap();
                assert!(metric["templateVariables"][needed].is_string(), "{name}: {needed}");
            }
            name
        })
        .collect();
    assert_eq!(used.len(), templates.len());
    for template in documents("metric-template.yaml") {
        assert_eq!((word(&template["apiVersion"]), word(&template["kind"])), ("flagger.app/v1beta1", "MetricTemplate"));
        assert_eq!(template["spec"]["provider"]["type"], "prometheus");
        for used in word(&template["spec"]["query"]).split("{{").skip(1) {
            let used = used.split("}}").next().unwrap().trim();
            assert!(["variables.flag", "variables.variant"].contains(&used), "{used}");
        }
    }
}

#[test]
fn the_profile_of_compose_mounts_what_is_there_and_opens_ports_to_this_machine_only() {
    let envoy = repository().join("envoy");
    let compose = yaml(&fs::read_to_string(envoy.join("docker-compose.yaml")).unwrap());
    let services = compose["services"].as_object().unwrap();
    assert_eq!(services.keys().collect::<Vec<_>>(), ["envoy", "grafana", "load", "prometheus"]);
    let mut mounted = BTreeMap::new();
    for (name, service) in services.iter().filter(|(name, _)| *name != "envoy") {
        assert_eq!(service["profiles"], json!(["observe"]), "{name}");
        let (_, version) = word(&service["image"]).split_once(':').unwrap();
        assert!(version.trim_start_matches('v').starts_with(|c: char| c.is_ascii_digit()), "{name} is not pinned");
        for port in list(&service["ports"]) {
            assert!(word(port).starts_with("127.0.0.1:"), "{port}");
        }
        for needed in list(&service["depends_on"]) {
            assert!(services.contains_key(word(needed)), "{needed}");
        }
        for volume in list(&service["volumes"]) {
            let (source, target) = word(volume).strip_suffix(":ro").unwrap().split_once(':').unwrap();
            assert!(envoy.join(source).is_file(), "{source}");
            mounted.insert(target.to_owned(), source.to_owned());
        }
    }
    assert_eq!(services["load"]["image"], format!("envoyproxy/envoy:v{ENVOY}"));
    // Each file is where another one says that it is.
    let script = word(&services["load"]["entrypoint"][1]);
    assert!(mounted.contains_key(script), "{script}");
    let config = word(&services["prometheus"]["command"][0]).strip_prefix("--config.file=").unwrap();
    let beside = config.replace("prometheus.yaml", word(&yaml(&text("prometheus.yaml"))["rule_files"][0]));
    assert!(mounted.contains_key(config) && mounted.contains_key(&beside), "{beside}");
    let boards = yaml(&text("grafana/dashboards.yaml"));
    let board = format!("{}/tidegate.json", word(&boards["providers"][0]["options"]["path"]));
    assert!(mounted.contains_key(&board), "{board}");
    assert_eq!(services["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"], *board);
    let source = yaml(&text("grafana/datasource.yaml"));
    assert_eq!(source["datasources"][0]["url"], "http://prometheus:9090");
    let target = &yaml(&text("prometheus.yaml"))["scrape_configs"][0]["static_configs"][0]["targets"][0];
    assert_eq!(target, "envoy:9901");
}
