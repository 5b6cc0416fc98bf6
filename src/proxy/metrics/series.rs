//! Turns a plan into the series that it can make: which variant of which flag can be served for which reason, where
//! each is counted, and what it is called.
//!
//! A config has at most [`MOST`] series, whatever it says: flags beyond them are counted together. Those that route
//! or are watched come first, the others in key order behind them. Never counts anything itself.

use super::catalogue::{self, CLASSES, MOST, Metric, OTHER};
use crate::guard::sample::GROUPS;
use tidegate_engine::config::{Exposure, Metrics, SourceKind};
use tidegate_engine::decide::reason::Reason;
use tidegate_engine::plan::{Flag, Plan, Rule, Serve, VariantId};
use tidegate_engine::problem::{FieldPath, Problems};
use tidegate_engine::value::share::Ppm;

/// The series of one plan, each with a place.
#[derive(Debug, Default)]
pub struct Series {
    all: Vec<SeriesEntry>,
    /// By flag.
    flags: Box<[FlagSeries]>,
    /// Where decisions are counted, by variant and reason: [`NOWHERE`] for what cannot be.
    decisions: Vec<u16>,
    /// The flags beyond the limit, counted together.
    other: VariantPlaces,
    count: usize,
    /// By watched flag: whether there is room for its groups.
    grouped: Vec<bool>,
    more: usize,
}

/// How many series a comparison has without groups: three counts of two arms.
const COMPARED: usize = 6;

#[derive(Clone, Copy, Debug)]
struct SeriesEntry {
    metric: &'static Metric,
    /// The flag and its variant; neither where many are counted together.
    of: Option<(usize, VariantId)>,
    last: &'static str,
}

#[derive(Clone, Debug)]
enum FlagSeries {
    Own(VariantPlaces),
    /// Counted together with all other flags beyond the limit.
    Together,
    Off,
}

/// Where the variants of a flag are counted.
#[derive(Clone, Debug, Default)]
struct VariantPlaces {
    /// The row of its first variant in the table of decisions.
    decisions: u32,
    /// The first class of the first variant, where answers are looked at.
    responses: Option<u16>,
    /// That of the first variant, where times are looked at.
    latency: Option<u16>,
}

/// No place.
const NOWHERE: u16 = u16::MAX;

/// The first kind of source; the last one means that no source gave an identity.
const SOURCES: u16 = 0;
const FORGED: u16 = SOURCES.saturating_add(10);
/// Where errors of the host are counted.
const HOST: u16 = FORGED.saturating_add(1);
/// Where errors of the store are counted.
const STORE: u16 = HOST.saturating_add(1);

impl Series {
    #[must_use]
    pub fn new(plan: &Plan) -> Self {
        let mut series = Self::default();
        let sources = SourceKind::CODES.iter().copied().chain(["none"]);
        sources.for_each(|source| series.push(&catalogue::IDENTITIES, None, source));
        series.push(&catalogue::FORGED, None, "");
        series.push(&catalogue::ERRORS, None, "host");
        series.push(&catalogue::ERRORS, None, "store");
        series.other = series.add_variants(None, 1, |_, _| true, true, true);
        // Leave room for the gauges of the config itself.
        let mut left = MOST.saturating_sub(series.all.len()).saturating_sub(8);
        let mut flags = vec![FlagSeries::Off; plan.flags.len()];
        let (ahead, behind): (Vec<_>, Vec<_>) = plan.flags.iter().enumerate().partition(|(_, flag)| is_ahead(flag));
        for (place, flag) in ahead.into_iter().chain(behind) {
            let Some(of) = flags.get_mut(place) else { continue };
            if flag.metrics == Metrics::None {
                continue;
            }
            let can = reasons(plan, flag);
            let times = flag.metrics == Metrics::All;
            let answers = times || flag.metrics == Metrics::Counts;
            let (before, rows) = (series.all.len(), series.decisions.len());
            let own = series.add_variants(
                Some(place),
                flag.variants.len(),
                |variant, reason| can.has(variant, reason),
                answers,
                times,
            );
            let own_count = series.all.len().saturating_sub(before).saturating_add(others(plan, flag));
            *of = match left.checked_sub(own_count) {
                Some(rest) => {
                    left = rest;
                    series.count = series.count.saturating_add(own_count);
                    FlagSeries::Own(own)
                }
                None => {
                    series.all.truncate(before);
                    series.decisions.truncate(rows);
                    FlagSeries::Together
                }
            };
        }
        series.flags = flags.into();
        // Where there is room, one proxy in eight tells each group of identities apart.
        series.grouped = vec![false; plan.watches().len()];
        for (place, watch) in plan.watches().iter().enumerate() {
            let more = COMPARED.saturating_mul(GROUPS.saturating_sub(1)).saturating_mul(watch.comparisons.len());
            if let (Some(rest), Some(grouped)) = (left.checked_sub(more), series.grouped.get_mut(place))
                && watch.guard.is_some()
                && matches!(series.flags.get(watch.flag), Some(FlagSeries::Own(_)))
            {
                (left, *grouped) = (rest, true);
                series.more = series.more.saturating_add(more);
            }
        }
        series.count = series.count.saturating_add(8).saturating_add(usize::from(STORE)).saturating_add(1);
        series
    }

