//! Finds what breaks a policy in a config, or in a change from one config to another.
//!
//! Steps in the past are not judged: they cannot be changed. Time is an argument. Never reads a file.

use std::collections::BTreeSet;

use super::format::{Needed, Policy};
use super::freeze::Freeze;
use crate::lint::exposure::{away, everybody, times};
use crate::lint::{Finding, logic};
use crate::parts::{baseline, conditions_of, decides_as, only_variant, salt, segments_of, sources};
use crate::source::Severity;
use crate::source::diagnostic::nearest;
use crate::words::number::count;
use crate::words::{self, time};
use tidegate_engine::config::standing::{Phase, Standing};
use tidegate_engine::config::{Config, Exposure, Flag, Match, Rule, Step};
use tidegate_engine::value::name::FlagKey;
use tidegate_engine::value::search::glob;
use tidegate_engine::value::share::Ppm;
use tidegate_engine::value::time::{Span, Timestamp};

/// The findings of a policy in a config.
pub fn judge(policy: &Policy, config: &Config, now: Timestamp) -> Vec<Finding> {
    let mut found = Vec::new();
    for (key, flag) in &config.flags {
        let review = FlagReview { policy, config, key, flag, now };
        found.extend(review.name());
        found.extend(review.required());
        found.extend(review.owner());
        found.extend(review.life());
        found.extend(review.stage());
        found.extend(review.steps());
    }
    found.into_iter().map(mended).collect()
}

/// A finding with what to do about it.
fn mended(finding: Finding) -> Finding {
    let help = match finding.code {
        "policy/freeze" => "move it in front of the freeze or behind it; a kill and lower shares are allowed meanwhile",
        "policy/name" => "give the flag a name of this form: salt: and its old name keep the draws as they are",
        "policy/required" => "add what is missing to the flag",
        "policy/owner" => "name one of the owners of the policy, or add this one to them",
        "policy/life" => "write a date within that time: expires: \"2027-03-01\"",
        "policy/stage" => "lower the share, or raise the stage once the flag has proven itself",
        "policy/step" => "put a step in between: steps: [{at: \"2026-12-01T09:00:00Z\", percent: 10}]",
        _ => return finding,
    };
    let help = finding.help.clone().or_else(|| Some(help.to_owned()));
    finding.with_help(help)
}

/// What in a change from one config to another breaks a policy, if it is made now: shares that rise by more than the
/// largest step, and changes in a freeze. What the new config breaks by itself is found by [`judge`].
///
/// In a freeze, a flag may still be killed, and shares may be lowered: both lead back to what was safe.
pub fn judge_change(policy: &Policy, old: &Config, new: &Config, now: Timestamp) -> Vec<Finding> {
    let mut found = Vec::new();
    for (key, flag) in &new.flags {
        let before = old.flag(key.as_str());
        let review = FlagReview { policy, config: new, key, flag, now };
        if let Some(freeze) = review.freeze(now) {
            let what = match before {
                None => Some("is new"),
                Some(before) if decides_as(key, (old, before), (new, flag)) => None,
                Some(before) if review.only_goes_back((old, before)) => None,
                Some(_) => Some("changes"),
            };
            found.extend(what.map(|what| review.whole("policy/freeze", format!("{what} in a freeze: {freeze}"))));
        }
        found.extend(review.rise(old, before));
    }
    for (key, flag) in &old.flags {
        let review = FlagReview { policy, config: old, key, flag, now };
        if new.flag(key.as_str()).is_none()
            && let Some(freeze) = review.freeze(now)
        {
            found.push(review.whole("policy/freeze", format!("is removed in a freeze: {freeze}")));
        }
    }
    found.into_iter().map(mended).collect()
}

/// A share as a number of percent points.
fn points(share: Ppm) -> String {
    let text = share.to_string();
    let number = text.trim_end_matches('%');
    format!("{number} percentage point{}", if number == "1" { "" } else { "s" })
}

/// By how much one share is above another.
fn above(share: Ppm, other: Ppm) -> Ppm {
    Ppm::of(share.parts().saturating_sub(other.parts()))
}

