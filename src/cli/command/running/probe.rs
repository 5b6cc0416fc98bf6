//! `tidegate probe`: sends generated users, some for each variant, to a running proxy.
//!
//! Decisions are read from the inspection header and compared with what the engine decides here for the same request:
//! that shows a proxy with another config, without the filter, or with a flag that was rolled back. Never shows other
//! identities than generated ones, and of a response only its status and its decisions.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};
use ureq::Agent;
use ureq::http;

use crate::error::{CliError, Found};
use crate::input::RequestArgs;
use crate::input::http::{Asking, Target, why};
use crate::input::load::load;
use crate::input::time::{clock, now};
use crate::terminal::style::{BAD, FAINT, GOOD, MAIN, ODD, paint};
use crate::terminal::{Rows, Screen};
use tidegate_analysis::request::progress::Progress as _;
use tidegate_analysis::request::{Identities, RequestSpec, Sender};
use tidegate_analysis::source::Loaded;
use tidegate_analysis::words::number::{count, thousands};
use tidegate_engine::config::{self, Condition, Inspect, SourceKind, Subject};
use tidegate_engine::decide::standing::Standing;
use tidegate_engine::decide::{Decisions, decide};
use tidegate_engine::output::effect::{self, INSPECTION, OnResponse};
use tidegate_engine::plan::Plan;
use tidegate_engine::request::Request;

/// The user agent, for the logs of servers.
const AGENT: &str = concat!("tidegate-probe/", env!("CARGO_PKG_VERSION"));

/// How much of an answer is read, so that its connection can be used again.
const ENOUGH: u64 = 1024 * 1024;

/// The member of an inspection header that stands for those that had no room.
const CUT: &str = "*more";

/// Send generated users to a running proxy, and check that it decides as the config says
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Claims, peer, address and proxy are not sent: they say what the proxy knows by itself. A token goes into a header.
Users are user-0, user-1 and so on, in every place where the config looks for who asks.")]
pub(crate) struct Args {
    /// The proxy, and the path to ask for
    #[arg(value_name = "URL")]
    url: String,
    /// The config that should be running there, or a manifest that contains it
    #[arg(long, value_name = "FILE")]
    config: String,
    /// How many generated users to search for each variant
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    users: u32,
    /// How many users to send for each variant
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    each: u32,
    #[command(flatten)]
    asking: Asking,
    #[command(flatten)]
    request: RequestArgs,
}

pub(crate) fn run(args: &Args, screen: &mut Screen) -> Result<Found, CliError> {
    let target = Target::parse(&args.url, "http://localhost:10000/api")?;
    let Loaded { plan, config, .. } = load(&args.config, screen)?;
    let mut base = args.request.spec_of(RequestSpec::new("GET", &target.host, &target.path))?;
    if base.header("user-agent").is_none() {
        base.headers.push(("user-agent".to_owned(), AGENT.into()));
    }
    if let Some((header, key)) = plan.inspect.as_ref().and_then(Inspect::key)
        && base.header(header).is_none()
    {
        base.headers.push((header.to_owned(), key.into()));
    }
    let (wait, agent) = (args.asking.wait(), args.asking.agent());
    // Whether anybody is there at all; and the connection that this opens is in no latency.
    send(&target, &agent, &base).map_err(|error| format!("cannot probe {}: {}", args.url, why(&error, wait)))?;

    let mut seen = Report::new(&plan, &config, &base, args);
    let mut sender = Sender::connected(&base, &plan);
    let ids = Identities::Sampled(args.users);
    let chosen = choose(&plan, &mut sender, &ids, args.each);
    let bar = screen.progress(u64::try_from(chosen.len()).unwrap_or(u64::MAX), "asking");
    for place in chosen {
        let id = ids.id(place);
        let spec = sender.send_as(&id);
        let before = Expected::of(&plan, spec);
        let begun = clock();
        match send(&target, &agent, spec) {
            Ok(answer) => {
                // A step of a ramp may have come meanwhile.
                let after = Expected::of(&plan, spec);
                let same = |expected: &Expected| answer.decided.as_ref() == Some(&expected.decided);
                seen.answer(&id, if same(&after) { &after } else { &before }, &answer, begun.elapsed());
            }
            Err(error) => seen.silence(&id, &before, &why(&error, wait)),
        }
        bar.advance(1);
    }
    bar.finish();
    screen.decide(Found::when(!seen.differences.is_empty() || !seen.failures.is_empty()));
    if screen.is_json() {
        screen.json(&seen.json())?;
    } else {
        seen.show(screen)?;
    }
    Ok(Found::when(!seen.differences.is_empty() || !seen.failures.is_empty()))
}

