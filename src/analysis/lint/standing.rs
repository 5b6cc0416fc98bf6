//! Finds what was decided about a flag that is not this one any more, and steps of rules that have none.
//!
//! Such an entry does nothing, and whoever reads the config may think that it does. Never looks at a clock.

use super::Finding;
use crate::source::Severity;
use crate::words::number::count;
use tidegate_engine::config::standing::Standing;
use tidegate_engine::config::{Config, Exposure, Flag};
use tidegate_engine::plan::Plan;
use tidegate_engine::problem::FieldPath;

/// All that is found in the standing of a config, and of the plan that was made of it.
pub fn all(config: &Config, plan: &Plan) -> Vec<Finding> {
    let mut found = Vec::new();
    for (key, standing) in &config.standing {
        let key = key.as_str();
        let Some((flag, generation)) = config.flag(key).zip(plan.generation(config, key)) else { continue };
        if standing.is_of(generation) {
            found.extend(steps(key, standing, flag));
        } else {
            found.push(void(key, generation));
        }
    }
    found
}

fn void(key: &str, generation: u64) -> Finding {
    let at = FieldPath::ROOT.key("standing").key(key).key("of").to_string();
    let message =
        format!("is not the generation of the flag, {generation:016x}: the flag has changed, and this is void");
    let help = format!("remove standing.{key}, which was decided about what the flag served before");
    Finding::of_path(Severity::Warning, "void-standing", at, false, message).with_help(Some(help))
}

fn steps(key: &str, standing: &Standing, flag: &Flag) -> Vec<Finding> {
    let of = |rule: u8| flag.rules.get(usize::from(rule).checked_sub(1)?);
    let ramps = |rule: u8| of(rule).is_some_and(|rule| matches!(rule.exposure, Exposure::Steps(_)));
    let idle = standing.steps.iter().map(|(rule, _)| *rule).filter(|rule| !ramps(*rule));
    let finding = |rule: u8| {
        let name = rule.to_string();
        let at = FieldPath::ROOT.key("standing").key(key).key("steps").key(&name).to_string();
        let message = match of(rule) {
            Some(_) => format!("has no effect: rule {rule} of the flag has no steps"),
            None => format!("has no effect: the flag has {}", count(flag.rules.len(), "rule")),
        };
        Finding::of_path(Severity::Warning, "no-steps", at, true, message)
    };
    idle.map(finding).collect()
}
