//! Holds what the config says was decided about flags to its laws: it never gives anybody more, and of two entries the
//! more careful one wins, in any order.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a law that is broken stops its test, with a message"
)]

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};
use tidegate_engine::config::Config;
use tidegate_engine::config::standing::{Phase, Standing, merge};
use tidegate_engine::decide::standing::{FlagStanding, Standing as Guards};
use tidegate_engine::decide::{Reason, decide};
use tidegate_engine::plan::Plan;
use tidegate_engine::problem::Problems;
use tidegate_engine::request::Request;
use tidegate_engine::value::name::Prose;
use tidegate_engine::value::time::Timestamp;

/// The generation of which entries are made; its flag is `held`.
const OTHER: u64 = 7;
const BEGINS: i64 = 1_800_000_000_000;

fn at(hours: i64) -> Timestamp {
    Timestamp::from_millis(BEGINS + hours * 3_600_000)
}

fn text(at: Timestamp) -> String {
    let hours = (at.millis() - BEGINS) / 3_600_000;
    // 2027-01-15T08:00:00Z and so many hours.
    format!("2027-01-{:02}T{:02}:00:00Z", 15 + (8 + hours) / 24, (8 + hours) % 24)
}

fn flag(guarded: bool, requires: &[Value], percents: &[u32; 4]) -> Value {
    let steps: Vec<Value> = (0_i64..)
        .zip(0..4)
        .map(|(hours, step): (i64, usize)| {
            let mut one = json!({"at": text(at(hours * 4)), "percent": percents[step]});
            if let Some(requires) = requires.get(step).filter(|requires| !requires.is_null()) {
                one["requires"] = requires.clone();
            }
            one
        })
        .collect();
    let mut flag = json!({"rules": [
        {"when": {"header": "x-staff", "exists": true}, "serve": "on"},
        {"steps": steps, "serve": "on"},
        {"percent": 30, "serve": "on"},
    ]});
    if guarded {
        flag["guard"] = json!({"errors": {"max": 5}});
    }
    flag
}

fn config(flag: &Value, entry: Option<&Standing>) -> Value {
    let mut config = json!({"version": 1, "identity": [{"header": "x-user"}], "flags": {"f": flag}});
    if let Some(Standing { of, phase, steps, since, why, by }) = entry {
        let steps: BTreeMap<String, u8> = steps.iter().map(|(rule, steps)| (rule.to_string(), *steps)).collect();
        config["standing"] = json!({"f": {
            "of": format!("{of:016x}"), "phase": phase.name(), "steps": steps, "since": text(*since),
            "why": why.as_ref().map_or("", |text| text.as_str()), "by": by.as_ref().map_or("", |text| text.as_str()),
        }});
    }
    config
}

fn compile(config: &Value) -> (Config, Plan) {
    let mut problems = Problems::default();
    let config = Config::from_bytes(config.to_string().as_bytes(), &mut problems);
    let plan = Plan::compile(&config, &mut problems).ready().unwrap_or_else(|| panic!("{problems}"));
    (config, plan)
}

/// For a hundred users, every second one of them of the staff: whether each gets something else than the baseline.
fn away(plan: &Plan, guards: &Guards, now: Timestamp) -> Vec<bool> {
    let user = |number: usize| {
        let name = format!("user-{number}");
        let mut headers = vec![(":path", "/"), ("x-user", name.as_str())];
        headers.extend(number.is_multiple_of(2).then_some(("x-staff", "1")));
        let headers: Vec<(&[u8], &[u8])> = headers.iter().map(|(k, v)| (k.as_bytes(), v.as_bytes())).collect();
        let request = Request::new(plan.inputs(), headers.into_iter(), plan.inputs().properties().map(|_| None));
        let decisions = decide(plan, &request, guards, now);
        let one = &decisions.list()[0];
        assert_eq!(one.reason() == Reason::RolledBack, one.flag().is_back(), "the reason says who decided");
        one.variant().name().as_str() == "on"
    };
    (0..100).map(user).collect()
}

fn within(less: &[bool], more: &[bool]) -> bool {
    less.iter().zip(more).all(|(less, more)| !less || *more)
}

