//! Reads the history of a file from git: its texts and their authors.
//!
//! Uses git's plumbing, so that the user's configuration changes nothing. Never writes to a repository, and never
//! reads a config.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::error::CliError;
use tidegate_engine::value::time::Timestamp;

/// A file as it was: `REV:path`, which is no file here.
#[derive(Clone, Debug)]
pub(crate) struct FileAtRevision {
    pub(crate) revision: String,
    pub(crate) path: String,
}

impl FileAtRevision {
    /// Reads `main:envoy/flags.yaml`; a file that is there is a file, whatever its name looks like.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (revision, path) = text.split_once(':')?;
        // What begins with a dash would be an option to git.
        let sound = !revision.is_empty() && !path.is_empty() && !revision.starts_with('-');
        let past = Self { revision: revision.to_owned(), path: path.to_owned() };
        (sound && !fs::exists(text).unwrap_or(false)).then_some(past)
    }

    /// The text of the file at that revision.
    pub(crate) fn text(&self) -> Result<String, CliError> {
        let Self { revision, path } = self;
        let bytes = run(Path::new("."), &["cat-file", "blob", &format!("{revision}:{path}")])
            .map_err(|why| format!("cannot read {revision}:{path}: {why}"))?;
        utf8(bytes).map_err(|why| format!("cannot read {revision}:{path}: {why}").into())
    }

    /// What became of the file up to that revision, newest first.
    pub(crate) fn history(&self) -> Result<History, CliError> {
        let inside = self.path.starts_with("./") || self.path.starts_with("../");
        let path = if inside { self.path.clone() } else { format!(":(top,literal){}", self.path) };
        History::read(Path::new("."), &self.revision, &path, &format!("{}:{}", self.revision, self.path))
    }
}

/// Runs git in a folder, and gives what it wrote.
pub(crate) fn run(folder: &Path, args: &[&str]) -> Result<Vec<u8>, String> {
    let output = git(folder).args(args).stdin(Stdio::null()).output().map_err(|error| cannot_run(&error))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let first = said.lines().find(|line| !line.trim().is_empty()).unwrap_or("git failed, and did not say why");
    Err(first.trim_start_matches("fatal: ").to_owned())
}

fn git(folder: &Path) -> Command {
    let mut command = Command::new("git");
    // Its messages are shown, and some of its output is read: neither may depend on who runs it.
    command.arg("--no-pager").arg("-C").arg(folder).env("LC_ALL", "C").env("GIT_OPTIONAL_LOCKS", "0");
    command
}

fn cannot_run(error: &std::io::Error) -> String {
    format!("git cannot be run: {error}")
}

fn utf8(bytes: Vec<u8>) -> Result<String, String> {
    String::from_utf8(bytes).map_err(|error| format!("byte {} is not UTF-8", error.utf8_error().valid_up_to()))
}

/// A commit that touched the file.
#[derive(Clone, Debug)]
pub(crate) struct Revision {
    pub(crate) id: String,
    pub(crate) date: Timestamp,
    pub(crate) author: String,
    pub(crate) email: String,
    pub(crate) subject: String,
    /// The file before and after, by git's name for its text; none where it was not there.
    pub(crate) old: Option<String>,
    pub(crate) new: Option<String>,
    /// The file's name from then on.
    pub(crate) path: String,
}

impl Revision {
    /// Enough of the id to find it by.
    pub(crate) fn short(&self) -> &str {
        self.id.get(..9).unwrap_or(&self.id)
    }
}

/// The commits that touched a file, newest first, and the texts that it had.
pub(crate) struct History {
    pub(crate) revisions: Vec<Revision>,
    /// Whether the clone has only the latest commits.
    pub(crate) is_cut: bool,
    texts: BTreeMap<String, Result<String, String>>,
}

/// Which parts of a commit are asked for, each closed by a zero byte; the first mark begins a commit.
const FORMAT: &str = "--format=%x1e%H%x00%at%x00%an%x00%ae%x00%s%x00";

impl History {
    /// The history of a file that may be there or not.
    pub(crate) fn of(file: &str) -> Result<Self, CliError> {
        let path = Path::new(file);
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or(file);
        Self::read(folder, "HEAD", &format!(":(literal){name}"), file)
    }

    fn read(folder: &Path, revision: &str, path: &str, shown: &str) -> Result<Self, CliError> {
        let what = |why: String| CliError::Usage(format!("cannot read the history of {shown}: {why}"));
        let args = [
            "log",
            "--follow",
            "-M",
            "--raw",
            "-z",
            "--no-abbrev",
            "--no-color",
            "--no-ext-diff",
            "--diff-merges=first-parent",
            FORMAT,
            revision,
            "--",
            path,
        ];
        let bytes = run(folder, &args).map_err(what)?;
        let revisions = revisions(&bytes);
        let texts = Texts::open(folder).and_then(|mut texts| texts.all(&revisions)).map_err(what)?;
        let cut = run(folder, &["rev-parse", "--is-shallow-repository"]).map_err(what)?;
        Ok(Self { revisions, is_cut: cut.starts_with(b"true"), texts })
    }

