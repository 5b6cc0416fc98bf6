//! Holds what the proxies say against what should run: who has it, who refuses, how the flags stand.
//!
//! Never asks anybody, and never reads a clock.

use std::collections::{BTreeMap, BTreeSet};

use super::super::watch::stats::{Config, Stats};
use super::due::{BITS, Due};
use super::survey::Answers;
use tidegate_engine::decide::standing::Phase;
use tidegate_engine::value::time::Timestamp;

/// A proxy.
#[derive(Debug)]
pub(super) struct Proxy {
    pub(super) name: String,
    pub(super) silent: Option<String>,
    /// By plugin.
    pub(super) configs: BTreeMap<String, Config>,
    /// What should run that it does not run, by its place; all, where it is silent.
    pub(super) lacks: Vec<usize>,
}

impl Proxy {
    pub(super) fn refused(&self) -> Option<&Config> {
        self.configs.values().find(|config| config.refused)
    }
}

/// A flag over all proxies.
#[derive(Debug, Default)]
pub(super) struct Flag {
    /// How it stands, as its gauge tells it, and on which proxies.
    pub(super) standings: BTreeMap<u64, Vec<String>>,
    /// By rule: the least and the most that a proxy tells.
    pub(super) rules: BTreeMap<u32, Rule>,
    pub(super) proxies: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) step: Option<(u64, u64)>,
    /// In parts per million.
    pub(super) share: (u64, u64),
}

/// All of it at one time.
#[derive(Debug)]
pub(super) struct State {
    pub(super) at: Timestamp,
    pub(super) due: Vec<Due>,
    pub(super) proxies: Vec<Proxy>,
    /// By plugin and key.
    pub(super) flags: BTreeMap<(String, String), Flag>,
    keys: BTreeSet<String>,
    /// What guards have against it: by flag.
    pub(super) objections: Vec<String>,
}

/// How waiting ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Done,
    /// It will not come, and why.
    Failed(Vec<String>),
    /// It may come still, and what is missing.
    Pending(Vec<String>),
}

impl State {
    pub(super) fn new(at: Timestamp, due: &[Due], answers: Answers, flag: Option<&str>) -> Self {
        let mut state = Self {
            at,
            due: due.to_vec(),
            proxies: Vec::new(),
            flags: BTreeMap::new(),
            keys: BTreeSet::new(),
            objections: Vec::new(),
        };
        let mut said = Vec::new();
        for (name, answer) in answers {
            let all = || (0..due.len()).collect();
            match answer {
                Err(why) => {
                    let proxy = Proxy { name, silent: Some(why), configs: BTreeMap::new(), lacks: all() };
                    state.proxies.push(proxy);
                }
                Ok(told) => {
                    let lacks = due.iter().enumerate().filter(|(_, due)| !runs(&told, due)).map(|(place, _)| place);
                    let configs = told.configs.clone();
                    let proxy = Proxy { name: name.clone(), silent: None, configs, lacks: lacks.collect() };
                    said.push((name, proxy.lacks.is_empty(), told));
                    state.proxies.push(proxy);
                }
            }
        }
        for (name, has, told) in &said {
            state.count(name, *has, told, flag);
        }
        state
    }

    fn count(&mut self, name: &str, has: bool, stats: &Stats, wanted: Option<&str>) {
        for (id, gauges) in &stats.flags {
            self.keys.insert(id.key.clone());
            if wanted.is_some_and(|wanted| wanted != id.key) {
                continue;
            }
            let flag = self.flags.entry((id.plugin.clone(), id.key.clone())).or_default();
            flag.proxies += 1;
            if let Some(code) = gauges.standing {
                flag.standings.entry(code).or_default().push(name.to_owned());
                // One that runs another config speaks of another config.
                if has
                    && let Some(phase) = objects(code)
                    && !self.due.iter().any(|due| due.stands(&id.key, phase))
                {
                    self.objections.push(format!("{}: {} on {name}", id.key, phase.replace('_', " ")));
                }
            }
            for (number, ramp) in &gauges.rules {
                let step = ramp.step.map(|step| (step, step));
                let now = Rule { step, share: (ramp.exposure, ramp.exposure) };
                let rule = flag.rules.entry(*number).or_insert(now);
                *rule = rule.with(now);
            }
        }
    }

