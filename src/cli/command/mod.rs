//! The commands, one file or folder each, in the [`groups`] of the help: [`check`], [`ask`], [`change`], [`running`]
//! (watch), [`make`].

mod ask;
mod change;
mod check;
mod groups;
mod make;
mod running;

use clap::{CommandFactory, Parser, Subcommand};

use crate::error::{CliError, Found};
use crate::terminal::screen::{Options, Screen};
use ask::{diff, explain, log, simulate};
use change::{fmt, ramp, retire, set, standing, switch};
use check::{policy, report, test, validate};
use make::reference::{completions, man, schema};
use make::render;
use running::{judge, list, probe, status, steer, watch};

/// What a command ends with, for scripts.
const CODES: &str = "\
Exit codes:
  0  fine
  1  something was found: an error in a config, a failed case, a finding of report or diff
  2  it cannot be done: a wrong option, a file that is not there or holds no config

Where no file is named, TIDEGATE_CONFIG in the environment names it, or it is tidegate.yaml.";

/// Checks, explains, simulates and compares what the Tidegate filter decides in Envoy.
#[derive(Debug, Parser)]
#[command(name = "tidegate", version, max_term_width = 100)]
pub(crate) struct Typed {
    #[command(flatten)]
    pub(crate) options: Options,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
#[allow(clippy::large_enum_variant, reason = "one is made, once")]
pub(crate) enum Command {
    Validate(validate::Args),
    Explain(explain::Args),
    Simulate(simulate::Args),
    Test(test::Args),
    Diff(diff::Args),
    Log(log::Args),
    Report(report::Args),
    Policy(policy::Args),
    Set(set::Args),
    Kill(switch::Kill),
    Unkill(switch::Unkill),
    Promote(ramp::Args),
    Hold(standing::Hold),
    Resume(standing::Resume),
    Rollback(standing::Rollback),
    Retire(retire::Args),
    Fmt(fmt::Args),
    Render(render::Args),
    Schema(schema::Args),
    Status(status::Args),
    List(list::Args),
    Watch(watch::Args),
    Probe(probe::Args),
    Judge(judge::Args),
    Steer(steer::Args),
    Completions(completions::Args),
    Man(man::Args),
}

impl Command {
    pub(crate) fn run(&self, screen: &mut Screen) -> Result<Found, CliError> {
        match self {
            Self::Validate(args) => validate::run(args, screen),
            Self::Explain(args) => explain::run(args, screen),
            Self::Simulate(args) => simulate::run(args, screen),
            Self::Test(args) => test::run(args, screen),
            Self::Diff(args) => diff::run(args, screen),
            Self::Log(args) => log::run(args, screen),
            Self::Report(args) => report::run(args, screen),
            Self::Policy(args) => policy::run(args, screen),
            Self::Set(args) => set::run(args, screen),
            Self::Kill(args) => switch::kill(args, screen),
            Self::Unkill(args) => switch::unkill(args, screen),
            Self::Promote(args) => ramp::run(args, screen),
            Self::Hold(args) => standing::hold(args, screen),
            Self::Resume(args) => standing::resume(args, screen),
            Self::Rollback(args) => standing::rollback(args, screen),
            Self::Retire(args) => retire::run(args, screen),
            Self::Fmt(args) => fmt::run(args, screen),
            Self::Render(args) => render::run(args, screen),
            Self::Schema(args) => schema::run(args, screen),
            Self::Status(args) => status::run(args, screen),
            Self::List(args) => list::run(args, screen),
            Self::Watch(args) => watch::run(args, screen),
            Self::Probe(args) => probe::run(args, screen),
            Self::Judge(args) => judge::run(args, screen),
            Self::Steer(args) => steer::run(args, screen),
            Self::Completions(args) => completions::run(args, screen),
            Self::Man(args) => man::run(args, screen),
        }
    }
}

/// The command as it may be typed.
pub(crate) fn command() -> clap::Command {
    groups::grouped(Typed::command())
}
