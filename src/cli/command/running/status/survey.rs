//! Asks the proxies, one by one or by way of a Prometheus that has read them.
//!
//! A proxy that does not answer is part of the answer. Never judges what they say.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use ureq::Agent;

use super::super::watch::series::{self, Sample};
use super::super::watch::source::{Source, ask_all};
use super::super::watch::stats::Stats;
use super::Args;
use crate::error::CliError;
use crate::input::http::{Target, agent, why};

/// What is asked of a Prometheus: all gauges that say what a proxy runs, and how its flags stand.
const FAMILIES: &str = "tidegate_config_(state|refused|problems|fingerprint|timestamp_seconds|info)\
                        |tidegate_guard_standing|tidegate_rule_(step|exposure_ppm)";

/// The labels that tell proxies apart, the best one first.
const NAMES: [&str; 3] = ["pod", "pod_name", "instance"];

/// What each proxy says, by its name, or why it says nothing.
pub(super) type Answers = Vec<(String, Result<Stats, String>)>;

pub(super) struct Survey<'a> {
    args: &'a Args,
    agent: Agent,
    /// None, where a Prometheus is asked, or Pods, which come and go.
    sources: Vec<Source>,
}

impl<'a> Survey<'a> {
    pub(super) fn new(args: &'a Args) -> Result<Self, CliError> {
        if args.proxy.is_empty() && args.selector.is_none() && args.prometheus.is_none() {
            return Err("name the proxies: --proxy URL, --selector LABELS or --prometheus URL".to_owned().into());
        }
        let agent = agent(Duration::from_millis(args.patience.millis()), args.insecure);
        let sources = args.proxy.iter().map(|url| Source::parse(url)).collect::<Result<_, _>>()?;
        Ok(Self { args, agent, sources })
    }

    pub(super) fn ask(&mut self) -> Result<Answers, CliError> {
        if let Some(url) = &self.args.prometheus {
            return self.prometheus(url);
        }
        if let Some(selector) = &self.args.selector {
            // Of a deployment that goes on, other Pods run now.
            let pods = self.args.cluster.pods(selector, self.args.port)?;
            self.sources = pods.into_iter().map(Source::of_pod).collect();
        }
        let said = ask_all(&self.sources, &self.agent, Duration::from_millis(self.args.patience.millis()));
        Ok(self.sources.iter().map(|source| source.url.clone()).zip(said).collect())
    }

    /// What to do about a proxy that refuses.
    pub(super) fn hint(&self) -> String {
        match (&self.args.selector, self.args.cluster.namespace.as_deref()) {
            (Some(_), Some(namespace)) => format!("kubectl logs POD -c istio-proxy -n {namespace} says why"),
            (Some(_), None) => "kubectl logs POD -c istio-proxy says why".to_owned(),
            (None, _) => "the proxy's log says why".to_owned(),
        }
    }

    fn prometheus(&self, url: &str) -> Result<Answers, CliError> {
        let Target { origin, path, .. } = Target::parse(url, "http://localhost:9090")?;
        let base = format!("{origin}{}", path.split('?').next().unwrap_or_default().trim_end_matches('/'));
        let escaped = |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"");
        let labels = self.args.matching.iter().map(|(name, value)| format!(",{name}=\"{}\"", escaped(value)));
        let query = format!("{{__name__=~\"{FAMILIES}\"{}}}", labels.collect::<String>());
        let failed = |why: String| CliError::Trouble {
            what: format!("the Prometheus {url} cannot be asked: {why}"),
            help: Some("--prometheus takes its address, such as http://localhost:9090".to_owned()),
        };
        let wait = Duration::from_millis(self.args.patience.millis());
        let call = self.agent.get(format!("{base}/api/v1/query")).query("query", &query).call();
        let mut response = call.map_err(|error| failed(why(&error, wait)))?;
        let status = response.status().as_u16();
        let answer: Answer = response
            .body_mut()
            .with_config()
            .limit(256 * 1024 * 1024)
            .read_json()
            .map_err(|_| failed(format!("this is no answer of one (status {status})")))?;
        let Some(data) = answer.data else {
            return Err(failed(answer.error.unwrap_or_else(|| format!("status {status}"))));
        };
        let mut proxies: BTreeMap<String, Vec<Sample>> = BTreeMap::new();
        for Series { mut metric, value: (_, value) } in data.result {
            let name = NAMES.iter().find_map(|name| metric.get(*name)).cloned().unwrap_or_default();
            let (family, value) = (metric.remove("__name__").unwrap_or_default(), value.parse().unwrap_or_default());
            proxies.entry(name).or_default().push(Sample { name: family, labels: metric, value });
        }
        if proxies.is_empty() {
            return Err(CliError::Trouble {
                what: format!("the Prometheus {url} has no metrics of Tidegate"),
                help: Some(
                    "it reads the proxies under /stats/prometheus; --match may leave all of them out".to_owned(),
                ),
            });
        }
        Ok(proxies.into_iter().map(|(name, samples)| (name, Ok(series::stats(samples)))).collect())
    }
}

/// What a Prometheus answers.
#[derive(Debug, Deserialize)]
struct Answer {
    data: Option<Data>,
    error: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Data {
    result: Vec<Series>,
}

#[derive(Debug, Deserialize)]
struct Series {
    metric: BTreeMap<String, String>,
    value: (f64, String),
}
