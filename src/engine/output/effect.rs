//! Turns decisions into effects: what is written to the request, and what the response has to carry.
//!
//! Effects are data; the filter applies them in order, and knows no rule. Whatever a client sent under a name
//! that the filter owns is removed or replaced, never added to. Never writes an identity, but into the cookie
//! that keeps a generated one.

use core::fmt::Write;
use std::borrow::Cow;
use std::sync::Arc;

use crate::config::Cache;
use crate::decide::{Decision, Decisions};
use crate::output::baggage::{self, BAGGAGE};
use crate::plan::{DICTIONARY, HEADER_MAX, Plan, Varies};
use crate::request::Request;
use crate::value::name::item;
use crate::value::order;

pub const INSPECTION: &str = "x-tidegate";

/// Response headers that some shared caches obey in place of `cache-control` (RFC 9213).
pub const TARGETED: [&str; 2] = ["cdn-cache-control", "surrogate-control"];

/// One change to a request's headers or route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect<'e> {
    /// Remove every value of this header.
    Remove(Box<[u8]>),
    /// Set this header to this one value.
    Set(&'e str, &'e str),
    /// Set the dictionary header to this one value.
    Dictionary(String),
    /// Set the baggage header to this one value, in place of all that stands there.
    Baggage(Vec<u8>),
    /// Look the route up again: a header that routes may match has changed.
    ClearRoute,
}

/// The effects on the request, in the order in which they must be applied.
#[inline]
#[must_use]
pub fn on_request<'e>(plan: &'e Plan, request: &Request<'_>, decisions: &Decisions<'e>) -> Vec<Effect<'e>> {
    let list = decisions.list();
    let removed = request.removed();
    let mut effects = Vec::with_capacity(list.len().saturating_mul(2).saturating_add(removed.len()).saturating_add(2));
    if request.has_twins() {
        remove(plan, request, list, &mut effects);
    }
    // The request could not be read, so its baggage is not known and must not be overwritten.
    let tells = plan.telemetry.baggage && !request.method().is_empty();
    let baggage = if tells { baggage(plan, request, list) } else { None };
    if baggage.as_ref().is_some_and(Vec::is_empty) && !request.baggage().is_empty() {
        effects.push(Effect::Remove(BAGGAGE.as_bytes().into()));
    }
    let mut routes = !removed.is_empty();
    let mut taken = vec![false; plan.shared.len()];
    for decision in list {
        routes |= decision.flag().routes;
        for (name, value) in &decision.variant().writes {
            let place = plan.shared.binary_search(name).ok();
            let taken = place.and_then(|place| taken.get_mut(place));
            // The first of two flags that write one header wins.
            if !taken.is_some_and(|taken| core::mem::replace(taken, true)) {
                effects.push(Effect::Set(name.as_str(), value.as_str()));
            }
        }
    }
    if plan.dictionary && !list.is_empty() {
        effects.push(Effect::Dictionary(dictionary(request, list)));
    }
    effects.extend(baggage.filter(|value| !value.is_empty()).map(Effect::Baggage));
    if routes {
        effects.push(Effect::ClearRoute);
    }
    effects
}

/// Removes what cannot be replaced by writing it.
#[inline(never)]
fn remove(plan: &Plan, request: &Request<'_>, list: &[Decision<'_>], effects: &mut Vec<Effect<'_>>) {
    // A twin of an owned header cannot be replaced by writing the header, so what was forged goes first.
    effects.extend(request.removed().iter().map(|name| Effect::Remove((*name).into())));
    // Likewise, what an earlier instance wrote goes before this one writes it again.
    let written = |decision: &Decision<'_>, name: &[u8]| {
        let mut names = decision.variant().writes.iter().map(|(name, _)| name.as_str().as_bytes());
        plan.dictionary && name == DICTIONARY.as_bytes() || names.any(|known| known == name)
    };
    for name in request.kept() {
        if list.iter().any(|decision| written(decision, name)) {
            effects.push(Effect::Remove(name.into()));
        }
    }
}

#[inline(never)]
fn dictionary(request: &Request<'_>, list: &[Decision<'_>]) -> String {
    let ours = join(list, |decision, text| text.push_str(&decision.variant().member));
    // What an instance before this one decided stays in front: of a key that stands twice, the last one counts.
    let earlier = request.earlier(DICTIONARY).and_then(|value| core::str::from_utf8(value).ok());
    let all = earlier.filter(|earlier| !earlier.is_empty()).map(|earlier| format!("{earlier}, {ours}"));
    all.unwrap_or(ours)
}

