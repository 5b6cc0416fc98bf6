//! `tidegate fmt`: brings a config into its canonical form, comments included.
//!
//! The result must read as the same values and have the same fingerprint; otherwise the file stays as it is. Never
//! formats a config that a proxy would refuse, and never a manifest.

mod read;
mod write;

use std::path::Path;

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Value, json};
use similar::TextDiff;

use crate::error::{CliError, Found};
use crate::input::files::VARIABLE;
use crate::input::{files, load, manifest};
use crate::terminal::style::{FAINT, GOOD, MAIN, paint};
use crate::terminal::{Screen, diagnostic as drawn, difference as shown};
use read::Sheet;
use tidegate_analysis::source::document;
use tidegate_analysis::source::edit::alike_by;
use tidegate_analysis::source::edit::order::{self, ROOT};
use tidegate_analysis::source::tree::Tree;
use tidegate_analysis::source::{Document, look};
use tidegate_analysis::words::number::count;
use tidegate_engine::config::Node;
use tidegate_engine::config::schema::shape::Shape;

/// Format configs in their canonical form; comments and decisions stay the same
///
/// Fields are in the order of the reference, flags and segments in yours. Quotes are used where YAML needs them. Lists
/// and maps in brackets stay so if they contain no comments and fit into 100 columns. JSON stays JSON. A file that
/// cannot be rewritten without loss is reported and left as it is. Configs inside manifests are skipped.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Configs to format, YAML or JSON; `-` reads the standard input and writes to the output [default: tidegate.yaml]
    #[arg(value_name = "FILE", env = VARIABLE, hide_env_values = true)]
    files: Vec<String>,
    /// Only show what would change, and exit with 1 if something would
    #[arg(long)]
    check: bool,
    /// Write to the standard output instead of the file
    #[arg(long, conflicts_with = "check")]
    stdout: bool,
}