    /// Warns if flags are counted together because there are too many series.
    pub fn check(&self, plan: &Plan, problems: &mut Problems) {
        let together = self.together(plan).count();
        if together > 0 && problems.errors().is_empty() {
            let most = format_args!(
                "make more than {MOST} series of metrics: {together} of them are counted as one, `{OTHER}`"
            );
            problems.warning(&FieldPath::ROOT.key("flags"), most);
        }
    }

    fn push(&mut self, metric: &'static Metric, of: Option<(usize, VariantId)>, last: &'static str) {
        self.all.push(SeriesEntry { metric, of, last });
    }

    fn next(&self) -> u16 {
        u16::try_from(self.all.len()).unwrap_or(u16::MAX)
    }

    fn add_variants(
        &mut self,
        flag: Option<usize>,
        variants: usize,
        can: impl Fn(VariantId, Reason) -> bool,
        answers: bool,
        times: bool,
    ) -> VariantPlaces {
        let ids = || (0..).map(VariantId).take(variants);
        let of = |variant| flag.map(|flag| (flag, variant));
        let first = self.decisions.len();
        for variant in ids() {
            for reason in Reason::ALL {
                let can = can(variant, reason);
                self.decisions.push(if can { self.next() } else { NOWHERE });
                if can {
                    self.push(&catalogue::DECISIONS, of(variant), reason.code());
                }
            }
        }
        let responses = answers.then(|| self.next());
        if answers {
            for variant in ids() {
                for class in CLASSES {
                    self.push(&catalogue::RESPONSES, of(variant), class);
                }
            }
        }
        let latency = times.then(|| self.next());
        if times {
            ids().for_each(|variant| self.push(&catalogue::LATENCY, of(variant), ""));
        }
        VariantPlaces { decisions: u32::try_from(first).unwrap_or(u32::MAX), responses, latency }
    }

    /// Where a flag is counted, and as which variant.
    #[inline]
    fn variant_places(&self, flag: usize, variant: VariantId) -> Option<(&VariantPlaces, usize)> {
        match self.flags.get(flag)? {
            FlagSeries::Own(own) => Some((own, usize::from(variant.0))),
            FlagSeries::Together => Some((&self.other, 0)),
            FlagSeries::Off => None,
        }
    }

    #[inline]
    #[must_use]
    pub fn decision(&self, flag: usize, variant: VariantId, reason: Reason) -> Option<usize> {
        let (own, variant) = self.variant_places(flag, variant)?;
        let row = variant.wrapping_mul(Reason::ALL.len()).wrapping_add(reason.place());
        let place = self.decisions.get(usize::try_from(own.decisions).ok()?.wrapping_add(row))?;
        (*place != NOWHERE).then_some(usize::from(*place))
    }

    /// Where answers are counted: the place of their first class, if they are.
    #[inline]
    #[must_use]
    pub fn answers(&self, flag: usize, variant: VariantId) -> Option<u16> {
        let (own, variant) = self.variant_places(flag, variant)?;
        let row = u16::try_from(variant.saturating_mul(CLASSES.len())).ok()?;
        own.responses?.checked_add(row)
    }

