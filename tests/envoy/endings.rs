//! Ends requests in every way that a client, a version of the upstream or Envoy can, and reads what the guard made of it.
//!
//! One Envoy; each ending has an upstream of its own, which speaks HTTP/1.1 or HTTP/2 by hand, a flag of its own, and one
//! request of a user that the flag's draw has exposed. What was counted is read from the page. Everything happens at the
//! same time: what takes long is waiting.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that cannot go on stops, with a message; who waits for an answer has to wait"
)]

#[allow(unreachable_pub, clippy::too_many_lines, reason = "a part of this test: a table is data")]
mod broken;
#[allow(unreachable_pub, missing_debug_implementations, reason = "a part of this test")]
mod client;
#[allow(unreachable_pub, clippy::too_many_lines, reason = "a part of this test: a table is data")]
mod clients;
#[allow(unreachable_pub, missing_debug_implementations, reason = "a part of this test")]
mod table;
#[allow(unreachable_pub, missing_debug_implementations, reason = "a part of this test")]
mod upstream;

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use client::Visit;
use kit::envoy::Envoy;
use kit::http::Request;
use kit::scene::Scene;
use serde_json::{Value, json};
use table::{Case, Due};
use upstream::Upstream;

/// What a version may take until it counts as slow, and who has left as one that was kept waiting too long.
const LIMIT: Duration = Duration::from_secs(1);

const KEY: &str = "x-tidegate-inspect";

/// What each flag is watched by: it tells, and moves nothing, so that all requests of a case are served alike.
fn guard() -> Value {
    let limit = format!("{}ms", LIMIT.as_millis());
    json!({"errors": {"max": 5}, "latency": {"percentile": 95, "max": limit}, "action": "alert"})
}

/// A flag for each of these paths. All have one salt, so that they expose the same users.
fn config<'n>(names: impl Iterator<Item = &'n str>, guard: &Value) -> String {
    let flag = |name: &str| {
        json!({
            "match": {"paths": [format!("/{name}")]}, "salt": "one", "variants": ["v1", "v2"], "baseline": "v1",
            "rules": [{"percent": 50, "serve": "v2"}], "guard": guard,
        })
    };
    let flags: BTreeMap<&str, Value> = names.map(|name| (name, flag(name))).collect();
    json!({
        "version": 1, "identity": [{"header": "x-user-id"}], "inspect": {"header": KEY, "equals": "1", "page": true}, "flags": flags,
    })
    .to_string()
}

/// A user who gets v2 of every flag, and one who gets v1.
fn users(envoy: &Envoy, path: &str) -> [String; 2] {
    let mut client = envoy.client();
    let mut user = |version: &str| {
        let found = (0..100).map(|user| format!("user-{user}")).find(|user| {
            let request = Request::get(path).header("x-user-id", user).header(KEY, "1");
            client.send(&request).header("x-tidegate").unwrap().contains(version)
        });
        found.unwrap()
    };
    [user("=v2;"), user("=v1;")]
}

/// What was counted of each flag's v2, once the workers have told it.
fn counted(envoy: &Envoy, user: &str) -> BTreeMap<String, Due> {
    let mut client = envoy.client();
    envoy
        .poll("the end of all requests", || (envoy.stat("http.ingress.downstream_rq_active") == Some(0)).then_some(()));
    let known = |data: &Value| {
        let flags = data["flags"].as_array().unwrap().iter();
        let counts = flags.map(|flag| {
            let arm = &flag["comparisons"][0]["arm"];
            let number = |name: &str| arm[name].as_u64().unwrap_or(0);
            (flag["key"].as_str().unwrap().to_owned(), [number("requests"), number("failed"), number("slow")])
        });
        counts.collect::<BTreeMap<_, _>>()
    };
    let mut read = || {
        let page = Request::get("/.tidegate.json").header(KEY, "1");
        known(&serde_json::from_slice(&client.send(&page).body).unwrap())
    };
    // What is counted last is told last.
    let before = read()["last"][0];
    assert_eq!(envoy.client().send(&Request::get("/last").header("x-user-id", user)).status, 200);
    envoy.poll("the last request on the page", || Some(read()).filter(|counts| counts["last"][0] > before))
}

