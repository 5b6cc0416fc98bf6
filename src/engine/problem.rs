//! Gathers what is wrong with a config: every message in the program about a config is made here.
//!
//! A problem has the path of the field, the rule that is broken, what was found, and the names that would have been
//! possible, as data; it becomes words here and nowhere else, and no program reads the words back. All of them are
//! gathered before anything is reported; a config with an error yields no plan. Never holds anything of a request.

use core::fmt::{self, Write as _};
use core::ops::RangeInclusive;
use std::borrow::Cow;
use std::sync::Arc;

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

/// How many characters of a text a message shows.
const SHOWN: usize = 60;

/// Letters that are no ASCII, of the scripts that most people write in: in place of the tables of all, which are 3 KB of
/// the module.
const LETTERS: [RangeInclusive<char>; 19] = [
    '\u{c0}'..='\u{d6}',
    '\u{d8}'..='\u{f6}',
    '\u{f8}'..='\u{24f}',
    '\u{1e00}'..='\u{1eff}',
    // Greek, Cyrillic, Armenian, Georgian
    '\u{388}'..='\u{38a}',
    '\u{38e}'..='\u{3a1}',
    '\u{3a3}'..='\u{3f5}',
    '\u{400}'..='\u{481}',
    '\u{48a}'..='\u{52f}',
    '\u{531}'..='\u{556}',
    '\u{10d0}'..='\u{10fa}',
    // Hebrew, Arabic, Hindi, Thai
    '\u{5d0}'..='\u{5ea}',
    '\u{620}'..='\u{64a}',
    '\u{904}'..='\u{939}',
    '\u{e01}'..='\u{e30}',
    // Chinese, Japanese, Korean
    '\u{3041}'..='\u{3096}',
    '\u{30a1}'..='\u{30fa}',
    '\u{3400}'..='\u{9fff}',
    '\u{ac00}'..='\u{d7a3}',
];

/// Text in quotes, escaped and cut to a length that fits a line.
#[derive(Clone, Copy, Debug)]
pub struct Quoted<'t>(pub &'t str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cut = self.0.char_indices().nth(SHOWN).map_or(self.0.len(), |(at, _)| at);
        let (shown, rest) = self.0.split_at_checked(cut).unwrap_or((self.0, ""));
        let dots = if rest.is_empty() { "" } else { "..." };
        f.write_str("\"")?;
        for c in shown.chars() {
            // What would break a line, or a message, or hide in it; letters stay readable.
            let letter = || LETTERS.iter().any(|letters| letters.contains(&c));
            let readable = c == ' ' || c.is_ascii_graphic() || letter();
            if !readable || matches!(c, '"' | '\\') {
                write!(f, "{}", c.escape_default())?;
            } else {
                f.write_char(c)?;
            }
        }
        write!(f, "{dots}\"")
    }
}

/// The names that would have been possible. Many problems share one list.
pub type Known = Arc<[Cow<'static, str>]>;

/// Collects a list of known names. Not generic, so that the module has it once.
#[inline(never)]
pub fn known(names: &mut dyn Iterator<Item = Cow<'static, str>>) -> Known {
    names.collect()
}

/// A rule that a value broke. Data, where a program needs it; otherwise the words that follow the path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// The bytes cannot be read; the words end with the place.
    Syntax {
        words: String,
        line: usize,
        column: usize,
    },
    /// A map has a field that maps of this kind do not have.
    UnknownField {
        section: &'static str,
        known: Known,
    },
    /// There is nothing of this name.
    UnknownName {
        what: &'static str,
        known: Known,
    },
    /// The value is not one of a list of words.
    UnknownWord {
        known: Known,
    },
    /// A map has the same key a second time.
    Repeated,
    Other(Cow<'static, str>),
}

impl From<&'static str> for Wrong {
    fn from(words: &'static str) -> Self {
        Self::Other(Cow::Borrowed(words))
    }
}

impl From<String> for Wrong {
    fn from(words: String) -> Self {
        Self::Other(Cow::Owned(words))
    }
}

