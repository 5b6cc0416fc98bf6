//! Turns the groups of an arm into what they show: a share, and how unevenly the groups have part in it.
//!
//! A client that is broken fails again and again, so its failures are not as many signs as they are failures. The
//! few worst groups of identities show no more than the next one does, and where the others still differ by more
//! than chance, the evidence is weaker. Whole numbers only; never looks at more than one arm.

use super::evidence::Ratio;

/// Identities fall into so many groups, by their hash.
pub const GROUPS: usize = 16;

/// How many of all groups may have a broken client; proportionally fewer if fewer groups have clients.
const FEW: usize = 6;

/// Where fewer groups have clients, those are too few to say anything of the version.
const FEWEST: usize = 4;

/// What an arm shows. Most of the time the first question settles it, so that the others are worked out when asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    groups: [Ratio; GROUPS],
    /// The groups as far as they can be held against a variant.
    least: [Ratio; GROUPS],
    /// The group behind the few worst.
    next: Ratio,
}

impl Sample {
    /// What these groups show, where so many of all groups have clients.
    #[must_use]
    pub fn new(groups: [Ratio; GROUPS], there: usize) -> Self {
        let few = there.saturating_mul(FEW).div_ceil(GROUPS);
        // A client that sends more than all others together must not drown what they meet, neither by failures nor by
        // good answers.
        let largest = next_by(groups, few, |group, other| group.of > other.of).of.max(1).saturating_mul(2);
        let groups = groups.map(|group| {
            let of = group.of.min(largest);
            if of == group.of { group } else { Ratio { of, count: scaled(group, of) } }
        });
        let next = next_by(groups, few, worse);
        let least = groups.map(|group| {
            if worse(group, next) {
                let rate = if group.exceeds(next) { next } else { group };
                let of = group.of.min(next.of.saturating_mul(2));
                Ratio { of, count: scaled(rate, of) }
            } else {
                group
            }
        });
        Self { groups, least: if there < FEWEST { [Ratio::default(); GROUPS] } else { least }, next }
    }

    /// The share as far as it can be held against a variant: the few worst groups are like the next one, and not
    /// larger than twice its size.
    #[must_use]
    pub fn least(&self) -> Ratio {
        sum(&self.least)
    }

    /// The share as far as it can speak for a variant: the few worst groups are at most twice as bad as the next one,
    /// which they are by chance, and not by a client that fails always.
    #[must_use]
    pub fn most(&self) -> Ratio {
        sum(&self.groups.map(|group| {
            let twice = scaled(self.next, group.of).saturating_add(1).saturating_mul(2);
            Ratio { count: group.count.min(twice), ..group }
        }))
    }

    /// How unevenly the groups have part in it, in 1024ths: Pearson's chi-square by its degrees of freedom, at least 1.
    #[must_use]
    pub fn spread(&self) -> u64 {
        const CHANCE: u64 = 1_024;
        unevenness(&self.least).map_or(CHANCE, |spread| spread.max(CHANCE))
    }
}

/// The first group but so many, in an order.
fn next_by(mut groups: [Ratio; GROUPS], few: usize, before: impl Fn(Ratio, Ratio) -> bool) -> Ratio {
    let mut next = Ratio::default();
    for _ in 0..=few {
        let worst = groups.iter_mut().reduce(|worst, group| if before(*group, *worst) { group } else { worst });
        next = worst.map(core::mem::take).unwrap_or_default();
    }
    next
}

/// Whether a group has done worse than another one. Of several with as many failures, the smallest has.
fn worse(group: Ratio, other: Ratio) -> bool {
    group.count > other.count || (group.count == other.count && group.of < other.of)
}

/// As many of so many requests as this share has, rounded up.
fn scaled(share: Ratio, of: u32) -> u32 {
    let product = u64::from(of).saturating_mul(u64::from(share.count));
    u32::try_from(product.div_ceil(u64::from(share.of.max(1)))).unwrap_or(u32::MAX)
}

fn sum(groups: &[Ratio]) -> Ratio {
    groups.iter().fold(Ratio::default(), |sum, group| Ratio {
        of: sum.of.saturating_add(group.of),
        count: sum.count.saturating_add(group.count),
    })
}

