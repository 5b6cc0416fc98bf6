//! Where `tidegate list` finds flags: in files and their history, in clusters, and in running proxies. Never changes any
//! of them.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};

use crate::command::running::watch::about::FlagId;
use crate::command::running::watch::source::{Source as Proxy, ask_all};
use crate::command::running::watch::stats::{Gauges, Stats};
use crate::error::CliError;
use crate::input::cluster::ClusterArgs;
use crate::input::git::{FileAtRevision, History};
use crate::input::http::Asking;
use crate::input::load::{self, load_all};
use crate::input::past::KeyHistory;
use crate::terminal::Screen;
use tidegate_analysis::catalogue::share::Shares;
use tidegate_analysis::catalogue::{About, Origin, Sighting};
use tidegate_analysis::source::Loaded;
use tidegate_engine::config::standing::Phase as Decided;
use tidegate_engine::config::{Flag, Rule};
use tidegate_engine::decide::standing::{FlagStanding, Phase};
use tidegate_engine::value::share::Ppm;
use tidegate_engine::value::time::Timestamp;

/// The plugin whose name is not said.
const USUAL: &str = "tidegate";

/// What has flags.
pub(super) trait Source {
    /// Adds the places that were looked at, and the flags that are there.
    fn look(&self, at: Timestamp, seen: &mut Seen, screen: &mut Screen) -> Result<(), CliError>;
}

/// What was found so far.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) origins: Vec<Origin>,
    pub(super) sightings: Vec<Sighting>,
}

impl Seen {
    /// The place of one more origin.
    fn origin(&mut self, origin: Origin) -> usize {
        self.origins.push(origin);
        self.origins.len().saturating_sub(1)
    }
}

/// Configs in files.
pub(super) struct Files {
    pub(super) paths: Vec<String>,
    /// Whether git is asked when flags came that do not say it.
    pub(super) history: bool,
}

impl Source for Files {
    fn look(&self, at: Timestamp, seen: &mut Seen, screen: &mut Screen) -> Result<(), CliError> {
        let mut pasts = BTreeMap::new();
        for loaded in load_all(&self.paths, screen)? {
            let came = self.history.then(|| {
                let path = &loaded.document.file;
                pasts.entry(path.clone()).or_insert_with(|| Past::of(path)).came(&undated(&loaded))
            });
            add(&loaded, at, &came.unwrap_or_default(), seen);
        }
        Ok(())
    }
}

/// The flags that do not say when they were created.
fn undated(loaded: &Loaded) -> BTreeSet<String> {
    let undated = loaded.config.flags.iter().filter(|(_, flag)| flag.created.is_none());
    undated.map(|(key, _)| key.to_string()).collect()
}

/// The history of a file, where it has one; read when it is needed first.
struct Past {
    path: String,
    history: OnceCell<Option<History>>,
}

impl Past {
    fn of(path: &str) -> Self {
        Self { path: path.to_owned(), history: OnceCell::new() }
    }

    fn came(&self, keys: &BTreeSet<String>) -> BTreeMap<String, Timestamp> {
        if keys.is_empty() || self.path == "<stdin>" {
            return BTreeMap::new();
        }
        let path = &self.path;
        // A file that git does not know has no history, which is no fault.
        let read = || match FileAtRevision::parse(path) {
            Some(past) => past.history().ok(),
            None => History::of(path).ok(),
        };
        let history = self.history.get_or_init(read);
        history.as_ref().map(|history| KeyHistory::new(history, path).came(keys)).unwrap_or_default()
    }
}

/// Configs in objects of a cluster.
pub(super) struct Objects {
    pub(super) places: Vec<String>,
    pub(super) cluster: ClusterArgs,
}

impl Source for Objects {
    fn look(&self, at: Timestamp, seen: &mut Seen, screen: &mut Screen) -> Result<(), CliError> {
        for place in &self.places {
            let loaded = load::compile(self.cluster.document(place)?, screen)?;
            let name = place.clone();
            add_from("object", name, &loaded, at, &BTreeMap::new(), seen);
        }
        Ok(())
    }
}

fn add(loaded: &Loaded, at: Timestamp, came: &BTreeMap<String, Timestamp>, seen: &mut Seen) {
    add_from("file", loaded.document.name(), loaded, at, came, seen);
}

