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
use super::stream::Stream;
use crate::guard::Worker;
use crate::lifecycle::{Accepted, Judgement, State, judge_bad};
use crate::metric::{self, Gauge, Series};
use crate::plan::{Compiled, Plan, Watch};
use crate::problem::Problems;

/// How many warnings about one config are logged: each of them is a line of Envoy's log, from each of its threads.
const WARNINGS: usize = 50;

/// How many revisions get a gauge of their own in the life of a VM.
const REVISIONS: usize = 64;

thread_local! {
    /// The gauges of the revisions that this VM has seen: a gauge is defined once.
    static SEEN: RefCell<Vec<(String, u32)>> = const { RefCell::new(Vec::new()) };
}

/// How often workers tell each other what they have counted.
const TICK: Duration = Duration::from_millis(250);

/// One config of one plugin.
#[derive(Debug, Default)]
pub(super) struct Root {
    plugin: String,
    active: Rc<Active>,
    /// By watched flag: its gauge and counters.
    watched: Vec<Watched>,
}

/// What a request is decided by.
#[derive(Debug, Default)]
pub(super) struct Active {
    pub(super) plan: Plan,
    pub(super) worker: RefCell<Worker>,
}

/// The metrics of one watched flag.
#[derive(Debug)]
struct Watched {
    standing: Option<u32>,
    rollbacks: Option<u32>,
    throttled: Option<u32>,
    rescued: Option<u32>,
}

impl Context for Root {}

impl RootContext for Root {
    fn on_tick(&mut self) {
        let Ok(mut worker) = self.active.worker.try_borrow_mut() else { return };
        let plan = &self.active.plan;
        for happened in worker.tick(plan, host::now(), &mut host::Shared { plugin: &self.plugin }) {
            warn!("guard: {happened}");
            if happened.rolled_back()
                && let Some(rollbacks) = self.watched.get(happened.watch).and_then(|watched| watched.rollbacks)
            {
                host::count(rollbacks, 1);
            }
        }
        self.show(&mut worker);
    }

    fn on_configure(&mut self, _: usize) -> bool {
        let plugin = host::plugin();
        let bytes = host::configuration();
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
        gauge(&plugin, Gauge::Refused, u64::from(!problems.errors().is_empty()));
        gauge(&plugin, Gauge::Problems, u64::try_from(problems.count()).unwrap_or(u64::MAX));
        match judgement {
            Judgement::Refuse => {
                error!("config: refused, the one before it stays in force: {}", problems.one_line());
                false
            }
            Judgement::Accept(plan, state) => {
                report(&plugin, &plan, state, &problems);
                self.plugin = plugin;
                self.serve(*plan);
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
    fn serve(&mut self, plan: Plan) {
        let mut worker = Worker::new(&plan, host::now(), &mut host::Shared { plugin: &self.plugin });
        if !plan.watches().is_empty() {
            let define = |watch: &Watch| {
                let name =
                    |series: Series| plan.flag_of(watch).map(|flag| series.name(&self.plugin, flag.key().as_str()));
                let counter = |series| name(series).and_then(|name| host::define_counter(&name));
                Watched {
                    standing: name(Series::Standing).and_then(|name| host::define_gauge(&name)),
                    rollbacks: counter(Series::Rollbacks),
                    throttled: counter(Series::Throttled),
                    rescued: counter(Series::Rescued),
                }
            };
            self.watched = plan.watches().iter().map(define).collect();
            self.show(&mut worker);
            host::tick(TICK);
        }
        self.active = Rc::new(Active { plan, worker: RefCell::new(worker) });
    }

    /// Shows the standing of all watched flags.
    fn show(&self, worker: &mut Worker) {
        for (watched, seen) in self.watched.iter().zip(worker.report()) {
            let set = |id: Option<u32>, value: u64| id.into_iter().for_each(|id| host::set_gauge(id, value));
            let add = |id: Option<u32>, more: u32| id.into_iter().for_each(|id| host::count(id, more));
            set(watched.standing, u64::from(seen.phase.code()));
            add(watched.throttled, seen.throttled);
            add(watched.rescued, seen.rescued);
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
    gauge(plugin, Gauge::Fingerprint, if state == State::Inert { 0 } else { print & 0xffff_ffff_ffff });
    gauge(plugin, Gauge::Flags, count);
    gauge(plugin, Gauge::Since, u64::try_from(host::now().millis()).unwrap_or_default().wrapping_div(1_000));
    gauge(plugin, Gauge::State, state.code());
    show_revision(&metric::revision(plugin, if state == State::Inert { "none" } else { revision }));
}

fn gauge(plugin: &str, gauge: Gauge, value: u64) {
    if let Some(id) = host::define_gauge(&gauge.name(plugin)) {
        host::set_gauge(id, value);
    }
}

/// Sets the gauge of this revision to 1, and those of all others to 0.
fn show_revision(name: &str) {
    SEEN.with_borrow_mut(|seen| {
        if !seen.iter().any(|(known, _)| known == name) && seen.len() < REVISIONS {
            seen.extend(host::define_gauge(name).map(|id| (name.to_owned(), id)));
        }
        for (known, id) in seen.iter() {
            host::set_gauge(*id, u64::from(known == name));
        }
    });
}
