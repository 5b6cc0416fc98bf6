//! One worker's part in the guards: it counts what it sees, tells the others on the tick, and takes up what was
//! decided together.
//!
//! Nothing on the request path waits for another worker. What is shared goes through a [`Store`], by compare and
//! swap; who loses a swap three times keeps its counts until the next tick. Never reads a clock.

use core::ops::Range;

use super::ledger::{self, Event, Ledger};
use super::tally::Tally;
use super::throttle::{Demands, Gate};
use crate::config::Failures;
use crate::decide::{Decision, Decisions, Reason};
use crate::outcome::{Answer, Outcome};
use crate::plan::{Flag, Plan, VariantId, Watch};
use crate::standing::{Draws, Phase, Stand, Standing};
use crate::time::{Span, Timestamp};

/// How often a lost swap is tried again in one tick.
const TRIES: usize = 3;

/// How many events are kept.
const EVENTS: usize = 32;

/// What all workers of the plugin remember together.
pub trait Store {
    /// What stands under a key, and its version.
    fn read(&mut self, key: &str) -> (Option<Vec<u8>>, Option<u32>);
    /// Writes a value, if it is still of this version, if there is one, or if none was given; whether it was.
    fn write(&mut self, key: &str, value: &[u8], version: Option<u32>) -> bool;

    /// Writes a value, if nobody else has written one since it was read, with this version; whether it was.
    fn swap(&mut self, key: &str, value: &[u8], version: Option<u32>) -> bool {
        // Where nothing stood, what stands there by now has another version than this one.
        self.write(key, value, Some(version.unwrap_or(u32::MAX)))
    }
}

/// One worker, under one plan.
#[derive(Debug, Default)]
pub struct Worker {
    id: u32,
    standing: Standing,
    flags: Vec<Watched>,
}

/// What a worker keeps for one watched flag.
#[derive(Debug)]
struct Watched {
    tally: Tally,
    gates: Vec<(VariantId, Gate)>,
    /// The variants whose upstream could not be reached, and from when until when nobody is sent there.
    away: Vec<(VariantId, Range<Timestamp>)>,
    /// For how long nobody is sent to a variant that could not be reached.
    rescued_for: Option<Span>,
    throttled: u32,
    rescued: u32,
    untold: u32,
}

/// What there is to tell of a watched flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// What its guard lets happen.
    pub phase: Phase,
    /// Requests that a full variant left to the baseline, since the last report.
    pub throttled: u32,
    /// Requests that a variant that cannot be reached left to the baseline, since the last report.
    pub rescued: u32,
    /// How often counts could not be told to the other workers, and waited, since the last report.
    pub untold: u32,
}

/// What has to be remembered of a request for a watched flag, until it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    watch: u16,
    served: VariantId,
    draws: Draws,
}

/// Something that happened to a flag.
#[derive(Clone, Debug)]
pub struct Happened {
    /// The place of the flag among the watched ones.
    pub watch: usize,
    /// The flag, by its key.
    pub flag: String,
    /// What happened.
    pub event: Event,
}

impl Worker {
    /// A worker that begins now. What its predecessors have decided holds from the first request on.
    pub fn new(plan: &Plan, now: Timestamp, store: &mut impl Store) -> Self {
        let mut worker = Self::default();
        if plan.watches().is_empty() {
            return worker;
        }
        worker.id = enlist(store);
        let mut stands = Vec::new();
        for watch in plan.watches() {
            let mut gates = Vec::new();
            for (variant, limit) in &watch.limits {
                let mut gate = Gate::new(*limit, now);
                share_out(&mut gate, *variant, watch, worker.id, now, store);
                gates.push((*variant, gate));
            }
            worker.flags.push(Watched {
                tally: Tally::new(watch),
                gates,
                away: Vec::new(),
                rescued_for: watch.rescue,
                throttled: 0,
                rescued: 0,
                untold: 0,
            });
            let known = store.read(&watch.key).0.and_then(|bytes| ledger::stand(&bytes));
            stands.push(known.unwrap_or_else(|| fresh(watch)));
        }
        worker.standing = Standing::new(stands);
        worker
    }

