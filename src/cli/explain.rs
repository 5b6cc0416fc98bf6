//! `tidegate explain`: what becomes of one request, rule by rule, and why.
//!
//! What is shown is what the evaluator did, told by a witness that stood by. Never decides anything by itself.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use super::ask::{Ask, Question, When};
use super::load::{Loaded, load};
use super::screen::{FAINT, GOOD, MAIN, ODD, Screen, paint};
use super::{Found, Stop, words};
use tidegate_engine::config::{self, Operator};
use tidegate_engine::decide::standing::Standing;
use tidegate_engine::decide::{Decision, Turn, Witness, decide_before};
use tidegate_engine::output::baggage::BAGGAGE;
use tidegate_engine::output::effect::{self, Effect, INSPECTION, OnResponse};
use tidegate_engine::plan::{Flag, Plan, Subject};
use tidegate_engine::value::share::Ppm;
use tidegate_engine::value::time::Timestamp;

/// Show what becomes of one request: each flag, each rule, the headers that leave
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The config, or what carries it
    #[arg(value_name = "FILE")]
    file: String,
    /// Only these flags
    #[arg(long, value_name = "KEY")]
    flag: Vec<String>,
    #[command(flatten)]
    when: When,
    #[command(flatten)]
    ask: Ask,
}

pub(super) fn run(args: &Args, screen: &mut Screen) -> Result<Found, Stop> {
    let loaded = load(&args.file, screen)?;
    let questions = args.ask.questions()?;
    loaded.knows(&args.file, &args.flag)?;
    let now = args.when.time();
    let shown = |key: &str| args.flag.is_empty() || args.flag.iter().any(|wanted| wanted == key);
    if let [question] = &*questions {
        let explained = explain(&loaded, question, now);
        if screen.is_json() {
            screen.json(&explained.json(&shown))?;
        } else {
            explained.show(screen, &shown)?;
        }
        return Ok(Found::Nothing);
    }
    for (place, question) in questions.iter().enumerate() {
        let explained = explain(&loaded, question, now);
        if screen.is_json() {
            screen.element(place, &explained.json(&shown))?;
        } else {
            let border = if place == 0 { "" } else { "\n" };
            screen.line(format!("{border}{} {question}", paint(FAINT, "###")))?;
            explained.show(screen, &shown)?;
        }
    }
    if screen.is_json() {
        screen.end()?;
    }
    Ok(Found::Nothing)
}

/// What became of a request.
pub(super) struct Explained {
    flags: Vec<Told>,
    passed: Vec<(String, &'static str)>,
    written: Vec<(String, String)>,
    removed: Vec<String>,
    looks_up_route: bool,
    filter_state: BTreeMap<String, String>,
    reply: Option<u32>,
    cookie: Option<String>,
    inspection: Option<String>,
}

/// What became of one flag.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Told {
    #[serde(rename = "flag")]
    key: String,
    variant: String,
    value: String,
    reason: &'static str,
    #[serde(rename = "openFeatureReason")]
    open_feature: &'static str,
    #[serde(serialize_with = "parts")]
    exposure: Option<Ppm>,
    /// Nobody was there to draw for, and something else took the request.
    missed_draw: bool,
    rules: Vec<Line>,
}

/// What became of one rule.
#[derive(Serialize)]
struct Line {
    #[serde(rename = "rule")]
    number: usize,
    when: Option<String>,
    verdict: &'static str,
    #[serde(skip)]
    taken: bool,
    why: String,
    tests: Vec<Test>,
}

/// A test that was made, and what came of it.
#[derive(Serialize)]
struct Test {
    #[serde(rename = "test")]
    text: String,
    holds: bool,
    /// The value that was tested; of a segment, none.
    #[serde(skip)]
    is: Option<String>,
}

