//! Turns what the guards of all proxies have counted into one verdict for each flag.
//!
//! ```text
//! raw values --counters--> increments --strata--> windows --scope--> verdict --flag--> standing
//!                                        \--uneven--> phi --/
//! ```
//!
//! The windows and the judge are those of a proxy's guard: a [`fleet`] feeds them with the counts of all proxies, and
//! each [`flag`] keeps what follows. [`counters`] say what is new since the last look. Proxies that stand at different
//! steps, or where other things differ, are compared apart ([`strata`]); how unevenly failures fall on clients is seen
//! where proxies count by groups of identities ([`uneven`]); and [`scope`] says whether it is all proxies that are meant,
//! or one place. Never reads a clock, and never asks anybody: who calls it hands in the time and what a Prometheus has
//! said.
#![allow(
    clippy::arithmetic_side_effects,
    reason = "sums of what fits into memory; overflow is checked in every profile, and stops the judge"
)]

pub mod counters;
pub mod flag;
pub mod fleet;

pub mod scope;
pub mod strata;
pub mod uneven;
