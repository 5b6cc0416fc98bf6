//! Compiles a document, or says what is wrong with it.
//!
//! Never lets a config with errors pass: what a proxy would refuse can be checked, and decides nothing.

use super::Document;
use super::diagnostic::{self, Diagnostic, Severity};
use tidegate_engine::config::Config;
use tidegate_engine::plan::{Compiled, Plan};
use tidegate_engine::problem::Problems;

/// A config, as it was written and as it decides.
#[derive(Debug)]
pub struct Loaded {
    pub document: Document,
    pub config: Config,
    pub plan: Plan,
}

impl Loaded {
    /// Compiles a document, or says what is wrong with it. Like a proxy, it goes on without the fields that are not known
    /// where it is not strict.
    pub fn new(document: Document, strict: bool) -> Result<Self, Box<Refused>> {
        let mut problems = Problems::default();
        let config = Config::from_bytes(&document.wire, &mut problems);
        let compiled = tidegate_proxy::compile(&config, &mut problems);
        let mut errors = diagnostic::all(&document, &problems, strict);
        errors.retain(|one| one.severity == Severity::Error);
        match compiled {
            Compiled::Ready(plan) if errors.is_empty() => Ok(Self { document, config, plan }),
            Compiled::Ready(_) | Compiled::Broken(_) => Err(Box::new(Refused { document, errors })),
        }
    }

    /// Refuses keys of flags that the config does not have.
    pub fn knows(&self, file: &str, keys: &[String]) -> Result<(), String> {
        let known = self.plan.flags().iter().map(|flag| flag.key().as_str());
        let Some(unknown) = keys.iter().find(|key| !known.clone().any(|known| known == *key)) else { return Ok(()) };
        let near = diagnostic::nearest(unknown, known);
        let hint = near.map_or_else(String::new, |near| format!(": did you mean {near}?"));
        Err(format!("{file} has no flag {unknown}{hint}"))
    }
}

/// A document that has errors.
#[derive(Debug)]
pub struct Refused {
    pub document: Document,
    pub errors: Vec<Diagnostic>,
}