/// Pearson's chi-square of so many groups by its degrees of freedom, in 1024ths.
pub(super) fn unevenness(groups: &[Ratio]) -> Option<u64> {
    // With 24 bits behind the point there is room for 2^20 requests: of more, all counts are halved until they fit.
    let surplus = sum(groups).of.checked_ilog2().unwrap_or_default().saturating_sub(19);
    let square = |count: u64, of: u64| (count.saturating_mul(count) << 24).checked_div(of).unwrap_or(0);
    let (mut n, mut k, mut squares) = (0_u64, 0_u64, 0_u64);
    for group in groups {
        let (of, count) = (u64::from(group.of >> surplus), u64::from(group.count >> surplus));
        (n, k) = (n.saturating_add(of), k.saturating_add(count));
        squares = squares.saturating_add(square(count, of));
    }
    // The sum of (k_g - n_g k/n)^2 / (n_g k/n (1 - k/n)), with as few divisions as it takes.
    let rest = squares.saturating_sub(square(k, n));
    let chi =
        |rest: u64| (rest.saturating_mul(n).checked_div(k)? >> 8).saturating_mul(n).checked_div(n.saturating_sub(k));
    let others = groups.iter().filter(|group| group.of > 0).skip(1);
    let freedom = others.fold(0_u64, |others, _| others.saturating_add(1));
    chi(rest).and_then(|chi| chi.checked_div(freedom)).map(|spread| spread >> 6)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Groups of so many requests each, with these failures; the rest has none.
    fn sample(of: u32, counts: &[u32]) -> Sample {
        let mut groups = [Ratio { of, count: 0 }; GROUPS];
        for (group, count) in groups.iter_mut().zip(counts) {
            group.count = *count;
        }
        Sample::new(groups, GROUPS)
    }

    #[test]
    fn the_worst_groups_are_like_the_next_one() {
        let like = |counts: &[u32]| sample(10, counts).least();
        assert_eq!(like(&[3; 16]), Ratio { of: 160, count: 48 });
        assert_eq!(like(&[10, 10, 10, 10, 10, 10]).count, 0);
        assert_eq!(like(&[10, 10, 10, 10, 10, 10, 1]), Ratio { of: 160, count: 7 });
        assert_eq!(like(&[10; 8]), Ratio { of: 160, count: 80 });
        assert_eq!(sample(0, &[]).least(), Ratio::default());
    }

    #[test]
    fn a_large_group_that_is_worst_is_no_larger_than_twice_the_next() {
        let mut groups = [Ratio { of: 10, count: 5 }; GROUPS];
        groups[3] = Ratio { of: 10_000, count: 9_000 };
        assert_eq!(Sample::new(groups, GROUPS).least(), Ratio { of: 170, count: 85 });
        // One that is no worse than the others, only larger, keeps its own rate.
        groups[3] = Ratio { of: 10_000, count: 1_000 };
        assert_eq!(Sample::new(groups, GROUPS).least(), Ratio { of: 170, count: 77 });
    }

    #[test]
    fn a_client_that_sends_more_than_all_others_does_not_drown_what_they_meet() {
        let mut groups = [Ratio { of: 100, count: 15 }; GROUPS];
        groups[3] = Ratio { of: 100_000, count: 15 };
        let sample = Sample::new(groups, GROUPS);
        let spread_evenly = Ratio { of: 1_600, count: 240 };
        assert!(sample.most().parts() > spread_evenly.parts() * 4 / 5, "{:?}", sample.most());
        assert!(sample.least().parts() > spread_evenly.parts() * 4 / 5, "{:?}", sample.least());
    }

    #[test]
    fn where_few_clients_are_there_fewer_may_be_broken() {
        let of = |there: usize, broken: usize| {
            let mut groups = [Ratio::default(); GROUPS];
            for (place, group) in groups.iter_mut().take(there).enumerate() {
                *group = Ratio { of: 10, count: if place < broken { 10 } else { 0 } };
            }
            Sample::new(groups, there).least()
        };
        for (there, broken) in [(16, 6), (11, 5), (8, 3), (6, 3), (4, 2)] {
            assert_eq!(of(there, broken).count, 0, "{broken} of {there}");
            assert!(of(there, broken + 1).count > 0, "{broken} of {there} and one more");
        }
        // Three clients are too few to say anything, even if all of them fail.
        assert_eq!(of(3, 3), Ratio::default());
        assert_eq!(of(4, 4), Ratio { of: 40, count: 40 });
    }

    #[test]
    fn a_baseline_is_not_hidden_behind_its_worst_groups_nor_made_better_by_chance() {
        // As uneven as chance makes it: all of it counts.
        let even = sample(100, &[4, 3, 3, 2, 2, 2, 2, 1, 1, 1, 1, 1]);
        assert_eq!(even.most(), Ratio { of: 1_600, count: 23 });
        let forged = sample(100, &[100, 100, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]);
        assert_eq!(forged.most(), Ratio { of: 1_600, count: 4 + 4 + 10 });
    }

    #[test]
    fn spread_is_that_of_chance_where_failures_are_spread_by_chance() {
        assert_eq!(sample(100, &[5; 16]).spread(), 1_024);
        assert_eq!(sample(100, &[]).spread(), 1_024);
        assert_eq!(sample(100, &[100; 16]).spread(), 1_024);
        assert_eq!(sample(100, &[7, 3, 6, 4, 5, 5, 5, 5, 8, 2, 6, 4, 5, 5, 5, 5]).spread(), 1_024);
    }

    #[test]
    fn spread_is_the_chi_square_of_the_groups_by_its_degrees_of_freedom() {
        // Eight groups with 50 of 100 and eight with none: 16 * 25^2 / (25 * 0.75) = 533.3, by 15.
        assert_eq!(sample(100, &[50; 8]).spread(), 36_408);
        assert_eq!(533_333 * 1_024 / 15 / 1_000, 36_408);
        // It grows with the requests, as far as they are not halved.
        let (half, whole) = (sample(1 << 14, &[1 << 13; 8]).spread(), sample(1 << 15, &[1 << 14; 8]).spread());
        assert!(whole.abs_diff(2 * half) < 4, "{whole} {half}");
        let many = sample(200_000_000, &[100_000_000; 8]).spread();
        assert!(many > whole && many < 2 * whole, "{many} {whole}");
    }
}
