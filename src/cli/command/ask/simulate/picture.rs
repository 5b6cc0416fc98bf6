//! Turns a course into an SVG: one panel per flag, one line per variant, with its confidence interval around it.
//!
//! Made for a page or an issue: a light background, colors that color-blind readers can tell apart, and a legend.
#![allow(clippy::float_arithmetic, reason = "a picture: no decision hangs on it")]

use core::ops::Range;

use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, ValueFormatter};
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;

use super::chart::{mark, ticks, top};
use tidegate_analysis::simulate::course::{Course, Ramp};
use tidegate_analysis::simulate::figure::{Estimate, float};
use tidegate_analysis::words::number::thousands;
use tidegate_analysis::words::time::moment;
use tidegate_engine::value::time::Timestamp;

const WIDTH: u32 = 960;
const HEIGHT: u32 = 280;
/// Where a legend is full.
const FULL: i32 = 860;
const HEAD: u32 = 64;

/// Room for the name of a flag, and its legend.
const TITLE: u32 = 28;

const FONT: &str = "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif";
const INK: RGBColor = RGBColor(31, 35, 40);
const SOFT: RGBColor = RGBColor(89, 99, 110);
const GRID: RGBColor = RGBColor(226, 229, 233);

/// Okabe and Ito's colors, without those that are too light for a line.
const COLORS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
];

pub(crate) fn svg(course: &Course) -> Result<String, String> {
    let mut text = String::new();
    let panels = u32::try_from(course.ramps.len()).unwrap_or(u32::MAX).max(1);
    let height = HEIGHT.saturating_mul(panels).saturating_add(HEAD);
    let area = SVGBackend::with_string(&mut text, (WIDTH, height)).into_drawing_area();
    draw(course, &area).map_err(|error| format!("cannot draw: {error}"))?;
    drop(area);
    Ok(text)
}

type Area<'t> = DrawingArea<SVGBackend<'t>, plotters::coord::Shift>;
type Drawn = Result<(), Box<dyn std::error::Error>>;

fn draw(course: &Course, area: &Area<'_>) -> Drawn {
    area.fill(&WHITE)?;
    let (head, rest) = area.split_vertically(HEAD);
    head.draw(&Text::new("Shares over time", (24, 14), text(22.0, INK)))?;
    let (from, to, users) = (moment(course.from), moment(course.to), thousands(course.users));
    let about = format!("{from} to {to}, times in UTC, {users} users, bands: 95% intervals");
    head.draw(&Text::new(about, (24, 44), text(17.0, SOFT)))?;
    for (ramp, panel) in course.ramps.iter().zip(rest.split_evenly((course.ramps.len().max(1), 1))) {
        one(course, ramp, &panel)?;
    }
    area.present()?;
    Ok(())
}

fn one(course: &Course, ramp: &Ramp, panel: &Area<'_>) -> Drawn {
    let since = |at: Timestamp| float(at.millis().saturating_sub(course.from.millis()).unsigned_abs());
    let end = since(course.to).max(1.0);
    let most =
        ramp.shown().filter_map(|(place, _)| ramp.moments.iter().filter_map(|moment| moment.counts.get(place)).max());
    let top = top(Estimate::new(most.max().copied().unwrap_or_default(), course.users).high);
    let times = ticks(course.from, course.to, 9).into_iter().map(|(at, text)| (since(at), text)).collect();
    let shares = (0..=4_u32).map(|part| top * f64::from(part) / 4.0).map(|part| (part, mark(part))).collect();
    let (title, plot) = panel.split_vertically(TITLE);
    legend(ramp, &title)?;
    let mut chart = ChartBuilder::on(&plot)
        .margin_top(8)
        .margin_left(12)
        .margin_right(28)
        .margin_bottom(8)
        .x_label_area_size(34)
        .y_label_area_size(68)
        .build_cartesian_2d(Axis::new(end, times), Axis::new(top, shares))?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(GRID)
        .bold_line_style(GRID)
        .axis_style(SOFT)
        .label_style(text(17.0, SOFT))
        .draw()?;
    for ((place, _), color) in ramp.shown().zip(COLORS.into_iter().cycle()) {
        let steps = steps(course, ramp, place, &since);
        let band = steps.iter().map(|(at, share)| (*at, share.high));
        let band = band.chain(steps.iter().rev().map(|(at, share)| (*at, share.low))).collect::<Vec<_>>();
        chart.draw_series([Polygon::new(band, color.mix(0.18))])?;
        let line = steps.iter().map(|(at, share)| (*at, share.part));
        chart.draw_series(LineSeries::new(line, color.stroke_width(2)))?;
    }
    Ok(())
}

