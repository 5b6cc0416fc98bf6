//! Envoy's calls as the proxy wants them: bytes in, bytes out, and no error that a request could raise.
//!
//! A call that fails leaves things as they were: the request goes on.

use core::cell::RefCell;
use core::fmt::Arguments;
use std::time::Duration;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use tidegate_engine::output::chain::STATE;
use tidegate_engine::output::effect::{self, Effect};
use tidegate_engine::plan::Property;
use tidegate_engine::request::headers::{Headers, joined};
use tidegate_engine::request::{claim, host_address, payload_from_json};
use tidegate_engine::value::time::Timestamp;
use tidegate_hostcalls::native::clock::since_1970;
use tidegate_hostcalls::native::config::ConfigHandle;
use tidegate_hostcalls::native::stream::{Room, StreamHandle};
use tidegate_hostcalls::native::{self, Attribute, Headers as Of};
use tidegate_proxy::host::{Host, Level};
use tidegate_proxy::metrics::catalogue::Kind;
use tidegate_proxy::outcome::ending::ending;
use tidegate_proxy::outcome::{Ending, Moment};

use super::memory;
use super::metrics::{self, Families, Series};

/// A config as it was pushed.
#[derive(Debug)]
pub(crate) struct Pushed {
    /// The filter's name.
    pub(crate) name: Box<[u8]>,
    pub(crate) bytes: Box<[u8]>,
    pub(crate) families: Families,
}

/// Envoy, in the middle of a call.
#[derive(Debug)]
pub(crate) struct Envoy<'e> {
    at: At<'e>,
    pushed: &'e Pushed,
    /// Whether all of the response has come.
    ended: bool,
    /// An answer in the upstream's place, until it is sent.
    reply: RefCell<Option<Reply>>,
}

#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u32,
    headers: Vec<Line>,
    body: String,
}

impl Reply {
    /// All values of a header as one.
    pub(crate) fn joined(&self, name: &str) -> Option<Vec<u8>> {
        joined(self.headers.iter().map(|line| (&*line.name, &*line.value)), name.as_bytes())
    }
}

/// One header of an answer.
#[derive(Debug)]
struct Line {
    name: Box<[u8]>,
    value: Box<[u8]>,
}

impl Line {
    fn new(name: &str, value: &[u8]) -> Self {
        Self { name: name.as_bytes().into(), value: value.into() }
    }

    fn is(&self, name: &str) -> bool {
        *self.name == *name.as_bytes()
    }
}