/// The users to send: the first ones that show a variant of which there are not enough yet.
fn choose(plan: &Plan, sender: &mut Sender, ids: &Identities, each: u32) -> Vec<usize> {
    let mut counts: BTreeMap<(String, String), u32> = BTreeMap::new();
    let mut chosen = Vec::new();
    let now = now();
    for place in 0..ids.len() {
        let spec = sender.send_as(&ids.id(place));
        let request = spec.seen(plan.inputs());
        let decisions = decide(plan, &request, &Standing::NONE, now);
        let variants =
            decisions.list().iter().map(|one| (one.flag().key().to_string(), one.variant().name().to_string()));
        let variants: Vec<_> = variants.collect();
        // Where no flag is decided there is still a proxy that must answer.
        if chosen.is_empty() || variants.iter().any(|one| counts.get(one).is_none_or(|count| *count < each)) {
            chosen.push(place);
            for one in variants {
                let count = counts.entry(one).or_default();
                *count += 1;
            }
        }
    }
    chosen
}

struct Answer {
    status: u16,
    /// What was decided there, by flag; nothing where the answer does not say.
    decided: Option<BTreeMap<String, String>>,
}

fn send(target: &Target, agent: &Agent, spec: &RequestSpec) -> Result<Answer, ureq::Error> {
    let part = |name: &str| spec.header(name).unwrap_or_default();
    let uri = [target.origin.as_bytes(), part(":path")].concat();
    let mut request = http::Request::builder().method(part(":method")).uri(uri.as_slice());
    request = request.header("host", part(":authority"));
    for (name, value) in spec.headers.iter().filter(|(name, _)| !name.starts_with(':')) {
        request = request.header(name, value.as_slice());
    }
    let mut response = agent.run(request.body(())?)?;
    let inspection = response.headers().get(INSPECTION).map(|value| String::from_utf8_lossy(value.as_bytes()));
    let decided = inspection.map(|text| members(&text));
    // A body that is longer, or breaks off, costs a connection and nothing else.
    let _ = response.body_mut().with_config().limit(ENOUGH).read_to_vec();
    Ok(Answer { status: response.status().as_u16(), decided })
}

/// `checkout=v2;reason=split, new-nav=on;reason=static`: what is said of each flag, by its key.
fn members(text: &str) -> BTreeMap<String, String> {
    let pairs = text.split(", ").filter_map(|member| member.split_once('='));
    pairs.map(|(key, said)| (key.to_owned(), said.to_owned())).collect()
}

/// `v2;reason=split;exposure=12345` as people say it, but for the draw, which each user has their own of.
fn in_words(said: Option<&String>) -> String {
    let Some(said) = said else { return "not decided".to_owned() };
    let rest = said.split(';').skip(1).filter(|part| !part.starts_with("exposure="));
    let words: Vec<&str> = rest.map(|part| part.strip_prefix("reason=").unwrap_or(part)).collect();
    format!("{} ({})", variant(said), words.join(", "))
}

fn variant(said: &str) -> &str {
    said.split(';').next().unwrap_or_default().trim_matches('"')
}

/// What the config says of a request.
struct Expected {
    decided: BTreeMap<String, String>,
    /// The status with which the proxy itself answers.
    reply: Option<u16>,
}

