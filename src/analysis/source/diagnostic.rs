//! Turns problems into messages with their place in the file and a suggestion.
//!
//! Never finds a problem itself, and never words one: the engine does both, here as in the proxy. Never draws one.

use std::fmt;
use std::ops::Range;

use serde_json::{Value, json};

use super::around::{Around, split};
use super::document::Marked;
pub use super::remedy::nearest;
use super::{Document, remedy};
use tidegate_engine::problem::{Problem, Problems, Wrong};

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
    /// The word for what is wrong, where it has one that people see.
    pub code: Option<&'static str>,
    /// The word for what is wrong, for programs.
    pub kind: &'static str,
    pub path: String,
    pub message: String,
    pub help: Option<String>,
    /// The bytes of the file that are meant.
    pub span: Option<Range<usize>>,
}

/// What the engine found, in the order of lines; a field that is not known is an error where the check is strict.
pub fn all(document: &Document, problems: &Problems, strict: bool) -> Vec<Diagnostic> {
    let stranger = if strict { Severity::Error } else { Severity::Warning };
    let kinds = [
        (Severity::Error, problems.errors()),
        (stranger, problems.unknown_fields()),
        (Severity::Warning, problems.warnings()),
    ];
    let each = kinds.into_iter().flat_map(|(severity, list)| list.iter().map(move |problem| (severity, problem)));
    let around = Around::of(document);
    let mut list: Vec<Diagnostic> = each
        .map(|(severity, problem)| {
            let span = place(document, problem);
            let written = span.clone().and_then(|span| document.text.get(span));
            Diagnostic {
                severity,
                code: None,
                kind: kind(problem.wrong()),
                path: problem.path().to_owned(),
                message: message(problem, told(document, problem).is_some()),
                help: remedy::help(problem, written).map(|help| around.fit(problem, help)),
                span,
            }
        })
        .collect();
    if strict {
        once(&mut list);
    }
    sort(&mut list);
    list
}

/// Takes away what is missing only because it is called otherwise: one wrong name is one message.
fn once(list: &mut Vec<Diagnostic>) {
    let strangers = list.iter().filter(|one| one.kind == "unknown-field");
    let strangers: Vec<(String, String)> =
        strangers.map(|one| (split(&one.path).0.to_owned(), one.help.clone().unwrap_or_default())).collect();
    list.retain(|one| {
        let beside = |map: &str| strangers.iter().any(|(parent, _)| parent == map);
        match one.kind {
            "required" => {
                let (parent, name) = split(&one.path);
                let meant = |help: &str| {
                    help.contains(&format!("{name}: "))
                        || help.contains(&format!("did you mean {name}?"))
                        || help.starts_with("delete this step")
                };
                !strangers.iter().any(|(map, help)| map == parent && meant(help))
            }
            "wrong-value" => {
                let needs = ["must have ", "must name ", "takes every request"];
                !(needs.iter().any(|words| one.message.starts_with(words)) && beside(&one.path))
            }
            _ => true,
        }
    });
}

/// What the engine says; without the place in the text, where that is told of the file.
fn message(problem: &Problem, placed: bool) -> String {
    let message = problem.message();
    let end = message.rfind(" at line ").filter(|_| placed && matches!(problem.wrong(), Wrong::Syntax { .. }));
    end.and_then(|end| message.get(..end)).map_or_else(|| message.clone(), str::to_owned)
}

/// Brings messages into the order of lines; those without a place stand first.
pub fn sort(list: &mut [Diagnostic]) {
    list.sort_by_key(|one| one.span.as_ref().map(|span| (span.start, span.end)));
}

/// The word for a rule that is broken. Stable: programs look for it.
fn kind(wrong: &Wrong) -> &'static str {
    match wrong {
        Wrong::Syntax { .. } => "syntax",
        Wrong::UnknownField { .. } => "unknown-field",
        Wrong::UnknownName { .. } => "unknown-name",
        Wrong::UnknownWord { .. } => "unknown-word",
        Wrong::Repeated => "repeated-key",
        Wrong::Other(words) if words.starts_with("is required") => "required",
        Wrong::Other(_) => "wrong-value",
    }
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
    Some(letter(&document.text, at))
}

/// The letter at a place, or around it.
fn letter(text: &str, at: usize) -> Range<usize> {
    let at = text.floor_char_boundary(at);
    let length = text.get(at..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8);
    at..at.saturating_add(length)
}

/// Where the field of a problem stands, or the nearest one around it.
fn place(document: &Document, problem: &Problem) -> Option<Range<usize>> {
    told(document, problem).or_else(|| nearest_place(document, problem.path(), problem.is_about_key()))
}

/// Where a field stands, or the nearest one around it: its key, or its value where that fits a line.
pub fn nearest_place(document: &Document, wanted: &str, key: bool) -> Option<Range<usize>> {
    let mut path = wanted;
    loop {
        if let Some((key_at, value)) = document.places.get(path) {
            let about_key = path != wanted || key;
            // A value of many lines, or one that begins below its key, is shown by the key.
            let whole = document.text.get(key_at.start.min(value.start)..value.end);
            let many_lines = whole.is_none_or(|text| text.contains('\n'));
            return Some(if about_key || many_lines { key_at.clone() } else { value.clone() });
        }
        // `a.b["c d"][2]`: what stands in front of the last step.
        let end = path.rfind(['.', '[']).unwrap_or(0);
        if end == 0 {
            return document.places.get("config").map(|(key, _)| letter(&document.text, key.start));
        }
        path = path.get(..end)?;
    }
}

/// The line and column of a place, both counted from 1.
pub fn position(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or_default();
    let line = before.matches('\n').count().saturating_add(1);
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count().saturating_add(1);
    (line, column)
}

impl From<&Marked> for Diagnostic {
    fn from(marked: &Marked) -> Self {
        let Marked { message, help, span, foreign, .. } = marked;
        Self {
            severity: Severity::Error,
            code: None,
            kind: if *foreign { "foreign" } else { "syntax" },
            path: "config".to_owned(),
            message: message.clone(),
            help: Some(help.clone()),
            span: Some(span.clone()),
        }
    }
}

impl Diagnostic {
    /// The line of a place in a file.
    pub fn line_of(document: &Document, span: &Range<usize>) -> usize {
        position(&document.text, span.start).0
    }

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
    let at =
        |place: fn(&Range<usize>) -> usize| diagnostic.span.as_ref().map(|span| position(&document.text, place(span)));
    let (start, end) = (at(|span| span.start), at(|span| span.end));
    json!({
        "file": document.file,
        "in": document.carrier,
        "line": start.map(|(line, _)| line),
        "column": start.map(|(_, column)| column),
        "endLine": end.map(|(line, _)| line),
        "endColumn": end.map(|(_, column)| column),
        "path": diagnostic.path,
        "severity": diagnostic.severity.name(),
        "message": diagnostic.message,
        "help": diagnostic.help,
        "code": diagnostic.code.unwrap_or(diagnostic.kind),
    })
}

/// A message for a program, with further fields.
pub fn with(mut told: Value, fields: impl IntoIterator<Item = (&'static str, Value)>) -> Value {
    if let Value::Object(map) = &mut told {
        map.extend(fields.into_iter().map(|(name, value)| (name.to_owned(), value)));
    }
    told
}