/// Where in Envoy: what can be read and changed.
#[derive(Debug)]
enum At<'e> {
    Request(RefCell<StreamHandle<'e>>),
    /// Of a request, while what Envoy lends is looked at.
    Reading(&'e StreamHandle<'e>),
    Config(RefCell<ConfigHandle<'e>>),
    /// Before a request's first call.
    Nowhere,
}

impl<'e> Envoy<'e> {
    fn new(at: At<'e>, pushed: &'e Pushed) -> Self {
        Self { at, pushed, ended: false, reply: RefCell::default() }
    }

    pub(crate) fn of_request(handle: StreamHandle<'e>, pushed: &'e Pushed, ended: bool) -> Self {
        Self { ended, ..Self::new(At::Request(handle.into()), pushed) }
    }

    /// A request, of which nothing can be changed.
    pub(crate) fn reading(handle: &'e StreamHandle<'e>, pushed: &'e Pushed) -> Self {
        Self::new(At::Reading(handle), pushed)
    }

    /// The same request after that, where it is answered in the upstream's place: now the answer can be changed.
    pub(crate) fn answering(handle: StreamHandle<'e>, pushed: &'e Pushed, answer: Reply) -> Self {
        Self { reply: Some(answer).into(), ..Self::new(At::Request(handle.into()), pushed) }
    }

    pub(crate) fn into_reply(self) -> Option<Reply> {
        self.reply.into_inner()
    }

    pub(crate) fn of_config(handle: ConfigHandle<'e>, pushed: &'e Pushed) -> Self {
        Self::new(At::Config(handle.into()), pushed)
    }

    pub(crate) fn nowhere(pushed: &'e Pushed) -> Self {
        Self::new(At::Nowhere, pushed)
    }

    /// Sends the answer that was given in the upstream's place.
    pub(crate) fn answer_now(&self) {
        if let Some(Reply { status, headers, body }) = self.reply.take() {
            // Envoy would give every answer to a call of gRPC the status 0, a success.
            let (code, message) = (grpc_code(status).to_string(), grpc_message(&body));
            let mut headers: Vec<(&[u8], &[u8])> = headers.iter().map(|line| (&*line.name, &*line.value)).collect();
            self.change(|handle| {
                let kind = handle.header(Of::Request, b"content-type", 0);
                if kind.is_some_and(|kind| kind.starts_with(b"application/grpc")) {
                    headers.retain(|(name, _)| *name != b"content-type");
                    let of_call = [(&b":status"[..], &b"200"[..]), (b"content-type", b"application/grpc")];
                    headers.splice(0..0, of_call);
                    headers.extend([(GRPC, code.as_bytes()), (b"grpc-message", message.as_bytes())]);
                    handle.respond_with_headers(&headers);
                } else {
                    handle.respond(status, &headers, body.as_bytes(), b"tidegate");
                }
                true
            });
        }
    }

    /// Changes the headers of an answer in the upstream's place; `None` where there is none.
    fn change_reply(&self, change: impl FnOnce(&mut Vec<Line>)) -> Option<()> {
        self.reply.try_borrow_mut().ok()?.as_mut().map(|reply| change(&mut reply.headers))
    }

    /// Reads something of the request.
    fn read_request<R>(&self, read: impl FnOnce(&StreamHandle<'e>) -> Option<R>) -> Option<R> {
        match &self.at {
            At::Request(handle) => read(&*handle.try_borrow().ok()?),
            At::Reading(handle) => read(handle),
            At::Config(_) | At::Nowhere => None,
        }
    }

    /// Changes something of the request. Returns whether Envoy did.
    fn change(&self, change: impl FnOnce(&mut StreamHandle<'e>) -> bool) -> bool {
        let At::Request(handle) = &self.at else { return false };
        handle.try_borrow_mut().is_ok_and(|mut handle| change(&mut handle))
    }

    fn headers(&self, of: Of) -> Headers {
        let collected = self.read_request(|handle| Some(Headers::collect(handle.headers(of, &mut Room::default()))));
        collected.unwrap_or_default()
    }

    fn tell(&self, series: &Series, value: u64) {
        let Some(metric) = self.pushed.families.of(series) else { return };
        match &self.at {
            At::Request(handle) => {
                if let Ok(mut handle) = handle.try_borrow_mut() {
                    handle.tell(metric, series.labels(), value);
                }
            }
            At::Config(handle) => {
                if let Ok(mut handle) = handle.try_borrow_mut() {
                    handle.tell(metric, series.labels(), value);
                }
            }
            At::Reading(_) | At::Nowhere => {}
        }
    }
}

impl Host for Envoy<'_> {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(i64::try_from(since_1970().as_millis()).unwrap_or_default())
    }

    fn moment(&self) -> Moment {
        Moment::new(since_1970())
    }

    fn log(&self, level: Level, line: Arguments<'_>) {
        let level = match level {
            Level::Info | Level::Debug | Level::Trace => native::Level::Info,
            Level::Warn => native::Level::Warn,
            Level::Error => native::Level::Error,
        };
        native::log(level, line);
    }

    fn filter(&self) -> [Vec<u8>; 3] {
        [self.pushed.name.to_vec(), Vec::new(), Vec::new()]
    }

    fn two_in_force(&self) -> &'static str {
        "two configs are in force under one filter_name: give each filter a name of its own (there is nothing to do \
         while an old listener drains)"
    }

    fn config(&self) -> Vec<u8> {
        self.pushed.bytes.to_vec()
    }

    /// The main thread takes configs in, and has no requests.
    fn requests_wait(&self) -> bool {
        false
    }

    /// All instances tick together, at the timer's pace.
    fn tick_after(&self, _: Duration) {}

    fn request_trailers(&self) -> Headers {
        self.headers(Of::RequestTrailers)
    }

    fn remove_trailer(&self, name: &[u8]) -> bool {
        self.change(|handle| handle.remove_header(Of::RequestTrailers, name))
    }

    fn property(&self, property: &Property) -> Option<Vec<u8>> {
        self.read_request(|handle| match property {
            Property::Claim(path) => claim(&payload_from_json(&handle.typed_state(CLAIMS)?)?, path),
            Property::Peer => handle.text(Attribute::PeerUriSan).map(<[u8]>::to_vec),
            Property::Address => handle.text(Attribute::SourceAddress).map(host_address),
            Property::Proxy => handle.typed_state(NODE),
        })
    }

    fn listener(&self) -> Option<Vec<u8>> {
        self.read_request(|handle| handle.typed_state(LISTENER))
    }

    fn reply(&self, reply: &effect::LocalReply<'_>) -> bool {
        if !matches!(self.at, At::Request(_) | At::Reading(_)) {
            return false;
        }
        let headers = reply.headers.iter().map(|(name, value)| Line::new(name, value.as_bytes()));
        self.reply.replace(Some(Reply { status: reply.status, headers: headers.collect(), body: reply.body.into() }));
        true
    }

    fn state(&self, name: &str) -> Option<Vec<u8>> {
        self.read_request(|handle| match name {
            // So that also a value is found that the other door has set.
            STATE => handle.typed_state(CHAIN),
            _ => handle.state(&kept(name)),
        })
    }

    fn keep(&self, name: &str, value: &[u8]) {
        self.read_request(|handle| {
            Some(match name {
                STATE => handle.set_state_of_request(CHAIN, value),
                _ => handle.set_state(&kept(name), value),
            })
        });
    }

    /// Said with each value: see [`Self::keep`].
    fn keep_over_redirects(&self, _: &str) {}

    fn set_response_header(&self, name: &str, value: &[u8]) {
        let in_reply = self.change_reply(|headers| {
            headers.retain(|line| !line.is(name));
            headers.push(Line::new(name, value));
        });
        if in_reply.is_none() {
            self.change(|handle| handle.set_header(Of::Response, name.as_bytes(), value));
        }
    }

    fn remove_response_header(&self, name: &str) {
        if self.change_reply(|headers| headers.retain(|line| !line.is(name))).is_none() {
            self.change(|handle| handle.remove_header(Of::Response, name.as_bytes()));
        }
    }

    fn add_response_header(&self, name: &str, value: &[u8]) {
        if self.change_reply(|headers| headers.push(Line::new(name, value))).is_none() {
            self.change(|handle| handle.add_header(Of::Response, name.as_bytes(), value));
        }
    }

    fn final_status(&self) -> Option<u64> {
        self.read_request(|handle| handle.number(Attribute::ResponseCode))
    }

    fn ending(&self) -> Ending {
        let read = |handle: &StreamHandle<'_>| {
            let details = handle.text(Attribute::ResponseCodeDetails);
            // An upstream's answer that came to its end needs no flags.
            let flags = if details == Some(b"via_upstream") { None } else { handle.number(Attribute::ResponseFlags) };
            Some(ending(flags.unwrap_or_default(), details))
        };
        self.read_request(read).unwrap_or_default()
    }

    fn is_whole(&self) -> bool {
        self.ended
    }

    fn response_trailer(&self, name: &str) -> Option<Vec<u8>> {
        self.read_request(|handle| handle.header(Of::ResponseTrailers, name.as_bytes(), 0).map(<[u8]>::to_vec))
    }

    fn define(&self, name: &str, kind: Kind) -> Option<u32> {
        metrics::define(name, kind)
    }

    fn add(&self, id: u32, more: u32) {
        if let Some(series) = metrics::series(id).filter(|_| more > 0) {
            series.add(more.into());
            self.tell(&series, more.into());
        }
    }

    fn record(&self, id: u32, value: u64) {
        if let Some(series) = metrics::series(id) {
            series.record(value);
            self.tell(&series, value);
        }
    }

    fn value(&self, id: u32) -> u64 {
        metrics::series(id).map_or(0, |series| series.value())
    }

    fn read(&self, name: &str) -> (Option<Vec<u8>>, Option<u32>) {
        memory::read(name)
    }

    fn write(&self, name: &str, value: &[u8], version: Option<u32>) -> bool {
        memory::write(name, value, version)
    }
}

