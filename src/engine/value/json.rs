//! Writes text as a string of JSON.
//!
//! The module writes JSON in two places, and the serialiser of `serde_json` would take more of it than this.

use core::fmt::Write;

/// Adds text in quotes.
pub fn write(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\0'..' ' | '\u{7f}' => {
                // Writing to a string cannot fail.
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}
