//! The door to Envoy: turns the host's callbacks into calls of the engine, and effects into host calls.
//!
//! [`root`] takes configs in, [`plugin`] keeps track of them, [`stream`] takes a request through, [`page`] answers who
//! looks into the proxy, [`meters`] shows what was counted, [`host`] is the one place that names host calls.
//! Never holds a rule: what is decided and what is written comes from the engine.
#![cfg(target_arch = "wasm32")]

mod host;
mod meters;
mod page;
mod plugin;
mod root;
mod stream;

use proxy_wasm::traits::RootContext;
use proxy_wasm::types::LogLevel;

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|_| -> Box<dyn RootContext> { Box::new(root::Root::default()) });
}}
