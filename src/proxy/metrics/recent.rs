//! Remembers what all workers had counted a minute ago, so that a first look at the page can say what goes on now.
//!
//! Each worker remembers for itself, on its tick, and only where the config has a page. Never runs for a request.

use tidegate_engine::value::time::Timestamp;

/// How long it takes until counts are remembered again, in milliseconds.
const EVERY: i64 = 10_000;

/// The counts of how many moments are kept: what is oldest is a minute old, or a little more.
const MOMENTS: usize = 7;

/// What was counted at some moments.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    /// The moments, in milliseconds; 0 where there was none yet.
    at: [i64; MOMENTS],
    /// The low halves of the counts of all places at the first moment, at the next one, and so on: that is enough for a
    /// difference.
    counts: Vec<u32>,
    /// The place of the next moment: that of the oldest one, once all are there.
    next: usize,
    last: i64,
}

impl Recent {
    /// Remembers the counts of all places, if it is time to. Returns whether it is.
    pub(crate) fn remember(&mut self, now: Timestamp, counts: impl ExactSizeIterator<Item = u64>) -> bool {
        let (now, places) = (now.millis(), counts.len());
        let due = !(0..EVERY).contains(&now.saturating_sub(self.last));
        if due {
            if now < self.last {
                // The clock has jumped back.
                *self = Self::default();
            }
            if self.counts.is_empty() {
                self.counts = vec![0; places.saturating_mul(MOMENTS)];
            }
            let then = self.counts.get_mut(self.next.saturating_mul(places)..).unwrap_or_default();
            for (then, now) in then.iter_mut().zip(counts) {
                *then = low(now);
            }
            if let Some(at) = self.at.get_mut(self.next) {
                *at = now;
            }
            (self.last, self.next) = (now, self.next.wrapping_add(1) % MOMENTS);
        }
        due
    }

    fn oldest(&self) -> usize {
        if self.at.get(self.next) == Some(&0) { 0 } else { self.next }
    }

    /// Since when it can be told what was counted.
    pub(crate) fn since(&self) -> Option<Timestamp> {
        let at = self.at.get(self.oldest()).filter(|at| **at != 0)?;
        Some(Timestamp::from_millis(*at))
    }

    /// How much was counted since then, of a place that is at `now`.
    pub(crate) fn counted(&self, place: usize, now: u64) -> u32 {
        let first = self.oldest().saturating_mul(self.counts.len().wrapping_div(MOMENTS));
        low(now).wrapping_sub(self.counts.get(first.saturating_add(place)).copied().unwrap_or(0))
    }
}

fn low(count: u64) -> u32 {
    u32::try_from(count & u64::from(u32::MAX)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGIN: i64 = 1_700_000_000;

    #[test]
    fn the_last_minute_is_told() {
        let mut recent = Recent::default();
        let told = |recent: &Recent, now: i64, count| {
            let since = recent.since().map(|since| now - since.millis() / 1_000);
            (since, recent.counted(0, count))
        };
        assert_eq!(told(&recent, BEGIN, 7), (None, 7));
        let mut seen = Vec::new();
        for second in 0..200_i64 {
            let count = second.unsigned_abs() * 3;
            let due = recent.remember(Timestamp::from_millis((BEGIN + second) * 1_000), [count, 0].into_iter());
            assert_eq!(due, second % 10 == 0);
            seen.push(told(&recent, BEGIN + second, count));
        }
        assert_eq!((seen[0], seen[5], seen[60]), ((Some(0), 0), (Some(5), 15), (Some(60), 180)));
        assert!(seen[70..].iter().all(|(since, count)| {
            let since = since.unwrap();
            (60..70).contains(&since) && i64::from(*count) == since * 3
        }));
    }

    #[test]
    fn counts_that_are_larger_than_fits_still_differ_by_what_came() {
        let mut recent = Recent::default();
        recent.remember(Timestamp::from_millis(BEGIN), [7, u64::from(u32::MAX) - 1].into_iter());
        assert_eq!(recent.counted(1, u64::from(u32::MAX) + 5), 6);
    }

    #[test]
    fn a_clock_that_jumps_back_starts_again() {
        let mut recent = Recent::default();
        let at = |seconds: i64| Timestamp::from_millis(seconds * 1_000);
        for (now, count, due) in [(BEGIN, 5, true), (BEGIN + 1, 6, false), (BEGIN - 1, 7, true)] {
            assert_eq!(recent.remember(at(now), [count].into_iter()), due);
        }
        assert_eq!((recent.since(), recent.counted(0, 9)), (Some(at(BEGIN - 1)), 2));
    }
}
