//! Turns the text of a YAML file into its values, each with the comments that belong to it.
//!
//! The parser is the one behind the reader of configs, so both see one file; the values are the reader's own. A
//! comment behind something belongs to it, one on lines of its own to what comes next, or to the end of the list or
//! map whose indentation it shares. Never guesses: what could not be written back as it was is refused, with its place.

use serde_saphyr::granit_parser::{self, Event, Parser, ScalarStyle, Span, StructureStyle};

use tidegate_analysis::source::diagnostic::position;
use tidegate_analysis::source::tree::{Tree, Value as Read};
use tidegate_engine::config::Node;

/// A comment, from `#` to the end of its line.
#[derive(Clone, Debug)]
pub(crate) struct Remark {
    pub(crate) text: String,
    /// Whether a blank line stands above it.
    pub(crate) blank: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Sheet {
    /// What is said of the file as a whole, at its top.
    pub(crate) head: Vec<Remark>,
    pub(crate) root: Container,
}

/// A list or a map.
#[derive(Clone, Debug)]
pub(crate) struct Container {
    pub(crate) is_map: bool,
    /// Whether it was written in brackets or braces.
    pub(crate) is_flow: bool,
    pub(crate) entries: Vec<Entry>,
    /// Comments behind the last entry.
    pub(crate) tail: Vec<Remark>,
    start: usize,
    end: usize,
    column: usize,
}

/// A key with its value, or an item of a list.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// The key; empty for an item.
    pub(crate) key: Box<str>,
    pub(crate) value: Value,
    /// Comments on lines of their own.
    pub(crate) before: Vec<Remark>,
    /// The comment on its line.
    pub(crate) behind: Option<String>,
    /// Whether a blank line stands above it.
    pub(crate) blank: bool,
    start: usize,
    value_start: usize,
}

#[derive(Clone, Debug)]
pub(crate) enum Value {
    /// A value, and its text as the author wrote it.
    Scalar(Node, String),
    /// Text in lines of its own: its header, `|` or `>`, and the lines without their indentation.
    Lines(String, Vec<String>),
    Inside(Container),
}

/// Where in the text something cannot be carried over, and why.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(crate) at: usize,
    pub(crate) why: &'static str,
}

type Refused<T> = Result<T, Refusal>;

/// How a comment stands in its line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stand {
    Alone,
    /// Behind the dash of a list, and nothing else.
    Dash,
    Behind,
}

#[derive(Clone, Debug)]
struct Comment {
    at: usize,
    end: usize,
    column: usize,
    stand: Stand,
    remark: Remark,
}

impl Sheet {
    /// Reads a file whose values are known.
    ///
    /// # Errors
    ///
    /// What could not be written back as it was.
    pub(crate) fn read(text: &str, tree: &Tree) -> Refused<Self> {
        let events = events(text)?;
        let mut comments = Vec::new();
        let mut nodes = Vec::new();
        for (event, span) in events {
            if let Event::Comment(..) = event {
                comments.push(comment(text, &span));
            } else {
                nodes.push((event, span));
            }
        }
        comments.sort_by_key(|comment| comment.at);
        let mut builder = Builder { text, comments: &comments, nodes: nodes.into_iter().peekable(), at: 0 };
        let (value, start) = builder.value(tree)?;
        let Value::Inside(mut root) = value else {
            return Err(Refusal { at: start, why: "there is no map here" });
        };
        for comment in comments {
            root.hold(comment);
        }
        let head = root.head();
        Ok(Self { head, root })
    }
}

