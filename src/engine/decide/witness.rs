//! Who watches a decision being made: nobody on the request path, and whoever wants to explain it elsewhere.
//!
//! A witness is told each step as it is taken, by the one evaluator that there is. Never changes a decision.

use crate::config::Operator;
use crate::plan::{Flag, Subject, VariantId};
use crate::value::share::Ppm;

/// What a rule made of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Its condition is false.
    Untrue,
    /// It takes nobody at this time.
    Nobody,
    /// It draws, and there is nobody to draw for.
    NoIdentity {
        /// The share that it would take in.
        share: Ppm,
    },
    /// The draw left the request out.
    Missed {
        /// The share that it takes in.
        share: Ppm,
        /// Where the identity stands.
        exposure: u32,
    },
    /// It takes the request.
    Taken {
        /// The share that it takes in.
        share: Ppm,
        /// What it serves.
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
    fn rule(&mut self, _place: usize, _: Turn) {}
}

/// Watches nothing, and costs nothing.
#[derive(Clone, Copy, Debug)]
pub struct Silent;

impl Witness for Silent {}
