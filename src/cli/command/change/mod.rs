//! Commands that change configs.

pub(crate) mod fmt;
