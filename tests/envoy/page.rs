//! The page that a proxy serves of itself, in a real Envoy: who may see it, and that it says what is so.
//!
//! What it is drawn from is held to what was sent, and what a browser makes of it to that.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "what is not as it should be stops its test, with a message; a day is counted from today"
)]

mod looks;

use kit::envoy::{Envoy, Pushed};
use kit::http::{Client, Request, Response};
use kit::scene::Scene;
use serde_json::{Value, json};

const KEY: &str = "x-tidegate-inspect";
const WORD: &str = "a-word-of-your-own";
const PAGES: [&str; 3] = ["/.tidegate", "/.tidegate.json", "/.tidegate/explain"];

fn config(inspect: &Value) -> String {
    let mut config = json!({
        "version": 1,
        "revision": "page-1",
        "identity": [{"header": "x-user-id"}],
        "flags": {
            "checkout": {
                "match": {"paths": ["/api"], "hosts": ["shop.example"]},
                "route": {"header": "x-upstream-version"},
                "variants": ["v1", "v2"],
                "baseline": "v1",
                "rules": [
                    {"when": {"header": "x-employee", "equals": "true"}, "serve": "v2"},
                    {"percent": 50, "serve": "v2"}
                ],
                "guard": {"errors": {"max": "5%", "overBaseline": "2%"}}
            },
            "new-nav": {
                "rules": [{"steps": [
                    {"at": "2020-01-01T00:00:00Z", "percent": 10},
                    {"at": "2020-01-02T00:00:00Z", "percent": 30},
                    {"at": "2099-01-01T00:00:00Z", "percent": 100}
                ], "serve": "on"}]
            }
        }
    });
    if !inspect.is_null() {
        config["inspect"] = inspect.clone();
    }
    config.to_string()
}

fn api(user: &str) -> Request {
    Request::get("/api/x").host("shop.example").header("x-user-id", user)
}

fn asked(path: &str) -> Request {
    Request::get(path).header(KEY, WORD)
}

fn data(response: &Response) -> Value {
    assert_eq!(
        (response.status, response.header("content-type")),
        (200, Some("application/json")),
        "{}",
        response.text()
    );
    serde_json::from_str(&response.text()).unwrap()
}

fn reaches_upstream(response: &Response) -> bool {
    response.status == 200
        && response.header("content-security-policy").is_none()
        && response.text().contains("version")
}

fn flag<'d>(data: &'d Value, key: &str) -> &'d Value {
    data["flags"].as_array().unwrap().iter().find(|flag| flag["key"] == key).unwrap()
}

/// What the page says, once it says what is waited for.
fn until(envoy: &Envoy, client: &mut Client, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
    envoy.poll(what, || Some(data(&client.send(&asked("/.tidegate.json")))).filter(&fits))
}

fn decided(flag: &Value) -> u64 {
    flag["variants"].as_array().unwrap().iter().map(|variant| variant["decided"].as_u64().unwrap()).sum()
}

