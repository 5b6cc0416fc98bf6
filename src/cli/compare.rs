//! Turns two configs into what changed between them, flag by flag, in words, with what is dangerous about it.
//!
//! Compares what was written, not how it was laid out: order in a file, quotes and comments are no change. Knows
//! nothing of people; [`super::moves`] counts those. Never says whether a change is right.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::align::{Pair, align};
use super::callout::{self, CallOut};
use super::words;
use crate::config::{self, Condition, Config, Exposure, Flag, Guard, Operator, Rule, Step, Variant};
use crate::name::{FlagKey, SegmentName};
use crate::plan::{Compiled, Plan};
use crate::problem::Problems;
use crate::time::Timestamp;

/// What changed between two configs.
#[derive(Debug)]
pub(super) struct Comparison {
    /// What is of no flag: the revision, the identity, the segments.
    pub(super) config: Vec<Change>,
    pub(super) callouts: Vec<CallOut>,
    /// The flags that changed, in key order.
    pub(super) flags: Vec<FlagChange>,
    /// How many did not.
    pub(super) unchanged: usize,
}

/// What changed of one flag.
#[derive(Debug)]
pub(super) struct FlagChange {
    pub(super) key: FlagKey,
    pub(super) fate: Fate,
    pub(super) changes: Vec<Change>,
    pub(super) callouts: Vec<CallOut>,
    /// Whether it may decide otherwise: an owner decides nothing.
    pub(super) decides: bool,
}

/// What became of a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Added,
    Removed,
    Changed,
}

impl Fate {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Changed => "changed",
        }
    }
}

/// One thing that is not as it was.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub(super) field: String,
    pub(super) old: Option<String>,
    pub(super) new: Option<String>,
}

impl Change {
    /// What was and what is, if that is not the same.
    fn new(field: impl Into<String>, old: Option<String>, new: Option<String>) -> Option<Self> {
        (old != new).then(|| Self { field: field.into(), old, new })
    }

    /// A change of something that may be too long to be said: it is known to have changed.
    fn known(field: impl Into<String>, old: String, new: String) -> Self {
        let new = if old == new { format!("{new} (another one in what is not shown)") } else { new };
        Self { field: field.into(), old: Some(old), new: Some(new) }
    }

    /// The change as a sentence of a list.
    pub(super) fn words(&self) -> String {
        let Self { field, old, new } = self;
        match (old, new) {
            (Some(old), Some(new)) => format!("{field}: {old} -> {new}"),
            (None, Some(new)) => format!("{field} added: {new}"),
            (Some(old), None) => format!("{field} removed: {old}"),
            (None, None) => format!("{field} changed"),
        }
    }

    pub(super) fn json(&self) -> Value {
        json!({"field": self.field, "old": self.old, "new": self.new, "words": self.words()})
    }
}

/// What changed from one config to another, as things stand at this time.
pub(super) fn compare(old: &Config, new: &Config, now: Timestamp) -> Comparison {
    let (before, after) = (by_key(old), by_key(new));
    let mut flags = Vec::new();
    let mut unchanged: usize = 0;
    for (key, pair) in union(&before, &after) {
        let change = match pair {
            (Some(was), Some(is)) => changed((old, new), key, (was, is), now),
            (None, Some(is)) => Some(lone(key, is, Fate::Added)),
            (Some(was), None) => Some(lone(key, was, Fate::Removed)),
            (None, None) => None,
        };
        match change {
            Some(change) => flags.push(change),
            None => unchanged = unchanged.saturating_add(1),
        }
    }
    Comparison { config: of_config(old, new), callouts: callout::of_config(old, new), flags, unchanged }
}

impl Comparison {
    /// Whether nothing at all changed.
    pub(super) fn is_empty(&self) -> bool {
        self.config.is_empty() && self.flags.is_empty()
    }
}

fn by_key(config: &Config) -> BTreeMap<&FlagKey, &Flag> {
    config.flags.iter().map(|(key, flag)| (key, flag)).collect()
}

/// Every key of two maps, with what stands under it.
fn union<'m, K: Ord + ?Sized, V>(
    old: &'m BTreeMap<&'m K, V>,
    new: &'m BTreeMap<&'m K, V>,
) -> BTreeMap<&'m K, (Option<&'m V>, Option<&'m V>)> {
    let keys = old.keys().chain(new.keys());
    keys.map(|key| (*key, (old.get(*key), new.get(*key)))).collect()
}

