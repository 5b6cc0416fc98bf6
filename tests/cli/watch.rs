//! Runs `tidegate watch` against real Envoys that serve, fail, take new configs and go away.
//!
//! What is looked at is what a script would: lines of JSON, the exit code, the line that says why. Never looks into the
//! command.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::float_arithmetic,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on stops, with a message; how long something takes has to be measured"
)]

#[cfg(feature = "fleet")]
mod change;
#[cfg(feature = "fleet")]
mod judge;
mod status;
#[cfg(feature = "fleet")]
mod steer;

use std::io::{BufRead, BufReader, Lines};
use std::net::TcpListener;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use kit::envoy::{Envoy, Pushed};
use kit::http::Request;
use kit::scene::Scene;
use serde_json::{Value, json};
use tidegate_engine::config::Config;
use tidegate_engine::plan::Plan;
use tidegate_engine::problem::Problems;

fn config(revision: &str) -> Value {
    json!({
        "version": 1,
        "revision": revision,
        "identity": [{"header": "x-user-id"}],
        "flags": {
            "checkout": {
                "route": {"header": "x-upstream-version"},
                "variants": ["v1", "v2"],
                "baseline": "v1",
                "rules": [{"when": {"header": "x-staff", "equals": "1"}, "serve": "v2"}, {"percent": 50, "serve": "v2"}],
                "guard": {"errors": {"max": 5, "overBaseline": 2}},
            },
            "new-nav": {"metrics": "counts", "rules": [{
                "steps": [{"at": "2020-01-01T00:00:00Z", "percent": 10}, {"at": "2020-02-01T00:00:00Z", "percent": 25}],
                "serve": "on",
            }]},
        },
    })
}

fn url(envoy: &Envoy) -> String {
    format!("http://127.0.0.1:{}", envoy.admin_port())
}

/// What came of looking.
struct Watched {
    code: i32,
    out: String,
    err: String,
}

fn watch(urls: &[String], options: &[&str]) -> Watched {
    let output = Command::new(env!("CARGO_BIN_EXE_tidegate")).arg("watch").args(urls).args(options).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Watched { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}

#[track_caller]
fn once(urls: &[String], options: &[&str]) -> Value {
    let watched = watch(urls, &[&["--once", "--output", "json"], options].concat());
    serde_json::from_str(&watched.out).unwrap_or_else(|error| panic!("{error}: {}{}", watched.out, watched.err))
}

/// A watch that goes on, line by line; stopped when dropped.
struct Going(Child, Lines<BufReader<ChildStdout>>);

impl Going {
    fn on(urls: &[String], options: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command.arg("watch").args(urls).args(["--output", "json"]).args(options).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self(child, lines)
    }

    #[track_caller]
    fn next(&mut self) -> Value {
        serde_json::from_str(&self.1.next().expect("one more line").unwrap()).unwrap()
    }

    /// The first of the next lines of which something is true.
    #[track_caller]
    fn until(&mut self, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        let begun = Instant::now();
        loop {
            let line = self.next();
            if is(&line) {
                return line;
            }
            assert!(begun.elapsed() < Duration::from_mins(1), "waited a minute for {what}: {line:#}");
        }
    }
}

impl Drop for Going {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[track_caller]
fn flag<'d>(document: &'d Value, key: &str) -> &'d Value {
    let flags = document["flags"].as_array().unwrap();
    flags.iter().find(|flag| flag["flag"] == key).unwrap_or_else(|| panic!("no {key}: {document:#}"))
}

#[track_caller]
fn variant<'d>(document: &'d Value, key: &str, name: &str) -> &'d Value {
    let variants = flag(document, key)["variants"].as_array().unwrap();
    variants.iter().find(|variant| variant["variant"] == name).unwrap_or_else(|| panic!("no {name}: {document:#}"))
}

/// The first event of a kind.
fn event<'d>(document: &'d Value, what: &str) -> Option<&'d Value> {
    document["events"].as_array().unwrap().iter().find(|event| event["what"] == what)
}

