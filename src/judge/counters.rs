//! Turns the raw values of counters, look by look, into what was counted since the look before.
//!
//! A counter is born at 0 with its proxy's config, so the first value of one that was not there before counts whole. A
//! value that drops is that of a proxy that began anew. Never forgets a counter that is away for a while: what it has
//! counted meanwhile is counted when it is back.

use std::collections::BTreeMap;

/// For so many looks a counter may be away before it is forgotten.
const AWAY: u32 = 720;

#[derive(Clone, Copy, Debug)]
struct Known {
    value: u64,
    look: u32,
}

/// The last value of each counter.
#[derive(Debug)]
pub struct Counters<K> {
    known: BTreeMap<K, Known>,
    look: u32,
}

impl<K> Default for Counters<K> {
    fn default() -> Self {
        Self { known: BTreeMap::new(), look: 0 }
    }
}

impl<K: Ord> Counters<K> {
    /// Begins another look. What is there at the first one was counted before anybody looked.
    pub fn look(&mut self) {
        self.look = self.look.saturating_add(1);
        if self.look.is_multiple_of(AWAY) {
            let oldest = self.look.saturating_sub(AWAY);
            self.known.retain(|_, known| known.look >= oldest);
        }
    }

    /// What a counter has counted since it was last seen.
    pub fn take(&mut self, key: K, value: u64) -> u64 {
        let seen = Known { value, look: self.look };
        match self.known.insert(key, seen) {
            // It dropped: its proxy began anew, at 0.
            Some(before) => value.checked_sub(before.value).unwrap_or(value),
            None if self.look <= 1 => 0,
            None => value,
        }
    }

    /// How many counters are known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.known.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is taken of one counter, look by look; `None` where it is not there.
    fn taken(values: &[Option<u64>]) -> Vec<u64> {
        let mut counters = Counters::default();
        let look = |value: &Option<u64>| {
            counters.look();
            value.map_or(0, |value| counters.take("v2", value))
        };
        values.iter().map(look).collect()
    }

    #[test]
    fn what_was_counted_before_the_first_look_is_not_counted() {
        assert_eq!(taken(&[Some(50), Some(53), Some(53)]), [0, 3, 0]);
    }

    #[test]
    fn a_counter_that_is_born_counts_whole() {
        assert_eq!(taken(&[None, Some(1), Some(3)]), [0, 1, 2]);
    }

    #[test]
    fn a_counter_that_begins_anew_counts_from_0() {
        assert_eq!(taken(&[Some(50), Some(7), Some(9)]), [0, 7, 2]);
    }

    #[test]
    fn what_was_counted_while_nobody_could_look_is_counted_afterwards() {
        assert_eq!(taken(&[Some(50), None, None, Some(58)]), [0, 0, 0, 8]);
    }

    #[test]
    fn fifty_fresh_proxies_with_one_failure_each_are_fifty_failures() {
        let mut counters = Counters::default();
        counters.look();
        counters.look();
        assert_eq!((0..50).map(|proxy| counters.take(proxy, 1)).sum::<u64>(), 50);
        assert_eq!(counters.len(), 50);
    }

    #[test]
    fn counters_of_proxies_that_are_gone_are_forgotten() {
        let mut counters = Counters::default();
        counters.look();
        counters.take("gone", 5);
        for _ in 0..2 * AWAY {
            counters.look();
        }
        assert!(counters.is_empty());
    }
}
