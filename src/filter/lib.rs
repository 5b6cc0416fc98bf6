//! Envoy as a host of [`tidegate_proxy`]: every word of Envoy and of proxy-wasm is here, and no rule.
//!
//! [`root`] passes on pushes and ticks, [`stream`] the callbacks of a request. [`host`] is the only file with host
//! calls, and [`encoding`] decodes what they return; it is also compiled natively, for its tests.

pub mod encoding;
#[cfg(target_arch = "wasm32")]
mod host;
#[cfg(target_arch = "wasm32")]
mod root;
#[cfg(target_arch = "wasm32")]
mod stream;

#[cfg(target_arch = "wasm32")]
proxy_wasm::main! {{
    proxy_wasm::set_log_level(proxy_wasm::types::LogLevel::Info);
    proxy_wasm::set_root_context(|_| Box::new(root::Root::new()));
}}
