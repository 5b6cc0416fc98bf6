//! Shows what a proxy knows of its rollouts: as a page for people, as JSON, and as the decisions for one request.
//!
//! The page is one file that loads nothing else but the JSON, again and again. Read-only: a request for it changes
//! nothing and is not counted. Never shows an identity.

pub(crate) mod answer;
mod json;

use core::fmt;
use std::borrow::Cow;

use percent_encoding::percent_decode;

use crate::guard::ledger::Ledger;
use crate::lifecycle::State;
use crate::metrics::catalogue::CLASSES;
use crate::metrics::series::Series;
use json::Json;
use tidegate_engine::config::Inspect;
use tidegate_engine::decide::standing::Standing;
use tidegate_engine::decide::{Decisions, Reason, RuleOutcome, Witness};
use tidegate_engine::output::effect::{Effect, LocalReply, asks};
use tidegate_engine::plan::{Flag, Plan, Serve, Variant, VariantId, Waits};
use tidegate_engine::request::Request;
use tidegate_engine::value::name::HeaderValue;
use tidegate_engine::value::share::Ppm;
use tidegate_engine::value::time::Timestamp;

/// What is asked for, by its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    Html,
    Data,
    /// The decisions for the request that asks.
    Explain,
}

/// How far back a comparison is shown, in seconds.
const RECENT_SECONDS: u64 = 64;

const HTML: &str = include_str!("page.html");

impl Page {
    /// The page of this path, if it is one.
    fn of(path: &[u8]) -> Option<Self> {
        match path {
            b"/.tidegate" => Some(Self::Html),
            b"/.tidegate.json" => Some(Self::Data),
            b"/.tidegate/explain" => Some(Self::Explain),
            _ => None,
        }
    }

    /// The page that a request asks for, if it may see it. Asks for the listener's name only then: that costs a host
    /// call.
    #[inline]
    #[must_use]
    pub fn asked(plan: &Plan, request: &Request<'_>, listener: impl FnOnce() -> Option<Vec<u8>>) -> Option<Self> {
        plan.inspect.as_ref().and_then(|inspect| Self::asked_of(plan, inspect, request, listener))
    }

    #[inline(never)]
    fn asked_of(
        plan: &Plan,
        inspect: &Inspect,
        request: &Request<'_>,
        listener: impl FnOnce() -> Option<Vec<u8>>,
    ) -> Option<Self> {
        let page = Self::of(request.path()).filter(|_| matches!(request.method(), b"GET" | b"HEAD"))?;
        let by_key = inspect.page && asks(plan, request);
        let open = |name: &HeaderValue| listener().is_some_and(|listener| listener == name.as_str().as_bytes());
        (by_key || inspect.listener.as_ref().is_some_and(open)).then_some(page)
    }

    /// The reply with this body: caches may not keep it, and the page may only connect to the proxy that served it.
    pub(crate) fn answer(self, body: &str) -> LocalReply<'_> {
        const POLICY: &str =
            "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'";
        let headers = vec![
            ("content-type", self.content_type()),
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
            ("content-security-policy", POLICY),
        ];
        LocalReply { status: 200, headers, body }
    }

    /// The type of what it shows.
    #[must_use]
    fn content_type(self) -> &'static str {
        match self {
            Self::Html => "text/html; charset=utf-8",
            Self::Data | Self::Explain => "application/json",
        }
    }
}

pub struct Snapshot<'k> {
    pub plan: &'k Plan,
    pub series: &'k Series,
    pub state: State,
    pub since: Option<Timestamp>,
    pub now: Timestamp,
    pub standing: &'k Standing,
    /// By watched flag.
    pub ledgers: Vec<Option<Ledger>>,
    /// The last events, a line each.
    pub events: &'k str,
    /// Within how many microseconds a half, and 99 of 100, of the exposed requests were answered: of a watched flag
    /// and its comparison, as far as this worker knows.
    pub times: &'k dyn Fn(u16, usize) -> Option<[u32; 2]>,
    /// Since when it is known what was counted lately.
    pub recent: Option<Timestamp>,
    /// What all workers have counted at a place of the plan's series, since Envoy has started and lately.
    pub number: &'k dyn Fn(usize) -> (u64, u32),
}

impl fmt::Debug for Snapshot<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").field("state", &self.state).field("since", &self.since).finish_non_exhaustive()
    }
}

#[must_use]
pub fn html() -> &'static str {
    HTML
}

