//! Who watches a decision being made: nobody on the request path, and whoever wants to explain it elsewhere.
//!
//! A witness is told each step as it is taken, by the one evaluator that there is. Never changes a decision.

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

/// Is told what happens while a request is decided, in the order in which it happens.
pub trait Witness {
    /// A flag that matches is being decided: what follows is about it.
    fn flag(&mut self, _: &Flag) {}
    /// A test was made on a value, of which there may be none, or `many`; it holds or not.
    fn test(&mut self, _: Subject, _: &Operator, _value: Option<&[u8]>, _many: bool, _holds: bool) {}
    /// What comes next is turned into its opposite.
    fn not(&mut self) {}
    /// The segment at this place of the plan was asked, and holds or not.
    fn segment(&mut self, _place: usize, _holds: bool) {}
    /// The rule at this place was tried.
    fn rule(&mut self, _place: usize, _: RuleOutcome) {}
}

/// Watches nothing, and costs nothing.
#[derive(Clone, Copy, Debug)]
pub struct Silent;

impl Witness for Silent {}
