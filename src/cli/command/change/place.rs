//! Where a config lives that is to be changed: [`Place`], and a file as one.
//!
//! A place reads its config, says what it would be after some edits, and writes it if it is still what was read. Never
//! asks anybody, and never judges a change: [`super::hand`] does.

use std::fs;
use std::path::{Path, PathBuf};

use super::commit::{Note, Repository};
use crate::error::CliError;
use crate::input::{files, load, manifest};
use tidegate_analysis::source::Document;
use tidegate_analysis::source::edit::{self, Edit};
use tidegate_engine::config::Node;
use tidegate_engine::value::time::Timestamp;

/// Where a config lives.
pub(crate) trait Place {
    /// Reads the config as it is now.
    fn read(&mut self) -> Result<Document, CliError>;

    /// What it would be after some edits of what was read; writes nothing.
    fn edited(&self, edits: Vec<Edit>) -> Result<Edited, CliError>;

    /// What is to be known before it is written: who will change it back.
    fn warnings(&self, _: &Edited) -> Vec<String> {
        Vec::new()
    }

    /// Makes good what follows from the config that is there already, and says what it was.
    fn settle(&mut self, _: Timestamp) -> Result<Option<String>, CliError> {
        Ok(None)
    }

    /// Writes it, if what is there is still what was read.
    fn write(&mut self, edited: &Edited, note: &Note) -> Result<Written, CliError>;
}

/// A config after some edits.
#[allow(dead_code, reason = "a cluster makes the edits to an object, and only some builds have one")]
#[derive(Debug)]
pub(crate) struct Edited {
    /// The config, as it would be read.
    pub(crate) document: Document,
    /// The edits, for a place that makes them to values and not to text.
    pub(crate) edits: Vec<Edit>,
    /// The whole text around the config, before and after.
    pub(crate) old: String,
    pub(crate) new: String,
}

/// What was written.
#[derive(Debug)]
pub(crate) struct Written {
    /// Where, in words: `tidegate.yaml`.
    pub(crate) place: String,
    /// The commit that was made of it.
    pub(crate) commit: Option<String>,
    /// What there is to say besides.
    pub(crate) remarks: Vec<String>,
}

/// A config in a file, or one of several: `FILE#2`.
#[derive(Debug)]
pub(crate) struct FilePlace {
    name: String,
    file: PathBuf,
    wanted: Option<usize>,
    commits: bool,
    repository: Option<Repository>,
    read: Option<Document>,
}

impl FilePlace {
    pub(crate) fn new(name: &str, commits: bool) -> Result<Self, CliError> {
        let (file, wanted) = files::split(name);
        if file == "-" {
            return Err(CliError::Usage(
                "what comes from the standard input cannot be changed: name a file".to_owned(),
            ));
        }
        if crate::input::git::FileAtRevision::parse(file).is_some() {
            return Err(CliError::Usage(format!("{file} is a file as git has it: name the file itself")));
        }
        Ok(Self { name: name.to_owned(), file: PathBuf::from(file), wanted, commits, repository: None, read: None })
    }

    fn shown(&self) -> String {
        self.file.display().to_string()
    }

    fn was(&self) -> Result<&Document, CliError> {
        self.read.as_ref().ok_or_else(|| CliError::Broken(format!("{} was not read yet", self.name)))
    }
}

/// The values of a config.
pub(crate) fn node(document: &Document) -> Node {
    serde_json::from_slice(&document.wire).unwrap_or(Node::Null)
}

impl Place for FilePlace {
    fn read(&mut self) -> Result<Document, CliError> {
        if self.commits {
            self.repository = Some(Repository::of(&self.file)?);
        }
        let document = load::one(&self.name)?;
        self.read = Some(document.clone());
        Ok(document)
    }

    fn edited(&self, edits: Vec<Edit>) -> Result<Edited, CliError> {
        let was = self.was()?;
        let old = was.text.to_string();
        let new = edit::text(was, &edits).map_err(|refusal| CliError::Broken(refusal.told(&was.file, &old)))?;
        // Read back: what was named has changed, and nothing else in the file.
        let unlike = || {
            let file = &was.file;
            CliError::Broken(format!(
                "{file}: this change cannot be made without changing something else as well; the file is left as it is: make it by hand"
            ))
        };
        let before = manifest::within(&was.file, &old)?;
        let after = manifest::within(&was.file, &new).map_err(|_| unlike())?;
        let own = self.wanted.map_or(0, |wanted| wanted.saturating_sub(1));
        let mut due = node(was);
        edit::apply(&mut due, &edits).map_err(|why| CliError::Broken(format!("{}: {why}", was.file)))?;
        let same = |(place, (before, after)): (usize, (&Document, &Document))| {
            let due = if place == own { due.clone() } else { node(before) };
            edit::alike(&due, &node(after)) && before.carrier == after.carrier
        };
        if before.len() != after.len() || !before.iter().zip(&after).enumerate().all(same) {
            return Err(unlike());
        }
        let document = after.into_iter().nth(own).ok_or_else(unlike)?;
        Ok(Edited { document, edits, old, new })
    }

    fn write(&mut self, edited: &Edited, note: &Note) -> Result<Written, CliError> {
        let place = self.shown();
        let meanwhile = || {
            CliError::Broken(format!(
                "{place}: changed meanwhile, by somebody else; nothing is written: look at it, and run this again"
            ))
        };
        if let Some(repository) = &self.repository {
            repository.unchanged()?;
        }
        let now = fs::read(&self.file).map_err(|error| format!("cannot read {place}: {error}"))?;
        if now != edited.old.as_bytes() {
            return Err(meanwhile());
        }
        replace(&self.file, &edited.new, &edited.old)
            .map_err(|error| format!("cannot write {place}: {error}"))?
            .then_some(())
            .ok_or_else(meanwhile)?;
        let Some(repository) = &self.repository else {
            return Ok(Written { place, commit: None, remarks: Vec::new() });
        };
        match repository.commit(note) {
            Ok(commit) => Ok(Written { place, commit: Some(commit), remarks: Vec::new() }),
            Err(why) => {
                // Half of it is done, and half is worse than nothing.
                let back = files::replace(&self.file, &edited.old);
                let left = if back.is_ok() { "the file is as it was" } else { "the file is written" };
                Err(CliError::Broken(format!("{place}: cannot commit: {why}; {left}")))
            }
        }
    }
}

/// Replaces a file, unless somebody else has changed it or is just about to: false, and the file is theirs.
fn replace(file: &Path, new: &str, old: &str) -> std::io::Result<bool> {
    files::guarded(file, new, |now| now == old.as_bytes())
}
