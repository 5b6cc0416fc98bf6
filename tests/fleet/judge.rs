//! The judge between a Prometheus and those who ask it: a made-up Prometheus and a real one, away and back, restarts, and
//! what is told at its door.
//!
//! The made-up one answers from what a test has laid down, at the times that the test says. Never waits for a clock,
//! but for that of the real one.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kit::answer::serve;
use kit::http::{Client, Request};
use serde_json::{Value, json};
use tidegate_engine::config::Config;
use tidegate_engine::config::standing::Phase;
use tidegate_engine::plan::{Compiled, Plan};
use tidegate_engine::problem::Problems;
use tidegate_engine::value::time::Timestamp;
use tidegate_fleet::judge::door;
use tidegate_fleet::judge::page::Page;
use tidegate_fleet::judge::reading::Labels;
use tidegate_fleet::judge::watcher::{FAILED, Watcher};
use tidegate_fleet::prometheus::{Login, Prometheus};
use tidegate_fleet::steer::told::Told;

/// The series of a time, in milliseconds.
pub(crate) type Kept = Arc<Mutex<BTreeMap<i64, Vec<(Value, u64)>>>>;

const BEGIN: i64 = 1_800_000_000_000;

fn compile(config: &Value) -> (Config, Plan) {
    let mut problems = Problems::default();
    let config = Config::from_bytes(config.to_string().as_bytes(), &mut problems);
    let Compiled::Ready(plan) = tidegate_proxy::compile(&config, &mut problems) else { panic!("{problems:?}") };
    (config, plan)
}

/// A flag of which a tenth gets `v2`, and one without a guard.
fn config() -> Value {
    json!({"version": 1, "identity": [{"header": "x-user"}], "flags": {
        "checkout": {"variants": ["v1", "v2"], "baseline": "v1", "rules": [{"percent": 10, "serve": "v2"}],
            "guard": {"errors": {"max": "5%", "overBaseline": "2%"}, "window": "2m"}},
        "plain": {"variants": ["off", "on"], "baseline": "off", "rules": [{"percent": 10, "serve": "on"}]}}})
}

/// A made-up Prometheus: without series it is away.
fn made_up(kept: &Kept) -> Prometheus {
    let kept = Arc::clone(kept);
    let address = serve(move |path, form| {
        let field = |name: &str| {
            let value = form.split('&').find_map(|field| field.strip_prefix(&format!("{name}=")))?;
            Some((value.parse::<f64>().ok()? * 1_000.0).round() as i64)
        };
        let kept = kept.lock().unwrap();
        if kept.is_empty() {
            return None;
        }
        let told = |time: i64| format!("{}.{:03}", time / 1_000, time % 1_000).parse::<f64>().unwrap();
        let result: Vec<Value> = if path.ends_with("query_range") {
            let (mut at, end, step) = (field("start")?, field("end")?, field("step")?);
            let mut all: BTreeMap<String, (Value, Vec<Value>)> = BTreeMap::new();
            while at <= end {
                for (labels, value) in kept.get(&at).into_iter().flatten() {
                    let values = all.entry(labels.to_string()).or_insert_with(|| (labels.clone(), Vec::new()));
                    values.1.push(json!([told(at), value.to_string()]));
                }
                at += step;
            }
            all.into_values().map(|(labels, values)| json!({"metric": labels, "values": values})).collect()
        } else {
            let at = field("time")?;
            let now = kept.get(&at).into_iter().flatten();
            now.map(|(labels, value)| json!({"metric": labels, "value": [told(at), value.to_string()]})).collect()
        };
        Some(json!({"status": "success", "data": {"resultType": "made up", "result": result}}).to_string())
    });
    at(address)
}

fn at(address: SocketAddr) -> Prometheus {
    Prometheus::new(&format!("http://{address}"), Login::Nobody, Duration::from_secs(10), false).unwrap()
}

