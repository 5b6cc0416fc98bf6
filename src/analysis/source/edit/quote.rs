//! Turns values into YAML or JSON on one line, with quotes where some reader of YAML would see something else than
//! text. Never changes a value.

use std::fmt::Write as _;

use crate::source::tree::{Tree, Value};
use tidegate_engine::config::Node;

/// A value on one line.
pub fn inline(node: &Node, in_flow: bool, is_json: bool) -> String {
    let key = |key: &str| if is_json { quoted(key) } else { needed(key, true, true) };
    match node {
        Node::Text(text) if is_json => quoted(text),
        Node::Text(text) => needed(text, in_flow, false),
        Node::List(items) => {
            format!("[{}]", items.iter().map(|item| inline(item, true, is_json)).collect::<Vec<_>>().join(", "))
        }
        Node::Map(entries) => {
            let entries =
                entries.iter().map(|(name, value)| format!("{}: {}", key(name), inline(value, true, is_json)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
        }
        // A value can always be written down.
        scalar => serde_json::to_string(scalar).unwrap_or_default(),
    }
}

/// Text, in quotes where it needs them.
pub fn needed(text: &str, in_flow: bool, is_key: bool) -> String {
    if is_odd(text) || !reads_as(text, in_flow, is_key) { quoted(text) } else { text.to_owned() }
}

/// Whether some reader of YAML may take bare text for something else, though ours may not.
fn is_odd(text: &str) -> bool {
    const WORDS: [&str; 12] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null", "~", "=", "<<"];
    let number = text.replace('_', "");
    let unsigned = number.trim_start_matches(['+', '-']);
    let is_based = ["0x", "0o", "0b"].iter().any(|base| {
        let digits = unsigned.get(..2).filter(|start| start.eq_ignore_ascii_case(base)).and(unsigned.get(2..));
        digits.is_some_and(|digits| digits.chars().all(|c| c.is_ascii_hexdigit()))
    });
    // `12:30` counts in sixties where YAML is old.
    let is_sixties = unsigned.contains(':') && unsigned.chars().all(|c| c.is_ascii_digit() || ":.".contains(c));
    text.is_empty()
        || WORDS.iter().any(|word| text.eq_ignore_ascii_case(word))
        || unsigned.parse::<f64>().is_ok()
        || unsigned.trim_start_matches('.').parse::<f64>().is_ok()
        || is_based
        || is_sixties
        || is_date(text)
        || text.starts_with(['@', '`', '%'])
        || text.chars().any(is_unseen)
}

/// Whether text begins as a date does: `2027-03-01`, of which YAML may make a time.
pub(super) fn is_date(text: &str) -> bool {
    let digits = |part: &str| part.chars().take_while(char::is_ascii_digit).count();
    let mut parts = text.splitn(3, '-');
    let mut all = |most: usize| parts.next().is_some_and(|part| digits(part) == part.len() && part.len() <= most);
    all(4) && all(2) && parts.next().is_some_and(|part| digits(part) > 0)
}

/// Whether the reader of configs takes bare text for what it is, where it is to stand.
fn reads_as(text: &str, in_flow: bool, is_key: bool) -> bool {
    // Nothing in such text means anything to YAML, and most texts are such.
    let is_simple = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    if text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.chars().all(is_simple) {
        return true;
    }
    let page = match (in_flow, is_key) {
        (false, false) => format!("a: {text}\n"),
        (true, false) => format!("[{text}, {text}]\n"),
        (false, true) => format!("{text}: 0\n"),
        (true, true) => format!("{{{text}: 0}}\n"),
    };
    let Ok(trees) = Tree::read(&page, "") else { return false };
    let [tree] = trees.as_slice() else { return false };
    match &tree.value {
        Value::List(items) => items.len() == 2 && items.iter().all(|item| item.text() == Some(text)),
        Value::Map(entries) => match entries.as_slice() {
            [(key, _)] if is_key => &*key.name == text,
            [(_, value)] => value.text() == Some(text),
            _ => false,
        },
        Value::Scalar(_) => false,
    }
}

/// Text in quotes, as JSON and YAML have it, without what some readers of YAML take for the end of a line.
pub fn quoted(text: &str) -> String {
    // Text can always be written down.
    let whole = serde_json::to_string(text).unwrap_or_default();
    let mut quoted = String::with_capacity(whole.len());
    for c in whole.chars() {
        if is_unseen(c) {
            // None of them needs more than four digits.
            let _ = write!(quoted, "\\u{:04x}", u32::from(c));
        } else {
            quoted.push(c);
        }
    }
    quoted
}

/// Whether a character is not seen, or ends a line for some.
pub fn is_unseen(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}')
}
