//! Turns the module as cargo builds it into the module as it is shipped: without the callbacks that the filter does
//! not use, and without the code behind them.
//!
//! The SDK exports every callback that a proxy-wasm module can have, and Envoy calls each that it finds: for every
//! body, every trailer, every connection. What is not exported is not called, and needs no code. Takes the two
//! paths; the same input gives the same output. Never changes a function.

use std::env::args_os;
use std::error::Error;
use std::path::PathBuf;

use walrus::ModuleConfig;
use walrus::passes::gc;

/// What Envoy needs of this filter.
const KEPT: [&str; 15] = [
    "_initialize",
    "malloc",
    "memory",
    "proxy_abi_version_0_2_1",
    "proxy_on_configure",
    "proxy_on_context_create",
    "proxy_on_delete",
    "proxy_on_log",
    "proxy_on_memory_allocate",
    "proxy_on_request_body",
    "proxy_on_request_headers",
    "proxy_on_request_trailers",
    "proxy_on_response_headers",
    "proxy_on_tick",
    "proxy_on_vm_start",
];

fn main() -> Result<(), Box<dyn Error>> {
    let paths: Vec<PathBuf> = args_os().skip(1).map(PathBuf::from).collect();
    let [built, shipped] = paths.as_slice() else { return Err("usage: trim BUILT.wasm SHIPPED.wasm".into()) };
    let mut module = ModuleConfig::new().generate_producers_section(false).parse_file(built)?;
    let unused = module.exports.iter().filter(|export| !KEPT.contains(&export.name.as_str()));
    for export in unused.map(walrus::Export::id).collect::<Vec<_>>() {
        module.exports.delete(export);
    }
    gc::run(&mut module);
    module.emit_wasm_file(shipped)?;
    Ok(())
}
