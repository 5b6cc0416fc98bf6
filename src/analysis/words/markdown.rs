//! Text for Markdown, in which Markdown finds nothing of its own.

/// Text with what Markdown or HTML would take for a mark escaped.
pub fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if matches!(c, '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '#' | '|' | '@' | '&' | '~') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}
