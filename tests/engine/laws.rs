//! Holds the engine against the laws of its hash, over many identities, and against a naive reading of the rules.
//!
//! The statistics have fixed inputs: a failure is a change in the engine, never bad luck. Bounds are 4 sigma of a
//! fair draw.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::expect_used,
    clippy::float_arithmetic,
    clippy::float_cmp,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a law that is broken stops its test, with a message"
)]

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};
use tidegate_engine::decide::standing::Standing;
use tidegate_engine::decide::{Decision, Reason, Witness, decide, decide_before};
use tidegate_engine::plan::Plan;
use tidegate_engine::request::Request;
use tidegate_engine::value::hash::Salt;
use tidegate_engine::value::time::Timestamp;
use tidegate_proxy::metrics::series::Series;

const USERS: usize = 100_000;

fn plan(flags: &Value) -> Plan {
    let config = json!({"version": 1, "identity": [{"header": "x-user-id"}], "flags": flags}).to_string();
    let (compiled, problems) = Plan::from_bytes(config.as_bytes());
    compiled.ready().unwrap_or_else(|| panic!("{problems}"))
}

/// What each flag of a plan serves to a user.
fn served(plan: &Plan, user: &str) -> Vec<String> {
    let headers = [(":authority", "x"), (":path", "/"), (":method", "GET"), ("x-user-id", user)];
    let headers = headers.map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    let request = Request::new(plan.inputs(), headers.into_iter(), std::iter::empty());
    let decisions = decide(plan, &request, &Standing::NONE, Timestamp::from_millis(0));
    decisions.list().iter().map(|decision| decision.variant().name().to_string()).collect()
}

/// Five kinds of ids that systems really have.
fn user(n: usize) -> String {
    match n % 5 {
        0 => format!("user-{n}"),
        1 => format!("{n}"),
        2 => format!("jane.{n}@example.com"),
        3 => format!("10.{}.{}.{}", n / 65_536, n / 256 % 256, n % 256),
        _ => format!("{:08x}-0000-4000-8000-{:012x}", n * 2_654_435_761 % 4_294_967_296, n),
    }
}

fn on(plan: &Plan) -> Vec<Vec<bool>> {
    (0..USERS).map(|n| served(plan, &user(n)).iter().map(|variant| variant == "on").collect()).collect()
}

fn within_4_sigma(count: usize, of: usize, share: f64, what: &str) {
    let expected = of as f64 * share;
    let sigma = (expected * (1.0 - share)).sqrt();
    let off = (count as f64 - expected).abs() / sigma;
    assert!(off <= 4.0, "{what}: {count} of {of} at {share}, {off:.1} sigma off");
}

#[test]
fn each_share_takes_in_what_it_says_and_a_second_pass_takes_in_the_same() {
    let shares = [0.1, 1.0, 10.0, 50.0];
    for salt in ["a", "checkout", "new-nav", "2026-11"] {
        let flags: BTreeMap<String, Value> = shares
            .iter()
            .enumerate()
            .map(|(index, share)| {
                (
                    format!("f{index}"),
                    json!({"salt": format!("{salt}-{index}"), "rules": [{"percent": share, "serve": "on"}]}),
                )
            })
            .collect();
        let plan = plan(&json!(flags));
        let first = on(&plan);
        for (index, share) in shares.iter().enumerate() {
            let count = first.iter().filter(|flags| flags[index]).count();
            within_4_sigma(count, USERS, share / 100.0, &format!("{share} % with salt {salt}-{index}"));
        }
        assert!(first == on(&plan), "a second pass differs");
    }
}

#[test]
fn raising_a_share_never_takes_anyone_out() {
    let plans = [0.0, 1.0, 5.0, 25.0, 100.0]
        .map(|share| plan(&json!({"ramp": {"rules": [{"percent": share, "serve": "on"}]}})));
    let mut before = vec![false; USERS];
    let mut counts = Vec::new();
    for plan in &plans {
        let now: Vec<bool> = on(plan).into_iter().map(|flags| flags[0]).collect();
        let left = before.iter().zip(&now).filter(|(was, is)| **was && !**is).count();
        assert_eq!(left, 0, "users left");
        counts.push(now.iter().filter(|on| **on).count());
        before = now;
    }
    assert_eq!((counts[0], counts[4]), (0, USERS), "nobody at 0 %, everybody at 100 %");
}

