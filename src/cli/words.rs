//! Turns what a config says into words: conditions, tests, shares, times, as a person would read them aloud.
//!
//! The words are those of the config, so that what is read can be found there. Never shows a whole list that is long.

use ::time::OffsetDateTime;
use ::time::format_description::well_known::Rfc3339;

use crate::config::{Condition, Operator, Subject};
use crate::problem::Quoted;
use crate::time::Timestamp;

/// How many values of a list are shown.
const MOST: usize = 5;

/// A condition, as it was written.
pub(super) fn condition(condition: &Condition) -> String {
    match condition {
        Condition::All(parts) => list("all of", parts),
        Condition::Any(parts) => list("any of", parts),
        Condition::Not(part) => format!("not {}", self::condition(part)),
        Condition::Segment(name) => format!("segment {name}"),
        Condition::Test(subject, operator) => format!("{} {}", self::subject(subject), self::operator(operator)),
    }
}

fn list(head: &str, parts: &[Condition]) -> String {
    match parts {
        [only] => condition(only),
        _ => format!("{head} ({})", parts.iter().map(condition).collect::<Vec<_>>().join(", ")),
    }
}

/// What a condition looks at.
pub(super) fn subject(subject: &Subject) -> String {
    match subject {
        Subject::Header(name) => format!("header {name}"),
        Subject::Cookie(name) => format!("cookie {name}"),
        Subject::Query(name) => format!("query {name}"),
        Subject::Claim(path) => format!("claim {}", path.0.join(".")),
        Subject::UnverifiedClaim(path) => format!("unverifiedClaim {}", path.0.join(".")),
        Subject::Method => "method".to_owned(),
        Subject::Host => "host".to_owned(),
        Subject::Path => "path".to_owned(),
        Subject::Peer => "peer".to_owned(),
        Subject::Address => "address".to_owned(),
        Subject::Device => "device".to_owned(),
        Subject::Proxy => "proxy".to_owned(),
        Subject::Identity => "identity".to_owned(),
    }
}

/// What must be true of it.
pub(super) fn operator(operator: &Operator) -> String {
    match operator {
        Operator::Equals(value) => format!("equals {}", bytes(value)),
        Operator::In(values) => format!("in [{}]", some(values.iter().map(|value| bytes(value)))),
        Operator::StartsWith(value) => format!("startsWith {}", bytes(value)),
        Operator::EndsWith(value) => format!("endsWith {}", bytes(value)),
        Operator::Contains(value) => format!("contains {}", bytes(value)),
        Operator::Exists(true) => "exists".to_owned(),
        Operator::Exists(false) => "does not exist".to_owned(),
        Operator::Cidr(networks) => format!("cidr {}", some(networks.iter().map(ToString::to_string))),
        Operator::Semver(wanted) => format!("semver {wanted}"),
        Operator::Number(wanted) => format!("number {wanted}"),
        Operator::Glob(pattern) => format!("glob {}", bytes(pattern)),
    }
}

/// A value in quotes, with what is not readable escaped.
pub(super) fn bytes(value: &[u8]) -> String {
    match core::str::from_utf8(value) {
        Ok(text) => Quoted(text).to_string(),
        Err(_) => format!("\"{}\"", value.escape_ascii()),
    }
}

fn some(values: impl ExactSizeIterator<Item = String>) -> String {
    let more = values.len().saturating_sub(MOST);
    let mut shown: Vec<String> = values.take(MOST).collect();
    if more > 0 {
        shown.push(format!("{more} more"));
    }
    shown.join(", ")
}

/// A time as it is written in a config: in UTC, and a day where it is the first moment of one.
pub(super) fn time(at: Timestamp) -> String {
    let nanos = i128::from(at.millis()).saturating_mul(1_000_000);
    let time = OffsetDateTime::from_unix_timestamp_nanos(nanos).ok().and_then(|time| time.format(&Rfc3339).ok());
    let text = time.unwrap_or_default();
    text.strip_suffix("T00:00:00Z").map_or_else(|| text.clone(), ToOwned::to_owned)
}
