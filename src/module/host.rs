//! Envoy's calls as the proxy wants them: bytes in, bytes out, and no error that a request could raise.
//!
//! A call that fails leaves things as they were: the request goes on.

use core::cell::RefCell;
use core::fmt::Arguments;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tidegate_engine::output::effect::{self, Effect};
use tidegate_engine::plan::Property;
use tidegate_engine::request::headers::Headers;
use tidegate_engine::request::host_address;
use tidegate_engine::value::time::Timestamp;
use tidegate_hostcalls::native::config::ConfigHandle;
use tidegate_hostcalls::native::stream::{Room, StreamHandle};
use tidegate_hostcalls::native::{self, Attribute, Headers as Of};
use tidegate_proxy::host::{Host, Level};
use tidegate_proxy::metrics::catalogue::Kind;
use tidegate_proxy::outcome::{Answer, Moment};

use super::local::Judged;
use super::memory;
use super::metrics::{self, Families, Series};

/// Envoy, in the middle of a call.
#[derive(Debug)]
pub(crate) struct Envoy<'e> {
    at: At<'e>,
    name: &'e [u8],
    bytes: &'e [u8],
    families: &'e Families,
}

/// Where in Envoy: what can be read and changed.
#[derive(Debug)]
enum At<'e> {
    Request(RefCell<StreamHandle<'e>>),
    Config(RefCell<ConfigHandle<'e>>),
    /// Before a request's first call.
    Nowhere,
}

impl<'e> Envoy<'e> {
    fn new(at: At<'e>, judged: &'e Judged) -> Self {
        Self { at, name: &judged.name, bytes: &judged.bytes, families: &judged.families }
    }

    pub(crate) fn of_request(handle: StreamHandle<'e>, judged: &'e Judged) -> Self {
        Self::new(At::Request(handle.into()), judged)
    }

    pub(crate) fn of_tick(handle: ConfigHandle<'e>, judged: &'e Judged) -> Self {
        Self::new(At::Config(handle.into()), judged)
    }

    pub(crate) fn of_push(handle: ConfigHandle<'e>, name: &'e [u8], bytes: &'e [u8], families: &'e Families) -> Self {
        Self { at: At::Config(handle.into()), name, bytes, families }
    }

    pub(crate) fn nowhere(judged: &'e Judged) -> Self {
        Self::new(At::Nowhere, judged)
    }

    /// Reads something of the request.
    fn read_request<R>(&self, read: impl FnOnce(&StreamHandle<'e>) -> Option<R>) -> Option<R> {
        let At::Request(handle) = &self.at else { return None };
        read(&*handle.try_borrow().ok()?)
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
        let Some(metric) = self.families.of(series) else { return };
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
            At::Nowhere => {}
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
            Level::Info => native::Level::Info,
            Level::Warn => native::Level::Warn,
            Level::Error => native::Level::Error,
        };
        native::log(level, line);
    }

    fn filter(&self) -> [Vec<u8>; 3] {
        [self.name.to_vec(), Vec::new(), Vec::new()]
    }

    fn two_in_force(&self) -> &'static str {
        "two configs are in force under one filter_name: give each filter a name of its own (there is nothing to do \
         while an old listener drains)"
    }

    fn config(&self) -> Vec<u8> {
        self.bytes.to_vec()
    }

    /// All instances tick together, at the timer's pace.
    fn tick_after(&self, _: Duration) {}

    fn request_headers(&self) -> Headers {
        self.headers(Of::Request)
    }

    fn request_trailers(&self) -> Headers {
        self.headers(Of::RequestTrailers)
    }

    fn remove_trailer(&self, name: &[u8]) -> bool {
        self.change(|handle| handle.remove_header(Of::RequestTrailers, name))
    }

    fn property(&self, property: &Property) -> Option<Vec<u8>> {
        self.read_request(|handle| match property {
            Property::Claim(_) => None,
            Property::Peer => handle.text(Attribute::PeerUriSan).map(<[u8]>::to_vec),
            Property::Address => handle.text(Attribute::SourceAddress).map(host_address),
            Property::Proxy => handle.text(Attribute::Node).map(<[u8]>::to_vec),
        })
    }

    fn listener(&self) -> Option<Vec<u8>> {
        None
    }

    fn apply(&self, effects: &[Effect<'_>], _: &Headers) -> u32 {
        let one = |handle: &mut StreamHandle<'_>, effect: &Effect<'_>| match effect {
            Effect::Remove(name) => handle.remove_header(Of::Request, name),
            Effect::Set(..) | Effect::Dictionary(_) | Effect::Baggage(_) => {
                effect.written().is_none_or(|(name, value)| handle.set_header(Of::Request, name.as_bytes(), value))
            }
            Effect::ClearRoute => {
                handle.clear_route_cache();
                true
            }
        };
        let mut refused = 0_u32;
        let reached = self.change(|handle| {
            for effect in effects {
                refused = refused.saturating_add(u32::from(!one(handle, effect)));
            }
            true
        });
        if reached { refused } else { u32::try_from(effects.len()).unwrap_or(u32::MAX) }
    }

    fn reply(&self, reply: &effect::LocalReply<'_>) -> bool {
        self.change(|handle| {
            handle.respond(reply.status, &reply.headers, reply.body.as_bytes(), b"tidegate");
            true
        })
    }

    fn state(&self, name: &str) -> Option<Vec<u8>> {
        self.read_request(|handle| handle.state(kept(name).as_bytes()).map(<[u8]>::to_vec))
    }

    fn keep(&self, name: &str, value: &[u8]) {
        self.change(|handle| handle.set_state(kept(name).as_bytes(), value));
    }

    fn keep_over_redirects(&self, _: &str) {}

    fn response_header(&self, name: &str) -> Option<Vec<u8>> {
        self.read_request(|handle| handle.header(Of::Response, name.as_bytes(), 0).map(<[u8]>::to_vec))
    }

    fn set_response_header(&self, name: &str, value: &[u8]) {
        self.change(|handle| handle.set_header(Of::Response, name.as_bytes(), value));
    }

    fn remove_response_header(&self, name: &str) {
        self.change(|handle| handle.remove_header(Of::Response, name.as_bytes()));
    }

    fn add_response_header(&self, name: &str, value: &[u8]) {
        self.change(|handle| handle.add_header(Of::Response, name.as_bytes(), value));
    }

    fn status(&self) -> Option<u64> {
        self.read_request(|handle| handle.number(Attribute::ResponseCode))
    }

    fn answer(&self) -> Answer {
        Answer { code: self.status(), ..Answer::default() }
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

/// The key of the filter state in which a value is kept: the one that Envoy makes of it in wasm.
fn kept(name: &str) -> String {
    ["wasm.", name].concat()
}

#[allow(clippy::disallowed_methods, reason = "this is the host whose clock it is, and there is one")]
fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