impl Expected {
    fn of(plan: &Plan, spec: &RequestSpec) -> Self {
        let request: Request<'_> = spec.seen(plan.inputs());
        let decisions: Decisions<'_> = decide(plan, &request, &Standing::NONE, now());
        let reply = effect::reply(plan, &request, &decisions).and_then(|answer| u16::try_from(answer.status).ok());
        let decided = match OnResponse::new(plan, &request, &decisions).inspection {
            Some(text) => members(&text),
            None => {
                let list = decisions.list().iter();
                list.map(|one| (one.flag().key().to_string(), one.variant().name().to_string())).collect()
            }
        };
        Self { decided, reply }
    }
}

/// What was seen of one variant.
#[derive(Default)]
struct Served {
    users: usize,
    statuses: BTreeSet<u16>,
    /// In microseconds.
    latencies: Vec<u64>,
    /// How many requests failed.
    failed: usize,
}

/// A difference or a failure, and how often it was met.
struct Times {
    count: usize,
    /// The first user who met it.
    user: String,
}

/// What was seen of all.
struct Report<'a> {
    args: &'a Args,
    /// Whether the config has an inspection key.
    inspects: bool,
    requests: usize,
    served: BTreeMap<(String, String), Served>,
    /// Flags that depend on what only the proxy knows.
    blind: BTreeMap<String, &'static str>,
    /// The flags that say which upstream answers; all, where none does.
    routing: Vec<String>,
    differences: BTreeMap<(String, String), Times>,
    failures: BTreeMap<String, Times>,
}

impl<'a> Report<'a> {
    fn new(plan: &Plan, config: &config::Config, base: &RequestSpec, args: &'a Args) -> Self {
        let all = plan
            .flags()
            .iter()
            .flat_map(|flag| flag.variants.iter().map(|variant| (flag.key().to_string(), variant.name().to_string())));
        let blind = config.flags.iter().filter_map(|(key, flag)| Some((key.to_string(), unknown(config, flag, base)?)));
        let keys = |wanted: bool| plan.flags().iter().filter(move |flag| flag.routes || !wanted);
        let routes = keys(true).next().is_some();
        Self {
            args,
            inspects: plan.inspect.is_some(),
            requests: 0,
            served: all.map(|one| (one, Served::default())).collect(),
            blind: blind.collect(),
            routing: keys(routes).map(|flag| flag.key().to_string()).collect(),
            differences: BTreeMap::new(),
            failures: BTreeMap::new(),
        }
    }

    fn answer(&mut self, id: &str, expected: &Expected, answer: &Answer, took: Duration) {
        self.requests += 1;
        match &answer.decided {
            Some(there) => self.compare(id, &expected.decided, there),
            None if self.inspects => {
                let text = "the response has no x-tidegate header: no filter, or another inspection key";
                note(&mut self.differences, (String::new(), text.to_owned()), id);
            }
            None => {}
        }
        let due = expected.reply;
        let bad = due.is_none_or(|due| due != answer.status) && answer.status >= 500;
        if let Some(due) = due.filter(|due| *due != answer.status) {
            let text = format!("answered with {}, and the config itself answers with {due}", answer.status);
            note(&mut self.differences, (String::new(), text), id);
        }
        let presumed = self.presumed(expected);
        let decided = answer.decided.as_ref().unwrap_or(&presumed);
        if bad {
            let text = format!("{}answered with {}", self.whom(decided), answer.status);
            note(&mut self.failures, text, id);
        }
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        for served in self.rows(decided) {
            served.users += 1;
            served.statuses.insert(answer.status);
            served.latencies.push(micros);
            served.failed += usize::from(bad);
        }
    }

    /// Takes in that there was no answer.
    fn silence(&mut self, id: &str, expected: &Expected, why: &str) {
        self.requests += 1;
        let presumed = self.presumed(expected);
        let text = format!("{}{why}", self.whom(&presumed));
        note(&mut self.failures, text, id);
        for served in self.rows(&presumed) {
            served.users += 1;
            served.failed += 1;
        }
    }

