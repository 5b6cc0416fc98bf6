//! What one worker has counted for a flag since it last shared its counts.

use super::window::Cell;
use crate::outcome::{Bins, Outcome};
use tidegate_engine::decide::standing::Draws;
use tidegate_engine::plan::{VariantId, Watch};

/// Counts that are not shared yet.
#[derive(Clone, Debug)]
pub struct Tally {
    pub(super) cells: Vec<Cell>,
    pub(super) times: Bins,
    empty: bool,
}

impl Tally {
    pub(super) fn new(watch: &Watch) -> Self {
        Self { cells: vec![Cell::default(); watch.comparisons.len()], times: Bins::default(), empty: true }
    }

    /// Adds what another one has counted.
    pub(super) fn merge(&mut self, other: &Self) {
        add(&mut self.cells, &other.cells);
        self.times.merge(&other.times);
        self.empty &= other.empty;
    }

    /// Takes the counts, and starts again at 0.
    pub(super) fn take(&mut self) -> Self {
        let fresh = Self { cells: vec![Cell::default(); self.cells.len()], times: Bins::default(), empty: true };
        core::mem::replace(self, fresh)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.empty
    }

    /// Counts a request that was served this variant. Only draws are judged: what a draw exposed, against what the
    /// same draw left at the baseline; and where a guard says so, only those for verified identities. Returns the place
    /// of the comparison for which it was exposed.
    #[inline]
    pub(super) fn count(
        &mut self,
        watch: &Watch,
        served: VariantId,
        draws: &Draws,
        outcome: Outcome,
        slow: u32,
    ) -> Option<usize> {
        if watch.verified() && !draws.verified {
            return None;
        }
        let (mut left, mut arm) = (false, None);
        for (place, (cell, (rule, variant))) in self.cells.iter_mut().zip(&watch.comparisons).enumerate() {
            let (taken, missed) = (draws.taken == Some(*rule), draws.missed >> *rule & 1 == 1);
            let exposed = taken && served == *variant;
            if !exposed && !(served == watch.baseline && (taken || missed)) {
                continue;
            }
            if let Some(count) = cell.group(exposed, draws.hash) {
                count.requests = count.requests.saturating_add(1);
                count.failed = count.failed.saturating_add(u32::from(outcome.failed));
                let is_slow = outcome.hung || outcome.micros.is_some_and(|micros| micros > slow);
                count.slow = count.slow.saturating_add(u32::from(is_slow));
                self.empty = false;
            }
            left |= !exposed;
            arm = arm.or(exposed.then_some(place));
        }
        if left && let Some(micros) = outcome.micros {
            self.times.add(micros);
        }
        arm
    }
}

/// Adds counts, comparison by comparison.
pub(super) fn add(cells: &mut [Cell], more: &[Cell]) {
    for (cell, more) in cells.iter_mut().zip(more) {
        cell.add(more);
    }
}