fn entry(of: impl Strategy<Value = u64>) -> impl Strategy<Value = Standing> {
    let prose = || prop::option::of(prop::sample::select(vec!["a", "b"]));
    let steps = prop::collection::btree_map(1_u8..4, 0_u8..5, 0..3);
    (of, prop::sample::select(&Phase::ALL[..]), steps, 0_i64..16, prose(), prose()).prop_map(
        |(of, phase, steps, since, why, by)| {
            let prose = |text: Option<&str>| text.map(|text| Prose::parse(text).unwrap());
            Standing { of, phase, steps: steps.into_iter().collect(), since: at(since), why: prose(why), by: prose(by) }
        },
    )
}

fn requires(fleet: bool) -> impl Strategy<Value = Vec<Value>> {
    let mut words = vec![json!(null), json!("approval")];
    if fleet {
        words.extend([json!("fleet"), json!({"ready": 3}), json!(["fleet", "approval"])]);
    }
    prop::collection::vec(prop::sample::select(words), 4)
}

const PERCENTS: [u32; 4] = [5, 20, 60, 100];

#[test]
fn a_generation_is_that_of_the_guard_and_of_no_standing_or_approval() {
    let guarded = flag(true, &[json!(null), json!("approval")], &PERCENTS);
    let (read, plan) = compile(&config(&guarded, None));
    let generation = plan.generation(&read, "f").unwrap();
    assert_eq!(*plan.watches()[0].key, format!("guard/f/{generation:016x}"));
    assert_eq!(plan.generation(&read, "g"), None);
    let held = Standing { of: generation, phase: Phase::Held, steps: Vec::new(), since: at(0), why: None, by: None };
    let mut approved = guarded.clone();
    approved["rules"][1]["steps"][1]["approved"] = json!("ana");
    let mut seen = vec![plan.fingerprint()];
    for (flag, entry) in [(&guarded, Some(&held)), (&approved, None), (&approved, Some(&held))] {
        let (read, plan) = compile(&config(flag, entry));
        assert_eq!(plan.generation(&read, "f"), Some(generation));
        assert!(!seen.contains(&plan.fingerprint()), "the fingerprint tells them apart");
        seen.push(plan.fingerprint());
    }
    // What a step waits for is what the flag serves.
    let mut fleet = guarded;
    fleet["rules"][1]["steps"][1]["requires"] = json!(["approval", "fleet"]);
    let (read, plan) = compile(&config(&fleet, None));
    assert_ne!(plan.generation(&read, "f"), Some(generation));
}

