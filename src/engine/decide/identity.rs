//! Turns the values of a request into the identity that is hashed, at most once a request and list of sources.
//!
//! The first source that gives exactly one non-empty value of at most 256 bytes wins. An identity is borrowed
//! from the request and goes into the hash and into conditions; never anywhere else.

use std::borrow::Cow;

use crate::config::{Generate, SourceKind};
use crate::plan::{Plan, Source};
use crate::request::{Request, Value};
use crate::value::hash::{Point, Salt};

const LONGEST: usize = 256;

/// The longest value that is trimmed before its length is checked.
const LONGEST_RAW: usize = 1_024;

/// A cookie that keeps a generated identity.
#[derive(Clone, Debug)]
pub struct Cookie<'p> {
    generate: &'p Generate,
    id: Box<str>,
}

impl Cookie<'_> {
    /// The value of the `set-cookie` header.
    #[must_use]
    pub fn header(&self) -> String {
        let Self { generate, id } = self;
        let (name, age) = (&generate.cookie, generate.max_age.seconds());
        format!("{name}={id}; Max-Age={age}; Path=/; HttpOnly; SameSite=Lax; Secure")
    }
}

/// The kinds of sources that gave identities for a request, and whether a list of sources gave none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sources(u16);

impl Sources {
    #[inline]
    fn add(&mut self, kind: usize) {
        self.0 |= u32::try_from(kind).ok().and_then(|kind| 1_u16.checked_shl(kind)).unwrap_or(0);
    }

    /// The kinds by their place in [`SourceKind::CODES`]; the place after the last means that no source gave one.
    #[inline]
    pub fn kinds(self) -> impl Iterator<Item = usize> {
        let mut left = self.0;
        core::iter::from_fn(move || {
            let kind = usize::try_from(left.trailing_zeros()).ok().filter(|_| left != 0);
            left &= left.wrapping_sub(1);
            kind
        })
    }
}

/// The identities of a request, worked out when first asked for.
pub(super) struct Identities<'p, 'r> {
    plan: &'p Plan,
    request: &'r Request<'r>,
    /// The config's own list: the only one of most configs.
    first: Resolved<'r>,
    others: Vec<Resolved<'r>>,
    cookie: Option<Cookie<'p>>,
    sources: Sources,
}

/// The identity from a list of sources, worked out when it is first needed.
#[derive(Clone)]
enum Resolved<'r> {
    NotYet,
    NoIdentity,
    Identity { bytes: Cow<'r, [u8]>, verified: bool },
}

impl<'p, 'r> Identities<'p, 'r> {
    #[inline]
    pub(super) fn new(plan: &'p Plan, request: &'r Request<'r>) -> Self {
        let others = plan.identities.len().saturating_sub(1);
        Self {
            plan,
            request,
            first: Resolved::NotYet,
            others: vec![Resolved::NotYet; others],
            cookie: None,
            sources: Sources::default(),
        }
    }

    /// Where identities came from, so far.
    #[inline]
    pub(super) fn sources(&self) -> Sources {
        self.sources
    }

    #[inline]
    pub(super) fn into_cookie(self) -> Option<Cookie<'p>> {
        self.cookie
    }

    /// The identity from the list of sources at this place.
    #[inline]
    pub(super) fn resolve(&mut self, place: usize) -> Option<&[u8]> {
        let Self { plan, request, first, others, cookie, sources: seen } = self;
        let known = match place.checked_sub(1) {
            None => first,
            Some(place) => others.get_mut(place)?,
        };
        if let Resolved::NotYet = known {
            let sources = plan.identities.get(place).map_or(&[][..], |sources| sources);
            let identity = sources.iter().find_map(|source| {
                let identity = identity(source, request, cookie)?;
                seen.add(source.kind.place());
                Some(Resolved::Identity { bytes: identity, verified: source.kind.is_verified() })
            });
            if identity.is_none() {
                seen.add(SourceKind::CODES.len());
            }
            *known = identity.unwrap_or(Resolved::NoIdentity);
        }
        match known {
            Resolved::Identity { bytes, .. } => Some(bytes),
            Resolved::NotYet | Resolved::NoIdentity => None,
        }
    }

    /// Whether the identity from the list at this place is verified.
    #[inline]
    pub(super) fn is_verified(&self, place: usize) -> bool {
        let known = place.checked_sub(1).map_or(Some(&self.first), |place| self.others.get(place));
        matches!(known, Some(Resolved::Identity { verified: true, .. }))
    }
}

#[inline]
fn identity<'p, 'r>(
    source: &'p Source,
    request: &'r Request<'_>,
    cookie: &mut Option<Cookie<'p>>,
) -> Option<Cow<'r, [u8]>> {
    let value = match (request.value(source.slot), &source.kind) {
        (Value::One(value), _) if value.len() <= LONGEST_RAW => tidy(value, source.lower, source.trim),
        (Value::Absent, SourceKind::Generate(generate)) => {
            let id = fresh_id(request.value(source.request_id?).one()?);
            let value = Cow::Owned(id.as_bytes().to_vec());
            *cookie = Some(Cookie { generate, id });
            value
        }
        (Value::One(_) | Value::Absent | Value::Many, _) => return None,
    };
    (1..=LONGEST).contains(&value.len()).then_some(value)
}

#[inline]
fn tidy(value: &[u8], lower: bool, trim: bool) -> Cow<'_, [u8]> {
    let value = if trim { value.trim_ascii() } else { value };
    if lower && value.iter().any(u8::is_ascii_uppercase) {
        Cow::Owned(value.to_ascii_lowercase())
    } else {
        Cow::Borrowed(value)
    }
}

/// A new id for a visitor without one, made from the proxy's request id: so the engine needs no random numbers. It is
/// hashed, because the request id is in logs and must not lead to the visitor.
fn fresh_id(request_id: &[u8]) -> Box<str> {
    // A proxy's own ids are much shorter; an id that a client sent may be longer.
    let request_id = request_id.get(..LONGEST).unwrap_or(request_id);
    let half = |salt| Salt::new(salt).point(request_id);
    let (one, two): (Point, Point) = (half("tidegate-visitor-1"), half("tidegate-visitor-2"));
    format!("{:016x}{:016x}", one.bits(), two.bits()).into()
}