#[test]
fn each_ending_counts_as_what_it_is() {
    let cases = table::cases();
    let names = cases.iter().map(|case| case.name).chain(["last"]);
    let mut routes = Vec::new();
    let mut scene = Scene::new(config(names, &guard()))
        .access_log("%REQ(:PATH)% %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %DURATION%")
        .fields(json!({"http_protocol_options": {"enable_trailers": true}}));
    for Case { name, upstream, route, .. } in &cases {
        let mut to = json!({"cluster": name, "timeout": "30s"});
        for (field, value) in route.as_object().into_iter().flatten() {
            to[field] = value.clone();
        }
        routes.push(json!({"match": {"path": format!("/{name}")}, "route": to}));
        scene = scene.cluster(upstream::cluster(name, *upstream));
    }
    routes.push(json!({"match": {"prefix": "/"}, "direct_response": {"status": 200}}));
    let envoy = scene.routes(routes.into()).start();
    let [user, _] = users(&envoy, "/last");
    let port = envoy.port("ingress");
    thread::scope(|scope| {
        for case in &cases {
            let visit = Visit { port, path: format!("/{}", case.name), user: user.clone() };
            // That a connection is gone is what some are about.
            scope.spawn(move || drop((case.client)(&visit)));
        }
    });
    let counted = counted(&envoy, &user);
    let log = envoy.access_log();
    let mut wrong = Vec::new();
    for Case { name, due, .. } in &cases {
        let line = log.iter().find(|line| line.starts_with(&format!("/{name} "))).map_or("not logged", String::as_str);
        println!("{:?} {line}", counted[*name]);
        if counted[*name] != *due {
            wrong.push(format!("{name}: must be {due:?}, is {:?}: {line}", counted[*name]));
        }
    }
    assert!(wrong.is_empty(), "{} of {} (requests, failed, slow):\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

/// The proxy with a version that never answers, beside one that is well, and a guard that looks at errors alone.
fn with_a_version_that_hangs() -> Scene {
    with_a_version(table::HANGS)
}

fn with_a_version(version: Upstream) -> Scene {
    let config = json!({
        "version": 1, "identity": [{"header": "x-user-id"}], "inspect": {"header": KEY},
        "flags": {"checkout": {
            "route": {"header": "x-upstream-version"}, "variants": ["v1", "v2"], "baseline": "v1",
            "rules": [{"percent": 50, "serve": "v2"}], "guard": {"errors": {"max": 5, "overBaseline": 2}},
        }},
    });
    let hangs = json!({"name": "x-upstream-version", "string_match": {"exact": "v2"}});
    let routes = json!([
        {"match": {"path": "/known"}, "direct_response": {"status": 200}},
        {"match": {"prefix": "/", "headers": [hangs]}, "route": {"cluster": "hangs", "timeout": "0s"}},
        {"match": {"prefix": "/"}, "direct_response": {"status": 200}},
    ]);
    Scene::new(config.to_string()).cluster(upstream::cluster("hangs", version)).routes(routes)
}

fn standing(envoy: &Envoy) -> Option<u64> {
    envoy.stat("wasmcustom.tidegate.guard.flag=.=checkout;.;standing")
}

/// Has the users of v1 ask, until that is known to all; returns as many users of v2.
fn with_a_baseline(envoy: &Envoy) -> Vec<String> {
    let mut client = envoy.client();
    let mut asked = |user: &str, path: &str| {
        let request = Request::get(path).header("x-user-id", user).header(KEY, "1");
        client.send(&request).header("x-tidegate").unwrap().to_owned()
    };
    let users = (0..400).map(|user| format!("user-{user}"));
    let (v2, v1): (Vec<String>, Vec<String>) = users.partition(|user| asked(user, "/known").contains("=v2;"));
    for user in &v1 {
        asked(user, "/");
    }
    // Two ticks on, it is judged by.
    thread::sleep(Duration::from_millis(600));
    assert_eq!((standing(envoy), v2.len() > 100), (Some(0), true));
    v2
}

#[test]
fn clients_that_leave_at_once_take_no_version_back() {
    let envoy = with_a_version_that_hangs().start();
    let port = envoy.port("ingress");
    for (n, user) in with_a_baseline(&envoy).into_iter().enumerate() {
        let visit = Visit { port, path: "/".into(), user };
        let (mut connection, id) = visit.asked().unwrap();
        // In all three ways, by turns: an error, none, and the end of the connection.
        if n % 3 < 2 {
            connection.reset(id, if n % 3 == 0 { 8 } else { 0 }).unwrap();
        }
    }
    thread::sleep(Duration::from_secs(1));
    assert_eq!(standing(&envoy), Some(0), "{}", envoy.log());
}

#[test]
fn a_version_that_never_answers_is_taken_back() {
    let envoy = with_a_version_that_hangs().start();
    let port = envoy.port("ingress");
    let users = with_a_baseline(&envoy);
    thread::scope(|scope| {
        for user in users.into_iter().take(60) {
            let visit = Visit { port, path: "/".into(), user };
            scope.spawn(move || visit.one("GET", "").map(|_| client::late()));
        }
    });
    envoy.poll("the rollback", || (standing(&envoy) == Some(3)).then_some(()));
}

#[test]
fn a_version_that_reads_no_uploads_is_taken_back_where_they_are_buffered() {
    const MEGABYTES: usize = 12;
    let buffer = json!({"name": "buffer", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.buffer.v3.Buffer",
        "max_request_bytes": MEGABYTES << 20,
    }});
    // Closes after the test: that would be a failure of another kind.
    let version = Upstream::One(|one, _| one.head().map(|_| upstream::pause(600_000)));
    let envoy = with_a_version(version).filter(buffer).start();
    let port = envoy.port("ingress");
    let users = with_a_baseline(&envoy);
    thread::scope(|scope| {
        for user in users.into_iter().take(24) {
            let visit = Visit { port, path: "/".into(), user };
            scope.spawn(move || client::uploads(&visit, MEGABYTES));
        }
    });
    envoy.poll("the rollback", || (standing(&envoy) == Some(3)).then_some(()));
}
