//! About the command and its format: [`completions`] for shells, pages of [`man`], the [`schema`] for editors.

pub(crate) mod completions;
pub(crate) mod man;
pub(crate) mod schema;
