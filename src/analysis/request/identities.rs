//! Sends one request as many users: puts an identity into every place where a config looks for one.
//!
//! Generated identities are `user-0`, `user-1` and so on, the same at every run, so that results can be reproduced.
//! Nothing is random.

use std::borrow::Cow;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::RequestSpec;
use tidegate_engine::config::{ClaimPath, SourceKind};
use tidegate_engine::plan::{Plan, Source};

/// Who is asked about.
#[derive(Clone, Debug)]
pub enum Identities {
    /// `user-0` and so on, so many.
    Sampled(u32),
    /// Those of a file, one a line.
    Listed(Arc<[Box<str>]>),
}

/// Where a config looks for an identity, and where a request carries it.
#[derive(Clone, Debug)]
enum Spot {
    /// A header, by its place in the request.
    Header(usize),
    /// A cookie in a header of its own, by its place, and its name.
    Cookie(usize, Box<str>),
    Query(Box<str>),
    Claim(ClaimPath),
    /// Claims of the token in the header at this place.
    Token(usize, Vec<ClaimPath>),
    Peer,
    Address,
    Proxy,
}

/// A request that can be sent by one user after the other.
#[derive(Clone, Debug)]
pub struct Sender {
    spec: RequestSpec,
    path: Vec<u8>,
    spots: Vec<Spot>,
}

impl Sender {
    /// The request `base`, with the identity in the first source of each identity list of these plans.
    pub fn new(base: &RequestSpec, plans: &[&Plan]) -> Self {
        Self::of(base, plans, <[Source]>::first)
    }

    /// As [`Sender::new`], with the identity in the first source of each list that a client can send by itself.
    pub fn outside(base: &RequestSpec, plans: &[&Plan]) -> Self {
        Self::of(base, plans, |list| list.iter().find(|source| is_sent(&source.kind)).or(list.first()))
    }

    /// As [`Sender::outside`], over a connection: where a client can send none of a list, their identity is not there.
    pub fn connected(base: &RequestSpec, plan: &Plan) -> Self {
        Self::of(base, &[plan], |list| list.iter().find(|source| is_sent(&source.kind)))
    }

    fn of(base: &RequestSpec, plans: &[&Plan], pick: fn(&[Source]) -> Option<&Source>) -> Self {
        let path = base.header(":path").unwrap_or(b"/").to_vec();
        let mut sender = Self { spec: base.clone(), path, spots: Vec::new() };
        let mut known: Vec<&SourceKind> = Vec::new();
        let mut claims = Vec::new();
        let lists = plans.iter().flat_map(|plan| &plan.identities);
        for kind in lists.filter_map(|list| pick(list)).map(|source| &source.kind) {
            if known.contains(&kind) {
                continue;
            }
            known.push(kind);
            let spot = match kind {
                SourceKind::Claim(path) => Spot::Claim(path.clone()),
                SourceKind::Header(name) => Spot::Header(sender.header(name.as_str())),
                SourceKind::Cookie(name) => Spot::Cookie(sender.header("cookie"), name.as_str().into()),
                SourceKind::Generate(one) => Spot::Cookie(sender.header("cookie"), one.cookie.as_str().into()),
                SourceKind::Query(name) => Spot::Query(name.as_str().into()),
                SourceKind::UnverifiedClaim(path) => {
                    claims.push(path.clone());
                    continue;
                }
                SourceKind::Peer => Spot::Peer,
                SourceKind::Address => Spot::Address,
                SourceKind::Proxy => Spot::Proxy,
            };
            sender.spots.push(spot);
        }
        if !claims.is_empty() {
            let place = sender.header("authorization");
            sender.spots.push(Spot::Token(place, claims));
        }
        sender
    }

    /// The place of a header that is written for each user anew. What the base has under its name is gone, but for
    /// cookies, of which a request may have several.
    fn header(&mut self, name: &str) -> usize {
        let headers = &mut self.spec.headers;
        let known = headers.iter().position(|(known, _)| known == name).filter(|_| name != "cookie");
        known.unwrap_or_else(|| {
            headers.push((name.to_owned(), Vec::new()));
            headers.len().saturating_sub(1)
        })
    }

    /// The request, sent by this user.
    pub fn send_as(&mut self, id: &str) -> &RequestSpec {
        let Self { spec, path, spots } = self;
        let mut query: Vec<u8> = Vec::new();
        for spot in &*spots {
            let escaped = || percent_encoding::utf8_percent_encode(id, percent_encoding::NON_ALPHANUMERIC);
            let mut write = |place: usize, value: String| {
                if let Some((_, header)) = spec.headers.get_mut(place) {
                    *header = value.into_bytes();
                }
            };
            match spot {
                Spot::Header(place) => write(*place, id.to_owned()),
                Spot::Cookie(place, name) => write(*place, format!("{name}={}", escaped())),
                Spot::Query(name) => {
                    let border = if query.is_empty() && !path.contains(&b'?') { '?' } else { '&' };
                    query.extend_from_slice(format!("{border}{name}={}", escaped()).as_bytes());
                }
                Spot::Claim(claim) => put(&mut spec.claims, claim, id),
                Spot::Token(place, claims) => {
                    let mut payload = Map::new();
                    for claim in claims {
                        put(&mut payload, claim, id);
                    }
                    let payload = URL_SAFE_NO_PAD.encode(Value::Object(payload).to_string());
                    write(*place, format!("Bearer e30.{payload}.e30"));
                }
                Spot::Peer => spec.peer = Some(id.as_bytes().to_vec()),
                Spot::Address => spec.address = Some(id.as_bytes().to_vec()),
                Spot::Proxy => spec.proxy = Some(id.as_bytes().to_vec()),
            }
        }
        if !query.is_empty() {
            spec.replace(":path", [path.as_slice(), &query].concat());
        }
        spec
    }
}

/// Whether any client can send an identity there: it needs no verified token and no certain network.
pub fn is_sent(kind: &SourceKind) -> bool {
    match kind {
        SourceKind::Header(_)
        | SourceKind::Cookie(_)
        | SourceKind::Query(_)
        | SourceKind::UnverifiedClaim(_)
        | SourceKind::Generate(_) => true,
        SourceKind::Claim(_) | SourceKind::Peer | SourceKind::Address | SourceKind::Proxy => false,
    }
}

/// Sets a claim by its path.
pub fn put(claims: &mut Map<String, Value>, path: &ClaimPath, id: &str) {
    let mut names = path.0.iter();
    let Some(last) = names.next_back() else { return };
    let mut inside = claims;
    for name in names {
        let next = inside.entry(&**name).or_insert_with(|| Value::Object(Map::new()));
        if !next.is_object() {
            *next = Value::Object(Map::new());
        }
        let Value::Object(map) = next else { return };
        inside = map;
    }
    inside.insert(last.to_string(), Value::String(id.to_owned()));
}

impl Identities {
    pub fn len(&self) -> usize {
        match self {
            Self::Sampled(number) => usize::try_from(*number).unwrap_or(usize::MAX),
            Self::Listed(ids) => ids.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn id(&self, place: usize) -> Cow<'_, str> {
        match self {
            Self::Sampled(_) => Cow::Owned(format!("user-{place}")),
            Self::Listed(ids) => Cow::Borrowed(ids.get(place).map_or("", |id| id)),
        }
    }
}
