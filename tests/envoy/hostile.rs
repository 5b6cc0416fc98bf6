//! Sends what no client should: thousands of hostile requests, over HTTP/1.1 and HTTP/2, through a real Envoy.
//!
//! Two Envoys get each request: one with the filter, under a config that looks at everything, and the same one
//! without it. What must hold: no trap; the same status from both; behind the filter the request that the engine makes,
//! natively, of the one that arrived behind the other; and a well-behaved request after it is served as ever.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::manual_assert,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that cannot go on stops, with a message"
)]

#[allow(unreachable_pub, missing_debug_implementations, reason = "a part of this test")]
#[allow(clippy::format_collect, clippy::too_many_lines, clippy::type_complexity, reason = "a table is data")]
mod table;
#[allow(unreachable_pub, reason = "a part of this test")]
mod values;

use std::collections::{BTreeMap, BTreeSet};

use kit::case::CLAIMS_LUA;
use kit::encoding;
use kit::envoy::{Door as Way, Envoy, module};
use kit::h2;
use kit::http::{Client, Request as HttpRequest, Response};
use kit::scene::Scene;
use serde_json::{Value, json};
use table::{Case, Claims, OWNED, Wire};
use tidegate_engine::decide::decide;
use tidegate_engine::decide::standing::Standing;
use tidegate_engine::output::effect::{INSPECTION, OnResponse, on_request, rewritten};
use tidegate_engine::plan::{Plan, Property};
use tidegate_engine::request::Request;
use tidegate_engine::value::time::Timestamp;

type Fields = Vec<(String, Vec<u8>)>;

/// A config that looks at everything a client can send.
fn config() -> String {
    let when = |condition: Value| json!({"rules": [{"when": condition, "serve": "on"}]});
    let drawn = |source: Value| json!({"identity": [source], "rules": [{"percent": 50, "serve": "on"}]});
    let mut flags = json!({
        "checkout": {
            "route": {"header": "x-upstream-version"}, "baseline": "v1",
            "variants": ["v1", {"name": "v2", "headers": {"x-canary": "1", "X-Pool": "blue"}}],
            "rules": [{"percent": 50, "serve": "v2"}],
        },
        "other": {
            "route": {"header": "x-tidegate-route"}, "match": {"hosts": ["*.shop.example"], "paths": ["/shop"], "methods": ["GET", "POST"]},
            "rules": [{"percent": 50, "serve": "on"}],
        },
        "never": {"rules": [{"percent": 0, "serve": "on"}]},
        "since": {"rules": [{"steps": [{"at": "2020-01-01T00:00:00Z", "percent": 100}], "serve": "on"}]},
        "cookie": when(json!({"cookie": "beta", "equals": "1"})),
        "query": when(json!({"query": "q", "exists": true})),
        "claim": when(json!({"claim": "plan", "startsWith": "a"})),
        "tier": when(json!({"unverifiedClaim": "tier", "number": ">= 3"})),
        "host": when(json!({"host": {"endsWith": ".example"}})),
        "path": when(json!({"path": {"glob": "/s*p/*z"}})),
        "method": when(json!({"method": {"in": ["POST", "PUT"]}})),
        "address": when(json!({"address": {"cidr": "127.0.0.0/8"}})),
        "proxy": when(json!({"proxy": "proxy-1"})),
        "peer": when(json!({"peer": {"exists": true}})),
        "identity": when(json!({"identity": {"contains": "a"}})),
        "v-equals": when(json!({"header": "x-v", "equals": 5})),
        "v-glob": when(json!({"header": "x-v", "glob": "a*m*?z"})),
        "v-stars": when(json!({"header": "x-v", "glob": "*9*9*9*9*8"})),
        "v-number": when(json!({"header": "x-v", "number": "<= 5"})),
        "v-semver": when(json!({"header": "x-v", "semver": "^1.2"})),
        "v-cidr": when(json!({"header": "x-v", "cidr": ["10.0.0.0/8", "::/16"]})),
        "v-contains": when(json!({"not": {"header": "x-v", "contains": "mm"}})),
        "by-header": drawn(json!({"header": "x-user-id"})),
        "by-cookie": drawn(json!({"cookie": "uid"})),
        "by-query": drawn(json!({"query": "uid"})),
        "by-claim": drawn(json!({"claim": "sub"})),
        "by-token": drawn(json!({"unverifiedClaim": "sub"})),
        "by-address": drawn(json!({"address": true})),
    });
    for device in ["mobile", "tablet", "desktop", "bot"] {
        flags[device] = when(json!({"device": device}));
    }
    json!({
        "version": 1, "revision": "hostile", "dictionary": true, "inspect": {"header": "x-tidegate-inspect", "equals": "let me see"},
        "identity": [
            {"header": "x-user-id"}, {"cookie": "uid"}, {"query": "uid"}, {"claim": "sub"}, {"unverifiedClaim": "sub"},
            {"generate": {"cookie": "tg_id", "maxAge": "30d"}},
        ],
        "flags": flags,
    })
    .to_string()
}

