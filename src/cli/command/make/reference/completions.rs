//! `tidegate completions`: a script that lets a shell complete the words of this command.
//!
//! Made of the command's own definition. Never writes into a shell's folders: where the script belongs, the help says.

use clap_complete::Shell;

use crate::error::{CliError, Found};
use crate::terminal::Screen;

/// Print a script that completes commands and options in a shell
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Where shells look for it:

  tidegate completions bash > ~/.local/share/bash-completion/completions/tidegate
  tidegate completions fish > ~/.config/fish/completions/tidegate.fish
  tidegate completions zsh > \"${fpath[1]}/_tidegate\"
")]
pub(crate) struct Args {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

pub(crate) fn run(args: &Args, screen: &mut Screen) -> Result<Found, CliError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut crate::command::command(), "tidegate", &mut script);
    screen.raw(&String::from_utf8_lossy(&script))?;
    Ok(Found::Nothing)
}
