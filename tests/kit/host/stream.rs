//! One request through the filter: what a test sends ([`Exchange`]), what came of it ([`Outcome`]), and the state
//! in between. Of bodies, only that they come is played. Never decides anything: the order of callbacks is the host's.

use std::collections::BTreeMap;

use super::headers::Headers;
use super::world::{Calls, Phase};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Continue,
    Pause,
}

/// An answer that the module gave itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub status: u32,
    pub details: String,
    pub body: Vec<u8>,
    /// The additional ones, as the module passed them.
    pub headers: Headers,
    pub grpc_status: Option<u32>,
}

impl Reply {
    /// The response that Envoy makes of it.
    pub(super) fn response(&self) -> Headers {
        let mut headers = self.headers.clone();
        headers.set(":status", self.status.to_string().as_bytes());
        if !self.body.is_empty() {
            headers.set("content-length", self.body.len().to_string().as_bytes());
            if headers.first("content-type").is_none() {
                headers.set("content-type", b"text/plain");
            }
        }
        headers
    }
}

/// A request, the upstream's answer to it, and what Envoy knows about both.
#[derive(Clone, Debug)]
pub struct Exchange {
    pub request: Headers,
    /// `None`: the client leaves before an answer.
    pub response: Option<Headers>,
    /// `false`: an earlier filter or the codec answered, so that only `on_log` sees the request.
    pub reaches_filter: bool,
    /// `false`: a body comes after the headers, or never does.
    pub end_of_stream: bool,
    /// What comes after the body.
    pub trailers: Headers,
    pub properties: BTreeMap<Vec<String>, Vec<u8>>,
    /// How far the clock goes between the request and the response.
    pub latency_nanos: u64,
}

impl Exchange {
    /// A `GET` for `shop.example`, answered with 200 in no time.
    pub fn get(path: &str) -> Self {
        Self {
            request: Headers::of([
                (":authority", "shop.example"),
                (":path", path),
                (":method", "GET"),
                (":scheme", "http"),
            ]),
            response: Some(Headers::of([(":status", "200")])),
            reaches_filter: true,
            end_of_stream: true,
            trailers: Headers::default(),
            properties: BTreeMap::new(),
            latency_nanos: 0,
        }
    }

    /// One more request header; a pseudo header is replaced.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        if name.starts_with(':') {
            self.request.replace(name, value.as_ref());
        } else {
            self.request.add(name, value.as_ref());
        }
        self
    }

    /// A body comes after the headers.
    #[must_use]
    pub fn with_body(mut self) -> Self {
        self.end_of_stream = false;
        self
    }

    /// One more trailer, after a body.
    #[must_use]
    pub fn trailer(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.trailers.add(name, value.as_ref());
        self.with_body()
    }

    #[must_use]
    pub fn property(mut self, path: &[&str], value: impl AsRef<[u8]>) -> Self {
        let path = path.iter().map(|&segment| segment.to_owned()).collect();
        self.properties.insert(path, value.as_ref().to_vec());
        self
    }

    #[must_use]
    pub fn answered(mut self, status: u16) -> Self {
        let response = self.response.get_or_insert_default();
        response.set(":status", status.to_string().as_bytes());
        self
    }

    #[must_use]
    pub fn response_header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.response.get_or_insert_default().add(name, value.as_ref());
        self
    }

    #[must_use]
    pub fn after_millis(mut self, latency: u64) -> Self {
        self.latency_nanos = latency.saturating_mul(1_000_000);
        self
    }

    /// The client goes away before the answer: no response callback, no `response.code`, flag DC.
    #[must_use]
    pub fn abandoned(mut self) -> Self {
        const DOWNSTREAM_CONNECTION_TERMINATION: u64 = 16_384;
        self.response = None;
        self.property(&["response", "flags"], DOWNSTREAM_CONNECTION_TERMINATION.to_le_bytes())
    }

    /// The request is answered before the filter sees it.
    #[must_use]
    pub fn stopped_before_filter(mut self) -> Self {
        self.reaches_filter = false;
        self
    }
}

/// What left the filter.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub request: Headers,
    pub trailers: Headers,
    /// As the client gets it, local replies included.
    pub response: Option<Headers>,
    pub reply: Option<Reply>,
    /// What each header callback returned.
    pub actions: Vec<Action>,
    /// Calls of the foreign function `clear_route_cache`.
    pub route_clears: u32,
    /// Writes to request headers; with an ABI up to 0.2.1 Envoy clears the route cache at each of them, too.
    pub header_writes: u32,
    /// Set by `set_property`, by path (Envoy's key is `wasm.<path>`).
    pub filter_state: BTreeMap<String, Vec<u8>>,
    /// Set by the foreign function `set_envoy_filter_state`.
    pub envoy_filter_state: BTreeMap<String, Vec<u8>>,
    pub calls: Calls,
}

/// A stream between its callbacks.
#[derive(Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own that Envoy keeps, too")]
pub(super) struct Stream {
    pub(super) root: u32,
    pub(super) request: Headers,
    pub(super) trailers: Headers,
    pub(super) response: Option<Headers>,
    pub(super) properties: BTreeMap<Vec<String>, Vec<u8>>,
    pub(super) started: u64,
    pub(super) bodiless: bool,
    /// The module knows the context.
    pub(super) created: bool,
    /// The request callback ran: without it, Envoy skips the response callback.
    pub(super) begun: bool,
    pub(super) phase: Phase,
    /// The map can be read and written: during its callback and, after `Pause`, until the stream goes on.
    pub(super) request_open: bool,
    pub(super) trailers_open: bool,
    pub(super) response_open: bool,
    pub(super) resumed: bool,
    pub(super) reset: bool,
    pub(super) reply: Option<Reply>,
    pub(super) actions: Vec<Action>,
    pub(super) route_clears: u32,
    pub(super) header_writes: u32,
    pub(super) filter_state: BTreeMap<String, Vec<u8>>,
    pub(super) envoy_filter_state: BTreeMap<String, Vec<u8>>,
    pub(super) calls: Calls,
}

