//! Turns values with their comments into the one text that they have.
//!
//! What was in brackets stays so where it fits into a line; all else has lines of its own, two spaces deeper than what
//! it belongs to. Quotes stand where some reader of YAML would see something else than text. Never changes a value.

use super::order::{ROOT, Truth, inside, place, truth};
use super::read::{Container, Entry, Remark, Sheet, Value};
use crate::terminal::writer;
use tidegate_analysis::source::tree::{Tree, Value as Read};
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
                self.text.push_str(&quoted(&entry.key, false, true));
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
            columns.saturating_add(quoted(&entry.key, false, true).chars().count()).saturating_add(2)
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
            Value::Lines(_, lines) => writer::quoted(&lines.join("\n")),
        };
        parts.push(if container.is_map { format!("{}: {value}", quoted(&entry.key, true, true)) } else { value });
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
        Node::Text(text) => quoted(text, in_flow, false),
        // How a number is written is the author's: what fits is said by its neighbours.
        Node::Number(_) | Node::List(_) | Node::Map(_) => raw.to_owned(),
    }
}

/// Text, in quotes where it needs them.
fn quoted(text: &str, in_flow: bool, is_key: bool) -> String {
    if is_odd(text) || !reads_as(text, in_flow, is_key) { writer::quoted(text) } else { text.to_owned() }
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
        || text.chars().any(writer::is_unseen)
}

/// Whether text begins as a date does: `2027-03-01`, of which YAML may make a time.
fn is_date(text: &str) -> bool {
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
        Read::List(items) => items.len() == 2 && items.iter().all(|item| item.text() == Some(text)),
        Read::Map(entries) => match entries.as_slice() {
            [(key, _)] if is_key => &*key.name == text,
            [(_, value)] => value.text() == Some(text),
            _ => false,
        },
        Read::Scalar(_) => false,
    }
}
