//! The values that everything else is made of: parsed once, then proofs.

pub mod decimal;
pub mod encode;
pub mod hash;
pub mod json;
pub mod name;
pub mod order;
pub mod path;
pub mod search;
pub mod share;
pub mod time;
pub mod version;