/// A length of time in days, where it is of whole ones, or in hours, rounded up.
fn length(millis: u64) -> String {
    const HOUR: u64 = 3_600_000;
    let hours = millis.div_ceil(HOUR);
    let (number, what) = if hours.is_multiple_of(24) { (hours.div_euclid(24), "day") } else { (hours, "hour") };
    count(usize::try_from(number).unwrap_or(usize::MAX), what)
}

#[derive(Clone, Copy)]
struct FlagReview<'c> {
    policy: &'c Policy,
    config: &'c Config,
    key: &'c FlagKey,
    flag: &'c Flag,
    now: Timestamp,
}

impl<'c> FlagReview<'c> {
    fn at(self, code: &'static str, field: &str, message: String) -> Finding {
        Finding::of_field(Severity::Error, code, self.key.as_str(), field, message)
    }

    fn whole(self, code: &'static str, message: String) -> Finding {
        Finding::of_flag(Severity::Error, code, self.key.as_str(), message)
    }

    fn name(self) -> Option<Finding> {
        let patterns = self.policy.names.nearest(self.flag.kind)?;
        let fits = |pattern: &str| glob(pattern.as_bytes(), self.key.as_str().as_bytes());
        if patterns.iter().any(|pattern| fits(pattern)) {
            return None;
        }
        let type_is = words::kind(self.flag.kind);
        let message = format!("is of type {type_is}, whose keys must look like {}", patterns.join(" or "));
        Some(self.whole("policy/name", message))
    }

    fn required(self) -> Option<Finding> {
        let needed: BTreeSet<Needed> = self.policy.required.both(self.flag.kind).flatten().copied().collect();
        let missing: Vec<&str> = needed.into_iter().filter(|field| !self.has(*field)).map(Needed::name).collect();
        (!missing.is_empty()).then(|| {
            let message =
                format!("must have {}, because it is of type {}", missing.join(", "), words::kind(self.flag.kind));
            self.whole("policy/required", message)
        })
    }

    fn has(self, field: Needed) -> bool {
        let Flag { stage, owner, description, created, expires, matches, salt, identity, guard, .. } = self.flag;
        let says = |prose: &Option<tidegate_engine::value::name::Prose>| {
            prose.as_ref().is_some_and(|text| !text.as_str().trim().is_empty())
        };
        match field {
            Needed::Stage => stage.is_some(),
            Needed::Owner => says(owner),
            Needed::Description => says(description),
            Needed::Created => created.is_some(),
            Needed::Expires => expires.is_some(),
            Needed::Match => *matches != Match::default(),
            Needed::Salt => salt.is_some(),
            Needed::Identity => identity.is_some(),
            Needed::Guard => guard.is_some(),
        }
    }

    fn owner(self) -> Option<Finding> {
        let owners = self.policy.owners.as_ref()?;
        let owner = self.flag.owner.as_ref()?.as_str().trim();
        if owner.is_empty() || owners.contains_key(owner) {
            return None;
        }
        let near = nearest(owner, owners.keys().map(|name| &**name));
        let help = near.map(|near| format!("did you mean {near}?"));
        let message = "is not one of the owners in the policy".to_owned();
        Some(self.at("policy/owner", "owner", message).with_help(help))
    }

    fn life(self) -> Option<Finding> {
        let longest: Span = *self.policy.lives.nearest(self.flag.kind)?;
        let most = length(longest.millis());
        let Some(expires) = self.flag.expires else {
            return Some(self.whole("policy/life", format!("has no expiry date, and may live for at most {most}")));
        };
        let (from, word) = match self.flag.created {
            Some(created) => (created, "it was created"),
            None => (self.now, "now"),
        };
        let life = u64::try_from(expires.millis().saturating_sub(from.millis())).unwrap_or_default();
        (life > longest.millis()).then(|| {
            let after = if self.flag.created.is_some() { "after" } else { "from" };
            let message = format!("is {} {after} {word}: the limit is {most}", length(life));
            self.at("policy/life", "expires", message)
        })
    }

