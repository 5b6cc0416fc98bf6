//! What commands work on: [`files`], with the configs in [`manifest`]s; [`git`] and what a file had in the [`past`];
//! a [`request`], the users of a [`sample`], a [`time`], said in options; proxies, over [`http`]. [`load`] makes configs
//! of files, ready to be asked.

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
