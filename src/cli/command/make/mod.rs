//! Commands that make something of a config, or of the command itself: manifests ([`render`]), and its [`mod@reference`].

pub(crate) mod reference;
pub(crate) mod render;
