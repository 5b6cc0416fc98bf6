//! Turns looks at proxies, one after another, into counts over a window and events.
//!
//! Each proxy is compared with itself, so that one that restarts, or is silent for a while, does not disturb the
//! others. Never reads a clock.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use super::about::{About, FlagId};
use super::stats::{Config, CountOf, Counts, Gauges, Stats, Times};
use tidegate_engine::value::time::Timestamp;

#[derive(Debug)]
pub(crate) struct Course {
    window: Duration,
    /// The flags to be shown; all, where none is named.
    flags: Vec<String>,
    proxies: Vec<Proxy>,
    /// When the last look was taken.
    looked: Option<Instant>,
    /// What was counted between looks, and how long that took.
    between: VecDeque<Between>,
    /// What happened at the last look.
    events: Vec<Event>,
    /// What happened last to a flag's standing.
    last: BTreeMap<FlagId, Event>,
    at: Timestamp,
}

/// What was counted between two looks.
#[derive(Debug, Default)]
struct Between {
    span: Duration,
    counts: Counts,
    times: BTreeMap<(FlagId, String), Times>,
}

#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) url: String,
    /// What it said last.
    stats: Option<Stats>,
    /// Why it says nothing now.
    pub(crate) silent: Option<String>,
}

/// Something that was seen to change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) at: Timestamp,
    pub(crate) url: String,
    /// Whose config it is about, if it is about one.
    pub(crate) plugin: Option<String>,
    pub(crate) change: Change,
    /// Of a change of standing: by variant, how many answers there were meanwhile, and how many of them were errors.
    pub(crate) evidence: BTreeMap<String, (u64, u64)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Standing {
        flag: String,
        from: u64,
        to: u64,
    },
    /// A flag was rolled back, and is not any more.
    RolledBack {
        flag: String,
    },
    Revision {
        from: String,
        to: String,
    },
    /// A push was not good.
    Refused {
        problems: u64,
    },
    /// There is no answer any more.
    Silent(String),
    /// There is one again.
    Back,
    /// All counts began anew.
    Restarted,
}

/// What is to be shown.
#[derive(Debug)]
pub(crate) struct Look<'c> {
    pub(crate) at: Timestamp,
    /// How long it took to count what was counted; none where that is since the proxies have started.
    pub(crate) span: Option<Duration>,
    pub(crate) proxies: &'c [Proxy],
    pub(crate) flags: BTreeMap<&'c FlagId, Flag<'c>>,
    pub(crate) events: &'c [Event],
}

/// A flag over all proxies.
#[derive(Debug, Default)]
pub(crate) struct Flag<'c> {
    /// What the config says of it, where that is known, and on how many proxies it is killed.
    pub(crate) about: Option<&'c About>,
    pub(crate) killed: usize,
    /// What happened last to its standing.
    pub(crate) last: Option<&'c Event>,
    /// On how many proxies it stands so.
    pub(crate) standings: BTreeMap<u64, usize>,
    pub(crate) rules: BTreeMap<u32, Rule>,
    pub(crate) variants: BTreeMap<&'c str, Variant<'c>>,
    pub(crate) throttled: u64,
    pub(crate) rescued: u64,
    pub(crate) rollbacks: u64,
}

/// A rule over all proxies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rule {
    /// In parts per million.
    pub(crate) least: u64,
    pub(crate) most: u64,
    pub(crate) step: Option<u64>,
}

/// A variant over all proxies.
#[derive(Debug, Default)]
pub(crate) struct Variant<'c> {
    pub(crate) reasons: BTreeMap<&'c str, u64>,
    pub(crate) classes: BTreeMap<&'c str, u64>,
    pub(crate) times: Times,
}

impl Course {
    pub(crate) fn new(urls: impl Iterator<Item = String>, window: Duration, flags: &[String]) -> Self {
        let proxies = urls.map(|url| Proxy { url, stats: None, silent: None }).collect();
        let at = Timestamp::from_millis(0);
        Self {
            window,
            flags: flags.to_vec(),
            proxies,
            looked: None,
            between: VecDeque::new(),
            events: Vec::new(),
            last: BTreeMap::new(),
            at,
        }
    }

