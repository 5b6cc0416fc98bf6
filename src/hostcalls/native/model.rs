//! A model of Envoy for the tests: the functions of the ABI over a few lists, one world for each thread.
//!
//! Lends what it has as Envoy does: by pointers into its own memory, which a change of the same list makes invalid.
//! [`Pushed`] makes Envoy's own calls, in its order.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    reason = "a test that cannot go on stops"
)]

use core::cell::RefCell;
use core::ffi::c_void;
use core::marker::PhantomData;
use std::collections::BTreeMap;
use std::time::Duration;

use super::abi::{Attribute, FilterPtr, Given, Headers, Lent, Level, Line};
use super::export::{Module, calls};

/// Headers in order.
pub type Fields = Vec<(Vec<u8>, Vec<u8>)>;

/// What Envoy has, and what it was told.
#[derive(Debug, Default)]
pub struct World {
    pub now: Duration,
    /// By the number of [`Headers`].
    pub headers: [Fields; 4],
    pub state: BTreeMap<Vec<u8>, Vec<u8>>,
    /// By the number of [`Attribute`].
    pub texts: BTreeMap<u32, Vec<u8>>,
    pub numbers: BTreeMap<u32, u64>,
    pub log: Vec<String>,
    /// By its number: the name and the names of its labels.
    pub metrics: Vec<(String, Vec<Vec<u8>>)>,
    /// The number, the values of the labels, and the value.
    pub told: Vec<(usize, Vec<Vec<u8>>, u64)>,
    pub replies: Vec<(u32, Fields, Vec<u8>)>,
    pub routes_cleared: usize,
    pub schedulers: usize,
    pub commits: usize,
}

thread_local! {
    static WORLD: RefCell<World> = RefCell::default();
}

/// Looks at this thread's world, or changes it.
pub fn world<R>(look: impl FnOnce(&mut World) -> R) -> R {
    WORLD.with(|world| look(&mut world.borrow_mut()))
}

/// A config that was taken in, until it is dropped.
#[derive(Debug)]
pub struct Pushed<M: Module>(*const c_void, PhantomData<M>);

impl<M: Module> Pushed<M> {
    /// Pushes a config; none if it is refused.
    #[must_use]
    pub fn new(name: &[u8], bytes: &[u8]) -> Option<Self> {
        // SAFETY: name and bytes live until the call returns.
        let config = unsafe { calls::config_new::<M>(envoy(), lent(name), lent(bytes)) };
        (!config.is_null()).then_some(Self(config, PhantomData))
    }

    /// What a scheduler has asked for.
    pub fn scheduled(&self) {
        // SAFETY: the config is not destroyed before `self` is.
        unsafe { calls::config_scheduled::<M>(envoy(), self.0) };
    }

    /// Takes a request without a body, with the world's headers, to its end; its upstream answers with the world's
    /// headers for the response. Returns whether it went on to its upstream.
    #[must_use]
    pub fn request(&self) -> bool {
        // SAFETY: the config is not destroyed before `self` is.
        let slot = unsafe { calls::stream_new::<M>(self.0) };
        assert!(!slot.is_null(), "Envoy would close the request");
        // SAFETY: made just now, and destroyed below; one call at a time.
        let goes_on = unsafe { calls::request_headers::<M>(envoy(), slot, true) };
        if goes_on {
            // SAFETY: as above.
            unsafe { calls::response_headers::<M>(envoy(), slot) };
            // SAFETY: as above.
            unsafe { calls::response_end::<M>(envoy(), slot) };
        }
        // SAFETY: as above.
        unsafe { calls::done::<M>(envoy(), slot) };
        // SAFETY: as above, and for the last time.
        unsafe { calls::stream_destroy::<M>(slot) };
        goes_on
    }
}

impl<M: Module> Drop for Pushed<M> {
    fn drop(&mut self) {
        // SAFETY: made in `new`, and destroyed once.
        unsafe { calls::config_destroy::<M>(self.0) };
    }
}

