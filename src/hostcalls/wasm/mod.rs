//! proxy-wasm, ABI 0.2.1: what the host offers as safe functions over bytes, and [`export!`](crate::export) for what it
//! calls.
//!
//! A request makes few of these calls, so that their number is most of what it costs: nothing is copied, checked or
//! allocated beyond what the ABI needs. Names and values are bytes, whatever they hold. A property's path is one text
//! with a zero byte between its parts, as the ABI has it.

#![allow(clippy::must_use_candidate, reason = "a change that Envoy refuses leaves things as they were")]

mod allocator;
mod exports;
mod kinds;
#[cfg(not(target_arch = "wasm32"))]
pub mod model;
mod sys;

pub use allocator::SizeClasses;
pub use exports::Callbacks;
pub use kinds::{BufferType, LogLevel, MapType, MetricType};

use core::ptr::{null_mut, slice_from_raw_parts_mut};

const OK: u32 = 0;

/// Writes a line to Envoy's log.
pub fn log(level: LogLevel, line: &str) {
    // SAFETY: the host reads `line` during the call, and keeps no pointer to it.
    unsafe { sys::proxy_log(level as u32, line.as_ptr(), line.len()) };
}

/// The nanoseconds since 1970.
#[must_use]
pub fn now() -> u64 {
    let mut nanos = 0;
    // SAFETY: the host writes one number to `nanos`, which outlives the call.
    unsafe { sys::proxy_get_current_time_nanoseconds(&raw mut nanos) };
    nanos
}

/// Sets the period of the ticks of the root context that is called at the moment.
pub fn tick_every(millis: u32) {
    // SAFETY: no memory is shared.
    unsafe { sys::proxy_set_tick_period_milliseconds(millis) };
}

/// The whole of a buffer; none if it is empty or not there.
#[must_use]
pub fn buffer(of: BufferType) -> Option<Vec<u8>> {
    // SAFETY: `returned` gives pointers that may be written during the call.
    returned(|data, size| unsafe { sys::proxy_get_buffer_bytes(of as u32, 0, usize::MAX, data, size) })
}

/// All headers of a map, in the layout of the ABI; none if the map is empty or not there.
#[must_use]
pub fn headers(of: MapType) -> Option<Vec<u8>> {
    // SAFETY: as in `buffer`.
    returned(|data, size| unsafe { sys::proxy_get_header_map_pairs(of as u32, data, size) })
}

/// The first value of a header; none if the header is not there.
#[must_use]
pub fn header(of: MapType, name: &[u8]) -> Option<Vec<u8>> {
    let mut found = false;
    let value = returned(|data, size| {
        // SAFETY: the host reads `name` during the call; the two pointers may be written during it.
        let status = unsafe { sys::proxy_get_header_map_value(of as u32, name.as_ptr(), name.len(), data, size) };
        found = status == OK;
        status
    });
    value.or_else(|| found.then(Vec::new))
}

/// Removes all values of a header. Returns whether the host did.
pub fn remove_header(of: MapType, name: &[u8]) -> bool {
    // SAFETY: the host reads `name` during the call, and keeps no pointer to it.
    OK == unsafe { sys::proxy_remove_header_map_value(of as u32, name.as_ptr(), name.len()) }
}

/// Sets a header to this one value. Returns whether the host did.
pub fn set_header(of: MapType, name: &[u8], value: &[u8]) -> bool {
    let (key, size) = (name.as_ptr(), name.len());
    // SAFETY: the host reads `name` and `value` during the call, and keeps no pointer to them.
    OK == unsafe { sys::proxy_replace_header_map_value(of as u32, key, size, value.as_ptr(), value.len()) }
}

/// Adds a value to a header. Returns whether the host did.
pub fn add_header(of: MapType, name: &[u8], value: &[u8]) -> bool {
    let (key, size) = (name.as_ptr(), name.len());
    // SAFETY: as in `set_header`.
    OK == unsafe { sys::proxy_add_header_map_value(of as u32, key, size, value.as_ptr(), value.len()) }
}

