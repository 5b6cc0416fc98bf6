//! Hands counts and the state of things to the host, under the names of [`metric`](crate::metric).
//!
//! The host forgets no name that it was ever given, so each is given once in the life of a VM, counters only when
//! there is something to count. Never runs for a request, but to sort the time of its answer into a bucket.

use std::cell::RefCell;

use super::host;
use crate::count::Counts;
use crate::guard::Worker;
use crate::guard::worker::Report;
use crate::metric::{self, Kind, Metric};
use crate::plan::Plan;
use crate::time::Timestamp;

/// How many names one VM gives to the host, whatever configs come: with each change of a flag's name come new ones.
const NAMES: usize = 20_000;

/// How many revisions get a gauge of their own in the life of a VM.
const REVISIONS: usize = 64;

thread_local! {
    /// All metrics that this VM has defined, by name.
    static DEFINED: RefCell<Vec<(String, u32)>> = const { RefCell::new(Vec::new()) };
    /// By plugin: the gauges that speak of its config, which somebody has to set to 0 when it goes.
    static SPOKEN: RefCell<Vec<(String, Vec<u32>)>> = const { RefCell::new(Vec::new()) };
}

/// The metrics of one config in one VM.
#[derive(Debug, Default)]
pub(super) struct Meters {
    /// By place among the plan's series: the host's number for it, if it has one by now.
    ids: Vec<Option<u32>>,
    /// By watched flag.
    watched: Vec<Watched>,
    rules: Vec<Ramp>,
}

/// The metrics of one watched flag.
#[derive(Debug)]
struct Watched {
    standing: Gauge,
    rollbacks: Option<u32>,
    throttled: Option<u32>,
    rescued: Option<u32>,
}

/// The metrics of a rule that draws.
#[derive(Debug)]
struct Ramp {
    flag: usize,
    rule: usize,
    exposure: Gauge,
    step: Option<Gauge>,
}

/// A gauge, and what it says: a config that has been replaced has nothing more to say.
#[derive(Debug)]
struct Gauge {
    id: Option<u32>,
    shown: Option<u64>,
}

impl Gauge {
    fn new(name: &str) -> Self {
        Self { id: id(name, Kind::Gauge), shown: None }
    }

    fn show(&mut self, value: u64) {
        if self.shown.replace(value) != Some(value)
            && let Some(id) = self.id
        {
            host::set_gauge(id, value);
        }
    }
}

impl Meters {
    /// The metrics of a plan. What is left of the plugin's config before it is set to 0.
    pub(super) fn new(plan: &Plan, plugin: &str) -> Self {
        let series = plan.series();
        let mut meters = Self { ids: vec![None; series.places()], ..Self::default() };
        for (place, known) in meters.ids.iter_mut().enumerate() {
            // Times are given to the host as they come.
            let is_time = series.metric(place).is_some_and(|metric| metric.kind == Kind::Histogram);
            if is_time && series.is_used(place) {
                *known = series.name(plan, plugin, place).and_then(|name| id(&name, Kind::Histogram));
            }
        }
        for watch in plan.watches() {
            let flag = plan.flag_of(watch).filter(|_| series.is_own(watch.flag)).map(|flag| flag.key().as_str());
            let name = |metric: &Metric| flag.map(|flag| metric.name(plugin, &[flag]));
            let counter = |metric| name(metric).and_then(|name| id(&name, Kind::Counter));
            meters.watched.push(Watched {
                standing: Gauge { id: name(&metric::STANDING).and_then(|name| id(&name, Kind::Gauge)), shown: None },
                rollbacks: counter(&metric::ROLLBACKS),
                throttled: counter(&metric::THROTTLED),
                rescued: counter(&metric::RESCUED),
            });
        }
        for (place, flag) in plan.flags().iter().enumerate().filter(|(place, _)| series.is_own(*place)) {
            for (rule, one) in flag.rules.iter().enumerate().filter(|(_, rule)| rule.draws()) {
                let number = rule.saturating_add(1).to_string();
                let name = |metric: &Metric| metric.name(plugin, &[flag.key().as_str(), &number]);
                meters.rules.push(Ramp {
                    flag: place,
                    rule,
                    exposure: Gauge::new(&name(&metric::EXPOSURE)),
                    step: (!one.steps().is_empty()).then(|| Gauge::new(&name(&metric::STEP))),
                });
            }
        }
        meters.take_over(plugin);
        meters
    }

