//! Takes configs in: a good one is swapped in for all new requests, a bad one changes nothing.
//!
//! A push that Envoy hands over is a new root context in the same VM; the old one serves until its last request
//! is done. Never stops traffic: a proxy that has never had a good config passes requests on undecided.

use std::rc::Rc;

use log::{error, info, warn};
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::ContextType;

use super::host;
use super::stream::Stream;
use crate::plan::{Compiled, Plan};

/// One config of one plugin.
#[derive(Debug, Default)]
pub(super) struct Root {
    plan: Rc<Plan>,
}

impl Context for Root {}

impl RootContext for Root {
    fn on_configure(&mut self, _: usize) -> bool {
        let (compiled, problems) = Plan::from_bytes(&host::configuration());
        for warning in problems.unknown_fields().iter().chain(problems.warnings()) {
            warn!("config: {warning}");
        }
        let plan = match compiled {
            Compiled::Ready(plan) => {
                let revision = plan.revision().map_or("without a name", |revision| revision.as_str());
                info!(
                    "config: revision {revision} is active: {} flags, plan {:016x}",
                    plan.flags().len(),
                    plan.fingerprint()
                );
                plan
            }
            Compiled::Broken(inert) => {
                error!("config: refused, requests pass undecided\n{problems}");
                inert
            }
        };
        self.plan = Rc::new(plan);
        true
    }

    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream::new(Rc::clone(&self.plan))))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}