/// A property; none if it is empty or not there.
#[must_use]
pub fn property(path: &[u8]) -> Option<Vec<u8>> {
    // SAFETY: the host reads `path` during the call; `returned` gives pointers that may be written during it.
    returned(|data, size| unsafe { sys::proxy_get_property(path.as_ptr(), path.len(), data, size) })
}

/// Sets a property of the request, which becomes a value of its filter state.
pub fn set_property(path: &[u8], value: &[u8]) {
    let (key, size) = (path.as_ptr(), path.len());
    // SAFETY: the host reads `path` and `value` during the call, and keeps no pointer to them.
    unsafe { sys::proxy_set_property(key, size, value.as_ptr(), value.len()) };
}

/// A shared value, and its version.
#[must_use]
pub fn shared(key: &[u8]) -> (Option<Vec<u8>>, Option<u32>) {
    let (mut version, mut found) = (0, false);
    let value = returned(|data, size| {
        // SAFETY: the host reads `key` during the call; the three pointers may be written during it.
        let status = unsafe { sys::proxy_get_shared_data(key.as_ptr(), key.len(), data, size, &raw mut version) };
        found = status == OK;
        status
    });
    (value, (found && version != 0).then_some(version))
}

/// Writes a shared value, if it still has this version; without a version, always. Returns whether it was written.
#[must_use]
pub fn set_shared(key: &[u8], value: &[u8], version: Option<u32>) -> bool {
    let (version, data, size) = (version.unwrap_or(0), value.as_ptr(), value.len());
    // SAFETY: the host reads `key` and `value` during the call, and keeps no pointer to them.
    OK == unsafe { sys::proxy_set_shared_data(key.as_ptr(), key.len(), data, size, version) }
}

/// Answers the request that is called for at the moment, with headers in the layout of the ABI. Returns whether the
/// host does.
#[must_use]
pub fn reply(status: u32, headers: &[u8], body: &[u8]) -> bool {
    const NO_GRPC_STATUS: i32 = -1;
    let (all, size) = (headers.as_ptr(), headers.len());
    let (body, length) = (body.as_ptr(), body.len());
    // SAFETY: the host reads `headers` and `body` during the call, and keeps no pointer to them; there are no details.
    OK == unsafe { sys::proxy_send_local_response(status, body, 0, body, length, all, size, NO_GRPC_STATUS) }
}

/// Calls a function of Envoy's own, and drops what it returns. Returns whether it could.
pub fn call(name: &[u8], arguments: &[u8]) -> bool {
    let mut done = false;
    drop(returned(|data, size| {
        let (name, length) = (name.as_ptr(), name.len());
        let (given, given_size) = (arguments.as_ptr(), arguments.len());
        // SAFETY: the host reads `name` and `arguments` during the call; the two pointers may be written during it.
        let status = unsafe { sys::proxy_call_foreign_function(name, length, given, given_size, data, size) };
        done = status == OK;
        status
    }));
    done
}

/// Defines a metric. The same name is the same metric, but gets a new number each time.
#[must_use]
pub fn define(kind: MetricType, name: &str) -> Option<u32> {
    let mut id = 0;
    // SAFETY: the host reads `name` during the call, and writes one number to `id`.
    let status = unsafe { sys::proxy_define_metric(kind as u32, name.as_ptr(), name.len(), &raw mut id) };
    (status == OK).then_some(id)
}

/// The value of a counter or a gauge.
#[must_use]
pub fn metric(id: u32) -> Option<u64> {
    let mut value = 0;
    // SAFETY: the host writes one number to `value`, which outlives the call.
    let status = unsafe { sys::proxy_get_metric(id, &raw mut value) };
    (status == OK).then_some(value)
}

/// Sets a counter or a gauge, or adds a value to a histogram.
pub fn record(id: u32, value: u64) {
    // SAFETY: no memory is shared.
    unsafe { sys::proxy_record_metric(id, value) };
}

