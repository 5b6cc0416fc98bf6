//! Commands that look at what runs: proxies that decide ([`watch`]), and what a caller gets from them ([`probe`]).

pub(crate) mod probe;
pub(crate) mod watch;
