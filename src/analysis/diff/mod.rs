//! What differs between two configs: [`compare`] finds each [`change`], with rules paired by [`align`]; [`moves`]
//! counts the users that move; [`callout`] warns of dangerous changes.

pub mod align;
pub mod callout;
pub mod change;
pub mod compare;
pub mod moves;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use callout::CallOut;
use change::{Change, Comparison};
use moves::Moves;
use tidegate_engine::value::name::FlagKey;

/// What changed, and who moves.
#[derive(Debug)]
pub struct Difference {
    pub comparison: Comparison,
    pub moves: BTreeMap<FlagKey, Moves>,
}

impl Difference {
    /// All that is called out, with the flag that it is about.
    pub fn callouts(&self) -> impl Iterator<Item = (Option<&FlagKey>, &CallOut)> {
        let config = self.comparison.callouts.iter().map(|callout| (None, callout));
        let flags = self.comparison.flags.iter();
        config.chain(flags.flat_map(|flag| flag.callouts.iter().map(|callout| (Some(&flag.key), callout))))
    }

    pub fn json(&self) -> Value {
        let Comparison { config, callouts, flags, unchanged } = &self.comparison;
        let flags = flags.iter().map(|flag| {
            json!({
                "flag": flag.key.as_str(),
                "change": flag.fate.word(),
                "changes": flag.changes.iter().map(Change::json).collect::<Vec<_>>(),
                "callouts": flag.callouts.iter().map(CallOut::json).collect::<Vec<_>>(),
                "moves": self.moves.get(&flag.key).map(Moves::json),
            })
        });
        json!({
            "config": config.iter().map(Change::json).collect::<Vec<_>>(),
            "callouts": callouts.iter().map(CallOut::json).collect::<Vec<_>>(),
            "flags": flags.collect::<Vec<_>>(),
            "unchanged": unchanged,
        })
    }
}
