//! What the host calls.
//!
//! Envoy calls each callback that it finds, for every body, trailer and connection: only those are exported that the
//! filter does something in.

/// The callbacks of a module. A context is a number: a root context is an instance of the filter, any other a request.
pub trait Callbacks {
    /// The module was loaded. No call but to the log is allowed yet.
    fn loaded();
    /// A root context was made.
    fn root_created(root: u32);
    /// A request's context was made, below a root context.
    fn request_created(request: u32, root: u32);
    /// A root context got its configuration. Returns whether it is accepted.
    fn configured(root: u32) -> bool;
    /// The period of a root context has passed.
    fn tick(root: u32);
    /// The request's headers have come; `end` is whether it has nothing else. Returns whether it goes on.
    fn request_headers(request: u32, end: bool) -> bool;
    /// A part of the request's body has come; `end` is whether that was all.
    fn request_body(request: u32, end: bool);
    /// The request's trailers have come.
    fn request_trailers(request: u32);
    /// The response's headers have come.
    fn response_headers(request: u32);
    /// The response's trailers have come.
    fn response_trailers(request: u32);
    /// A context is gone: a request is done, or an instance is not needed any more.
    fn deleted(context: u32);
}

/// Exports the callbacks of a type, and what the ABI wants of each module: its version, and where the host asks for
/// memory to return bytes in.
#[macro_export]
macro_rules! export {
    ($filter:ty) => {
        const _: () = {
            use $crate::wasm::Callbacks;

            const CONTINUE: u32 = 0;
            const PAUSE: u32 = 1;

            // SAFETY: no other symbol of these names is linked.
            #[unsafe(no_mangle)]
            extern "C" fn proxy_abi_version_0_2_1() {}

            #[unsafe(no_mangle)]
            extern "C" fn malloc(size: usize) -> *mut u8 {
                $crate::wasm::room(size)
            }

            #[unsafe(no_mangle)]
            extern "C" fn _initialize() {
                <$filter>::loaded();
            }

            #[unsafe(no_mangle)]
            extern "C" fn proxy_on_context_create(context: u32, root: u32) {
                if root == 0 { <$filter>::root_created(context) } else { <$filter>::request_created(context, root) }
            }

            #[unsafe(no_mangle)]
            extern "C" fn proxy_on_vm_start(_: u32, _: u32) -> u32 {
                1
            }

            #[unsafe(no_mangle)]
            extern "C" fn proxy_on_configure(root: u32, _: u32) -> u32 {
                u32::from(<$filter>::configured(root))
            }

            #[unsafe(no_mangle)]
            extern "C" fn proxy_on_tick(root: u32) {
                <$filter>::tick(root);
            }

            #[unsafe(no_mangle)]
            extern "C" fn proxy_on_request_headers(request: u32, _: u32, end: u32) -> u32 {
                if <$filter>::request_headers(request, end != 0) { CONTINUE } else { PAUSE }
            }

            #[unsafe(no_mangle)]
            extern "C" fn proxy_on_request_body(request: u32, _: u32, end: u32) -> u32 {
                <$filter>::request_body(request, end != 0);
                CONTINUE
            }

            #[unsafe(no_mangle)]
            extern "C" fn proxy_on_request_trailers(request: u32, _: u32) -> u32 {
                <$filter>::request_trailers(request);
                CONTINUE
            }

            #[unsafe(no_mangle)]
            extern "C" fn proxy_on_response_headers(request: u32, _: u32, _: u32) -> u32 {
                <$filter>::response_headers(request);
                CONTINUE
            }

            #[unsafe(no_mangle)]
            extern "C" fn proxy_on_response_trailers(request: u32, _: u32) -> u32 {
                <$filter>::response_trailers(request);
                CONTINUE
            }

            #[unsafe(no_mangle)]
            extern "C" fn proxy_on_delete(context: u32) {
                <$filter>::deleted(context);
            }
        };
    };
}