#[test]
fn who_may_not_see_the_page_does_not() {
    let envoy = Scene::new(config(&Value::Null)).ingress(2).edit(|bootstrap| name_listener(bootstrap, 1)).start();
    let mut client = envoy.client();
    let mut other = Client::new(envoy.port("ingress-2"));
    let none_see = |client: &mut Client, requests: &[fn(&str) -> Request]| {
        for (path, request) in PAGES.iter().flat_map(|path| requests.iter().map(move |request| (path, request))) {
            let response = client.send(&request(path));
            assert!(reaches_upstream(&response), "{path}: {} {}", response.status, response.text());
        }
    };
    let bare: fn(&str) -> Request = |path| Request::get(path);
    let wrong: fn(&str) -> Request = |path| Request::get(path).header(KEY, "another-word");
    let right: fn(&str) -> Request = |path| Request::get(path).header(KEY, WORD);
    let twice: fn(&str) -> Request = |path| Request::get(path).header(KEY, WORD).header(KEY, WORD);
    none_see(&mut client, &[bare, wrong, right]);

    // The key alone is for the response header.
    assert_eq!(envoy.push(&config(&json!({"header": KEY, "equals": WORD}))), Pushed::Accepted);
    none_see(&mut client, &[bare, wrong, right]);

    assert_eq!(envoy.push(&config(&json!({"header": KEY, "equals": WORD, "page": true}))), Pushed::Accepted);
    none_see(&mut client, &[bare, wrong, twice]);
    for path in PAGES {
        let response = client.send(&right(path));
        assert_eq!(response.status, 200, "{path}");
        assert_eq!(response.header("cache-control"), Some("no-store"), "{path}");
        assert!(response.header("content-security-policy").is_some_and(|policy| policy.contains("default-src 'none'")));
        for near in [format!("{path}x"), format!("{path}/"), path.to_uppercase()] {
            assert!(reaches_upstream(&client.send(&right(&near))), "{near}");
        }
    }
    // It is there to be read.
    let mut sent = right("/.tidegate");
    sent.method = "POST".into();
    assert!(reaches_upstream(&client.send(&sent)));

    // By a listener of its own, without a key; nowhere else.
    assert_eq!(envoy.push(&config(&json!({"listener": "page"}))), Pushed::Accepted);
    none_see(&mut client, &[bare, wrong, right]);
    for path in PAGES {
        assert_eq!(other.send(&bare(path)).header("cache-control"), Some("no-store"), "{path}");
    }
    assert!(reaches_upstream(&other.send(&bare("/"))));
}

/// Says in the metadata of a listener that it is the page's.
fn name_listener(bootstrap: &mut Value, place: usize) {
    bootstrap["static_resources"]["listeners"][place]["metadata"] =
        json!({"filter_metadata": {"tidegate": {"listener": "page"}}});
}

/// A port that nobody else listens on, so that a listener of the scene can be given it.
fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn a_port_that_a_client_names_does_not_open_the_page() {
    // The page as an older config has it, by the port of its listener, and by the listener.
    let page = free_port();
    for inspect in [json!({"header": KEY, "equals": WORD, "port": page}), json!({"listener": "page"})] {
        let envoy = Scene::new(config(&inspect))
            .ingress(2)
            .edit(|bootstrap| {
                name_listener(bootstrap, 1);
                let listener = &mut bootstrap["static_resources"]["listeners"][0];
                listener["listener_filters"] = json!([{"name": "envoy.filters.listener.proxy_protocol", "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol",
                }}]);
            })
            .start();
        for path in PAGES {
            let request = format!(
                "PROXY TCP4 127.0.0.1 127.0.0.1 40000 {page}\r\nGET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
            );
            let response = raw(envoy.port("ingress"), request.as_bytes());
            assert!(response.starts_with("HTTP/1.1 200"), "{response}");
            assert!(response.contains("version") && !response.contains("no-store"), "{path}: {response}");
        }
        if inspect["listener"].is_string() {
            let mut other = Client::new(envoy.port("ingress-2"));
            assert_eq!(other.send(&Request::get("/.tidegate")).header("cache-control"), Some("no-store"));
        }
    }
}

/// What comes back for these bytes until the connection is closed.
fn raw(port: u16, bytes: &[u8]) -> String {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
    stream.write_all(bytes).unwrap();
    let mut response = Vec::new();
    stream.read_to_end(&mut response).unwrap();
    String::from_utf8_lossy(&response).into_owned()
}

/// How many users come.
const USERS: u64 = 1_000;

