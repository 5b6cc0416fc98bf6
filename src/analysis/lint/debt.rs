//! Finds the debt of a config's flags on a day: flags that should be removed, have no effect, or have no owner.
//!
//! Each kind of debt has a stable code. What a config cannot show, such as when a flag was killed, is not guessed: the
//! latest date in the flag is used, and if there is none, the finding says so.

use super::exposure::{everybody, times};
use super::{Finding, logic};
use crate::parts::{baseline, conditions_of, only_variant, segments_of};
use crate::source::Severity;
use crate::words::number::count;
use crate::words::{self, time};
use tidegate_engine::config::{Config, Exposure, Flag, Kind, Rule, Serve, Stage};
use tidegate_engine::value::name::FlagKey;
use tidegate_engine::value::share::Ppm;
use tidegate_engine::value::time::{Span, Timestamp};

const DAY: i64 = 86_400_000;

/// How many days before its expiry date a flag is noted.
const SOON: i64 = 14;

/// The share of everybody that a stage may have.
#[derive(Clone, Copy, Debug)]
pub struct Caps {
    pub experimental: Ppm,
    pub trusted: Ppm,
    pub stable: Ppm,
}

impl Default for Caps {
    fn default() -> Self {
        Self { experimental: Ppm::of(100_000), trusted: Ppm::of(500_000), stable: Ppm::FULL }
    }
}

impl Caps {
    /// The share that a stage may have.
    pub fn of(&self, stage: Stage) -> Ppm {
        match stage {
            Stage::Experimental => self.experimental,
            Stage::Trusted => self.trusted,
            Stage::Stable => self.stable,
        }
    }
}

/// The limits that debt is measured by.
#[derive(Clone, Copy, Debug)]
pub struct Measure {
    pub today: Timestamp,
    /// How long a flag may serve everybody the same, or be killed.
    pub patience: Span,
    pub caps: Caps,
}

/// All debt of a config, flag by flag, then that of its segments.
pub fn all(config: &Config, measure: Measure) -> Vec<Finding> {
    let mut found = Vec::new();
    for (key, flag) in &config.flags {
        let flag_debt = FlagDebt { config, key, flag, measure };
        found.extend(flag_debt.expiry());
        found.extend(flag_debt.owner());
        found.extend(flag_debt.killed());
        found.extend(flag_debt.finished());
        found.extend(flag_debt.over_stage());
        found.extend(flag_debt.rules());
    }
    found.extend(unused_segments(config));
    found
}

/// Days from one time to another, cut off downwards.
fn days(from: Timestamp, to: Timestamp) -> i64 {
    to.millis().saturating_sub(from.millis()).div_euclid(DAY)
}

fn days_text(days: i64) -> String {
    count(usize::try_from(days).unwrap_or_default(), "day")
}

#[derive(Clone, Copy)]
struct FlagDebt<'c> {
    config: &'c Config,
    key: &'c FlagKey,
    flag: &'c Flag,
    measure: Measure,
}