impl From<fmt::Arguments<'_>> for Wrong {
    fn from(words: fmt::Arguments<'_>) -> Self {
        words.to_string().into()
    }
}

impl Wrong {
    /// The names that would have been possible, where there is a list of them.
    #[must_use]
    pub fn known(&self) -> &[Cow<'static, str>] {
        match self {
            Self::UnknownField { known, .. } | Self::UnknownName { known, .. } | Self::UnknownWord { known } => known,
            Self::Syntax { .. } | Self::Repeated | Self::Other(_) => &[],
        }
    }

    /// In words, with what was found in place of the value that the rule asks for.
    fn write(&self, found: Option<&Found>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax { words, .. } => f.write_str(words)?,
            Self::UnknownField { section, .. } => {
                // A title begins with a capital letter, which it does not have in a sentence. The path has the name.
                let (first, rest) = section.split_at_checked(1).unwrap_or_default();
                return write!(f, "is not a field of {}{rest}", first.to_ascii_lowercase());
            }
            Self::UnknownName { what, known } => {
                write!(f, "is not {what} (")?;
                write_known(known, f)?;
                return match found {
                    Some(found) => write!(f, "; found {found})"),
                    None => f.write_str(")"),
                };
            }
            Self::UnknownWord { known } => {
                f.write_str("must be one of ")?;
                for (place, word) in known.iter().enumerate() {
                    write!(f, "{}{}", if place == 0 { "" } else { ", " }, Quoted(word))?;
                }
            }
            Self::Repeated => f.write_str("stands here more than once")?,
            Self::Other(words) => f.write_str(words)?,
        }
        match found {
            Some(found) => write!(f, " (found {found})"),
            None => Ok(()),
        }
    }
}

/// The first names, and how many more there are.
fn write_known(known: &[Cow<'static, str>], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    const MOST: usize = 10;
    let Some((first, rest)) = known.split_first() else { return f.write_str("there are none") };
    write!(f, "known: {first}")?;
    for name in rest.iter().take(MOST.saturating_sub(1)) {
        write!(f, ", {name}")?;
    }
    match known.len().saturating_sub(MOST) {
        0 => Ok(()),
        more => write!(f, " and {more} more"),
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(None, f)
    }
}

/// What was found instead, cut to what a message shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    Text(Box<str>),
    /// Anything else, in words: `a list of 3`.
    Other(Cow<'static, str>),
}

impl Found {
    #[must_use]
    pub fn text(text: &str) -> Self {
        // One more than is shown, so that it shows that there is more.
        let end = text.char_indices().nth(SHOWN.saturating_add(1)).map_or(text.len(), |(end, _)| end);
        Self::Text(text.get(..end).unwrap_or(text).into())
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => Quoted(text).fmt(f),
            Self::Other(words) => f.write_str(words),
        }
    }
}

/// One thing that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    path: String,
    wrong: Wrong,
    found: Option<Found>,
    about_key: bool,
}

impl Problem {
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The rule that is broken.
    #[must_use]
    pub fn wrong(&self) -> &Wrong {
        &self.wrong
    }

    /// The value that was found; for an unknown field, its name.
    #[must_use]
    pub fn found(&self) -> Option<&Found> {
        self.found.as_ref()
    }

    /// Whether the key at the end of the path is what is wrong, and not its value.
    #[must_use]
    pub fn is_about_key(&self) -> bool {
        self.about_key
    }

    /// What is wrong, in words that follow the path.
    #[must_use]
    pub fn message(&self) -> String {
        struct Message<'p>(&'p Problem);
        impl fmt::Display for Message<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.wrong.write(self.0.found.as_ref(), f)
            }
        }
        Message(self).to_string()
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.path)?;
        self.wrong.write(self.found.as_ref(), f)
    }
}

/// Everything that was found wrong with one config.
///
/// Unknown fields are kept apart: the filter only warns (an old module may get a newer config), while a check before
/// the push treats them as errors.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems {
    errors: Kind,
    unknown: Kind,
    warnings: Kind,
}