#[test]
fn two_flags_share_one_in_a_hundred_users_and_one_salt_shares_all() {
    let plan = plan(&json!({
        "a": {"rules": [{"percent": 10, "serve": "on"}]},
        "b": {"rules": [{"percent": 10, "serve": "on"}]},
        "c": {"salt": "a", "rules": [{"percent": 10, "serve": "on"}]},
    }));
    let users = on(&plan);
    let both = |x: usize, y: usize| users.iter().filter(|flags| flags[x] && flags[y]).count();
    within_4_sigma(both(0, 1), USERS, 0.01, "overlap of a and b");
    assert_eq!(both(0, 2), users.iter().filter(|flags| flags[0]).count());
    assert_eq!(both(0, 2), users.iter().filter(|flags| flags[2]).count());
}

#[test]
fn a_split_inside_an_exposure_is_even() {
    let weights = json!([{"variant": "a", "weight": 1}, {"variant": "b", "weight": 1}, {"variant": "c", "weight": 1}]);
    let plan = plan(&json!({"split": {
        "variants": ["none", "a", "b", "c"], "baseline": "none", "rules": [{"percent": 10, "serve": weights}],
    }}));
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for n in 0..USERS {
        *counts.entry(served(&plan, &user(n)).remove(0)).or_default() += 1;
    }
    let exposed = USERS - counts["none"];
    within_4_sigma(exposed, USERS, 0.1, "exposed");
    for variant in ["a", "b", "c"] {
        within_4_sigma(counts[variant], exposed, 1.0 / 3.0, variant);
    }
}

#[test]
fn a_split_follows_its_weights() {
    let weights = json!([{"variant": "a", "weight": 1}, {"variant": "b", "weight": 0}, {"variant": "c", "weight": 9}]);
    let plan = plan(&json!({"split": {"variants": ["a", "b", "c"], "baseline": "b", "rules": [{"serve": weights}]}}));
    let served: Vec<String> = (0..USERS).map(|n| served(&plan, &user(n)).remove(0)).collect();
    let count = |variant: &str| served.iter().filter(|served| *served == variant).count();
    within_4_sigma(count("a"), USERS, 0.1, "a");
    assert_eq!(count("b"), 0);
}

/// The draws in 20 bins of equal size, for many salts: no salt is worse than a fair die would be.
#[test]
fn no_salt_is_lumpy() {
    let users: Vec<String> = (0..20_000).map(user).collect();
    for n in 0..40 {
        let salt = Salt::new(&format!("salt-{n}"));
        for half in [
            |salt: Salt, id: &str| salt.point(id.as_bytes()).exposure() / 50_000,
            |salt: Salt, id: &str| salt.point(id.as_bytes()).choice(20),
        ] {
            let mut bins = [0_u32; 20];
            for id in &users {
                bins[half(salt, id) as usize] += 1;
            }
            let chi: f64 = bins.iter().map(|count| (f64::from(*count) - 1_000.0).powi(2) / 1_000.0).sum();
            assert!(chi < 60.0, "salt-{n}: chi squared {chi:.1} with 19 degrees of freedom");
        }
    }
}

/// One changed bit of the identity changes half of the bits of the point.
#[test]
fn every_bit_of_an_identity_matters() {
    let salt = Salt::new("avalanche");
    let (mut changed, mut pairs) = (0_u64, 0_u64);
    for n in 0..2_000 {
        let id = user(n).into_bytes();
        for bit in 0..id.len() * 8 {
            let mut other = id.clone();
            other[bit / 8] ^= 1 << (bit % 8);
            changed += u64::from((salt.point(&id).bits() ^ salt.point(&other).bits()).count_ones());
            pairs += 1;
        }
    }
    let mean = changed as f64 / pairs as f64;
    assert!((31.5..32.5).contains(&mean), "{mean}");
}

