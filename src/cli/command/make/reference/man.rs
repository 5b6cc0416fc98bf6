//! `tidegate man`: the pages of the manual, one for the command and one for each command inside of it.
//!
//! Made of the same words as the help. Never says where a system keeps its manual.

use std::fs;

use clap_mangen::Man;
use serde_json::json;

use crate::error::{CliError, Found};
use crate::terminal::Screen;
use tidegate_analysis::words::number::count;

/// What each page names as its origin.
const SOURCE: &str = concat!("tidegate ", env!("CARGO_PKG_VERSION"));

/// Print the manual page, or write all pages into a folder
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:

  tidegate man | man -l -
  tidegate man ~/.local/share/man/man1
")]
pub(crate) struct Args {
    /// The folder for all pages; it is created if it is missing
    #[arg(value_name = "DIR")]
    folder: Option<String>,
}

pub(crate) fn run(args: &Args, screen: &mut Screen) -> Result<Found, CliError> {
    let command = crate::command::command();
    let Some(folder) = &args.folder else {
        let mut page = Vec::new();
        Man::new(command).render(&mut page)?;
        screen.raw(&String::from_utf8_lossy(&page))?;
        return Ok(Found::Nothing);
    };
    let written = fs::create_dir_all(folder).and_then(|()| write(command, folder));
    let pages = written.map_err(|error| format!("cannot write pages into {folder}: {error}"))?;
    if screen.is_json() {
        screen.json(&json!({"folder": folder, "pages": pages}))?;
    } else {
        screen.line(format!("{} in {folder}", count(pages, "page")))?;
    }
    Ok(Found::Nothing)
}

/// Writes the page of a command and of all that are inside of it; how many there are.
fn write(mut command: clap::Command, folder: &str) -> std::io::Result<usize> {
    // Names the pages by the whole of what is typed: tidegate-render-istio.
    command = command.disable_help_subcommand(true);
    command.build();
    let mut open = vec![command];
    let mut pages = 0_usize;
    while let Some(command) = open.pop() {
        open.extend(command.get_subcommands().cloned());
        Man::new(command).source(SOURCE).generate_to(folder)?;
        pages += 1;
    }
    Ok(pages)
}
