//! What can be said of a config before any request: [`debt`] finds what flags have run up, [`logic`] what a condition can
//! never be, [`exposure`] how many get something else than the baseline. A [`finding`] is what the judges hand on.

pub mod debt;
pub mod exposure;
pub mod finding;
pub mod logic;

pub use finding::Finding;
