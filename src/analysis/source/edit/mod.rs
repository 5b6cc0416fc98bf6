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
    alike_by(one, other, &|one, other| one == other)
}

/// The same, where the caller says which values other than lists and maps are the same.
pub fn alike_by(one: &Node, other: &Node, same: &dyn Fn(&Node, &Node) -> bool) -> bool {
    match (one, other) {
        (Node::List(one), Node::List(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| alike_by(one, other, same))
        }
        (Node::Map(one), Node::Map(other)) => {
            let found = |key: &str| other.iter().find(|(known, _)| &**known == key).map(|(_, value)| value);
            one.len() == other.len()
                && one.iter().all(|(key, value)| found(key).is_some_and(|other| alike_by(value, other, same)))
        }
        (one, other) => same(one, other),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::tree::Tree;
    use std::rc::Rc;

    fn path(text: &str) -> Path {
        Path(crate::source::example::steps(text))
    }

    fn node(json: &str) -> Node {
        serde_json::from_str(json).unwrap()
    }

    fn set(at: &str, to: &str) -> Edit {
        Edit::Set { at: path(at), to: node(to) }
    }

    fn remove(at: &str) -> Edit {
        Edit::Remove { at: path(at), comments: Comments::Drop }
    }

    fn insert(at: &str, to: &str) -> Edit {
        Edit::Insert { at: path(at), to: node(to) }
    }

    #[track_caller]
    fn edited(old: &str, edit: &Edit) -> Result<String, Refusal> {
        let text: Rc<str> = old.into();
        let tree = Tree::read(old, "").unwrap().remove(0);
        let new = super::text(&Document::of_tree("a.yaml", &text, &tree), std::slice::from_ref(edit))?;
        // Whatever the text looks like: it reads as the values with the same edit.
        let mut due = tree.node();
        apply(&mut due, std::slice::from_ref(edit)).unwrap();
        assert!(alike(&due, &Tree::read(&new, "").unwrap().remove(0).node()), "{old}\n{edit:?}\n{new}");
        Ok(new)
    }

    #[test]
    fn what_is_written_takes_the_form_of_what_is_around_it() {
        let cases = [
            ("a: 1 # one\nb: 2\n", set("a", "3"), "a: 3 # one\nb: 2\n"),
            ("a: 'x'\n", set("a", "\"y\""), "a: 'y'\n"),
            ("a: 'x'\n", set("a", "\"it's\""), "a: \"it's\"\n"),
            ("a: \"x\"\n", set("a", "\"y\""), "a: \"y\"\n"),
            ("a:\nb: 2\n", set("a", "\"on\""), "a: \"on\"\nb: 2\n"),
            ("a: |  # long\n  x\n  y\nb: 2\n", set("a", "\"z\""), "a: z  # long\nb: 2\n"),
            ("a: 2027-03-01\n", set("a", "\"2028-03-01\""), "a: 2028-03-01\n"),
            ("a: \"2027-03-01\"\n", set("a", "\"2028-03-01\""), "a: \"2028-03-01\"\n"),
            ("a: {b: 1}\n", set("a.c", "2"), "a: {b: 1, c: 2}\n"),
            ("a: {}\n", set("a.c", "2"), "a: {c: 2}\n"),
            ("a: {b: 1,}\n", set("a.c", "2"), "a: {b: 1, c: 2,}\n"),
            (
                "a: {\n  b: 1, # one\n  d: 3 # three\n}\n",
                set("a.c", "2"),
                "a: {\n  b: 1, # one\n  d: 3, # three\n  c: 2\n}\n",
            ),
            ("a:\n  b: 1\n    # deep\n# c\nd: 1\n", set("a.c", "2"), "a:\n  b: 1\n    # deep\n  c: 2\n# c\nd: 1\n"),
            ("a:\r\n  b: 1\r\nd: 1\r\n", set("a.c", "2"), "a:\r\n  b: 1\r\n  c: 2\r\nd: 1\r\n"),
            ("a: 1", set("b.c", "2"), "a: 1\nb: {c: 2}"),
            ("\"odd key\": {\"x.y\": 1}\n", set("[\"odd key\"][\"x.y\"]", "2"), "\"odd key\": {\"x.y\": 2}\n"),
            ("{\"a\": {\"b\": 1}}\n", set("a.c", "\"x\""), "{\"a\": {\"b\": 1, \"c\": \"x\"}}\n"),
            ("{\n  \"a\": 1\n}\n", set("b", "{\"c\": true}"), "{\n  \"a\": 1,\n  \"b\": {\"c\": true}\n}\n"),
            ("a:\n  - x # one\n  - y\n", insert("a[1]", "\"z\""), "a:\n  - x # one\n  - z\n  - y\n"),
            ("a:\n- x\n- y\nb: 1\n", insert("a[9]", "\"z\""), "a:\n- x\n- y\n- z\nb: 1\n"),
            ("a: [x, y]\n", insert("a[0]", "\"z\""), "a: [z, x, y]\n"),
            ("a: []\n", insert("a[0]", "\"z\""), "a: [z]\n"),
            ("a: [x, y, z]\n", remove("a[1]"), "a: [x, z]\n"),
            ("a: [x, y]\n", remove("a[1]"), "a: [x]\n"),
            ("a: [x]\n", remove("a[0]"), "a: []\n"),
            ("a:\n  - x\n  - y # two\n", remove("a[1]"), "a:\n  - x\n"),
            ("a:\n  b: 1\nc: 2\n", remove("a.b"), "a: {}\nc: 2\n"),
            ("a:\n  - b: 1\n    c: 2\n", remove("a[0].b"), "a:\n  - c: 2\n"),
            ("# top\n\n# of a\na: 1\n\nb: 2\n", remove("a"), "# top\n\nb: 2\n"),
            ("a: 1\n\n# of b\nb:\n  x: 1\n  # end of b\n\nc: 1\n", remove("b"), "a: 1\n\nc: 1\n"),
        ];
        for (old, edit, new) in cases {
            assert_eq!(edited(old, &edit).as_deref(), Ok(new), "{old}\n{edit:?}");
        }
    }

    #[test]
    fn what_cannot_be_changed_without_loss_is_refused_with_its_place() {
        for (old, edit, at, why) in [
            ("a: &x {b: 1}\nc: *x\n", set("a.b", "2"), 6, "anchor"),
            ("a: &x {b: 1}\nc: *x\n", set("c.b", "2"), 16, "alias"),
            ("a: &x {b: {d: 1}}\nc:\n  <<: *x\n", set("c.b.d", "2"), 23, "merge"),
            ("a: &x 1\nb: *x\n", remove("a"), 6, "anchor"),
            ("a: !!str 1\n", set("a", "\"2\""), 9, "tag"),
            ("a:\n  # why\n  - x\n", set("a", "1"), 13, "comments"),
            ("a: {  # why\n}\n", set("a.b", "1"), 3, "comment"),
        ] {
            let refusal = edited(old, &edit).unwrap_err();
            assert!(refusal.why.contains(why), "{old}: {refusal:?}");
            assert_eq!(refusal.at, at, "{old}: {refusal:?}");
        }
    }

    #[test]
    fn a_text_in_a_value_is_changed_where_it_stands() {
        let inner = "version: 1\nflags:\n  a: {kill: false} # why\n";
        let literal = format!("x:\n  value: |\n    {}y: 1\n", inner.trim_end().replace('\n', "\n    ") + "\n");
        let json = "{\"version\": 1, \"flags\": {\"a\": {\"kill\": false}}}";
        let single = format!("x: '{json}'\n");
        let double = format!("x: {}\n", serde_json::to_string(json).unwrap());
        for (old, key, add) in [
            (literal.clone(), "kill", "owner: it's"),
            (literal.replace('\n', "\r\n"), "kill", "owner: it's"),
            (single, "\"kill\"", "\"owner\": \"it''s\""),
            (double, "\\\"kill\\\"", "\\\"owner\\\": \\\"it's\\\""),
        ] {
            let text: Rc<str> = old.as_str().into();
            let tree = Tree::read(&old, "").unwrap().remove(0);
            let value = tree.field("x").map(|x| x.field("value").unwrap_or(x)).unwrap();
            let places = [(FieldPath::ROOT.to_string(), (value.span.clone(), value.span.clone()))].into();
            let document = Document::new("a.yaml", &text, Vec::new(), places);
            let edits = [set("flags.a.kill", "true"), set("flags.a.owner", "\"it's\"")];
            let new = super::text(&document, &edits).unwrap();
            let due = old.replacen(key, &format!("{add}, {key}"), 1).replace("false", "true");
            assert_eq!(new, due);
        }
    }
}
