//! One proxy's life: what becomes of a push, of a request and of its answer, of what was counted.
//!
//! ```text
//! bytes --push, lifecycle--> active --stream--> effects --> host
//! answer --outcome--> guard --> standing --> decide         counts --metrics--> host
//! ```
//!
//! A [`host`] is a worker of a proxy. It makes an instance of the filter for each [`push`], and a [`stream`] for each
//! request; [`filters`] keeps track of all instances, and `active` is the config that one of them has in service.
//! [`lifecycle`] says what becomes of a push, [`outcome`] what an answer says about a version, [`guard`] what follows
//! from that; [`metrics`] are what is counted and under which names, and [`admin`] is the page that shows it all. Knows
//! no host by name.

#![allow(rustdoc::private_intra_doc_links, reason = "the map names all modules")]

mod active;
pub mod admin;
pub mod filters;
pub mod guard;
pub mod host;
pub mod lifecycle;
pub mod metrics;
pub mod outcome;
pub mod push;
pub mod stream;

use tidegate_engine::config::Config;
use tidegate_engine::plan::{Compiled, Plan};
use tidegate_engine::problem::Problems;

use metrics::series::Series;

/// Compiles a config as a proxy does, and adds to its problems what only the proxy's limits show.
pub fn compile(config: &Config, problems: &mut Problems) -> Compiled {
    let compiled = Plan::compile(config, problems);
    if let Compiled::Ready(plan) = &compiled {
        Series::new(plan).check(plan, problems);
    }
    compiled
}

/// Reads and compiles a config as a proxy does.
#[must_use]
pub fn read(bytes: &[u8]) -> (Compiled, Problems) {
    let mut problems = Problems::default();
    let config = Config::from_bytes(bytes, &mut problems);
    (compile(&config, &mut problems), problems)
}