    /// The flags that proxies speak of.
    pub(super) fn keys(&self) -> &BTreeSet<String> {
        &self.keys
    }

    /// The proxies whose last push was not good.
    pub(super) fn refusing(&self) -> BTreeSet<String> {
        self.proxies.iter().filter(|proxy| proxy.refused().is_some()).map(|proxy| proxy.name.clone()).collect()
    }

    /// Where two that should run are not one.
    pub(super) fn disagreements(&self) -> Vec<(&Due, &Due)> {
        let Some((first, others)) = self.due.split_first() else { return Vec::new() };
        others.iter().filter(|other| !first.agrees(other)).map(|other| (first, other)).collect()
    }

    pub(super) fn is_well(&self) -> bool {
        let bad = |proxy: &Proxy| proxy.silent.is_some() || proxy.refused().is_some() || !proxy.lacks.is_empty();
        self.objections.is_empty() && self.disagreements().is_empty() && !self.proxies.iter().any(bad)
    }

    /// Whether it is as it should be. A refusal counts where it is of this push.
    pub(super) fn verdict(&self, fresh: bool) -> Verdict {
        let mut missing: Vec<String> = Vec::new();
        let mut against = self.objections.clone();
        for (one, other) in self.disagreements() {
            missing.push(format!("{} has another config than {}", other.name, one.name));
        }
        for proxy in &self.proxies {
            if let Some(why) = &proxy.silent {
                missing.push(format!("{}: {why}", proxy.name));
            } else if let Some(config) = proxy.refused() {
                let problems = if config.problems == 1 { "problem" } else { "problems" };
                let text = format!("{} refused the last push ({} {problems})", proxy.name, config.problems);
                if fresh { against.push(text) } else { missing.push(text) }
            } else if !proxy.lacks.is_empty() {
                missing.push(format!("{} has revision {}", proxy.name, revisions(&proxy.configs)));
            }
        }
        match (against.is_empty(), missing.is_empty()) {
            (true, true) => Verdict::Done,
            (false, _) => Verdict::Failed(against),
            (true, false) => Verdict::Pending(missing),
        }
    }
}

impl Rule {
    fn with(self, other: Self) -> Self {
        let both = |one: (u64, u64), other: (u64, u64)| (one.0.min(other.0), one.1.max(other.1));
        let step = match (self.step, other.step) {
            (Some(one), Some(other)) => Some(both(one, other)),
            (one, other) => one.or(other),
        };
        Self { step, share: both(self.share, other.share) }
    }
}

/// The revisions of all plugins of a proxy.
pub(super) fn revisions(configs: &BTreeMap<String, Config>) -> String {
    let all: BTreeSet<&str> = configs.values().flat_map(|config| &config.revisions).map(String::as_str).collect();
    if all.is_empty() { "-".to_owned() } else { all.into_iter().collect::<Vec<_>>().join(", ") }
}

/// Whether one of the plugins of a proxy runs a config, and that alone.
fn runs(stats: &Stats, due: &Due) -> bool {
    stats.configs.values().any(|config| {
        let print = due.print.is_none_or(|print| print == config.fingerprint & BITS);
        // A proxy without `extraStatTags` does not tell its revision as a label.
        let revision = match (&due.revision, &config.revisions[..]) {
            (Some(due), [one]) => due == one,
            (Some(_), []) => due.print.is_some(),
            (Some(_), _) => false,
            (None, _) => true,
        };
        print && revision && config.state != 0
    })
}

/// What a guard has against a flag.
fn objects(code: u64) -> Option<&'static str> {
    let phase = Phase::of_code(u8::try_from(code).ok()?)?;
    matches!(phase, Phase::Held | Phase::RolledBack).then(|| phase.name())
}
