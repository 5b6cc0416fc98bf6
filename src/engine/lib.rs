//! Decides, for each request, which version of a service answers and which flags are on.
//!
//! ```text
//! bytes --config--> Config --plan--> Plan --decide(request, standing, now)--> Decisions --output--> headers, route
//! ```
//!
//! Read in this order: [`problem`], [`config`], [`plan`], [`request`], [`decide`], [`output`]. What they are made of
//! stands in [`value`]: names, shares, times, hashes, parsed once. The way back, from answers to a
//! [standing](decide::standing), is the proxy's.
//!
//! # Invariants
//!
//! - The engine never reads a clock, a random number, the environment or the host.
//! - A [`plan::Plan`] never changes; a config that does not compile yields no plan.
//! - [`decide::decide`] cannot fail: what it cannot decide gets the default, with the reason.
//! - The same config and identity give the same decision in every worker, proxy, restart and build.
//! - An identity never leaves the engine: not in headers, not in logs, not in errors.

pub mod config;
pub mod decide;
pub mod output;
pub mod plan;
pub mod problem;
pub mod request;
pub mod value;
