//! Commands that ask what a config does: for one request ([`explain`]), for many users ([`simulate`]), in a change
//! ([`diff`]), in its history ([`log`]).

pub(crate) mod diff;
pub(crate) mod explain;
pub(crate) mod log;
pub(crate) mod simulate;
