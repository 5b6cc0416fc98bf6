//! Flags changed and watched by command, at twelve gateways: how long the last one takes, and what a pipeline is told.

use std::process::{Command, Output};
use std::thread;
use std::time::{Duration, Instant};

use kit::envoy::{module, repository};
use kit::http::Client;
use serde_json::{Value, json};

use super::Course;
use super::crowd::{ask, user};
use super::forms::{ENVOY_FILTER, TRAFFIC_EXTENSION, WASM_PLUGIN, config, overlay, push, rendered};
use crate::cluster::Cluster;
use crate::land::poll;
use crate::pod::{Pod, Proxy};

const NAMES: [&str; 12] = [
    "ingress-a",
    "ingress-b",
    "ingress-c",
    "ingress-d",
    "ingress-e",
    "ingress-f",
    "ingress-g",
    "ingress-h",
    "ingress-i",
    "ingress-j",
    "ingress-k",
    "ingress-l",
];

/// The longest that a kill may take, to the last of them.
const LIMIT: Duration = Duration::from_secs(3);

/// The command, as a person gives it.
fn tidegate(cluster: &Cluster, args: &[&str]) -> Output {
    let mut command = Command::new(repository().join("target/debug/tidegate"));
    command.args(args).args(["-n", "istio-ingress", "--kubeconfig"]).arg(&cluster.kube.config);
    command.output().expect("the command is built")
}

#[track_caller]
fn done(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

/// Somebody who is at v2 while the flag is not killed.
fn employee(client: &mut Client) -> String {
    ask(client, &user(1).header("x-employee", "true")).version
}

/// How long after the command has begun each gateway does it, the last one last.
fn until_all(gateways: &[Proxy], version: &str, begin: Instant) -> Duration {
    thread::scope(|scope| {
        let waiting: Vec<_> = gateways
            .iter()
            .map(|gateway| {
                scope.spawn(move || {
                    let mut client = gateway.client(80);
                    poll(version, 60, || (employee(&mut client) == version).then(|| begin.elapsed()))
                })
            })
            .collect();
        waiting.into_iter().map(|one| one.join().expect("it comes")).max().unwrap_or_default()
    })
}

/// Kills a flag and brings it back, three times each.
fn kills(cluster: &Cluster, gateways: &[Proxy], on: &str) -> String {
    let mut took = Vec::new();
    for _ in 0..3 {
        for (command, version) in [("kill", "v1"), ("unkill", "v2")] {
            let begin = Instant::now();
            let args = [command, "checkout", "--on", on, "--yes", "--why", "a check"];
            let (output, last) = thread::scope(|scope| {
                let given = scope.spawn(|| tidegate(cluster, &args));
                let last = until_all(gateways, version, begin);
                (given.join().expect("it ends"), last)
            });
            done(&output);
            took.push(last);
        }
    }
    took.sort();
    let (median, most) = (took[took.len() / 2], took[took.len() - 1]);
    assert!(most <= LIMIT, "{took:?}");
    format!("{:.1} s (median of {}), at most {:.1} s", median.as_secs_f64(), took.len(), most.as_secs_f64())
}

/// A pipeline waits for what the cluster has.
fn wait(cluster: &Cluster, on: &str, more: &[&str]) -> Output {
    let args = ["status", "--selector", "istio=ingress", "--on", on, "--wait", "--interval", "200ms"];
    tidegate(cluster, &[&args[..], more].concat())
}

pub(super) fn hands(course: &mut Course, cluster: &mut Cluster) {
    cluster.kube.apply_overlay("dev");
    let gateways: Vec<Proxy> = (1_u8..)
        .zip(NAMES)
        .map(|(network, name)| Proxy::start(cluster, Pod { name, network, ..Pod::gateway(Some(module())) }))
        .map(|gateway| gateway.ready().listening(80))
        .collect();
    let all = "`kill` by command, to the last of 12 gateways";
    let refuses = "`status --wait`, and one proxy refuses";

    let source = json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "flags", "namespace": "istio-ingress", "annotations": {"tidegate.dev/envoyfilter": "tidegate"}},
        "data": {"shop.yaml": serde_saphyr::to_string(&config()).expect("YAML")}});
    cluster.kube.apply(&source.to_string());
    course.claim(all, ENVOY_FILTER, || {
        done(&wait(cluster, "configmap/flags", &[]));
        kills(cluster, &gateways, "configmap/flags")
    });
    course.claim(refuses, ENVOY_FILTER, || refused(cluster, ENVOY_FILTER, "envoyfilter/tidegate"));
    cluster.kube.delete("envoyfilter", "istio-ingress");
    for form in [TRAFFIC_EXTENSION, WASM_PLUGIN] {
        cluster.kube.apply(&overlay(cluster, "gateway", form));
        let on = format!("{}/tidegate", form.to_lowercase());
        course.claim(all, form, || {
            done(&wait(cluster, &on, &[]));
            let told = kills(cluster, &gateways, &on);
            let object: Value = cluster.kube.get(&[&form.to_lowercase(), "tidegate", "-n", "istio-ingress"]);
            assert_eq!(object["metadata"]["annotations"]["tidegate.dev/changed-by"], "admin");
            let events = cluster.kube.run(&["get", "events", "-n", "istio-ingress"]);
            assert!(events.contains("Killed") && events.contains("a check"), "{events}");
            told
        });
        course.claim(refuses, form, || refused(cluster, form, &on));
        cluster.kube.delete(&form.to_lowercase(), "istio-ingress");
    }
}

/// A push that no proxy takes: who waits for another revision is told at once that it will not come.
fn refused(cluster: &Cluster, form: &str, on: &str) -> String {
    let mut good = config();
    good["revision"] = "before".into();
    push(cluster, form, &good, &[]);
    done(&wait(cluster, on, &[]));
    let begin = Instant::now();
    let output = thread::scope(|scope| {
        let args = ["status", "--selector", "istio=ingress", "--revision", "next", "--wait", "--interval", "200ms"];
        let waiting = scope.spawn(move || tidegate(cluster, &args));
        thread::sleep(Duration::from_secs(1));
        good["revision"] = "next".into();
        let text = rendered(cluster, form, &good, &[]);
        let bad = text.replace("baseline: v1", "baseline: v9").replace("\"baseline\": \"v1\"", "\"baseline\": \"v9\"");
        assert_ne!(text, bad);
        cluster.kube.apply(&bad);
        waiting.join().expect("it ends")
    });
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(begin.elapsed() < Duration::from_secs(30), "{:?}", begin.elapsed());
    let line = told.lines().find(|line| line.contains("refused the last push (")).unwrap_or_else(|| panic!("{told}"));
    good["revision"] = "after".into();
    push(cluster, form, &good, &[]);
    done(&wait(cluster, on, &[]));
    format!("ends with 1: {}", line.trim())
}
