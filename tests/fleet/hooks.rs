//! Argo's and Flagger's templates against what the door of a judge really answers, and dashboards and alerts against what
//! it tells.
//!
//! A template is used as Argo and Flagger do it: its URL is asked, and its conditions are held against the answer.

use std::fs;

use kit::envoy::repository;
use kit::http::{Client, Request};
use serde_json::{Value, json};
use tidegate_fleet::judge::door;
use tidegate_fleet::judge::page::Page;

use super::judge::{fleet, time};

fn text(file: &str) -> String {
    fs::read_to_string(repository().join("envoy/observability").join(file)).unwrap()
}

fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap()
}

/// A condition of Argo: `result.FIELD`, or `result.FIELD != "WORD"`.
fn holds(condition: &str, result: &Value) -> bool {
    let field = |name: &str| result[name.trim().strip_prefix("result.").unwrap()].clone();
    match condition.split_once("!=") {
        Some((name, word)) => field(name) != serde_json::from_str::<Value>(word).unwrap(),
        None => field(condition) == json!(true),
    }
}

/// What Argo makes of its web provider: success, failure, or neither.
fn measured(port: u16) -> &'static str {
    let text = text("analysis-template.yaml");
    let template = yaml(text.split("\n---\n").nth(1).unwrap());
    let metric = &template["spec"]["metrics"][0];
    let word = |value: &Value| value.as_str().unwrap().to_owned();
    let url = word(&metric["provider"]["web"]["url"]).replace("{{args.flag}}", "checkout");
    assert_eq!(word(&metric["provider"]["web"]["jsonPath"]), "{$}");
    let answer = Client::new(port).try_send(&Request::get(url.strip_prefix("{{args.judge}}").unwrap())).unwrap();
    assert_eq!(answer.status, 200);
    let result: Value = serde_json::from_slice(&answer.body).unwrap();
    match ["failureCondition", "successCondition"].map(|name| holds(&word(&metric[name]), &result)) {
        [true, _] => "failed",
        [false, true] => "successful",
        [false, false] => "inconclusive",
    }
}

/// By the kind of Flagger's hook, whether it gets a 2xx.
fn hooks(port: u16) -> Vec<(String, bool)> {
    let canary = yaml(&text("canary.yaml"));
    let hooks = canary["spec"]["analysis"]["webhooks"].as_array().unwrap().clone();
    let asked = |hook: Value| {
        let url = hook["url"].as_str().unwrap().to_owned();
        let path = &url[url.find("/v1/").unwrap()..];
        let body = json!({"name": "checkout", "namespace": "shop", "phase": "Progressing"}).to_string();
        let request = Request::new("POST", path).header("content-type", "application/json").body(body);
        let status = Client::new(port).try_send(&request).unwrap().status;
        (hook["type"].as_str().unwrap().to_owned(), (200..300).contains(&status))
    };
    hooks.into_iter().map(asked).collect()
}

#[test]
fn argo_and_flagger_understand_the_door() {
    let (mut watcher, prometheus, kept, _) = fleet(20, [50, 1]);
    let door = door::open(([127, 0, 0, 1], 0).into()).unwrap();
    let port = door.address().port();
    let due = |runs: bool, back: bool| {
        [("rollout", runs), ("confirm-promotion", runs), ("rollback", back)].map(|(kind, due)| (kind.to_owned(), due))
    };
    // Before it has looked it is blind.
    door.show(Page::new(&watcher));
    assert_eq!((measured(port), hooks(port)), ("inconclusive", due(false, false).to_vec()));
    watcher.look(&prometheus, time(0));
    door.show(Page::new(&watcher));
    assert_eq!((measured(port), hooks(port)), ("successful", due(true, false).to_vec()));
    let all = std::mem::take(&mut *kept.lock().unwrap());
    watcher.look(&prometheus, time(1));
    door.show(Page::new(&watcher));
    assert_eq!((measured(port), hooks(port)), ("inconclusive", due(false, false).to_vec()));
    *kept.lock().unwrap() = all;
    for look in 2..=20 {
        watcher.look(&prometheus, time(look));
    }
    door.show(Page::new(&watcher));
    assert_eq!((measured(port), hooks(port)), ("failed", due(false, true).to_vec()));
}

#[test]
fn what_dashboard_and_alerts_ask_of_judge_and_steerer_they_tell() {
    let (mut watcher, prometheus, _, _) = fleet(2, [1, 1]);
    watcher.ready("checkout", [("v2".to_owned(), Some(3))].into());
    watcher.look(&prometheus, time(0));
    for (whose, page) in [
        ("tidegate_judge_", Page::new(&watcher).metrics),
        ("tidegate_steer_", tidegate_fleet::steer::page::Page::default().metrics()),
    ] {
        let mut names = 0;
        for file in ["rules.yaml", "tidegate.json"] {
            for rest in text(file).split(whose).skip(1) {
                let name = rest.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).next().unwrap();
                let told = page.lines().any(|line| {
                    let rest = line.strip_prefix(whose).and_then(|line| line.strip_prefix(name));
                    rest.is_some_and(|rest| rest.starts_with([' ', '{']))
                });
                assert!(told, "{file}: {whose}{name}");
                names += 1;
            }
        }
        assert!(names > 4, "{whose}");
    }
}
