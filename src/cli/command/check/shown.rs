//! Writes what `tidegate validate` found for programs: JSON of its own, SARIF 2.1.0, annotations of GitHub.
//!
//! The JSON has a version, which changes where a program that reads it would have to. Never finds anything.

use clap::ValueEnum;
use serde_json::{Value, json};

use crate::error::CliError;
use crate::terminal::Screen;
use tidegate_analysis::source::diagnostic::{self, position};
use tidegate_analysis::source::{Diagnostic, Document, Severity};

/// The version of the JSON: fields are added, and none is taken away or means something else.
const VERSION: u32 = 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// With lines of the file, for people
    Text,
    /// One document, as of --output json
    Json,
    /// SARIF 2.1.0, for code scanning
    Sarif,
    /// Commands of a workflow, which GitHub shows beside the lines
    Github,
}

/// How much was checked.
pub(crate) struct Sum {
    pub(crate) configs: usize,
    pub(crate) files: usize,
    pub(crate) skipped: usize,
    pub(crate) errors: usize,
    pub(crate) warnings: usize,
}

pub(crate) fn show(
    screen: &mut Screen,
    format: Format,
    checked: &[(Document, Vec<Diagnostic>)],
    sum: &Sum,
) -> Result<(), CliError> {
    let all = || checked.iter().flat_map(|(document, list)| list.iter().map(move |one| (document, one)));
    match format {
        Format::Text => {}
        Format::Json => {
            let list: Vec<Value> = all().map(|(document, one)| diagnostic::json(document, one)).collect();
            screen.json(&json!({
                "version": VERSION,
                "files": sum.files,
                "skipped": sum.skipped,
                "configs": sum.configs,
                "errors": sum.errors,
                "warnings": sum.warnings,
                "problems": list,
            }))?;
        }
        Format::Sarif => screen.json(&sarif(&all().collect::<Vec<_>>()))?,
        Format::Github => {
            for (document, one) in all() {
                screen.line(annotation(document, one))?;
            }
        }
    }
    Ok(())
}

/// What is wrong, and how it is mended, in one text.
fn told(one: &Diagnostic) -> String {
    let help = one.help.as_ref().map_or_else(String::new, |help| format!("; {help}"));
    format!("{}: {}{help}", one.path, one.message)
}

/// A log of one run. What stands in it is what its readers show: GitHub, GitLab, editors.
fn sarif(all: &[(&Document, &Diagnostic)]) -> Value {
    let mut codes: Vec<&str> = all.iter().map(|(_, one)| one.code.unwrap_or(one.kind)).collect();
    codes.sort_unstable();
    codes.dedup();
    let rules: Vec<Value> = codes.iter().map(|code| json!({"id": code, "name": code})).collect();
    let results: Vec<Value> = all
        .iter()
        .map(|(document, one)| {
            let at = |end: bool| {
                let span = one.span.clone().unwrap_or_default();
                position(&document.text, if end { span.end.max(span.start) } else { span.start })
            };
            let (start, end) = (at(false), at(true));
            let code = one.code.unwrap_or(one.kind);
            json!({
                "ruleId": code,
                "ruleIndex": codes.iter().position(|known| *known == code),
                "level": one.severity.name(),
                "message": {"text": told(one)},
                "locations": [{
                    "physicalLocation": {
                        "artifactLocation": {"uri": uri(&document.file)},
                        "region": {"startLine": start.0, "startColumn": start.1, "endLine": end.0, "endColumn": end.1},
                    },
                    "logicalLocations": [{"fullyQualifiedName": one.path}],
                }],
            })
        })
        .collect();
    json!({
        "$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {"name": "tidegate", "version": env!("CARGO_PKG_VERSION"), "rules": rules}},
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

/// A path as a reference of a URI: what is no plain letter is written by its bytes.
fn uri(path: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    let mut out = String::new();
    for byte in path.trim_start_matches("./").bytes() {
        if plain(byte) {
            out.push(char::from(byte));
        } else {
            out.extend(format!("%{byte:02X}").chars());
        }
    }
    out
}

/// A command of a workflow: `::error file=...,line=...::...`.
fn annotation(document: &Document, one: &Diagnostic) -> String {
    let kind = match one.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "notice",
    };
    let data = |text: &str| text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    let property = |text: &str| data(text).replace(':', "%3A").replace(',', "%2C");
    let span = one.span.clone().unwrap_or_default();
    let ((line, column), (end, behind)) = (position(&document.text, span.start), position(&document.text, span.end));
    let columns = if line == end { format!(",col={column},endColumn={behind}") } else { format!(",col={column}") };
    let (file, title) = (property(&document.file), property(one.code.unwrap_or(one.kind)));
    format!("::{kind} file={file},line={line},endLine={end}{columns},title=tidegate {title}::{}", data(&told(one)))
}