/// The flag, and its variants behind it: above the lines, where they cannot lie on them.
fn legend(ramp: &Ramp, title: &Area<'_>) -> Drawn {
    let (head, body) = (text(19.0, INK), text(17.0, INK));
    let width = |what: &str, style: &TextStyle<'_>| -> Result<i32, Box<dyn std::error::Error>> {
        Ok(i32::try_from(title.estimate_text_size(what, style)?.0)?)
    };
    let mut at = 24_i32;
    title.draw(&Text::new(ramp.flag.clone(), (at, 4), head.clone()))?;
    at = at.saturating_add(width(&ramp.flag, &head)?).saturating_add(24);
    let all = ramp.shown().count();
    for (number, ((_, name), color)) in ramp.shown().zip(COLORS.into_iter().cycle()).enumerate() {
        let wide = width(name, &body)?.saturating_add(46);
        if at.saturating_add(wide) > FULL {
            let more = format!("and {} more", all.saturating_sub(number));
            title.draw(&Text::new(more, (at, 5), body))?;
            break;
        }
        title.draw(&Rectangle::new([(at, 11), (at + 18, 14)], color.filled()))?;
        title.draw(&Text::new(name.to_owned(), (at + 26, 5), body.clone()))?;
        at += wide;
    }
    Ok(())
}

/// The corners of a line that goes up in steps.
fn steps(course: &Course, ramp: &Ramp, place: usize, since: &dyn Fn(Timestamp) -> f64) -> Vec<(f64, Estimate)> {
    let mut corners: Vec<(f64, Estimate)> = Vec::new();
    for moment in &ramp.moments {
        let share = Estimate::new(moment.counts.get(place).copied().unwrap_or_default(), course.users);
        corners.extend(corners.last().map(|(_, before)| (since(moment.at), *before)));
        corners.push((since(moment.at), share));
    }
    corners.extend(corners.last().map(|(_, last)| (since(course.to), *last)));
    corners
}

fn text(size: f64, color: RGBColor) -> TextStyle<'static> {
    (FONT, size).into_font().color(&color)
}

/// From nothing to an end, with these marks and no others.
struct Axis {
    line: RangedCoordf64,
    marks: Vec<(f64, String)>,
}

impl Axis {
    fn new(end: f64, marks: Vec<(f64, String)>) -> Self {
        Self { line: (0.0..end).into(), marks }
    }
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        self.line.map(value, limit)
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        if hint.weight().allow_light_points() { Vec::new() } else { self.marks.iter().map(|(at, _)| *at).collect() }
    }

    fn range(&self) -> Range<f64> {
        self.line.range()
    }
}

impl ValueFormatter<f64> for Axis {
    fn format_ext(&self, value: &f64) -> String {
        let near = self.marks.iter().min_by(|(one, _), (two, _)| (one - value).abs().total_cmp(&(two - value).abs()));
        near.map(|(_, text)| text.clone()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::svg;
    use tidegate_analysis::request::{Identities, RequestSpec, Sender};
    use tidegate_analysis::simulate::course::Ramps;
    use tidegate_analysis::source::{Document, Loaded};
    use tidegate_engine::value::time::{Span, Timestamp};

    #[test]
    fn a_picture_says_who_when_and_how_many() {
        let text = include_str!("../../../../../tests/cli/configs/shop.yaml");
        let loaded = Loaded::new(Document::only("shop.yaml", text).unwrap(), false).unwrap();
        let spec = RequestSpec::new("GET", "checkout.shop.svc.cluster.local", "/api/export");
        let sender = Sender::new(&spec, &[&loaded.plan]);
        let (from, over) = (Timestamp::parse("2026-11-30T00:00:00Z").unwrap(), Span::parse("7d").unwrap());
        let course =
            Ramps::new(loaded.config, from, over).course(from, over, &sender, &Identities::Sampled(2_000), &());
        let svg = svg(&course).unwrap();
        for text in ["checkout", "v2", "1 Dec", "5 Dec", "0%", "60%", "2,000 users", "<polyline"] {
            assert!(svg.contains(text), "{text} is not in the picture");
        }
    }
}