    /// What holds for a request that comes now.
    pub fn standing(&mut self, now: Timestamp) -> &Standing {
        for (watched, stand) in self.flags.iter_mut().zip(self.standing.stands()) {
            let bit = |variant: VariantId| 1_u64.checked_shl(u32::from(variant.0)).unwrap_or(0);
            (stand.full, stand.away) = (0, 0);
            for (variant, gate) in &mut watched.gates {
                stand.full |= if gate.is_open(now) { 0 } else { bit(*variant) };
            }
            // A clock that jumps, back or forward, ends it: to try is the lesser evil.
            watched.away.retain(|(_, time)| time.contains(&now));
            for (variant, _) in &watched.away {
                stand.away |= bit(*variant);
            }
        }
        &self.standing
    }

    /// Takes note of what was decided; what is returned has to come back when the request is done.
    pub fn served(&mut self, decisions: &Decisions<'_>) -> Vec<Entry> {
        if self.flags.is_empty() {
            Vec::new()
        } else {
            decisions.list().iter().filter_map(|one| self.entry(one)).collect()
        }
    }

    fn entry(&mut self, decision: &Decision<'_>) -> Option<Entry> {
        let watch = decision.flag().watch?;
        let watched = self.flags.get_mut(usize::from(watch))?;
        let wanted = decision.wanted();
        if let Some((_, gate)) = watched.gates.iter_mut().find(|(variant, _)| *variant == wanted) {
            gate.wants(decision.served() == wanted);
        }
        match decision.reason() {
            Reason::Throttled => watched.throttled = watched.throttled.saturating_add(1),
            Reason::Rescued => watched.rescued = watched.rescued.saturating_add(1),
            _ => {}
        }
        // Where nothing can follow from the outcome, nobody has to look at it.
        let counts = decision.draws().is_judged() || !watched.gates.is_empty() || watched.rescued_for.is_some();
        counts.then(|| Entry { watch, served: decision.served(), draws: decision.draws() })
    }

    /// Counts what became of a request.
    pub fn done(&mut self, plan: &Plan, entries: &[Entry], now: Timestamp, answer: &Answer) {
        for entry in entries {
            let place = usize::from(entry.watch);
            let (Some(watch), Some(watched)) = (plan.watches().get(place), self.flags.get_mut(place)) else { continue };
            if let Some((_, gate)) = watched.gates.iter_mut().find(|(variant, _)| *variant == entry.served) {
                gate.done();
            }
            let usual = Failures::default();
            let failures = watch.guard.as_ref().map_or(&usual, |guard| &guard.failures);
            let Stand { slow, patience, .. } = self.standing.of(Some(entry.watch));
            let Some(outcome) = Outcome::new(answer, failures, patience) else { continue };
            if let Some(rescue) = watched.rescued_for
                && outcome.unreached
                && entry.served != watch.baseline
            {
                let until = now.millis().saturating_add_unsigned(rescue.millis());
                watched.away.retain(|(variant, _)| *variant != entry.served);
                watched.away.push((entry.served, now..Timestamp::from_millis(until)));
            }
            watched.tally.count(watch, entry.served, &entry.draws, outcome, slow);
        }
    }

    /// What there is to tell of each watched flag; what was told is not told again.
    pub fn report(&mut self) -> impl Iterator<Item = Report> {
        self.flags.iter_mut().zip(self.standing.stands()).map(|(watched, stand)| Report {
            phase: stand.phase,
            throttled: core::mem::take(&mut watched.throttled),
            rescued: core::mem::take(&mut watched.rescued),
            untold: core::mem::take(&mut watched.untold),
        })
    }

