//! Turns a file into a compiled config, or shows its errors.
//!
//! Never lets a config with errors pass: what a proxy would refuse can be checked, and decides nothing.

use super::files;
use crate::error::{CliError, Found};
use crate::terminal::{Screen, diagnostic};
use tidegate_analysis::source::{Document, Loaded, Refused};

/// The one config of a file.
pub(crate) fn load(path: &str, screen: &mut Screen) -> Result<Loaded, CliError> {
    compile(one(path)?, screen)
}

/// The one config of a file, not compiled yet.
pub(crate) fn one(path: &str) -> Result<Document, CliError> {
    only(path, files::read(path)?)
}

/// The only config of those that were found.
pub(crate) fn only(path: &str, mut documents: Vec<Document>) -> Result<Document, CliError> {
    match (documents.pop(), documents.len()) {
        (Some(document), 0) => Ok(document),
        (_, more) => {
            let many = more + 1;
            Err(CliError::Usage(format!("{path} contains {many} configs: choose one, such as {path}#1")))
        }
    }
}

/// All configs of several files.
pub(crate) fn load_all(paths: &[String], screen: &mut Screen) -> Result<Vec<Loaded>, CliError> {
    let mut loaded = Vec::new();
    let mut problems = false;
    for listed in files::list(paths)? {
        // In a folder, what is no config is somebody else's.
        let documents = if listed.named {
            files::read(&listed.path)?
        } else {
            files::contents(&listed).map(|contents| contents.configs).unwrap_or_default()
        };
        for document in documents {
            match compile(document, screen) {
                Ok(one) => loaded.push(one),
                // The problems of the next ones are to be seen, too.
                Err(CliError::Problems) => problems = true,
                Err(other) => return Err(other),
            }
        }
    }
    if problems { Err(CliError::Problems) } else { Ok(loaded) }
}

/// A config from what was found in a file.
pub(crate) fn compile(document: Document, screen: &mut Screen) -> Result<Loaded, CliError> {
    Loaded::new(document, false).map_err(|refused| {
        screen.decide(Found::Something);
        let Refused { document, errors } = *refused;
        let texts = errors.iter().map(|one| diagnostic::render(&document, one, screen.is_colored()));
        let texts: Vec<_> = texts.collect();
        texts.into_iter().try_for_each(|text| screen.note(text)).map_or_else(CliError::Output, |()| CliError::Problems)
    })
}
