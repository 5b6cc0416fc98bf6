//! The calls between Tidegate and a proxy, made safe.
//!
//! The only package with `unsafe` in it, and with nothing else: each block says why it is sound, and all of them run
//! natively, too, against a model of the host (`make miri` has Miri watch). [`wasm`] speaks proxy-wasm,
//! `native` Envoy's dynamic modules. Never decides
//! anything, and never panics: a call that fails gives nothing.

#[cfg(all(feature = "native", not(target_arch = "wasm32")))]
pub mod native;
#[cfg(feature = "wasm")]
pub mod wasm;
