//! Envoy's dynamic module ABI as it stands in C: the types that cross the border, and the functions of Envoy that we
//! call.
//!
//! Only functions that both ABI v0.1.0 (Envoy 1.39) and v0.2.0 (1.40) have, so that one file serves both. All are
//! resolved when Envoy loads the module. Nothing here is safe to call: [`stream`](super::stream) and
//! [`config`](super::config) are.

#[cfg(not(miri))]
use core::ffi::c_char;
use core::ffi::{CStr, c_void};
use std::sync::OnceLock;

/// The ABI that Envoy has, of those that have all that is used. A module says which one it was made for, and Envoy warns
/// of an older one than its own.
pub(super) fn version() -> &'static CStr {
    if has(c"envoy_dynamic_module_callback_http_has_filter_state") { c"v0.2.0" } else { c"v0.1.0" }
}

/// Whether Envoy has a function of this name.
fn has(name: &CStr) -> bool {
    !function(name).is_null()
}

/// The function of this name, of those that not every Envoy has; null where this one has none.
fn function(name: &CStr) -> *mut c_void {
    // SAFETY: a name that ends in a zero byte, and no handle: all that is loaded is searched, and nothing is changed.
    #[cfg(not(miri))]
    return unsafe { dlsym(core::ptr::null_mut(), name.as_ptr()) };
    #[cfg(miri)]
    return if name.is_empty() { core::ptr::without_provenance_mut(1) } else { core::ptr::null_mut() };
}

/// Keeps a value in the filter state for a time, as `set_state` cannot: ABI v0.2.0 alone.
pub(super) type SetStateFor = unsafe extern "C" fn(FilterPtr, Given, Given, u32, u32) -> bool;

/// For as long as the request, over internal redirects.
pub(super) const REQUEST: u32 = 1;
/// Not shown to what is upstream.
pub(super) const NOT_SHARED: u32 = 0;

/// [`SetStateFor`], where Envoy has it.
pub(super) fn set_state_for() -> Option<SetStateFor> {
    static FOUND: OnceLock<Option<SetStateFor>> = OnceLock::new();
    *FOUND.get_or_init(|| {
        let found = function(c"envoy_dynamic_module_callback_http_set_filter_state_value");
        // SAFETY: a function of this name has this type in every ABI that has it; a null pointer is `None`.
        unsafe { core::mem::transmute::<*mut c_void, Option<SetStateFor>>(found) }
    })
}

#[cfg(not(miri))]
unsafe extern "C" {
    fn dlsym(handle: *mut c_void, name: *const c_char) -> *mut c_void;
}

/// Bytes that belong to the module; Envoy reads them during the call.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(super) struct Given {
    pub(super) ptr: *const u8,
    pub(super) len: usize,
}

impl Given {
    /// No value, as opposed to an empty one.
    pub(super) const NONE: Self = Self { ptr: core::ptr::null(), len: 0 };

    pub(super) fn new(bytes: &[u8]) -> Self {
        Self { ptr: bytes.as_ptr(), len: bytes.len() }
    }
}

/// Bytes that belong to Envoy.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Lent {
    pub(super) ptr: *const u8,
    pub(super) len: usize,
}

impl Lent {
    pub(super) const NONE: Self = Self { ptr: core::ptr::null(), len: 0 };

    /// The bytes.
    ///
    /// # Safety
    ///
    /// Envoy filled it in, and what it points to must be there, unchanged, for all of `'b`.
    pub(super) unsafe fn bytes<'b>(self) -> &'b [u8] {
        if self.ptr.is_null() || self.len == 0 {
            return &[];
        }
        // SAFETY: not null, and of this length by the ABI; the caller answers for the time.
        unsafe { core::slice::from_raw_parts(self.ptr, self.len) }
    }
}

/// A header, of Envoy or of the module.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(super) struct Line<B> {
    pub(super) name: B,
    pub(super) value: B,
}

/// Which headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub enum Headers {
    Request,
    RequestTrailers,
    Response,
    ResponseTrailers,
}

/// Values that Envoy knows of a request. The numbers are those of the ABI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub enum Attribute {
    ResponseCode = 15,
    ResponseCodeDetails = 16,
    ResponseFlags = 17,
    SourceAddress = 24,
    PeerUriSan = 37,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

/// Success of a call about metrics.
pub(super) const DONE: u32 = 0;

/// Envoy's side of a request.
pub(super) type FilterPtr = *mut c_void;
/// Envoy's side of a config.
pub(super) type ConfigPtr = *mut c_void;
/// Brings an event to the main thread.
pub(super) type SchedulerPtr = *mut c_void;