    /// Tells the others what was counted, takes up what holds, and judges where that is due. Returns what happened.
    pub fn tick(&mut self, plan: &Plan, now: Timestamp, store: &mut impl Store) -> Vec<Happened> {
        let mut happened = Vec::new();
        let standing = self.flags.iter_mut().zip(self.standing.stands());
        for (place, (watch, (watched, stand))) in plan.watches().iter().zip(standing).enumerate() {
            let Some(flag) = plan.flag_of(watch) else { continue };
            if watch.guard.is_some() {
                for event in watched.tell(watch, flag, stand, now, store) {
                    happened.push(Happened { watch: place, flag: flag.key().as_str().to_owned(), event });
                }
            }
            for (variant, gate) in &mut watched.gates {
                gate.pass();
                share_out(gate, *variant, watch, self.id, now, store);
            }
        }
        if !happened.is_empty() {
            keep(&happened, now, store);
        }
        happened
    }
}

impl Watched {
    fn tell(
        &mut self,
        watch: &Watch,
        flag: &Flag,
        stand: &mut Stand,
        now: Timestamp,
        store: &mut impl Store,
    ) -> Vec<Event> {
        for _ in 0..TRIES {
            let (bytes, version) = store.read(&watch.key);
            let bytes = bytes.unwrap_or_default();
            if let Some(known) = ledger::stand(&bytes) {
                // It holds even if what was counted here cannot be told now.
                *stand = known;
                if self.tally.is_empty() && !ledger::is_due(&bytes, now) {
                    return Vec::new();
                }
            }
            let known = Ledger::from_bytes(&bytes, watch, flag);
            let mut ledger = known.unwrap_or_else(|| Ledger::new(watch, flag, now));
            ledger.add(watch, &self.tally);
            let events = ledger.pass(watch, flag, now);
            if store.swap(&watch.key, &ledger.to_bytes(), version) {
                self.tally = Tally::new(watch);
                *stand = ledger.stand();
                return events;
            }
        }
        self.untold = self.untold.saturating_add(1);
        Vec::new()
    }
}

/// Tells the others what a worker asks for of a limit, and takes its share of it.
fn share_out(gate: &mut Gate, variant: VariantId, watch: &Watch, worker: u32, now: Timestamp, store: &mut impl Store) {
    let key = format!("{}/limit/{}", watch.key, variant.0);
    for _ in 0..TRIES {
        let (bytes, version) = store.read(&key);
        let mut demands = Demands::from_bytes(&bytes.unwrap_or_default());
        let share = gate.share_out(worker, &mut demands, now);
        if store.swap(&key, &demands.to_bytes(), version) {
            gate.take(share);
            return;
        }
    }
}

/// A number for a worker that no other has.
fn enlist(store: &mut impl Store) -> u32 {
    const KEY: &str = "workers";
    for _ in 0..100 {
        let (bytes, version) = store.read(KEY);
        let before = bytes.and_then(|bytes| bytes.first_chunk().copied()).map_or(0, u32::from_le_bytes);
        let id = before.wrapping_add(1);
        if store.swap(KEY, &id.to_le_bytes(), version) {
            return id;
        }
    }
    0
}

/// Adds to the last events, as lines.
fn keep(happened: &[Happened], now: Timestamp, store: &mut impl Store) {
    const KEY: &str = "events";
    for _ in 0..TRIES {
        let (bytes, version) = store.read(KEY);
        let bytes = bytes.unwrap_or_default();
        let mut lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
        let new: Vec<String> = happened.iter().map(|one| format!("at={} {one}", now.millis())).collect();
        lines.extend(new.iter().map(String::as_bytes));
        let surplus = lines.len().saturating_sub(EVENTS);
        let last = lines.get(surplus..).unwrap_or_default().join(&b'\n');
        if store.swap(KEY, &last, version) {
            return;
        }
    }
}

/// What holds for a flag of which nothing is known yet.
fn fresh(watch: &Watch) -> Stand {
    Stand { slow: watch.slow().unwrap_or(u32::MAX), patience: watch.patience(), ..Stand::default() }
}

impl Happened {
    /// Whether the flag was rolled back.
    #[must_use]
    pub fn rolled_back(&self) -> bool {
        matches!(self.event.what, ledger::What::Phase(_, Phase::RolledBack))
    }
}
