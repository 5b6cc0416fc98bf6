//! Turns a plan into an upper bound of the CPU time that it can cost one request, so that no config makes requests slow.
//!
//! Each thing that a request can meet has a price in nanoseconds, measured in Envoy with the value that makes it work
//! most, and rounded up. What can meet one request at the same time is added up: flags of one host or path, with all their
//! rules, and each segment once. Never looks at a request; that what clients send costs little is up to its reader.

use super::inputs::Property;
use super::{Condition, Flag, Match, Plan, Rule, Serve};
use crate::config::{Metrics, Operator};
use crate::problem::{FieldPath, Problems};
use crate::request::LOOKED_AT;

/// What a plan may cost a request, in microseconds; the rest of a millisecond is for reading what was sent.
const MOST: usize = 600;

/// Prices in nanoseconds.
mod price {
    pub(super) const FLAG: usize = 180;
    pub(super) const DRAW: usize = 350;
    pub(super) const TIMES: usize = 250;
    pub(super) const WRITE: usize = 350;
    pub(super) const RULE: usize = 15;
    pub(super) const TEST: usize = 15;
    pub(super) const NUMBER: usize = 150;
    pub(super) const SEMVER: usize = 2_000;
    pub(super) const NETWORK: usize = 8;
    /// A search for up to 64 bytes in the longest value, and for more.
    pub(super) const SEARCH: usize = 3_200;
    pub(super) const LONG_SEARCH: usize = 65_000;
    pub(super) const PIECE: usize = 120;
    pub(super) const SOURCE: usize = 400;
    pub(super) const PROPERTY: usize = 900;
    pub(super) const TOKEN_CLAIM: usize = 1_600;
    /// A name at a place of the table of headers, for a hundred headers.
    pub(super) const PLACE: usize = 500;
}

/// Refuses a plan that could cost a request too much, and warns of one that comes close.
pub(super) fn check(plan: &Plan, at: &FieldPath<'_>, problems: &mut Problems) {
    let micros = of(plan).div_ceil(1_000);
    let what = "microseconds of CPU time: by the flags that can match it, their headers and conditions, and all segments";
    if micros > MOST {
        problems.error(at, format_args!("may cost one request at most {MOST}, not {micros} {what}"));
    } else if micros.saturating_mul(5) >= MOST.saturating_mul(4) {
        problems.warning(at, format_args!("may cost one request {micros} of at most {MOST} {what}"));
    }
}

/// What the plan can cost a request, in nanoseconds.
fn of(plan: &Plan) -> usize {
    let flags: Vec<usize> = plan.flags.iter().map(|flag| of_flag(plan, flag)).collect();
    let properties = plan.inputs.properties().filter(|property| **property != Property::Proxy).count();
    [
        plan.index.heaviest(&flags),
        sum(plan.segments.iter().map(of_condition)),
        sum(plan.identities.iter().map(|sources| sources.len().saturating_mul(price::SOURCE))),
        properties.saturating_mul(price::PROPERTY),
        plan.inputs.token_claims.len().saturating_mul(price::TOKEN_CLAIM),
        plan.inputs.longest_run().saturating_mul(price::PLACE),
    ]
    .into_iter()
    .fold(0, usize::saturating_add)
}

fn sum(prices: impl Iterator<Item = usize>) -> usize {
    prices.fold(0, usize::saturating_add)
}

fn of_flag(plan: &Plan, flag: &Flag) -> usize {
    let writes = flag.variants.iter().map(|variant| variant.writes.len()).max().unwrap_or_default();
    let write = if plan.shared.is_empty() { price::WRITE } else { price::WRITE.saturating_mul(2) };
    let draws = flag.rules.iter().any(|rule| rule.draws() || matches!(rule.serve, Serve::Split { .. }));
    let times = flag.metrics == Metrics::All;
    [
        price::FLAG,
        writes.saturating_mul(write),
        if draws { price::DRAW } else { 0 },
        if times { price::TIMES } else { 0 },
        of_match(&flag.matches),
        sum(flag.rules.iter().map(of_rule)),
    ]
    .into_iter()
    .fold(0, usize::saturating_add)
}

fn of_match(flag: &Match) -> usize {
    let hosts = flag.hosts.iter().map(|host| compare(host.as_str().len()));
    let paths = flag.paths.iter().map(|path| compare(path.as_str().len()));
    sum(hosts.chain(paths).chain(flag.methods.iter().map(|method| compare(method.as_str().len()))))
}

fn of_rule(rule: &Rule) -> usize {
    let parts = if let Serve::Split { bounds, .. } = &rule.serve { bounds.len() } else { 0 };
    let when = rule.when.as_ref().map_or(0, of_condition);
    when.saturating_add(parts.saturating_mul(2)).saturating_add(price::RULE)
}

fn of_condition(condition: &Condition) -> usize {
    let price = match condition {
        Condition::All(parts) | Condition::Any(parts) => sum(parts.iter().map(of_condition)),
        Condition::Not(part) => of_condition(part),
        // What it says is counted once, however often it is asked.
        Condition::Segment(_) => 0,
        Condition::Test(_, operator) => of_operator(operator),
    };
    price.saturating_add(price::TEST)
}

fn of_operator(operator: &Operator) -> usize {
    match operator {
        Operator::Equals(known) | Operator::StartsWith(known) | Operator::EndsWith(known) => compare(known.len()),
        Operator::In(known) => {
            let longest = known.iter().map(|known| known.len()).max().unwrap_or_default();
            looks(known.len()).saturating_mul(compare(longest))
        }
        Operator::Contains(known) => search(known.len()),
        Operator::Exists(_) => 0,
        Operator::Cidr(networks) => networks.len().saturating_mul(price::NETWORK).saturating_add(price::NUMBER),
        Operator::Semver(_) => price::SEMVER,
        Operator::Number(_) => price::NUMBER,
        Operator::Glob(pattern) => {
            let pieces = pattern.split(|byte| *byte == b'*').map(<[u8]>::len);
            let longest = search(pieces.clone().max().unwrap_or_default());
            pieces.count().saturating_mul(price::PIECE).saturating_add(longest)
        }
    }
}

fn search(pattern: usize) -> usize {
    if pattern > 64 { price::LONG_SEARCH } else { price::SEARCH }
}

/// What it costs to compare with so many bytes.
pub(super) fn compare(bytes: usize) -> usize {
    (bytes.min(LOOKED_AT) >> 1).saturating_add(10)
}

/// How many comparisons find one of so many.
pub(super) fn looks(count: usize) -> usize {
    usize::try_from(count.checked_ilog2().map_or(0, |log| log.saturating_add(1))).unwrap_or_default()
}
