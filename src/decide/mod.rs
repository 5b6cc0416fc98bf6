//! Turns a plan, a request and the time into decisions. Cannot fail: what cannot be decided gets the default.
//!
//! The order is fixed: kill, then the rules in order (a rule whose exposure misses falls through to the next),
//! then the default. A rule *draws* when its share is below 100 % or when it serves several variants; without an
//! identity such a rule misses, and the others go on as usual.
//!
//! Never reads a clock, never writes a header, never changes a plan.

mod condition;
mod identity;
mod reason;

pub use reason::Reason;

use crate::hash::Point;
use crate::plan::{Flag, Plan, Rule, Serve, Variant, VariantId};
use crate::request::Request;
use crate::share::Ppm;
use crate::time::Timestamp;
use condition::Conditions;
use identity::Identities;

/// What was decided for one flag, and why.
#[derive(Clone, Debug)]
pub struct Decision<'p> {
    flag: &'p Flag,
    variant: &'p Variant,
    reason: Reason,
    exposure: Option<u32>,
    missed_draw: bool,
}

impl<'p> Decision<'p> {
    /// The flag.
    #[must_use]
    pub fn flag(&self) -> &'p Flag {
        self.flag
    }

    /// The outcome.
    #[must_use]
    pub fn variant(&self) -> &'p Variant {
        self.variant
    }

    /// Why.
    #[must_use]
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// The draw in parts per million, where one was made.
    #[must_use]
    pub fn exposure(&self) -> Option<u32> {
        self.exposure
    }

    /// Whether a rule was missed because nobody was there to draw for.
    #[must_use]
    pub fn missed_draw(&self) -> bool {
        self.missed_draw
    }
}

/// All decisions for one request.
#[derive(Clone, Debug)]
pub struct Decisions<'p> {
    list: Vec<Decision<'p>>,
    cookie: Option<Cookie<'p>>,
}

impl<'p> Decisions<'p> {
    /// The decisions, in key order.
    #[must_use]
    pub fn list(&self) -> &[Decision<'p>] {
        &self.list
    }

    /// The decision for the flag of this key, if it matched.
    #[must_use]
    pub fn find(&self, key: &str) -> Option<&Decision<'p>> {
        self.list.iter().find(|decision| decision.flag.key().as_str() == key)
    }

    /// The cookie that must be set because an identity was made.
    #[must_use]
    pub fn cookie(&self) -> Option<&Cookie<'p>> {
        self.cookie.as_ref()
    }
}

pub use identity::Cookie;

/// Decides every flag that matches the request.
#[must_use]
pub fn decide<'p>(plan: &'p Plan, request: &Request<'_>, now: Timestamp) -> Decisions<'p> {
    let mut evaluator =
        Evaluator { now, identities: Identities::new(plan, request), conditions: Conditions::new(plan, request) };
    let mut list = Vec::with_capacity(plan.flags.len().min(32));
    plan.index.candidates(request.host(), request.path(), |id| {
        if let Some(flag) = plan.flags.get(id)
            && flag.matches.takes(request.method(), request.host(), request.path())
            && let Some(decision) = evaluator.flag(flag)
        {
            list.push(decision);
        }
    });
    Decisions { list, cookie: evaluator.identities.into_cookie() }
}

struct Evaluator<'p, 'r> {
    now: Timestamp,
    identities: Identities<'p, 'r>,
    conditions: Conditions<'p, 'r>,
}

impl<'p> Evaluator<'p, '_> {
    /// `None` only if a plan named a variant that it does not have, which its compiler rules out.
    fn flag(&mut self, flag: &'p Flag) -> Option<Decision<'p>> {
        let (choice, reason, draw) = self.choose(flag);
        Some(Decision {
            flag,
            variant: flag.variant(choice)?,
            reason,
            exposure: draw.point.map(Point::exposure),
            missed_draw: draw.missed,
        })
    }

    fn choose(&mut self, flag: &'p Flag) -> (VariantId, Reason, Draw) {
        let mut draw = Draw::default();
        if flag.kill {
            return (flag.baseline, Reason::Killed, draw);
        }
        for (place, rule) in flag.rules.iter().enumerate() {
            if let Some(when) = &rule.when
                && !self.conditions.holds(when, flag.identity, &mut self.identities)
            {
                continue;
            }
            // Behind another rule, even one that takes everybody has been reached by what the request is.
            let whole = if place == 0 && rule.when.is_none() { Reason::Static } else { Reason::TargetingMatch };
            if let Some((choice, reason)) = self.serve(flag, rule, whole, &mut draw) {
                return (choice, reason, draw);
            }
        }
        let reason = match (flag.rules.is_empty(), draw.missed) {
            (true, _) => Reason::Static,
            (false, true) => Reason::NoIdentity,
            (false, false) => Reason::Default,
        };
        (flag.default, reason, draw)
    }

    /// What a rule whose condition holds serves, `whole` being the reason if there is no draw; `None` where its
    /// exposure misses.
    fn serve(&mut self, flag: &'p Flag, rule: &'p Rule, whole: Reason, draw: &mut Draw) -> Option<(VariantId, Reason)> {
        let share = rule.share(self.now);
        if share == Ppm::NONE {
            return None;
        }
        if share == Ppm::FULL
            && let Serve::One(only) = &rule.serve
        {
            return Some((*only, whole));
        }
        let point = match draw.point {
            Some(point) => point,
            None => match self.identities.resolve(flag.identity) {
                Some(identity) => *draw.point.insert(flag.salt.point(identity)),
                None => {
                    draw.missed = true;
                    return None;
                }
            },
        };
        if !share.takes(point.exposure()) {
            return None;
        }
        let choice = match &rule.serve {
            Serve::One(only) => *only,
            Serve::Split { total, bounds } => {
                let choice = point.choice(*total);
                bounds.iter().find(|(below, _)| choice < *below)?.1
            }
        };
        Some((choice, Reason::Split))
    }
}

/// What was drawn for one flag: at most one point, because all its rules share a salt and an identity.
#[derive(Default)]
struct Draw {
    point: Option<Point>,
    missed: bool,
}
