//! `tidegate validate`: every problem of every config at once, with its line.
//!
//! Stricter than a proxy in one thing: an unknown field is an error, because here it is a mistake. Never changes a
//! file.

use serde_json::json;

use super::policy;
use crate::error::{CliError, Found};
use crate::input::{files, time};
use crate::terminal::style::{GOOD, paint};
use crate::terminal::{Screen, diagnostic as drawn};
use tidegate_analysis::source::{Diagnostic, Document, Severity, diagnostic};
use tidegate_analysis::words::number::count;
use tidegate_analysis::{parts, policy as policies, words};
use tidegate_engine::config::Config;
use tidegate_engine::plan::Plan;
use tidegate_engine::problem::{FieldPath, Problems};
use tidegate_engine::value::time::Timestamp;

/// Check configs, in files of their own or inside WasmPlugin, TrafficExtension, EnvoyFilter and Envoy's files
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Files to check, YAML or JSON; `-` is the standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,
    /// Treat warnings as errors
    #[arg(long)]
    deny_warnings: bool,
    /// Also check the configs against a policy: see `tidegate policy`
    #[arg(long, value_name = "POLICY")]
    policy: Option<String>,
    /// The day to check the policy for, such as 2027-03-01 [default: today]
    #[arg(long, value_name = "DATE", value_parser = words::time::parse, requires = "policy")]
    today: Option<Timestamp>,
}

pub(crate) fn run(args: &Args, screen: &mut Screen) -> Result<Found, CliError> {
    let policy = args.policy.as_ref().map(|path| policy::load(path, screen)).transpose()?;
    let today = args.today.unwrap_or_else(time::now);
    let mut checked: Vec<(Document, Vec<Diagnostic>)> = Vec::new();
    let mut broken: Vec<(&str, String)> = Vec::new();
    for file in &args.files {
        let documents = match files::read(file) {
            // The other files are not the worse for it.
            Err(CliError::Broken(text)) => {
                broken.push((file, text));
                continue;
            }
            other => other?,
        };
        for document in documents {
            let mut problems = Problems::default();
            let config = Config::from_bytes(&document.wire, &mut problems);
            let ready = tidegate_proxy::compile(&config, &mut problems).ready().is_some();
            let mut list = diagnostic::all(&document, &problems, true);
            list.extend(chosen(&document, &config));
            if let Some(policy) = policy.as_ref().filter(|_| ready) {
                let broken = policies::judge(policy, &config, today);
                list.extend(broken.iter().map(|finding| finding.diagnostic(&document)));
            }
            checked.push((document, list));
        }
    }
    let number =
        |severity: Severity| checked.iter().flat_map(|(_, list)| list).filter(|one| one.severity == severity).count();
    let errors = number(Severity::Error).saturating_add(broken.len());
    let warnings = number(Severity::Warning);
    let found = Found::when(errors > 0 || args.deny_warnings && warnings > 0);
    if screen.is_json() {
        let told = checked.iter().flat_map(|(document, list)| list.iter().map(|one| diagnostic::json(document, one)));
        let unread = broken.iter().map(|(file, text)| json!({"file": file, "severity": "error", "message": text}));
        let list: Vec<_> = told.chain(unread).collect();
        screen.json(&json!({"configs": checked.len(), "errors": errors, "warnings": warnings, "problems": list}))?;
        return Ok(found);
    }
    for (document, list) in &checked {
        drawn::show(screen, document, list)?;
        if list.iter().all(|one| one.severity == Severity::Note) {
            let flags = Plan::from_bytes(&document.wire).0.ready().map_or(0, |plan| plan.flags().len());
            screen.line(format!("{} {}: {}", paint(GOOD, "ok"), document.name(), count(flags, "flag")))?;
        }
    }
    for (_, text) in &broken {
        screen.complain(text)?;
    }
    if errors > 0 || warnings > 0 {
        let (errors, warnings) = (count(errors, "error"), count(warnings, "warning"));
        screen.line(format!("{errors} and {warnings} in {}", count(checked.len(), "config")))?;
    }
    Ok(found)
}

/// A note at each guard that rests on identities which clients choose, and does not say that this is meant.
fn chosen(document: &Document, config: &Config) -> Vec<Diagnostic> {
    let notes = config.flags.iter().filter_map(|(key, flag)| {
        flag.guard.as_ref().filter(|guard| guard.identities.is_none())?;
        let source = parts::sources(config, flag).iter().find(|source| source.kind.can_be_chosen())?;
        let path = FieldPath::ROOT.key("flags").key(key.as_str()).key("guard").to_string();
        Some(Diagnostic {
            severity: Severity::Note,
            code: None,
            message: format!("rests on identities that a client can choose ({})", source.kind.code()),
            help: Some(
                "count only those from a claim or the peer by identities: verified, or say any if that is meant".into(),
            ),
            span: diagnostic::nearest_place(document, &path, true),
            path,
        })
    });
    notes.collect()
}
