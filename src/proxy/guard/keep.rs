//! What one worker keeps of its guards while configs come and go: its number among those that share limits, what it has
//! counted and not told yet, and the limiters of limited variants with their requests in flight.
//!
//! All is kept by name: counts by the flag's generation, limiters by flag and variant. The workers of all configs that
//! know a name share one entry; an entry that no worker holds any more is dropped. Never decides anything.

use core::ops::Range;

use super::ledger;
use super::limiter::{Demands, Limiter};
use super::store::{Store, TRIES, change};
use super::tally::{self, Tally};
use super::window::Cell;
use crate::host::share::{Rc, RefCell};
use tidegate_engine::config::TrafficLimit;
use tidegate_engine::plan::{VariantId, Watch};
use tidegate_engine::value::time::Timestamp;

/// What one worker keeps of one filter.
#[derive(Debug, Default)]
pub struct Keep {
    /// Its number among those that share limits; none before its first tick. A worker in which a host only tries a
    /// config has no tick, so that it never takes an allotment.
    number: Option<u32>,
    counts: Shelf<Counted>,
    limiters: Shelf<Limiter>,
}

/// What was counted for a generation of a flag, and what was seen of its variants.
#[derive(Debug)]
pub(super) struct Counted {
    /// What was counted since the last tick.
    pub(super) tally: Tally,
    /// What was counted before, and is not shared yet.
    pub(super) waiting: Tally,
    /// By comparison: what the metrics have not been told of.
    pub(super) untold: Vec<Cell>,
    /// The variants whose upstream could not be reached, and the time in which no request is sent there.
    pub(super) away: Vec<(VariantId, Range<Timestamp>)>,
    pub(super) throttled: u32,
    pub(super) rescued: u32,
    pub(super) delayed: u32,
}

impl Counted {
    /// Takes in what was counted since this was called last, for the metrics and for the other workers: each once, also if
    /// a swap is lost, and whichever config's worker calls.
    pub(super) fn collect(&mut self) {
        if !self.tally.is_empty() {
            let fresh = self.tally.take();
            tally::add(&mut self.untold, &fresh.cells);
            self.waiting.merge(&fresh);
        }
    }
}

/// Something that may be held by the workers of several configs.
pub(super) type Held<T> = Rc<RefCell<T>>;

impl Keep {
    /// What is counted for a generation.
    pub(super) fn counted(&mut self, watch: &Watch) -> Held<Counted> {
        self.counts.hold(&watch.key, || Counted {
            tally: Tally::new(watch),
            waiting: Tally::new(watch),
            untold: vec![Cell::default(); watch.comparisons.len()],
            away: Vec::new(),
            throttled: 0,
            rescued: 0,
            delayed: 0,
        })
    }

    /// The limiter of a variant, which has this limit from now on.
    pub(super) fn limiter(&mut self, flag: &str, variant: &str, limit: TrafficLimit, now: Timestamp) -> Held<Limiter> {
        let limiter = self.limiters.hold(&format!("limit/{flag}/{variant}"), || Limiter::new(limit, now));
        if let Ok(mut limiter) = limiter.try_borrow_mut() {
            limiter.set_limit(limit);
        }
        limiter
    }

    /// Gives up what no config needs any more, tells the others what this worker asks for of each limit, and takes its
    /// allotment of it.
    pub fn tick(&mut self, now: Timestamp, store: &mut dyn Store) {
        // Of a generation that is given up what has to hold should the flag ever be the same again is left: its
        // standing. A worker that still has its config goes on with that, and does the same when it is done.
        self.counts.give_up(&mut |key| {
            change(store, key, 1, &mut |bytes| ledger::without_counts(bytes));
        });
        // What was asked for at a limiter that is given up counts for two seconds more.
        self.limiters.give_up(&mut |_| {});
        if self.number.is_none() && !self.limiters.0.is_empty() {
            self.number = enlist(store);
        }
        let Some(number) = self.number else { return };
        for (key, limiter) in &self.limiters.0 {
            let Ok(mut limiter) = limiter.try_borrow_mut() else { continue };
            limiter.advance();
            let mut allotment = None;
            let told = change(store, key, TRIES, &mut |bytes| {
                let mut demands = Demands::from_bytes(&bytes);
                allotment = Some(limiter.allot(number, &mut demands, now));
                Some(demands.to_bytes())
            });
            if let Some(allotment) = allotment.filter(|_| told) {
                limiter.take(allotment);
            }
        }
    }
}

/// Things by name, in the order of the names.
#[derive(Debug)]
struct Shelf<T>(Vec<(Box<str>, Held<T>)>);

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Shelf<T> {
    /// What has this name; it is made where nothing has.
    fn hold(&mut self, name: &str, new: impl FnOnce() -> T) -> Held<T> {
        match self.0.binary_search_by(|(known, _)| (**known).cmp(name)) {
            Ok(place) if let Some((_, held)) = self.0.get(place) => Rc::clone(held),
            Ok(place) | Err(place) => {
                let held = Rc::new(RefCell::new(new()));
                self.0.insert(place, (name.into(), Rc::clone(&held)));
                held
            }
        }
    }

    /// Removes what no worker holds any more. Returns its name.
    fn give_up(&mut self, gone: &mut dyn FnMut(&str)) {
        let mut place = 0;
        while let Some((name, held)) = self.0.get(place) {
            if Rc::strong_count(held) > 1 {
                place = place.saturating_add(1);
            } else {
                gone(name);
                self.0.remove(place);
            }
        }
    }
}

/// A number for a worker that no other has.
fn enlist(store: &mut dyn Store) -> Option<u32> {
    let mut number = 0_u32;
    let enlisted = change(store, "workers", 100, &mut |bytes| {
        number = bytes.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes)).wrapping_add(1);
        Some(number.to_le_bytes().to_vec())
    });
    enlisted.then_some(number)
}
