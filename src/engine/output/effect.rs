//! Turns decisions into effects: what is written to the request, and what the response has to carry.
//!
//! Effects are data; the filter applies them in order, and knows no rule. Whatever a client sent under a name
//! that the filter owns is removed or replaced, never added to. Never writes an identity, but into the cookie
//! that keeps a generated one.

use core::fmt::Write;
use std::borrow::Cow;

use crate::decide::{Decision, Decisions};
use crate::output::baggage::{self, BAGGAGE};
use crate::plan::{DICTIONARY, Plan};
use crate::request::Request;
use crate::value::name::item;

/// The response header of inspection.
pub const INSPECTION: &str = "x-tidegate";

/// The longest inspection header, dictionary and filter state, in bytes: proxies and servers refuse headers of more than 8 KiB.
const HEADER_MAX: usize = 4 * 1024;

/// One change to a request's headers or route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect<'e> {
    /// Take every value of this header away.
    Remove(&'e str),
    /// Make this the only value of this header.
    Set(&'e str, &'e str),
    /// Make this the only value of the dictionary header.
    Dictionary(String),
    /// Make this the only value of the baggage header.
    Baggage(Vec<u8>),
    /// Look the route up again: a header that routes may match has changed.
    ClearRoute,
}

/// The effects on the request, in the order in which they must be applied.
#[must_use]
pub fn on_request<'e>(plan: &'e Plan, request: &'e Request<'_>, decisions: &'e Decisions<'_>) -> Vec<Effect<'e>> {
    let list = decisions.list();
    let forged = request.forged();
    let mut effects = Vec::with_capacity(list.len().saturating_mul(2).saturating_add(forged.len()).saturating_add(2));
    // A twin of an owned header cannot be replaced by writing the header, so what was forged goes first.
    effects.extend(forged.iter().map(|name| Effect::Remove(name)));
    // Of a request that could not be read, nobody knows what its baggage is.
    let tells = plan.telemetry.baggage && !request.method().is_empty();
    let baggage = if tells { baggage(plan, request, list) } else { None };
    if baggage.is_some() && !request.baggage().is_empty() {
        effects.push(Effect::Remove(BAGGAGE));
    }
    let mut routes = !forged.is_empty();
    for decision in list {
        routes |= decision.flag().routes;
        for (name, value) in &decision.variant().writes {
            let name = name.as_str();
            let taken = plan.shared_headers
                && effects.iter().any(|effect| matches!(effect, Effect::Set(known, _) if *known == name));
            if !taken {
                effects.push(Effect::Set(name, value.as_str()));
            }
        }
    }
    if plan.dictionary && !list.is_empty() {
        effects.push(Effect::Dictionary(join(list, |decision, text| text.push_str(&decision.variant().member))));
    }
    effects.extend(baggage.filter(|value| !value.is_empty()).map(Effect::Baggage));
    if routes {
        effects.push(Effect::ClearRoute);
    }
    effects
}

/// The baggage as it goes on, if it changes.
fn baggage(plan: &Plan, request: &Request<'_>, list: &[Decision<'_>]) -> Option<Vec<u8>> {
    let ours = list.iter().map(|decision| (decision.flag().key().as_str(), decision.variant().name().as_str()));
    let owned = |key: &[u8]| plan.flags.binary_search_by(|flag| flag.key().as_str().as_bytes().cmp(key)).is_ok();
    baggage::rewritten(request.baggage(), ours, owned)
}

/// What the request's filter state has to hold, for access logs and spans: names, to which Envoy adds `wasm.` in front,
/// and values.
#[must_use]
pub fn on_stream<'e>(plan: &'e Plan, decisions: &'e Decisions<'_>) -> Vec<(&'static str, Cow<'e, str>)> {
    let list = decisions.list();
    let mut states = Vec::new();
    if plan.telemetry.access_log && !list.is_empty() {
        states.push(("tidegate", Cow::Owned(join(list, |decision, text| told(decision, None, text)))));
    }
    if plan.telemetry.spans
        && let Some(decision) = list.iter().find(|decision| decision.flag().routes)
    {
        let version = plan.revision().map(|revision| ("tidegate.version", revision.as_str()));
        let parts = [
            ("tidegate.key", decision.flag().key().as_str()),
            ("tidegate.variant", decision.variant().name().as_str()),
            ("tidegate.reason", decision.reason().open_feature()),
        ];
        states.extend(parts.into_iter().chain(version).map(|(name, value)| (name, Cow::Borrowed(value))));
    }
    states
}

/// The headers of the request as the effects leave them: what is not touched as it was and in its order, what is
/// written behind it.
#[must_use]
pub fn rewritten<'e>(headers: &'e [(String, Vec<u8>)], effects: &'e [Effect<'_>]) -> Vec<(&'e str, &'e [u8])> {
    // What is removed stands first.
    let removed = effects.iter().map_while(|effect| if let Effect::Remove(name) = effect { Some(name) } else { None });
    let gone = |name: &str| removed.clone().any(|gone| gone.eq_ignore_ascii_case(name));
    // Whatever a client sent under a name that is written has been removed by an effect of its own.
    let kept = headers.iter().filter(|(name, _)| !gone(name)).map(|(name, value)| (name.as_str(), value.as_slice()));
    let written = effects.iter().filter_map(Effect::written);
    kept.chain(written).collect()
}

