//! Commands that look at what runs: proxies that decide ([`watch`]), what a caller gets from them ([`probe`]), and all
//! flags that there are, there and in configs ([`mod@list`]).

pub(crate) mod list;
pub(crate) mod probe;
pub(crate) mod watch;
