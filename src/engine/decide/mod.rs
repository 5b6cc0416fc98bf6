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
use crate::plan::{Flag, Plain, Plan, Rule, Serve, Variant, VariantId};
use crate::request::Request;
use crate::value::hash::{Point, Salt};
use crate::value::share::Ppm;
use crate::value::time::Timestamp;
use condition::Conditions;
use identity::Identities;

/// What was decided for one flag, and why.
#[derive(Clone, Debug)]
pub struct Decision<'p> {
    flag: &'p Flag,
    variant: &'p Variant,
    point: Option<Point>,
    place: u16,
    reason: Reason,
    served: VariantId,
    wanted: VariantId,
    missed_draw: bool,
    verified: bool,
    /// The judged rule whose draw took the request in, and those whose draws left it out.
    taken: Option<u8>,
    missed: u8,
}

impl<'p> Decision<'p> {
    #[inline]
    #[must_use]
    pub fn flag(&self) -> &'p Flag {
        self.flag
    }

    /// The place of the flag in the plan.
    #[inline]
    #[must_use]
    pub fn place(&self) -> usize {
        usize::from(self.place)
    }

    #[inline]
    #[must_use]
    pub fn variant(&self) -> &'p Variant {
        self.variant
    }

    #[inline]
    #[must_use]
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// The draw in parts per million, where one was made.
    #[inline]
    #[must_use]
    pub fn exposure(&self) -> Option<u32> {
        self.point.map(Point::exposure)
    }

    /// The variant that is served, by its place.
    #[inline]
    #[must_use]
    pub fn served(&self) -> VariantId {
        self.served
    }

    /// The variant that would have been served, had there been room for one more.
    #[inline]
    #[must_use]
    pub fn wanted(&self) -> VariantId {
        self.wanted
    }

    /// The part that the request plays in comparisons.
    #[inline]
    #[must_use]
    pub fn draws(&self) -> Draws {
        let Self { taken, missed, verified, .. } = *self;
        let point = self.point.filter(|_| self.reason.is_judged());
        point.map_or(Draws::NONE, |point| Draws { taken, missed, hash: point.bits(), verified })
    }

    /// Whether a rule was skipped because the request has no identity to draw by.
    #[inline]
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
    #[inline]
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
    #[inline]
    #[must_use]
    pub fn cookie(&self) -> Option<&Cookie<'p>> {
        self.cookie.as_ref()
    }

    #[inline]
    #[must_use]
    pub fn sources(&self) -> Sources {
        self.sources
    }
}

pub use identity::{Cookie, Sources};

/// Decides every flag that matches the request, under what the guards have decided so far.
#[inline]
#[must_use]
pub fn decide<'p>(plan: &'p Plan, request: &Request<'_>, standing: &Standing, now: Timestamp) -> Decisions<'p> {
    decide_before(&mut Silent, plan, request, standing, now)
}

/// The same as [`decide`], for whoever explains some requests: a function to be handed to what is compiled for size.
pub type Explained =
    for<'p> fn(Option<&mut dyn Witness>, &'p Plan, &Request<'_>, &Standing, Timestamp) -> Decisions<'p>;

/// The same as [`decide`], and reports each step to a witness if there is one.
#[inline]
#[must_use]
pub fn explained<'p>(
    mut witness: Option<&mut dyn Witness>,
    plan: &'p Plan,
    request: &Request<'_>,
    standing: &Standing,
    now: Timestamp,
) -> Decisions<'p> {
    decide_before(&mut witness, plan, request, standing, now)
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
    let mut evaluator = Evaluator { plan, now, standing, identities, conditions, points: Points::default(), witness };
    let mut list = Vec::with_capacity(plan.flags.len().min(32));
    plan.index.candidates(request.host(), request.path(), |id| {
        if let Some(flag) = plan.flags.get(id)
            && (flag.matches.is_open() || flag.matches.takes(request.method(), request.host(), request.path()))
            && let Some(decision) = evaluator.flag(id, flag)
        {
            list.push(decision);
        }
    });
    let sources = evaluator.identities.sources();
    Decisions { list, cookie: evaluator.identities.into_cookie(), sources }
}

struct Evaluator<'p, 'r, W> {
    plan: &'p Plan,
    now: Timestamp,
    standing: &'r Standing,
    identities: Identities<'p, 'r>,
    conditions: Conditions<'p, 'r>,
    points: Points,
    witness: &'r mut W,
}

/// How many flags are drawn for at once: the hash of one waits for itself at each byte, and four wait no longer.
const AT_ONCE: usize = 4;

