//! The few styles that text has here.

use std::fmt::Display;

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
