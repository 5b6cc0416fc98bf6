//! Runs `tidegate judge` between a made-up Prometheus and a real API server: another config in its object, Pods that
//! become ready, the API server away and back.
//!
//! What is looked at is what it tells at its door, and the lines that it writes. Never looks into the command.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use kit::answer::serve;
use kit::apiserver::{ADMIN, ApiServer};
use kit::http::{Client, Request};
use serde_json::{Value, json};
use tidegate_engine::plan::Plan;

const SPACE: &str = "istio-ingress";

/// What a Prometheus has: labels and values.
type Kept = Arc<Mutex<Vec<(Value, u64)>>>;

/// A Prometheus that has had nothing so far, and has this now.
fn made_up(kept: &Kept) -> SocketAddr {
    let kept = Arc::clone(kept);
    serve(move |path, _| {
        let all = if path.contains("query_range") { Vec::new() } else { kept.lock().unwrap().clone() };
        let series = all.iter().map(|(labels, value)| json!({"metric": labels, "value": [0, value.to_string()]}));
        let result: Vec<Value> = series.collect();
        Some(json!({"status": "success", "data": {"resultType": "vector", "result": result}}).to_string())
    })
}

/// A judge at work; stopped when dropped.
struct Judge {
    child: Child,
    lines: Receiver<String>,
    port: u16,
}

impl Drop for Judge {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Judge {
    fn on(server: &ApiServer, prometheus: SocketAddr, options: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command.args(["judge", "--every", "1s", "--listen", "127.0.0.1:0", "--prometheus"]);
        command.arg(format!("http://{prometheus}")).args(["-n", SPACE, "--kubeconfig"]);
        command.arg(server.kubeconfig(ADMIN)).args(options).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (tell, lines) = channel();
        let (out, told) = (child.stdout.take().unwrap(), tell.clone());
        thread::spawn(move || BufReader::new(out).lines().map_while(Result::ok).try_for_each(|line| told.send(line)));
        let err = child.stderr.take().unwrap();
        thread::spawn(move || BufReader::new(err).lines().map_while(Result::ok).try_for_each(|line| tell.send(line)));
        let mut this = Self { child, lines, port: 0 };
        let line = this.until("others may ask at http://127.0.0.1:").pop().unwrap();
        this.port = line.rsplit(':').next().unwrap().parse().unwrap();
        this
    }

    /// The lines up to the first that contains this.
    #[track_caller]
    fn until(&self, what: &str) -> Vec<String> {
        let mut all = Vec::new();
        loop {
            let line = self.lines.recv_timeout(Duration::from_mins(1));
            all.push(line.unwrap_or_else(|_| panic!("waited for {what:?} after {all:#?}")));
            if all.last().unwrap().contains(what) {
                return all;
            }
        }
    }

    fn ask(&self, path: &str) -> Option<String> {
        Some(Client::new(self.port).try_send(&Request::get(path)).ok()?.text())
    }

    fn flag(&self) -> Value {
        self.ask("/v1/flags/checkout").and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
    }

