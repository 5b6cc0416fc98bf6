//! Gathers what is wrong with a config: every message in the program about a config is made here.
//!
//! A problem has the path of the field, what is wrong, and what was found. All of them are gathered before
//! anything is reported; a config with an error yields no plan. Never holds anything of a request.

use core::fmt::{self, Write as _};
use std::borrow::Cow;

/// The way from the root of a config to one of its fields: `flags.checkout.rules[2].percent`.
///
/// Built on the way down by borrowing, so that a path costs nothing until something is wrong.
#[derive(Clone, Copy, Debug)]
pub struct FieldPath<'p> {
    parent: Option<&'p FieldPath<'p>>,
    step: Step<'p>,
}

#[derive(Clone, Copy, Debug)]
enum Step<'p> {
    Root,
    Key(&'p str),
    Index(usize),
}

impl<'p> FieldPath<'p> {
    /// The config itself.
    pub const ROOT: FieldPath<'static> = FieldPath { parent: None, step: Step::Root };

    /// The field of this name inside this one.
    #[must_use]
    pub fn key(&'p self, key: &'p str) -> FieldPath<'p> {
        FieldPath { parent: Some(self), step: Step::Key(key) }
    }

    /// The element at this place of this list.
    #[must_use]
    pub fn index(&'p self, index: usize) -> FieldPath<'p> {
        FieldPath { parent: Some(self), step: Step::Index(index) }
    }
}

impl fmt::Display for FieldPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(parent) = self.parent else {
            return f.write_str("config");
        };
        let inside = parent.parent.is_some();
        if inside {
            parent.fmt(f)?;
        }
        match self.step {
            Step::Root => Ok(()),
            Step::Index(index) => write!(f, "[{index}]"),
            Step::Key(key) if plain(key) => write!(f, "{}{key}", if inside { "." } else { "" }),
            Step::Key(key) => write!(f, "[{}]", Quoted(key)),
        }
    }
}

/// Whether a key reads well in a path without quotes.
fn plain(key: &str) -> bool {
    !key.is_empty() && key.len() <= 64 && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// Text in quotes, escaped and cut to a length that fits a line.
#[derive(Clone, Copy, Debug)]
pub struct Quoted<'t>(pub &'t str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MOST: usize = 60;
        let cut = self.0.char_indices().nth(MOST).map_or(self.0.len(), |(at, _)| at);
        let (shown, rest) = self.0.split_at_checked(cut).unwrap_or((self.0, ""));
        let dots = if rest.is_empty() { "" } else { "..." };
        f.write_str("\"")?;
        for c in shown.chars() {
            // What would break a line, or a message, or hide in it; letters of every script stay readable.
            let readable = c == ' ' || c.is_ascii_graphic() || (!c.is_ascii() && c.is_alphanumeric());
            if !readable || matches!(c, '"' | '\\') {
                write!(f, "{}", c.escape_default())?;
            } else {
                f.write_char(c)?;
            }
        }
        write!(f, "{dots}\"")
    }
}

/// A rule that a value broke, in words that follow the path: `must be from 0 to 100`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong(Cow<'static, str>);

impl From<&'static str> for Wrong {
    fn from(text: &'static str) -> Self {
        Self(Cow::Borrowed(text))
    }
}

impl From<String> for Wrong {
    fn from(text: String) -> Self {
        Self(Cow::Owned(text))
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One thing that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    path: String,
    wrong: String,
}

impl Problem {
    /// The path of the field.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What is wrong with it.
    #[must_use]
    pub fn wrong(&self) -> &str {
        &self.wrong
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.wrong)
    }
}

/// Everything that was found wrong with one config.
///
/// An unknown field is kept apart: the filter goes on with a warning (an old module may meet a newer config),
/// while a check before the push takes it for an error.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems {
    errors: Kind,
    unknown: Kind,
    warnings: Kind,
}

/// Problems of one kind: the first ones with their texts, and how many there are in all. To write down a hundred
/// thousand that nobody will read would hold a worker up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Kind {
    first: Vec<Problem>,
    count: usize,
}

impl Kind {
    const MOST: usize = 5_000;

    fn note(&mut self, at: &FieldPath<'_>, wrong: &dyn fmt::Display) {
        self.count = self.count.saturating_add(1);
        if self.count <= Self::MOST {
            self.first.push(Problem { path: at.to_string(), wrong: wrong.to_string() });
        }
    }
}

impl Problems {
    /// Notes an error: this config will not run.
    pub fn error(&mut self, at: &FieldPath<'_>, wrong: impl fmt::Display) {
        self.errors.note(at, &wrong);
    }

    /// Notes a field that this version does not know.
    pub fn unknown(&mut self, at: &FieldPath<'_>, wrong: impl fmt::Display) {
        self.unknown.note(at, &wrong);
    }

    /// Notes what will run but may not be meant.
    pub fn warning(&mut self, at: &FieldPath<'_>, wrong: impl fmt::Display) {
        self.warnings.note(at, &wrong);
    }

    /// What keeps the config from running; of very many, the first five thousand.
    #[must_use]
    pub fn errors(&self) -> &[Problem] {
        &self.errors.first
    }

    /// How many errors there are in all.
    #[must_use]
    pub fn count(&self) -> usize {
        self.errors.count
    }

    /// The fields that this version does not know.
    #[must_use]
    pub fn unknown_fields(&self) -> &[Problem] {
        &self.unknown.first
    }

    /// What will run but may not be meant.
    #[must_use]
    pub fn warnings(&self) -> &[Problem] {
        &self.warnings.first
    }
}

impl Problems {
    /// All of it in one line, for a log.
    #[must_use]
    pub fn one_line(&self) -> String {
        self.to_string().replace('\n', "; ")
    }
}

impl fmt::Display for Problems {
    /// One error a line, and a last line that counts them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A config can be wrong in every line; a log needs no more than the first screens of it.
        const MOST: usize = 50;
        for problem in self.errors.first.iter().take(MOST) {
            writeln!(f, "{problem}")?;
        }
        match (self.errors.count, self.errors.count.saturating_sub(MOST)) {
            (1, _) => f.write_str("1 problem"),
            (count, 0) => write!(f, "{count} problems"),
            (count, more) => write!(f, "... and {more} more; {count} problems"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_reads_like_the_file() {
        let root = FieldPath::ROOT;
        let flags = root.key("flags");
        let flag = flags.key("checkout");
        let rules = flag.key("rules");
        assert_eq!(rules.index(2).key("percent").to_string(), "flags.checkout.rules[2].percent");
        assert_eq!(flags.key("a b").to_string(), "flags[\"a b\"]");
        assert_eq!(root.to_string(), "config");
        assert_eq!(root.index(0).to_string(), "[0]");
    }

    #[test]
    fn found_text_is_escaped_and_cut() {
        assert_eq!(Quoted("a\r\n\"b\"").to_string(), "\"a\\r\\n\\\"b\\\"\"");
        assert_eq!(Quoted(&"é".repeat(80)).to_string(), format!("\"{}...\"", "é".repeat(60)));
    }

    #[test]
    fn a_flood_of_problems_is_cut_and_counted() {
        let mut problems = Problems::default();
        for index in 0..60_000 {
            problems.error(&FieldPath::ROOT.index(index), "is wrong");
        }
        let text = problems.to_string();
        assert_eq!(text.lines().count(), 51);
        assert!(text.ends_with("... and 59950 more; 60000 problems"), "{text}");
        assert_eq!((problems.errors().len(), problems.count()), (5_000, 60_000));
    }
}