/// What Envoy's calls do not tell, and a filter in front of ours puts into the filter state: the verified claims as JSON,
/// the name of the listener, and the proxy's own.
const CLAIMS: &[u8] = b"tidegate.claims";
const LISTENER: &[u8] = b"tidegate.listener";
const NODE: &[u8] = b"tidegate.node";

const GRPC: &[u8] = b"grpc-status";

/// Applies effects to a request with headers of these [`signs`]. Returns how many changes Envoy refused.
///
/// A header that is not there is added: to set it, Envoy would look for it among all.
pub(crate) fn apply(handle: &mut StreamHandle<'_>, effects: &[Effect<'_>], mut present: u64) -> u32 {
    let mut one = |effect: &Effect<'_>| match effect {
        Effect::Remove(name) => handle.remove_header(Of::Request, name),
        Effect::Set(..) | Effect::Dictionary(_) | Effect::Baggage(_) => effect.written().is_none_or(|(name, value)| {
            let name = name.as_bytes();
            let is_there = present & sign(name) != 0;
            present |= sign(name);
            if is_there {
                handle.set_header(Of::Request, name, value)
            } else {
                handle.add_header(Of::Request, name, value)
            }
        }),
        Effect::ClearRoute => {
            handle.clear_route_cache();
            true
        }
    };
    effects.iter().fold(0, |refused: u32, effect| refused.saturating_add(u32::from(!one(effect))))
}

/// All that [`apply`] has to know of headers: which names are surely not among them.
pub(crate) fn signs<'h>(headers: impl Iterator<Item = (&'h [u8], &'h [u8])>) -> u64 {
    headers.fold(0, |all, (name, _)| all | sign(name))
}

/// One of 64 bits: names that are equal have the same.
fn sign(name: &[u8]) -> u64 {
    let length = u32::try_from(name.len()).unwrap_or(u32::MAX);
    let last = name.last().copied().map_or(0, u32::from);
    1_u64.rotate_left(length.wrapping_mul(7).wrapping_add(last))
}

/// The status of a call that is answered with this status of HTTP: as Envoy has it for its own answers.
fn grpc_code(status: u32) -> u32 {
    match status {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502 | 503 | 504 => 14,
        200 => 0,
        _ => 2,
    }
}

/// A text as a header may have it: a percent sign and two digits for each byte that is none of visible ASCII.
fn grpc_message(text: &str) -> String {
    const ESCAPED: &AsciiSet = &CONTROLS.add(b'%');
    utf8_percent_encode(text, ESCAPED).to_string()
}

/// The key of the filter state in which a value is kept: the one that Envoy makes of it in wasm.
fn kept(name: &str) -> Vec<u8> {
    [b"wasm.", name.as_bytes()].concat()
}

/// The key of [`STATE`], which each request needs.
const CHAIN: &[u8] = b"wasm.tidegate.chain";
