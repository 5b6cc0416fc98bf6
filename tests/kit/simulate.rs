//! Simulates guarded versions for days: how often a guard errs, and how fast it finds a version that fails.
//!
//! Requests come in at random, a quarter of a second at a time, to a variant and its baseline, and are counted and
//! judged by the guard's own code. Never an answer of chance: a seed gives the same counts on every machine, since
//! its floats are only added, multiplied and divided.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "what is counted here is small, and chances are not below 0"
)]

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use crate::chance::{Arrivals, Chance};
use tidegate_engine::value::share::Ppm;
use tidegate_proxy::guard::evidence::Evidence;
use tidegate_proxy::guard::sample::GROUPS;
use tidegate_proxy::guard::verdict::{Limits, Verdict, judge};
use tidegate_proxy::guard::window::{Cell, Count, Measure, UNIT, Windows};

/// How often a guard looks in an hour.
pub const HOUR: u32 = 3_600_000 / UNIT as u32;

/// How often it looks in a day.
pub const DAY: u32 = 24 * HOUR;

/// The longest window, in seconds.
const WINDOW: u64 = 600;

/// After so many looks all windows are full.
const WARM: u32 = 5 << 9;

/// The longest that a failing version is waited for.
const PATIENCE: u32 = 4 * HOUR;

// === a service and its guard ===

/// The requests of a flag that a rule draws for.
#[derive(Clone, Copy, Debug)]
pub struct Traffic {
    /// So many a second, on average.
    pub requests: u32,
    /// The percentage that gets the variant.
    pub canary: u32,
}

/// What goes wrong, in percent.
#[derive(Clone, Copy, Debug)]
pub struct Faults {
    /// Of the variant's requests.
    pub variant: u32,
    /// Of the baseline's.
    pub baseline: u32,
    /// The part of the variant's requests that one client sends, all of which fail.
    pub broken_client: u32,
}

impl Faults {
    /// The same for variant and baseline.
    pub const fn alike(percent: u32) -> Self {
        Self { variant: percent, baseline: percent, broken_client: 0 }
    }

    /// A version that fails, beside a baseline of which one request in a hundred does.
    pub const fn of_variant(percent: u32) -> Self {
        Self { variant: percent, ..Self::alike(1) }
    }
}

/// The limits for one measure, in percent; none where there is no number.
pub fn limits(measure: Measure, max: Option<u32>, over_baseline: Option<u32>) -> Limits {
    let percent = |percent: Option<u32>| percent.map(|percent| Ppm::parse_percent(&percent.to_string()).unwrap());
    Limits { measure, max: percent(max), over_baseline: percent(over_baseline) }
}

/// Where the requests of one arm come from.
struct Arm {
    exposed: bool,
    good: Arrivals,
    bad: Arrivals,
    /// Of the client that always fails.
    broken: Arrivals,
    /// The group whose turn it is.
    turn: usize,
}

impl Arm {
    fn new(exposed: bool, requests: f64, bad: u32, broken: u32) -> Self {
        let (bad, broken) = (f64::from(bad) / 100.0, f64::from(broken) / 100.0);
        let arrivals = |share: f64| Arrivals::new(requests * share * UNIT as f64 / 1_000.0);
        Self {
            exposed,
            good: arrivals((1.0 - broken) * (1.0 - bad)),
            bad: arrivals((1.0 - broken) * bad),
            broken: arrivals(broken),
            turn: 0,
        }
    }

    /// Adds what comes in during so many 256ths of the time between two looks. Identities are spread evenly over the
    /// groups, and what fails hits any of them.
    fn arrive(&mut self, part: u32, cell: &mut Cell, measure: Measure, chance: &mut Chance) {
        let mut draw = |arrivals: &Arrivals| {
            let all = arrivals.draw(chance);
            if part == 256 { all } else { (0..all).filter(|_| chance.below(256) < part).count() as u32 }
        };
        let (good, bad, broken) = (draw(&self.good), draw(&self.bad), draw(&self.broken));
        let (each, rest) = (good / GROUPS as u32, good as usize % GROUPS);
        for group in 0..GROUPS {
            add(cell, self.exposed, group as u64, each);
        }
        for group in self.turn..self.turn + rest {
            add(cell, self.exposed, group as u64, 1);
        }
        self.turn = (self.turn + rest) % GROUPS;
        for _ in 0..bad {
            add_bad(cell, self.exposed, chance.next() >> 32, 1, measure);
        }
        add_bad(cell, self.exposed, 0, broken, measure);
    }
}

