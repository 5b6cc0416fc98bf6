//! Turns outcomes into standing: what was counted for each variant, whether it keeps its limits, and what follows.
//!
//! ```text
//! outcome --tally--> window --verdict--> ledger --standing--> decide
//! ```
//!
//! [`worker`] is the one door: it counts, tells the other workers on the tick, and takes up what holds. Never reads
//! a clock, never waits for another worker, and counts no more on the request path than a few numbers.

pub mod bits;
pub mod ledger;
pub mod sample;
pub mod tally;
mod throttle;
pub mod verdict;
pub mod window;
pub mod worker;

pub use worker::{Entry, Happened, Store, Worker};
