//! Turns conditions into [`Condition`]s: a subject and an operator, composed with `all`, `any`, `not`.
//!
//! Never evaluates one: `decide` does. No regular expressions: the cost of a condition is known before a request comes.

use core::cmp::Ordering;
use core::fmt;
use core::net::IpAddr;

use ipnet::IpNet;

use super::Node;
use super::identity::ClaimPath;
use super::reader::{Field, Limit, Object};
use super::schema::reference::{CONDITION, OPERATORS};
use crate::problem::{Problems, Wrong};
use crate::value::decimal::Decimal;
use crate::value::name::{HeaderName, ParameterName, SegmentName};
use crate::value::order;
use crate::value::version::Versions;

const PARTS: Limit = Limit::new(100, "conditions");
const VALUES: Limit = Limit::new(10_000, "values");

/// When a rule or segment is true.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    All(Vec<Condition>),
    Any(Vec<Condition>),
    Not(Box<Condition>),
    /// The segment of this name is.
    Segment(SegmentName),
    Test(Subject, Operator),
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    Header(HeaderName),
    Cookie(ParameterName),
    Query(ParameterName),
    /// A verified claim.
    Claim(ClaimPath),
    /// A claim of the bearer token, not verified.
    UnverifiedClaim(ClaimPath),
    Method,
    /// The host, lower-cased, without port.
    Host,
    /// The path, without the query.
    Path,
    /// The mTLS principal.
    Peer,
    /// The trusted client address.
    Address,
    Device,
    /// This proxy's node id.
    Proxy,
    Identity,
}

/// What must be true of the subject's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operator {
    Equals(Box<[u8]>),
    /// It is one of these, which are sorted.
    In(Box<[Box<[u8]>]>),
    StartsWith(Box<[u8]>),
    EndsWith(Box<[u8]>),
    Contains(Box<[u8]>),
    /// Whether the value must be present.
    Exists(bool),
    /// It is an address in one of these networks.
    Cidr(Box<[IpNet]>),
    /// It is a version that fits.
    Semver(Versions),
    /// It is a number that compares so.
    Number(Comparison),
    /// It fits a pattern of `*` and `?`.
    Glob(Box<[u8]>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Comparison {
    pub(super) relation: Relation,
    pub(super) than: Decimal,
}

/// How two numbers must stand to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    Equal,
    Unequal,
    Less,
    AtMost,
    More,
    AtLeast,
}

impl Comparison {
    /// Reads `>= 18`.
    ///
    /// # Errors
    ///
    /// Says what is expected when it is not a comparison.
    pub fn parse(text: &str) -> Result<Self, Wrong> {
        // The longer sign first: `<=` begins with `<`.
        const SIGNS: [(&str, Relation); 7] = [
            (">=", Relation::AtLeast),
            ("<=", Relation::AtMost),
            ("!=", Relation::Unequal),
            ("==", Relation::Equal),
            (">", Relation::More),
            ("<", Relation::Less),
            ("=", Relation::Equal),
        ];
        let found = SIGNS.iter().find_map(|(sign, relation)| Some((text.trim().strip_prefix(sign)?, *relation)));
        let (number, relation) = found.unwrap_or((text.trim(), Relation::Equal));
        let than = Decimal::parse(number.trim().as_bytes()).ok_or("must be a comparison, such as \">= 18\"")?;
        Ok(Self { relation, than })
    }

    /// The number that is compared with.
    #[must_use]
    pub fn than(&self) -> Decimal {
        self.than
    }

    #[must_use]
    pub fn holds(&self, number: Decimal) -> bool {
        let order = number.cmp(&self.than);
        match self.relation {
            Relation::Equal => order == Ordering::Equal,
            Relation::Unequal => order != Ordering::Equal,
            Relation::Less => order == Ordering::Less,
            Relation::AtMost => order != Ordering::Greater,
            Relation::More => order == Ordering::Greater,
            Relation::AtLeast => order != Ordering::Less,
        }
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self.relation {
            Relation::Equal => "=",
            Relation::Unequal => "!=",
            Relation::Less => "<",
            Relation::AtMost => "<=",
            Relation::More => ">",
            Relation::AtLeast => ">=",
        };
        write!(f, "{sign} {}", self.than)
    }
}

pub(super) fn read(field: &Field<'_>, problems: &mut Problems) -> Option<Condition> {
    let object = field.object(&CONDITION, problems)?;
    let operators = object.present(OPERATORS.into_iter());
    let mut subjects = object.present(CONDITION.names());
    subjects.retain(|name| !OPERATORS.contains(name));
    let subject = match subjects.as_slice() {
        [subject] => *subject,
        [] => {
            field.wrong(problems, "must name what it looks at, such as header or segment");
            return None;
        }
        [one, two, ..] => {
            let wrong = format_args!("stands beside {one}: a condition looks at one thing; compose with all or any");
            problems.error_of_key(&field.at.key(two), wrong);
            return None;
        }
    };
    let named = object.field(subject)?;
    match subject {
        "all" | "any" | "not" | "segment" => {
            if let Some(operator) = operators.first() {
                problems.error_of_key(
                    &field.at.key(operator),
                    format_args!("stands beside {subject}, which takes no operator"),
                );
                return None;
            }
            Some(match subject {
                "all" => Condition::All(named.each(problems, PARTS, part)?),
                "any" => Condition::Any(named.each(problems, PARTS, part)?),
                "not" => Condition::Not(Box::new(read(&named, problems)?)),
                _ => Condition::Segment(named.parse(problems, SegmentName::parse)?),
            })
        }
        "header" | "cookie" | "query" | "claim" | "unverifiedClaim" => {
            let subject = match subject {
                "header" => named.parse(problems, HeaderName::parse).map(Subject::Header),
                "cookie" => named.parse(problems, ParameterName::parse).map(Subject::Cookie),
                "query" => named.parse(problems, ParameterName::parse).map(Subject::Query),
                "claim" => ClaimPath::read(&named, problems).map(Subject::Claim),
                _ => ClaimPath::read(&named, problems).map(Subject::UnverifiedClaim),
            };
            let operator = only_operator(field, &object, &operators, problems);
            Some(Condition::Test(subject?, operator?))
        }
        _ => {
            if let Some(operator) = operators.first() {
                let wrong =
                    format_args!("stands beside {subject}, which has no name: write {subject}: {{{operator}: ...}}");
                problems.error_of_key(&field.at.key(operator), wrong);
                return None;
            }
            let subject = match subject {
                "method" => Subject::Method,
                "host" => Subject::Host,
                "path" => Subject::Path,
                "peer" => Subject::Peer,
                "address" => Subject::Address,
                "device" => Subject::Device,
                "proxy" => Subject::Proxy,
                _ => Subject::Identity,
            };
            Some(Condition::Test(subject, nested_operator(&named, problems)?))
        }
    }
}

