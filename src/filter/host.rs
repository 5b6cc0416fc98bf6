//! The host calls, each once: bytes in, bytes out, and no error that a request could raise.
//!
//! Only calls that take and give bytes are used, because the SDK's string getters panic on a byte above 0x7f, and
//! a panic takes down every request of the worker. A call that fails leaves things as they were: the request goes
//! on. Never read a request header in the response phase: the SDK panics there, too.

use std::borrow::Cow;
use std::time::{Duration, UNIX_EPOCH};

use proxy_wasm::hostcalls;
use proxy_wasm::types::{BufferType, MapType, MetricType};

use tidegate_engine::output::chain::STATE;
use tidegate_engine::output::effect::{self, Effect, INSPECTION, OnResponse, rewritten};
use tidegate_engine::plan::{Property, Varies};
use tidegate_engine::request::{host_address, host_claim};
use tidegate_engine::value::time::Timestamp;
use tidegate_proxy::guard::Store;
use tidegate_proxy::lifecycle::{self, Accepted};
use tidegate_proxy::metrics::catalogue::Kind;
use tidegate_proxy::outcome::{Answer, Moment, Time};

/// The request's headers, in order, with Envoy's pseudo-headers.
pub(super) fn request_headers() -> Vec<(String, Vec<u8>)> {
    hostcalls::get_map_bytes(MapType::HttpRequestHeaders).unwrap_or_default()
}

/// The trailers of the request, in order.
pub(super) fn request_trailers() -> Vec<(String, Vec<u8>)> {
    hostcalls::get_map_bytes(MapType::HttpRequestTrailers).unwrap_or_default()
}

/// Takes trailers away from the request. Returns how many, and how many of them the host would not give up.
pub(super) fn take_trailers<'n>(names: impl Iterator<Item = &'n str>) -> (u32, u32) {
    names.fold((0, 0), |(taken, refused), name| {
        let kept = hostcalls::remove_map_value(MapType::HttpRequestTrailers, name).is_err();
        (u32::saturating_add(taken, 1), u32::saturating_add(refused, u32::from(kept)))
    })
}

fn get(path: Vec<&str>) -> Option<Vec<u8>> {
    hostcalls::get_property(path).ok().flatten()
}

/// A property of the request, in the form in which the engine wants it.
pub(super) fn property(property: &Property) -> Option<Vec<u8>> {
    const CLAIMS: [&str; 4] = ["metadata", "filter_metadata", "envoy.filters.http.jwt_authn", "payload"];
    match property {
        Property::Claim(path) => {
            get(CLAIMS.into_iter().chain(path.0.iter().map(|name| &**name)).collect()).map(host_claim)
        }
        Property::Peer => get(vec!["connection", "uri_san_peer_certificate"]),
        Property::Address => get(vec!["source", "address"]).map(|address| host_address(&address)),
        Property::Proxy => get(vec!["xds", "node", "id"]),
    }
}

fn since_1970() -> Duration {
    hostcalls::get_current_time().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok()).unwrap_or_default()
}

/// The host's clock.
pub(super) fn now() -> Timestamp {
    Timestamp::from_millis(i64::try_from(since_1970().as_millis()).unwrap_or_default())
}

/// The host's clock, for times of answers.
pub(super) fn clock() -> Moment {
    Moment::new(since_1970())
}

/// Applies the effects to a request with these headers.
///
/// From a few changes on, all headers are written in one call: Envoy looks a header up by walking the list, for each
/// call anew. Returns how many changes the host would not make.
pub(super) fn apply(effects: &[Effect<'_>], headers: &[(String, Vec<u8>)]) -> u32 {
    const FEW: usize = 3;
    // A host that gave no headers keeps its own: they must not be written over.
    // Of more than 1,024 headers, or more than 1 MiB, Envoy takes none, and leaves the request without any.
    const MANY: usize = 512;
    const LARGE: usize = 512 * 1024;
    let each = |effects: &mut dyn Iterator<Item = &Effect<'_>>| {
        effects.map(|effect| u32::from(!apply_one(effect))).fold(0, u32::saturating_add)
    };
    let one_by_one = || each(&mut effects.iter());
    if effects.len() <= FEW || headers.is_empty() {
        return one_by_one();
    }
    let all = rewritten(headers, effects);
    let bytes = all.iter().map(|(name, value)| name.len().saturating_add(value.len())).fold(0, usize::saturating_add);
    if all.len() > MANY || bytes > LARGE {
        return one_by_one();
    }
    let written = hostcalls::set_map_bytes(MapType::HttpRequestHeaders, all).is_ok();
    let cleared = each(&mut effects.iter().filter(|effect| **effect == Effect::ClearRoute));
    cleared.saturating_add(u32::from(!written))
}

