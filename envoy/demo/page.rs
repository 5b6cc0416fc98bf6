//! Turns findings into lines on a terminal, and keeps count of the claims that did not hold.
//!
//! Plain text; colour only on a terminal, and never where `NO_COLOR` is set.

use std::io::{self, IsTerminal as _, Write as _};

const BOLD: &str = "1";
const DIM: &str = "2";
const GREEN: &str = "32";
const RED: &str = "31;1";

/// The page as it is being written.
pub struct Page {
    out: io::Stdout,
    colour: bool,
    section: u32,
    failures: u32,
}

impl Page {
    /// An empty page on standard output.
    pub fn new() -> Self {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let out = io::stdout();
        Self { colour: !plain && out.is_terminal(), out, section: 0, failures: 0 }
    }

    /// How many claims did not hold.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// The first line.
    pub fn title(&mut self, text: &str) -> io::Result<()> {
        let text = self.paint(BOLD, text);
        self.write(&text)
    }

    /// Begins a section.
    pub fn section(&mut self, text: &str) -> io::Result<()> {
        self.section += 1;
        let heading = self.paint(BOLD, &format!("{}. {text}", self.section));
        self.write("")?;
        self.write(&heading)
    }

    /// A line of a section.
    pub fn line(&mut self, text: &str) -> io::Result<()> {
        self.write(&format!("   {text}"))
    }

    /// Two columns with headings, side by side.
    pub fn columns(&mut self, left: &[String], right: &[String]) -> io::Result<()> {
        let width = left.iter().map(String::len).max().unwrap_or_default();
        for row in 0..left.len().max(right.len()) {
            let cell = |column: &[String]| column.get(row).cloned().unwrap_or_default();
            let arrow = if row == 0 { "->" } else { "  " };
            let text = format!("{:width$}  {arrow}  {}", cell(left), cell(right));
            let text = text.trim_end();
            let text = if row == 0 { self.paint(DIM, text) } else { text.to_owned() };
            self.line(&text)?;
        }
        Ok(())
    }

    /// One variant's share, beside what was configured.
    pub fn share(&mut self, flag: &str, variant: &str, count: usize, total: usize, due: usize) -> io::Result<()> {
        let filled = (count * 40 + total / 2) / total.max(1);
        let bar = format!("{}{}", "#".repeat(filled), ".".repeat(40_usize.saturating_sub(filled)));
        let (count, part) = (grouped(count), percent(count, total));
        self.line(&format!("{flag:9} {variant:4} {count:>6} {part:>8}  of {due:>2} %  {bar}"))
    }

    /// What the section shows, and whether it does.
    pub fn claim(&mut self, holds: bool, text: &str) -> io::Result<()> {
        let mark = if holds { self.paint(GREEN, "ok") } else { self.paint(RED, "FAILED") };
        self.failures += u32::from(!holds);
        self.line(&format!("{mark}  {text}"))
    }

    /// The last lines.
    pub fn end(&mut self, text: &str) -> io::Result<()> {
        self.write("")?;
        match self.failures {
            0 => self.write(text),
            some => {
                let text = self.paint(RED, &format!("{some} of {} claims do not hold.", self.section));
                self.write(&text)
            }
        }
    }

    /// Each line is shown at once: the page shows progress, too.
    fn write(&mut self, line: &str) -> io::Result<()> {
        writeln!(self.out, "{line}")?;
        self.out.flush()
    }

    fn paint(&self, style: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{style}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// A count with a comma at each thousand.
pub fn grouped(count: usize) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (place, digit) in digits.char_indices() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A part of a total in percent, with one decimal.
pub fn percent(part: usize, total: usize) -> String {
    let tenths = (part * 1_000 + total / 2) / total.max(1);
    format!("{}.{} %", tenths / 10, tenths % 10)
}