#[test]
fn a_step_is_granted_to_a_flag_that_runs_and_none_is_taken_away() {
    let entry = |phase| Standing { of: 1, phase, steps: vec![(2, 3)], since: at(0), why: None, by: None };
    assert_eq!(entry(Phase::Running).granting(2, 4).unwrap().steps, [(2, 4)]);
    assert_eq!(entry(Phase::Running).granting(2, 1).unwrap().steps, [(2, 3)]);
    assert_eq!(entry(Phase::Running).granting(1, 1).unwrap().steps, [(1, 1), (2, 3)]);
    assert_eq!(entry(Phase::Held).granting(2, 4), None);
    assert_eq!(entry(Phase::RolledBack).granting(2, 4), None);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn with_a_standing_nobody_gets_more(
        guarded in any::<bool>(), requires in requires(true), mut entry in entry(Just(0)), now in -1_i64..20,
    ) {
        let flag_of = |requires: &[Value]| flag(guarded, requires, &PERCENTS);
        let flag = flag_of(&requires);
        let (read, without) = compile(&config(&flag, None));
        entry.of = plan_generation(&without, &read);
        let (_, with) = compile(&config(&flag, Some(&entry)));
        let now = at(now);
        // A step that waits for the fleet is taken by its standing, and then no more is taken than by the clock.
        let free: Vec<Value> = requires.iter().map(|one| {
            if one.as_str() == Some("approval") || one.is_array() { json!("approval") } else { json!(null) }
        }).collect();
        let (_, clock) = compile(&config(&flag_of(&free), None));
        let (more, less) = (away(&clock, &Guards::NONE, now), away(&with, &Guards::NONE, now));
        prop_assert!(within(&less, &more));
        if requires.iter().all(|one| one.is_null() || one == "approval") {
            prop_assert!(within(&less, &away(&without, &Guards::NONE, now)));
        }
        if entry.phase == Phase::RolledBack {
            prop_assert!(less.iter().all(|away| !away));
        }
        let (rule, free) = (&with.flags()[0].rules[1], &clock.flags()[0].rules[1]);
        prop_assert!(with.flags()[0].exposure(rule, now, &FlagStanding::FREE)
            <= clock.flags()[0].exposure(free, now, &FlagStanding::FREE));
        // What a guard has decided is taken into account beside it.
        let guard = Guards::new(vec![FlagStanding { steps: [1; 8], ..FlagStanding::FREE }]);
        let both = away(&with, &guard, now);
        prop_assert!(within(&both, &less) && within(&both, &away(&without, &guard, now)) || !guarded
            || requires.iter().any(|one| !one.is_null() && one != "approval"));
        // Of another generation it says nothing.
        entry.of ^= 1;
        let (_, void) = compile(&config(&flag, Some(&entry)));
        prop_assert_eq!(away(&void, &Guards::NONE, now), away(&without, &Guards::NONE, now));
    }

    #[test]
    fn the_more_careful_wins(
        one in entry(prop::sample::select(vec![1, OTHER])), two in entry(prop::sample::select(vec![1, OTHER])),
        three in entry(prop::sample::select(vec![1, OTHER, 9])), now in 0_i64..20,
    ) {
        let merged = |one: &Standing, two: &Standing| merge(1, one.clone(), two.clone());
        let both = merged(&one, &two);
        prop_assert_eq!(&both, &merged(&two, &one));
        prop_assert_eq!(&merged(&one, &one), &one);
        prop_assert_eq!(&merged(&both, &one), &both);
        prop_assert_eq!(merged(&both, &three), merged(&one, &merged(&two, &three)));
        for part in [&one, &two] {
            if part.of == 1 {
                prop_assert!(both.of == 1 && both.phase >= part.phase);
                prop_assert!(part.steps.iter().all(|(rule, steps)| both.steps_of(*rule).is_some_and(|both| both <= *steps)));
            }
        }
        // In a proxy, too: nobody gets more by the merged entry than by either, and by a more careful entry merged with
        // a third nobody gets more than by the other one merged with it.
        let flag = flag(false, &[], &PERCENTS);
        let (read, plan) = compile(&config(&flag, None));
        let generation = plan_generation(&plan, &read);
        let of = |entry: &Standing| Standing { of: generation, ..entry.clone() };
        let (one, two, three) = (of(&one), of(&two), of(&three));
        let merged = |one: &Standing, two: &Standing| merge(generation, one.clone(), two.clone());
        let gets = |entry: &Standing| away(&compile(&config(&flag, Some(entry))).1, &Guards::NONE, at(now));
        let both = merged(&one, &two);
        prop_assert!(within(&gets(&both), &gets(&one)) && within(&gets(&both), &gets(&two)));
        prop_assert!(within(&gets(&merged(&both, &three)), &gets(&merged(&one, &three))));
    }

    #[test]
    fn more_is_granted_by_nothing_else_than_a_step(
        guarded in any::<bool>(), requires in requires(true), steps in 0_u8..5, now in -1_i64..20,
    ) {
        let flag = flag(guarded, &requires, &PERCENTS);
        let (read, plan) = compile(&config(&flag, None));
        let of = plan_generation(&plan, &read);
        let running = Standing { of, phase: Phase::Running, steps: vec![(2, steps)], since: at(0), why: None, by: None };
        let granted = running.clone().granting(2, steps.saturating_add(1)).unwrap();
        let gets = |entry: &Standing| away(&compile(&config(&flag, Some(entry))).1, &Guards::NONE, at(now));
        prop_assert!(within(&gets(&running), &gets(&granted)));
    }
}

fn plan_generation(plan: &Plan, config: &Config) -> u64 {
    plan.generation(config, "f").expect("the flag is there")
}