/// Problems of one kind: the first ones with their texts, and how many there are in all. A config can have a hundred
/// thousand problems, and to format them all would block a worker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Kind {
    first: Vec<Problem>,
    count: usize,
}

impl Kind {
    const MOST: usize = 5_000;

    /// Counts one more; whether it is among those that are kept.
    fn count(&mut self) -> bool {
        self.count = self.count.saturating_add(1);
        self.count <= Self::MOST
    }

    #[inline(never)]
    fn keep(&mut self, at: &FieldPath<'_>, wrong: Wrong, found: Option<Found>, about_key: bool) {
        self.first.push(Problem { path: at.to_string(), wrong, found, about_key });
    }
}

impl Problems {
    /// Notes an error: this config will not run.
    pub fn error(&mut self, at: &FieldPath<'_>, wrong: impl Into<Wrong>) {
        if self.errors.count() {
            self.errors.keep(at, wrong.into(), None, false);
        }
    }

    /// Notes an error of a key: its name, or that it stands where it does.
    pub fn error_of_key(&mut self, at: &FieldPath<'_>, wrong: impl Into<Wrong>) {
        if self.errors.count() {
            self.errors.keep(at, wrong.into(), None, true);
        }
    }

    /// Notes an error, with what was found instead.
    pub fn error_found(&mut self, at: &FieldPath<'_>, wrong: impl Into<Wrong>, found: impl FnOnce() -> Found) {
        if self.errors.count() {
            self.errors.keep(at, wrong.into(), Some(found()), false);
        }
    }

    /// Notes a field that this version does not know.
    pub fn unknown(&mut self, at: &FieldPath<'_>, key: &str, wrong: impl FnOnce() -> Wrong) {
        if self.unknown.count() {
            self.unknown.keep(&at.key(key), wrong(), Some(Found::text(key)), true);
        }
    }

    /// Notes what will run but may not be meant.
    pub fn warning(&mut self, at: &FieldPath<'_>, wrong: impl Into<Wrong>) {
        if self.warnings.count() {
            self.warnings.keep(at, wrong.into(), None, false);
        }
    }

    /// The errors, at most the first five thousand.
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
        // A config can be wrong in every line; the first screens are enough for a log.
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
    fn letters_are_letters() {
        let all = LETTERS.into_iter().flatten();
        let strange: Vec<char> =
            all.filter(|c| !c.is_alphanumeric() && !matches!(c, '\u{4dc0}'..='\u{4dff}')).collect();
        assert!(strange.is_empty(), "{strange:?}");
        assert_eq!(Quoted("Zoë Ünal 東京 \u{202e}").to_string(), "\"Zoë Ünal 東京 \\u{202e}\"");
    }

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
    fn a_problem_keeps_what_it_says_as_data() {
        let mut problems = Problems::default();
        let known = known(&mut (0..12).map(|n| format!("s{n}").into()));
        let wrong = Wrong::UnknownName { what: "a segment", known };
        problems.error_found(&FieldPath::ROOT.key("segment"), wrong, || Found::text("sO"));
        problems.error(&FieldPath::ROOT.key("a"), Wrong::UnknownName { what: "a segment", known: Known::default() });
        problems.error_found(&FieldPath::ROOT.key("b"), "must be text", || Found::text(&"é".repeat(80)));
        let [one, none, long] = problems.errors() else { panic!("{problems}") };
        let names = "s0, s1, s2, s3, s4, s5, s6, s7, s8, s9 and 2 more";
        assert_eq!(one.to_string(), format!("segment: is not a segment (known: {names}; found \"sO\")"));
        assert_eq!((one.wrong().known().len(), one.found()), (12, Some(&Found::Text("sO".into()))));
        assert_eq!(none.message(), "is not a segment (there are none)");
        assert_eq!(long.message(), format!("must be text (found \"{}...\")", "é".repeat(60)));
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