fn apply_one(effect: &Effect<'_>) -> bool {
    match effect {
        Effect::Remove(name) => hostcalls::remove_map_value(MapType::HttpRequestHeaders, name).is_ok(),
        Effect::Set(..) | Effect::Dictionary(_) | Effect::Baggage(_) => effect.written().is_none_or(|(name, value)| {
            hostcalls::set_map_value_bytes(MapType::HttpRequestHeaders, name, Some(value)).is_ok()
        }),
        Effect::ClearRoute => hostcalls::call_foreign_function("clear_route_cache", None).is_ok(),
    }
}

/// Keeps values in the request's filter state, under `wasm.` and their names.
pub(super) fn keep(states: &[(&str, Cow<'_, str>)]) {
    for (name, value) in states {
        // One segment: Envoy joins several by a NUL, which nothing that reads filter state can write.
        let _ = hostcalls::set_property(vec![name], Some(value.as_bytes()));
    }
}

/// What the instances before this one in the chain have left, if there are any.
pub(super) fn chain() -> Option<Vec<u8>> {
    get(vec![STATE])
}

/// Leaves it to those behind this one.
pub(super) fn keep_chain(state: &[u8]) {
    let _ = hostcalls::set_property(vec![STATE], Some(state));
}

/// Makes what is left there outlive an internal redirect; where it is declared already, that is said again for nothing.
pub(super) fn declare_chain() {
    // `DeclarePropertyArguments {name: STATE, span: DownstreamRequest}` as protobuf.
    let mut arguments = vec![0x0a, u8::try_from(STATE.len()).unwrap_or_default()];
    arguments.extend_from_slice(STATE.as_bytes());
    arguments.extend_from_slice(&[0x28, 0x01]);
    let _ = hostcalls::call_foreign_function("declare_property", Some(&arguments));
}

/// Puts onto the response what it has to carry.
pub(super) fn apply_to_response(carry: &OnResponse) {
    if let Some(cookie) = &carry.cookie {
        // Added, not set: the upstream's own cookies stay.
        let _ = hostcalls::add_map_value_bytes(MapType::HttpResponseHeaders, "set-cookie", cookie.as_bytes());
    }
    if carry.varies != Varies::Never {
        let header = |name| get(vec!["response", "headers", name]);
        if let Some((name, value, beside)) = carry.for_caches(header("cache-control").as_deref(), || header("vary")) {
            let _ = if beside {
                hostcalls::add_map_value_bytes(MapType::HttpResponseHeaders, name, &value)
            } else {
                hostcalls::set_map_value_bytes(MapType::HttpResponseHeaders, name, Some(&value))
            };
        }
    }
    if let Some(inspection) = &carry.inspection {
        let _ = hostcalls::set_map_value_bytes(MapType::HttpResponseHeaders, INSPECTION, Some(inspection.as_bytes()));
    }
}

/// Answers the request in the upstream's place.
pub(super) fn answer(answer: &effect::Answer<'_>) {
    let body = answer.body.as_bytes();
    let _ = hostcalls::send_http_response(answer.status, answer.headers.clone(), Some(body));
}

fn number(path: Vec<&str>) -> Option<u64> {
    get(path).and_then(|bytes| bytes.first_chunk().copied()).map(u64::from_le_bytes)
}

/// The status of the answer to a request that is done, if one came.
pub(super) fn status() -> Option<u64> {
    number(vec!["response", "code"])
}

/// What the listener that a request came by is called in its own metadata. Its port could not be trusted: it is the one
/// that a PROXY header names, or to which a connection was sent before it was redirected to a sidecar.
pub(super) fn listener() -> Option<Vec<u8>> {
    get(vec!["xds", "listener_metadata", "filter_metadata", "tidegate", "listener"])
}

/// What the host knows of a request that is done, and whose answer took this long. To be asked only when it is.
pub(super) fn answered(time: Time) -> Answer {
    let kind = get(vec!["response", "headers", "content-type"]);
    let is_grpc = kind.is_some_and(|kind| kind.starts_with(b"application/grpc"));
    Answer {
        code: status(),
        flags: number(vec!["response", "flags"]).unwrap_or_default(),
        too_long: get(vec!["response", "code_details"]).is_some_and(|details| details == b"max_duration_timeout"),
        grpc: if is_grpc { grpc_status() } else { None },
        time,
    }
}

/// The status of a gRPC call. Envoy makes one up for an answer that has none, and says 2, which is right where the
/// version said no more, and wrong where its client has left: the first has a time of the last byte.
fn grpc_status() -> Option<u64> {
    let status = number(vec!["response", "grpc_status"]);
    status.filter(|status| *status != 2 || number(vec!["response", "backend_latency"]).is_some())
}

/// Has the plugin called on the tick from now on.
pub(super) fn tick(period: Duration) {
    let _ = hostcalls::set_tick_period(period);
}

/// What all VMs of a filter remember together.
pub(super) struct Shared<'k> {
    /// The filter's key: what all names in it begin with.
    pub(super) key: &'k str,
}

impl Store for Shared<'_> {
    fn read(&mut self, key: &str) -> (Option<Vec<u8>>, Option<u32>) {
        hostcalls::get_shared_data(&[self.key, key].concat()).unwrap_or_default()
    }

    fn write(&mut self, key: &str, value: &[u8], version: Option<u32>) -> bool {
        hostcalls::set_shared_data(&[self.key, key].concat(), Some(value), version).is_ok()
    }
}

