//! What is to be written about a flag: turns what a judge tells of it, and what stands in the config, into the next
//! standing.
//!
//! Within a generation a flag only becomes more careful, whatever is told, and by anybody; the one exception is a step that
//! waits for the fleet, of a flag that runs, one at a time. Never reads a clock, and never judges a policy.

use tidegate_analysis::words::time::whole;
use tidegate_engine::config::standing::{Phase, Standing, merge};
use tidegate_engine::config::{Config, Exposure};
use tidegate_engine::plan::Plan;
use tidegate_engine::value::name::Prose;
use tidegate_engine::value::time::Timestamp;

use super::told::Flag;

/// The longest reason that an entry takes, in bytes.
const WHY: usize = 1_000;

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    Hold,
    RollBack,
    /// A ramp may take one more step.
    Grant {
        rule: u8,
        steps: u8,
    },
}

/// What is to be written about a flag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Act {
    pub flag: String,
    pub deed: Deed,
    pub entry: Standing,
}

impl Act {
    /// As a commit and an Event say it: `Roll back checkout`.
    #[must_use]
    pub fn verb(&self) -> &'static str {
        match self.deed {
            Deed::Hold => "Hold",
            Deed::RollBack => "Roll back",
            Deed::Grant { .. } => "Grant a step to",
        }
    }

    /// Why, as it stands in the entry.
    #[must_use]
    pub fn why(&self) -> &str {
        self.entry.why.as_ref().map_or("", Prose::as_str)
    }
}

/// What is to be written about the flag of this key, if anything; `granting` says whether steps may be granted.
///
/// The config is the one that would be changed. Where the judge has another generation of the flag in mind, it has not
/// seen this config yet, and what it says is not about it.
#[must_use]
pub fn next(
    key: &str,
    told: &Flag,
    config: &Config,
    plan: &Plan,
    granting: bool,
    now: Timestamp,
    by: &str,
) -> Option<Act> {
    let generation = plan.generation(config, key)?;
    if told.generation != generation {
        return None;
    }
    let stands = config.standing(key).filter(|entry| entry.is_of(generation));
    let act = |deed, entry| Some(Act { flag: key.to_owned(), deed, entry });
    if told.phase == Phase::Running {
        if !granting || told.blind.is_some() {
            return None;
        }
        let (rule, entry) = told.steps.iter().find_map(|(rule, steps)| {
            let entry = grant(key, *rule, *steps, config, stands, now)?;
            let entry = Standing { of: generation, why: prose(&well(told, *rule, &entry)), by: prose(by), ..entry };
            Some((*rule, entry))
        })?;
        let steps = entry.steps_of(rule).unwrap_or(0);
        return act(Deed::Grant { rule, steps }, entry);
    }
    if !told.is_judged || stands.is_some_and(|entry| entry.phase >= told.phase) {
        return None;
    }
    let steps = told.steps.iter().map(|(rule, steps)| (*rule, *steps)).collect();
    let since = whole(told.since);
    let new = Standing { of: generation, phase: told.phase, steps, since, why: prose(&told.why), by: prose(by) };
    let entry = match config.standing(key) {
        Some(known) => merge(generation, known.clone(), new),
        None => new,
    };
    act(if told.phase == Phase::Held { Deed::Hold } else { Deed::RollBack }, entry)
}

/// The entry that lets a rule take its next step, if that is one that waits for the fleet and that the judge allows.
fn grant(
    key: &str,
    rule: u8,
    steps: u8,
    config: &Config,
    stands: Option<&Standing>,
    now: Timestamp,
) -> Option<Standing> {
    let exposure = &config.flag(key)?.rules.get(usize::from(rule.checked_sub(1)?))?.exposure;
    let Exposure::Steps(all) = exposure else { return None };
    let before = exposure.cap(stands.map(|entry| (entry, rule)));
    // One at a time: what comes behind it is for the judge to look at once this one is taken.
    let due = steps.min(before.checked_add(1)?);
    if due <= before || all.get(usize::from(before))?.at > now {
        return None;
    }
    let begun = whole(now);
    let entry = stands.cloned().unwrap_or(Standing {
        of: 0,
        phase: Phase::Running,
        steps: Vec::new(),
        since: begun,
        why: None,
        by: None,
    });
    let entry = entry.granting(rule, due)?;
    // Where it waits for somebody else as well, there is nothing to be gained.
    (exposure.cap(Some((&entry, rule))) > before).then_some(entry)
}

