//! A config and requests through three doors: the engine in this process, the built module in a fake host, and the
//! native door over a model of Envoy. What the upstream gets, what the response carries, what is counted and what the
//! plan's fingerprint is must be the same.
//!
//! The first line is the config; a line that does not begin like one stands for the config that looks at
//! everything. Then come the requests, with an empty line between them; `@status: 503` is what its upstream answers.
//! With `DOORS=native` the module, which is by far the slowest, is left out.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use tidegate_engine::decide::decide;
use tidegate_engine::decide::standing::Standing;
use tidegate_engine::output::effect::{self, Effect, INSPECTION, OnResponse, on_request};
use tidegate_engine::plan::{Compiled, Plan};
use tidegate_engine::request::Request;
use tidegate_proxy::lifecycle::State;
use tidegate_proxy::metrics::catalogue;
use tidegate_proxy::metrics::series::Series;

use super::host::{Exchange, Headers, Host, Kind, Module};
use super::identity::CONFIG;
use super::message::{Message, upstream};
use super::native::{self, Native};

/// How many requests of one input are played.
const MOST: usize = 8;

static MODULE: LazyLock<Module> = LazyLock::new(|| Module::load(module()).unwrap_or_else(|error| panic!("{error}")));

/// Whether the module takes part.
static WASM: LazyLock<bool> = LazyLock::new(|| std::env::var_os("DOORS").is_none_or(|doors| doors != "native"));

thread_local! {
    /// The config that looks at everything, through all doors. Left alone at the thread's end, where what the doors
    /// need may be gone.
    static EVERYTHING: RefCell<ManuallyDrop<Option<Doors>>> = const { RefCell::new(ManuallyDrop::new(None)) };
}

pub fn check(bytes: &[u8]) {
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let (config, requests) = bytes.split_at(end);
    let messages = split(requests).into_iter().take(MOST).map(Message::read);
    if config.first().is_some_and(|first| b"{[ \t".contains(first)) {
        // There is one native door in a process.
        EVERYTHING.with_borrow_mut(|doors| doors.take());
        Doors::new(config).play(messages);
    } else {
        EVERYTHING.with_borrow_mut(|doors| doors.get_or_insert_with(|| Doors::new(CONFIG.as_bytes())).play(messages));
    }
}

/// Counts by metric and labels.
type Counted = BTreeMap<(String, Vec<String>), u64>;

/// One config through all doors.
struct Doors {
    plan: Plan,
    wasm: Option<Host>,
    native: Native,
    /// What the engine comes to, for the native door and the module: a claim is JSON to one, and bytes to the other.
    counted: [Counted; 2],
}

impl Doors {
    fn new(config: &[u8]) -> Self {
        let (compiled, problems) = Plan::from_bytes(config);
        let wasm = WASM.then(|| push(config));
        let native = Native::new(config);
        let (state, print) = match &compiled {
            Compiled::Ready(plan) => (State::Active, plan.fingerprint() & 0xffff_ffff_ffff),
            Compiled::Broken(_) => (State::Inert, 0),
        };
        let values = [(&catalogue::STATE, state.code()), (&catalogue::FINGERPRINT, print)];
        for (gauge, due) in values.into_iter().chain([(&catalogue::PROBLEMS, problems.errors().len() as u64)]) {
            let in_wasm = wasm.as_ref().map(|host| host.shared().gauge(&gauge.name("", &[])));
            assert!(in_wasm.is_none_or(|value| value == Some(due)), "the module has another {}", gauge.plain_name());
            let natively = Native::gauge(&gauge.plain_name());
            assert_eq!(natively, Some(due), "the native door has another {}", gauge.plain_name());
        }
        for (_, line) in wasm.iter().flat_map(Host::logs) {
            assert!(!line.contains(char::is_control), "a log line breaks: {line:?}");
        }
        let (Compiled::Ready(plan) | Compiled::Broken(plan)) = compiled;
        Self { plan, wasm, native, counted: [Counted::new(), Counted::new()] }
    }

