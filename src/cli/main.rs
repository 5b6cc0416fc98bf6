//! The command: hands what was typed to the library, and an exit code to the shell. Holds nothing else.

use std::process::ExitCode;

fn main() -> ExitCode {
    tidegate_cli::main()
}