/// What proxies `0..proxies` have counted after so many looks: 10 requests of `v2` a look each, 90 of the baseline, of
/// which so many of a hundred fail.
fn series(plan: &Plan, proxies: u64, looks: u64, failed: [u64; 2]) -> Vec<(Value, u64)> {
    let mut all = Vec::new();
    for proxy in 0..proxies {
        let proxy = format!("p{proxy}");
        all.push((
            json!({"__name__": "tidegate_config_fingerprint", "instance": proxy}),
            plan.fingerprint() & 0xffff_ffff_ffff,
        ));
        all.push((json!({"__name__": "tidegate_guard_standing", "instance": proxy, "flag": "checkout"}), 0));
        for (arm, requests, failed) in [("exposed", 10, failed[0]), ("control", 90, failed[1])] {
            for (name, value) in [("requests", 100 * requests), ("failed", requests * failed), ("slow", 0)] {
                let labels = json!({"__name__": format!("tidegate_guard_{name}_total"), "instance": proxy,
                    "flag": "checkout", "rule": "1", "variant": "v2", "arm": arm});
                all.push((labels, value * looks / 100));
            }
        }
    }
    all
}

pub(crate) fn time(look: u64) -> Timestamp {
    Timestamp::from_millis(BEGIN + i64::try_from(look).unwrap() * 5_000)
}

/// A watcher, a Prometheus that keeps so many looks, and what it keeps.
pub(crate) fn fleet(looks: u64, failed: [u64; 2]) -> (Watcher, Prometheus, Kept, Plan) {
    let (config, plan) = compile(&config());
    let kept = Kept::default();
    for look in 0..=looks {
        kept.lock().unwrap().insert(time(look).millis(), series(&plan, 50, look, failed));
    }
    let watcher = Watcher::new(&config, compile(&self::config()).1, 5, Labels::default(), "", time(0));
    let prometheus = made_up(&kept);
    (watcher, prometheus, kept, plan)
}

#[test]
fn a_version_that_fails_is_found_look_by_look_and_a_healthy_one_is_not() {
    for (failed, phase) in [([50, 1], Phase::RolledBack), ([1, 1], Phase::Running)] {
        let (mut watcher, prometheus, _, _) = fleet(20, failed);
        let mut events = Vec::new();
        for look in 0..=20 {
            let (happened, away) = watcher.look(&prometheus, time(look));
            assert_eq!(away, None);
            events.extend(happened);
        }
        assert_eq!(watcher.phase("checkout"), Some(phase), "{events:?}");
        assert_eq!(events.len(), usize::from(phase == Phase::RolledBack), "{events:?}");
        assert_eq!((watcher.known(), watcher.blind()), (50, None));
        let page = Page::new(&watcher);
        let told = &page.flags["checkout"].json;
        assert_eq!((&told["phase"], &told["proxies"]), (&json!(phase.name()), &json!(50)));
        assert_eq!(told["running"], json!(phase == Phase::Running));
        let code = if phase == Phase::Running { 0 } else { 3 };
        assert!(
            page.metrics.contains(&format!("tidegate_judge_phase{{flag=\"checkout\"}} {code}\n")),
            "{}",
            page.metrics
        );
    }
}

#[test]
fn after_a_restart_the_windows_are_refilled() {
    let (mut watcher, prometheus, _, _) = fleet(30, [50, 1]);
    let happened = watcher.refill(&prometheus, time(30)).unwrap();
    assert_eq!(watcher.phase("checkout"), Some(Phase::RolledBack));
    // It says when it was, not when it was read.
    assert!(happened[0].0 < time(20), "{happened:?}");
}

#[test]
fn what_was_counted_under_another_config_says_nothing() {
    let (_, prometheus, _, _) = fleet(30, [50, 1]);
    let mut other = config();
    other["flags"]["checkout"]["guard"]["rearm"] = json!("mended");
    let (config, plan) = compile(&other);
    let mut watcher = Watcher::new(&config, plan, 5, Labels::default(), "", time(0));
    assert_eq!(watcher.refill(&prometheus, time(30)), Ok(Vec::new()));
    assert_eq!(watcher.phase("checkout"), Some(Phase::Running));
    assert!(watcher.blind().unwrap().starts_with("no proxy has the config"), "{:?}", watcher.blind());
}

