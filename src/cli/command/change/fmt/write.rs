//! Turns values with their comments into the one text that they have.
//!
//! What was in brackets stays so where it fits into a line; all else has lines of its own, two spaces deeper than what
//! it belongs to. Quotes stand where some reader of YAML would see something else than text. Never changes a value.

use super::read::{Container, Entry, Remark, Sheet, Value};
use tidegate_analysis::source::edit::order::{ROOT, Truth, inside, place, truth};
use tidegate_analysis::source::edit::quote::{self, needed};
use tidegate_engine::config::Node;
use tidegate_engine::config::schema::shape::Shape;

/// How far a line in brackets may reach.
const WIDTH: usize = 100;

/// What a file says, in the one form.
pub(crate) fn text(sheet: &Sheet) -> String {
    let mut page = Page { text: String::new(), is_fresh: true };
    for remark in &sheet.head {
        page.remark(remark, 0);
    }
    if !sheet.head.is_empty() {
        page.blank();
        page.is_fresh = true;
    }
    page.container(&sheet.root, ROOT, 0, false);
    page.text
}

/// What stands in an entry of what has this shape.
fn of(shape: Shape, is_map: bool, entry: &Entry) -> Shape {
    if is_map { inside(shape, &entry.key) } else { shape }
}

/// The entries in the order of the reference.
fn sorted(container: &Container, shape: Shape) -> Vec<&Entry> {
    let mut entries: Vec<&Entry> = container.entries.iter().collect();
    if container.is_map {
        entries.sort_by_key(|entry| place(shape, &entry.key));
    }
    entries
}

struct Page {
    text: String,
    /// Whether nothing stands yet in the list or map that is being written: no blank line begins one.
    is_fresh: bool,
}

impl Page {
    fn blank(&mut self) {
        if !self.is_fresh {
            self.text.push('\n');
        }
    }

    fn indent(&mut self, columns: usize) {
        self.text.extend(std::iter::repeat_n(' ', columns));
    }

    fn remark(&mut self, remark: &Remark, columns: usize) {
        if remark.blank {
            self.blank();
        }
        self.indent(columns);
        self.text.push_str(&remark.text);
        self.text.push('\n');
        self.is_fresh = false;
    }

    /// Ends a line, with the comment that stands on it.
    fn end(&mut self, behind: Option<&String>) {
        if let Some(behind) = behind {
            self.text.push_str("  ");
            self.text.push_str(behind);
        }
        self.text.push('\n');
        self.is_fresh = false;
    }

    /// A list or map in lines; the first one may have been begun, by the dash of a list.
    fn container(&mut self, container: &Container, shape: Shape, columns: usize, is_begun: bool) {
        self.is_fresh = true;
        let mut is_begun = is_begun;
        for entry in sorted(container, shape) {
            let within = of(shape, container.is_map, entry);
            if !is_begun {
                self.before(entry, container.is_map, within, columns);
                self.indent(columns);
            }
            is_begun = false;
            if container.is_map {
                self.text.push_str(&needed(&entry.key, false, true));
                self.text.push(':');
            } else {
                self.text.push('-');
            }
            self.value(entry, container.is_map, within, columns);
        }
        for remark in &container.tail {
            self.remark(remark, columns);
        }
    }

    /// The comments above an entry, and above what begins on its line.
    fn before(&mut self, entry: &Entry, is_map: bool, shape: Shape, columns: usize) {
        for remark in &entry.before {
            self.remark(remark, columns);
        }
        if entry.blank {
            self.blank();
        }
        self.begun(entry, is_map, shape, columns);
    }

    /// The comments above what begins on the line of an item.
    fn begun(&mut self, entry: &Entry, is_map: bool, shape: Shape, columns: usize) {
        let Value::Inside(child) = &entry.value else { return };
        if is_map || Self::in_brackets(entry, is_map, shape, columns).is_some() {
            return;
        }
        if let Some(behind) = &entry.behind {
            self.remark(&Remark { text: behind.clone(), blank: false }, columns);
        }
        if let Some(first) = sorted(child, shape).first() {
            for remark in &first.before {
                self.remark(remark, columns);
            }
            self.begun(first, child.is_map, of(shape, child.is_map, first), columns);
        }
    }

    fn value(&mut self, entry: &Entry, is_map: bool, shape: Shape, columns: usize) {
        let deeper = columns + 2;
        let behind = entry.behind.as_ref();
        match &entry.value {
            Value::Scalar(node, raw) => {
                self.text.push(' ');
                self.text.push_str(&scalar(node, raw, truth(shape), false));
                self.end(behind);
            }
            Value::Lines(header, lines) => {
                self.text.push(' ');
                self.text.push_str(header);
                self.end(behind);
                for line in lines {
                    if !line.is_empty() {
                        self.indent(deeper);
                        self.text.push_str(line);
                    }
                    self.text.push('\n');
                }
            }
            Value::Inside(child) => {
                if let Some(text) = Self::in_brackets(entry, is_map, shape, columns) {
                    self.text.push(' ');
                    self.text.push_str(&text);
                    self.end(behind);
                } else if is_map {
                    self.end(behind);
                    self.container(child, shape, deeper, false);
                } else {
                    self.text.push(' ');
                    self.container(child, shape, deeper, true);
                }
            }
        }
    }

    /// What stands inside of an entry in one line, if it was in brackets and fits.
    fn in_brackets(entry: &Entry, is_map: bool, shape: Shape, columns: usize) -> Option<String> {
        let Value::Inside(child) = &entry.value else { return None };
        if child.entries.is_empty() {
            return Some(if child.is_map { "{}" } else { "[]" }.to_owned());
        }
        if !child.is_flow || child.has_remarks() {
            return None;
        }
        let text = flow(child, shape);
        let before = if is_map {
            columns.saturating_add(needed(&entry.key, false, true).chars().count()).saturating_add(2)
        } else {
            columns + 2
        };
        (before.saturating_add(text.chars().count()) <= WIDTH).then_some(text)
    }
}

/// A list or map in brackets.
fn flow(container: &Container, shape: Shape) -> String {
    let mut parts = Vec::new();
    for entry in sorted(container, shape) {
        let within = of(shape, container.is_map, entry);
        let value = match &entry.value {
            Value::Scalar(node, raw) => scalar(node, raw, truth(within), true),
            Value::Inside(child) => flow(child, within),
            // Between brackets there are none.
            Value::Lines(_, lines) => quote::quoted(&lines.join("\n")),
        };
        parts.push(if container.is_map { format!("{}: {value}", needed(&entry.key, true, true)) } else { value });
    }
    let text = parts.join(", ");
    if container.is_map { format!("{{{text}}}") } else { format!("[{text}]") }
}

/// A value that has nothing inside.
fn scalar(node: &Node, raw: &str, truth: Truth, in_flow: bool) -> String {
    match node {
        Node::Null => "null".to_owned(),
        Node::Bool(value) => match truth {
            Truth::Boolean => value.to_string(),
            Truth::Variant => if *value { "\"on\"" } else { "\"off\"" }.to_owned(),
            Truth::Unknown => raw.to_owned(),
        },
        Node::Text(text) => needed(text, in_flow, false),
        // How a number is written is the author's: what fits is said by its neighbours.
        Node::Number(_) | Node::List(_) | Node::Map(_) => raw.to_owned(),
    }
}