/// Adds to a counter.
pub fn increment(id: u32, more: i64) {
    // SAFETY: no memory is shared.
    unsafe { sys::proxy_increment_metric(id, more) };
}

/// Memory for so many bytes that the host returns: those of a boxed slice, which the call takes over.
#[must_use]
pub fn room(size: usize) -> *mut u8 {
    Box::into_raw(Box::<[u8]>::new_uninit_slice(size)).cast()
}

/// Makes a call that returns bytes: these, or none if it failed or there are none.
fn returned(call: impl FnOnce(*mut *mut u8, *mut usize) -> u32) -> Option<Vec<u8>> {
    let (mut data, mut size) = (null_mut(), 0);
    if call(&raw mut data, &raw mut size) != OK || data.is_null() {
        return None;
    }
    // SAFETY: the host has asked `malloc`, which this module exports, for `size` bytes, has written all of them, and
    // forgets them: they are ours. `malloc` is `room`, which allocates a boxed slice of exactly this size.
    let bytes = unsafe { Box::from_raw(slice_from_raw_parts_mut(data, size)) };
    Some(bytes.into_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_host_says_arrives() {
        model::run(|| {
            assert_eq!(now(), 1_700_000_000_000_000_000);
            assert!(set_header(MapType::HttpRequestHeaders, b"x-odd", b"\xff\0"));
            assert!(add_header(MapType::HttpRequestHeaders, b"x-odd", b""));
            let all = headers(MapType::HttpRequestHeaders).unwrap_or_default();
            assert_eq!(all.first_chunk(), Some(&2_u32.to_le_bytes()));
            assert!(all.ends_with(b"x-odd\0\xff\0\0x-odd\0\0"), "{all:?}");
            assert_eq!(header(MapType::HttpRequestHeaders, b"x-odd"), Some(b"\xff\0".to_vec()));
            assert_eq!(header(MapType::HttpRequestHeaders, b"x-other"), None);
            assert!(add_header(MapType::HttpResponseHeaders, b"x-empty", b""));
            assert_eq!(header(MapType::HttpResponseHeaders, b"x-empty"), Some(Vec::new()));
            assert!(remove_header(MapType::HttpRequestHeaders, b"x-odd"));
            assert_eq!(headers(MapType::HttpRequestHeaders), None);
            assert!(!set_header(MapType::HttpRequestTrailers, b"x", b""), "the model has none");
        });
    }

    #[test]
    fn values_are_kept_by_name() {
        model::run(|| {
            assert_eq!(property(b"a\0b"), None);
            set_property(b"a\0b", b"c");
            assert_eq!(property(b"a\0b"), Some(b"c".to_vec()));
            set_property(b"empty", b"");
            assert_eq!(property(b"empty"), None);
            assert_eq!(shared(b"k"), (None, None));
            assert!(set_shared(b"k", b"1", None));
            let (value, version) = shared(b"k");
            assert_eq!((value.as_deref(), version), (Some(&b"1"[..]), Some(1)));
            assert!(set_shared(b"k", b"2", version) && !set_shared(b"k", b"3", version));
            assert_eq!(shared(b"k"), (Some(b"2".to_vec()), Some(2)));
            assert_eq!(buffer(BufferType::PluginConfiguration), None);
        });
    }

    #[test]
    fn what_is_asked_of_the_host_is_done() {
        model::run(|| {
            assert!(reply(204, &0_u32.to_le_bytes(), b"body"));
            assert!(call(b"clear_route_cache", b"") && !call(b"other", b""));
            tick_every(250);
            let id = define(MetricType::Counter, "requests").unwrap_or_default();
            increment(id, 3);
            assert_eq!(metric(id), Some(3));
            record(id, 7);
            assert_eq!((metric(id), metric(id + 1)), (Some(7), None));
            log(LogLevel::Warn, "a line");
            let done = ["reply 204 body", "call clear_route_cache", "tick 250", "log 3 a line"];
            assert_eq!(model::done(), done);
        });
    }
}
