//! One worker's part in the guards: it counts outcomes, shares the counts on the tick, and applies the shared decision.
//!
//! Nothing on the request path waits for another worker. Workers share through a [`Store`], by compare and swap; one
//! that loses a swap three times keeps its counts until the next tick. What outlives a config is held in a [`Keep`], so
//! a push loses no counts and no requests in flight. Never reads a clock.

use super::event::{Event, FlagEvent};
use super::keep::{Counted, Held, Keep};
use super::ledger::{self, Ledger};
use super::limiter::Limiter;
use super::store::{Store, TRIES, change};
use super::tally::Tally;
use super::window::Cell;
use crate::host::share::RefMut;
use crate::outcome::{Answer, Bins, Outcome};
use tidegate_engine::config::Failures;
use tidegate_engine::decide::standing::{Draws, FlagStanding, Phase, Standing};
use tidegate_engine::decide::{Decision, Decisions, Reason};
use tidegate_engine::plan::{Flag, Plan, VariantId, Watch};
use tidegate_engine::value::time::{Span, Timestamp};

/// How many events are kept: enough for what has befallen a flag to be found there for long.
const EVENTS: usize = 64;

#[derive(Debug, Default)]
pub struct Worker {
    standing: Standing,
    flags: Vec<Watched>,
}

/// What a worker needs for one watched flag.
#[derive(Debug)]
struct Watched {
    counted: Held<Counted>,
    limiters: Vec<(VariantId, Held<Limiter>)>,
    /// For how long no request is sent to a variant that could not be reached.
    rescued_for: Option<Span>,
    /// By comparison, for the page: the times of this worker's answers to requests that a draw exposed. Empty where there
    /// is no page.
    times: Vec<Bins>,
}

/// Counts of a watched flag for the metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Requests that got the baseline because the variant was full, since the last report.
    pub throttled: u32,
    /// Requests that got the baseline because the variant could not be reached, since the last report.
    pub rescued: u32,
    /// How often counts could not be shared and had to wait for the next tick, since the last report.
    pub delayed: u32,
}

/// What a watched flag needs to know about a request when it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    watch: u16,
    served: VariantId,
    draws: Draws,
}

impl Worker {
    /// Starts a worker. What the guards have decided applies from the first request on, and what this worker keeps goes
    /// on where it was.
    pub fn new(plan: &Plan, now: Timestamp, store: &mut dyn Store, keep: &mut Keep) -> Self {
        let mut worker = Self::default();
        let mut flags = Vec::new();
        for watch in plan.watches() {
            let limiter = |(variant, limit): &(VariantId, _)| {
                let flag = plan.flag_of(watch)?;
                let name = flag.variant(*variant)?.name();
                Some((*variant, keep.limiter(flag.key().as_str(), name.as_str(), *limit, now)))
            };
            let limiters = watch.limits.iter().filter_map(limiter).collect();
            worker.flags.push(Watched {
                counted: keep.counted(watch),
                limiters,
                rescued_for: watch.rescue,
                times: Vec::new(),
            });
            let known = store.read(&watch.key).0.and_then(|bytes| ledger::standing(&bytes));
            flags.push(known.unwrap_or_else(|| fresh(watch)));
        }
        worker.standing = Standing::new(flags);
        worker
    }

    /// The standing for a request that comes now.
    #[inline]
    pub fn standing(&mut self, now: Timestamp) -> &Standing {
        for (watched, standing) in self.flags.iter_mut().zip(self.standing.flags_mut()) {
            let bit = |variant: VariantId| 1_u64.checked_shl(u32::from(variant.0)).unwrap_or(0);
            (standing.full, standing.away) = (0, 0);
            for (variant, limiter) in &watched.limiters {
                let open = limiter.try_borrow_mut().is_ok_and(|mut limiter| limiter.is_open(now));
                standing.full |= if open { 0 } else { bit(*variant) };
            }
            let Ok(mut counted) = watched.counted.try_borrow_mut() else { continue };
            // A clock that jumps, back or forward, ends it: to try is the lesser evil.
            counted.away.retain(|(_, time)| time.contains(&now));
            for (variant, _) in &counted.away {
                standing.away |= bit(*variant);
            }
        }
        &self.standing
    }

