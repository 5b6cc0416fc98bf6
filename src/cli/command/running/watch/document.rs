//! Turns a look at proxies into JSON for programs. Never adds anything up over time.
#![allow(clippy::float_arithmetic, reason = "figures for programs: no decision hangs on them")]

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::about::{About, FlagId};
use super::course::{Change, Event, Flag, Look, Proxy};
use super::view::{known, ppm, tenths};
use tidegate_analysis::words::time::moment;
use tidegate_engine::config::standing::Standing;
use tidegate_engine::value::name::Prose;

/// For programs.
pub(crate) fn of(look: &Look<'_>) -> Value {
    json!({
        "time": moment(look.at),
        "seconds": look.span.map(|span| fraction(u64::try_from(span.as_millis()).unwrap_or(u64::MAX), 1_000.0)),
        "proxies": look.proxies.iter().map(proxy).collect::<Vec<_>>(),
        "flags": look.flags.iter().map(|(id, one)| flag(id, one, look.span)).collect::<Vec<_>>(),
        "events": look.events.iter().map(happened).collect::<Vec<_>>(),
    })
}

/// A whole number of parts, as a fraction.
fn fraction(number: u64, parts: f64) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX)) / parts
}

fn proxy(proxy: &Proxy) -> Value {
    let configs = proxy.configs().map(|(plugin, config)| {
        json!({
            "plugin": plugin,
            "revision": config.revisions.join(", "),
            "state": match config.state { 0 => "inert", 1 => "active", _ => "last_good" },
            "refused": config.refused,
            "problems": config.problems,
        })
    });
    json!({"url": proxy.url, "silent": proxy.silent, "configs": configs.collect::<Vec<_>>()})
}

fn flag(id: &FlagId, flag: &Flag<'_>, span: Option<Duration>) -> Value {
    let name = |code: &u64| known(*code).map_or_else(|| code.to_string(), |phase| phase.name().to_owned());
    let standings: BTreeMap<String, usize> =
        flag.standings.iter().map(|(code, proxies)| (name(code), *proxies)).collect();
    let rules = flag.rules.iter().map(|(number, rule)| {
        json!({"rule": number, "exposurePpm": rule.most, "leastExposurePpm": rule.least, "step": rule.step})
    });
    let share = |part: u64, of: u64| (of > 0).then(|| fraction(ppm(part, of), 10_000.0));
    let variants = flag.variants.iter().map(|(variant, one)| {
        json!({
            "variant": variant,
            "decisions": one.decisions(),
            "sharePercent": share(one.decisions(), flag.decisions()),
            "perSecond": span.map(|span| fraction(tenths(one.decisions(), span), 10.0)),
            "answers": one.answers(),
            "errors": one.errors(),
            "errorPercent": share(one.errors(), one.answers()),
            "p50Millis": one.percentile(50),
            "p99Millis": one.percentile(99),
            "reasons": one.reasons,
            "classes": one.classes,
        })
    });
    json!({
        "plugin": id.plugin,
        "flag": id.key,
        "killed": flag.about.map(|_| flag.killed > 0),
        "baseline": flag.about.map(|about| &about.baseline),
        "type": flag.about.map(|about| about.kind),
        "stage": flag.about.and_then(|about| about.stage),
        "owner": flag.about.and_then(|about| about.owner.as_ref()),
        "expires": flag.about.and_then(|about: &About| about.expires).map(moment),
        "lastEvent": flag.last.map(happened),
        "standing": flag.standings.keys().next_back().map(name),
        "standings": standings,
        "decided": flag.about.and_then(|about| about.stands.as_ref()).map(decided),
        "rules": rules.collect::<Vec<_>>(),
        "throttled": flag.throttled,
        "rescued": flag.rescued,
        "rollbacks": flag.rollbacks,
        "variants": variants.collect::<Vec<_>>(),
    })
}

/// What the config says that was decided about a flag.
fn decided(standing: &Standing) -> Value {
    let steps: BTreeMap<String, u8> = standing.steps.iter().map(|(rule, steps)| (rule.to_string(), *steps)).collect();
    json!({
        "phase": standing.phase.name(),
        "since": moment(standing.since),
        "why": standing.why.as_ref().map(Prose::as_str),
        "by": standing.by.as_ref().map(Prose::as_str),
        "steps": steps,
    })
}

fn happened(event: &Event) -> Value {
    let name = |code: u64| known(code).map_or_else(|| code.to_string(), |phase| phase.name().to_owned());
    let mut told = match &event.change {
        Change::Standing { flag, from, to } => {
            json!({"what": "standing", "flag": flag, "from": name(*from), "to": name(*to)})
        }
        Change::RolledBack { flag } => json!({"what": "rollback", "flag": flag}),
        Change::Revision { from, to } => json!({"what": "revision", "from": from, "to": to}),
        Change::Refused { problems } => json!({"what": "refused", "problems": problems}),
        Change::Silent(why) => json!({"what": "silent", "why": why}),
        Change::Back => json!({"what": "back"}),
        Change::Restarted => json!({"what": "restarted"}),
    };
    if let Some(told) = told.as_object_mut() {
        let side = |(variant, (answers, errors)): (&String, &(u64, u64))| json!({"variant": variant, "answers": answers, "errors": errors});
        if !event.evidence.is_empty() {
            told.insert("evidence".to_owned(), event.evidence.iter().map(side).collect());
        }
        told.insert("time".to_owned(), moment(event.at).into());
        told.insert("url".to_owned(), event.url.as_str().into());
        if let Some(plugin) = &event.plugin {
            told.insert("plugin".to_owned(), plugin.as_str().into());
        }
    }
    told
}
