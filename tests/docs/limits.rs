//! The limits of the reference: what is just within one is taken, and one more is answered by its name.

use crate::pages::page;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tidegate_engine::decide::standing::Standing;
use tidegate_engine::decide::{Reason, decide};
use tidegate_engine::output::effect::{self, Effect};
use tidegate_engine::plan::{Compiled, Plan};
use tidegate_engine::problem::Problems;
use tidegate_engine::value::time::Timestamp;

fn compile(text: &str) -> (Compiled, Problems) {
    Plan::from_bytes(text.as_bytes())
}

#[track_caller]
pub(crate) fn plan(config: &Value) -> Plan {
    let (compiled, problems) = compile(&config.to_string());
    compiled.ready().unwrap_or_else(|| panic!("{problems}"))
}

/// The variant and the reason of every flag for a request with these headers.
pub(crate) fn served(plan: &Plan, headers: &[(&str, &str)]) -> Vec<(String, Reason)> {
    let headers = headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    let request = tidegate_engine::request::Request::new(plan.inputs(), headers, std::iter::empty());
    let decisions = decide(plan, &request, &Standing::NONE, Timestamp::from_millis(0));
    decisions.list().iter().map(|decision| (decision.variant().name().to_string(), decision.reason())).collect()
}

/// The config that has just so many of what a row names.
fn at_limit(row: &str, n: usize) -> String {
    let flag = |flag: Value| json!({"version": 1, "flags": {"f": flag}});
    let rule = |rule: Value| flag(json!({"rules": [rule]}));
    let when = |when: Value| rule(json!({"when": when, "serve": "on"}));
    let numbered = |prefix: &str| -> Vec<String> { (0..n).map(|i| format!("{prefix}{i}")).collect() };
    let named = |value: &Value| -> Value { numbered("n").into_iter().map(|name| (name, value.clone())).collect() };
    let long = "a".repeat(n);
    let one = json!({"method": "GET"});
    let (guard, draws) = (json!({"errors": {"max": 5}}), json!({"percent": 1, "serve": "on"}));
    let config = match row {
        "the config" => return r#"{"version": 1}"#.to_owned() + &" ".repeat(n - 14),
        // Six levels lie around a condition and in it.
        "lists and maps inside each other" => when((6..n).fold(one, |inside, _| json!({"not": inside}))),
        "flags" => json!({"version": 1, "flags": named(&json!({}))}),
        "variants of a flag" => flag(json!({"variants": numbered("v"), "baseline": "v0"})),
        "rules of a flag" => flag(json!({"rules": vec![json!({"percent": 1, "serve": "on"}); n]})),
        "steps of a rule" => {
            let step = |i| json!({"at": format!("2026-12-01T09:{:02}:{:02}Z", i / 60, i % 60), "percent": 1});
            rule(json!({"steps": (0..n).map(step).collect::<Value>(), "serve": "on"}))
        }
        "parts of a weighted serve" => rule(json!({"serve": vec![json!({"variant": "on", "weight": 1}); n]})),
        "a weight" => rule(json!({"serve": [{"variant": "on", "weight": n}]})),
        "further headers of a variant" => {
            flag(json!({"variants": [{"name": "v", "headers": named(&json!("x"))}], "baseline": "v"}))
        }
        "hosts, paths, methods of a flag, each" => {
            flag(json!({"match": {"hosts": numbered("h"), "paths": numbered("/"), "methods": numbered("M")}}))
        }
        "segments" => json!({"version": 1, "segments": named(&one)}),
        "segments behind a segment, each naming the next" => {
            let chain = (0..n).map(|i| (format!("s{i}"), json!({"segment": format!("s{}", i + 1)})));
            json!({"version": 1, "segments": chain.chain([(format!("s{n}"), one)]).collect::<Value>()})
        }
        "conditions in one all or any" => when(json!({"all": [{"any": vec![one; n]}]})),
        "values of one in or cidr" => when(json!({"header": "h", "in": (0..n).collect::<Value>()})),
        "sources in a list" => json!({"version": 1, "identity": vec![json!({"peer": true}); n]}),
        "names in the path of a claim" => when(json!({"claim": numbered("c"), "exists": true})),
        "name of a flag, variant or segment" => json!({
            "version": 1,
            "segments": {long.clone(): one},
            "flags": {long.clone(): {"variants": [long], "baseline": long}},
        }),
        "name of a header, cookie or parameter; value of a header" => json!({
            "version": 1,
            "identity": [{"header": long}, {"cookie": long}, {"query": long}],
            "flags": {"f": {"header": format!("x{}", "b".repeat(n - 1)),
                            "variants": [{"name": "v", "value": long}], "baseline": "v"}},
        }),
        "value in a condition; path in paths" => flag(json!({
            "match": {"paths": [format!("/{}", "a".repeat(n - 1))]},
            "rules": [{"when": {"header": "h", "equals": long}, "serve": "on"}],
        })),
        "guards" => json!({"version": 1, "flags": named(&json!({"guard": guard, "rules": [draws]}))}),
        "rules that draw in a flag with a guard" => flag(json!({"guard": guard, "rules": vec![draws; n]})),
        "variants in them, rule by rule" => {
            let split: Value = numbered("v").into_iter().map(|v| json!({"variant": v, "weight": 1})).collect();
            let variants: Vec<String> = numbered("v").into_iter().chain(["base".to_owned()]).collect();
            flag(json!({"variants": variants, "baseline": "base", "guard": guard, "rules": [{"serve": split}]}))
        }
        "revision, owner, description, salt, rearm" => json!({
            "version": 1, "revision": long,
            "flags": {"f": {"owner": long, "description": long, "salt": long,
                            "rules": [draws], "guard": {"errors": {"max": 5}, "rearm": long}}},
        }),
        "maxAge" => json!({"version": 1, "identity": [{"generate": {"cookie": "c", "maxAge": format!("{n}d")}}]}),
        other => panic!("no test knows the limit of {other:?}"),
    };
    config.to_string()
}