/// A flag's rules, read as naively as the words allow, in floating point and with all look-ups by name.
fn naive(key: &str, flag: &Value, user: Option<&str>, country: Option<&str>) -> (String, Reason) {
    let baseline = flag["baseline"].as_str().unwrap().to_owned();
    if flag["kill"] == json!(true) {
        return (baseline, Reason::Killed);
    }
    let salt = flag["salt"].as_str().unwrap_or(key);
    let mut missed = false;
    for (place, rule) in flag["rules"].as_array().unwrap().iter().enumerate() {
        if let Some(wanted) = rule["when"]["equals"].as_str()
            && country != Some(wanted)
        {
            continue;
        }
        let percent = rule["percent"].as_f64().unwrap_or(100.0);
        let choices: Vec<(String, f64)> = match &rule["serve"] {
            Value::String(one) => vec![(one.clone(), 1.0)],
            list => list
                .as_array()
                .unwrap()
                .iter()
                .map(|part| (part["variant"].as_str().unwrap().into(), part["weight"].as_f64().unwrap()))
                .filter(|(_, weight)| *weight > 0.0)
                .collect(),
        };
        if percent == 0.0 {
            continue;
        }
        if percent == 100.0 && choices.len() == 1 {
            let reason = if place == 0 && rule["when"].is_null() { Reason::Static } else { Reason::TargetingMatch };
            return (choices[0].0.clone(), reason);
        }
        let Some(user) = user else {
            missed = true;
            continue;
        };
        let bits = Salt::new(salt).point(user.as_bytes()).bits();
        let place = ((bits >> 32) as f64 / 4_294_967_296.0 * 1_000_000.0).floor();
        if place >= (percent * 10_000.0).round() {
            continue;
        }
        let total: f64 = choices.iter().map(|(_, weight)| weight).sum();
        let choice = ((bits & 0xffff_ffff) as f64 / 4_294_967_296.0 * total).floor();
        let mut below = 0.0;
        for (variant, weight) in &choices {
            below += weight;
            if choice < below {
                return (variant.clone(), Reason::Split);
            }
        }
    }
    let reason = if flag["rules"] == json!([]) {
        Reason::Static
    } else if missed {
        Reason::NoIdentity
    } else {
        Reason::Default
    };
    (flag["default"].as_str().map_or(baseline, str::to_owned), reason)
}

fn variant() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["a", "b", "c"])
}

fn rule() -> impl Strategy<Value = Value> {
    let serve = prop_oneof![
        variant().prop_map(|variant| json!(variant)),
        prop::collection::vec((variant(), 0..5_u32), 1..4).prop_map(|mut parts| {
            parts[0].1 += 1;
            json!(
                parts.iter().map(|(variant, weight)| json!({"variant": variant, "weight": weight})).collect::<Vec<_>>()
            )
        }),
    ];
    let percent =
        prop_oneof![Just(0.0), Just(100.0), (0..=1_000_000_u32).prop_map(|parts| f64::from(parts) / 10_000.0)];
    let when = prop::option::of(prop::sample::select(vec!["DE", "FR"]));
    (when, prop::option::of(percent), serve).prop_map(|(when, percent, serve)| {
        let mut rule = json!({"serve": serve});
        if let Some(country) = when {
            rule["when"] = json!({"header": "x-country", "equals": country});
        }
        if let Some(percent) = percent {
            rule["percent"] = json!(percent);
        }
        rule
    })
}

fn flag() -> impl Strategy<Value = Value> {
    (
        variant(),
        prop::option::of(variant()),
        prop::bool::weighted(0.1),
        prop::option::of("[a-z]{1,8}"),
        prop::collection::vec(rule(), 0..5),
    )
        .prop_map(|(baseline, default, kill, salt, rules)| {
            let mut flag = json!({"variants": ["a", "b", "c"], "baseline": baseline, "kill": kill, "rules": rules});
            if let Some(default) = default {
                flag["default"] = json!(default);
            }
            if let Some(salt) = salt {
                flag["salt"] = json!(salt);
            }
            flag
        })
}

struct Watching;

impl Witness for Watching {}

