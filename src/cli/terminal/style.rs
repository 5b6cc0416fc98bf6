//! The few styles that text has here, and lines of styled text that fit.

use std::fmt::Display;

use anstream::adapter::strip_str;
use anstyle::{AnsiColor, Style};

/// For success.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
/// For errors.
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
/// For warnings.
pub(crate) const ODD: Style = AnsiColor::Yellow.on_default();
/// For what a reader looks for.
pub(crate) const MAIN: Style = Style::new().bold();
/// For what a reader may skip.
pub(crate) const FAINT: Style = Style::new().dimmed();

/// Text in a style, for streams that take colors out where they are not wanted.
pub(crate) fn paint(style: Style, text: impl Display) -> String {
    format!("{style}{text}{style:#}")
}

/// A line without its colors.
pub(crate) fn plain(line: &str) -> String {
    strip_str(line).to_string()
}

/// A line of at most so many characters, colors not counted.
pub(crate) fn cut(line: &str, width: usize) -> String {
    let mut text = String::new();
    let (mut shown, mut hidden) = (0_usize, false);
    let all = plain(line).chars().count();
    for char in line.chars() {
        hidden |= char == '\x1b';
        if !hidden {
            shown += 1;
            if all > width && shown >= width {
                let end = if plain(&text) == text { "…" } else { "…\x1b[0m" };
                return text + end;
            }
        }
        hidden &= char != 'm';
        text.push(char);
    }
    text
}
