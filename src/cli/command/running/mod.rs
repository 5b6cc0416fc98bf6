//! Commands that look at what runs: which config proxies have ([`status`]), how they decide ([`watch`]), what a caller
//! gets from them ([`probe`]), what can be said of all of them together ([`judge`]) and what follows from that ([`steer`]), and
//! all flags that there are, there and in configs ([`mod@list`]).

pub(crate) mod judge;
pub(crate) mod list;
pub(crate) mod probe;
pub(crate) mod status;
pub(crate) mod steer;
pub(crate) mod watch;

#[cfg(feature = "fleet")]
mod wrong;