/// A part of a condition; one that cannot be read keeps its place, so that problems of the others name theirs.
#[expect(clippy::unnecessary_wraps, reason = "the shape that readers of elements have")]
fn part(field: &Field<'_>, problems: &mut Problems) -> Option<Condition> {
    Some(read(field, problems).unwrap_or(Condition::Any(Vec::new())))
}

/// The operator of a subject without a name: a map with one operator, or text that it equals.
fn nested_operator(field: &Field<'_>, problems: &mut Problems) -> Option<Operator> {
    if let Node::Null | Node::List(_) = field.node {
        field.wrong(problems, "must be text, or a map with an operator");
        return None;
    }
    if !matches!(field.node, Node::Map(_)) {
        return Some(Operator::Equals(bytes(field, problems)?));
    }
    let object = field.object(&CONDITION, problems)?;
    let operators = object.present(OPERATORS.into_iter());
    if let Some(other) = object.present(CONDITION.names().filter(|name| !OPERATORS.contains(name))).first() {
        problems.error_of_key(&field.at.key(other), "stands where an operator is due");
        return None;
    }
    only_operator(field, &object, &operators, problems)
}

fn only_operator(field: &Field<'_>, object: &Object<'_>, names: &[&str], problems: &mut Problems) -> Option<Operator> {
    match names {
        [name] => operator(&object.field(name)?, name, problems),
        [] => {
            field.wrong(problems, "must have an operator, such as equals or in");
            None
        }
        [one, two, ..] => {
            let wrong = format_args!("stands beside {one}: a test has one operator; compose with all or any");
            problems.error_of_key(&field.at.key(two), wrong);
            None
        }
    }
}

fn operator(field: &Field<'_>, name: &str, problems: &mut Problems) -> Option<Operator> {
    Some(match name {
        "equals" => Operator::Equals(bytes(field, problems)?),
        "in" => {
            let values = field.each(problems, VALUES, bytes)?;
            Operator::In(
                order::of(values.iter().map(|value| &**value)).into_iter().map(|(value, _)| value.into()).collect(),
            )
        }
        "startsWith" => Operator::StartsWith(bytes(field, problems)?),
        "endsWith" => Operator::EndsWith(bytes(field, problems)?),
        "contains" => Operator::Contains(bytes(field, problems)?),
        "exists" => Operator::Exists(field.boolean(problems)?),
        "cidr" => Operator::Cidr(match field.node {
            Node::List(_) => field.each(problems, VALUES, network)?.into(),
            _ => Box::new([network(field, problems)?]),
        }),
        "semver" => Operator::Semver(field.parse(problems, |text| {
            let wrong = || Wrong::from("must be one comparison of versions, such as \"^2.3\" or \">=1.4.0\"");
            Versions::parse(text).ok_or_else(wrong)
        })?),
        "number" => Operator::Number(field.parse(problems, Comparison::parse)?),
        _ => Operator::Glob(bytes(field, problems)?),
    })
}

fn bytes(field: &Field<'_>, problems: &mut Problems) -> Option<Box<[u8]>> {
    field.parse(problems, |text| match text.len() {
        0 => Err("may not be empty".into()),
        1..=1_024 => Ok(text.as_bytes().into()),
        more => Err(format!("may have at most 1024 bytes, not {more}").into()),
    })
}

/// The network as IPv4, where it is one in the clothes of IPv6: addresses are compared without them.
fn unmapped(network: IpNet) -> IpNet {
    let inner = match network {
        IpNet::V6(network) => network.prefix_len().checked_sub(96).zip(network.network().to_ipv4_mapped()),
        IpNet::V4(_) => None,
    };
    inner.and_then(|(prefix, address)| IpNet::new(address.into(), prefix).ok()).unwrap_or(network)
}

fn network(field: &Field<'_>, problems: &mut Problems) -> Option<IpNet> {
    field.parse(problems, |text| {
        // The address by the standard library, which refuses `010.0.0.1`: to some that is 8.0.0.1.
        let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let network = address.parse::<IpAddr>().ok().and_then(|address| match prefix {
            None => Some(IpNet::from(address)),
            Some(prefix) => IpNet::new(address, prefix.parse().ok()?).ok(),
        });
        network.map(unmapped).ok_or_else(|| "must be an address or a network, such as 10.0.0.0/8".into())
    })
}
