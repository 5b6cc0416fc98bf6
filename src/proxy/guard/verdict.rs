//! Judges what was counted against a guard: healthy, breached, or not enough to say.
//!
//! A guard looks at every tick, all day, so a fixed chance of error would roll back every healthy version in
//! time. What counts is the evidence in bits, over all lengths of time, and whether the limits were broken. One
//! pure function; never remembers anything.

use super::evidence::{Evidence, Ratio};
use super::window::{Cell, Measure, Windows};
use tidegate_engine::value::share::Ppm;

/// The fewest requests of an arm from which a share is taken.
const FEWEST: u32 = 10;

/// The fewest failures in both arms that are evidence.
const FAILURES: u32 = 2;

/// The fewest requests of each arm by which a variant can be said to be healthy.
pub const SAMPLE: u32 = 100;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub measure: Measure,
    /// The absolute limit.
    pub max: Option<Ppm>,
    /// The limit above the baseline's share.
    pub over_baseline: Option<Ppm>,
}

/// A limit that was broken, and what shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Breach {
    pub measure: Measure,
    /// The length of time that shows it best, in seconds.
    pub seconds: u64,
    pub evidence: Evidence,
    /// The variant's requests in that time.
    pub variant: Ratio,
    /// The baseline's.
    pub baseline: Ratio,
}

/// What can be said of a variant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Healthy,
    Breached(Breach),
    /// Too few requests to say. That is neither good nor bad.
    NotEnough,
    /// The baseline breaks the limit as well, and the variant is not clearly worse: the fault is elsewhere, and
    /// nothing is moved.
    BothBad(Breach),
}

/// Judges one comparison over all lengths of time up to `seconds`; a breach takes this much evidence.
#[must_use]
pub fn judge(windows: &Windows, seconds: u64, limits: &[Limits], enough: Evidence) -> Verdict {
    judge_over(&windows.up_to(seconds), limits, enough, |_, _| 0)
}

