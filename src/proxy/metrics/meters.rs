//! Hands counts and gauges to the host, under the names of the [`catalogue`].
//!
//! The host never frees a metric, so a worker defines each name once: the counters of flags that route or are guarded
//! when the config comes, all others with their first count. For a request it only records the time of its answer.

use super::catalogue::{self, Kind, Metric};
use super::count::Counts;
use super::recent::Recent;
use super::series::{Series, is_ahead, stands};
use crate::guard::Worker;
use crate::guard::sample::GROUPS;
use crate::guard::window::Count;
use crate::guard::worker::Report;
use crate::host::Host;
use crate::host::share::RefCell;
use crate::lifecycle::State;
use tidegate_engine::config::Stage;
use tidegate_engine::plan::{About, Flag, Plan, Property, Rule, Watch};
use tidegate_engine::value::hash::Salt;
use tidegate_engine::value::order;
use tidegate_engine::value::time::Timestamp;

/// The most names that one worker defines. Each renamed flag adds new ones, and the host never frees any.
const NAMES: usize = 20_000;

/// All metrics that a worker has defined, by name.
#[derive(Debug, Default)]
pub(crate) struct Names(RefCell<Vec<(String, u32)>>);

impl Names {
    /// The host's number for a name.
    fn id(&self, host: &dyn Host, name: &str, kind: Kind) -> Option<u32> {
        let mut defined = self.0.try_borrow_mut().ok()?;
        let place = defined.binary_search_by(|(known, _)| known.as_str().cmp(name));
        match place {
            Ok(place) => defined.get(place).map(|(_, id)| *id),
            Err(place) if defined.len() < NAMES => {
                let id = host.define(name, kind)?;
                // Show the 0: `rate()` and `increase()` miss the first count of a counter that appears with it.
                if kind == Kind::Counter {
                    host.record(id, 0);
                }
                defined.insert(place, (name.to_owned(), id));
                Some(id)
            }
            Err(_) => None,
        }
    }

    /// Sets a gauge of a filter's config.
    pub(crate) fn gauge(&self, host: &dyn Host, plugin: &str, metric: &Metric, value: u64) {
        if let Some(id) = self.id(host, &metric.name(plugin, &[]), Kind::Gauge) {
            host.record(id, value);
        }
    }
}

/// What is needed to name and define the metrics of a config.
#[derive(Clone, Copy)]
pub(crate) struct Scope<'a> {
    pub(crate) host: &'a dyn Host,
    pub(crate) names: &'a Names,
    pub(crate) plan: &'a Plan,
    pub(crate) series: &'a Series,
    pub(crate) plugin: &'a str,
}

impl Scope<'_> {
    fn id(self, name: &str, kind: Kind) -> Option<u32> {
        self.names.id(self.host, name, kind)
    }

    /// The host's id of the metric at a place of the plan's series.
    fn place(self, place: usize) -> Option<u32> {
        let kind = self.series.metric(place)?.kind;
        self.id(&self.series.name(self.plan, self.plugin, place)?, kind)
    }
}

/// The metrics of one config in one worker.
#[derive(Debug, Default)]
pub(crate) struct Meters {
    /// By place among the plan's series: the host's number for it, if it has one by now.
    ids: Vec<Option<u32>>,
    /// By watched flag.
    watched: Vec<Watched>,
    rules: Vec<Ramp>,
    /// Of each watched flag its standing, and then of each rule its exposure and its step, and the standing of a flag that
    /// is not watched.
    gauges: Vec<Gauge>,
    /// Of each flag that routes or is watched, whose it is: always 1.
    infos: Vec<Gauge>,
    /// By comparison of each watched flag, in order.
    compared: Vec<Compared>,
    /// How many places, watched flags and flags have been looked through, in this order.
    defined: usize,
    recent: Recent,
}

/// The metrics of one watched flag.
#[derive(Debug)]
struct Watched {
    rollbacks: Option<u32>,
    throttled: Option<u32>,
    rescued: Option<u32>,
}

/// The counters of one comparison.
#[derive(Debug)]
struct Compared {
    watch: usize,
    /// The first comparison of this flag is 0.
    comparison: usize,
    grouped: bool,
    /// By arm, by group where there are groups, by what is counted.
    ids: Vec<Option<u32>>,
}

/// The metrics of a rule that draws.
#[derive(Debug)]
struct Ramp {
    flag: usize,
    rule: usize,
    steps: bool,
}

/// A gauge and the value that it shows, so that it is written only when it changes.
#[derive(Debug)]
struct Gauge {
    id: Option<u32>,
    shown: Option<u64>,
}

