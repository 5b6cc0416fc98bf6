//! The host calls, each once: bytes in, bytes out, and no error that a request could raise.
//!
//! Only calls that take and give bytes are used, because the SDK's string getters panic on a byte above 0x7f, and
//! a panic takes down every request of the worker. A call that fails leaves things as they were: the request goes
//! on. Never read a request header in the response phase: the SDK panics there, too.

use core::fmt::Arguments;
use std::time::{Duration, UNIX_EPOCH};

use proxy_wasm::hostcalls;
use proxy_wasm::types::{BufferType, LogLevel, MapType, MetricType};

use super::encoding;
use tidegate_engine::output::effect::{self, Effect, rewritten};
use tidegate_engine::plan::Property;
use tidegate_engine::request::headers::Headers;
use tidegate_engine::request::host_address;
use tidegate_engine::value::time::Timestamp;
use tidegate_proxy::host::{Host, Level};
use tidegate_proxy::metrics::catalogue::Kind;
use tidegate_proxy::outcome::{Answer, Moment};

/// Envoy, in the middle of a callback.
pub(super) struct Envoy;

impl Host for Envoy {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(i64::try_from(since_1970().as_millis()).unwrap_or_default())
    }

    fn moment(&self) -> Moment {
        Moment::new(since_1970())
    }

    fn log(&self, level: Level, line: Arguments<'_>) {
        let level = match level {
            Level::Info => LogLevel::Info,
            Level::Warn => LogLevel::Warn,
            Level::Error => LogLevel::Error,
        };
        let _ = hostcalls::log(level, &line.to_string());
    }

    fn filter(&self) -> [Vec<u8>; 3] {
        let property = |name| get(vec![name]).unwrap_or_default();
        [property("plugin_name"), property("plugin_root_id"), buffer(BufferType::VmConfiguration)]
    }

    fn two_in_force(&self) -> &'static str {
        "two configs are in force under one name, root_id and VM configuration: give each filter a root_id of its own \
         (there is nothing to do while an old listener drains)"
    }

    fn config(&self) -> Vec<u8> {
        buffer(BufferType::PluginConfiguration)
    }

    fn tick_after(&self, period: Duration) {
        let _ = hostcalls::set_tick_period(period);
    }

    fn request_headers(&self) -> Headers {
        headers(MapType::HttpRequestHeaders)
    }

    fn request_trailers(&self) -> Headers {
        headers(MapType::HttpRequestTrailers)
    }

    fn remove_trailer(&self, name: &[u8]) -> bool {
        remove(MapType::HttpRequestTrailers, name)
    }

    fn property(&self, property: &Property) -> Option<Vec<u8>> {
        const CLAIMS: [&str; 4] = ["metadata", "filter_metadata", "envoy.filters.http.jwt_authn", "payload"];
        match property {
            Property::Claim(path) => {
                get(CLAIMS.into_iter().chain(path.0.iter().map(|name| &**name)).collect()).map(encoding::claim)
            }
            Property::Peer => get(vec!["connection", "uri_san_peer_certificate"]),
            Property::Address => get(vec!["source", "address"]).map(|address| host_address(&address)),
            Property::Proxy => get(vec!["xds", "node", "id"]),
        }
    }

    /// By metadata and not by port: the port may come from a PROXY header, or be the one that a connection had before
    /// it was redirected to a sidecar.
    fn listener(&self) -> Option<Vec<u8>> {
        get(vec!["xds", "listener_metadata", "filter_metadata", "tidegate", "listener"])
    }

    /// More than a few changes are written as all headers in one call, because Envoy walks the whole list for each call
    /// that changes one header.
    fn apply(&self, effects: &[Effect<'_>], headers: &Headers) -> u32 {
        const FEW: usize = 3;
        let each = |effects: &mut dyn Iterator<Item = &Effect<'_>>| {
            effects.map(|effect| u32::from(!apply_one(effect))).fold(0, u32::saturating_add)
        };
        let one_by_one = || each(&mut effects.iter());
        // If Envoy gave no headers, writing a list would delete those that it has.
        if effects.len() <= FEW || headers.is_empty() {
            return one_by_one();
        }
        let all = rewritten(headers.iter(), effects);
        let all: Vec<(&str, &[u8])> =
            all.into_iter().map(|(name, value)| (core::str::from_utf8(name).unwrap_or_default(), value)).collect();
        if !encoding::is_taken(&all) {
            return one_by_one();
        }
        let written = hostcalls::set_map_bytes(MapType::HttpRequestHeaders, all).is_ok();
        let cleared = each(&mut effects.iter().filter(|effect| **effect == Effect::ClearRoute));
        cleared.saturating_add(u32::from(!written))
    }

    /// Where Envoy does not take one, the SDK panics.
    fn reply(&self, reply: &effect::LocalReply<'_>) -> bool {
        hostcalls::send_http_response(reply.status, reply.headers.clone(), Some(reply.body.as_bytes())).is_ok()
    }

    fn state(&self, name: &str) -> Option<Vec<u8>> {
        get(vec![name])
    }

    /// Under `wasm.` and the name, which is one segment: Envoy joins several by a NUL, which nothing that reads filter
    /// state can write.
    fn keep(&self, name: &str, value: &[u8]) {
        let _ = hostcalls::set_property(vec![name], Some(value));
    }

    /// To declare it again has no effect.
    fn keep_over_redirects(&self, name: &str) {
        let _ = hostcalls::call_foreign_function("declare_property", Some(&encoding::declaration(name)));
    }

    fn response_header(&self, name: &str) -> Option<Vec<u8>> {
        get(vec!["response", "headers", name])
    }

    fn set_response_header(&self, name: &str, value: &[u8]) {
        let _ = hostcalls::set_map_value_bytes(MapType::HttpResponseHeaders, name, Some(value));
    }

    fn remove_response_header(&self, name: &str) {
        let _ = hostcalls::remove_map_value(MapType::HttpResponseHeaders, name);
    }

    fn add_response_header(&self, name: &str, value: &[u8]) {
        let _ = hostcalls::add_map_value_bytes(MapType::HttpResponseHeaders, name, value);
    }

    fn status(&self) -> Option<u64> {
        number(vec!["response", "code"])
    }

    fn answer(&self) -> Answer {
        let kind = self.response_header("content-type");
        let is_grpc = kind.is_some_and(|kind| kind.starts_with(b"application/grpc"));
        let flags = number(vec!["response", "flags"]).unwrap_or_default();
        Answer {
            code: self.status(),
            ending: encoding::ending(flags, get(vec!["response", "code_details"]).as_deref()),
            grpc: if is_grpc { grpc_status() } else { None },
            ..Answer::default()
        }
    }

    fn define(&self, name: &str, kind: Kind) -> Option<u32> {
        let kind = match kind {
            Kind::Counter => MetricType::Counter,
            Kind::Gauge => MetricType::Gauge,
            Kind::Histogram => MetricType::Histogram,
        };
        hostcalls::define_metric(kind, name).ok()
    }

    fn add(&self, id: u32, more: u32) {
        // Envoy rejects an increment of 0.
        if more > 0 {
            let _ = hostcalls::increment_metric(id, i64::from(more));
        }
    }

    fn record(&self, id: u32, value: u64) {
        let _ = hostcalls::record_metric(id, value);
    }

    fn value(&self, id: u32) -> u64 {
        hostcalls::get_metric(id).unwrap_or_default()
    }

    fn read(&self, name: &str) -> (Option<Vec<u8>>, Option<u32>) {
        hostcalls::get_shared_data(name).unwrap_or_default()
    }

    fn write(&self, name: &str, value: &[u8], version: Option<u32>) -> bool {
        hostcalls::set_shared_data(name, Some(value), version).is_ok()
    }
}

