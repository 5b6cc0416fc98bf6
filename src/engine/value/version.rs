//! Turns text into versions and comparisons of them, by the rules of semver.org and with the signs that Cargo has: `^2.3`,
//! `~1.4`, `>=1.4.0-rc.1`, `1.*`.
//!
//! The crate that does the same is 11 KB of the module; the tests hold this to it. Never allocates for a version.

use core::cmp::Ordering;
use core::fmt;

/// A version: `1.4.0-rc.1`. What stands behind a `+` says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version<'t> {
    numbers: [u64; 3],
    pre: &'t str,
}

/// How a version is to stand to the one that is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    Exact,
    Greater,
    GreaterEq,
    Less,
    LessEq,
    Tilde,
    Caret,
    Wildcard,
}

impl Sign {
    const fn text(self) -> &'static str {
        match self {
            Self::Exact => "=",
            Self::Greater => ">",
            Self::GreaterEq => ">=",
            Self::Less => "<",
            Self::LessEq => "<=",
            Self::Tilde => "~",
            Self::Caret => "^",
            Self::Wildcard => "",
        }
    }
}

/// One comparison with a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub sign: Sign,
    pub major: u64,
    pub minor: Option<u64>,
    pub patch: Option<u64>,
    /// What stands behind a `-`, if anything.
    pub pre: Box<str>,
}

/// The versions that a condition takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Versions {
    /// `*`: all but those before a release.
    Any,
    Like(Wanted),
}

impl<'t> Version<'t> {
    #[must_use]
    pub fn parse(text: &'t str) -> Option<Self> {
        let (major, rest) = number(text)?;
        let (minor, rest) = number(rest.strip_prefix('.')?)?;
        let (patch, rest) = number(rest.strip_prefix('.')?)?;
        let (pre, rest) = behind(rest)?;
        rest.is_empty().then_some(Self { numbers: [major, minor, patch], pre })
    }
}

impl Versions {
    /// Reads one comparison; nothing else, and no list of them.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim_start_matches(' ');
        if let Some(rest) = wildcard(text) {
            return rest.trim_start_matches(' ').is_empty().then_some(Self::Any);
        }
        let signs = [Sign::Exact, Sign::GreaterEq, Sign::Greater, Sign::LessEq, Sign::Less, Sign::Tilde, Sign::Caret];
        let signed = signs.into_iter().find_map(|sign| Some((Some(sign), text.strip_prefix(sign.text())?)));
        let (sign, rest) = signed.unwrap_or((None, text));
        let (major, rest) = number(rest.trim_start_matches(' '))?;
        let (minor, rest) = part(rest)?;
        let (patch, rest) = part(rest)?;
        // A number behind a wildcard says nothing.
        if minor == Part::Any && matches!(patch, Part::Number(_)) {
            return None;
        }
        let (pre, rest) = if let Part::Number(_) = patch { behind(rest)? } else { ("", rest) };
        if !rest.trim_start_matches(' ').is_empty() {
            return None;
        }
        let is_wild = minor == Part::Any || patch == Part::Any;
        let sign = sign.unwrap_or(if is_wild { Sign::Wildcard } else { Sign::Caret });
        Some(Self::Like(Wanted { sign, major, minor: minor.number(), patch: patch.number(), pre: pre.into() }))
    }

    #[must_use]
    pub fn matches(&self, version: &Version<'_>) -> bool {
        match self {
            Self::Any => version.pre.is_empty(),
            Self::Like(comparison) => comparison.matches(version),
        }
    }
}

impl Wanted {
    fn matches(&self, version: &Version<'_>) -> bool {
        let Self { sign, major, minor, patch, pre } = self;
        let named = [Some(*major), *minor, *patch];
        // How it stands in the first numbers, as far as they are named.
        let first = |places: usize| {
            let pairs = version.numbers.iter().zip(named.iter().flatten()).take(places);
            pairs.fold(Ordering::Equal, |order, (is, due)| order.then(is.cmp(due)))
        };
        let numbers = first(3);
        // One that comes before a release is meant only by a comparison that names such a one of this release.
        if !version.pre.is_empty() && (pre.is_empty() || numbers.is_ne()) {
            return false;
        }
        let order = numbers.then_with(|| before(version.pre, pre));
        match sign {
            Sign::Exact | Sign::Wildcard => order.is_eq(),
            Sign::Greater => order.is_gt(),
            Sign::GreaterEq => order.is_ge(),
            Sign::Less => order.is_lt(),
            Sign::LessEq => order.is_le(),
            Sign::Tilde => order.is_ge() && first(2).is_eq(),
            Sign::Caret => {
                // The first number that is not 0 stays.
                let zeros = named.iter().flatten().take_while(|number| **number == 0).count();
                order.is_ge() && first(zeros.saturating_add(1)).is_eq()
            }
        }
    }
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Like(Wanted { sign, major, minor, patch, pre }) = self else { return f.write_str("*") };
        write!(f, "{}{major}", sign.text())?;
        for number in [minor, patch].into_iter().flatten() {
            write!(f, ".{number}")?;
        }
        if *sign == Sign::Wildcard {
            f.write_str(".*")?;
        }
        if pre.is_empty() { Ok(()) } else { write!(f, "-{pre}") }
    }
}