/// What the parser sees, if all of it can be carried over.
fn events(text: &str) -> Refused<Vec<(Event<'_>, Span)>> {
    // Comments are held back by the parser until it knows where they stand: as many as the file has lines.
    let options = granit_parser::options! { max_buffered_comment_events: usize::MAX, emit_anchor_events: true };
    let mut found = Vec::new();
    let mut documents = 0_usize;
    if let Some(line) = text.lines().take_while(|line| line.is_empty() || line.starts_with(['#', '%'])).last()
        && line.starts_with('%')
    {
        let at = text.find('%').unwrap_or_default();
        return Err(Refusal { at, why: "a directive cannot be kept" });
    }
    for next in Parser::new_from_str_with_options(text, options) {
        let (event, span) = next.map_err(|error| Refusal {
            at: error.marker().byte_offset().unwrap_or_default(),
            why: "cannot be read as YAML that keeps its comments",
        })?;
        let at = span.tag_start().and_then(|tag| tag.byte_offset()).unwrap_or_else(|| start(&span));
        let why = match &event {
            Event::Alias(_) => Some("an alias cannot be kept: write the value out"),
            Event::Anchor(..) => Some("an anchor cannot be kept: write the value out where it is used"),
            Event::Scalar(.., Some(_)) | Event::SequenceStart(.., Some(_)) | Event::MappingStart(.., Some(_)) => {
                Some("a tag cannot be kept: quotes make text of a value")
            }
            Event::DocumentStart(..) => {
                documents += 1;
                (documents > 1).then_some("a second document begins here: give each config a file of its own")
            }
            _ => None,
        };
        match why {
            Some(why) => return Err(Refusal { at, why }),
            None => found.push((event, span)),
        }
    }
    Ok(found)
}

fn start(span: &Span) -> usize {
    span.start.byte_offset().unwrap_or_default()
}

fn end(span: &Span) -> usize {
    span.end.byte_offset().unwrap_or_default()
}

/// What stands in front of a place in its line.
fn front(text: &str, at: usize) -> &str {
    let before = text.get(..at).unwrap_or_default();
    before.rsplit('\n').next().unwrap_or_default()
}

/// Whether the line above a place is blank.
fn blank_above(text: &str, at: usize) -> bool {
    let above = at.saturating_sub(front(text, at).len()).checked_sub(1);
    above.is_some_and(|end| matches!(front(text, end).trim(), "" | "---"))
}

fn comment(text: &str, span: &Span) -> Comment {
    let (at, end) = (start(span), end(span));
    let front = front(text, at);
    let stand = match front.trim() {
        "" => Stand::Alone,
        dashes if dashes.chars().all(|c| matches!(c, '-' | ' ' | '\t')) => Stand::Dash,
        _ => Stand::Behind,
    };
    let words = text.get(at..end).unwrap_or_default().trim_end().to_owned();
    let remark = Remark { text: words, blank: stand == Stand::Alone && blank_above(text, at) };
    Comment { at, end, column: front.chars().count(), stand, remark }
}

/// Puts values and places together.
struct Builder<'t, I: Iterator<Item = (Event<'t>, Span)>> {
    text: &'t str,
    comments: &'t [Comment],
    nodes: std::iter::Peekable<I>,
    /// Everything in front of it has been looked at.
    at: usize,
}

