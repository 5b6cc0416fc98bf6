//! Judges one comparison over all proxies, and over each zone and calling workload by itself: where is it bad?
//!
//! A version that is bad everywhere is the version's fault. One that is bad in one place, and plainly not in all others,
//! is that place's: there is reason to stop, and none to take the version from everybody. Never remembers anything.

use std::fmt;

use crate::strata::{Strata, Stratum};
use crate::uneven::Uneven;
use tidegate_engine::value::share::Ppm;
use tidegate_proxy::guard::evidence::Evidence;
use tidegate_proxy::guard::verdict::{Breach, Limits, Verdict, judge_over};
use tidegate_proxy::guard::window::{Cell, LEVELS, Measure};

/// So many bad answers more have to be missing in the other places, so that they are known to be well.
const MISSING: u64 = 10;

/// Where something holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    #[default]
    Fleet,
    Zone(String),
    /// The workload whose proxies send the requests.
    Workload(String),
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fleet => f.write_str("all proxies"),
            Self::Zone(name) => write!(f, "zone {name} alone"),
            Self::Workload(name) => write!(f, "callers of {name} alone"),
        }
    }
}

impl Scope {
    fn has(&self, stratum: &Stratum) -> bool {
        match self {
            Self::Fleet => true,
            Self::Zone(zone) => stratum.zone == *zone,
            Self::Workload(workload) => stratum.workload == *workload,
        }
    }
}

/// By what a comparison is judged.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'r> {
    pub limits: &'r [Limits],
    /// How much evidence a breach takes.
    pub enough: Evidence,
    /// The length of a unit, in seconds.
    pub unit: u64,
    /// The longest window, in seconds.
    pub longest: u64,
}

impl Rules<'_> {
    /// The lengths of time, in seconds: four slots each, of one unit, of two, of four.
    fn lengths(&self) -> impl Iterator<Item = u64> + Clone + use<> {
        let (shortest, longest) = (self.unit.saturating_mul(4), self.longest);
        (0..LEVELS).map(move |level| shortest << level).take_while(move |length| *length <= longest.max(shortest))
    }
}

/// What is said of one comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    pub verdict: Verdict,
    /// Where it holds.
    pub scope: Scope,
    /// The strongest evidence against the variant, whether it is enough or not.
    pub evidence: Evidence,
    /// By how much failures are fewer signs than they are failures, in 1024ths, over the length with that evidence.
    pub phi: u64,
}

/// Judges one comparison. In how many places it is judged must be in [`Rules::enough`]: see [`places`].
#[must_use]
pub fn judge(strata: &Strata, uneven: &Uneven, rules: &Rules<'_>) -> Said {
    let everywhere = Place::new(strata, uneven, rules, |_| true);
    let (verdict, strongest) = (everywhere.verdict(), everywhere.strongest());
    let phi = strongest.map_or(1_024, |breach| everywhere.phi(breach.seconds, breach.measure).max(1_024));
    let evidence = strongest.map_or(Evidence::NONE, |breach| breach.evidence);
    let mut said = Said { verdict, scope: Scope::Fleet, evidence, phi };
    for scopes in [zones(strata), workloads(strata)] {
        let found: Vec<(&Scope, Breach)> = scopes
            .iter()
            .filter_map(|scope| {
                let place = Place::new(strata, uneven, rules, |stratum| scope.has(stratum));
                if let Verdict::Breached(breach) = place.verdict() { Some((scope, breach)) } else { None }
            })
            .collect();
        // Two places are no place.
        let [(scope, breach)] = found[..] else { continue };
        let others = Place::new(strata, uneven, rules, |stratum| !scope.has(stratum));
        if others.is_spared(&breach) {
            said.evidence = said.evidence.max(breach.evidence);
            (said.verdict, said.scope) = (Verdict::Breached(breach), scope.clone());
            break;
        }
    }
    said
}

/// In how many places a comparison is judged.
#[must_use]
pub fn places(strata: &Strata) -> usize {
    1 + zones(strata).len() + workloads(strata).len()
}

/// The zones, if there are several.
fn zones(strata: &Strata) -> Vec<Scope> {
    several(strata.values(|stratum| &stratum.zone), Scope::Zone)
}

fn workloads(strata: &Strata) -> Vec<Scope> {
    several(strata.values(|stratum| &stratum.workload), Scope::Workload)
}

fn several(names: Vec<&str>, scope: impl Fn(String) -> Scope) -> Vec<Scope> {
    if names.len() < 2 {
        return Vec::new();
    }
    names.into_iter().map(|name| scope(name.to_owned())).collect()
}

/// What was counted in one place.
struct Place<'p> {
    /// By level, with the length in seconds.
    cells: Vec<(u64, Cell)>,
    uneven: &'p Uneven,
    rules: &'p Rules<'p>,
}

impl<'p> Place<'p> {
    fn new(strata: &Strata, uneven: &'p Uneven, rules: &'p Rules<'p>, of: impl Fn(&Stratum) -> bool) -> Self {
        let lengths: Vec<u64> = rules.lengths().collect();
        let cells = strata.cells(lengths.len(), of);
        Self { cells: lengths.into_iter().zip(cells).collect(), uneven, rules }
    }

