//! Turns a time into whether it lies in a freeze, once or each week.
//!
//! Offsets are fixed: rules of summer time are not known here. Reads no clock.

use core::fmt;

use crate::words::time;
use tidegate_engine::config::Kind;
use tidegate_engine::problem::{Quoted, Wrong};
use tidegate_engine::value::time::Timestamp;

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const DAY: i64 = 1_440;
const WEEK: i64 = 10_080;
const MINUTE: i64 = 60_000;

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

/// A minute of the week, from Monday on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Weekly(i64);

/// Minutes that clocks are ahead of UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offset(i64);

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
                let now = offset.minute(at);
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
            Window::Once(from, to) => write!(f, "{reason}, {} to {}", time::text(from), time::text(to)),
            Window::Weekly(from, to, offset) => write!(f, "{reason}, {from} to {to} {offset}"),
        }
    }
}

impl Weekly {
    /// Reads `Fri 16:00`.
    pub fn parse(text: &str) -> Result<Self, Wrong> {
        let due = || Wrong::from("must be a day and a time of the week, such as \"Fri 16:00\"");
        let (day, time) = text.split_once(' ').ok_or_else(due)?;
        let day = DAYS.iter().position(|name| *name == day).ok_or_else(due)?;
        let day = i64::try_from(day).map_err(|_| due())?;
        let minutes = clock(time).ok_or_else(due)?;
        Ok(Self(day.saturating_mul(DAY).saturating_add(minutes)))
    }
}

impl fmt::Display for Weekly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let day = usize::try_from(self.0.div_euclid(DAY)).ok().and_then(|day| DAYS.get(day)).unwrap_or(&"");
        let minutes = self.0.rem_euclid(DAY);
        write!(f, "{day} {:02}:{:02}", minutes.div_euclid(60), minutes.rem_euclid(60))
    }
}

impl Offset {
    pub const UTC: Self = Self(0);

    /// Reads `Z` or `+01:00`.
    pub fn parse(text: &str) -> Result<Self, Wrong> {
        let minutes = match (text, text.strip_prefix('+'), text.strip_prefix('-')) {
            ("Z", _, _) => Some(0),
            (_, Some(ahead), _) => clock(ahead),
            (_, _, Some(behind)) => clock(behind).map(i64::saturating_neg),
            _ => None,
        };
        minutes.map(Self).ok_or_else(|| "must be Z, or an offset such as \"+01:00\"".into())
    }

    /// The minute of the week that clocks with this offset show.
    fn minute(self, at: Timestamp) -> Weekly {
        // The epoch was a Thursday.
        let since_monday = at.millis().div_euclid(MINUTE).saturating_add(self.0).saturating_add(DAY.saturating_mul(3));
        Weekly(since_monday.rem_euclid(WEEK))
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sign, minutes) = (if self.0 < 0 { '-' } else { '+' }, self.0.saturating_abs());
        if minutes == 0 {
            f.write_str("UTC")
        } else {
            write!(f, "{sign}{:02}:{:02}", minutes.div_euclid(60), minutes.rem_euclid(60))
        }
    }
}

/// Minutes of `16:00`.
fn clock(text: &str) -> Option<i64> {
    let (hours, minutes) = text.split_once(':')?;
    let part = |text: &str, most: i64| -> Option<i64> {
        let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|number| digits && *number < most)
    };
    Some(part(hours, 24)?.saturating_mul(60).saturating_add(part(minutes, 60)?))
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
