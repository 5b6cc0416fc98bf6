//! Takes configs in, as [`lifecycle`](crate::lifecycle) judges them, and makes visible what is in force.
//!
//! A push that Envoy hands over is a new root context in the same VM; the old one serves until its last request
//! is done. Never stops traffic: a proxy that has never had a good config passes requests on undecided.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use log::{error, info, warn};
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::ContextType;

use super::host;
use super::meters::{self, Meters, gauge};
use super::stream::Stream;
use crate::count::Counts;
use crate::guard::Worker;
use crate::lifecycle::{Accepted, Judgement, State, judge_bad};
use crate::metric;
use crate::plan::{Compiled, Plan};
use crate::problem::Problems;
use crate::time::Timestamp;

/// How many warnings about one config are logged: each of them is a line of Envoy's log, from each of its threads.
const WARNINGS: usize = 50;

thread_local! {
    /// All that this VM has counted by and not told to the end: no callback comes when a config has had its last request.
    static ALL: RefCell<Vec<Rc<Active>>> = const { RefCell::new(Vec::new()) };
}

/// How often workers tell each other what they have counted.
const TICK: Duration = Duration::from_millis(250);

/// One config of one plugin.
#[derive(Debug, Default)]
pub(super) struct Root {
    plugin: String,
    active: Rc<Active>,
}

/// What a request is decided by.
#[derive(Debug, Default)]
pub(super) struct Active {
    pub(super) plugin: String,
    pub(super) plan: Plan,
    /// What is in force, and since when.
    pub(super) state: State,
    pub(super) since: Option<Timestamp>,
    pub(super) worker: RefCell<Worker>,
    pub(super) counts: RefCell<Counts>,
    pub(super) meters: RefCell<Meters>,
}

impl Context for Root {}

impl RootContext for Root {
    fn on_tick(&mut self) {
        let active = Rc::clone(&self.active);
        let now = host::now();
        if let (Ok(mut worker), Ok(meters)) = (active.worker.try_borrow_mut(), active.meters.try_borrow()) {
            for happened in worker.tick(&active.plan, now, &mut host::Shared { plugin: &self.plugin }) {
                warn!("guard: {happened}");
                if happened.rolled_back() {
                    meters.rolled_back(happened.watch);
                }
            }
        }
        self.tell(now);
    }

    fn on_configure(&mut self, _: usize) -> bool {
        let plugin = host::plugin();
        let bytes = host::configuration();
        host::declare_chain();
        let (compiled, problems) = Plan::from_bytes(&bytes);
        let (unknown, warnings) = (problems.unknown_fields(), problems.warnings());
        for warning in unknown.iter().chain(warnings).take(WARNINGS) {
            warn!("config: {warning}");
        }
        let more = unknown.len().saturating_add(warnings.len()).saturating_sub(WARNINGS);
        if more > 0 {
            warn!("config: ... and {more} more warnings");
        }
        let judgement = match compiled {
            Compiled::Ready(plan) => {
                host::remember_good(&plugin, &bytes);
                Judgement::Accept(Box::new(plan), State::Active)
            }
            Compiled::Broken(inert) => judge(&plugin, &bytes, inert),
        };
        gauge(&plugin, &metric::REFUSED, u64::from(!problems.errors().is_empty()));
        gauge(&plugin, &metric::PROBLEMS, u64::try_from(problems.count()).unwrap_or(u64::MAX));
        match judgement {
            Judgement::Refuse => {
                error!("config: refused, the one before it stays in force: {}", problems.one_line());
                false
            }
            Judgement::Accept(plan, state) => {
                report(&plugin, &plan, state, &problems);
                self.plugin = plugin;
                self.serve(*plan, state);
                true
            }
        }
    }

    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream::new(Rc::clone(&self.active))))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

impl Root {
    /// Takes a plan into service, with what its guards have decided before.
    fn serve(&mut self, plan: Plan, state: State) {
        let now = host::now();
        let worker = Worker::new(&plan, now, &mut host::Shared { plugin: &self.plugin });
        let (counts, meters) = (Counts::new(&plan), Meters::new(&plan, &self.plugin));
        self.active = Rc::new(Active {
            plugin: self.plugin.clone(),
            plan,
            state,
            since: Some(now),
            worker: worker.into(),
            counts: counts.into(),
            meters: meters.into(),
        });
        ALL.with_borrow_mut(|all| all.push(Rc::clone(&self.active)));
        self.tell(now);
        host::tick(TICK);
    }

    /// Hands to the host how things are, and what was counted, also under configs before this one.
    fn tell(&self, now: Timestamp) {
        let Active { plan, worker, counts, meters, .. } = &*self.active;
        let parts = (worker.try_borrow_mut(), counts.try_borrow_mut(), meters.try_borrow_mut());
        if let (Ok(mut worker), Ok(mut counts), Ok(mut meters)) = parts {
            meters.show(plan, &mut worker, &mut counts, now);
        }
        ALL.with_borrow_mut(|all| {
            for active in all.iter() {
                active.tell();
            }
            // Those that nobody else holds have no request left, and no root.
            all.retain(|active| Rc::strong_count(active) > 1);
        });
    }
}

impl Active {
    fn tell(&self) {
        if let (Ok(mut counts), Ok(mut meters)) = (self.counts.try_borrow_mut(), self.meters.try_borrow_mut()) {
            meters.tell(&self.plan, &self.plugin, &mut counts);
        }
    }
}

/// Judges a config with errors by what all VMs of the plugin remember, and adds to that.
fn judge(plugin: &str, bytes: &[u8], inert: Plan) -> Judgement {
    let (mut accepted, version) = host::accepted(plugin);
    let judgement = judge_bad(inert, accepted.has(bytes), host::last_good(plugin).as_deref());
    if let Judgement::Accept(..) = judgement
        && !accepted.has(bytes)
    {
        accepted.add(bytes);
        if !host::remember_accepted(plugin, &accepted, version) {
            // Another VM has added one meanwhile: add ours to that.
            let mut other: Accepted = host::accepted(plugin).0;
            other.add(bytes);
            host::remember_accepted(plugin, &other, None);
        }
    }
    judgement
}

/// Says what is in force from now on, in the log and in the gauges.
fn report(plugin: &str, plan: &Plan, state: State, problems: &Problems) {
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
    let count = u64::try_from(flags).unwrap_or(u64::MAX);
    // A double, which is what metrics are stored as, holds 53 bits.
    gauge(plugin, &metric::FINGERPRINT, if state == State::Inert { 0 } else { print & 0xffff_ffff_ffff });
    gauge(plugin, &metric::FLAGS, count);
    gauge(plugin, &metric::SERIES, u64::try_from(plan.series().count()).unwrap_or(u64::MAX));
    gauge(plugin, &metric::SINCE, u64::try_from(host::now().millis()).unwrap_or_default().wrapping_div(1_000));
    gauge(plugin, &metric::STATE, state.code());
    meters::revision(plugin, if state == State::Inert { "none" } else { revision });
}
