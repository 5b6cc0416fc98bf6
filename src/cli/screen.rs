//! Turns what commands have to say into lines, tables and JSON: on the output what was asked for, beside it what went
//! wrong and how far a long run is. Never says anything of its own.

use std::borrow::Cow;
use std::fmt::Display;
use std::io::{self, Stderr, Stdout, Write};

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};
use clap::ValueEnum;
use comfy_table::{CellAlignment, ContentArrangement, Table};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

/// What is fine.
pub(super) const GOOD: Style = AnsiColor::Green.on_default();
/// What is not.
pub(super) const BAD: Style = AnsiColor::Red.on_default().bold();
/// What may not be meant.
pub(super) const ODD: Style = AnsiColor::Yellow.on_default();
/// What a reader looks for.
pub(super) const MAIN: Style = Style::new().bold();
/// What a reader may pass over.
pub(super) const FAINT: Style = Style::new().dimmed();

/// How things are shown, for every command.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct Options {
    /// What the output is for: people, or programs
    #[arg(long, short, global = true, value_enum, default_value_t = Format::Table, value_name = "FORMAT")]
    output: Format,
    /// Whether to use colors; NO_COLOR in the environment turns `auto` off
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto, value_name = "WHEN")]
    color: Color,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Color {
    Auto,
    Always,
    Never,
}

/// Where a command writes.
pub(super) struct Screen {
    out: AutoStream<Stdout>,
    err: AutoStream<Stderr>,
    format: Format,
}

impl Screen {
    pub(super) fn new(options: Options) -> Self {
        let choice = match options.color {
            Color::Auto => ColorChoice::Auto,
            Color::Always => ColorChoice::Always,
            Color::Never => ColorChoice::Never,
        };
        Self {
            out: AutoStream::new(io::stdout(), choice),
            err: AutoStream::new(io::stderr(), choice),
            format: options.output,
        }
    }

    /// Whether a program reads the output: it gets one JSON document, and nothing else.
    pub(super) fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// Whether what goes to the output is colored.
    pub(super) fn is_colored(&self) -> bool {
        self.out.current_choice() != ColorChoice::Never
    }

    /// Writes one line, or several.
    pub(super) fn line(&mut self, text: impl Display) -> io::Result<()> {
        writeln!(self.out, "{text}")
    }

    /// Writes the one document of a command that was asked for JSON.
    pub(super) fn json(&mut self, value: &impl Serialize) -> io::Result<()> {
        // A document of our own making can always be written down.
        let text = serde_json::to_string_pretty(value).unwrap_or_default();
        writeln!(self.out, "{text}")
    }

    /// Writes one element of the list that is the document of a command: one line each, so that a long list needs no
    /// room. The first one opens the list, and [`Screen::end`] closes it.
    #[expect(clippy::unused_self, reason = "what is shown belongs to the screen")]
    pub(super) fn element(&mut self, place: usize, value: &impl Serialize) -> io::Result<()> {
        let begin = if place == 0 { "[" } else { "," };
        let text = serde_json::to_string(value).unwrap_or_default();
        // Nothing in it is colored, and looking for colors takes longer than all else.
        write!(io::stdout().lock(), "{begin}\n{text}")
    }

    /// Closes the list.
    pub(super) fn end(&mut self) -> io::Result<()> {
        writeln!(self.out, "\n]")
    }

    /// Writes text as it is, without a line's end.
    pub(super) fn raw(&mut self, text: &str) -> io::Result<()> {
        write!(self.out, "{text}")?;
        self.out.flush()
    }

    /// Writes text that moves the cursor, which stays also where colors are not wanted.
    #[expect(clippy::unused_self, reason = "what is shown belongs to the screen")]
    pub(super) fn draw(&mut self, text: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()
    }

    /// Writes a table.
    pub(super) fn table(&mut self, table: &Rows) -> io::Result<()> {
        let text = table.to_string();
        for line in text.lines() {
            writeln!(self.out, "{}", line.trim_end())?;
        }
        Ok(())
    }

    /// Says something that is not the answer: to people, beside the output.
    pub(super) fn note(&mut self, text: impl Display) -> io::Result<()> {
        writeln!(self.err, "{text}")
    }

    /// Says why nothing could be done.
    pub(super) fn complain(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.err, "{} {text}", paint(BAD, "error:"))
    }

    /// A bar for a long run of so many steps; none is drawn where nobody watches.
    #[expect(clippy::unused_self, reason = "what is shown belongs to the screen")]
    pub(super) fn progress(&self, steps: u64, what: &'static str) -> ProgressBar {
        let bar = ProgressBar::with_draw_target(Some(steps), ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("{msg} {wide_bar} {percent:>3} % {eta:>4}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_message(what);
        bar
    }
}

/// Text in a style, for streams that take colors out where they are not wanted.
pub(super) fn paint(style: Style, text: impl Display) -> String {
    format!("{style}{text}{style:#}")
}

/// A number with its thousands set apart: `1,234,567`.
pub(super) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && digits.len().saturating_sub(place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 flag`, `2 flags`.
pub(super) fn count(number: usize, what: &str) -> String {
    let number_text = thousands(u64::try_from(number).unwrap_or(u64::MAX));
    let end = if number == 1 { "" } else { "s" };
    format!("{number_text} {what}{end}")
}

/// Rows under a head, in columns that are as wide as they must be.
#[derive(Debug)]
pub(super) struct Rows(Table);

impl Rows {
    /// A table with these columns; a name that begins with `>` is a column of numbers.
    pub(super) fn new(columns: &[&str]) -> Self {
        let mut table = Table::new();
        table.load_style(comfy_table::presets::NOTHING);
        table.set_content_arrangement(ContentArrangement::Disabled);
        // Nothing is not painted: it could not be trimmed.
        let head = |name: &&str| match name.trim_start_matches('>') {
            "" => String::new(),
            name => paint(FAINT, name),
        };
        table.set_header(columns.iter().map(head));
        for (place, name) in columns.iter().enumerate() {
            if let Some(column) = table.column_mut(place) {
                column.set_padding((0, 2));
                if name.starts_with('>') {
                    column.set_cell_alignment(CellAlignment::Right);
                }
            }
        }
        Self(table)
    }

    /// Adds a row.
    pub(super) fn add<'t>(&mut self, cells: impl IntoIterator<Item = impl Into<Cow<'t, str>>>) {
        let cells: Vec<String> = cells.into_iter().map(|cell| cell.into().into_owned()).collect();
        self.0.add_row(cells);
    }
}

impl Display for Rows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}
