//! A run as a table: what each cell takes, what it adds, and what that is of a script's.

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

use crate::visits::Run;

/// A table whose columns but the first are numbers.
pub fn table(head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(head.iter().copied());
    table.add_rows(rows);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.to_string()
}

/// Every cell in its own row.
pub fn cells(run: &Run) -> String {
    let [one, twenty] = ["lua 1", "lua 20"].map(|name| run.adds(name));
    let ratio = |adds: f64, to: Option<f64>| to.map_or_else(String::new, |to| format!("{:.2}", adds / to));
    let rows = run.cells.iter().map(|cell| {
        let adds = run.adds(&cell.name).unwrap_or(0.0);
        vec![
            cell.name.clone(),
            format!("{:.2}", cell.quartile()),
            format!("{:.2}", cell.median()),
            format!("{adds:.2}"),
            ratio(adds, one),
            ratio(adds, twenty),
        ]
    });
    table(&["cell", "us/request", "median", "adds", "of lua 1", "of lua 20"], rows)
}
