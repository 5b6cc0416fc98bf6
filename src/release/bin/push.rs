//! `push LAYOUT REFERENCE`: brings an image to a registry, and says how, and what a manifest pins.

use std::io::Write as _;
use std::path::Path;
use tidegate_release::registry::{Reference, Way, push};
use tidegate_release::{Error, read};

fn main() -> std::process::ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match arguments.as_slice() {
        [layout, reference] => run(Path::new(layout), reference),
        _ => Err("usage: push LAYOUT REGISTRY/REPOSITORY[:TAG]".into()),
    };
    let Err(error) = done else { return std::process::ExitCode::SUCCESS };
    // Nobody is left to be told.
    drop(writeln!(std::io::stderr(), "push: {error}"));
    std::process::ExitCode::FAILURE
}

fn run(layout: &Path, reference: &str) -> Result<(), Error> {
    let version = env!("CARGO_PKG_VERSION");
    let way = match push(layout, &Reference::parse(reference, version)?, version)? {
        Way::Tool(tool) => tool,
        Way::Plain => "plain HTTP",
    };
    let index: serde_json::Value = serde_json::from_slice(&read(&layout.join("index.json"))?)?;
    let digest = index.pointer("/manifests/0/digest").and_then(serde_json::Value::as_str).unwrap_or_default();
    writeln!(std::io::stdout(), "{reference} is pushed, by {way}: pin it as {digest}")?;
    Ok(())
}