/// The baggage as it goes on, if it changes.
#[inline(never)]
fn baggage(plan: &Plan, request: &Request<'_>, list: &[Decision<'_>]) -> Option<Vec<u8>> {
    let ours = list.iter().map(|decision| (decision.flag().key().as_str(), decision.variant().name().as_str()));
    let owned = |key: &[u8]| plan.flags.binary_search_by(|flag| flag.key().as_str().as_bytes().cmp(key)).is_ok();
    baggage::rewritten(request.baggage(), ours, owned)
}

/// What the request's filter state has to hold, for access logs and spans: names, to which Envoy adds `wasm.` in front,
/// and values.
#[inline]
#[must_use]
pub fn on_stream<'e>(plan: &'e Plan, decisions: &'e Decisions<'_>) -> Vec<(&'static str, Cow<'e, str>)> {
    if plan.telemetry.access_log || plan.telemetry.spans { states(plan, decisions.list()) } else { Vec::new() }
}

#[inline(never)]
fn states<'e>(plan: &'e Plan, list: &'e [Decision<'_>]) -> Vec<(&'static str, Cow<'e, str>)> {
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
            ("tidegate.reason", decision.reason().telemetry()),
        ];
        states.extend(parts.into_iter().chain(version).map(|(name, value)| (name, Cow::Borrowed(value))));
    }
    states
}

/// The headers of the request as the effects leave them: what is not touched as it was and in its order, what is
/// written behind it.
#[must_use]
pub fn rewritten<'e>(
    headers: impl Iterator<Item = (&'e [u8], &'e [u8])>,
    effects: &'e [Effect<'_>],
) -> Vec<(&'e [u8], &'e [u8])> {
    let removed = effects.iter().filter_map(|effect| match effect {
        Effect::Remove(name) => Some(name.to_ascii_lowercase()),
        Effect::Baggage(_) => Some(BAGGAGE.as_bytes().to_vec()),
        Effect::Set(..) | Effect::Dictionary(_) | Effect::ClearRoute => None,
    });
    let written = effects.iter().filter_map(Effect::written);
    // Whatever else stood under a name that is written has been removed by an effect of its own.
    let removed: Vec<Vec<u8>> = removed.collect();
    let gone = order::of(removed.iter().map(Vec::as_slice));
    let has = |name: &[u8]| gone.binary_search_by(|(gone, _)| (*gone).cmp(name)).is_ok();
    let gone = |name: &[u8]| !removed.is_empty() && has(&name.to_ascii_lowercase());
    let kept = headers.filter(|(name, _)| !gone(name));
    kept.chain(written.map(|(name, value)| (name.as_bytes(), value))).collect()
}

impl Effect<'_> {
    /// The header that is written, and its value.
    #[inline]
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

/// The names of the filter's own headers that these decisions can write, a text of names for each flag: whatever of
/// them a client sent is gone.
#[inline]
pub fn names<'e>(plan: &Plan, decisions: &'e Decisions<'_>) -> impl Iterator<Item = &'e str> + Clone {
    let dictionary = (plan.dictionary && !decisions.list().is_empty()).then_some(DICTIONARY);
    decisions.list().iter().map(|decision| &*decision.flag().names).filter(|names| !names.is_empty()).chain(dictionary)
}

/// The [`names`] where every flag of the plan is decided.
pub fn all_names(plan: &Plan) -> impl Iterator<Item = &str> + Clone {
    let dictionary = (plan.dictionary && !plan.flags.is_empty()).then_some(DICTIONARY);
    plan.flags.iter().map(|flag| &*flag.names).filter(|names| !names.is_empty()).chain(dictionary)
}

/// A response that the proxy sends instead of the upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalReply<'p> {
    pub status: u32,
    pub headers: Vec<(&'p str, &'p str)>,
    pub body: &'p str,
}

/// The reply of the first variant that has one, in a form that the client accepts; `None` if the upstream answers.
#[inline]
#[must_use]
pub fn reply<'p>(plan: &'p Plan, request: &Request<'_>, decisions: &Decisions<'p>) -> Option<LocalReply<'p>> {
    if plan.replies { first_reply(plan, request, decisions) } else { None }
}

