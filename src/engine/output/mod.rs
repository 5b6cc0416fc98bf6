//! What leaves the engine: headers, baggage, and what an inspection tells.

pub mod baggage;
pub mod chain;
pub mod effect;
