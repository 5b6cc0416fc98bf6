//! Turns outcomes into standing: what was counted for each variant, whether it keeps its limits, and what follows.
//!
//! ```text
//! outcome --tally--> window --verdict--> ledger --standing--> decide
//! ```
//!
//! [`worker`] is the one door: it counts, tells the other workers on the tick, and takes up what holds; what of that
//! outlives a config stands in [`Keep`]. Never reads a clock, never waits for another worker, and counts no more on the
//! request path than a few numbers.

pub mod event;
pub mod evidence;
mod keep;
pub mod ledger;
mod limiter;
pub mod sample;
mod store;
pub mod tally;
pub mod verdict;
pub mod window;
pub mod worker;

pub use event::FlagEvent;
pub use keep::Keep;
pub use store::Store;
pub use worker::{Entry, Worker};