/// A flag that stands on one side only.
fn lone(key: &FlagKey, flag: &Flag, fate: Fate) -> FlagChange {
    let mut changes: Vec<Change> = Vec::new();
    if fate == Fate::Added {
        let names = effective(flag).into_iter().map(|(name, _)| name).collect::<Vec<_>>().join(", ");
        changes.extend(Change::new("variants", None, Some(names)));
        let of_interest =
            |(field, value)| Change::new(field, None, value).filter(|change| change.field != "description");
        changes.extend(facts(flag).into_iter().filter_map(of_interest));
        let rules = flag.rules.iter().zip(1_usize..);
        changes.extend(
            rules.filter_map(|(rule, number)| Change::new(format!("rule {number}"), None, Some(words::rule(rule)))),
        );
    }
    FlagChange { key: key.clone(), fate, changes, callouts: Vec::new(), decides: true }
}

/// A flag that stands on both sides, if it is not the same on both.
fn changed(
    (old, new): (&Config, &Config),
    key: &FlagKey,
    (was, is): (&Flag, &Flag),
    now: Timestamp,
) -> Option<FlagChange> {
    let pairs = align(&was.rules, &is.rules);
    let mut changes: Vec<Change> = facts(was)
        .into_iter()
        .zip(facts(is))
        .filter_map(|((field, was), (_, is))| Change::new(field, was, is))
        .collect();
    if was.identity != is.identity && !changes.iter().any(|change| change.field == "identity") {
        changes.push(Change::known("identity", "its own list".to_owned(), "its own list".to_owned()));
    }
    changes.extend(variants(was, is));
    changes.extend(rules(&pairs));
    let decides = print(old, key, was).zip(print(new, key, is)).is_none_or(|(was, is)| was != is);
    if decides {
        changes.extend(through_segments(old, new, was, is));
        if was.identity.is_none() && is.identity.is_none() && old.identity != new.identity {
            let (was, is) = (words::sources(&old.identity), words::sources(&new.identity));
            changes.push(Change::known("identity of the config", was, is));
        }
    }
    if changes.is_empty() {
        return None;
    }
    let callouts = callout::of_flag((old, new), key, (was, is), &pairs, now);
    Some(FlagChange { key: key.clone(), fate: Fate::Changed, changes, callouts, decides })
}

/// What is said of a flag in single fields, always in this order.
fn facts(flag: &Flag) -> Vec<(&'static str, Option<String>)> {
    let list = |items: Vec<String>| (!items.is_empty()).then(|| items.join(", "));
    let text = |text: Option<&dyn ToString>| text.map(ToString::to_string);
    let path =
        |path: &crate::name::PathPrefix| if path.as_str().is_empty() { "/".to_owned() } else { path.to_string() };
    let mut facts = vec![
        ("type", Some(words::kind(flag.kind).to_owned())),
        ("stage", flag.stage.map(|stage| words::stage(stage).to_owned())),
        ("owner", text(flag.owner.as_ref().map(|text| text as _))),
        ("description", text(flag.description.as_ref().map(|text| text as _))),
        ("created", flag.created.map(words::time)),
        ("expires", flag.expires.map(words::time)),
        ("match hosts", list(flag.matches.hosts.iter().map(ToString::to_string).collect())),
        ("match paths", list(flag.matches.paths.iter().map(path).collect())),
        ("match methods", list(flag.matches.methods.iter().map(ToString::to_string).collect())),
        ("route header", text(flag.route.as_ref().map(|text| text as _))),
        ("rescue", flag.rescue.map(words::span)),
        ("header", text(flag.header.as_ref().map(|text| text as _))),
        ("baseline", text(flag.baseline.as_ref().map(|text| text as _))),
        ("default", text(flag.default.as_ref().map(|text| text as _))),
        ("kill", flag.kill.then(|| "on".to_owned())),
        ("salt", text(flag.salt.as_ref().map(|text| text as _))),
        ("identity", flag.identity.as_deref().map(words::sources)),
    ];
    facts.extend(guard(flag.guard.as_ref()));
    facts
}