    /// Where an answer of this class is counted.
    #[must_use]
    pub fn response(&self, flag: usize, variant: VariantId, class: usize) -> Option<usize> {
        self.answers(flag, variant).map(|first| usize::from(first).saturating_add(class))
    }

    /// Where the time of an answer is counted.
    #[inline]
    #[must_use]
    pub fn time(&self, flag: usize, variant: VariantId) -> Option<u16> {
        let (own, variant) = self.variant_places(flag, variant)?;
        own.latency?.checked_add(u16::try_from(variant).ok()?)
    }

    /// Where identities of this kind of source are counted; the kind after the last means that no source gave one.
    #[inline]
    #[must_use]
    pub fn source(kind: usize) -> usize {
        usize::from(SOURCES).saturating_add(kind)
    }

    #[inline]
    #[must_use]
    pub fn forged() -> usize {
        usize::from(FORGED)
    }

    /// Where changes that the host refused are counted.
    #[inline]
    #[must_use]
    pub fn host() -> usize {
        usize::from(HOST)
    }

    /// Where failed writes to the shared store are counted.
    #[must_use]
    pub fn store() -> usize {
        usize::from(STORE)
    }

    #[must_use]
    pub fn places(&self) -> usize {
        self.all.len()
    }

    /// How many series there can be, gauges included.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Whether a flag has series of its own.
    #[must_use]
    pub fn is_own(&self, flag: usize) -> bool {
        matches!(self.flags.get(flag), Some(FlagSeries::Own(_)))
    }

    /// The flags that are counted together, because there are too many.
    pub fn together<'p>(&self, plan: &'p Plan) -> impl Iterator<Item = &'p Flag> {
        plan.flags.iter().zip(&self.flags).filter(|(_, of)| matches!(of, FlagSeries::Together)).map(|(flag, _)| flag)
    }

    #[must_use]
    pub fn metric(&self, place: usize) -> Option<&'static Metric> {
        self.all.get(place).map(|one| one.metric)
    }

    /// Whether anything can be counted at a place: if no flag is beyond the limit, nothing is counted together.
    #[must_use]
    pub fn is_used(&self, place: usize) -> bool {
        let of = self.all.get(place).and_then(|one| one.of);
        of.is_some() || self.flags.iter().any(|of| matches!(of, FlagSeries::Together))
    }

    /// Whether the metric is defined before anything was counted: a rate needs the 0 before the first count.
    #[must_use]
    pub fn starts_at_zero(&self, plan: &Plan, place: usize) -> bool {
        let flag = self.all.get(place).and_then(|one| one.of).and_then(|(flag, _)| plan.flags.get(flag));
        flag.is_some_and(is_ahead)
    }

    /// Whether what the guard of a watched flag compares is told by groups of identities, on a proxy that does so.
    #[must_use]
    pub fn is_grouped(&self, watch: usize) -> bool {
        self.grouped.get(watch).copied().unwrap_or_default()
    }

    /// How many more series there can be on a proxy that tells groups apart.
    #[must_use]
    pub fn more(&self) -> usize {
        self.more
    }

    /// The name of what is counted at a place.
    #[must_use]
    pub fn name(&self, plan: &Plan, plugin: &str, place: usize) -> Option<String> {
        let one = self.all.get(place)?;
        let (flag, variant) = match one.of {
            None => (OTHER, OTHER),
            Some((flag, variant)) => {
                let flag = plan.flags.get(flag)?;
                (flag.key.as_str(), flag.variant(variant)?.name.as_str())
            }
        };
        let values: &[&str] = match one.metric.tags {
            [_] => &[one.last],
            _ => &[flag, variant, one.last],
        };
        Some(one.metric.name(plugin, values))
    }
}

/// Whether a flag routes or is watched: its counters show from the beginning, and it comes before others.
#[must_use]
pub fn is_ahead(flag: &Flag) -> bool {
    flag.routes || flag.watch.is_some()
}

