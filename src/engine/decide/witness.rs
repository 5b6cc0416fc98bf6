//! Observers of a decision: none on the request path, and `explain` elsewhere.
//!
//! The one evaluator reports each step to its witness, so `explain` needs no second code path. Never changes a
//! decision.

use crate::config::Operator;
use crate::plan::{Flag, Subject, VariantId};
use crate::value::share::Ppm;

/// What a rule did with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleOutcome {
    ConditionFalse,
    /// The rule is at 0 % at this time.
    NobodyExposed,
    /// The rule draws, and the request has no identity to draw by.
    NoIdentity {
        share: Ppm,
    },
    /// The draw left the request out: `exposure` is not below the share.
    Missed {
        share: Ppm,
        exposure: u32,
    },
    Served {
        share: Ppm,
        variant: VariantId,
    },
}

/// Receives each step of a decision, in order.
pub trait Witness {
    /// Whether it wants to know anything at all.
    fn watches(&self) -> bool {
        true
    }
    /// A flag that matches is being decided. The next calls are about it.
    fn flag(&mut self, _: &Flag) {}
    /// A test was made on a value. `None` and `many` mean that there are several values, or that it is too long.
    fn test(&mut self, _: Subject, _: &Operator, _value: Option<&[u8]>, _many: bool, _holds: bool) {}
    /// The next result is negated.
    fn not(&mut self) {}
    /// The segment at this place of the plan was evaluated.
    fn segment(&mut self, _place: usize, _holds: bool) {}
    /// The rule at this place was tried.
    fn rule(&mut self, _place: usize, _: RuleOutcome) {}
}

/// Watches nothing, and costs nothing.
#[derive(Clone, Copy, Debug)]
pub struct Silent;

impl Witness for Silent {
    #[inline]
    fn watches(&self) -> bool {
        false
    }
}

/// One that may not be there: so that the module has one evaluator for requests and for explaining them.
impl<W: Witness + ?Sized> Witness for Option<&mut W> {
    #[inline]
    fn watches(&self) -> bool {
        self.is_some()
    }

    #[inline]
    fn flag(&mut self, flag: &Flag) {
        if let Some(witness) = self {
            witness.flag(flag);
        }
    }

    #[inline]
    fn test(&mut self, subject: Subject, operator: &Operator, value: Option<&[u8]>, many: bool, holds: bool) {
        if let Some(witness) = self {
            witness.test(subject, operator, value, many, holds);
        }
    }

    #[inline]
    fn not(&mut self) {
        if let Some(witness) = self {
            witness.not();
        }
    }

    #[inline]
    fn segment(&mut self, place: usize, holds: bool) {
        if let Some(witness) = self {
            witness.segment(place, holds);
        }
    }

    #[inline]
    fn rule(&mut self, place: usize, outcome: RuleOutcome) {
        if let Some(witness) = self {
            witness.rule(place, outcome);
        }
    }
}
