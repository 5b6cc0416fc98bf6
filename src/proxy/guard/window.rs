//! Keeps what was counted, over ten lengths of time at once: a crash shows in the short ones, a slow leak in the
//! long ones.
//!
//! Time goes by in units of a quarter of a second. The windows of level `j` have slots of `2^j` units, four full
//! ones and one that fills: 1 s to 10 min. Never reads a clock: the caller says when a unit is over.

use super::evidence::Ratio;
use super::sample::{GROUPS, Sample, unevenness};

/// The length of a unit in milliseconds.
pub const UNIT: i64 = 250;

pub const LEVELS: usize = 10;

/// The full slots of a level.
const SLOTS: usize = 4;

/// Counts of the requests of one group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    pub requests: u32,
    pub failed: u32,
    /// Those that were slower than the limit.
    pub slow: u32,
}

impl Count {
    const fn each(&mut self) -> [&mut u32; 3] {
        [&mut self.requests, &mut self.failed, &mut self.slow]
    }

    fn is_empty(&self) -> bool {
        self.requests == 0
    }
}

/// What is compared: errors, or slow answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    Errors,
    /// Requests that were slower than the limit.
    Latency,
}

impl Measure {
    /// Our word for it. Stable: seen in events.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Errors => "errors",
            Self::Latency => "latency",
        }
    }

    const fn of(self, count: &Count) -> u32 {
        match self {
            Self::Errors => count.failed,
            Self::Latency => count.slow,
        }
    }
}

/// One side of a comparison, by groups of identities.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Arm(pub(super) [Count; GROUPS]);

impl Arm {
    /// The arm of these counts, group by group.
    #[must_use]
    pub fn of(groups: [Count; GROUPS]) -> Self {
        Self(groups)
    }

    /// Its counts, group by group.
    #[must_use]
    pub fn counts(&self) -> [Count; GROUPS] {
        self.0
    }

    /// How many of its requests did badly.
    #[must_use]
    pub fn ratio(&self, measure: Measure) -> Ratio {
        let all = self.sum();
        Ratio { of: all.requests, count: measure.of(&all) }
    }

    /// What its groups show of that.
    #[must_use]
    pub fn sample(&self, measure: Measure, there: usize) -> Sample {
        Sample::new(self.0.map(|group| Ratio { of: group.requests, count: measure.of(&group) }), there)
    }

    /// How unevenly its groups have part in that, in 1024ths: Pearson's chi-square by its degrees of freedom, some 1 by
    /// chance; none without a bad request.
    #[must_use]
    pub fn unevenness(&self, measure: Measure) -> Option<u64> {
        unevenness(&self.0.map(|group| Ratio { of: group.requests, count: measure.of(&group) }))
    }

    /// How many of its groups have clients.
    #[must_use]
    pub fn groups(&self) -> usize {
        self.0.iter().filter(|group| !group.is_empty()).count()
    }

    /// Its groups, in order.
    #[must_use]
    pub fn each(&self) -> &[Count; GROUPS] {
        &self.0
    }

    #[must_use]
    pub fn requests(&self) -> u32 {
        self.0.iter().map(|group| group.requests).fold(0, u32::saturating_add)
    }

    /// The counts of all groups together.
    #[must_use]
    pub fn sum(&self) -> Count {
        self.0.iter().fold(Count::default(), |sum, group| Count {
            requests: sum.requests.saturating_add(group.requests),
            failed: sum.failed.saturating_add(group.failed),
            slow: sum.slow.saturating_add(group.slow),
        })
    }
}

/// The two sides of a comparison over some length of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    /// Identities that a draw exposed to the variant.
    pub variant: Arm,
    /// Identities that the same draw left at the baseline.
    pub baseline: Arm,
}

impl Cell {
    /// The group of a hash, in one of the arms.
    pub fn group(&mut self, exposed: bool, hash: u64) -> Option<&mut Count> {
        let group = usize::try_from(hash & 15).ok()?;
        if exposed { self.variant.0.get_mut(group) } else { self.baseline.0.get_mut(group) }
    }

    pub(super) fn counts(&mut self) -> impl Iterator<Item = &mut u32> {
        self.variant.0.iter_mut().chain(self.baseline.0.iter_mut()).flat_map(Count::each)
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.variant.0.iter().chain(&self.baseline.0).all(Count::is_empty)
    }