/// Sends so many requests of so many users over four connections; returns how many v2 has answered.
fn send(envoy: &Envoy, requests: usize) -> u64 {
    let mut new = 0;
    for part in 0..4 {
        let asked = (0..requests / 4).map(|n| Request::get("/").header("x-user-id", format!("user-{}", n * 4 + part)));
        envoy.client().pipeline(asked, |_, response| new += u64::from(response.upstream().version == "v2"));
    }
    new
}

/// Sends requests until the work is done.
fn under_load<T>(envoy: &Envoy, work: impl FnOnce() -> T) -> T {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut client = envoy.client();
            for n in 0.. {
                if done.load(Ordering::Relaxed) {
                    break;
                }
                client.send(&Request::get("/").header("x-user-id", format!("user-{n}")));
                thread::sleep(Duration::from_millis(3));
            }
        });
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        done.store(true, Ordering::Relaxed);
        result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// All that was sent is shown, by two workers.
fn all_is_counted(envoy: &Envoy) {
    const REQUESTS: u64 = 2_000;
    let urls = [url(envoy)];
    let new = send(envoy, usize::try_from(REQUESTS).unwrap());
    // Envoy sums up its times some seconds later than its counts.
    let look = envoy.poll("all answers", || {
        let look = once(&urls, &["--total"]);
        let found = look["flags"].as_array().unwrap().iter().flat_map(|flag| flag["variants"].as_array().unwrap());
        let answers: u64 = found.map(|one| one["answers"].as_u64().unwrap()).sum();
        (answers == REQUESTS * 2 && variant(&look, "checkout", "v2")["p50Millis"].is_u64()).then_some(look)
    });
    assert_eq!((&look["seconds"], &look["events"]), (&Value::Null, &json!([])));
    let config = &look["proxies"][0]["configs"][0];
    assert_eq!(
        config,
        &json!({"plugin": "tidegate", "revision": "one", "state": "active", "refused": false, "problems": 0})
    );
    for (name, due) in [("v1", REQUESTS - new), ("v2", new)] {
        let seen = variant(&look, "checkout", name);
        assert_eq!((&seen["decisions"], &seen["answers"], &seen["errors"]), (&json!(due), &json!(due), &json!(0)));
        assert_eq!(seen["classes"], json!({"2xx": due}));
        let reason = if name == "v1" { "default" } else { "split" };
        assert_eq!(seen["reasons"], json!({reason: due}));
        let percent = seen["sharePercent"].as_f64().unwrap();
        assert_eq!(format!("{percent:.3}"), format!("{:.3}", f64::from(u32::try_from(due).unwrap()) / 20.0));
        assert!(seen["p50Millis"].as_u64().unwrap() <= seen["p99Millis"].as_u64().unwrap());
    }
    let checkout = flag(&look, "checkout");
    assert_eq!((&checkout["standing"], &checkout["standings"]), (&json!("running"), &json!({"running": 1})));
    let rule = |number, ppm, step| json!({"rule": number, "exposurePpm": ppm, "leastExposurePpm": ppm, "step": step});
    assert_eq!(checkout["rules"], json!([rule(2, 500_000, Value::Null)]));
    assert_eq!(flag(&look, "new-nav")["rules"], json!([rule(1, 250_000, json!(2))]));
    assert_eq!(flag(&look, "new-nav")["standing"], Value::Null);

    // Between two looks in which nothing was sent there is nothing.
    let look = once(&urls, &["--interval", "100ms", "--flag", "checkout"]);
    assert_eq!(look["flags"].as_array().unwrap().len(), 1);
    let seen = variant(&look, "checkout", "v1");
    assert_eq!((&seen["decisions"], &seen["sharePercent"], &seen["perSecond"]), (&json!(0), &Value::Null, &json!(0.0)));
}