/// Judges one comparison over these lengths of time, in seconds, the shortest first. Where the caller knows how
/// unevenly failures fall, in 1024ths for each length, the evidence is divided by that at least.
#[inline]
#[must_use]
pub fn judge_over<'c>(
    lengths: &(impl Iterator<Item = (u64, &'c Cell)> + Clone),
    limits: &[Limits],
    enough: Evidence,
    uneven: impl Fn(u64, Measure) -> u64,
) -> Verdict {
    let (mut worst, mut both): (Option<Breach>, Option<Breach>) = (None, None);
    // The longest window contains all others.
    let Some((_, longest)) = lengths.clone().last() else { return Verdict::NotEnough };
    for limits in limits {
        let mut outage = None;
        for (length, cell) in lengths.clone() {
            let measure = limits.measure;
            if !limits.suspect(cell, enough) {
                continue;
            }
            let variant = cell.variant.sample(measure, longest.variant.groups());
            let against = variant.least();
            if !limits.reached(against) {
                continue;
            }
            let baseline = cell.baseline.sample(measure, longest.baseline.groups());
            let spread = variant.spread().max(baseline.spread()).max(uneven(length, measure));
            let (variant, baseline) = (against, baseline.most());
            let evidence = Evidence::of(variant, baseline).divided(spread);
            let breach = Breach { measure, seconds: length, evidence, variant, baseline };
            if limits.both_break(variant, baseline) {
                outage = outage.max(Some(baseline.parts()));
                both = both.or(Some(breach));
            }
            // Longer windows have an outage of both in them, thinned out: what they show is not to be trusted.
            if outage.is_some_and(|outage| baseline.parts() < outage.saturating_sub(outage >> 2)) {
                continue;
            }
            // With equal evidence, take the shortest window: the longer ones add nothing.
            let strong = worst.map_or(evidence >= enough, |known| evidence > known.evidence);
            if strong && limits.broken(variant, baseline) {
                worst = Some(breach);
            }
        }
    }
    let sampled = longest.variant.requests() >= SAMPLE && longest.baseline.requests() >= SAMPLE;
    match (worst, both) {
        (Some(breach), _) => Verdict::Breached(breach),
        (None, Some(breach)) => Verdict::BothBad(breach),
        (None, None) if sampled => Verdict::Healthy,
        (None, None) => Verdict::NotEnough,
    }
}

impl Limits {
    /// Whether the variant could break a limit, however well the baseline did: most of the time it could not.
    fn suspect(&self, cell: &Cell, enough: Evidence) -> bool {
        let variant = cell.variant.ratio(self.measure);
        let shows = || Evidence::of(variant, Ratio { count: 0, ..cell.baseline.ratio(self.measure) }) >= enough;
        self.reached(variant) && (variant.count >= FEWEST || shows())
    }

    /// Whether the variant could be over the limits, however well the baseline did.
    fn reached(&self, variant: Ratio) -> bool {
        variant.count > 0 && variant.parts() >= self.max.or(self.over_baseline).map_or(0, Ppm::parts)
    }

    /// Whether the variant is over the limits, if that is no chance.
    fn broken(&self, variant: Ratio, baseline: Ratio) -> bool {
        let over = variant.parts().saturating_sub(baseline.parts());
        let reaches = |limit: Option<Ppm>, value: u32| limit.is_none_or(|limit| value >= limit.parts());
        // Beside a baseline that breaks the absolute limit itself, a variant has to be worse by as much again.
        let again = self.max.filter(|max| baseline.parts() >= max.parts());
        variant.of >= FEWEST
            && baseline.of >= FEWEST
            && variant.count.saturating_add(baseline.count) >= FAILURES
            && reaches(self.max, variant.parts())
            && reaches(self.over_baseline.or(again), over)
    }

    /// Whether both arms break the absolute limit, by more than a handful of failures each.
    fn both_break(&self, variant: Ratio, baseline: Ratio) -> bool {
        let breaks = |max: Ppm, arm: Ratio| arm.count >= FEWEST && arm.parts() >= max.parts();
        self.max.is_some_and(|max| breaks(max, variant) && breaks(max, baseline))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::window::Count;

    const ERRORS: Limits = Limits { measure: Measure::Errors, max: None, over_baseline: None };

    /// Windows in which each of the 16 groups has so many requests and failures, in the variant and the baseline.
    fn windows(variant: (u32, u32), baseline: (u32, u32)) -> Windows {
        let mut cell = Cell::default();
        for (exposed, (requests, failed)) in [(true, variant), (false, baseline)] {
            for group in 0..16 {
                *cell.group(exposed, group).unwrap() = Count { requests, failed, slow: 0 };
            }
        }
        let mut windows = Windows::default();
        windows.add(&cell);
        windows
    }

    fn percent(text: &str) -> Option<Ppm> {
        Ppm::parse_percent(text).ok()
    }

    #[test]
    fn silence_is_not_enough() {
        assert_eq!(judge(&windows((0, 0), (0, 0)), 600, &[ERRORS], Evidence::ENOUGH), Verdict::NotEnough);
        assert_eq!(judge(&windows((6, 0), (1_000, 0)), 600, &[ERRORS], Evidence::ENOUGH), Verdict::NotEnough);
        assert_eq!(judge(&windows((7, 0), (1_000, 0)), 600, &[ERRORS], Evidence::ENOUGH), Verdict::Healthy);
    }

    #[test]
    fn a_limit_is_broken_only_if_it_is_reached() {
        let bad = windows((100, 20), (100, 1));
        let judged =
            |max, over_baseline| judge(&bad, 600, &[Limits { max, over_baseline, ..ERRORS }], Evidence::ENOUGH);
        for (max, over, breached) in [
            (None, None, true),
            (percent("20"), None, true),
            (percent("20.1"), None, false),
            (None, percent("19"), true),
            (None, percent("19.1"), false),
            (percent("20"), percent("19.1"), false),
        ] {
            assert_eq!(matches!(judged(max, over), Verdict::Breached(_)), breached, "{max:?} {over:?}");
        }
        assert_eq!(judged(percent("21"), None), Verdict::Healthy);
    }

    #[test]
    fn where_both_are_bad_only_a_version_that_is_clearly_worse_is_taken_back() {
        for (variant, baseline, max, over, breached) in [
            (60, 59, "5", None, false),
            (60, 4, "5", None, true),
            // A baseline that is a bit over the limit protects nothing.
            (80, 7, "5", None, true),
            (100, 10, "5", None, true),
            (100, 10, "5", Some("2"), true),
            // It has to be worse by the limit once more, where nothing else is written, and by more than chance.
            (14, 10, "5", None, false),
            (60, 40, "15", None, true),
            (60, 40, "25", None, false),
            (60, 40, "25", Some("19"), true),
            (60, 40, "5", Some("21"), false),
        ] {
            let limits = [Limits { max: percent(max), over_baseline: over.and_then(percent), ..ERRORS }];
            let verdict = judge(&windows((100, variant), (100, baseline)), 600, &limits, Evidence::ENOUGH);
            let case = format!("{variant} {baseline} {max} {over:?}: {verdict:?}");
            match verdict {
                Verdict::Breached(_) => assert!(breached, "{case}"),
                Verdict::BothBad(_) => assert!(!breached, "{case}"),
                _ => panic!("{case}"),
            }
        }
    }

    #[test]
    fn many_proxies_ask_for_more_evidence() {
        let limits = [ERRORS];
        let bad = windows((11, 2), (1_000, 50));
        let Verdict::Breached(breach) = judge(&bad, 600, &limits, Evidence::ENOUGH) else { panic!() };
        assert!(breach.evidence < Evidence::enough_for(1_000_000), "{breach:?}");
        assert_ne!(judge(&bad, 600, &limits, breach.evidence), Verdict::Healthy);
        assert_eq!(judge(&bad, 600, &limits, Evidence::enough_for(1_000_000)), Verdict::Healthy);
    }

    #[test]
    fn an_outage_that_is_over_hides_nothing() {
        let limits = [Limits { max: percent("5"), ..ERRORS }];
        let mut windows = windows((200, 200), (200, 200));
        for _ in 0..40 {
            windows.advance();
        }
        assert!(matches!(judge(&windows, 600, &limits, Evidence::ENOUGH), Verdict::BothBad(_)));
        let mut cell = Cell::default();
        for group in 0..16 {
            *cell.group(true, group).unwrap() = Count { requests: 20, failed: 10, slow: 0 };
            *cell.group(false, group).unwrap() = Count { requests: 20, failed: 0, slow: 0 };
        }
        windows.add(&cell);
        assert!(matches!(judge(&windows, 600, &limits, Evidence::ENOUGH), Verdict::Breached(_)));
    }

    #[test]
    fn a_few_groups_that_always_fail_move_nothing() {
        let mut bad = windows((100, 1), (100, 1));
        let mut cell = Cell::default();
        for group in [1, 5, 6, 7, 10, 15] {
            *cell.group(true, group).unwrap() = Count { requests: 1_000, failed: 1_000, slow: 0 };
        }
        bad.add(&cell);
        assert_eq!(judge(&bad, 600, &[ERRORS], Evidence::ENOUGH), Verdict::Healthy);
    }
}
