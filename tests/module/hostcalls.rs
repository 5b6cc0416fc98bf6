//! Breaks every host call of the built module in every way, in every callback, and reads what panics are left in it.
//!
//! Whatever a call answers, the filter goes on, and the request with it: as it came, or without what a client may not
//! send.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that cannot go on stops, with a message"
)]

#[allow(unreachable_pub, missing_debug_implementations, reason = "a part of this test")]
mod panics;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use kit::envoy::{module, repository};
use kit::host::{Action, Exchange, Headers, Host, Module, Outcome, Shared, Trap};
use serde_json::json;
use wasmi::{Engine, ExternType, Linker, Store, Val};

/// All statuses of the ABI; the SDK has no name for 5, 6, 9, 11 and 12.
const STATUSES: std::ops::RangeInclusive<u32> = 0..=12;

/// The calls that the module makes; beside them it asks for a trailer of a response, which this host does not play.
const CALLS: [&str; 17] = [
    "proxy_add_header_map_value",
    "proxy_call_foreign_function",
    "proxy_define_metric",
    "proxy_get_buffer_bytes",
    "proxy_get_current_time_nanoseconds",
    "proxy_get_header_map_pairs",
    "proxy_get_property",
    "proxy_get_shared_data",
    "proxy_increment_metric",
    "proxy_log",
    "proxy_record_metric",
    "proxy_remove_header_map_value",
    "proxy_replace_header_map_value",
    "proxy_send_local_response",
    "proxy_set_property",
    "proxy_set_shared_data",
    "proxy_set_tick_period_milliseconds",
];

// === the callbacks ===

const GOOD: &str = r#"{"version": 1, "revision": "good", "flags": {"checkout": {"rules": [{"serve": "on"}]}}}"#;
const BAD: &str = r#"{"version": 1, "flags": {"checkout": {"rules": [{"serve": "nothing"}]}}}"#;

const GUARDED: &str = r#"{"version": 1, "identity": [{"header": "x-user"}], "flags": {"drawn": {"rules": [{"percent": 50, "serve": "on"}], "guard": {"errors": {"max": 5}}}}}"#;
const REPLY: &str = r#"{"version": 1, "flags": {"export": {"variants": [{"name": "off", "reply": {"status": 503, "body": "paused"}}], "baseline": "off"}}}"#;

/// A config that makes every call that a request can cause; with `flags` it has that many more to write.
fn everything(flags: usize) -> String {
    let more = (0..flags).map(|n| (format!("more-{n}"), json!({"rules": [{"serve": "on"}]})));
    let mut all: serde_json::Map<String, serde_json::Value> = more.collect();
    all.insert("checkout".into(), json!({
        "route": {"header": "x-upstream-version"}, "variants": ["v1", "v2"], "baseline": "v1",
        "rules": [
            {"when": {"any": [{"claim": "plan", "equals": "x"}, {"address": "x"}, {"peer": "x"}, {"proxy": "x"}, {"unverifiedClaim": "s", "equals": "x"}]}, "serve": "v1"},
            {"steps": [{"at": "2020-01-01T00:00:00Z", "percent": 100}], "serve": "v2"},
        ],
    }));
    all.get_mut("checkout").unwrap()["variants"] =
        json!(["v1", {"name": "v2", "limit": {"requests": "1/s", "inFlight": 1}}]);
    all.get_mut("checkout").unwrap()["rescue"] = "10s".into();
    all.insert("drawn".into(), json!({"rules": [{"percent": 50, "serve": "on"}], "guard": {"errors": {"max": 5}}}));
    json!({
        "version": 1, "revision": "everything", "unheard-of": 1, "inspect": {"header": "x-look"},
        "telemetry": {"accessLog": true, "spans": true, "baggage": true},
        "identity": [{"header": "x-user"}, {"generate": {"cookie": "tg_id", "maxAge": "30d"}}],
        "flags": all,
    })
    .to_string()
}

