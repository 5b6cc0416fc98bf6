//! Turns a plan, a request and the time into decisions. Cannot fail: what cannot be decided gets the default.
//!
//! The order is fixed: kill, rolled back, then the rules in order (a rule whose exposure misses falls through to the
//! next), then the default. A variant that is full or away gives way to the baseline. A rule *draws* when its share is
//! below 100 % or when it serves several variants; without an identity such a rule misses, and the others go on as
//! usual.
//!
//! Never reads a clock, never writes a header, never changes a plan.

pub mod condition;
mod identity;
pub mod reason;
pub mod standing;
mod witness;

pub use crate::decide::reason::Reason;
pub use witness::{RuleOutcome, Silent, Witness};

use crate::decide::standing::{Draws, FlagStanding, Phase, Standing};
use crate::plan::{Flag, Plan, Rule, Serve, Variant, VariantId};
use crate::request::Request;
use crate::value::hash::Point;
use crate::value::share::Ppm;
use crate::value::time::Timestamp;
use condition::Conditions;
use identity::Identities;

/// What was decided for one flag, and why.
#[derive(Clone, Debug)]
pub struct Decision<'p> {
    flag: &'p Flag,
    place: usize,
    variant: &'p Variant,
    reason: Reason,
    exposure: Option<u32>,
    missed_draw: bool,
    served: VariantId,
    wanted: VariantId,
    draws: Draws,
}

impl<'p> Decision<'p> {
    #[must_use]
    pub fn flag(&self) -> &'p Flag {
        self.flag
    }

    /// The place of the flag in the plan.
    #[must_use]
    pub fn place(&self) -> usize {
        self.place
    }

    #[must_use]
    pub fn variant(&self) -> &'p Variant {
        self.variant
    }

    #[must_use]
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// The draw in parts per million, where one was made.
    #[must_use]
    pub fn exposure(&self) -> Option<u32> {
        self.exposure
    }

    /// The variant that is served, by its place.
    #[must_use]
    pub fn served(&self) -> VariantId {
        self.served
    }

    /// The variant that would have been served, had there been room for one more.
    #[must_use]
    pub fn wanted(&self) -> VariantId {
        self.wanted
    }

    /// The part that the request plays in comparisons.
    #[must_use]
    pub fn draws(&self) -> Draws {
        self.draws
    }

    /// Whether a rule was skipped because the request has no identity to draw by.
    #[must_use]
    pub fn missed_draw(&self) -> bool {
        self.missed_draw
    }
}

#[derive(Clone, Debug)]
pub struct Decisions<'p> {
    list: Vec<Decision<'p>>,
    cookie: Option<Cookie<'p>>,
    sources: Sources,
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

    #[must_use]
    pub fn sources(&self) -> Sources {
        self.sources
    }
}

pub use identity::{Cookie, Sources};

/// Decides every flag that matches the request, under what the guards have decided so far.
#[must_use]
pub fn decide<'p>(plan: &'p Plan, request: &Request<'_>, standing: &Standing, now: Timestamp) -> Decisions<'p> {
    decide_before(&mut Silent, plan, request, standing, now)
}

/// The same as [`decide`], and reports each step to a witness.
pub fn decide_before<'p>(
    witness: &mut impl Witness,
    plan: &'p Plan,
    request: &Request<'_>,
    standing: &Standing,
    now: Timestamp,
) -> Decisions<'p> {
    let (identities, conditions) = (Identities::new(plan, request), Conditions::new(plan, request));
    let mut evaluator = Evaluator { now, standing, identities, conditions, witness };
    let mut list = Vec::with_capacity(plan.flags.len().min(32));
    plan.index.candidates(request.host(), request.path(), |id| {
        if let Some(flag) = plan.flags.get(id)
            && flag.matches.takes(request.method(), request.host(), request.path())
            && let Some(decision) = evaluator.flag(id, flag)
        {
            list.push(decision);
        }
    });
    let sources = evaluator.identities.sources();
    Decisions { list, cookie: evaluator.identities.into_cookie(), sources }
}

struct Evaluator<'p, 'r, W> {
    now: Timestamp,
    standing: &'r Standing,
    identities: Identities<'p, 'r>,
    conditions: Conditions<'p, 'r>,
    witness: &'r mut W,
}

