//! Turns what commands have to say into lines, tables and JSON: on the output what was asked for, beside it what went
//! wrong and how far a long run is. Never says anything of its own.

use std::fmt::Display;
use std::io::{self, Stderr, Stdout, Write};

use anstream::{AutoStream, ColorChoice};
use clap::ValueEnum;
use serde::Serialize;
use terminal_size::{Width, terminal_size};

use super::progress::Bar;
use super::style::{BAD, cut, paint};
use super::table::Rows;
use crate::error::Found;
use crate::mistyped::Mistyped;

/// How things are shown, for every command.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Options {
    /// Output for people (table) or for programs (json)
    #[arg(long, short, global = true, value_enum, default_value_t = Format::Table, value_name = "FORMAT")]
    output: Format,
    /// When to use colors; NO_COLOR in the environment turns `auto` off
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto, value_name = "WHEN")]
    color: Color,
    /// Say only what is wrong, or what was asked for: no `ok`, no sums
    #[arg(long, short, global = true)]
    quiet: bool,
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

/// The columns of the terminal, or those that COLUMNS says.
pub(crate) fn width() -> Option<usize> {
    let told = || std::env::var_os("COLUMNS")?.to_str()?.parse().ok();
    terminal_size().map(|(Width(width), _)| width.into()).or_else(told)
}

/// Where a command writes.
pub(crate) struct Screen {
    out: AutoStream<Stdout>,
    err: AutoStream<Stderr>,
    format: Format,
    quiet: bool,
    verdict: Found,
}

impl Default for Screen {
    fn default() -> Self {
        Self::new(Options { output: Format::Table, color: Color::Auto, quiet: false })
    }
}

impl Screen {
    pub(crate) fn new(options: Options) -> Self {
        let choice = match options.color {
            Color::Auto => ColorChoice::Auto,
            Color::Always => ColorChoice::Always,
            Color::Never => ColorChoice::Never,
        };
        Self {
            out: AutoStream::new(io::stdout(), choice),
            err: AutoStream::new(io::stderr(), choice),
            format: options.output,
            quiet: options.quiet,
            verdict: Found::Nothing,
        }
    }

    /// Keeps what was found, before it is written: a reader that goes away does not change it.
    pub(crate) fn decide(&mut self, found: Found) {
        self.verdict = found;
    }

    /// What was found so far.
    pub(crate) fn verdict(&self) -> Found {
        self.verdict
    }

    /// Whether only what is wrong is wanted.
    pub(crate) fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Writes a line that a reader in a hurry can do without.
    pub(crate) fn remark(&mut self, text: impl Display) -> io::Result<()> {
        if self.quiet { Ok(()) } else { self.line(text) }
    }

    /// Whether a program reads the output: it gets one JSON document, and nothing else.
    pub(crate) fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// Whether what goes to the output is colored.
    pub(crate) fn is_colored(&self) -> bool {
        self.out.current_choice() != ColorChoice::Never
    }

    /// Writes one line, or several.
    pub(crate) fn line(&mut self, text: impl Display) -> io::Result<()> {
        writeln!(self.out, "{text}")
    }

    /// Writes the one document of a command that was asked for JSON.
    pub(crate) fn json(&mut self, value: &impl Serialize) -> io::Result<()> {
        // A document of our own making can always be written down.
        let text = serde_json::to_string_pretty(value).unwrap_or_default();
        writeln!(self.out, "{text}")
    }

    /// Writes one element of the list that is the document of a command: one line each, so that a long list needs no
    /// room. The first one opens the list, and [`Screen::end`] closes it.
    #[expect(clippy::unused_self, reason = "what is shown belongs to the screen")]
    pub(crate) fn element(&mut self, place: usize, value: &impl Serialize) -> io::Result<()> {
        let begin = if place == 0 { "[" } else { "," };
        let text = serde_json::to_string(value).unwrap_or_default();
        // Nothing in it is colored, and looking for colors takes longer than all else.
        write!(io::stdout().lock(), "{begin}\n{text}")
    }

    pub(crate) fn end(&mut self) -> io::Result<()> {
        writeln!(self.out, "\n]")
    }

    /// Writes text as it is, without a line's end.
    pub(crate) fn raw(&mut self, text: &str) -> io::Result<()> {
        write!(self.out, "{text}")?;
        self.out.flush()
    }

    /// Writes text that moves the cursor, which stays also where colors are not wanted.
    #[expect(clippy::unused_self, reason = "what is shown belongs to the screen")]
    pub(crate) fn draw(&mut self, text: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()
    }

    pub(crate) fn table(&mut self, table: &Rows) -> io::Result<()> {
        let text = table.to_string();
        for line in text.lines() {
            writeln!(self.out, "{}", line.trim_end())?;
        }
        Ok(())
    }

    /// Writes a table whose lines are cut where the columns end.
    pub(crate) fn table_within(&mut self, table: &Rows, width: usize) -> io::Result<()> {
        let text = table.to_string();
        for line in text.lines() {
            writeln!(self.out, "{}", cut(line.trim_end(), width))?;
        }
        Ok(())
    }

    /// Writes a note for people to the standard error.
    pub(crate) fn note(&mut self, text: impl Display) -> io::Result<()> {
        writeln!(self.err, "{text}")
    }

    /// Writes an error to the standard error.
    pub(crate) fn complain(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.err, "{} {text}", paint(BAD, "error:"))
    }

    /// Writes what went wrong elsewhere, and the remedy.
    pub(crate) fn trouble(&mut self, what: &str, help: Option<&str>) -> io::Result<()> {
        self.complain(what)?;
        help.map_or(Ok(()), |help| writeln!(self.err, "  |\n  = help: {help}"))
    }

    /// Writes what is wrong with a command line.
    pub(crate) fn mistyped(&mut self, mistyped: &Mistyped, words: &[String]) -> io::Result<()> {
        let text = mistyped.render(words, self.err.current_choice() != ColorChoice::Never);
        writeln!(self.err, "{text}")
    }

    /// A bar for a long run of so many steps; none is drawn where nobody watches.
    #[expect(clippy::unused_self, reason = "what is shown belongs to the screen")]
    pub(crate) fn progress(&self, steps: u64, what: &'static str) -> Bar {
        Bar::new(steps, what)
    }
}