/// Envoy's pointer to itself: nothing here looks at what it points to.
pub(super) fn envoy() -> *mut c_void {
    core::ptr::dangling_mut::<u8>().cast()
}

fn taken(given: Given) -> Vec<u8> {
    if given.ptr.is_null() {
        return Vec::new();
    }
    // SAFETY: the caller's own bytes, which it says live during the call.
    unsafe { core::slice::from_raw_parts(given.ptr, given.len) }.to_vec()
}

fn list(ptr: *const Given, count: usize) -> Vec<Vec<u8>> {
    if count == 0 {
        return Vec::new();
    }
    // SAFETY: the caller's own list of this length.
    unsafe { core::slice::from_raw_parts(ptr, count) }.iter().map(|given| taken(*given)).collect()
}

fn fields(ptr: *const Line<Given>, count: usize) -> Fields {
    if count == 0 {
        return Vec::new();
    }
    // SAFETY: the caller's own list of this length.
    let lines = unsafe { core::slice::from_raw_parts(ptr, count) };
    lines.iter().map(|line| (taken(line.name), taken(line.value))).collect()
}

fn lent(bytes: &[u8]) -> Lent {
    Lent { ptr: bytes.as_ptr(), len: bytes.len() }
}

/// Lends a value, if there is one.
fn lend(bytes: Option<&[u8]>, to: *mut Lent) -> bool {
    let Some(bytes) = bytes else { return false };
    // SAFETY: the caller's own place for a value.
    unsafe { to.write(lent(bytes)) };
    true
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_callback_log(_: Level, message: Given) {
    world(|world| world.log.push(String::from_utf8(taken(message)).unwrap()));
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_callback_log_enabled(level: Level) -> bool {
    level == Level::Warn || level == Level::Error
}

fn define(name: Given, labels: *const Given, count: usize, id: *mut usize) -> u32 {
    world(|world| {
        // SAFETY: the caller's own place for a number.
        unsafe { id.write(world.metrics.len()) };
        world.metrics.push((String::from_utf8(taken(name)).unwrap(), list(labels, count)));
        0
    })
}

fn tell(id: usize, labels: *const Given, count: usize, value: u64) -> u32 {
    world(|world| match world.metrics.get(id) {
        None => 1,
        Some((_, names)) if names.len() != count => 2,
        Some(_) => {
            world.told.push((id, list(labels, count), value));
            0
        }
    })
}

macro_rules! metrics {
    ($($define:ident)*; $($tell:ident)*) => {
        $(#[unsafe(no_mangle)]
        extern "C" fn $define(_: *mut c_void, name: Given, labels: *const Given, count: usize, id: *mut usize) -> u32 {
            define(name, labels, count, id)
        })*
        $(#[unsafe(no_mangle)]
        extern "C" fn $tell(_: *mut c_void, id: usize, labels: *const Given, count: usize, value: u64) -> u32 {
            tell(id, labels, count, value)
        })*
    };
}

metrics! {
    envoy_dynamic_module_callback_http_filter_config_define_counter
    envoy_dynamic_module_callback_http_filter_config_define_gauge
    envoy_dynamic_module_callback_http_filter_config_define_histogram;
    envoy_dynamic_module_callback_http_filter_increment_counter
    envoy_dynamic_module_callback_http_filter_set_gauge
    envoy_dynamic_module_callback_http_filter_record_histogram_value
    envoy_dynamic_module_callback_http_filter_config_increment_counter
    envoy_dynamic_module_callback_http_filter_config_set_gauge
    envoy_dynamic_module_callback_http_filter_config_record_histogram_value
}

/// Adds nothing to any gauge: a series is only made the config's.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_callback_http_filter_config_increment_gauge(
    _: *mut c_void,
    id: usize,
    labels: *const Given,
    count: usize,
    value: u64,
) -> u32 {
    assert_eq!(value, 0);
    let fits = world(|world| world.metrics.get(id).is_some_and(|(_, names)| names.len() == list(labels, count).len()));
    u32::from(!fits)
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_callback_http_filter_config_scheduler_new(_: *mut c_void) -> *mut c_void {
    world(|world| world.schedulers += 1);
    envoy()
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_callback_http_filter_config_scheduler_commit(_: *mut c_void, _: u64) {
    world(|world| world.commits += 1);
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_callback_http_filter_config_scheduler_delete(_: *mut c_void) {
    world(|world| world.schedulers -= 1);
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_callback_http_get_header(
    _: FilterPtr,
    of: Headers,
    name: Given,
    value: *mut Lent,
    index: usize,
    _: *mut usize,
) -> bool {
    let name = taken(name);
    world(|world| {
        let mut named = world.headers[of as usize].iter().filter(|(one, _)| *one == name);
        lend(named.nth(index).map(|(_, value)| value.as_slice()), value)
    })
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_callback_http_get_headers_size(_: FilterPtr, of: Headers) -> usize {
    world(|world| world.headers[of as usize].len())
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_callback_http_get_headers(
    _: FilterPtr,
    of: Headers,
    lines: *mut Line<Lent>,
) -> bool {
    world(|world| {
        for (place, (name, value)) in world.headers[of as usize].iter().enumerate() {
            // SAFETY: the caller has room for all headers.
            let line = unsafe { lines.add(place) };
            // SAFETY: as above.
            unsafe { line.write(Line { name: lent(name), value: lent(value) }) };
        }
    });
    true
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_callback_http_add_header(
    _: FilterPtr,
    of: Headers,
    name: Given,
    value: Given,
) -> bool {
    world(|world| world.headers[of as usize].push((taken(name), taken(value))));
    true
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_callback_http_set_header(
    _: FilterPtr,
    of: Headers,
    name: Given,
    value: Given,
) -> bool {
    world(|world| {
        let (headers, key) = (&mut world.headers[of as usize], taken(name));
        headers.retain(|(one, _)| *one != key);
        if !value.ptr.is_null() {
            headers.push((key, taken(value)));
        }
    });
    true
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_callback_http_send_response(
    _: FilterPtr,
    status: u32,
    lines: *const Line<Given>,
    count: usize,
    body: Given,
    _: Given,
) {
    world(|world| world.replies.push((status, fields(lines, count), taken(body))));
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_callback_http_send_response_headers(
    _: FilterPtr,
    lines: *const Line<Given>,
    count: usize,
    _: bool,
) {
    world(|world| world.replies.push((0, fields(lines, count), Vec::new())));
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_callback_http_clear_route_cache(_: FilterPtr) {
    world(|world| world.routes_cleared += 1);
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_callback_http_get_filter_state_bytes(
    _: FilterPtr,
    key: Given,
    value: *mut Lent,
) -> bool {
    let key = taken(key);
    world(|world| lend(world.state.get(&key).map(Vec::as_slice), value))
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_callback_http_get_filter_state_typed(
    filter: FilterPtr,
    key: Given,
    value: *mut Lent,
) -> bool {
    envoy_dynamic_module_callback_http_get_filter_state_bytes(filter, key, value)
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_callback_http_set_filter_state_bytes(
    _: FilterPtr,
    key: Given,
    value: Given,
) -> bool {
    world(|world| world.state.insert(taken(key), taken(value)));
    true
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_callback_http_filter_get_attribute_string(
    _: FilterPtr,
    of: Attribute,
    value: *mut Lent,
) -> bool {
    world(|world| lend(world.texts.get(&(of as u32)).map(Vec::as_slice), value))
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_callback_http_filter_get_attribute_int(
    _: FilterPtr,
    of: Attribute,
    value: *mut u64,
) -> bool {
    let number = world(|world| world.numbers.get(&(of as u32)).copied());
    if let Some(number) = number {
        // SAFETY: the caller's own place for a number.
        unsafe { value.write(number) };
    }
    number.is_some()
}
