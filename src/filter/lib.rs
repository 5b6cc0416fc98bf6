//! Envoy as a host of [`tidegate_proxy`], over proxy-wasm: every word of Envoy and of proxy-wasm is here, and no rule.
//!
//! [`callbacks`] hands on what Envoy calls: pushes, ticks, and each step of a request, which [`streams`] finds. [`host`] is what a callback can
//! ask of Envoy, and [`encoding`] decodes what it returns; both are also compiled natively, for their tests.

#[cfg(target_arch = "wasm32")]
mod callbacks;
pub mod encoding;
#[cfg(target_arch = "wasm32")]
mod host;
pub mod streams;

#[cfg(target_arch = "wasm32")]
tidegate_hostcalls::export!(callbacks::Filter);