/// A request under the rule that everything is in it: forged headers, no identity, the wish to inspect.
fn visit() -> Exchange {
    Exchange::get("/shop?x=1")
        .header("x-request-id", "4bf92f35-77b3-4da6-a3ce-929d0e0e4736")
        .header("x-look", "1")
        .header("x-mine", b"\xff stays")
        .header("x-mine", "twice")
        .header("x-flag-checkout", "forged")
        .header("x_flag_checkout", "forged")
        .header("x-upstream-version", "forged")
        .header("baggage", b"a=\xff")
        .header("baggage", "tidegate.checkout=forged")
        .property(&["source", "address"], "10.0.0.1:4711")
        .response_header("x-theirs", "stays")
        .response_header("set-cookie", "theirs=1")
}

/// The same with trailers, forged ones among them.
fn trailing() -> Exchange {
    let forged = ["x-flag-checkout", "x_flag_drawn", "x-upstream-version", "baggage"];
    forged.into_iter().fold(visit().trailer("x-sum", "stays"), |visit, name| visit.trailer(name, "forged"))
}

fn host(module: &Module) -> Host {
    named(Host::new(module).unwrap())
}

fn named(mut host: Host) -> Host {
    host.set_property(&["plugin_name"], "tidegate");
    host.set_property(&["xds", "node", "id"], "proxy-1");
    host
}

fn with(module: &Module, configs: &[&str]) -> Host {
    let mut host = host(module);
    for config in configs {
        host.configure("tidegate", config.as_bytes()).unwrap();
    }
    host
}

type Prepare = fn(&Module) -> Host;
type Run = fn(&mut Host) -> Result<Vec<Outcome>, Trap>;

fn one(host: &mut Host, exchange: &Exchange) -> Result<Vec<Outcome>, Trap> {
    host.request(exchange).map(|outcome| vec![outcome])
}

fn configured(host: &mut Host, config: &str) -> Result<Vec<Outcome>, Trap> {
    host.configure("tidegate", config.as_bytes()).map(|_| Vec::new())
}

/// A version that fails, the moment before it is taken back.
fn failing(module: &Module) -> Host {
    let mut host = with(module, &[GUARDED]);
    // The first tick begins the ledger.
    host.tick_all().unwrap();
    for user in 0..100 {
        let exchange = Exchange::get("/").header("x-user", format!("user-{user}"));
        let on = host.request(&exchange).unwrap().request.text("x-flag-drawn") == Some("on");
        host.request(&exchange.answered(if on { 500 } else { 200 })).unwrap();
    }
    host.advance_millis(300);
    host
}

#[test]
fn a_failing_version_is_taken_back_on_the_tick() {
    let mut host = failing(&Module::load(module()).unwrap());
    let standing = |host: &Host| host.shared().gauge("tidegate.guard.flag=.=drawn;.;standing");
    assert_eq!(standing(&host), Some(0));
    host.tick_all().unwrap();
    assert_eq!(standing(&host), Some(3));
    let lines: Vec<&String> =
        host.logs().iter().map(|(_, line)| line).filter(|line| line.starts_with("guard:")).collect();
    assert!(lines.len() == 1 && lines[0].contains("from=running to=rolled_back"), "{lines:?}");
}