fn guard(guard: Option<&Guard>) -> [(&'static str, Option<String>); 9] {
    let errors = guard.and_then(|guard| guard.errors);
    let latency = guard.and_then(|guard| guard.latency);
    let action = |guard: &Guard| match guard.action {
        config::Action::Rollback => "rollback",
        config::Action::Hold => "hold",
        config::Action::Alert => "alert",
    };
    // 1,500 thousandths are 1.5x; shares have four places, so that a thousandth of one is in their words.
    let factor = |parts: u32| {
        let (whole, rest) = (parts.checked_div(1_000).unwrap_or(0), parts.checked_rem(1_000).unwrap_or(0));
        let text = format!("{whole}.{rest:03}");
        format!("{}x", text.trim_end_matches('0').trim_end_matches('.'))
    };
    let slow = |latency: &config::Latency| format!("{} of answers", latency.slower);
    [
        ("guard", guard.map(|guard| action(guard).to_owned())),
        ("guard window", guard.map(|guard| words::span(guard.window))),
        ("guard errors max", errors.and_then(|errors| errors.max).map(|share| share.to_string())),
        ("guard errors overBaseline", errors.and_then(|errors| errors.over_baseline).map(|share| share.to_string())),
        ("guard latency may be slower for", latency.as_ref().map(slow)),
        ("guard latency max", latency.and_then(|latency| latency.max).map(words::span)),
        ("guard latency overBaseline", latency.and_then(|latency| latency.over_baseline).map(factor)),
        ("guard failures", guard.map(|guard| failures(&guard.failures))),
        ("guard retry", guard.and_then(retry)),
    ]
}

fn failures(failures: &config::Failures) -> String {
    let words = [(failures.server_errors, "5xx"), (failures.resets, "reset"), (failures.grpc, "grpc")];
    let words = words.into_iter().filter(|(on, _)| *on).map(|(_, word)| word.to_owned());
    words.chain(failures.codes.iter().map(ToString::to_string)).collect::<Vec<_>>().join(", ")
}

fn retry(guard: &Guard) -> Option<String> {
    let after = guard.retry_after.map(|after| format!("after {}", words::span(after)));
    let rearm = guard.rearm.as_ref().map(|rearm| format!("rearmed as {rearm}"));
    let words: Vec<String> = after.into_iter().chain(rearm).collect();
    (!words.is_empty()).then(|| words.join(", "))
}

/// The variants that a flag has, written or not; the written ones with what they carry.
pub(super) fn effective(flag: &Flag) -> Vec<(String, Option<&Variant>)> {
    if flag.variants.is_empty() {
        return vec![("on".to_owned(), None), ("off".to_owned(), None)];
    }
    flag.variants.iter().map(|variant| (variant.name.to_string(), Some(variant))).collect()
}

fn variants(was: &Flag, is: &Flag) -> Vec<Change> {
    let (old, new) = (effective(was), effective(is));
    let map = |list: &[(String, Option<&Variant>)]| -> BTreeMap<String, [Option<String>; 4]> {
        list.iter().map(|(name, variant)| (name.clone(), carried(name, *variant))).collect()
    };
    let (before, after) = (map(&old), map(&new));
    let mut changes = Vec::new();
    let value = |carried: &[Option<String>; 4]| carried.iter().flatten().next().cloned().unwrap_or_default();
    for (name, _) in old.iter().filter(|(name, _)| !after.contains_key(name)) {
        changes.extend(Change::new(format!("variant {name}"), before.get(name).map(value), None));
    }
    for (name, is) in new.iter().filter_map(|(name, _)| Some((name, after.get(name)?))) {
        let Some(was) = before.get(name) else {
            changes.extend(Change::new(format!("variant {name}"), None, Some(value(is))));
            continue;
        };
        let parts = ["value", "headers", "limit", "reply"].into_iter().zip(was.iter().zip(is));
        changes
            .extend(parts.filter_map(|(part, (was, is))| {
                Change::new(format!("variant {name} {part}"), was.clone(), is.clone())
            }));
    }
    changes
}

/// The value, the headers, the limit and the reply of a variant.
fn carried(name: &str, variant: Option<&Variant>) -> [Option<String>; 4] {
    let Some(variant) = variant else { return [Some(name.to_owned()), None, None, None] };
    let headers = variant.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect::<Vec<_>>();
    [
        Some(variant.value.to_string()),
        (!headers.is_empty()).then(|| headers.join(", ")),
        variant.limit.as_ref().map(words::throttle),
        variant.reply.as_ref().map(words::reply),
    ]
}

fn rules(pairs: &[Pair<'_>]) -> Vec<Change> {
    let mut changes = Vec::new();
    for pair in pairs {
        match (pair.old, pair.new) {
            (Some((from, was)), Some((to, is))) if was == is => {
                if pair.moved {
                    let field = format!("rule {from}, now {to}");
                    changes.push(Change {
                        field,
                        old: None,
                        new: Some(format!("tried in another order: {}", words::rule(is))),
                    });
                }
            }
            (Some((from, was)), Some((to, is))) => {
                let name = if from == to { format!("rule {to}") } else { format!("rule {from}, now {to}") };
                changes.extend(rule(&name, was, is));
            }
            (None, Some((to, is))) => {
                changes.extend(Change::new(format!("rule {to}"), None, Some(words::rule(is))));
            }
            (Some((from, was)), None) => {
                changes.extend(Change::new(format!("rule {from}"), Some(words::rule(was)), None));
            }
            (None, None) => {}
        }
    }
    changes
}

fn rule(name: &str, was: &Rule, is: &Rule) -> Vec<Change> {
    let mut changes = Vec::new();
    if was.when != is.when {
        changes.push(conditions(format!("{name} when"), was.when.as_ref(), is.when.as_ref()));
    }
    match (&was.exposure, &is.exposure) {
        (was, is) if was == is => {}
        (Exposure::Fixed(was), Exposure::Fixed(is)) => {
            changes.extend(Change::new(format!("{name} percent"), Some(was.to_string()), Some(is.to_string())));
        }
        (Exposure::Steps(was), Exposure::Steps(is)) => changes.extend(steps(name, was, is)),
        (was, is) => changes.push(Change::known(format!("{name} exposure"), words::exposure(was), words::exposure(is))),
    }
    if was.serve != is.serve {
        changes.push(Change::known(format!("{name} serve"), words::serve(&was.serve), words::serve(&is.serve)));
    }
    changes
}

/// Steps are told by their place where none came or went, else by their time.
fn steps(name: &str, was: &[Step], is: &[Step]) -> Vec<Change> {
    if was.len() == is.len() {
        let each = was.iter().zip(is).zip(1_usize..);
        return each
            .filter_map(|((was, is), number)| {
                Change::new(format!("{name} step {number}"), Some(words::step(was)), Some(words::step(is)))
            })
            .collect();
    }
    let by_time = |steps: &[Step]| -> BTreeMap<Timestamp, String> {
        steps.iter().map(|step| (step.at, words::step(step))).collect()
    };
    let (was, is) = (by_time(was), by_time(is));
    let times: BTreeMap<Timestamp, ()> = was.keys().chain(is.keys()).map(|time| (*time, ())).collect();
    let each = times.keys().map(|time| (was.get(time).cloned(), is.get(time).cloned()));
    each.filter_map(|(was, is)| Change::new(format!("{name} step"), was, is)).collect()
}

/// A condition that changed; of a list of values only what came and went.
fn conditions(field: String, was: Option<&Condition>, is: Option<&Condition>) -> Change {
    if let (Some(Condition::Test(subject, Operator::In(was))), Some(Condition::Test(same, Operator::In(is)))) =
        (was, is)
        && subject == same
    {
        let only = |these: &[Box<[u8]>], those: &[Box<[u8]>]| -> Vec<Box<[u8]>> {
            these.iter().filter(|value| those.binary_search(value).is_err()).cloned().collect()
        };
        let shown = |values: Vec<Box<[u8]>>| {
            (!values.is_empty()).then(|| words::operator(&Operator::In(values.into())).replacen("in ", "", 1))
        };
        let field = format!("{field} {} in", words::subject(subject));
        return Change { field, old: shown(only(was, is)), new: shown(only(is, was)) };
    }
    Change::known(field, words::when(was), words::when(is))
}

fn conditions_of(flag: &Flag) -> impl Iterator<Item = &Condition> {
    flag.rules.iter().filter_map(|rule| rule.when.as_ref())
}

/// The segments that a flag's rules ask, and that are not what they were.
fn through_segments(old: &Config, new: &Config, was: &Flag, is: &Flag) -> Vec<Change> {
    let (before, after) = (asked(old, conditions_of(was)), asked(new, conditions_of(is)));
    let both = union_of(&before, &after);
    let changed = both.into_iter().filter(|(_, (was, is))| was.is_some() && is.is_some() && was != is);
    changed
        .map(|(name, _)| Change { field: format!("segment {name}, which its rules ask,"), old: None, new: None })
        .collect()
}

type Segments<'c> = BTreeMap<&'c SegmentName, &'c Condition>;

fn union_of<'c>(
    old: &Segments<'c>,
    new: &Segments<'c>,
) -> BTreeMap<&'c SegmentName, (Option<&'c Condition>, Option<&'c Condition>)> {
    let keys = old.keys().chain(new.keys());
    keys.map(|key| (*key, (old.get(*key).copied(), new.get(*key).copied()))).collect()
}

