//! Turns a config's text and a list of [`Edit`]s into the new text: only the named fields change.
//!
//! Comments, order, quotes and blank lines stay, in YAML and in JSON, and where the config is a part of a manifest or a
//! text in one. `scan` finds the places, `splice` says what is put where, `inner` leads from a text in a value to the
//! file around it. [`apply`] makes the same edits to values. What [`quote`] and [`order`] say serves the formatter, too.
//! Never guesses: what cannot be changed without loss is refused, with its place.

mod inner;
pub mod order;
pub mod quote;
mod scan;
mod splice;

use std::fmt;
use std::ops::Range;

use super::Document;
use super::diagnostic::position;
use super::example::Step;
use tidegate_engine::config::Node;
use tidegate_engine::problem::FieldPath;

/// The way to a field of a config: `flags.checkout.rules[3].percent`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Path(pub Vec<Step>);

impl Path {
    /// A field of the config itself.
    pub fn of(key: &str) -> Self {
        Self::default().key(key)
    }

    #[must_use]
    pub fn key(mut self, key: &str) -> Self {
        self.0.push(Step::Key(key.to_owned()));
        self
    }

    #[must_use]
    pub fn index(mut self, index: usize) -> Self {
        self.0.push(Step::Index(index));
        self
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn write(at: &FieldPath<'_>, steps: &[Step], f: &mut fmt::Formatter<'_>) -> fmt::Result {
            match steps.split_first() {
                None => write!(f, "{at}"),
                Some((Step::Key(key), rest)) => write(&at.key(key), rest, f),
                Some((Step::Index(index), rest)) => write(&at.index(*index), rest, f),
            }
        }
        write(&FieldPath::ROOT, &self.0, f)
    }
}

/// One change of a config.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// A field gets a value; the maps around it are made where they are missing.
    Set { at: Path, to: Node },
    /// A list gets an item in front of the one at this place, or at its end.
    Insert { at: Path, to: Node },
    /// A field or an item goes.
    Remove { at: Path, comments: Comments },
    /// A comment behind a field; only where there is text that can have one.
    Remark { at: Path, text: String },
    /// A comment that begins so goes from behind a field.
    Unremark { at: Path, start: String },
}

/// What becomes of the comments of what goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comments {
    /// The one behind it stays, on a line of its own.
    Keep,
    /// They go, too, with those right above.
    Drop,
}

/// Where in the text something cannot be changed, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub at: usize,
    pub why: String,
}

fn refuse(at: usize, why: impl Into<String>) -> Refusal {
    Refusal { at, why: why.into() }
}

impl Refusal {
    /// The refusal, with its place in a file.
    pub fn told(&self, file: &str, text: &str) -> String {
        let (line, column) = position(text, self.at);
        format!("{file}:{line}:{column}: {}; the file is left as it is", self.why)
    }
}

/// Something put in the place of a part of a text.
type Splice = (Range<usize>, String);

/// The text of a document's file after some edits of its config.
pub fn text(document: &Document, edits: &[Edit]) -> Result<String, Refusal> {
    let root = FieldPath::ROOT.to_string();
    let at = document.places.get(&root).map_or(0, |(_, value)| value.start);
    let mut text = document.text.to_string();
    for edit in edits {
        let splices = inner::splices(&text, at, edit)?;
        text = put(text, splices);
    }
    Ok(text)
}

/// Puts all splices in place; none overlaps another.
fn put(mut text: String, mut splices: Vec<Splice>) -> String {
    splices.sort_by_key(|(range, _)| std::cmp::Reverse((range.start, range.end)));
    for (range, new) in splices {
        if text.is_char_boundary(range.start) && text.is_char_boundary(range.end) && range.start <= range.end {
            text.replace_range(range, &new);
        }
    }
    text
}

/// Makes edits to a config's values.
pub fn apply(config: &mut Node, edits: &[Edit]) -> Result<(), String> {
    for edit in edits {
        let (at, act) = match edit {
            Edit::Set { at, to } => (at, Act::Set(to)),
            Edit::Insert { at, to } => (at, Act::Insert(to)),
            Edit::Remove { at, .. } => (at, Act::Remove),
            Edit::Remark { .. } | Edit::Unremark { .. } => continue,
        };
        change(config, &at.0, &act).ok_or_else(|| format!("{at}: is not there"))?;
    }
    Ok(())
}

enum Act<'n> {
    Set(&'n Node),
    Insert(&'n Node),
    Remove,
}

fn change(node: &mut Node, steps: &[Step], act: &Act<'_>) -> Option<()> {
    let Some((step, rest)) = steps.split_first() else {
        if let Act::Set(to) = act {
            *node = (*to).clone();
        }
        return Some(());
    };
    match (&mut *node, step) {
        (Node::Map(entries), Step::Key(key)) => {
            let found = entries.iter().position(|(name, _)| **name == **key);
            match (found, act) {
                (Some(found), Act::Remove) if rest.is_empty() => {
                    entries.remove(found);
                    Some(())
                }
                (Some(found), _) => change(&mut entries.get_mut(found)?.1, rest, act),
                (None, Act::Set(_)) => {
                    let mut value = Node::Null;
                    change(&mut value, rest, act)?;
                    entries.push((key.as_str().into(), value));
                    Some(())
                }
                (None, _) => None,
            }
        }
        (Node::List(items), Step::Index(index)) => match act {
            Act::Insert(to) if rest.is_empty() => {
                items.insert((*index).min(items.len()), (*to).clone());
                Some(())
            }
            Act::Remove if rest.is_empty() => {
                (*index < items.len()).then(|| items.remove(*index))?;
                Some(())
            }
            _ => change(items.get_mut(*index)?, rest, act),
        },
        (Node::Null, Step::Key(_)) if matches!(act, Act::Set(_)) => {
            *node = Node::Map(Vec::new());
            change(node, steps, act)
        }
        _ => None,
    }
}

/// Whether two configs have the same values; the order of fields may differ.
pub fn alike(one: &Node, other: &Node) -> bool {
    match (one, other) {
        (Node::List(one), Node::List(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| alike(one, other))
        }
        (Node::Map(one), Node::Map(other)) => {
            let found = |key: &str| other.iter().find(|(known, _)| &**known == key).map(|(_, value)| value);
            one.len() == other.len()
                && one.iter().all(|(key, value)| found(key).is_some_and(|other| alike(value, other)))
        }
        (one, other) => one == other,
    }
}

/// The value at a path.
pub fn at<'n>(config: &'n Node, path: &Path) -> Option<&'n Node> {
    path.0.iter().try_fold(config, |node, step| match (node, step) {
        (Node::Map(entries), Step::Key(key)) => {
            entries.iter().find(|(name, _)| **name == **key).map(|(_, value)| value)
        }
        (Node::List(items), Step::Index(index)) => items.get(*index),
        _ => None,
    })
}