/// What is done before the faults begin, and what under them.
const SCENES: [(&str, Prepare, Run); 26] = [
    ("a first config, good", host, |host| configured(host, GOOD)),
    ("a first config, bad", host, |host| configured(host, BAD)),
    ("a first config, empty", host, |host| configured(host, "")),
    ("a config with warnings", host, |host| configured(host, &everything(2))),
    ("a good config after a good one", |m| with(m, &[GOOD]), |host| configured(host, &everything(0))),
    ("a bad config after a good one", |m| with(m, &[GOOD]), |host| configured(host, BAD)),
    ("a good config after a bad one", |m| with(m, &[BAD]), |host| configured(host, GOOD)),
    ("a bad config after another", |m| with(m, &[BAD]), |host| configured(host, "{}")),
    ("a bad config that was accepted, after a good one", |m| with(m, &[BAD, GOOD]), |host| configured(host, BAD)),
    (
        "a VM beside another",
        |m| {
            let shared = Shared::default();
            for config in [BAD, GOOD] {
                named(Host::in_proxy(m, &shared).unwrap()).configure("tidegate", config.as_bytes()).unwrap();
            }
            named(Host::in_proxy(m, &shared).unwrap())
        },
        |host| configured(host, BAD),
    ),
    ("a request, inert", |m| with(m, &[BAD]), |host| one(host, &visit())),
    ("a request, inert, nothing forged", |m| with(m, &[BAD]), |host| one(host, &Exchange::get("/"))),
    ("a request, one flag", |m| with(m, &[GOOD]), |host| one(host, &Exchange::get("/"))),
    ("a request, everything", |m| with(m, &[&everything(0)]), |host| one(host, &visit())),
    ("a request, many flags", |m| with(m, &[&everything(40)]), |host| one(host, &visit())),
    ("a client that left", |m| with(m, &[&everything(3)]), |host| one(host, &visit().abandoned())),
    ("a request with a body", |m| with(m, &[&everything(3)]), |host| one(host, &visit().with_body())),
    ("a request with trailers", |m| with(m, &[&everything(3)]), |host| one(host, &trailing())),
    ("an answer of Envoy's own", |m| with(m, &[&everything(3)]), |host| one(host, &visit().answered(503))),
    (
        "a request that never came this far",
        |m| with(m, &[&everything(3)]),
        |host| one(host, &visit().stopped_before_filter().answered(403)),
    ),
    (
        "streams side by side",
        |m| with(m, &[&everything(1)]),
        |host| {
            let exchange = visit();
            let response = exchange.response.clone().unwrap();
            let streams = [host.open(&exchange)?, host.open(&exchange)?, host.open(&Exchange::get("/"))?];
            for stream in streams {
                host.request_headers(stream)?;
            }
            for stream in [streams[2], streams[0]] {
                host.response_headers(stream, &response)?;
            }
            host.log(streams[1])?;
            let mut outcomes = vec![host.close(streams[1])?];
            for stream in [streams[2], streams[0]] {
                host.log(stream)?;
                outcomes.push(host.close(stream)?);
            }
            Ok(outcomes)
        },
    ),
    (
        "a root that is replaced under its streams",
        |m| with(m, &[&everything(1)]),
        |host| {
            let exchange = visit();
            let response = exchange.response.clone().unwrap();
            let (early, late) = (host.open(&exchange)?, host.open(&exchange)?);
            host.request_headers(early)?;
            for config in [GOOD, BAD, &everything(2)] {
                host.configure("tidegate", config.as_bytes())?;
            }
            host.request_headers(late)?;
            let mut outcomes = Vec::new();
            for stream in [late, early] {
                host.response_headers(stream, &response)?;
                host.log(stream)?;
                outcomes.push(host.close(stream)?);
            }
            Ok(outcomes)
        },
    ),
    (
        "a tick with something to tell",
        |m| {
            let mut host = with(m, &[&everything(1)]);
            for _ in 0..3 {
                host.request(&visit().answered(500)).unwrap();
            }
            host.advance_millis(300);
            host
        },
        |host| host.tick_all().map(|()| Vec::new()),
    ),
    ("a tick on which a version is taken back", failing, |host| host.tick_all().map(|()| Vec::new())),
    (
        "an answer in the upstream's place",
        |m| with(m, &[REPLY]),
        |host| host.request(&Exchange::get("/")).map(|_| Vec::new()),
    ),
    (
        "a tick that nobody asked for",
        |m| with(m, &[GOOD]),
        |host| {
            let root = host.root().expect("a root");
            host.tick(root).map(|()| Vec::new())
        },
    ),
];

