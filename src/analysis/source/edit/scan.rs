//! Turns the text of a YAML or JSON file into the places of its values: where each begins and ends, and how it is
//! written.
//!
//! The parser is the one behind the reader of configs, so both see one file. Never holds a value: only the text and
//! its keys. What has a form whose places are not sure is refused.

use std::collections::BTreeSet;
use std::ops::Range;

use serde_saphyr::granit_parser::{self, Event, Parser, ScalarStyle, Span, StructureStyle};

use super::{Refusal, refuse};

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Nothing stands there, which is read as null.
    Empty,
    Plain,
    Single,
    Double,
    /// Text in lines of its own: `|`.
    Literal,
    /// Text in lines of its own that become one: `>`.
    Folded,
    Alias(usize),
    List {
        flow: bool,
    },
    Map {
        flow: bool,
    },
}

/// A value's place.
#[derive(Clone, Debug)]
pub(super) struct Site {
    pub(super) form: Form,
    /// From the first to the last byte of it; of a list or map in lines, to the end of the last value in it.
    pub(super) span: Range<usize>,
    pub(super) anchor: Option<usize>,
    pub(super) is_tagged: bool,
    pub(super) entries: Vec<Entry>,
    /// The text that a scalar stands for.
    pub(super) raw: Box<str>,
}

/// A key with its value, or an item of a list.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// The key; empty for an item.
    pub(super) name: Box<str>,
    /// Where the entry begins: its key, its dash, or the item.
    pub(super) at: usize,
    /// Behind the colon or the dash.
    pub(super) from: usize,
    pub(super) site: Site,
}

impl Entry {
    /// Behind the last byte of the value, or of the colon where nothing stands behind it.
    pub(super) fn end(&self) -> usize {
        self.site.span.end.max(self.from)
    }
}

/// A text and the places in it.
#[derive(Debug)]
pub(super) struct Scan<'t> {
    pub(super) text: &'t str,
    pub(super) comments: Vec<Range<usize>>,
    pub(super) documents: Vec<Site>,
    /// The anchors that some alias leads to.
    pub(super) used: BTreeSet<usize>,
}

impl<'t> Scan<'t> {
    pub(super) fn read(text: &'t str) -> Result<Self, Refusal> {
        let options = granit_parser::options! { max_buffered_comment_events: usize::MAX, emit_anchor_events: true };
        let (mut comments, mut nodes, mut used) = (Vec::new(), Vec::new(), BTreeSet::new());
        for next in Parser::new_from_str_with_options(text, options) {
            let (event, span) = next.map_err(|error| {
                refuse(
                    error.marker().byte_offset().unwrap_or_default(),
                    "cannot be read as YAML that keeps its comments",
                )
            })?;
            match &event {
                Event::Comment(..) => {
                    comments.push(bytes(&span));
                    continue;
                }
                // It says again what the node in front of it has said.
                Event::Anchor(..) => continue,
                Event::Alias(id) => {
                    used.insert(*id);
                }
                _ => {}
            }
            nodes.push((event, span));
        }
        comments.sort_by_key(|comment| comment.start);
        let mut builder = Builder { text, comments: &comments, nodes: nodes.into_iter(), at: 0 };
        let mut documents = Vec::new();
        while let Some((event, span)) = builder.nodes.next() {
            match event {
                Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
                Event::DocumentStart(..) => {
                    builder.at = builder.at.max(bytes(&span).end);
                    documents.push(builder.site()?);
                }
                _ => return Err(builder.lost()),
            }
        }
        Ok(Self { text, comments, documents, used })
    }

    /// The value that begins here: of several, the one around the others.
    pub(super) fn root(&self, at: usize) -> Option<&Site> {
        self.documents.iter().find_map(|document| around(document, at))
    }

    /// What stands in front of a place in its line.
    pub(super) fn front(&self, at: usize) -> &'t str {
        let before = self.text.get(..at).unwrap_or_default();
        before.rsplit('\n').next().unwrap_or_default()
    }

    pub(super) fn line_start(&self, at: usize) -> usize {
        at.saturating_sub(self.front(at).len())
    }

    /// Where the line of a place ends, in front of its line break.
    pub(super) fn line_end(&self, at: usize) -> usize {
        let rest = self.text.get(at..).unwrap_or_default();
        let line = rest.split('\n').next().unwrap_or_default();
        at + line.strip_suffix('\r').unwrap_or(line).len()
    }

    /// Whether nothing but blanks stands in front of a place in its line.
    pub(super) fn is_first(&self, at: usize) -> bool {
        self.front(at).trim().is_empty()
    }

    pub(super) fn eol(&self) -> &'static str {
        if self.text.contains("\r\n") { "\r\n" } else { "\n" }
    }

    pub(super) fn has_comment(&self, range: Range<usize>) -> bool {
        self.comments.iter().any(|comment| range.contains(&comment.start))
    }

    /// The comment that stands behind a place in its line.
    pub(super) fn comment_behind(&self, at: usize) -> Option<Range<usize>> {
        let line = at..self.line_end(at);
        self.comments.iter().find(|comment| line.contains(&comment.start)).cloned()
    }

    /// The next byte that is neither blank nor of a comment.
    pub(super) fn skip(&self, at: usize) -> usize {
        skip(self.text, &self.comments, at)
    }
}

