//! The requests that something is owed to, by the numbers of their contexts.
//!
//! An open table: Envoy counts contexts up, so that their numbers spread evenly by themselves. Smaller than a general map,
//! and each request is put in and taken out once. Compiled natively, too, for its tests.

/// Values by number.
#[derive(Debug)]
pub struct Streams<T> {
    /// A power of two of places, at most half of them taken.
    places: Vec<Option<(u32, T)>>,
    count: usize,
}

impl<T> Default for Streams<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Streams<T> {
    /// An empty table.
    #[must_use]
    pub const fn new() -> Self {
        Self { places: Vec::new(), count: 0 }
    }

    /// The place after another one. Also takes a number to where it belongs.
    #[inline]
    fn wrap(&self, place: usize) -> usize {
        place & self.places.len().wrapping_sub(1)
    }

    #[inline]
    fn home(&self, number: u32) -> usize {
        self.wrap(usize::try_from(number).unwrap_or_default())
    }

    /// Where a number stands, or the free place where it would.
    #[inline]
    fn find(&self, number: u32) -> usize {
        let mut place = self.home(number);
        while let Some(Some((known, _))) = self.places.get(place) {
            if *known == number {
                break;
            }
            place = self.wrap(place.wrapping_add(1));
        }
        place
    }

    /// Puts a value in, in place of one of this number.
    #[inline]
    pub fn insert(&mut self, number: u32, value: T) {
        if self.count.wrapping_mul(2) >= self.places.len() {
            self.grow();
        }
        let place = self.find(number);
        if let Some(place) = self.places.get_mut(place) {
            self.count = self.count.wrapping_add(usize::from(place.is_none()));
            *place = Some((number, value));
        }
    }

    #[cold]
    fn grow(&mut self) {
        let size = self.places.len().wrapping_mul(2).max(16);
        let old = core::mem::take(&mut self.places);
        self.places.resize_with(size, || None);
        for (number, value) in old.into_iter().flatten() {
            let place = self.find(number);
            if let Some(place) = self.places.get_mut(place) {
                *place = Some((number, value));
            }
        }
    }

    /// The value of a number.
    #[inline]
    pub fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        let place = self.find(number);
        self.places.get_mut(place)?.as_mut().map(|(_, value)| value)
    }

    /// Takes a value out.
    #[inline]
    pub fn remove(&mut self, number: u32) -> Option<T> {
        let place = self.find(number);
        let (_, value) = self.places.get_mut(place)?.take()?;
        self.count = self.count.wrapping_sub(1);
        self.close(place);
        Some(value)
    }

    /// Moves what stands behind a free place up to it, as far as it would otherwise not be found.
    #[inline]
    fn close(&mut self, mut free: usize) {
        let mut place = self.wrap(free.wrapping_add(1));
        while let Some(Some((number, _))) = self.places.get(place) {
            let home = self.home(*number);
            // How far it stands from where it belongs, and from the free place.
            if self.wrap(place.wrapping_sub(home)) >= self.wrap(place.wrapping_sub(free)) {
                let moved = self.places.get_mut(place).and_then(Option::take);
                if let Some(free) = self.places.get_mut(free) {
                    *free = moved;
                }
                free = place;
            }
            place = self.wrap(place.wrapping_add(1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn it_is_a_map() {
        let (mut streams, mut known) = (Streams::default(), BTreeMap::new());
        let mut state = 1_u32;
        for round in 0..50_000_u32 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let wide = if round % 1_000 < 500 { 60 } else { u32::MAX };
            let number = (state >> 3) % wide;
            match state % 5 {
                0 | 1 => {
                    streams.insert(number, round);
                    known.insert(number, round);
                }
                2 => assert_eq!(streams.remove(number), known.remove(&number)),
                3 => assert_eq!(streams.get_mut(number), known.get_mut(&number)),
                _ => {
                    let some = known.keys().next().copied();
                    let some = some.map(|some| (streams.remove(some), known.remove(&some)));
                    assert!(some.is_none_or(|(ours, theirs)| ours == theirs));
                }
            }
            assert_eq!(streams.count, known.len());
        }
        for (number, value) in known {
            assert_eq!(streams.remove(number), Some(value));
        }
        assert!(streams.places.iter().all(Option::is_none));
    }
}
