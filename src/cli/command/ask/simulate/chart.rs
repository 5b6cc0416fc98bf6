//! Turns a course into a chart of characters, and a span of time into round ticks.
//!
//! One small chart per variant, so that nothing overlaps and nothing depends on color. Eighths of a character make
//! small shares visible. Never wider than a terminal.
#![allow(clippy::float_arithmetic, reason = "a picture: no decision hangs on it")]

use tidegate_analysis::simulate::course::{Course, Ramp};
use tidegate_analysis::simulate::figure::float;
use tidegate_engine::value::time::Timestamp;

/// The size of a chart, in characters, without its axes.
const WIDTH: i64 = 64;
const HEIGHT: u32 = 6;

/// From nothing to all of a character, in eighths.
const BLOCKS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// What ticks may stand apart.
const TICKS: [i64; 17] = [
    MINUTE,
    5 * MINUTE,
    15 * MINUTE,
    30 * MINUTE,
    HOUR,
    2 * HOUR,
    6 * HOUR,
    12 * HOUR,
    DAY,
    2 * DAY,
    4 * DAY,
    7 * DAY,
    14 * DAY,
    28 * DAY,
    91 * DAY,
    182 * DAY,
    364 * DAY,
];

/// Times worth marking between two times, each with its text; at most so many.
pub(crate) fn ticks(from: Timestamp, to: Timestamp, most: i64) -> Vec<(Timestamp, String)> {
    let (from, to) = (from.millis(), to.millis());
    let span = to.saturating_sub(from);
    let fits = |apart: &&i64| span < apart.saturating_mul(most);
    let apart = TICKS.iter().find(fits).copied().unwrap_or(3_640 * DAY);
    // Whole days are counted from the first midnight, shorter times from the midnight before.
    let midnight = |at: i64| at.div_euclid(DAY).saturating_mul(DAY);
    let first = if apart >= DAY { midnight(from.saturating_add(DAY).saturating_sub(1)) } else { midnight(from) };
    let all = std::iter::successors(Some(first), |at| at.checked_add(apart));
    let shown = all.skip_while(|at| *at < from).take_while(|at| *at <= to);
    shown.map(|at| (Timestamp::from_millis(at), label(at, apart))).collect()
}

/// A time as short as its neighbours let it be: the day, or the hour, with the day where one begins.
fn label(at: i64, apart: i64) -> String {
    let Ok(time) = time::OffsetDateTime::from_unix_timestamp(at.div_euclid(1_000)) else { return String::new() };
    let month = time.month().to_string();
    let month = month.get(..3).unwrap_or_default();
    if apart >= 91 * DAY {
        return format!("{} {month} {}", time.day(), time.year());
    }
    if apart >= DAY || time.hour() == 0 && time.minute() == 0 {
        return format!("{} {month}", time.day());
    }
    format!("{:02}:{:02}", time.hour(), time.minute())
}

/// The round share at which an axis ends: the least that all shares fit under.
pub(crate) fn top(part: f64) -> f64 {
    let nice = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8];
    nice.into_iter().find(|top| part <= top * 1.000_001).unwrap_or(1.0)
}

/// A share at an axis.
pub(crate) fn mark(part: f64) -> String {
    // Two digits behind the point are enough for half of the least top.
    let text = format!("{:.2}", part * 100.0);
    format!("{}%", text.trim_end_matches('0').trim_end_matches('.'))
}

/// The charts of one flag: one for each variant that is not the baseline and that anybody gets.
pub(crate) fn draw(course: &Course, ramp: &Ramp) -> Vec<(String, Vec<String>)> {
    ramp.shown().map(|(place, name)| (name.to_owned(), variant(course, ramp, place))).collect()
}

