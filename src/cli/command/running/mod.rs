//! Commands that look at what runs: which config proxies have ([`status`]), how they decide ([`watch`]), and what a
//! caller gets from them ([`probe`]).

pub(crate) mod probe;
pub(crate) mod status;
pub(crate) mod watch;
