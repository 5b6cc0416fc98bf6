//! A filter that does nothing, as the public SDK has it: every callback goes through its dispatcher and back.

use proxy_wasm::traits::{Context, HttpContext};

struct Empty;

impl Context for Empty {}

impl HttpContext for Empty {}

proxy_wasm::main! {{
    proxy_wasm::set_http_context(|_, _| Box::new(Empty));
}}
