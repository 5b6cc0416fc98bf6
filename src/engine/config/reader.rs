//! Turns a [`Node`] into values, and what does not fit into problems with the path and the value found.
//!
//! A reader goes on after a problem, so that one look at a config finds all of them. `None` means that a problem
//! was noted; the caller leaves that part out. Never decides what a config means.

use core::ops::RangeInclusive;
use std::borrow::Cow;

use super::node::Node;
use super::schema::reference::Section;
use crate::problem::{FieldPath, Problems, Wrong, known};
use crate::value::decimal::Decimal;
use crate::value::order;
use crate::value::share::Ppm;
use crate::value::time::Span;

/// The most entries of a map whose keys are held against each other one by one.
const FEW: usize = 16;

/// A value and where it stands.
#[derive(Clone, Copy, Debug)]
pub struct Field<'n> {
    pub node: &'n Node,
    pub at: FieldPath<'n>,
}

impl<'n> Field<'n> {
    #[must_use]
    pub fn new(node: &'n Node, at: FieldPath<'n>) -> Self {
        Self { node, at }
    }

    /// Notes that this value breaks a rule.
    pub fn wrong(&self, problems: &mut Problems, wrong: impl Into<Wrong>) {
        problems.error_found(&self.at, wrong, || self.node.found());
    }

