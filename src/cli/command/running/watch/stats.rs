//! Reads Tidegate's metrics from the statistics page of one Envoy's admin interface, and its configs from their dump
//! where another one has come into force.
//!
//! Labels are read from the full names on the page, whether or not the Envoy extracts tags. Ignores what other filters
//! count.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use serde::Deserialize;
use ureq::Agent;

use super::about::{self, Abouts, DUMPS, FlagId};
use crate::error::CliError;
use crate::input::http::{Target, why};
use tidegate_proxy::metrics::catalogue::{self, Metric, Named};

/// What Envoy puts in front of the names of filters.
const PREFIX: &str = "wasmcustom.";

/// The page, of ours only. Buckets as Envoy keeps them can be added up over proxies.
const PAGE: &str = "/stats?format=json&histogram_buckets=detailed&filter=%5Ewasmcustom%5C.tidegate%5C.";

/// The longest page that is read.
const LONGEST: u64 = 64 * 1024 * 1024;

/// The admin interface of an Envoy.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) url: String,
    base: String,
    /// The configs that were in force when their dump was read last, and what it said.
    known: Mutex<(BTreeMap<String, Config>, Abouts)>,
}

impl Source {
    pub(crate) fn parse(url: &str) -> Result<Self, CliError> {
        let Target { origin, path, .. } = Target::parse(url, "http://localhost:9901")?;
        let path = path.split('?').next().unwrap_or_default().trim_end_matches('/');
        Ok(Self { url: url.to_owned(), base: format!("{origin}{path}"), known: Mutex::default() })
    }

    /// Its statistics now, or why there are none.
    pub(crate) fn ask(&self, agent: &Agent, wait: Duration) -> Result<Stats, String> {
        let (status, body) = self.get(agent, PAGE).map_err(|error| why(&error, wait))?;
        let page: Option<Page> = Some(status).filter(|status| *status == 200).and_then(|_| read(&body));
        let page = page.ok_or_else(|| format!("this is not the admin interface of an Envoy (status {status})"))?;
        let mut said = Stats::of(&page);
        if said.configs.is_empty() {
            return Err("this Envoy has no metrics of Tidegate: no filter is loaded, or its stats_config leaves out \
                        what begins with wasmcustom"
                .to_owned());
        }
        if let Ok(mut known) = self.known.lock() {
            if known.0 != said.configs {
                *known = (said.configs.clone(), self.abouts(agent));
            }
            // Where an older config stays in force, the dump has another one.
            let abouts = known.1.iter().filter(|(id, _)| said.configs.get(&id.plugin).is_some_and(Config::is_last));
            said.about = abouts.map(|(id, about)| (id.clone(), about.clone())).collect();
        }
        Ok(said)
    }

    /// What the configs say of their flags; nothing where there is no dump.
    fn abouts(&self, agent: &Agent) -> Abouts {
        let mut found = Abouts::new();
        for dump in DUMPS {
            let answer = self.get(agent, &format!("/config_dump?resource={dump}")).ok();
            let body = answer.filter(|(status, _)| *status == 200).map(|(_, body)| body).unwrap_or_default();
            if let Ok(dump) = serde_json::from_slice(&body) {
                about::read(&dump, &mut found);
            }
        }
        found
    }

    fn get(&self, agent: &Agent, page: &str) -> Result<(u16, Vec<u8>), ureq::Error> {
        let mut response = agent.get(format!("{}{page}", self.base)).call()?;
        let body = response.body_mut().with_config().limit(LONGEST).read_to_vec()?;
        Ok((response.status().as_u16(), body))
    }
}

/// What all of them say now, each asked at once with the others.
pub(crate) fn ask_all(sources: &[Source], agent: &Agent, wait: Duration) -> Vec<Result<Stats, String>> {
    thread::scope(|scope| {
        let asked: Vec<_> = sources.iter().map(|source| scope.spawn(|| source.ask(agent, wait))).collect();
        let lost = |_| Err("the request was aborted".to_owned());
        asked.into_iter().map(|one| one.join().unwrap_or_else(lost)).collect()
    })
}

fn read(body: &[u8]) -> Option<Page> {
    serde_json::from_slice(body).ok()
}