    /// The commits after a revision, for `--since`.
    pub(crate) fn since(file: &str, revision: &str) -> Result<Vec<String>, CliError> {
        let folder = Path::new(file).parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        let range = format!("{revision}..HEAD");
        if revision.starts_with('-') {
            return Err(CliError::Usage(format!("--since {revision}: is not a revision")));
        }
        let bytes = run(folder, &["rev-list", &range, "--"]).map_err(|why| format!("--since {revision}: {why}"))?;
        Ok(String::from_utf8_lossy(&bytes).lines().map(str::to_owned).collect())
    }

    /// A text that the file had.
    pub(crate) fn text(&self, name: &str) -> Result<&str, &str> {
        match self.texts.get(name) {
            Some(Ok(text)) => Ok(text),
            Some(Err(why)) => Err(why),
            None => Err("git does not have it"),
        }
    }
}

/// Reads the log: for each commit its own fields, then `:modes old new status`, and one or two names.
fn revisions(bytes: &[u8]) -> Vec<Revision> {
    let text = String::from_utf8_lossy(bytes);
    let commits = text.split('\u{1e}').skip(1);
    commits.filter_map(revision).collect()
}

fn revision(commit: &str) -> Option<Revision> {
    let mut fields = commit.split('\0');
    let (id, seconds, author, email, subject) =
        (fields.next()?, fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    let mut raw = fields.map(|field| field.trim_matches('\n')).skip_while(|field| !field.starts_with(':'));
    let mut change = raw.next()?.split(' ').skip(2);
    let (old, new) = (change.next()?, change.next()?);
    // A rename has two names: what it was, and what it is.
    let names: Vec<&str> = raw.take_while(|name| !name.is_empty()).collect();
    let there = |id: &str| (!id.bytes().all(|byte| byte == b'0')).then(|| id.to_owned());
    Some(Revision {
        id: id.to_owned(),
        date: Timestamp::from_millis(seconds.parse::<i64>().ok()?.saturating_mul(1_000)),
        author: author.to_owned(),
        email: email.to_owned(),
        subject: subject.to_owned(),
        old: there(old),
        new: there(new),
        path: (*names.last()?).to_owned(),
    })
}

/// A running git that is asked for one text after the other: a process for each would take most of the time.
struct Texts {
    child: Child,
    asks: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Texts {
    fn open(folder: &Path) -> Result<Self, String> {
        let mut child = git(folder)
            .args(["cat-file", "--batch"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| cannot_run(&error))?;
        let (asks, answers) = (child.stdin.take(), child.stdout.take());
        let asks = asks.ok_or("git takes no input")?;
        let answers = answers.ok_or("git gives no output")?;
        Ok(Self { child, asks, answers: BufReader::new(answers) })
    }

    /// Every text of these commits, each once.
    fn all(&mut self, revisions: &[Revision]) -> Result<BTreeMap<String, Result<String, String>>, String> {
        let mut texts = BTreeMap::new();
        for name in revisions.iter().flat_map(|revision| [&revision.old, &revision.new]).flatten() {
            if !texts.contains_key(name) {
                let bytes = self.one(name).map_err(|error| format!("git stopped: {error}"))?;
                let text = bytes.ok_or_else(|| "git does not have it".to_owned()).and_then(utf8);
                texts.insert(name.clone(), text);
            }
        }
        Ok(texts)
    }

    /// `None` where git has no such text, as in a clone without its past.
    fn one(&mut self, name: &str) -> std::io::Result<Option<Vec<u8>>> {
        writeln!(self.asks, "{name}")?;
        self.asks.flush()?;
        let mut head = String::new();
        self.answers.read_line(&mut head)?;
        let mut parts = head.split_whitespace().skip(1);
        let (Some("blob"), Some(Ok(size))) = (parts.next(), parts.next().map(str::parse::<usize>)) else {
            return Ok(None);
        };
        // The text, and the line's end behind it.
        let mut bytes = vec![0; size.saturating_add(1)];
        self.answers.read_exact(&mut bytes)?;
        bytes.truncate(size);
        Ok(Some(bytes))
    }
}

impl Drop for Texts {
    fn drop(&mut self) {
        // It has nothing left to do, and a process that nobody waits for would stay.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_read() {
        let log = "\u{1e}aa\x00100\0Ana\0ana@x\0Rename it\0\0:100644 100644 11 22 R090\0a.yaml\0b.yaml\0\
                   \u{1e}bb\x0050\0Bo\0bo@x\0Add it: \"x\"\0\n:000000 100644 00 11 A\0a.yaml\0";
        let list = revisions(log.as_bytes());
        let shown: Vec<_> =
            list.iter().map(|r| (r.id.as_str(), r.old.as_deref(), r.new.as_deref(), r.path.as_str())).collect();
        assert_eq!(shown, [("aa", Some("11"), Some("22"), "b.yaml"), ("bb", None, Some("11"), "a.yaml")]);
        assert_eq!(list[1].subject, "Add it: \"x\"");
        assert_eq!(list[0].date.millis(), 100_000);
    }

    #[test]
    fn what_looks_like_an_option_is_no_revision() {
        assert!(FileAtRevision::parse("--output=x:y").is_none());
        assert!(FileAtRevision::parse(":y").is_none());
        assert!(FileAtRevision::parse("src/lib.rs").is_none());
        assert_eq!(FileAtRevision::parse("HEAD~1:a/b.yaml").unwrap().path, "a/b.yaml");
    }
}
