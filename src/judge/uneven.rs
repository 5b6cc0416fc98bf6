//! Turns the counts of those proxies that count by groups of identities into how unevenly failures fall on clients.
//!
//! A client that is broken fails again and again, so failures are fewer signs than they are failures, by the factor
//! phi: the chi-square of the groups by its degrees of freedom. One look at sixteen groups says little, so that each
//! length of time has the mean of the slots that are over; only what is plainly more than chance counts at once. Of
//! proxies that are one in eight, each client has an eighth of its requests there: what is above 1 counts eightfold.
//! Never looks at which version is better.

use tidegate_proxy::guard::window::{Cell, LEVELS, Measure, Windows};

/// One, in 1024ths.
const ONE: u64 = 1_024;

/// So many slots of a length have to be over before their mean is believed.
const SLOTS: u64 = 16;

/// A mean goes back over so many slots.
const MEMORY: u64 = 256;

/// What chance alone exceeds on one look in two hundred: the chi-square of 15 degrees of freedom by 15. Counted eightfold,
/// what it exceeds more often would hide many a bad version for as long as its window lasts.
const CHANCE: u64 = 2_239;

/// The most that is believed: beyond it no evidence is left.
const MOST: u64 = ONE << 20;

const MEASURES: [Measure; 2] = [Measure::Errors, Measure::Latency];

#[derive(Clone, Copy, Debug, Default)]
struct Mean {
    sum: u64,
    count: u64,
}

impl Mean {
    fn add(&mut self, value: u64) {
        if self.count >= MEMORY {
            self.sum -= self.sum / self.count;
            self.count -= 1;
        }
        self.sum += value.min(MOST);
        self.count += 1;
    }

    fn value(self) -> Option<u64> {
        (self.count >= SLOTS).then(|| self.sum / self.count)
    }
}

#[derive(Debug, Default)]
struct Length {
    filling: Cell,
    /// By measure.
    means: [Mean; MEASURES.len()],
}

/// How unevenly failures fall on clients, for one comparison.
#[derive(Debug, Default)]
pub struct Uneven {
    units: u64,
    lengths: [Length; LEVELS],
    now: Windows,
}

impl Uneven {
    /// Adds what proxies have counted by groups in the unit that runs.
    pub fn add(&mut self, counted: &Cell) {
        if counted.is_empty() {
            return;
        }
        self.now.add(counted);
        self.lengths.iter_mut().for_each(|length| length.filling.add(counted));
    }

    /// A unit is over.
    pub fn advance(&mut self) {
        self.units += 1;
        self.now.advance();
        for (level, length) in self.lengths.iter_mut().enumerate() {
            // A window has four full slots and one that fills: what counts for it is a mean over as much.
            if !self.units.is_multiple_of(4 << level) {
                continue;
            }
            let over = std::mem::take(&mut length.filling);
            for (mean, measure) in length.means.iter_mut().zip(MEASURES) {
                // Of the two arms, the baseline has nearly all requests. What a variant does is for the guard to say.
                if let Some(uneven) = over.baseline.unevenness(measure) {
                    mean.add(uneven);
                }
            }
        }
    }

    /// Phi for a length and a measure, in 1024ths, where all proxies together have counted so many requests in it.
    #[must_use]
    pub fn phi(&self, level: usize, measure: Measure, all: u64) -> u64 {
        let Some(sample) = self.now.levels().nth(level) else { return ONE };
        let counted = u64::from(sample.variant.requests()) + u64::from(sample.baseline.requests());
        if counted == 0 {
            return ONE;
        }
        let usual = self.usual(level, measure);
        let at_once = self.at_once(level, measure, usual.is_none());
        let uneven = at_once.max(usual.unwrap_or(ONE)).min(MOST);
        // Thousandths of so many requests, so that nothing overflows.
        let times = (all.saturating_mul(1_000) / counted).max(1_000);
        ONE + uneven.saturating_sub(ONE).saturating_mul(times) / 1_000
    }

    /// What shows now, over this length or a longer one: in half the time a client sends half as much. Less than chance
    /// may do is a sign only as long as nothing is known of what is usual.
    fn at_once(&self, level: usize, measure: Measure, is_new: bool) -> u64 {
        let shown = |cell: &Cell| {
            let arms = [&cell.variant, &cell.baseline].into_iter().filter_map(|arm| arm.unevenness(measure));
            arms.filter(|uneven| is_new || *uneven >= CHANCE).max()
        };
        let lengths = self.now.levels().enumerate().skip(level);
        let signs = lengths.filter_map(|(at, cell)| Some(ONE + (shown(cell)?.saturating_sub(ONE) >> (at - level))));
        signs.max().unwrap_or(ONE)
    }

    /// The mean for a length; where too few of its slots are over, that of the longest that has enough: in twice the
    /// time a client sends twice as much. `None` where no length has enough.
    fn usual(&self, level: usize, measure: Measure) -> Option<u64> {
        let of = |length: &Length| length.means.iter().zip(MEASURES).find(|(_, of)| *of == measure)?.0.value();
        let mut known = self.lengths.iter().take(level + 1).enumerate().rev();
        let (at, mean) = known.find_map(|(at, length)| Some((at, of(length)?)))?;
        Some(ONE + (mean.saturating_sub(ONE) << (level - at)))
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test stops")]
mod tests {
    use super::*;

    fn counted(failed: impl Fn(u64) -> u32) -> Cell {
        let mut cell = Cell::default();
        for group in 0..16 {
            cell.group(false, group).unwrap().requests = 100;
            cell.group(false, group).unwrap().failed = failed(group);
        }
        cell
    }

    #[test]
    fn one_look_by_chance_is_no_sign_where_it_is_known_what_is_usual() {
        let mut uneven = Uneven::default();
        for _ in 0..4 * SLOTS {
            uneven.add(&counted(|_| 1));
            uneven.advance();
        }
        uneven.add(&counted(|group| u32::from(group % 2 == 0) * 2));
        assert_eq!(uneven.phi(0, Measure::Errors, 16_000), ONE);
    }

    #[test]
    fn one_client_that_fails_is_seen_at_once_and_counts_for_all_proxies() {
        let mut uneven = Uneven::default();
        uneven.add(&counted(|group| if group == 3 { 50 } else { 1 }));
        let alone = uneven.phi(0, Measure::Errors, 1_600);
        assert!(alone > 20 * ONE, "{alone}");
        assert!(uneven.phi(0, Measure::Errors, 12_800).abs_diff(8 * alone) < 10 * ONE);
        assert_eq!(uneven.phi(0, Measure::Latency, 1_600), ONE);
    }

    #[test]
    fn what_is_usual_is_remembered() {
        let mut uneven = Uneven::default();
        for unit in 0..400_u64 {
            uneven.add(&counted(|group| if group == unit / 4 % 16 { 4 } else { 1 }));
            uneven.advance();
        }
        // Of four units, 16 failures in one group and 4 in each other: 28.4 by 15.
        assert_eq!(uneven.usual(0, Measure::Errors), Some(1_963));
        // Of lengths that have not been there sixteen times, the bound is what a longer time makes of a shorter one.
        assert!(uneven.usual(9, Measure::Errors) > uneven.usual(3, Measure::Errors));
    }

    #[test]
    fn silence_is_even() {
        assert_eq!(Uneven::default().phi(9, Measure::Errors, 1_000), ONE);
    }
}
