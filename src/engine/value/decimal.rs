//! Turns decimal text into an exact number: `18`, `-0.5`, `12.5000`.
//!
//! Percentages, weights and the `number` operator are compared by it. Never a float: 0.1 + 0.2 is 0.3 here.

use core::fmt;

/// How many digits behind the point are kept.
const PLACES: usize = 12;

/// How many digits before the point are taken: what times 10^12 fits an `i128`.
const WHOLE: usize = 24;

/// A decimal number with up to 24 digits before the point and 12 behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Decimal(i128);

impl Decimal {
    /// Reads an optional sign, digits, and an optional fraction; nothing else, and no exponent.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (negative, digits) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] | rest => (false, rest),
        };
        let (whole, fraction) = match digits.iter().position(|byte| *byte == b'.') {
            Some(point) => (digits.get(..point)?, digits.get(point.checked_add(1)?..)?),
            None => (digits, &b"0"[..]),
        };
        // Zeros at the end of a fraction say nothing: `0.50000000000000000000` is a half.
        let kept = fraction.iter().rposition(|byte| *byte != b'0').map_or(0, |last| last.saturating_add(1));
        if whole.is_empty() || whole.len() > WHOLE || fraction.is_empty() || kept > PLACES {
            return None;
        }
        let places = (0..PLACES).map(|place| fraction.get(place).unwrap_or(&b'0'));
        let mut value: i128 = 0;
        for digit in whole.iter().chain(places) {
            let digit = digit.is_ascii_digit().then(|| digit.wrapping_sub(b'0'))?;
            // Never beyond 10^36.
            value = value.wrapping_mul(10).wrapping_add(i128::from(digit));
        }
        if !fraction.iter().all(u8::is_ascii_digit) {
            return None;
        }
        Some(Self(if negative { value.checked_neg()? } else { value }))
    }

    /// This number times 10^12.
    #[must_use]
    pub fn units(self) -> i128 {
        self.0
    }

    /// The next smaller and the next larger number that can be represented.
    #[must_use]
    pub fn neighbours(self) -> [Self; 2] {
        [Self(self.0.saturating_sub(1)), Self(self.0.saturating_add(1))]
    }

    /// This number times 10^`places`, where that is whole.
    #[must_use]
    pub fn scaled(self, places: u32) -> Option<i128> {
        let mut value = self.0.unsigned_abs();
        for _ in 0..u32::try_from(PLACES).ok()?.checked_sub(places)? {
            value = tenth(value)?;
        }
        let value = i128::try_from(value).ok()?;
        Some(if self.0 < 0 { value.wrapping_neg() } else { value })
    }
}

/// A tenth of a number, where that is whole. Word by word: a division of 128 bits is a KB of the module.
fn tenth(value: u128) -> Option<u128> {
    let (mut tenth, mut rest) = (0_u128, 0_u64);
    for shift in [96, 64, 32, 0] {
        let part = rest << 32 | u64::try_from(value >> shift & 0xffff_ffff).unwrap_or_default();
        tenth |= u128::from(part.wrapping_div(10)) << shift;
        rest = part.wrapping_rem(10);
    }
    (rest == 0).then_some(tenth)
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = format!("{:0>13}", self.0.unsigned_abs());
        let (whole, fraction) = digits.split_at(digits.len().saturating_sub(PLACES));
        let sign = if self.0 < 0 { "-" } else { "" };
        match fraction.trim_end_matches('0') {
            "" => write!(f, "{sign}{whole}"),
            fraction => write!(f, "{sign}{whole}.{fraction}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(text: &str) -> Option<Decimal> {
        Decimal::parse(text.as_bytes())
    }

    #[test]
    fn a_number_is_shown_as_short_as_it_can_be() {
        for text in ["0", "18", "-0.5", "12.5", "0.000000000001", "-123456789012345678901234.5"] {
            assert_eq!(decimal(text).unwrap().to_string(), text);
        }
        assert_eq!(decimal("+007.500").unwrap().to_string(), "7.5");
    }

    #[test]
    fn numbers_compare_exactly() {
        assert_eq!(decimal("50"), decimal("50.0"));
        assert_eq!(decimal("+0.5"), decimal("0.500000000000000000000000"));
        assert_eq!(decimal("-0"), decimal("0"));
        assert!(decimal("18") > decimal("17.999999999999"));
        assert!(decimal("-2") < decimal("-1"));
        assert!(decimal("123456789012345678901234.5").is_some());
    }

    #[test]
    fn what_is_no_number_is_none() {
        for text in ["", "-", ".", "5.", ".5", "1e3", "0x10", "1_000", " 1", "1 ", "1.2.3", "nan", "inf", "1.-2"] {
            assert_eq!(decimal(text), None, "{text:?}");
        }
        assert_eq!(decimal("1234567890123456789012345"), None, "too many digits before the point");
        assert_eq!(decimal("0.1234567890123"), None, "too many digits behind the point");
    }

    #[test]
    fn scaling_is_exact_or_refused() {
        assert_eq!(decimal("12.5").unwrap().scaled(4), Some(125_000));
        assert_eq!(decimal("0.0001").unwrap().scaled(4), Some(1));
        assert_eq!(decimal("0.00001").unwrap().scaled(4), None);
        assert_eq!(decimal("3").unwrap().scaled(0), Some(3));
        assert_eq!(decimal("-3.5").unwrap().scaled(1), Some(-35));
        assert_eq!(decimal("123456789012345678901234").unwrap().scaled(0), Some(123_456_789_012_345_678_901_234));
        assert_eq!(decimal("123456789012345678901234.5").unwrap().scaled(0), None);
    }
}
