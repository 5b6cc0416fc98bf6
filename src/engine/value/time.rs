//! Turns the times and durations of a config into whole milliseconds.
//!
//! Time is a value everywhere in the engine: the host's clock is read in the filter, once a request, and handed
//! in. Never reads a clock.

use ::time::OffsetDateTime;
use ::time::format_description::well_known::Rfc3339;

use crate::problem::Wrong;

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The time so many milliseconds after the epoch.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    #[must_use]
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// The day in UTC: `2027-03-01`.
    #[must_use]
    pub fn day(self) -> String {
        let time = OffsetDateTime::from_unix_timestamp(self.0.div_euclid(1_000));
        time.map_or_else(
            |_| String::new(),
            |time| {
                let [month, day] = [u8::from(time.month()), time.day()].map(u32::from);
                format!("{:04}-{month:02}-{day:02}", u32::try_from(time.year()).unwrap_or_default())
            },
        )
    }

    /// Reads RFC 3339 with an offset: `2026-12-01T09:00:00Z`, `2026-12-01T10:00:00+01:00`.
    ///
    /// # Errors
    ///
    /// Says what is expected, if it is something else.
    pub fn parse(text: &str) -> Result<Self, Wrong> {
        let time = OffsetDateTime::parse(text, &Rfc3339)
            .map_err(|_| "must be a time with an offset, such as 2026-12-01T09:00:00Z")?;
        let millis = time.unix_timestamp().saturating_mul(1_000).saturating_add(i64::from(time.millisecond()));
        Ok(Self(millis))
    }

    /// Reads a day, `2027-03-01`, or a time in it; a day is its first moment in UTC.
    ///
    /// # Errors
    ///
    /// Says what is expected, if it is neither.
    pub fn parse_date(text: &str) -> Result<Self, Wrong> {
        let day = text.len() == 10;
        let midnight = format!("{text}T00:00:00Z");
        Self::parse(if day { &midnight } else { text }).map_err(|_| "must be a date, such as 2027-03-01".into())
    }
}

/// A length of time in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(u64);

impl Span {
    /// The span of so many milliseconds.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    #[must_use]
    pub const fn millis(self) -> u64 {
        self.0
    }

    /// The span in whole seconds, cut off.
    #[must_use]
    pub const fn seconds(self) -> u64 {
        self.0.wrapping_div(1_000)
    }

    /// Reads numbers with units: `800ms`, `10m`, `1h30m`, `30d`.
    ///
    /// # Errors
    ///
    /// Says what is expected, if it is something else or longer than ten years.
    pub fn parse(text: &str) -> Result<Self, Wrong> {
        const TEN_YEARS: u64 = 3_660 * 86_400_000;
        let due = || Wrong::from("must be a duration, such as 800ms, 10m or 30d");
        let mut rest = text;
        let mut total: u64 = 0;
        while !rest.is_empty() {
            let number = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(due)?;
            let (digits, tail) = rest.split_at_checked(number).ok_or_else(due)?;
            let unit = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
            let (unit, tail) = tail.split_at_checked(unit).ok_or_else(due)?;
            let millis: u64 = match unit {
                "ms" => 1,
                "s" => 1_000,
                "m" => 60_000,
                "h" => 3_600_000,
                "d" => 86_400_000,
                "w" => 604_800_000,
                _ => return Err(due()),
            };
            let amount: u64 = digits.parse().map_err(|_| due())?;
            total = amount
                .checked_mul(millis)
                .and_then(|part| total.checked_add(part))
                .filter(|sum| *sum <= TEN_YEARS)
                .ok_or("must be at most ten years")?;
            rest = tail;
        }
        if text.is_empty() { Err(due()) } else { Ok(Self(total)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_carry_their_offset() {
        let utc = Timestamp::parse("2026-12-01T09:00:00Z").unwrap();
        assert_eq!(utc, Timestamp::parse("2026-12-01T10:00:00+01:00").unwrap());
        assert_eq!(utc.millis(), 1_796_115_600_000);
        for text in ["2026-12-01", "2026-12-01T09:00:00", "2026-13-01T09:00:00Z", "tomorrow", ""] {
            assert!(Timestamp::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_date_with_or_without_time_is_a_date() {
        let day = Timestamp::parse_date("2027-03-01").unwrap();
        assert_eq!(day, Timestamp::parse_date("2027-03-01T00:00:00Z").unwrap());
        assert!(Timestamp::parse_date("2027-02-30").is_err());
    }

    #[test]
    fn durations_have_units() {
        for (text, millis) in
            [("800ms", 800), ("10m", 600_000), ("1h30m", 5_400_000), ("30d", 2_592_000_000), ("0s", 0)]
        {
            assert_eq!(Span::parse(text).unwrap().millis(), millis, "{text}");
        }
        for text in ["", "10", "m", "1.5h", "-1s", "1 h", "1y", "99999999999999999999s", "600w"] {
            assert!(Span::parse(text).is_err(), "{text}");
        }
    }
}