/// Lets everything in that Envoy's codecs let in: long headers, many headers, request ids.
fn wide_open(bootstrap: &mut Value) {
    for listener in bootstrap["static_resources"]["listeners"].as_array_mut().unwrap() {
        let manager = &mut listener["filter_chains"][0]["filters"][0]["typed_config"];
        manager["max_request_headers_kb"] = json!(1024);
        manager["common_http_protocol_options"] = json!({"max_headers_count": 4000});
        manager["preserve_external_request_id"] = json!(true);
        // Envoy waits that long before it closes a connection on which nothing is to be understood.
        manager["delayed_close_timeout"] = json!("0.010s");
    }
}

fn open(scene: Scene) -> Envoy {
    scene.failure_policy("FAIL_RELOAD").concurrency(2).edit(wide_open).start()
}

// === what came of a request ===

/// What a client saw.
#[derive(Clone, Debug, PartialEq)]
enum Outcome {
    Answer(u16, Fields, Vec<u8>),
    /// No answer: the stream or the connection was ended.
    None(String),
}

impl Outcome {
    fn status(&self) -> Option<u16> {
        if let Self::Answer(status, ..) = self { Some(*status) } else { None }
    }

    /// The request as the upstream got it, and the version that did.
    fn upstream(&self) -> Option<(String, Fields)> {
        let Self::Answer(status, _, body) = self else { return None };
        let echo: Value = serde_json::from_slice(body).ok()?;
        echo.get("version")?;
        let response = Response { status: *status, headers: Vec::new(), body: body.clone() };
        let upstream = response.upstream();
        Some((upstream.version, upstream.headers))
    }
}

/// The connections of one Envoy.
struct Door {
    port: u16,
    one: Client,
    two: h2::Client,
}

impl Door {
    fn of(envoy: &Envoy) -> Self {
        let port = envoy.port("ingress");
        Self { port, one: Client::new(port), two: h2::Client::new(port) }
    }

    fn send(&mut self, wire: &Wire, name: &str) -> Outcome {
        match wire {
            Wire::One(bytes) => match self.one.raw(bytes) {
                Ok(response) => {
                    if response.status != 200 {
                        // What was not read as a request must not be read as the next one's beginning.
                        self.one = Client::new(self.port);
                    }
                    Outcome::Answer(response.status, response.headers, response.body)
                }
                Err(error) => {
                    assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "{name}: no answer in time");
                    self.one = Client::new(self.port);
                    Outcome::None(error.kind().to_string())
                }
            },
            Wire::Two(fields) => match self.two.send(fields).unwrap_or_else(|error| panic!("{name}: {error}")) {
                h2::Answer::Whole(status, body) => Outcome::Answer(status, Vec::new(), body),
                other => Outcome::None(format!("{other:?}")),
            },
        }
    }
}

// === what should come of it ===

/// What the engine makes of a request in this process.
struct Expected {
    version: String,
    upstream: Fields,
    carried: Fields,
}

