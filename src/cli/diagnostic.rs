//! Turns problems into messages that show the lines they are about, with what may have been meant.
//!
//! Never finds a problem itself, and never words one: the engine does both, here as in the proxy.

use std::io;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use serde_json::{Value, json};

use super::screen::Screen;
use super::source::Document;
use tidegate_engine::problem::{Found, Problem, Problems, Wrong};

/// How many lines are shown before and behind the one that is meant.
const AROUND: usize = 1;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Severity {
    Error,
    Warning,
    /// Good to know.
    Note,
}

impl Severity {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// Something that is wrong, and the place in the file.
#[derive(Clone, Debug)]
pub(super) struct Diagnostic {
    pub(super) severity: Severity,
    /// The word for what is wrong, where it has one.
    pub(super) code: Option<&'static str>,
    pub(super) path: String,
    pub(super) message: String,
    pub(super) help: Option<String>,
    /// The bytes of the file that are meant.
    pub(super) span: Option<Range<usize>>,
}

/// What the engine found, errors first; a field that is not known is an error where the check is strict.
pub(super) fn all(document: &Document, problems: &Problems, strict: bool) -> Vec<Diagnostic> {
    let stranger = if strict { Severity::Error } else { Severity::Warning };
    let kinds = [
        (Severity::Error, problems.errors()),
        (stranger, problems.unknown_fields()),
        (Severity::Warning, problems.warnings()),
    ];
    let each = kinds.into_iter().flat_map(|(severity, list)| list.iter().map(move |problem| (severity, problem)));
    each.map(|(severity, problem)| Diagnostic {
        severity,
        code: None,
        path: problem.path().to_owned(),
        message: problem.message(),
        help: help(problem),
        span: place(document, problem),
    })
    .collect()
}

/// The place at which a reader of JSON gave up.
fn told(document: &Document, problem: &Problem) -> Option<Range<usize>> {
    let Wrong::Syntax { line, column, .. } = *problem.wrong() else { return None };
    // What stands inside of YAML is told by its own lines, which are none of the file.
    if !document.carrier.is_empty() || !document.wire.eq(document.text.as_bytes()) {
        return None;
    }
    let before: usize = document.text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    let at = before.saturating_add(column.saturating_sub(1)).min(document.text.len());
    Some(at..at.saturating_add(1).min(document.text.len()))
}

/// Where the field of a problem stands, or the nearest one around it.
fn place(document: &Document, problem: &Problem) -> Option<Range<usize>> {
    told(document, problem).or_else(|| nearest_place(document, problem.path(), is_about_key(problem)))
}

/// Where a field stands, or the nearest one around it: its key, or its value where that fits a line.
pub(super) fn nearest_place(document: &Document, wanted: &str, key: bool) -> Option<Range<usize>> {
    let mut path = wanted;
    loop {
        if let Some((key_at, value)) = document.places.get(path) {
            let about_key = path != wanted || key;
            let many_lines = document.text.get(value.clone()).is_none_or(|text| text.contains('\n'));
            return Some(if about_key || many_lines { key_at.clone() } else { value.clone() });
        }
        // `a.b["c d"][2]`: what stands in front of the last step.
        let end = path.rfind(['.', '[']).unwrap_or(0);
        if end == 0 {
            return document.places.get("config").map(|(key, _)| key.start..key.start.saturating_add(1));
        }
        path = path.get(..end)?;
    }
}

fn is_about_key(problem: &Problem) -> bool {
    matches!(problem.wrong(), Wrong::UnknownField { .. } | Wrong::Repeated)
}

/// What may have been meant.
fn help(problem: &Problem) -> Option<String> {
    let Some(Found::Text(found)) = problem.found() else { return None };
    let name = nearest(found, problem.wrong().known().iter().map(|name| &**name))?;
    Some(format!("did you mean {name}?"))
}

/// The name that is nearest to what was written, if one is near.
pub(super) fn nearest<'k>(written: &str, names: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    let steps = |name: &str| strsim::damerau_levenshtein(&written.to_lowercase(), &name.to_lowercase());
    let most = written.chars().count().div_ceil(3).min(3);
    names.map(|name| (steps(name), name)).filter(|(steps, _)| *steps <= most).min().map(|(_, name)| name)
}

/// Shows messages to people, on the output.
pub(super) fn show(screen: &mut Screen, document: &Document, list: &[Diagnostic]) -> io::Result<()> {
    let text = list.iter().map(|one| render(document, one, screen.is_colored())).collect::<Vec<_>>();
    text.iter().try_for_each(|text| screen.line(text))
}

/// The message and its lines.
pub(super) fn render(document: &Document, diagnostic: &Diagnostic, colored: bool) -> String {
    let title = format!("{}: {}", diagnostic.path, diagnostic.message);
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Note => Level::NOTE,
    };
    let title = level.primary_title(title.as_str());
    let title = match diagnostic.code {
        Some(code) => title.id(code),
        None => title,
    };
    let mut group = title.elements(Vec::<Snippet<'_, annotate_snippets::Annotation<'_>>>::new());
    let name = document.name();
    if let Some(span) = &diagnostic.span {
        // Of a large file only what is shown is handed on: the rest would be looked through for each message.
        let (from, to, line) = window(&document.text, span);
        let source = document.text.get(from..to).unwrap_or_default();
        let inside = span.start.saturating_sub(from)..span.end.min(to).saturating_sub(from);
        let snippet = Snippet::source(source)
            .path(name.as_str())
            .line_start(line)
            .annotation(AnnotationKind::Primary.span(inside));
        group = group.element(snippet);
    }
    if let Some(help) = &diagnostic.help {
        group = group.element(Level::HELP.message(help.as_str()));
    }
    let renderer = if colored { Renderer::styled() } else { Renderer::plain() };
    renderer.render(&[group])
}

/// The bytes of the lines around a place, and the number of the first of them.
fn window(text: &str, span: &Range<usize>) -> (usize, usize, usize) {
    let before = text.get(..span.start).unwrap_or_default();
    let from = before.rmatch_indices('\n').nth(AROUND).map_or(0, |(at, _)| at.saturating_add(1));
    let behind = text.get(span.end..).unwrap_or_default();
    let to = behind.match_indices('\n').nth(AROUND).map_or(text.len(), |(at, _)| span.end.saturating_add(at));
    let line = text.get(..from).unwrap_or_default().matches('\n').count().saturating_add(1);
    (from, to, line)
}

/// The line and column of a place, both counted from 1.
pub(super) fn position(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or_default();
    let line = before.matches('\n').count().saturating_add(1);
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count().saturating_add(1);
    (line, column)
}

/// A message for a program.
pub(super) fn json(document: &Document, diagnostic: &Diagnostic) -> Value {
    let place = diagnostic.span.as_ref().map(|span| position(&document.text, span.start));
    let told = json!({
        "file": document.file,
        "in": document.carrier,
        "line": place.map(|(line, _)| line),
        "column": place.map(|(_, column)| column),
        "path": diagnostic.path,
        "severity": diagnostic.severity.name(),
        "message": diagnostic.message,
        "help": diagnostic.help,
    });
    with(told, diagnostic.code.map(|code| ("code", code.into())))
}

/// A message for a program, with further fields.
pub(super) fn with(mut told: Value, fields: impl IntoIterator<Item = (&'static str, Value)>) -> Value {
    if let Value::Object(map) = &mut told {
        map.extend(fields.into_iter().map(|(name, value)| (name.to_owned(), value)));
    }
    told
}