impl<'t, I: Iterator<Item = (Event<'t>, Span)>> Builder<'t, I> {
    /// Goes over blanks and comments.
    fn skip(&mut self) {
        loop {
            let rest = self.text.get(self.at..).unwrap_or_default();
            self.at += rest.len().saturating_sub(rest.trim_start().len());
            match self.comments.binary_search_by_key(&self.at, |comment| comment.at) {
                Ok(found) => self.at = self.comments.get(found).map_or(self.at, |comment| comment.end),
                Err(_) => return,
            }
        }
    }

    /// Goes over a sign that must come next.
    fn expect(&mut self, sign: char) -> Refused<usize> {
        self.skip();
        if !self.text.get(self.at..).unwrap_or_default().starts_with(sign) {
            return Err(Refusal { at: self.at, why: "a form of YAML that cannot be kept" });
        }
        let place = self.at;
        self.at += sign.len_utf8();
        Ok(place)
    }

    /// The next value, and where it begins.
    fn value(&mut self, tree: &Tree) -> Refused<(Value, usize)> {
        loop {
            let Some((event, span)) = self.nodes.next() else { return Err(self.lost()) };
            let begins = start(&span);
            match event {
                Event::StreamStart => {}
                Event::DocumentStart(..) => self.at = end(&span),
                Event::Scalar(_, ScalarStyle::Literal | ScalarStyle::Folded, ..) => return self.lines(&span),
                Event::Scalar(raw, ..) => {
                    let Read::Scalar(node) = &tree.value else { return Err(self.lost()) };
                    self.at = self.at.max(end(&span));
                    return Ok((Value::Scalar(node.clone(), raw.into_owned()), begins));
                }
                Event::SequenceStart(style, ..) => {
                    let Read::List(items) = &tree.value else { return Err(self.lost()) };
                    return self.list(items, style == StructureStyle::Flow, begins);
                }
                Event::MappingStart(style, ..) => {
                    let Read::Map(entries) = &tree.value else { return Err(self.lost()) };
                    let entries = entries.iter().map(|(key, value)| (&*key.name, value));
                    return self.map(entries, style == StructureStyle::Flow, begins);
                }
                _ => return Err(self.lost()),
            }
        }
    }

    fn lost(&self) -> Refusal {
        Refusal { at: self.at, why: "a form of YAML that cannot be kept" }
    }

    fn list(&mut self, items: &[Tree], is_flow: bool, begins: usize) -> Refused<(Value, usize)> {
        let mut entries = Vec::new();
        for item in items {
            let dash = if is_flow { None } else { Some(self.expect('-')?) };
            let (value, value_start) = self.value(item)?;
            entries.push(self.entry("", value, dash.unwrap_or(value_start), value_start, is_flow));
        }
        self.close(entries, false, is_flow, begins)
    }

    fn map<'k>(
        &mut self,
        pairs: impl Iterator<Item = (&'k str, &'k Tree)>,
        is_flow: bool,
        begins: usize,
    ) -> Refused<(Value, usize)> {
        let mut entries = Vec::new();
        for (key, value) in pairs {
            let Some((Event::Scalar(..), span)) = self.nodes.next() else { return Err(self.lost()) };
            self.skip();
            let place = start(&span);
            if !is_flow && self.at != place {
                return Err(Refusal { at: self.at, why: "a form of YAML that cannot be kept" });
            }
            self.at = end(&span);
            if !is_flow {
                self.expect(':')?;
            }
            let (value, value_start) = self.value(value)?;
            entries.push(self.entry(key, value, place, value_start, is_flow));
        }
        self.close(entries, true, is_flow, begins)
    }

    fn entry(&self, key: &str, value: Value, start: usize, value_start: usize, is_flow: bool) -> Entry {
        let is_first = front(self.text, start).trim().is_empty();
        let blank = !is_flow && is_first && blank_above(self.text, start);
        Entry { key: key.into(), value, before: Vec::new(), behind: None, blank, start, value_start }
    }

    fn close(&mut self, entries: Vec<Entry>, is_map: bool, is_flow: bool, begins: usize) -> Refused<(Value, usize)> {
        let end = match self.nodes.next() {
            Some((Event::SequenceEnd, span)) if !is_map => end(&span),
            Some((Event::MappingEnd, span)) if is_map => end(&span),
            _ => return Err(self.lost()),
        };
        if is_flow {
            self.at = self.at.max(end);
        }
        // A list may begin behind the comment of its first dash, in the parser's eyes.
        let start = entries.first().filter(|_| !is_flow).map_or(begins, |first| first.start);
        let column = front(self.text, start).chars().count();
        let container = Container { is_map, is_flow, entries, tail: Vec::new(), start, end, column };
        Ok((Value::Inside(container), start))
    }

    /// Text in lines of its own.
    fn lines(&mut self, span: &Span) -> Refused<(Value, usize)> {
        self.skip();
        let place = self.at;
        let rest = self.text.get(place..).unwrap_or_default();
        let header = rest.split(char::is_whitespace).next().unwrap_or_default();
        if !matches!(header, "|" | "|-" | ">" | ">-") {
            return Err(Refusal { at: place, why: "only | and > without further signs, or with -, can be kept" });
        }
        let from = rest.find('\n').map_or(self.text.len(), |line| place.saturating_add(line).saturating_add(1));
        self.at = end(span).max(from);
        let content = self.text.get(from..self.at).unwrap_or_default();
        let first = content.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
        let indent = first.len().saturating_sub(first.trim_start_matches(' ').len());
        let mut lines: Vec<String> =
            content.lines().map(|line| line.get(indent..).unwrap_or_default().to_owned()).collect();
        while lines.last().is_some_and(String::is_empty) {
            lines.pop();
        }
        Ok((Value::Lines(header.to_owned(), lines), place))
    }
}

