//! Turns a case file into requests with expectations, and compares what became of a request with what was expected.
//!
//! A case file is YAML or JSON: a config, inline or by name, and cases with a request and what is expected of it. Text
//! in requests and expectations is Latin-1: `"\xFF"` is the byte 255. Without `at`, a case happens in 1970, before
//! every ramp. An inline config needs no version, and gets an inspection key if it has none; every request carries the
//! key. [`cover`] finds the requests of a matrix, with the help of [`recipe`]. Never knows what a decision should be.

pub mod cover;
pub mod read;
pub mod recipe;

use std::fmt;
use std::ops::Range;
use std::rc::Rc;

use serde_json::Map;

pub use read::{Configs, Read, within};

use crate::request::RequestSpec;
use crate::source::Loaded;
use tidegate_engine::decide::standing::Standing;
use tidegate_engine::decide::{Decision, Reason, decide};
use tidegate_engine::output::effect::{self, INSPECTION, OnResponse, rewritten};
use tidegate_engine::plan::Plan;
use tidegate_engine::value::time::Timestamp;

/// Cases under one config.
#[derive(Debug)]
pub struct Suite {
    pub loaded: Loaded,
    /// The text of the case file.
    pub text: Rc<str>,
    pub cases: Vec<Case>,
}

/// A request, and what is expected of it.
#[derive(Debug)]
pub struct Case {
    pub name: String,
    /// When it happens, where it says so.
    pub at: Option<Timestamp>,
    pub spec: RequestSpec,
    /// Where it stands in the file.
    pub span: Range<usize>,
    expect: Expect,
}

#[derive(Debug, Default)]
struct Expect {
    /// All flags that are decided.
    decide: Option<(Range<usize>, Vec<ExpectedValues>)>,
    flags: Vec<ExpectedValues>,
    upstream: Vec<ExpectedValues>,
    response: Vec<ExpectedValues>,
    inspection: Option<ExpectedValues>,
}

/// What is expected under one name: any number of values.
#[derive(Debug)]
struct ExpectedValues {
    name: String,
    values: Vec<Vec<u8>>,
    span: Range<usize>,
}

/// What became of a request.
#[derive(Debug, Default)]
pub struct Seen {
    /// Each flag that was decided, and `variant reason`.
    decided: Vec<(String, String)>,
    upstream: Vec<(String, Vec<u8>)>,
    response: Vec<(String, Vec<u8>)>,
}

/// Something that is not as expected.
#[derive(Debug)]
pub struct Mismatch {
    /// The part of the expectation: `decide`, `upstream` and so on.
    pub part: &'static str,
    pub name: String,
    /// What was expected; nothing where it should not be there.
    pub expected: Vec<String>,
    pub found: Vec<String>,
    pub span: Range<usize>,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { part, name, expected, found, .. } = self;
        write!(f, "{part} {name}: expected {expected:?}, found {found:?}")
    }
}

impl Suite {
    #[must_use]
    pub fn config(&self) -> String {
        String::from_utf8_lossy(&self.loaded.document.wire).into_owned()
    }

    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.loaded.plan
    }
}

impl Case {
    /// The headers of the request, in order and with the pseudo-headers first.
    #[must_use]
    pub fn headers(&self) -> &[(String, Vec<u8>)] {
        &self.spec.headers
    }

    #[must_use]
    pub fn claims(&self) -> &Map<String, serde_json::Value> {
        &self.spec.claims
    }

    #[must_use]
    pub fn peer(&self) -> Option<&[u8]> {
        self.spec.peer.as_deref()
    }

    #[must_use]
    pub fn address(&self) -> Option<&[u8]> {
        self.spec.address.as_deref()
    }

    /// The node id of the proxy.
    #[must_use]
    pub fn proxy(&self) -> Option<&[u8]> {
        self.spec.proxy.as_deref()
    }

    #[must_use]
    pub fn time(&self) -> Timestamp {
        self.at.unwrap_or(Timestamp::from_millis(0))
    }

    /// Each flag that is decided for a request, and `variant reason`.
    pub fn words(spec: &RequestSpec, plan: &Plan, now: Timestamp) -> Vec<(String, String)> {
        let request = spec.seen(plan.inputs());
        decide(plan, &request, &Standing::NONE, now).list().iter().map(decided).collect()
    }

