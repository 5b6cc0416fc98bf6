//! Commands that change configs: [`mod@fmt`] their form, and the others what a flag does. [`set`] changes single
//! fields, [`switch`] kills and revives, [`ramp`] goes on, [`standing`] holds and takes back, [`retire`] takes
//! out. What all of these do is in [`hand`]; where a config lives is a [`place`], or `on` a cluster, and [`commit`] brings
//! it into git. [`rules`] finds the rule that is meant.

pub(crate) mod commit;
pub(crate) mod fmt;
pub(crate) mod hand;
#[cfg(feature = "fleet")]
pub(crate) mod on;
pub(crate) mod place;
pub(crate) mod ramp;
pub(crate) mod retire;
mod rules;
pub(crate) mod set;
pub(crate) mod standing;
pub(crate) mod switch;
