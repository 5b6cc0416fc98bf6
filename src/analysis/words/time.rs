//! Times and durations, as a config has them and as they are shown.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use tidegate_engine::value::time::{Span, Timestamp};

/// Reads a time or a day.
pub fn parse(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse_date(text).map_err(|_| "must be a time or a day, such as 2026-12-01T09:00:00Z".to_owned())
}

/// A time, as it is written in a config.
pub fn moment(at: Timestamp) -> String {
    let nanos = i128::from(at.millis()).saturating_mul(1_000_000);
    let text = OffsetDateTime::from_unix_timestamp_nanos(nanos).ok().and_then(|time| time.format(&Rfc3339).ok());
    // Past the year 9999 there is no such text.
    text.unwrap_or_else(|| format!("{} ms after 1970", at.millis()))
}

/// A time without what is less than a second.
pub fn whole(at: Timestamp) -> Timestamp {
    Timestamp::from_millis(at.millis().div_euclid(1_000).saturating_mul(1_000))
}

/// The day of a time, in UTC.
pub fn day(at: Timestamp) -> String {
    self::text(at).split('T').next().unwrap_or_default().to_owned()
}

/// A time in UTC; a day where it is the first moment of one.
pub fn text(time: Timestamp) -> String {
    let text = moment(time);
    text.strip_suffix("T00:00:00Z").map(str::to_owned).unwrap_or(text)
}

/// A duration, as a config has it: `1h30m`.
pub fn span(span: Span) -> String {
    const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
    let mut rest = span.millis();
    let mut text = String::new();
    for (unit, size) in UNITS {
        let (number, left) = (rest.checked_div(size).unwrap_or(0), rest.checked_rem(size).unwrap_or(0));
        if number > 0 {
            text += &number.to_string();
            text += unit;
        }
        rest = left;
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}
