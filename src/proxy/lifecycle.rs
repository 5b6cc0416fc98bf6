//! Turns a compiled config and what is remembered into what the filter does: serve, stand by an older one, or refuse.
//!
//! A host may first try a config in a worker that it throws away, and then give it to each of its workers. If one of
//! those refuses what the first accepted, the host silently skips the filter and refuses every later push; if the first
//! config of a proxy is refused, no request gets through. So a push is judged once, and the judgement is kept where all
//! workers see it:
//!
//! | the config is | remembered | what happens |
//! | --- | --- | --- |
//! | good | | serve it, and remember it as the last good one |
//! | bad | it was accepted before | accept it again; stand by the last good one, or serve nothing |
//! | bad | a last good one | refuse: the host keeps what runs |
//! | bad | nothing | accept it, remember that, serve nothing |
//!
//! Invariant: in whatever order workers see pushes, none refuses what another has accepted. A good config is good in
//! every worker; and bad bytes that were accepted are on record, for ever, before any other worker is asked. Which
//! config is the last good one is written by every worker that loads it: while a worker lags behind by whole pushes,
//! that can for this moment be the one before, which was good, too.
//!
//! A worker that serves a good config need not judge bytes that are on record as good for this version of the module: it
//! accepts them at once, and [`push`](crate::push) reads them while requests go on.
//!
//! What is remembered goes by the filter's [`key`]. Two filters that have one key cannot be told apart by what the host
//! says of them. So a bad config stands by the last good one only where it took a good one's place, in this worker or,
//! as that is on record, in another: where it is all that a worker has ever loaded, nothing says that the last good
//! config is one of this filter, and to serve another filter's would be the worst that can happen.

use tidegate_engine::plan::{Compiled, Plan};
use tidegate_engine::value::hash::Salt;

/// The name under which all workers of a filter remember things: made of what the host calls the filter. Another filter
/// has another one where any of these parts differ.
#[must_use]
pub fn key(parts: [&[u8]; 3]) -> String {
    format!("tidegate/{:016x}/", Salt::new("tidegate-filter").point(&parts.join(&0)).bits())
}

/// How many accepted bad configs are remembered. A proxy meets them only until its first good one.
const MOST: usize = 64;

/// What is in force after a push.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// Nothing: requests pass undecided.
    #[default]
    Inert,
    /// The config that was pushed.
    Active,
    /// The last good config, in place of a bad one.
    LastGood,
}

impl State {
    /// Its name. Stable: seen in the page's JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Inert => "inert",
            Self::Active => "active",
            Self::LastGood => "last_good",
        }
    }

    #[must_use]
    pub const fn code(self) -> u64 {
        match self {
            Self::Inert => 0,
            Self::Active => 1,
            Self::LastGood => 2,
        }
    }
}

/// What to do with a push.
#[derive(Debug)]
pub enum Judgement {
    /// Accept it and serve this plan.
    Accept(Box<Plan>, State),
    /// Refuse it: what runs goes on.
    Refuse,
}

/// Configs that were accepted, as they are kept: eight bytes each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accepted(Vec<u8>);

impl Accepted {
    /// Reads what [`Accepted::as_bytes`] wrote.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The form in which it is kept.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether this config is one of them.
    #[must_use]
    pub fn has(&self, config: &[u8]) -> bool {
        let config = fingerprint(config);
        self.0.chunks_exact(8).any(|known| *known == config)
    }

    /// Adds a config; beyond the most that is kept, the oldest goes.
    pub fn add(&mut self, config: &[u8]) {
        if self.has(config) {
            return;
        }
        let surplus = self.0.len().saturating_add(8).saturating_sub(MOST.saturating_mul(8));
        self.0 = self.0.split_off(surplus);
        self.0.extend(fingerprint(config));
    }
}

fn fingerprint(config: &[u8]) -> [u8; 8] {
    Salt::new("tidegate-config").point(config).bits().to_le_bytes()
}

/// Judges a bad push; `inert` is the plan that only strips, `accepted` whether these bytes are on record, and
/// `stands_by` whether they took the place of a good config.
#[must_use]
pub fn judge_bad(inert: Plan, accepted: bool, falls_back: bool, last_good: Option<&[u8]>) -> Judgement {
    // A refused config needs no plan: the running one stays.
    if !accepted && last_good.is_some() {
        return Judgement::Refuse;
    }
    // An older module may have stored the last good config, and this one may not accept it.
    match last_good.filter(|_| falls_back).map(|bytes| Plan::from_bytes(bytes).0) {
        Some(Compiled::Ready(plan)) => Judgement::Accept(Box::new(plan), State::LastGood),
        Some(Compiled::Broken(_)) | None => Judgement::Accept(Box::new(inert), State::Inert),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepted_configs_are_remembered_up_to_a_bound() {
        let mut accepted = Accepted::default();
        for n in 0..100_u32 {
            accepted.add(&n.to_le_bytes());
            accepted.add(&n.to_le_bytes());
            assert!(accepted.has(&n.to_le_bytes()));
        }
        assert_eq!(accepted.as_bytes().len(), MOST * 8);
        assert!(!accepted.has(&35_u32.to_le_bytes()) && accepted.has(&36_u32.to_le_bytes()));
        assert_eq!(Accepted::new(accepted.as_bytes().to_vec()), accepted);
    }

    #[test]
    fn filters_that_differ_have_unequal_keys() {
        let key = |name: &str, root: &str, vm: &str| key([name.as_bytes(), root.as_bytes(), vm.as_bytes()]);
        let all = [key("a", "b", ""), key("ab", "", ""), key("", "ab", ""), key("a", "", "b"), key("a", "b", "c")];
        for (place, one) in all.iter().enumerate() {
            assert!(!all[..place].contains(one), "{place}");
        }
        assert_eq!(key("a", "b", "c"), all[4]);
        assert_eq!(key("", "", "").len(), "tidegate/0123456789abcdef/".len());
    }

    #[test]
    fn a_record_that_is_cut_short_is_no_record() {
        let mut accepted = Accepted::new(vec![1, 2, 3]);
        assert!(!accepted.has(b"x"));
        accepted.add(b"x");
        assert!(!accepted.has(b"y"));
    }
}