#[inline(never)]
fn first_reply<'p>(plan: &'p Plan, request: &Request<'_>, decisions: &Decisions<'p>) -> Option<LocalReply<'p>> {
    let reply = decisions.list().iter().find_map(|decision| decision.variant().reply.as_ref())?;
    let mut headers: Vec<(&str, &str)> = reply.headers.iter().map(|(name, value)| (&**name, &**value)).collect();
    let Some((kind, body)) = &reply.plain else {
        return Some(LocalReply { status: reply.status, headers, body: "" });
    };
    // A client names first what it prefers: browsers name HTML, and do not name JSON.
    let accept = plan.accept.and_then(|slot| request.value(slot).one()).unwrap_or_default();
    let stands = |at: usize, kind: &str| {
        let part = accept.get(at..).and_then(|rest| rest.get(..kind.len()));
        part.is_some_and(|part| part.eq_ignore_ascii_case(kind.as_bytes()))
    };
    let named = |kind: &str| (0..accept.len()).find(|at| stands(*at, kind));
    let forms = reply.forms.iter().filter_map(|(sign, kind, body)| Some((named(sign)?, *kind, &**body)));
    let (_, kind, body) = forms.min_by_key(|(place, ..)| *place).unwrap_or((0, kind, body));
    headers.push(("content-type", kind));
    Some(LocalReply { status: reply.status, headers, body })
}

/// What the response has to carry. Made in the request phase, because the response phase cannot read the request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OnResponse {
    /// A `set-cookie` to add.
    pub cookie: Option<String>,
    /// The decisions and their reasons, for a request with the inspection key.
    pub inspection: Option<String>,
    /// What caches are told.
    pub varies: Varies,
}

impl OnResponse {
    /// What the response to this request has to carry.
    #[inline]
    #[must_use]
    pub fn new(plan: &Plan, request: &Request<'_>, decisions: &Decisions<'_>) -> Self {
        let cached = matches!(request.method(), b"GET" | b"HEAD");
        Self {
            varies: if cached { varies(plan, decisions.list()) } else { Varies::Never },
            cookie: decisions.cookie().map(crate::decide::Cookie::header),
            inspection: asks(plan, request).then(|| inspection(decisions.list())),
        }
    }

    /// Whether the response needs no change.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.cookie.is_none() && self.inspection.is_none() && self.varies == Varies::Never
    }

    /// The header for caches, and whether it comes beside one of its name, for a response with these; none for one that
    /// no other cache than the client's keeps. A response that is left to the client alone must have none of [`TARGETED`].
    #[must_use]
    pub fn for_caches(&self, header: impl Fn(&str) -> Option<Vec<u8>>) -> Option<(&'static str, Cow<'_, [u8]>, bool)> {
        let said = header("cache-control").unwrap_or_default();
        let mut rest = Vec::new();
        // Who obeys one of these does not look at `private`, but at `vary`.
        let kept = || self.varies != Varies::Private && TARGETED.iter().any(|name| header(name).is_some());
        for said in directives(&said) {
            // `private="x"` is about a header, and not about the answer.
            if is_one_of(said, &["private", "no-store"]) && !kept() {
                return None;
            }
            let name = said.split(|byte| *byte == b'=').next().unwrap_or_default();
            // What is meant for other caches than the client's, or says less than `private`.
            if !is_one_of(name.trim_ascii_end(), &["", "public", "s-maxage", "private"]) {
                rest.extend_from_slice(b", ");
                rest.extend_from_slice(said);
            }
        }
        match &self.varies {
            Varies::Never => None,
            Varies::By(names) => {
                let known = header("vary").unwrap_or_default();
                let new = known != b"*" && !known.eq_ignore_ascii_case(names.as_bytes());
                new.then_some(("vary", Cow::Borrowed(names.as_bytes()), true))
            }
            Varies::Private => Some(("cache-control", Cow::Owned([&b"private"[..], &rest].concat()), false)),
        }
    }
}

