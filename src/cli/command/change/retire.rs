//! `tidegate retire`: takes a finished flag out of a config, and says what is left to do.

use super::hand::{self, Deed, Hand, Subject};
use super::standing;
use crate::error::{CliError, Found};
use crate::terminal::Screen;
use tidegate_analysis::lint::exposure::only;
use tidegate_analysis::parts::{baseline, conditions_of, segments_of};
use tidegate_analysis::source::edit::{Comments, Edit};

/// Take a finished flag out of the config
///
/// A flag is finished when it serves everybody the same, and no step is to come. Says which variant that is, what the
/// services must do by themselves from then on, and which segments are used no more.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The flag
    #[arg(value_name = "FLAG")]
    flag: String,
    /// Also take out a flag that is not finished
    #[arg(long)]
    force: bool,
    /// Why, for the commit
    #[arg(long, value_name = "TEXT")]
    why: Option<String>,
    #[command(flatten)]
    hand: Hand,
}

pub(crate) fn run(args: &Args, screen: &mut Screen) -> Result<Found, CliError> {
    hand::run(&args.hand, &args.flag, screen, |subject| {
        let served = only(&subject.loaded.config, subject.flag, subject.now);
        let stands = standing::in_force(subject).is_some();
        if !args.force && (served.is_none() || stands) {
            let why = if stands { "has a standing that is in force" } else { "does not serve everybody the same" };
            let why = format!("{} {why}: --force takes it out all the same", subject.key);
            return Ok(Deed::refused("Retire", "not-finished", why));
        }
        let mut edits = vec![Edit::Remove { at: subject.path(), comments: Comments::Drop }];
        edits.extend(standing::gone(subject));
        let remarks = remarks(subject, served);
        Ok(Deed { verb: "Retire", edits, why: args.why.clone(), remarks, ..Deed::default() })
    })
}

/// What is left to do once the flag is gone.
fn remarks(subject: &Subject<'_>, served: Option<&str>) -> Vec<String> {
    let (config, flag, key) = (&subject.loaded.config, subject.flag, subject.key);
    let mut remarks = Vec::new();
    if let Some((name, _)) = config.flags.iter().find(|(known, _)| known.as_str() == key) {
        let header = flag.header(name);
        let what = served.map_or_else(String::new, |served| format!(": build in what {served} means there"));
        remarks.push(format!("services that read {header} get it no more{what}"));
    }
    if let Some(route) = &flag.route {
        let served = served.unwrap_or_else(|| baseline(flag));
        remarks.push(format!("routes that match {route} match no more: send their traffic to {served} without it"));
    }
    let used = segments_of(config, conditions_of(flag));
    let others = config.flags.iter().filter(|(known, _)| known.as_str() != key);
    let still = segments_of(config, others.flat_map(|(_, flag)| conditions_of(flag)));
    let unused: Vec<&str> = used.keys().filter(|name| !still.contains_key(*name)).map(|name| name.as_str()).collect();
    if !unused.is_empty() {
        remarks.push(format!("used by no flag any more: {}", unused.join(", ")));
    }
    remarks
}
