//! Runs `tidegate status` against real Envoys, a real Prometheus, and a real API server that reads a Pod.
//!
//! What is looked at is what a pipeline would: the exit code, the JSON, the line that says why.

use std::fs;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use kit::envoy::Pushed;
use kit::prometheus::Prometheus;
use kit::scene::Scene;
use serde_json::{Value, json};

use super::{Watched, config, under_load, url};

fn status(options: &[&str]) -> Watched {
    let output = Command::new(env!("CARGO_BIN_EXE_tidegate")).arg("status").args(options).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Watched { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}

#[track_caller]
fn document(options: &[&str]) -> (i32, Value) {
    let watched = status(&[options, &["--output", "json"]].concat());
    let document =
        serde_json::from_str(&watched.out).unwrap_or_else(|error| panic!("{error}: {}{}", watched.out, watched.err));
    (watched.code, document)
}

/// Files with configs of these revisions.
fn files(folder: &tempfile::TempDir, configs: &[(&str, Value)]) -> Vec<String> {
    let write = |(name, config): &(&str, Value)| {
        let path = folder.path().join(name);
        fs::write(&path, config.to_string()).unwrap();
        path.to_str().unwrap().to_owned()
    };
    configs.iter().map(write).collect()
}

#[test]
fn what_runs_is_held_against_what_should() {
    let one = Scene::new(config("one").to_string()).start();
    let two = Scene::new(config("two").to_string()).start();
    let (first, second) = (url(&one), url(&two));
    let folder = tempfile::tempdir().unwrap();
    let files = files(&folder, &[("one.json", config("one")), ("two.json", config("two"))]);

    let (code, all) = document(&["--proxy", &first, "--config", &files[0], "checkout"]);
    assert_eq!((code, &all["ok"], &all["reasons"]), (0, &json!(true), &json!([])));
    assert_eq!((&all["due"][0]["from"], &all["due"][0]["revision"]), (&json!("file"), &json!("one")));
    let print = &all["due"][0]["fingerprint"];
    let proxy = &all["proxies"][0];
    assert_eq!((&proxy["name"], &proxy["silent"], &proxy["asDue"]), (&json!(first), &Value::Null, &json!(true)));
    let told = &proxy["configs"][0];
    assert_eq!(
        [&told["plugin"], &told["revision"], &told["state"]],
        [&json!("tidegate"), &json!("one"), &json!("active")]
    );
    assert_eq!(&told["fingerprint"], print);
    let flags = all["flags"].as_array().unwrap();
    assert_eq!(flags.len(), 1, "only the one that was asked for");
    assert_eq!((&flags[0]["flag"], &flags[0]["standings"]), (&json!("checkout"), &json!({"running": [first]})));
    let rule = json!({"rule": 2, "step": null, "leastStep": null, "exposurePpm": 500_000, "leastExposurePpm": 500_000});
    assert_eq!(flags[0]["rules"], json!([rule]));

    // Another order, other words, and the same decisions.
    let mut same = config("one");
    same["flags"]["checkout"]["description"] = "The new one".into();
    fs::write(&files[0], serde_json::to_string_pretty(&same).unwrap()).unwrap();
    assert_eq!(status(&["--proxy", &first, "--config", &files[0]]).code, 0);

    // Another config under the same revision is another one.
    same["flags"]["checkout"]["rules"][1]["percent"] = json!(51);
    fs::write(&files[0], same.to_string()).unwrap();
    let (code, all) = document(&["--proxy", &first, "--config", &files[0]]);
    assert_eq!((code, &all["proxies"][0]["asDue"]), (1, &json!(false)));

    let both = status(&["--proxy", &first, "--proxy", &second, "--revision", "two"]);
    assert_eq!(both.code, 1);
    for line in [
        "should run  revision  config\n--revision  two       -\n",
        "1  two       ",
        "as it should be  http://127.0.0.1:",
        "1  one       ",
        "not --revision   http://127.0.0.1:",
        "checkout  running      2          50%\n",
        "new-nav   no guard     1     2    25%\n",
    ] {
        assert!(both.out.contains(line), "{line:?} in\n{}", both.out);
    }
    let (_, all) = document(&["--proxy", &second, "--config", &files[0], "--revision", "two"]);
    assert_eq!(all["reasons"][0], format!("--revision has another config than {}", files[0]));
    assert_eq!(status(&["--proxy", "http://127.0.0.1:1"]).code, 1, "who is silent is a finding");
    let wrong = status(&["--proxy", &first, "chekout"]);
    assert_eq!((wrong.code, wrong.out.as_str()), (2, ""));
    assert!(wrong.err.starts_with("error: there are no metrics of a flag 'chekout'\n"), "{}", wrong.err);
}

#[test]
fn a_pipeline_waits_until_it_runs_everywhere() {
    let one = Scene::new(config("one").to_string()).start();
    let two = Scene::new(config("two").to_string()).start();
    let (first, second) = (url(&one), url(&two));
    let folder = tempfile::tempdir().unwrap();
    let files = files(&folder, &[("two.json", config("two"))]);
    let proxies = ["--proxy", &first, "--proxy", &second, "--interval", "100ms"];
    let waits = [&proxies[..], &["--config", &files[0], "--wait", "--timeout"]].concat();

    let late = status(&[&waits[..], &["1s"]].concat());
    assert_eq!(late.code, 1);
    assert!(late.out.ends_with(&format!("not within 1s:\n  {first} has revision one\n")), "{}", late.out);
    assert_eq!(late.err, format!("waiting: 1 of 2 proxies run it, not yet: {first}\n"));

    let ended = thread::scope(|scope| {
        let waiting = scope.spawn(|| status(&[&waits[..], &["1m"]].concat()));
        thread::sleep(Duration::from_millis(500));
        assert_eq!(one.push(&config("two").to_string()), Pushed::Accepted);
        waiting.join().unwrap()
    });
    assert_eq!(ended.code, 0, "{}{}", ended.out, ended.err);
    assert!(ended.out.ends_with("\nall proxies run it, and no guard objects\n"), "{}", ended.out);

    // One refuses: the rest is not waited for.
    fs::write(&files[0], config("three").to_string()).unwrap();
    assert_eq!(one.push(&config("three").to_string()), Pushed::Accepted);
    let begun = Instant::now();
    let ended = thread::scope(|scope| {
        let waiting = scope.spawn(|| status(&[&waits[..], &["1m"]].concat()));
        thread::sleep(Duration::from_millis(500));
        assert_eq!(two.push("{}"), Pushed::Rejected);
        waiting.join().unwrap()
    });
    assert_eq!(ended.code, 1);
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    assert!(
        ended.out.ends_with(&format!("it will not come:\n  {second} refused the last push (1 problem)\n")),
        "{}",
        ended.out
    );
    assert!(ended.out.contains("refused the last push, 1 problem"), "{}", ended.out);
}

#[test]
fn a_guard_that_objects_ends_the_wait() {
    let envoy = Scene::new(config("one").to_string()).concurrency(2).faults().start();
    let at = url(&envoy);
    let waits = ["--proxy", &at, "--revision", "one", "--wait", "--interval", "100ms", "--timeout", "1s"];
    assert_eq!(status(&waits).code, 0);
    under_load(&envoy, || {
        envoy.set_runtime("fail.v2", 60);
        envoy.poll("a rollback", || (status(&waits).code == 1).then_some(()));
    });
    let ended = status(&waits);
    assert_eq!(ended.code, 1);
    assert!(ended.out.ends_with(&format!("it will not come:\n  checkout: rolled back on {at}\n")), "{}", ended.out);
    assert_eq!(status(&[&waits[..], &["new-nav"]].concat()).code, 0, "of another flag it is none");
}

#[test]
fn a_prometheus_knows_all_proxies() {
    let one = Scene::new(config("one").to_string()).start();
    let two = Scene::new(config("two").to_string()).start();
    let targets = format!("['127.0.0.1:{}', '127.0.0.1:{}']", one.admin_port(), two.admin_port());
    let scrape = format!(
        "global: {{scrape_interval: 500ms}}\nscrape_configs:\n  - job_name: mesh\n    metrics_path: /stats/prometheus\n    \
         static_configs: [{{targets: {targets}, labels: {{zone: a}}}}]\n"
    );
    let Some(prometheus) = Prometheus::start(&[("prometheus.yaml", &scrape)]) else { return };
    let at = format!("http://127.0.0.1:{}", prometheus.port());
    let ask = ["--prometheus", at.as_str(), "--revision", "two"];
    let all = prometheus.poll("both proxies", || {
        let watched = status(&[&ask[..], &["--output", "json"]].concat());
        let all: Value = serde_json::from_str(&watched.out).ok()?;
        (all["proxies"].as_array()?.len() == 2 && all["flags"].as_array()?.len() == 2).then_some(all)
    });
    let has = |envoy: &kit::envoy::Envoy| {
        let name = format!("127.0.0.1:{}", envoy.admin_port());
        all["proxies"].as_array().unwrap().iter().find(|proxy| proxy["name"] == *name).unwrap()["asDue"].clone()
    };
    assert_eq!((has(&one), has(&two)), (json!(false), json!(true)));
    assert_eq!(all["flags"][0]["standings"]["running"].as_array().unwrap().len(), 2);
    assert_eq!(one.push(&config("two").to_string()), Pushed::Accepted);
    assert_eq!(status(&[&ask[..], &["--wait", "--timeout", "30s", "--match", "zone=a"]].concat()).code, 0);
    let none = status(&[&ask[..], &["--match", "zone=b"]].concat());
    assert_eq!(none.code, 2);
    assert!(none.err.starts_with(&format!("error: the Prometheus {at} has no metrics of Tidegate\n")), "{}", none.err);
    let wrong = status(&["--prometheus", &url(&one)]);
    assert!(wrong.err.contains("cannot be asked: this is no answer of one (status 404)"), "{}", wrong.err);
}

#[cfg(not(feature = "fleet"))]
#[test]
fn a_build_without_clusters_says_so() {
    for options in [&["--selector", "app=a"][..], &["--proxy", "http://127.0.0.1:1", "--on", "wasmplugin/a"]] {
        let told = status(options);
        assert_eq!((told.code, told.out.as_str()), (2, ""));
        assert_eq!(
            told.err,
            "error: this build of tidegate knows no clusters\n  |\n  = help: take that of a release, or build it so: \
             cargo install tidegate --features fleet\n"
        );
    }
}

#[cfg(feature = "fleet")]
mod cluster {
    use std::io::{Write as _, copy};
    use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};

    use kit::apiserver::{ADMIN, ApiServer};

    use super::*;

    /// An address of this machine that is not its loopback: the API server reaches no Pod at a loopback address.
    fn address() -> Option<String> {
        let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
        // Nothing is sent: the kernel says which address it would send from.
        socket.connect("192.0.2.1:9").ok()?;
        let address = socket.local_addr().ok()?.ip();
        (!address.is_loopback() && !address.is_unspecified()).then(|| address.to_string())
    }

    /// Leads from that address to a port of the loopback; its own port.
    fn lead(address: &str, port: u16) -> u16 {
        let listener = TcpListener::bind((address, 0)).unwrap();
        let own = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let Ok(other) = TcpStream::connect(("127.0.0.1", port)) else { return };
                for (mut from, mut to) in [(stream.try_clone().unwrap(), other.try_clone().unwrap()), (other, stream)] {
                    thread::spawn(move || {
                        let _ = copy(&mut from, &mut to);
                        // Who waits for the end of the answer has to see it.
                        let _ = to.shutdown(Shutdown::Both);
                    });
                }
            }
        });
        own
    }

    #[test]
    fn pods_are_read_by_way_of_the_api_server() {
        let Some(address) = address() else {
            // Not `eprintln`: the test runner would keep it to itself.
            let line = b"\nSKIPPED: this machine has no address but its loopback, so no Pod was read\n";
            std::io::stderr().write_all(line).unwrap();
            return;
        };
        let Some(server) = ApiServer::start() else { return };
        server.run(&["create", "namespace", "istio-ingress"]);
        server.run(&["apply", "--server-side", "-f", "envoy/istio/components/wasmplugin/wasmplugin.yaml"]);
        let plugin = server.get(&["wasmplugin", "tidegate", "-n", "istio-ingress"]);
        let config = &plugin["spec"]["pluginConfig"];
        let envoy = Scene::new(config.to_string()).start();
        let port = lead(&address, envoy.admin_port()).to_string();
        let pod = json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "ingress-1", "namespace": "istio-ingress", "labels": {"istio": "ingress"}},
            "spec": {"nodeName": "here", "containers": [{"name": "main", "image": "none"}]}});
        server.apply(&pod.to_string());
        let running =
            json!({"status": {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]}}).to_string();
        let patch = ["patch", "pod", "ingress-1", "-n", "istio-ingress", "--subresource=status", "--type=merge", "-p"];
        server.run(&[&patch[..], &[running.as_str()]].concat());

        let kubeconfig = server.kubeconfig(ADMIN);
        let kubeconfig = kubeconfig.to_str().unwrap();
        let access = ["--kubeconfig", kubeconfig, "-n", "istio-ingress"];
        let pods = [&access[..], &["--selector", "istio=ingress", "--port", port.as_str()]].concat();
        let (code, all) = document(&[&pods[..], &["--on", "wasmplugin/tidegate"]].concat());
        assert_eq!((code, &all["proxies"][0]["name"]), (0, &json!("ingress-1")), "{all:#}");
        assert_eq!((&all["due"][0]["from"], &all["due"][0]["revision"]), (&json!("cluster"), &config["revision"]));
        assert_eq!(all["flags"][0]["rules"][0]["exposurePpm"], 50_000);

        // What Git has, what the cluster has, and what runs.
        let folder = tempfile::tempdir().unwrap();
        let mut next = config.clone();
        next["flags"]["checkout"]["rules"][1]["percent"] = json!(25);
        let files = files(&folder, &[("next.json", next)]);
        let told = status(&[&pods[..], &["--on", "wasmplugin/tidegate", "--config", &files[0]]].concat());
        assert_eq!(told.code, 1);
        assert!(told.out.contains(&format!("another one than {}", files[0])), "{}", told.out);
        assert!(told.out.contains(&format!("not {}", files[0])), "{}", told.out);

        // watch finds it by its labels, too.
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command.args(["watch", "--once", "--total", "--output", "json"]).args(&pods);
        let seen: Value = serde_json::from_slice(&command.output().unwrap().stdout).unwrap();
        assert_eq!((&seen["proxies"][0]["url"], &seen["flags"][0]["flag"]), (&json!("ingress-1"), &json!("checkout")));

        let none = status(&[&access[..], &["--selector", "istio=egress"]].concat());
        assert_eq!(none.code, 2);
        assert_eq!(
            none.err,
            "error: no Pod with the labels istio=egress runs in namespace istio-ingress\n  |\n  = help: -n names another \
             namespace\n"
        );
        let closed = status(&[&access[..], &["--selector", "istio=ingress", "--port", "1"]].concat());
        assert_eq!(closed.code, 1);
        assert!(closed.out.contains("silent: port 1 does not answer the API server"), "{}", closed.out);
        // Two rights are what it takes.
        let jane = server.kubeconfig("jane");
        let as_jane = ["--kubeconfig", jane.to_str().unwrap(), "-n", "istio-ingress", "--selector", "istio=ingress"];
        let as_jane = [&as_jane[..], &["--port", port.as_str()]].concat();
        let denied = status(&as_jane);
        let what = "error: 'jane' does not have the right to list pods in namespace istio-ingress\n";
        assert!(denied.code == 2 && denied.err.starts_with(what), "{}", denied.err);
        let role = |rules: Value| {
            let meta = json!({"name": "look", "namespace": "istio-ingress"});
            let api = "rbac.authorization.k8s.io";
            let role = json!({"apiVersion": format!("{api}/v1"), "kind": "Role", "metadata": meta, "rules": rules});
            let binding = json!({"apiVersion": format!("{api}/v1"), "kind": "RoleBinding", "metadata": meta,
                "roleRef": {"apiGroup": api, "kind": "Role", "name": "look"}, "subjects": [{"kind": "User", "name": "jane"}]});
            server.apply(&json!({"apiVersion": "v1", "kind": "List", "items": [role, binding]}).to_string());
        };
        let list = json!({"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]});
        role(json!([list]));
        let denied = status(&as_jane);
        assert!(denied.out.contains("does not have the right to get pods/proxy"), "{}", denied.out);
        role(json!([list, {"apiGroups": [""], "resources": ["pods/proxy"], "verbs": ["get"]}]));
        assert_eq!(status(&as_jane).code, 0);
    }
}