macro_rules! functions {
    ($($short:ident = $name:ident($($arg:ident: $of:ty),*) $(-> $out:ty)?;)*) => {
        unsafe extern "C" {
            $(pub(super) fn $name($($arg: $of),*) $(-> $out)?;)*
        }
        $(pub(super) use $name as $short;)*
    };
}

functions! {
    log = envoy_dynamic_module_callback_log(level: Level, message: Given);
    log_enabled = envoy_dynamic_module_callback_log_enabled(level: Level) -> bool;

    define_counter = envoy_dynamic_module_callback_http_filter_config_define_counter(
        config: ConfigPtr, name: Given, labels: *const Given, count: usize, id: *mut usize) -> u32;
    define_gauge = envoy_dynamic_module_callback_http_filter_config_define_gauge(
        config: ConfigPtr, name: Given, labels: *const Given, count: usize, id: *mut usize) -> u32;
    define_histogram = envoy_dynamic_module_callback_http_filter_config_define_histogram(
        config: ConfigPtr, name: Given, labels: *const Given, count: usize, id: *mut usize) -> u32;

    increment = envoy_dynamic_module_callback_http_filter_increment_counter(
        filter: FilterPtr, id: usize, labels: *const Given, count: usize, value: u64) -> u32;
    set = envoy_dynamic_module_callback_http_filter_set_gauge(
        filter: FilterPtr, id: usize, labels: *const Given, count: usize, value: u64) -> u32;
    record = envoy_dynamic_module_callback_http_filter_record_histogram_value(
        filter: FilterPtr, id: usize, labels: *const Given, count: usize, value: u64) -> u32;
    config_increment = envoy_dynamic_module_callback_http_filter_config_increment_counter(
        config: ConfigPtr, id: usize, labels: *const Given, count: usize, value: u64) -> u32;
    config_set = envoy_dynamic_module_callback_http_filter_config_set_gauge(
        config: ConfigPtr, id: usize, labels: *const Given, count: usize, value: u64) -> u32;
    config_add = envoy_dynamic_module_callback_http_filter_config_increment_gauge(
        config: ConfigPtr, id: usize, labels: *const Given, count: usize, value: u64) -> u32;
    config_record = envoy_dynamic_module_callback_http_filter_config_record_histogram_value(
        config: ConfigPtr, id: usize, labels: *const Given, count: usize, value: u64) -> u32;

    scheduler_new = envoy_dynamic_module_callback_http_filter_config_scheduler_new(config: ConfigPtr) -> SchedulerPtr;
    scheduler_commit = envoy_dynamic_module_callback_http_filter_config_scheduler_commit(
        scheduler: SchedulerPtr, event: u64);
    scheduler_delete = envoy_dynamic_module_callback_http_filter_config_scheduler_delete(scheduler: SchedulerPtr);

    get_header = envoy_dynamic_module_callback_http_get_header(
        filter: FilterPtr, of: Headers, name: Given, value: *mut Lent, index: usize, count: *mut usize) -> bool;
    get_headers_size = envoy_dynamic_module_callback_http_get_headers_size(filter: FilterPtr, of: Headers) -> usize;
    get_headers = envoy_dynamic_module_callback_http_get_headers(
        filter: FilterPtr, of: Headers, lines: *mut Line<Lent>) -> bool;
    add_header = envoy_dynamic_module_callback_http_add_header(
        filter: FilterPtr, of: Headers, name: Given, value: Given) -> bool;
    set_header = envoy_dynamic_module_callback_http_set_header(
        filter: FilterPtr, of: Headers, name: Given, value: Given) -> bool;
    send_response = envoy_dynamic_module_callback_http_send_response(
        filter: FilterPtr, status: u32, lines: *const Line<Given>, count: usize, body: Given, details: Given);
    send_response_headers = envoy_dynamic_module_callback_http_send_response_headers(
        filter: FilterPtr, lines: *const Line<Given>, count: usize, end: bool);
    clear_route_cache = envoy_dynamic_module_callback_http_clear_route_cache(filter: FilterPtr);

    get_state = envoy_dynamic_module_callback_http_get_filter_state_bytes(
        filter: FilterPtr, key: Given, value: *mut Lent) -> bool;
    get_typed_state = envoy_dynamic_module_callback_http_get_filter_state_typed(
        filter: FilterPtr, key: Given, value: *mut Lent) -> bool;
    set_state = envoy_dynamic_module_callback_http_set_filter_state_bytes(
        filter: FilterPtr, key: Given, value: Given) -> bool;
    get_attribute_string = envoy_dynamic_module_callback_http_filter_get_attribute_string(
        filter: FilterPtr, of: Attribute, value: *mut Lent) -> bool;
    get_attribute_int = envoy_dynamic_module_callback_http_filter_get_attribute_int(
        filter: FilterPtr, of: Attribute, value: *mut u64) -> bool;
}