#[test]
fn what_is_shown_is_what_was_sent() {
    let envoy = Scene::new(config("one").to_string()).concurrency(2).start();
    all_is_counted(&envoy);

    // What is sent while it watches, and nothing else.
    let mut going = Going::on(&[url(&envoy)], &["--interval", "200ms", "--window", "1m"]);
    assert_eq!(going.next()["seconds"], Value::Null, "the first look is of all time");
    let new = send(&envoy, 1_000);
    let total = |line: &Value| {
        let of = |name| variant(line, "checkout", name)["answers"].as_u64().unwrap();
        of("v1") + of("v2")
    };
    let line = going.until("1,000 answers", |line| line["seconds"].is_number() && total(line) >= 1_000);
    assert_eq!((total(&line), &variant(&line, "checkout", "v2")["answers"]), (1_000, &json!(new)));
    let seconds = line["seconds"].as_f64().unwrap();
    let rate = variant(&line, "checkout", "v2")["perSecond"].as_f64().unwrap();
    let due = f64::from(u32::try_from(new).unwrap()) / seconds;
    assert!((rate - due).abs() < 0.1, "{rate} and {due}");
}

#[test]
fn names_are_read_where_envoy_has_no_patterns_for_them() {
    let edit = |bootstrap: &mut Value| drop(bootstrap.as_object_mut().unwrap().remove("stats_config"));
    all_is_counted(&Scene::new(config("one").to_string()).concurrency(2).edit(edit).start());
}

#[test]
fn a_rollback_is_seen_at_once() {
    let envoy = Scene::new(config("one").to_string()).concurrency(2).faults().start();
    let urls = [url(&envoy)];
    let mut going = Going::on(&urls, &["--interval", "200ms", "--window", "2s"]);
    assert_eq!(flag(&going.next(), "checkout")["standing"], "running");
    let line = under_load(&envoy, || {
        going
            .until("some load", |line| line["seconds"].is_number() && !flag(line, "checkout")["variants"][1].is_null());
        envoy.set_runtime("fail.v2", 60);
        let failing = Instant::now();
        let line = going.until("a rollback", |line| event(line, "standing").is_some());
        let took = failing.elapsed();
        assert!(took < Duration::from_secs(5), "{took:?}");
        line
    });
    let told = event(&line, "standing").unwrap();
    assert_eq!(
        (&told["flag"], &told["from"], &told["to"], &told["url"]),
        (&json!("checkout"), &json!("running"), &json!("rolled_back"), &json!(urls[0]))
    );
    let checkout = flag(&line, "checkout");
    assert_eq!((&checkout["standing"], &checkout["rollbacks"]), (&json!("rolled_back"), &json!(1)));
    assert!(variant(&line, "checkout", "v2")["errors"].as_u64().unwrap() > 0, "{line:#}");

    let watched = watch(&urls, &["--count", "1"]);
    assert_eq!(watched.code, 1, "a flag that is rolled back is a finding");
    assert!(watched.out.contains("\ncheckout  rolled back, rule 2 at 0%, 1 rollback\n"), "{}", watched.out);
    assert!(watched.out.lines().all(|line| line.chars().count() <= 80) && !watched.out.contains('\x1b'));
    assert_eq!(watch(&urls, &["--once", "--total", "--flag", "new-nav"]).code, 0, "of another flag it is none");

    // A push that is not good, and one that brings the flag back.
    assert_eq!(envoy.push("{}"), Pushed::Rejected);
    let line = going.until("a refusal", |line| event(line, "refused").is_some());
    assert_eq!(line["proxies"][0]["configs"][0]["revision"], "one");
    assert!(watch(&urls, &["--once", "--total"]).out.contains("an older config stays in force"));
    let mut next = config("two");
    next["flags"]["checkout"]["guard"]["rearm"] = "2".into();
    assert_eq!(envoy.push(&next.to_string()), Pushed::Accepted);
    let line = going.until("a revision", |line| event(line, "revision").is_some());
    let told = event(&line, "revision").unwrap();
    assert_eq!((&told["from"], &told["to"], &told["plugin"]), (&json!("one"), &json!("two"), &json!("tidegate")));
    envoy.poll("a finding less", || (watch(&urls, &["--once", "--total"]).code == 0).then_some(()));
}

