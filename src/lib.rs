//! Decides, for each request, which version of a service answers and which flags are on.
//!
//! ```text
//! bytes --config--> Config --plan--> Plan --decide(request, standing, now)--> Decisions --effect--> headers, route
//!                                            standing <--guard-- outcome <--answer
//! ```
//!
//! Read in this order: [`problem`], [`config`], [`plan`], [`request`], [`decide`], [`effect`]; then the way back:
//! [`outcome`], [`guard`], [`standing`]. The values that they are made of stand in [`hash`], [`share`], [`decimal`],
//! [`time`], [`name`] and [`reason`]; what every hop can see, in [`baggage`], and what instances
//! in one chain tell each other, in [`chain`]. What becomes of a push is said by
//! [`lifecycle`]; what is counted stands in [`metric`], and [`count`] counts it; [`page`] shows it. There are two doors,
//! and neither holds a rule: `filter` is the one to Envoy, in the wasm build only; [`cli`] is the one for people, with the
//! feature of its name.
//!
//! # Invariants
//!
//! - The engine never reads a clock, a random number, the environment or the host.
//! - A [`plan::Plan`] never changes; a config that does not compile yields no plan.
//! - [`decide::decide`] cannot fail: what it cannot decide gets the default, with the reason.
//! - The same config and identity give the same decision in every worker, proxy, restart and build.
//! - An identity never leaves the engine: not in headers, not in logs, not in errors.

pub mod baggage;
pub mod chain;
pub mod config;
pub mod count;
pub mod decide;
pub mod decimal;
pub mod effect;
pub mod guard;
pub mod hash;
pub mod lifecycle;
pub mod metric;
pub mod name;
mod order;
pub mod outcome;
pub mod page;
mod path;
pub mod plan;
pub mod problem;
pub mod reason;
pub mod request;
mod search;
pub mod share;
pub mod standing;
pub mod time;

#[cfg(all(feature = "cli", not(target_arch = "wasm32")))]
pub mod cli;
#[cfg(target_arch = "wasm32")]
mod filter;
