//! Commands that judge configs: [`validate`] and [`report`], and the [`policy`] that they judge by.

pub(crate) mod policy;
pub(crate) mod report;
pub(crate) mod validate;
