//! Computes the share of everybody that each variant of a flag is served at a time.
//!
//! Rules with a condition do not count: they pick their users on purpose, and how many those are, no config says. They
//! are named as such. Reads no clock.

use crate::lint::logic;
use crate::parts::{baseline, variants};
use tidegate_engine::config::{Config, Flag, Rule, Serve};
use tidegate_engine::value::share::Ppm;

/// Who is served what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shares {
    /// By variant, in the order of the config; together they are everybody.
    pub variants: Vec<(String, Ppm)>,
    /// How many rules serve another variant than the baseline to those who fit a condition.
    pub conditions: usize,
}

impl Shares {
    /// Everybody gets the baseline.
    pub fn safe(flag: &Flag) -> Self {
        let mut shares = Self::none(flag);
        shares.add(baseline(flag), Ppm::FULL.parts());
        shares
    }

    /// The shares at exposures of the rules that are said by their places.
    ///
    /// All rules of a flag use the same draw: a rule adds only the users that no smaller share before it has taken.
    pub fn of(config: &Config, flag: &Flag, exposure: &dyn Fn(usize, &Rule) -> Ppm) -> Self {
        if flag.kill {
            return Self::safe(flag);
        }
        let mut shares = Self::none(flag);
        let mut taken = 0;
        for (place, rule) in flag.rules.iter().enumerate() {
            let share = exposure(place, rule).parts();
            if logic::takes_all(config, flag, rule) {
                shares.serve(&rule.serve, share.saturating_sub(taken));
                taken = taken.max(share);
            } else if share > 0 && taken < Ppm::FULL.parts() && leaves(flag, &rule.serve) {
                shares.conditions += 1;
            }
        }
        let default = flag.default.as_ref().map_or_else(|| baseline(flag), |name| name.as_str());
        shares.add(default, Ppm::FULL.parts().saturating_sub(taken));
        shares
    }

    fn none(flag: &Flag) -> Self {
        let variants = variants(flag).into_iter().map(|(name, _)| (name, Ppm::NONE)).collect();
        Self { variants, conditions: 0 }
    }

    fn add(&mut self, name: &str, parts: u32) {
        if let Some((_, share)) = self.variants.iter_mut().find(|(known, _)| known == name) {
            *share = Ppm::of(share.parts().saturating_add(parts));
        }
    }

    fn serve(&mut self, serve: &Serve, parts: u32) {
        let splits = match serve {
            Serve::One(name) => return self.add(name.as_str(), parts),
            Serve::Split(splits) => splits,
        };
        let total: u64 = splits.iter().map(|split| u64::from(split.weight)).sum();
        let (mut sum, mut given) = (0_u64, 0_u32);
        for split in splits {
            // Cut off at the sum, so that nothing is lost between two.
            sum += u64::from(split.weight);
            let upto = u64::from(parts).saturating_mul(sum).checked_div(total).unwrap_or_default();
            let upto = u32::try_from(upto).unwrap_or(parts);
            self.add(split.variant.as_str(), upto.saturating_sub(given));
            given = upto;
        }
    }

    /// The share that does not get this variant.
    pub fn away(&self, baseline: &str) -> Ppm {
        let away = self.variants.iter().filter(|(name, _)| name != baseline);
        Ppm::of(away.map(|(_, share)| share.parts()).sum())
    }
}