fn variant(course: &Course, ramp: &Ramp, place: usize) -> Vec<String> {
    let (from, to) = (course.from.millis(), course.to.millis());
    let span = to.saturating_sub(from).max(1);
    let users = float(course.users.max(1));
    // Each column shows the share in its middle, so that a step stands where its time is, to half a column.
    let middle = |column: i64| {
        let part = span.saturating_mul(column.saturating_mul(2).saturating_add(1)).wrapping_div(2 * WIDTH);
        Timestamp::from_millis(from + part)
    };
    let parts: Vec<f64> = (0..WIDTH).map(|column| float(ramp.count(place, middle(column))) / users).collect();
    let most = ramp.moments.iter().filter_map(|moment| moment.counts.get(place)).max().copied().unwrap_or_default();
    let top = top(float(most) / users);
    let rows = (0..HEIGHT).rev().map(|row| {
        let columns = parts.iter().map(|part| {
            let eighths = part / top * f64::from(HEIGHT) * 8.0 - f64::from(row) * 8.0;
            // Who is there is seen, even if there are few.
            let eighths = if row == 0 && *part > 0.0 { eighths.max(1.0) } else { eighths };
            block(eighths)
        });
        let mark = match row {
            row if row == HEIGHT - 1 => mark(top),
            row if row == HEIGHT / 2 - 1 => mark(top / 2.0),
            _ => String::new(),
        };
        let edge = if mark.is_empty() { '│' } else { '┤' };
        format!("{mark:>7} {edge}{}", columns.collect::<String>().trim_end())
    });
    let mut lines: Vec<String> = rows.collect();
    let column = |at: Timestamp| {
        let part = at.millis().saturating_sub(from).saturating_mul(WIDTH - 1);
        // Spans are never zero, nor minus one.
        part.checked_div(span).unwrap_or_default()
    };
    let ticks: Vec<(i64, String)> =
        ticks(course.from, course.to, 7).into_iter().map(|(at, text)| (column(at), text)).collect();
    let axis = (0..WIDTH).map(|place| if ticks.iter().any(|(at, _)| *at == place) { '┬' } else { '─' });
    lines.push(format!("{:>7} └{}", "0%", axis.collect::<String>()));
    let mut names = String::new();
    for (at, text) in ticks {
        let place = usize::try_from(at).unwrap_or_default().saturating_add(9);
        let free = names.chars().count();
        if free == 0 || free < place {
            names.push_str(&" ".repeat(place.saturating_sub(free)));
            names.push_str(&text);
        }
    }
    lines.push(format!("{names}  UTC"));
    lines
}

fn block(eighths: f64) -> char {
    let full = (1..BLOCKS.len()).take_while(|level| eighths + 0.5 >= float(u64::try_from(*level).unwrap_or(8))).count();
    BLOCKS.get(full).copied().unwrap_or('█')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_stand_where_people_count() {
        let texts = |from: &str, to: &str| {
            let (from, to) = (Timestamp::parse_date(from).unwrap(), Timestamp::parse_date(to).unwrap());
            ticks(from, to, 7).into_iter().map(|(_, text)| text).collect::<Vec<_>>().join(", ")
        };
        assert_eq!(texts("2026-12-01", "2026-12-06"), "1 Dec, 2 Dec, 3 Dec, 4 Dec, 5 Dec, 6 Dec");
        assert_eq!(texts("2026-11-30T15:00:00Z", "2026-12-14T15:00:00Z"), "1 Dec, 5 Dec, 9 Dec, 13 Dec");
        assert_eq!(
            texts("2026-12-01T22:30:00Z", "2026-12-02T05:00:00Z"),
            "23:00, 2 Dec, 01:00, 02:00, 03:00, 04:00, 05:00"
        );
        assert_eq!(texts("2026-12-01", "2026-12-01"), "1 Dec");
        assert_eq!(
            texts("2026-01-15", "2028-01-15"),
            "15 Jan 2026, 16 Jul 2026, 14 Jan 2027, 15 Jul 2027, 13 Jan 2028"
        );
    }

    #[test]
    fn axes_end_at_round_shares() {
        for (part, end, half) in
            [(0.0, "0.1%", "0.05%"), (0.011, "2%", "1%"), (0.5, "60%", "30%"), (0.9, "100%", "50%")]
        {
            let top = top(part);
            assert_eq!((mark(top).as_str(), mark(top / 2.0).as_str()), (end, half));
        }
    }
}
