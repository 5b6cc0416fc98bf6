//! Tables: rows under a head, in columns that are as wide as they must be.

use std::borrow::Cow;
use std::fmt::Display;

use comfy_table::{CellAlignment, ContentArrangement, Table};

use super::style::{FAINT, paint};

/// Rows under a head, in columns that are as wide as they must be.
#[derive(Debug)]
pub(crate) struct Rows(Table);

impl Rows {
    /// A table with these columns; a name that begins with `>` is a column of numbers.
    pub(crate) fn new(columns: &[&str]) -> Self {
        let mut table = Table::new();
        table.load_style(comfy_table::presets::NOTHING);
        table.set_content_arrangement(ContentArrangement::Disabled);
        // Nothing is not painted: it could not be trimmed.
        let head = |name: &&str| match name.trim_start_matches('>') {
            "" => String::new(),
            name => paint(FAINT, name),
        };
        table.set_header(columns.iter().map(head));
        for (place, name) in columns.iter().enumerate() {
            if let Some(column) = table.column_mut(place) {
                column.set_padding((0, 2));
                if name.starts_with('>') {
                    column.set_cell_alignment(CellAlignment::Right);
                }
            }
        }
        Self(table)
    }

    pub(crate) fn add<'t>(&mut self, cells: impl IntoIterator<Item = impl Into<Cow<'t, str>>>) {
        let cells: Vec<String> = cells.into_iter().map(|cell| cell.into().into_owned()).collect();
        self.0.add_row(cells);
    }
}

impl Display for Rows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}
