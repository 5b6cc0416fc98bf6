//! Asks one proxy for Tidegate's metrics: the admin interface of an Envoy, or a Pod in a cluster.
//!
//! Reads the dump of its configs as well, where there is one and another config has come into force. Never changes a
//! proxy.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use ureq::Agent;

use super::about::{self, Abouts, DUMPS};
use super::series;
use super::stats::{Config, Stats};
use crate::error::CliError;
use crate::input::cluster::Pod;
use crate::input::http::{Target, why};

/// The page, of ours only. Buckets as Envoy keeps them can be added up over proxies.
const PAGE: &str = "/stats?format=json&histogram_buckets=detailed&filter=%5Ewasmcustom%5C.tidegate%5C.";

/// The longest page that is read.
const LONGEST: u64 = 64 * 1024 * 1024;

/// A proxy that can be asked.
#[derive(Debug)]
pub(crate) struct Source {
    /// What it is called: its URL, or the name of its Pod.
    pub(crate) url: String,
    way: Way,
    /// The configs that were in force when their dump was read last, and what it said.
    known: Mutex<(BTreeMap<String, Config>, Abouts)>,
}

/// How it is asked.
#[derive(Debug)]
enum Way {
    /// By the URL of its admin interface.
    Admin(String),
    /// For what Prometheus would read of it, in a cluster. There is no dump.
    Pod(Pod),
}

impl Source {
    pub(crate) fn parse(url: &str) -> Result<Self, CliError> {
        let Target { origin, path, .. } = Target::parse(url, "http://localhost:9901")?;
        let path = path.split('?').next().unwrap_or_default().trim_end_matches('/');
        let way = Way::Admin(format!("{origin}{path}"));
        Ok(Self { url: url.to_owned(), way, known: Mutex::default() })
    }

    pub(crate) fn of_pod(pod: Pod) -> Self {
        Self { url: pod.name().to_owned(), way: Way::Pod(pod), known: Mutex::default() }
    }

    /// Its statistics now, or why there are none.
    pub(crate) fn ask(&self, agent: &Agent, wait: Duration) -> Result<Stats, String> {
        const NONE: &str = "this Envoy has no metrics of Tidegate: no filter is loaded, or its stats_config leaves out \
                            what begins with wasmcustom";
        let base = match &self.way {
            Way::Admin(base) => base,
            Way::Pod(pod) => {
                let said = series::stats(series::of_text(&pod.page(wait)?));
                return if said.configs.is_empty() { Err(NONE.to_owned()) } else { Ok(said) };
            }
        };
        let (status, body) = get(agent, base, PAGE).map_err(|error| why(&error, wait))?;
        let page = Some(status).filter(|status| *status == 200).and_then(|_| Stats::of_page(&body));
        let mut said = page.ok_or_else(|| format!("this is not the admin interface of an Envoy (status {status})"))?;
        if said.configs.is_empty() {
            return Err(NONE.to_owned());
        }
        if let Ok(mut known) = self.known.lock() {
            if known.0 != said.configs {
                *known = (said.configs.clone(), abouts(agent, base));
            }
            // Where an older config stays in force, the dump has another one.
            let abouts = known.1.iter().filter(|(id, _)| said.configs.get(&id.plugin).is_some_and(Config::is_last));
            said.about = abouts.map(|(id, about)| (id.clone(), about.clone())).collect();
        }
        Ok(said)
    }
}

/// All of them, asked at once, in their order.
pub(crate) fn ask_all(sources: &[Source], agent: &Agent, wait: Duration) -> Vec<Result<Stats, String>> {
    thread::scope(|scope| {
        let asked: Vec<_> = sources.iter().map(|source| scope.spawn(|| source.ask(agent, wait))).collect();
        let lost = |_| Err("the request was aborted".to_owned());
        asked.into_iter().map(|one| one.join().unwrap_or_else(lost)).collect()
    })
}

/// What the configs say of their flags; nothing where there is no dump.
fn abouts(agent: &Agent, base: &str) -> Abouts {
    let mut found = Abouts::new();
    for dump in DUMPS {
        let answer = get(agent, base, &format!("/config_dump?resource={dump}")).ok();
        let body = answer.filter(|(status, _)| *status == 200).map(|(_, body)| body).unwrap_or_default();
        if let Ok(dump) = serde_json::from_slice(&body) {
            about::read(&dump, &mut found);
        }
    }
    found
}

fn get(agent: &Agent, base: &str, page: &str) -> Result<(u16, Vec<u8>), ureq::Error> {
    let mut response = agent.get(format!("{base}{page}")).call()?;
    let body = response.body_mut().with_config().limit(LONGEST).read_to_vec()?;
    Ok((response.status().as_u16(), body))
}
