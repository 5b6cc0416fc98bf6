//! Looks at the fleet again and again: turns configs and what a Prometheus says into verdicts.
//!
//! After a restart it refills its windows from what the Prometheus has kept. A proxy whose config is not known says
//! nothing about a flag: it may count for another generation of it. Never reads a clock, and never stops by itself.

use std::collections::BTreeMap;

use tidegate_engine::config::Config;
use tidegate_engine::config::standing::Phase;
use tidegate_engine::plan::Plan;
use tidegate_engine::value::time::Timestamp;
use tidegate_judge::counters::Counters;
use tidegate_judge::flag::Event;
use tidegate_judge::fleet::{Counted, Fleet};

use super::reading::{Labels, Seen, looks, query};
use crate::prometheus::{Prometheus, Unanswered};

/// What a metric tells of a fingerprint: a double holds 53 bits.
const BITS: u64 = 0xffff_ffff_ffff;

/// So many configs that were in force before are remembered.
const CONFIGS: usize = 16;

/// So many values are asked for at once, when windows are refilled.
const VALUES: usize = 500_000;

/// So many units that were missed are made up for.
const MISSED: u64 = 4_096;

/// After so many looks without an answer, it is unwell.
pub const FAILED: u32 = 3;

/// Something that happened to a flag, and when.
pub type Happened = (Timestamp, String, Event);

/// The judge of a fleet.
#[derive(Debug)]
pub struct Watcher {
    fleet: Fleet,
    counters: Counters<String>,
    labels: Labels,
    query: String,
    /// Milliseconds between two looks.
    unit: u64,
    /// The configs that were in force, the last one at the end: the fingerprint, and each flag's generation.
    configs: Vec<(u64, BTreeMap<String, u64>)>,
    /// The config of each proxy at the look before.
    before: BTreeMap<String, u64>,
    failed: u32,
    reason: Option<String>,
    last: Option<Timestamp>,
    /// How many of the proxies have a config that is known.
    known: usize,
    /// Up to when windows are refilled, in milliseconds: what counted once must not count again.
    filled: Option<i64>,
    /// By flag: how many requests and failures were counted since it began.
    counted: BTreeMap<String, [u64; 2]>,
}

impl Watcher {
    /// One for this config, with so many seconds between two looks.
    #[must_use]
    pub fn new(config: &Config, plan: Plan, unit: u64, labels: Labels, selector: &str, now: Timestamp) -> Self {
        let mut made = Self {
            configs: Vec::new(),
            counters: Counters::default(),
            labels,
            query: query(selector),
            unit: unit.max(1) * 1_000,
            before: BTreeMap::new(),
            failed: 0,
            reason: Some("it has not looked yet".to_owned()),
            last: None,
            known: 0,
            filled: None,
            counted: BTreeMap::new(),
            fleet: Fleet::new(Plan::default(), unit, now),
        };
        made.replace(config, plan, now);
        made
    }

    /// Goes over to another config.
    pub fn replace(&mut self, config: &Config, plan: Plan, now: Timestamp) {
        let generations: BTreeMap<String, u64> = plan
            .watches()
            .iter()
            .filter_map(|watch| Some((plan.flag_of(watch)?.key().as_str().to_owned(), watch.generation()?)))
            .collect();
        self.configs.push((plan.fingerprint() & BITS, generations));
        let more = self.configs.len().saturating_sub(CONFIGS);
        self.configs.drain(..more);
        self.fleet.replace(plan, now);
        let keys: Vec<String> = self.fleet.flags().iter().map(|flag| flag.key.clone()).collect();
        for key in keys {
            let Some(flag) = self.fleet.flag_mut(&key) else { continue };
            match config.standing(&key).filter(|entry| entry.is_of(flag.generation)) {
                Some(entry) => flag.stands(entry),
                None => flag.stands_free(now),
            }
        }
    }

    #[must_use]
    pub fn fleet(&self) -> &Fleet {
        &self.fleet
    }

    /// How many endpoints of each of a flag's variants are ready; none where that is not known.
    pub fn ready(&mut self, flag: &str, endpoints: BTreeMap<String, Option<u32>>) {
        self.fleet.ready(flag, endpoints);
    }

    /// Milliseconds between two looks.
    #[must_use]
    pub fn unit(&self) -> u64 {
        self.unit
    }

    /// When it has last seen something.
    #[must_use]
    pub fn last(&self) -> Option<Timestamp> {
        self.last
    }

    /// How many looks in a row had no answer.
    #[must_use]
    pub fn failed(&self) -> u32 {
        self.failed
    }

