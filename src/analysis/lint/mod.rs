//! What can be said of a valid config before any request: [`debt`] finds flags that are due for removal, [`logic`]
//! conditions that can never hold, [`exposure`] the share of users away from the baseline. Each is a [`finding`].

pub mod debt;
pub mod exposure;
pub mod finding;
pub mod logic;

pub use finding::Finding;