    /// What is decided where the answer does not tell: what the config says, as far as we can know.
    fn presumed(&self, expected: &Expected) -> BTreeMap<String, String> {
        let known = expected.decided.iter().filter(|(key, _)| !self.blind.contains_key(*key));
        known.map(|(key, said)| (key.clone(), said.clone())).collect()
    }

    fn compare(&mut self, id: &str, here: &BTreeMap<String, String>, there: &BTreeMap<String, String>) {
        let cut = here.contains_key(CUT) || there.contains_key(CUT);
        let keys: BTreeSet<&String> = here.keys().chain(there.keys()).filter(|key| *key != CUT).collect();
        for key in keys {
            let (here, there) = (here.get(key), there.get(key));
            let hidden = cut && (here.is_none() || there.is_none());
            if here != there && !hidden && !self.blind.contains_key(key) {
                let text = differ(here, there);
                note(&mut self.differences, (key.clone(), text), id);
            }
        }
    }

    fn rows(&mut self, decided: &BTreeMap<String, String>) -> impl Iterator<Item = &mut Served> {
        for (key, said) in decided.iter().filter(|(key, _)| *key != CUT) {
            self.served.entry((key.clone(), variant(said).to_owned())).or_default();
        }
        let has = |(key, name): &(String, String)| decided.get(key).is_some_and(|said| variant(said) == name);
        self.served.iter_mut().filter(move |(one, _)| has(one)).map(|(_, served)| served)
    }

    /// `checkout=v2: `, of what chooses the upstream.
    fn whom(&self, decided: &BTreeMap<String, String>) -> String {
        let routing = self.routing.iter().filter_map(|key| Some(format!("{key}={}", variant(decided.get(key)?))));
        let list: Vec<String> = routing.collect();
        if list.is_empty() { String::new() } else { format!("{}: ", list.join(" ")) }
    }

    fn show(&self, screen: &mut Screen) -> Result<(), CliError> {
        let mut rows = Rows::new(&["flag", "variant", ">users", ">status", ">p50", ">max", ""]);
        for ((flag, name), served) in &self.served {
            let statuses: Vec<String> = served.statuses.iter().map(u16::to_string).collect();
            let state = match (served.users, served.failed) {
                (0, _) => paint(FAINT, "no user gets it with this request"),
                (_, 0) => paint(GOOD, "answers"),
                (_, failed) => paint(BAD, format!("{failed} failed")),
            };
            let (p50, max) = latency(served);
            let cells = [
                flag.clone(),
                paint(MAIN, name),
                served.users.to_string(),
                statuses.join(" "),
                p50.map_or_else(String::new, millis),
                max.map_or_else(String::new, millis),
                state,
            ];
            rows.add(cells);
        }
        if !self.served.is_empty() {
            screen.table(&rows)?;
            screen.line("")?;
        }
        for (key, why) in self.blind.iter().filter(|_| self.inspects) {
            screen.line(format!(
                "{} {key} is not compared: it depends on the {why}: give it with --{why}",
                paint(ODD, "?")
            ))?;
        }
        if !self.inspects {
            screen.line(paint(
                ODD,
                "? the config has no inspection key: responses are checked, and variants are only what the config says",
            ))?;
        }
        for ((key, text), times) in &self.differences {
            let key = if key.is_empty() { String::new() } else { format!("{}: ", paint(MAIN, key)) };
            screen.line(format!("{} {key}{text}; {}", paint(BAD, "differs"), times.words()))?;
        }
        for (text, times) in &self.failures {
            screen.line(format!("{} {text}; {}", paint(BAD, "fails"), times.words()))?;
        }
        let (differences, failures) = (self.differences.len(), self.failures.len());
        let asked = count(self.requests, "request");
        let of = format!("of {} users searched", thousands(u64::from(self.args.users)));
        let end = match (differences, failures, self.inspects) {
            (0, 0, true) => format!("{} each answered as the config says", paint(GOOD, "ok")),
            (0, 0, false) => format!("{} each answered", paint(GOOD, "ok")),
            _ => format!("{} and {}", count(differences, "difference"), count(failures, "failure")),
        };
        screen.line(format!("{asked}, {of}: {end}"))?;
        Ok(())
    }

