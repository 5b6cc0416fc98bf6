//! Drives the built module through a real Envoy: the main job, end to end.
//!
//! Each test says what a client sends, and looks at what the upstream got and what the client got back. Where a
//! decision is due, the engine in this process says which: the two have to agree.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that cannot go on stops, with a message"
)]

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use kit::envoy::{Envoy, OLDEST_ENVOY, Pushed};
use kit::http::{Client, Request};
use kit::scene::Scene;
use serde_json::{Value, json};
use tidegate_engine::decide::decide;
use tidegate_engine::decide::standing::Standing;
use tidegate_engine::plan::Plan;
use tidegate_engine::request::Request as Seen;
use tidegate_engine::value::time::Timestamp;

const USERS: usize = 100_000;

fn config(revision: &str, flags: &Value) -> String {
    let identity = json!([{"header": "x-user-id"}]);
    json!({"version": 1, "revision": revision, "identity": identity, "flags": flags}).to_string()
}

/// A routing flag at this share.
fn checkout(percent: f64) -> Value {
    json!({"checkout": {
        "route": {"header": "x-upstream-version"},
        "variants": ["v1", "v2"],
        "baseline": "v1",
        "rules": [{"percent": percent, "serve": "v2"}],
    }})
}

fn user(n: usize) -> Request {
    Request::get("/").header("x-user-id", format!("user-{n}"))
}

/// What the engine in this process serves to a user, flag by flag.
fn natively(plan: &Plan, n: usize) -> Vec<String> {
    let id = format!("user-{n}");
    let headers = [(":method", "GET"), (":path", "/"), (":authority", "x"), ("x-user-id", id.as_str())];
    let headers = headers.map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    let request = Seen::new(plan.inputs(), headers.into_iter(), std::iter::empty());
    let decisions = decide(plan, &request, &Standing::NONE, Timestamp::from_millis(0));
    decisions.list().iter().map(|decision| decision.variant().value().to_string()).collect()
}

// === the same decision everywhere ===

#[test]
fn a_hundred_thousand_users_get_the_same_decision_on_any_number_of_workers_and_after_a_restart() {
    let shares = [("f01", 0.1), ("f1", 1.0), ("f10", 10.0), ("f50", 50.0)];
    let mut flags = checkout(10.0);
    for (name, percent) in shares {
        flags[name] = json!({"rules": [{"percent": percent, "serve": "on"}]});
    }
    let config = config("shares", &flags);
    let plan = Plan::from_bytes(config.as_bytes()).0.ready().unwrap();
    let expected: Vec<Vec<String>> = (0..USERS).map(|n| natively(&plan, n)).collect();
    for (at, (name, percent)) in shares.iter().enumerate() {
        let count = expected.iter().filter(|served| served[at + 1] == "on").count();
        println!("{name}: {count} of {USERS} at {percent} %");
    }
    for workers in [1, 2, 4] {
        let mut envoy = Scene::new(config.as_str()).concurrency(workers).start();
        ask_all(&envoy, &expected);
        if workers == 2 {
            envoy.restart();
            ask_all(&envoy, &expected);
        }
    }
}

/// Asks for every user over several connections, so that every worker takes a part.
fn ask_all(envoy: &Envoy, expected: &[Vec<String>]) {
    let connections = 4;
    thread::scope(|scope| {
        for part in 0..connections {
            scope.spawn(move || {
                let users: Vec<usize> = (0..expected.len()).filter(|n| n % connections == part).collect();
                envoy.client().pipeline(users.iter().map(|n| user(*n)), |place, response| {
                    let (n, upstream) = (users[place], response.upstream());
                    let names = ["checkout", "f01", "f1", "f10", "f50"];
                    let seen =
                        names.map(|name| upstream.header(&format!("x-flag-{name}")).unwrap_or("nothing").to_owned());
                    assert_eq!(seen[..], expected[n], "user-{n}");
                    assert_eq!(upstream.version, expected[n][0], "user-{n}");
                });
            });
        }
    });
}

// === routing ===

