//! Runs every case file through the built module.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a case that fails stops its test, with a message"
)]

use kit::case::{host, suites};
use kit::envoy::module;
use kit::host::Module;

#[test]
fn the_built_module_decides_every_case_as_expected() {
    let module = Module::load(module()).unwrap();
    for suite in suites() {
        let mut host = host(&module, &suite);
        for case in suite.cases() {
            case.check(&case.through_module(&mut host), "module");
        }
    }
}
