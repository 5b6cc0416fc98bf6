//! The door for people: turns what was typed into calls of the engine, and what it says into tables and JSON.
//!
//! One file a command, or a folder. What several of them need stands in `screen` (what is shown), `source` and `tree`
//! (files, with the place of each value), `print` (trees, as text), `diagnostic` (problems, with the lines they are in),
//! `load` (a config ready to be asked), `ask` (a request, made of options), `people` (many requests, made of identities),
//! `case` (requests with what is expected of them), `web` (URLs, and why one does not answer) and `live` (a block that is
//! drawn again in its place). What is said of a config before any request: `logic` (what a
//! condition can never be), `exposure` (how many get something new) and `finding`. Two configs are compared by
//! `difference`, out of `compare` (what changed, with `align` for rules), `moves` (who moves) and `callout` (what is
//! dangerous about it); the past of a file comes from `git` and `past`. Never holds a rule of its own: what is decided
//! here is decided by the code that decides in the proxy.
//!
//! Exit codes: 0 fine, 1 something was found, 2 what was asked for cannot be done.
#![allow(clippy::doc_markdown, reason = "the docs of options are their help, which is shown as it is written")]

mod align;
mod ask;
mod callout;
pub mod case;
mod compare;
mod completions;
mod cover;
mod debt;
mod diagnostic;
mod diff;
mod difference;
mod explain;
mod exposure;
mod finding;
mod fmt;
mod git;
mod live;
mod load;
mod log;
mod logic;
mod man;
mod matrix;
mod moves;
mod past;
mod people;
mod policy;
mod print;
mod probe;
mod recipe;
mod render;
mod report;
mod schema;
mod screen;
mod simulate;
mod source;
mod test;
mod tree;
mod validate;
mod watch;
mod web;
mod words;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use screen::{Options, Screen};

/// Checks, explains, simulates and compares what the Tidegate filter decides in Envoy.
#[derive(Debug, Parser)]
#[command(name = "tidegate", version, max_term_width = 100, disable_help_subcommand = true)]
struct Typed {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
#[allow(clippy::large_enum_variant, reason = "one is made, once")]
enum Command {
    Validate(validate::Args),
    Explain(explain::Args),
    Simulate(simulate::Args),
    Test(test::Args),
    Diff(diff::Args),
    Log(log::Args),
    Report(report::Args),
    Policy(policy::Args),
    Fmt(fmt::Args),
    Render(render::Args),
    Schema(schema::Args),
    Watch(watch::Args),
    Probe(probe::Args),
    Completions(completions::Args),
    Man(man::Args),
}

impl Command {
    fn run(&self, screen: &mut Screen) -> Result<Found, Stop> {
        match self {
            Self::Validate(args) => validate::run(args, screen),
            Self::Explain(args) => explain::run(args, screen),
            Self::Simulate(args) => simulate::run(args, screen),
            Self::Test(args) => test::run(args, screen),
            Self::Diff(args) => diff::run(args, screen),
            Self::Log(args) => log::run(args, screen),
            Self::Report(args) => report::run(args, screen),
            Self::Policy(args) => policy::run(args, screen),
            Self::Fmt(args) => fmt::run(args, screen),
            Self::Render(args) => render::run(args, screen),
            Self::Schema(args) => schema::run(args, screen),
            Self::Watch(args) => watch::run(args, screen),
            Self::Probe(args) => probe::run(args, screen),
            Self::Completions(args) => completions::run(args, screen),
            Self::Man(args) => man::run(args, screen),
        }
    }
}

/// Whether a command that did its work has found something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    Nothing,
    Something,
}

impl Found {
    fn when(found: bool) -> Self {
        if found { Self::Something } else { Self::Nothing }
    }
}

/// Why a command ends before its work is done.
#[derive(Debug)]
enum Stop {
    /// What was asked for cannot be done.
    Usage(String),
    /// A config has problems, which have been shown.
    Problems,
    /// A file cannot be read as what it is.
    Broken(String),
    /// What was to be shown cannot be: whoever read it has gone, or the disk is full.
    Unread(std::io::Error),
}

impl From<std::io::Error> for Stop {
    fn from(error: std::io::Error) -> Self {
        Self::Unread(error)
    }
}

impl From<String> for Stop {
    fn from(text: String) -> Self {
        Self::Usage(text)
    }
}

/// The command as it may be typed.
fn command() -> clap::Command {
    Typed::command()
}

/// Does what the command line says.
#[must_use]
pub fn main() -> ExitCode {
    let typed = command().try_get_matches().and_then(|matches| Typed::from_arg_matches(&matches));
    let typed = match typed {
        Ok(typed) => typed,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    let mut screen = Screen::new(typed.options);
    match typed.command.run(&mut screen) {
        Ok(Found::Nothing) => ExitCode::SUCCESS,
        Ok(Found::Something) | Err(Stop::Problems) => ExitCode::from(1),
        Err(Stop::Broken(text)) => {
            let _ = screen.complain(&text);
            ExitCode::from(1)
        }
        Err(Stop::Usage(text)) => {
            let _ = screen.complain(&text);
            ExitCode::from(2)
        }
        // A pipe that was closed is no fault of anybody's: `tidegate ... | head`.
        Err(Stop::Unread(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(Stop::Unread(error)) => {
            let _ = screen.complain(&format!("cannot write the output: {error}"));
            ExitCode::from(2)
        }
    }
}
