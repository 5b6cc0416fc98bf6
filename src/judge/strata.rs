//! Keeps what was counted for one comparison apart where more than the version differs: zones, callers, steps.
//!
//! Pooled, two zones of which one has more failures and more of the new version speak against a version that is like
//! the other: so the baseline of each stratum counts only as far as the stratum has of the variant, and what is
//! compared are two arms with the same mixture. Never judges.

use std::collections::BTreeMap;

use tidegate_proxy::guard::window::{Arm, Cell, Count, LEVELS, Windows};

/// In what proxies are alike whose counts may be added up.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stratum {
    pub zone: String,
    pub workload: String,
    /// The config in force.
    pub fingerprint: u64,
    /// How many steps the rule's ramp has taken, or its share where it has none.
    pub step: u64,
    /// The standing of the flag in those proxies.
    pub phase: u64,
}

/// What was counted for one comparison.
#[derive(Debug, Default)]
pub struct Strata {
    windows: BTreeMap<Stratum, Windows>,
    /// All windows begin together: so many units have passed since.
    units: u64,
}

impl Strata {
    /// Adds what was counted in the unit that runs.
    pub fn add(&mut self, stratum: &Stratum, counted: &Cell) {
        if counted.is_empty() {
            return;
        }
        if let Some(windows) = self.windows.get_mut(stratum) {
            windows.add(counted);
            return;
        }
        // Slots end at the same moment in all strata.
        let mut windows = Windows::at(self.units);
        windows.add(counted);
        self.windows.insert(stratum.clone(), windows);
    }

    /// A unit is over.
    pub fn advance(&mut self) {
        self.units += 1;
        self.windows.values_mut().for_each(Windows::advance);
        if self.units.is_multiple_of(64) {
            self.windows.retain(|_, windows| windows.levels().any(|cell| !cell.is_empty()));
        }
    }

    /// The values of a property by which strata differ, of those that have counts.
    pub fn values<'s>(&'s self, of: impl Fn(&'s Stratum) -> &'s str) -> Vec<&'s str> {
        let mut values: Vec<&str> = self.windows.keys().map(of).collect();
        values.sort_unstable();
        values.dedup();
        values
    }

    /// The counts of so many lengths of time, the shortest first, of the strata that are asked for, as two arms that
    /// differ in the version alone.
    pub fn cells(&self, levels: usize, of: impl Fn(&Stratum) -> bool) -> Vec<Cell> {
        let chosen: Vec<&Windows> =
            self.windows.iter().filter(|(stratum, _)| of(stratum)).map(|(_, windows)| windows).collect();
        let mut lengths = Vec::with_capacity(levels.min(LEVELS));
        for level in 0..levels.min(LEVELS) {
            let cells: Vec<&Cell> = chosen.iter().filter_map(|windows| windows.levels().nth(level)).collect();
            lengths.push(alike(&cells));
        }
        lengths
    }
}

/// One cell of several, whose arms have the same part of each.
fn alike(cells: &[&Cell]) -> Cell {
    if let [only] = cells {
        return **only;
    }
    let ratio = |cell: &Cell| (u64::from(cell.variant.requests()), u64::from(cell.baseline.requests()));
    // The stratum that has most of the variant for its baseline: its baseline counts whole.
    let most = cells.iter().map(|cell| ratio(cell)).filter(|(_, baseline)| *baseline > 0).max_by(|one, other| {
        let cross = |(variant, _): (u64, u64), (_, baseline): (u64, u64)| u128::from(variant) * u128::from(baseline);
        cross(*one, *other).cmp(&cross(*other, *one))
    });
    let Some((top_variant, top_baseline)) = most else { return Cell::default() };
    let mut sum = Cell::default();
    let mut rest = [0_u128; 3];
    for cell in cells {
        let (variant, baseline) = ratio(cell);
        // Without both arms nothing is compared.
        if variant == 0 || baseline == 0 {
            continue;
        }
        let (count, of) =
            (u128::from(variant) * u128::from(top_baseline), u128::from(baseline) * u128::from(top_variant));
        sum.add(&Cell { variant: cell.variant, baseline: thinned(&cell.baseline, count, of, &mut rest) });
    }
    sum
}