/// The result for one file.
enum Done {
    /// What stands in it, and what should.
    Formed { old: String, new: String },
    /// It is no file to be formatted.
    Passed(&'static str),
}

pub(crate) fn run(args: &Args, screen: &mut Screen) -> Result<Found, CliError> {
    let files = files::or_usual(&args.files)?;
    let to_output = args.stdout || files.iter().any(|file| file == "-") && !args.check;
    if to_output && files.len() > 1 {
        return Err(CliError::Usage("one file at a time can be written to the output".to_owned()));
    }
    let mut told: Vec<Value> = Vec::new();
    let (mut changed, mut refused) = (0_usize, 0_usize);
    for file in &files {
        let done = match form(file, screen) {
            Err(CliError::Broken(text)) => {
                if !screen.is_json() {
                    screen.complain(&text)?;
                }
                refused += 1;
                told.push(json!({"file": file, "state": "refused", "why": text}));
                continue;
            }
            Err(CliError::Marked(marked)) if !marked.foreign => {
                if !screen.is_json() {
                    screen.note(drawn::marked(&marked, screen.is_colored()))?;
                }
                refused += 1;
                told.push(json!({"file": file, "state": "refused", "why": marked.message}));
                continue;
            }
            // What is wrong with the config has been said; the other files are not the worse for it.
            Err(CliError::Problems) => {
                screen.complain(&format!("{file}: only a config without errors is formatted"))?;
                refused += 1;
                told.push(json!({"file": file, "state": "refused", "why": "the config has errors"}));
                continue;
            }
            other => other?,
        };
        let (old, new) = match done {
            Done::Formed { old, new } => (old, new),
            Done::Passed(why) => {
                if !screen.is_json() && !screen.is_quiet() {
                    screen.note(format!("{} {file}: {why}", paint(FAINT, "skipped")))?;
                }
                told.push(json!({"file": file, "state": "skipped", "why": why}));
                continue;
            }
        };
        let is_changed = old != new;
        changed += usize::from(is_changed);
        screen.decide(Found::when(refused > 0 || args.check && changed > 0));
        let state = if is_changed { "changed" } else { "unchanged" };
        if to_output {
            if screen.is_json() {
                told.push(json!({"file": file, "state": state, "text": new}));
            } else {
                screen.raw(&new)?;
            }
            continue;
        }
        let diff = difference(file, &old, &new);
        if is_changed && !args.check {
            files::replace(Path::new(file), &new).map_err(|error| format!("cannot write {file}: {error}"))?;
        }
        if screen.is_json() {
            told.push(json!({"file": file, "state": state, "diff": diff}));
        } else if is_changed && args.check {
            shown::text(screen, &diff)?;
        } else if is_changed {
            screen.remark(format!("{} {file}", paint(MAIN, "formatted")))?;
        } else {
            screen.remark(format!("{} {file}", paint(GOOD, "ok")))?;
        }
    }
    if screen.is_json() {
        screen.json(&json!({"changed": changed, "refused": refused, "files": told}))?;
    } else if args.check && changed > 0 {
        let would = if changed == 1 { "is" } else { "are" };
        screen.line(format!("{} {would} not in the canonical form: run tidegate fmt", count(changed, "file")))?;
    }
    Ok(Found::when(refused > 0 || args.check && changed > 0))
}

/// A file as it is, and as it should be.
fn form(file: &str, screen: &mut Screen) -> Result<Done, CliError> {
    let mut documents = match files::read(file) {
        Err(CliError::Marked(marked)) if marked.foreign || !look::matters(&marked.text, &marked.message) => {
            return Ok(Done::Passed("it contains no config of Tidegate"));
        }
        other => other?,
    };
    let Some(document) = documents.pop() else { return Ok(Done::Passed("it contains no config")) };
    if !document.carrier.is_empty() {
        return Ok(Done::Passed("the config is inside a manifest: only config files are formatted"));
    }
    let old = document.text.to_string();
    let is_json = document.wire == document.text.as_bytes();
    let (before, document) = if documents.is_empty() {
        let loaded = load::compile(document, screen)?;
        (Some(loaded.plan.fingerprint()), loaded.document)
    } else {
        (None, document)
    };
    let new = if is_json { json_form(&document)? } else { yaml_form(&document)? };
    // What follows cannot happen as far as anybody knows, and must not.
    let again = manifest::within(&document.file, &new)?;
    let [after] = again.as_slice() else { return Err(unlike(file)) };
    let is_alike = alike(&node(&document), &node(after)) && before == fingerprint(after);
    if is_alike { Ok(Done::Formed { old, new }) } else { Err(unlike(file)) }
}

fn unlike(file: &str) -> CliError {
    CliError::Broken(format!(
        "{file}: the formatted text would not be read as the same config; the file is left as it is"
    ))
}

fn node(document: &Document) -> Node {
    serde_json::from_slice(&document.wire).unwrap_or(Node::Null)
}

fn fingerprint(document: &Document) -> Option<u64> {
    let plan = tidegate_engine::plan::Plan::from_bytes(&document.wire).0.ready()?;
    Some(plan.fingerprint())
}

/// Whether two configs are the same, value for value; only the order of fields may differ, and how a variant is
/// written of which YAML makes a boolean.
fn alike(one: &Node, other: &Node) -> bool {
    alike_by(one, other, &|one, other| match (one, other) {
        (Node::Bool(true), Node::Text(text)) => &**text == "on",
        (Node::Bool(false), Node::Text(text)) => &**text == "off",
        (one, other) => one == other,
    })
}

fn yaml_form(document: &Document) -> Result<String, CliError> {
    let text = document.text.trim_start_matches('\u{feff}').replace("\r\n", "\n");
    let refused = |refusal: &read::Refusal| CliError::Broken(refusal.told(&document.file, &text));
    let trees = Tree::read(&text, &document.file).map_err(CliError::Broken)?;
    let empty = read::Refusal { at: 0, why: "there is no map here" };
    let tree = trees.first().ok_or_else(|| refused(&empty))?;
    let sheet = Sheet::read(&text, tree).map_err(|refusal| refused(&refusal))?;
    Ok(write::text(&sheet))
}

fn json_form(document: &Document) -> Result<String, CliError> {
    let node = node(document);
    let text = serde_json::to_string_pretty(&Ordered { node: &node, shape: ROOT });
    let text = text.map_err(|error| CliError::Broken(format!("{}: {error}", document.file)))?;
    Ok(format!("{text}\n"))
}

/// A value that is written with its fields in order.
struct Ordered<'n> {
    node: &'n Node,
    shape: Shape,
}

impl Serialize for Ordered<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.node {
            Node::List(items) => serializer.collect_seq(items.iter().map(|node| Self { node, shape: self.shape })),
            Node::Map(entries) => {
                let mut entries: Vec<_> = entries.iter().collect();
                entries.sort_by_key(|(key, _)| order::place(self.shape, key));
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                for (key, node) in entries {
                    map.serialize_entry(&**key, &Self { node, shape: order::inside(self.shape, key) })?;
                }
                map.end()
            }
            scalar => document::json(scalar).serialize(serializer),
        }
    }
}

/// What changes, line by line; nothing where nothing does.
fn difference(file: &str, old: &str, new: &str) -> String {
    let diff = TextDiff::from_lines(old, new);
    diff.unified_diff().context_radius(2).header(file, &format!("{file} (canonical)")).to_string()
}
