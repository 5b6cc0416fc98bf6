//! Runs `tidegate steer` behind a made-up judge: on a file, and on a real API server, several at once.
//!
//! What the judge tells is laid down by the test, in the words of a real one. What is looked at is what the config says
//! afterwards, and who wrote it.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use kit::answer::serve;
use kit::apiserver::ADMIN;
use kit::http::{Client, Request};
use serde_json::{Value, json};
use tidegate_engine::config::Config;
use tidegate_engine::plan::Plan;
use tidegate_engine::problem::Problems;

use super::Watched;
use super::change::Land;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_mins(1);

/// A judge that says what it is told to; nothing, and it is away.
#[derive(Clone)]
struct Judge {
    page: Arc<Mutex<Option<Value>>>,
    address: SocketAddr,
}

impl Judge {
    fn new() -> Self {
        let page: Arc<Mutex<Option<Value>>> = Arc::default();
        let told = Arc::clone(&page);
        let address = serve(move |path, _| {
            assert_eq!(path, "/v1/flags");
            let mut page = told.lock().unwrap().clone()?;
            // A look that was just made, if nothing else is said.
            if page["lastLook"] == Value::Null {
                page["lastLook"] = Value::from(now());
            }
            Some(page.to_string())
        });
        Self { page, address }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn away(&self) {
        *self.page.lock().unwrap() = None;
    }

    /// Says that `checkout`, of this generation, is in a phase, and may have taken so many steps of its second rule.
    fn says(&self, generation: &str, phase: &str, steps: Option<u8>) {
        let steps = steps.map_or(json!({}), |steps| json!({"2": steps}));
        *self.page.lock().unwrap() = Some(json!({"every": 5, "blind": null, "unguarded": [], "flags": {"checkout": {
            "flag": "checkout", "generation": generation, "phase": phase, "since": "2026-11-20T09:00:00.250Z",
            "why": "errors v2 50% over baseline 1%, 41 bits, 20s, 1000 proxies, all proxies", "steps": steps,
            "judged": phase != "running", "blind": null, "proxies": 1_000}}}));
    }

    fn says_also(&self, field: &str, value: Value) {
        self.page.lock().unwrap().as_mut().unwrap()[field] = value;
    }
}

fn now() -> String {
    let output = Command::new("date").args(["-u", "+%Y-%m-%dT%H:%M:%SZ"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn run(args: &[&str]) -> Watched {
    let output = Command::new(env!("CARGO_BIN_EXE_tidegate")).args(args).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Watched { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}

/// A ramp whose second and third step wait for the fleet.
const FILE: &str = r#"# Ours.
version: 1
identity: [{header: x-user}]
flags:
  checkout:   # the new one
    type: release
    owner: payments
    expires: 2099-01-01
    route: {header: x-upstream-version}
    variants: [v1, v2]
    baseline: v1
    guard: {errors: {overBaseline: 2%}}
    rules:
      - {when: {header: x-staff, equals: "1"}, serve: v2}
      - serve: v2
        steps:
          - {at: "2026-11-01T09:00:00Z", percent: 1}
          - {at: "2026-11-02T09:00:00Z", percent: 5, requires: fleet}   # once all are well
          - {at: "2026-11-03T09:00:00Z", percent: 25, requires: fleet}
"#;

/// The generation of `checkout` in a config.
fn generation(config: &Value) -> String {
    generation_of("checkout", config)
}

fn generation_of(key: &str, config: &Value) -> String {
    let mut problems = Problems::default();
    let config = Config::from_bytes(config.to_string().as_bytes(), &mut problems);
    let plan = Plan::compile(&config, &mut problems).ready().unwrap_or_else(|| panic!("{problems:?}"));
    format!("{:016x}", plan.generation(&config, key).unwrap())
}

fn values(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap()
}

/// A file with the ramp, and its generation.
struct Place {
    folder: tempfile::TempDir,
    generation: String,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("tidegate.yaml"), FILE).unwrap();
        Self { folder, generation: generation(&values(FILE)) }
    }

    fn path(&self) -> String {
        self.folder.path().join("tidegate.yaml").to_str().unwrap().to_owned()
    }

    fn text(&self) -> String {
        fs::read_to_string(self.path()).unwrap()
    }

    fn once(&self, judge: &Judge, more: &[&str]) -> Watched {
        run(&[&["steer", "--once", "--judge", &judge.url(), "--config", &self.path()], more].concat())
    }
}

#[test]
fn a_verdict_goes_into_a_file_once_and_nothing_else_does() {
    let (place, judge) = (Place::new(), Judge::new());
    judge.says(&place.generation, "rolledBack", Some(1));
    let dry = place.once(&judge, &[]);
    assert_eq!((dry.code, dry.err.as_str()), (1, ""));
    assert!(dry.out.contains("checkout: rolledBack: errors v2 50% over"), "{}", dry.out);
    assert!(dry.out.ends_with("(dry run: not written)\n"), "{}", dry.out);
    assert_eq!(place.text(), FILE);

    let done = place.once(&judge, &["--apply"]);
    assert_eq!((done.code, done.err.as_str()), (0, ""), "{}", done.out);
    let written = place.text();
    let standing = &values(&written)["standing"]["checkout"];
    assert_eq!(
        *standing,
        json!({"of": place.generation, "phase": "rolledBack", "steps": {"2": 1}, "since": "2026-11-20T09:00:00Z",
            "why": "errors v2 50% over baseline 1%, 41 bits, 20s, 1000 proxies, all proxies", "by": "tidegate steer"})
    );
    assert!(written.starts_with(FILE), "all that was there is as it was:\n{written}");
    let again = place.once(&judge, &["--apply"]);
    assert_eq!((again.code, &*again.out), (0, "nothing to write: the config says what the judge does\n"));

    // Nothing that is told later makes it less careful.
    for (phase, steps) in [("running", Some(3)), ("held", Some(3)), ("running", None)] {
        judge.says(&place.generation, phase, steps);
        assert_eq!(place.once(&judge, &["--apply"]).code, 0);
        assert_eq!(place.text(), written, "{phase}");
    }
    // And it is nothing to another generation of the flag.
    let text = FILE.replace("percent: 25", "percent: 30");
    fs::write(place.path(), &text).unwrap();
    judge.says(&place.generation, "rolledBack", None);
    assert_eq!(place.once(&judge, &["--apply"]).code, 0);
    assert_eq!(place.text(), text);
}

#[test]
fn a_ramp_goes_on_step_by_step_while_the_judge_sees_and_the_policy_lets_it() {
    let (place, judge) = (Place::new(), Judge::new());
    let steps = || values(&place.text())["standing"]["checkout"]["steps"]["2"].clone();
    judge.says(&place.generation, "running", Some(1));
    assert_eq!(place.once(&judge, &["--apply"]).code, 0);
    assert_eq!(place.text(), FILE, "the first step waits for nobody");

    judge.says(&place.generation, "running", Some(3));
    for (field, value, why) in [
        ("blind", json!("the Prometheus is away"), "the Prometheus is away"),
        ("lastLook", json!("2026-11-20T09:00:00Z"), "its last look is"),
    ] {
        judge.says_also(field, value);
        let blind = place.once(&judge, &["--apply"]);
        assert_eq!((blind.code, place.text().as_str()), (0, FILE));
        assert!(blind.err.starts_with("steer: lets no ramp go on, because of the judge: "), "{}", blind.err);
        assert!(blind.err.contains(why), "{}", blind.err);
        judge.says_also(field, Value::Null);
    }

    let policy = place.folder.path().join("policy.yaml");
    let frozen = "version: 1\nfreezes:\n  - {from: \"2020-01-01\", to: \"2099-01-01\", reason: Peak season}\n";
    fs::write(&policy, frozen).unwrap();
    let policy = policy.to_str().unwrap();
    let refused = place.once(&judge, &["--apply", "--policy", policy]);
    assert_eq!((refused.code, place.text().as_str()), (1, FILE), "{}{}", refused.out, refused.err);
    assert!(refused.out.contains("refused by policy/freeze"), "{}", refused.out);
    // A version is taken back in a freeze as at any time: on a copy.
    let other = Place::new();
    judge.says(&place.generation, "rolledBack", Some(1));
    assert_eq!(other.once(&judge, &["--apply", "--policy", policy]).code, 0);
    assert_eq!(values(&other.text())["standing"]["checkout"]["phase"], "rolledBack");

    judge.says(&place.generation, "running", Some(3));
    for due in [2, 3, 3] {
        assert_eq!(place.once(&judge, &["--apply"]).code, 0);
        assert_eq!(steps(), due, "one at a time, and no more than the judge says");
    }
    assert!(place.text().contains("rule 2 may take step 3: well on 1000 proxies"), "{}", place.text());
    // A hold keeps the steps that are taken.
    judge.says(&place.generation, "held", Some(2));
    assert_eq!(place.once(&judge, &["--apply"]).code, 0);
    assert_eq!((&values(&place.text())["standing"]["checkout"]["phase"], steps()), (&json!("held"), json!(2)));
    judge.says(&place.generation, "running", Some(3));
    assert_eq!(place.once(&judge, &["--apply"]).code, 0);
    assert_eq!(steps(), 2, "who is held gets no step");
}

#[test]
fn a_flag_that_cannot_be_written_keeps_no_other_one_from_it() {
    // An entry that stands for two flags is not changed for one of them.
    let billing = "  billing:\n    variants: [v1, v2]\n    baseline: v1\n    guard: {errors: {overBaseline: 2%}}\n    \
                   rules: [{percent: 5, serve: v2}]\n";
    let standing = "standing:\n  other: &one {of: \"0000000000000000\", phase: running, since: \"2026-11-01T00:00:00Z\"}\n  \
                    billing: *one\n";
    let text = [FILE, billing, standing].concat();
    let (place, judge) = (Place::new(), Judge::new());
    fs::write(place.path(), &text).unwrap();
    judge.says(&place.generation, "rolledBack", Some(1));
    let mut flags = judge.page.lock().unwrap().as_ref().unwrap()["flags"].clone();
    flags["billing"] = flags["checkout"].clone();
    flags["billing"]["generation"] = json!(generation_of("billing", &values(&text)));
    flags["billing"]["steps"] = json!({});
    judge.says_also("flags", flags);
    let some = place.once(&judge, &["--apply"]);
    assert_eq!(some.code, 1, "{}{}", some.out, some.err);
    assert!(
        some.err.contains("tidegate.yaml:") && some.out.contains("checkout: rolledBack"),
        "{}{}",
        some.out,
        some.err
    );
    assert_eq!(values(&place.text())["standing"]["checkout"]["phase"], "rolledBack");
    assert!(place.text().contains("billing: *one\n"), "{}", place.text());
}

#[test]
fn what_cannot_be_done_is_told_with_the_remedy() {
    let (place, judge) = (Place::new(), Judge::new());
    let path = place.path();
    let away = place.once(&judge, &[]);
    assert_eq!((away.code, away.out.as_str()), (2, ""));
    assert!(
        away.err.contains("cannot be asked: it answers with 503\n  |\n  = help: tidegate judge tells at --listen"),
        "{}",
        away.err
    );
    judge.says(&place.generation, "running", None);
    judge.says_also("flags", json!({"checkout": {"phase": "running"}}));
    let other = place.once(&judge, &[]);
    assert!(other.err.contains("its answer is not understood (missing field `generation`"), "{}", other.err);
    for (args, due) in [
        (
            &["steer", "--once", "--judge", "nowhere", "--config", &path][..],
            "--judge nowhere: must be the address of a judge",
        ),
        (&["steer", "--once", "--judge", "http://127.0.0.1:1", "--config", &path], "connection refused"),
        (&["steer", "--once", "--config", "nowhere.yaml"], "nowhere.yaml"),
        (&["steer", "--commit", "--config", &path], "--apply"),
        (&["steer", "--on", "envoyfilter/a", "--once"], "--on configmap/NAME"),
        (&["steer", "--policy", "nowhere.yaml", "--config", &path], "nowhere.yaml"),
    ] {
        let wrong = run(args);
        assert!(wrong.code == 2 && wrong.err.contains(due), "{args:?}: {} {}", wrong.code, wrong.err);
    }
    assert_eq!(place.text(), FILE);
}

/// One that steers until it is ended.
struct Steerer {
    child: Child,
    lines: mpsc::Receiver<String>,
    port: u16,
}

impl Drop for Steerer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Steerer {
    fn start(judge: &Judge, args: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command.args(["steer", "--apply", "--every", "100ms", "--listen", "127.0.0.1:0", "--judge", &judge.url()]);
        let mut child = command.args(args).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let (send, lines) = mpsc::channel();
        let err = BufReader::new(child.stderr.take().unwrap());
        thread::spawn(move || err.lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
        let mut this = Self { child, lines, port: 0 };
        let first = this.says("others may ask at http://127.0.0.1:");
        this.port = first.rsplit(':').next().unwrap().parse().unwrap();
        this
    }

    /// Waits for a line with these words.
    #[track_caller]
    fn says(&self, words: &str) -> String {
        let begin = Instant::now();
        let mut before = String::new();
        loop {
            let left = PATIENCE.checked_sub(begin.elapsed()).unwrap_or_else(|| panic!("no {words:?} in {before}"));
            let line = self.lines.recv_timeout(left).unwrap_or_else(|_| panic!("no {words:?} in {before}"));
            if line.contains(words) {
                return line;
            }
            before += &(line + "\n");
        }
    }

    fn page(&self, path: &str) -> (u16, String) {
        let answer = Client::new(self.port).send(&Request::get(path));
        (answer.status, answer.text())
    }

    fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap().success());
    }
}

#[track_caller]
fn until(what: &str, mut so: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !so() {
        assert!(begin.elapsed() < PATIENCE, "waited a minute for {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_judge_that_goes_away_and_comes_back_is_told_and_survived() {
    let (place, judge) = (Place::new(), Judge::new());
    judge.says(&place.generation, "running", Some(1));
    let steerer = Steerer::start(&judge, &["--config", &place.path()]);
    until("health", || steerer.page("/healthz").0 == 200);
    judge.away();
    steerer.says("cannot be asked: it answers with 503; what holds goes on to hold");
    until("ill health", || steerer.page("/healthz").0 == 503);
    assert!(steerer.page("/healthz").1.contains("cannot be asked"));
    judge.says(&place.generation, "running", Some(1));
    steerer.says("steer: goes on");
    judge.says_also("blind", json!("the Prometheus is away"));
    steerer.says("lets no ramp go on, because of the judge: it sees nothing: the Prometheus is away");
    until("a gauge", || steerer.page("/metrics").1.contains("\ntidegate_steer_blind 1\n"));
    // A broken file is told as well, and what it was before is not put back over it.
    judge.says(&place.generation, "rolledBack", Some(1));
    until("the standing", || place.text().contains("rolledBack"));
    fs::write(place.path(), "version: 1\nflags: [\n").unwrap();
    steerer.says("what holds goes on to hold");
    assert_eq!(place.text(), "version: 1\nflags: [\n");
    fs::write(place.path(), FILE).unwrap();
    until("the standing", || place.text().contains("rolledBack"));
    let counted = "tidegate_steer_written_total{act=\"rolledBack\"} 2\n";
    until("a count", || steerer.page("/metrics").1.contains(counted));
}

#[test]
fn a_signal_ends_it_while_it_waits_for_an_answer() {
    let place = Place::new();
    let silent = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let judge = Judge { page: Arc::default(), address: silent.local_addr().unwrap() };
    let mut steerer = Steerer::start(&judge, &["--config", &place.path(), "--timeout", "10m"]);
    let (asked, _) = silent.accept().unwrap();
    steerer.signal("-TERM");
    until("its end", || steerer.child.try_wait().unwrap().is_some());
    drop(asked);
    assert_eq!((steerer.child.wait().unwrap().code(), place.text().as_str()), (Some(0), FILE));
}

fn cluster_args(land: &Land) -> Vec<String> {
    let config = land.0.kubeconfig(ADMIN);
    ["-n", "istio-ingress", "--kubeconfig", config.to_str().unwrap()].map(str::to_owned).to_vec()
}

fn steerer(land: &Land, judge: &Judge, on: &str, identity: &str) -> Steerer {
    let mut args = cluster_args(land);
    args.extend(["--on", on, "--identity", identity].map(str::to_owned));
    Steerer::start(judge, &args.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn of_several_on_a_cluster_one_leads_and_writes_the_standing_alone() {
    let Some(land) = Land::new() else { return };
    let judge = Judge::new();
    for (kind, at, field) in [
        ("wasmplugin", "/spec/pluginConfig", "f:pluginConfig"),
        ("trafficextension", "/spec/wasm/pluginConfig", "f:wasm"),
    ] {
        land.component(kind);
        let on = format!("{kind}/tidegate");
        let before = land.object(&on).pointer(at).unwrap().clone();
        judge.says(&generation(&before), "running", None);
        let one = steerer(&land, &judge, &on, "one");
        one.says("steer: leads, by lease/tidegate-steer");
        let two = steerer(&land, &judge, &on, "two");
        two.says("steer: stands by");
        until("a gauge", || two.page("/metrics").1.contains("tidegate_steer_leading 0\n"));
        until("health of who stands by", || two.page("/healthz").0 == 200);

        judge.says(&generation(&before), "held", Some(1));
        let now = || land.object(&on).pointer(at).unwrap().clone();
        until("the standing", || now()["standing"]["checkout"]["phase"] == "held");
        let mut due = before.clone();
        due["standing"] = now()["standing"].clone();
        assert_eq!(now(), due, "nothing else is written");
        let object = land.object(&on);
        let managers = object["metadata"]["managedFields"].as_array().unwrap();
        let own = managers.iter().find(|one| one["manager"] == "tidegate-steer").unwrap();
        let fields = own["fieldsV1"]["f:spec"][field].to_string();
        assert!(fields.contains("f:standing") && !fields.contains("f:flags") && !fields.contains("f:url"), "{fields}");
        let events = land.0.run(&["get", "events", "-n", "istio-ingress"]);
        assert!(events.contains("Hold checkout, by admin: errors v2 50% over baseline"), "{events}");

        // Whoever applies the manifest again leaves it in place.
        land.component(kind);
        assert_eq!(now(), due);
        // The one that leads ends, and gives the lead away; or is killed, and it is taken from it.
        one.signal("-TERM");
        two.says("steer: leads");
        judge.says(&generation(&before), "rolledBack", Some(1));
        until("the standing", || now()["standing"]["checkout"]["phase"] == "rolledBack");
        if kind == "wasmplugin" {
            let three = steerer(&land, &judge, &on, "three");
            three.says("steer: stands by");
            two.signal("-KILL");
            three.says("steer: leads");
        }
        land.0.run(&["delete", "lease", "tidegate-steer", "-n", "istio-ingress"]);
    }
}

#[test]
fn two_that_write_at_once_and_one_with_an_old_view_relax_nothing() {
    let Some(land) = Land::new() else { return };
    land.component("wasmplugin");
    let on = "wasmplugin/tidegate";
    let mut ramp = land.object(on)["spec"]["pluginConfig"].clone();
    let steps: Vec<Value> = (1..=20)
        .map(|step| json!({"at": format!("2026-10-{step:02}T09:00:00Z"), "percent": step, "requires": "fleet"}))
        .collect();
    ramp["flags"]["checkout"]["rules"][1] = json!({"serve": "v2", "steps": steps});
    let patch = json!({"spec": {"pluginConfig": ramp}}).to_string();
    land.0.run(&["patch", on, "-n", "istio-ingress", "--type", "merge", "-p", &patch]);
    let (generation, standing) =
        (generation(&ramp), || land.object(on)["spec"]["pluginConfig"]["standing"]["checkout"].clone());
    let judges = [Judge::new(), Judge::new()];
    // Each of them leads, as it believes: by a Lease of its own.
    let both: Vec<Steerer> = ["one", "two"]
        .iter()
        .zip(&judges)
        .map(|(name, judge)| {
            judge.says(&generation, "running", Some(20));
            let mut args = cluster_args(&land);
            args.extend(["--on", on, "--identity", name, "--lease", name].map(str::to_owned));
            Steerer::start(judge, &args.iter().map(String::as_str).collect::<Vec<_>>())
        })
        .collect();
    until("some steps", || standing()["steps"]["2"].as_u64() >= Some(3));
    // The one finds it bad, and the other goes on to believe that all is well.
    judges[0].says(&generation, "held", Some(2));
    let (mut last, mut steps) = (String::new(), u64::MAX);
    until("a hold", || standing()["phase"] == "held");
    for look in 0..60 {
        if look == 20 {
            judges[0].says(&generation, "rolledBack", Some(1));
        }
        let is = standing();
        let phase = is["phase"].as_str().unwrap().to_owned();
        assert!(phase != "running" && !(last == "rolledBack" && phase == "held"), "{last} -> {phase}");
        assert!(is["steps"]["2"].as_u64().unwrap() <= steps, "{is}");
        (last, steps) = (phase, is["steps"]["2"].as_u64().unwrap());
        thread::sleep(Duration::from_millis(50));
    }
    assert_eq!((last.as_str(), steps), ("rolledBack", 1));
    drop(both);
}

#[test]
fn a_config_map_is_changed_and_its_envoy_filter_rendered() {
    let Some(land) = Land::new() else { return };
    land.component("envoyfilter");
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "flags", "namespace": "istio-ingress",
        "annotations": {"tidegate.dev/envoyfilter": "tidegate"}}, "data": {"shop.yaml": FILE}});
    land.0.apply(&map.to_string());
    let judge = Judge::new();
    judge.says(&generation(&values(FILE)), "running", None);
    let steerer = steerer(&land, &judge, "configmap/flags", "one");
    let carried = || {
        let filter = land.object("envoyfilter/tidegate");
        let path = "/spec/configPatches/1/patch/value/typed_config/config/configuration/value";
        serde_json::from_str::<Value>(filter.pointer(path).unwrap().as_str().unwrap()).unwrap()
    };
    // What stands in the source is rendered, whoever has written it there.
    steerer.says("rendered envoyfilter/tidegate anew");
    assert_eq!(carried()["flags"]["checkout"]["rules"][1]["steps"][1]["percent"], 5);
    judge.says(&generation(&values(FILE)), "rolledBack", Some(1));
    until("the standing", || carried()["standing"]["checkout"]["phase"] == "rolledBack");
    let text = land.object("configmap/flags")["data"]["shop.yaml"].as_str().unwrap().to_owned();
    assert!(text.starts_with(FILE) && text.contains("phase: rolledBack"), "{text}");
}
