//! `tidegate set`: changes single fields of a flag.

use super::hand::{self, Deed, Hand, Subject};
use super::rules;
use crate::error::{CliError, Found};
use crate::terminal::Screen;
use tidegate_analysis::source::edit::{Comments, Edit, Path};
use tidegate_engine::config::{Exposure, Node, Serve};
use tidegate_engine::value::share::Ppm;

/// Change a share, weights, the default, or what is said of a flag
///
/// Only the named fields of the file change: comments, order and quotes stay.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("what").required(true).multiple(true)
    .args(["percent", "weights", "default", "expires", "stage", "owner", "description"]))]
pub(crate) struct Args {
    /// The flag
    #[arg(value_name = "FLAG")]
    flag: String,
    /// The rule, counted from 1; needed where several have a share
    #[arg(long, value_name = "N")]
    rule: Option<usize>,
    /// The share of a rule; ends its ramp
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    percent: Option<Ppm>,
    /// All variants that a rule serves, with their weights, such as v2=1,v3=1
    #[arg(long, value_name = "VARIANT=WEIGHT", value_delimiter = ',', value_parser = weight)]
    weights: Vec<(String, u32)>,
    /// The variant where no rule fits
    #[arg(long, value_name = "VARIANT")]
    default: Option<String>,
    /// The day by which the flag should be gone
    #[arg(long, value_name = "DATE")]
    expires: Option<String>,
    /// How far along the flag is: experimental, trusted, stable
    #[arg(long, value_name = "STAGE")]
    stage: Option<String>,
    /// Who answers for the flag
    #[arg(long, value_name = "TEAM")]
    owner: Option<String>,
    /// What the flag is for
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Why, for the commit
    #[arg(long, value_name = "TEXT")]
    why: Option<String>,
    #[command(flatten)]
    hand: Hand,
}

fn percent(text: &str) -> Result<Ppm, String> {
    Ppm::parse_percent(text).map_err(|wrong| wrong.to_string())
}

fn weight(text: &str) -> Result<(String, u32), String> {
    let parts = text.split_once('=').and_then(|(name, weight)| Some((name.to_owned(), weight.parse().ok()?)));
    parts.ok_or_else(|| "must be a variant and a whole number, such as v2=1".to_owned())
}

pub(crate) fn run(args: &Args, screen: &mut Screen) -> Result<Found, CliError> {
    hand::run(&args.hand, &args.flag, screen, |subject| {
        let mut edits = Vec::new();
        if let Some(share) = args.percent {
            let fits = |rule: &tidegate_engine::config::Rule| rule.exposure != Exposure::Fixed(Ppm::FULL);
            let place = rules::pick(subject, args.rule, "a share", fits)?;
            if let Some(why) = unapproved(subject, place, share) {
                return Ok(Deed::refused("Change", "approval", why));
            }
            edits.extend(self::share(subject, place, share));
        }
        if !args.weights.is_empty() {
            let split = |rule: &tidegate_engine::config::Rule| matches!(rule.serve, Serve::Split(_));
            let place = rules::pick(subject, args.rule, "weights", split)?;
            edits.extend(weights(subject, place, &args.weights));
        }
        let fields = [
            ("default", &args.default),
            ("expires", &args.expires),
            ("stage", &args.stage),
            ("owner", &args.owner),
            ("description", &args.description),
        ];
        for (field, value) in fields {
            let Some(value) = value else { continue };
            put(subject, subject.path().key(field), Node::Text(value.as_str().into()), &mut edits);
        }
        if edits.is_empty() {
            return Ok(Deed::idle("Change", format!("{} is so already", subject.key)));
        }
        Ok(Deed { verb: "Change", edits, why: args.why.clone(), ..Deed::default() })
    })
}

/// Sets a field that is not so already.
fn put(subject: &Subject<'_>, at: Path, to: Node, edits: &mut Vec<Edit>) {
    if subject.written(&at) != Some(&to) {
        edits.push(Edit::Set { at, to });
    }
}

/// Why a rule may not have this share yet: a step of its ramp waits for an approval, and would be passed by.
pub(crate) fn unapproved(subject: &Subject<'_>, place: usize, share: Ppm) -> Option<String> {
    let Exposure::Steps(steps) = &subject.flag.rules.get(place)?.exposure else { return None };
    let waiting = steps.iter().position(tidegate_engine::config::Step::lacks_approval)?;
    let before = waiting.checked_sub(1).and_then(|before| steps.get(before)).map_or(Ppm::NONE, |step| step.share);
    let (step, rule) = (waiting.saturating_add(1), place.saturating_add(1));
    let why = format!(
        "step {step} of rule {rule} waits for approval, and {share} is more than the {before} before it: tidegate promote takes the steps in order, and approves"
    );
    (share > before).then_some(why)
}

/// The edits that give a rule a share, written as its author writes shares.
pub(crate) fn share(subject: &Subject<'_>, place: usize, share: Ppm) -> Vec<Edit> {
    let rule = rules::path(subject, place);
    let at = rule.clone().key("percent");
    let known = subject.flag.rules.get(place).map(|rule| &rule.exposure);
    let text = share.to_string();
    let number = || Node::Number(text.trim_end_matches('%').into());
    let (to, written) = match subject.written(&at) {
        Some(Node::Text(old)) if old.ends_with('%') => (Node::Text(text.as_str().into()), true),
        old => (number(), old.is_some()),
    };
    match known {
        Some(Exposure::Fixed(was)) if *was == share && (written || share == Ppm::FULL) => Vec::new(),
        Some(Exposure::Steps(_)) => {
            let steps = Edit::Remove { at: rule.key("steps"), comments: Comments::Drop };
            vec![Edit::Set { at, to }, steps]
        }
        _ => vec![Edit::Set { at, to }],
    }
}

/// The edits that give a rule these variants with these weights.
fn weights(subject: &Subject<'_>, place: usize, wanted: &[(String, u32)]) -> Vec<Edit> {
    let serve = rules::path(subject, place).key("serve");
    let part = |(name, weight): &(String, u32)| {
        let variant = ("variant".into(), Node::Text(name.as_str().into()));
        Node::Map(vec![variant, ("weight".into(), Node::Number(weight.to_string().into()))])
    };
    let known = subject.flag.rules.get(place).map(|rule| &rule.serve);
    let Some(Serve::Split(parts)) = known else {
        return vec![Edit::Set { at: serve, to: Node::List(wanted.iter().map(part).collect()) }];
    };
    let mut edits = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        let found = wanted.iter().find(|(name, _)| name == part.variant.as_str());
        if let Some((_, weight)) = found.filter(|(_, weight)| *weight != part.weight) {
            let at = serve.clone().index(index).key("weight");
            edits.push(Edit::Set { at, to: Node::Number(weight.to_string().into()) });
        }
    }
    let new = wanted.iter().filter(|(name, _)| !parts.iter().any(|part| part.variant.as_str() == name));
    edits.extend(new.map(|one| Edit::Insert { at: serve.clone().index(usize::MAX), to: part(one) }));
    // From behind, so that the places in front stay what they are.
    for (index, part) in parts.iter().enumerate().rev() {
        if !wanted.iter().any(|(name, _)| name == part.variant.as_str()) {
            edits.push(Edit::Remove { at: serve.clone().index(index), comments: Comments::Drop });
        }
    }
    edits
}
