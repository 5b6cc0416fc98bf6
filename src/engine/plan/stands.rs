//! Brings what has been decided so far about flags, as the config carries it, into the flags of its plan.
//!
//! Here it costs no request anything: a rule knows how many steps its ramp may take, and a flag whether it was rolled
//! back. What was decided about another generation of a flag is void. Never looks at a clock.

use super::{Flag, Rule};
use crate::config::Exposure;
use crate::config::standing::{Phase, Standing};
use crate::value::time::Timestamp;

/// Why a ramp is behind its clock, whatever the guard says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waits {
    /// The standing allows no more steps.
    Standing,
    /// The next step waits until the standing allows it: the fleet is healthy.
    Fleet,
    /// The next step waits until the standing allows it: so many endpoints are ready.
    Ready(u32),
    /// The next step waits until somebody approves of it.
    Approval,
}

/// Brings in one entry, unless it is void.
pub(super) fn apply(standing: &Standing, generation: u64, flag: &mut Flag) {
    if !standing.is_of(generation) {
        return;
    }
    for (rule, number) in flag.rules.iter_mut().zip(1_u8..) {
        rule.cap = rule.exposure.cap(Some((standing, number)));
    }
    if standing.phase == Phase::RolledBack {
        flag.plain = None;
    }
    flag.stands = Some(Box::new(standing.clone()));
}

impl Flag {
    /// Whether the standing in the config has taken the flag back.
    #[inline]
    #[must_use]
    pub fn is_back(&self) -> bool {
        self.stands.as_ref().is_some_and(|standing| standing.phase == Phase::RolledBack)
    }

    /// Why one of its ramps takes no step more at this time; `None` where it is not behind its clock, or where only a
    /// guard keeps it.
    #[must_use]
    pub fn waits(&self, rule: &Rule, now: Timestamp) -> Option<Waits> {
        let Exposure::Steps(steps) = &rule.exposure else { return None };
        let next = steps.get(usize::from(rule.cap)).filter(|step| step.at <= now)?;
        if next.lacks_approval() {
            return Some(Waits::Approval);
        }
        let held = self.stands.as_ref().is_some_and(|standing| standing.phase == Phase::Held);
        match next.requires.ready {
            _ if held => Some(Waits::Standing),
            Some(ready) if !next.requires.fleet => Some(Waits::Ready(ready)),
            _ if next.requires.fleet => Some(Waits::Fleet),
            _ => Some(Waits::Standing),
        }
    }
}
