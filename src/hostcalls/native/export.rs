//! Envoy's calls, turned into those of a [`Module`]: the functions that Envoy looks up when it loads the library.
//!
//! No panic gets out: the first is logged, and the request that met one passes on as it is from there on. A request's
//! own calls never nest for it: what Envoy calls for a request from within another call for it is left out, and a
//! request that Envoy drops meanwhile is freed when that call is over.

use core::cell::{Cell, RefCell};
use core::ffi::{c_char, c_void};
use core::sync::atomic::{AtomicBool, Ordering};
use std::panic::{AssertUnwindSafe, catch_unwind};

pub use super::abi::Lent;
use super::abi::{self, ConfigPtr, FilterPtr, Level};
use super::config::ConfigHandle;
use super::log::log;
use super::stream::StreamHandle;

/// What becomes of a request after its headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It goes on to its upstream.
    Upstream,
    /// It was answered.
    Answered,
}

/// A filter, as Envoy sees it.
pub trait Module: 'static {
    /// A config that was taken in. Shared by all workers.
    type Config: Send + Sync + 'static;
    /// One request, on one worker.
    type Stream: 'static;

    /// A config has come, on the main thread. `None` refuses it.
    fn configure(config: ConfigHandle<'_>, name: &[u8], bytes: &[u8]) -> Option<Self::Config>;
    /// What a [`Scheduler`](super::config::Scheduler) of this config has asked for, on the main thread.
    fn scheduled(config: &Self::Config, handle: ConfigHandle<'_>);
    /// A request has come, on one of the workers. Without a stream it passes on as it is.
    fn stream(config: &Self::Config) -> Option<Self::Stream>;
    /// The request's headers have come; `end` is whether it has nothing else.
    fn request_headers(stream: &mut Self::Stream, handle: StreamHandle<'_>, end: bool) -> Next;
    /// A part of the request's body has come; `end` is whether that was all.
    fn request_body(stream: &mut Self::Stream, handle: StreamHandle<'_>, end: bool);
    /// The request's trailers have come.
    fn request_trailers(stream: &mut Self::Stream, handle: StreamHandle<'_>);
    /// The response's headers have come.
    fn response_headers(stream: &mut Self::Stream, handle: StreamHandle<'_>);
    /// All of the response has come, and it has no trailers.
    fn response_end(stream: &mut Self::Stream, handle: StreamHandle<'_>);
    /// The response's trailers have come.
    fn response_trailers(stream: &mut Self::Stream, handle: StreamHandle<'_>);
    /// The request is done, however it ended.
    fn done(stream: &mut Self::Stream, handle: StreamHandle<'_>);
}

/// One request, as Envoy holds it.
struct Slot<S> {
    /// Nothing once it met a panic. Borrowed while a call for it runs.
    stream: RefCell<Option<S>>,
    /// Envoy has dropped it.
    gone: Cell<bool>,
}

/// What Envoy holds for a request without a stream: it takes a null pointer for a failure, and closes the request.
static NOTHING: u8 = 0;

fn nothing() -> *const c_void {
    (&raw const NOTHING).cast()
}

/// Runs what must not panic. Returns nothing where it did, and says so in the log for the first one.
fn guarded<R>(run: impl FnOnce() -> R) -> Option<R> {
    static PANICKED: AtomicBool = AtomicBool::new(false);
    let result = catch_unwind(AssertUnwindSafe(run)).ok();
    if result.is_none() && !PANICKED.swap(true, Ordering::Relaxed) {
        let line = "tidegate: an error in the module: the request passes on as it is; more of them are not logged";
        log(Level::Error, format_args!("{line}"));
    }
    result
}

/// What [`export_native!`](crate::export_native) makes a function for.
pub mod calls {
    use super::{
        Cell, ConfigHandle, ConfigPtr, FilterPtr, Lent, Module, Next, RefCell, Slot, StreamHandle, abi, c_char, c_void,
        guarded, nothing,
    };

    #[must_use]
    pub fn init() -> *const c_char {
        abi::version().as_ptr()
    }

    /// # Safety
    ///
    /// Called by Envoy as the ABI says.
    #[must_use]
    pub unsafe fn config_new<M: Module>(envoy: ConfigPtr, name: Lent, bytes: Lent) -> *const c_void {
        let config = guarded(|| {
            // SAFETY: Envoy passes its own pointer, for this call.
            let handle = unsafe { ConfigHandle::new(envoy) };
            // SAFETY: Envoy's, and there until this returns.
            let name = unsafe { name.bytes() };
            // SAFETY: as the name.
            M::configure(handle, name, unsafe { bytes.bytes() })
        });
        config.flatten().map_or(core::ptr::null(), |config| Box::into_raw(Box::new(config)).cast_const().cast())
    }

    /// # Safety
    ///
    /// Called by Envoy as the ABI says: once, with what [`config_new`] returned.
    pub unsafe fn config_destroy<M: Module>(config: *const c_void) {
        if !config.is_null() {
            // SAFETY: made by `Box::into_raw` in `config_new`, and given back once.
            let config = unsafe { Box::from_raw(config.cast_mut().cast::<M::Config>()) };
            guarded(|| drop(config));
        }
    }

    /// # Safety
    ///
    /// Called by Envoy as the ABI says, on the main thread, for a config that is not destroyed.
    pub unsafe fn config_scheduled<M: Module>(envoy: ConfigPtr, config: *const c_void) {
        // SAFETY: made in `config_new`, not destroyed, and shared by all threads: it is `Sync`.
        if let Some(config) = unsafe { config.cast::<M::Config>().as_ref() } {
            // SAFETY: Envoy passes its own pointer, for this call.
            guarded(|| M::scheduled(config, unsafe { ConfigHandle::new(envoy) }));
        }
    }

    /// # Safety
    ///
    /// Called by Envoy as the ABI says, for a config that is not destroyed.
    #[must_use]
    pub unsafe fn stream_new<M: Module>(config: *const c_void) -> *const c_void {
        // SAFETY: as in `config_scheduled`.
        let config = unsafe { config.cast::<M::Config>().as_ref() };
        let stream = config.and_then(|config| guarded(|| M::stream(config)).flatten());
        stream.map_or(nothing(), |stream| {
            let slot = Slot { stream: RefCell::new(Some(stream)), gone: Cell::new(false) };
            Box::into_raw(Box::new(slot)).cast_const().cast()
        })
    }

    /// # Safety
    ///
    /// Called by Envoy as the ABI says: once, on the request's thread, with what [`stream_new`] returned.
    pub unsafe fn stream_destroy<M: Module>(slot: *const c_void) {
        if slot.is_null() || slot == nothing() {
            return;
        }
        {
            // SAFETY: made in `stream_new`, and not freed before this.
            let slot = unsafe { &*slot.cast::<Slot<M::Stream>>() };
            if slot.stream.try_borrow_mut().is_err() {
                // A call for this request is running further down: `with` frees it.
                slot.gone.set(true);
                return;
            }
        }
        // SAFETY: made by `Box::into_raw` in `stream_new`, given back once, and no call for it is running.
        let slot = unsafe { Box::from_raw(slot.cast_mut().cast::<Slot<M::Stream>>()) };
        guarded(|| drop(slot));
    }

    /// Runs a call for a request.
    ///
    /// # Safety
    ///
    /// Called by Envoy as the ABI says, on the request's thread, with what [`stream_new`] returned and not destroyed.
    unsafe fn with<M: Module, R>(
        envoy: FilterPtr,
        slot: *const c_void,
        run: impl FnOnce(&mut M::Stream, StreamHandle<'_>) -> R,
    ) -> Option<R> {
        if slot.is_null() || slot == nothing() {
            return None;
        }
        let (result, gone) = {
            // SAFETY: made in `stream_new`, and freed no sooner than this block ends: `stream_destroy` leaves it to us.
            let held = unsafe { &*slot.cast::<Slot<M::Stream>>() };
            let mut stream = held.stream.try_borrow_mut().ok()?;
            let mut result = None;
            if let Some(stream) = &mut *stream {
                // SAFETY: Envoy passes its own pointer, for this call; a call within it for this request ended above.
                result = guarded(|| run(stream, unsafe { StreamHandle::new(envoy) }));
            }
            if result.is_none()
                && let Some(broken) = stream.take()
            {
                // What a panic left half done is not touched again.
                core::mem::forget(broken);
            }
            drop(stream);
            (result, held.gone.get())
        };
        if gone {
            // SAFETY: Envoy has dropped it while the call was running, and no call for it runs any more.
            unsafe { stream_destroy::<M>(slot) };
        }
        result
    }

    /// Returns whether the request goes on.
    ///
    /// # Safety
    ///
    /// As for `with`.
    pub unsafe fn request_headers<M: Module>(envoy: FilterPtr, slot: *const c_void, end: bool) -> bool {
        // SAFETY: as the caller says.
        let next = unsafe { with::<M, _>(envoy, slot, |stream, handle| M::request_headers(stream, handle, end)) };
        next != Some(Next::Answered)
    }

    /// # Safety
    ///
    /// As for `with`.
    pub unsafe fn request_body<M: Module>(envoy: FilterPtr, slot: *const c_void, end: bool) {
        // SAFETY: as the caller says.
        unsafe { with::<M, _>(envoy, slot, |stream, handle| M::request_body(stream, handle, end)) };
    }

    /// # Safety
    ///
    /// As for `with`.
    pub unsafe fn request_trailers<M: Module>(envoy: FilterPtr, slot: *const c_void) {
        // SAFETY: as the caller says.
        unsafe { with::<M, _>(envoy, slot, M::request_trailers) };
    }

    /// # Safety
    ///
    /// As for `with`.
    pub unsafe fn response_headers<M: Module>(envoy: FilterPtr, slot: *const c_void) {
        // SAFETY: as the caller says.
        unsafe { with::<M, _>(envoy, slot, M::response_headers) };
    }

    /// # Safety
    ///
    /// As for `with`.
    pub unsafe fn response_end<M: Module>(envoy: FilterPtr, slot: *const c_void) {
        // SAFETY: as the caller says.
        unsafe { with::<M, _>(envoy, slot, M::response_end) };
    }

    /// # Safety
    ///
    /// As for `with`.
    pub unsafe fn response_trailers<M: Module>(envoy: FilterPtr, slot: *const c_void) {
        // SAFETY: as the caller says.
        unsafe { with::<M, _>(envoy, slot, M::response_trailers) };
    }

    /// # Safety
    ///
    /// As for `with`.
    pub unsafe fn done<M: Module>(envoy: FilterPtr, slot: *const c_void) {
        // SAFETY: as the caller says.
        unsafe { with::<M, _>(envoy, slot, M::done) };
    }
}

/// Exports a [`Module`] under the names that Envoy looks up. Those for which we have nothing to do are there because
/// Envoy does not load a library without them.
#[macro_export]
macro_rules! export_native {
    ($module:ty) => {
        const _: () = {
            use core::ffi::{c_char, c_void};
            use $crate::native::export::{Lent, calls};

            #[unsafe(no_mangle)]
            extern "C" fn envoy_dynamic_module_on_program_init() -> *const c_char {
                calls::init()
            }

            // SAFETY of all that follow: Envoy calls them as its ABI says, which is what each asks for.

            #[unsafe(no_mangle)]
            unsafe extern "C" fn envoy_dynamic_module_on_http_filter_config_new(
                envoy: *mut c_void,
                name: Lent,
                bytes: Lent,
            ) -> *const c_void {
                unsafe { calls::config_new::<$module>(envoy, name, bytes) }
            }

            #[unsafe(no_mangle)]
            unsafe extern "C" fn envoy_dynamic_module_on_http_filter_config_destroy(config: *const c_void) {
                unsafe { calls::config_destroy::<$module>(config) }
            }

            #[unsafe(no_mangle)]
            unsafe extern "C" fn envoy_dynamic_module_on_http_filter_config_scheduled(
                envoy: *mut c_void,
                config: *const c_void,
                _event: u64,
            ) {
                unsafe { calls::config_scheduled::<$module>(envoy, config) }
            }

            #[unsafe(no_mangle)]
            unsafe extern "C" fn envoy_dynamic_module_on_http_filter_new(
                config: *const c_void,
                _envoy: *mut c_void,
            ) -> *const c_void {
                unsafe { calls::stream_new::<$module>(config) }
            }

            #[unsafe(no_mangle)]
            unsafe extern "C" fn envoy_dynamic_module_on_http_filter_destroy(stream: *const c_void) {
                unsafe { calls::stream_destroy::<$module>(stream) }
            }

            /// 0 goes on, 1 waits for the answer that was sent.
            #[unsafe(no_mangle)]
            unsafe extern "C" fn envoy_dynamic_module_on_http_filter_request_headers(
                envoy: *mut c_void,
                stream: *const c_void,
                end: bool,
            ) -> u32 {
                u32::from(!unsafe { calls::request_headers::<$module>(envoy, stream, end) })
            }

            #[unsafe(no_mangle)]
            unsafe extern "C" fn envoy_dynamic_module_on_http_filter_request_body(
                envoy: *mut c_void,
                stream: *const c_void,
                end: bool,
            ) -> u32 {
                unsafe { calls::request_body::<$module>(envoy, stream, end) }
                0
            }

            #[unsafe(no_mangle)]
            unsafe extern "C" fn envoy_dynamic_module_on_http_filter_request_trailers(
                envoy: *mut c_void,
                stream: *const c_void,
            ) -> u32 {
                unsafe { calls::request_trailers::<$module>(envoy, stream) }
                0
            }

            #[unsafe(no_mangle)]
            unsafe extern "C" fn envoy_dynamic_module_on_http_filter_response_headers(
                envoy: *mut c_void,
                stream: *const c_void,
                end: bool,
            ) -> u32 {
                unsafe { calls::response_headers::<$module>(envoy, stream) }
                if end {
                    unsafe { calls::response_end::<$module>(envoy, stream) }
                }
                0
            }

            #[unsafe(no_mangle)]
            unsafe extern "C" fn envoy_dynamic_module_on_http_filter_stream_complete(
                envoy: *mut c_void,
                stream: *const c_void,
            ) {
                unsafe { calls::done::<$module>(envoy, stream) }
            }

            #[unsafe(no_mangle)]
            unsafe extern "C" fn envoy_dynamic_module_on_http_filter_response_body(
                envoy: *mut c_void,
                stream: *const c_void,
                end: bool,
            ) -> u32 {
                if end {
                    unsafe { calls::response_end::<$module>(envoy, stream) }
                }
                0
            }

            #[unsafe(no_mangle)]
            unsafe extern "C" fn envoy_dynamic_module_on_http_filter_response_trailers(
                envoy: *mut c_void,
                stream: *const c_void,
            ) -> u32 {
                unsafe { calls::response_trailers::<$module>(envoy, stream) }
                0
            }

            /// The functions that have nothing to do take arguments that they do not read: a caller's own business in
            /// C's way of calling.
            macro_rules! idle {
                ($name:ident) => {
                    #[unsafe(no_mangle)]
                    extern "C" fn $name() {}
                };
            }
            idle!(envoy_dynamic_module_on_http_filter_http_callout_done);
            idle!(envoy_dynamic_module_on_http_filter_http_stream_headers);
            idle!(envoy_dynamic_module_on_http_filter_http_stream_data);
            idle!(envoy_dynamic_module_on_http_filter_http_stream_trailers);
            idle!(envoy_dynamic_module_on_http_filter_http_stream_complete);
            idle!(envoy_dynamic_module_on_http_filter_http_stream_reset);
            idle!(envoy_dynamic_module_on_http_filter_scheduled);
            idle!(envoy_dynamic_module_on_http_filter_downstream_above_write_buffer_high_watermark);
            idle!(envoy_dynamic_module_on_http_filter_downstream_below_write_buffer_low_watermark);
        };
    };
}
