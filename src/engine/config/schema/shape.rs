//! Turns what is known of a field into an entry of the reference: its name, what it takes, what it means.
//!
//! A [`Shape`] is what a field takes in a form that a program can read; the schema for editors is made of it. It is
//! never narrower than the reader, whose own types say the same more exactly and never ask it.

use std::borrow::Cow;

use crate::problem::{Wrong, known};

/// One kind of map in a config.
#[derive(Debug)]
pub struct Section {
    pub title: &'static str,
    /// Its fields, in the order in which they are best read.
    pub fields: &'static [Entry],
}

#[derive(Debug)]
pub struct Entry {
    pub name: &'static str,
    /// What it takes, for programs.
    #[cfg(not(target_arch = "wasm32"))]
    pub shape: Shape,
    /// What it takes, for people; nothing where its shape says that better.
    #[cfg(not(target_arch = "wasm32"))]
    takes: &'static str,
    /// What happens without it.
    #[cfg(not(target_arch = "wasm32"))]
    pub without: &'static str,
    #[cfg(not(target_arch = "wasm32"))]
    pub about: &'static str,
}

impl Section {
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.fields.iter().map(|entry| entry.name)
    }

    /// What is wrong with a field that it does not have.
    #[must_use]
    pub fn unknown_field(&self) -> Wrong {
        Wrong::UnknownField { section: self.title, known: known(&mut self.names().map(Cow::Borrowed)) }
    }

    #[must_use]
    pub fn field(&self, name: &str) -> Option<&'static Entry> {
        self.fields.iter().find(|entry| entry.name == name)
    }
}

#[cfg(not(target_arch = "wasm32"))]
impl Entry {
    /// What it takes, for people.
    #[must_use]
    pub fn takes(&self) -> Cow<'static, str> {
        let Shape::Words(words) = self.shape else { return self.takes.into() };
        let (last, words) = words.split_last().unwrap_or((&"", &[]));
        let words = words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
        format!("{words} or `{last}`").into()
    }
}

#[cfg(target_arch = "wasm32")]
pub(super) const fn entry(name: &'static str, _: Shape, _: &'static str, _: &'static str, _: &'static str) -> Entry {
    Entry { name }
}

#[cfg(not(target_arch = "wasm32"))]
#[must_use]
pub const fn entry(
    name: &'static str,
    shape: Shape,
    takes: &'static str,
    without: &'static str,
    about: &'static str,
) -> Entry {
    Entry { name, shape, takes, without, about }
}

/// What stands in place of what happens without a field, where it must be there.
pub const NEEDED: &str = "**required**";

#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// Whatever its reader takes.
    Any,
    One,
    Boolean,
    True,
    Words(&'static [&'static str]),
    /// Text for people.
    Prose,
    /// Text for people that says something.
    SomeProse,
    /// Text for people, of several lines.
    Lines,
    /// What a condition compares with.
    Bytes,
    HeaderName,
    HeaderValue,
    /// The name of a cookie or a query parameter.
    Parameter,
    Claim,
    /// A host, with or without a star in front.
    Host,
    PathPrefix,
    Method,
    FlagKey,
    /// The name of a variant, which YAML may have made a boolean of.
    Variant,
    Segment,
    /// A day, or a time in it.
    Date,
    /// A time with an offset.
    Time,
    Duration,
    /// 0 to 100, with or without the sign.
    Percent,
    /// A whole number from the first to the second.
    Whole(u32, u32),
    /// How many times as much: `1.5x`.
    Factor,
    /// Requests in a time: `50/s`.
    Rate,
    /// An address, or a network of addresses.
    Network,
    Semver,
    Comparison,
    /// An operator with its value, or text for `equals`.
    Test,
    /// A map with the fields of a section.
    Map(&'static Section),
    /// A map whose keys are the author's own names.
    Named {
        key: &'static Shape,
        value: &'static Shape,
    },
    /// A list with something in it.
    List(&'static Shape),
    /// A list that may be empty.
    ListOrNone(&'static Shape),
    Either(&'static [Shape]),
}

/// What the fields of a section have to do with each other.
#[derive(Clone, Copy, Debug)]
pub enum Together {
    /// At least one of these must be there.
    AnyOf(&'static [&'static str]),
    /// Exactly one must be there, these aside.
    OneBut(&'static [&'static str]),
    /// The two may not be used together.
    Apart(&'static str, &'static str),
    /// The first needs the second.
    Needs(&'static str, &'static str),
}
