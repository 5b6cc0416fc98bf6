//! What is recorded of a change, and the commit of one changed file.
//!
//! Only of that file: what else is changed or staged stays as it is. Refuses where the file has changes that are not
//! committed, because they would go along under a wrong name. Never pushes.

use std::path::{Path, PathBuf};

use crate::error::CliError;
use crate::input::git;
use tidegate_analysis::words::time;
use tidegate_engine::value::time::Timestamp;

/// What is recorded of a change: who made it, when, and why.
#[allow(dead_code, reason = "a cluster names the flag in an event, and only some builds have one")]
#[derive(Clone, Debug)]
pub(crate) struct Note {
    /// The change in a line: `Kill checkout`.
    pub(crate) subject: String,
    /// The flag that it is about.
    pub(crate) flag: String,
    pub(crate) why: Option<String>,
    pub(crate) by: String,
    pub(crate) at: Timestamp,
    /// What changed and who moves, line by line.
    pub(crate) changes: Vec<String>,
}

impl Note {
    /// `killed by ana 2026-11-28: too slow`
    pub(crate) fn remark(&self, word: &str) -> String {
        let Self { why, by, at, .. } = self;
        let why = why.as_ref().map_or_else(String::new, |why| format!(": {why}"));
        format!("{word} by {by} {}{why}", time::day(*at))
    }
}

/// A file in a repository, as it was when it was read.
#[derive(Debug)]
pub(crate) struct Repository {
    file: String,
    folder: PathBuf,
    /// The file's name in its folder.
    name: String,
    /// The commit that was the newest one.
    head: String,
}

impl Repository {
    pub(crate) fn of(file: &Path) -> Result<Self, CliError> {
        let shown = file.display().to_string();
        let file = std::fs::canonicalize(file).map_err(|error| format!("cannot read {shown}: {error}"))?;
        let folder = file.parent().map(Path::to_owned).unwrap_or_default();
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let cannot = |why: String| CliError::Usage(format!("--commit: {shown}: {why}"));
        let head = git::run(&folder, &["rev-parse", "--verify", "HEAD"])
            .map_err(|why| cannot(format!("there is no commit to build on: {why}")))?;
        let head = String::from_utf8_lossy(&head).trim().to_owned();
        let repository = Self { file: shown.clone(), folder, name, head };
        let literal = format!(":(literal){}", repository.name);
        git::run(&repository.folder, &["ls-files", "--error-unmatch", "--", &literal])
            .map_err(|_| cannot("git does not have this file: add and commit it first".to_owned()))?;
        if repository.is_dirty()? {
            return Err(cannot(
                "has changes that are not committed: commit them first, or leave --commit out".to_owned(),
            ));
        }
        Ok(repository)
    }

    fn is_dirty(&self) -> Result<bool, CliError> {
        let literal = format!(":(literal){}", self.name);
        let said = git::run(&self.folder, &["status", "--porcelain", "--", &literal])
            .map_err(|why| CliError::Usage(format!("--commit: {}: {why}", self.file)))?;
        Ok(!said.is_empty())
    }

    /// Refuses if the file or the newest commit is another one than when the file was read.
    pub(crate) fn unchanged(&self) -> Result<(), CliError> {
        let head = git::run(&self.folder, &["rev-parse", "--verify", "HEAD"]).map_err(CliError::Broken)?;
        if String::from_utf8_lossy(&head).trim() != self.head || self.is_dirty()? {
            let file = &self.file;
            return Err(CliError::Broken(format!(
                "{file}: the repository changed meanwhile; nothing is written: look at it, and run this again"
            )));
        }
        Ok(())
    }

    /// Makes the commit, and says which one it is.
    pub(crate) fn commit(&self, note: &Note) -> Result<String, String> {
        let why = note.why.as_ref().map(|why| format!("Why: {why}"));
        let body: Vec<String> = why.into_iter().chain([note.changes.join("\n")]).collect();
        let literal = format!(":(literal){}", self.name);
        let (subject, body) = (note.subject.as_str(), body.join("\n\n"));
        git::run(&self.folder, &["commit", "--quiet", "--only", "-m", subject, "-m", &body, "--", &literal])?;
        let id = git::run(&self.folder, &["rev-parse", "--short=9", "HEAD"])?;
        Ok(String::from_utf8_lossy(&id).trim().to_owned())
    }
}

/// Who makes a change: the name that git knows, or the user of this machine.
pub(crate) fn author() -> String {
    let known = git::run(Path::new("."), &["config", "user.name"]).ok();
    let known = known.map(|name| String::from_utf8_lossy(&name).trim().to_owned()).filter(|name| !name.is_empty());
    let named = std::env::var_os("GIT_AUTHOR_NAME").map(|name| name.to_string_lossy().into_owned());
    let named = named.filter(|name| !name.is_empty());
    let user = || std::env::var_os("USER").map(|name| name.to_string_lossy().into_owned());
    named.or(known).or_else(user).filter(|name| !name.is_empty()).unwrap_or_else(|| "somebody".to_owned())
}
