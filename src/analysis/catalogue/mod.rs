//! Turns sightings of flags, in configs and in proxies, into the catalogue: one entry a flag, with where it is and where
//! those places differ.
//!
//! [`share`] computes who gets what, [`written`] has the catalogue as JSON and Markdown, [`page`] as a page of HTML.
//! Never reads a file or a clock: whoever has seen a flag says where and when.

pub mod page;
pub mod share;
pub mod written;

use std::collections::BTreeMap;

use crate::parts;
use crate::words::number::count;
use crate::words::time::day;
use share::Shares;
use tidegate_engine::config::{Config, Flag, Kind, Rule, Stage};
use tidegate_engine::value::share::Ppm;
use tidegate_engine::value::time::Timestamp;

const DAY: i64 = 86_400_000;

/// The standings that are told, the most careful first; what is not among them is told last.
const STANDINGS: [&str; 5] = ["killed", "rolled_back", "held", "trial", "running"];

/// A place where flags were looked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// `file`, `proxy`, ...
    pub kind: &'static str,
    pub name: String,
    pub revision: Option<String>,
    /// Why nothing is known of it.
    pub silent: Option<String>,
}

/// What the config in a place says of a flag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    pub kind: Kind,
    pub stage: Option<Stage>,
    pub owner: Option<String>,
    pub description: Option<String>,
    pub created: Option<Timestamp>,
    pub expires: Option<Timestamp>,
    pub baseline: String,
    pub shares: Shares,
}

impl About {
    /// What is written of a flag, at exposures of its rules that are said by their places.
    pub fn new(config: &Config, flag: &Flag, exposure: &dyn Fn(usize, &Rule) -> Ppm) -> Self {
        let text = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        Self {
            kind: flag.kind,
            stage: flag.stage,
            owner: flag.owner.as_ref().and_then(|owner| text(owner.as_str())),
            description: flag.description.as_ref().and_then(|about| text(about.as_str())),
            created: flag.created,
            expires: flag.expires,
            baseline: parts::baseline(flag).to_owned(),
            shares: Shares::of(config, flag, exposure),
        }
    }
}

/// A flag in one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// The place among the origins.
    pub place: usize,
    pub key: String,
    /// Nothing where the config cannot be seen.
    pub about: Option<About>,
    /// How it stands: killed, or as a guard has it.
    pub standing: Option<&'static str>,
    /// Whether this is what runs, and not what is written.
    pub runs: bool,
    /// When the history of the place first had it.
    pub first: Option<Timestamp>,
}

/// A field that is not the same in all places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    pub field: &'static str,
    /// Each value in words, and the places that have it.
    pub values: Vec<(String, Vec<usize>)>,
}

/// A flag over all places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub key: String,
    /// From the first place whose config can be seen; the shares from the first one where they run.
    pub about: Option<About>,
    pub standing: Option<&'static str>,
    /// Since when there is such a flag: as it says itself, or as its history does.
    pub since: Option<Timestamp>,
    /// Whether the flag says it itself.
    pub said: bool,
    pub places: Vec<usize>,
    pub differences: Vec<Difference>,
}

/// All flags, and where they were looked for.
#[derive(Clone, Debug)]
pub struct Catalogue {
    pub origins: Vec<Origin>,
    pub entries: Vec<Entry>,
    /// How many flags there are without a filter.
    pub all: usize,
    pub at: Timestamp,
}

/// What is looked for.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub owners: Vec<String>,
    pub kinds: Vec<Kind>,
    pub stages: Vec<Stage>,
    pub expired: bool,
    /// Words, all of which stand somewhere in what is said of the flag.
    pub words: Vec<String>,
}

/// What comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    #[default]
    Key,
    Owner,
    Type,
    Stage,
    /// Those that serve the most users another variant than the baseline.
    Share,
    /// Those that are not as they should be.
    Standing,
    /// The oldest.
    Age,
    /// Those that are over, or will be soonest.
    Expires,
}

impl Catalogue {
    pub fn new(origins: Vec<Origin>, sightings: Vec<Sighting>, at: Timestamp) -> Self {
        let mut flags: BTreeMap<String, Vec<Sighting>> = BTreeMap::new();
        for sighting in sightings {
            flags.entry(sighting.key.clone()).or_default().push(sighting);
        }
        let entries: Vec<Entry> = flags.into_iter().map(|(key, seen)| Entry::new(key, &seen)).collect();
        Self { origins, all: entries.len(), entries, at }
    }