    /// Text; a number is its decimal text.
    pub fn text(&self, problems: &mut Problems) -> Option<&'n str> {
        match self.node {
            // Such a double can only be written as its bits, which is not what the author meant.
            Node::Number(text) if text.starts_with("0x") => {
                self.wrong(problems, "is a number that is not exact where text is needed: quote it");
                None
            }
            Node::Text(text) | Node::Number(text) => Some(text),
            // `NO`, `on` and `yes` are booleans to YAML: the most common way for text to arrive as something else.
            Node::Bool(_) => {
                self.wrong(problems, "is a boolean where text is needed: quote it");
                None
            }
            Node::Null | Node::List(_) | Node::Map(_) => {
                self.wrong(problems, "must be text");
                None
            }
        }
    }

    /// A number, read by a parser; text may hold one, too.
    pub fn number<T>(&self, problems: &mut Problems, parser: impl Fn(&str) -> Result<T, Wrong>) -> Option<T> {
        match self.node {
            Node::Text(text) | Node::Number(text) => self.parsed(problems, parser(text)),
            Node::Null | Node::Bool(_) | Node::List(_) | Node::Map(_) => {
                self.wrong(problems, "must be a number");
                None
            }
        }
    }

    /// Text that is a secret: the problem does not show what was found.
    pub fn secret<T>(&self, problems: &mut Problems, parser: impl Fn(&str) -> Result<T, Wrong>) -> Option<T> {
        match self.node {
            Node::Text(text) => parser(text)
                .map_err(|_| {
                    problems.error(&self.at, "must be visible ASCII, 1 to 256 bytes, and no space at its ends");
                })
                .ok(),
            _ => self.parse(problems, parser),
        }
    }

    /// The name of a variant: text, or the boolean that YAML made of `on` and `off`.
    pub fn switch(&self, problems: &mut Problems) -> Option<&'n str> {
        match self.node {
            Node::Bool(true) => Some("on"),
            Node::Bool(false) => Some("off"),
            _ => self.text(problems),
        }
    }

    pub fn parse<T>(&self, problems: &mut Problems, parser: impl Fn(&str) -> Result<T, Wrong>) -> Option<T> {
        let text = self.text(problems)?;
        self.parsed(problems, parser(text))
    }

    /// What a parser made of this value.
    pub fn parsed<T>(&self, problems: &mut Problems, result: Result<T, Wrong>) -> Option<T> {
        result.map_err(|wrong| self.wrong(problems, wrong)).ok()
    }

    pub fn boolean(&self, problems: &mut Problems) -> Option<bool> {
        match self.node {
            Node::Bool(value) => Some(*value),
            _ => {
                self.wrong(problems, "must be true or false");
                None
            }
        }
    }

    pub fn share(&self, problems: &mut Problems) -> Option<Ppm> {
        self.number(problems, Ppm::parse_percent)
    }

    /// A number in steps of 10^-`places` with or without a unit, and how many steps it has, or the words for what is
    /// due.
    pub fn steps(
        &self,
        problems: &mut Problems,
        places: u32,
        unit: &str,
        range: RangeInclusive<u32>,
        due: &'static str,
    ) -> Option<u32> {
        self.number(problems, |text| {
            steps(text.strip_suffix(unit).unwrap_or(text), places, range.clone()).ok_or_else(|| due.into())
        })
    }

    /// A duration in this range of milliseconds; `due` is the message for any other.
    pub fn span(&self, problems: &mut Problems, range: RangeInclusive<u64>, due: &'static str) -> Option<Span> {
        let span = self.parse(problems, Span::parse)?;
        if !range.contains(&span.millis()) {
            self.wrong(problems, due);
            return None;
        }
        Some(span)
    }

    pub fn list(&self, problems: &mut Problems) -> Option<&'n [Node]> {
        match self.node {
            Node::List(items) => Some(items),
            _ => {
                self.wrong(problems, "must be a list");
                None
            }
        }
    }

    /// Reads each element of a list that may not be empty. Skips elements that are wrong.
    pub fn each<T>(
        &self,
        problems: &mut Problems,
        most: Limit,
        mut read: impl FnMut(&Field<'_>, &mut Problems) -> Option<T>,
    ) -> Option<Vec<T>> {
        let items = self.list(problems)?;
        if items.is_empty() {
            self.wrong(problems, "may not be empty");
            return None;
        }
        most.hold(&self.at, items.len(), problems).then(|| {
            let fields = items.iter().enumerate().map(|(index, node)| Field::new(node, self.at.index(index)));
            fields.filter_map(|field| read(&field, problems)).collect()
        })
    }

    /// The entries of a map, each key once.
    pub fn entries(&self, problems: &mut Problems) -> Option<&'n [(Box<str>, Node)]> {
        let Node::Map(entries) = self.node else {
            self.wrong(problems, "must be a map");
            return None;
        };
        // Most maps are small, and need no list of their keys.
        let mut before = entries.iter().enumerate().map(|(place, (key, _))| (key, entries.get(..place).unwrap_or(&[])));
        if entries.len() <= FEW && !before.any(|(key, before)| before.iter().any(|(other, _)| other == key)) {
            return Some(entries);
        }
        let keys = order::of(entries.iter().map(|(key, _)| key.as_bytes()));
        for same in keys.chunk_by(|(one, _), (two, _)| one == two) {
            if let [_, (_, again), ..] = same
                && let Some((key, _)) = entries.get(*again)
            {
                problems.error_of_key(&self.at.key(key), Wrong::Repeated);
            }
        }
        Some(entries)
    }

    /// The entries of a map that may have so many, by their keys.
    pub fn members(&self, most: Limit, problems: &mut Problems) -> Vec<(&str, Field<'_>)> {
        let places = self.member_places(most, problems).into_iter();
        let Node::Map(entries) = self.node else { return Vec::new() };
        let members = places.filter_map(|place| entries.get(place));
        members.map(|(key, node)| (&**key, Field::new(node, self.at.key(key)))).collect()
    }

    /// The places of the entries of a map that may have so many, by their keys.
    pub fn member_places(&self, most: Limit, problems: &mut Problems) -> Vec<usize> {
        match self.entries(problems) {
            Some(entries) if most.hold(&self.at, entries.len(), problems) => {
                order::of(entries.iter().map(|(key, _)| key.as_bytes())).into_iter().map(|(_, place)| place).collect()
            }
            _ => Vec::new(),
        }
    }

    /// A map with the fields of a section. Notes each field that the section does not have.
    pub fn object(&self, section: &'static Section, problems: &mut Problems) -> Option<Object<'n>> {
        let entries = self.entries(problems)?;
        let unknown = |key: &str| section.field(key).is_none();
        if entries.iter().any(|(key, _)| unknown(key)) {
            for (key, _) in in_order(entries).filter(|(key, _)| unknown(key)) {
                problems.unknown(&self.at, key, || section.unknown_field());
            }
        }
        Some(Object { at: self.at, entries })
    }

    /// A map whose fields were looked at before.
    #[must_use]
    pub fn known_object(&self) -> Option<Object<'n>> {
        let Node::Map(entries) = self.node else { return None };
        Some(Object { at: self.at, entries })
    }
}