/// What becomes of a request at a time.
pub(super) fn explain(loaded: &Loaded, question: &Question, now: Timestamp) -> Explained {
    let Loaded { plan, config, .. } = loaded;
    let request = question.seen(plan.inputs());
    let mut transcript = Transcript { plan, config, told: Vec::new(), tests: Vec::new(), negated: false };
    let decisions = decide_before(&mut transcript, plan, &request, &Standing::NONE, now);
    let told = transcript.told;
    let effects = effect::on_request(plan, &request, &decisions);
    let carry = OnResponse::new(plan, &request, &decisions);
    let reply = effect::reply(plan, &request, &decisions).map(|answer| answer.status);
    let emptied =
        effects.contains(&Effect::Remove(BAGGAGE)) && !effects.iter().any(|one| matches!(one, Effect::Baggage(_)));
    let gone = emptied.then_some(BAGGAGE);
    let missed = |flag: &&Flag| decisions.find(flag.key().as_str()).is_none();
    let passed =
        plan.flags().iter().filter(missed).map(|flag| (flag.key().to_string(), words::unmatched(flag, &request)));
    Explained {
        flags: decisions.list().iter().zip(told).map(|(decision, (_, rules))| of(decision, rules)).collect(),
        passed: passed.collect(),
        written: effects
            .iter()
            .filter_map(Effect::written)
            .map(|(n, v)| (n.to_owned(), String::from_utf8_lossy(v).into_owned()))
            .collect(),
        removed: request.removed().iter().copied().chain(gone).map(str::to_owned).collect(),
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

impl Line {
    /// The rule and its verdict, which may be painted.
    fn head(&self, paint: impl Fn(&str) -> String) -> String {
        let when = self.when.as_deref().map_or_else(|| "everybody".to_owned(), |when| format!("when {when}"));
        let why = if self.why.is_empty() { String::new() } else { format!(": {}", self.why) };
        format!("{}. {when}  {}{why}", self.number, paint(self.verdict))
    }
}

fn of(decision: &Decision<'_>, rules: Vec<Line>) -> Told {
    let reason = decision.reason();
    Told {
        key: decision.flag().key().to_string(),
        variant: decision.variant().name().to_string(),
        value: decision.variant().value().to_string(),
        reason: reason.code(),
        open_feature: reason.open_feature(),
        exposure: decision.exposure().map(Ppm::of),
        missed_draw: decision.missed_draw(),
        rules,
    }
}

/// Writes down what happens, flag by flag.
struct Transcript<'p> {
    plan: &'p Plan,
    config: &'p config::Config,
    /// By flag that is decided, in order: its place in the config, and its rules.
    told: Vec<(Option<&'p config::Flag>, Vec<Line>)>,
    /// The tests of the rule that is being tried.
    tests: Vec<Test>,
    negated: bool,
}

impl Transcript<'_> {
    fn note(&mut self, test: Test) {
        self.negated = false;
        self.tests.push(test);
    }
}

impl Witness for Transcript<'_> {
    fn flag(&mut self, flag: &Flag) {
        let written = self.config.flags.binary_search_by(|(key, _)| key.cmp(flag.key())).ok();
        let written = written.and_then(|place| self.config.flags.get(place)).map(|(_, flag)| flag);
        self.told.push((written, Vec::new()));
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
            None if many => "there more than once, or too long".to_owned(),
            None => "missing".to_owned(),
        };
        let not = if self.negated { "not " } else { "" };
        let text = format!("{not}{name} {}: it is {is}", words::operator(operator));
        self.note(Test { text, holds, is: Some(is) });
    }

    fn segment(&mut self, place: usize, holds: bool) {
        let name = self.config.segments.get(place).map(|(name, _)| name.to_string()).unwrap_or_default();
        let not = if self.negated { "not " } else { "" };
        self.note(Test { text: format!("{not}segment {name}"), holds, is: None });
    }

    fn rule(&mut self, place: usize, turn: Turn) {
        let tests = std::mem::take(&mut self.tests);
        let Some((written, lines)) = self.told.last_mut() else { return };
        let when = written.and_then(|flag| flag.rules.get(place)).and_then(|rule| rule.when.as_ref());
        let (verdict, why) = match turn {
            Turn::Untrue => ("not met", String::new()),
            Turn::Nobody => ("nobody", "takes in nobody at this time".to_owned()),
            Turn::NoIdentity { share } => ("no identity", format!("draws {share}, and there is nobody to draw for")),
            Turn::Missed { share, exposure } => {
                ("missed", format!("stands at {}, and {share} are taken in", Ppm::of(exposure)))
            }
            Turn::Taken { share: Ppm::FULL, .. } => ("taken", String::new()),
            Turn::Taken { share, .. } => ("taken", format!("{share} are taken in")),
        };
        let taken = matches!(turn, Turn::Taken { .. });
        let number = place.saturating_add(1);
        lines.push(Line { number, when: when.map(words::condition), verdict, taken, why, tests });
    }
}

