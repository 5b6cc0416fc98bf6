//! Turns percentages into parts per million, and weights into cumulative bounds.
//!
//! Shares are whole numbers from the door on. Never a float: 100 % is reached exactly, 0.0001 % is not lost.

use core::fmt;

use crate::problem::Wrong;
use crate::value::decimal::Decimal;

/// A share in parts per million, 0 to 1,000,000.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ppm(u32);

impl Ppm {
    pub const FULL: Self = Self(1_000_000);
    /// Those that a variant is tried on after a rollback: one in a hundred.
    pub const TRIAL: Self = Self(10_000);
    pub const NONE: Self = Self(0);

    /// Reads a percentage, with or without its sign: `12.5` or `12.5%`.
    ///
    /// # Errors
    ///
    /// Says what is wrong when it is no number, not between 0 and 100, or finer than 0.0001.
    pub fn parse_percent(text: &str) -> Result<Self, Wrong> {
        let digits = text.strip_suffix('%').unwrap_or(text).trim_end_matches(' ');
        let number = Decimal::parse(digits.as_bytes()).ok_or("must be a percentage, such as 12.5 or \"12.5%\"")?;
        let whole = number.scaled(4).ok_or("must be a multiple of 0.0001")?;
        let parts = u32::try_from(whole).ok().filter(|parts| *parts <= Self::FULL.0);
        parts.map(Self).ok_or_else(|| "must be from 0 to 100".into())
    }

    /// The share of so many parts per million; more than all is all.
    #[must_use]
    pub fn of(parts: u32) -> Self {
        Self(parts.min(Self::FULL.0))
    }

    #[must_use]
    pub fn rest(self) -> Self {
        Self(Self::FULL.0.saturating_sub(self.0))
    }

    /// The share in parts per million.
    #[must_use]
    pub fn parts(self) -> u32 {
        self.0
    }

    /// Whether the draw of an identity falls inside this share.
    #[inline]
    #[must_use]
    pub fn takes(self, draw: u32) -> bool {
        draw < self.0
    }
}

impl fmt::Display for Ppm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = self.0.wrapping_div(10_000);
        let rest = format!("{:04}", self.0.wrapping_rem(10_000));
        match rest.trim_end_matches('0') {
            "" => write!(f, "{whole}%"),
            digits => write!(f, "{whole}.{digits}%"),
        }
    }
}

/// The largest weight; with at most 64 variants every total fits 32 bits.
pub const MAX_WEIGHT: u32 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_are_read_and_shown_exactly() {
        for (text, parts, shown) in [
            ("0", 0, "0%"),
            ("0.0001", 1, "0.0001%"),
            ("12.5%", 125_000, "12.5%"),
            ("12.50 %", 125_000, "12.5%"),
            ("33.3333", 333_333, "33.3333%"),
            ("100", 1_000_000, "100%"),
            ("100.0", 1_000_000, "100%"),
        ] {
            let share = Ppm::parse_percent(text).unwrap();
            assert_eq!((share.parts(), share.to_string().as_str()), (parts, shown), "{text}");
        }
    }

    #[test]
    fn a_bad_percentage_says_what_is_wrong() {
        for (text, wrong) in [
            ("-1", "must be from 0 to 100"),
            ("100.0001", "must be from 0 to 100"),
            ("0.00001", "must be a multiple of 0.0001"),
            ("ten", "must be a percentage, such as 12.5 or \"12.5%\""),
            ("5%%", "must be a percentage, such as 12.5 or \"12.5%\""),
            ("", "must be a percentage, such as 12.5 or \"12.5%\""),
        ] {
            assert_eq!(Ppm::parse_percent(text).unwrap_err().to_string(), wrong, "{text}");
        }
    }

    #[test]
    fn nobody_and_everybody_are_exact() {
        assert!(!Ppm::NONE.takes(0));
        assert!(Ppm::FULL.takes(999_999));
    }
}