/// The page as Envoy writes it.
#[derive(Debug, Deserialize)]
struct Page {
    stats: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Entry {
    Number { name: String, value: u64 },
    Histograms { histograms: Histograms },
    Other(serde::de::IgnoredAny),
}

#[derive(Debug, Deserialize)]
struct Histograms {
    details: Vec<Histogram>,
}

#[derive(Debug, Deserialize)]
struct Histogram {
    name: String,
    totals: Vec<Bin>,
    intervals: Vec<Bin>,
}

#[derive(Debug, Deserialize)]
struct Bin {
    lower_bound: f64,
    count: u64,
}

/// What is counted of a flag.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum CountOf {
    /// Decisions for a variant, by their reason.
    Decided(String, String),
    /// Answers of a variant, by their class.
    Answered(String, String),
    Throttled,
    Rescued,
    RolledBack,
}

pub(crate) type Counts = BTreeMap<(FlagId, CountOf), u64>;

/// How often answers took so many milliseconds, which are good to two digits.
pub(crate) type Times = BTreeMap<u64, u64>;

/// What one Envoy says.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    pub(crate) configs: BTreeMap<String, Config>,
    pub(crate) flags: BTreeMap<FlagId, Gauges>,
    /// What the configs in force say of their flags.
    pub(crate) about: Abouts,
    pub(crate) counts: Counts,
    /// By flag and variant, since Envoy looked at its counts before the last time: every five seconds.
    pub(crate) recent: BTreeMap<(FlagId, String), Times>,
    /// Since Envoy has started.
    pub(crate) all: BTreeMap<(FlagId, String), Times>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Config {
    /// Those in force: one, but for the moment in which it changes.
    pub(crate) revisions: Vec<String>,
    /// As [`State`](tidegate_proxy::lifecycle::State) is told.
    pub(crate) state: u64,
    pub(crate) refused: bool,
    pub(crate) problems: u64,
    /// When it came, in seconds since 1970.
    pub(crate) since: u64,
}

impl Config {
    /// Whether it is the one that was pushed last.
    fn is_last(&self) -> bool {
        self.state == 1
    }
}

/// How a flag is now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Gauges {
    /// As [`Phase`](tidegate_engine::decide::standing::Phase) is told; none where no guard watches it.
    pub(crate) standing: Option<u64>,
    pub(crate) rules: BTreeMap<u32, Ramp>,
}

/// How far a rule is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ramp {
    /// In parts per million.
    pub(crate) exposure: u64,
    pub(crate) step: Option<u64>,
}

impl Stats {
    fn of(page: &Page) -> Self {
        let mut stats = Self::default();
        for entry in &page.stats {
            match entry {
                Entry::Number { name, value } => {
                    if let Some(named) = named(name) {
                        stats.number(&named, *value);
                    }
                }
                Entry::Histograms { histograms } => {
                    for one in &histograms.details {
                        stats.times(one);
                    }
                }
                Entry::Other(_) => {}
            }
        }
        stats
    }

    /// Between two revisions there is a moment with none: the one before is meant.
    pub(crate) fn bridge(&mut self, before: &Self) {
        for (plugin, config) in &mut self.configs {
            if let Some(old) = before.configs.get(plugin).filter(|_| config.revisions.is_empty()) {
                config.revisions.clone_from(&old.revisions);
            }
        }
    }

    fn number(&mut self, named: &Named<'_>, value: u64) {
        let is = |metric: &Metric| core::ptr::eq(named.metric, metric);
        let plugin = named.plugin.to_owned();
        match *named.values.as_slice() {
            [] => {
                let config = self.configs.entry(plugin).or_default();
                if is(&catalogue::STATE) {
                    config.state = value;
                } else if is(&catalogue::REFUSED) {
                    config.refused = value > 0;
                } else if is(&catalogue::PROBLEMS) {
                    config.problems = value;
                } else if is(&catalogue::SINCE) {
                    config.since = value;
                }
            }
            [revision] if is(&catalogue::REVISION) && value > 0 => {
                self.configs.entry(plugin).or_default().revisions.push(revision.to_owned());
            }
            [key, ref rest @ ..] if named.metric.tags.first() == Some(&catalogue::Tag::Flag) => {
                let id = FlagId { plugin, key: key.to_owned() };
                self.number_of(id, named.metric, rest, value);
            }
            _ => {}
        }
    }