    // Plain loops, and no branch for a group without requests: twice as fast.
    fn change(&mut self, other: &Self, change: impl Fn(u32, u32) -> u32) {
        for (arm, other) in [(&mut self.variant, &other.variant), (&mut self.baseline, &other.baseline)] {
            for (group, other) in arm.0.iter_mut().zip(&other.0) {
                group.requests = change(group.requests, other.requests);
                group.failed = change(group.failed, other.failed);
                group.slow = change(group.slow, other.slow);
            }
        }
    }

    pub fn add(&mut self, other: &Self) {
        self.change(other, u32::saturating_add);
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Level {
    full: [Cell; SLOTS],
    filling: Cell,
    sum: Cell,
}

impl Level {
    fn close(&mut self, oldest: usize) {
        if let Some(oldest) = self.full.get_mut(oldest) {
            self.sum.change(oldest, u32::saturating_sub);
            *oldest = core::mem::take(&mut self.filling);
        }
    }
}

/// What was counted for one comparison, over all lengths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Windows {
    units: u32,
    levels: [Level; LEVELS],
}

impl Windows {
    /// Windows without counts, whose slots end with those of others that have been there for so many units.
    #[must_use]
    pub fn at(units: u64) -> Self {
        // A slot of the longest windows has 512 units, and a level four slots.
        Self { units: u32::try_from(units & 0xffff).unwrap_or_default(), ..Self::default() }
    }

    /// The counts of all lengths, the shortest first.
    pub fn levels(&self) -> impl Iterator<Item = &Cell> {
        self.levels.iter().map(|level| &level.sum)
    }

    /// Adds what was counted in the unit that runs.
    pub fn add(&mut self, counted: &Cell) {
        if !counted.is_empty() {
            for level in &mut self.levels {
                level.filling.add(counted);
                level.sum.add(counted);
            }
        }
    }

    /// A unit is over.
    pub fn advance(&mut self) {
        self.units = self.units.wrapping_add(1);
        for (power, level) in (0..).zip(&mut self.levels) {
            let slots = self.units >> power;
            if slots << power == self.units {
                level.close(usize::try_from(slots & 3).unwrap_or_default());
            }
        }
    }

    /// The counts of each length up to this many seconds, the shortest first, with the length in seconds.
    pub fn up_to(&self, seconds: u64) -> impl Iterator<Item = (u64, &Cell)> + Clone {
        let lengths = (0..).map(|power| 1_u64 << power);
        lengths
            .zip(&self.levels)
            .take_while(move |(length, _)| *length <= seconds.max(1))
            .map(|(length, level)| (length, &level.sum))
    }

    /// The numbers that have to be kept, in a fixed order; the sums follow from them.
    pub(super) fn numbers(&mut self) -> impl Iterator<Item = &mut u32> {
        let cells = self.levels.iter_mut().flat_map(|level| level.full.iter_mut().chain([&mut level.filling]));
        [&mut self.units].into_iter().chain(cells.flat_map(Cell::counts))
    }

    /// Works the sums out again, after the parts were written.
    pub(super) fn sum_up(&mut self) {
        for level in &mut self.levels {
            level.sum = level.filling;
            for cell in &level.full {
                level.sum.add(cell);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(failed: u32) -> Cell {
        let mut cell = Cell::default();
        *cell.group(true, 3).unwrap() = Count { requests: 1, failed, slow: 0 };
        cell
    }

    #[test]
    fn a_count_is_seen_at_once_and_leaves_each_level_after_its_time() {
        let mut windows = Windows::default();
        windows.add(&one(1));
        let seen = |windows: &Windows| windows.up_to(600).filter(|(_, cell)| cell.variant.requests() == 1).count();
        assert_eq!(seen(&windows), LEVELS);
        for unit in 1..=5_u32 << 9 {
            windows.advance();
            // A slot of level j is full for four of its lengths; how long it fills depends on where it began.
            let due = (0..LEVELS).filter(|level| unit < 5 << level).count();
            assert_eq!(seen(&windows), due, "after {unit} units");
        }
        assert_eq!(seen(&windows), 0);
    }

    #[test]
    fn sums_are_those_of_the_slots() {
        let mut windows = Windows::default();
        for unit in 0..3_000 {
            windows.add(&one(u32::from(unit % 3 == 0)));
            windows.advance();
        }
        let mut again = windows.clone();
        again.sum_up();
        assert_eq!(windows, again);
    }

    #[test]
    fn a_window_bounds_the_levels() {
        let windows = Windows::default();
        let lengths = |seconds| windows.up_to(seconds).map(|(length, _)| length).collect::<Vec<_>>();
        assert_eq!(lengths(600), [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]);
        assert_eq!(lengths(30), [1, 2, 4, 8, 16]);
        assert_eq!(lengths(0), [1]);
    }
}