impl<'p, W: Witness> Evaluator<'p, '_, W> {
    /// `None` only if a plan named a variant that it does not have, which its compiler rules out.
    fn flag(&mut self, place: usize, flag: &'p Flag) -> Option<Decision<'p>> {
        let standing = self.standing.of(flag.watch);
        self.witness.flag(flag);
        let (wanted, reason, draw) = self.choose(flag, standing);
        let (served, reason) = baseline_if_unavailable(flag, standing, wanted, reason);
        let point = draw.point.filter(|_| reason.is_judged());
        let verified = self.identities.is_verified(flag.identity);
        Some(Decision {
            flag,
            place,
            variant: flag.variant(served)?,
            reason,
            exposure: draw.point.map(Point::exposure),
            missed_draw: draw.no_identity,
            served,
            wanted,
            draws: point.map_or(Draws::NONE, |point| Draws { hash: point.bits(), verified, ..draw.draws }),
        })
    }

    fn choose(&mut self, flag: &'p Flag, standing: &FlagStanding) -> (VariantId, Reason, Draw) {
        let mut draw = Draw::default();
        if flag.kill {
            return (flag.baseline, Reason::Killed, draw);
        }
        if standing.phase == Phase::RolledBack {
            return (flag.baseline, Reason::RolledBack, draw);
        }
        for (place, rule) in flag.rules.iter().enumerate() {
            if let Some(when) = &rule.when
                && !self.conditions.holds(when, flag.identity, &mut self.identities, self.witness)
            {
                self.witness.rule(place, RuleOutcome::ConditionFalse);
                continue;
            }
            // A rule at 100 % is only static if no rule before it could have taken the request.
            let whole = if place == 0 && rule.when.is_none() { Reason::Static } else { Reason::TargetingMatch };
            let (outcome, reason) = self.serve(flag, rule, standing, whole, &mut draw);
            self.witness.rule(place, outcome);
            if let RuleOutcome::Served { variant, .. } = outcome {
                return (variant, reason, draw);
            }
        }
        let reason = match (flag.rules.is_empty(), draw.no_identity) {
            (true, _) => Reason::Static,
            (false, true) => Reason::NoIdentity,
            (false, false) => Reason::Default,
        };
        // In a trial, whatever is not the baseline is for one in a hundred.
        (if standing.phase == Phase::Trial { flag.baseline } else { flag.default }, reason, draw)
    }

    /// Applies a rule whose condition is true; `whole` is the reason if there is no draw.
    fn serve(
        &mut self,
        flag: &'p Flag,
        rule: &'p Rule,
        standing: &FlagStanding,
        whole: Reason,
        draw: &mut Draw,
    ) -> (RuleOutcome, Reason) {
        let share = rule.share(self.now, standing, flag.baseline);
        if share == Ppm::NONE {
            return (RuleOutcome::NobodyExposed, whole);
        }
        if share == Ppm::FULL
            && let Serve::One(only) = &rule.serve
        {
            return (RuleOutcome::Served { share, variant: *only }, whole);
        }
        let point = match draw.point {
            Some(point) => point,
            None => match self.identities.resolve(flag.identity) {
                Some(identity) => *draw.point.insert(flag.salt.point(identity)),
                None => {
                    draw.no_identity = true;
                    return (RuleOutcome::NoIdentity { share }, whole);
                }
            },
        };
        let exposure = point.exposure();
        if !share.takes(exposure) {
            draw.draws.missed |= rule.judged.and_then(|rule| 1_u8.checked_shl(u32::from(rule))).unwrap_or(0);
            return (RuleOutcome::Missed { share, exposure }, whole);
        }
        draw.draws.taken = rule.judged;
        let choice = match &rule.serve {
            Serve::One(only) => Some(*only),
            Serve::Split { total, bounds } => {
                let choice = point.choice(*total);
                bounds.iter().find(|(below, _)| choice < *below).map(|(_, variant)| *variant)
            }
        };
        // Weights are cumulative up to their sum, so that every draw finds one.
        let outcome = choice.map_or(RuleOutcome::NobodyExposed, |variant| RuleOutcome::Served { share, variant });
        (outcome, Reason::Split)
    }
}

/// The variant, or the baseline if the variant is full or its upstream cannot be reached.
fn baseline_if_unavailable(
    flag: &Flag,
    standing: &FlagStanding,
    wanted: VariantId,
    reason: Reason,
) -> (VariantId, Reason) {
    let has = |variants: u64| variants >> wanted.0 & 1 == 1;
    match wanted {
        _ if wanted == flag.baseline => (wanted, reason),
        _ if has(standing.away) => (flag.baseline, Reason::Rescued),
        _ if has(standing.full) => (flag.baseline, Reason::Throttled),
        _ => (wanted, reason),
    }
}

/// What was drawn for one flag: at most one point, because all its rules share a salt and an identity.
#[derive(Default)]
struct Draw {
    point: Option<Point>,
    /// Whether a draw was needed and the request has no identity.
    no_identity: bool,
    draws: Draws,
}