impl Gauge {
    fn new(id: Option<u32>) -> Self {
        Self { id, shown: None }
    }

    fn show(&mut self, host: &dyn Host, value: u64) {
        if self.shown.replace(value) != Some(value)
            && let Some(id) = self.id
        {
            host.record(id, value);
        }
    }
}

impl Meters {
    /// The metrics of a plan with these series, none of them defined.
    pub(crate) fn new(series: &Series) -> Self {
        Self { ids: vec![None; series.places()], ..Self::default() }
    }

    /// Defines the metrics of the next place, watched flag or flag. Returns whether all are.
    pub(crate) fn define(&mut self, scope: Scope<'_>) -> bool {
        let place = self.defined;
        self.defined = place.saturating_add(1);
        if place < self.ids.len() {
            self.define_place(scope, place);
            return false;
        }
        let place = place.saturating_sub(self.ids.len());
        if let Some(watch) = scope.plan.watches().get(place) {
            self.define_watch(scope, watch);
            return false;
        }
        let place = place.saturating_sub(scope.plan.watches().len());
        if let Some(flag) = scope.plan.flags().get(place) {
            self.define_rules(scope, place, flag);
            return false;
        }
        let place = place.saturating_sub(scope.plan.flags().len());
        // No guard has more comparisons than sixteen.
        let (watch, comparison) = (place >> 4, place & 15);
        self.define_comparison(scope, watch, comparison);
        watch >= scope.plan.watches().len()
    }

    fn define_comparison(&mut self, scope: Scope<'_>, place: usize, comparison: usize) {
        let Scope { plan, series, plugin, .. } = scope;
        let Some(watch) = plan.watches().get(place).filter(|watch| series.is_own(watch.flag)) else { return };
        let Some((flag, (rule, variant))) = plan.flag_of(watch).zip(watch.comparisons.get(comparison)) else { return };
        let Some(variant) = flag.variant(*variant) else { return };
        let rule = watch.judged.get(usize::from(*rule)).map_or(0, |judged| usize::from(judged.number())).to_string();
        let grouped = series.is_grouped(place) && tells_groups(scope.host);
        let groups = if grouped { GROUPS } else { 1 };
        let mut ids = Vec::new();
        for arm in ["exposed", "control"] {
            for group in 0..groups {
                let group = if grouped { group.to_string() } else { String::new() };
                let values = [flag.key().as_str(), &rule, variant.name().as_str(), arm, &group];
                for metric in [&catalogue::GUARD_REQUESTS, &catalogue::GUARD_FAILED, &catalogue::GUARD_SLOW] {
                    ids.push(scope.id(&metric.name(plugin, &values), Kind::Counter));
                }
            }
        }
        self.compared.push(Compared { watch: place, comparison, grouped, ids });
    }

    /// Hands what guards have compared to the host.
    fn compared(&self, host: &dyn Host, worker: &mut Worker) {
        worker.take_compared(|watch, comparison, cell| {
            let found = self.compared.iter().find(|one| one.watch == watch && one.comparison == comparison);
            let Some(Compared { grouped, ids, .. }) = found else { return };
            let mut ids = ids.iter();
            for arm in [&cell.variant, &cell.baseline] {
                let whole = [arm.sum()];
                let counts = if *grouped { &arm.each()[..] } else { &whole[..] };
                for Count { requests, failed, slow } in counts {
                    for (more, id) in [*requests, *failed, *slow].into_iter().zip(&mut ids) {
                        if let (Some(id), 1..) = (id, more) {
                            host.add(*id, more);
                        }
                    }
                }
            }
        });
    }

    fn define_place(&mut self, scope: Scope<'_>, place: usize) {
        let series = scope.series;
        // Times are given to the host as they come; what routes or is guarded shows from the beginning; and the page reads
        // what other workers have counted.
        let Some(Metric { kind, .. }) = series.metric(place) else { return };
        let early = *kind == Kind::Histogram || scope.plan.has_page();
        if (early && series.is_used(place) || series.starts_at_zero(scope.plan, place))
            && let Some(known) = self.ids.get_mut(place)
        {
            *known = scope.place(place);
        }
    }

