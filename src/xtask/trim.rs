//! Turns the module as cargo builds it into the module as it is shipped: without the callbacks that the filter does
//! not use, and without the code behind them.
//!
//! The SDK exports every callback that a proxy-wasm module can have, and Envoy calls each that it finds: for every
//! body, every trailer, every connection. What is not exported is not called, and needs no code. The filter's own
//! callbacks have names of their own while it is built, because the SDK has those of the ABI: here they get them. Takes
//! the two paths; the same input gives the same output. Never changes a function.

use std::env::args_os;
use std::error::Error;
use std::path::PathBuf;

use walrus::ModuleConfig;
use walrus::passes::gc;

/// What Envoy needs of this filter.
const KEPT: [&str; 4] = ["_initialize", "malloc", "memory", "proxy_abi_version_0_2_1"];

/// How the filter's own callbacks begin while it is built, and in the module that is shipped.
const OWN: &str = "tidegate_on_";
const SHIPPED: &str = "proxy_on_";

fn main() -> Result<(), Box<dyn Error>> {
    let paths: Vec<PathBuf> = args_os().skip(1).map(PathBuf::from).collect();
    let [built, shipped] = paths.as_slice() else { return Err("usage: trim BUILT.wasm SHIPPED.wasm".into()) };
    let mut module =
        ModuleConfig::new().generate_producers_section(false).generate_name_section(false).parse_file(built)?;
    let unused = |name: &str| !KEPT.contains(&name) && !name.starts_with(OWN);
    let unused = module.exports.iter().filter(|export| unused(&export.name));
    for export in unused.map(walrus::Export::id).collect::<Vec<_>>() {
        module.exports.delete(export);
    }
    let mut callbacks = 0_u32;
    for export in module.exports.iter_mut() {
        if let Some(name) = export.name.strip_prefix(OWN) {
            export.name = format!("{SHIPPED}{name}");
            callbacks = callbacks.saturating_add(1);
        }
    }
    if callbacks == 0 {
        return Err(format!("{} has no callback of ours", built.display()).into());
    }
    gc::run(&mut module);
    module.emit_wasm_file(shipped)?;
    Ok(())
}