fn add(cell: &mut Cell, exposed: bool, group: u64, requests: u32) {
    cell.group(exposed, group).unwrap().requests += requests;
}

fn add_bad(cell: &mut Cell, exposed: bool, group: u64, requests: u32, measure: Measure) {
    let Count { requests: all, failed, slow } = cell.group(exposed, group).unwrap();
    *all += requests;
    match measure {
        Measure::Errors => *failed += requests,
        Measure::Latency => *slow += requests,
    }
}

/// The two arms of a flag.
struct Arms([Arm; 2]);

impl Arms {
    fn new(traffic: Traffic, faults: Faults) -> Self {
        let part = |percent: u32| f64::from(traffic.requests) * f64::from(percent) / 100.0;
        Self([
            Arm::new(true, part(traffic.canary), faults.variant, faults.broken_client),
            Arm::new(false, part(100 - traffic.canary), faults.baseline, 0),
        ])
    }

    /// What comes in until the next look.
    fn arrive(&mut self, measure: Measure, chance: &mut Chance) -> Cell {
        let mut cell = Cell::default();
        self.arrive_for(256, &mut cell, measure, chance);
        cell
    }

    /// Adds what comes in during so many 256ths of that time.
    fn arrive_for(&mut self, part: u32, cell: &mut Cell, measure: Measure, chance: &mut Chance) {
        for arm in &mut self.0 {
            arm.arrive(part, cell, measure, chance);
        }
    }
}

/// A run has its own numbers, whichever thread runs it.
fn seeded(traffic: Traffic, faults: Faults, run: u32) -> Chance {
    let words = [traffic.requests, traffic.canary, faults.variant, faults.baseline, faults.broken_client, run];
    Chance::of(&words.map(u64::from))
}

/// Watches a version from its first request on, and says at which look, if at all, it was rolled back, and what the
/// last verdict was.
pub fn watch(traffic: Traffic, faults: Faults, limits: Limits, run: u32, looks: u32) -> (Option<u32>, Verdict) {
    let mut chance = seeded(traffic, faults, run);
    let mut arms = Arms::new(traffic, faults);
    let mut windows = Windows::default();
    let mut verdict = Verdict::NotEnough;
    for look in 1..=looks {
        windows.add(&arms.arrive(limits.measure, &mut chance));
        verdict = judge(&windows, WINDOW, &[limits], Evidence::ENOUGH);
        if matches!(verdict, Verdict::Breached(_)) {
            return (Some(look), verdict);
        }
        windows.advance();
    }
    (None, verdict)
}

/// The milliseconds from the moment at which a healthy version begins to fail until it is rolled back; none if that
/// takes more than four hours.
pub fn find(traffic: Traffic, faults: Faults, limits: Limits, run: u32) -> Option<u32> {
    let mut chance = seeded(traffic, faults, run);
    let mut healthy = Arms::new(traffic, Faults::alike(faults.baseline));
    let mut failing = Arms::new(traffic, faults);
    let mut windows = Windows::default();
    // The windows of all lengths are somewhere in their slots when it begins.
    for _ in 0..WARM + chance.below(1 << 9) {
        windows.add(&healthy.arrive(limits.measure, &mut chance));
        windows.advance();
    }
    let good = chance.below(256);
    let mut mixed = Cell::default();
    healthy.arrive_for(good, &mut mixed, limits.measure, &mut chance);
    failing.arrive_for(256 - good, &mut mixed, limits.measure, &mut chance);
    windows.add(&mixed);
    for look in 1..=PATIENCE {
        if matches!(judge(&windows, WINDOW, &[limits], Evidence::ENOUGH), Verdict::Breached(_)) {
            return Some((look * 256 - good) * UNIT as u32 / 256);
        }
        windows.advance();
        windows.add(&failing.arrive(limits.measure, &mut chance));
    }
    None
}

// === clients that break ===

/// Each client is broken once a day for so long, and fails always meanwhile.
const BROKEN: u32 = 5 * 60_000 / UNIT as u32;

/// Identities that all send as many requests, and whose clients break, one by one.
#[derive(Clone, Copy, Debug)]
pub struct Clients {
    /// So many, both arms together.
    pub identities: u32,
    /// What they send together.
    pub traffic: Traffic,
    /// What fails of all others' requests, in percent.
    pub background: u32,
}

/// One arm of them, by groups.
struct Crowd {
    exposed: bool,
    /// Of so many clients: what arrives and is good, what fails by chance, and what they send together.
    arrivals: Vec<[Arrivals; 3]>,
    /// By group: the clients that are well, and those that are broken.
    groups: [[usize; 2]; GROUPS],
    /// When a client breaks, the last one first, and its group.
    breaks: Vec<(u32, usize)>,
    /// When one is mended, the first one first.
    mends: VecDeque<(u32, usize)>,
}