    /// Takes in what the proxies say, in their order.
    pub(crate) fn take(&mut self, said: Vec<Result<Stats, String>>, clock: Instant, at: Timestamp) {
        self.at = at;
        self.events.clear();
        let mut between = Between::default();
        for (proxy, said) in self.proxies.iter_mut().zip(said) {
            let mut tell = |plugin: Option<&String>, change| {
                let evidence = BTreeMap::new();
                self.events.push(Event { at, url: proxy.url.clone(), plugin: plugin.cloned(), change, evidence });
            };
            let mut stats = match said {
                Ok(stats) => stats,
                Err(why) => {
                    if proxy.silent.is_none() {
                        tell(None, Change::Silent(why.clone()));
                    }
                    proxy.silent = Some(why);
                    continue;
                }
            };
            if proxy.silent.take().is_some() {
                tell(None, Change::Back);
            }
            if let Some(before) = &proxy.stats {
                stats.bridge(before);
                changes(before, &stats, &mut tell);
                since(&before.counts, &stats.counts, &mut between.counts);
                for (place, times) in &stats.all {
                    let none = Times::new();
                    let sum = between.times.entry(place.clone()).or_default();
                    since(before.all.get(place).unwrap_or(&none), times, sum);
                }
            }
            proxy.stats = Some(stats);
        }
        let flags = &self.flags;
        self.events.retain(|event| event.change.flag().is_none_or(|flag| is_wanted(flags, flag)));
        if let Some(last) = self.looked.replace(clock) {
            between.span = clock.saturating_duration_since(last);
            self.between.push_back(between);
        }
        // Looks come a little early or late: a window that is nearly full is full.
        let full = self.window.mul_f32(0.95);
        while self.between.len() > 1 && self.span(1) >= full {
            self.between.pop_front();
        }
        for event in &mut self.events {
            let (Some(flag), Some(plugin)) = (event.change.flag(), &event.plugin) else { continue };
            let id = FlagId { plugin: plugin.clone(), key: flag.to_owned() };
            event.evidence = answers(&id, &self.between);
            self.last.insert(id, event.clone());
        }
    }

    /// How long it took to count all but the oldest.
    fn span(&self, without: usize) -> Duration {
        self.between.iter().skip(without).map(|between| between.span).sum()
    }

    /// The keys of all flags.
    pub(crate) fn keys(&self) -> BTreeSet<&str> {
        let stats = self.proxies.iter().filter_map(|proxy| proxy.stats.as_ref());
        let ids = stats.flat_map(|stats| {
            stats.flags.keys().chain(stats.counts.keys().map(|(id, _)| id)).chain(stats.about.keys())
        });
        ids.map(|id| id.key.as_str()).collect()
    }

    /// What is to be shown: of the window, or since the proxies have started.
    pub(crate) fn look(&self, total: bool) -> Look<'_> {
        let total = total || self.between.is_empty();
        let mut flags: BTreeMap<&FlagId, Flag<'_>> = BTreeMap::new();
        for proxy in &self.proxies {
            let Some(stats) = &proxy.stats else { continue };
            for (id, gauges) in stats.flags.iter().filter(|_| proxy.silent.is_none()) {
                flags.entry(id).or_default().gauges(gauges);
            }
            for (id, about) in stats.about.iter().filter(|_| proxy.silent.is_none()) {
                let flag = flags.entry(id).or_default();
                flag.killed += usize::from(about.killed);
                flag.about = Some(about);
            }
            // Also what was not counted lately is known.
            for ((id, what), count) in &stats.counts {
                flags.entry(id).or_default().count(what, if total { *count } else { 0 });
            }
        }
        for between in self.between.iter().filter(|_| !total) {
            for ((id, what), count) in &between.counts {
                flags.entry(id).or_default().count(what, *count);
            }
            flag_times(&mut flags, &between.times);
        }
        // Envoy adds up times every five seconds: until then, those of the last five are what is known.
        let known = self.between.iter().any(|between| between.times.values().any(|times| !times.is_empty()));
        for stats in self.proxies.iter().filter_map(|proxy| Some((proxy.stats.as_ref()?, proxy.silent.is_none()))) {
            match stats {
                (stats, _) if total => flag_times(&mut flags, &stats.all),
                (stats, true) if !known => flag_times(&mut flags, &stats.recent),
                _ => {}
            }
        }
        for (id, event) in &self.last {
            if let Some(flag) = flags.get_mut(id) {
                flag.last = Some(event);
            }
        }
        flags.retain(|id, _| is_wanted(&self.flags, &id.key));
        let span = (!total).then(|| self.span(0));
        Look { at: self.at, span, proxies: &self.proxies, flags, events: &self.events }
    }
}

