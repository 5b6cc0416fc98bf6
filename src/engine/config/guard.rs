//! Turns what protects a service into types: the guard of a flag, the limit and the reply of a variant.
//!
//! Each number is whole and in its bounds from here on. Never judges an outcome, and never answers a request.

use super::reader::{Field, HEADERS, Limit, steps, word};
use super::schema::reference::{ERRORS, GUARD, LATENCY, LIMIT, REPLY};
use crate::problem::{Problems, Wrong};
use crate::value::name::{HeaderName, HeaderValue, Prose, readable};
use crate::value::share::Ppm;
use crate::value::time::Span;

const FAILURES: Limit = Limit::new(16, "failures");

/// The longest window, and the default.
const LONGEST: Span = Span::from_millis(600_000);

/// The longest body of a reply, in bytes.
const BODY_MAX: usize = 4_096;

/// The limits that variants must keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guard {
    /// The longest window that is looked at.
    pub window: Span,
    pub errors: Option<Errors>,
    pub latency: Option<Latency>,
    pub failures: Failures,
    /// Whose requests are counted; without a word everybody's.
    pub identities: Option<Identities>,
    /// How many proxies judge by this guard, each for itself: 1 to 1,000,000.
    pub fleet: u32,
    /// What happens when a limit is broken.
    pub action: Action,
    /// When a variant that was rolled back is tried again, if ever.
    pub retry_after: Option<Span>,
    /// A new value begins a new generation, without the memory of the last one.
    pub rearm: Option<Prose>,
}

/// How many answers may be failures. At least one of the two limits is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errors {
    pub max: Option<Ppm>,
    /// How much larger than the baseline's the share may be.
    pub over_baseline: Option<Ppm>,
}

/// How many answers may be slow. At least one of the two limits is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Latency {
    /// The share that may be slower: 1 % for percentile 99.
    pub slower: Ppm,
    /// The time that the others must keep.
    pub max: Option<Span>,
    /// The factor of the baseline's time that they must keep, in thousandths: 1,001 to 100,000.
    pub over_baseline: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failures {
    /// Every status from 500 on.
    pub server_errors: bool,
    /// An answer that broke off, or never came.
    pub resets: bool,
    /// A gRPC status that is the server's fault.
    pub grpc: bool,
    /// These statuses, in the order in which they were written, each once.
    pub codes: Box<[u16]>,
}

impl Default for Failures {
    fn default() -> Self {
        Self { server_errors: true, resets: true, grpc: true, codes: Box::default() }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identities {
    Any,
    /// Only those whose identity is verified: a claim of a signed token, or the principal of a certificate.
    Verified,
}

/// What happens when a limit is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Everybody gets the baseline.
    Rollback,
    /// Ramps go no further.
    Hold,
    /// Only an event is logged.
    Alert,
}

/// The most traffic that a variant takes. At least one of the two limits is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrafficLimit {
    /// Requests in a thousand seconds, rounded down: 50,000 for `50/s`, 5,000 for `300/m`.
    pub rate: Option<u64>,
    /// Requests at the same time.
    pub in_flight: Option<u32>,
}

/// An answer in the upstream's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    /// The body, if there is one.
    pub body: Option<Box<str>>,
    pub content_type: Option<HeaderValue>,
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

/// Reads a guard. Parts that cannot be read are left out, each with a problem.
pub(super) fn read(field: &Field<'_>, problems: &mut Problems) -> Option<Guard> {
    let object = field.object(&GUARD, problems)?;
    object.either("errors", "latency", problems);
    let window = object.field("window");
    let window = window.and_then(|window| window.span(problems, 1_000..=LONGEST.millis(), "must be from 1s to 10m"));
    let errors = object.field("errors").and_then(|errors| self::errors(&errors, problems));
    let latency = object.field("latency").and_then(|latency| self::latency(&latency, problems));
    let failures = object.field("failures").and_then(|failures| self::failures(&failures, problems));
    let identities = object.field("identities").and_then(|identities| {
        let words = [("any", Identities::Any), ("verified", Identities::Verified)];
        identities.parse(problems, |text| word(text, &words))
    });
    let fleet = object
        .field("fleet")
        .and_then(|fleet| fleet.steps(problems, 0, "", 1..=1_000_000, "must be a whole number from 1 to 1000000"));
    let action = object.field("action").map_or(Some(Action::Rollback), |action| {
        let words = [("rollback", Action::Rollback), ("hold", Action::Hold), ("alert", Action::Alert)];
        action.parse(problems, |text| word(text, &words))
    });
    let retry_after = object.field("retryAfter").and_then(|retry| {
        if let Some(Action::Hold | Action::Alert) = action {
            problems.error_of_key(&retry.at, "needs action: rollback, or there is nothing to try again");
        }
        retry.span(problems, 10_000..=u64::MAX, "must be at least 10s")
    });
    let rearm = object.field("rearm").and_then(|rearm| rearm.parse(problems, Prose::parse_some));
    Some(Guard {
        window: window.unwrap_or(LONGEST),
        errors,
        latency,
        failures: failures.unwrap_or_default(),
        identities,
        fleet: fleet.unwrap_or(1),
        action: action.unwrap_or(Action::Rollback),
        retry_after,
        rearm,
    })
}

