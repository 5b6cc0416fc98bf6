//! `tidegate validate`: every problem of every config at once, with its line, and what can never work.
//!
//! Stricter than a proxy: an unknown field is an error, because here it is a mistake, and so is a rule that no request
//! can ever fit. Files without a config are passed over and counted. Never changes a file.

use tidegate_analysis::lint::routes::Routes;
use tidegate_analysis::lint::{Finding, futile, standing};
use tidegate_analysis::source::tree::Places;
use tidegate_analysis::source::{Diagnostic, Document, Marked, Severity, diagnostic, look};
use tidegate_analysis::words::number::count;
use tidegate_analysis::{parts, policy as policies, words};
use tidegate_engine::config::Config;
use tidegate_engine::plan::Plan;
use tidegate_engine::problem::{FieldPath, Problems};
use tidegate_engine::value::time::Timestamp;

use super::policy;
use super::shown::{self, Format};
use crate::error::{CliError, Found};
use crate::input::files::{self, Listed, VARIABLE};
use crate::input::time;
use crate::terminal::style::{FAINT, GOOD, paint};
use crate::terminal::{Screen, diagnostic as drawn};

/// Check configs: in files of their own, in manifests of Kubernetes, Istio and Envoy, in whole folders
///
/// Takes files, and folders with all YAML and JSON below them. Files without a config are passed over and counted.
/// Routes (VirtualService, HTTPRoute, Envoy) among them are held against the variants that the flags route to.
#[derive(Debug, clap::Args)]
#[command(after_help = CODES)]
pub(crate) struct Args {
    /// Files or folders to check, YAML or JSON; `-` is the standard input [default: tidegate.yaml]
    #[arg(value_name = "FILE", env = VARIABLE, hide_env_values = true)]
    files: Vec<String>,
    /// Treat warnings as errors
    #[arg(long)]
    deny_warnings: bool,
    /// End with 0 also where no file has a config: for hooks, which get whatever was changed
    #[arg(long)]
    skip_foreign: bool,
    /// Also check the configs against a policy: see `tidegate policy`
    #[arg(long, value_name = "POLICY")]
    policy: Option<String>,
    /// The day to check the policy for, such as 2027-03-01 [default: today]
    #[arg(long, value_name = "DATE", value_parser = words::time::parse, requires = "policy")]
    today: Option<Timestamp>,
    /// How the problems are written: for people, for programs, for code scanning, for GitHub's annotations
    #[arg(long, value_name = "FORMAT", value_enum)]
    format: Option<Format>,
}

const CODES: &str = "\
Exit codes:
  0  no error, and no warning with --deny-warnings
  1  an error: a proxy would refuse the config, or a part of it can never work
  2  nothing was checked: a file is not there, or none has a config";

/// What was read of all files.
#[derive(Default)]
struct Read {
    documents: Vec<Document>,
    /// Files that cannot be read.
    broken: Vec<Marked>,
    /// Files that hold something else.
    foreign: Vec<(Marked, bool)>,
    routes: Routes,
    files: usize,
    /// How many files have a config.
    ours: usize,
}

pub(crate) fn run(args: &Args, screen: &mut Screen) -> Result<Found, CliError> {
    let policy = args.policy.as_ref().map(|path| policy::load(path, screen)).transpose()?;
    let today = args.today.unwrap_or_else(time::now);
    let Read { documents, broken, foreign, routes, files, ours } =
        read(&files::or_usual(&args.files)?, args.skip_foreign)?;
    let mut checked: Vec<(Document, Vec<Diagnostic>)> = Vec::new();
    for document in documents {
        let mut problems = Problems::default();
        let config = Config::from_bytes(&document.wire, &mut problems);
        let plan = tidegate_proxy::compile(&config, &mut problems).ready();
        let mut list = diagnostic::all(&document, &problems, true);
        list.extend(chosen(&document, &config));
        if let Some(plan) = &plan {
            let futile = futile::all(&config, today).into_iter().chain(routes.check(&config));
            let futile = futile.chain(standing::all(&config, plan));
            list.extend(futile.filter(|one| is_meant(&document, one)).map(|one| at_element(&document, &one)));
        }
        if let Some(policy) = policy.as_ref().filter(|_| plan.is_some()) {
            let broken = policies::judge(policy, &config, today);
            list.extend(broken.iter().map(|finding| finding.diagnostic(&document)));
        }
        diagnostic::sort(&mut list);
        checked.push((document, list));
    }
    checked.extend(broken.iter().map(|marked| (marked.document(), vec![Diagnostic::from(marked)])));
    let number =
        |severity: Severity| checked.iter().flat_map(|(_, list)| list).filter(|one| one.severity == severity).count();
    let (errors, warnings) = (number(Severity::Error), number(Severity::Warning));
    let found = Found::when(errors > 0 || args.deny_warnings && warnings > 0);
    screen.decide(found);
    if checked.is_empty() && !args.skip_foreign {
        return Err(nothing(foreign, files, &args.files));
    }
    let skipped = files.saturating_sub(ours).saturating_sub(broken.len());
    let sum = shown::Sum { configs: checked.len().saturating_sub(broken.len()), files, skipped, errors, warnings };
    let format = args.format.unwrap_or(if screen.is_json() { Format::Json } else { Format::Text });
    if format != Format::Text {
        shown::show(screen, format, &checked, &sum)?;
        return Ok(found);
    }
    for (document, list) in &checked {
        drawn::show(screen, document, list)?;
        if list.iter().all(|one| one.severity == Severity::Note) {
            let flags = Plan::from_bytes(&document.wire).0.ready().map_or(0, |plan| plan.flags().len());
            screen.remark(format!("{} {}: {}", paint(GOOD, "ok"), document.name(), count(flags, "flag")))?;
        }
    }
    for (marked, _) in foreign.iter().filter(|(_, named)| *named) {
        screen.remark(format!("{} {}: {}", paint(FAINT, "skipped"), marked.file, marked.message))?;
    }
    if skipped > 0 {
        let (files, skipped) = (count(files, "file"), skipped);
        screen.remark(format!("{files}, {ours} with Tidegate configs, {skipped} skipped"))?;
    }
    if errors > 0 || warnings > 0 {
        let (errors, warnings) = (count(errors, "error"), count(warnings, "warning"));
        screen.remark(format!("{errors} and {warnings} in {}", count(checked.len(), "config")))?;
    }
    Ok(found)
}

