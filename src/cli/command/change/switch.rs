//! `tidegate kill` and `tidegate unkill`: everybody gets the baseline of a flag, and no longer does.

use super::hand::{self, Deed, Hand};
use crate::error::{CliError, Found};
use crate::terminal::Screen;
use tidegate_analysis::source::edit::{Comments, Edit};
use tidegate_engine::config::Node;

/// How the comment begins that says who killed a flag, and why.
const KILLED: &str = "killed";

/// Serve everybody the baseline of a flag, at once
///
/// Writes `kill: true` into the flag, with who, when and why as a comment behind it. Allowed in a freeze.
#[derive(Debug, clap::Args)]
pub(crate) struct Kill {
    /// The flag
    #[arg(value_name = "FLAG")]
    flag: String,
    /// Why, for those who read the config and its history
    #[arg(long, value_name = "TEXT", required = true)]
    why: String,
    #[command(flatten)]
    hand: Hand,
}

/// Let the rules of a killed flag decide again
///
/// Takes `kill: true` out of the flag, with the comment that `tidegate kill` wrote.
#[derive(Debug, clap::Args)]
pub(crate) struct Unkill {
    /// The flag
    #[arg(value_name = "FLAG")]
    flag: String,
    /// Why, for the commit
    #[arg(long, value_name = "TEXT")]
    why: Option<String>,
    #[command(flatten)]
    hand: Hand,
}

pub(crate) fn kill(args: &Kill, screen: &mut Screen) -> Result<Found, CliError> {
    hand::run(&args.hand, &args.flag, screen, |subject| {
        if subject.flag.kill {
            return Ok(Deed::idle("Kill", format!("{} is killed", subject.key)));
        }
        let at = subject.path().key("kill");
        let text = hand::remark(subject, KILLED, &args.why);
        let edits = vec![Edit::Set { at: at.clone(), to: Node::Bool(true) }, Edit::Remark { at, text }];
        Ok(Deed { verb: "Kill", edits, why: Some(args.why.clone()), ..Deed::default() })
    })
}

pub(crate) fn unkill(args: &Unkill, screen: &mut Screen) -> Result<Found, CliError> {
    hand::run(&args.hand, &args.flag, screen, |subject| {
        if !subject.flag.kill {
            return Ok(Deed::idle("Unkill", format!("{} is not killed", subject.key)));
        }
        let at = subject.path().key("kill");
        let comment = Edit::Unremark { at: at.clone(), start: format!("{KILLED} by ") };
        let edits = vec![comment, Edit::Remove { at, comments: Comments::Keep }];
        Ok(Deed { verb: "Unkill", edits, why: args.why.clone(), ..Deed::default() })
    })
}
