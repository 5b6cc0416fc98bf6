//! Takes configs in, as [`lifecycle`](tidegate_proxy::lifecycle) judges them, and makes visible what is in force.
//!
//! A push that Envoy hands over is a new root context in the same VM; the old one serves until its last request
//! is done. Never stops traffic: a proxy that has never had a good config passes requests on undecided.

use std::rc::Rc;

use log::{error, info, warn};
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::ContextType;

use super::host;
use super::meters::gauge;
use super::plugin::{self, Active};
use super::stream::Stream;
use tidegate_engine::plan::{Compiled, Plan};
use tidegate_engine::problem::Problems;
use tidegate_proxy::lifecycle::{Judgement, State, judge_bad};
use tidegate_proxy::metrics::catalogue;

/// How many warnings about one config are logged: each of them is a line of Envoy's log, from each of its threads.
const WARNINGS: usize = 50;

/// One config of one plugin, as the host knows it.
#[derive(Debug, Default)]
pub(super) struct Root {
    /// None until it was configured.
    active: Option<Rc<Active>>,
    /// Whether its tick has the usual period: the first one comes when it is due for the filter.
    paced: bool,
}

impl Drop for Root {
    fn drop(&mut self) {
        if let Some(active) = &self.active {
            active.gone();
        }
    }
}

impl Context for Root {}

impl RootContext for Root {
    fn on_tick(&mut self) {
        if !std::mem::replace(&mut self.paced, true) {
            host::tick(plugin::PERIOD);
        }
        if let Some(active) = &self.active {
            plugin::tick(active);
        }
    }

    fn on_configure(&mut self, _: usize) -> bool {
        let (name, key) = host::plugin();
        let bytes = host::configuration();
        host::declare_chain();
        let (compiled, problems) = tidegate_proxy::read(&bytes);
        let (unknown, warnings) = (problems.unknown_fields(), problems.warnings());
        for warning in unknown.iter().chain(warnings).take(WARNINGS) {
            warn!("config: {warning}");
        }
        let more = unknown.len().saturating_add(warnings.len()).saturating_sub(WARNINGS);
        if more > 0 {
            warn!("config: ... and {more} more warnings");
        }
        let last_good = host::last_good(&key);
        let judgement = match compiled {
            Compiled::Ready(plan) => {
                host::remember_good(&key, &bytes);
                Judgement::Accept(Box::new(plan), State::Active)
            }
            Compiled::Broken(inert) => judge(&key, &bytes, inert, last_good.as_deref()),
        };
        gauge(&name, &catalogue::REFUSED, u64::from(!problems.errors().is_empty()));
        gauge(&name, &catalogue::PROBLEMS, u64::try_from(problems.count()).unwrap_or(u64::MAX));
        match judgement {
            Judgement::Refuse => {
                error!("config: refused, the one before it stays in force: {}", problems.one_line());
                false
            }
            Judgement::Accept(plan, state) => {
                report(&plan, state, &problems);
                self.active = plugin::serve((name, key), *plan, state, last_good.is_none());
                true
            }
        }
    }

    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        let active = self.active.as_ref()?;
        active.asked();
        Some(Box::new(Stream::new(Rc::clone(active))))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

/// Judges a config with errors by what all VMs of the filter remember, and adds to that.
fn judge(key: &str, bytes: &[u8], inert: Plan, last_good: Option<&[u8]>) -> Judgement {
    // A config that has come is accepted by whoever looks at it first, where it is accepted at all.
    let accepted = host::on_record(key, "accepted", bytes, last_good.is_none());
    let stands_by = accepted && host::on_record(key, "stands-by", bytes, plugin::serves(key)) || plugin::serves(key);
    judge_bad(inert, accepted, stands_by, last_good)
}

/// Says in the log what is in force from now on.
fn report(plan: &Plan, state: State, problems: &Problems) {
    let revision = plan.revision().map_or("without a name", |revision| revision.as_str());
    let (flags, print) = (plan.flags().len(), plan.fingerprint());
    match state {
        State::Active => info!("config: revision {revision} is active: {flags} flags, plan {print:016x}"),
        State::LastGood => {
            let problems = problems.one_line();
            error!("config: not good, the last good revision {revision} stays in force: {problems}");
        }
        State::Inert => {
            error!("config: not good, and there was none before it: requests pass undecided: {}", problems.one_line());
        }
    }
}
