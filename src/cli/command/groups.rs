//! The groups of the commands, and the help that is made of them.
//!
//! One table says which command is in which group. What a command does is said by its own words. Never runs one.

use clap::Command;

use super::CODES;
use crate::terminal::style::{MAIN, paint};

/// Each group, with its commands. Those that this build has not are left out.
const GROUPS: [(&str, &[&str]); 5] = [
    ("check", &["validate", "test", "report", "policy"]),
    ("ask", &["explain", "simulate", "diff", "log"]),
    ("change", &["set", "kill", "unkill", "promote", "hold", "resume", "rollback", "retire", "fmt"]),
    ("watch", &["watch", "status", "list", "probe", "judge", "steer"]),
    ("make", &["render", "schema", "completions", "man"]),
];

/// The commands by how much they are used; the first of them are shown with what they do.
const USED: [&str; 13] = [
    "validate", "explain", "diff", "set", "promote", "kill", "status", "list", "watch", "test", "render", "simulate",
    "probe",
];

/// How many are shown so.
const SHOWN: usize = 10;

/// Gives the command its help.
pub(super) fn grouped(command: Command) -> Command {
    let title = |text: &str| paint(MAIN, text);
    let known = |name: &&&str| command.find_subcommand(name).is_some();
    let mut text = format!("{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{}\n", title("Most used:"));
    for name in USED.iter().filter(known).take(SHOWN) {
        text += &["  ", &paint(MAIN, format!("{name:<8}")), "  ", &about(&command, name), "\n"].concat();
    }
    text += &["\n", &title("All commands:"), "\n"].concat();
    for (group, names) in GROUPS {
        let names: Vec<&str> = names.iter().filter(known).copied().collect();
        let group = format!("  {group:<8}  ");
        text += &[&group, &*names.join(", "), "\n"].concat();
    }
    text += "\ntidegate help COMMAND says more of one.\n";
    text += &["\n", &title("Options:"), "\n{options}{after-help}"].concat();
    command.help_template(text).after_help(CODES)
}

/// What a command does, up to where it goes into detail.
fn about(command: &Command, name: &str) -> String {
    let about = command.find_subcommand(name).and_then(Command::get_about).map(ToString::to_string);
    let about = about.unwrap_or_default();
    let end = [": ", ". ", ", or ", ", and "].iter().filter_map(|mark| about.find(mark)).min();
    about.get(..end.unwrap_or(about.len())).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Typed;
    use clap::CommandFactory;

    #[test]
    fn every_command_is_in_one_group_exactly_once() {
        let all: Vec<&str> = GROUPS.iter().flat_map(|(_, names)| names.iter().copied()).collect();
        for command in Typed::command().get_subcommands() {
            let times = all.iter().filter(|name| **name == command.get_name()).count();
            assert_eq!(times, 1, "{} is in {times} groups", command.get_name());
        }
        for name in USED {
            assert!(all.contains(&name), "{name} is in no group");
        }
    }

    #[test]
    fn the_help_of_all_fits_on_a_small_screen() {
        let help = grouped(Typed::command()).term_width(80).render_help().to_string();
        assert!(help.lines().count() <= 50, "{help}");
        assert!(
            help.lines().all(|line| line.chars().count() <= 80 || line.starts_with("  -") || line.starts_with("     ")),
            "{help}"
        );
        assert_eq!(help.matches("\n  validate  Check configs\n").count(), 1, "{help}");
    }
}
