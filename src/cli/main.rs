//! The command `tidegate`: turns what was typed into calls of the engine and of the analysis, and what they say into
//! tables and JSON.
//!
//! [`mod@command`] has one file or folder a command, [`input`] reads files, git, options and proxies, [`terminal`]
//! shows, [`mistyped`] says what is wrong with a command line.
//! Never holds a rule of its own: what is decided here is decided by the code that decides in the proxy.
//!
//! Exit codes: 0 fine, 1 something was found, 2 what was asked for cannot be done.
#![allow(clippy::doc_markdown, reason = "the docs of options are their help, which is shown as it is written")]
#![allow(
    clippy::arithmetic_side_effects,
    reason = "sums of what fits into memory; overflow is checked in every profile, and stops the command"
)]

mod command;
mod error;
mod input;
mod mistyped;
mod terminal;

use std::process::ExitCode;

use clap::FromArgMatches;

use command::{Typed, command};
use error::{CliError, Found};
use mistyped::Mistyped;
use terminal::Screen;
use terminal::diagnostic::marked as drawn;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    let typed = command().try_get_matches().and_then(|matches| Typed::from_arg_matches(&matches));
    let typed = match typed {
        Ok(typed) => typed,
        Err(error) => {
            let _ = match Mistyped::of(&error, &words) {
                Some(mistyped) => Screen::default().mistyped(&mistyped, &words),
                None => error.print(),
            };
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    let mut screen = Screen::new(typed.options);
    match typed.command.run(&mut screen) {
        Ok(found) => code(found),
        Err(CliError::Problems) => code(Found::Something),
        Err(CliError::Broken(text)) => {
            let _ = screen.complain(&text);
            ExitCode::from(1)
        }
        Err(CliError::Marked(marked)) => {
            let text = drawn(&marked, screen.is_colored());
            let _ = screen.note(text);
            ExitCode::from(if marked.foreign { 2 } else { 1 })
        }
        Err(CliError::Trouble { what, help }) => {
            let _ = screen.trouble(&what, help.as_deref());
            ExitCode::from(2)
        }
        Err(CliError::Usage(text)) => {
            let _ = screen.mistyped(&Mistyped::said(&text, &words), &words);
            ExitCode::from(2)
        }
        // A pipe that was closed is no fault of anybody's, and changes nothing of what was found: `tidegate ... | head`.
        Err(CliError::Output(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => code(screen.verdict()),
        Err(CliError::Output(error)) => {
            let _ = screen.complain(&format!("cannot write the output: {error}"));
            ExitCode::from(2)
        }
    }
}

fn code(found: Found) -> ExitCode {
    ExitCode::from(match found {
        Found::Nothing => 0,
        Found::Something => 1,
    })
}
