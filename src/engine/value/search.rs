//! Finds bytes in a value in one pass: the same few steps for each byte, whatever the bytes are.
//!
//! It keeps, as bits, which beginnings of the pattern fit the bytes just read ("shift-and"). So no pattern and no value
//! is slow, `?` costs nothing, and several words can be looked for at once. Never allocates, and never goes back.

/// The longest value that conditions and identities look at.
pub const LOOKED_AT: usize = 4 * 1024;

/// The longest pattern: what a condition may compare with.
const LONGEST: usize = 1_024;

/// The places of a pattern at which each byte fits.
struct Fits<const WORDS: usize>([[u64; WORDS]; 256]);

impl<const WORDS: usize> Fits<WORDS> {
    fn new() -> Self {
        Self([[0; WORDS]; 256])
    }

    fn add(&mut self, byte: u8, word: usize, bit: u64) {
        if let Some(word) = self.0.get_mut(usize::from(byte)).and_then(|words| words.get_mut(word)) {
            *word |= bit;
        }
    }

    fn of(&self, byte: u8) -> &[u64; WORDS] {
        self.0.get(usize::from(byte)).unwrap_or(&[0; WORDS])
    }
}

/// Where the first run of bytes ends that fits the pattern, in which each `wild` byte is any byte.
#[must_use]
pub fn find(pattern: &[u8], value: &[u8], wild: Option<u8>) -> Option<usize> {
    match pattern.len() {
        0 => Some(0),
        1..=64 => find_in::<1>(pattern, value, wild),
        65..=LONGEST => find_in::<{ LONGEST / 64 }>(pattern, value, wild),
        _ => None,
    }
}

fn find_in<const WORDS: usize>(pattern: &[u8], value: &[u8], wild: Option<u8>) -> Option<usize> {
    let mut fits = Fits::<WORDS>::new();
    let (mut any, mut last, mut bit) = ([0_u64; WORDS], 0, 1_u64);
    for (at, byte) in pattern.iter().enumerate() {
        (last, bit) = (at >> 6, 1_u64.wrapping_shl(u32::try_from(at & 63).unwrap_or_default()));
        if Some(*byte) == wild {
            any.get_mut(last).into_iter().for_each(|any| *any |= bit);
        } else {
            fits.add(*byte, last, bit);
        }
    }
    let mut state = [0_u64; WORDS];
    for (at, byte) in value.iter().enumerate() {
        let mut carry = 1;
        for ((word, fits), any) in state.iter_mut().zip(fits.of(*byte)).zip(&any) {
            let next = (*word << 1 | carry) & (fits | any);
            carry = *word >> 63;
            *word = next;
        }
        if state.get(last).is_some_and(|word| word & bit != 0) {
            return Some(at.saturating_add(1));
        }
    }
    None
}

/// Which of some words stand in a text, in any case; together they have at most 64 letters, all lower-case.
#[must_use]
pub fn words<const COUNT: usize>(words: [&[u8]; COUNT], text: &[u8]) -> [bool; COUNT] {
    let mut fits = Fits::<1>::new();
    let (mut bit, mut starts, mut ends) = (1_u64, 0, [0; COUNT]);
    for (word, end) in words.iter().zip(&mut ends) {
        starts |= bit;
        for letter in *word {
            fits.add(*letter, 0, bit);
            fits.add(letter.to_ascii_uppercase(), 0, bit);
            *end = bit;
            bit = bit.wrapping_shl(1);
        }
    }
    let (mut state, mut seen) = (0, 0);
    for byte in text {
        let [fits] = fits.of(*byte);
        state = (state << 1 | starts) & fits;
        seen |= state;
    }
    ends.map(|end| seen & end != 0)
}

/// Whether a value fits a pattern in which `*` stands for any bytes, and `?` for one.
#[must_use]
pub fn glob(pattern: &[u8], value: &[u8]) -> bool {
    fits(pattern, value).unwrap_or(false)
}

fn fits(pattern: &[u8], value: &[u8]) -> Option<bool> {
    const ANY: u8 = b'?';
    let same = |piece: &[u8], bytes: &[u8]| {
        piece.len() == bytes.len() && piece.iter().zip(bytes).all(|(piece, byte)| *piece == ANY || piece == byte)
    };
    let mut pieces = pattern.split(|byte| *byte == b'*');
    let head = pieces.next()?;
    let Some(tail) = pieces.next_back() else { return Some(same(head, value)) };
    let (start, rest) = value.split_at_checked(head.len())?;
    let (mut rest, end) = rest.split_at_checked(rest.len().checked_sub(tail.len())?)?;
    if !same(head, start) || !same(tail, end) {
        return None;
    }
    // The first place where a piece fits leaves the most for those behind it.
    for piece in pieces {
        rest = rest.get(find(piece, rest, Some(ANY))?..)?;
    }
    Some(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_glob_is_only_stars_and_question_marks() {
        for (pattern, value, fits) in [
            ("*", "", true),
            ("?", "", false),
            ("a*c", "abbbc", true),
            ("a*c", "abbb", false),
            ("a?c", "abc", true),
            ("ab*ba", "aba", false),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b*", "xxbxxaxx", false),
            ("*a?*?b", "xaabyb", true),
            ("a[bc]", "ab", false),
            ("a[bc]", "a[bc]", true),
            ("", "", true),
            ("", "a", false),
            ("**", "abc", true),
        ] {
            assert_eq!(glob(pattern.as_bytes(), value.as_bytes()), fits, "{pattern} {value}");
        }
    }

    #[test]
    fn words_are_found_in_any_case() {
        let found = |text: &str| words([&b"bot"[..], b"tab", b"obo"], text.as_bytes());
        assert_eq!(found("a RoBot"), [true, false, true]);
        assert_eq!(found("botab"), [true, true, false]);
        assert_eq!(found("bo tta"), [false; 3]);
    }

    /// The pattern by trying everything.
    fn naive(pattern: &[u8], value: &[u8]) -> bool {
        match pattern.split_first() {
            None => value.is_empty(),
            Some((b'*', rest)) => (0..=value.len()).any(|taken| naive(rest, &value[taken..])),
            Some((first, rest)) => {
                value.split_first().is_some_and(|(byte, more)| (*first == b'?' || first == byte) && naive(rest, more))
            }
        }
    }

    proptest! {
        #[test]
        fn a_glob_fits_what_trying_everything_fits(pattern in "[ab?*]{0,8}", value in "[ab]{0,10}") {
            prop_assert_eq!(glob(pattern.as_bytes(), value.as_bytes()), naive(pattern.as_bytes(), value.as_bytes()));
        }

        #[test]
        fn bytes_are_found_where_they_first_stand(
            pattern in proptest::collection::vec(0_u8..2, 1..200), before in proptest::collection::vec(0_u8..2, 0..300),
        ) {
            let value = [&before[..], &pattern, &before].concat();
            let first = value.windows(pattern.len()).position(|window| window == pattern);
            prop_assert_eq!(find(&pattern, &value, None), first.map(|at| at + pattern.len()));
            let windows = before.windows(pattern.len());
            prop_assert_eq!(find(&pattern, &before, None).is_some(), windows.into_iter().any(|w| w == pattern));
        }
    }
}
