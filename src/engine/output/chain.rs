//! Turns what instances of the filter in one chain tell each other into an answer: who wrote this header?
//!
//! Two teams may each run an instance at one gateway. What an earlier one wrote looks like what a client forged, so
//! each adds the names that it wrote to a value of the request's filter state, which no client can reach. The value
//! outlives an internal redirect: an instance that finds its own mark there is asked about the request a second time,
//! and what was written before is out of date. Never reads or writes the filter state itself.

use crate::value::order;

/// The name of the value in the filter state, to which Envoy adds `wasm.`.
pub const STATE: &str = "tidegate.chain";

/// What stands between the names that hold and those that are out of date; in no name of a header.
const BORDER: u8 = b'|';

/// Who wrote a header under a name of the filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writer {
    /// A client: nothing else is known of it.
    Client,
    /// An instance before this one in the chain: it stays.
    Earlier,
    /// An instance, before the request was redirected: it goes, and was not forged.
    Redirected,
}

/// What the instances before this one have written.
#[derive(Clone, Debug, Default)]
pub struct Chain<'s> {
    /// Marks of instances and names of headers, sorted.
    written: Vec<(&'s [u8], usize)>,
    outdated: Vec<(&'s [u8], usize)>,
}

impl<'s> Chain<'s> {
    /// Reads the value that the instances before this one left, if any.
    #[inline]
    #[must_use]
    pub fn new(state: Option<&'s [u8]>, mark: &str) -> Self {
        let Some(state) = state else { return Self::default() };
        let mut parts = state.split(|byte| *byte == BORDER);
        let mut names = || {
            let names = parts.next().unwrap_or_default().split(|byte| *byte == b' ');
            order::of(names.filter(|name| !name.is_empty()))
        };
        let (mut written, mut outdated) = (names(), names());
        if has(&written, mark.as_bytes()) {
            outdated.append(&mut written);
            order::sort(&mut outdated);
        }
        Self { written, outdated }
    }

    /// Who wrote the header of this name.
    #[must_use]
    pub fn writer(&self, name: &[u8]) -> Writer {
        if has(&self.written, name) {
            Writer::Earlier
        } else if has(&self.outdated, name) {
            Writer::Redirected
        } else {
            Writer::Client
        }
    }

    /// The value for those behind this instance, which wrote these headers too: texts of one name or several.
    #[inline]
    #[must_use]
    pub fn and<'n>(&self, mark: &'n str, names: impl Iterator<Item = &'n str> + Clone) -> Vec<u8> {
        let earlier = self.written.iter().chain(&self.outdated).map(|(name, _)| name.len());
        let lengths = earlier.chain([mark.len(), 1]).chain(names.clone().map(str::len));
        let mut state = Vec::with_capacity(lengths.map(|length| length.saturating_add(1)).sum());
        let mut add = |name: &[u8]| {
            state.extend_from_slice(name);
            state.push(b' ');
        };
        self.written.iter().for_each(|(name, _)| add(name));
        core::iter::once(mark).chain(names).for_each(|name| add(name.as_bytes()));
        if !self.outdated.is_empty() {
            add(&[BORDER]);
            self.outdated.iter().for_each(|(name, _)| add(name));
        }
        state
    }
}

fn has(names: &[(&[u8], usize)], name: &[u8]) -> bool {
    names.binary_search_by(|(known, _)| (*known).cmp(name)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_earlier_instance_wrote_is_no_forgery() {
        let first = Chain::new(None, "@1").and("@1", ["x-flag-a", "x-flags"].into_iter());
        let second = Chain::new(Some(&first), "@2");
        assert_eq!(second.writer(b"x-flag-a"), Writer::Earlier);
        assert_eq!(second.writer(b"x-flag-b"), Writer::Client);
        assert_eq!(second.writer(b"x_flag_a"), Writer::Client);
        let both = second.and("@2", ["x-flag-b", "x-flags"].into_iter());
        let third = Chain::new(Some(&both), "@3");
        assert_eq!([b"x-flag-a", b"x-flag-b"].map(|name| third.writer(name)), [Writer::Earlier; 2]);
    }

    #[test]
    fn after_a_redirect_the_chain_begins_anew() {
        let first = Chain::new(None, "@1").and("@1", ["x-flag-a"].into_iter());
        let both = Chain::new(Some(&first), "@2").and("@2", ["x-flag-b"].into_iter());
        let again = Chain::new(Some(&both), "@1");
        assert_eq!([b"x-flag-a", b"x-flag-b"].map(|name| again.writer(name)), [Writer::Redirected; 2]);
        let again = again.and("@1", ["x-flag-a"].into_iter());
        let second = Chain::new(Some(&again), "@2");
        assert_eq!([b"x-flag-a", b"x-flag-b"].map(|name| second.writer(name)), [Writer::Earlier, Writer::Redirected]);
        assert_eq!(second.writer(b"x-flag-c"), Writer::Client);
    }
}
