//! Simulates a guarded version over many proxies for days: how often the fleet's judge errs, and how fast it finds a
//! version that fails.
//!
//! Every proxy is scraped at its own moment of the scrape interval, so that each look of the judge brings the counts of
//! some of them. What failed falls on proxies and on groups of identities as the rows say, and is judged by the judge's
//! own code. A seed gives the same days on every machine.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "what is counted here is small"
)]

use std::collections::VecDeque;

use crate::chance::{Arrivals, Chance};
use tidegate_judge::scope::{Rules, Said, judge, places};
use tidegate_judge::strata::{Strata, Stratum};
use tidegate_judge::uneven::Uneven;
use tidegate_proxy::guard::evidence::Evidence;
use tidegate_proxy::guard::sample::GROUPS;
use tidegate_proxy::guard::verdict::{Limits, Verdict};
use tidegate_proxy::guard::window::{Cell, Count};

/// One proxy of so many counts by groups of identities.
const BY_GROUPS: u32 = 8;

/// The longest window of the guard, in seconds.
const WINDOW: u64 = 600;

/// How long a client that breaks is broken, in seconds.
const BROKEN: u32 = 300;

const DAY: u32 = 86_400;

/// Looks before a fault begins: the judge knows what is usual.
const WARM: u32 = 400;

/// After so many seconds a fault is given up.
const PATIENCE: u32 = 3_600;

/// How proxies are seen.
#[derive(Clone, Copy, Debug)]
pub struct Sight {
    /// Seconds between two scrapes of a proxy.
    pub scrape: u32,
    /// Seconds between two looks.
    pub look: u32,
}

/// Proxies of one kind: a zone.
#[derive(Clone, Copy, Debug)]
pub struct Zone {
    pub proxies: u32,
    /// Requests a second of each.
    pub requests: f64,
    /// Of identities, in percent.
    pub canary: f64,
    /// Of requests that fail, in percent, in both arms.
    pub base: f64,
}

/// Where a client's requests go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// Through all proxies: those of a service that anybody calls.
    All,
    /// Through one: its own sidecar.
    One,
}

/// Clients of which each is broken once a day for five minutes, and fails always meanwhile.
#[derive(Clone, Copy, Debug)]
pub struct Clients {
    pub identities: u32,
    pub path: Path,
}

/// A day of a fleet.
#[derive(Clone, Copy, Debug)]
pub struct Fleet<'f> {
    pub zones: &'f [Zone],
    pub clients: Option<Clients>,
    pub sight: Sight,
    pub limits: Limits,
}

/// One arm of a zone.
struct Side {
    /// What arrives at all proxies between two looks.
    requests: f64,
    /// What is left of a request.
    rest: f64,
    failed: Arrivals,
    /// With the fault, if there is one.
    failing: Option<Arrivals>,
}

/// A client that is broken.
#[derive(Clone, Copy, Debug)]
struct Broken {
    until: u32,
    zone: usize,
    exposed: bool,
    group: u64,
    proxy: u32,
}

/// What a fleet counts, look by look.
struct Source<'f> {
    fleet: &'f Fleet<'f>,
    sides: Vec<[Side; 2]>,
    /// By zone: its stratum.
    strata: Vec<Stratum>,
    breaks: Vec<(u32, Broken)>,
    broken: VecDeque<Broken>,
    /// What a broken client sends between two looks, or between two scrapes of its one proxy.
    client: Arrivals,
    chance: Chance,
    look: u32,
}

