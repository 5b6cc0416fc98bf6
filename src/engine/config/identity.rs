//! Turns lists of identity sources into [`Source`]s.
//!
//! Never says which source wins for a request: `decide` does.

use super::Node;
use super::reader::{Field, Limit, Object};
use super::schema::reference::{GENERATE, SOURCE};
use crate::problem::{Problems, Wrong};
use crate::value::name::{HeaderName, ParameterName};
use crate::value::time::Span;

const SOURCES: Limit = Limit::new(16, "sources");
const CLAIM_DEPTH: Limit = Limit::new(8, "names");

/// Where an identity may come from, and how it is tidied before it is hashed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Source {
    pub kind: SourceKind,
    pub lower: bool,
    /// Whether spaces and tabs at both ends are removed.
    pub trim: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SourceKind {
    /// A verified claim.
    Claim(ClaimPath),
    Header(HeaderName),
    Cookie(ParameterName),
    Query(ParameterName),
    /// The mTLS principal.
    Peer,
    /// The trusted client address.
    Address,
    /// This proxy's node id.
    Proxy,
    /// A claim of the bearer token, not verified.
    UnverifiedClaim(ClaimPath),
    /// An id made from the request's own id, and kept in a cookie.
    Generate(Generate),
}

impl SourceKind {
    /// The names of all kinds, as they are written. Stable: seen on dashboards. Add behind, never rename.
    pub const CODES: [&'static str; 9] =
        ["claim", "header", "cookie", "query", "peer", "address", "proxy", "unverifiedClaim", "generate"];

    #[must_use]
    pub const fn place(&self) -> usize {
        match self {
            Self::Claim(_) => 0,
            Self::Header(_) => 1,
            Self::Cookie(_) => 2,
            Self::Query(_) => 3,
            Self::Peer => 4,
            Self::Address => 5,
            Self::Proxy => 6,
            Self::UnverifiedClaim(_) => 7,
            Self::Generate(_) => 8,
        }
    }

    /// Its name, as it is written.
    #[must_use]
    pub fn code(&self) -> &'static str {
        Self::CODES.get(self.place()).copied().unwrap_or_default()
    }

    /// Whether the value is verified: by the signature of a token or a certificate.
    #[must_use]
    pub fn is_verified(&self) -> bool {
        matches!(self, Self::Claim(_) | Self::Peer)
    }

    /// Whether a client can choose the value, and so pretend to be any number of users.
    #[must_use]
    pub fn can_be_chosen(&self) -> bool {
        !self.is_verified() && *self != Self::Proxy
    }
}

/// A generated identity: its cookie, and for how long that is kept.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Generate {
    pub cookie: ParameterName,
    pub max_age: Span,
}

/// The way to a claim in a token's payload: one name, or several for a claim inside a claim.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClaimPath(pub Box<[Box<str>]>);

impl ClaimPath {
    /// Reads a name, or a list of names.
    pub(super) fn read(field: &Field<'_>, problems: &mut Problems) -> Option<Self> {
        let name = |text: &str| match text.len() {
            1..=256 if !text.contains('\0') => Ok(Box::from(text)),
            1..=256 => Err(Wrong::from("may not contain \"\\u{0}\"")),
            0 => Err(Wrong::from("may not be empty")),
            more => Err(format!("may have at most 256 bytes, not {more}").into()),
        };
        let names = match field.node {
            Node::List(_) => field.each(problems, CLAIM_DEPTH, |part, problems| part.parse(problems, name))?,
            _ => vec![field.parse(problems, name)?],
        };
        Some(Self(names.into()))
    }
}

pub(super) fn sources(field: &Field<'_>, problems: &mut Problems) -> Option<Vec<Source>> {
    field.each(problems, SOURCES, source)
}

fn source(field: &Field<'_>, problems: &mut Problems) -> Option<Source> {
    let object = field.object(&SOURCE, problems)?;
    let kinds = object.present(SOURCE.names().filter(|name| !matches!(*name, "lower" | "trim")));
    let kind = match kinds.as_slice() {
        [name] => kind(&object, name, problems),
        [] => {
            field.wrong(problems, "must name a source, such as header or cookie");
            None
        }
        [one, two, ..] => {
            let wrong = format_args!("stands beside {one}: a source is one thing, and each is an element of the list");
            problems.error_of_key(&field.at.key(two), wrong);
            None
        }
    };
    let mut flag = |name| object.field(name).map_or(Some(false), |field| field.boolean(problems));
    let (lower, trim) = (flag("lower"), flag("trim"));
    Some(Source { kind: kind?, lower: lower?, trim: trim? })
}

fn kind(object: &Object<'_>, name: &str, problems: &mut Problems) -> Option<SourceKind> {
    let field = object.field(name)?;
    Some(match name {
        "claim" => SourceKind::Claim(ClaimPath::read(&field, problems)?),
        "unverifiedClaim" => SourceKind::UnverifiedClaim(ClaimPath::read(&field, problems)?),
        "header" => SourceKind::Header(field.parse(problems, HeaderName::parse)?),
        "cookie" => SourceKind::Cookie(field.parse(problems, ParameterName::parse)?),
        "query" => SourceKind::Query(field.parse(problems, ParameterName::parse)?),
        "generate" => SourceKind::Generate(generate(&field, problems)?),
        _ if *field.node != Node::Bool(true) => {
            field.wrong(problems, "must be true: this source has no name");
            return None;
        }
        "peer" => SourceKind::Peer,
        "address" => SourceKind::Address,
        _ => SourceKind::Proxy,
    })
}

fn generate(field: &Field<'_>, problems: &mut Problems) -> Option<Generate> {
    const YEAR: Span = Span::from_millis(365 * 86_400_000);
    let object = field.object(&GENERATE, problems)?;
    let cookie = object.required("cookie", problems);
    let cookie = cookie.and_then(|cookie| cookie.parse(problems, ParameterName::parse));
    let max_age =
        object.field("maxAge").map_or(Some(YEAR), |age| age.span(problems, 1_000..=u64::MAX, "must be at least 1s"));
    Some(Generate { cookie: cookie?, max_age: max_age? })
}
