//! All flags of a config, over all proxies: turns what each proxy has counted, and says of itself, into verdicts, look by
//! look.
//!
//! Proxies fall into sixteen groups by their names, as identities do in a proxy's guard: one caller that is broken moves
//! nothing. Never asks a proxy: what was seen is handed in.

use std::collections::BTreeMap;

use crate::flag::{Event, Flag, Look, Told};
use crate::strata::Stratum;
use tidegate_engine::plan::Plan;
use tidegate_engine::value::time::Timestamp;
use tidegate_proxy::guard::window::{Cell, Count};

/// What one proxy says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxy {
    pub zone: String,
    pub workload: String,
    /// The config that it has in force.
    pub fingerprint: u64,
    /// By flag.
    pub flags: BTreeMap<String, Told>,
}

/// What a proxy has counted since the last look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    pub proxy: String,
    pub flag: String,
    /// Counted from 1.
    pub rule: u8,
    pub variant: String,
    /// Whether the requests are those that the draw exposed to the variant.
    pub exposed: bool,
    /// The group of the identities, where the proxy counts by groups.
    pub group: Option<u8>,
    pub count: Count,
}

/// All that the judge holds.
#[derive(Debug)]
pub struct Fleet {
    plan: Plan,
    flags: Vec<Flag>,
    proxies: BTreeMap<String, Proxy>,
    /// By flag and variant: how many endpoints are ready; of flags that nobody counts them for, nothing.
    ready: BTreeMap<String, BTreeMap<String, Option<u32>>>,
    unit: u64,
    sees: bool,
}

impl Fleet {
    /// The flags of a config that are guarded, with looks so many seconds apart.
    #[must_use]
    pub fn new(plan: Plan, unit: u64, now: Timestamp) -> Self {
        let flags = (0..plan.watches().len()).filter_map(|place| Flag::new(&plan, place, now)).collect();
        let (proxies, ready) = (BTreeMap::new(), BTreeMap::new());
        Self { plan, flags, proxies, ready, unit: unit.max(1), sees: false }
    }

    /// Goes over to another config: flags that serve the same go on as they were.
    pub fn replace(&mut self, plan: Plan, now: Timestamp) {
        let mut before = std::mem::take(&mut self.flags);
        for place in 0..plan.watches().len() {
            let Some(fresh) = Flag::new(&plan, place, now) else { continue };
            let same = |known: &Flag| known.key == fresh.key && known.generation == fresh.generation;
            let known = before.iter().position(same).map(|known| before.swap_remove(known).at(place));
            self.flags.push(known.unwrap_or(fresh));
        }
        self.plan = plan;
    }

    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    #[must_use]
    pub fn flags(&self) -> &[Flag] {
        &self.flags
    }

    /// The flag of this key, to tell it what stands in the config.
    pub fn flag_mut(&mut self, key: &str) -> Option<&mut Flag> {
        self.flags.iter_mut().find(|flag| flag.key == key)
    }

    #[must_use]
    pub fn proxies(&self) -> &BTreeMap<String, Proxy> {
        &self.proxies
    }

    /// Whether anything was seen at the last look.
    #[must_use]
    pub fn sees(&self) -> bool {
        self.sees
    }

    /// Takes up which proxies there are, and what they say of themselves.
    pub fn see(&mut self, proxies: BTreeMap<String, Proxy>) {
        self.sees = !proxies.is_empty();
        self.proxies = proxies;
    }

    /// Nothing could be seen: what holds goes on to hold.
    pub fn blind(&mut self) {
        self.sees = false;
    }

    /// How many endpoints of each of a flag's variants are ready; none where that is not known, and then none is ready.
    pub fn ready(&mut self, flag: &str, endpoints: BTreeMap<String, Option<u32>>) {
        self.ready.insert(flag.to_owned(), endpoints);
    }

    /// How many endpoints of a flag's variants are ready, where they are counted.
    #[must_use]
    pub fn endpoints(&self, flag: &str) -> Option<&BTreeMap<String, Option<u32>>> {
        self.ready.get(flag)
    }

    /// Adds what proxies have counted since the last look.
    pub fn count(&mut self, counted: &[Counted]) {
        let mut parts: BTreeMap<(usize, usize, Stratum), (Cell, Option<Cell>)> = BTreeMap::new();
        for one in counted {
            let Some(place) = self.flags.iter().position(|flag| flag.key == one.flag) else { continue };
            let Some(comparison) = self.flags.get(place).and_then(|flag| flag.comparison(one.rule, &one.variant))
            else {
                continue;
            };
            let stratum = self.stratum(&one.proxy, &one.flag, one.rule);
            let (cell, groups) = parts.entry((place, comparison, stratum)).or_default();
            if let Some(group) = cell.group(one.exposed, group(&one.proxy)) {
                add(group, one.count);
            }
            if let Some(number) = one.group {
                let groups = groups.get_or_insert_default();
                if let Some(group) = groups.group(one.exposed, number.into()) {
                    add(group, one.count);
                }
            }
        }
        for ((place, comparison, stratum), (cell, groups)) in &parts {
            if let Some(flag) = self.flags.get_mut(*place) {
                flag.add(*comparison, stratum, cell, groups.as_ref());
            }
        }
    }

    /// In what a proxy is like others: proxies that are not known, or no more, are alike.
    fn stratum(&self, proxy: &str, flag: &str, rule: u8) -> Stratum {
        let Some(known) = self.proxies.get(proxy) else { return Stratum::default() };
        let told = known.flags.get(flag);
        Stratum {
            zone: known.zone.clone(),
            workload: known.workload.clone(),
            fingerprint: known.fingerprint,
            step: told.and_then(|told| told.steps.get(&rule)).copied().unwrap_or_default().into(),
            phase: told.map_or(0, |told| told.standing),
        }
    }

    /// A unit is over: judges every flag. Returns what happened, by flag.
    pub fn advance(&mut self, now: Timestamp) -> Vec<(String, Event)> {
        let tests = self.flags.iter().map(Flag::tests).sum();
        // As proxies tell it: a double holds 53 bits.
        let fingerprint = self.plan.fingerprint() & 0xffff_ffff_ffff;
        let (none, mut happened) = (BTreeMap::new(), Vec::new());
        for flag in &mut self.flags {
            let told: BTreeMap<String, Told> = self
                .proxies
                .iter()
                .filter_map(|(name, proxy)| {
                    let is_current = proxy.fingerprint == fingerprint;
                    Some((name.clone(), Told { is_current, ..proxy.flags.get(&flag.key)?.clone() }))
                })
                .collect();
            let ready = self.ready.get(&flag.key).unwrap_or(&none);
            let sees = self.sees && !told.is_empty();
            let look = Look { now, unit: self.unit, tests, sees, told: &told, ready };
            happened.extend(flag.advance(&self.plan, &look).into_iter().map(|event| (flag.key.clone(), event)));
        }
        happened
    }
}

fn add(group: &mut Count, count: Count) {
    group.requests = group.requests.saturating_add(count.requests);
    group.failed = group.failed.saturating_add(count.failed);
    group.slow = group.slow.saturating_add(count.slow);
}

/// The group of a proxy, by its name.
fn group(proxy: &str) -> u64 {
    tidegate_engine::value::hash::Salt::new("proxy").point(proxy.as_bytes()).bits() & 15
}
