//! One proxy's life: what becomes of a push, of a request and of its answer, of what was counted.
//!
//! ```text
//! bytes --lifecycle--> plan        outcome --guard--> standing --> decide        counts --metrics--> host
//! ```

pub mod admin;
pub mod guard;
pub mod lifecycle;
pub mod metrics;
pub mod outcome;