fn natively(plan: &Plan, headers: &Fields, claims: &Claims) -> Expected {
    let properties = plan.inputs().properties().map(|property| match property {
        Property::Claim(path) => {
            let claim = claims.iter().find(|(name, _)| *name == &*path.0[0]);
            // The Lua that plays the filter in front ends a text at a zero byte.
            let text = claim.map(|(_, value)| value.split(|byte| *byte == 0).next().unwrap_or_default().to_vec());
            // Bytes of wasm may be a number or a boolean; the JSON of a library says which it is.
            text.map(|text| if Way::default() == Way::Wasm { encoding::claim(text) } else { text })
        }
        Property::Peer => None,
        Property::Address => Some(b"127.0.0.1".to_vec()),
        Property::Proxy => Some(b"proxy-1".to_vec()),
    });
    let seen = headers.iter().map(|(name, value)| (name.as_bytes(), value.as_slice()));
    let request = Request::new(plan.inputs(), seen.clone(), properties);
    let decisions = decide(plan, &request, &Standing::NONE, Timestamp::parse("2026-01-01T00:00:00Z").unwrap());
    let effects = on_request(plan, &request, &decisions);
    let owned = |(name, value): (&[u8], &[u8])| (String::from_utf8(name.to_vec()).unwrap(), value.to_vec());
    let upstream = rewritten(seen, &effects).into_iter().map(owned).collect();
    let route = effects
        .iter()
        .filter_map(tidegate_engine::output::effect::Effect::written)
        .find(|(name, _)| *name == "x-upstream-version");
    let carry = OnResponse::new(plan, &request, &decisions);
    let mut carried = Vec::new();
    carried.extend(carry.for_caches(|_| None).map(|(name, value, _)| (name.to_owned(), value.into_owned())));
    carried.extend(carry.cookie.map(|cookie| ("set-cookie".to_owned(), cookie.into_bytes())));
    carried.extend(carry.inspection.map(|text| (INSPECTION.to_owned(), text.into_bytes())));
    Expected {
        version: route.map_or_else(|| "v1".into(), |(_, value)| String::from_utf8_lossy(value).into_owned()),
        upstream,
        carried,
    }
}

/// Headers without an order among different names, so that two lists can be compared.
fn sorted(fields: &[(String, Vec<u8>)], without: &[&str]) -> Vec<(String, String)> {
    let kept = fields.iter().filter(|(name, _)| !without.contains(&&**name));
    let mut kept: Vec<_> = kept.map(|(name, value)| (name.clone(), value.escape_ascii().to_string())).collect();
    kept.sort_by(|a, b| a.0.cmp(&b.0));
    kept
}

/// Says what differs, and not all of it.
#[track_caller]
fn same(seen: &[(String, String)], expected: &[(String, String)], name: &str) {
    if seen == expected {
        return;
    }
    let short = |list: Vec<&(String, String)>| {
        list.into_iter().map(|(name, value)| format!("{name:.80}: {value:.200}")).take(10).collect::<Vec<_>>()
    };
    let only = |a: &[(String, String)], b: &[(String, String)]| {
        short(a.iter().filter(|field| !b.contains(field)).cloned().collect::<Vec<_>>().iter().collect())
    };
    panic!("{name}: came and should not: {:#?}; should and did not: {:#?}", only(seen, expected), only(expected, seen));
}

/// Headers of a response that are not the same twice.
const FLEETING: [&str; 4] = ["date", "x-envoy-upstream-service-time", "content-length", "server"];