/// A config as text with every map turned around and every number a double, as it arrives through a `Struct`.
fn turned_around(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let entries: Vec<String> =
                map.iter().rev().map(|(key, value)| format!("{}: {}", json!(key), turned_around(value))).collect();
            format!("{{{}}}", entries.join(", "))
        }
        Value::Array(list) => format!("[{}]", list.iter().map(turned_around).collect::<Vec<_>>().join(", ")),
        Value::Number(number) => format!("{:?}", number.as_f64().unwrap()),
        other => other.to_string(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_engine_decides_as_a_naive_reader_does(
        flags in prop::collection::btree_map("[a-z][a-z0-9-]{0,6}", flag(), 1..4),
        user in prop::option::of("[ -~]{1,20}"),
        country in prop::option::of(prop::sample::select(vec!["DE", "FR", "IT"])),
    ) {
        let plan = plan(&json!(flags));
        let user = user.as_deref().map(str::trim).filter(|user| !user.is_empty());
        let mut headers = vec![(&b":authority"[..], &b"x"[..]), (b":path", b"/"), (b":method", b"GET")];
        headers.extend(user.map(|user| (&b"x-user-id"[..], user.as_bytes())));
        headers.extend(country.map(|country| (&b"x-country"[..], country.as_bytes())));
        let request = Request::new(plan.inputs(), headers.into_iter(), std::iter::empty());
        let decisions = decide(&plan, &request, &Standing::NONE, Timestamp::from_millis(0));
        prop_assert_eq!(decisions.list().len(), flags.len());
        // What can be decided has a series to be counted in.
        let series = Series::new(&plan);
        let counted = |one: &&Decision<'_>| series.decision(one.place(), one.served(), one.reason()).is_some();
        prop_assert_eq!(decisions.list().iter().filter(counted).count(), flags.len());
        // Who watches sees the rules one by one, where most flags are decided by a shorter way.
        let watched = decide_before(&mut Watching, &plan, &request, &Standing::NONE, Timestamp::from_millis(0));
        prop_assert_eq!(format!("{:?}", decisions.list()), format!("{:?}", watched.list()));
        prop_assert_eq!(decisions.sources(), watched.sources());
        for (decision, (key, flag)) in decisions.list().iter().zip(&flags) {
            let (variant, reason) = naive(key, flag, user, country);
            prop_assert_eq!(decision.flag().key().as_str(), key);
            prop_assert_eq!((decision.variant().name().as_str(), decision.reason()), (variant.as_str(), reason), "{}", flag);
        }
    }

    #[test]
    fn each_flag_draws_by_its_own_salt_and_identity(kinds in prop::collection::vec(0..4_usize, 1..14), user in "[!-~]{1,40}") {
        let identities = ["x-user-id", "x-other", "x-absent"].map(|header| json!([{"header": header}]));
        let flag = |kind: &usize| match identities.get(*kind) {
            Some(identity) => json!({"identity": identity, "rules": [{"percent": 50, "serve": "on"}]}),
            None => json!({"rules": []}),
        };
        let keys = (0..kinds.len()).map(|n| format!("f{n:02}"));
        let flags: BTreeMap<String, Value> = keys.zip(kinds.iter().map(flag)).collect();
        let plan = plan(&json!(flags));
        let headers = [(&b":path"[..], &b"/"[..]), (b"x-user-id", user.as_bytes()), (b"x-other", b"other")];
        let request = Request::new(plan.inputs(), headers.into_iter(), std::iter::empty());
        let decisions = decide(&plan, &request, &Standing::NONE, Timestamp::from_millis(0));
        for ((decision, key), kind) in decisions.list().iter().zip(flags.keys()).zip(&kinds) {
            let identity = [Some(user.as_bytes()), Some(b"other"), None, None][*kind];
            let due = identity.map(|identity| Salt::new(key).point(identity).exposure());
            prop_assert_eq!(decision.exposure(), due, "{} of {:?}", key, kinds);
        }
    }

    #[test]
    fn raising_any_share_of_any_flag_moves_nobody_out(low in 0..=1_000_000_u32, more in 0..=1_000_000_u32, salt in "[a-z]{1,9}", user in "[!-~]{1,30}") {
        let high = (low + more).min(1_000_000);
        let flags = |parts: u32| json!({"f": {"salt": salt, "rules": [{"percent": f64::from(parts) / 10_000.0, "serve": "on"}]}});
        if served(&plan(&flags(low)), &user) == ["on"] {
            prop_assert_eq!(served(&plan(&flags(high)), &user), ["on"]);
        }
    }

    #[test]
    fn the_order_of_a_map_and_the_form_of_a_number_change_nothing(flags in prop::collection::btree_map("[a-z][a-z0-9-]{0,6}", flag(), 1..4)) {
        let one = plan(&json!(flags));
        let text = turned_around(&json!({"version": 1, "identity": [{"header": "x-user-id"}], "flags": flags}));
        let other = Plan::from_bytes(text.as_bytes()).0.ready().unwrap();
        prop_assert_eq!(one.fingerprint(), other.fingerprint());
    }
}
