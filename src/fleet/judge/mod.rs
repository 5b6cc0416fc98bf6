//! The judge between a Prometheus and those who ask it: turns what proxies have counted into verdicts that others read.
//!
//! [`reading`] understands the labels of series, [`watcher`] looks again and again, [`page`] is what is told of it,
//! [`door`] tells it over HTTP. The verdicts themselves are made in a package of their own. Never changes anything.
#![allow(
    clippy::arithmetic_side_effects,
    reason = "sums of what fits into memory; overflow is checked in every profile, and stops the judge"
)]

pub mod door;
pub mod page;
pub mod reading;
pub mod watcher;

pub use tidegate_judge::flag::{Flag, STEER};