    fn lengths(&self) -> impl Iterator<Item = (u64, &Cell)> + Clone {
        self.cells.iter().map(|(length, cell)| (*length, cell))
    }

    fn phi(&self, seconds: u64, measure: Measure) -> u64 {
        let Some(level) = self.cells.iter().position(|(length, _)| *length == seconds) else { return 0 };
        let all = self
            .cells
            .get(level)
            .map_or(0, |(_, cell)| u64::from(cell.variant.requests()).saturating_add(cell.baseline.requests().into()));
        self.uneven.phi(level, measure, all)
    }

    fn verdict(&self) -> Verdict {
        let phi = |seconds, measure| self.phi(seconds, measure);
        judge_over(&self.lengths(), self.rules.limits, self.rules.enough, phi)
    }

    /// The length that shows most against the variant, whatever the limits.
    fn strongest(&self) -> Option<Breach> {
        let free = self.rules.limits.iter().map(|limits| Limits { max: None, over_baseline: None, ..*limits });
        let free: Vec<Limits> = free.collect();
        let verdict = judge_over(&self.lengths(), &free, Evidence::NONE, |seconds, measure| self.phi(seconds, measure));
        if let Verdict::Breached(breach) = verdict { Some(breach) } else { None }
    }

    /// Whether a version that is as bad as this would have shown here by now, and has not.
    fn is_spared(&self, breach: &Breach) -> bool {
        let Some((_, cell)) = self.cells.iter().find(|(length, _)| *length == breach.seconds) else { return false };
        let (variant, baseline) = (cell.variant.ratio(breach.measure), cell.baseline.ratio(breach.measure));
        let excess = breach.variant.parts().saturating_sub(breach.baseline.parts());
        let due = u64::from(variant.of).saturating_mul(excess.into()) / u64::from(Ppm::FULL.parts());
        let shown = variant.parts().saturating_sub(baseline.parts());
        due >= MISSING && shown <= excess / 4
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops")]
mod tests {
    use super::*;
    use tidegate_proxy::guard::window::Count;

    fn limits() -> [Limits; 1] {
        [Limits { measure: Measure::Errors, max: None, over_baseline: Some(Ppm::of(20_000)) }]
    }

    fn cell(variant: (u32, u32), baseline: (u32, u32)) -> Cell {
        let mut cell = Cell::default();
        for (exposed, (failed, requests)) in [(true, variant), (false, baseline)] {
            for group in 0..16 {
                let share = |number: u32| number / 16 + u32::from(u64::from(number % 16) > group);
                *cell.group(exposed, group).unwrap() =
                    Count { requests: share(requests), failed: share(failed), slow: 0 };
            }
        }
        cell
    }

    fn zones_of(cells: &[(&str, Cell)]) -> Strata {
        let mut strata = Strata::default();
        for (zone, cell) in cells {
            strata.add(&Stratum { zone: (*zone).to_owned(), ..Stratum::default() }, cell);
        }
        strata
    }

    fn said(cells: &[(&str, Cell)]) -> Said {
        let limits = limits();
        let rules = Rules { limits: &limits, enough: Evidence::enough_for(256), unit: 5, longest: 600 };
        judge(&zones_of(cells), &Uneven::default(), &rules)
    }

    #[test]
    fn a_version_that_is_bad_everywhere_is_bad_in_the_fleet() {
        let bad = cell((100, 1_000), (100, 10_000));
        let said = said(&[("a", bad), ("b", bad)]);
        assert!(matches!(said.verdict, Verdict::Breached(_)), "{said:?}");
        assert_eq!(said.scope, Scope::Fleet);
        assert!(said.evidence > Evidence::ENOUGH);
    }

    #[test]
    fn a_zone_in_which_it_is_bad_is_named_where_the_others_are_well() {
        let (bad, good) = (cell((200, 1_000), (100, 10_000)), cell((10, 1_000), (100, 10_000)));
        let said = said(&[("a", bad), ("b", good), ("c", good)]);
        assert!(matches!(said.verdict, Verdict::Breached(_)), "{said:?}");
        assert_eq!(said.scope, Scope::Zone("a".to_owned()));
        assert_eq!(said.scope.to_string(), "zone a alone");
    }

    #[test]
    fn where_the_others_have_too_little_to_say_it_is_the_fleet() {
        let (bad, little) = (cell((200, 1_000), (100, 10_000)), cell((0, 20), (0, 200)));
        assert_eq!(said(&[("a", bad), ("b", little)]).scope, Scope::Fleet);
    }

    #[test]
    fn equal_versions_are_healthy_and_show_their_evidence() {
        let even = cell((12, 1_000), (100, 10_000));
        let said = said(&[("a", even), ("b", even)]);
        assert_eq!((said.verdict, said.phi), (Verdict::Healthy, 1_024));
        assert!(said.evidence < Evidence::enough_for(1), "{said:?}");
    }

    #[test]
    fn each_place_is_a_test_of_its_own() {
        let one = cell((1, 100), (1, 100));
        assert_eq!(places(&zones_of(&[("a", one)])), 1);
        assert_eq!(places(&zones_of(&[("a", one), ("b", one)])), 3);
    }
}
