//! What is fuzzed: one `check` a target, which takes any bytes and panics where a law is broken.
//!
//! The same bodies are run by libFuzzer (`make fuzz`) and, over the seeds and some mutations of them, by every
//! `make test`. A body is a function of its bytes alone, so that what was found once is found again.
//! Never holds a law twice: what an example shows better is a case, not a target.
#![allow(
    dead_code,
    missing_debug_implementations,
    unreachable_pub,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a law that is broken stops the run, with a message; each binary runs its own target"
)]

pub mod condition;
pub mod config;
pub mod differential;
#[cfg(fuzzing)]
#[path = "../../src/filter/encoding.rs"]
mod encoding;
#[cfg(fuzzing)]
#[path = "../kit/host/mod.rs"]
mod host;
pub mod identity;
mod message;
#[path = "../../src/module/lib.rs"]
mod module;
mod native;
pub mod token;

#[cfg(not(fuzzing))]
use kit::{encoding, host};

/// What a target does with its bytes.
pub type Check = fn(&[u8]);

/// Every target by its name.
pub const ALL: [(&str, Check); 5] = [
    ("config", config::check),
    ("identity", identity::check),
    ("token", token::check),
    ("condition", condition::check),
    ("differential", differential::check),
];
