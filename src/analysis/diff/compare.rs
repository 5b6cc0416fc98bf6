//! Turns two configs into what changed between them, flag by flag, in words.
//!
//! Compares what was written, not how it was laid out: order in a file, quotes and comments are no change. Never
//! counts users: [`super::moves`] does. Never says whether a change is right.

use std::collections::{BTreeMap, BTreeSet};

use super::align::{Pair, align};
use super::callout;
use super::change::{Change, Comparison, Fate, FlagChange};
use crate::parts::{self, baseline, conditions_of, decides_as, salt, segments_of};
use crate::words;
use tidegate_engine::config::{self, Condition, Config, Exposure, Flag, Guard, Headers, Operator, Rule, Step, Variant};
use tidegate_engine::value::name::{FlagKey, OwnedHeader, SegmentName};
use tidegate_engine::value::time::Timestamp;

/// What changed from one config to another, as things stand at this time.
pub fn compare(old: &Config, new: &Config, now: Timestamp) -> Comparison {
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
            None => unchanged += 1,
        }
    }
    Comparison { config: of_config(old, new), callouts: callout::of_config(old, new), flags, unchanged }
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
        changes.extend(Change::new("variants", None, Some(names(&parts::variants(flag)))));
        // What a flag has without a word is no news.
        let usual = |field: &str, value: &str| match field {
            "header" => value == OwnedHeader::of_flag(key).as_str(),
            "kill" => !flag.kill,
            "salt" => value == key.as_str(),
            "identity" => flag.identity.is_none(),
            _ => field == "description",
        };
        let news = |(field, value): &(&str, Option<String>)| value.as_ref().is_some_and(|value| !usual(field, value));
        let set = facts(key, flag).into_iter().filter(news);
        changes.extend(set.filter_map(|(field, value)| Change::new(field, None, value)));
        changes.extend(guards(None, flag.guard.as_ref()));
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
    let mut changes: Vec<Change> = facts(key, was)
        .into_iter()
        .zip(facts(key, is))
        .filter_map(|((field, was), (_, is))| Change::new(field, was, is))
        .collect();
    if was.identity != is.identity && !changes.iter().any(|change| change.field == "identity") {
        changes.push(Change::known("identity", "its own list".to_owned(), "its own list".to_owned()));
    }
    changes.extend(guards(was.guard.as_ref(), is.guard.as_ref()));
    changes.extend(variants(was, is));
    changes.extend(rules(&pairs));
    let standing = |config: &Config| config.standing(key.as_str()).map(words::standing);
    changes.extend(Change::new("standing", standing(old), standing(new)));
    let decides = !decides_as(key, (old, was), (new, is));
    if decides {
        changes.extend(through_segments(old, new, was, is));
        if was.identity.is_none() && is.identity.is_none() && old.identity != new.identity {
            changes.push(Change::bare("the identity of the config, which it uses,"));
        }
    }
    if changes.is_empty() {
        return None;
    }
    let callouts = callout::of_flag((old, new), key, (was, is), &pairs, now);
    Some(FlagChange { key: key.clone(), fate: Fate::Changed, changes, callouts, decides })
}

/// What is said of a flag in single fields, always in this order.
fn facts(key: &FlagKey, flag: &Flag) -> Vec<(&'static str, Option<String>)> {
    let list = |items: Vec<String>| (!items.is_empty()).then(|| items.join(", "));
    let text = |text: Option<&dyn ToString>| text.map(ToString::to_string);
    let path = |path: &tidegate_engine::value::name::PathPrefix| {
        if path.as_str().is_empty() { "/".to_owned() } else { path.to_string() }
    };
    let rearm = flag.guard.as_ref().and_then(|guard| guard.rearm.as_ref());
    vec![
        ("type", Some(words::kind(flag.kind).to_owned())),
        ("stage", flag.stage.map(|stage| words::stage(stage).to_owned())),
        ("owner", text(flag.owner.as_ref().map(|text| text as _))),
        ("description", text(flag.description.as_ref().map(|text| text as _))),
        ("created", flag.created.map(words::time::text)),
        ("expires", flag.expires.map(words::time::text)),
        ("match hosts", list(flag.matches.hosts.iter().map(ToString::to_string).collect())),
        ("match paths", list(flag.matches.paths.iter().map(path).collect())),
        ("match methods", list(flag.matches.methods.iter().map(ToString::to_string).collect())),
        ("route header", text(flag.route.as_ref().map(|text| text as _))),
        ("rescue", flag.rescue.map(words::time::span)),
        ("metrics", flag.metrics.map(|metrics| words::metrics(metrics).to_owned())),
        ("header", Some(flag.header.clone().unwrap_or_else(|| OwnedHeader::of_flag(key)).to_string())),
        ("baseline", Some(baseline(flag).to_owned())),
        ("default", text(flag.default.as_ref().map(|text| text as _))),
        ("kill", Some(if flag.kill { "on" } else { "off" }.to_owned())),
        ("salt", Some(salt(key, flag).to_owned())),
        ("identity", Some(flag.identity.as_deref().map_or_else(|| "that of the config".to_owned(), words::sources))),
        ("guard rearm", text(rearm.map(|text| text as _))),
    ]
}