impl FlagDebt<'_> {
    fn at(self, severity: Severity, code: &'static str, field: &str, message: String) -> Finding {
        Finding::of_field(severity, code, self.key.as_str(), field, message)
    }

    fn at_rule(self, code: &'static str, rule: usize, field: &str, message: String) -> Finding {
        Finding::of_rule(Severity::Warning, code, self.key.as_str(), rule, field, message)
    }

    fn whole(self, severity: Severity, code: &'static str, message: String) -> Finding {
        Finding::of_flag(severity, code, self.key.as_str(), message)
    }

    /// Whether the flag is of a type that is meant to be removed again.
    fn is_temporary(self) -> bool {
        matches!(self.flag.kind, Kind::Release | Kind::Experiment)
    }

    /// Whether a time is longer ago than `patience`.
    fn is_long_ago(self, since: Timestamp) -> bool {
        let ago = self.measure.today.millis().saturating_sub(since.millis());
        u64::try_from(ago).is_ok_and(|ago| ago >= self.measure.patience.millis())
    }

    fn expiry(self) -> Option<Finding> {
        let Some(expires) = self.flag.expires else {
            let kind = words::kind(self.flag.kind);
            return self.is_temporary().then(|| {
                self.whole(Severity::Warning, "no-expiry", format!("has no expiry date, and is of type {kind}"))
            });
        };
        let (day, left) = (time::text(expires), days(self.measure.today, expires));
        let past = days(expires, self.measure.today);
        if past >= 0 {
            let when = if past == 0 { "today".to_owned() } else { format!("{} ago", days_text(past)) };
            return Some(self.at(Severity::Warning, "expired", "expires", format!("expired {when}, on {day}")));
        }
        // What is left of the first day counts as one.
        let left = if self.measure.today.millis().rem_euclid(DAY) == expires.millis().rem_euclid(DAY) {
            left
        } else {
            left.saturating_add(1)
        };
        (left <= SOON).then(|| {
            let message = format!("expires in {}, on {day}", days_text(left));
            self.at(Severity::Note, "expires-soon", "expires", message)
        })
    }

    fn owner(self) -> Option<Finding> {
        let named = self.flag.owner.as_ref().is_some_and(|owner| !owner.as_str().trim().is_empty());
        (!named).then(|| self.whole(Severity::Warning, "no-owner", "has no owner".to_owned()))
    }

    fn killed(self) -> Option<Finding> {
        if !self.flag.kill {
            return None;
        }
        let steps = times(self.flag, Timestamp::from_millis(i64::MIN));
        let dates = steps.into_iter().skip(1).chain(self.flag.created).filter(|at| *at <= self.measure.today);
        match dates.max() {
            None => {
                let message = "is killed, and no date in the flag tells since when".to_owned();
                Some(self.at(Severity::Note, "killed-long", "kill", message))
            }
            Some(last) if self.is_long_ago(last) => {
                let ago = days_text(days(last, self.measure.today));
                let message = format!("is killed, and its latest date, {}, is {ago} ago", time::day(last));
                Some(self.at(Severity::Warning, "killed-long", "kill", message))
            }
            Some(_) => None,
        }
    }

    /// A flag that gives everybody the same has nothing left to decide.
    fn finished(self) -> Option<Finding> {
        if self.flag.kill || !self.is_temporary() {
            return None;
        }
        let safe = baseline(self.flag);
        let today = self.measure.today;
        for (place, rule) in self.flag.rules.iter().enumerate() {
            if rule.exposure.share_at(today) != Ppm::FULL || !logic::takes_all(self.config, self.flag, rule) {
                continue;
            }
            let served = only_variant(&rule.serve).filter(|name| *name != safe)?;
            let (since, field) = match &rule.exposure {
                Exposure::Fixed(_) => (self.flag.created, "serve"),
                Exposure::Steps(steps) => {
                    let last = steps.last().filter(|last| last.share == Ppm::FULL && last.at <= today)?;
                    // What stood at 100 % before a last step that says so again has been there since then.
                    let full = steps.iter().rev().take_while(|step| step.share == Ppm::FULL).last().unwrap_or(last);
                    (Some(full.at), "steps")
                }
            };
            let after = if place > 0 { " that no earlier rule takes" } else { "" };
            let message = self.nothing_left(served, after, since, field == "steps")?;
            return Some(self.at_rule("finished", place, field, message));
        }
        let served = self.flag.default.as_ref().filter(|name| name.as_str() != safe)?;
        if !self.flag.rules.is_empty() {
            return None;
        }
        let message = self.nothing_left(served.as_str(), "", self.flag.created, false)?;
        Some(self.at(Severity::Warning, "finished", "default", message))
    }

    /// What is said of a flag that has served everybody the same for long enough.
    fn nothing_left(self, served: &str, to: &str, since: Option<Timestamp>, is_ramp: bool) -> Option<String> {
        if since.is_some_and(|since| !self.is_long_ago(since)) {
            return None;
        }
        let since = since.filter(|_| is_ramp).map_or_else(String::new, |since| {
            let ago = days_text(days(since, self.measure.today));
            format!(", since {} ({ago})", time::day(since))
        });
        Some(format!("serves {served} to everybody{to}{since}: the flag has nothing left to decide"))
    }

    fn over_stage(self) -> Option<Finding> {
        let stage_is = self.flag.stage?;
        let (cap, name) = (self.measure.caps.of(stage_is), words::stage(stage_is));
        let now = everybody(self.config, self.flag, self.measure.today);
        if now > cap {
            let message = format!("is {name}, and serves {now} of all users: the limit is {cap}");
            return Some(self.at(Severity::Warning, "over-stage", "stage", message));
        }
        let later = times(self.flag, self.measure.today);
        let (at, over) = later.into_iter().find_map(|at| {
            let share = everybody(self.config, self.flag, at);
            (share > cap).then_some((at, share))
        })?;
        let message = format!("is {name}, and will serve {over} of all users on {}: the limit is {cap}", time::day(at));
        Some(self.at(Severity::Note, "over-stage", "stage", message))
    }

    fn rules(self) -> Vec<Finding> {
        let idle: Vec<Option<Finding>> =
            self.flag.rules.iter().enumerate().map(|(place, rule)| self.never(place, rule)).collect();
        let mut found = Vec::new();
        for (place, rule) in self.flag.rules.iter().enumerate() {
            if let Some(Some(finding)) = idle.get(place) {
                found.push(finding.clone());
                continue;
            }
            let before = self.flag.rules.iter().zip(&idle).take(place);
            let mut working = before.enumerate().filter(|(_, (_, idle))| idle.is_none());
            if let Some((first, (other, _))) = working.find(|(_, (other, _))| self.shadows(other, rule)) {
                let number = first + 1;
                let message = match (&other.when, &other.exposure) {
                    (None, Exposure::Fixed(Ppm::FULL)) => format!("is never reached: rule {number} takes everybody"),
                    _ => format!("takes nobody: rule {number} before it takes the same users, and as many"),
                };
                found.push(self.at_rule("shadowed", place, "", message));
            }
        }
        found
    }

    /// Why a rule takes nobody, now and later.
    fn never(self, place: usize, rule: &Rule) -> Option<Finding> {
        let tell = |field: &str, message: String| Some(self.at_rule("never-matches", place, field, message));
        let later = times(self.flag, self.measure.today);
        if later.iter().all(|at| rule.exposure.share_at(*at) == Ppm::NONE) {
            return match &rule.exposure {
                Exposure::Fixed(_) => tell("percent", "takes 0% of the users".to_owned()),
                Exposure::Steps(_) => {
                    tell("steps", "takes 0% of the users, at this step and at all later ones".to_owned())
                }
            };
        }
        if let Some(why) = logic::never(self.config, self.flag, rule) {
            return tell("when", format!("is never true: {why}"));
        }
        let anonymous = self.flag.identity.as_ref().unwrap_or(&self.config.identity).is_empty();
        if anonymous && later.iter().all(|at| draws(rule, *at)) {
            return tell(
                "",
                "takes a share of the users, and the config has no identity to tell them apart".to_owned(),
            );
        }
        None
    }

    /// Whether a rule takes all users that a later rule could take, now and later.
    fn shadows(self, front: &Rule, behind: &Rule) -> bool {
        // A guard may keep a ramp from going on: then what it takes is less than what is written.
        if self.flag.guard.is_some() && matches!(front.exposure, Exposure::Steps(_)) {
            return false;
        }
        let covers = |at: Timestamp| {
            let (first, second) = (front.exposure.share_at(at), behind.exposure.share_at(at));
            // Who is nobody is passed over by what draws, and taken by what does not.
            first >= second && (!draws(front, at) || draws(behind, at) || second == Ppm::NONE)
        };
        times(self.flag, self.measure.today).into_iter().all(covers)
            && logic::within(self.config, self.flag, behind, front)
    }
}

/// Whether a rule needs an identity at a time.
fn draws(rule: &Rule, at: Timestamp) -> bool {
    rule.exposure.share_at(at) < Ppm::FULL
        || matches!(&rule.serve, Serve::Split(_)) && only_variant(&rule.serve).is_none()
}

/// Segments that no rule uses, not even through another segment.
fn unused_segments(config: &Config) -> Vec<Finding> {
    let used = segments_of(config, config.flags.iter().flat_map(|(_, flag)| conditions_of(flag)));
    let unused = config.segments.iter().filter(|(name, _)| !used.contains_key(name));
    unused
        .map(|(name, _)| {
            let message = "is used by no rule".to_owned();
            Finding::of_part(Severity::Warning, "unused-segment", "segments", name.as_str(), message)
        })
        .collect()
}