/// The name by which the plugin goes in metrics, and the key by which its VMs remember things.
pub(super) fn plugin() -> (String, String) {
    let name = get(vec!["plugin_name"]).unwrap_or_default();
    let root = get(vec!["plugin_root_id"]).unwrap_or_default();
    let vm = hostcalls::get_buffer(BufferType::VmConfiguration, 0, usize::MAX).ok().flatten().unwrap_or_default();
    (String::from_utf8_lossy(&name).into_owned(), lifecycle::key([&name, &root, &vm]))
}

/// The last config that was good, in any VM of the filter.
pub(super) fn last_good(key: &str) -> Option<Vec<u8>> {
    Shared { key }.read("last-good").0
}

/// Makes a config the last good one.
pub(super) fn remember_good(key: &str, config: &[u8]) {
    Shared { key }.write("last-good", config, None);
}

/// Whether a bad config is on a record, which is written where `add` is set; whether it was there before.
pub(super) fn on_record(key: &str, record: &str, config: &[u8], add: bool) -> bool {
    let mut shared = Shared { key };
    let (bytes, version) = shared.read(record);
    let mut known = Accepted::new(bytes.unwrap_or_default());
    let had = known.has(config);
    if add && !had {
        known.add(config);
        if !shared.write(record, known.as_bytes(), version) {
            // Another VM has added one meanwhile: add ours to that.
            let mut other = Accepted::new(shared.read(record).0.unwrap_or_default());
            other.add(config);
            shared.write(record, other.as_bytes(), None);
        }
    }
    had
}

/// Defines a metric; the same name is the same metric in every VM.
pub(super) fn define(name: &str, kind: Kind) -> Option<u32> {
    let kind = match kind {
        Kind::Counter => MetricType::Counter,
        Kind::Gauge => MetricType::Gauge,
        Kind::Histogram => MetricType::Histogram,
    };
    hostcalls::define_metric(kind, name).ok()
}

/// Adds to a counter.
pub(super) fn count(id: u32, more: u32) {
    // Envoy takes nothing but what is above 0.
    if more > 0 {
        let _ = hostcalls::increment_metric(id, i64::from(more));
    }
}

/// Adds a value to a histogram.
pub(super) fn record(id: u32, value: u64) {
    let _ = hostcalls::record_metric(id, value);
}

/// The value of a counter or gauge, over all VMs.
pub(super) fn value(id: u32) -> u64 {
    hostcalls::get_metric(id).unwrap_or_default()
}

/// Sets a gauge.
pub(super) fn set_gauge(id: u32, value: u64) {
    let _ = hostcalls::record_metric(id, value);
}

/// The bytes of the plugin's configuration.
pub(super) fn configuration() -> Vec<u8> {
    let bytes = hostcalls::get_buffer(BufferType::PluginConfiguration, 0, usize::MAX);
    bytes.ok().flatten().unwrap_or_default()
}