    fn json(&self) -> Value {
        let variants = self.served.iter().map(|((flag, name), served)| {
            let (p50, max) = latency(served);
            json!({
                "flag": flag,
                "variant": name,
                "users": served.users,
                "statuses": served.statuses,
                "failed": served.failed,
                "p50Micros": p50,
                "maxMicros": max,
            })
        });
        let differences = self.differences.iter().map(|((flag, text), times)| {
            let flag = Some(flag).filter(|flag| !flag.is_empty());
            json!({"flag": flag, "what": text, "users": times.count, "user": times.user})
        });
        let failures =
            self.failures.iter().map(|(text, times)| json!({"what": text, "users": times.count, "user": times.user}));
        json!({
            "url": self.args.url,
            "requests": self.requests,
            "inspected": self.inspects,
            "variants": variants.collect::<Vec<_>>(),
            "notCompared": self.blind.iter().map(|(flag, why)| json!({"flag": flag, "because": why})).collect::<Vec<_>>(),
            "differences": differences.collect::<Vec<_>>(),
            "failures": failures.collect::<Vec<_>>(),
        })
    }
}

fn differ(here: Option<&String>, there: Option<&String>) -> String {
    let (here, there) = (in_words(here), in_words(there));
    if here == there {
        format!("{there} in both, but by another draw: the salt or the identity differs")
    } else {
        format!("the proxy says {there}, the config {here}")
    }
}

fn note<K: Ord>(map: &mut BTreeMap<K, Times>, key: K, id: &str) {
    let times = map.entry(key).or_insert_with(|| Times { count: 0, user: id.to_owned() });
    times.count += 1;
}

impl Times {
    fn words(&self) -> String {
        let Self { count: times, user } = self;
        if *times == 1 { user.clone() } else { format!("{}, such as {user}", count(*times, "user")) }
    }
}

/// The median and the longest.
fn latency(served: &Served) -> (Option<u64>, Option<u64>) {
    let mut all = served.latencies.clone();
    all.sort_unstable();
    (all.get(all.len().saturating_sub(1).div_euclid(2)).copied(), all.last().copied())
}

/// `1.2 ms`
fn millis(micros: u64) -> String {
    format!("{}.{} ms", micros.div_euclid(1_000), micros.rem_euclid(1_000).div_euclid(100))
}

/// What only the proxy knows, was not given, and a flag depends on.
fn unknown(config: &config::Config, flag: &config::Flag, base: &RequestSpec) -> Option<&'static str> {
    let sources = flag.identity.as_ref().unwrap_or(&config.identity);
    let mut found = BTreeSet::new();
    for source in sources {
        match source.kind {
            SourceKind::Address => found.insert("address"),
            SourceKind::Proxy => found.insert("proxy"),
            _ => false,
        };
    }
    for condition in flag.rules.iter().filter_map(|rule| rule.when.as_ref()) {
        looks_at(config, condition, &mut found);
    }
    let known = |what: &str| if what == "address" { base.address.is_some() } else { base.proxy.is_some() };
    found.into_iter().find(|what| !known(what))
}

fn looks_at(config: &config::Config, condition: &Condition, found: &mut BTreeSet<&'static str>) {
    match condition {
        Condition::All(parts) | Condition::Any(parts) => parts.iter().for_each(|part| looks_at(config, part, found)),
        Condition::Not(part) => looks_at(config, part, found),
        Condition::Segment(name) => {
            if let Some((_, part)) = config.segments.iter().find(|(known, _)| known == name) {
                looks_at(config, part, found);
            }
        }
        Condition::Test(Subject::Address, _) => {
            found.insert("address");
        }
        Condition::Test(Subject::Proxy, _) => {
            found.insert("proxy");
        }
        Condition::Test(..) => {}
    }
}
