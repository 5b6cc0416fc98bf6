//! What can be said of a valid config before any request: [`debt`] finds flags that are due for removal, [`futile`]
//! what can never work, [`routes`] variants that no route leads to, [`logic`] conditions that can never hold,
//! [`exposure`] the share of users away from the baseline, [`standing`] what was decided about flags that have changed
//! since. Each is a [`finding`].

pub mod debt;
pub mod exposure;
pub mod finding;
pub mod futile;
pub mod logic;
pub mod routes;
pub mod standing;

pub use finding::Finding;
