//! A host that is a few maps, for tests in this process: the same functions with the same pointers, so that what reads
//! and writes through them is the code that runs in Envoy.
//!
//! One host a thread. What it returns it allocates as the module's `malloc` does.
#![allow(clippy::missing_safety_doc, clippy::must_use_candidate, missing_docs, reason = "the ABI says what they do")]

use core::cell::RefCell;
use core::slice;
use std::collections::BTreeMap;

const OK: u32 = 0;
const NOT_FOUND: u32 = 1;
const BAD_ARGUMENT: u32 = 2;
const CAS_MISMATCH: u32 = 8;

type Fields = Vec<(Vec<u8>, Vec<u8>)>;

#[derive(Debug, Default)]
struct Model {
    /// The maps that it has: of requests and of responses.
    maps: BTreeMap<u32, Fields>,
    properties: BTreeMap<Vec<u8>, Vec<u8>>,
    shared: BTreeMap<Vec<u8>, (Vec<u8>, u32)>,
    metrics: Vec<u64>,
    done: Vec<String>,
}

thread_local! {
    static MODEL: RefCell<Model> = RefCell::default();
}

/// Runs a test with a new host.
pub fn run(test: impl FnOnce()) {
    let maps = [(0, Fields::new()), (2, Fields::new())].into();
    MODEL.set(Model { maps, ..Model::default() });
    test();
}

/// What it was told to do.
pub fn done() -> Vec<String> {
    with(|model| model.done.clone())
}

fn with<T>(ask: impl FnOnce(&mut Model) -> T) -> T {
    MODEL.with_borrow_mut(ask)
}

/// The bytes at a pointer that the module gave.
unsafe fn given<'b>(data: *const u8, size: usize) -> &'b [u8] {
    // SAFETY: the module gives pointers to so many bytes, for the time of the call.
    unsafe { slice::from_raw_parts(data, size) }
}

/// Returns bytes to the module: nothing for none.
unsafe fn give(bytes: &[u8], data: *mut *mut u8, size: *mut usize) -> u32 {
    let copy: *mut [u8] = if bytes.is_empty() { &mut [] } else { Box::into_raw(Box::from(bytes)) };
    let start = if bytes.is_empty() { core::ptr::null_mut() } else { copy.cast() };
    // SAFETY: the module gives a pointer that may be written.
    unsafe { data.write(start) };
    // SAFETY: likewise.
    unsafe { size.write(bytes.len()) };
    OK
}

fn pairs(fields: &Fields) -> Vec<u8> {
    let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes();
    let mut bytes = number(fields.len()).to_vec();
    for (name, value) in fields {
        bytes.extend(number(name.len()));
        bytes.extend(number(value.len()));
    }
    for part in fields.iter().flat_map(|(name, value)| [name, value]) {
        bytes.extend_from_slice(part);
        bytes.push(0);
    }
    bytes
}

fn fields(bytes: &[u8]) -> Option<Fields> {
    let (count, rest) = bytes.split_first_chunk()?;
    let count = usize::try_from(u32::from_le_bytes(*count)).ok()?;
    let (lengths, mut rest) = rest.split_at_checked(count.checked_mul(8)?)?;
    let mut take = |length: &[u8]| {
        let length = usize::try_from(u32::from_le_bytes(*length.first_chunk()?)).ok()?;
        let (part, others) = rest.split_at_checked(length)?;
        rest = others.get(1..)?;
        Some(part.to_vec())
    };
    lengths.chunks_exact(8).map(|two| Some((take(two.get(..4)?)?, take(two.get(4..)?)?))).collect()
}

pub(super) unsafe fn proxy_log(level: u32, line: *const u8, size: usize) -> u32 {
    // SAFETY: as the caller promises.
    let line = String::from_utf8_lossy(unsafe { given(line, size) });
    with(|model| model.done.push(format!("log {level} {line}")));
    OK
}

pub(super) unsafe fn proxy_get_current_time_nanoseconds(nanos: *mut u64) -> u32 {
    // SAFETY: as the caller promises.
    unsafe { nanos.write(1_700_000_000_000_000_000) };
    OK
}

pub(super) unsafe fn proxy_set_tick_period_milliseconds(millis: u32) -> u32 {
    with(|model| model.done.push(format!("tick {millis}")));
    OK
}

pub(super) unsafe fn proxy_get_buffer_bytes(_: u32, _: usize, _: usize, _: *mut *mut u8, _: *mut usize) -> u32 {
    NOT_FOUND
}

pub(super) unsafe fn proxy_get_header_map_pairs(map: u32, data: *mut *mut u8, size: *mut usize) -> u32 {
    let all =
        with(|model| model.maps.get(&map).map(|fields| if fields.is_empty() { Vec::new() } else { pairs(fields) }));
    match all {
        // SAFETY: as the caller promises.
        Some(all) => unsafe { give(&all, data, size) },
        None => BAD_ARGUMENT,
    }
}

pub(super) unsafe fn proxy_get_header_map_value(
    map: u32,
    name: *const u8,
    length: usize,
    data: *mut *mut u8,
    size: *mut usize,
) -> u32 {
    // SAFETY: as the caller promises.
    let name = unsafe { given(name, length) };
    let first = |fields: &Fields| fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
    match with(|model| model.maps.get(&map).and_then(first)) {
        // SAFETY: as the caller promises.
        Some(value) => unsafe { give(&value, data, size) },
        None => NOT_FOUND,
    }
}