/// How often each call is made while a scene runs without a fault.
fn made(module: &Module, prepare: Prepare, run: Run) -> (BTreeMap<&'static str, u64>, Vec<Outcome>) {
    let mut host = prepare(module);
    let before = host.calls().clone();
    let outcomes = run(&mut host).unwrap_or_else(|trap| panic!("without a fault: {trap}"));
    let made = host.calls().iter().map(|(name, count)| (*name, count - before.get(name).copied().unwrap_or_default()));
    (made.filter(|(_, count)| *count > 0).collect(), outcomes)
}

/// The header's values.
fn values(headers: &Headers, name: &str) -> Vec<Vec<u8>> {
    headers.all(name).map(<[u8]>::to_vec).collect()
}

/// Holds a request under a fault against the one that was sent, and the one that goes on without a fault.
fn goes_on(outcome: &Outcome, healthy: &Outcome, exchange: &Headers, about: &str) {
    assert!(outcome.actions.iter().all(|action| *action == Action::Continue), "{about}: {:?}", outcome.actions);
    assert_eq!(outcome.reply, None, "{about}");
    let names: BTreeSet<&str> = exchange.iter().chain(outcome.request.iter()).map(|(name, _)| name).collect();
    for name in names {
        let (sent, seen, good) =
            (values(exchange, name), values(&outcome.request, name), values(&healthy.request, name));
        let ours = name.replace('_', "-").starts_with("x-flag") || ["x-upstream-version", "x-look"].contains(&name);
        if ours {
            // A flag that was decided otherwise, because a part of the request could not be read, is no fault.
            let decided = seen.len() == 1 && ["on", "off", "v1", "v2"].contains(&&*String::from_utf8_lossy(&seen[0]));
            // Envoy says that it has removed what was forged, and has not.
            let untrue = about.contains("proxy_remove_header_map_value answers 0");
            assert!(untrue || seen.is_empty() || seen == sent || seen == good || decided, "{about}: {name}: {seen:?}");
        } else if name == "baggage" {
            // What others put there stays; ours is of what was decided.
            let kept: &[u8] = if sent.is_empty() { b"tidegate." } else { b"a=\xff,tidegate." };
            // Where Envoy says that it has written it, and has not, it is gone.
            let lost = seen.is_empty() && about.contains("answers 0");
            assert!(lost || seen == sent || seen.len() == 1 && seen[0].starts_with(kept), "{about}: {seen:?}");
        } else {
            assert_eq!(seen, sent, "{about}: {name}");
        }
    }
    assert_eq!(values(&outcome.trailers, "x-sum"), values(&healthy.trailers, "x-sum"), "{about}");
    if let (Some(seen), Some(good)) = (&outcome.response, &healthy.response) {
        for name in [":status", "x-theirs"] {
            assert_eq!(values(seen, name), values(good, name), "{about}: {name}");
        }
        let cookies = values(seen, "set-cookie");
        assert_eq!(cookies.first(), values(good, "set-cookie").first(), "{about}: the upstream's own cookie");
        assert!(cookies.len() <= 2, "{about}: {cookies:?}");
    }
}

/// What remains when the fault has gone: a VM that serves.
fn still_serves(host: &mut Host, about: &str) {
    host.heal();
    assert!(host.configure("tidegate", GOOD.as_bytes()).unwrap_or_else(|trap| panic!("{about}: {trap}")), "{about}");
    let outcome = host.request(&Exchange::get("/")).unwrap_or_else(|trap| panic!("{about}: {trap}"));
    assert_eq!(outcome.request.text("x-flag-checkout"), Some("on"), "{about}");
}

