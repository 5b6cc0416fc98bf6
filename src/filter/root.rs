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
use crate::plan::{Compiled, Plan};
use crate::problem::Problems;
use crate::standing::Phase;

/// How many warnings about one config are logged: each of them is a line of Envoy's log, from each of its threads.
const WARNINGS: usize = 50;

/// How many revisions get a gauge of their own in the life of a VM.
const REVISIONS: usize = 64;

thread_local! {
    /// The gauges of the revisions that this VM has seen: a gauge is defined once.
    static SEEN: RefCell<Vec<(String, u32)>> = const { RefCell::new(Vec::new()) };
    /// All metrics that this VM has defined.
    static DEFINED: RefCell<Vec<(String, u32)>> = const { RefCell::new(Vec::new()) };
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
    /// What the gauge says.
    shown: Option<Phase>,
    rollbacks: Option<u32>,
    throttled: Option<u32>,
    rescued: Option<u32>,
}

impl Context for Root {}

impl RootContext for Root {
    fn on_tick(&mut self) {
        let active = Rc::clone(&self.active);
        let Ok(mut worker) = active.worker.try_borrow_mut() else { return };
        let plan = &active.plan;
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
        let watched: Vec<String> =
            plan.watches().iter().filter_map(|watch| plan.flag_of(watch)).map(|flag| flag.key().to_string()).collect();
        let define = |flag: &String| {
            let name = |series: Series| series.name(&self.plugin, flag);
            let counter = |series| id(&name(series), host::define_counter);
            Watched {
                standing: id(&name(Series::Standing), host::define_gauge),
                shown: None,
                rollbacks: counter(Series::Rollbacks),
                throttled: counter(Series::Throttled),
                rescued: counter(Series::Rescued),
            }
        };
        self.watched = watched.iter().map(define).collect();
        forget(&self.plugin, &watched);
        self.show(&mut worker);
        if !watched.is_empty() {
            host::tick(TICK);
        }
        self.active = Rc::new(Active { plan, worker: RefCell::new(worker) });
    }

    /// Shows the standing of all watched flags.
    fn show(&mut self, worker: &mut Worker) {
        for (watched, seen) in self.watched.iter_mut().zip(worker.report()) {
            let add = |id: Option<u32>, more: u32| id.into_iter().for_each(|id| host::count(id, more));
            // Only what changes: a config that has been replaced has nothing more to say.
            if watched.shown.replace(seen.phase) != Some(seen.phase)
                && let Some(id) = watched.standing
            {
                host::set_gauge(id, u64::from(seen.phase.code()));
            }
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
    if let Some(id) = id(&gauge.name(plugin), host::define_gauge) {
        host::set_gauge(id, value);
    }
}

/// The id of a metric of this name: each is defined once in the life of a VM, because the host forgets none.
fn id(name: &str, define: fn(&str) -> Option<u32>) -> Option<u32> {
    DEFINED.with_borrow_mut(|defined| {
        let known = defined.iter().find(|(known, _)| known == name).map(|(_, id)| *id);
        known.or_else(|| {
            let id = define(name)?;
            defined.push((name.to_owned(), id));
            Some(id)
        })
    })
}

/// Sets the gauges of flags that are no longer watched to 0: nobody else will.
fn forget(plugin: &str, watched: &[String]) {
    let all = Series::Standing.name(plugin, "*");
    let Some((before, after)) = all.split_once('_') else { return };
    let gone = |name: &str| {
        let flag = name.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
        flag.is_some_and(|flag| !flag.contains('.') && !watched.iter().any(|key| metric::plain(key) == flag))
    };
    DEFINED.with_borrow(|defined| {
        for (_, id) in defined.iter().filter(|(name, _)| gone(name)) {
            host::set_gauge(*id, 0);
        }
    });
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