/// What people see of flags that are killed, rolled back and expired, at some widths.
#[test]
fn flags_are_shown_with_what_is_known_of_them_in_60_columns_and_in_120() {
    let mut config = config("one");
    config["flags"]["checkout"]["owner"] = "payments".into();
    config["flags"]["checkout"]["stage"] = "trusted".into();
    config["flags"]["new-nav"]["owner"] = "web".into();
    config["flags"]["new-nav"]["type"] = "experiment".into();
    config["flags"]["new-nav"]["expires"] = "2024-03-01".into();
    config["flags"]["banner"] =
        json!({"type": "kill-switch", "owner": "growth", "kill": true, "rules": [{"serve": "on"}]});
    let envoy = Scene::new(config.to_string()).concurrency(2).faults().start();
    let urls = [url(&envoy)];
    let mut going = Going::on(&urls, &["--interval", "200ms"]);
    assert_eq!(flag(&going.next(), "banner")["killed"], true, "also before anybody came");
    envoy.set_runtime("fail.v2", 60);
    let line = under_load(&envoy, || going.until("a rollback", |line| event(line, "standing").is_some()));
    let failed = &event(&line, "standing").unwrap()["evidence"][1];
    assert_eq!((&failed["variant"], failed["errors"].as_u64() > Some(0)), (&json!("v2"), true), "{line:#}");
    // What is told at one look stays with the flag.
    let line = going.next();
    assert_eq!((&line["events"], &flag(&line, "checkout")["lastEvent"]["evidence"][1]), (&json!([]), failed));
    let checkout = flag(&line, "checkout");
    assert_eq!(
        [&checkout["baseline"], &checkout["type"], &checkout["stage"], &checkout["owner"], &checkout["killed"]],
        [&json!("v1"), &json!("release"), &json!("trusted"), &json!("payments"), &json!(false)]
    );
    assert_eq!(flag(&line, "new-nav")["expires"], "2024-03-01T00:00:00Z");
    envoy.poll("times of answers", || {
        let look = once(&urls, &["--total"]);
        (variant(&look, "checkout", "v2")["p99Millis"].is_u64()).then_some(())
    });
    for (columns, base) in [(60, "(base)"), (120, "(baseline)")] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command.arg("watch").args(&urls).args(["--once", "--total"]).env("COLUMNS", columns.to_string());
        let text = String::from_utf8(command.output().unwrap().stdout).unwrap();
        assert!(text.lines().all(|line| line.chars().count() <= columns), "{columns}:\n{text}");
        let text = text.replace(",\n    ", ", ");
        for due in [
            "since the start of Envoy",
            "\nbanner  killed, everybody gets off\n  kill-switch, owner growth\n  off ",
            "\ncheckout  rolled back, rule 2 at 0%, 1 rollback\n  release, owner payments, stage trusted\n  v1 ",
            "\nnew-nav  rule 1 at 25% (step 2)\n  experiment, owner web, expired ",
            " days ago (2024-03-01)\n  off ",
            " p50",
            " p99",
            &format!("v1 {base}"),
            &format!("off {base}"),
        ] {
            assert!(text.contains(due), "{due:?} in {columns}:\n{text}");
        }
    }
}

#[test]
fn what_was_decided_elsewhere_is_told_with_since_when_and_why() {
    let mut config = config("one");
    let plan = |config: &Value| {
        let read = Config::from_bytes(config.to_string().as_bytes(), &mut Problems::default());
        let plan = Plan::compile(&read, &mut Problems::default()).ready().unwrap();
        format!("{:016x}", plan.generation(&read, "new-nav").unwrap())
    };
    let of = plan(&config);
    config["standing"] = json!({
        "new-nav": {"of": of, "phase": "held", "steps": {"1": 1}, "since": "2020-03-02T09:14:05Z",
            "why": "rage clicks", "by": "ana"},
        // Void, and so in force nowhere.
        "checkout": {"of": "0123456789abcdef", "phase": "rolledBack", "since": "2020-03-02T09:14:05Z"}});
    let envoy = Scene::new(config.to_string()).start();
    let urls = [url(&envoy)];
    let look = once(&urls, &["--total"]);
    let nav = flag(&look, "new-nav");
    // No guard watches it, and yet it is seen where it is.
    assert_eq!((&nav["standing"], &nav["rules"][0]["step"]), (&json!("held"), &json!(1)));
    let due =
        json!({"phase": "held", "since": "2020-03-02T09:14:05Z", "why": "rage clicks", "by": "ana", "steps": {"1": 1}});
    assert_eq!((&nav["decided"], &flag(&look, "checkout")["decided"]), (&due, &Value::Null));
    let text = watch(&urls, &["--once", "--total"]).out;
    let due =
        "\n  in the config: held since 2020-03-02T09:14:05Z, by ana, rule 1 may have taken 1 step, \"rage clicks\"\n";
    assert!(text.replace(",\n    ", ", ").contains(due), "{text}");
    assert_eq!(text.matches("in the config").count(), 1, "{text}");
}

