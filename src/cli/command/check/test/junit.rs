//! Writes what became of cases as JUnit's XML, which the pages of most build servers show.
//!
//! A file is a suite, a case a test. Never runs a case.

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite, XmlString};

use super::{Failure, Ran, Wrong};
use crate::error::CliError;
use crate::terminal::Screen;
use tidegate_analysis::case::Mismatch;
use tidegate_analysis::source::diagnostic::Diagnostic;

pub(super) fn show(all: &[Ran<'_>], screen: &mut Screen) -> Result<(), CliError> {
    let mut report = Report::new("tidegate");
    for ran in all {
        report.add_test_suite(suite(ran));
    }
    let text = report.to_string().map_err(|error| format!("cannot write the report as XML: {error}"))?;
    Ok(screen.line(text.trim_end())?)
}

fn suite(ran: &Ran<'_>) -> TestSuite {
    let mut suite = TestSuite::new(ran.file);
    for (name, line) in &ran.names {
        let failure = ran.failed.iter().find(|failure| failure.name == *name && failure.place.0 == *line);
        let status = failure.map_or_else(TestCaseStatus::success, failed);
        suite.add_test_case(case(ran, name, *line, status));
    }
    // What is wrong with the file itself keeps its cases from being run.
    for (document, list) in &ran.read.problems {
        for one in list {
            let Diagnostic { path, message, help, .. } = one;
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
            let help = help.as_ref().map_or_else(String::new, |help| format!("; {help}"));
            status.set_message(format!("{path}: {message}{help}"));
            status.set_description(one.line(document).to_string());
            let line = one.span.as_ref().map_or(1, |span| Diagnostic::line_of(document, span));
            suite.add_test_case(case(ran, "the file itself", line, status));
        }
    }
    for text in &ran.read.broken {
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
        status.set_message(text.lines().next().unwrap_or_default());
        status.set_description(text.as_str());
        suite.add_test_case(case(ran, "the file itself", 1, status));
    }
    if ran.read.timelines > 0 {
        let mut status = TestCaseStatus::skipped();
        status.set_message("timelines need a running filter");
        suite.add_test_case(case(ran, "timelines", 1, status));
    }
    suite
}

fn case(ran: &Ran<'_>, name: &str, line: usize, status: TestCaseStatus) -> TestCase {
    let mut case = TestCase::new(name, status);
    case.set_classname(ran.file);
    case.extra.insert(XmlString::new("file"), XmlString::new(ran.file));
    case.extra.insert(XmlString::new("line"), XmlString::new(line.to_string()));
    case
}

fn failed(failure: &Failure) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
    let text = |values: &[String]| if values.is_empty() { "nothing".to_owned() } else { values.join(", ") };
    let mut lines = Vec::new();
    for Wrong { mismatch: Mismatch { part, name, expected, found, .. }, line, why } in &failure.wrong {
        lines.push(format!("line {line}: {part} {name}: expected {}, found {}", text(expected), text(found)));
        lines.extend(why.iter().map(|why| format!("  {why}")));
    }
    status.set_message(lines.first().cloned().unwrap_or_default());
    status.set_description(lines.join("\n"));
    status
}