fn headers(of: MapType) -> Headers {
    let all = hostcalls::get_map_bytes(of).unwrap_or_default();
    Headers::collect(all.iter().map(|(name, value)| (name.as_bytes(), value.as_slice())))
}

fn remove(of: MapType, name: &[u8]) -> bool {
    core::str::from_utf8(name).is_ok_and(|name| hostcalls::remove_map_value(of, name).is_ok())
}

fn get(path: Vec<&str>) -> Option<Vec<u8>> {
    hostcalls::get_property(path).ok().flatten()
}

fn number(path: Vec<&str>) -> Option<u64> {
    get(path).and_then(|bytes| bytes.first_chunk().copied()).map(u64::from_le_bytes)
}

fn buffer(of: BufferType) -> Vec<u8> {
    hostcalls::get_buffer(of, 0, usize::MAX).ok().flatten().unwrap_or_default()
}

fn since_1970() -> Duration {
    hostcalls::get_current_time().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok()).unwrap_or_default()
}

fn apply_one(effect: &Effect<'_>) -> bool {
    match effect {
        Effect::Remove(name) => remove(MapType::HttpRequestHeaders, name),
        Effect::Set(..) | Effect::Dictionary(_) | Effect::Baggage(_) => effect.written().is_none_or(|(name, value)| {
            hostcalls::set_map_value_bytes(MapType::HttpRequestHeaders, name, Some(value)).is_ok()
        }),
        Effect::ClearRoute => hostcalls::call_foreign_function("clear_route_cache", None).is_ok(),
    }
}

/// The status of a gRPC call. Envoy makes one up for an answer that has none, and says 2, which is right where the
/// version said no more, and wrong where its client has left: the first has a time of the last byte.
fn grpc_status() -> Option<u64> {
    let status = number(vec!["response", "grpc_status"]);
    status.filter(|status| *status != 2 || number(vec!["response", "backend_latency"]).is_some())
}