    /// The standing for the last request.
    #[must_use]
    pub fn stands(&self) -> &Standing {
        &self.standing
    }

    /// Takes note of what was decided; what is returned has to come back when the request is done.
    #[inline]
    pub fn served(&mut self, decisions: &Decisions<'_>) -> Vec<Entry> {
        if self.flags.is_empty() {
            Vec::new()
        } else {
            decisions.list().iter().filter_map(|one| self.entry(one)).collect()
        }
    }

    #[inline]
    fn entry(&mut self, decision: &Decision<'_>) -> Option<Entry> {
        let watch = decision.flag().watch?;
        let watched = self.flags.get_mut(usize::from(watch))?;
        let wanted = decision.wanted();
        if let Some(mut limiter) = watched.limiter(wanted) {
            limiter.wants(decision.served() == wanted);
        }
        if let Ok(mut counted) = watched.counted.try_borrow_mut() {
            match decision.reason() {
                Reason::Throttled => counted.throttled = counted.throttled.saturating_add(1),
                Reason::Rescued => counted.rescued = counted.rescued.saturating_add(1),
                _ => {}
            }
        }
        // If the outcome cannot change anything, there is no need to remember the request.
        let counts = decision.draws().is_judged() || !watched.limiters.is_empty() || watched.rescued_for.is_some();
        counts.then(|| Entry { watch, served: decision.served(), draws: decision.draws() })
    }

    /// Counts what became of a request.
    #[inline]
    pub fn done(&mut self, plan: &Plan, entries: &[Entry], now: Timestamp, answer: &Answer) {
        for entry in entries {
            let place = usize::from(entry.watch);
            let (Some(watch), Some(watched)) = (plan.watches().get(place), self.flags.get_mut(place)) else { continue };
            if let Some(mut limiter) = watched.limiter(entry.served) {
                limiter.done();
            }
            let usual = Failures::default();
            let failures = watch.guard.as_ref().map_or(&usual, |guard| &guard.failures);
            let FlagStanding { slow, patience, .. } = *self.standing.of(Some(entry.watch));
            let Some(outcome) = Outcome::new(answer, failures, patience) else { continue };
            let Ok(mut counted) = watched.counted.try_borrow_mut() else { continue };
            if let Some(rescue) = watched.rescued_for
                && outcome.unreached
                && entry.served != watch.baseline
            {
                let until = now.millis().saturating_add_unsigned(rescue.millis());
                counted.away.retain(|(variant, _)| *variant != entry.served);
                counted.away.push((entry.served, now..Timestamp::from_millis(until)));
            }
            let arm = counted.tally.count(watch, entry.served, &entry.draws, outcome, slow);
            if let (Some(arm), Some(micros)) = (arm, outcome.micros)
                && let Some(times) = watched.times.get_mut(arm)
            {
                times.add(micros);
            }
        }
    }

    /// For the page: within how many microseconds this worker answered a half, and 99 of 100, of the last requests that
    /// a draw exposed, in a comparison of a watched flag.
    pub(crate) fn times(&self, watch: u16, comparison: usize) -> Option<[u32; 2]> {
        self.flags.get(usize::from(watch))?.times.get(comparison)?.percentiles()
    }

    /// Lets times count less that are older: called every ten seconds, it leaves a fifth of them after a minute. Before it
    /// is called the first time, none are kept.
    pub(crate) fn fade(&mut self, plan: &Plan) {
        for (watched, watch) in self.flags.iter_mut().zip(plan.watches()) {
            while watched.times.len() < watch.comparisons.len() {
                watched.times.push(Bins::default());
            }
            for times in &mut watched.times {
                times.numbers().for_each(|count| *count = count.saturating_sub(count.wrapping_add(3) >> 2));
            }
        }
    }

    /// Takes the counts of each watched flag, and starts again at 0.
    pub fn take_reports(&mut self) -> impl Iterator<Item = Report> {
        self.flags.iter().map(|watched| {
            let Ok(mut counted) = watched.counted.try_borrow_mut() else { return Report::default() };
            let Counted { throttled, rescued, delayed, .. } = &mut *counted;
            let [throttled, rescued, delayed] = [throttled, rescued, delayed].map(core::mem::take);
            Report { throttled, rescued, delayed }
        })
    }