/// Adds up how long answers took.
fn flag_times<'c>(flags: &mut BTreeMap<&'c FlagId, Flag<'c>>, times: &'c BTreeMap<(FlagId, String), Times>) {
    for ((id, variant), times) in times {
        let sum = &mut flags.entry(id).or_default().variants.entry(variant).or_default().times;
        for (millis, count) in times {
            let known = sum.entry(*millis).or_default();
            *known += *count;
        }
    }
}

/// By variant, how many answers there were, and how many of them were errors.
fn answers(id: &FlagId, between: &VecDeque<Between>) -> BTreeMap<String, (u64, u64)> {
    let mut flag = Flag::default();
    for ((of, what), count) in between.iter().flat_map(|between| &between.counts) {
        if of == id {
            flag.count(what, *count);
        }
    }
    let answered = flag.variants.iter().filter(|(_, variant)| variant.answers() > 0);
    answered.map(|(name, variant)| ((*name).to_owned(), (variant.answers(), variant.errors()))).collect()
}

fn is_wanted(wanted: &[String], flag: &str) -> bool {
    wanted.is_empty() || wanted.iter().any(|one| one == flag)
}

impl Change {
    fn flag(&self) -> Option<&str> {
        match self {
            Self::Standing { flag, .. } | Self::RolledBack { flag } => Some(flag),
            _ => None,
        }
    }
}

impl Proxy {
    /// The configs in force there, by plugin.
    pub(crate) fn configs(&self) -> impl Iterator<Item = (&String, &Config)> {
        self.stats.iter().flat_map(|stats| &stats.configs)
    }
}

impl<'c> Flag<'c> {
    fn gauges(&mut self, gauges: &Gauges) {
        if let Some(standing) = gauges.standing {
            let proxies = self.standings.entry(standing).or_default();
            *proxies += 1;
        }
        for (number, ramp) in &gauges.rules {
            let new = Rule { least: ramp.exposure, most: ramp.exposure, step: ramp.step };
            let rule = self.rules.entry(*number).or_insert(new);
            rule.least = rule.least.min(ramp.exposure);
            rule.most = rule.most.max(ramp.exposure);
            rule.step = rule.step.max(ramp.step);
        }
    }

    fn count(&mut self, what: &'c CountOf, more: u64) {
        let count = match what {
            // Most counters are there before anything was counted, and what never was is not worth a word.
            CountOf::Decided(variant, _) | CountOf::Answered(variant, _) if more == 0 => {
                self.variants.entry(variant).or_default();
                return;
            }
            CountOf::Decided(variant, reason) => {
                self.variants.entry(variant).or_default().reasons.entry(reason).or_default()
            }
            CountOf::Answered(variant, class) => {
                self.variants.entry(variant).or_default().classes.entry(class).or_default()
            }
            CountOf::Throttled => &mut self.throttled,
            CountOf::Rescued => &mut self.rescued,
            CountOf::RolledBack => &mut self.rollbacks,
        };
        *count += more;
    }

    /// How many decisions there were.
    pub(crate) fn decisions(&self) -> u64 {
        self.variants.values().map(Variant::decisions).fold(0, u64::saturating_add)
    }
}