    /// What becomes of the request, by the engine in this process.
    #[must_use]
    pub fn natively(&self, plan: &Plan) -> Seen {
        let request = self.spec.seen(plan.inputs());
        let decisions = decide(plan, &request, &Standing::NONE, self.time());
        let owned = |(name, value): (&str, &[u8])| (name.to_owned(), value.to_vec());
        let mut response = Vec::new();
        let mut upstream = Vec::new();
        if let Some(answer) = effect::reply(plan, &request, &decisions) {
            response.push((":status".to_owned(), answer.status.to_string().into_bytes()));
            response.extend(answer.headers.iter().map(|(name, value)| owned((name, value.as_bytes()))));
        } else {
            let effects = effect::on_request(plan, &request, &decisions);
            let left = rewritten(self.spec.pairs(), &effects).into_iter();
            upstream = left.map(|(name, value)| (String::from_utf8_lossy(name).into_owned(), value.to_vec())).collect();
            response.push((":status".to_owned(), b"200".to_vec()));
        }
        let carry = OnResponse::new(plan, &request, &decisions);
        response.extend(carry.cookie.map(|cookie| ("set-cookie".to_owned(), cookie.into_bytes())));
        response.extend(carry.inspection.map(|text| (INSPECTION.to_owned(), text.into_bytes())));
        Seen { decided: decisions.list().iter().map(decided).collect(), upstream, response }
    }

    #[must_use]
    pub fn differences(&self, seen: &Seen) -> Vec<Mismatch> {
        let mut found = Vec::new();
        let Expect { decide, flags, upstream, response, inspection } = &self.expect;
        let texts = |said: &ExpectedValues| {
            said.values.iter().map(|value| value.escape_ascii().to_string()).collect::<Vec<_>>()
        };
        let decided = |name: &str| {
            let words = seen.decided.iter().find(|(flag, _)| flag == name);
            words.map(|(_, words)| words.clone()).into_iter().collect::<Vec<_>>()
        };
        let all = decide.iter().flat_map(|(_, list)| list).map(|said| ("decide", said));
        for (part, said) in all.chain(flags.iter().map(|said| ("flags", said))) {
            let (expected, found_words) = (texts(said), decided(&said.name));
            let fits = match (expected.first(), found_words.first()) {
                (Some(due), Some(words)) => due == words || words.split(' ').next() == Some(due),
                (None, None) => true,
                (Some(_), None) | (None, Some(_)) => false,
            };
            if !fits {
                let (name, span) = (said.name.clone(), said.span.clone());
                found.push(Mismatch { part, name, expected, found: found_words, span });
            }
        }
        if let Some((span, list)) = decide {
            for (flag, words) in &seen.decided {
                if !list.iter().any(|said| said.name == *flag) {
                    let (name, found_words) = (flag.clone(), vec![words.clone()]);
                    let (expected, span) = (Vec::new(), span.clone());
                    found.push(Mismatch { part: "decide", name, expected, found: found_words, span });
                }
            }
        }
        let inspection = inspection.iter().map(|said| ("inspection", said, &seen.response));
        let upstream = upstream.iter().map(|said| ("upstream", said, &seen.upstream));
        let response = response.iter().map(|said| ("response", said, &seen.response));
        for (part, said, headers) in upstream.chain(response).chain(inspection) {
            let values = headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case(&said.name));
            let values: Vec<String> = values.map(|(_, value)| value.escape_ascii().to_string()).collect();
            let expected = texts(said);
            if values != expected {
                let (name, span) = (said.name.clone(), said.span.clone());
                found.push(Mismatch { part, name, expected, found: values, span });
            }
        }
        found
    }
}

impl Seen {
    /// What a proxy made of a request that asked for inspection: what reached the upstream, and what came back.
    #[must_use]
    pub fn through(upstream: Vec<(String, Vec<u8>)>, response: Vec<(String, Vec<u8>)>) -> Self {
        let inspection = response.iter().find(|(name, _)| name.eq_ignore_ascii_case(INSPECTION));
        let text = inspection.map_or_else(String::new, |(_, text)| String::from_utf8_lossy(text).into_owned());
        let members = text.split(", ").filter_map(|member| {
            // `checkout=v2;reason=split;exposure=5`
            let mut parts = member.split(';');
            let (flag, variant) = parts.next()?.split_once('=')?;
            let rest = parts.filter(|part| !part.starts_with("exposure="));
            let mut words = variant.replace('"', "");
            for part in rest {
                words.push(' ');
                words.push_str(part.strip_prefix("reason=").unwrap_or(part));
            }
            Some((flag.to_owned(), words))
        });
        Self { decided: members.collect(), upstream, response }
    }
}

/// A flag, and `variant reason`.
fn decided(decision: &Decision<'_>) -> (String, String) {
    let (name, reason) = (decision.variant().name(), decision.reason());
    let missed = if decision.missed_draw() && reason != Reason::NoIdentity { " no_identity" } else { "" };
    (decision.flag().key().to_string(), format!("{name} {}{missed}", reason.code()))
}
