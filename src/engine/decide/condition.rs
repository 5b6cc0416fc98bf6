//! Turns a condition and a request into true or false. A missing value makes a test false; nothing fails.
//!
//! Each segment is worked out at most once a request, so that the cost of a request is bounded by the size of
//! the config, however its segments refer to each other.

use core::net::IpAddr;

use crate::config::Operator;
use crate::plan::{Condition, Plan, Subject};
use crate::request::{Request, Value};
use crate::value::decimal::Decimal;

use super::identity::Identities;
use super::witness::Witness;

pub(super) struct Conditions<'p, 'r> {
    plan: &'p Plan,
    request: &'r Request<'r>,
    /// What is known of each segment.
    segments: Vec<Option<bool>>,
}

impl<'p, 'r> Conditions<'p, 'r> {
    pub(super) fn new(plan: &'p Plan, request: &'r Request<'r>) -> Self {
        Self { plan, request, segments: vec![None; plan.segments.len()] }
    }

    /// Whether a condition is true, for a flag with the identity at this place of the plan.
    pub(super) fn holds(
        &mut self,
        condition: &'p Condition,
        identity: usize,
        identities: &mut Identities<'p, 'r>,
        witness: &mut impl Witness,
    ) -> bool {
        match condition {
            Condition::All(parts) => parts.iter().all(|part| self.holds(part, identity, identities, witness)),
            Condition::Any(parts) => parts.iter().any(|part| self.holds(part, identity, identities, witness)),
            Condition::Not(part) => {
                witness.not();
                !self.holds(part, identity, identities, witness)
            }
            Condition::Segment(place) => {
                let holds = self.segment(*place, identities, witness);
                witness.segment(*place, holds);
                holds
            }
            Condition::Test(subject, operator) => {
                let request = self.request;
                let (value, many) = match subject {
                    Subject::Method => (Some(request.method()), false),
                    Subject::Host => (Some(request.host()), false),
                    Subject::Path => (Some(request.path()), false),
                    Subject::Identity => (identities.resolve(identity), false),
                    Subject::Slot(slot) => (request.value(*slot).one(), *request.value(*slot) == Value::Many),
                };
                let holds = match operator {
                    // There, but without a single value: that it is there is all that can be said.
                    Operator::Exists(wanted) if many => *wanted,
                    _ => test(operator, value),
                };
                witness.test(*subject, operator, value, many, holds);
                holds
            }
        }
    }

    fn segment(&mut self, place: usize, identities: &mut Identities<'p, 'r>, witness: &mut impl Witness) -> bool {
        if let Some(known) = self.segments.get(place).copied().flatten() {
            return known;
        }
        let Some(condition) = self.plan.segments.get(place) else { return false };
        // Inside a segment the identity is the config's own, so that the answer is the same for every flag.
        let holds = self.holds(condition, 0, identities, witness);
        if let Some(known) = self.segments.get_mut(place) {
            *known = Some(holds);
        }
        holds
    }
}

/// Whether a value passes an operator.
#[must_use]
pub fn test(operator: &Operator, value: Option<&[u8]>) -> bool {
    let Some(value) = value else { return *operator == Operator::Exists(false) };
    match operator {
        Operator::Equals(known) => **known == *value,
        Operator::In(known) => known.binary_search_by(|known| (**known).cmp(value)).is_ok(),
        Operator::StartsWith(known) => value.starts_with(known),
        Operator::EndsWith(known) => value.ends_with(known),
        Operator::Contains(known) => value.windows(known.len().max(1)).any(|window| *window == **known),
        Operator::Exists(wanted) => *wanted,
        Operator::Cidr(networks) => {
            let address = core::str::from_utf8(value).ok().and_then(|text| text.parse::<IpAddr>().ok());
            // An IPv4 client of an IPv6 socket is still an IPv4 client.
            let address = address.map(|address| address.to_canonical());
            address.is_some_and(|address| networks.iter().any(|network| network.contains(&address)))
        }
        Operator::Semver(wanted) => {
            let version = core::str::from_utf8(value).ok().and_then(|text| semver::Version::parse(text).ok());
            version.is_some_and(|version| wanted.matches(&version))
        }
        Operator::Number(wanted) => Decimal::parse(value).is_some_and(|number| wanted.holds(number)),
        Operator::Glob(pattern) => glob(pattern, value),
    }
}

/// `*` stands for any bytes, `?` for one. Goes back only to the last star, so that no pattern is slow: at most
/// pattern times value steps.
#[must_use]
pub fn glob(pattern: &[u8], value: &[u8]) -> bool {
    let (mut at, mut in_pattern) = (0_usize, 0_usize);
    let mut star: Option<(usize, usize)> = None;
    while let Some(byte) = value.get(at) {
        match pattern.get(in_pattern) {
            Some(b'*') => {
                star = Some((in_pattern, at));
                in_pattern = in_pattern.saturating_add(1);
            }
            Some(expected) if *expected == b'?' || expected == byte => {
                at = at.saturating_add(1);
                in_pattern = in_pattern.saturating_add(1);
            }
            _ => {
                // Let the last star take one byte more, and try again behind it.
                let Some((star_at, taken)) = star else { return false };
                at = taken.saturating_add(1);
                star = Some((star_at, at));
                in_pattern = star_at.saturating_add(1);
            }
        }
    }
    pattern.get(in_pattern..).is_some_and(|rest| rest.iter().all(|byte| *byte == b'*'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_glob_is_only_stars_and_question_marks() {
        for (pattern, value, fits) in [
            ("*", "", true),
            ("?", "", false),
            ("a*c", "abbbc", true),
            ("a*c", "abbb", false),
            ("a?c", "abc", true),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b*", "xxbxxaxx", false),
            ("a[bc]", "ab", false),
            ("a[bc]", "a[bc]", true),
            ("", "", true),
            ("", "a", false),
            ("**", "abc", true),
        ] {
            assert_eq!(glob(pattern.as_bytes(), value.as_bytes()), fits, "{pattern} {value}");
        }
    }

    #[test]
    fn no_glob_is_slow() {
        let pattern = "*a".repeat(500);
        assert!(!glob(format!("{pattern}b").as_bytes(), "a".repeat(8_000).as_bytes()));
    }
}
