//! How a command ends: with a finding, without one, or before its work is done.

use tidegate_analysis::source::ReadError;

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

/// Why a command ends before its work is done.
#[derive(Debug)]
pub(crate) enum CliError {
    /// What was asked for cannot be done.
    Usage(String),
    /// A config has problems, which have been shown.
    Problems,
    /// A file cannot be read as what it is.
    Broken(String),
    /// What was to be shown cannot be: whoever read it has gone, or the disk is full.
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
        }
    }
}
