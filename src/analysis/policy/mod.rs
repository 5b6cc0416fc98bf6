//! What the configs of an organisation must keep: [`mod@format`] reads a policy, [`freeze`] knows when nothing may change,
//! [`mod@judge`] finds what breaks it, and [`approve`] says who approves which file.
//!
//! Never enforces anything in a proxy: a policy is for those who write configs.

pub mod approve;
pub mod format;
pub mod freeze;
pub mod judge;

pub use format::{Policy, SECTIONS};
pub use judge::{judge, judge_change};
