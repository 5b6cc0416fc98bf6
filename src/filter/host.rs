//! What a callback can ask of Envoy: bytes in, bytes out, and no error that a request could raise.
//!
//! A call that fails leaves things as they were: the request goes on. In the response phase Envoy gives no header of
//! the request.

use core::fmt::Arguments;
use std::time::Duration;

use super::encoding;
use tidegate_engine::output::baggage::BAGGAGE;
use tidegate_engine::output::chain::STATE;
use tidegate_engine::output::effect::{self, Effect};
use tidegate_engine::plan::Property;
use tidegate_engine::request::headers::Headers;
use tidegate_engine::request::host_address;
use tidegate_engine::value::time::Timestamp;
use tidegate_hostcalls::wasm::{self, BufferType, LogLevel, MapType, MetricType};
use tidegate_proxy::host::{Host, Level};
use tidegate_proxy::metrics::catalogue::Kind;
use tidegate_proxy::outcome::ending::ending;
use tidegate_proxy::outcome::{Ending, Moment};

/// Envoy, in the middle of a callback.
pub(super) struct Envoy;

impl Envoy {
    /// The headers of the request; none if Envoy cannot give them.
    pub(super) fn request_headers() -> Headers {
        headers(MapType::HttpRequestHeaders)
    }

    /// Applies effects to the request, which has these headers. Returns how many changes Envoy refused.
    ///
    /// What a client sent under a name that is written has been removed before, so that all else is added: to set a
    /// header, Envoy walks the whole list for each.
    pub(super) fn apply(effects: &[Effect<'_>], headers: &Headers) -> u32 {
        // If Envoy gave no headers, or does not remove one, there may be others under the same names.
        let mut write: fn(MapType, &[u8], &[u8]) -> bool = wasm::add_header;
        if headers.is_empty() {
            write = wasm::set_header;
        }
        let mut refused = 0_u32;
        for effect in effects {
            if !apply(effect, effects, write) {
                refused = refused.saturating_add(1);
                write = wasm::set_header;
            }
        }
        refused
    }

    /// The headers of the response.
    pub(super) fn response_headers() -> Headers {
        headers(MapType::HttpResponseHeaders)
    }
}

impl Host for Envoy {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(i64::try_from(wasm::now().wrapping_div(1_000_000)).unwrap_or_default())
    }

    fn moment(&self) -> Moment {
        Moment::new(Duration::from_nanos(wasm::now()))
    }

    fn log(&self, level: Level, line: Arguments<'_>) {
        let level = match level {
            Level::Info | Level::Debug | Level::Trace => LogLevel::Info,
            Level::Warn => LogLevel::Warn,
            Level::Error => LogLevel::Error,
        };
        wasm::log(level, &line.to_string());
    }

    fn filter(&self) -> [Vec<u8>; 3] {
        let property = |name| wasm::property(name).unwrap_or_default();
        [property(b"plugin_name"), property(b"plugin_root_id"), buffer(BufferType::VmConfiguration)]
    }

