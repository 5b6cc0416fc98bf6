//! The headers of one request or response, in one piece of memory.
//!
//! The layout is the one in which proxy-wasm hands maps over, so that what Envoy gave is read where it stands: the
//! number of headers, the lengths of each name and value, then each name and value with a zero byte behind it. Numbers
//! have four bytes, the lowest first. Reads nothing but what the lengths say, and nothing at all where they are wrong.

use core::iter::FusedIterator;

/// The size of a number.
const NUMBER: usize = 4;

/// Headers in order, each a name and a value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(Vec<u8>);

impl Headers {
    /// Headers as a host of proxy-wasm gives them.
    #[inline]
    #[must_use]
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// Puts headers together.
    pub fn collect<'h>(headers: impl Iterator<Item = (&'h [u8], &'h [u8])> + Clone) -> Self {
        let (mut count, mut size) = (0_usize, NUMBER);
        for (name, value) in headers.clone() {
            count = count.saturating_add(1);
            size = size.saturating_add(name.len()).saturating_add(value.len()).saturating_add(2 + 2 * NUMBER);
        }
        let mut bytes = Vec::with_capacity(size);
        let number = |bytes: &mut Vec<u8>, number: usize| {
            bytes.extend_from_slice(&u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes());
        };
        number(&mut bytes, count);
        for (name, value) in headers.clone() {
            number(&mut bytes, name.len());
            number(&mut bytes, value.len());
        }
        for (name, value) in headers {
            for part in [name, value] {
                bytes.extend_from_slice(part);
                bytes.push(0);
            }
        }
        Self(bytes)
    }

    /// The layout's bytes, for a host.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// All values of a header, by its name in lower case, as one: with commas between them.
    #[must_use]
    pub fn joined(&self, name: &[u8]) -> Option<Vec<u8>> {
        joined(self.iter(), name)
    }

    /// The headers in order.
    #[inline]
    #[must_use]
    pub fn iter(&self) -> Iter<'_> {
        let count = self.0.first_chunk().map_or(0, |count| u32::from_le_bytes(*count));
        let lengths = usize::try_from(count).ok().and_then(|count| count.checked_mul(2 * NUMBER));
        let split = self.0.get(NUMBER..).zip(lengths).and_then(|(rest, lengths)| rest.split_at_checked(lengths));
        let (lengths, rest) = split.unwrap_or_default();
        Iter { lengths, rest }
    }
}

/// All values of one of these headers, as [`Headers::joined`].
pub fn joined<'h>(headers: impl Iterator<Item = (&'h [u8], &'h [u8])>, name: &[u8]) -> Option<Vec<u8>> {
    let mut values = headers.filter(|(known, _)| *known == name).map(|(_, value)| value);
    let mut all = values.next()?.to_vec();
    for value in values {
        all.push(b',');
        all.extend_from_slice(value);
    }
    Some(all)
}

impl<'h> IntoIterator for &'h Headers {
    type Item = (&'h [u8], &'h [u8]);
    type IntoIter = Iter<'h>;

    fn into_iter(self) -> Iter<'h> {
        self.iter()
    }
}

/// Goes through [`Headers`].
#[derive(Clone, Debug)]
pub struct Iter<'h> {
    lengths: &'h [u8],
    rest: &'h [u8],
}

impl<'h> Iterator for Iter<'h> {
    type Item = (&'h [u8], &'h [u8]);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let (name, lengths) = self.lengths.split_first_chunk()?;
        let (value, lengths) = lengths.split_first_chunk()?;
        let length = |number: &[u8; NUMBER]| usize::try_from(u32::from_le_bytes(*number)).unwrap_or(usize::MAX);
        let (name, value) = (length(name), length(value));
        // Where the lengths are wrong, it ends here.
        self.lengths = &[];
        let (name, rest) = self.rest.split_at_checked(name)?;
        let (value, rest) = rest.get(1..)?.split_at_checked(value)?;
        self.rest = rest.get(1..)?;
        self.lengths = lengths;
        Some((name, value))
    }
}

impl FusedIterator for Iter<'_> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_together_is_read_again() {
        let all: [&[(&[u8], &[u8])]; 3] = [&[], &[(b"a", b"")], &[(b":path", b"/\0\xff"), (b"", b"x"), (b"a", b"b")]];
        for headers in all {
            let collected = Headers::collect(headers.iter().copied());
            assert!(collected.iter().eq(headers.iter().copied()), "{headers:?}");
            assert_eq!(collected.is_empty(), headers.is_empty());
            assert_eq!(Headers::from_bytes(collected.as_bytes().to_vec()), collected);
        }
    }

    #[test]
    fn a_header_that_stands_twice_is_one() {
        let all = Headers::collect([(&b"vary"[..], &b"a"[..]), (b"x", b""), (b"vary", b"b, c")].into_iter());
        assert_eq!(all.joined(b"vary").as_deref(), Some(&b"a,b, c"[..]));
        assert_eq!(all.joined(b"x").as_deref(), Some(&b""[..]));
        assert_eq!(all.joined(b"y"), None);
    }

    #[test]
    fn nothing_is_read_beyond_the_end() {
        let whole = Headers::collect([(&b"name"[..], &b"value"[..]), (b"other", b"")].into_iter());
        for length in 0..whole.as_bytes().len() {
            let cut = Headers::from_bytes(whole.as_bytes()[..length].to_vec());
            assert!(cut.iter().count() < 2, "{length}");
        }
        for place in 0..whole.as_bytes().len() {
            for byte in [0, 1, 0x7f, 0xff] {
                let mut bytes = whole.as_bytes().to_vec();
                bytes[place] = byte;
                Headers::from_bytes(bytes).iter().for_each(drop);
            }
        }
    }
}
