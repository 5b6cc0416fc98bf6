//! Turns a config and a request into what is decided, rule by rule, and why.
//!
//! A witness notes what the evaluator does. Never decides anything itself.

use std::collections::BTreeMap;
use std::fmt;

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use crate::request::RequestSpec;
use crate::source::Loaded;
use crate::words;
use tidegate_engine::config::{self, Operator};
use tidegate_engine::decide::standing::Standing;
use tidegate_engine::decide::{Decision, Reason, RuleOutcome, Witness, decide_before};
use tidegate_engine::output::baggage::BAGGAGE;
use tidegate_engine::output::effect::{self, Effect, OnResponse};
use tidegate_engine::plan::{Flag, Plan, Rule, Subject, Waits};
use tidegate_engine::value::share::Ppm;
use tidegate_engine::value::time::Timestamp;

/// What became of a request.
#[derive(Debug)]
pub struct Explanation {
    pub flags: Vec<FlagExplanation>,
    pub not_matched: Vec<(String, &'static str)>,
    pub written: Vec<(String, String)>,
    pub removed: Vec<String>,
    pub looks_up_route: bool,
    pub filter_state: BTreeMap<String, String>,
    pub reply: Option<u32>,
    pub cookie: Option<String>,
    pub inspection: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FlagExplanation {
    #[serde(rename = "flag")]
    pub key: String,
    pub variant: String,
    pub value: String,
    pub reason: &'static str,
    #[serde(rename = "openFeatureReason")]
    pub open_feature: String,
    #[serde(serialize_with = "parts")]
    pub exposure: Option<Ppm>,
    /// A share was skipped because the request has no identity, and another rule or the default took the request.
    pub missed_draw: bool,
    /// What the config says has been decided so far about the flag, where it counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub standing: Option<String>,
    pub rules: Vec<RuleExplanation>,
}

#[derive(Debug, Serialize)]
pub struct RuleExplanation {
    #[serde(rename = "rule")]
    pub number: usize,
    pub when: Option<String>,
    pub verdict: &'static str,
    #[serde(skip)]
    pub taken: bool,
    pub why: String,
    pub tests: Vec<TestResult>,
}

/// A test that was made, and what came of it.
#[derive(Debug)]
pub struct TestResult {
    /// What was asked, in the words of the condition.
    pub asked: String,
    /// The value that was found; none for a segment, which the condition names itself.
    pub found: Option<String>,
    pub holds: bool,
}

impl fmt::Display for TestResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { asked, found, .. } = self;
        match found {
            Some(found) => write!(f, "{asked}: it is {found}"),
            None => f.write_str(asked),
        }
    }
}

impl Serialize for TestResult {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_struct("test", 2)?;
        map.serialize_field("test", &self.to_string())?;
        map.serialize_field("holds", &self.holds)?;
        map.end()
    }
}

/// Explains what is decided for a request at a time.
pub fn explain(loaded: &Loaded, spec: &RequestSpec, now: Timestamp) -> Explanation {
    let Loaded { plan, config, .. } = loaded;
    let request = spec.seen(plan.inputs());
    let mut transcript =
        Transcript { plan, config, told: Vec::new(), tests: Vec::new(), negated: false, flag: None, now };
    let decisions = decide_before(&mut transcript, plan, &request, &Standing::NONE, now);
    let told = transcript.told;
    let effects = effect::on_request(plan, &request, &decisions);
    let carry = OnResponse::new(plan, &request, &decisions);
    let reply = effect::reply(plan, &request, &decisions).map(|answer| answer.status);
    let emptied = effects.contains(&Effect::Remove(BAGGAGE.as_bytes().into()));
    let gone = emptied.then_some(BAGGAGE.as_bytes());
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let missed = |flag: &&Flag| decisions.find(flag.key().as_str()).is_none();
    let not_matched =
        plan.flags().iter().filter(missed).map(|flag| (flag.key().to_string(), words::unmatched(flag, &request)));
    Explanation {
        flags: decisions.list().iter().zip(told).map(|(decision, (_, rules))| of(decision, rules)).collect(),
        not_matched: not_matched.collect(),
        written: effects
            .iter()
            .filter_map(Effect::written)
            .map(|(name, value)| (name.to_owned(), text(value)))
            .collect(),
        removed: request.removed().iter().copied().chain(gone).map(text).collect(),
        looks_up_route: effects.contains(&Effect::ClearRoute),
        filter_state: effect::on_stream(plan, &decisions)
            .into_iter()
            .map(|(name, value)| (format!("wasm.{name}"), value.into_owned()))
            .collect(),
        reply,
        cookie: carry.cookie,
        inspection: carry.inspection,
    }
}