/// So much of an arm: `count / of`, which is at most 1. What rounding leaves is handed on to the next group and arm, so
/// that nothing is lost however thin the parts are.
fn thinned(arm: &Arm, count: u128, of: u128, rest: &mut [u128; 3]) -> Arm {
    const ONE: u128 = 1 << 32;
    if count >= of {
        return *arm;
    }
    let part = count * ONE / of;
    let mut some = |number: u32, place: usize| {
        let Some(rest) = rest.get_mut(place) else { return 0 };
        *rest += u128::from(number) * part;
        let whole = *rest / ONE;
        *rest %= ONE;
        u32::try_from(whole).unwrap_or(u32::MAX)
    };
    let groups = arm.counts().map(|group| {
        let [requests, failed, slow] = [some(group.requests, 0), some(group.failed, 1), some(group.slow, 2)];
        Count { requests: requests.max(failed).max(slow), failed, slow }
    });
    Arm::of(groups)
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, reason = "a test stops")]
mod tests {
    use super::*;
    use tidegate_proxy::guard::evidence::{Evidence, Ratio};
    use tidegate_proxy::guard::window::Measure;

    fn zone(zone: &str) -> Stratum {
        Stratum { zone: zone.to_owned(), ..Stratum::default() }
    }

    /// So many requests of each arm, of which so many in a thousand fail, in all groups alike.
    fn cell(variant: u32, baseline: u32, failed: u32) -> Cell {
        let mut cell = Cell::default();
        for (exposed, requests) in [(true, variant), (false, baseline)] {
            for group in 0..16 {
                if let Some(count) = cell.group(exposed, group) {
                    *count = Count { requests: requests / 16, failed: requests / 16 * failed / 1_000, slow: 0 };
                }
            }
        }
        cell
    }

    fn bits(cell: &Cell) -> u32 {
        Evidence::of(cell.variant.ratio(Measure::Errors), cell.baseline.ratio(Measure::Errors)).tenths()
    }

    #[test]
    fn zones_at_different_steps_are_no_evidence_against_a_version_that_is_like_the_other() {
        // FLEET: base 5 % at 50 %, base 1 % at 1 %; pooled, v2 fails 4.9 % and v1 2.3 %.
        let (a, b) = (cell(160_000, 160_000, 50), cell(3_200, 320_000, 10));
        let mut pooled = a;
        pooled.add(&b);
        assert!(bits(&pooled) > 10_000, "{}", bits(&pooled));
        let mut strata = Strata::default();
        strata.add(&zone("a"), &a);
        strata.add(&zone("b"), &b);
        let cells = strata.cells(LEVELS, |_| true);
        assert_eq!(cells.len(), LEVELS);
        assert_eq!(bits(&cells[0]), 0);
        let baseline = cells[0].baseline.ratio(Measure::Errors);
        assert!(baseline.parts().abs_diff(49_200) < 500, "{baseline:?}");
    }

    #[test]
    fn nothing_is_lost_where_all_zones_are_at_one_step() {
        let mut strata = Strata::default();
        for name in ["a", "b", "c"] {
            strata.add(&zone(name), &cell(160, 3_200, 10));
        }
        let [first, ..] = &strata.cells(1, |_| true)[..] else { panic!() };
        assert_eq!(first.baseline.ratio(Measure::Errors), Ratio { of: 9_600, count: 96 });
        assert_eq!(first.variant.requests(), 480);
    }

    #[test]
    fn thin_strata_keep_their_failures() {
        // A hundred zones with a failure each in a baseline that counts for a hundredth.
        let mut strata = Strata::default();
        for number in 0..100 {
            let mut one = cell(16, 16_000, 0);
            if let Some(group) = one.group(false, number) {
                group.failed = 10;
            }
            strata.add(&zone(&number.to_string()), &one);
        }
        strata.add(&zone("whole"), &cell(160, 1_600, 0));
        let [first, ..] = &strata.cells(1, |_| true)[..] else { panic!() };
        let baseline = first.baseline.ratio(Measure::Errors);
        assert!(baseline.count.abs_diff(10) <= 1, "{baseline:?}");
    }

    #[test]
    fn a_zone_with_one_arm_alone_compares_nothing() {
        let mut strata = Strata::default();
        strata.add(&zone("a"), &cell(1_600, 0, 500));
        strata.add(&zone("b"), &cell(0, 1_600, 0));
        assert!(strata.cells(1, |_| true)[0].is_empty());
    }

    #[test]
    fn strata_that_are_empty_are_given_up_and_windows_end_together() {
        let mut strata = Strata::default();
        strata.advance();
        strata.add(&zone("a"), &cell(160, 160, 10));
        for _ in 0..6 {
            strata.advance();
        }
        assert!(strata.cells(1, |_| true)[0].is_empty());
        assert!(!strata.cells(LEVELS, |_| true)[LEVELS - 1].is_empty());
        assert_eq!(strata.values(|stratum| &stratum.zone), ["a"]);
        for _ in 0..5 << LEVELS {
            strata.advance();
        }
        assert!(strata.values(|stratum| &stratum.zone).is_empty());
    }
}