/// Faults a call of a scene; whether it trapped.
fn faulted(
    module: &Module,
    scene: (&str, Prepare, Run),
    healthy: &[Outcome],
    call: &str,
    nth: Option<u64>,
    status: u32,
) {
    let (name, prepare, run) = scene;
    let about =
        format!("{name}: {call} answers {status}, {}", nth.map_or("always".to_owned(), |nth| format!("time {nth}")));
    let mut host = prepare(module);
    match nth {
        Some(nth) => host.fail_nth(call, nth, status),
        None => host.fail(call, status),
    }
    let sent: Vec<Headers> = match name {
        "streams side by side" => vec![visit().request, Exchange::get("/").request, visit().request],
        "a request, one flag" | "a request, inert, nothing forged" => vec![Exchange::get("/").request],
        _ => vec![visit().request; healthy.len()],
    };
    match run(&mut host) {
        Ok(outcomes) => {
            for ((outcome, healthy), sent) in outcomes.iter().zip(healthy).zip(&sent) {
                goes_on(outcome, healthy, sent, &about);
            }
            still_serves(&mut host, &about);
        }
        Err(trap) if host.dead().is_some() => panic!("{about}: {trap}"),
        // A config was refused under the fault, so that there was nobody to ask.
        Err(_) => {}
    }
}

#[test]
fn no_status_of_any_call_in_any_callback_traps() {
    let module = Module::load(module()).unwrap();
    let (mut runs, mut met) = (0, BTreeSet::new());
    for scene in SCENES {
        let (_, prepare, run) = scene;
        let (made, healthy) = made(&module, prepare, run);
        for (call, count) in &made {
            met.insert(*call);
            for status in STATUSES {
                // Of very many equal calls the first, the last and some between tell all.
                let nths = (1..=*count).filter(|nth| *nth <= 12 || *nth == *count || nth % 10 == 0).map(Some);
                for nth in nths.chain([None]) {
                    faulted(&module, scene, &healthy, call, nth, status);
                    runs += 1;
                }
            }
        }
    }
    assert_eq!(met, CALLS.into(), "calls that are made, and calls in the list");
    println!("{} scenes, {} calls, {runs} runs", SCENES.len(), met.len());
}

#[test]
fn of_trailers_only_those_of_the_filter_go() {
    let module = Module::load(module()).unwrap();
    for config in [&everything(3), GOOD, BAD] {
        let mut host = with(&module, &[config]);
        let outcome = host.request(&trailing()).unwrap();
        let kept: Vec<&str> = outcome.trailers.iter().map(|(name, _)| name).collect();
        let due: &[&str] = match config {
            BAD => &["x-sum", "x-upstream-version", "baggage"],
            GOOD => &["x-sum", "x_flag_drawn", "x-upstream-version", "baggage"],
            _ => &["x-sum"],
        };
        assert_eq!(kept, due, "{config}");
    }
}

// === callbacks in an order of no Envoy ===

/// A host in which every call answers with one status and does nothing else.
struct Stub {
    store: Store<(u32, u64)>,
    instance: wasmi::Instance,
}

impl Stub {
    fn new() -> Self {
        let engine = Engine::default();
        let code = wasmi::Module::new(&engine, fs::read(module()).unwrap()).unwrap();
        let mut linker: Linker<(u32, u64)> = Linker::new(&engine);
        for import in code.imports() {
            let ExternType::Func(signature) = import.ty() else { panic!("{import:?}") };
            let answer = |mut caller: wasmi::Caller<'_, (u32, u64)>, _: &[Val], results: &mut [Val]| {
                let (status, made) = caller.data_mut();
                *made += 1;
                results.fill(Val::I32(status.cast_signed()));
                Ok(())
            };
            linker.func_new(import.module(), import.name(), signature.clone(), answer).unwrap();
        }
        let mut store = Store::new(&engine, (0, 0));
        let instance = linker.instantiate_and_start(&mut store, &code).unwrap();
        Self { store, instance }
    }

    /// Calls an export if it is there, and says how many host calls it made.
    fn call(&mut self, name: &str, arguments: &[u32]) -> u64 {
        let before = self.store.data().1;
        let Some(export) = self.instance.get_func(&self.store, name) else { return 0 };
        let arguments: Vec<Val> = arguments.iter().map(|argument| Val::I32(argument.cast_signed())).collect();
        let mut results = vec![Val::I32(0); export.ty(&self.store).results().len()];
        export.call(&mut self.store, &arguments, &mut results).unwrap_or_else(|error| panic!("{name}: {error}"));
        self.store.data().1 - before
    }
}

