//! A config and requests through two doors: the engine in this process, and the built module in a fake host. What
//! the upstream gets, what the response carries and what the plan's fingerprint is must be the same bytes.
//!
//! The first line is the config; a line that does not begin like one stands for the config that looks at
//! everything. Then come the requests, with an empty line between them.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use tidegate_engine::decide::decide;
use tidegate_engine::decide::standing::Standing;
use tidegate_engine::output::effect::{Effect, INSPECTION, OnResponse, on_request};
use tidegate_engine::plan::{Compiled, Plan};
use tidegate_proxy::lifecycle::State;
use tidegate_proxy::metrics::catalogue::{self, Metric};

use super::host::{Exchange, Headers, Host, Module};
use super::identity::CONFIG;
use super::message::{Message, upstream};

/// How many requests of one input are played.
const MOST: usize = 8;

static MODULE: LazyLock<Module> = LazyLock::new(|| Module::load(module()).unwrap_or_else(|error| panic!("{error}")));

thread_local! {
    /// The config that looks at everything, through both doors.
    static EVERYTHING: RefCell<(Plan, Host)> = RefCell::new({
        let (Compiled::Ready(plan) | Compiled::Broken(plan)) = Plan::from_bytes(CONFIG.as_bytes()).0;
        (plan, push(CONFIG.as_bytes()))
    });
}

pub fn check(bytes: &[u8]) {
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let (config, requests) = bytes.split_at(end);
    let messages = split(requests).into_iter().take(MOST).map(Message::read);
    if config.first().is_some_and(|first| b"{[ \t".contains(first)) {
        let (compiled, problems) = Plan::from_bytes(config);
        let mut host = push(config);
        let gauge = |gauge: &Metric| host.shared().gauge(&gauge.name("", &[])).expect("it is defined at each push");
        let (state, print) = match &compiled {
            Compiled::Ready(plan) => (State::Active, plan.fingerprint() & 0xffff_ffff_ffff),
            Compiled::Broken(_) => (State::Inert, 0),
        };
        assert_eq!(gauge(&catalogue::STATE), state.code());
        assert_eq!(gauge(&catalogue::FINGERPRINT), print, "the module has another plan");
        assert_eq!(gauge(&catalogue::PROBLEMS), problems.errors().len() as u64);
        for (_, line) in host.logs() {
            assert!(!line.contains(char::is_control), "a log line breaks: {line:?}");
        }
        let (Compiled::Ready(plan) | Compiled::Broken(plan)) = compiled;
        messages.for_each(|message| compare(&plan, &mut host, &message));
    } else {
        EVERYTHING.with_borrow_mut(|(plan, host)| messages.for_each(|message| compare(plan, host, &message)));
    }
}

/// Splits at empty lines.
fn split(bytes: &[u8]) -> Vec<&[u8]> {
    let mut parts = Vec::new();
    let mut rest = bytes;
    while let Some(at) = rest.windows(2).position(|pair| pair == b"\n\n") {
        parts.push(&rest[..at]);
        rest = &rest[at + 2..];
    }
    parts.push(rest);
    parts
}

/// A new proxy that has taken this config; its first is taken whatever it is.
fn push(config: &[u8]) -> Host {
    let mut host = Host::new(&MODULE).unwrap_or_else(|trap| panic!("{trap}"));
    let taken = host.configure("tidegate", config).unwrap_or_else(|trap| panic!("{trap}"));
    assert!(taken, "a first config is refused: {:?}", host.logs());
    host
}

fn compare(plan: &Plan, host: &mut Host, message: &Message<'_>) {
    let mut exchange = Exchange::get("/");
    exchange.request = Headers::default();
    for (name, value) in &message.headers {
        exchange = exchange.header(name, value);
    }
    // Of two values the engine's test takes the first, a map the last.
    for (name, value) in message.properties.iter().rev() {
        let path: Vec<&str> = match *name {
            "peer" => vec!["connection", "uri_san_peer_certificate"],
            "address" => vec!["source", "address"],
            "proxy" => vec!["xds", "node", "id"],
            other => match other.strip_prefix("claim.") {
                Some(claim) => ["metadata", "filter_metadata", "envoy.filters.http.jwt_authn", "payload"]
                    .into_iter()
                    .chain(claim.split('.'))
                    .collect(),
                None => continue,
            },
        };
        exchange = exchange.property(&path, value);
    }
    host.set_now(u64::try_from(message.now()).expect("after 1970") * 1_000_000);
    let outcome = host.request(&exchange).unwrap_or_else(|trap| panic!("{trap}"));

    let sent = Message { headers: exchange.request.iter().collect(), properties: message.properties.clone() };
    let request = sent.request(plan);
    let decisions = decide(plan, &request, &Standing::NONE, message.timestamp());
    let effects = on_request(plan, &request, &decisions);
    let carry = OnResponse::new(plan, &request, &decisions);
    let mut response = vec![(":status".to_owned(), b"200".to_vec())];
    let cached = carry.for_caches(|_| None).map(|(name, value, _)| (name.to_owned(), value));
    response.extend(carry.cookie.map(|cookie| ("set-cookie".to_owned(), cookie.into_bytes())));
    response.extend(cached);
    response.extend(carry.inspection.map(|text| (INSPECTION.to_owned(), text.into_bytes())));

    assert_eq!(shown(&upstream(exchange.request.iter(), &effects)), of(&outcome.request), "the upstream's headers");
    assert_eq!(shown(&response), of(&outcome.response.expect("an answer")), "the response's headers");
    // Under this version of the ABI Envoy looks the route up again after each change of a request header, too.
    let cleared = outcome.route_clears > 0 || outcome.header_writes > 0;
    assert!(cleared || !effects.contains(&Effect::ClearRoute), "looks the route up again");
}

fn shown(headers: &[(String, Vec<u8>)]) -> Vec<(String, String)> {
    headers.iter().map(|(name, value)| (name.clone(), value.escape_ascii().to_string())).collect()
}

fn of(headers: &Headers) -> Vec<(String, String)> {
    headers.iter().map(|(name, value)| (name.to_owned(), value.escape_ascii().to_string())).collect()
}

/// The built module: named by `TIDEGATE_WASM`, or below the target folder of the package.
fn module() -> PathBuf {
    const BUILT: &str = "tidegate.wasm";
    let named = std::env::var_os("TIDEGATE_WASM").filter(|path| !path.is_empty()).map(PathBuf::from);
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    let mut built = package.ancestors().map(|folder| folder.join(&target).join(BUILT));
    named.or_else(|| built.find(|path| path.is_file())).expect("no module is built: run `make wasm`")
}