impl<'f> Source<'f> {
    fn new(fleet: &'f Fleet<'f>, fault: Option<f64>, run: u32) -> Self {
        let total: f64 = fleet.zones.iter().map(|zone| f64::from(zone.proxies) * zone.requests).sum();
        let mut chance = Chance::of(&[u64::from(run), total as u64, fleet.zones.len() as u64]);
        let sides = fleet.zones.iter().map(|zone| {
            [(true, zone.canary), (false, 100.0 - zone.canary)].map(|(exposed, share)| {
                let requests = f64::from(zone.proxies) * zone.requests * f64::from(fleet.sight.look) * share / 100.0;
                let arrivals = |percent: f64| Arrivals::new(requests * percent / 100.0);
                let failing = fault.filter(|_| exposed).map(arrivals);
                Side { requests, rest: 0.0, failed: arrivals(zone.base), failing }
            })
        });
        let strata = (0..fleet.zones.len()).map(|zone| Stratum { zone: zone.to_string(), ..Stratum::default() });
        let mut breaks = Vec::new();
        let mut client = Arrivals::new(0.0);
        if let Some(Clients { identities, path }) = fleet.clients {
            let seconds = if path == Path::All { fleet.sight.look } else { fleet.sight.scrape };
            client = Arrivals::new(total / f64::from(identities) * f64::from(seconds));
            for _ in 0..identities {
                let zone = chance.below(fleet.zones.len() as u32) as usize;
                let Zone { proxies, canary, .. } = fleet.zones[zone];
                let exposed = f64::from(chance.below(1_000_000)) < canary * 10_000.0;
                let (group, proxy) = (u64::from(chance.below(GROUPS as u32)), chance.below(proxies));
                breaks.push((chance.below(DAY), Broken { until: 0, zone, exposed, group, proxy }));
            }
            breaks.sort_unstable_by_key(|(at, _)| u32::MAX - at);
        }
        Self {
            fleet,
            sides: sides.collect(),
            strata: strata.collect(),
            breaks,
            broken: VecDeque::new(),
            client,
            chance,
            look: 0,
        }
    }

    /// What is seen at the next look; so much of it, in 256ths, is from after the fault has begun.
    fn next(&mut self, faulty: u32) -> Vec<(Cell, Cell)> {
        let Self { sides, chance, .. } = self;
        let mut seen = Vec::with_capacity(sides.len());
        for zone in sides {
            let (mut cell, mut groups) = (Cell::default(), Cell::default());
            for (exposed, side) in [true, false].into_iter().zip(zone) {
                let all = side.requests + side.rest;
                let requests = all as u32;
                side.rest = all - f64::from(requests);
                spread(&mut cell, exposed, requests, chance);
                spread(&mut groups, exposed, requests / BY_GROUPS, chance);
                let mut fail = |arrivals: &Arrivals, part: u32| {
                    for _ in 0..arrivals.draw(chance) {
                        if part < 256 && chance.below(256) >= part {
                            continue;
                        }
                        let draw = chance.next();
                        failed(&mut cell, exposed, draw);
                        if (draw >> 8).is_multiple_of(BY_GROUPS.into()) {
                            failed(&mut groups, exposed, draw >> 16);
                        }
                    }
                };
                match &side.failing {
                    Some(failing) => {
                        fail(&side.failed, 256 - faulty);
                        fail(failing, faulty);
                    }
                    None => fail(&side.failed, 256),
                }
            }
            seen.push((cell, groups));
        }
        self.break_clients(&mut seen);
        self.look += 1;
        seen
    }

    fn break_clients(&mut self, seen: &mut [(Cell, Cell)]) {
        let Some(Clients { path, .. }) = self.fleet.clients else { return };
        let Sight { scrape, look } = self.fleet.sight;
        let now = self.look * look % DAY;
        while let Some((_, client)) = self.breaks.pop_if(|(at, _)| *at <= now) {
            self.broken.push_back(Broken { until: now + BROKEN, ..client });
        }
        while self.broken.front().is_some_and(|client| client.until <= now) {
            self.broken.pop_front();
        }
        let phases = (scrape / look).max(1);
        for client in &self.broken {
            let (cell, groups) = &mut seen[client.zone];
            match path {
                Path::All => {
                    for _ in 0..self.client.draw(&mut self.chance) {
                        let draw = self.chance.next();
                        failed(cell, client.exposed, draw);
                        if (draw >> 8).is_multiple_of(BY_GROUPS.into()) {
                            failed(groups, client.exposed, client.group);
                        }
                    }
                }
                Path::One if self.look % phases == client.proxy % phases => {
                    for _ in 0..self.client.draw(&mut self.chance) {
                        failed(cell, client.exposed, (client.proxy / phases).into());
                        if (client.proxy / phases).is_multiple_of(BY_GROUPS) {
                            failed(groups, client.exposed, client.group);
                        }
                    }
                }
                Path::One => {}
            }
        }
    }
}