/// Reads all files that are meant, be they configs or not.
fn read(paths: &[String], lenient: bool) -> Result<Read, CliError> {
    let mut read = Read::default();
    for listed in files::list(paths)? {
        read.files += 1;
        // What a hook hands on was named by nobody.
        match files::contents(&Listed { named: listed.named && !lenient, ..listed.clone() }) {
            Ok(contents) => {
                read.ours += usize::from(!contents.configs.is_empty());
                contents.trees.iter().for_each(|tree| read.routes.read(tree));
                read.documents.extend(contents.configs);
                read.foreign.extend(contents.foreign.map(|foreign| (foreign, listed.named)));
            }
            // What nobody named, and speaks of nothing of ours, is somebody else's.
            Err(CliError::Marked(marked))
                if (lenient || !listed.named) && !look::matters(&marked.text, &marked.message) =>
            {
                read.foreign.push((*marked, listed.named));
            }
            Err(CliError::Marked(marked)) => read.broken.push(*marked),
            Err(CliError::Usage(_)) if !listed.named => {}
            Err(other) => return Err(other),
        }
    }
    Ok(read)
}

/// There is nothing to be checked.
fn nothing(foreign: Vec<(Marked, bool)>, files: usize, paths: &[String]) -> CliError {
    let mut foreign = foreign.into_iter().map(|(marked, _)| marked);
    match (foreign.next(), files) {
        (Some(only), 1) => CliError::Marked(Box::new(only)),
        (Some(first), more) => {
            CliError::Usage(format!("none of {} has a config: {} {}", count(more, "file"), first.file, first.message))
        }
        (None, _) => CliError::Usage(format!("there is no YAML and no JSON in {}", paths.join(", "))),
    }
}

/// Whether a finding stands although the author says that it is meant: a small share by its sign.
fn is_meant(document: &Document, finding: &Finding) -> bool {
    let written = || document.places.get(&finding.path).and_then(|(_, value)| document.text.get(value.clone()));
    finding.code != "small-percent" || !written().is_some_and(|text| text.contains('%'))
}

/// A finding in its file; about one value of a list, where the list stands.
fn at_element(document: &Document, finding: &Finding) -> Diagnostic {
    let mut told = finding.diagnostic(document);
    // What is not written, because a text alone is enough, is not shown either.
    if let Some(short) = told.path.strip_suffix(".equals")
        && !document.places.contains_key(&told.path)
    {
        let span = diagnostic::nearest_place(document, short, false);
        told = Diagnostic { path: short.to_owned(), span, ..told };
    }
    let Some(value) = told.message.rsplit_once("(found \"").and_then(|(_, value)| value.strip_suffix("\")")) else {
        return told;
    };
    let places: &Places = &document.places;
    let inside = (0..).map(|place| format!("{}[{place}]", told.path));
    for path in inside.take_while(|path| places.contains_key(path)) {
        let span = places.get(&path).map(|(_, span)| span.clone()).unwrap_or_default();
        if document.text.get(span.clone()).is_some_and(|text| text.trim_matches(['"', '\'']) == value) {
            return Diagnostic { path, span: Some(span), ..told };
        }
    }
    told
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
            kind: "chosen-identity",
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
