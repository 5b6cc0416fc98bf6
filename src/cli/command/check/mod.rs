//! Commands that check configs: [`validate`], [`mod@test`] and [`report`], and the [`policy`] that they check against.

pub(crate) mod policy;
pub(crate) mod report;
mod shown;
pub(crate) mod test;
pub(crate) mod validate;