/// Why a step is granted.
fn well(told: &Flag, rule: u8, entry: &Standing) -> String {
    let proxies = if told.proxies == 1 { "1 proxy".to_owned() } else { format!("{} proxies", told.proxies) };
    format!("rule {rule} may take step {}: well on {proxies}", entry.steps_of(rule).unwrap_or(0))
}

/// Text as an entry takes it: what it cannot hold is left out.
fn prose(text: &str) -> Option<Prose> {
    let plain: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let end = (0..=WHY.min(plain.len())).rev().find(|end| plain.is_char_boundary(*end))?;
    Prose::parse_some(plain.get(..end)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;
    use std::collections::BTreeMap;
    use tidegate_engine::problem::Problems;

    const NOW: i64 = 1_796_115_600_000;

    fn compile(standing: Option<&Standing>) -> (Config, Plan) {
        let step = |at: &str, percent: u8, requires: &str| json!({"at": at, "percent": percent, "requires": requires});
        let mut all = json!({"version": 1, "identity": [{"header": "x-user"}], "flags": {"checkout": {
        "variants": ["v1", "v2"], "baseline": "v1", "guard": {"errors": {"overBaseline": "2%"}},
        "rules": [{"serve": "v2", "steps": [
            step("2026-11-01T00:00:00Z", 1, "nothing"),
            step("2026-11-02T00:00:00Z", 5, "fleet"),
            step("2026-11-03T00:00:00Z", 25, "fleet"),
            step("2026-11-04T00:00:00Z", 50, "approval"),
            step("2099-11-05T00:00:00Z", 100, "fleet"),
        ]}]}}});
        if let Some(entry) = standing {
            let steps: BTreeMap<String, u8> =
                entry.steps.iter().map(|(rule, steps)| (rule.to_string(), *steps)).collect();
            all["standing"] = json!({"checkout": {"of": format!("{:016x}", entry.of), "phase": entry.phase.name(),
                "steps": steps, "since": "2026-11-20T00:00:00Z"}});
        }
        let mut problems = Problems::default();
        let config = Config::from_bytes(all.to_string().as_bytes(), &mut problems);
        let plan = Plan::compile(&config, &mut problems).ready().unwrap_or_else(|| panic!("{problems:?}"));
        (config, plan)
    }

    fn told(generation: u64, phase: Phase, steps: Option<u8>) -> Flag {
        let (since, why) = (Timestamp::from_millis(NOW - 9_500), "errors v2 50% over baseline 1%".to_owned());
        let steps = steps.map(|steps| (1, steps)).into_iter().collect();
        Flag { generation, phase, since, why, steps, is_judged: true, blind: None, proxies: 1_000 }
    }

    fn generation() -> u64 {
        let (config, plan) = compile(None);
        plan.generation(&config, "checkout").unwrap()
    }

    fn entry(of: u64, phase: Phase, steps: Option<u8>) -> Standing {
        let since = Timestamp::parse("2026-11-20T00:00:00Z").unwrap();
        let steps = steps.map(|steps| (1, steps)).into_iter().collect();
        Standing { of, phase, steps, since, why: None, by: None }
    }

    fn say(standing: Option<&Standing>, told: &Flag, granting: bool) -> Option<Act> {
        let (config, plan) = compile(standing);
        next("checkout", told, &config, &plan, granting, Timestamp::from_millis(NOW), "tidegate steer")
    }

    #[test]
    fn a_verdict_is_written_once() {
        let of = generation();
        let act = say(None, &told(of, Phase::RolledBack, Some(1)), false).unwrap();
        assert_eq!((act.deed, act.verb()), (Deed::RollBack, "Roll back"));
        assert_eq!(act.entry.since.millis(), NOW - 10_000);
        assert_eq!(act.why(), "errors v2 50% over baseline 1%");
        assert_eq!(say(Some(&act.entry), &told(of, Phase::RolledBack, Some(0)), true), None);
        // What the judge has from the config is not its own word.
        let from_config = Flag { is_judged: false, ..told(of, Phase::Held, None) };
        assert_eq!(say(None, &from_config, true), None);
        // And what it says of another flag than this one is nothing.
        assert_eq!(say(None, &told(of ^ 1, Phase::RolledBack, None), true), None);
    }

    #[test]
    fn a_void_entry_is_replaced() {
        let of = generation();
        let act = say(Some(&entry(7, Phase::RolledBack, Some(0))), &told(of, Phase::Held, Some(2)), true).unwrap();
        assert_eq!((act.deed, act.entry.of, &*act.entry.steps), (Deed::Hold, of, &[(1, 2)][..]));
        let act = say(Some(&entry(7, Phase::RolledBack, Some(0))), &told(of, Phase::Running, Some(2)), true).unwrap();
        assert_eq!((act.deed, act.entry.of), (Deed::Grant { rule: 1, steps: 2 }, of));
    }

    #[test]
    fn steps_are_granted_one_at_a_time_and_up_to_what_waits_for_somebody_else() {
        let of = generation();
        for (stands, allowed, due) in [
            (None, 0, None),
            (None, 1, None),
            (None, 2, Some(2)),
            (None, 5, Some(2)),
            (Some(2), 3, Some(3)),
            (Some(2), 2, None),
            // The fourth step waits for a person.
            (Some(3), 4, None),
        ] {
            let stands = stands.map(|steps| entry(of, Phase::Running, Some(steps)));
            let act = say(stands.as_ref(), &told(of, Phase::Running, Some(allowed)), true);
            let granted = act.map(|act| act.deed);
            assert_eq!(granted, due.map(|steps| Deed::Grant { rule: 1, steps }), "{stands:?} {allowed}");
        }
        let well = told(of, Phase::Running, Some(2));
        assert_eq!(say(None, &well, false), None, "not where the judge sees nothing");
        assert_eq!(say(None, &Flag { blind: Some("away".to_owned()), ..well.clone() }, true), None);
        for phase in [Phase::Held, Phase::RolledBack] {
            assert_eq!(say(Some(&entry(of, phase, Some(1))), &well, true), None, "{phase:?}");
        }
    }

    fn phases() -> impl Strategy<Value = Phase> {
        prop::sample::select(&Phase::ALL)
    }

    proptest! {
        #[test]
        fn nothing_is_relaxed_but_by_one_step_of_a_flag_that_runs(
            stands in prop::option::of((phases(), prop::option::of(0_u8..6), any::<bool>())),
            (phase, steps, granting, is_judged) in (phases(), prop::option::of(0_u8..7), any::<bool>(), any::<bool>()),
        ) {
            let of = generation();
            let stands = stands.map(|(phase, steps, current)| entry(if current { of } else { 7 }, phase, steps));
            let flag = Flag { is_judged, ..told(of, phase, steps) };
            if let Some(act) = say(stands.as_ref(), &flag, granting) {
                prop_assert_eq!(act.entry.of, of);
                if let Some(before) = stands.filter(|entry| entry.is_of(of)) {
                    prop_assert!(act.entry.phase >= before.phase);
                    let (is, was) = (act.entry.steps_of(1), before.steps_of(1));
                    match act.deed {
                        Deed::Grant { steps, .. } => {
                            prop_assert!(granting && before.phase == Phase::Running);
                            prop_assert!(was.is_none_or(|was| steps == was + 1));
                        }
                        _ => prop_assert!(was.is_none_or(|was| is.is_some_and(|is| is <= was))),
                    }
                }
            }
        }
    }
}
