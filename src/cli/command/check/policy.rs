//! `tidegate policy`: checks a policy file, and writes CODEOWNERS from it; loads a policy for other commands.
//!
//! Never judges a config: [`tidegate_analysis::policy`] does.

use serde_json::{Value, json};

use crate::error::{CliError, Found};
use crate::input::files;
use crate::input::load::load_all;
use crate::terminal::style::{GOOD, paint};
use crate::terminal::{Screen, diagnostic as drawn};
use tidegate_analysis::policy::approve::Line;
use tidegate_analysis::policy::{Policy, SECTIONS};
use tidegate_analysis::source::{Diagnostic, Document, Severity, diagnostic};
use tidegate_analysis::words::number::count;
use tidegate_engine::config::Node;
use tidegate_engine::config::schema::shape::NEEDED;
use tidegate_engine::problem::Problems;

/// Check a policy for names, stages, steps, freezes and owners, or write CODEOWNERS from it
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Check a policy file itself; `validate --policy` checks configs against it
    Check(Check),
    /// Print CODEOWNERS lines: for each file, the approvers of all owners of its flags
    ///
    /// CODEOWNERS works by file, not by flag: a change of one flag asks the approvers of every owner in its file. Keep
    /// the flags of a team in a file of their own to ask nobody else. Run this in the root of the repository: paths are
    /// written as they are given.
    Codeowners(Codeowners),
}

#[derive(Debug, clap::Args)]
#[command(after_long_help = reference())]
struct Check {
    /// The policy, YAML or JSON
    #[arg(value_name = "POLICY")]
    policy: String,
}

#[derive(Debug, clap::Args)]
struct Codeowners {
    /// The policy, YAML or JSON
    #[arg(value_name = "POLICY")]
    policy: String,
    /// The configs, or manifests that contain them
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,
}

/// All fields of a policy, with what they mean.
fn reference() -> String {
    let mut text = String::from("The fields of a policy:");
    for section in SECTIONS {
        text.extend(["\n\n", section.title]);
        for field in section.fields {
            let without = match field.without {
                "" => String::new(),
                NEEDED => "; required".to_owned(),
                without => format!("; without it, {without}"),
            };
            let line = format!("\n  {:<14} {} ({}{without})", field.name, field.about, field.takes());
            text.push_str(&line);
        }
    }
    text.replace('`', "")
}

pub(crate) fn run(args: &Args, screen: &mut Screen) -> Result<Found, CliError> {
    match &args.command {
        Command::Check(args) => check(args, screen),
        Command::Codeowners(args) => codeowners(args, screen),
    }
}

/// The policy of a file; what is wrong with it is shown.
pub(crate) fn load(path: &str, screen: &mut Screen) -> Result<Policy, CliError> {
    let (document, policy, list) = read(path)?;
    let errors: Vec<&Diagnostic> = list.iter().filter(|one| one.severity == Severity::Error).collect();
    for one in &errors {
        let text = drawn::render(&document, one, screen.is_colored());
        screen.note(text)?;
    }
    if errors.is_empty() { Ok(policy) } else { Err(CliError::Problems) }
}

/// A policy, and what is wrong with it. A field that is not known is an error: it would not be enforced.
fn read(path: &str) -> Result<(Document, Policy, Vec<Diagnostic>), CliError> {
    let document = files::document(path)?;
    let node =
        Node::from_json(&document.wire).map_err(|error| CliError::Broken(format!("{}: is {error}", document.file)))?;
    let mut problems = Problems::default();
    let policy = Policy::read(&node, &mut problems);
    let mut list = diagnostic::all(&document, &problems, true);
    for one in list.iter_mut().filter(|one| one.path == "config") {
        "policy".clone_into(&mut one.path);
    }
    Ok((document, policy, list))
}

fn check(args: &Check, screen: &mut Screen) -> Result<Found, CliError> {
    let (document, policy, list) = read(&args.policy)?;
    let number = |severity: Severity| list.iter().filter(|one| one.severity == severity).count();
    let (errors, warnings) = (number(Severity::Error), number(Severity::Warning));
    screen.decide(Found::when(errors > 0));
    if screen.is_json() {
        let told: Vec<Value> = list.iter().map(|one| diagnostic::json(&document, one)).collect();
        screen.json(&json!({"errors": errors, "warnings": warnings, "problems": told}))?;
    } else {
        drawn::show(screen, &document, &list)?;
        if errors == 0 {
            screen.remark(format!(
                "{} {}: {}",
                paint(GOOD, "ok"),
                document.file,
                count(policy.rule_count(), "rule")
            ))?;
        } else {
            let (errors, warnings) = (count(errors, "error"), count(warnings, "warning"));
            screen.line(format!("{errors} and {warnings} in {}", document.file))?;
        }
    }
    Ok(Found::when(errors > 0))
}

fn codeowners(args: &Codeowners, screen: &mut Screen) -> Result<Found, CliError> {
    let policy = load(&args.policy, screen)?;
    let mut lines = Vec::new();
    for file in &args.files {
        let loaded = load_all(std::slice::from_ref(file), screen)?;
        // One config of several is still a part of the same file.
        let name = loaded.first().map_or(file.as_str(), |one| one.document.file.as_str());
        let name = if name == "<stdin>" { "-" } else { name };
        lines.push(Line::new(&policy, name, &loaded.iter().collect::<Vec<_>>())?);
    }
    let open = lines.iter().any(|line| !line.open.is_empty());
    screen.decide(Found::when(open));
    if screen.is_json() {
        let told = lines.iter().map(|line| {
            let open = line.open.iter().map(|(flag, why)| json!({"flag": flag, "because": why}));
            json!({
                "path": line.path,
                "approvers": line.approvers,
                "owners": line.owners,
                "unapproved": open.collect::<Vec<_>>(),
            })
        });
        screen.json(&json!({"files": told.collect::<Vec<_>>()}))?;
        return Ok(Found::when(open));
    }
    screen
        .line("# Written by `tidegate policy codeowners`: for each file, the approvers of all owners of its flags.")?;
    for line in &lines {
        if let Some(text) = line.text() {
            screen.line(text)?;
        }
        for (flag, why) in &line.open {
            screen.complain(&format!("{}: {flag} {why}", line.path))?;
        }
    }
    Ok(Found::when(open))
}
