//! What changed between two configs, as data.
//!
//! Made by [`super::compare`]. Never says whether a change is right.

use serde_json::{Value, json};

use super::callout::CallOut;
use tidegate_engine::value::name::FlagKey;

/// What changed between two configs.
#[derive(Debug)]
pub struct Comparison {
    /// Changes outside of flags: the revision, the identity, the segments.
    pub config: Vec<Change>,
    pub callouts: Vec<CallOut>,
    /// The flags that changed, in key order.
    pub flags: Vec<FlagChange>,
    /// How many did not.
    pub unchanged: usize,
}

#[derive(Debug)]
pub struct FlagChange {
    pub key: FlagKey,
    pub fate: Fate,
    pub changes: Vec<Change>,
    pub callouts: Vec<CallOut>,
    /// Whether its decisions may change: an owner, for example, changes none.
    pub decides: bool,
}

/// What became of a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Added,
    Removed,
    Changed,
}

impl Fate {
    pub fn word(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Changed => "changed",
        }
    }
}

/// One thing that is not as it was.
#[derive(Clone, Debug)]
pub struct Change {
    pub field: String,
    pub old: Option<String>,
    pub new: Option<String>,
}

impl Change {
    /// What was and what is, if that is not the same.
    pub fn new(field: impl Into<String>, old: Option<String>, new: Option<String>) -> Option<Self> {
        (old != new).then(|| Self { field: field.into(), old, new })
    }

    /// A change that the shortened texts may not show.
    pub fn known(field: impl Into<String>, old: String, new: String) -> Self {
        let new = if old == new { format!("{new} (differs in what is not shown)") } else { new };
        Self { field: field.into(), old: Some(old), new: Some(new) }
    }

    /// A change that is shown elsewhere, or that holds a secret.
    pub fn bare(field: impl Into<String>) -> Self {
        Self { field: field.into(), old: None, new: None }
    }

    /// The change as a sentence of a list.
    pub fn words(&self) -> String {
        let Self { field, old, new } = self;
        match (old, new) {
            (Some(old), Some(new)) => format!("{field}: {old} -> {new}"),
            (None, Some(new)) => format!("{field} added: {new}"),
            (Some(old), None) => format!("{field} removed: {old}"),
            (None, None) => format!("{field} changed"),
        }
    }

    pub fn json(&self) -> Value {
        json!({"field": self.field, "old": self.old, "new": self.new, "words": self.words()})
    }
}

impl Comparison {
    /// Whether nothing at all changed.
    pub fn is_empty(&self) -> bool {
        self.config.is_empty() && self.flags.is_empty()
    }
}