#[test]
fn the_page_says_what_is_so() {
    let inspect = json!({"header": KEY, "equals": WORD, "page": true});
    let envoy = Scene::new(config(&inspect)).concurrency(2).faults().start();
    let mut client = envoy.client();
    let mut on_v2 = 0;
    let canary = "canary-identity-4711";
    for user in 0..USERS {
        let response = client.send(&api(&format!("{canary}-{user}")));
        on_v2 += u64::from(response.upstream().header("x-flag-checkout") == Some("v2"));
    }
    let seen = until(&envoy, &mut client, "all that was decided", |data| decided(flag(data, "checkout")) >= USERS);
    assert_eq!((&seen["revision"], &seen["state"]), (&json!("page-1"), &json!("active")));
    let checkout = flag(&seen, "checkout");
    assert_eq!(decided(checkout), USERS, "the page itself is not counted: {checkout}");
    let variant = |name: &str| checkout["variants"].as_array().unwrap().iter().find(|one| one["name"] == name).unwrap();
    assert_eq!((&variant("v2")["decided"], &variant("v2")["answers"]["2xx"]), (&json!(on_v2), &json!(on_v2)));
    assert_eq!((&checkout["baseline"], &checkout["exposure"]), (&json!("v1"), &json!(500_000)));
    assert_eq!(checkout["standing"]["phase"], "running");
    assert_eq!(
        checkout["rules"][0],
        json!({"condition": true, "share": 1_000_000, "serves": ["v2"], "steps": [], "taken": 0})
    );
    let guard = &checkout["comparisons"][0];
    let requests = guard["arm"]["requests"].as_u64().unwrap() + guard["baseline"]["requests"].as_u64().unwrap();
    assert!((1..=USERS).contains(&requests), "{guard}");
    let ramp = &flag(&seen, "new-nav")["rules"][0];
    assert_eq!((&ramp["share"], &ramp["taken"]), (&json!(300_000), &json!(2)), "{ramp}");

    // The other half fails: what the guard does is seen.
    for round in 0..40 {
        for user in 0..100 {
            let request = api(&format!("{canary}-{round}-{user}"));
            let on_v2 = client.send(&request).upstream().header("x-flag-checkout") == Some("v2");
            if on_v2 {
                client.send(&request.header("x-fail", "1"));
            }
        }
        let data = data(&client.send(&asked("/.tidegate.json")));
        if flag(&data, "checkout")["standing"]["phase"] == "rolled_back" {
            break;
        }
    }
    let seen = until(&envoy, &mut client, "the rollback", |data| {
        flag(data, "checkout")["standing"]["phase"] == "rolled_back" && data["events"][0].is_object()
    });
    let checkout = flag(&seen, "checkout");
    assert_eq!(checkout["exposure"], 0);
    assert!(checkout["standing"]["since"].as_i64().unwrap() <= seen["now"].as_i64().unwrap());
    let event = seen["events"].as_array().unwrap().last().unwrap();
    let text = event["text"].as_str().unwrap();
    assert!(text.contains("flag=checkout") && text.contains("to=rolled_back"), "{text}");
    assert!(envoy.log().contains(text), "the log says the same");

    for path in PAGES {
        let response = client.send(&asked(path).header("x-user-id", canary));
        assert!(!response.text().contains(canary), "{path}: {}", response.text());
    }
}

#[test]
fn who_asks_is_told_what_is_decided_for_them() {
    let envoy = Scene::new(config(&json!({"header": KEY, "equals": WORD, "page": true}))).start();
    let mut client = envoy.client();
    let explain = "/.tidegate/explain?path=%2Fapi%2Fpay%3Fx%3D1&host=Shop.example:80&method=POST";
    for user in ["ana", "tom", "kim"] {
        let seen = data(&client.send(&asked(explain).header("x-user-id", user)));
        let flags = seen["flags"].as_array().unwrap();
        let real = client.send(&api(user).header(KEY, WORD));
        for flag in flags {
            let header = format!("x-flag-{}", flag["key"].as_str().unwrap());
            assert_eq!(real.upstream().header(&header), flag["value"].as_str(), "{user} {flag}");
            assert_eq!(seen["upstream"][&header], flag["value"], "{user}");
        }
        assert_eq!(flags.len(), 2, "{seen}");
        assert_eq!(flags[0]["rules"][0], json!({"rule": 1, "verdict": "not met", "share": null}));
        assert!(!seen.to_string().contains(user), "{seen}");
    }
    let seen = data(&client.send(&asked(explain).header("x-employee", "true")));
    assert_eq!(seen["flags"][0]["reason"], "targeting_match");
    assert_eq!(seen["flags"][0]["rules"][0], json!({"rule": 1, "verdict": "taken", "share": 1_000_000}));
    // Without a path of its own it is asked about this one, which the flag does not match.
    let seen = data(&client.send(&asked("/.tidegate/explain")));
    assert_eq!(seen["flags"].as_array().unwrap().len(), 1, "{seen}");
    assert_eq!(seen["flags"][0]["rules"][0]["verdict"], "no identity");
}