/// Whether any variant but the baseline is served.
fn leaves(flag: &Flag, serve: &Serve) -> bool {
    let safe = baseline(flag);
    match serve {
        Serve::One(name) => name.as_str() != safe,
        Serve::Split(splits) => splits.iter().any(|split| split.weight > 0 && split.variant.as_str() != safe),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on stops")]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::request::{Identities, RequestSpec, Sender};
    use tidegate_engine::decide::decide;
    use tidegate_engine::decide::standing::Standing;
    use tidegate_engine::plan::Plan;
    use tidegate_engine::problem::Problems;
    use tidegate_engine::value::time::Timestamp;

    const NAMES: [&str; 3] = ["a", "b", "c"];
    const USERS: u32 = 2_000;

    fn serve() -> impl Strategy<Value = Value> {
        let one = (0..3_usize).prop_map(|place| json!(NAMES[place]));
        let some = (1..9_u32, 0..9_u32)
            .prop_map(|(one, two)| json!([{"variant": "b", "weight": one}, {"variant": "c", "weight": two}]));
        prop_oneof![one, some]
    }

    fn rule() -> impl Strategy<Value = Value> {
        let fixed = (0..=100_u32, serve()).prop_map(|(percent, serve)| json!({"percent": percent, "serve": serve}));
        let ramp = (0..=50_u32, 0..=50_u32, serve()).prop_map(|(one, more, serve)| {
            json!({"steps": [{"at": "2026-01-01T00:00:00Z", "percent": one},
                {"at": "2026-03-01T00:00:00Z", "percent": one + more}], "serve": serve})
        });
        prop_oneof![fixed, ramp]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// What is computed is what the engine decides.
        #[test]
        fn shares_are_those_of_the_engine(
            rules in prop::collection::vec(rule(), 0..4), default in 0..3_usize, kill in any::<bool>(), month in 1..5_u32,
        ) {
            let text = json!({"version": 1, "identity": [{"header": "x-user"}], "flags": {"f": {
                "variants": NAMES, "baseline": "a", "default": NAMES[default], "rules": rules, "kill": kill,
            }}});
            let mut problems = Problems::default();
            let config = Config::from_bytes(text.to_string().as_bytes(), &mut problems);
            let plan = Plan::compile(&config, &mut problems).ready().unwrap();
            let now = Timestamp::parse_date(&format!("2026-0{month}-10")).unwrap();
            let flag = config.flag("f").unwrap();
            let shares = Shares::of(&config, flag, &|_, rule| rule.exposure.share_at(now));
            let mut counts: BTreeMap<String, u32> = BTreeMap::new();
            let mut sender = Sender::connected(&RequestSpec::new("GET", "localhost", "/"), &plan);
            let ids = Identities::Sampled(USERS);
            for place in 0..usize::try_from(USERS).unwrap() {
                let request = sender.send_as(&ids.id(place)).seen(plan.inputs());
                let decisions = decide(&plan, &request, &Standing::NONE, now);
                *counts.entry(decisions.list()[0].variant().name().to_string()).or_default() += 1;
            }
            prop_assert_eq!(shares.variants.iter().map(|(_, share)| share.parts()).sum::<u32>(), 1_000_000);
            for (name, share) in &shares.variants {
                let counted = counts.get(name).copied().unwrap_or_default() * (1_000_000 / USERS);
                // Five times the deviation of a half, and nothing at all where there is nothing.
                prop_assert!(counted.abs_diff(share.parts()) < 56_000, "{name}: {counted} of {share} in {text}");
                prop_assert!(share.parts() > 0 || counted == 0, "{name}: {counted} of {share} in {text}");
            }
        }
    }

    #[test]
    fn rules_with_a_condition_are_named_and_not_counted() {
        let text = json!({"version": 1, "flags": {"f": {"rules": [
            {"when": {"header": "x-staff", "equals": "1"}, "serve": "on"},
            {"when": {"header": "x-staff", "equals": "2"}, "serve": "off"},
            {"when": {"any": [{"header": "x", "exists": true}, {"header": "x", "exists": false}]}, "percent": 25, "serve": "on"},
            {"when": {"header": "x-staff", "equals": "3"}, "percent": 0, "serve": "on"},
        ]}}});
        let config = Config::from_bytes(text.to_string().as_bytes(), &mut Problems::default());
        let shares = Shares::of(&config, config.flag("f").unwrap(), &|_, rule| {
            rule.exposure.share_at(Timestamp::from_millis(0))
        });
        let on = shares.variants.iter().find(|(name, _)| name == "on").unwrap();
        assert_eq!((on.1, shares.conditions, shares.away("off")), (Ppm::of(250_000), 1, Ppm::of(250_000)));
    }
}
