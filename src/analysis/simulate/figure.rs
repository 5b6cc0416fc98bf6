//! Turns counts into figures: shares with their confidence intervals, and how far two flags are from being
//! independent. The only place of the analysis that uses floating point. Never counts anything.
#![allow(clippy::float_arithmetic, reason = "figures are for people: no decision hangs on them")]

use serde_json::{Value, json};

/// The standard deviations on each side that hold 95 % of a normal distribution.
const Z: f64 = 1.959_963_984_540_054;

/// The share of runs that may call a pair odd that is not, whatever the number of pairs.
const ACCIDENTS: f64 = 0.001;

/// A share that was counted, with its 95 % interval, all from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    pub part: f64,
    pub low: f64,
    pub high: f64,
}

impl Estimate {
    /// The share of `hits` among `of`, with Wilson's score interval: unlike the usual one it holds for shares near
    /// none and near all, and never leaves the range from 0 to 1. Of nobody, anything may be true.
    pub fn new(hits: u64, of: u64) -> Self {
        if of == 0 {
            return Self { part: 0.0, low: 0.0, high: 1.0 };
        }
        let (part, n) = (float(hits) / float(of), float(of));
        let square = Z * Z / n;
        let middle = (part + square / 2.0) / (1.0 + square);
        let half = Z / (1.0 + square) * (part * (1.0 - part) / n + square / (4.0 * n)).sqrt();
        // Exact where rounding would miss by a hair.
        let low = if hits == 0 { 0.0 } else { (middle - half).clamp(0.0, part) };
        let high = if hits >= of { 1.0 } else { (middle + half).clamp(part, 1.0) };
        Self { part, low, high }
    }

    /// For programs: in percent.
    pub fn json(self) -> Value {
        json!({"percent": rounded(self.part * 100.0), "interval": [rounded(self.low * 100.0), rounded(self.high * 100.0)]})
    }
}

/// Two flags, and who gets something new of both.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pair {
    pub both: u64,
    /// How many there would be if neither knew of the other.
    pub expected: f64,
    /// How far off that is, in standard deviations.
    pub off: f64,
    /// The least that minus the logarithm of the chance to be as far off can be.
    surprise: f64,
    /// Whether there was anything to find out: not where one has everybody, nor where nobody is due in both.
    pub telling: bool,
}

impl Pair {
    /// Of `of` identities, so many have one, the other, and both.
    pub fn new(one: u64, two: u64, both: u64, of: u64) -> Self {
        let (n, a, b) = (float(of.max(1)), float(one), float(two));
        let expected = a * b / n;
        // Of the hypergeometric distribution: both numbers are what they are, only who it is was drawn.
        let variance = expected * (n - a) * (n - b) / (n * (n - 1.0).max(1.0));
        let telling = variance > 0.0 && (both > 0 || expected >= 1.0);
        let off = if variance > 0.0 { (float(both) - expected) / variance.sqrt() } else { 0.0 };
        let surprise = if variance > 0.0 { a * divergence(float(both) / a, b / n) } else { 0.0 };
        Self { both, expected, off, surprise, telling }
    }

    /// Whether the two know of each other, as one of so many pairs: by a salt that they share, or by who is asked.
    ///
    /// Where many pairs are looked at, some are far off by chance; with few users, small numbers are. Chernoff's bound
    /// holds for both.
    pub fn is_odd(self, pairs: usize) -> bool {
        let pairs = float(u64::try_from(pairs).unwrap_or(u64::MAX));
        self.surprise > (2.0 * pairs / ACCIDENTS).ln()
    }

    /// What it is against what is expected, in words.
    pub fn words(self) -> String {
        if self.expected <= 0.0 { String::new() } else { format!("{:.2}x", float(self.both) / self.expected) }
    }
}

/// The relative entropy of a share that was seen to one that was due, in nats.
fn divergence(seen: f64, due: f64) -> f64 {
    let part = |seen: f64, due: f64| if seen > 0.0 { seen * (seen / due).ln() } else { 0.0 };
    part(seen, due) + part(1.0 - seen, 1.0 - due)
}

/// A share for people: `12.345%`.
pub fn percent(part: f64) -> String {
    format!("{:.3}%", part * 100.0)
}

/// Cut to what is worth writing down, and the same on every machine.
pub fn rounded(number: f64) -> f64 {
    (number * 10_000.0).round() / 10_000.0
}

/// Exact up to 2^53, and nobody has that many users.
#[allow(clippy::cast_precision_loss, reason = "exact up to 2^53")]
pub fn float(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "small numbers")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Hits, of, low, high: from the formula's own literature (Wilson 1927; Newcombe 1998, table I).
    const KNOWN: [(u64, u64, f64, f64); 4] =
        [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)];

    #[test]
    fn intervals_are_those_of_the_literature() {
        for (hits, of, low, high) in KNOWN {
            let share = Estimate::new(hits, of);
            assert!(
                (share.low - low).abs() < 0.000_06 && (share.high - high).abs() < 0.000_06,
                "{hits}/{of} {share:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn an_interval_holds_its_share_and_is_its_own_mirror(of in 1_u64..5_000_000, part in 0.0..=1.0) {
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count below `of`")]
            let hits = (float(of) * part) as u64;
            let (share, mirror) = (Estimate::new(hits, of), Estimate::new(of - hits, of));
            prop_assert!(0.0 <= share.low && share.low <= share.part && share.part <= share.high && share.high <= 1.0);
            prop_assert!((share.low - (1.0 - mirror.high)).abs() < 1e-9);
            // The bounds are the shares of which the one that was seen is just not too far off.
            for bound in [share.low, share.high].into_iter().filter(|bound| *bound > 0.0 && *bound < 1.0) {
                let deviation = (bound * (1.0 - bound) / float(of)).sqrt();
                prop_assert!(((share.part - bound).abs() / deviation - Z).abs() < 1e-4);
            }
        }

        #[test]
        fn more_users_know_better(hits in 0_u64..1_000, more in 0_u64..1_000) {
            let of = hits + more + 1;
            let (few, many) = (Estimate::new(hits, of), Estimate::new(hits * 100, of * 100));
            prop_assert!(many.high - many.low < few.high - few.low);
        }
    }

    #[test]
    fn a_shared_salt_is_far_from_chance() {
        assert!(Pair::new(10_000, 10_000, 10_000, 100_000).is_odd(500_000));
        assert!(Pair::new(13, 29, 13, 100).is_odd(3));
        assert!(Pair::new(50_000, 50_000, 0, 100_000).is_odd(500_000));
        // One who is in both of two tiny cohorts is no sign, nor are five deviations among half a million pairs.
        assert!(!Pair::new(100, 100, 1, 1_000_000).is_odd(1));
        let far = Pair::new(10_000, 10_000, 1_150, 100_000);
        assert!(far.off > 5.0 && !far.is_odd(500_000));
        assert!(!Pair::new(100_000, 500, 500, 100_000).telling);
    }
}
