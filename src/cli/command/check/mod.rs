//! Commands that check configs: [`validate`] and [`report`], and the [`policy`] that they check against.

pub(crate) mod policy;
pub(crate) mod report;
mod shown;
pub(crate) mod validate;
