//! Turns outcomes into standing: what was counted for each variant, whether it keeps its limits, and what follows.
//!
//! [`window`] keeps the counts, [`bits`] weighs them, [`verdict`] judges them. Never reads a clock, and never
//! counts on the request path more than a few numbers.

pub mod bits;
pub mod verdict;
pub mod window;