    /// Waits until something is told of the flag.
    #[track_caller]
    fn tells(&self, due: &Value) {
        let begun = Instant::now();
        loop {
            let told = self.flag();
            if due.as_object().unwrap().iter().all(|(name, value)| told[name] == *value) {
                return;
            }
            assert!(begun.elapsed() < Duration::from_mins(1), "waited a minute for {due}: {told:#}");
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits for so many more looks.
    fn looks(&self, count: u32) {
        let last = || {
            self.ask("/metrics")?
                .lines()
                .find_map(|line| Some(line.strip_prefix("tidegate_judge_last_look_timestamp_seconds ")?.to_owned()))
        };
        for _ in 0..count {
            let before = last();
            let begun = Instant::now();
            while last() == before {
                assert!(begun.elapsed() < Duration::from_mins(1), "no more looks");
                thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

fn config(last: u32) -> Value {
    json!({"version": 1, "identity": [{"header": "x-user"}], "flags": {"checkout": {
        "variants": ["v1", "v2"], "baseline": "v1", "rules": [{"serve": "v2", "steps": [
            {"at": "2020-01-01T00:00:00Z", "percent": 5},
            {"at": "2020-01-02T00:00:00Z", "percent": last, "requires": {"ready": 2}}]}],
        "guard": {"errors": {"max": 5, "overBaseline": 2}, "window": "1m"}}}})
}

fn plugin(config: &Value) -> String {
    json!({"apiVersion": "extensions.istio.io/v1alpha1", "kind": "WasmPlugin",
        "metadata": {"name": "shop", "namespace": SPACE},
        "spec": {"url": "oci://registry.example/tidegate:1", "pluginConfig": config}})
    .to_string()
}

/// What a proxy with this config says of itself; where its ramp is, if it says so.
fn proxy(config: &Value, step: Option<u64>) -> Vec<(Value, u64)> {
    let plan = Plan::from_bytes(config.to_string().as_bytes()).0.ready().unwrap();
    let one =
        |name: &str| json!({"__name__": format!("tidegate_{name}"), "instance": "p", "flag": "checkout", "rule": "1"});
    let mut all = vec![(one("config_fingerprint"), plan.fingerprint() & 0xffff_ffff_ffff), (one("guard_standing"), 0)];
    all.extend(step.map(|step| (one("rule_step"), step)));
    all
}

#[test]
fn a_step_waits_for_ready_pods_and_for_the_server_that_counts_them() {
    let Some(mut server) = ApiServer::start() else { return };
    for space in [SPACE, "shop"] {
        server.run(&["create", "namespace", space]);
    }
    server.apply(&plugin(&config(50)));
    let pod = |name: &str, ready: &str| {
        let pod = json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": "shop", "labels": {"app": "checkout", "version": "v2"}},
            "spec": {"nodeName": "node", "containers": [{"name": "app", "image": "app"}]}});
        server.apply(&pod.to_string());
        let status = json!({"status": {"conditions": [{"type": "Ready", "status": ready}]}}).to_string();
        server.run(&["patch", "pod", name, "-n", "shop", "--subresource=status", "--type=merge", "-p", &status]);
    };
    let kept = Kept::default();
    *kept.lock().unwrap() = proxy(&config(50), None);
    let on = ["--on", "wasmplugin/shop", "--ready", "checkout=shop/app=checkout,version={variant}"];
    let judge = Judge::on(&server, made_up(&kept), &on);
    judge.tells(&json!({"ready": {"v2": 0}, "blind": null}));
    pod("a", "True");
    pod("b", "False");
    judge.tells(&json!({"ready": {"v2": 1}}));
    // Two are ready, and then nobody knows how many: the ramp says only then that it is there.
    pod("b", "True");
    judge.tells(&json!({"ready": {"v2": 2}}));
    assert!(judge.ask("/metrics").unwrap().contains("tidegate_judge_ready{flag=\"checkout\",variant=\"v2\"} 2\n"));
    server.go();
    let told = judge.until("how many Pods are ready is not known").concat();
    assert!(told.contains("the config cannot be read (the API server https://127.0.0.1:"), "{told}");
    assert!(told.contains("no step that waits for them is granted"), "{told}");
    *kept.lock().unwrap() = proxy(&config(50), Some(1));
    judge.tells(&json!({"ready": {"v2": null}, "steps": {"1": 1}, "blind": null}));
    judge.looks(4);
    judge.tells(&json!({"ready": {"v2": null}, "steps": {"1": 1}}));
    server.come_back();
    // Events and notes come by two pipes, in any order.
    let mut told = judge.until("rule 1 may take step 2");
    if !told.iter().any(|line| line.contains("the Pods can be counted again")) {
        told.extend(judge.until("the Pods can be counted again"));
    }
    let count = |what: &str| told.iter().filter(|line| line.contains(what)).count();
    assert_eq!((count("the config can be read again"), count("the Pods can be counted again")), (1, 1), "{told:#?}");
    assert_eq!((count("cannot be read"), count("is not known")), (0, 0), "what is known is told once: {told:#?}");
    judge.tells(&json!({"ready": {"v2": 2}, "steps": {"1": 2}}));

    // Another config is taken up by the same connection.
    let next = config(60);
    server.apply(&plugin(&next));
    judge.until("another config is in force");
    *kept.lock().unwrap() = proxy(&next, Some(1));
    let generation =
        Plan::from_bytes(next.to_string().as_bytes()).0.ready().unwrap().watches()[0].generation().unwrap();
    judge.tells(&json!({"generation": format!("{generation:016x}"), "blind": null, "steps": {"1": 2}}));
}

#[test]
fn each_kind_of_object_is_followed() {
    let Some(server) = ApiServer::start() else { return };
    server.run(&["create", "namespace", SPACE]);
    let kept = Kept::default();
    let prometheus = made_up(&kept);
    let file = |kind: &str| {
        let path = kit::envoy::repository().join(format!("envoy/istio/components/{kind}/{kind}.yaml"));
        std::fs::read_to_string(path).unwrap()
    };
    let text =
        |percent: u32| format!("version: 1\nflags:\n  nav: {{rules: [{{percent: {percent}, serve: \"on\"}}]}}\n");
    let map = |percent: u32| {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "tidegate", "namespace": SPACE},
        "data": {"shop.yaml": text(percent)}})
        .to_string()
    };
    let of = |kind: &str, from: &str, to: &str| {
        let before = file(kind);
        let after = before.replacen(from, to, 1);
        assert_ne!(before, after);
        (before, after)
    };
    for (kind, (before, after)) in [
        ("wasmplugin", of("wasmplugin", "percent: 5\n", "percent: 6\n")),
        ("trafficextension", of("trafficextension", "percent: 5\n", "percent: 6\n")),
        ("envoyfilter", of("envoyfilter", "\"percent\": 5,", "\"percent\": 6,")),
        ("configmap", (map(5), map(6))),
    ] {
        server.apply(&before);
        *kept.lock().unwrap() = proxy(&config(50), None);
        let judge = Judge::on(&server, prometheus, &["--on", &format!("{kind}/tidegate")]);
        judge.looks(1);
        let flags: Value = serde_json::from_str(&judge.ask("/v1/flags").unwrap()).unwrap();
        assert!(!flags["unguarded"].as_array().unwrap().is_empty(), "{kind}: {flags}");
        server.apply(&after);
        judge.until("another config is in force");
    }
}

#[test]
fn what_cannot_be_counted_is_told_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tidegate.json");
    let mut config = config(50);
    config["flags"]["plain"] = json!({"rules": [{"percent": 5, "serve": "on"}]});
    std::fs::write(&file, config.to_string()).unwrap();
    let kubeconfig = folder.path().join("kubeconfig");
    let away = json!({"apiVersion": "v1", "kind": "Config", "current-context": "here",
        "clusters": [{"name": "here", "cluster": {"server": "http://127.0.0.1:1"}}],
        "users": [{"name": "me", "user": {}}],
        "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}]});
    std::fs::write(&kubeconfig, away.to_string()).unwrap();
    let kept = Kept::default();
    *kept.lock().unwrap() = proxy(&config, Some(1));
    let url = format!("http://{}", made_up(&kept));
    let judge = |options: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command.args(["judge", "--once", "--prometheus", &url, "--config"]).arg(&file);
        command.arg("--kubeconfig").arg(&kubeconfig).args(options);
        let output = command.output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    };
    for (option, due) in [
        ("chekout=version={variant}", "--ready: there is no flag 'chekout' (did you mean 'checkout'?)"),
        ("plain=version={variant}", "--ready: the flag 'plain' has no guard, and no step of it is granted"),
        ("checkout=version={varient}", "--ready: the selector has no {variant}"),
    ] {
        let (code, _, err) = judge(&["--ready", option]);
        assert!(code == 2 && err.contains(due), "{code} {err}");
    }
    let (_, _, err) = judge(&[]);
    assert!(err.contains("rule 1 of checkout has a step that requires ready endpoints, which nobody counts"), "{err}");
    assert!(err.contains("--ready 'checkout=[NAMESPACE/]app=...,version={variant}'"), "{err}");
    let (_, out, err) = judge(&["--ready", "checkout=version={variant}"]);
    assert!(err.contains("is not known (the API server http://127.0.0.1:1 cannot be reached"), "{err}");
    assert!(out.contains("ready") && !err.contains("nobody counts"), "{out}{err}");
}
