//! Reads files: as bytes, as text, as the configs that are in them.
//!
//! `-` is the standard input, `FILE#2` the second config of a file, and `REV:PATH` a file as git has it.

use std::fs;
use std::io::{self, Read};

use super::git::FileAtRevision;
use super::manifest::within;
use crate::error::CliError;
use tidegate_analysis::source::{Document, ReadError};

/// Reads a file as it is; `-` is the standard input.
pub(crate) fn bytes(path: &str) -> Result<Vec<u8>, CliError> {
    let mut bytes = Vec::new();
    let read = if path == "-" {
        io::stdin().read_to_end(&mut bytes).map(|_| ())
    } else {
        fs::read(path).map(|all| bytes = all)
    };
    read.map_err(|error| format!("cannot read {path}: {error}"))?;
    Ok(bytes)
}

/// Reads a file of text; `-` is the standard input.
pub(crate) fn text(path: &str) -> Result<String, CliError> {
    String::from_utf8(bytes(path)?).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        CliError::Usage(format!("cannot read {path}: byte {at} is not UTF-8"))
    })
}

/// The file, and which of its configs is meant: `FILE#2`.
pub(crate) fn split(path: &str) -> (&str, Option<usize>) {
    match path.rsplit_once('#') {
        Some((file, number)) if !fs::exists(path).unwrap_or(false) => match number.parse::<usize>() {
            Ok(number) if number > 0 => (file, Some(number)),
            Ok(_) | Err(_) => (path, None),
        },
        Some(_) | None => (path, None),
    }
}

/// All configs in a file. `FILE#2` is the second of several.
pub(crate) fn read(path: &str) -> Result<Vec<Document>, CliError> {
    let (path, wanted) = split(path);
    let file = if path == "-" { "<stdin>" } else { path };
    let text = match FileAtRevision::parse(path) {
        Some(past) => past.text()?,
        None => text(path)?,
    };
    nth(file, wanted, within(file, &text)?)
}

/// The configs of a file that a case file names.
pub(crate) fn configs(path: &str) -> Result<Vec<Document>, ReadError> {
    read(path).map_err(|error| match error {
        CliError::Broken(text) => ReadError::Broken(text),
        CliError::Usage(text) => ReadError::Unfit(text),
        CliError::Problems => ReadError::Unfit("has problems".to_owned()),
        CliError::Output(error) => ReadError::Unfit(error.to_string()),
    })
}

/// The one that is wanted, or all.
pub(crate) fn nth(file: &str, wanted: Option<usize>, found: Vec<Document>) -> Result<Vec<Document>, CliError> {
    let Some(wanted) = wanted else { return Ok(found) };
    let most = found.len();
    let document = found.into_iter().nth(wanted.saturating_sub(1));
    document
        .map(|document| vec![document])
        .ok_or_else(|| format!("{file} contains {most} configs, and no config {wanted}").into())
}

/// The one document of a file that is no config and carries none, such as a policy.
pub(crate) fn document(path: &str) -> Result<Document, CliError> {
    let file = if path == "-" { "<stdin>" } else { path };
    Ok(Document::only(file, &text(path)?)?)
}