#[test]
fn a_header_route_and_a_cluster_header_are_followed_in_the_same_pass() {
    let flags = json!({
        "checkout": checkout(0.0)["checkout"],
        "search": {
            "match": {"paths": ["/search"]},
            "route": {"header": "x-search-cluster"},
            "variants": [{"name": "old", "value": "v1"}, {"name": "new", "value": "v2"}],
            "baseline": "old",
            "rules": [{"when": {"header": "x-beta", "equals": "1"}, "serve": "new"}],
        },
        "both": {
            "match": {"paths": ["/search"]},
            "rules": [{"when": {"header": "x-beta", "equals": "1"}, "serve": "on"}],
        },
    });
    let cluster_header = json!({"match": {"prefix": "/search"}, "route": {"cluster_header": "x-search-cluster"}});
    let mut routes = kit::scene::by_header(&["v1".to_owned(), "v2".to_owned()]);
    routes.as_array_mut().unwrap().insert(0, cluster_header);
    let envoy = Scene::new(config("routes", &flags)).routes(routes).start();
    let mut client = envoy.client();
    let mut version = |request: Request| client.send(&request).upstream().version;
    assert_eq!(version(Request::get("/search")), "v1");
    assert_eq!(version(Request::get("/search").header("x-beta", "1")), "v2");
    assert_eq!(version(Request::get("/search").header("x-search-cluster", "v2")), "v1", "a forged cluster");
    assert_eq!(version(Request::get("/")), "v1");
    assert_eq!(version(Request::get("/").header("x-upstream-version", "v2")), "v1", "a forged version");
    assert_eq!(envoy.push(&config("on", &checkout(100.0))), Pushed::Accepted);
    assert_eq!(client.send(&Request::get("/")).upstream().version, "v2");
}

#[test]
fn the_oldest_envoy_does_the_main_job_too() {
    let envoy = Scene::new(config("old", &checkout(25.0))).envoy(OLDEST_ENVOY).concurrency(2).start();
    let plan = Plan::from_bytes(config("old", &checkout(25.0)).as_bytes()).0.ready().unwrap();
    let mut client = envoy.client();
    for n in 0..500 {
        let upstream =
            client.send(&user(n).header("X-Flag-Checkout", "forged").header("x_flag_checkout", "forged")).upstream();
        let expected = natively(&plan, n).remove(0);
        assert_eq!(upstream.version, expected);
        assert_eq!(upstream.all("x-flag-checkout"), [expected.as_bytes()]);
        assert!(upstream.all("x_flag_checkout").is_empty());
    }
    assert_eq!(
        envoy.push(&config(
            "killed",
            &json!({"checkout": {
                "route": {"header": "x-upstream-version"}, "variants": ["v1", "v2"], "baseline": "v1", "kill": true,
                "rules": [{"serve": "v2"}],
            }})
        )),
        Pushed::Accepted
    );
    assert!((0..500).all(|n| client.send(&user(n)).upstream().version == "v1"));
}

// === configs ===

#[test]
fn a_config_as_a_raw_struct_decides_like_its_json() {
    let flags =
        json!({"new-nav": {"rules": [{"percent": 12.5, "serve": true}]}, "checkout": checkout(33.3333)["checkout"]});
    let text = config("a struct", &flags);
    let mut any: Value = serde_json::from_str(&text).unwrap();
    any = json!({"@type": "type.googleapis.com/google.protobuf.Struct", "value": any});
    let envoy = Scene::inline_any(any).start();
    let plan = Plan::from_bytes(text.as_bytes()).0.ready().unwrap();
    let mut client = envoy.client();
    for n in 0..500 {
        let upstream = client.send(&user(n)).upstream();
        let seen = ["checkout", "new-nav"].map(|name| upstream.header(&format!("x-flag-{name}")).unwrap().to_owned());
        assert_eq!(seen[..], natively(&plan, n), "user-{n}");
    }
    assert!(envoy.log().contains("revision a struct is active: 2 flags"), "{}", envoy.log());
}

