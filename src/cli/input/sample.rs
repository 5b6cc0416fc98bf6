//! The users that a command asks about: made up, or read from a file.

use std::sync::Arc;

use super::files;
use crate::error::CliError;
use tidegate_analysis::request::Identities;

/// What a sample is made of, in options.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "The users")]
pub(crate) struct SampleArgs {
    /// How many users to generate
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
    users: u32,
    /// A file of identities to use instead, one per line; `-` is the standard input
    #[arg(long, value_name = "FILE", conflicts_with = "users")]
    users_from: Option<String>,
}

impl SampleArgs {
    /// Who is asked about.
    pub(crate) fn ids(&self) -> Result<Identities, CliError> {
        let Some(file) = &self.users_from else { return Ok(Identities::Sampled(self.users)) };
        let text = files::text(file)?;
        let ids: Arc<[Box<str>]> = text.lines().map(str::trim).filter(|id| !id.is_empty()).map(Box::from).collect();
        if ids.is_empty() {
            return Err(CliError::Usage(format!("{file} contains no identity")));
        }
        Ok(Identities::Listed(ids))
    }
}