    /// The owners of all flags.
    pub fn owners(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().filter_map(|entry| entry.about.as_ref()?.owner.as_deref())
    }

    /// Leaves only what is looked for.
    pub fn filter(&mut self, filter: &Filter) {
        let words: Vec<String> = filter.words.iter().map(|word| word.to_lowercase()).collect();
        let at = self.at;
        self.entries.retain(|entry| {
            let about = entry.about.as_ref();
            let owner = about.and_then(|about| about.owner.as_ref());
            let any = |none: bool, is: bool| none || is;
            any(filter.owners.is_empty(), owner.is_some_and(|owner| filter.owners.contains(owner)))
                && any(filter.kinds.is_empty(), about.is_some_and(|about| filter.kinds.contains(&about.kind)))
                && any(
                    filter.stages.is_empty(),
                    about.and_then(|about| about.stage).is_some_and(|stage| filter.stages.contains(&stage)),
                )
                && (!filter.expired || entry.is_over(at))
                && any(words.is_empty(), {
                    let text = entry.text(&self.origins).to_lowercase();
                    words.iter().all(|word| text.contains(word))
                })
        });
    }

    /// Sorts; what says nothing of what is sorted by comes last.
    pub fn sort(&mut self, order: Order) {
        let about = |entry: &Entry| entry.about.clone();
        match order {
            Order::Key => self.entries.sort_by(|one, other| one.key.cmp(&other.key)),
            Order::Owner => self.entries.sort_by_cached_key(|entry| {
                let owner = about(entry).and_then(|about| about.owner);
                (owner.is_none(), owner)
            }),
            Order::Type => self.entries.sort_by_key(|entry| entry.kind().map_or("~", Kind::name)),
            Order::Stage => {
                self.entries.sort_by_key(|entry| entry.stage().map_or(3, |stage| stage as u8));
            }
            Order::Share => self.entries.sort_by_key(|entry| core::cmp::Reverse(entry.away())),
            Order::Standing => self.entries.sort_by_key(|entry| rank(entry.standing)),
            Order::Age => self.entries.sort_by_key(|entry| (entry.since.is_none(), entry.since)),
            Order::Expires => {
                self.entries.sort_by_key(|entry| (entry.expires().is_none(), entry.expires()));
            }
        }
    }
}

fn rank(standing: Option<&str>) -> usize {
    let place = standing.and_then(|standing| STANDINGS.iter().position(|known| *known == standing));
    place.unwrap_or(STANDINGS.len())
}

impl Entry {
    fn new(key: String, seen: &[Sighting]) -> Self {
        let mut about = seen.iter().find_map(|one| one.about.clone());
        let running = seen.iter().filter(|one| one.runs).find_map(|one| one.about.as_ref());
        if let (Some(about), Some(running)) = (&mut about, running) {
            about.shares = running.shares.clone();
            about.baseline.clone_from(&running.baseline);
        }
        let created = seen.iter().filter_map(|one| one.about.as_ref()?.created).min();
        let first = seen.iter().filter_map(|one| one.first).min();
        let mut places: Vec<usize> = seen.iter().map(|one| one.place).collect();
        places.dedup();
        Self {
            key,
            about,
            standing: seen.iter().filter_map(|one| one.standing).min_by_key(|standing| rank(Some(standing))),
            since: created.or(first),
            said: created.is_some(),
            places,
            differences: differences(seen),
        }
    }

    pub fn kind(&self) -> Option<Kind> {
        self.about.as_ref().map(|about| about.kind)
    }

    pub fn stage(&self) -> Option<Stage> {
        self.about.as_ref()?.stage
    }

    pub fn owner(&self) -> Option<&str> {
        self.about.as_ref()?.owner.as_deref()
    }

    pub fn description(&self) -> Option<&str> {
        self.about.as_ref()?.description.as_deref()
    }

    pub fn expires(&self) -> Option<Timestamp> {
        self.about.as_ref()?.expires
    }

    /// Whether its day is over.
    pub fn is_over(&self, at: Timestamp) -> bool {
        self.expires().is_some_and(|expires| expires <= at)
    }