#[test]
fn fifty_pushes_under_load_fail_no_request_and_are_in_force_at_once() {
    let envoy = Scene::new(config("0", &checkout(0.0))).concurrency(2).start();
    let (stop, sent) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        let (envoy, stop, sent) = (&envoy, &stop, &sent);
        for part in 0..2 {
            scope.spawn(move || {
                let mut client = envoy.client();
                for n in (0..).take_while(|_| !stop.load(Ordering::Relaxed)) {
                    let response = client.send(&user(2 * n + part));
                    assert_eq!(response.status, 200, "{}", response.text());
                    let upstream = response.upstream();
                    assert_eq!(upstream.header("x-flag-checkout"), Some(upstream.version.as_str()), "half a decision");
                    sent.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        // Should this thread panic, the others must still end.
        let _end = OnDrop(|| stop.store(true, Ordering::Relaxed));
        // Two connections of its own, to meet both workers.
        let mut clients = [envoy.client(), envoy.client(), envoy.client(), envoy.client()];
        for push in 1..=50 {
            let all = push % 2 == 1;
            assert_eq!(
                envoy.push(&config(&push.to_string(), &checkout(if all { 100.0 } else { 0.0 }))),
                Pushed::Accepted
            );
            for client in &mut clients {
                assert_eq!(client.send(&user(push)).upstream().version, if all { "v2" } else { "v1" }, "push {push}");
            }
        }
    });
    println!("{} requests during 50 pushes, none failed", sent.into_inner());
}

struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

#[test]
fn a_kill_acts_on_the_next_request() {
    let envoy = Scene::new(config("on", &checkout(100.0))).start();
    let mut client = envoy.client();
    assert_eq!(client.send(&user(1)).upstream().version, "v2");
    let mut killed = checkout(100.0);
    killed["checkout"]["kill"] = json!(true);
    assert_eq!(envoy.push(&config("killed", &killed)), Pushed::Accepted);
    let upstream = client.send(&user(1)).upstream();
    assert_eq!((upstream.version.as_str(), upstream.header("x-flag-checkout")), ("v1", Some("v1")));
}

#[test]
fn a_ramp_follows_the_clock_of_the_host() {
    let steps = |at: &str| json!({"ramp": {"rules": [{"steps": [{"at": at, "percent": 100}], "serve": "on"}]}});
    let envoy = Scene::new(config("past", &steps("2020-01-01T00:00:00Z"))).start();
    let mut client = envoy.client();
    assert_eq!(client.send(&user(1)).upstream().header("x-flag-ramp"), Some("on"));
    assert_eq!(envoy.push(&config("future", &steps("2999-01-01T00:00:00Z"))), Pushed::Accepted);
    assert_eq!(client.send(&user(1)).upstream().header("x-flag-ramp"), Some("off"));
}

// === identities ===

#[test]
fn an_anonymous_visitor_is_given_an_id_and_keeps_the_decision() {
    let identity = json!([{"header": "x-user-id"}, {"generate": {"cookie": "tg_id", "maxAge": "30d"}}]);
    let text = json!({"version": 1, "identity": identity, "flags": checkout(50.0)}).to_string();
    let envoy = Scene::new(text).concurrency(2).start();
    let mut client = envoy.client();
    let mut versions = std::collections::BTreeMap::new();
    let mut ids = std::collections::BTreeSet::new();
    for _ in 0..300 {
        let first = client.send(&Request::get("/"));
        let [cookie] = first.all("set-cookie")[..] else { panic!("one cookie: {:?}", first.headers) };
        let cookie = String::from_utf8(cookie.to_vec()).unwrap();
        let (pair, attributes) = cookie.split_once("; ").unwrap();
        assert_eq!(attributes, "Max-Age=2592000; Path=/; HttpOnly; SameSite=Lax; Secure");
        let id = pair.strip_prefix("tg_id=").unwrap();
        assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
        assert!(ids.insert(id.to_owned()), "an id came twice");
        let version = first.upstream().version;
        for _ in 0..2 {
            let again = client.send(&Request::get("/").header("cookie", format!("a=b; {pair}")));
            assert_eq!(again.upstream().version, version);
            assert!(again.all("set-cookie").is_empty(), "who has an id gets no other");
        }
        *versions.entry(version).or_insert(0) += 1;
    }
    assert!(versions["v1"] > 100 && versions["v2"] > 100, "{versions:?}");
    assert!(client.send(&user(1)).all("set-cookie").is_empty(), "who is known needs no cookie");
}

/// Signed with the key in [`jwt_authn`]; the subjects are `user-2` (with `age: 18`) and `user-1`.
const TOKENS: [&str; 2] = [
    "eyJhbGciOiAiSFMyNTYiLCAidHlwIjogIkpXVCIsICJraWQiOiAiayJ9.eyJpc3MiOiAidGVzdCIsICJzdWIiOiAidXNlci0yIiwgImV4cCI6IDQxMDI0NDQ4MDAsICJhZ2UiOiAxOH0.NCczjQ2_yGpB8F_7IlLVof7lFWbz0-XS7MlpBGYMYA0",
    "eyJhbGciOiAiSFMyNTYiLCAidHlwIjogIkpXVCIsICJraWQiOiAiayJ9.eyJpc3MiOiAidGVzdCIsICJzdWIiOiAidXNlci0xIiwgImV4cCI6IDQxMDI0NDQ4MDB9._lpbU54PKhzdDPxzAmfKVUcf51a4HwVwOdIUjFfdSTI",
];

fn jwt_authn() -> Value {
    let jwks = json!({"keys": [{"kty": "oct", "alg": "HS256", "kid": "k", "k": "dGlkZWdhdGUtdGVzdC1rZXktb2YtMzItYnl0ZXMteHg"}]});
    json!({"name": "envoy.filters.http.jwt_authn", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
        "providers": {"test": {
            "issuer": "test", "payload_in_metadata": "payload", "forward": true,
            "local_jwks": {"inline_string": jwks.to_string()},
        }},
        "rules": [{"match": {"prefix": "/"}, "requires": {"requires_any": {"requirements": [
            {"provider_name": "test"}, {"allow_missing": {}},
        ]}}}],
    }})
}

#[test]
fn a_claim_counts_only_when_it_was_verified() {
    // user-2 stands at 15.3 %, user-1 at 58.2 %.
    let text = json!({"version": 1, "identity": [{"claim": "sub"}], "flags": {
        "draw": {"salt": "checkout-v2", "rules": [{"percent": 20, "serve": "on"}]},
        "adult": {"rules": [{"when": {"claim": "age", "number": ">= 18"}, "serve": "on"}]},
    }});
    let envoy = Scene::new(text.to_string()).filter(jwt_authn()).start();
    let mut client = envoy.client();
    let mut seen = |token: Option<&str>| {
        let request =
            token.iter().fold(Request::get("/"), |r, token| r.header("authorization", format!("Bearer {token}")));
        let response = client.send(&request);
        let flags = (response.status == 200).then(|| response.upstream());
        let flag = |name: &str| flags.as_ref().map(|flags| flags.header(name).unwrap().to_owned());
        (flag("x-flag-draw"), flag("x-flag-adult"))
    };
    let is = |draw: &str, adult: &str| (Some(draw.to_owned()), Some(adult.to_owned()));
    assert_eq!(seen(Some(TOKENS[0])), is("on", "on"));
    assert_eq!(seen(Some(TOKENS[1])), is("off", "off"));
    assert_eq!(seen(None), is("off", "off"));
    let forged = TOKENS[0].rsplit_once('.').unwrap().0.to_owned() + ".c2ln";
    assert_eq!(seen(Some(&forged)), (None, None), "Envoy answers a forged token itself");
}

#[test]
fn the_address_and_the_node_are_those_that_envoy_knows() {
    let text = json!({"version": 1, "flags": {
        "local": {"rules": [{"when": {"address": {"cidr": "127.0.0.0/8"}}, "serve": "on"}]},
        "there": {"rules": [{"when": {"address": "203.0.113.9"}, "serve": "on"}]},
        "node": {"rules": [{"when": {"proxy": "proxy-1"}, "serve": "on"}]},
        "peer": {"rules": [{"when": {"peer": {"exists": true}}, "serve": "on"}]},
    }});
    let trust_one_hop = |bootstrap: &mut Value| {
        bootstrap["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]["xff_num_trusted_hops"] =
            json!(1);
    };
    let envoy = Scene::new(text.to_string()).edit(trust_one_hop).start();
    let mut client = envoy.client();
    let mut seen = |request: Request| {
        let upstream = client.send(&request).upstream();
        ["local", "there", "node", "peer"].map(|name| upstream.header(&format!("x-flag-{name}")).unwrap() == "on")
    };
    assert_eq!(seen(Request::get("/")), [true, false, true, false]);
    assert_eq!(seen(Request::get("/").header("x-forwarded-for", "203.0.113.9")), [false, true, true, false]);
}

// === what is not seen ===

#[test]
fn an_identity_is_in_no_log_and_in_no_header_of_ours() {
    let text = json!({"version": 1, "identity": [{"header": "x-user-id"}], "dictionary": true,
        "inspect": {"header": "x-tidegate-inspect"}, "flags": checkout(50.0)});
    let envoy = Scene::new(text.to_string()).log_levels("info", "trace").start();
    let canary = "canary-7f3a9c";
    let response = Client::new(envoy.port("ingress"))
        .send(&Request::get("/").header("x-user-id", canary).header("x-tidegate-inspect", "1"));
    let ours = |headers: &[(String, Vec<u8>)]| {
        headers
            .iter()
            .filter(|(name, _)| name != "x-user-id")
            .any(|(_, value)| String::from_utf8_lossy(value).contains(canary))
    };
    assert!(response.header("x-tidegate").unwrap().starts_with("checkout=v"));
    assert!(!ours(&response.headers) && !ours(&response.upstream().headers));
    assert!(!envoy.log().contains(canary), "{}", envoy.log());
}
