//! Turns YAML, and so JSON, into values that know their place in the file.
//!
//! Values are read as Kubernetes reads them: `on`, `NO` and the like are booleans. A config is made of plain
//! [`Node`]s; the places are for messages. Never decides what a value means.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

use tidegate_engine::config::Node;
use tidegate_engine::problem::FieldPath;

/// A value, and the bytes of the file that it takes up.
#[derive(Clone, Debug)]
pub struct Tree {
    pub value: Value,
    pub span: Range<usize>,
}

#[derive(Clone, Debug)]
pub enum Value {
    /// Anything that has nothing inside.
    Scalar(Node),
    List(Vec<Tree>),
    Map(Vec<(Key, Tree)>),
}

/// A key of a map, and where it stands.
#[derive(Clone, Debug)]
pub struct Key {
    pub name: Box<str>,
    pub span: Range<usize>,
}

/// What cannot be read, and the bytes at which that shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unread {
    pub message: String,
    pub at: Range<usize>,
}

/// Where each field of a config stands: its key, and its value.
pub type Places = BTreeMap<String, (Range<usize>, Range<usize>)>;

impl Tree {
    /// Reads all documents of a file.
    ///
    /// # Errors
    ///
    /// The reader's own words, with the lines that it could not read.
    pub fn read(text: &str, file: &str) -> Result<Vec<Self>, String> {
        let options = serde_saphyr::options! { with_snippet: true };
        serde_saphyr::from_multiple_with_options(text, options).map_err(|error| worded(&error.to_string(), file))
    }

    /// Reads all documents of a file; with keys that stand twice, where these are told of elsewhere.
    ///
    /// # Errors
    ///
    /// What cannot be read, and the place.
    pub fn parse(text: &str, twice: bool) -> Result<Vec<Self>, Unread> {
        let keys =
            if twice { serde_saphyr::DuplicateKeyPolicy::PassThrough } else { serde_saphyr::DuplicateKeyPolicy::Error };
        let options = serde_saphyr::options! { with_snippet: false, duplicate_keys: keys };
        serde_saphyr::from_multiple_with_options(text, options).map_err(|error| {
            let at = error.location().map_or(0, |place| offset(text, place.line(), place.column()));
            let at = at..text.get(at..).and_then(|rest| rest.chars().next()).map_or(at, |c| at + c.len_utf8());
            let message = worded(&error.to_string(), "");
            let message = message.trim_start_matches([':', ' ']);
            // The place is told by its own words.
            let bare = message.split_once(" at line ").map_or(message, |(message, _)| message);
            Unread { message: bare.to_owned(), at }
        })
    }

    /// The value without its places.
    pub fn node(&self) -> Node {
        match &self.value {
            Value::Scalar(node) => node.clone(),
            Value::List(items) => Node::List(items.iter().map(Self::node).collect()),
            Value::Map(entries) => {
                Node::Map(entries.iter().map(|(key, value)| (key.name.clone(), value.node())).collect())
            }
        }
    }

    /// What stands under a key of a map.
    pub fn field(&self, name: &str) -> Option<&Self> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|(key, _)| &*key.name == name).map(|(_, value)| value),
            Value::Scalar(_) | Value::List(_) => None,
        }
    }

    /// The text, where it is some.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(Node::Text(text)) => Some(text),
            Value::Scalar(_) | Value::List(_) | Value::Map(_) => None,
        }
    }

    /// Where each field stands, by its path in the words of a problem.
    pub fn places(&self) -> Places {
        let mut places = Places::new();
        places.insert(FieldPath::ROOT.to_string(), (self.span.clone(), self.span.clone()));
        self.note(&FieldPath::ROOT, &mut places);
        places
    }

    fn note(&self, at: &FieldPath<'_>, places: &mut Places) {
        match &self.value {
            Value::Scalar(_) => {}
            Value::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    let at = at.index(index);
                    places.insert(at.to_string(), (item.span.clone(), item.span.clone()));
                    item.note(&at, places);
                }
            }
            Value::Map(entries) => {
                for (key, value) in entries {
                    let at = at.key(&key.name);
                    places.insert(at.to_string(), (key.span.clone(), value.span.clone()));
                    value.note(&at, places);
                }
            }
        }
    }
}

/// The reader's words, in the form of all other messages.
fn worded(error: &str, file: &str) -> String {
    // Advice for programmers is none for people.
    let error = error.replace(", set DuplicateKeyPolicy in Options if acceptable", "").replace("<input>", file);
    let (first, lines) = error.split_once('\n').unwrap_or((&error, ""));
    // `error: line 4 column 3: duplicate mapping key: a`: the place stands in the lines below, where there are any.
    let bare = first.trim_start_matches("error: ");
    let what = bare.split_once(": ").filter(|(place, _)| place.starts_with("line ") && !lines.is_empty());
    let what = what.map_or(bare, |(_, what)| what);
    if lines.is_empty() { format!("{file}: {what}") } else { format!("{what}\n{lines}") }
}

/// The byte at a line and column, both counted from 1.
fn offset(text: &str, line: u64, column: u64) -> usize {
    let place = |number: u64| usize::try_from(number.saturating_sub(1)).unwrap_or_default();
    let begin: usize = text.split_inclusive('\n').take(place(line)).map(str::len).sum();
    let rest = text.get(begin..).unwrap_or_default();
    begin + rest.chars().take(place(column)).take_while(|c| *c != '\n').map(char::len_utf8).sum::<usize>()
}

fn span(location: serde_saphyr::Location) -> Range<usize> {
    let place = |bytes: Option<u64>| bytes.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or_default();
    let start = place(location.span().byte_offset());
    start..start + place(location.span().byte_len())
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Spanned { value, referenced, .. } = Spanned::<Value>::deserialize(deserializer)?;
        Ok(Self { value, span: span(referenced) })
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Spanned { value, referenced, .. } = Spanned::<String>::deserialize(deserializer)?;
        Ok(Self { name: value.into(), span: span(referenced) })
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Read)
    }
}

struct Read;

impl<'de> Visitor<'de> for Read {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Scalar(Node::Null))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Scalar(Node::Bool(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Scalar(Node::Number(value.to_string().into())))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Scalar(Node::Number(value.to_string().into())))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Scalar(Node::number(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Scalar(Node::Text(value.into())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Value::Map(map))
    }
}
