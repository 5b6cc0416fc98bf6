//! The configs of the pages: each is read as a proxy reads it, and runs in an Envoy where that shows more.

use crate::pages::{blocks_of, page, pages};
use kit::envoy::{Envoy, Pushed, module, repository};
use kit::http::Request;
use kit::scene::Scene;
use serde_json::{Value, json};
use std::fs;
use tidegate_engine::config::{Config, Node};
use tidegate_engine::plan::{Compiled, Plan};
use tidegate_engine::problem::Problems;

fn compile(text: &str) -> (Compiled, Problems) {
    Plan::from_bytes(text.as_bytes())
}

#[test]
fn every_config_is_read_without_a_word() {
    let named = pages().into_iter().flat_map(|page| page.blocks()).filter(|block| block.file().is_some());
    for text in blocks_of("yaml").into_iter().chain(named.map(|block| block.text)) {
        let mut problems = Problems::default();
        let document: Value = serde_saphyr::from_str(&text).unwrap();
        if let Some(value) = document.pointer("/typed_config/config/configuration/value") {
            problems = compile(value.as_str().unwrap()).1;
        } else {
            let node: Node = serde_saphyr::from_str(&text).unwrap();
            let config = Config::from_node(&node, &mut problems);
            assert!(Plan::compile(&config, &mut problems).ready().is_some(), "{problems}");
        }
        assert_eq!(problems, Problems::default(), "{text}");
    }
}

#[test]
fn the_config_of_the_commands_is_the_one_above() {
    let file = fs::read_to_string(repository().join("tests/cli/configs/shop.yaml")).unwrap();
    assert_eq!(file, page("docs/config.md").blocks()[0].text);
}

#[test]
fn a_wrong_config_is_answered_as_shown() {
    let problems = compile(&wrong_config()).1;
    assert_eq!(format!("{problems}\n"), answer_to_wrong_config());
    let [unknown] = problems.unknown_fields() else { panic!("{:?}", problems.unknown_fields()) };
    assert_eq!(unknown.path(), "flags.checkout.rules[0].owner");
}

/// The wrong config as JSON, which is what Envoy is sent.
fn wrong_config() -> String {
    let document: Value = serde_saphyr::from_str(&blocks_of("yaml wrong")[0]).unwrap();
    document.to_string()
}

fn answer_to_wrong_config() -> String {
    let all = page("docs/config.md").blocks();
    let wrong = all.iter().position(|block| block.kind == "yaml wrong").unwrap();
    all[wrong + 1].text.clone()
}

#[test]
fn a_wrong_config_never_stops_traffic() {
    let good = json!({"version": 1, "revision": "good", "flags": {
        "checkout": {"route": {"header": "x-upstream-version"}, "variants": ["v1", "v2"], "baseline": "v1",
                     "rules": [{"serve": "v2"}]}}});
    let forged = Request::get("/").header("X-Flag-Checkout", "v2").header("x-upstream-version", "v2");
    let stat = |envoy: &Envoy, name: &str| envoy.stat(&format!("wasmcustom.tidegate.config.{name}"));

    let warm = Scene::new(good.to_string()).start();
    assert_eq!(warm.push(&wrong_config()), Pushed::Rejected);
    let got = warm.client().send(&forged).upstream();
    assert_eq!((got.version.as_str(), got.header("x-flag-checkout")), ("v2", Some("v2")));
    assert_eq!((stat(&warm, "state"), stat(&warm, "refused"), stat(&warm, "problems")), (Some(1), Some(1), Some(4)));
    assert_eq!(stat(&warm, "revision=.=good;.;info"), Some(1));

    // The routing header's name is in no part of the wrong config, so that nothing says it is ours.
    let cold = Scene::new(wrong_config()).start();
    let got = cold.client().send(&Request::get("/").header("X-Flag-Checkout", "v2")).upstream();
    assert_eq!((got.version.as_str(), got.header("x-flag-checkout")), ("v1", None));
    assert_eq!((stat(&cold, "state"), stat(&cold, "problems")), (Some(0), Some(4)));
    for line in answer_to_wrong_config().lines() {
        assert!(warm.log().contains(line) && cold.log().contains(line), "{line}");
    }
}

#[test]
fn the_filter_runs_in_an_envoy_as_shown_with_text_and_with_a_struct() {
    let shown = blocks_of("yaml").into_iter().find(|text| text.contains("typed_config")).unwrap();
    let mut filter: Value = serde_saphyr::from_str(&shown).unwrap();
    *filter.pointer_mut("/typed_config/config/vm_config/code/local/filename").unwrap() = json!(module());
    let mut with_struct = filter.clone();
    let configuration = with_struct.pointer_mut("/typed_config/config/configuration").unwrap();
    let value: Value = serde_json::from_str(configuration["value"].as_str().unwrap()).unwrap();
    *configuration = json!({"@type": "type.googleapis.com/google.protobuf.Struct", "value": value});
    for filter in [filter, with_struct] {
        let envoy = Scene::bare().filter(filter).start();
        let got = envoy.client().send(&Request::get("/").header("x-user-id", "ana").header("x_flag_new_nav", "off"));
        let got = got.upstream();
        assert_eq!(got.header("x-flag-new-nav"), Some("on"));
        assert_eq!(got.header("x_flag_new_nav"), None);
    }
}

#[test]
fn every_manifest_passes_the_schemas_of_istio() {
    let Some(schemas) = kit::istio::schemas() else { return };
    for text in blocks_of("yaml manifest") {
        let document: Value = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(kit::istio::errors(&schemas, &document), Vec::<String>::new(), "{text}");
    }
}

#[test]
fn the_routes_of_a_dark_launch_mirror_whoever_is_in_the_flag() {
    let recipes = page("docs/recipes.md");
    let blocks = recipes.blocks();
    let find = |kind: &str| blocks.iter().find(|block| block.kind == kind).unwrap().text.clone();
    let mut routes: Value = serde_saphyr::from_str(&find("yaml envoy")).unwrap();
    let config: Value = serde_saphyr::from_str(&find("yaml dark.yaml")).unwrap();
    let envoy = Scene::new(config.to_string()).routes(routes["routes"].take()).start();
    let copies = |envoy: &Envoy| envoy.stat("cluster.v2.upstream_rq_total").unwrap_or(0);
    for (user, due) in [("user-33", 1), ("user-15", 1), ("user-39", 2)] {
        let got = envoy.client().send(&Request::get("/").header("x-user-id", user)).upstream();
        assert_eq!(got.version, "v1", "{user}");
        envoy.poll("the copies", || (copies(&envoy) == due).then_some(()));
    }
}