/// The order of what stands behind two `-`: nothing is a release, and comes last.
fn before(one: &str, other: &str) -> Ordering {
    match (one.is_empty(), other.is_empty()) {
        (false, false) => {}
        (one, other) => return one.cmp(&other),
    }
    let [mut ones, mut others] = [one, other].map(parts);
    loop {
        let order = match (ones.next(), others.next()) {
            (Some(one), Some(other)) => {
                // Numbers come first, and a longer one is a larger one.
                let [a, b] = [one, other].map(is_number);
                let length = if a && b { one.len().cmp(&other.len()) } else { b.cmp(&a) };
                length.then_with(|| one.cmp(other))
            }
            (None, None) => return Ordering::Equal,
            (one, other) => one.cmp(&other),
        };
        if order.is_ne() {
            return order;
        }
    }
}

/// A number of a comparison, behind a point.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Absent,
    Any,
    Number(u64),
}

impl Part {
    fn number(self) -> Option<u64> {
        if let Self::Number(number) = self { Some(number) } else { None }
    }
}

fn part(text: &str) -> Option<(Part, &str)> {
    let Some(text) = text.strip_prefix('.') else { return Some((Part::Absent, text)) };
    if let Some(rest) = wildcard(text) {
        return Some((Part::Any, rest));
    }
    number(text).map(|(number, rest)| (Part::Number(number), rest))
}

fn wildcard(text: &str) -> Option<&str> {
    matches!(text.as_bytes().first(), Some(b'*' | b'x' | b'X')).then(|| text.get(1..)).flatten()
}

/// The number that a text begins with, and the rest.
fn number(text: &str) -> Option<(u64, &str)> {
    let (digits, rest) = cut(text, |byte| byte.is_ascii_digit())?;
    if digits.len() > 1 && digits.starts_with('0') {
        return None;
    }
    Some((digits.parse().ok()?, rest))
}

/// What stands behind a `-`, the rest behind that and behind what follows a `+`.
fn behind(text: &str) -> Option<(&str, &str)> {
    let (pre, rest) = match text.strip_prefix('-') {
        Some(text) => words(text, true)?,
        None => ("", text),
    };
    match rest.strip_prefix('+') {
        Some(text) => Some((pre, words(text, false)?.1)),
        None => Some((pre, rest)),
    }
}

/// Words between points, none of them empty, and the rest; where they have an order, no number begins with 0.
fn words(text: &str, ordered: bool) -> Option<(&str, &str)> {
    let (words, rest) = cut(text, |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'))?;
    let fits = |word: &[u8]| match word {
        [] => false,
        [b'0', _, ..] => !(ordered && is_number(word)),
        _ => true,
    };
    parts(words).all(fits).then_some((words, rest))
}

/// What stands between points.
fn parts(words: &str) -> impl Iterator<Item = &[u8]> {
    words.as_bytes().split(|byte| *byte == b'.')
}

fn is_number(word: &[u8]) -> bool {
    word.iter().all(u8::is_ascii_digit)
}

/// As many bytes as are so, and the rest.
fn cut(text: &str, so: impl Fn(u8) -> bool) -> Option<(&str, &str)> {
    text.split_at_checked(text.bytes().take_while(|byte| so(*byte)).count())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Numbers, words and signs that stand near each other, well formed or not.
    fn version() -> impl Strategy<Value = String> {
        const NUMBER: &str = "(0|1|2|3|10|01|18446744073709551615|18446744073709551616|)";
        const BEHIND: &str = "(-(0|1|2|10|02|a|b|rc|0a|-|)(\\.(0|1|11|a|)){0,2})?(\\+(1|01|b|)(\\.[a-z0-9]?)?)?";
        let of = |pattern: &str| proptest::string::string_regex(pattern).unwrap();
        prop_oneof![
            4 => of("(0|1|2)\\.(0|1|2)\\.(0|1|2)(-(0|1|a|b|rc)(\\.(0|1|11|a)){0,2})?"),
            2 => of(&format!("{NUMBER}\\.{NUMBER}\\.{NUMBER}{BEHIND}")),
            1 => of(&format!("[ ]?{NUMBER}(\\.{NUMBER}){{0,3}}{BEHIND}[ ]?")),
        ]
    }

    fn comparison() -> impl Strategy<Value = String> {
        let near = "[ ]?(|=|>|>=|<|<=|~|\\^)[ ]?(0|1|2)(\\.(0|1|2|\\*)){0,2}(-(0|a|rc)(\\.1)?)?[ ]?";
        let near = proptest::string::string_regex(near).unwrap();
        let odd = "[ ]{0,2}(|=|>|>=|<|<=|~|\\^|=>)(x|X|\\*|)[ ,]?";
        let odd = || proptest::string::string_regex(odd).unwrap();
        prop_oneof![5 => near, 1 => odd(), 2 => (odd(), version()).prop_map(|(sign, version)| sign + &version)]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]
        #[test]
        fn versions_are_those_of_the_crate(text in version(), wanted in comparison()) {
            let (ours, theirs) = (Version::parse(&text), semver::Version::parse(&text).ok());
            prop_assert_eq!(ours.is_some(), theirs.is_some(), "{}", text);
            let one = |one: &semver::VersionReq| one.comparators.len() <= 1;
            let (like, due) = (Versions::parse(&wanted), semver::VersionReq::parse(&wanted).ok().filter(one));
            prop_assert_eq!(like.as_ref().map(ToString::to_string), due.as_ref().map(ToString::to_string), "{}", wanted);
            if let (Some(ours), Some(theirs), Some(like), Some(due)) = (ours, theirs, like, due) {
                prop_assert_eq!(like.matches(&ours), due.matches(&theirs), "{} {}", wanted, text);
            }
        }
    }
}
