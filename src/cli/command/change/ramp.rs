//! `tidegate promote`: the next step of a ramp now, or all of a fixed share.
//!
//! Steps are taken in order. A step that waits for the fleet is not taken by a person: the fleet's standing says.

use super::hand::{self, Deed, Hand, Subject};
use super::standing::{self, in_force};
use super::{rules, set};
use crate::error::{CliError, Found};
use crate::terminal::Screen;
use tidegate_analysis::source::edit::Edit;
use tidegate_analysis::words;
use tidegate_analysis::words::time::{moment, whole};
use tidegate_engine::config::standing::Phase;
use tidegate_engine::config::{Exposure, Node, Step};
use tidegate_engine::value::share::Ppm;

/// Take the next step of a ramp now, or give a fixed share to everybody
///
/// The next step begins now; one that waits for approval is approved, by you. Steps are taken in order.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The flag
    #[arg(value_name = "FLAG")]
    flag: String,
    /// The rule, counted from 1; needed where several have a share
    #[arg(long, value_name = "N")]
    rule: Option<usize>,
    /// Everybody at once: 100 %, and no steps
    #[arg(long)]
    full: bool,
    /// Why, for the commit
    #[arg(long, value_name = "TEXT")]
    why: Option<String>,
    #[command(flatten)]
    hand: Hand,
}

const VERB: &str = "Promote";

pub(crate) fn run(args: &Args, screen: &mut Screen) -> Result<Found, CliError> {
    hand::run(&args.hand, &args.flag, screen, |subject| {
        let stands = in_force(subject);
        if let Some(entry) = stands.filter(|entry| entry.phase != Phase::Running) {
            let why = format!("{} is {}: tidegate resume lets it go on", subject.key, words::standing(entry));
            return Ok(Deed::refused(VERB, "standing", why));
        }
        let open = |rule: &tidegate_engine::config::Rule| rule.exposure != Exposure::Fixed(Ppm::FULL);
        let place = rules::pick(subject, args.rule, "a share below 100%", open)?;
        let Some(rule) = subject.flag.rules.get(place) else { return Ok(Deed::idle(VERB, "there is no rule")) };
        let edits = match &rule.exposure {
            Exposure::Steps(steps) if !args.full => {
                let named = stands.zip(u8::try_from(place.saturating_add(1)).ok());
                let cap = usize::from(rule.exposure.cap(named));
                let begun = rule.exposure.begun(subject.now);
                let Some(next) = steps.get(begun.min(cap)) else {
                    let last = rule.exposure.share_at(subject.now);
                    let why = format!("all steps of rule {} are taken, and it is at {last}", place.saturating_add(1));
                    return Ok(Deed::idle(VERB, why));
                };
                if let Some(why) = waits(subject, next, begun.min(cap), named) {
                    return Ok(Deed::refused(VERB, "standing", why));
                }
                step(subject, place, begun.min(cap), next)
            }
            _ => {
                if let Some(why) = set::unapproved(subject, place, Ppm::FULL) {
                    return Ok(Deed::refused(VERB, "approval", why));
                }
                set::share(subject, place, Ppm::FULL)
            }
        };
        if edits.is_empty() {
            return Ok(Deed::idle(VERB, "it is at 100% already"));
        }
        let mut deed = Deed { verb: VERB, edits, why: args.why.clone(), ..Deed::default() };
        // What the fleet has allowed so far stays allowed: the flag goes on, it does not begin anew.
        deed.edits.extend(standing::carried(subject, stands, &deed.edits));
        Ok(deed)
    })
}

/// Why a step may not be taken by a person.
fn waits(
    subject: &Subject<'_>,
    next: &Step,
    place: usize,
    named: Option<(&tidegate_engine::config::standing::Standing, u8)>,
) -> Option<String> {
    let limit = named.and_then(|(entry, rule)| entry.steps_of(rule)).map(usize::from);
    let number = place.saturating_add(1);
    if next.requires.waits_for_fleet() && limit.is_none_or(|limit| place >= limit) {
        return Some(format!(
            "step {number} of {} waits for the fleet, whose standing has not allowed it",
            subject.key
        ));
    }
    let limit = limit.filter(|limit| place >= *limit)?;
    Some(format!("the standing of {} allows {limit} of its steps: tidegate resume lets it go on", subject.key))
}

/// The edits that take a step now.
fn step(subject: &Subject<'_>, rule: usize, place: usize, next: &Step) -> Vec<Edit> {
    let at = rules::path(subject, rule).key("steps").index(place);
    let mut edits = Vec::new();
    if next.at > subject.now {
        let to = Node::Text(moment(whole(subject.now)).into());
        edits.push(Edit::Set { at: at.clone().key("at"), to });
    }
    if next.lacks_approval() {
        let text = format!("{}, {}", subject.by, moment(whole(subject.now)));
        edits.push(Edit::Set { at: at.key("approved"), to: Node::Text(text.into()) });
    }
    edits
}
