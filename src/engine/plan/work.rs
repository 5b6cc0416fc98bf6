//! Turns a plan into an upper bound of the CPU time that it can cost one request, so that no config makes requests
//! slow.
//!
//! Each thing that a request can meet has a price in nanoseconds, measured in Envoy with the value that makes it work
//! most, and rounded up. What can meet one request at the same time is added up: flags of one host or path, with all
//! their rules, and each segment once. Never looks at a request: the limits in `request` bound what a client's bytes
//! cost.

use super::inputs::Property;
use super::{Condition, Flag, Plan, Serve};
use crate::config::{Metrics, Operator};
use crate::problem::{FieldPath, Problems};
use crate::value::search::LOOKED_AT;

/// The most that a plan may cost a request, in microseconds. The rest of a millisecond is for reading the request.
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
    let what =
        "microseconds of CPU time: by the flags that can match it, their headers and conditions, and all segments";
    if micros > MOST {
        problems.error(at, format_args!("may cost one request at most {MOST}, not {micros} {what}"));
    } else if micros.saturating_mul(5) >= MOST.saturating_mul(4) {
        problems.warning(at, format_args!("may cost one request {micros} of at most {MOST} {what}"));
    }
}

/// What the plan can cost a request, in nanoseconds.
fn of(plan: &Plan) -> usize {
    let mut prices = vec![0; plan.flags.len()];
    for (flag, price) in plan.flags.iter().zip(&mut prices) {
        of_flag(plan, flag, price);
    }
    let mut sum = plan.index.heaviest(&prices);
    for segment in &plan.segments {
        of_condition(segment, &mut sum);
    }
    for sources in &plan.identities {
        add(&mut sum, sources.len(), price::SOURCE);
    }
    let inputs = &plan.inputs;
    let proxy = inputs.properties.iter().filter(|(property, _)| *property == Property::Proxy).count();
    add(&mut sum, inputs.properties.len().saturating_sub(proxy), price::PROPERTY);
    add(&mut sum, inputs.token_claims.len(), price::TOKEN_CLAIM);
    add(&mut sum, inputs.longest_run(), price::PLACE);
    sum
}

/// Adds so many of a price.
pub(super) fn add(sum: &mut usize, count: usize, price: usize) {
    *sum = sum.saturating_add(count.saturating_mul(price));
}

fn of_flag(plan: &Plan, flag: &Flag, sum: &mut usize) {
    add(sum, 1, price::FLAG);
    let mut writes = 0;
    for variant in &flag.variants {
        writes = writes.max(variant.writes.len());
    }
    add(sum, writes, if plan.shared.is_empty() { price::WRITE } else { price::WRITE.saturating_mul(2) });
    add(sum, usize::from(flag.metrics == Metrics::All), price::TIMES);
    for host in &flag.matches.hosts {
        add(sum, 1, compare(host.as_str().len()));
    }
    for path in &flag.matches.paths {
        add(sum, 1, compare(path.as_str().len()));
    }
    add(sum, flag.matches.methods.len(), compare(0));
    let mut draws = false;
    for rule in &flag.rules {
        add(sum, 1, price::RULE);
        if let Some(when) = &rule.when {
            of_condition(when, sum);
        }
        if let Serve::Split { bounds, .. } = &rule.serve {
            add(sum, bounds.len(), 2);
            draws = true;
        }
        draws |= rule.draws();
    }
    add(sum, usize::from(draws), price::DRAW);
}

fn of_condition(condition: &Condition, sum: &mut usize) {
    add(sum, 1, price::TEST);
    match condition {
        Condition::All(parts) | Condition::Any(parts) => parts.iter().for_each(|part| of_condition(part, sum)),
        Condition::Not(part) => of_condition(part, sum),
        // What it says is counted once, however often it is asked.
        Condition::Segment(_) => {}
        Condition::Test(_, operator) => add(sum, 1, of_operator(operator)),
    }
}

fn of_operator(operator: &Operator) -> usize {
    match operator {
        Operator::Equals(known) | Operator::StartsWith(known) | Operator::EndsWith(known) => compare(known.len()),
        Operator::In(known) => {
            let mut longest = 0;
            for known in known {
                longest = longest.max(known.len());
            }
            looks(known.len()).saturating_mul(compare(longest))
        }
        Operator::Contains(known) => search(known.len()),
        Operator::Exists(_) => 0,
        Operator::Cidr(networks) => networks.len().saturating_mul(price::NETWORK).saturating_add(price::NUMBER),
        Operator::Semver(_) => price::SEMVER,
        Operator::Number(_) => price::NUMBER,
        Operator::Glob(pattern) => {
            let (mut price, mut longest) = (0, 0);
            for piece in pattern.split(|byte| *byte == b'*') {
                add(&mut price, 1, price::PIECE);
                longest = longest.max(piece.len());
            }
            price.saturating_add(search(longest))
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
