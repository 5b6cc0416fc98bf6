//! What is counted, under which names, and where: the catalogue, the series of one plan, the counts of one
//! worker, and the meters that hand them to the host.

pub mod catalogue;
pub mod count;
pub(crate) mod meters;
pub(crate) mod recent;
pub mod series;