impl Variant<'_> {
    pub(crate) fn decisions(&self) -> u64 {
        self.reasons.values().copied().fold(0, u64::saturating_add)
    }

    pub(crate) fn answers(&self) -> u64 {
        self.classes.values().copied().fold(0, u64::saturating_add)
    }

    /// Answers of the server's fault, and those that never came.
    pub(crate) fn errors(&self) -> u64 {
        let bad = self.classes.iter().filter(|(class, _)| matches!(**class, "5xx" | "none"));
        bad.map(|(_, count)| *count).fold(0, u64::saturating_add)
    }

    /// In how many milliseconds so many of a hundred answers had begun.
    pub(crate) fn percentile(&self, percent: u64) -> Option<u64> {
        let all = self.times.values().copied().fold(0, u64::saturating_add);
        let due = all.saturating_mul(percent).div_ceil(100);
        let mut seen = 0_u64;
        self.times.iter().filter(|(_, count)| **count > 0).find_map(|(millis, count)| {
            seen += *count;
            (seen >= due).then_some(*millis)
        })
    }
}

/// Adds what was counted since a look before; where all began anew, that is all.
fn since<K: Ord + Clone>(before: &BTreeMap<K, u64>, now: &BTreeMap<K, u64>, sum: &mut BTreeMap<K, u64>) {
    for (key, count) in now {
        let known = before.get(key).copied().unwrap_or(0);
        let more = count.checked_sub(known).unwrap_or(*count);
        if more > 0 {
            let known = sum.entry(key.clone()).or_default();
            *known += more;
        }
    }
}

