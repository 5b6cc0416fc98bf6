//! What is written about the project, held to what it does.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "what is not as it should be stops its test, with a message"
)]

mod commands;
mod configs;
mod house;
mod limits;
mod pages;
mod tables;