/// Holds what the filter made of a request against what became of it without the filter.
fn check(case: &Case, plan: &Plan, bare: &Outcome, seen: &Outcome) -> bool {
    let name = &case.name;
    if bare.status() != seen.status() {
        panic!(
            "{name}: {:?} with the filter, and without it {:?}: {:.300?} and {:.300?}",
            seen.status(),
            bare.status(),
            seen,
            bare
        );
    }
    let (Some((_, mut arrived)), Some((version, upstream))) = (bare.upstream(), seen.upstream()) else {
        match (bare, seen) {
            (Outcome::Answer(_, bare, body), Outcome::Answer(_, seen, seen_body)) => {
                // An answer of Envoy's own may carry a cookie, what caches need, and an inspection.
                let ours = [&FLEETING[..], &["set-cookie", "cache-control", "vary", INSPECTION]].concat();
                same(&sorted(seen, &ours), &sorted(bare, &ours), name);
                assert!(bare.iter().all(|(name, _)| name != "set-cookie" && name != INSPECTION), "{name}");
                assert!(
                    body == seen_body || matches!(case.wire, Wire::One(ref bytes) if bytes.starts_with(b"HEAD")),
                    "{name}"
                );
            }
            _ => assert_eq!(bare, seen, "{name}"),
        }
        return false;
    };
    // A request that came without an id gets one of each Envoy's own.
    let id = upstream.iter().find(|(name, _)| name == "x-request-id").expect("Envoy gives each request an id");
    for field in arrived.iter_mut().filter(|(name, _)| name == "x-request-id") {
        *field = id.clone();
    }
    // A library is told all claims as one JSON text, in which Envoy replaces bytes that are none of UTF-8. A token that
    // was verified has none.
    if Way::default() == Way::Native && case.claims.iter().any(|(_, value)| std::str::from_utf8(value).is_err()) {
        return true;
    }
    let mut expected = natively(plan, &arrived, &case.claims);
    // The blanks around a value come through HTTP/2, and are lost on the way to the upstream.
    for (_, value) in &mut expected.upstream {
        *value = value.trim_ascii().to_vec();
    }
    same(&sorted(&upstream, &[]), &sorted(&expected.upstream, &[]), name);
    assert_eq!(version, expected.version, "{name}");
    for owned in OWNED {
        for (name, value) in &upstream {
            let twin = name.replace('_', "-");
            assert!(twin != owned || !value.starts_with(b"forged"), "{}: {name} is forged", case.name);
        }
    }
    if let (Wire::One(_), Outcome::Answer(_, bare, _), Outcome::Answer(_, seen, _)) = (&case.wire, bare, seen) {
        let expected: Fields = bare.iter().chain(&expected.carried).cloned().collect();
        same(&sorted(seen, &FLEETING), &sorted(&expected, &FLEETING), name);
    }
    true
}

/// How many VMs there are: none, where the filter is a library.
fn vms(envoy: &Envoy) -> Option<u64> {
    let created = envoy.stat("wasm.envoy.wasm.runtime.v8.created");
    assert_eq!(created.is_some(), Way::default() == Way::Wasm);
    created
}

/// No VM has trapped, and none was made anew; and no call into the library has panicked.
fn no_trap(envoy: &Envoy, created: Option<u64>) {
    for (name, value) in envoy.stats("wasm.").into_iter().filter(|(name, _)| name.contains("reload")) {
        assert_eq!(value, 0, "{name}");
    }
    assert_eq!(envoy.stat("wasm.envoy.wasm.runtime.v8.created"), created);
    let log = envoy.log();
    for sign in ["panicked", "Function: ", "proxy_on_", "wasm log", "Uncaught", "an error in the module"] {
        let line = log.lines().find(|line| line.contains(sign) && !line.contains("config: "));
        assert_eq!(line, None, "{sign}");
    }
}

/// A request that nothing is wrong with, over a connection that has seen none of the hostile ones.
fn well_served(clients: &mut [Client], plan: &Plan) {
    for (n, client) in clients.iter_mut().enumerate() {
        let request =
            HttpRequest::get("/shop/x").header("x-user-id", format!("user-{n}")).header("x-flag-checkout", "forged");
        let response = client.send(&request);
        assert_eq!(response.status, 200, "{}", response.text());
        let upstream = response.upstream();
        let expected = natively(plan, &upstream.headers, &Vec::new());
        // What the filter wrote is what it writes: a second pass over its own output changes nothing.
        same(&sorted(&upstream.headers, &[]), &sorted(&expected.upstream, &[]), "a good request");
        assert_eq!(upstream.version, expected.version);
    }
}

#[test]
fn hostile_requests_are_served_as_without_the_filter() {
    let cases = table::cases();
    let mut names = BTreeSet::new();
    let twice: Vec<&str> = cases.iter().map(|case| &*case.name).filter(|name| !names.insert(*name)).collect();
    assert_eq!(twice, Vec::<&str>::new(), "names are given twice");
    let plan = Plan::from_bytes(config().as_bytes()).0.ready().expect("the config is good");
    let with = open(Scene::new(config()).lua(CLAIMS_LUA));
    let without = open(Scene::bare().lua(CLAIMS_LUA));
    let created = vms(&with);
    let (mut with_door, mut without_door) = (Door::of(&with), Door::of(&without));
    let mut good: Vec<Client> = (0..16).map(|_| with.client()).collect();
    well_served(&mut good, &plan);
    // These connections are spread over all workers, so that each is asked, now and at the end.
    for worker in 0..2 {
        let taken = with.stats(&format!("worker_{worker}.downstream_cx_total"));
        assert!(taken.iter().any(|(name, count)| name.contains("listener.127.0.0.1") && *count > 0), "{taken:?}");
    }
    let mut statuses: BTreeMap<Option<u16>, usize> = BTreeMap::new();
    let mut decided = 0;
    for (n, case) in cases.iter().enumerate() {
        let bare = without_door.send(&case.wire, &case.name);
        let seen = with_door.send(&case.wire, &case.name);
        decided += usize::from(check(case, &plan, &bare, &seen));
        *statuses.entry(seen.status()).or_default() += 1;
        if n % 100 == 0 {
            let at = n / 100 % good.len();
            well_served(&mut good[at..=at], &plan);
        }
    }
    well_served(&mut good, &plan);
    no_trap(&with, created);
    let two = cases.iter().filter(|case| matches!(case.wire, Wire::Two(_))).count();
    println!(
        "{} hostile requests, {two} of them over HTTP/2; {decided} reached the upstream; statuses {statuses:?}",
        cases.len()
    );
    assert!(cases.len() > 10_000 && two > 4_000, "{} cases have gone missing", cases.len());
    assert!(decided > 8_000, "{decided}");
}

