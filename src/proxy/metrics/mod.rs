//! What is counted, under which names, and where: the catalogue, the series of one plan, and the counts of one worker.

pub mod catalogue;
pub mod count;
pub mod series;