    /// Why it sees nothing, if so.
    #[must_use]
    pub fn blind(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// How many requests and failures of a flag it has counted since it began, of all arms.
    #[must_use]
    pub fn counted(&self, flag: &str) -> [u64; 2] {
        self.counted.get(flag).copied().unwrap_or_default()
    }

    /// How many proxies have a config that it knows.
    #[must_use]
    pub fn known(&self) -> usize {
        self.known
    }

    /// Refills the windows from what is kept, up to this time.
    ///
    /// # Errors
    /// If there is no answer: then the windows are as full as they came, and the next call goes on from there.
    pub fn refill(&mut self, prometheus: &Prometheus, now: Timestamp) -> Result<Vec<Happened>, Unanswered> {
        let guards = self.fleet.plan().watches().iter().filter_map(|watch| watch.guard.as_ref());
        let longest = guards.map(|guard| guard.window.millis()).max().unwrap_or(0);
        let unit = i64::try_from(self.unit).unwrap_or(i64::MAX);
        let units = longest.div_ceil(self.unit).max(1);
        let first = now.millis() - i64::try_from(units).unwrap_or(0).saturating_mul(unit);
        let mut at = self.filled.map_or(first, |filled| first.max(filled + unit));
        let (mut happened, mut chunk) = (Vec::new(), 1_i64);
        while at <= now.millis() {
            let end = (at + (chunk - 1) * unit).min(now.millis());
            let series =
                prometheus.range(&self.query, Timestamp::from_millis(at), Timestamp::from_millis(end), self.unit);
            let series = series.inspect_err(|why| self.away(&why.what))?;
            let mut seen = looks(&series, &self.labels);
            while at <= end {
                happened.extend(self.take(seen.remove(&at).unwrap_or_default(), Timestamp::from_millis(at)));
                self.filled = Some(at);
                at += unit;
            }
            let fits = VALUES / series.len().max(1);
            chunk = i64::try_from(fits).unwrap_or(1).clamp(1, 5_000).min(chunk * 16);
        }
        Ok(happened)
    }

    /// Looks once; says what happened, and why there is no answer, if so.
    pub fn look(&mut self, prometheus: &Prometheus, now: Timestamp) -> (Vec<Happened>, Option<Unanswered>) {
        match prometheus.at(&self.query, now) {
            Ok(series) => {
                let mut seen = Seen::default();
                for one in &series {
                    if let Some((_, value)) = one.values.first() {
                        seen.take(&one.labels, *value, &self.labels);
                    }
                }
                (self.take(seen, now), None)
            }
            Err(why) => {
                self.away(&why.what);
                (self.pass(now), Some(why))
            }
        }
    }

    /// Units that went by without a look.
    pub fn missed(&mut self, units: u64, now: Timestamp) {
        self.fleet.blind();
        for _ in 0..units.min(MISSED) {
            self.fleet.advance(now);
        }
    }

    fn away(&mut self, why: &str) {
        self.failed = self.failed.saturating_add(1);
        self.reason = Some(why.to_owned());
        self.fleet.blind();
    }

    fn pass(&mut self, now: Timestamp) -> Vec<Happened> {
        self.fleet.advance(now).into_iter().map(|(flag, event)| (now, flag, event)).collect()
    }

    /// Takes up what was seen at a time.
    pub(super) fn take(&mut self, seen: Seen, now: Timestamp) -> Vec<Happened> {
        self.failed = 0;
        let Seen { proxies, raw } = seen;
        if proxies.is_empty() {
            self.reason = Some("it has no metrics of a proxy".to_owned());
            self.fleet.blind();
            return self.pass(now);
        }
        self.last = Some(now);
        self.counters.look();
        let prints: BTreeMap<String, u64> =
            proxies.iter().map(|(name, proxy)| (name.clone(), proxy.fingerprint)).collect();
        self.known = prints.values().filter(|print| self.configs.iter().any(|(known, _)| known == *print)).count();
        self.reason = (self.known == 0).then(|| {
            let print = self.configs.last().map_or(0, |(print, _)| *print);
            format!("no proxy has the config that it has (fingerprint {print})")
        });
        let mut counted: Vec<Counted> = Vec::new();
        for raw in raw {
            let more = self.counters.take(raw.key.clone(), raw.value);
            if more > 0 && self.is_of(&raw.of, &prints) {
                let one = raw.counted(more);
                let [requests, failed] = self.counted.entry(one.flag.clone()).or_default();
                *requests += u64::from(one.count.requests);
                *failed += u64::from(one.count.failed);
                counted.push(one);
            }
        }
        self.before = prints;
        self.fleet.see(proxies);
        if self.reason.is_some() {
            self.fleet.blind();
        }
        self.fleet.count(&counted);
        self.pass(now)
    }

    /// Whether it was counted for the generation of the flag that is judged.
    fn is_of(&self, counted: &Counted, prints: &BTreeMap<String, u64>) -> bool {
        let Some(due) = self.configs.last().and_then(|(_, flags)| flags.get(&counted.flag)) else { return false };
        let has = |print: &u64| {
            let known = self.configs.iter().rev().find(|(known, _)| known == print);
            known.and_then(|(_, flags)| flags.get(&counted.flag)).is_some_and(|generation| generation == due)
        };
        prints.get(&counted.proxy).is_some_and(has) && self.before.get(&counted.proxy).is_none_or(has)
    }

    /// The phase of a flag.
    #[must_use]
    pub fn phase(&self, key: &str) -> Option<Phase> {
        self.fleet.flags().iter().find(|flag| flag.key == key).map(tidegate_judge::flag::Flag::phase)
    }
}