#[test]
fn fifty_fresh_proxies_with_one_failure_each_are_fifty_failures() {
    let (config, plan) = compile(&config());
    let kept = Kept::default();
    let print = plan.fingerprint() & 0xffff_ffff_ffff;
    let page = |proxies: std::ops::Range<u32>| {
        let mut all = Vec::new();
        for proxy in proxies {
            let proxy = format!("p{proxy}");
            all.push((json!({"__name__": "tidegate_config_fingerprint", "instance": proxy}), print));
            all.push((json!({"__name__": "tidegate_guard_standing", "instance": proxy, "flag": "checkout"}), 0));
            for (arm, failed) in [("exposed", 1), ("control", 0)] {
                for (name, value) in [("requests", 20), ("failed", failed)] {
                    let labels = json!({"__name__": format!("tidegate_guard_{name}_total"), "instance": proxy,
                        "flag": "checkout", "rule": "1", "variant": "v2", "arm": arm});
                    all.push((labels, value));
                }
            }
        }
        all
    };
    // One proxy was there before, and what it has counted then does not count.
    kept.lock().unwrap().insert(time(0).millis(), page(0..1));
    kept.lock().unwrap().insert(time(1).millis(), page(0..51));
    let mut watcher = Watcher::new(&config, plan, 5, Labels::default(), "", time(0));
    let prometheus = made_up(&kept);
    watcher.look(&prometheus, time(0));
    assert_eq!(watcher.counted("checkout"), [0, 0]);
    watcher.look(&prometheus, time(1));
    assert_eq!(watcher.counted("checkout"), [2_000, 50]);
}

#[test]
fn a_prometheus_that_is_away_is_told_and_what_holds_goes_on_to_hold() {
    let (mut watcher, prometheus, kept, _) = fleet(20, [50, 1]);
    for look in 0..=20 {
        watcher.look(&prometheus, time(look));
    }
    let all = std::mem::take(&mut *kept.lock().unwrap());
    for look in 21..21 + u64::from(FAILED) {
        assert_eq!(Page::new(&watcher).unwell, None);
        let (happened, away) = watcher.look(&prometheus, time(look));
        assert!(happened.is_empty());
        assert!(away.unwrap().what.contains("status 503"));
        assert_eq!(watcher.phase("checkout"), Some(Phase::RolledBack));
    }
    let page = Page::new(&watcher);
    assert!(page.unwell.as_ref().unwrap().contains("cannot be asked"), "{page:?}");
    assert!(page.metrics.contains("tidegate_judge_up 0\n") && page.metrics.contains("tidegate_judge_blind 1\n"));
    *kept.lock().unwrap() = all;
    let (_, away) = watcher.look(&prometheus, time(20));
    assert_eq!((away, watcher.blind(), Page::new(&watcher).unwell), (None, None, None));
}

#[test]
fn a_refill_that_was_cut_off_counts_nothing_twice() {
    let (mut watcher, prometheus, kept, _) = fleet(30, [1, 1]);
    let all = std::mem::take(&mut *kept.lock().unwrap());
    assert!(watcher.refill(&prometheus, time(30)).is_err());
    *kept.lock().unwrap() = all;
    watcher.refill(&prometheus, time(30)).unwrap();
    let once = watcher.counted("checkout");
    watcher.refill(&prometheus, time(30)).unwrap();
    assert_eq!(watcher.counted("checkout"), once);
    assert!(once[0] > 0);
}

#[test]
fn proxies_that_the_fleet_has_taken_back_before_do_not_hold_the_next_generation() {
    // What is changed after a rollback reaches proxies, and a Prometheus, one after the other.
    for (is_next, phase) in [(false, Phase::Running), (true, Phase::Held)] {
        let (before, before_plan) = compile(&config());
        let mut next = config();
        next["flags"]["checkout"]["guard"]["rearm"] = json!("mended");
        let (next, next_plan) = compile(&next);
        let print = |plan: &Plan| plan.fingerprint() & 0xffff_ffff_ffff;
        let (old, new) = (print(&before_plan), print(&next_plan));
        let kept = Kept::default();
        let mut all = series(&before_plan, 50, 1, [0, 0]);
        for (labels, value) in &mut all {
            let place: u64 = labels["instance"].as_str().unwrap()[1..].parse().unwrap();
            let has_next = place < 25;
            match labels["__name__"].as_str().unwrap() {
                "tidegate_config_fingerprint" => *value = if has_next { new } else { old },
                "tidegate_guard_standing" => *value = if has_next == is_next { 3 } else { 0 },
                _ => {}
            }
        }
        kept.lock().unwrap().insert(time(1).millis(), all);
        let prometheus = made_up(&kept);
        let mut watcher = Watcher::new(&before, before_plan, 5, Labels::default(), "", time(0));
        watcher.replace(&next, next_plan, time(1));
        let (happened, away) = watcher.look(&prometheus, time(1));
        assert_eq!((away, watcher.phase("checkout")), (None, Some(phase)), "{happened:?}");
    }
}

