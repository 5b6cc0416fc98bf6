//! The few styles that text has here.

use std::fmt::Display;

use anstyle::{AnsiColor, Style};

/// What is fine.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
/// What is not.
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
/// What may not be meant.
pub(crate) const ODD: Style = AnsiColor::Yellow.on_default();
/// What a reader looks for.
pub(crate) const MAIN: Style = Style::new().bold();
/// What a reader may pass over.
pub(crate) const FAINT: Style = Style::new().dimmed();

/// Text in a style, for streams that take colors out where they are not wanted.
pub(crate) fn paint(style: Style, text: impl Display) -> String {
    format!("{style}{text}{style:#}")
}
