//! The whole way of a verdict over all proxies, without a mesh: plain Envoys that discover one file, a real Prometheus that
//! reads them, `tidegate judge` and `tidegate steer` on that file.
//!
//! No proxy finds the version bad by itself: their guards ask for more evidence than each of them gets. Never looks
//! into a process.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use kit::envoy::{Envoy, module, repository};
use kit::http::Request;
use kit::prometheus::Prometheus;
use kit::scene::Scene;
use serde_json::json;

const PROXIES: usize = 6;

const PATIENCE: Duration = Duration::from_mins(1);

/// Where the file of the filter stands in a scene's bootstrap.
const FILE: &str = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/http_filters/0/config_discovery\
                    /config_source/path_config_source/path";

/// The example's answer of a discovery server, comments and all, with this module and these flags in it.
fn discovered() -> String {
    let text = fs::read_to_string(repository().join("envoy/configs/filter.yaml")).unwrap();
    let text = text.replace("filename: tidegate.wasm", &format!("filename: {}", module().display()));
    let guard = r#""guard": {"errors": {"max": "5%", "overBaseline": "2%"}, "identities": "any"}"#;
    let wary = guard.replace(r#""identities""#, r#""fleet": 1000000, "identities""#);
    let text =
        text.replace(guard, &wary).replace(r#"{"percent": 5, "serve": "v2"}"#, r#"{"percent": 30, "serve": "v2"}"#);
    assert!(text.contains("1000000") && text.contains("30"), "the example is another one");
    text
}

/// A process that tells where others may ask, and ends with its value.
struct Going(Child);

impl Drop for Going {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Going {
    /// With the address that it tells.
    fn start(args: &[&str]) -> (Self, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        let mut child = command
            .args(args)
            .args(["--listen", "127.0.0.1:0"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let told = lines.find_map(|line| Some(line.split_once("others may ask at ")?.1.to_owned()));
        thread::spawn(move || lines.for_each(drop));
        let going = Self(child);
        (going, told.expect("it says where it may be asked"))
    }
}

/// Keeps every Envoy busy: users after users, whoever answers.
fn load(envoy: &Envoy, done: &AtomicBool, failed: &AtomicUsize) {
    let mut client = envoy.client();
    let users = (0..).take_while(|_| !done.load(Ordering::Relaxed));
    for n in users {
        let answer = client.send(&Request::get("/").header("x-user-id", format!("user-{n}")));
        failed.fetch_add(usize::from(answer.status != 200), Ordering::Relaxed);
        thread::sleep(Duration::from_millis(60));
    }
}

/// How many of a hundred users `v2` answers, or would have.
fn new(envoy: &Envoy) -> usize {
    let asked = (0..100).map(|n| Request::get("/").header("x-user-id", format!("user-{n}")));
    let mut new = 0;
    envoy
        .client()
        .pipeline(asked, |_, answer| new += usize::from(answer.status != 200 || answer.upstream().version == "v2"));
    new
}

#[test]
fn a_version_that_fails_is_taken_back_in_all_proxies_and_in_those_to_come() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("filter.yaml");
    fs::write(&file, discovered()).unwrap();
    let start = || {
        let scene = Scene::new("{\"version\": 1, \"flags\": {}}").faults();
        scene.set(FILE, json!(file)).start()
    };
    let mut envoys: Vec<Envoy> = (0..PROXIES).map(|_| start()).collect();
    let targets: Vec<String> = envoys.iter().map(|envoy| format!("127.0.0.1:{}", envoy.admin_port())).collect();
    let scrape = json!({"global": {"scrape_interval": "1s", "scrape_timeout": "1s"}, "scrape_configs": [
        {"job_name": "mesh", "metrics_path": "/stats/prometheus", "static_configs": [{"targets": targets}]}]});
    let Some(prometheus) = Prometheus::start(&[("prometheus.yaml", &scrape.to_string())]) else { return };
    let prometheus = format!("http://127.0.0.1:{}", prometheus.port());
    let path = file.to_str().unwrap();
    let (_judge, at) = Going::start(&["judge", "--prometheus", &prometheus, "--config", path, "--every", "1s"]);
    let (_steer, _) = Going::start(&["steer", "--apply", "--judge", &at, "--config", path, "--every", "200ms"]);

    let (done, failed) = (AtomicBool::new(false), AtomicUsize::new(0));
    let text = || fs::read_to_string(&file).unwrap();
    let until = |what: &str, so: &mut dyn FnMut() -> bool| {
        let begin = Instant::now();
        while !so() {
            assert!(begin.elapsed() < PATIENCE, "waited a minute for {what}:\n{}", text());
            thread::sleep(Duration::from_millis(50));
        }
    };
    thread::scope(|scope| {
        for envoy in &envoys {
            scope.spawn(|| load(envoy, &done, &failed));
        }
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            until("users of v2", &mut || envoys.iter().all(|envoy| new(envoy) > 10));
            thread::sleep(Duration::from_secs(3));
            assert_eq!((failed.load(Ordering::Relaxed), text()), (0, discovered()));
            for envoy in &envoys {
                envoy.set_runtime("fail.v2", 50);
            }
            until("the standing", &mut || text().contains("rolledBack"));
            until("the last proxy", &mut || envoys.iter().all(|envoy| new(envoy) == 0));
        }));
        done.store(true, Ordering::Relaxed);
        ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    let written = text();
    assert!(written.contains("# Tidegate as Envoy discovers it (ECDS)"), "comments are kept:\n{written}");
    assert!(written.contains("tidegate steer") && written.contains("over baseline"), "{written}");
    // It was the fleet's verdict: no guard has said the same.
    for envoy in &envoys {
        assert!(!envoy.log().contains("to=rolled_back"), "{}", envoy.log());
    }
    // One that is killed, and one that is new: not one request to v2.
    envoys[0].restart();
    envoys.push(start());
    for envoy in [&envoys[0], &envoys[PROXIES]] {
        assert_eq!(new(envoy), 0);
    }
}