impl RuleExplanation {
    /// The rule and its verdict, which may be painted.
    pub fn head(&self, paint: impl Fn(&str) -> String) -> String {
        let when = self.when.as_deref().map_or_else(|| "everybody".to_owned(), |when| format!("when {when}"));
        let why = if self.why.is_empty() { String::new() } else { format!(": {}", self.why) };
        format!("{}. {when}  {}{why}", self.number, paint(self.verdict))
    }
}

fn of(decision: &Decision<'_>, rules: Vec<RuleExplanation>) -> FlagExplanation {
    let reason = decision.reason();
    FlagExplanation {
        key: decision.flag().key().to_string(),
        variant: decision.variant().name().to_string(),
        value: decision.variant().value().to_string(),
        reason: reason.code(),
        open_feature: reason.open_feature(),
        exposure: decision.exposure().map(Ppm::of),
        missed_draw: decision.missed_draw(),
        standing: decision.flag().stands.as_deref().map(words::standing),
        rules,
    }
}

/// Why the ramp of a rule takes no step more, if its clock would let it.
fn waits(flag: &Flag, rule: &Rule, now: Timestamp) -> Option<String> {
    let waits = flag.waits(rule, now)?;
    let (taken, begun) = (rule.cap, rule.exposure.begun(now));
    let because = match waits {
        Waits::Approval => "the next one waits for an approval".to_owned(),
        Waits::Fleet => "the next one waits until the standing says that the fleet is healthy".to_owned(),
        Waits::Ready(ready) => {
            let endpoints = words::number::count(usize::try_from(ready).unwrap_or_default(), "ready endpoint");
            format!("the next one waits for {endpoints}")
        }
        // What it says stands above the rules.
        Waits::Standing => "the standing in the config holds it".to_owned(),
    };
    Some(format!("at step {taken} of the {begun} that are due: {because}"))
}

/// Writes down what happens, flag by flag.
struct Transcript<'p> {
    plan: &'p Plan,
    config: &'p config::Config,
    /// By flag that is decided, in order: its place in the config, and its rules.
    told: Vec<(Option<&'p config::Flag>, Vec<RuleExplanation>)>,
    /// The tests of the rule that is being tried.
    tests: Vec<TestResult>,
    negated: bool,
    /// The flag that is being decided.
    flag: Option<&'p Flag>,
    now: Timestamp,
}

impl Transcript<'_> {
    /// Notes a test, and that what follows is not negated.
    fn note(&mut self, asked: String, found: Option<String>, holds: bool) {
        let asked = if std::mem::take(&mut self.negated) { format!("not {asked}") } else { asked };
        self.tests.push(TestResult { asked, found, holds });
    }
}

impl Witness for Transcript<'_> {
    fn flag(&mut self, flag: &Flag) {
        // The plan's own, which lives as long as the plan.
        self.flag = self.plan.flags().iter().find(|known| known.key() == flag.key());
        self.told.push((self.config.flag(flag.key().as_str()), Vec::new()));
    }

    fn not(&mut self) {
        self.negated = !self.negated;
    }

    fn test(&mut self, subject: Subject, operator: &Operator, value: Option<&[u8]>, many: bool, holds: bool) {
        let name = match subject {
            Subject::Method => "method".to_owned(),
            Subject::Host => "host".to_owned(),
            Subject::Path => "path".to_owned(),
            Subject::Identity => "identity".to_owned(),
            Subject::Slot(slot) => self.plan.inputs().name(slot),
        };
        let is = match value {
            Some(value) => words::bytes(value),
            None if many => "present more than once, or too long".to_owned(),
            None => "missing".to_owned(),
        };
        self.note(format!("{name} {}", words::operator(operator)), Some(is), holds);
    }

    fn segment(&mut self, place: usize, holds: bool) {
        let name = self.config.segments.get(place).map(|(name, _)| name.to_string()).unwrap_or_default();
        self.note(format!("segment {name}"), None, holds);
    }

    fn rule(&mut self, place: usize, outcome: RuleOutcome) {
        let tests = std::mem::take(&mut self.tests);
        let Some((written, lines)) = self.told.last_mut() else { return };
        let when = written.and_then(|flag| flag.rules.get(place)).and_then(|rule| rule.when.as_ref());
        let (verdict, why) = match outcome {
            RuleOutcome::ConditionFalse => ("not met", String::new()),
            RuleOutcome::NobodyExposed => ("nobody", "takes 0% at this time".to_owned()),
            RuleOutcome::NoIdentity { share } => {
                ("no identity", format!("takes {share}, and the request has no identity"))
            }
            RuleOutcome::Missed { share, exposure } => {
                ("missed", format!("drew {}, and the rule takes {share}", Ppm::of(exposure)))
            }
            RuleOutcome::Served { share: Ppm::FULL, .. } => ("taken", String::new()),
            RuleOutcome::Served { share, .. } => ("taken", format!("the rule takes {share}")),
        };
        let asked = outcome != RuleOutcome::ConditionFalse;
        let waits = self.flag.filter(|_| asked).and_then(|flag| waits(flag, flag.rules.get(place)?, self.now));
        let why = why + &waits.map_or_else(String::new, |waits| format!("; {waits}"));
        let taken = matches!(outcome, RuleOutcome::Served { .. });
        let number = place + 1;
        lines.push(RuleExplanation { number, when: when.map(words::condition), verdict, taken, why, tests });
    }
}