    /// Takes what guards have compared since this was called last: of each watched flag, by comparison.
    pub fn take_compared(&mut self, mut tell: impl FnMut(usize, usize, &Cell)) {
        for (watch, watched) in self.flags.iter().enumerate() {
            let Ok(mut counted) = watched.counted.try_borrow_mut() else { continue };
            counted.collect();
            for (comparison, cell) in counted.untold.iter_mut().enumerate().filter(|(_, cell)| !cell.is_empty()) {
                tell(watch, comparison, &core::mem::take(cell));
            }
        }
    }

    /// The phase of each watched flag.
    pub fn phases(&mut self) -> impl Iterator<Item = Phase> {
        self.standing.flags_mut().iter().map(|standing| standing.phase)
    }

    /// Whether there are counts that are not shared yet.
    #[must_use]
    pub fn has_unreported(&self) -> bool {
        self.flags.iter().any(|watched| {
            watched.counted.try_borrow().is_ok_and(|counted| !(counted.tally.is_empty() && counted.waiting.is_empty()))
        })
    }

    /// Shares the counts, takes over the current standing, and judges if a unit is over. Returns the events.
    pub fn tick(&mut self, plan: &Plan, now: Timestamp, store: &mut dyn Store) -> Vec<FlagEvent> {
        let mut events = Vec::new();
        let standing = self.flags.iter_mut().zip(self.standing.flags_mut());
        for (place, (watch, (watched, standing))) in plan.watches().iter().zip(standing).enumerate() {
            let Some(flag) = plan.flag_of(watch) else { continue };
            if watch.guard.is_some() {
                let Ok(mut counted) = watched.counted.try_borrow_mut() else { continue };
                for event in counted.share(watch, flag, standing, now, store) {
                    events.push(FlagEvent { watch: place, flag: flag.key().as_str().to_owned(), event });
                }
            }
        }
        if !events.is_empty() {
            keep(&events, now, store);
        }
        events
    }
}

impl Watched {
    #[inline]
    fn limiter(&self, variant: VariantId) -> Option<RefMut<'_, Limiter>> {
        let (_, limiter) = self.limiters.iter().find(|(limited, _)| *limited == variant)?;
        limiter.try_borrow_mut().ok()
    }
}

impl Counted {
    fn share(
        &mut self,
        watch: &Watch,
        flag: &Flag,
        standing: &mut FlagStanding,
        now: Timestamp,
        store: &mut dyn Store,
    ) -> Vec<Event> {
        self.collect();
        for _ in 0..TRIES {
            let (bytes, version) = store.read(&watch.key);
            let bytes = bytes.unwrap_or_default();
            if let Some(known) = ledger::standing(&bytes) {
                // It applies even if the counts cannot be shared now.
                *standing = known;
                if self.waiting.is_empty() && !ledger::is_due(&bytes, now) {
                    return Vec::new();
                }
            }
            let known = Ledger::from_bytes(&bytes, watch, flag);
            let mut ledger = known.unwrap_or_else(|| Ledger::new(watch, flag, now));
            ledger.add(watch, &self.waiting);
            let events = ledger.advance(watch, flag, now);
            if store.swap(&watch.key, &ledger.to_bytes(), version) {
                self.waiting = Tally::new(watch);
                *standing = ledger.standing();
                return events;
            }
        }
        self.delayed = self.delayed.saturating_add(1);
        Vec::new()
    }
}

/// Adds lines to the shared list of recent events.
fn keep(events: &[FlagEvent], now: Timestamp, store: &mut dyn Store) {
    change(store, "events", TRIES, &mut |bytes| {
        let mut lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
        let new: Vec<String> = events.iter().map(|one| format!("at={} {one}", now.millis())).collect();
        lines.extend(new.iter().map(String::as_bytes));
        let surplus = lines.len().saturating_sub(EVENTS);
        Some(lines.get(surplus..).unwrap_or_default().join(&b'\n'))
    });
}

/// The standing of a flag that has no ledger yet.
fn fresh(watch: &Watch) -> FlagStanding {
    FlagStanding { slow: watch.slow().unwrap_or(u32::MAX), patience: watch.patience(), ..FlagStanding::default() }
}