/// The segments that conditions ask, also through other segments.
fn asked<'c>(config: &'c Config, conditions: impl Iterator<Item = &'c Condition>) -> Segments<'c> {
    let known = |name: &SegmentName| {
        let place = config.segments.binary_search_by(|(known, _)| known.cmp(name)).ok()?;
        config.segments.get(place)
    };
    let mut found = Segments::new();
    let mut open: Vec<&Condition> = conditions.collect();
    while let Some(condition) = open.pop() {
        match condition {
            Condition::All(parts) | Condition::Any(parts) => open.extend(parts),
            Condition::Not(part) => open.push(part),
            Condition::Test(..) => {}
            Condition::Segment(name) => {
                if let Some((name, inside)) = known(name)
                    && found.insert(name, inside).is_none()
                {
                    open.push(inside);
                }
            }
        }
    }
    found
}

fn of_config(old: &Config, new: &Config) -> Vec<Change> {
    let text = |prose: &Option<crate::name::Prose>| prose.as_ref().map(ToString::to_string);
    let switch = |on: bool| on.then(|| "on".to_owned());
    let inspect = |config: &Config| config.inspect.as_ref().map(|inspect| format!("header {}", inspect.header));
    let sources = |config: &Config| (!config.identity.is_empty()).then(|| words::sources(&config.identity));
    let mut changes: Vec<Change> = [
        Change::new("revision", text(&old.revision), text(&new.revision)),
        Change::new("identity", sources(old), sources(new)),
        Change::new("dictionary", switch(old.dictionary), switch(new.dictionary)),
        Change::new("inspect", inspect(old), inspect(new)),
    ]
    .into_iter()
    .flatten()
    .collect();
    let same_header = inspect(old) == inspect(new);
    if same_header && old.inspect != new.inspect {
        // Its value is a secret.
        changes.push(Change { field: "the value of inspect".to_owned(), old: None, new: None });
    }
    let map = |config: &'_ Config| -> BTreeMap<SegmentName, Condition> { config.segments.iter().cloned().collect() };
    let (before, after) = (map(old), map(new));
    let names: BTreeMap<&SegmentName, ()> = before.keys().chain(after.keys()).map(|name| (name, ())).collect();
    for name in names.into_keys() {
        let field = format!("segment {name}");
        match (before.get(name), after.get(name)) {
            (Some(was), Some(is)) if was == is => {}
            (Some(was), Some(is)) => changes.push(conditions(field, Some(was), Some(is))),
            (was, is) => changes.extend(Change::new(field, was.map(words::condition), is.map(words::condition))),
        }
    }
    changes
}

