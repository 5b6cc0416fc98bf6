//! What is wrong from look to look of a long run: told when it begins, and when it is over.

use crate::error::CliError;

/// What is wrong, if anything is.
#[derive(Debug, Default)]
pub(super) struct Wrong(Option<String>);

impl Wrong {
    /// Whether this is news.
    pub(super) fn begins(&mut self, why: &str) -> bool {
        let is_new = self.0.is_none();
        self.0 = Some(why.to_owned());
        is_new
    }

    /// Whether it was there, and is over.
    pub(super) fn ends(&mut self) -> bool {
        self.0.take().is_some()
    }
}

/// An error in one line.
pub(super) fn said(error: &CliError) -> String {
    match error {
        CliError::Usage(text) | CliError::Broken(text) | CliError::Trouble { what: text, .. } => text.clone(),
        CliError::Marked(_) => "it is no YAML".to_owned(),
        CliError::Problems => "it has errors".to_owned(),
        CliError::Output(error) => error.to_string(),
    }
}