impl Container {
    /// Takes a comment that stands somewhere inside, or behind the end.
    fn hold(&mut self, comment: Comment) {
        let count = self.entries.partition_point(|entry| entry.start <= comment.at);
        let column = self.column;
        let last = count.checked_sub(1).and_then(|last| self.entries.get_mut(last));
        if let Some(entry) = last
            && entry.takes(&comment, column)
        {
            return entry.hold(comment);
        }
        match self.entries.get_mut(count) {
            Some(next) => next.before.push(comment.remark),
            None => self.tail.push(comment.remark),
        }
    }

    /// Takes what is said of the whole file from the top of it: what a blank line sets apart, and what an editor reads.
    fn head(&mut self) -> Vec<Remark> {
        let Some(first) = self.entries.first_mut() else { return Vec::new() };
        let apart = if first.blank {
            first.before.len()
        } else {
            first.before.iter().rposition(|remark| remark.blank).unwrap_or_default()
        };
        let for_editors = first.before.iter().rposition(|remark| remark.text.contains("yaml-language-server:"));
        let end = for_editors.map_or(apart, |last| apart.max(last + 1));
        first.before.drain(..end).collect()
    }

    /// Whether a comment stands inside.
    pub(crate) fn has_remarks(&self) -> bool {
        !self.tail.is_empty() || self.entries.iter().any(Entry::has_remarks)
    }
}

impl Entry {
    fn has_remarks(&self) -> bool {
        let inside = matches!(&self.value, Value::Inside(container) if container.has_remarks());
        inside || self.behind.is_some() || !self.before.is_empty()
    }

    /// Whether a comment behind the entry's beginning belongs to it, in a list or map of this column.
    fn takes(&self, comment: &Comment, column: usize) -> bool {
        if comment.stand != Stand::Alone || self.value_start > comment.at {
            return true;
        }
        match &self.value {
            Value::Inside(child) if child.is_flow => comment.at < child.end,
            Value::Inside(child) => comment.column > column && comment.column >= child.column,
            Value::Scalar(..) | Value::Lines(..) => false,
        }
    }

    fn hold(&mut self, comment: Comment) {
        let Comment { at, stand, .. } = comment;
        if let Value::Inside(child) = &mut self.value
            && let Some(first) = child.entries.first_mut()
        {
            if at >= child.start && (!child.is_flow || at < child.end) {
                return child.hold(comment);
            }
            if at < child.start && !child.is_flow && stand != Stand::Behind {
                first.before.push(comment.remark);
                return;
            }
        }
        if stand == Stand::Behind && self.behind.is_none() {
            self.behind = Some(comment.remark.text);
        } else {
            self.before.push(comment.remark);
        }
    }
}

impl Refusal {
    /// The refusal, with its place in a file.
    pub(crate) fn told(&self, file: &str, text: &str) -> String {
        let (line, column) = position(text, self.at);
        format!("{file}:{line}:{column}: {}; the file is left as it is", self.why)
    }
}