    fn stage(self) -> Option<Finding> {
        let (caps, stage_is) = (self.policy.caps?, self.flag.stage?);
        let cap = caps.of(stage_is);
        let later = times(self.flag, self.now);
        let (at, over) = later.into_iter().find_map(|at| {
            let share = everybody(self.config, self.flag, at);
            (share > cap).then_some((at, share))
        })?;
        let when = if at == self.now { String::new() } else { format!(" from {} on", time::text(at)) };
        let message = format!(
            "is {}, and serves {over} of all users another variant than the baseline{when}: the limit is {cap}",
            words::stage(stage_is)
        );
        Some(self.at("policy/stage", "stage", message))
    }

    /// What is wrong with steps still to come.
    fn steps(self) -> Vec<Finding> {
        let mut found = Vec::new();
        for (place, rule) in self.flag.rules.iter().enumerate() {
            let Exposure::Steps(steps) = &rule.exposure else { continue };
            let mut before = Ppm::NONE;
            for (number, Step { at, share, .. }) in steps.iter().enumerate() {
                let (was, is) = (away(self.flag, &rule.serve, before), away(self.flag, &rule.serve, *share));
                before = *share;
                if *at <= self.now {
                    continue;
                }
                let field = |name: &str| format!("rules[{place}].steps[{number}].{name}");
                if let Some(most) = self.policy.largest_step.filter(|most| above(is, was) > *most) {
                    let rise = points(above(is, was));
                    let message = format!("rises by {rise}, from {was} to {is}: the limit is {}", points(most));
                    found.push(self.at("policy/step", &field("percent"), message));
                }
                if let Some(freeze) = self.freeze(*at) {
                    found.push(self.at("policy/freeze", &field("at"), format!("begins in a freeze: {freeze}")));
                }
            }
        }
        found
    }

