//! What every end-to-end test, the demo and the benchmark share: a real Envoy, and a client for it.
//!
//! Turns a configuration into a running proxy, and bytes on a socket into values that a test can compare.
//! Never holds a rule of the engine: what a decision should be, the tests say.
#![allow(dead_code, unreachable_pub, missing_debug_implementations, reason = "each test takes the parts it needs")]
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::must_use_candidate,
    clippy::panic,
    clippy::print_stderr,
    clippy::return_self_not_must_use,
    clippy::unwrap_used,
    reason = "a harness that cannot go on stops the test, with a message"
)]
#![allow(
    clippy::disallowed_methods,
    clippy::float_arithmetic,
    reason = "a harness reads the clock and the environment, so that the code under test need not"
)]

pub mod envoy;
#[cfg(feature = "suites")]
pub mod h2;
pub mod http;
pub mod stage;

#[cfg(feature = "suites")]
pub mod answer;
#[cfg(feature = "suites")]
pub mod apiserver;
#[cfg(feature = "suites")]
pub mod browser;
#[cfg(feature = "suites")]
pub mod case;
#[cfg(feature = "suites")]
pub mod chance;
#[cfg(feature = "suites")]
pub mod cluster;
#[cfg(feature = "suites")]
pub mod collector;
#[cfg(feature = "suites")]
#[path = "../../src/filter/encoding.rs"]
pub mod encoding;
#[cfg(feature = "suites")]
pub mod fleet;
#[cfg(feature = "suites")]
pub mod host;
#[cfg(feature = "suites")]
pub mod invalid;
#[cfg(feature = "suites")]
pub mod istio;
#[cfg(feature = "suites")]
pub mod past;
#[cfg(feature = "suites")]
pub mod prometheus;
#[cfg(feature = "suites")]
pub mod scene;
#[cfg(feature = "suites")]
pub mod scrape;
#[cfg(feature = "suites")]
pub mod simulate;
#[cfg(feature = "suites")]
pub mod swarm;
#[cfg(feature = "suites")]
pub mod timeline;
#[cfg(feature = "suites")]
pub mod worker;