/// Forbids a call without which no request can be read.
fn forbid_a_call(bootstrap: &mut Value) {
    const FORBIDDEN: &str = "proxy_get_header_map_pairs";
    wide_open(bootstrap);
    let manager = &mut bootstrap["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"];
    let plugin = &mut manager["http_filters"][0]["typed_config"]["config"];
    let code = wasmi::Module::new(&wasmi::Engine::default(), std::fs::read(module()).unwrap()).unwrap();
    let names = code
        .imports()
        .map(|import| import.name().to_owned())
        .chain(code.exports().map(|export| export.name().to_owned()));
    let allowed: BTreeMap<String, Value> =
        names.filter(|name| name != FORBIDDEN).map(|name| (name, json!({}))).collect();
    plugin["capability_restriction_config"] = json!({"allowed_capabilities": allowed});
}

#[test]
fn a_call_that_is_forbidden_stops_no_request() {
    if Way::default() == Way::Native {
        // A library cannot be forbidden a call.
        return;
    }
    let envoy = Scene::inline(&config()).failure_policy("FAIL_RELOAD").edit(forbid_a_call).start();
    let created = vms(&envoy);
    assert_eq!(envoy.client().send(&HttpRequest::get("/")).status, 200);
    no_trap(&envoy, created);
}

/// A module that traps on each request.
const TRAPS: &str = r#"(module
  (memory (export "memory") 1)
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "malloc") (param i32) (result i32) (i32.const 1024))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) unreachable))"#;

#[test]
fn a_trap_would_be_seen() {
    if Way::default() == Way::Native {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let module = folder.path().join("traps.wasm");
    std::fs::write(&module, wat::parse_str(TRAPS).unwrap()).unwrap();
    let envoy = Scene::inline(&config()).module(module).failure_policy("FAIL_RELOAD").edit(wide_open).start();
    let created = vms(&envoy);
    no_trap(&envoy, created);
    assert_eq!(envoy.client().send(&HttpRequest::get("/")).status, 503);
    let seen = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| no_trap(&envoy, created)));
    assert!(seen.is_err(), "a trap is not seen");
}

#[test]
fn answers_to_requests_that_never_reached_the_filter_leave_it_whole() {
    let stops = r#"function envoy_on_request(handle)
      local stop = handle:headers():get("x-stop")
      if stop ~= nil then handle:respond({[":status"] = stop}, "stopped") end
    end"#;
    let plan = Plan::from_bytes(config().as_bytes()).0.ready().expect("the config is good");
    let envoy = open(Scene::new(config()).lua(stops));
    let created = vms(&envoy);
    let mut clients: Vec<Client> = (0..8).map(|_| envoy.client()).collect();
    for status in ["200", "301", "400", "401", "403", "429", "500", "503"] {
        for client in &mut clients {
            let response =
                client.send(&HttpRequest::get("/").header("x-stop", status).header("x-tidegate-inspect", "let me see"));
            assert_eq!(response.status.to_string(), status);
            assert!(
                response.all("set-cookie").is_empty() && response.all(INSPECTION).is_empty(),
                "{:?}",
                response.headers
            );
        }
    }
    // Clients that leave at every point of a request.
    let whole = b"GET /shop/x HTTP/1.1\r\nhost: shop.example\r\nx-user-id: ana\r\nx-flag-checkout: v2\r\n\r\n";
    for length in 0..=whole.len() {
        use std::io::Write as _;
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", envoy.port("ingress"))).unwrap();
        stream.write_all(&whole[..length]).unwrap();
    }
    well_served(&mut clients, &plan);
    no_trap(&envoy, created);
}