fn add_from(
    kind: &'static str,
    name: String,
    loaded: &Loaded,
    at: Timestamp,
    came: &BTreeMap<String, Timestamp>,
    seen: &mut Seen,
) {
    let config = &loaded.config;
    let revision = config.revision.as_ref().map(|name| name.as_str().to_owned());
    let place = seen.origin(Origin { kind, name, revision, silent: None });
    for ((key, flag), planned) in config.flags.iter().zip(loaded.plan.flags()) {
        // As far as the standing in the config lets its ramps go.
        let share = |place: usize, rule: &Rule| {
            let planned_rule = planned.rules.get(place);
            planned_rule
                .map_or_else(|| rule.exposure.share_at(at), |rule| planned.exposure(rule, at, &FlagStanding::FREE))
        };
        let mut about = About::new(config, flag, &share);
        if planned.is_back() {
            about.shares = Shares::safe(flag);
        }
        let standing = match planned.stands.as_ref().map(|standing| standing.phase) {
            _ if flag.kill => Some("killed"),
            Some(Decided::RolledBack) => Some(Phase::RolledBack.name()),
            Some(Decided::Held) => Some(Phase::Held.name()),
            Some(Decided::Running) | None => None,
        };
        seen.sightings.push(Sighting {
            place,
            key: key.to_string(),
            about: Some(about),
            standing,
            runs: false,
            first: came.get(key.as_str()).copied(),
        });
    }
}

/// Running proxies, by their admin interfaces, and by the labels of their Pods.
pub(super) struct Proxies {
    pub(super) urls: Vec<String>,
    pub(super) pods: Option<(String, u16)>,
    pub(super) cluster: ClusterArgs,
    pub(super) asking: Asking,
}

impl Source for Proxies {
    fn look(&self, at: Timestamp, seen: &mut Seen, _: &mut Screen) -> Result<(), CliError> {
        let mut proxies = self.urls.iter().map(|url| Proxy::parse(url)).collect::<Result<Vec<_>, _>>()?;
        if let Some((selector, port)) = &self.pods {
            proxies.extend(self.cluster.pods(selector, *port)?.into_iter().map(Proxy::of_pod));
        }
        let said = ask_all(&proxies, &self.asking.agent(), self.asking.wait());
        for (proxy, said) in proxies.iter().zip(said) {
            match said {
                Ok(stats) => running(&proxy.url, &stats, at, seen),
                Err(why) => {
                    let name = proxy.url.clone();
                    seen.origin(Origin { kind: "proxy", name, revision: None, silent: Some(why) });
                }
            }
        }
        Ok(())
    }
}

/// What one proxy says, by plugin.
fn running(url: &str, stats: &Stats, at: Timestamp, seen: &mut Seen) {
    for (plugin, config) in &stats.configs {
        let name = if plugin == USUAL { url.to_owned() } else { format!("{url} ({plugin})") };
        let revision = Some(config.revisions.join(", ")).filter(|name| !name.is_empty());
        let place = seen.origin(Origin { kind: "proxy", name, revision, silent: None });
        let counted = stats.counts.keys().map(|(id, _)| id);
        let ids: BTreeSet<&FlagId> = stats.about.keys().chain(stats.flags.keys()).chain(counted).collect();
        for id in ids.into_iter().filter(|id| id.plugin == *plugin) {
            let gauges = stats.flags.get(id).cloned().unwrap_or_default();
            let about = stats.about.get(id);
            let config = about.map(|about| &about.config);
            let told = config.and_then(|config| Some((config, config.flag(&id.key)?)));
            let killed = about.is_some_and(|about| about.killed);
            let phase = gauges.standing.and_then(|code| Phase::of_code(u8::try_from(code).ok()?));
            seen.sightings.push(Sighting {
                place,
                key: id.key.clone(),
                about: told.map(|(config, flag)| {
                    let mut about = About::new(config, flag, &|place, rule| exposure(&gauges, place, rule, at));
                    if phase == Some(Phase::RolledBack) {
                        about.shares = Shares::safe(flag);
                    }
                    about
                }),
                standing: if killed { Some("killed") } else { standing(phase, told.map(|(_, flag)| flag)) },
                runs: true,
                first: None,
            });
        }
    }
}

/// How a guard has it; where none watches it, it runs.
fn standing(phase: Option<Phase>, told: Option<&Flag>) -> Option<&'static str> {
    phase.map(Phase::name).or_else(|| told.map(|_| Phase::Running.name()))
}

/// How far a rule is by its gauge; as the config has it where there is none.
fn exposure(gauges: &Gauges, place: usize, rule: &Rule, at: Timestamp) -> Ppm {
    let number = u32::try_from(place).unwrap_or(u32::MAX).saturating_add(1);
    let told = gauges.rules.get(&number).and_then(|ramp| u32::try_from(ramp.exposure).ok());
    told.map_or_else(|| rule.exposure.share_at(at), Ppm::of)
}