pub(super) unsafe fn proxy_remove_header_map_value(map: u32, name: *const u8, size: usize) -> u32 {
    // SAFETY: as the caller promises.
    let name = unsafe { given(name, size) };
    with(|model| model.maps.get_mut(&map).map(|fields| fields.retain(|(known, _)| known != name))).map_or(2, |()| OK)
}

pub(super) unsafe fn proxy_replace_header_map_value(
    map: u32,
    name: *const u8,
    size: usize,
    value: *const u8,
    value_size: usize,
) -> u32 {
    // SAFETY: as the caller promises.
    unsafe { proxy_remove_header_map_value(map, name, size) };
    // SAFETY: as the caller promises.
    unsafe { proxy_add_header_map_value(map, name, size, value, value_size) }
}

pub(super) unsafe fn proxy_add_header_map_value(
    map: u32,
    name: *const u8,
    size: usize,
    value: *const u8,
    value_size: usize,
) -> u32 {
    // SAFETY: as the caller promises.
    let name = unsafe { given(name, size) }.to_vec();
    // SAFETY: as the caller promises.
    let value = unsafe { given(value, value_size) }.to_vec();
    with(|model| model.maps.get_mut(&map).map(|fields| fields.push((name, value)))).map_or(BAD_ARGUMENT, |()| OK)
}

pub(super) unsafe fn proxy_get_property(path: *const u8, length: usize, data: *mut *mut u8, size: *mut usize) -> u32 {
    // SAFETY: as the caller promises.
    let path = unsafe { given(path, length) };
    match with(|model| model.properties.get(path).cloned()) {
        // SAFETY: as the caller promises.
        Some(value) => unsafe { give(&value, data, size) },
        None => NOT_FOUND,
    }
}

pub(super) unsafe fn proxy_set_property(path: *const u8, length: usize, value: *const u8, size: usize) -> u32 {
    // SAFETY: as the caller promises.
    let path = unsafe { given(path, length) }.to_vec();
    // SAFETY: as the caller promises.
    let value = unsafe { given(value, size) }.to_vec();
    with(|model| model.properties.insert(path, value));
    OK
}

pub(super) unsafe fn proxy_get_shared_data(
    key: *const u8,
    length: usize,
    data: *mut *mut u8,
    size: *mut usize,
    version: *mut u32,
) -> u32 {
    // SAFETY: as the caller promises.
    let key = unsafe { given(key, length) };
    let Some((value, stands)) = with(|model| model.shared.get(key).cloned()) else { return NOT_FOUND };
    // SAFETY: as the caller promises.
    unsafe { version.write(stands) };
    // SAFETY: as the caller promises.
    unsafe { give(&value, data, size) }
}

pub(super) unsafe fn proxy_set_shared_data(
    key: *const u8,
    length: usize,
    value: *const u8,
    size: usize,
    version: u32,
) -> u32 {
    // SAFETY: as the caller promises.
    let key = unsafe { given(key, length) }.to_vec();
    // SAFETY: as the caller promises.
    let value = unsafe { given(value, size) }.to_vec();
    with(|model| {
        let stands = model.shared.get(&key).map_or(0, |(_, stands)| *stands);
        if version != 0 && version != stands {
            return CAS_MISMATCH;
        }
        model.shared.insert(key, (value, stands.wrapping_add(1)));
        OK
    })
}

#[allow(clippy::too_many_arguments, reason = "the ABI has so many")]
pub(super) unsafe fn proxy_send_local_response(
    status: u32,
    _: *const u8,
    _: usize,
    body: *const u8,
    body_size: usize,
    headers: *const u8,
    headers_size: usize,
    _: i32,
) -> u32 {
    // SAFETY: as the caller promises.
    let body = String::from_utf8_lossy(unsafe { given(body, body_size) });
    // SAFETY: as the caller promises.
    if fields(unsafe { given(headers, headers_size) }).is_none() {
        return BAD_ARGUMENT;
    }
    with(|model| model.done.push(format!("reply {status} {body}")));
    OK
}

pub(super) unsafe fn proxy_call_foreign_function(
    name: *const u8,
    length: usize,
    _: *const u8,
    _: usize,
    data: *mut *mut u8,
    size: *mut usize,
) -> u32 {
    // SAFETY: as the caller promises.
    let name = String::from_utf8_lossy(unsafe { given(name, length) });
    if name != "clear_route_cache" {
        return NOT_FOUND;
    }
    with(|model| model.done.push(format!("call {name}")));
    // SAFETY: as the caller promises.
    unsafe { give(b"", data, size) }
}

pub(super) unsafe fn proxy_define_metric(_: u32, _: *const u8, _: usize, id: *mut u32) -> u32 {
    let new = with(|model| {
        model.metrics.push(0);
        u32::try_from(model.metrics.len()).unwrap_or(u32::MAX)
    });
    // SAFETY: as the caller promises.
    unsafe { id.write(new) };
    OK
}

fn metric(id: u32, change: impl FnOnce(&mut u64)) -> u32 {
    let place = usize::try_from(id).unwrap_or(usize::MAX).wrapping_sub(1);
    with(|model| model.metrics.get_mut(place).map(change)).map_or(NOT_FOUND, |()| OK)
}

pub(super) unsafe fn proxy_get_metric(id: u32, value: *mut u64) -> u32 {
    // SAFETY: as the caller promises.
    metric(id, |stands| unsafe { value.write(*stands) })
}

pub(super) unsafe fn proxy_record_metric(id: u32, value: u64) -> u32 {
    metric(id, |stands| *stands = value)
}

pub(super) unsafe fn proxy_increment_metric(id: u32, more: i64) -> u32 {
    metric(id, |stands| *stands = stands.saturating_add_signed(more))
}
