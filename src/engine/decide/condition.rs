//! Turns a condition and a request into true or false. A missing value makes a test false; nothing fails.
//!
//! Each segment is evaluated at most once per request, so the cost of a request is bounded by the size of the config,
//! however its segments refer to each other.

use core::net::IpAddr;

use crate::config::Operator;
use crate::plan::{Condition, Plan, Subject};
use crate::request::{Request, Value};
use crate::value::decimal::Decimal;
use crate::value::search::{self, LOOKED_AT};
use crate::value::version::Version;

use super::identity::Identities;
use super::witness::Witness;

pub(super) struct Conditions<'p, 'r> {
    plan: &'p Plan,
    request: &'r Request<'r>,
    /// The results of the segments evaluated so far.
    segments: Vec<Option<bool>>,
}

impl<'p, 'r> Conditions<'p, 'r> {
    #[inline]
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
                    Subject::Method => short(request.method()),
                    Subject::Host => short(request.host()),
                    Subject::Path => short(request.path()),
                    Subject::Identity => (identities.resolve(identity), false),
                    Subject::Slot(slot) => (request.value(*slot).one(), *request.value(*slot) == Value::Many),
                };
                let holds = match operator {
                    // There are several values, or one that is too long: we only know that it is present.
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

/// The value of a part that every request has; `true` if it is too long to be used.
fn short(value: &[u8]) -> (Option<&[u8]>, bool) {
    let fits = value.len() <= LOOKED_AT;
    (fits.then_some(value), !fits)
}

/// A value as text, unless it is longer than any real address, version or number.
fn text(value: &[u8]) -> Option<&str> {
    const LONGEST: usize = 256;
    if value.len() > LONGEST { None } else { core::str::from_utf8(value).ok() }
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
        Operator::Contains(known) => search::find(known, value, None).is_some(),
        Operator::Exists(wanted) => *wanted,
        Operator::Cidr(networks) => {
            let address = text(value).and_then(|text| text.parse::<IpAddr>().ok());
            // An IPv4 client of an IPv6 socket is still an IPv4 client.
            let address = address.map(|address| address.to_canonical());
            address.is_some_and(|address| networks.iter().any(|network| network.contains(&address)))
        }
        Operator::Semver(wanted) => {
            let version = text(value).and_then(Version::parse);
            version.is_some_and(|version| wanted.matches(&version))
        }
        Operator::Number(wanted) => {
            text(value).and_then(|text| Decimal::parse(text.as_bytes())).is_some_and(|number| wanted.holds(number))
        }
        Operator::Glob(pattern) => search::glob(pattern, value),
    }
}
