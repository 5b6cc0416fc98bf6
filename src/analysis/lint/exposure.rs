//! Computes the share of users that a flag serves another variant than its baseline at a time.
//!
//! Rules with a condition do not count: they pick their users on purpose. Reads no clock, and ignores guards: a ramp
//! is assumed to go as it was written.

use std::collections::BTreeSet;

use super::logic;
use crate::parts::{baseline, only_variant};
use tidegate_engine::config::{Config, Exposure, Flag, Serve};
use tidegate_engine::value::share::Ppm;
use tidegate_engine::value::time::Timestamp;

/// This time, and all later times at which the share of a rule changes.
pub fn times(flag: &Flag, from: Timestamp) -> BTreeSet<Timestamp> {
    let steps = flag.rules.iter().flat_map(|rule| match &rule.exposure {
        Exposure::Fixed(_) => [].as_slice(),
        Exposure::Steps(steps) => steps,
    });
    steps.map(|step| step.at).filter(|at| *at > from).chain([from]).collect()
}

/// How much of a share is served another variant than the baseline.
pub fn away(flag: &Flag, serve: &Serve, share: Ppm) -> Ppm {
    let safe = baseline(flag);
    let (away, total) = match serve {
        Serve::One(name) => (u64::from(name.as_str() != safe), 1),
        Serve::Split(parts) => {
            let sum = |all: bool| {
                let counted = parts.iter().filter(|part| all || part.variant.as_str() != safe);
                counted.map(|part| u64::from(part.weight)).sum::<u64>()
            };
            (sum(false), sum(true))
        }
    };
    let part = u64::from(share.parts()).saturating_mul(away).checked_div(total).unwrap_or_default();
    Ppm::of(u32::try_from(part).unwrap_or(u32::MAX))
}

/// The share of all users that is served another variant than the baseline at a time.
///
/// All rules of a flag use the same draw: a rule adds only the users that no smaller share before it has taken.
pub fn everybody(config: &Config, flag: &Flag, at: Timestamp) -> Ppm {
    if flag.kill {
        return Ppm::NONE;
    }
    let mut taken = Ppm::NONE;
    let mut sum: u32 = 0;
    for rule in flag.rules.iter().filter(|rule| logic::takes_all(config, flag, rule)) {
        let share = rule.exposure.share_at(at);
        let more = Ppm::of(share.parts().saturating_sub(taken.parts()));
        sum += away(flag, &rule.serve, more).parts();
        taken = taken.max(share);
    }
    let safe = flag.default.as_ref().is_none_or(|name| name.as_str() == baseline(flag));
    Ppm::of(if safe { sum } else { sum + taken.rest().parts() })
}

/// The one variant that a flag serves from this time on, whoever asks; none where that depends on something.
pub fn only<'f>(config: &Config, flag: &'f Flag, from: Timestamp) -> Option<&'f str> {
    let safe = baseline(flag);
    if flag.kill {
        return Some(safe);
    }
    if times(flag, from).len() > 1 {
        return None;
    }
    let mut served = Vec::new();
    for rule in flag.rules.iter().filter(|rule| rule.exposure.share_at(from) != Ppm::NONE) {
        served.push(only_variant(&rule.serve)?);
        if rule.exposure.share_at(from) == Ppm::FULL && logic::takes_all(config, flag, rule) {
            let one = *served.first()?;
            return served.iter().all(|name| *name == one).then_some(one);
        }
    }
    let behind = flag.default.as_ref().map_or(safe, |name| name.as_str());
    served.iter().all(|name| *name == behind).then_some(behind)
}
