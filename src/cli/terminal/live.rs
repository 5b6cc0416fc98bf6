//! Turns blocks of lines, one after another, into one that changes where it stands in a terminal.
//!
//! Nothing of the terminal is changed that would have to be set back: whoever stops the command finds their prompt
//! below the last block. Never draws more than fits.

use std::io::{self, IsTerminal};

use terminal_size::{Height, Width, terminal_size};

use super::Screen;
use super::style::{FAINT, cut, paint, plain};
use tidegate_analysis::words::number::count;

/// A block that is drawn again and again.
#[derive(Debug, Default)]
pub(crate) struct Live {
    /// How many lines were drawn last.
    lines: usize,
}

impl Live {
    /// One, where the output is a terminal that can move its cursor.
    pub(crate) fn new() -> Option<Self> {
        let can = io::stdout().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        can.then(Self::default)
    }

    /// Draws a block in place of the last one. Where there is no room for all, the middle is cut.
    pub(crate) fn draw(
        &mut self,
        screen: &mut Screen,
        top: &[String],
        middle: &[String],
        end: &[String],
    ) -> io::Result<()> {
        let (Width(width), Height(height)) = terminal_size().unwrap_or((Width(80), Height(24)));
        let mut lines = fit(top, middle, end, usize::from(height).saturating_sub(1));
        if !screen.is_colored() {
            lines = lines.iter().map(|line| plain(line)).collect();
        }
        let text = frame(&lines, usize::from(width), self.lines);
        self.lines = lines.len();
        screen.draw(&text)
    }
}

/// The lines that there is room for.
fn fit(top: &[String], middle: &[String], end: &[String], room: usize) -> Vec<String> {
    let left = room.saturating_sub(top.len()).saturating_sub(end.len());
    let mut lines = top.to_vec();
    if middle.len() <= left {
        lines.extend_from_slice(middle);
    } else {
        let shown = left.saturating_sub(1);
        lines.extend(middle.iter().take(shown).cloned());
        let more = count(middle.len().saturating_sub(shown), "more line");
        lines.push(paint(FAINT, format!("{more}: the window is too small")));
    }
    lines.extend_from_slice(end);
    lines.truncate(room);
    lines
}

/// What draws lines over so many old ones: all at once, so that nothing flickers.
fn frame(lines: &[String], width: usize, above: usize) -> String {
    let mut text = String::new();
    if above > 0 {
        text = format!("\r\x1b[{above}A");
    }
    for line in lines {
        text += &cut(line, width);
        text += "\x1b[K\n";
    }
    text + "\x1b[J"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn a_block_is_drawn_over_the_last_one() {
        assert_eq!(frame(&lines("a b"), 80, 0), "a\x1b[K\nb\x1b[K\n\x1b[J");
        assert_eq!(frame(&lines("c"), 80, 2), "\r\x1b[2Ac\x1b[K\n\x1b[J");
    }

    #[test]
    fn colors_take_no_room() {
        assert_eq!(cut("\x1b[1mabc\x1b[0md", 4), "\x1b[1mabc\x1b[0md");
        assert_eq!(cut("\x1b[1mabc\x1b[0md", 3), "\x1b[1mab…\x1b[0m");
    }

    #[test]
    fn what_has_no_room_is_cut_from_the_middle() {
        let fitted = |room| fit(&lines("t"), &lines("1 2 3 4"), &lines("e"), room);
        assert_eq!(fitted(6), lines("t 1 2 3 4 e"));
        let cut = fitted(5);
        assert_eq!((cut.len(), &*cut[2], &*cut[4]), (5, "2", "e"));
        assert!(cut[3].contains("2 more lines"), "{cut:?}");
        assert_eq!(fitted(1), lines("t"));
    }
}