/// Spreads requests over all groups, as evenly as proxies are many.
fn spread(cell: &mut Cell, exposed: bool, requests: u32, chance: &mut Chance) {
    let first = u64::from(chance.below(GROUPS as u32));
    for place in 0..GROUPS as u64 {
        let more = u32::from(place < u64::from(requests % GROUPS as u32));
        cell.group(exposed, first + place).unwrap().requests += requests / GROUPS as u32 + more;
    }
}

/// One of the requests of a group fails.
fn failed(cell: &mut Cell, exposed: bool, group: u64) {
    let Count { requests, failed, .. } = cell.group(exposed, group).unwrap();
    *failed += 1;
    *requests = (*requests).max(*failed);
}

/// The judge of one comparison.
struct Judged<'f> {
    fleet: &'f Fleet<'f>,
    strata: Strata,
    uneven: Uneven,
    of: Vec<Stratum>,
}

impl<'f> Judged<'f> {
    fn new(source: &Source<'f>) -> Self {
        Self { fleet: source.fleet, strata: Strata::default(), uneven: Uneven::default(), of: source.strata.clone() }
    }

    fn add(&mut self, seen: &[(Cell, Cell)]) {
        for ((cell, groups), stratum) in seen.iter().zip(&self.of) {
            self.strata.add(stratum, cell);
            self.uneven.add(groups);
        }
    }

    fn advance(&mut self) {
        self.strata.advance();
        self.uneven.advance();
    }

    fn says(&self) -> Said {
        let limits = [self.fleet.limits];
        // As of ten comparisons that are all judged so.
        let tests = u32::try_from(10 * places(&self.strata)).unwrap_or(u32::MAX);
        let (enough, unit) = (Evidence::enough_for(tests), self.fleet.sight.look.into());
        judge(&self.strata, &self.uneven, &Rules { limits: &limits, enough, unit, longest: WINDOW })
    }
}

/// Watches a version that is like the other for a day, and says at which second, if at all, it was found bad.
pub fn watch(fleet: &Fleet<'_>, day: u32) -> Option<u32> {
    let mut source = Source::new(fleet, None, day);
    let mut judged = Judged::new(&source);
    for look in 1..=DAY / fleet.sight.look {
        judged.add(&source.next(0));
        if matches!(judged.says().verdict, Verdict::Breached(_)) {
            return Some(look * fleet.sight.look);
        }
        judged.advance();
    }
    None
}

/// The milliseconds from the moment at which a version begins to fail so often, in percent, until it is found; none if
/// that takes more than an hour. Without `clients`, in a day as usual.
pub fn find(fleet: &Fleet<'_>, fault: f64, run: u32) -> Option<u32> {
    let Sight { scrape, look } = fleet.sight;
    let mut source = Source::new(fleet, Some(fault), run);
    let mut judged = Judged::new(&source);
    let warm = WARM + source.chance.below(64);
    for _ in 0..warm {
        judged.add(&source.next(0));
        judged.advance();
    }
    // It begins somewhere between two looks: what is scraped later has more of it.
    let begins = source.chance.below(1_000 * look);
    for number in 1..=PATIENCE / look {
        let since = (number * 1_000 * look - 500 * look).saturating_sub(begins);
        judged.add(&source.next((since * 256 / (1_000 * scrape)).min(256)));
        if matches!(judged.says().verdict, Verdict::Breached(_)) {
            return Some(number * 1_000 * look - begins);
        }
        judged.advance();
    }
    None
}
