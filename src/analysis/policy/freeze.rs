//! Says whether a time is inside a freeze, once or each week.
//!
//! Offsets are fixed: daylight saving time is not known here. Reads no clock.

use core::fmt;

use time::format_description::FormatItem;
use time::macros::format_description;
use time::{OffsetDateTime, Time, UtcOffset, Weekday};

use crate::words;
use tidegate_engine::config::Kind;
use tidegate_engine::problem::{Quoted, Wrong};
use tidegate_engine::value::time::Timestamp;

const DAYS: [(&str, Weekday); 7] = [
    ("Mon", Weekday::Monday),
    ("Tue", Weekday::Tuesday),
    ("Wed", Weekday::Wednesday),
    ("Thu", Weekday::Thursday),
    ("Fri", Weekday::Friday),
    ("Sat", Weekday::Saturday),
    ("Sun", Weekday::Sunday),
];

/// `16:00`
const CLOCK: &[FormatItem<'_>] = format_description!("[hour]:[minute]");

/// `+01:00`
const OFFSET: &[FormatItem<'_>] = format_description!("[offset_hour sign:mandatory]:[offset_minute]");

/// Time in which nothing changes.
#[derive(Debug)]
pub struct Freeze {
    window: Window,
    reason: Box<str>,
    types: Vec<Kind>,
}

#[derive(Debug)]
enum Window {
    Once(Timestamp, Timestamp),
    Weekly(Weekly, Weekly, Offset),
}

/// A time of the week, from Monday on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Weekly {
    days_from_monday: u8,
    time: Time,
}

/// How far clocks are ahead of UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offset(UtcOffset);

impl Freeze {
    pub fn once(from: Timestamp, to: Timestamp, reason: Box<str>, types: Vec<Kind>) -> Self {
        Self { window: Window::Once(from, to), reason, types }
    }

    pub fn weekly(from: Weekly, to: Weekly, offset: Offset, reason: Box<str>, types: Vec<Kind>) -> Self {
        Self { window: Window::Weekly(from, to, offset), reason, types }
    }

    /// Whether a flag of this type may not change at this time.
    pub fn holds(&self, kind: Kind, at: Timestamp) -> bool {
        let inside = match self.window {
            Window::Once(from, to) => from <= at && at < to,
            Window::Weekly(from, to, offset) => {
                let Some(now) = offset.time_of_week(at) else { return false };
                if from < to { from <= now && now < to } else { from <= now || now < to }
            }
        };
        inside && self.types.contains(&kind)
    }
}

impl fmt::Display for Freeze {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = Quoted(&self.reason);
        match self.window {
            Window::Once(from, to) => write!(f, "{reason}, {} to {}", words::time::text(from), words::time::text(to)),
            Window::Weekly(from, to, offset) => write!(f, "{reason}, {from} to {to} {offset}"),
        }
    }
}

impl Weekly {
    /// Reads `Fri 16:00`.
    pub fn parse(text: &str) -> Result<Self, Wrong> {
        let due = || Wrong::from("must be a day and a time of the week, such as \"Fri 16:00\"");
        let (day, time) = text.split_once(' ').ok_or_else(due)?;
        let (_, day) = DAYS.iter().find(|(name, _)| *name == day).ok_or_else(due)?;
        let time = Time::parse(time, CLOCK).map_err(|_| due())?;
        Ok(Self { days_from_monday: day.number_days_from_monday(), time })
    }
}

impl fmt::Display for Weekly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let day = DAYS.get(usize::from(self.days_from_monday)).map_or("", |(name, _)| name);
        write!(f, "{day} {:02}:{:02}", self.time.hour(), self.time.minute())
    }
}

impl Offset {
    pub const UTC: Self = Self(UtcOffset::UTC);

    /// Reads `Z` or `+01:00`.
    pub fn parse(text: &str) -> Result<Self, Wrong> {
        let offset = if text == "Z" { Ok(UtcOffset::UTC) } else { UtcOffset::parse(text, OFFSET) };
        // The library takes a day and an hour, which no clock is ahead.
        let offset = offset.ok().filter(|offset| offset.whole_hours().abs() < 24);
        offset.map(Self).ok_or_else(|| "must be Z, or an offset such as \"+01:00\"".into())
    }

    /// The time of the week that clocks with this offset show; none past the years that have a calendar.
    fn time_of_week(self, at: Timestamp) -> Option<Weekly> {
        let utc = OffsetDateTime::from_unix_timestamp(at.millis().div_euclid(1_000)).ok()?;
        let local = utc.checked_to_offset(self.0)?;
        Some(Weekly { days_from_monday: local.weekday().number_days_from_monday(), time: local.time() })
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_utc() {
            return f.write_str("UTC");
        }
        let text = self.0.format(OFFSET).map_err(|_| fmt::Error)?;
        f.write_str(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_week_is_round() {
        let weekly = |text| Weekly::parse(text).unwrap();
        let offset = Offset::parse("+01:00").unwrap();
        let freeze = Freeze::weekly(weekly("Fri 16:00"), weekly("Mon 08:00"), offset, "w".into(), vec![Kind::Release]);
        for (time, frozen) in [
            ("2026-12-04T14:59:59Z", false),
            ("2026-12-04T15:00:00Z", true),
            ("2026-12-06T23:30:00Z", true),
            ("2026-12-07T06:59:59Z", true),
            ("2026-12-07T07:00:00Z", false),
            ("1969-12-31T12:00:00Z", false),
            ("1969-12-28T12:00:00Z", true),
        ] {
            assert_eq!(freeze.holds(Kind::Release, Timestamp::parse(time).unwrap()), frozen, "{time}");
            assert!(!freeze.holds(Kind::KillSwitch, Timestamp::parse(time).unwrap()));
        }
        assert_eq!(freeze.to_string(), "\"w\", Fri 16:00 to Mon 08:00 +01:00");
    }

    #[test]
    fn what_is_no_time_of_a_week_is_refused() {
        for text in ["", "Fri", "Fri 24:00", "Fri 16:60", "Fri 1:00", "fri 16:00", "Fri +1:00", "Fri 16:00:00"] {
            assert!(Weekly::parse(text).is_err(), "{text}");
        }
        for text in ["", "01:00", "+1:00", "z", "+25:00"] {
            assert!(Offset::parse(text).is_err(), "{text}");
        }
    }
}