impl Stream {
    pub(super) fn new(root: u32, exchange: &Exchange, now: u64) -> Self {
        Self {
            root,
            request: exchange.request.clone(),
            trailers: exchange.trailers.clone(),
            response: None,
            properties: exchange.properties.clone(),
            started: now,
            bodiless: exchange.end_of_stream,
            created: false,
            begun: false,
            phase: Phase::Idle,
            request_open: false,
            trailers_open: false,
            response_open: false,
            resumed: false,
            reset: false,
            reply: None,
            actions: Vec::new(),
            route_clears: 0,
            header_writes: 0,
            filter_state: BTreeMap::new(),
            envoy_filter_state: BTreeMap::new(),
            calls: Calls::default(),
        }
    }

    /// A request that waits for the module; without `continue_stream` or a reply it waits for ever.
    pub(super) fn held(&self) -> bool {
        self.reset || (self.actions.last() == Some(&Action::Pause) && !self.resumed)
    }

    pub(super) fn outcome(self) -> Outcome {
        Outcome {
            request: self.request,
            trailers: self.trailers,
            response: self.response,
            reply: self.reply,
            actions: self.actions,
            route_clears: self.route_clears,
            header_writes: self.header_writes,
            filter_state: self.filter_state,
            envoy_filter_state: self.envoy_filter_state,
            calls: self.calls,
        }
    }

    /// A property in this phase: the test's own value, else what follows from headers and clock.
    pub(super) fn property(&self, path: &[&str], now: u64) -> Option<Vec<u8>> {
        if !self.shows(path) {
            return None;
        }
        let zero_yet = path == ["response", "flags"] || path == ["upstream", "request_attempt_count"];
        if zero_yet && self.phase == Phase::Request {
            return Some(vec![0; 8]);
        }
        let owned: Vec<String> = path.iter().map(|&segment| segment.to_owned()).collect();
        self.properties.get(&owned).cloned().or_else(|| self.derived(path, now))
    }

    /// Which properties a phase shows, as measured on Envoy 1.40.
    fn shows(&self, path: &[&str]) -> bool {
        let phase = self.phase;
        match *path {
            ["request", "time" | "protocol", ..] | ["response", "flags"] | ["upstream", "request_attempt_count"] => {
                true
            }
            ["request", "duration"] => matches!(phase, Phase::Log | Phase::Idle),
            ["response", "backend_latency"] => phase == Phase::Log,
            ["request", ..] => phase == Phase::Log || self.request_open,
            ["response", "headers", ..] => phase == Phase::Log || self.response_open,
            ["response" | "upstream", ..] => phase != Phase::Request,
            _ => true,
        }
    }

    fn derived(&self, path: &[&str], now: u64) -> Option<Vec<u8>> {
        let number = |number: u64| Some(number.to_le_bytes().to_vec());
        let joined = |headers: &Headers, name: &str| {
            let values: Vec<&[u8]> = headers.all(name).collect();
            (!values.is_empty()).then(|| values.join(&b","[..]))
        };
        match *path {
            ["request", "headers", name] => joined(&self.request, name),
            ["request", "path"] => joined(&self.request, ":path"),
            ["request", "method"] => joined(&self.request, ":method"),
            ["request", "host"] => joined(&self.request, ":authority"),
            ["request", "scheme"] => joined(&self.request, ":scheme"),
            ["request", "id"] => joined(&self.request, "x-request-id"),
            ["request", "useragent"] => joined(&self.request, "user-agent"),
            ["request", "time"] => number(self.started),
            ["request", "duration"] => number(now.saturating_sub(self.started)),
            ["response", "headers", name] => joined(self.response.as_ref()?, name),
            ["response", "code"] => number(self.response.as_ref()?.text(":status")?.parse().ok()?),
            ["response", "flags"] => number(0),
            ["upstream", "request_attempt_count"] => number(u64::from(self.reply.is_none())),
            _ => None,
        }
    }
}

/// The keys for which Envoy has a factory; every other one is `NotFound`.
pub(super) const FILTER_STATE_KEYS: [&str; 6] = [
    "envoy.string",
    "envoy.hashable_string",
    "envoy.tcp_proxy.cluster",
    "envoy.upstream.dynamic_host",
    "envoy.network.upstream_server_name",
    "envoy.network.transport_socket.original_dst_address",
];

/// Key and value of the protobuf argument of `set_envoy_filter_state`: `{1: path, 2: value, 3: span}`.
pub(super) fn filter_state(mut bytes: &[u8]) -> Option<(String, Vec<u8>)> {
    let (mut key, mut value) = (String::new(), Vec::new());
    while !bytes.is_empty() {
        let tag = varint(&mut bytes)?;
        let (field, wire) = (tag >> 3, tag & 7);
        let number = varint(&mut bytes)?;
        match (field, wire) {
            (1 | 2, 2) => {
                let (text, rest) = bytes.split_at_checked(usize::try_from(number).ok()?)?;
                bytes = rest;
                if field == 1 {
                    key = String::from_utf8(text.to_vec()).ok()?;
                } else {
                    value = text.to_vec();
                }
            }
            (3, 0) => {}
            _ => return None,
        }
    }
    Some((key, value))
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64_u32).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}