impl Crowd {
    fn new(exposed: bool, identities: u32, each: f64, background: u32, chance: &mut Chance) -> Self {
        let mut groups = [[0, 0]; GROUPS];
        let mut breaks: Vec<_> = (0..identities)
            .map(|_| {
                let group = chance.below(GROUPS as u32) as usize;
                groups[group][0] += 1;
                (chance.below(DAY), group)
            })
            .collect();
        breaks.sort_unstable_by(|one, other| other.cmp(one));
        let most = groups.iter().map(|[well, _]| *well).max().unwrap_or_default();
        let bad = f64::from(background) / 100.0;
        let arrivals = |clients: usize| {
            let requests = clients as f64 * each * UNIT as f64 / 1_000.0;
            [1.0 - bad, bad, 1.0].map(|share| Arrivals::new(requests * share))
        };
        Self { exposed, arrivals: (0..=most).map(arrivals).collect(), groups, breaks, mends: VecDeque::new() }
    }

    /// Adds what comes in until this look.
    fn arrive(&mut self, look: u32, cell: &mut Cell, chance: &mut Chance) {
        while let Some((_, group)) = self.breaks.pop_if(|(at, _)| *at < look) {
            self.groups[group][0] -= 1;
            self.groups[group][1] += 1;
            self.mends.push_back((look + BROKEN, group));
        }
        while self.mends.front().is_some_and(|(at, _)| *at <= look)
            && let Some((_, group)) = self.mends.pop_front()
        {
            self.groups[group][0] += 1;
            self.groups[group][1] -= 1;
        }
        for (group, [well, broken]) in self.groups.into_iter().enumerate() {
            let [good, bad, _] = &self.arrivals[well];
            let (good, bad) = (good.draw(chance), bad.draw(chance));
            let failed = if broken == 0 { bad } else { bad + self.arrivals[broken][2].draw(chance) };
            add(cell, self.exposed, group as u64, good);
            add_bad(cell, self.exposed, group as u64, failed, Measure::Errors);
        }
    }
}

/// Watches a healthy version whose clients break, each once a day, and says at which look, if at all, it was rolled back.
pub fn watch_clients(clients: Clients, limits: Limits, day: u32, looks: u32) -> Option<u32> {
    let Clients { identities, traffic, background } = clients;
    let words = [identities, traffic.requests, traffic.canary, background, day];
    let mut chance = Chance::of(&words.map(u64::from));
    let each = f64::from(traffic.requests) / f64::from(identities);
    let exposed = identities * traffic.canary / 100;
    let mut crowds = [(true, exposed), (false, identities - exposed)]
        .map(|(exposed, identities)| Crowd::new(exposed, identities, each, background, &mut chance));
    let mut windows = Windows::default();
    for look in 1..=looks {
        let mut cell = Cell::default();
        for crowd in &mut crowds {
            crowd.arrive(look, &mut cell, &mut chance);
        }
        windows.add(&cell);
        if matches!(judge(&windows, WINDOW, &[limits], Evidence::ENOUGH), Verdict::Breached(_)) {
            return Some(look);
        }
        windows.advance();
    }
    None
}

// === many of them ===

/// Runs all on every core, and returns what they gave, in order; says after each how many are done.
pub fn all<T: Send>(runs: u32, run: impl Fn(u32) -> T + Sync, done: impl Fn(u32) + Sync) -> Vec<T> {
    let (next, finished) = (AtomicU32::new(0), AtomicU32::new(0));
    let work = || {
        let mut given = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= runs {
                return given;
            }
            given.push((number, run(number)));
            done(finished.fetch_add(1, Ordering::Relaxed) + 1);
        }
    };
    let mut given: Vec<(u32, T)> = thread::scope(|scope| {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    given.sort_by_key(|(number, _)| *number);
    given.into_iter().map(|(_, given)| given).collect()
}

/// How long many runs took, the shortest first; what never came to an end is last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Times(Vec<Option<u32>>);

impl Times {
    /// Puts them in order.
    pub fn new(mut times: Vec<Option<u32>>) -> Self {
        times.sort_by_key(|time| time.unwrap_or(u32::MAX));
        Self(times)
    }

    /// The time, in milliseconds, that so many percent of the runs did not exceed.
    pub fn percentile(&self, percent: usize) -> Option<u32> {
        self.0[(self.0.len() * percent).div_ceil(100).max(1) - 1]
    }
}
