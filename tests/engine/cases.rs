//! Runs every case file through the engine, natively.
//!
//! The same files go through the built module and through a real Envoy in the suites of these names.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a case that fails stops its test, with a message"
)]

use kit::case::suites;

#[test]
fn the_engine_decides_every_case_as_expected() {
    let mut count = 0;
    for suite in suites() {
        let plan = suite.plan();
        for case in suite.cases() {
            case.check(&case.natively(plan), "engine");
            count += 1;
        }
    }
    println!("{count} cases");
    assert!(count > 80, "case files have gone missing: {count}");
}
