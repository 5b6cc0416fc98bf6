//! How a command ends: with a finding, without one, or early.

use tidegate_analysis::source::{Marked, ReadError};

/// Whether a command that did its work has found something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Nothing,
    Something,
}

impl Found {
    pub(crate) fn when(found: bool) -> Self {
        if found { Self::Something } else { Self::Nothing }
    }
}

/// Why a command ends early.
#[derive(Debug)]
pub(crate) enum CliError {
    /// The command line asks for something that cannot be done.
    Usage(String),
    /// A config has problems, which were shown already.
    Problems,
    /// A file cannot be read as YAML or JSON.
    Broken(String),
    /// A file cannot be read, or is something else, and a place in it shows that.
    Marked(Box<Marked>),
    /// What is not of this machine, such as a cluster, does not do what it should; and the remedy.
    Trouble { what: String, help: Option<String> },
    /// The output cannot be written: its reader is gone, or the disk is full.
    Output(std::io::Error),
}

impl From<std::io::Error> for CliError {
    fn from(error: std::io::Error) -> Self {
        Self::Output(error)
    }
}

impl From<String> for CliError {
    fn from(text: String) -> Self {
        Self::Usage(text)
    }
}

impl From<ReadError> for CliError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Broken(text) => Self::Broken(text),
            ReadError::Unfit(text) => Self::Usage(text),
            ReadError::Marked(marked) => Self::Marked(marked),
        }
    }
}