    /// Sets the gauges of flags and rules that are gone to 0: nobody else will.
    fn take_over(&self, plugin: &str) {
        let standings = self.watched.iter().map(|watched| &watched.standing);
        let rules = self.rules.iter().flat_map(|ramp| core::iter::once(&ramp.exposure).chain(&ramp.step));
        let spoken: Vec<u32> = standings.chain(rules).filter_map(|gauge| gauge.id).collect();
        SPOKEN.with_borrow_mut(|known| {
            let place = known.iter().position(|(other, _)| other == plugin);
            let before = place.map(|place| known.swap_remove(place).1).unwrap_or_default();
            for gone in before.iter().filter(|id| !spoken.contains(id)) {
                host::set_gauge(*gone, 0);
            }
            known.push((plugin.to_owned(), spoken));
        });
    }

    /// The host's number for what is counted at a place of the plan's series.
    fn id(&mut self, plan: &Plan, plugin: &str, place: usize) -> Option<u32> {
        let known = self.ids.get_mut(place)?;
        if known.is_none() {
            let kind = plan.series().metric(place)?.kind;
            *known = id(&plan.series().name(plan, plugin, place)?, kind);
        }
        *known
    }

    /// Sorts the time of an answer into the buckets at these places.
    pub(super) fn time(&self, places: impl Iterator<Item = usize>, micros: u32) {
        let millis = u64::from(micros).saturating_add(500).wrapping_div(1_000);
        for id in places.filter_map(|place| self.ids.get(place).copied().flatten()) {
            host::record(id, millis);
        }
    }

    /// Hands all counts to the host.
    pub(super) fn tell(&mut self, plan: &Plan, plugin: &str, counts: &mut Counts) {
        counts.take(|place, count| {
            if let Some(id) = self.id(plan, plugin, place) {
                host::count(id, count);
            }
        });
    }

    /// What all VMs have counted at a place of the plan's series.
    pub(super) fn value(&mut self, plan: &Plan, plugin: &str, place: usize) -> u64 {
        self.id(plan, plugin, place).map_or(0, host::value)
    }

    /// Counts that a flag was rolled back.
    pub(super) fn rolled_back(&self, watch: usize) {
        if let Some(id) = self.watched.get(watch).and_then(|watched| watched.rollbacks) {
            host::count(id, 1);
        }
    }

    /// Shows the standing of all watched flags, and how far ramps are.
    pub(super) fn show(&mut self, plan: &Plan, worker: &mut Worker, counts: &mut Counts, now: Timestamp) {
        for (watched, Report { phase, throttled, rescued, untold }) in self.watched.iter_mut().zip(worker.report()) {
            counts.untold(untold);
            watched.standing.show(u64::from(phase.code()));
            for (id, more) in [(watched.throttled, throttled), (watched.rescued, rescued)] {
                if let Some(id) = id {
                    host::count(id, more);
                }
            }
        }
        let standing = worker.standing(now);
        for ramp in &mut self.rules {
            let Some(flag) = plan.flags().get(ramp.flag) else { continue };
            let Some(rule) = flag.rules.get(ramp.rule) else { continue };
            let stand = standing.of(flag.watch);
            ramp.exposure.show(u64::from(flag.exposure(rule, now, &stand).parts()));
            if let Some(step) = &mut ramp.step {
                step.show(u64::try_from(rule.taken(now, &stand)).unwrap_or(u64::MAX));
            }
        }
    }
}

/// Sets a gauge of the config.
pub(super) fn gauge(plugin: &str, metric: &Metric, value: u64) {
    if let Some(id) = id(&metric.name(plugin, &[]), Kind::Gauge) {
        host::set_gauge(id, value);
    }
}

/// Shows which revision is in force.
pub(super) fn revision(plugin: &str, revision: &str) {
    thread_local! {
        static SEEN: RefCell<Vec<(String, u32)>> = const { RefCell::new(Vec::new()) };
    }
    let name = |revision: &str| metric::REVISION.name(plugin, &[revision]);
    let (this, any) = (name(&metric::plain(revision)), name("\0"));
    let Some((before, after)) = any.split_once('\0') else { return };
    SEEN.with_borrow_mut(|seen| {
        if seen.len() < REVISIONS
            && !seen.iter().any(|(known, _)| *known == this)
            && let Some(id) = id(&this, Kind::Gauge)
        {
            seen.push((this.clone(), id));
        }
        // Other plugins in this VM have revisions of their own.
        let ours = |known: &str| known.starts_with(before) && known.ends_with(after);
        for (known, id) in seen.iter().filter(|(known, _)| ours(known)) {
            host::set_gauge(*id, u64::from(*known == this));
        }
    });
}

/// The host's number for a name.
fn id(name: &str, kind: Kind) -> Option<u32> {
    DEFINED.with_borrow_mut(|defined| {
        let place = defined.binary_search_by(|(known, _)| known.as_str().cmp(name));
        match place {
            Ok(place) => defined.get(place).map(|(_, id)| *id),
            Err(place) if defined.len() < NAMES => {
                let id = host::define(name, kind)?;
                defined.insert(place, (name.to_owned(), id));
                Some(id)
            }
            Err(_) => None,
        }
    })
}
