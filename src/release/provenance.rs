//! Where artefacts come from, as an in-toto statement with SLSA's predicate: which sources, which compiler, which digests.
//!
//! Not signed: on a tag the workflow has the builder of the forge attest the same files.

use crate::Error;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

/// The statement about files by their names and SHA-256.
///
/// # Errors
///
/// If Git or the compiler cannot be asked.
pub fn statement(root: &Path, digests: &BTreeMap<String, String>, builder: &str) -> Result<Value, Error> {
    let git = |arguments: &[&str]| said(Command::new("git").args(arguments).current_dir(root));
    let commit = git(&["rev-parse", "HEAD"])?;
    let changed = !git(&["status", "--porcelain", "--untracked-files=no"])?.is_empty();
    let subjects: Vec<Value> =
        digests.iter().map(|(name, digest)| json!({"name": name, "digest": {"sha256": digest}})).collect();
    Ok(json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": subjects,
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": concat!(env!("CARGO_PKG_REPOSITORY"), "#make-release"),
                "externalParameters": {"command": "make release"},
                "internalParameters": {
                    "rustc": said(Command::new("rustc").arg("--version"))?,
                    // Sources that no commit has: such a release is for trying alone.
                    "uncommittedChanges": changed,
                },
                "resolvedDependencies": [{
                    "uri": concat!("git+", env!("CARGO_PKG_REPOSITORY")),
                    "digest": {"gitCommit": commit},
                }],
            },
            "runDetails": {"builder": {"id": builder}},
        },
    }))
}

fn said(command: &mut Command) -> Result<String, Error> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim()).into());
    }
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