/// The entries of a map, sorted by key: nothing may depend on the order in which they were written.
fn in_order(entries: &[(Box<str>, Node)]) -> impl Iterator<Item = &(Box<str>, Node)> {
    let order = order::of(entries.iter().map(|(key, _)| key.as_bytes()));
    order.into_iter().filter_map(|(_, place)| entries.get(place))
}

#[derive(Clone, Copy, Debug)]
pub struct Object<'n> {
    at: FieldPath<'n>,
    entries: &'n [(Box<str>, Node)],
}

impl Object<'_> {
    /// The field of this name, where there is one.
    #[must_use]
    pub fn field<'o>(&'o self, name: &'o str) -> Option<Field<'o>> {
        let (_, node) = self.entries.iter().find(|(key, _)| **key == *name)?;
        Some(Field::new(node, self.at.key(name)))
    }

    /// The field of this name, or a problem.
    pub fn required<'o>(&'o self, name: &'o str, problems: &mut Problems) -> Option<Field<'o>> {
        let field = self.field(name);
        if field.is_none() {
            problems.error(&self.at.key(name), "is required");
        }
        field
    }

    /// Notes a problem if neither of these fields is present.
    pub fn either(&self, one: &str, other: &str, problems: &mut Problems) {
        if self.field(one).is_none() && self.field(other).is_none() {
            problems.error(&self.at, format_args!("must have {one} or {other}"));
        }
    }

    /// Which of these names are present, in this order and each once: a map has no order of its own.
    pub fn present<'s>(&self, names: impl Iterator<Item = &'s str>) -> Vec<&'s str> {
        names.filter(|name| self.entries.iter().any(|(key, _)| **key == **name)).collect()
    }
}

/// How many of something a config may have.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    most: usize,
    what: &'static str,
}

/// The headers that a variant or a reply may have.
pub const HEADERS: Limit = Limit::new(16, "headers");

impl Limit {
    #[must_use]
    pub const fn new(most: usize, what: &'static str) -> Self {
        Self { most, what }
    }

    /// Whether so many are allowed. Over the limit is an error that names it; from 80 % on, a warning.
    pub fn hold(self, at: &FieldPath<'_>, count: usize, problems: &mut Problems) -> bool {
        let Self { most, what } = self;
        if count > most {
            problems.error(at, format_args!("may have at most {most} {what}, not {count}"));
        } else if count.saturating_mul(5) >= most.saturating_mul(4) && most >= 50 {
            problems.warning(at, format_args!("has {count} of at most {most} {what}"));
        }
        count <= most
    }
}

/// How many steps of 10^-`places` a number has, where they are whole and in the range.
#[must_use]
pub fn steps(text: &str, places: u32, range: RangeInclusive<u32>) -> Option<u32> {
    let number = u32::try_from(Decimal::parse(text.as_bytes())?.scaled(places)?).ok();
    number.filter(|number| range.contains(number))
}

/// One of a closed list of words.
///
/// # Errors
///
/// Lists the words, if it is not one of them.
pub fn word<T: Copy>(text: &str, words: &[(&'static str, T)]) -> Result<T, Wrong> {
    let found = words.iter().find(|(word, _)| *word == text);
    found.map(|(_, value)| *value).ok_or_else(|| unknown_word(&mut words.iter().map(|(word, _)| (*word).into())))
}

// Not part of `word`, of which there is one for each type.
fn unknown_word(words: &mut dyn Iterator<Item = Cow<'static, str>>) -> Wrong {
    Wrong::UnknownWord { known: known(words) }
}
