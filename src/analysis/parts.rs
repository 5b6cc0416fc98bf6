//! Takes configs apart: what a flag has, with the defaults filled in; the segments that it uses; the config with only
//! some of its flags.

use std::collections::BTreeMap;

use tidegate_engine::config::{Condition, Config, Flag, Serve, Source, Variant};
use tidegate_engine::plan::Plan;
use tidegate_engine::problem::Problems;
use tidegate_engine::value::name::{FlagKey, SegmentName};

/// The name of the baseline, `off` if the config names none.
pub fn baseline(flag: &Flag) -> &str {
    flag.baseline.as_ref().map_or("off", |name| name.as_str())
}

/// The only variant that is served, unless it is a split of several.
pub fn only_variant(serve: &Serve) -> Option<&str> {
    match serve {
        Serve::One(name) => Some(name.as_str()),
        Serve::Split(parts) => {
            let mut drawn = parts.iter().filter(|part| part.weight > 0);
            drawn.next().filter(|_| drawn.next().is_none()).map(|part| part.variant.as_str())
        }
    }
}

/// Where a flag looks for identities.
pub fn sources<'c>(config: &'c Config, flag: &'c Flag) -> &'c [Source] {
    flag.identity.as_deref().unwrap_or(&config.identity)
}

pub fn salt<'f>(key: &'f FlagKey, flag: &'f Flag) -> &'f str {
    flag.salt.as_ref().map_or(key.as_str(), |salt| salt.as_str())
}

/// The variants of a flag: `on` and `off` if the config names none.
pub fn variants(flag: &Flag) -> Vec<(String, Option<&Variant>)> {
    if flag.variants.is_empty() {
        return vec![("on".to_owned(), None), ("off".to_owned(), None)];
    }
    flag.variants.iter().map(|variant| (variant.name.to_string(), Some(variant))).collect()
}

/// The conditions of a flag's rules.
pub fn conditions_of(flag: &Flag) -> impl Iterator<Item = &Condition> {
    flag.rules.iter().filter_map(|rule| rule.when.as_ref())
}

pub type Segments<'c> = BTreeMap<&'c SegmentName, &'c Condition>;

/// The segments that conditions use, also through other segments.
pub fn segments_of<'c>(config: &'c Config, conditions: impl Iterator<Item = &'c Condition>) -> Segments<'c> {
    let mut found = Segments::new();
    let mut open: Vec<&Condition> = conditions.collect();
    while let Some(condition) = open.pop() {
        match condition {
            Condition::All(parts) | Condition::Any(parts) => open.extend(parts),
            Condition::Not(part) => open.push(part),
            Condition::Test(..) => {}
            Condition::Segment(name) => {
                if let Some(inside) = config.segment(name)
                    && found.insert(name, inside).is_none()
                {
                    open.push(inside);
                }
            }
        }
    }
    found
}

/// The config with only these flags, and only the segments that they use.
pub fn with_flags(config: &Config, keys: &dyn Fn(&FlagKey) -> bool) -> Config {
    let flags: Vec<(FlagKey, Flag)> = config.flags.iter().filter(|(key, _)| keys(key)).cloned().collect();
    let segments = segments_of(config, flags.iter().flat_map(|(_, flag)| conditions_of(flag)));
    Config {
        identity: config.identity.clone(),
        segments: segments.into_iter().map(|(name, condition)| (name.clone(), condition.clone())).collect(),
        flags,
        standing: config.standing.iter().filter(|(key, _)| keys(key)).cloned().collect(),
        ..Config::default()
    }
}

/// The plan of a part of a config; `None` where the part cannot stand alone.
pub fn plan(config: &Config) -> Option<Plan> {
    Plan::compile(config, &mut Problems::default()).ready()
}

/// Whether a flag decides the same in both configs.
pub fn decides_as(key: &FlagKey, (old, was): (&Config, &Flag), (new, is): (&Config, &Flag)) -> bool {
    decision_fingerprint(old, key, was).zip(decision_fingerprint(new, key, is)).is_some_and(|(was, is)| was == is)
}

/// A number that is the same where a flag decides the same.
fn decision_fingerprint(config: &Config, key: &FlagKey, flag: &Flag) -> Option<u64> {
    let mut alone = with_flags(config, &|known| known == key);
    // Where the list of sources stands makes no difference.
    if let Some(own) = &flag.identity {
        alone.identity.clone_from(own);
        alone.flags.iter_mut().for_each(|(_, flag)| flag.identity = None);
    }
    plan(&alone).map(|plan| plan.fingerprint())
}
