//! Turns trees into text that people read and edit, with every map in the order in which it was written.
//!
//! YAML is quoted so that Kubernetes, which reads `on` and `NO` as booleans, finds the text that was meant. Never
//! changes a value.

use tidegate_analysis::source::edit::quote::quoted;
use tidegate_engine::config::Node;

/// How wide a line of JSON may be before what is in it gets lines of its own.
const WIDTH: usize = 100;

pub(crate) fn yaml(node: &Node) -> Result<String, String> {
    let options = serde_saphyr::ser_options! { prefer_block_scalars: true, compact_list_indent: false };
    let mut text = String::new();
    serde_saphyr::to_fmt_writer_with_options(&mut text, node, options).map_err(|error| error.to_string())?;
    Ok(text)
}

/// A tree as JSON, in which what is short stands on one line.
pub(crate) fn json(node: &Node) -> String {
    let mut text = String::new();
    lay_out(node, 0, &mut text);
    text
}

fn lay_out(node: &Node, depth: usize, text: &mut String) {
    let used = text.rsplit('\n').next().unwrap_or_default().len();
    let line = flat(node);
    if used.saturating_add(line.len()) <= WIDTH || matches!(node, Node::List(items) if items.is_empty()) {
        text.push_str(&line);
        return;
    }
    let inside = depth + 1;
    let mut part = |begin: &str, key: Option<&str>, value: &Node| {
        text.push_str(begin);
        text.push_str(&"  ".repeat(inside));
        if let Some(key) = key {
            text.push_str(&quoted(key));
            text.push_str(": ");
        }
        lay_out(value, inside, text);
    };
    let close = match node {
        Node::List(items) => {
            items.iter().enumerate().for_each(|(at, item)| part(if at == 0 { "[\n" } else { ",\n" }, None, item));
            "]"
        }
        Node::Map(entries) => {
            let each = entries.iter().enumerate();
            each.for_each(|(at, (key, value))| part(if at == 0 { "{\n" } else { ",\n" }, Some(key), value));
            "}"
        }
        Node::Null | Node::Bool(_) | Node::Number(_) | Node::Text(_) => {
            text.push_str(&line);
            return;
        }
    };
    text.push('\n');
    text.push_str(&"  ".repeat(depth));
    text.push_str(close);
}

/// A tree on one line, with a space behind each comma and colon.
fn flat(node: &Node) -> String {
    match node {
        Node::List(items) => format!("[{}]", items.iter().map(flat).collect::<Vec<_>>().join(", ")),
        Node::Map(entries) => {
            let entries = entries.iter().map(|(key, value)| format!("{}: {}", quoted(key), flat(value)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
        }
        Node::Text(text) => quoted(text),
        scalar => serde_json::to_string(scalar).unwrap_or_default(),
    }
}