    fn freeze(self, at: Timestamp) -> Option<&'c Freeze> {
        self.policy.freezes.iter().find(|freeze| freeze.holds(self.flag.kind, at))
    }

    /// Shares that rise by too much, if this flag takes the place of the one before it.
    fn rise(self, old: &Config, before: Option<&Flag>) -> Vec<Finding> {
        let Some(most) = self.policy.largest_step else { return Vec::new() };
        let mut found = Vec::new();
        // Other draws take other people: what they had before was nothing.
        let anew = before.is_some_and(|before| {
            salt(self.key, before) != salt(self.key, self.flag)
                || sources(old, before) != sources(self.config, self.flag)
        });
        let was = before.filter(|_| !anew).map_or(Ppm::NONE, |before| everybody(old, before, self.now));
        let is = everybody(self.config, self.flag, self.now);
        let rise = above(is, was);
        if rise > most {
            let (rise, most) = (points(rise), points(most));
            let message = match before {
                None => format!("starts at {is} of all users: the limit is {most}"),
                Some(_) if anew => {
                    format!(
                        "assigns every user anew, and serves {is} of all users another variant than the baseline: the limit is {most}"
                    )
                }
                Some(_) => format!("rises by {rise} of all users, from {was} to {is}: the limit is {most}"),
            };
            found.push(self.whole("policy/step", message));
        }
        let Some(before) = before.filter(|before| !before.kill && !self.flag.kill) else { return found };
        for (place, rule) in self.flag.rules.iter().enumerate() {
            if logic::takes_all(self.config, self.flag, rule) {
                continue;
            }
            let Some(former) = before.rules.iter().find(|former| former.when == rule.when) else { continue };
            let was = away(before, &former.serve, former.exposure.share_at(self.now));
            let is = away(self.flag, &rule.serve, rule.exposure.share_at(self.now));
            if above(is, was) > most {
                let (rise, most) = (points(above(is, was)), points(most));
                let message = format!("rises by {rise}, from {was} to {is}: the limit is {most}");
                found.push(self.at("policy/step", &format!("rules[{place}]"), message));
            }
        }
        found
    }

    /// Whether all is equal but what the rules say, and whether the flag is killed.
    fn is_same_but_rules(self, (old, before): (&Config, &Flag)) -> bool {
        let flag = self.flag;
        let parts = [
            flag.matches == before.matches,
            flag.route == before.route && flag.rescue == before.rescue && flag.header == before.header,
            flag.variants == before.variants,
            flag.baseline == before.baseline && flag.default == before.default,
            salt(self.key, flag) == salt(self.key, before) && sources(self.config, flag) == sources(old, before),
            flag.guard == before.guard,
            segments_of(self.config, conditions_of(flag)) == segments_of(old, conditions_of(before)),
        ];
        parts.into_iter().all(|same| same)
    }

    /// Whether something that held the flag back is gone: a standing, an approval that was awaited, or a step that waited for
    /// the fleet.
    fn is_freed(self, (old, before): (&Config, &Flag)) -> bool {
        let [was, is] = [old, self.config].map(|config| config.standing(self.key.as_str()));
        let phase = |entry: Option<&Standing>| entry.map_or(Phase::Running, |entry| entry.phase);
        let is_looser = |(rule, steps): &(u8, u8)| is.and_then(|is| is.steps_of(*rule)).is_none_or(|now| now > *steps);
        let looser = was.is_some_and(|was| was.steps.iter().any(is_looser));
        let waiting = |flag: &Flag| {
            let steps = flag.rules.iter().map(|rule| match &rule.exposure {
                Exposure::Fixed(_) => 0,
                Exposure::Steps(steps) => steps.iter().filter(|step| step.lacks_approval()).count(),
            });
            steps.sum::<usize>()
        };
        let gains = |(number, (was_rule, is_rule)): (u8, (&Rule, &Rule))| match (&was_rule.exposure, &is_rule.exposure)
        {
            (Exposure::Steps(before), Exposure::Steps(after)) if before.len() == after.len() => {
                let cap = |rule: &Rule, entry: Option<&Standing>| rule.exposure.cap(entry.map(|entry| (entry, number)));
                cap(is_rule, is) > cap(was_rule, was)
            }
            _ => false,
        };
        let granted = (1..).zip(before.rules.iter().zip(&self.flag.rules)).any(gains);
        phase(is) < phase(was) || looser || granted || waiting(self.flag) < waiting(before)
    }

    /// Whether no user is served another variant than the baseline who was not served it before.
    fn only_goes_back(self, (old, before): (&Config, &Flag)) -> bool {
        let flag = self.flag;
        if before.kill && !flag.kill || self.is_freed((old, before)) {
            return false;
        }
        let killed = flag.kill && baseline(flag) == baseline(before) && flag.variants == before.variants;
        if killed {
            return true;
        }
        let pairs = || before.rules.iter().zip(&flag.rules);
        let mut at = times(flag, self.now);
        at.extend(times(before, self.now));
        let lowers = |(was, is): (&Rule, &Rule)| {
            let safe = only_variant(&is.serve) == Some(baseline(flag));
            let lower = |at: &Timestamp| {
                let (was, is) = (was.exposure.share_at(*at), is.exposure.share_at(*at));
                if safe { is >= was } else { is <= was }
            };
            was.when == is.when && was.serve == is.serve && at.iter().all(lower)
        };
        // Whom a rule lets go, the next one or the default may take: only where these are safe is that a way back.
        let safe_behind = flag.default.as_ref().is_none_or(|name| name.as_str() == baseline(flag));
        before.rules.len() == flag.rules.len()
            && safe_behind
            && self.is_same_but_rules((old, before))
            && pairs().all(lowers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use tidegate_engine::config::Node;
    use tidegate_engine::problem::Problems;

    const POLICY: &str = r#"{"version": 1, "largestStep": "25%", "freezes": [
        {"from": "2026-12-19", "to": "2027-01-04", "reason": "Peak season", "types": ["release"]}]}"#;

    fn config(flags: &Value) -> Config {
        let text = json!({
            "version": 1,
            "identity": [{"header": "x-user-id"}],
            "segments": {"beta": {"header": "x-beta", "exists": true}},
            "flags": flags,
        });
        let mut problems = Problems::default();
        let config = Config::from_bytes(text.to_string().as_bytes(), &mut problems);
        assert_eq!(problems.count(), 0, "{problems}");
        config
    }

    #[track_caller]
    fn change(now: &str, old: &Value, new: &Value) -> Vec<String> {
        let mut problems = Problems::default();
        let policy = Policy::read(&serde_json::from_str::<Node>(POLICY).unwrap(), &mut problems);
        assert_eq!(problems.count(), 0, "{problems}");
        let now = Timestamp::parse_date(now).unwrap();
        let found = judge_change(&policy, &config(old), &config(new), now);
        found.iter().map(|finding| format!("{} {}: {}", finding.code, finding.path, finding.message)).collect()
    }

    fn rules(rules: &Value) -> Value {
        json!({"a": {"rules": rules}})
    }

    #[test]
    fn a_share_rises_by_the_largest_step_at_most() {
        let at = |percent: u32| rules(&json!([{"percent": percent, "serve": "on"}]));
        let none: [&str; 0] = [];
        assert_eq!(change("2026-12-01", &at(10), &at(35)), none);
        assert_eq!(change("2026-12-01", &at(90), &at(1)), none);
        let due = [
            "policy/step flags.a: rises by 26 percentage points of all users, from 10% to 36%: the limit is 25 percentage points",
        ];
        assert_eq!(change("2026-12-01", &at(10), &at(36)), due);
        let due = ["policy/step flags.a: starts at 50% of all users: the limit is 25 percentage points"];
        assert_eq!(change("2026-12-01", &json!({}), &at(50)), due);
        let salted = json!({"a": {"salt": "b", "rules": [{"percent": 50, "serve": "on"}]}});
        let due = [
            "policy/step flags.a: assigns every user anew, and serves 50% of all users another variant than the baseline: the limit is 25 percentage points",
        ];
        assert_eq!(change("2026-12-01", &at(50), &salted), due);
        let killed = json!({"a": {"kill": true, "rules": [{"percent": 50, "serve": "on"}]}});
        assert_eq!(change("2026-12-01", &at(50), &killed), none);
        assert_eq!(change("2026-12-01", &killed, &at(50)).len(), 1);
        let beta = |percent: u32| rules(&json!([{"when": {"segment": "beta"}, "percent": percent, "serve": "on"}]));
        assert_eq!(change("2026-12-01", &json!({}), &beta(100)), none, "who is named is no share");
        let due = [
            "policy/step flags.a.rules[0]: rises by 75 percentage points, from 25% to 100%: the limit is 25 percentage points",
        ];
        assert_eq!(change("2026-12-01", &beta(25), &beta(100)), due);
        let half = rules(
            &json!([{"percent": 60, "serve": [{"variant": "on", "weight": 1}, {"variant": "off", "weight": 2}]}]),
        );
        assert_eq!(change("2026-12-01", &json!({}), &half), none, "a third of 60 % is not at the baseline");
    }

    #[test]
    fn in_a_freeze_flags_only_go_back() {
        let at = |percent: u32| rules(&json!([{"percent": percent, "serve": "on"}]));
        let none: [&str; 0] = [];
        let frozen = |what: &str| {
            vec![format!("policy/freeze flags.a: {what} in a freeze: \"Peak season\", 2026-12-19 to 2027-01-04")]
        };
        let owned = json!({"a": {"owner": "web", "expires": "2027-03-01", "rules": [{"percent": 10, "serve": "on"}]}});
        let killed = json!({"a": {"kill": true, "rules": [{"percent": 10, "serve": "on"}]}});
        let other = json!({"a": {"type": "operational", "rules": [{"percent": 12, "serve": "on"}]}});
        let gone_on = json!({"a": {"default": "on", "rules": [{"percent": 10, "serve": "on"}]}});
        for (old, new, due) in [
            (at(10), at(10), vec![]),
            (at(10), owned, vec![]),
            (at(10), at(5), vec![]),
            (at(10), at(0), vec![]),
            (at(10), killed.clone(), vec![]),
            (at(10), other, vec![]),
            (at(10), at(11), frozen("changes")),
            (killed, at(10), frozen("changes")),
            (gone_on, rules(&json!([])), frozen("changes")),
            (json!({}), at(1), frozen("is new")),
            (at(1), json!({}), frozen("is removed")),
        ] {
            assert_eq!(change("2026-12-24", &old, &new), due, "{old} to {new}");
            assert_eq!(change("2027-01-04", &old, &new), none, "the freeze is over: {old} to {new}");
        }
    }
}
