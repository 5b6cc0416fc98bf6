//! What commands work on: [`files`], with configs in [`manifest`]s; [`git`], and the [`past`] of a file; a
//! [`request`], the users of a [`sample`] and a [`time`] from options; proxies, over [`http`]; a [`cluster`]. [`load`]
//! compiles configs.

pub(crate) mod cluster;
pub(crate) mod files;
pub(crate) mod git;
pub(crate) mod http;
pub(crate) mod load;
pub(crate) mod manifest;
pub(crate) mod past;
pub(crate) mod request;
pub(crate) mod sample;
pub(crate) mod time;

pub(crate) use request::RequestArgs;
pub(crate) use sample::SampleArgs;
