//! Turns a file into a config that can be asked, or shows why it is none.
//!
//! Never lets a config with errors pass: what a proxy would refuse can be checked, not asked.

use super::Stop;
use super::diagnostic::{self, Severity};
use super::screen::Screen;
use super::source::{self, Document};
use crate::config::Config;
use crate::plan::{Compiled, Plan};
use crate::problem::Problems;

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
    let mut documents = source::read(path)?;
    match (documents.pop(), documents.len()) {
        (Some(document), 0) => compile(document, screen),
        (_, more) => {
            let many = more.saturating_add(1);
            Err(Stop::Usage(format!("{path} holds {many} configs: name one, as {path}#1")))
        }
    }
}

/// A config from what was found in a file.
pub(super) fn compile(document: Document, screen: &mut Screen) -> Result<Loaded, Stop> {
    let mut problems = Problems::default();
    let config = Config::from_bytes(&document.wire, &mut problems);
    let compiled = Plan::compile(&config, &mut problems);
    // Like a proxy, go on without the fields that are not known, and say so.
    let list = diagnostic::all(&document, &problems, false);
    let Compiled::Ready(plan) = compiled else {
        let errors: Vec<_> = list.into_iter().filter(|one| one.severity == Severity::Error).collect();
        for one in &errors {
            let text = diagnostic::render(&document, one, screen.is_colored());
            screen.note(text)?;
        }
        return Err(Stop::Problems);
    };
    Ok(Loaded { document, config, plan })
}