/// Tells what has changed between two looks.
fn changes(before: &Stats, now: &Stats, tell: &mut impl FnMut(Option<&String>, Change)) {
    if before.counts.iter().any(|(key, count)| now.counts.get(key).copied().unwrap_or(0) < *count) {
        tell(None, Change::Restarted);
    }
    let plugins: BTreeSet<&String> = before.configs.keys().chain(now.configs.keys()).collect();
    for plugin in plugins {
        let (Some(old), Some(new)) = (before.configs.get(plugin), now.configs.get(plugin)) else { continue };
        if new.refused && !old.refused {
            tell(Some(plugin), Change::Refused { problems: new.problems });
        }
        let (from, to) = (old.revisions.join(", "), new.revisions.join(", "));
        if from != to {
            tell(Some(plugin), Change::Revision { from, to });
        }
    }
    for (id, new) in &now.flags {
        let old = before.flags.get(id).and_then(|old| old.standing);
        let rollbacks = |stats: &Stats| stats.counts.get(&(id.clone(), CountOf::RolledBack)).copied().unwrap_or(0);
        let flag = id.key.clone();
        match (old, new.standing) {
            (Some(from), Some(to)) if from != to => tell(Some(&id.plugin), Change::Standing { flag, from, to }),
            (Some(_), Some(_)) if rollbacks(now) > rollbacks(before) => {
                tell(Some(&id.plugin), Change::RolledBack { flag });
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::time::clock;

    fn id() -> FlagId {
        FlagId { plugin: "tidegate".to_owned(), key: "nav".to_owned() }
    }

    /// A proxy that has decided so often.
    fn said(decisions: u64) -> Stats {
        let what = CountOf::Decided("on".to_owned(), "split".to_owned());
        Stats { counts: Counts::from([((id(), what), decisions)]), ..Stats::default() }
    }

    /// What is shown after each of these looks, a second apart: over how long, and how many decisions.
    fn shown(window: u64, looks: Vec<Vec<Result<Stats, String>>>) -> (Vec<(u64, u64)>, Vec<Change>) {
        let urls = ["a", "b"].map(str::to_owned).into_iter().take(looks[0].len());
        let mut course = Course::new(urls, Duration::from_secs(window), &[]);
        let (mut now, mut seen, mut changes) = (clock(), Vec::new(), Vec::new());
        for look in looks {
            course.take(look, now, Timestamp::from_millis(0));
            now = now.checked_add(Duration::from_secs(1)).unwrap();
            let look = course.look(false);
            let span = look.span.map_or(0, |span| span.as_secs());
            seen.push((span, look.flags.get(&id()).map_or(0, Flag::decisions)));
            changes.extend(look.events.iter().map(|event| event.change.clone()));
        }
        (seen, changes)
    }

    #[test]
    fn a_window_forgets_what_is_older() {
        let (seen, changes) = shown(2, [7, 10, 20, 50, 50].map(|count| vec![Ok(said(count))]).into());
        assert_eq!(seen, [(0, 7), (1, 3), (2, 13), (2, 40), (2, 30)]);
        assert_eq!(changes, []);
    }

    #[test]
    fn a_proxy_that_starts_anew_counts_from_nothing() {
        let (seen, changes) = shown(10, [100, 110, 4].map(|count| vec![Ok(said(count))]).into());
        assert_eq!((seen, changes), (vec![(0, 100), (1, 10), (2, 14)], vec![Change::Restarted]));
    }

    #[test]
    fn what_a_silent_proxy_counted_meanwhile_comes_later() {
        let gone = || Err("gone".to_owned());
        let looks = vec![
            vec![Ok(said(1)), Ok(said(5))],
            vec![Ok(said(2)), gone()],
            vec![Ok(said(3)), gone()],
            vec![Ok(said(4)), Ok(said(8))],
        ];
        let (seen, changes) = shown(10, looks);
        assert_eq!(seen, [(0, 6), (1, 1), (2, 2), (3, 6)]);
        assert_eq!(changes, [Change::Silent("gone".to_owned()), Change::Back]);
    }

    #[test]
    fn times_are_those_of_the_window_and_the_evidence_of_an_event_stays() {
        let answered = |class: &str| CountOf::Answered("on".to_owned(), class.to_owned());
        let said = |standing: u64, failed: u64, times: &[(u64, u64)]| {
            let place = (id(), "on".to_owned());
            let gauges = Gauges { standing: Some(standing), ..Gauges::default() };
            Ok(Stats {
                counts: Counts::from([((id(), answered("2xx")), 90), ((id(), answered("5xx")), failed)]),
                flags: BTreeMap::from([(id(), gauges)]),
                all: BTreeMap::from([(place.clone(), times.iter().copied().collect())]),
                recent: BTreeMap::from([(place, Times::from([(1, 1)]))]),
                ..Stats::default()
            })
        };
        let mut course = Course::new(["a".to_owned()].into_iter(), Duration::from_secs(2), &[]);
        let (mut now, mut p99) = (clock(), Vec::new());
        for (second, stats) in (0..).zip([
            said(0, 0, &[(5, 100)]),
            said(0, 0, &[(5, 100)]),
            said(3, 30, &[(5, 100), (70, 9)]),
            said(3, 30, &[(5, 101), (70, 9)]),
            said(3, 30, &[(5, 102), (70, 9)]),
        ]) {
            course.take(vec![stats], now, Timestamp::from_millis(second));
            now = now.checked_add(Duration::from_secs(1)).unwrap();
            p99.push(course.look(false).flags[&id()].variants["on"].percentile(99));
        }
        assert_eq!(p99, [Some(5), Some(1), Some(70), Some(70), Some(5)]);
        let look = course.look(false);
        let last = look.flags[&id()].last.unwrap();
        assert_eq!((last.at.millis(), &last.evidence["on"]), (2, &(30, 30)));
    }

    #[test]
    fn percentiles_are_of_all_that_was_timed() {
        let of = |times: &[(u64, u64)]| {
            let variant = Variant { times: times.iter().copied().collect(), ..Variant::default() };
            (variant.percentile(50), variant.percentile(99))
        };
        assert_eq!(of(&[]), (None, None));
        assert_eq!(of(&[(3, 1)]), (Some(3), Some(3)));
        assert_eq!(of(&[(0, 50), (7, 49), (90, 1)]), (Some(0), Some(7)));
        assert_eq!(of(&[(0, 49), (7, 49), (90, 2)]), (Some(7), Some(90)));
    }
}
