//! Turns a file into a config that can be asked, or shows why it is none.
//!
//! Never lets a config with errors pass: what a proxy would refuse can be checked, not asked.

use super::Stop;
use super::diagnostic::{self, Diagnostic, Severity};
use super::screen::Screen;
use super::source::{self, Document};
use tidegate_engine::config::Config;
use tidegate_engine::plan::{Compiled, Plan};
use tidegate_engine::problem::Problems;

/// A config, as it was written and as it decides.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) document: Document,
    pub(super) config: Config,
    pub(super) plan: Plan,
}

impl Loaded {
    /// Refuses keys of flags that the config does not have.
    pub(super) fn knows(&self, file: &str, keys: &[String]) -> Result<(), Stop> {
        let known = self.plan.flags().iter().map(|flag| flag.key().as_str());
        let Some(unknown) = keys.iter().find(|key| !known.clone().any(|known| known == *key)) else { return Ok(()) };
        let near = diagnostic::nearest(unknown, known);
        let hint = near.map_or_else(String::new, |near| format!(": did you mean {near}?"));
        Err(Stop::Usage(format!("{file} has no flag {unknown}{hint}")))
    }
}

/// The one config of a file.
pub(super) fn load(path: &str, screen: &mut Screen) -> Result<Loaded, Stop> {
    compile(one(path)?, screen)
}

/// The one config of a file, whatever it is worth.
pub(super) fn one(path: &str) -> Result<Document, Stop> {
    only(path, source::read(path)?)
}

/// The only config of those that were found.
pub(super) fn only(path: &str, mut documents: Vec<Document>) -> Result<Document, Stop> {
    match (documents.pop(), documents.len()) {
        (Some(document), 0) => Ok(document),
        (_, more) => {
            let many = more.saturating_add(1);
            Err(Stop::Usage(format!("{path} holds {many} configs: name one, as {path}#1")))
        }
    }
}

/// All configs of several files.
pub(super) fn load_all(paths: &[String], screen: &mut Screen) -> Result<Vec<Loaded>, Stop> {
    let mut loaded = Vec::new();
    let mut problems = false;
    for path in paths {
        for document in source::read(path)? {
            match compile(document, screen) {
                Ok(one) => loaded.push(one),
                // The problems of the next ones are to be seen, too.
                Err(Stop::Problems) => problems = true,
                Err(other) => return Err(other),
            }
        }
    }
    if problems { Err(Stop::Problems) } else { Ok(loaded) }
}

/// A config from what was found in a file.
pub(super) fn compile(document: Document, screen: &mut Screen) -> Result<Loaded, Stop> {
    judge(document, false).map_err(|(document, errors)| {
        let texts = errors.iter().map(|one| diagnostic::render(&document, one, screen.is_colored()));
        let texts: Vec<_> = texts.collect();
        texts.into_iter().try_for_each(|text| screen.note(text)).map_or_else(Stop::Unread, |()| Stop::Problems)
    })
}

/// A config from what was found in a file, or its errors; like a proxy, it goes on without the fields that are not known
/// where the reader is not strict.
#[expect(clippy::result_large_err, reason = "made once a file")]
pub(super) fn judge(document: Document, strict: bool) -> Result<Loaded, (Document, Vec<Diagnostic>)> {
    let mut problems = Problems::default();
    let config = Config::from_bytes(&document.wire, &mut problems);
    let compiled = tidegate_proxy::compile(&config, &mut problems);
    let mut list = diagnostic::all(&document, &problems, strict);
    list.retain(|one| one.severity == Severity::Error);
    match compiled {
        Compiled::Ready(plan) if list.is_empty() => Ok(Loaded { document, config, plan }),
        Compiled::Ready(_) | Compiled::Broken(_) => Err((document, list)),
    }
}