    fn define_watch(&mut self, scope: Scope<'_>, watch: &Watch) {
        let Scope { plan, series, plugin, .. } = scope;
        let flag = plan.flag_of(watch).filter(|_| series.is_own(watch.flag)).map(|flag| flag.key().as_str());
        let name = |metric: &Metric| flag.map(|flag| metric.name(plugin, &[flag]));
        let counter = |metric| name(metric).and_then(|name| scope.id(&name, Kind::Counter));
        let gauge = |metric| name(metric).and_then(|name| scope.id(&name, Kind::Gauge));
        self.gauges.push(Gauge::new(gauge(&catalogue::STANDING)));
        self.watched.push(Watched {
            rollbacks: counter(&catalogue::ROLLBACKS),
            throttled: counter(&catalogue::THROTTLED),
            rescued: counter(&catalogue::RESCUED),
        });
    }

    fn define_rules(&mut self, scope: Scope<'_>, place: usize, flag: &Flag) {
        if !scope.series.is_own(place) {
            return;
        }
        if is_ahead(flag) {
            let About { kind, stage, owner, expires } = &*flag.about;
            let none = || "none".to_owned();
            let name = catalogue::FLAG.name(
                scope.plugin,
                &[
                    flag.key().as_str(),
                    kind.name(),
                    stage.map_or("none", Stage::name),
                    &owner.as_ref().map_or_else(none, |owner| catalogue::plain(owner.as_str())),
                    &expires.map_or_else(none, Timestamp::day),
                ],
            );
            self.infos.push(Gauge::new(scope.id(&name, Kind::Gauge)));
        }
        // After the last rule: of a flag that nothing watches, what the config's standing says of it.
        for rule in 0..=flag.rules.len() {
            let one = flag.rules.get(rule);
            if !one.map_or(stands(flag), Rule::draws) {
                continue;
            }
            let number = rule.saturating_add(1).to_string();
            let gauge = |metric: &Metric| {
                Gauge::new(scope.id(&metric.name(scope.plugin, &[flag.key().as_str(), &number]), Kind::Gauge))
            };
            let steps = one.is_some_and(|rule| !rule.steps().is_empty());
            self.gauges.push(gauge(if one.is_some() { &catalogue::EXPOSURE } else { &catalogue::STANDING }));
            if steps {
                self.gauges.push(gauge(&catalogue::STEP));
            }
            self.rules.push(Ramp { flag: place, rule, steps });
        }
    }

    /// The host's id of the metric at a place of the plan's series.
    fn id(&mut self, scope: Scope<'_>, place: usize) -> Option<u32> {
        let known = self.ids.get_mut(place)?;
        if known.is_none() {
            *known = scope.place(place);
        }
        *known
    }

    /// Sorts the time of an answer into the buckets at these places.
    #[inline]
    pub(crate) fn time(&self, host: &dyn Host, places: impl Iterator<Item = usize>, micros: u32) {
        let millis = u64::from(micros).saturating_add(500).wrapping_div(1_000);
        for id in places.filter_map(|place| self.ids.get(place).copied().flatten()) {
            host.record(id, millis);
        }
    }

    /// Hands all counts to the host.
    pub(crate) fn report(&mut self, scope: Scope<'_>, worker: &mut Worker, counts: &mut Counts) {
        let host = scope.host;
        for (watched, Report { throttled, rescued, delayed, .. }) in self.watched.iter().zip(worker.take_reports()) {
            counts.delayed(delayed);
            for (id, more) in [(watched.throttled, throttled), (watched.rescued, rescued)] {
                if let Some(id) = id {
                    host.add(id, more);
                }
            }
        }
        self.compared(host, worker);
        counts.take(|place, count| {
            if let Some(id) = self.id(scope, place) {
                host.add(id, count);
            }
        });
    }

    /// What all workers have counted at a place of the plan's series, since Envoy has started and lately.
    pub(crate) fn value(&mut self, scope: Scope<'_>, place: usize) -> (u64, u32) {
        let value = self.id(scope, place).map_or(0, |id| scope.host.value(id));
        (value, self.recent.counted(place, value))
    }

    /// Since when [`Meters::value`] can tell what was counted lately.
    pub(crate) fn since(&self) -> Option<Timestamp> {
        self.recent.since()
    }

    /// Remembers what all workers have counted, if it is time to. Returns whether it is.
    pub(crate) fn remember(&mut self, scope: Scope<'_>, now: Timestamp) -> bool {
        let value = |id: &Option<u32>| id.map_or(0, |id| scope.host.value(id));
        self.recent.remember(now, self.ids.iter().map(value))
    }

    /// Counts that a flag was rolled back.
    pub(crate) fn rolled_back(&self, host: &dyn Host, watch: usize) {
        if let Some(id) = self.watched.get(watch).and_then(|watched| watched.rollbacks) {
            host.add(id, 1);
        }
    }