/// A guard that came or went is one change, one that stayed is compared limit by limit.
fn guards(was: Option<&Guard>, is: Option<&Guard>) -> Vec<Change> {
    if let (Some(was), Some(is)) = (was, is) {
        let pairs = limits(was).into_iter().zip(limits(is));
        return pairs.filter_map(|((name, was), (_, is))| Change::new(format!("guard {name}"), was, is)).collect();
    }
    let all = |guard: &Guard| {
        let set = limits(guard).into_iter().filter_map(|(name, limit)| Some(format!("{name} {}", limit?)));
        set.collect::<Vec<_>>().join(", ")
    };
    Change::new("guard", was.map(all), is.map(all)).into_iter().collect()
}

/// What is said of a guard, always in this order.
fn limits(guard: &Guard) -> [(&'static str, Option<String>); 11] {
    let Guard { errors, latency, .. } = guard;
    let action = match guard.action {
        config::Action::Rollback => "rollback",
        config::Action::Hold => "hold",
        config::Action::Alert => "alert",
    };
    let factor = |parts: u32| {
        let (whole, rest) = (parts.checked_div(1_000).unwrap_or(0), parts.checked_rem(1_000).unwrap_or(0));
        let text = format!("{whole}.{rest:03}");
        format!("{}x", text.trim_end_matches('0').trim_end_matches('.'))
    };
    let retry = guard.retry_after.map(words::time::span);
    let share = |share: Option<tidegate_engine::value::share::Ppm>| share.map(|share| share.to_string());
    [
        ("action", Some(action.to_owned())),
        ("window", Some(words::time::span(guard.window))),
        ("errors max", share(errors.and_then(|errors| errors.max))),
        ("errors overBaseline", share(errors.and_then(|errors| errors.over_baseline))),
        ("latency percentile", share(latency.map(|latency| latency.slower.rest()))),
        ("latency max", latency.and_then(|latency| latency.max).map(words::time::span)),
        ("latency overBaseline", latency.and_then(|latency| latency.over_baseline).map(factor)),
        ("failures", Some(failures(&guard.failures))),
        ("identities", guard.identities.map(|identities| words::identities(identities).to_owned())),
        ("fleet", (guard.fleet > 1).then(|| guard.fleet.to_string())),
        ("retryAfter", retry),
    ]
}

fn failures(failures: &config::Failures) -> String {
    let words = [(failures.server_errors, "5xx"), (failures.resets, "reset"), (failures.grpc, "grpc")];
    let words = words.into_iter().filter(|(on, _)| *on).map(|(_, word)| word.to_owned());
    words.chain(failures.codes.iter().map(ToString::to_string)).collect::<Vec<_>>().join(", ")
}

fn variants(was: &Flag, is: &Flag) -> Vec<Change> {
    let (old, new) = (parts::variants(was), parts::variants(is));
    let mut changes: Vec<Change> = Vec::new();
    let known = |name: &str, list: &[(String, Option<&Variant>)]| list.iter().any(|(known, _)| known == name);
    if old.len() != new.len() || !old.iter().all(|(name, _)| known(name, &new)) {
        changes.extend(Change::new("variants", Some(names(&old)), Some(names(&new))));
    }
    for (name, is) in &new {
        let Some((_, was)) = old.iter().find(|(known, _)| known == name) else { continue };
        let both = carried(name, *was).into_iter().zip(carried(name, *is));
        let parts = ["value", "headers", "limit", "reply"].into_iter().zip(both);
        changes.extend(parts.filter_map(|(part, (was, is))| Change::new(format!("variant {name} {part}"), was, is)));
    }
    changes
}

/// The names of variants, with the values that are not their names.
fn names(variants: &[(String, Option<&Variant>)]) -> String {
    let each = variants.iter().map(|(name, variant)| match variant.map(|variant| variant.value.as_str()) {
        Some(value) if value != name => format!("{name} ({value})"),
        Some(_) | None => name.clone(),
    });
    each.collect::<Vec<_>>().join(", ")
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
                    let field = format!("rule {from} ({}) place", words::rule(is));
                    changes.extend(Change::new(field, Some(from.to_string()), Some(to.to_string())));
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
        changes.extend(conditions(format!("{name} when"), was.when.as_ref(), is.when.as_ref()));
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
    let times: BTreeSet<&Timestamp> = was.keys().chain(is.keys()).collect();
    let each = times.into_iter().map(|time| (was.get(time).cloned(), is.get(time).cloned()));
    each.filter_map(|(was, is)| Change::new(format!("{name} step"), was, is)).collect()
}

/// What changed of a condition: of one part among others only that part, of a list of values only what came and went.
fn conditions(field: String, was: Option<&Condition>, is: Option<&Condition>) -> Vec<Change> {
    let words = |condition: Option<&Condition>| condition.map_or_else(|| "everybody".to_owned(), words::condition);
    match (was, is) {
        (Some(Condition::All(was)), Some(Condition::All(is)))
        | (Some(Condition::Any(was)), Some(Condition::Any(is)))
            if was.len() == is.len() =>
        {
            let mut differ = was.iter().zip(is).filter(|(was, is)| was != is);
            if let (Some((was, is)), None) = (differ.next(), differ.next()) {
                return conditions(field, Some(was), Some(is));
            }
        }
        (Some(Condition::Test(subject, Operator::In(was))), Some(Condition::Test(same, Operator::In(is))))
            if subject == same =>
        {
            let only = |these: &[Box<[u8]>], those: &[Box<[u8]>]| {
                let values: Vec<_> = these.iter().filter(|value| those.binary_search(value).is_err()).collect();
                (!values.is_empty()).then(|| words::values(values.into_iter().map(|value| &**value)))
            };
            let field = format!("{field}, a value of {}", words::subject(subject));
            return [Change::new(field.clone(), only(was, is), None), Change::new(field, None, only(is, was))]
                .into_iter()
                .flatten()
                .collect();
        }
        _ => {}
    }
    vec![Change::known(field, words(was), words(is))]
}

/// The segments that a flag's rules ask, and that are not what they were.
fn through_segments(old: &Config, new: &Config, was: &Flag, is: &Flag) -> Vec<Change> {
    let (before, after) = (segments_of(old, conditions_of(was)), segments_of(new, conditions_of(is)));
    let changed = before.iter().filter(|(name, was)| after.get(*name).is_some_and(|is| is != *was));
    changed.map(|(name, _)| Change::bare(format!("segment {name}, which its rules ask,"))).collect()
}

fn of_config(old: &Config, new: &Config) -> Vec<Change> {
    let text = |prose: &Option<tidegate_engine::value::name::Prose>| prose.as_ref().map(ToString::to_string);
    let switch = |on: bool| on.then(|| "on".to_owned());
    let headers = |config: &Config| (config.headers == Headers::Dictionary).then(|| "dictionary".to_owned());
    let inspect = |config: &Config| config.inspect.as_ref().map(words::inspect);
    let telemetry = |config: &Config| {
        let seen = config.telemetry;
        let places = [(seen.access_log, "access log"), (seen.spans, "spans"), (seen.baggage, "baggage")];
        let on: Vec<&str> = places.iter().filter(|(on, _)| *on).map(|(_, place)| *place).collect();
        (!on.is_empty()).then(|| on.join(", "))
    };
    let sources = |config: &Config| (!config.identity.is_empty()).then(|| words::sources(&config.identity));
    let mut changes: Vec<Change> = [
        Change::new("revision", text(&old.revision), text(&new.revision)),
        Change::new("identity", sources(old), sources(new)),
        Change::new("dictionary", switch(old.dictionary), switch(new.dictionary)),
        Change::new("headers", headers(old), headers(new)),
        Change::new("inspect", inspect(old), inspect(new)),
        Change::new("telemetry", telemetry(old), telemetry(new)),
    ]
    .into_iter()
    .flatten()
    .collect();
    let same_header = inspect(old) == inspect(new);
    if same_header && old.inspect != new.inspect {
        // Its value is a secret.
        changes.push(Change::bare("the value of inspect"));
    }
    let map = |config: &'_ Config| -> BTreeMap<SegmentName, Condition> { config.segments.iter().cloned().collect() };
    let (before, after) = (map(old), map(new));
    let names: BTreeSet<&SegmentName> = before.keys().chain(after.keys()).collect();
    for name in names {
        let field = format!("segment {name}");
        match (before.get(name), after.get(name)) {
            (Some(was), Some(is)) if was == is => {}
            (Some(was), Some(is)) => changes.extend(conditions(field, Some(was), Some(is))),
            (was, is) => changes.extend(Change::new(field, was.map(words::condition), is.map(words::condition))),
        }
    }
    changes
}