impl Snapshot<'_> {
    #[must_use]
    pub fn data(&self) -> String {
        let mut json = Json::default();
        json.map(|json| {
            let plan = self.plan;
            match plan.revision() {
                Some(revision) => json.key("revision").text(revision.as_str()),
                None => json.field("revision", None),
            }
            json.key("state").text(self.state.name());
            json.key("fingerprint").text(&format!("{:012x}", plan.fingerprint() & 0xffff_ffff_ffff));
            json.key("version").text(env!("CARGO_PKG_VERSION"));
            json.field("since", self.since.map(Timestamp::millis));
            json.field("now", Some(self.now.millis()));
            json.field("recent", self.recent.map(Timestamp::millis));
            json.key("flags")
                .list(|json| plan.flags().iter().enumerate().for_each(|(place, flag)| self.flag(json, place, flag)));
            json.key("events").list(|json| {
                for line in self.events.lines() {
                    let (at, text) =
                        line.strip_prefix("at=").and_then(|line| line.split_once(' ')).unwrap_or(("0", line));
                    json.map(|json| {
                        json.key("at").digits(at);
                        json.key("text").text(text);
                    });
                }
            });
        });
        json.finish()
    }

    fn flag(&self, json: &mut Json, place: usize, flag: &Flag) {
        let standing = self.standing.of(flag.watch);
        let ledger = flag.watch.and_then(|watch| self.ledgers.get(usize::from(watch))).and_then(Option::as_ref);
        let key = flag.key().as_str();
        let shares = || flag.rules.iter().map(|rule| flag.exposure(rule, self.now, standing));
        json.map(|json| {
            json.key("key").text(key);
            let about = &flag.about;
            json.key("type").text(about.kind.name());
            if let Some(owner) = &about.owner {
                json.key("owner").text(owner.as_str());
            }
            if let Some(stage) = about.stage {
                json.key("stage").text(stage.name());
            }
            json.field("expires", about.expires.map(Timestamp::millis));
            json.key("killed").truth(flag.kill);
            json.key("baseline").text(name(flag, flag.baseline));
            json.key("standing").map(|json| {
                json.key("phase").text(standing.phase.name());
                json.field("since", ledger.map(|ledger| ledger.since().millis()));
            });
            if let Some(stands) = &flag.stands {
                json.key("stands").map(|json| {
                    json.key("phase").text(stands.phase.as_guard().name());
                    json.field("since", Some(stands.since.millis()));
                    for (key, text) in [("why", &stands.why), ("by", &stands.by)] {
                        if let Some(text) = text {
                            json.key(key).text(text.as_str());
                        }
                    }
                });
            }
            json.field("exposure", Some(exposed(flag, shares()).parts().into()));
            json.key("rules").list(|json| {
                for (rule, share) in flag.rules.iter().zip(shares()) {
                    json.map(|json| {
                        json.key("condition").truth(rule.when.is_some());
                        json.field("share", Some(share.parts().into()));
                        json.key("serves").list(|json| match &rule.serve {
                            Serve::One(only) => json.text(name(flag, *only)),
                            Serve::Split { bounds, .. } => {
                                bounds.iter().for_each(|(_, variant)| json.text(name(flag, *variant)));
                            }
                        });
                        let steps = rule.steps();
                        json.key("steps").list(|json| {
                            for step in steps {
                                json.map(|json| {
                                    json.field("at", Some(step.at.millis()));
                                    json.field("share", Some(step.share.parts().into()));
                                });
                            }
                        });
                        json.count("taken", u64::try_from(rule.taken(self.now, standing)).ok());
                        if let Some(waits) = flag.waits(rule, self.now) {
                            json.key("waits").text(match waits {
                                Waits::Standing => "is held by the standing",
                                Waits::Fleet => "waits for the fleet",
                                Waits::Ready(_) => "waits for endpoints",
                                Waits::Approval => "waits for an approval",
                            });
                        }
                    });
                }
            });
            json.key("variants").list(|json| {
                let variants = (0..).map(VariantId).zip(&flag.variants);
                variants.for_each(|(id, variant)| self.variant(json, place, id, variant));
            });
            json.key("comparisons").list(|json| self.comparisons(json, flag, ledger));
        });
    }

    fn variant(&self, json: &mut Json, flag: usize, id: VariantId, variant: &Variant) {
        let series = self.series;
        // If the flag is counted together with others, the numbers say nothing about it.
        let number = |place: Option<usize>| place.filter(|_| series.is_own(flag)).map(self.number);
        let sum =
            |(all, lately): (u64, u32), (more, now): (u64, u32)| (all.saturating_add(more), lately.saturating_add(now));
        let decided = Reason::ALL.iter().filter_map(|reason| number(series.decision(flag, id, *reason)));
        let (decided, lately) = decided.fold((0, 0), sum);
        let own = series.is_own(flag);
        let mut recent = (0_u32, 0_u32);
        json.map(|json| {
            json.key("name").text(variant.name().as_str());
            json.count("decided", Some(decided).filter(|_| own));
            json.key("answers").map(|json| {
                for (class, name) in CLASSES.iter().enumerate() {
                    let answers = number(series.response(flag, id, class));
                    let lately = answers.map_or(0, |(_, lately)| lately);
                    let failed = if matches!(*name, "none" | "5xx") { lately } else { 0 };
                    recent = (recent.0.saturating_add(lately), recent.1.saturating_add(failed));
                    json.count(name, answers.map(|(all, _)| all));
                }
            });
            json.key("recent").map(|json| {
                let numbers = [("decided", lately), ("answered", recent.0), ("failed", recent.1)];
                for (name, number) in numbers {
                    json.field(name, Some(number.into()).filter(|_| own));
                }
            });
        });
    }

    fn comparisons(&self, json: &mut Json, flag: &Flag, ledger: Option<&Ledger>) {
        let watch = flag.watch.and_then(|watch| self.plan.watches().get(usize::from(watch)));
        let Some((watch, ledger)) = watch.zip(ledger) else { return };
        let baseline_times = ledger.baseline().percentiles();
        let comparisons = watch.comparisons.iter().zip(ledger.recent(RECENT_SECONDS)).enumerate();
        for (place, ((rule, variant), (seconds, arm, baseline))) in comparisons {
            let arm_times = flag.watch.and_then(|watch| (self.times)(watch, place));
            let number = watch.judged.get(usize::from(*rule)).map(|rule| rule.number());
            json.map(|json| {
                json.field("rule", number.map(i64::from));
                json.key("variant").text(name(flag, *variant));
                json.count("seconds", Some(seconds));
                for (side, count, times) in [("arm", arm, arm_times), ("baseline", baseline, baseline_times)] {
                    json.key(side).map(|json| {
                        json.field("requests", Some(count.requests.into()));
                        json.field("failed", Some(count.failed.into()));
                        json.field("slow", Some(count.slow.into()));
                        for (name, place) in [("p50Micros", 0), ("p99Micros", 1)] {
                            json.field(name, times.and_then(|times| times.get(place).copied()).map(i64::from));
                        }
                    });
                }
            });
        }
    }
}