impl Effect<'_> {
    /// The header that is written, and its value.
    #[must_use]
    pub fn written(&self) -> Option<(&str, &[u8])> {
        match self {
            Self::Set(name, value) => Some((name, value.as_bytes())),
            Self::Dictionary(value) => Some((DICTIONARY, value.as_bytes())),
            Self::Baggage(value) => Some((BAGGAGE, value)),
            Self::Remove(_) | Self::ClearRoute => None,
        }
    }
}

/// An answer in the upstream's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer<'p> {
    /// The status.
    pub status: u32,
    /// All headers.
    pub headers: Vec<(&'p str, &'p str)>,
    /// The body.
    pub body: &'p str,
}

/// The answer that the first variant with one gives, in the form that the client takes; `None` to ask the upstream.
#[must_use]
pub fn reply<'p>(plan: &'p Plan, request: &Request<'_>, decisions: &Decisions<'p>) -> Option<Answer<'p>> {
    let reply = decisions.list().iter().find_map(|decision| decision.variant().reply.as_ref())?;
    let mut headers: Vec<(&str, &str)> = reply.headers.iter().map(|(name, value)| (&**name, &**value)).collect();
    let Some((kind, body)) = &reply.plain else {
        return Some(Answer { status: reply.status, headers, body: "" });
    };
    // What a client names first it would rather have: browsers name HTML, and JSON not at all.
    let accept = plan.accept.and_then(|slot| request.value(slot).one()).unwrap_or_default();
    let stands = |at: usize, kind: &str| {
        let part = accept.get(at..).and_then(|rest| rest.get(..kind.len()));
        part.is_some_and(|part| part.eq_ignore_ascii_case(kind.as_bytes()))
    };
    let named = |kind: &str| (0..accept.len()).find(|at| stands(*at, kind));
    let forms = reply.forms.iter().filter_map(|(sign, kind, body)| Some((named(sign)?, *kind, &**body)));
    let (_, kind, body) = forms.min_by_key(|(place, ..)| *place).unwrap_or((0, kind, body));
    headers.push(("content-type", kind));
    Some(Answer { status: reply.status, headers, body })
}

/// What the response has to carry, worked out while the request is there to be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OnResponse {
    /// A `set-cookie` to add.
    pub cookie: Option<String>,
    /// What was decided and why, for a request that asked.
    pub inspection: Option<String>,
}

impl OnResponse {
    /// What the response to this request has to carry.
    #[must_use]
    pub fn new(plan: &Plan, request: &Request<'_>, decisions: &Decisions<'_>) -> Self {
        Self {
            cookie: decisions.cookie().map(crate::decide::Cookie::header),
            inspection: asks(plan, request)
                .then(|| join(decisions.list(), |decision, text| told(decision, decision.exposure(), text))),
        }
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.cookie.is_none() && self.inspection.is_none()
    }
}

/// Whether the request carries the inspection key.
#[must_use]
pub fn asks(plan: &Plan, request: &Request<'_>) -> bool {
    let (Some(inspect), Some(slot)) = (&plan.inspect, plan.inspect_slot) else { return false };
    let Some(sent) = request.value(slot).one() else { return false };
    inspect.equals.as_ref().is_none_or(|key| same(key.as_str().as_bytes(), sent))
}

/// Compares a key without telling by the time taken how much of it was right.
fn same(key: &[u8], sent: &[u8]) -> bool {
    key.len() == sent.len() && key.iter().zip(sent).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

/// `checkout=v2;reason=split;exposure=12345`; the exposure only for who has the key: with the salts of many flags it
/// would come close to an identity.
fn told(decision: &Decision<'_>, exposure: Option<u32>, text: &mut String) {
    let name = item(decision.variant().name().as_str());
    // Writing to a string cannot fail.
    let _ = write!(text, "{}={name};reason={}", decision.flag().key(), decision.reason().code());
    if let Some(exposure) = exposure {
        let _ = write!(text, ";exposure={exposure}");
    }
    if decision.missed_draw() && decision.reason() != crate::decide::Reason::NoIdentity {
        text.push_str(";no_identity");
    }
}

/// The members of a dictionary. What does not fit is counted in a last member, so that nothing is lost unseen.
fn join(decisions: &[Decision<'_>], mut member: impl FnMut(&Decision<'_>, &mut String)) -> String {
    let mut text = String::new();
    for (index, decision) in decisions.iter().enumerate() {
        let before = text.len();
        if index > 0 {
            text.push_str(", ");
        }
        member(decision, &mut text);
        if text.len() > HEADER_MAX {
            text.truncate(before);
            let _ = write!(text, ", *more={}", decisions.len().saturating_sub(index));
            break;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_compared_whole() {
        assert!(same(b"secret", b"secret"));
        assert!(!same(b"secret", b"secre"));
        assert!(!same(b"secret", b"secreT"));
        assert!(!same(b"secret", b""));
    }
}
