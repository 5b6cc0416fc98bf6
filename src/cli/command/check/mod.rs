//! Commands that check configs: [`validate`] and [`report`], and the [`policy`] that they check against.

pub(crate) mod policy;
pub(crate) mod report;
pub(crate) mod validate;
