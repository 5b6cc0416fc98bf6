//! Turns what a config says into words: conditions, tests, shares, as a person would read them aloud.
//!
//! The words are those of the config, so that a reader finds them there. Long lists are cut.

pub mod markdown;
pub mod number;
pub mod time;

use tidegate_engine::config::standing::{Phase, Standing};
use tidegate_engine::config::{
    Condition, Exposure, Identities, Inspect, Kind, Metrics, Operator, Reply, Requires, Rule, Serve, Source,
    SourceKind, Stage, Step, Subject, TrafficLimit,
};
use tidegate_engine::plan::Flag;
use tidegate_engine::problem::Quoted;
use tidegate_engine::request::Request;
use tidegate_engine::value::share::Ppm;

/// How many values of a list are shown.
const MOST: usize = 5;

/// A condition, as it was written.
pub fn condition(condition: &Condition) -> String {
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

/// The part of a request that a condition tests.
pub fn subject(subject: &Subject) -> String {
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
pub fn operator(operator: &Operator) -> String {
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

/// Values in quotes; a long list is cut.
pub fn values<'v>(values: impl ExactSizeIterator<Item = &'v [u8]>) -> String {
    some(values.map(bytes))
}

/// The part of a request that does not match a flag.
pub fn unmatched(flag: &Flag, request: &Request<'_>) -> &'static str {
    match &flag.matches {
        matches if !matches.takes_method(request.method()) => "method",
        matches if !matches.takes_host(request.host()) => "host",
        _ => "path",
    }
}

/// A value in quotes, with what is not readable escaped.
pub fn bytes(value: &[u8]) -> String {
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

/// What a rule does, in one line: `when segment internal: v2`, `everybody, 25%: v2`.
pub fn rule(rule: &Rule) -> String {
    let exposure = match &rule.exposure {
        Exposure::Fixed(Ppm::FULL) => String::new(),
        other => format!(", {}", exposure(other)),
    };
    format!("{}{exposure}: {}", when(rule.when.as_ref()), serve(&rule.serve))
}

/// The condition of a rule.
pub fn when(when: Option<&Condition>) -> String {
    when.map_or_else(|| "everybody".to_owned(), |when| format!("when {}", condition(when)))
}

/// The share of a rule, as a number or as steps.
pub fn exposure(exposure: &Exposure) -> String {
    match exposure {
        Exposure::Fixed(share) => share.to_string(),
        Exposure::Steps(steps) => format!("steps {}", some(steps.iter().map(step))),
    }
}

pub fn step(step: &Step) -> String {
    let waits = match step.requires {
        Requires::HEALTHY => String::new(),
        Requires::NOTHING => ", whatever the guard says".to_owned(),
        Requires { healthy, fleet, approval, ready } => {
            let ready = ready.map(|ready| format!("{ready} ready endpoints"));
            let words = [(healthy, "health"), (fleet, "the fleet"), (approval, "approval")];
            let words = words.into_iter().filter(|(on, _)| *on).map(|(_, word)| word.to_owned());
            format!(", with {}", words.chain(ready).collect::<Vec<_>>().join(" and "))
        }
    };
    let approved = step.approved.as_ref().map_or_else(String::new, |approved| format!(", approved: {approved}"));
    format!("{} from {}{waits}{approved}", step.share, time::text(step.at))
}

/// What has been decided so far about a flag: `rolled back since 2026-12-02 09:14 UTC: errors (ana)`.
pub fn standing(standing: &Standing) -> String {
    let Standing { of: _, phase, steps, since, why, by } = standing;
    let phase = match phase {
        Phase::Running => "running",
        Phase::Held => "held",
        Phase::RolledBack => "rolled back",
    };
    let steps =
        steps.iter().map(|(rule, steps)| format!(", rule {rule} at most {}", number::count((*steps).into(), "step")));
    let why = why.as_ref().map_or_else(String::new, |why| format!(": {why}"));
    let by = by.as_ref().map_or_else(String::new, |by| format!(" ({by})"));
    format!("{phase} since {}{}{why}{by}", time::text(*since), steps.collect::<String>())
}

/// What a rule serves, with the weights of a split.
pub fn serve(serve: &Serve) -> String {
    match serve {
        Serve::One(variant) => variant.to_string(),
        Serve::Split(parts) => {
            let part = |part: &tidegate_engine::config::Split| format!("{} {}", part.variant, part.weight);
            format!("a split of {}", parts.iter().map(part).collect::<Vec<_>>().join(" : "))
        }
    }
}

/// Where an identity comes from, in order.
pub fn sources(sources: &[Source]) -> String {
    if sources.is_empty() { "nowhere".to_owned() } else { sources.iter().map(source).collect::<Vec<_>>().join(", ") }
}

fn source(source: &Source) -> String {
    let from = match &source.kind {
        SourceKind::Claim(path) => format!("claim {}", path.0.join(".")),
        SourceKind::Header(name) => format!("header {name}"),
        SourceKind::Cookie(name) => format!("cookie {name}"),
        SourceKind::Query(name) => format!("query {name}"),
        SourceKind::Peer => "peer".to_owned(),
        SourceKind::Address => "address".to_owned(),
        SourceKind::Proxy => "proxy".to_owned(),
        SourceKind::UnverifiedClaim(path) => format!("unverifiedClaim {}", path.0.join(".")),
        SourceKind::Generate(one) => format!("a generated id in cookie {} for {}", one.cookie, time::span(one.max_age)),
    };
    let tidy = match (source.lower, source.trim) {
        (false, false) => "",
        (true, false) => " (lower)",
        (false, true) => " (trim)",
        (true, true) => " (lower, trim)",
    };
    from + tidy
}

/// A reply that the proxy gives instead of the upstream.
pub fn reply(reply: &Reply) -> String {
    let body = reply.body.as_deref().map_or_else(String::new, |body| format!(" {}", Quoted(body)));
    let kind = reply.content_type.as_ref().map_or_else(String::new, |kind| format!(" as {kind}"));
    let headers = reply.headers.iter().map(|(name, value)| format!(", {name}: {value}"));
    format!("{}{body}{kind}{}", reply.status, headers.collect::<String>())
}

/// The limits of a variant.
pub fn throttle(limit: &TrafficLimit) -> String {
    // Kept for a thousand seconds: those of a minute may be no whole number a second.
    let rate = limit.rate.map(|rate| match (rate.checked_rem(1_000), rate.checked_div(1_000)) {
        (Some(0), Some(second)) => format!("{second}/s"),
        _ => format!("{}/m", rate.saturating_mul(60).div_ceil(1_000)),
    });
    let in_flight = limit.in_flight.map(|number| format!("{number} in flight"));
    rate.into_iter().chain(in_flight).collect::<Vec<_>>().join(", ")
}

/// The word of a type.
pub fn kind(kind: Kind) -> &'static str {
    kind.name()
}

/// What is counted of a flag, in a word.
pub fn metrics(metrics: Metrics) -> &'static str {
    match metrics {
        Metrics::All => "all",
        Metrics::Counts => "counts",
        Metrics::Decisions => "decisions",
        Metrics::None => "none",
    }
}

/// Whose requests a guard counts.
pub fn identities(identities: Identities) -> &'static str {
    match identities {
        Identities::Any => "any",
        Identities::Verified => "verified",
    }
}

/// How a proxy can be inspected.
pub fn inspect(inspect: &Inspect) -> String {
    let header = inspect.header.as_ref().map(|header| {
        let page = if inspect.page { ", and the page" } else { "" };
        format!("header {header}{page}")
    });
    let listener = inspect.listener.as_ref().map(|listener| format!("listener {listener}"));
    header.into_iter().chain(listener).collect::<Vec<_>>().join(", ")
}

pub fn stage(stage: Stage) -> &'static str {
    stage.name()
}
