//! Takes bad versions back in a real Envoy with two workers: the guards, end to end.
//!
//! Versions are made to fail, to be slow or to be away while a steady load goes on; what was served is read from the
//! inspection header. How fast it is, is measured by `make detect`, and not asserted here.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_precision_loss,
    clippy::disallowed_methods,
    clippy::float_arithmetic,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that cannot go on stops, with a message; a steady load has to wait"
)]

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use kit::envoy::{Door, Envoy, Pushed};
use kit::http::{Request, Response};
use kit::scene::Scene;
use serde_json::{Value, json};

/// A config with this flag.
fn config(flag: &Value) -> String {
    json!({
        "version": 1,
        "identity": [{"header": "x-user-id"}],
        "inspect": {"header": "x-tidegate-inspect"},
        "flags": {"checkout": flag},
    })
    .to_string()
}

/// A routing flag at this share, with these further fields.
fn checkout(percent: u32, more: &Value) -> Value {
    let mut flag = json!({
        "route": {"header": "x-upstream-version"},
        "variants": ["v1", "v2"],
        "baseline": "v1",
        "rules": [{"percent": percent, "serve": "v2"}],
    });
    for (name, value) in more.as_object().unwrap() {
        flag[name] = value.clone();
    }
    flag
}

fn guard() -> Value {
    json!({"guard": {"errors": {"max": 5, "overBaseline": 2}}})
}

/// One answer: when, by the inspection header what and why, and the status.
#[derive(Clone, Debug)]
struct Seen {
    at: Instant,
    decision: String,
    status: u16,
    /// What Envoy says where the version did not answer.
    said: String,
}

impl Seen {
    fn is_v2(&self) -> bool {
        self.decision.contains("checkout=v2;")
    }

    fn has(&self, reason: &str) -> bool {
        self.decision.contains(&format!("reason={reason}"))
    }
}

fn ask(user: usize) -> Request {
    Request::get("/").header("x-user-id", format!("user-{user}")).header("x-tidegate-inspect", "1")
}

fn seen(response: &Response) -> Seen {
    let decision = response.header("x-tidegate").unwrap_or_default().to_owned();
    let said = if response.status == 200 { String::new() } else { response.text() };
    Seen { at: Instant::now(), decision, status: response.status, said }
}

/// Sends so many requests a second over eight connections while `work` goes on; returns all answers, in order.
fn under_load<T>(envoy: &Envoy, rate: u32, work: impl FnOnce() -> T) -> (T, Vec<Seen>) {
    const CONNECTIONS: u32 = 8;
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let senders: Vec<_> = (0..CONNECTIONS)
            .map(|part| {
                let stop = &stop;
                scope.spawn(move || {
                    let mut client = envoy.client();
                    let pause = Duration::from_secs(1) * CONNECTIONS / rate;
                    let mut next = Instant::now() + pause * part / CONNECTIONS;
                    let mut answers = Vec::new();
                    for n in 0_usize.. {
                        if stop.load(Ordering::Relaxed) {
                            break;
                        }
                        thread::sleep(next.saturating_duration_since(Instant::now()));
                        next += pause;
                        // Users come back, but not at once.
                        let user = (n * 8 + part as usize) * 7_919 % 50_000;
                        answers.push(seen(&client.send(&ask(user))));
                    }
                    answers
                })
            })
            .collect();
        // Also where the work panics: nobody may go on for ever.
        let stopping = Stopping(&stop);
        let result = work();
        drop(stopping);
        let mut answers: Vec<Seen> = senders.into_iter().flat_map(|sender| sender.join().unwrap()).collect();
        answers.sort_by_key(|seen| seen.at);
        (result, answers)
    })
}

struct Stopping<'s>(&'s AtomicBool);

impl Drop for Stopping<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn wait(seconds: f64) {
    thread::sleep(Duration::from_secs_f64(seconds));
}

