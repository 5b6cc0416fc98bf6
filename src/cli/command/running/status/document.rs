//! Turns a state of the proxies into JSON for programs. Its names are stable: add, never rename.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::due::Due;
use super::state::{Flag, Proxy, State, Verdict};
use tidegate_analysis::words::time::moment;
use tidegate_engine::decide::standing::Phase;

pub(super) fn of(state: &State) -> Value {
    let reasons = match state.verdict(true) {
        Verdict::Done => Vec::new(),
        Verdict::Failed(reasons) | Verdict::Pending(reasons) => reasons,
    };
    json!({
        "time": moment(state.at),
        "ok": state.is_well(),
        "reasons": reasons,
        "due": state.due.iter().map(due).collect::<Vec<_>>(),
        "proxies": state.proxies.iter().map(proxy).collect::<Vec<_>>(),
        "flags": state.flags.iter().map(|((plugin, key), one)| flag(plugin, key, one)).collect::<Vec<_>>(),
    })
}

fn due(due: &Due) -> Value {
    let print = due.print.map(|print| format!("{print:012x}"));
    json!({"from": due.from.name(), "name": due.name, "revision": due.revision, "fingerprint": print})
}

fn proxy(proxy: &Proxy) -> Value {
    let configs = proxy.configs.iter().map(|(plugin, config)| {
        json!({
            "plugin": plugin,
            "revision": config.revisions.join(", "),
            "fingerprint": format!("{:012x}", config.fingerprint),
            "state": match config.state { 0 => "inert", 1 => "active", _ => "last_good" },
            "refused": config.refused,
            "problems": config.problems,
            "since": config.since,
        })
    });
    json!({
        "name": proxy.name,
        "silent": proxy.silent,
        "asDue": proxy.silent.is_none() && proxy.lacks.is_empty(),
        "configs": configs.collect::<Vec<_>>(),
    })
}

fn flag(plugin: &str, key: &str, flag: &Flag) -> Value {
    let name = |code: &u64| {
        let phase = u8::try_from(*code).ok().and_then(Phase::of_code);
        phase.map_or_else(|| code.to_string(), |phase| phase.name().to_owned())
    };
    let standings: BTreeMap<String, &Vec<String>> =
        flag.standings.iter().map(|(code, proxies)| (name(code), proxies)).collect();
    let rules = flag.rules.iter().map(|(number, rule)| {
        json!({
            "rule": number,
            "step": rule.step.map(|(_, most)| most),
            "leastStep": rule.step.map(|(least, _)| least),
            "exposurePpm": rule.share.1,
            "leastExposurePpm": rule.share.0,
        })
    });
    json!({"plugin": plugin, "flag": key, "proxies": flag.proxies, "standings": standings,
        "rules": rules.collect::<Vec<_>>()})
}