    /// The share that gets another variant than the baseline.
    pub fn away(&self) -> Option<Ppm> {
        self.about.as_ref().map(|about| about.shares.away(&about.baseline))
    }

    /// Whole days since it is there.
    pub fn days(&self, at: Timestamp) -> Option<i64> {
        self.since.map(|since| at.millis().saturating_sub(since.millis()).div_euclid(DAY).max(0))
    }

    /// `v2 25%, and by 2 conditions`; `nobody` where everybody gets the baseline.
    pub fn share_text(&self) -> String {
        self.about.as_ref().map_or_else(|| "unknown".to_owned(), share_text)
    }

    /// `rolled back`
    pub fn standing_text(&self) -> String {
        self.standing.unwrap_or_default().replace('_', " ")
    }

    /// `in 12 days`, `3 days ago`; the day is told beside it.
    pub fn expiry_text(&self, at: Timestamp) -> String {
        let Some(expires) = self.expires() else { return String::new() };
        let left = expires.millis().saturating_sub(at.millis());
        let days = left.unsigned_abs().div_euclid(DAY.unsigned_abs());
        let days = count(usize::try_from(days).unwrap_or(usize::MAX), "day");
        if left > 0 { format!("in {days}") } else { format!("{days} ago") }
    }

    /// All that is said of it.
    fn text(&self, origins: &[Origin]) -> String {
        let mut text = format!("{}\n{}\n{}", self.key, self.share_text(), self.standing_text());
        if let Some(about) = &self.about {
            let stage = about.stage.map_or("", Stage::name);
            let prose = [about.kind.name(), stage, about.owner.as_deref().unwrap_or_default()];
            let variants = about.shares.variants.iter().map(|(name, _)| name.as_str());
            for part in prose.into_iter().chain(about.description.as_deref()).chain(variants) {
                text.push('\n');
                text.push_str(part);
            }
        }
        for origin in self.places.iter().filter_map(|place| origins.get(*place)) {
            text.push('\n');
            text.push_str(&origin.name);
        }
        text
    }
}

fn share_text(about: &About) -> String {
    let away = about.shares.variants.iter().filter(|(name, share)| *name != about.baseline && share.parts() > 0);
    let mut parts: Vec<String> = away.map(|(name, share)| format!("{name} {share}")).collect();
    if parts.is_empty() {
        parts.push("nobody".to_owned());
    }
    if about.shares.conditions > 0 {
        parts.push(format!("and by {}", count(about.shares.conditions, "condition")));
    }
    parts.join(", ")
}

/// The name of a field, and what it says in one place.
type Field<'f> = (&'static str, Box<dyn Fn(&Sighting) -> Option<String> + 'f>);

/// The fields that are not the same wherever they are known.
fn differences(seen: &[Sighting]) -> Vec<Difference> {
    let none = || "none".to_owned();
    let date = |at: Option<Timestamp>| at.map_or_else(none, day);
    let prose = |text: &Option<String>| text.clone().unwrap_or_else(none);
    let fields: [Field<'_>; 8] = [
        ("type", Box::new(|one| Some(one.about.as_ref()?.kind.name().to_owned()))),
        ("stage", Box::new(|one| Some(one.about.as_ref()?.stage.map_or_else(none, |stage| stage.name().to_owned())))),
        ("owner", Box::new(|one| Some(prose(&one.about.as_ref()?.owner)))),
        ("description", Box::new(|one| Some(prose(&one.about.as_ref()?.description)))),
        ("expires", Box::new(|one| Some(date(one.about.as_ref()?.expires)))),
        ("baseline", Box::new(|one| Some(one.about.as_ref()?.baseline.clone()))),
        ("share", Box::new(|one| Some(share_text(one.about.as_ref()?)))),
        ("standing", Box::new(|one| Some(one.standing?.replace('_', " ")))),
    ];
    let differ = |(field, value): &Field<'_>| {
        let mut values: Vec<(String, Vec<usize>)> = Vec::new();
        for one in seen {
            let Some(value) = value(one) else { continue };
            match values.iter_mut().find(|(known, _)| *known == value) {
                Some((_, places)) => places.push(one.place),
                None => values.push((value, vec![one.place])),
            }
        }
        (values.len() > 1).then_some(Difference { field, values })
    };
    fields.iter().filter_map(differ).collect()
}