    /// Sets the gauges: the standing of watched flags, and how far ramps are.
    pub(crate) fn show(&mut self, host: &dyn Host, plan: &Plan, worker: &mut Worker, now: Timestamp) {
        let Self { gauges, infos, rules, .. } = self;
        for info in infos {
            info.show(host, 1);
        }
        let mut gauges = gauges.iter_mut();
        let mut show = |value| {
            if let Some(gauge) = gauges.next() {
                gauge.show(host, value);
            }
        };
        for (phase, watch) in worker.phases().zip(plan.watches()) {
            // The more careful of what the guard and the config say.
            show(phase.code().max(plan.flag_of(watch).map_or(0, said)).into());
        }
        let standing = worker.standing(now);
        for ramp in rules {
            let Some(flag) = plan.flags().get(ramp.flag) else { continue };
            let Some(rule) = flag.rules.get(ramp.rule) else {
                show(said(flag).into());
                continue;
            };
            let flag_standing = standing.of(flag.watch);
            show(u64::from(flag.exposure(rule, now, flag_standing).parts()));
            if ramp.steps {
                show(u64::try_from(rule.taken(now, flag_standing)).unwrap_or(u64::MAX));
            }
        }
    }
}

/// The code of what the config's standing says of a flag.
fn said(flag: &Flag) -> u8 {
    flag.stands.as_ref().map_or(0, |standing| standing.phase.as_guard().code())
}

/// Whether this proxy tells the groups of identities apart in what guards compare: one in eight does, by its id.
fn tells_groups(host: &dyn Host) -> bool {
    host.property(&Property::Proxy).is_some_and(|id| tells(&id))
}

fn tells(id: &[u8]) -> bool {
    Salt::new("groups").point(id).bits().trailing_zeros() >= 3
}

/// Shows which config is in force.
pub(crate) fn config(scope: Scope<'_>, state: State, since: Timestamp) {
    let Scope { plan, series, .. } = scope;
    let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    // A double, which is what metrics are stored as, holds 53 bits.
    let fingerprint = if state == State::Inert { 0 } else { plan.fingerprint() & 0xffff_ffff_ffff };
    let since = u64::try_from(since.millis()).unwrap_or_default();
    let more = if tells_groups(scope.host) { series.more() } else { 0 };
    for (metric, value) in [
        (&catalogue::FINGERPRINT, fingerprint),
        (&catalogue::FLAGS, count(plan.flags().len())),
        (&catalogue::SERIES, count(series.count().saturating_add(more))),
        (&catalogue::SINCE, since.wrapping_div(1_000)),
        (&catalogue::STATE, state.code()),
    ] {
        scope.names.gauge(scope.host, scope.plugin, metric, value);
    }
}

/// The gauges that the config in force has set. The next config must set those that it does not have to 0.
#[derive(Debug, Default)]
pub(crate) struct Announced {
    /// The host's numbers for them, as bytes that sort like the numbers.
    gauges: Vec<[u8; 4]>,
    revision: Option<(String, Option<u32>)>,
}

impl Announced {
    /// Takes over these gauges, and sets those of flags and rules that are gone to 0: nothing else would.
    pub(crate) fn take_over(&mut self, host: &dyn Host, meters: &mut Meters) {
        let mut gauges = Vec::new();
        for gauge in meters.gauges.iter_mut().chain(&mut meters.infos) {
            gauge.shown = None;
            gauges.extend(gauge.id.map(u32::to_be_bytes));
        }
        let kept = order::of(gauges.iter().map(<[u8; 4]>::as_slice));
        for gone in &self.gauges {
            if kept.binary_search_by(|(id, _)| (*id).cmp(gone)).is_err() {
                host.record(u32::from_be_bytes(*gone), 0);
            }
        }
        self.gauges = gauges;
    }

    /// Shows which revision is in force.
    pub(crate) fn revision(&mut self, scope: Scope<'_>, state: State) {
        let Scope { host, plan, plugin, .. } = scope;
        let named = plan.revision().map_or("without a name", |revision| revision.as_str());
        let named = if state == State::Inert { "none" } else { named };
        let (before, gone) = self.revision.take().unwrap_or_default();
        if before == named {
            self.revision = Some((before, gone));
            return;
        }
        if let Some(gone) = gone {
            host.record(gone, 0);
        }
        let id = scope.id(&catalogue::REVISION.name(plugin, &[&catalogue::plain(named)]), Kind::Gauge);
        if let Some(id) = id {
            host.record(id, 1);
        }
        self.revision = Some((named.to_owned(), id));
    }
}