#[inline(never)]
fn inspection(list: &[Decision<'_>]) -> String {
    join(list, |decision, text| told(decision, decision.exposure(), text))
}

/// The directives of a `cache-control`. A comma in a quoted string ends none.
fn directives(said: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    let ends = move |byte: &u8| {
        let literal = escaped;
        escaped = quoted && !literal && *byte == b'\\';
        quoted ^= !literal && *byte == b'"';
        !quoted && *byte == b','
    };
    said.split(ends).map(<[u8]>::trim_ascii)
}

fn is_one_of(directive: &[u8], names: &[&str]) -> bool {
    names.iter().any(|name| directive.eq_ignore_ascii_case(name.as_bytes()))
}

/// Combines what all flags that can change the response depend on.
#[inline]
fn varies(plan: &Plan, list: &[Decision<'_>]) -> Varies {
    let mut all: Option<Arc<str>> = None;
    for decision in list {
        match &decision.flag().varies {
            Varies::Never => {}
            Varies::By(_) if plan.cache == Cache::Private => return Varies::Private,
            Varies::By(names) => {
                all = Some(match all {
                    None => Arc::clone(names),
                    Some(all) if all == *names => all,
                    Some(all) => format!("{all}, {names}").into(),
                });
            }
            Varies::Private => return Varies::Private,
        }
    }
    all.map_or(Varies::Never, Varies::By)
}

/// Whether the request carries the inspection key.
#[inline]
#[must_use]
pub fn asks(plan: &Plan, request: &Request<'_>) -> bool {
    let (Some(inspect), Some(slot)) = (&plan.inspect, plan.inspect_slot) else { return false };
    let Some(sent) = request.value(slot).one() else { return false };
    inspect.equals.as_ref().is_none_or(|key| same(key.as_str().as_bytes(), sent))
}

/// Compares in constant time: otherwise a client could guess the key byte by byte from how long the answer takes.
fn same(key: &[u8], sent: &[u8]) -> bool {
    key.len() == sent.len() && key.iter().zip(sent).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

/// `checkout=v2;reason=split;exposure=12345`. The exposure is only for holders of the key: the exposures of many flags
/// together would come close to an identity.
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

/// The members of a dictionary. A last member counts those that do not fit, so that a reader sees that some are
/// missing.
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
    fn caches_are_told_by_directives_and_not_by_what_stands_in_a_string() {
        let told = |varies: Varies, said: &str| {
            let carry = OnResponse { varies, ..OnResponse::default() };
            let told = carry.for_caches(|name| (name == "cache-control").then(|| said.into()));
            told.map_or_else(String::new, |(name, value, _)| format!("{name}: {}", String::from_utf8_lossy(&value)))
        };
        for (said, rest) in [
            ("", ""),
            ("public, max-age=60", ", max-age=60"),
            (r#"private="x", public"#, ""),
            (r#"no-cache="private", max-age=5"#, r#", no-cache="private", max-age=5"#),
            (r#"x="no-store", public"#, r#", x="no-store""#),
            (r#"x="a, no-store", public"#, r#", x="a, no-store""#),
            (r#"x="\", private", S-MaxAge="5""#, r#", x="\", private""#),
            (r#"x="\\",s-maxage = 5 ,,y=\""#, r#", x="\\", y=\""#),
            ("x-private, no-stores", ", x-private, no-stores"),
        ] {
            assert_eq!(told(Varies::By("x-a".into()), said), "vary: x-a", "{said}");
            assert_eq!(told(Varies::Private, said), format!("cache-control: private{rest}"), "{said}");
        }
        for said in ["private", "No-Store", "max-age=5 , PRIVATE", r#"x="a, b",no-store"#, r#"x="\\", private"#] {
            assert_eq!(told(Varies::By("x-a".into()), said), "", "{said}");
            assert_eq!(told(Varies::Private, said), "", "{said}");
            for targeted in TARGETED {
                let carry = OnResponse { varies: Varies::By("x-a".into()), ..OnResponse::default() };
                let header = |name: &str| match name {
                    "cache-control" => Some(said.into()),
                    name => (name == targeted).then(|| b"max-age=60".to_vec()),
                };
                assert_eq!(carry.for_caches(header), Some(("vary", b"x-a"[..].into(), true)), "{said}, {targeted}");
            }
        }
    }

    #[test]
    fn a_key_is_compared_whole() {
        assert!(same(b"secret", b"secret"));
        assert!(!same(b"secret", b"secre"));
        assert!(!same(b"secret", b"secreT"));
        assert!(!same(b"secret", b""));
    }
}
