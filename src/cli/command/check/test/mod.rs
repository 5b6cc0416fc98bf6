//! `tidegate test`: checks a config against cases, which are data.
//!
//! A failed case shows what was expected and what was found, with what the rules of the flag did. Never asks a proxy:
//! the engine decides here as it does there.

mod junit;
mod matrix;

use serde_json::{Value, json};

use crate::error::{CliError, Found};
use crate::input::files;
use crate::terminal::style::{BAD, FAINT, GOOD, MAIN, ODD, paint};
use crate::terminal::{Screen, diagnostic as drawn};
use tidegate_analysis::case::{self, Case, Mismatch, Suite};
use tidegate_analysis::explain::{self, Explanation};
use tidegate_analysis::source::{Diagnostic, Marked, ReadError, diagnostic};
use tidegate_analysis::words::number::count;

/// Run cases: requests, and what is expected of them. Or list requests that show each pair of variants
#[derive(Debug, clap::Args)]
#[command(after_help = CASES)]
pub(crate) struct Args {
    /// Case files, YAML or JSON; `-` is the standard input
    #[arg(value_name = "CASES", required_unless_present = "matrix")]
    files: Vec<String>,
    /// Run only cases whose names contain this text
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// How the results are written: for people, for programs, for build servers
    #[arg(long, value_name = "FORMAT", value_enum, conflicts_with = "matrix")]
    format: Option<Format>,
    #[command(flatten)]
    matrix: matrix::Choices,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// With reasons, for people
    Text,
    /// One document, as of --output json
    Json,
    /// JUnit's XML, for build servers
    Junit,
}