fn standing(envoy: &Envoy) -> Option<u64> {
    envoy.stat("wasmcustom.tidegate.guard.flag=.=checkout;.;standing")
}

/// Waits until the standing is this.
fn until(envoy: &Envoy, code: u64) {
    envoy.poll(&format!("standing {code}"), || (standing(envoy) == Some(code)).then_some(()));
}

/// The lines that the guard has logged.
fn events(envoy: &Envoy) -> Vec<String> {
    let log = envoy.log();
    let lines = log.lines().filter_map(|line| line.split_once("guard: "));
    lines.map(|(_, event)| event.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")).collect()
}

#[test]
fn a_bad_version_is_taken_back_on_all_workers_and_stays_back() {
    let envoy = Scene::new(config(&checkout(10, &guard()))).concurrency(2).faults().start();
    let ((failing, back), answers) = under_load(&envoy, 200, || {
        wait(2.0);
        envoy.set_runtime("fail.v2", 50);
        let failing = Instant::now();
        until(&envoy, 3);
        // All workers follow within a tick; two are waited for.
        wait(0.5);
        let back = Instant::now();
        wait(1.0);
        (failing, back)
    });
    assert!(answers.iter().any(|seen| seen.is_v2() && seen.at < failing && seen.status == 200), "v2 was never asked");
    let after: Vec<&Seen> = answers.iter().filter(|seen| seen.at > back).collect();
    assert!(after.len() > 100, "{}", after.len());
    for seen in after {
        assert!(seen.decision == "checkout=v1;reason=rolled_back" && seen.status == 200, "{seen:?}");
    }
    let told = events(&envoy);
    assert_eq!(told.len(), 1, "{told:#?}");
    for part in ["flag=checkout from=running to=rolled_back variant=v2 measure=errors evidence_bits=", "window="] {
        assert!(told[0].contains(part), "{}", told[0]);
    }
    println!("{}", told[0]);
    assert_eq!(envoy.stat("wasmcustom.tidegate.guard.flag=.=checkout;.;rollbacks_total"), Some(1));

    // A push that leaves the flag alone does not bring it back; one that changes it does.
    let mut other: Value = serde_json::from_str(&config(&checkout(10, &guard()))).unwrap();
    other["flags"]["another"] = json!({"rules": [{"percent": 50, "serve": "on"}]});
    other["revision"] = "other".into();
    assert_eq!(envoy.push(&other.to_string()), Pushed::Accepted);
    let first = seen(&envoy.client().send(&ask(1)));
    assert!(first.decision.contains("checkout=v1;reason=rolled_back"), "{first:?}");
    envoy.set_runtime("fail.v2", 0);
    other["flags"]["checkout"]["guard"]["rearm"] = "2".into();
    assert_eq!(envoy.push(&other.to_string()), Pushed::Accepted);
    let mut client = envoy.client();
    assert!((0..200).any(|user| seen(&client.send(&ask(user))).is_v2()), "a changed flag begins anew");
    assert_eq!(standing(&envoy), Some(0));

    // What is no longer watched has no standing.
    envoy.set_runtime("fail.v2", 50);
    under_load(&envoy, 200, || until(&envoy, 3));
    other["flags"].as_object_mut().unwrap().remove("checkout");
    assert_eq!(envoy.push(&other.to_string()), Pushed::Accepted);
    assert_eq!(standing(&envoy), Some(0));
}

#[test]
fn a_rollback_outlives_the_code_that_decided_it() {
    if Door::default() == Door::Native {
        // Another file is another library, with a memory of its own.
        return;
    }
    let mut wanted: Value = serde_json::from_str(&config(&checkout(30, &guard()))).unwrap();
    let envoy = Scene::new(wanted.to_string()).vm_id("tidegate").concurrency(2).faults().start();
    under_load(&envoy, 200, || {
        envoy.set_runtime("fail.v2", 50);
        until(&envoy, 3);
    });
    wanted["revision"] = "next".into();
    envoy.upgrade(&wanted.to_string(), 1_000);
    // Metrics begin anew with new code: the revision is one of them.
    envoy.poll("the new code", || envoy.stat("wasmcustom.tidegate.config.revision=.=next;.;info"));
    let mut client = envoy.client();
    for user in 0..200 {
        let seen = seen(&client.send(&ask(user)));
        assert_eq!(seen.decision, "checkout=v1;reason=rolled_back");
    }
    assert_eq!(standing(&envoy), Some(3));
}

#[test]
fn a_slow_version_is_taken_back() {
    let guard = json!({"guard": {"latency": {"percentile": 95, "max": "200ms"}}});
    let envoy = Scene::new(config(&checkout(30, &guard))).concurrency(2).faults().start();
    under_load(&envoy, 100, || {
        wait(1.0);
        envoy.set_runtime("slow.v2", 50);
        until(&envoy, 3);
    });
    let told = events(&envoy);
    assert!(told.len() == 1 && told[0].contains("measure=latency"), "{told:#?}");
}

#[test]
fn a_grpc_status_is_a_failure_where_the_status_of_http_is_none() {
    let guard = json!({"guard": {"errors": {"max": 5}, "failures": ["grpc"]}});
    let envoy = Scene::new(config(&checkout(50, &guard))).concurrency(2).faults().start();
    let mut client = envoy.client();
    // Of v2 every call is answered with UNAVAILABLE; of v1 some with NOT_FOUND, which is the caller's own fault.
    let mut call = |user: usize| {
        let on_v2 = seen(&client.send(&ask(user))).is_v2();
        let status = if on_v2 { "14" } else { "5" };
        client.send(&ask(user).header("content-type", "application/grpc").header("x-grpc", status)).status
    };
    for user in 0.. {
        assert_eq!(call(user), 200);
        if standing(&envoy) == Some(3) {
            break;
        }
        assert!(user < 2_000, "{:#?}", events(&envoy));
    }
    assert!(events(&envoy)[0].contains("baseline_rate=0%"), "{:#?}", events(&envoy));
}

#[test]
fn where_both_versions_fail_nothing_is_moved() {
    let envoy = Scene::new(config(&checkout(50, &guard()))).concurrency(2).faults().start();
    let ((), answers) = under_load(&envoy, 200, || {
        envoy.set_runtime("fail.v1", 40);
        envoy.set_runtime("fail.v2", 40);
        envoy.poll("the event", || events(&envoy).iter().any(|told| told.contains("baseline_breached")).then_some(()));
        wait(2.0);
    });
    assert_eq!(standing(&envoy), Some(0));
    assert!(answers.iter().rev().take(100).any(Seen::is_v2));
    assert!(events(&envoy).iter().all(|told| !told.contains("rolled_back")), "{:#?}", events(&envoy));
}

/// The first users that are served v2, or the baseline.
fn users(envoy: &Envoy, on_v2: bool, count: usize) -> Vec<usize> {
    let mut client = envoy.client();
    (0..).filter(|user| seen(&client.send(&ask(*user))).is_v2() == on_v2).take(count).collect()
}

#[test]
fn a_baseline_that_is_made_to_fail_protects_no_bad_version() {
    let envoy =
        Scene::new(config(&checkout(50, &json!({"guard": {"errors": {"max": 5}}})))).concurrency(2).faults().start();
    // One client that takes an identity of the baseline's for each request, and makes it fail.
    let theirs = users(&envoy, false, 100);
    let mut client = envoy.client();
    under_load(&envoy, 100, || {
        for round in 0.. {
            client.send(&ask(theirs[round * 37 % theirs.len()]).header("x-fail", "1"));
            wait(0.04);
            if round == 50 {
                envoy.set_runtime("fail.v2", 80);
            }
            if standing(&envoy) == Some(3) {
                break;
            }
            assert!(round < 800, "{:#?}", events(&envoy));
        }
    });
}

#[test]
fn a_baseline_that_fails_by_itself_protects_no_version_that_always_fails() {
    let envoy = Scene::new(config(&checkout(50, &guard()))).concurrency(2).faults().start();
    under_load(&envoy, 200, || {
        envoy.set_runtime("fail.v1", 20);
        wait(3.0);
        envoy.set_runtime("fail.v2", 100);
        until(&envoy, 3);
    });
    assert!(events(&envoy).iter().any(|told| told.contains("to=rolled_back variant=v2")), "{:#?}", events(&envoy));
}

/// Takes what stands in `x-sub` for a verified claim, as `jwt_authn` would leave it.
const CLAIMS: &str = "function envoy_on_request(request)
  local sub = request:headers():get('x-sub')
  if sub then
    request:streamInfo():dynamicMetadata():set('envoy.filters.http.jwt_authn', 'payload', {sub = sub})
  end
end";

#[test]
fn where_only_verified_identities_count_nobody_else_moves_anything() {
    let mut wanted: Value = serde_json::from_str(&config(&checkout(
        50,
        &json!({"guard": {"errors": {"max": 5, "overBaseline": 2}, "identities": "verified"}}),
    )))
    .unwrap();
    wanted["identity"] = json!([{"claim": "sub"}, {"header": "x-user-id"}]);
    let envoy = Scene::new(wanted.to_string()).lua(CLAIMS).faults().start();
    let mut client = envoy.client();
    // Whoever makes up identities makes v2 fail for each of them, and the baseline for none.
    let mut failed = 0;
    for user in 0..400 {
        let on_v2 = seen(&client.send(&ask(user))).is_v2();
        if on_v2 {
            failed += u32::from(client.send(&ask(user).header("x-fail", "1")).status == 500);
        }
    }
    wait(1.0);
    assert!(failed > 100, "{failed}");
    assert_eq!((standing(&envoy), events(&envoy)), (Some(0), Vec::new()));
    // The same of users with a token is believed.
    for user in 0.. {
        let known = || ask(user).header("x-sub", format!("sub-{user}"));
        if seen(&client.send(&known())).is_v2() {
            client.send(&known().header("x-fail", "1"));
        }
        if standing(&envoy) == Some(3) {
            break;
        }
        assert!(user < 2_000, "{:#?}", events(&envoy));
    }
}

#[test]
fn one_of_many_proxies_asks_for_more_evidence() {
    let fleet = json!({"guard": {"errors": {"max": 5, "overBaseline": 2}, "fleet": 1_000_000}});
    let envoy = Scene::new(config(&checkout(10, &fleet))).faults().start();
    under_load(&envoy, 100, || {
        envoy.set_runtime("fail.v2", 50);
        until(&envoy, 3);
    });
    let told = events(&envoy);
    let (_, bits) = told[0].split_once("evidence_bits=").unwrap();
    let bits: f64 = bits.split(' ').next().unwrap().parse().unwrap();
    assert!(bits >= 43.9, "{}", told[0]);
}

#[test]
fn one_client_whose_every_request_fails_moves_nothing() {
    let envoy = Scene::new(config(&checkout(50, &guard()))).concurrency(2).faults().start();
    let mut client = envoy.client();
    let broken = (0..1_000).find(|user| seen(&client.send(&ask(*user))).is_v2()).unwrap();
    let (failed, _) = under_load(&envoy, 100, || {
        let mut failed = 0;
        for _ in 0..100 {
            failed += u32::from(client.send(&ask(broken).header("x-fail", "1")).status == 500);
            wait(0.03);
        }
        failed
    });
    assert_eq!(failed, 100);
    assert_eq!(standing(&envoy), Some(0), "{:#?}", events(&envoy));
    // As many failures of as many clients are another matter.
    under_load(&envoy, 100, || {
        let broken: Vec<usize> = (0..400).filter(|user| seen(&client.send(&ask(*user))).is_v2()).collect();
        for user in broken.iter().take(100) {
            client.send(&ask(*user).header("x-fail", "1"));
        }
        until(&envoy, 3);
    });
}

#[test]
fn a_limit_holds_for_all_workers_together() {
    let variants = json!([{"name": "v1"}, {"name": "v2", "limit": {"requests": "50/s"}}]);
    let envoy = Scene::new(config(&checkout(50, &json!({"variants": variants})))).concurrency(2).start();
    let ((), answers) = under_load(&envoy, 200, || wait(6.0));
    // Shares are worked out on the tick: the first second finds them.
    let from = answers[0].at + Duration::from_secs(1);
    let settled: Vec<&Seen> = answers.iter().filter(|seen| seen.at >= from).collect();
    let seconds = settled.last().unwrap().at.duration_since(from).as_secs_f64();
    let rate = settled.iter().filter(|seen| seen.is_v2()).count() as f64 / seconds;
    println!("{rate:.1} requests a second of at most 50");
    assert!((35.0..=58.0).contains(&rate), "{rate}");
    assert!(settled.iter().any(|seen| seen.has("throttled") && seen.decision.starts_with("checkout=v1;")));
    assert!(envoy.stat("wasmcustom.tidegate.guard.flag=.=checkout;.;throttled_total").unwrap() > 100);
}

/// v2 has gone: its listener is not there.
fn without_v2(bootstrap: &mut Value) {
    let listeners = bootstrap["static_resources"]["listeners"].as_array_mut().unwrap();
    listeners.retain(|listener| listener["name"] != "upstream-v2");
}

#[test]
fn a_version_that_cannot_be_reached_loses_its_users_to_the_baseline() {
    let envoy = Scene::new(config(&checkout(50, &json!({"rescue": "1s"})))).edit(without_v2).start();
    let ((), answers) = under_load(&envoy, 100, || wait(3.0));
    let failed = answers.iter().filter(|seen| seen.status == 503).count();
    let rescued = answers.iter().filter(|seen| seen.has("rescued")).count();
    println!("{failed} of {} failed, {rescued} were rescued", answers.len());
    // About one attempt a second, and whoever was on the way with it.
    assert!((2..30).contains(&failed) && rescued > 80, "{failed} {rescued}");
    for seen in answers.iter().filter(|seen| seen.has("rescued")) {
        assert!(seen.status == 200 && seen.decision.starts_with("checkout=v1;"), "{seen:?}");
    }
}

/// The routes and clusters that the page of guards shows.
fn retrying() -> Value {
    let (_, shown) = include_str!("../../docs/guards.md").split_once("```yaml envoy\n").unwrap();
    serde_saphyr::from_str(shown.split("```").next().unwrap()).unwrap()
}

#[test]
fn a_retry_can_leave_a_version_that_cannot_be_reached() {
    let mut routes = retrying()["routes"].take();
    routes.as_array_mut().unwrap().push(json!({"match": {"prefix": "/"}, "route": {"cluster": "v1"}}));
    let envoy = Scene::new(config(&checkout(50, &json!({"rescue": "1s"}))))
        .routes(routes)
        .edit(without_v2)
        .edit(|bootstrap| {
            let clusters = bootstrap["static_resources"]["clusters"].as_array_mut().unwrap();
            clusters.push(retrying()["clusters"][0].take());
        })
        .start();
    let ((), answers) = under_load(&envoy, 100, || wait(3.0));
    let failed: Vec<&str> = answers.iter().filter(|seen| seen.status != 200).map(|seen| &*seen.said).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    assert!(answers.iter().any(Seen::is_v2), "v2 was never tried");
    let retried = envoy.stats("cluster.").into_iter().filter(|(name, _)| name.ends_with("upstream_rq_retry_success"));
    assert!(retried.map(|(_, count)| count).sum::<u64>() > 0);
}

#[test]
fn a_reply_comes_in_the_form_that_the_client_takes() {
    let reply = json!({"status": 503, "body": "Export is <paused>.", "headers": {"retry-after": "120"}});
    let flag = json!({
        "variants": ["on", {"name": "off", "reply": reply}],
        "baseline": "off",
        "default": "on",
        "kill": true,
    });
    let envoy = Scene::new(config(&flag)).start();
    let mut client = envoy.client();
    for (accept, kind, body) in [
        ("", "text/plain; charset=utf-8", "Export is <paused>."),
        ("*/*", "text/plain; charset=utf-8", "Export is <paused>."),
        ("application/json", "application/problem+json", "{\"status\":503,\"detail\":\"Export is <paused>.\"}\n"),
        (
            "text/html,application/xhtml+xml,application/json;q=0.1",
            "text/html; charset=utf-8",
            "<!doctype html>\n<meta charset=\"utf-8\">\n<title>503</title>\n<p>Export is &lt;paused>.</p>\n",
        ),
    ] {
        let response = client.send(&ask(1).header("accept", accept));
        assert_eq!((response.status, response.header("content-type")), (503, Some(kind)), "{accept}");
        assert_eq!(response.text(), body);
        assert_eq!(response.header("retry-after"), Some("120"));
        assert_eq!(response.header("x-tidegate"), Some("checkout=off;reason=killed"));
    }
    // A gRPC call is answered in its own form: a status of 200, and the status of the call beside it.
    let response = client.send(&ask(1).header("content-type", "application/grpc"));
    assert_eq!(response.status, 200);
    let heads = ["content-type", "grpc-status", "grpc-message"].map(|name| response.header(name));
    assert_eq!(heads, [Some("application/grpc"), Some("14"), Some("Export is <paused>.")]);
}

/// Measures what the guards promise; `make detect` runs it.
#[test]
#[ignore = "takes minutes"]
fn measure_how_fast_a_bad_version_is_taken_back() {
    for (rate, runs) in [(100, 10), (1_000, 10)] {
        let mut times: Vec<f64> = Vec::new();
        for run in 0..runs {
            let envoy = Scene::new(config(&checkout(10, &guard()))).concurrency(2).faults().start();
            let (failing, answers) = under_load(&envoy, rate, || {
                wait(5.0);
                envoy.set_runtime("fail.v2", 50);
                let failing = Instant::now();
                until(&envoy, 3);
                wait(1.0);
                failing
            });
            let last = answers.iter().rev().find(|seen| seen.is_v2()).unwrap();
            let time = last.at.duration_since(failing).as_secs_f64();
            println!("{rate} requests a second, run {run}: last answer of v2 after {time:.2} s");
            times.push(time);
        }
        times.sort_by(f64::total_cmp);
        println!(
            "{rate} requests a second: median {:.2} s, most {:.2} s",
            times[times.len() / 2],
            times[times.len() - 1]
        );
    }
}

/// The same version twice, both with one failure in a hundred; `make detect` runs it.
#[test]
#[ignore = "takes ten minutes"]
fn two_equal_versions_are_left_alone() {
    let envoy = Scene::new(config(&checkout(30, &guard()))).concurrency(2).faults().start();
    let ((), answers) = under_load(&envoy, 300, || {
        envoy.set_runtime("fail.v1", 1);
        envoy.set_runtime("fail.v2", 1);
        for minute in 1..=10 {
            wait(60.0);
            println!("minute {minute} of 10: standing {:?}", standing(&envoy));
        }
    });
    let failed = answers.iter().filter(|seen| seen.status == 500).count();
    println!("{} requests, {failed} of them failed", answers.len());
    assert!(failed * 200 > answers.len(), "{failed}");
    assert_eq!((standing(&envoy), events(&envoy)), (Some(0), Vec::new()));
}
