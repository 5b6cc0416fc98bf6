//! Writes values as bytes that stay the same, and sums them up as one number: fingerprints and generations.
//!
//! Proxies compare these numbers, and after an update of the module a proxy finds its rollbacks by them. So nothing
//! here uses a derived `Hash`, which a new compiler or crate may change: each type defines how it is written, and
//! destructures itself, so that a new field does not compile until it is written, too. Two different values never have
//! the same bytes: whole numbers take eight bytes, the lowest first; text and lists have their length in front, a
//! choice has a number in front that is never given to another one. Never used to draw: that is [`super::hash`].

use super::decimal::Decimal;
use super::hash::{Salt, Stream};
use super::share::Ppm;
use super::time::{Span, Timestamp};

#[derive(Debug)]
pub struct Encoder(Stream);

pub trait Encode {
    fn encode(&self, out: &mut Encoder);
}

impl Encoder {
    /// Begins with what is written and in which version: a change of what follows is a new version.
    #[must_use]
    pub fn new(form: &str) -> Self {
        let mut out = Self(Stream::default());
        out.bytes(form.as_bytes());
        out
    }

    #[inline(never)]
    pub fn number(&mut self, number: u64) {
        self.0.write(&number.to_le_bytes());
    }

    #[inline(never)]
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.length(bytes.len());
        self.0.write(bytes);
    }

    pub fn length(&mut self, length: usize) {
        self.number(u64::try_from(length).unwrap_or(u64::MAX));
    }

    /// One of several forms, and what it holds.
    pub fn choice(&mut self, number: u8, inside: &(impl Encode + ?Sized)) {
        self.number(number.into());
        inside.encode(self);
    }

    #[must_use]
    pub fn finish(self) -> u64 {
        self.0.finish()
    }
}

macro_rules! numbers {
    ($($number:ty)*) => {$(
        impl Encode for $number {
            fn encode(&self, out: &mut Encoder) {
                out.number((*self).into());
            }
        }
    )*};
}

// Not `u8`: a list of them is bytes.
numbers!(bool u16 u32 u64);

impl Encode for () {
    fn encode(&self, _: &mut Encoder) {}
}

impl Encode for str {
    fn encode(&self, out: &mut Encoder) {
        out.bytes(self.as_bytes());
    }
}

impl Encode for [u8] {
    fn encode(&self, out: &mut Encoder) {
        out.bytes(self);
    }
}

impl<T: Encode> Encode for [T] {
    fn encode(&self, out: &mut Encoder) {
        out.length(self.len());
        for element in self {
            element.encode(out);
        }
    }
}

impl<T: Encode> Encode for Vec<T> {
    fn encode(&self, out: &mut Encoder) {
        self.as_slice().encode(out);
    }
}

impl<T: Encode + ?Sized> Encode for Box<T> {
    fn encode(&self, out: &mut Encoder) {
        (**self).encode(out);
    }
}

impl<T: Encode> Encode for Option<T> {
    fn encode(&self, out: &mut Encoder) {
        match self {
            None => out.number(0),
            Some(inside) => out.choice(1, inside),
        }
    }
}

impl<A: Encode, B: Encode> Encode for (A, B) {
    fn encode(&self, out: &mut Encoder) {
        let (one, two) = self;
        one.encode(out);
        two.encode(out);
    }
}

/// By rule a number of steps.
impl Encode for (u8, u8) {
    fn encode(&self, out: &mut Encoder) {
        out.bytes(&[self.0, self.1]);
    }
}

/// In parts per million.
impl Encode for Ppm {
    fn encode(&self, out: &mut Encoder) {
        self.parts().encode(out);
    }
}

/// In milliseconds.
impl Encode for Span {
    fn encode(&self, out: &mut Encoder) {
        self.millis().encode(out);
    }
}

/// In milliseconds since 1970, as two's complement.
impl Encode for Timestamp {
    fn encode(&self, out: &mut Encoder) {
        self.millis().cast_unsigned().encode(out);
    }
}

/// In units of 10^-12, as two's complement of 16 bytes.
impl Encode for Decimal {
    fn encode(&self, out: &mut Encoder) {
        out.bytes(&self.units().to_le_bytes());
    }
}

impl Encode for Salt {
    fn encode(&self, out: &mut Encoder) {
        self.state().encode(out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(value: &(impl Encode + ?Sized)) -> u64 {
        let mut out = Encoder::new("test/1");
        value.encode(&mut out);
        out.finish()
    }

    /// Frozen: a change here is a change of everything that is kept.
    #[test]
    fn the_vectors_are_frozen() {
        assert_eq!(written(&()), 0x1086_e3b9_6601_df59);
        assert_eq!(written(&1_u64), 0xea60_bc53_ddd3_1caf);
        assert_eq!(written("checkout"), 0x6bf5_181d_659a_1948);
        assert_eq!(written(&vec![(Box::<str>::from("a"), Some(1_u16)), ("b".into(), None)]), 0x0512_5868_a734_5840);
        assert_eq!(written(&Timestamp::from_millis(-1)), 0x6c06_5dd3_4ecd_014f);
        assert_eq!(written(&Decimal::parse(b"-12.5")), 0x82bf_dbe2_1072_fd1b);
    }

    #[test]
    fn what_is_grouped_otherwise_is_written_otherwise() {
        let lists: [&[&[&str]]; 6] = [&[&["ab", "c"]], &[&["a", "bc"]], &[&["ab"], &["c"]], &[], &[&[]], &[&[""]]];
        let mut prints: Vec<u64> = lists
            .iter()
            .map(|list| {
                let list: Vec<Vec<Box<str>>> =
                    list.iter().map(|inner| inner.iter().map(|text| Box::from(*text)).collect()).collect();
                written(&list)
            })
            .collect();
        prints.sort_unstable();
        prints.dedup();
        assert_eq!(prints.len(), lists.len());
        assert_ne!(written(&None::<u64>), written(&Some(0_u64)));
        assert_eq!(written(&[1_u8, 2][..]), written("\u{1}\u{2}"));
    }
}