/// The config with only these flags, and only the segments that they ask.
pub(super) fn only(config: &Config, keys: &dyn Fn(&FlagKey) -> bool) -> Config {
    let flags: Vec<(FlagKey, Flag)> = config.flags.iter().filter(|(key, _)| keys(key)).cloned().collect();
    let segments = asked(config, flags.iter().flat_map(|(_, flag)| conditions_of(flag)));
    Config {
        identity: config.identity.clone(),
        segments: segments.into_iter().map(|(name, condition)| (name.clone(), condition.clone())).collect(),
        flags,
        ..Config::default()
    }
}

/// The plan of a part of a config; `None` where the part cannot stand alone.
pub(super) fn plan(config: &Config) -> Option<Plan> {
    Plan::compile(config, &mut Problems::default()).ready()
}

/// A number that is the same where a flag decides the same.
fn print(config: &Config, key: &FlagKey, flag: &Flag) -> Option<u64> {
    let mut alone = only(config, &|known| known == key);
    // Where the list of sources stands makes no difference.
    if let Some(own) = &flag.identity {
        alone.identity.clone_from(own);
        alone.flags.iter_mut().for_each(|(_, flag)| flag.identity = None);
    }
    match Plan::compile(&alone, &mut Problems::default()) {
        Compiled::Ready(plan) => Some(plan.fingerprint()),
        Compiled::Broken(_) => None,
    }
}