#[test]
fn a_verdict_stays_where_its_standing_is_taken_out_and_what_a_person_wrote_does_not() {
    let (config, plan) = compile(&config());
    let generation = plan.watches()[0].generation().unwrap();
    for (by, phase, why, is_judged, after) in [
        ("ana", "held", "it stands in the config: ana looks at it", false, Phase::Running),
        ("tidegate steer", "rolledBack", "ana looks at it", true, Phase::RolledBack),
    ] {
        let mut stands = self::config();
        stands["standing"] = json!({"checkout": {"of": format!("{generation:016x}"), "phase": phase,
            "since": "2026-12-02T09:14:05Z", "why": "ana looks at it", "by": by}});
        let (held, held_plan) = compile(&stands);
        let mut watcher = Watcher::new(&held, held_plan, 5, Labels::default(), "", time(0));
        let told = Page::new(&watcher).flags["checkout"].json.clone();
        assert_eq!([&told["phase"], &told["why"], &told["judged"]], [&json!(phase), &json!(why), &json!(is_judged)]);
        watcher.replace(&config, compile(&self::config()).1, time(1));
        assert_eq!(watcher.phase("checkout"), Some(after), "{by}");
        // Less careful is no way back.
        stands["standing"]["checkout"]["phase"] = json!("running");
        let (running, plan) = compile(&stands);
        watcher.replace(&running, plan, time(2));
        assert_eq!(watcher.phase("checkout"), Some(after), "{by}");
    }
}

#[test]
fn the_door_tells_hooks_by_status_and_others_by_fields() {
    let (mut watcher, prometheus, _, _) = fleet(20, [50, 1]);
    let door = door::open(([127, 0, 0, 1], 0).into()).unwrap();
    let ask = |method: &str, path: &str| {
        let answer = Client::new(door.address().port()).try_send(&Request::new(method, path)).unwrap();
        (answer.status, answer.text())
    };
    assert_eq!(ask("GET", "/healthz"), (503, "it has not looked yet\n".to_owned()));
    watcher.look(&prometheus, time(0));
    door.show(Page::new(&watcher));
    assert_eq!(ask("GET", "/healthz").0, 200);
    assert_eq!(ask("POST", "/v1/flags/checkout/running").0, 200);
    assert_eq!(ask("POST", "/v1/flags/checkout/rolledBack").0, 409);
    for look in 1..=20 {
        watcher.look(&prometheus, time(look));
    }
    door.show(Page::new(&watcher));
    assert_eq!(ask("POST", "/v1/flags/checkout/running").0, 409);
    assert_eq!(ask("GET", "/v1/flags/checkout/rolledBack").0, 200);
    let (status, text) = ask("GET", "/v1/flags/checkout");
    let told: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((status, &told["phase"], &told["running"]), (200, &json!("rolledBack"), &json!(false)));
    assert!(told["bits"].as_f64().unwrap() > 24.0 && told["why"].as_str().unwrap().contains("50 proxies"), "{told}");
    // What steers by it understands it.
    let all = Told::read(&ask("GET", "/v1/flags").1).unwrap();
    assert_eq!((all.every, all.last.map(Timestamp::millis), &all.blind), (5, Some(time(20).millis()), &None));
    let flag = &all.flags["checkout"];
    assert_eq!((flag.phase, flag.is_judged, flag.proxies), (Phase::RolledBack, true, 50));
    assert_eq!(Some(&*flag.why), told["why"].as_str());
    let (status, text) = ask("GET", "/v1/flags/chekout");
    assert!(status == 404 && text.contains("did you mean 'checkout'?"), "{text}");
    let (status, text) = ask("GET", "/v1/flags/plain");
    assert!(status == 404 && text.contains("has no guard"), "{text}");
    assert!(ask("GET", "/metrics").1.contains("tidegate_judge_phase{flag=\"checkout\"} 3\n"));
}