#[test]
fn more_headers_than_a_host_takes_at_once_are_kept() {
    // A host's limit for a whole map that a module writes: 1,024 headers, and 1 MiB.
    let flags: BTreeMap<String, Value> = (0..600)
        .map(|n| {
            let headers = json!({format!("x-extra-{n}"): "1"});
            (format!("f{n}"), json!({"variants": [{"name": "on", "headers": headers}, "off"], "baseline": "off", "rules": [{"serve": "on"}]}))
        })
        .collect();
    let config = json!({"version": 1, "flags": flags}).to_string();
    let (plan, problems) = Plan::from_bytes(config.as_bytes());
    let plan = plan.ready().unwrap_or_else(|| panic!("{problems}"));
    let envoy = open(Scene::new(config));
    let sent = HttpRequest::get("/shop/x").header("x-mine", "stays");
    let response = envoy.client().send(&sent);
    assert_eq!(response.status, 200, "{}", response.text());
    let upstream = response.upstream().headers;
    let expected = natively(&plan, &upstream, &Vec::new());
    same(&sorted(&upstream, &[]), &sorted(&expected.upstream, &[]), "many written");
    assert_eq!(
        upstream.iter().filter(|(name, _)| name.starts_with("x-extra-") || name.starts_with("x-flag-f")).count(),
        1_200
    );

    let few =
        json!({"version": 1, "flags": {"a": {"rules": [{"serve": "on"}]}, "b": {}, "c": {}, "d": {}}}).to_string();
    let envoy = open(Scene::new(few));
    for (count, length) in [(1_000, 1), (1_030, 1), (3_000, 1), (16, 60_000)] {
        let request = (0..count)
            .fold(HttpRequest::get("/shop/x"), |request, n| request.header(format!("x-h-{n}"), vec![b'h'; length]));
        let response = envoy.client().send(&request.header("x-flag-a", "forged"));
        assert_eq!(response.status, 200, "{count} headers of {length}: {}", response.text());
        let upstream = response.upstream();
        assert_eq!(upstream.headers.iter().filter(|(name, _)| name.starts_with("x-h-")).count(), count);
        assert_eq!(upstream.header("x-flag-a"), Some("on"), "{count} headers of {length}");
    }
}

#[test]
fn no_forgery_comes_through_among_more_headers_than_a_host_gives_at_once() {
    let flags = json!({
        "a": {"rules": [{"serve": "on"}]},
        "a-b": {"match": {"paths": ["/elsewhere"]}, "rules": [{"serve": "on"}]},
        "c": {"route": {"header": "x-upstream-version"}, "variants": ["v1", "v2"], "baseline": "v1", "match": {"paths": ["/elsewhere"]}},
    });
    let configs = [json!({"version": 1, "flags": flags, "dictionary": true}).to_string(), "broken".to_owned()];
    let forged = ["x-flag-a", "x_flag_a", "x-flag_a", "x-flag-a-b", "X_FLAG_A_B", "x-flags", "x-upstream-version"];
    for config in configs {
        let envoy = open(Scene::inline(&config));
        for (count, length) in [(10, 1), (1_030, 1), (3_000, 1), (16, 60_000)] {
            let request = (0..count)
                .fold(HttpRequest::get("/"), |request, n| request.header(format!("x-h-{n}"), vec![b'h'; length]));
            let request = forged.iter().fold(request, |request, name| request.header(name, "forged"));
            let response = envoy.client().send(&request);
            assert_eq!(response.status, 200, "{count} headers of {length}: {}", response.text());
            let upstream = response.upstream();
            let left: Vec<_> = upstream.headers.iter().filter(|(_, value)| value == b"forged").collect();
            let due = if config == "broken" { vec!["x-upstream-version"] } else { vec![] };
            assert!(
                left.iter().all(|(name, _)| due.contains(&name.as_str())),
                "{config}: {count} headers of {length}: {left:?}"
            );
        }
    }
}