#[test]
fn a_stream_whose_request_never_came_asks_the_host_for_nothing() {
    let orders: [&[&str]; 8] = [
        &["response_headers", "log", "done", "delete"],
        &["log", "done", "delete"],
        &["done", "delete"],
        &["delete"],
        &["done", "log", "delete"],
        &["response_headers", "response_headers", "log", "log", "done", "done", "delete"],
        &["response_body", "response_trailers", "log", "done", "delete"],
        &["request_body", "request_trailers", "response_headers", "delete"],
    ];
    let mut vm = Stub::new();
    vm.call("_initialize", &[]);
    let mut context = 0;
    // With no configuration to read, and one after the other: the plan is inert, and so is the filter.
    for order in orders {
        for status in STATUSES {
            vm.store.data_mut().0 = 0;
            let (root, stream) = (context + 1, context + 2);
            context += 2;
            vm.call("proxy_on_context_create", &[root, 0]);
            vm.call("proxy_on_vm_start", &[root, 0]);
            vm.call("proxy_on_configure", &[root, 0]);
            vm.store.data_mut().0 = status;
            assert_eq!(vm.call("proxy_on_context_create", &[stream, root]), 0);
            for callback in order {
                let arguments: &[u32] = match *callback {
                    "log" | "done" | "delete" => &[stream],
                    "response_trailers" | "request_trailers" => &[stream, 0],
                    _ => &[stream, 0, 1],
                };
                assert_eq!(
                    vm.call(&format!("proxy_on_{callback}"), arguments),
                    0,
                    "{order:?}: {callback} under {status}"
                );
            }
            assert_eq!(vm.call("proxy_on_delete", &[root]), 0);
        }
    }
}

#[test]
fn a_host_that_says_yes_and_gives_nothing_changes_no_request() {
    let mut vm = Stub::new();
    vm.call("_initialize", &[]);
    vm.call("proxy_on_context_create", &[1, 0]);
    vm.call("proxy_on_vm_start", &[1, 0]);
    assert!(vm.call("proxy_on_configure", &[1, 0]) > 0);
    vm.call("proxy_on_context_create", &[2, 1]);
    assert_eq!(vm.call("proxy_on_request_headers", &[2, 0, 1]), 1, "the headers are asked for, and none are written");
    assert_eq!(vm.call("proxy_on_response_headers", &[2, 0, 1]), 0);
    assert_eq!(vm.call("proxy_on_delete", &[2]), 0);
}

// === what panics are left ===

#[test]
fn each_place_that_can_panic_is_known() {
    let (places, data) = panics::places(&module());
    let mut unknown = Vec::new();
    for (file, line, column) in &places {
        let is_known = if file.starts_with("src/") {
            let source = fs::read_to_string(repository().join(file)).unwrap();
            let text = source.lines().nth(usize::try_from(*line).unwrap() - 1).unwrap_or_default();
            panics::OURS.iter().any(|(known, says, _)| known == file && text.contains(says))
        } else {
            panics::CRATES.iter().any(|known| known.file == file)
        };
        if !is_known {
            unknown.push(format!("{file}:{line}:{column}"));
        }
    }
    assert_eq!(unknown, Vec::<String>::new(), "of {} places; is the module of this source?", places.len());
    assert!(places.len() > 30, "places are not found any more: {places:?}");
    for said in panics::NEVER_SAID {
        let found = data.windows(said.len()).any(|window| window == said.as_bytes());
        assert!(!found, "the module can say: {said}");
    }
    let idle: Vec<&str> = panics::CRATES
        .iter()
        .map(|known| known.file)
        .filter(|file| !places.iter().any(|place| place.0 == *file))
        .collect();
    println!("{} places; listed and not there: {idle:?}", places.len());
    assert!(
        panics::CRATES.iter().all(|known| !known.because.is_empty())
            && panics::OURS.iter().all(|own| !own.2.is_empty())
    );
}