    fn number_of(&mut self, id: FlagId, of: &'static Metric, rest: &[&str], value: u64) {
        let is = |metric: &Metric| core::ptr::eq(of, metric);
        let what = match *rest {
            [] if is(&catalogue::STANDING) => {
                self.flags.entry(id).or_default().standing = Some(value);
                return;
            }
            [rule] if is(&catalogue::EXPOSURE) || is(&catalogue::STEP) => {
                let Ok(rule) = rule.parse() else { return };
                let ramp = self.flags.entry(id).or_default().rules.entry(rule).or_default();
                if is(&catalogue::STEP) {
                    ramp.step = Some(value);
                } else {
                    ramp.exposure = value;
                }
                return;
            }
            [] if is(&catalogue::ROLLBACKS) => CountOf::RolledBack,
            [] if is(&catalogue::THROTTLED) => CountOf::Throttled,
            [] if is(&catalogue::RESCUED) => CountOf::Rescued,
            [variant, reason] if is(&catalogue::DECISIONS) => CountOf::Decided(variant.to_owned(), reason.to_owned()),
            [variant, class] if is(&catalogue::RESPONSES) => CountOf::Answered(variant.to_owned(), class.to_owned()),
            _ => return,
        };
        self.counts.insert((id, what), value);
    }

    fn times(&mut self, one: &Histogram) {
        let Some(Named { plugin, values, .. }) = named(&one.name) else { return };
        let [key, variant] = *values.as_slice() else { return };
        let place = (FlagId { plugin: plugin.to_owned(), key: key.to_owned() }, variant.to_owned());
        self.recent.insert(place.clone(), one.intervals.iter().map(Bin::millis).collect());
        self.all.insert(place, one.totals.iter().map(Bin::millis).collect());
    }
}

impl Bin {
    /// The filter counts whole milliseconds, so that the lower end of a bin is what was counted.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "Envoy writes it with a fraction")]
    fn millis(&self) -> (u64, u64) {
        (self.lower_bound.round() as u64, self.count)
    }
}

fn named(name: &str) -> Option<Named<'_>> {
    catalogue::read(name.strip_prefix(PREFIX)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOWN: &str = r#"{"stats": [
        {"name": "wasmcustom.tidegate.config.state", "value": 1},
        {"name": "wasmcustom.tidegate.config.revision=.=a;.;info", "value": 0},
        {"name": "wasmcustom.tidegate.config.revision=.=b;.;info", "value": 1},
        {"name": "wasmcustom.tidegate.config.plugin=.=edge_1;.;refused", "value": 1},
        {"name": "wasmcustom.tidegate.decisions.flag=.=nav;.;variant=.=on;.;reason=.=split;.;total", "value": 7},
        {"name": "wasmcustom.tidegate.rule.flag=.=nav;.;rule=.=2;.;exposure_ppm", "value": 50000},
        {"name": "wasmcustom.tidegate.rule.flag=.=nav;.;rule=.=2;.;step", "value": 3},
        {"name": "wasmcustom.tidegate.guard.flag=.=checkout;.;standing", "value": 3},
        {"name": "wasmcustom.tidegate.other.flag=.=nav;.;total", "value": 9},
        {"name": "wasmcustom.tidegate.version_text", "value": "odd"},
        {"histograms": {"supported_percentiles": [50], "details": [
            {"name": "wasmcustom.tidegate.latency.flag=.=nav;.;variant=.=on;.;milliseconds",
             "totals": [{"lower_bound": 0, "width": 0, "count": 5}, {"lower_bound": 1.2e+02, "width": 10, "count": 2}],
             "intervals": [], "percentiles": []}]}}]}"#;

    fn id(key: &str) -> FlagId {
        FlagId { plugin: "tidegate".to_owned(), key: key.to_owned() }
    }

    #[test]
    fn a_page_is_read() {
        let stats = Stats::of(&read(SHOWN.as_bytes()).unwrap());
        let config = &stats.configs["tidegate"];
        assert_eq!((config.state, config.refused, &config.revisions[..]), (1, false, &["b".to_owned()][..]));
        assert!(stats.configs["edge_1"].refused);
        assert_eq!(stats.flags[&id("checkout")].standing, Some(3));
        assert_eq!(stats.flags[&id("nav")].rules[&2], Ramp { exposure: 50_000, step: Some(3) });
        let decided = CountOf::Decided("on".to_owned(), "split".to_owned());
        assert_eq!(stats.counts, Counts::from([((id("nav"), decided), 7)]));
        let place = (id("nav"), "on".to_owned());
        assert_eq!((&stats.all[&place], &stats.recent[&place]), (&Times::from([(0, 5), (120, 2)]), &Times::new()));
    }
}