/// The share of identities that get something other than the baseline by a draw. Rules without a condition share one
/// draw, so the largest of their shares is the answer.
fn exposed(flag: &Flag, shares: impl Iterator<Item = Ppm>) -> Ppm {
    let open = flag.rules.iter().zip(shares).filter(|(rule, _)| rule.when.is_none());
    let others = open.filter(|(rule, _)| !matches!(rule.serve, Serve::One(only) if only == flag.baseline));
    others.map(|(_, share)| share).max().unwrap_or(Ppm::NONE)
}

fn name(flag: &Flag, variant: VariantId) -> &str {
    flag.variant(variant).map_or("", |variant| variant.name().as_str())
}

/// Records what each rule did with a request.
#[derive(Debug, Default)]
pub struct Transcript(Vec<Vec<(usize, RuleOutcome)>>);

impl Witness for Transcript {
    fn flag(&mut self, _: &Flag) {
        self.0.push(Vec::new());
    }

    fn rule(&mut self, place: usize, outcome: RuleOutcome) {
        if let Some(rules) = self.0.last_mut() {
            rules.push((place, outcome));
        }
    }
}

/// The decisions for a request, rule by rule, and the headers that would be written.
#[must_use]
pub fn explain(transcript: &Transcript, decisions: &Decisions<'_>, effects: &[Effect<'_>]) -> String {
    let mut json = Json::default();
    json.map(|json| {
        json.key("flags").list(|json| {
            for (decision, rules) in decisions.list().iter().zip(&transcript.0) {
                json.map(|json| {
                    json.key("key").text(decision.flag().key().as_str());
                    json.key("variant").text(decision.variant().name().as_str());
                    json.key("value").text(decision.variant().value().as_str());
                    json.key("reason").text(decision.reason().code());
                    json.field("exposure", decision.exposure().map(i64::from));
                    json.key("missedDraw").truth(decision.missed_draw());
                    json.key("rules")
                        .list(|json| rules.iter().for_each(|(place, outcome)| rule(json, *place, *outcome)));
                });
            }
        });
        json.key("upstream").map(|json| {
            // Most of a baggage comes from others, and may identify a user.
            let ours = effects.iter().filter(|effect| !matches!(effect, Effect::Baggage(_)));
            for (name, value) in ours.filter_map(Effect::written) {
                json.key(name).text(core::str::from_utf8(value).unwrap_or_default());
            }
        });
    });
    json.finish()
}

fn rule(json: &mut Json, place: usize, outcome: RuleOutcome) {
    let (verdict, share) = match outcome {
        RuleOutcome::ConditionFalse => ("not met", None),
        RuleOutcome::NobodyExposed => ("nobody", None),
        RuleOutcome::NoIdentity { share } => ("no identity", Some(share)),
        RuleOutcome::Missed { share, .. } => ("missed", Some(share)),
        RuleOutcome::Served { share, .. } => ("taken", Some(share)),
    };
    json.map(|json| {
        json.count("rule", u64::try_from(place.saturating_add(1)).ok());
        json.key("verdict").text(verdict);
        json.field("share", share.map(|share| share.parts().into()));
    });
}

/// The parts of the request that its query replaces: `?path=/api&host=shop.example&method=POST`.
#[must_use]
pub fn overrides(path: &[u8]) -> Vec<(&'static str, Cow<'_, [u8]>)> {
    let query = path.splitn(2, |byte| *byte == b'?').nth(1).unwrap_or_default();
    let pairs = query.split(|byte| *byte == b'&');
    let named = pairs.filter_map(|pair| {
        let mut parts = pair.splitn(2, |byte| *byte == b'=');
        let (name, value) = (parts.next()?, parts.next()?);
        let name = match name {
            b"path" => ":path",
            b"host" => ":authority",
            b"method" => ":method",
            _ => return None,
        };
        Some((name, percent_decode(value).into()))
    });
    named.collect()
}