impl Explained {
    /// In short, what became of one flag: a line for each rule that was tried, or why none was.
    pub(super) fn reasons(&self, key: &str) -> Vec<String> {
        if let Some((_, part)) = self.passed.iter().find(|(known, _)| known == key) {
            return vec![format!("not decided: the {part} is none of its match")];
        }
        let Some(told) = self.flags.iter().find(|flag| flag.key == key) else { return Vec::new() };
        let line = |rule: &Line| {
            // Which segment it was is said by the condition itself.
            let failed = rule.tests.iter().filter(|test| !test.holds && test.is.is_some());
            // What the condition says already is not said twice.
            let same = |text: &'_ str| rule.when.as_deref().is_some_and(|when| text.starts_with(when));
            let why = |test: &'_ Test| match &test.is {
                Some(is) if same(&test.text) => format!("it is {is}"),
                _ => test.text.clone(),
            };
            let failed: Vec<String> = failed.map(why).collect();
            let tests = if rule.verdict == "not met" && !failed.is_empty() { ": " } else { "" };
            format!("{}{tests}{}", rule.head(str::to_owned), failed.join("; "))
        };
        let mut lines: Vec<String> = told.rules.iter().map(line).collect();
        if !told.rules.iter().any(|rule| rule.taken) {
            lines.push(match told.reason {
                "killed" => "the flag is killed: the baseline".to_owned(),
                _ => "no rule took it: the default".to_owned(),
            });
        }
        lines
    }

    fn show(&self, screen: &mut Screen, shown: &dyn Fn(&str) -> bool) -> Result<(), Stop> {
        for flag in self.flags.iter().filter(|flag| shown(&flag.key)) {
            flag.show(screen)?;
        }
        for (key, part) in self.passed.iter().filter(|(key, _)| shown(key)) {
            let why = format!("not decided: the {part} is none of its match");
            screen.line(format!("{}  {}", paint(MAIN, key), paint(FAINT, why)))?;
        }
        screen.line("")?;
        if let Some(status) = self.reply {
            screen.line(format!("the request is answered here with {status}, and reaches no upstream"))?;
        } else {
            for name in &self.removed {
                screen.line(format!(
                    "{} {name}   {}",
                    paint(ODD, "-"),
                    paint(FAINT, "sent by the client, taken away")
                ))?;
            }
            for (name, value) in &self.written {
                screen.line(format!("{} {name}: {value}", paint(GOOD, "+")))?;
            }
            if self.looks_up_route {
                screen.line(paint(FAINT, "the route is looked up again"))?;
            }
        }
        for (name, value) in &self.filter_state {
            let place = paint(FAINT, "in the filter state");
            screen.line(format!("{} {name}: {value}   {place}", paint(GOOD, "+")))?;
        }
        let cookie = self.cookie.iter().map(|cookie| ("set-cookie", cookie));
        for (name, value) in cookie.chain(self.inspection.iter().map(|text| (INSPECTION, text))) {
            screen.line(format!("{} {name}: {value}   {}", paint(GOOD, "+"), paint(FAINT, "on the response")))?;
        }
        Ok(())
    }

    /// The same for programs.
    pub(super) fn json(&self, shown: &dyn Fn(&str) -> bool) -> Document<'_> {
        let passed = self.passed.iter().filter(|(key, _)| shown(key));
        Document {
            flags: self.flags.iter().filter(|flag| shown(&flag.key)).collect(),
            not_decided: passed.map(|(flag, because)| Passed { flag, because }).collect(),
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
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Document<'e> {
    flags: Vec<&'e Told>,
    not_decided: Vec<Passed<'e>>,
    upstream: Upstream<'e>,
    /// What access logs and spans can show.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    filter_state: &'e BTreeMap<String, String>,
    response: Response<'e>,
}

#[derive(Serialize)]
struct Passed<'e> {
    flag: &'e str,
    because: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Upstream<'e> {
    set: BTreeMap<&'e str, &'e str>,
    removed: &'e [String],
    clears_route: bool,
}

#[derive(Serialize)]
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

impl Told {
    fn show(&self, screen: &mut Screen) -> Result<(), Stop> {
        let Self { key, variant, value, reason, .. } = self;
        let value = if value == variant { String::new() } else { format!(" ({value})") };
        let mut head = format!("{}  {}{value}  {reason}", paint(MAIN, key), paint(MAIN, variant));
        if let Some(stands) = self.exposure {
            head.push_str(&paint(FAINT, format!("  stands at {stands}")));
        }
        if self.missed_draw && *reason != "no_identity" {
            head.push_str(&paint(ODD, "  a draw was missed: no identity"));
        }
        screen.line(head)?;
        for rule in &self.rules {
            let style = if rule.taken { GOOD } else { FAINT };
            screen.line(format!("  {}", rule.head(|verdict| paint(style, verdict))))?;
            for test in &rule.tests {
                let (sign, style) = if test.holds { ("yes", GOOD) } else { ("no ", FAINT) };
                screen.line(format!("       {} {}", paint(style, sign), test.text))?;
            }
        }
        Ok(())
    }
}