fn errors(field: &Field<'_>, problems: &mut Problems) -> Option<Errors> {
    let object = field.object(&ERRORS, problems)?;
    object.either("max", "overBaseline", problems);
    let mut share = |name| {
        let field = object.field(name)?;
        let share = field.share(problems)?;
        if share == Ppm::NONE {
            field.wrong(problems, "must be above 0");
        }
        Some(share)
    };
    Some(Errors { max: share("max"), over_baseline: share("overBaseline") })
}

fn latency(field: &Field<'_>, problems: &mut Problems) -> Option<Latency> {
    let object = field.object(&LATENCY, problems)?;
    object.either("max", "overBaseline", problems);
    let slower = object.required("percentile", problems).and_then(|percentile| {
        let share = percentile.share(problems)?;
        if let Ppm::NONE | Ppm::FULL = share {
            percentile.wrong(problems, "must be above 0 and below 100, such as 99 or 99.9");
        }
        Some(share.rest())
    });
    let max = object.field("max").and_then(|max| max.span(problems, 1..=u64::MAX, "must be at least 1ms"));
    let over_baseline = object.field("overBaseline").and_then(|factor| {
        let due = "must be a factor above 1 and up to 100, in steps of 0.001, such as 1.5x";
        factor.steps(problems, 3, "x", 1_001..=100_000, due)
    });
    Some(Latency { slower: slower?, max, over_baseline })
}

fn failures(field: &Field<'_>, problems: &mut Problems) -> Option<Failures> {
    let mut failures = Failures { server_errors: false, resets: false, grpc: false, codes: Box::default() };
    let mut codes: Vec<u16> = Vec::new();
    field.each(problems, FAILURES, |failure, problems| {
        match failure.text(problems)? {
            "5xx" => failures.server_errors = true,
            "reset" => failures.resets = true,
            "grpc" => failures.grpc = true,
            text => match steps(text, 0, 400..=599).and_then(|code| u16::try_from(code).ok()) {
                Some(code) if codes.contains(&code) => {}
                Some(code) => codes.push(code),
                None => failure.wrong(problems, "must be 5xx, reset, grpc, or a status from 400 to 599"),
            },
        }
        Some(())
    })?;
    failures.codes = codes.into();
    Some(failures)
}

/// Reads the limit of a variant.
pub(super) fn throttle(field: &Field<'_>, problems: &mut Problems) -> Option<TrafficLimit> {
    let object = field.object(&LIMIT, problems)?;
    object.either("requests", "inFlight", problems);
    let rate = object.field("requests").and_then(|requests| {
        let rate = rate(requests.text(problems)?);
        if rate.is_none() {
            let due = "must be from 1 to 1000000 requests a second or a minute, such as 50/s or 300/m";
            requests.wrong(problems, due);
        }
        rate
    });
    let in_flight = object
        .field("inFlight")
        .and_then(|count| count.steps(problems, 0, "", 1..=1_000_000, "must be a whole number from 1 to 1000000"));
    Some(TrafficLimit { rate, in_flight })
}

/// Reads `50/s` or `300/m` as requests in a thousand seconds.
fn rate(text: &str) -> Option<u64> {
    let (number, unit) = text.split_once('/')?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        _ => return None,
    };
    let number = steps(number, 0, 1..=1_000_000)?;
    u64::from(number).checked_mul(1_000)?.checked_div(seconds)
}

/// Reads the reply of a variant.
pub(super) fn reply(field: &Field<'_>, problems: &mut Problems) -> Option<Reply> {
    let object = field.object(&REPLY, problems)?;
    let status = object.required("status", problems);
    let status = status.and_then(|status| status.steps(problems, 0, "", 200..=599, "must be a status from 200 to 599"));
    let body = object.field("body").and_then(|body| {
        body.parse(problems, |text| readable(text, BODY_MAX, &['\n', '\t']).map(|()| Box::from(text)))
    });
    let content_type = object.field("contentType").and_then(|kind| {
        if object.field("body").is_none() {
            problems.error_of_key(&kind.at, "needs a body");
        }
        kind.parse(problems, HeaderValue::parse)
    });
    let mut headers: Vec<(HeaderName, HeaderValue)> = Vec::new();
    if let Some(map) = object.field("headers") {
        for (key, entry) in map.members(HEADERS, problems) {
            let name = header(key).map_err(|wrong| problems.error_of_key(&entry.at, wrong)).ok();
            let Some((name, value)) = name.zip(entry.parse(problems, HeaderValue::parse)) else { continue };
            if headers.iter().any(|(before, _)| *before == name) {
                problems.error_of_key(&entry.at, "is already written by this reply");
            }
            headers.push((name, value));
        }
    }
    Some(Reply { status: u16::try_from(status?).ok()?, body, content_type, headers })
}

/// Reads the name of a header of a reply.
fn header(text: &str) -> Result<HeaderName, Wrong> {
    let name = HeaderName::parse(text)?;
    match name.as_str() {
        "content-type" => Err("cannot be set here: use contentType".into()),
        "connection" | "content-length" | "transfer-encoding" => {
            Err("is written by Envoy itself and cannot be set".into())
        }
        _ => Ok(name),
    }
}