/// A real Prometheus reads fifty fresh proxies, each with a failure at its first scrape.
#[test]
fn a_real_prometheus_shows_the_failures_of_fresh_proxies() {
    let (config, plan) = compile(&config());
    let print = plan.fingerprint() & 0xffff_ffff_ffff;
    let born = Arc::new(Mutex::new(false));
    let is_born = Arc::clone(&born);
    let pages = serve(move |path, _| {
        let proxy: u32 = path.trim_start_matches("/p").parse().ok()?;
        if proxy > 0 && !*is_born.lock().unwrap() {
            return None;
        }
        let labels = "flag=\"checkout\",rule=\"1\",variant=\"v2\"";
        let mut text = format!("tidegate_config_fingerprint {print}\ntidegate_guard_standing{{flag=\"checkout\"}} 0\n");
        for (name, exposed) in [("requests", 20), ("failed", 1)] {
            let _ = writeln!(text, "tidegate_guard_{name}_total{{{labels},arm=\"exposed\"}} {exposed}");
        }
        Some(text)
    });
    let mut file =
        "global: {scrape_interval: 1s, scrape_timeout: 1s}\nscrape_configs:\n- job_name: p\n  static_configs:\n"
            .to_owned();
    for proxy in 0..51 {
        let _ =
            writeln!(file, "  - {{targets: ['{pages}'], labels: {{instance: p{proxy}, __metrics_path__: /p{proxy}}}}}");
    }
    let Some(server) = kit::prometheus::Prometheus::start(&[("prometheus.yaml", &file)]) else { return };
    let prometheus = at(([127, 0, 0, 1], server.port()).into());
    let mut watcher = Watcher::new(&config, plan, 1, Labels::default(), "", time(0));
    let now = || Timestamp::from_millis(i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap());
    server.poll("the first proxy", || {
        watcher.look(&prometheus, now());
        (watcher.fleet().proxies().len() == 1).then_some(())
    });
    *born.lock().unwrap() = true;
    server.poll("all proxies", || {
        watcher.look(&prometheus, now());
        (watcher.fleet().proxies().len() == 51).then_some(())
    });
    assert_eq!(watcher.counted("checkout"), [1_000, 50]);
}

/// A step that waits for two ready endpoints, and a proxy that has taken the one before.
#[test]
fn a_step_that_waits_for_endpoints_is_granted_when_they_are_ready_and_known() {
    let mut config = config();
    config["flags"]["checkout"]["rules"][0] = json!({"serve": "v2", "steps": [
        {"at": "2027-01-01T00:00:00Z", "percent": 5},
        {"at": "2027-01-02T00:00:00Z", "percent": 50, "requires": {"ready": 2}}]});
    let (config, plan) = compile(&config);
    let kept = Kept::default();
    for look in 0..8 {
        let mut all = series(&plan, 4, look, [0, 0]);
        for proxy in 0..4 {
            let labels = json!({"__name__": "tidegate_rule_step", "instance": format!("p{proxy}"), "flag": "checkout", "rule": "1"});
            all.push((labels, 1));
        }
        kept.lock().unwrap().insert(time(look).millis(), all);
    }
    let prometheus = made_up(&kept);
    let mut watcher = Watcher::new(&config, plan, 5, Labels::default(), "", time(0));
    assert_eq!(watcher.fleet().flags()[0].waits_for_endpoints(watcher.fleet().plan()), [1]);
    let told = |watcher: &Watcher| {
        let page = Page::new(watcher);
        let line = page.metrics.lines().find(|line| line.starts_with("tidegate_judge_ready{")).map(str::to_owned);
        (page.flags["checkout"].json["steps"].clone(), page.flags["checkout"].json["ready"].clone(), line)
    };
    watcher.look(&prometheus, time(0));
    assert_eq!(told(&watcher), (json!({"1": 1}), Value::Null, None));
    let ready = "tidegate_judge_ready{flag=\"checkout\",variant=\"v2\"}";
    for (look, known, steps) in [(1, Some(1), 1), (2, None, 1), (3, Some(0), 1), (4, Some(2), 2), (5, None, 2)] {
        watcher.ready("checkout", [("v2".to_owned(), known)].into());
        let (happened, _) = watcher.look(&prometheus, time(look));
        assert_eq!(happened.len(), usize::from(look == 4), "{happened:?}");
        let line = known.map(|known: u32| format!("{ready} {known}"));
        assert_eq!(told(&watcher), (json!({"1": steps}), json!({"v2": known}), line));
    }
}