fn around(site: &Site, at: usize) -> Option<&Site> {
    if site.span.start == at && !matches!(site.form, Form::Empty) {
        return Some(site);
    }
    site.entries.iter().find_map(|entry| around(&entry.site, at))
}

fn bytes(span: &Span) -> Range<usize> {
    span.start.byte_offset().unwrap_or_default()..span.end.byte_offset().unwrap_or_default()
}

fn skip(text: &str, comments: &[Range<usize>], mut at: usize) -> usize {
    loop {
        let rest = text.get(at..).unwrap_or_default();
        at += rest.len() - rest.trim_start().len();
        match comments.binary_search_by_key(&at, |comment| comment.start) {
            Ok(found) => at = comments.get(found).map_or(at, |comment| comment.end),
            Err(_) => return at,
        }
    }
}

/// Puts the places together.
struct Builder<'t, I: Iterator<Item = (Event<'t>, Span)>> {
    text: &'t str,
    comments: &'t [Range<usize>],
    nodes: I,
    /// Everything in front of it has been looked at.
    at: usize,
}

impl<'t, I: Iterator<Item = (Event<'t>, Span)>> Builder<'t, I> {
    fn lost(&self) -> Refusal {
        refuse(self.at, "a form of YAML that cannot be kept")
    }

    /// The place behind a sign, where it comes next.
    fn sign(&mut self, sign: char) -> Option<usize> {
        let at = skip(self.text, self.comments, self.at);
        self.text.get(at..)?.starts_with(sign).then(|| {
            self.at = at + sign.len_utf8();
            self.at
        })
    }

    fn site(&mut self) -> Result<Site, Refusal> {
        let next = self.nodes.next().ok_or_else(|| self.lost())?;
        self.of(next)
    }

    fn of(&mut self, (event, span): (Event<'t>, Span)) -> Result<Site, Refusal> {
        let span_bytes = bytes(&span);
        let site = |form, span, anchor: usize, is_tagged, raw: &str| Site {
            form,
            span,
            anchor: (anchor > 0).then_some(anchor),
            is_tagged,
            entries: Vec::new(),
            raw: raw.into(),
        };
        match event {
            Event::Alias(id) => {
                self.at = self.at.max(span_bytes.end);
                Ok(site(Form::Alias(id), span_bytes, 0, false, ""))
            }
            Event::Scalar(raw, style, anchor, tag) => {
                let form = match style {
                    ScalarStyle::Plain if raw.is_empty() || span_bytes.is_empty() => Form::Empty,
                    ScalarStyle::Plain => Form::Plain,
                    ScalarStyle::SingleQuoted => Form::Single,
                    ScalarStyle::DoubleQuoted => Form::Double,
                    ScalarStyle::Literal => Form::Literal,
                    ScalarStyle::Folded => Form::Folded,
                };
                let span = if form == Form::Empty { self.at..self.at } else { span_bytes };
                self.at = self.at.max(span.end);
                Ok(site(form, span, anchor, tag.is_some(), &raw))
            }
            Event::SequenceStart(style, anchor, tag) => {
                let flow = style == StructureStyle::Flow;
                let start = site(Form::List { flow }, span_bytes, anchor, tag.is_some(), "");
                self.inside(start, flow, false)
            }
            Event::MappingStart(style, anchor, tag) => {
                let flow = style == StructureStyle::Flow;
                let start = site(Form::Map { flow }, span_bytes, anchor, tag.is_some(), "");
                self.inside(start, flow, true)
            }
            _ => Err(self.lost()),
        }
    }

    /// All entries of a list or map, to its end.
    fn inside(&mut self, mut site: Site, flow: bool, is_map: bool) -> Result<Site, Refusal> {
        if flow {
            self.at = self.at.max(site.span.start + 1);
        }
        loop {
            let next = self.nodes.next().ok_or_else(|| self.lost())?;
            let span = bytes(&next.1);
            if matches!(next.0, Event::SequenceEnd | Event::MappingEnd) {
                if flow {
                    self.at = self.at.max(span.end);
                    site.span.end = span.end;
                } else {
                    let first = site.entries.first().map_or(site.span.start, |first| first.at);
                    site.span = first..site.entries.last().map_or(first, Entry::end);
                }
                return Ok(site);
            }
            let entry = if is_map {
                let Event::Scalar(name, style, ..) = &next.0 else { return Err(self.lost()) };
                if matches!(style, ScalarStyle::Literal | ScalarStyle::Folded) || span.is_empty() {
                    return Err(self.lost());
                }
                self.at = self.at.max(span.end);
                let colon = self.sign(':');
                if colon.is_none() && !flow {
                    return Err(self.lost());
                }
                let from = self.at;
                Entry { name: name.as_ref().into(), at: span.start, from, site: self.site()? }
            } else {
                // In brackets nothing stands in front of an item; in lines, a dash.
                let dash = if flow { None } else { Some(self.sign('-').ok_or_else(|| self.lost())?) };
                let item = self.of(next)?;
                let at = dash.map_or(item.span.start, |dash| dash - 1);
                Entry { name: "".into(), at, from: dash.unwrap_or(item.span.start), site: item }
            };
            site.entries.push(entry);
        }
    }
}
