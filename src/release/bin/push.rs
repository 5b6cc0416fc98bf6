//! `push LAYOUT REFERENCE [END]`: brings an image to a registry, and says how, and what a manifest pins. An END is added
//! to the name of the repository: with `-cli`, that of the command goes beside that of the module.

use std::io::Write as _;
use std::path::Path;
use tidegate_release::registry::{Reference, Way, push};
use tidegate_release::{Error, read};

fn main() -> std::process::ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match arguments.as_slice() {
        [layout, reference] => run(Path::new(layout), reference, ""),
        [layout, reference, end] => run(Path::new(layout), reference, end),
        _ => Err("usage: push LAYOUT REGISTRY/REPOSITORY[:TAG] [END]".into()),
    };
    let Err(error) = done else { return std::process::ExitCode::SUCCESS };
    // Nobody is left to be told.
    drop(writeln!(std::io::stderr(), "push: {error}"));
    std::process::ExitCode::FAILURE
}

fn run(layout: &Path, reference: &str, end: &str) -> Result<(), Error> {
    let version = env!("CARGO_PKG_VERSION");
    let reference = Reference::parse(reference, version)?.beside(end);
    let way = match push(layout, &reference, version)? {
        Way::Tool(tool) => tool,
        Way::Plain => "plain HTTP",
    };
    let index: serde_json::Value = serde_json::from_slice(&read(&layout.join("index.json"))?)?;
    let digest = index.pointer("/manifests/0/digest").and_then(serde_json::Value::as_str).unwrap_or_default();
    writeln!(std::io::stdout(), "{reference} is pushed, by {way}: pin it as {digest}")?;
    Ok(())
}
