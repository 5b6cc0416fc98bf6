//! Figures as SVG: bars beside each other, and lines over a number.
//!
//! On a light ground of their own, so that they read alike on a light page and on a dark one; colors that color-blind
//! readers can tell apart.

use plotters::prelude::*;

const WIDTH: u32 = 960;
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

pub struct Bar {
    pub name: String,
    pub value: f64,
}

pub struct Line {
    pub name: String,
    pub points: Vec<(f64, f64)>,
}

/// Groups of bars, one below the other, in the color of the first word of their names.
pub fn bars(title: &str, groups: &[(String, Vec<Bar>)]) -> String {
    const ROW: i32 = 26;
    const LEFT: i32 = 250;
    let rows: usize = groups.iter().map(|(_, bars)| bars.len() + 2).sum();
    let height = 60 + ROW * i32::try_from(rows).expect("few rows");
    let most = groups.iter().flat_map(|(_, bars)| bars).map(|bar| bar.value).fold(1.0, f64::max);
    let scale = (f64::from(WIDTH) - f64::from(LEFT) - 90.0) / most;
    let mut kinds: Vec<&str> = Vec::new();
    picture(height.unsigned_abs(), |area| {
        area.draw(&Text::new(title.to_owned(), (24, 16), text(22.0, INK)))?;
        let mut y = 56;
        for (name, bars) in groups {
            area.draw(&Text::new(name.clone(), (24, y + 4), text(18.0, INK)))?;
            y += ROW;
            for bar in bars {
                let kind = bar.name.split(' ').next().unwrap_or_default();
                let color = kinds.iter().position(|known| *known == kind).unwrap_or_else(|| {
                    kinds.push(kind);
                    kinds.len() - 1
                });
                let end = LEFT + (bar.value.max(0.0) * scale).round() as i32;
                area.draw(&Text::new(bar.name.clone(), (44, y + 4), text(17.0, SOFT)))?;
                area.draw(&Rectangle::new([(LEFT, y + 3), (end, y + ROW - 4)], COLORS[color % COLORS.len()].filled()))?;
                area.draw(&Text::new(format!("{:.1}", bar.value), (end + 8, y + 4), text(17.0, INK)))?;
                y += ROW;
            }
            y += ROW / 2;
        }
        Ok(())
    })
}

/// How the numbers below a picture grow.
#[derive(Clone, Copy)]
pub enum Across {
    Steps,
    Factors,
}

impl Across {
    fn place(self, number: f64) -> f64 {
        match self {
            Self::Steps => number,
            Self::Factors => number.log10(),
        }
    }

    fn number(self, place: f64) -> f64 {
        match self {
            Self::Steps => place,
            Self::Factors => 10_f64.powf(place),
        }
    }
}

/// Lines with a mark for each point, and their names below the title.
pub fn lines(title: &str, below: &str, across: Across, lines: &[Line]) -> String {
    let points = |line: &Line| line.points.iter().map(|&(x, y)| (across.place(x), y)).collect::<Vec<_>>();
    let all: Vec<(f64, f64)> = lines.iter().flat_map(points).collect();
    let far = all.iter().map(|point| point.0).fold(1.0, f64::max);
    let high = all.iter().map(|point| point.1).fold(1.0, f64::max);
    picture(420, |area| {
        area.draw(&Text::new(title.to_owned(), (24, 16), text(22.0, INK)))?;
        let (mut x, mut y) = (24, 50);
        for (line, color) in lines.iter().zip(COLORS.into_iter().cycle()) {
            let wide = 56 + i32::try_from(area.estimate_text_size(&line.name, &text(17.0, INK))?.0)?;
            if x + wide > WIDTH.cast_signed() {
                (x, y) = (24, y + 24);
            }
            area.draw(&Rectangle::new([(x, y + 6), (x + 18, y + 9)], color.filled()))?;
            area.draw(&Text::new(line.name.clone(), (x + 26, y), text(17.0, INK)))?;
            x += wide;
        }
        let (_, plot) = area.split_vertically(y + 26);
        let mut chart = ChartBuilder::on(&plot)
            .margin(12)
            .margin_right(28)
            .x_label_area_size(52)
            .y_label_area_size(76)
            .build_cartesian_2d(0.0..far * 1.02, 0.0..high * 1.08)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID)
            .axis_style(SOFT)
            .label_style(text(17.0, SOFT))
            .x_desc(below)
            .x_labels(9)
            .x_label_formatter(&|place| format!("{:.0}", across.number(*place)))
            .y_label_formatter(&|figure| format!("{figure:.0}"))
            .draw()?;
        for (line, color) in lines.iter().zip(COLORS.into_iter().cycle()) {
            chart.draw_series(LineSeries::new(points(line), color.stroke_width(2)))?;
            chart.draw_series(points(line).into_iter().map(|point| Circle::new(point, 4, color.filled())))?;
        }
        Ok(())
    })
}

type Area<'t> = DrawingArea<SVGBackend<'t>, plotters::coord::Shift>;
type Drawn = Result<(), Box<dyn std::error::Error>>;

fn picture(height: u32, draw: impl FnOnce(&Area<'_>) -> Drawn) -> String {
    let mut svg = String::new();
    let area = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
    area.fill(&WHITE).expect("a string can be drawn on");
    draw(&area).expect("a string can be drawn on");
    area.present().expect("a string can be drawn on");
    drop(area);
    svg
}

fn text(size: f64, color: RGBColor) -> TextStyle<'static> {
    (FONT, size).into_font().color(&color)
}