    fn two_in_force(&self) -> &'static str {
        "two configs are in force under one name, root_id and VM configuration: give each filter a root_id of its own \
         (there is nothing to do while an old listener drains)"
    }

    fn config(&self) -> Vec<u8> {
        buffer(BufferType::PluginConfiguration)
    }

    fn requests_wait(&self) -> bool {
        true
    }

    fn tick_after(&self, period: Duration) {
        wasm::tick_every(u32::try_from(period.as_millis()).unwrap_or(u32::MAX));
    }

    fn request_trailers(&self) -> Headers {
        headers(MapType::HttpRequestTrailers)
    }

    fn remove_trailer(&self, name: &[u8]) -> bool {
        wasm::remove_header(MapType::HttpRequestTrailers, name)
    }

    fn property(&self, property: &Property) -> Option<Vec<u8>> {
        match property {
            Property::Claim(path) => {
                let mut claim = b"metadata\0filter_metadata\0envoy.filters.http.jwt_authn\0payload".to_vec();
                for name in &path.0 {
                    claim.push(0);
                    claim.extend_from_slice(name.as_bytes());
                }
                wasm::property(&claim).map(encoding::claim)
            }
            Property::Peer => wasm::property(b"connection\0uri_san_peer_certificate"),
            Property::Address => wasm::property(b"source\0address").map(|address| host_address(&address)),
            Property::Proxy => wasm::property(b"xds\0node\0id"),
        }
    }

    /// By metadata and not by port: the port may come from a PROXY header, or be the one that a connection had before
    /// it was redirected to a sidecar.
    fn listener(&self) -> Option<Vec<u8>> {
        wasm::property(b"xds\0listener_metadata\0filter_metadata\0tidegate\0listener")
    }

    fn reply(&self, reply: &effect::LocalReply<'_>) -> bool {
        let headers = reply.headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        wasm::reply(reply.status, Headers::collect(headers).as_bytes(), reply.body.as_bytes())
    }

    fn state(&self, name: &str) -> Option<Vec<u8>> {
        // The way by which also a value is found that another door has set.
        if name == STATE { wasm::property(b"filter_state\0wasm.tidegate.chain") } else { None }
    }

    /// Under `wasm.` and the name, which is one segment: Envoy joins several by a NUL, which nothing that reads filter
    /// state can write.
    fn keep(&self, name: &str, value: &[u8]) {
        wasm::set_property(name.as_bytes(), value);
    }

    /// To declare it again has no effect.
    fn keep_over_redirects(&self, name: &str) {
        wasm::call(b"declare_property", &encoding::declaration(name));
    }

    fn set_response_header(&self, name: &str, value: &[u8]) {
        wasm::set_header(MapType::HttpResponseHeaders, name.as_bytes(), value);
    }

    fn remove_response_header(&self, name: &str) {
        wasm::remove_header(MapType::HttpResponseHeaders, name.as_bytes());
    }

    fn add_response_header(&self, name: &str, value: &[u8]) {
        wasm::add_header(MapType::HttpResponseHeaders, name.as_bytes(), value);
    }

    fn final_status(&self) -> Option<u64> {
        number(b"response\0code")
    }

    /// An upstream's answer that came to its end needs no flags.
    fn ending(&self) -> Ending {
        let details = wasm::property(b"response\0code_details");
        if details.as_deref() == Some(b"via_upstream") {
            return Ending::default();
        }
        ending(number(b"response\0flags").unwrap_or_default(), details.as_deref())
    }

    /// Only then there is a time of its last byte.
    fn is_whole(&self) -> bool {
        number(b"response\0backend_latency").is_some()
    }

    fn response_trailer(&self, name: &str) -> Option<Vec<u8>> {
        wasm::header(MapType::HttpResponseTrailers, name.as_bytes())
    }

    fn define(&self, name: &str, kind: Kind) -> Option<u32> {
        let kind = match kind {
            Kind::Counter => MetricType::Counter,
            Kind::Gauge => MetricType::Gauge,
            Kind::Histogram => MetricType::Histogram,
        };
        wasm::define(kind, name)
    }

    fn add(&self, id: u32, more: u32) {
        // Envoy rejects an increment of 0.
        if more > 0 {
            wasm::increment(id, i64::from(more));
        }
    }

    fn record(&self, id: u32, value: u64) {
        wasm::record(id, value);
    }

    fn value(&self, id: u32) -> u64 {
        wasm::metric(id).unwrap_or_default()
    }

    fn read(&self, name: &str) -> (Option<Vec<u8>>, Option<u32>) {
        wasm::shared(name.as_bytes())
    }

    fn write(&self, name: &str, value: &[u8], version: Option<u32>) -> bool {
        wasm::set_shared(name.as_bytes(), value, version)
    }
}

fn headers(of: MapType) -> Headers {
    Headers::from_bytes(wasm::headers(of).unwrap_or_default())
}

fn buffer(of: BufferType) -> Vec<u8> {
    wasm::buffer(of).unwrap_or_default()
}

fn number(path: &[u8]) -> Option<u64> {
    wasm::property(path).and_then(|bytes| bytes.first_chunk().copied()).map(u64::from_le_bytes)
}

/// Applies one of these effects. Under this version of the ABI Envoy looks the route up again after each change of a
/// request header, so that it has to be asked only where none is changed.
#[inline]
fn apply(effect: &Effect<'_>, all: &[Effect<'_>], write: fn(MapType, &[u8], &[u8]) -> bool) -> bool {
    match effect {
        Effect::Set(name, value) => write(MapType::HttpRequestHeaders, name.as_bytes(), value.as_bytes()),
        Effect::Remove(name) => wasm::remove_header(MapType::HttpRequestHeaders, name),
        Effect::ClearRoute if all.len() > 1 => true,
        Effect::ClearRoute => wasm::call(b"clear_route_cache", b""),
        Effect::Dictionary(_) => {
            let (name, value) = effect.written().unwrap_or_default();
            write(MapType::HttpRequestHeaders, name.as_bytes(), value)
        }
        // Most of it is of others: it stays if it cannot be written.
        Effect::Baggage(value) => wasm::set_header(MapType::HttpRequestHeaders, BAGGAGE.as_bytes(), value),
    }
}