/// `512 KiB`, `1,000 bytes` or `64` as a number.
fn number(cell: &str) -> usize {
    let (digits, unit) = cell.split_once(' ').unwrap_or((cell, ""));
    digits.replace(',', "").parse::<usize>().unwrap() * if unit == "KiB" { 1_024 } else { 1 }
}

#[test]
fn each_limit_of_a_config_is_where_it_is_said_to_be() {
    let rows = page("docs/reference.md").table("| what | at most |");
    assert!(rows.len() > 20, "rows have gone missing");
    for row in rows {
        if row[0].starts_with("CPU time") {
            // A sum of prices has no place at which one more is one too many.
            let drawing = |count: usize| {
                let flags: Value =
                    (0..count).map(|n| (format!("f{n}"), json!({"rules": [{"percent": 5, "serve": "on"}]}))).collect();
                compile(&json!({"version": 1, "identity": [{"header": "u"}], "flags": flags}).to_string())
            };
            assert!(drawing(500).0.ready().is_some());
            let over = drawing(1_000).1.to_string();
            assert!(over.contains(&row[1].replace(" µs", "")), "{over}");
            continue;
        }
        let (what, most) = (row[0].replace('`', ""), number(&row[1]));
        let (compiled, problems) = compile(&at_limit(&what, most));
        assert!(compiled.ready().is_some(), "{what}, {most}: {problems}");
        let over = compile(&at_limit(&what, most + 1)).1.to_string();
        let told = if what == "maxAge" { "ten years".to_owned() } else { most.to_string() };
        assert!(over.contains(&told), "{what}, {most} and one more: {over}");
    }
}

#[test]
fn from_four_fifths_of_a_limit_on_there_is_a_warning() {
    // That so many flags make too many series is another matter.
    let warnings = |config: &str| {
        let problems = compile(config).1;
        problems.warnings().iter().filter(|warning| !warning.to_string().contains("series of metrics")).count()
    };
    for (what, from) in [("flags", 800), ("variants of a flag", 52), ("rules of a flag", 80), ("the config", 419_431)] {
        assert_eq!(warnings(&at_limit(what, from - 1)), 0, "{what}");
        assert_eq!(warnings(&at_limit(what, from)), 1, "{what}");
    }
    assert_eq!(warnings(&at_limit("sources in a list", 16)), 0);
}

