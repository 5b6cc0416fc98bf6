//! The calls between Envoy and Tidegate, and nothing else: the only package with `unsafe`.
//!
//! What is offered to the other packages is safe. Each `unsafe` block says why it is sound; the tests run against a
//! model of the host, and under Miri.

#[cfg(not(target_arch = "wasm32"))]
pub mod native;