impl Explanation {
    /// What became of one flag, in short: a line for each rule that was tried, or why none was.
    pub fn reasons(&self, key: &str) -> Vec<String> {
        if let Some((_, part)) = self.not_matched.iter().find(|(known, _)| known == key) {
            return vec![format!("not decided: the {part} does not match")];
        }
        let Some(told) = self.flags.iter().find(|flag| flag.key == key) else { return Vec::new() };
        let line = |rule: &RuleExplanation| {
            // Which segment it was is said by the condition itself.
            let failed = rule.tests.iter().filter(|test| !test.holds && test.found.is_some());
            // What the condition says already is not said twice.
            let why = |test: &'_ TestResult| match (&test.found, &rule.when) {
                (Some(found), Some(when)) if test.asked == *when => format!("it is {found}"),
                _ => test.to_string(),
            };
            let failed: Vec<String> = failed.map(why).collect();
            let tests = if !rule.taken && !failed.is_empty() { ": " } else { "" };
            format!("{}{tests}{}", rule.head(str::to_owned), failed.join("; "))
        };
        let mut lines: Vec<String> = told.rules.iter().map(line).collect();
        if !told.rules.iter().any(|rule| rule.taken) {
            lines.push(match (&told.standing, told.reason) {
                (_, reason) if reason == Reason::Killed.code() => "the flag is killed: the baseline".to_owned(),
                (Some(standing), reason) if reason == Reason::RolledBack.code() => {
                    format!("the standing in the config, {standing}: the baseline")
                }
                _ => "no rule took it: the default".to_owned(),
            });
        }
        lines
    }

    /// The same for programs.
    pub fn json(&self, shown: &dyn Fn(&str) -> bool) -> Document<'_> {
        let not_matched = self.not_matched.iter().filter(|(key, _)| shown(key));
        Document {
            flags: self.flags.iter().filter(|flag| shown(&flag.key)).collect(),
            not_decided: not_matched.map(|(flag, because)| NotMatched { flag, because }).collect(),
            upstream: Upstream {
                set: self.written.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect(),
                removed: &self.removed,
                clears_route: self.looks_up_route,
            },
            filter_state: &self.filter_state,
            response: Response {
                reply: self.reply,
                set_cookie: self.cookie.as_deref(),
                inspection: self.inspection.as_deref(),
            },
        }
    }
}

/// What became of a request, as JSON.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Document<'e> {
    flags: Vec<&'e FlagExplanation>,
    not_decided: Vec<NotMatched<'e>>,
    upstream: Upstream<'e>,
    /// What access logs and spans can show.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    filter_state: &'e BTreeMap<String, String>,
    response: Response<'e>,
}

#[derive(Debug, Serialize)]
struct NotMatched<'e> {
    flag: &'e str,
    because: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Upstream<'e> {
    set: BTreeMap<&'e str, &'e str>,
    removed: &'e [String],
    clears_route: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Response<'e> {
    reply: Option<u32>,
    set_cookie: Option<&'e str>,
    inspection: Option<&'e str>,
}

#[allow(clippy::ref_option, clippy::trivially_copy_pass_by_ref, reason = "this is how it is called")]
fn parts<S: Serializer>(exposure: &Option<Ppm>, serializer: S) -> Result<S::Ok, S::Error> {
    exposure.map(Ppm::parts).serialize(serializer)
}