    fn play<'m>(&mut self, messages: impl Iterator<Item = Message<'m>>) {
        messages.for_each(|message| self.request(&message));
        assert_eq!(*self.native.counted(), self.counted[0], "what the native door counts");
        if let Some(host) = &mut self.wasm {
            host.tick_all().unwrap_or_else(|trap| panic!("{trap}"));
            let mut counted = BTreeMap::new();
            for ((kind, name), values) in host.shared().stats() {
                if kind == Kind::Counter
                    && let Some(count) = values.last().filter(|count| **count > 0)
                {
                    let named = catalogue::read(&name).expect("one of ours");
                    let labels = named.values.into_iter().map(str::to_owned).collect();
                    counted.insert((named.metric.plain_name(), labels), *count);
                }
            }
            assert_eq!(counted, self.counted[1], "what the module counts");
        }
    }

    fn request(&mut self, message: &Message<'_>) {
        let exchange = exchange(message);
        let status = message.property("status").and_then(|status| std::str::from_utf8(status).ok()?.parse().ok());
        let status = status.filter(|status| (200..600).contains(status)).unwrap_or(200);
        let sent = Message { headers: exchange.request.iter().collect(), properties: message.properties.clone() };
        if let Some(host) = &mut self.wasm {
            host.set_now(u64::try_from(message.now()).expect("after 1970") * 1_000_000);
            let outcome = host.request(&exchange.clone().answered(status)).unwrap_or_else(|trap| panic!("{trap}"));
            let request = sent.request(&self.plan);
            let due = Due::new(&self.plan, &sent, &request, status);
            due.compare(&of(&outcome.request), outcome.response.as_ref().map(of).as_ref(), "module");
            // Under this version of the ABI Envoy looks the route up again after each change of a request header, too.
            let cleared = outcome.route_clears > 0 || outcome.header_writes > 0;
            assert!(cleared || !due.clears_route, "looks the route up again");
            count(&self.plan, &mut self.counted[1], &sent, &request, status);
        }
        let request = native::request(&sent, &self.plan);
        let due = Due::new(&self.plan, &sent, &request, status);
        let headers = sent.pairs().map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
        let seen = self.native.request(message, headers, status);
        let response = due.goes_on.then(|| lossless(&seen.response));
        due.compare(&lossless(&seen.upstream), response.as_ref(), "native door");
        assert_eq!((seen.goes_on, seen.routes_cleared), (due.goes_on, due.clears_route), "what becomes of it natively");
        count(&self.plan, &mut self.counted[0], &sent, &request, status);
    }
}

/// Counts what the metrics have to show.
fn count(plan: &Plan, counted: &mut Counted, sent: &Message<'_>, request: &Request<'_>, status: u16) {
    let decisions = decide(plan, request, &Standing::NONE, sent.timestamp());
    let series = Series::new(plan);
    let mut add = |place: usize, more: usize| {
        let name = series.name(plan, "", place).expect("a place of this plan");
        let named = catalogue::read(&name).expect("one of ours");
        let labels = named.values.into_iter().map(str::to_owned).collect();
        if more > 0 {
            *counted.entry((named.metric.plain_name(), labels)).or_default() += more as u64;
        }
    };
    add(Series::forged(), request.forged());
    for kind in decisions.sources().kinds() {
        add(Series::source(kind), 1);
    }
    let answered = effect::reply(plan, request, &decisions).map_or(u64::from(status), |reply| reply.status.into());
    for decision in decisions.list() {
        let (flag, variant) = (decision.place(), decision.served());
        let Some(place) = series.decision(flag, variant, decision.reason()) else { continue };
        add(place, 1);
        if let Some(place) = series.response(flag, variant, catalogue::class(Some(answered))) {
            add(place, 1);
        }
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

fn exchange(message: &Message<'_>) -> Exchange {
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
    exchange
}

/// What has to become of a request, by the engine.
struct Due {
    upstream: Vec<(String, String)>,
    response: Vec<(String, String)>,
    goes_on: bool,
    clears_route: bool,
}

impl Due {
    fn new(plan: &Plan, sent: &Message<'_>, request: &Request<'_>, status: u16) -> Self {
        let decisions = decide(plan, request, &Standing::NONE, sent.timestamp());
        let goes_on = effect::reply(plan, request, &decisions).is_none();
        let effects = if goes_on { on_request(plan, request, &decisions) } else { Vec::new() };
        let carry = OnResponse::new(plan, request, &decisions);
        let mut response = vec![(":status".to_owned(), status.to_string().into_bytes())];
        let cached = carry.for_caches(|_| None).map(|(name, value, _)| (name.to_owned(), value.into_owned()));
        response.extend(carry.cookie.clone().map(|cookie| ("set-cookie".to_owned(), cookie.into_bytes())));
        response.extend(cached);
        response.extend(carry.inspection.clone().map(|text| (INSPECTION.to_owned(), text.into_bytes())));
        let headers = sent.headers.iter().copied();
        Self {
            upstream: shown(&upstream(headers, &effects)),
            response: shown(&response),
            goes_on,
            clears_route: effects.contains(&Effect::ClearRoute),
        }
    }

    /// Holds what came of it against this; of an answer in the upstream's place, the upstream's part alone.
    fn compare(&self, upstream: &[(String, String)], response: Option<&Vec<(String, String)>>, door: &str) {
        assert_eq!(self.upstream, upstream, "the upstream's headers through the {door}");
        if self.goes_on {
            assert_eq!(Some(&self.response), response, "the response's headers through the {door}");
        }
    }
}

fn lossless(headers: &[(Vec<u8>, Vec<u8>)]) -> Vec<(String, String)> {
    let name = |name: &[u8]| String::from_utf8(name.to_vec()).expect("names are text");
    headers.iter().map(|(one, value)| (name(one), value.escape_ascii().to_string())).collect()
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