/// The points of flags that stand side by side in the plan and draw by one list of sources.
#[derive(Default)]
struct Points {
    first: usize,
    known: [Option<Point>; AT_ONCE],
}

impl Points {
    /// The point of the flag at a place, which draws by this identity.
    #[inline]
    fn of(&mut self, plan: &Plan, place: usize, flag: &Flag, identity: &[u8]) -> Point {
        let known = place.checked_sub(self.first).and_then(|place| self.known.get(place));
        if let Some(known) = known.copied().flatten() {
            return known;
        }
        let mut salts = [flag.salt; AT_ONCE];
        let mut together = 0_usize;
        for (other, salt) in plan.flags.iter().skip(place).zip(&mut salts) {
            // The first one is the flag itself.
            if together > 0 && !(other.draws && other.identity == flag.identity) {
                break;
            }
            *salt = other.salt;
            together = together.saturating_add(1);
        }
        if together < 2 {
            return flag.salt.point(identity);
        }
        self.first = place;
        self.known = Salt::points(salts, identity).map(Some);
        // Behind them are others.
        self.known.iter_mut().skip(together).for_each(|known| *known = None);
        self.known.first().copied().flatten().unwrap_or_else(|| flag.salt.point(identity))
    }
}

impl<'p, W: Witness> Evaluator<'p, '_, W> {
    #[inline]
    fn flag(&mut self, place: usize, flag: &'p Flag) -> Option<Decision<'p>> {
        if let Some(plain) = flag.plain.filter(|_| !self.witness.watches()) {
            return self.plain(place, flag, plain);
        }
        self.by_rules(place, flag)
    }

    /// `None` only if a plan named a variant that it does not have, which its compiler rules out.
    #[inline(never)]
    fn by_rules(&mut self, place: usize, flag: &'p Flag) -> Option<Decision<'p>> {
        let standing = self.standing.of(flag.watch);
        self.witness.flag(flag);
        let (wanted, reason, draw) = self.choose(flag, place, standing);
        let (served, reason) = baseline_if_unavailable(flag, standing, wanted, reason);
        Some(Decision {
            flag,
            variant: flag.variant(served)?,
            point: draw.point,
            place: u16::try_from(place).ok()?,
            reason,
            served,
            wanted,
            missed_draw: draw.no_identity,
            verified: flag.watch.is_some() && self.identities.is_verified(flag.identity),
            taken: draw.taken,
            missed: draw.missed,
        })
    }

    /// The short way for most flags. A law holds it to the long one.
    #[inline]
    fn plain(&mut self, place: usize, flag: &'p Flag, plain: Plain) -> Option<Decision<'p>> {
        let identity = self.identities.resolve(flag.identity);
        let point = identity.map(|identity| self.points.of(self.plan, place, flag, identity));
        let (served, reason) = match point {
            Some(point) if plain.share.takes(point.exposure()) => (plain.serve, Reason::Split),
            Some(_) => (flag.default, Reason::Default),
            None => (flag.default, Reason::NoIdentity),
        };
        Some(Decision {
            flag,
            variant: flag.variant(served)?,
            point,
            place: u16::try_from(place).ok()?,
            reason,
            served,
            wanted: served,
            missed_draw: point.is_none(),
            verified: false,
            taken: None,
            missed: 0,
        })
    }

    #[inline]
    fn choose(&mut self, flag: &'p Flag, flag_place: usize, standing: &FlagStanding) -> (VariantId, Reason, Draw) {
        let mut draw = Draw::default();
        if flag.kill {
            return (flag.baseline, Reason::Killed, draw);
        }
        if flag.is_back() || standing.phase == Phase::RolledBack {
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
            let (outcome, reason) = self.serve(flag, flag_place, rule, standing, whole, &mut draw);
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
    #[inline]
    fn serve(
        &mut self,
        flag: &'p Flag,
        place: usize,
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
                Some(identity) => *draw.point.insert(self.points.of(self.plan, place, flag, identity)),
                None => {
                    draw.no_identity = true;
                    return (RuleOutcome::NoIdentity { share }, whole);
                }
            },
        };
        let exposure = point.exposure();
        if !share.takes(exposure) {
            draw.missed |= rule.judged.and_then(|rule| 1_u8.checked_shl(u32::from(rule))).unwrap_or(0);
            return (RuleOutcome::Missed { share, exposure }, whole);
        }
        draw.taken = rule.judged;
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
#[inline]
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
    taken: Option<u8>,
    missed: u8,
}
