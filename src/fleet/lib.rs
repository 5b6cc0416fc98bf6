//! Where the command meets a cluster, a Prometheus and all proxies at once. Holds no rule: what is said of a config is
//! said by the analysis, and a verdict by the judge.
//!
//! [`mod@cluster`] is the API server of a cluster: configs in its objects, read and changed (`cluster`).
//! [`prometheus`] is what has read the proxies, [`judge`] what looks at it again and again, and [`steer`] what follows the
//! judge. [`door`] tells what they see over HTTP.

#![allow(rustdoc::private_intra_doc_links, reason = "the maps name all modules")]

pub mod cluster;
pub mod door;
pub mod judge;
pub mod prometheus;
pub mod steer;