#[test]
fn several_proxies_are_added_up_and_may_go_away() {
    let one = Scene::new(config("one").to_string()).start();
    let mut two = Scene::new(config("two").to_string()).plugin_name("edge").start();
    let urls = [url(&one), url(&two)];
    let three = Scene::new(config("one").to_string()).start();
    let sent = send(&one, 100) + send(&three, 200);
    let both = [urls[0].clone(), url(&three)];
    let look = one.poll("all answers", || {
        let look = once(&both, &["--total"]);
        (variant(&look, "checkout", "v2")["answers"] == sent).then_some(look)
    });
    assert_eq!(flag(&look, "checkout")["standings"], json!({"running": 2}));

    let mut going = Going::on(&urls, &["--interval", "200ms"]);
    let line = going.next();
    let plugins: Vec<&str> =
        line["flags"].as_array().unwrap().iter().map(|flag| flag["plugin"].as_str().unwrap()).collect();
    assert_eq!(plugins, ["edge", "edge", "tidegate", "tidegate"]);
    let text = watch(&urls, &["--once", "--total"]).out;
    assert!(text.starts_with("2 Envoys, revisions edge/two on 1 and one on 1, since the start of Envoy,"), "{text}");
    assert!(text.contains("\nedge/new-nav  rule 1 at 25% (step 2)\n"), "{text}");

    // Who is gone takes nothing away from the other.
    two.kill9();
    let line = going.until("silence", |line| event(line, "silent").is_some());
    assert_eq!(event(&line, "silent").unwrap()["url"], urls[1]);
    assert_eq!((&line["proxies"][0]["silent"], line["proxies"][1]["silent"].is_string()), (&Value::Null, true));
    assert_eq!(flag(&line, "checkout")["standings"], json!({}), "edge's flags stand nowhere now");
    drop(two);
}

#[test]
fn who_says_nothing_of_tidegate_is_told_in_one_line() {
    let line = |url: &str, options: &[&str]| {
        let watched = watch(&[url.to_owned()], options);
        assert_eq!((watched.code, watched.out.as_str()), (2, ""), "{}", watched.err);
        assert!(watched.err.contains("\n --> command line:1:"), "{}", watched.err);
        format!("{}\n", watched.err.lines().next().unwrap_or_default()).replace(url, "URL")
    };
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let there = format!("http://{}", silent.local_addr().unwrap());
    assert_eq!(line(&there, &["--timeout", "200ms"]), "error: cannot watch URL: no answer within 200 ms\n");
    drop(silent);
    assert_eq!(line(&there, &["--once"]), "error: cannot watch URL: connection refused\n");

    let bare = Scene::bare().start();
    let none = "error: cannot watch URL: this Envoy has no metrics of Tidegate: no filter is loaded, or its \
                stats_config leaves out what begins with wasmcustom\n";
    assert_eq!(line(&url(&bare), &[]), none);
    let odd =
        |status| format!("error: cannot watch URL: this is not the admin interface of an Envoy (status {status})\n");
    assert_eq!(line(&format!("http://127.0.0.1:{}", bare.port("ingress")), &[]), odd(200));
    assert_eq!(line(&format!("{}/stats", url(&bare)), &[]), odd(404));

    let envoy = Scene::new(config("one").to_string()).start();
    let told = line(&url(&envoy), &["--flag", "new-nav", "--flag", "chekout"]);
    assert_eq!(told, "error: there are no metrics of a flag 'chekout'\n");
}