#[test]
fn each_limit_of_a_request_is_where_it_is_said_to_be() {
    let rows = page("docs/reference.md").table("| what | at most | beyond it |");
    let most: Vec<(&str, usize)> = rows.iter().map(|row| (row[0].trim_matches('`'), number(&row[1]))).collect();
    let limit = |begins: &str| {
        let row = most.iter().find(|(what, _)| what.starts_with(begins));
        row.unwrap_or_else(|| panic!("no row {begins}: {most:?}")).1
    };
    let (identity, token, header) = (limit("an identity"), limit("a bearer token"), limit("x-flags"));
    assert_eq!(most.len(), 7, "a row that no test knows: {most:?}");
    let draws = |source: Value| {
        let flag = json!({"rules": [{"serve": [{"variant": "on", "weight": 1}, {"variant": "off", "weight": 1}]}]});
        plan(&json!({"version": 1, "identity": [source], "flags": {"f": flag}}))
    };
    let reason = |plan: &Plan, name, value: &str| served(plan, &[(name, value)])[0].1;

    let plan_of_header = draws(json!({"header": "u"}));
    for (length, due) in [(1, Reason::Split), (identity, Reason::Split), (identity + 1, Reason::NoIdentity)] {
        assert_eq!(reason(&plan_of_header, "u", &"a".repeat(length)), due, "{length}");
    }
    let plan_of_claim = draws(json!({"unverifiedClaim": "sub"}));
    let start = format!("e30.{}.", URL_SAFE_NO_PAD.encode(r#"{"sub": "ana"}"#));
    for (length, due) in [(token, Reason::Split), (token + 1, Reason::NoIdentity)] {
        let value = format!("Bearer {start}{}", "a".repeat(length - start.len()));
        assert_eq!(reason(&plan_of_claim, "authorization", &value), due, "{length}");
    }

    let asks = |when: Value| plan(&json!({"version": 1, "flags": {"f": {"rules": [{"when": when, "serve": "on"}]}}}));
    let holds = |when: Value, name: &str, value: &str| served(&asks(when), &[(name, value)])[0].1 != Reason::Default;
    let value = limit("a value that conditions");
    for (length, due) in [(value, true), (value + 1, false)] {
        assert_eq!(holds(json!({"header": "h", "startsWith": "a"}), "h", &"a".repeat(length)), due, "{length}");
        assert!(holds(json!({"header": "h", "exists": true}), "h", &"a".repeat(length)), "{length}");
    }
    let digits = limit("a value for `number");
    for (length, due) in [(digits, true), (digits + 1, false)] {
        let version = format!("1.2.3+{}", "a".repeat(length - 6));
        assert_eq!(holds(json!({"header": "h", "semver": "^1.2"}), "h", &version), due, "{length}");
    }
    let cookies = limit("cookies, and query");
    for (before, due) in [(cookies - 1, true), (cookies, false)] {
        let pairs = |joined: &str| format!("{}last=1", format!("x=1{joined}").repeat(before));
        assert_eq!(holds(json!({"cookie": "last", "exists": true}), "cookie", &pairs("; ")), due, "{before}");
        assert_eq!(
            holds(json!({"query": "last", "exists": true}), ":path", &format!("/?{}", pairs("&"))),
            due,
            "{before}"
        );
    }

    let flags: Value = (0..200).map(|i| (format!("{}-{i:03}", "f".repeat(40)), json!({}))).collect();
    let plan = plan(&json!({"version": 1, "dictionary": true, "flags": flags}));
    let request = tidegate_engine::request::Request::new(plan.inputs(), std::iter::empty(), std::iter::empty());
    let decisions = decide(&plan, &request, &Standing::NONE, Timestamp::from_millis(0));
    let effects = effect::on_request(&plan, &request, &decisions);
    let written = effects.iter().find_map(|effect| match effect {
        Effect::Dictionary(text) => Some(text.as_str()),
        _ => None,
    });
    let (members, more) = written.unwrap().rsplit_once(", *more=").unwrap();
    assert!(members.len() <= header && header - members.len() < 60, "{}", members.len());
    assert_eq!(members.split(", ").count() + more.parse::<usize>().unwrap(), 200);
}
