//! Turns problems into messages with their place in the file and a suggestion.
//!
//! Never finds a problem itself, and never words one: the engine does both, here as in the proxy. Never draws one.

use std::fmt;
use std::ops::Range;

use serde_json::{Value, json};

use super::Document;
use tidegate_engine::problem::{Found, Problem, Problems, Wrong};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    Error,
    Warning,
    /// Good to know.
    Note,
}

impl Severity {
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// Something that is wrong, and the place in the file.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    pub severity: Severity,
    /// The word for what is wrong, where it has one.
    pub code: Option<&'static str>,
    pub path: String,
    pub message: String,
    pub help: Option<String>,
    /// The bytes of the file that are meant.
    pub span: Option<Range<usize>>,
}

/// What the engine found, errors first; a field that is not known is an error where the check is strict.
pub fn all(document: &Document, problems: &Problems, strict: bool) -> Vec<Diagnostic> {
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
pub fn nearest_place(document: &Document, wanted: &str, key: bool) -> Option<Range<usize>> {
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
            return document.places.get("config").map(|(key, _)| key.start..key.start + 1);
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
pub fn nearest<'k>(written: &str, names: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    let steps = |name: &str| strsim::damerau_levenshtein(&written.to_lowercase(), &name.to_lowercase());
    let most = written.chars().count().div_ceil(3).min(3);
    names.map(|name| (steps(name), name)).filter(|(steps, _)| *steps <= most).min().map(|(_, name)| name)
}

/// The line and column of a place, both counted from 1.
pub fn position(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or_default();
    let line = before.matches('\n').count().saturating_add(1);
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count().saturating_add(1);
    (line, column)
}

impl Diagnostic {
    /// One line, as compilers write it: `shop.yaml:5:15: flags.checkout.rules[0].percent: must be ...`.
    pub fn line(&self, document: &Document) -> impl fmt::Display {
        let Self { path, message, .. } = self;
        match &self.span {
            Some(span) => {
                let (line, column) = position(&document.text, span.start);
                format!("{}:{line}:{column}: {path}: {message}", document.file)
            }
            None => format!("{}: {path}: {message}", document.name()),
        }
    }
}

/// A message for a program.
pub fn json(document: &Document, diagnostic: &Diagnostic) -> Value {
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
pub fn with(mut told: Value, fields: impl IntoIterator<Item = (&'static str, Value)>) -> Value {
    if let Value::Object(map) = &mut told {
        map.extend(fields.into_iter().map(|(name, value)| (name.to_owned(), value)));
    }
    told
}
