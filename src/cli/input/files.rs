//! Reads files as bytes, as text, as the configs that are in them; replaces a file in one step.
//!
//! `-` is the standard input, `FILE#2` the second config of a file, and `REV:PATH` a file as git has it. A folder is all
//! files below it that may be YAML or JSON. Where none is named, it is `tidegate.yaml`.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

use super::git::FileAtRevision;
use super::manifest::{self, Contents, within};
use crate::error::CliError;
use tidegate_analysis::source::{Document, ReadError, look};

/// The environment's name for the config that is meant where none is named.
pub(crate) const VARIABLE: &str = "TIDEGATE_CONFIG";

/// The file that is meant where none is named.
pub(crate) fn usual() -> Result<String, CliError> {
    const NAMES: [&str; 3] = ["tidegate.yaml", "tidegate.yml", "tidegate.json"];
    let found = NAMES.into_iter().find(|name| Path::new(name).is_file());
    found.map(str::to_owned).ok_or_else(|| {
        CliError::Usage("no file is named, TIDEGATE_CONFIG is not set, and there is no tidegate.yaml here".to_owned())
    })
}

/// The files that were named, or the usual one.
pub(crate) fn or_usual(named: &[String]) -> Result<Vec<String>, CliError> {
    if named.is_empty() { Ok(vec![usual()?]) } else { Ok(named.to_vec()) }
}

/// The file that was named, or the usual one.
pub(crate) fn one_or_usual(named: Option<&String>) -> Result<String, CliError> {
    named.map_or_else(usual, |file| Ok(file.clone()))
}

/// A file that is to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) path: String,
    /// Whether somebody named it, and not a folder around it.
    pub(crate) named: bool,
}

/// The files that are meant: each that was named, and all below each folder that was.
pub(crate) fn list(paths: &[String]) -> Result<Vec<Listed>, CliError> {
    const OTHERS: [&str; 3] = ["target", "node_modules", "vendor"];
    let mut found = Vec::new();
    for path in paths {
        if path == "-" || !Path::new(path).is_dir() {
            found.push(Listed { path: path.clone(), named: true });
            continue;
        }
        let wanted = |entry: &DirEntry| {
            let name = entry.file_name().to_string_lossy();
            entry.depth() == 0 || !name.starts_with('.') && !OTHERS.contains(&&*name)
        };
        for entry in WalkDir::new(path).sort_by_file_name().into_iter().filter_entry(wanted) {
            let entry = entry.map_err(|error| format!("cannot read {path}: {error}"))?;
            let end = entry.path().extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
            if entry.file_type().is_file() && matches!(&*end, "yaml" | "yml" | "json") {
                found.push(Listed { path: entry.path().to_string_lossy().into_owned(), named: false });
            }
        }
    }
    Ok(found)
}

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
    let bytes = bytes(path)?;
    if let Some((what, help)) = look::binary(&bytes) {
        return Err(CliError::Usage(format!("{path} {what}, and no config: {help}")));
    }
    String::from_utf8(bytes).map_err(|error| {
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
    let (file, text) = of(path)?;
    nth(file, wanted, within(file, &text)?)
}

/// The text of a file, or of one as git has it, and its name.
fn of(path: &str) -> Result<(&str, String), CliError> {
    let file = if path == "-" { "<stdin>" } else { path };
    let text = match FileAtRevision::parse(path) {
        Some(past) => past.text()?,
        None => text(path)?,
    };
    Ok((file, text))
}

/// What is in a file, be it a config or not.
pub(crate) fn contents(listed: &Listed) -> Result<Contents, CliError> {
    let (path, wanted) = split(&listed.path);
    let (file, text) = of(path)?;
    let mut contents = manifest::contents(file, &text, listed.named)?;
    if wanted.is_some() {
        contents.configs = nth(file, wanted, contents.configs)?;
    }
    Ok(contents)
}

/// The configs of a file that a case file names.
pub(crate) fn configs(path: &str) -> Result<Vec<Document>, ReadError> {
    read(path).map_err(|error| match error {
        CliError::Broken(text) => ReadError::Broken(text),
        CliError::Marked(marked) => ReadError::Marked(marked),
        CliError::Usage(text) | CliError::Trouble { what: text, .. } => ReadError::Unfit(text),
        CliError::Problems => ReadError::Unfit("has problems".to_owned()),
        CliError::Output(error) => ReadError::Unfit(error.to_string()),
    })
}

/// The one that is wanted, or all.
pub(crate) fn nth(file: &str, wanted: Option<usize>, found: Vec<Document>) -> Result<Vec<Document>, CliError> {
    let Some(wanted) = wanted else { return Ok(found) };
    let most = found.len();
    let document = found.into_iter().nth(wanted.saturating_sub(1));
    document.map(|document| vec![document]).ok_or_else(|| match most {
        1 => format!("{file} contains one config, and no config {wanted}").into(),
        _ => format!("{file} contains {most} configs, and no config {wanted}").into(),
    })
}

/// Replaces a file in one step: all of it, or nothing.
pub(crate) fn replace(file: &Path, text: &str) -> io::Result<()> {
    guarded(file, text, |_| true).map(|_| ())
}

/// Replaces a file in one step, if what stands in it at the last moment is fit for that; says whether it was.
pub(crate) fn guarded(file: &Path, text: &str, fit: impl FnOnce(&[u8]) -> bool) -> io::Result<bool> {
    // A link stays one: what it leads to is written.
    let file = fs::canonicalize(file)?;
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    // One name for all that write this file: who comes second while it is being written is refused.
    let beside: PathBuf = file.with_file_name(format!(".{name}.tidegate.tmp"));
    let mut new = fs::OpenOptions::new().write(true).create_new(true).open(&beside).map_err(|error| {
        if error.kind() != io::ErrorKind::AlreadyExists {
            return error;
        }
        let beside = beside.display();
        io::Error::new(error.kind(), format!("somebody else is writing it; if nobody is, delete {beside}"))
    })?;
    let write = || {
        new.write_all(text.as_bytes())?;
        new.set_permissions(fs::metadata(&file)?.permissions())?;
        new.sync_all()?;
        let is_fit = fit(&fs::read(&file)?);
        if is_fit {
            fs::rename(&beside, &file)?;
        } else {
            fs::remove_file(&beside)?;
        }
        Ok(is_fit)
    };
    write().inspect_err(|_| {
        // What could not be put in place is not left lying about.
        let _ = fs::remove_file(&beside);
    })
}

/// The one document of a file that is no config and carries none, such as a policy.
pub(crate) fn document(path: &str) -> Result<Document, CliError> {
    let file = if path == "-" { "<stdin>" } else { path };
    Ok(Document::only(file, &text(path)?)?)
}