const CASES: &str = "\
A case file:
  file: shop.yaml                  # the config, from where this file stands; or itself, as config:
  cases:
    - name: gold customers see the new checkout
      at: 2026-12-03               # 1970 if left out
      request: {method: POST, path: /api/pay, headers: {x-user-id: ana, x-plan: gold}}
      expect:
        flags: {checkout: v2 split, new-nav: \"on\", export: null}   # null: not decided
        upstream: {x-upstream-version: v2, x-flag-export: null}    # null: absent
        response: {\":status\": \"200\"}

A request may have method, host, path, headers, claims, token, peer, address and proxy. Instead of
flags, decide lists all flags that are decided. Text is bytes: \"\\xFF\" is one.";

/// What became of the cases of one file.
struct Ran<'a> {
    file: &'a str,
    run: usize,
    /// The cases that were run, and their lines.
    names: Vec<(String, usize)>,
    failed: Vec<Failure>,
    read: case::Read,
}

/// A case that is not as expected.
struct Failure {
    name: String,
    /// The line and column of the case.
    place: (usize, usize),
    wrong: Vec<Wrong>,
}

/// What is not as expected, and why it is as it is.
struct Wrong {
    mismatch: Mismatch,
    line: usize,
    why: Vec<String>,
}

pub(crate) fn run(args: &Args, screen: &mut Screen) -> Result<Found, CliError> {
    if let Some(config) = args.matrix.config() {
        return matrix::run(config, &args.matrix, screen);
    }
    let mut all: Vec<Ran<'_>> = Vec::new();
    for file in &args.files {
        let read = match case::within(file, &files::text(file)?, &files::configs) {
            Err(ReadError::Marked(marked)) => {
                let marked: &Marked = &marked;
                let problems = vec![(marked.document(), vec![Diagnostic::from(marked)])];
                case::Read { problems, ..case::Read::default() }
            }
            Err(ReadError::Broken(text)) => case::Read { broken: vec![text], ..case::Read::default() },
            other => other?,
        };
        let mut ran = Ran { file, run: 0, names: Vec::new(), failed: Vec::new(), read };
        for suite in &ran.read.suites {
            let wanted = |case: &&Case| args.only.as_ref().is_none_or(|text| case.name.contains(text.as_str()));
            for case in suite.cases.iter().filter(wanted) {
                ran.run += 1;
                ran.names.push((case.name.clone(), diagnostic::position(&suite.text, case.span.start).0));
                ran.failed.extend(check(suite, case));
            }
        }
        all.push(ran);
    }
    if let Some(text) = args.only.as_ref().filter(|_| all.iter().all(|ran| ran.run == 0 && !ran.is_broken())) {
        return Err(CliError::Usage(format!("no case name contains {text:?}")));
    }
    let found = Found::when(all.iter().any(|ran| !ran.failed.is_empty() || ran.is_broken()));
    screen.decide(found);
    let format = args.format.unwrap_or(if screen.is_json() { Format::Json } else { Format::Text });
    if format == Format::Junit {
        junit::show(&all, screen)?;
    } else if format == Format::Json {
        let sum = |number: fn(&Ran<'_>) -> usize| all.iter().map(number).sum::<usize>();
        screen.json(&json!({
            "cases": sum(|ran| ran.run),
            "failed": sum(|ran| ran.failed.len()),
            "skipped": sum(|ran| ran.read.timelines),
            "problems": all.iter().map(Ran::problems).sum::<usize>(),
            "files": all.iter().map(Ran::json).collect::<Vec<_>>(),
        }))?;
    } else {
        all.iter().try_for_each(|ran| ran.show(screen))?;
        let sum = |number: fn(&Ran<'_>) -> usize| all.iter().map(number).sum::<usize>();
        let (run, failed) = (sum(|ran| ran.run), sum(|ran| ran.failed.len()));
        if all.len() > 1 || failed > 0 {
            let passed = run.saturating_sub(failed);
            screen.remark(format!("{passed} of {} passed", count(run, "case")))?;
        }
    }
    Ok(found)
}

fn check(suite: &Suite, case: &Case) -> Option<Failure> {
    let loaded = &suite.loaded;
    let differences = case.differences(&case.natively(&loaded.plan));
    if differences.is_empty() {
        return None;
    }
    let text = &suite.text;
    let explained = explain::explain(loaded, &case.spec, case.time());
    let mut told: Vec<&str> = Vec::new();
    let mut wrong = Vec::new();
    for mismatch in differences {
        let flags = loaded.plan.flags();
        let writes = |flag: &&tidegate_engine::plan::Flag| {
            let mut headers = flag.variants.iter().flat_map(|variant| &variant.writes);
            headers.any(|(header, _)| header.as_str().eq_ignore_ascii_case(&mismatch.name))
        };
        let flag = match mismatch.part {
            "decide" | "flags" => flags.iter().find(|flag| flag.key().as_str() == mismatch.name),
            "upstream" => flags.iter().find(writes),
            _ => None,
        };
        let mut why = Vec::new();
        // What was told of a flag above is not told again for its header.
        if let Some(key) = flag.map(|flag| flag.key().as_str()).filter(|key| !told.contains(key)) {
            told.push(key);
            why = reasons(&explained, key, mismatch.part == "upstream");
        }
        let (line, _) = diagnostic::position(text, mismatch.span.start);
        wrong.push(Wrong { mismatch, line, why });
    }
    Some(Failure { name: case.name.clone(), place: diagnostic::position(text, case.span.start), wrong })
}

/// What the rules of a flag made of the request; whose flag it is, where a header is meant.
fn reasons(explained: &Explanation, key: &str, of_header: bool) -> Vec<String> {
    let mut lines = explained.reasons(key);
    if of_header {
        lines.insert(0, format!("the header belongs to {key}"));
    }
    lines
}

impl Ran<'_> {
    fn is_broken(&self) -> bool {
        self.problems() > 0
    }

    /// How many things are wrong with the file itself, or with its config.
    fn problems(&self) -> usize {
        let listed = self.read.problems.iter().map(|(_, list)| list.len()).sum::<usize>();
        listed.saturating_add(self.read.broken.len())
    }

    fn show(&self, screen: &mut Screen) -> Result<(), CliError> {
        for (document, list) in &self.read.problems {
            drawn::show(screen, document, list)?;
        }
        for text in &self.read.broken {
            screen.complain(text)?;
        }
        let Self { file, run, failed, .. } = self;
        let passed = run.saturating_sub(failed.len());
        if self.is_broken() {
            let problems = count(self.problems(), "problem");
            screen.line(format!("{} {file}: {problems}; {} run", paint(BAD, "broken"), count(*run, "case")))?;
        } else if !failed.is_empty() {
            let of = count(*run, "case");
            screen.line(format!("{} {file}: {} of {of}", paint(BAD, "failed"), failed.len()))?;
        } else if *run > 0 {
            screen.remark(format!("{} {file}: {}", paint(GOOD, "ok"), count(passed, "case")))?;
        }
        if self.read.timelines > 0 {
            let skipped = count(self.read.timelines, "timeline");
            screen.remark(format!("{} {file}: {skipped}: they need a running filter", paint(ODD, "skipped")))?;
        }
        failed.iter().try_for_each(|failure| failure.show(file, screen))
    }

    fn json(&self) -> Value {
        let problems = self.read.problems.iter();
        let problems = problems.flat_map(|(document, list)| list.iter().map(|one| diagnostic::json(document, one)));
        let broken =
            self.read.broken.iter().map(|text| json!({"file": self.file, "message": text, "severity": "error"}));
        json!({
            "file": self.file,
            "cases": self.run,
            "skipped": self.read.timelines,
            "failures": self.failed.iter().map(Failure::json).collect::<Vec<_>>(),
            "problems": problems.chain(broken).collect::<Vec<_>>(),
        })
    }
}

impl Failure {
    fn show(&self, file: &str, screen: &mut Screen) -> Result<(), CliError> {
        let (line, column) = self.place;
        screen.line(format!("\n{file}:{line}:{column}: {}", paint(MAIN, &self.name)))?;
        for Wrong { mismatch, why, .. } in &self.wrong {
            let Mismatch { part, name, expected, found, .. } = mismatch;
            screen.line(format!("  {part} {}", paint(MAIN, name)))?;
            let absent = match *part {
                "decide" | "flags" => "not decided",
                _ => "absent",
            };
            let mut side = |style, sign: &str, values: &[String]| {
                let gone = [paint(FAINT, absent)];
                let values = if values.is_empty() { &gone } else { values };
                values.iter().try_for_each(|value| screen.line(format!("    {} {value}", paint(style, sign))))
            };
            side(GOOD, "expected", expected)?;
            side(BAD, "found   ", found)?;
            for reason in why {
                screen.line(format!("      {}", paint(FAINT, reason)))?;
            }
        }
        Ok(())
    }

    fn json(&self) -> Value {
        let (line, column) = self.place;
        let wrong = self.wrong.iter().map(|Wrong { mismatch, line, why }| {
            let Mismatch { part, name, expected, found, .. } = mismatch;
            json!({"part": part, "name": name, "line": line, "expected": expected, "found": found, "why": why})
        });
        json!({"case": self.name, "line": line, "column": column, "wrong": wrong.collect::<Vec<_>>()})
    }
}
