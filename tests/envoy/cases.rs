//! Runs every case file through a real Envoy.
//!
//! A case that needs a clock, a certificate or an address of its own cannot be asked of an Envoy on a laptop; those
//! run through the engine and the module, and are counted here.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a case that fails stops its test, with a message"
)]

use kit::case::{CLAIMS_LUA, Suite, suites};
use kit::envoy::Pushed;
use kit::scene::Scene;

#[test]
fn a_real_envoy_decides_every_case_as_expected() {
    let suites: Vec<Suite> = suites();
    let envoy = Scene::new(suites[0].config()).lua(CLAIMS_LUA).start();
    let mut client = envoy.client();
    let (mut asked, mut left_out) = (0, 0);
    for (index, suite) in suites.iter().enumerate() {
        if index > 0 {
            assert_eq!(envoy.push(&suite.config()), Pushed::Accepted, "{}", suite.name);
        }
        for case in suite.cases() {
            if case.fits_envoy() {
                case.check(&case.through_envoy(&mut client), "Envoy");
                asked += 1;
            } else {
                left_out += 1;
            }
        }
    }
    println!("{asked} cases, {left_out} left out: they set the clock, the address, the peer or the node");
    assert!(asked > 70, "{asked}");
}
