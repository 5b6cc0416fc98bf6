//! What follows the judge: turns what it tells into the standing that every proxy gets with its config.
//!
//! [`told`] asks a judge and understands it, [`act`] says what is to be written of it, [`page`] is what is told of all
//! this. Never writes anything: whoever can change the config does.
#![allow(
    clippy::arithmetic_side_effects,
    reason = "sums of what fits into memory; overflow is checked in every profile, and stops the one who steers"
)]

pub mod act;
pub mod page;
pub mod told;