/// Whether nothing watches it, and the config has a standing of it.
#[must_use]
pub fn stands(flag: &Flag) -> bool {
    flag.watch.is_none() && flag.stands.is_some()
}

/// How many series a flag has that are not counted by variant: gauges of its rules that draw, what its guard says and
/// compares, and whose it is.
fn others(plan: &Plan, flag: &Flag) -> usize {
    let watch = flag.watch.and_then(|watch| plan.watches().get(usize::from(watch)));
    let guard = watch.map_or(0, |watch| {
        let compared = if watch.guard.is_some() { watch.comparisons.len() } else { 0 };
        compared.saturating_mul(COMPARED).saturating_add(4)
    });
    let guard = guard.saturating_add(usize::from(is_ahead(flag))).saturating_add(usize::from(stands(flag)));
    let of = |rule: &Rule| usize::from(rule.draws()).saturating_add(usize::from(!rule.steps().is_empty()));
    flag.rules.iter().map(of).fold(guard, usize::saturating_add)
}

/// Which variants of a flag can be served, for which reasons.
struct Servable(Vec<u16>);

impl Servable {
    fn add(&mut self, variant: VariantId, reason: Reason) {
        if let Some(reasons) = self.0.get_mut(usize::from(variant.0)) {
            *reasons |= bit(reason);
        }
    }

    fn has(&self, variant: VariantId, reason: Reason) -> bool {
        self.0.get(usize::from(variant.0)).is_some_and(|reasons| reasons & bit(reason) != 0)
    }
}

fn bit(reason: Reason) -> u16 {
    u32::try_from(reason.place()).ok().and_then(|place| 1_u16.checked_shl(place)).unwrap_or(0)
}

/// Mirrors the order in which [`decide`](tidegate_engine::decide::decide) goes through a flag; a law holds the two
/// together.
fn reasons(plan: &Plan, flag: &Flag) -> Servable {
    let mut can = Servable(vec![0; flag.variants.len()]);
    if flag.kill {
        can.add(flag.baseline, Reason::Killed);
        return can;
    }
    if flag.is_back() {
        can.add(flag.baseline, Reason::RolledBack);
        return can;
    }
    let watch = flag.watch.and_then(|watch| plan.watches().get(usize::from(watch)));
    let guarded = watch.is_some_and(|watch| watch.guard.is_some());
    let (mut draws, mut caught) = (false, false);
    for (place, rule) in flag.rules.iter().enumerate() {
        let whole = if place == 0 && rule.when.is_none() { Reason::Static } else { Reason::TargetingMatch };
        let (mut all, mut some) = match &rule.exposure {
            Exposure::Fixed(Ppm::NONE) => continue,
            Exposure::Fixed(share) => (*share == Ppm::FULL, *share != Ppm::FULL),
            Exposure::Steps(_) => (true, true),
        };
        match &rule.serve {
            Serve::One(only) => {
                // In a trial, what takes everybody takes one in a hundred.
                some |= guarded && *only != flag.baseline;
                if all {
                    can.add(*only, whole);
                }
                if some {
                    can.add(*only, Reason::Split);
                }
            }
            Serve::Split { bounds, .. } => {
                (all, some) = (false, true);
                bounds.iter().for_each(|(_, variant)| can.add(*variant, Reason::Split));
            }
        }
        draws |= some;
        // No request gets past a rule that takes all of them.
        if all && !some && rule.when.is_none() {
            caught = true;
            break;
        }
    }
    let none = if flag.rules.is_empty() { Reason::Static } else { Reason::Default };
    for variant in [Some(flag.default), guarded.then_some(flag.baseline)].into_iter().flatten().filter(|_| !caught) {
        can.add(variant, none);
        if draws {
            can.add(variant, Reason::NoIdentity);
        }
    }
    if guarded {
        can.add(flag.baseline, Reason::RolledBack);
    }
    if watch.is_some_and(|watch| !watch.limits.is_empty()) {
        can.add(flag.baseline, Reason::Throttled);
    }
    if watch.is_some_and(|watch| watch.rescue.is_some()) {
        can.add(flag.baseline, Reason::Rescued);
    }
    can
}
