//! Writes text as a string of JSON.
//!
//! The module writes JSON in two places, and `serde_json`'s serialiser would make it larger than this does.

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
