//! Counts which users move from one config to another: both decide for each identity, and the results are compared.
//!
//! Only flags whose decisions may differ are decided, each with a request that matches it. A user without a decision
//! counts as one with the default, which a flag serves when no rule takes the request: so a new flag moves the users
//! that its rules serve something else. Never extrapolates from the sample.

use std::collections::BTreeMap;

use rayon::prelude::*;
use serde_json::{Value, json};

use super::change::Comparison;
use crate::parts;
use crate::request::progress::Progress;
use crate::request::{Given, Identities, RequestSpec, Sender};
use tidegate_engine::config::{Config, Match};
use tidegate_engine::decide::decide;
use tidegate_engine::decide::standing::Standing;
use tidegate_engine::plan::{Flag, Plan};
use tidegate_engine::value::name::FlagKey;
use tidegate_engine::value::share::Ppm;
use tidegate_engine::value::time::Timestamp;

/// How many identities are shown of those that move one way.
const SAMPLE: usize = 3;

/// How many identities one thread decides at a time.
const CHUNK: usize = 4_096;

/// One side: a config, and the plan of it.
#[derive(Clone, Copy, Debug)]
pub struct Side<'s> {
    pub config: &'s Config,
    pub plan: &'s Plan,
}

/// The request, the identities and the time that both sides decide for.
#[derive(Debug)]
pub struct Survey {
    pub base: RequestSpec,
    /// What of the base was asked for: the rest may be replaced by what a flag matches.
    pub given: Given,
    pub ids: Identities,
    pub now: Timestamp,
}

/// Who moves in one flag.
#[derive(Clone, Debug)]
pub struct Moves {
    /// The request that all of them sent.
    pub request: String,
    /// Whether one of the two sides decides the flag for it.
    pub decided: bool,
    pub users: u64,
    pub moved: u64,
    pub ways: Vec<Way>,
}

/// Those who move from one variant to another.
#[derive(Clone, Debug)]
pub struct Way {
    pub from: String,
    pub to: String,
    pub users: u64,
    pub sample: Vec<String>,
}

/// Stands for no decision.
const NOTHING: &str = "(nothing)";

impl Moves {
    /// The part of all who move.
    pub fn share(&self) -> Ppm {
        share(self.moved, self.users)
    }

    /// Whether more than this share moves, exactly.
    pub fn exceeds(&self, most: Ppm) -> bool {
        let moved = u128::from(self.moved).saturating_mul(u128::from(Ppm::FULL.parts()));
        moved > u128::from(self.users).saturating_mul(u128::from(most.parts()))
    }

    pub fn json(&self) -> Value {
        let ways = self.ways.iter().map(|way| {
            let part = share(way.users, self.users).parts();
            json!({"from": way.from, "to": way.to, "users": way.users, "share": part, "sample": way.sample})
        });
        json!({
            "request": self.request,
            "decided": self.decided,
            "users": self.users,
            "moved": self.moved,
            "share": self.share().parts(),
            "ways": ways.collect::<Vec<_>>(),
        })
    }
}

/// A part of all, in parts per million, cut off.
pub fn share(part: u64, all: u64) -> Ppm {
    let parts = u128::from(part).saturating_mul(u128::from(Ppm::FULL.parts())).checked_div(u128::from(all));
    Ppm::of(parts.and_then(|parts| u32::try_from(parts).ok()).unwrap_or(0))
}

/// How many decisions [`count`] makes.
pub fn steps(comparison: &Comparison, old: Side<'_>, new: Side<'_>, survey: &Survey) -> u64 {
    let groups = groups(comparison, old, new, survey).len();
    u64::try_from(groups * survey.ids.len()).unwrap_or(u64::MAX)
}

/// Who moves, by flag that may decide otherwise.
pub fn count(
    comparison: &Comparison,
    old: Side<'_>,
    new: Side<'_>,
    survey: &Survey,
    progress: &dyn Progress,
) -> BTreeMap<FlagKey, Moves> {
    let mut found = BTreeMap::new();
    for (_, (spec, keys)) in groups(comparison, old, new, survey) {
        let part = |config: &Config| parts::plan(&parts::with_flags(config, &|key| keys.contains(&key)));
        let (old_part, new_part) = (part(old.config), part(new.config));
        let plans = (old_part.as_ref().unwrap_or(old.plan), new_part.as_ref().unwrap_or(new.plan));
        let counters: Vec<Counter<'_>> = keys.iter().map(|key| Counter::new(key, plans)).collect();
        let tallies = ask_all(&counters, plans, &spec, survey, progress);
        for (counter, tally) in counters.iter().zip(tallies) {
            found.insert(counter.key.clone(), counter.moves(&spec, &tally, &survey.ids));
        }
    }
    found
}

type Groups<'c> = BTreeMap<[Vec<u8>; 3], (RequestSpec, Vec<&'c FlagKey>)>;

/// The flags to decide, by a request that matches them.
fn groups<'c>(comparison: &'c Comparison, old: Side<'_>, new: Side<'_>, survey: &Survey) -> Groups<'c> {
    let mut groups = Groups::new();
    for flag in comparison.flags.iter().filter(|flag| flag.decides) {
        let sides = [new, old].map(|side| {
            (side.config.flag(flag.key.as_str()).map(|flag| &flag.matches), compiled(side.plan, &flag.key))
        });
        let spec = taken(survey, &sides);
        let place = [":method", ":authority", ":path"].map(|name| spec.header(name).unwrap_or_default().to_vec());
        groups.entry(place).or_insert_with(|| (spec, Vec::new())).1.push(&flag.key);
    }
    groups
}

fn compiled<'p>(plan: &'p Plan, key: &FlagKey) -> Option<&'p Flag> {
    plan.flags().iter().find(|flag| flag.key() == key)
}

/// The request of the survey, with a method, host and path that match the flag where none was given.
fn taken(survey: &Survey, sides: &[(Option<&Match>, Option<&Flag>); 2]) -> RequestSpec {
    let mut spec = survey.base.clone();
    let Given { method: said_method, host: said_host, path: said_path } = survey.given;
    let all = |of: fn(&Match) -> Vec<String>| -> Vec<String> {
        sides.iter().filter_map(|(written, _)| *written).flat_map(of).collect()
    };
    let mut replace = |name: &str, said: bool, of: fn(&Match) -> Vec<String>, takes: fn(&Flag, &[u8]) -> bool| {
        let flags = || sides.iter().filter_map(|(_, flag)| *flag);
        let fits = |value: &[u8]| flags().filter(|flag| takes(flag, value)).count();
        let base = spec.header(name).unwrap_or_default().to_vec();
        let all_fit = fits(&base) == flags().count();
        if said || all_fit {
            return;
        }
        // The first that fits both sides, or else the new one.
        let mut values = all(of);
        values.sort_by_key(|value| std::cmp::Reverse(fits(value.as_bytes())));
        if let Some(value) = values.into_iter().next() {
            spec.replace(name, value.into_bytes());
        }
    };
    replace(
        ":method",
        said_method,
        |matches| matches.methods.iter().map(ToString::to_string).collect(),
        |flag, value| flag.matches.takes_method(value),
    );
    replace(
        ":authority",
        said_host,
        |matches| {
            let host = |host: &tidegate_engine::value::name::HostPattern| match host.wildcard() {
                Some(domain) => format!("www.{domain}"),
                None => host.to_string(),
            };
            matches.hosts.iter().map(host).collect()
        },
        |flag, value| flag.matches.takes_host(value),
    );
    replace(
        ":path",
        said_path,
        |matches| {
            let path = |path: &tidegate_engine::value::name::PathPrefix| {
                if path.as_str().is_empty() { "/" } else { path.as_str() }.to_owned()
            };
            matches.paths.iter().map(path).collect()
        },
        |flag, value| flag.matches.takes_path(value.split(|byte| *byte == b'?').next().unwrap_or_default()),
    );
    spec
}

/// What is counted of one flag: each pair of outcomes has a cell.
struct Counter<'p> {
    key: &'p FlagKey,
    old: Option<&'p Flag>,
    new: Option<&'p Flag>,
    /// By cell: whether whoever is counted in it has moved.
    moves: Vec<bool>,
    width: usize,
}

/// Those who are counted in one cell, and some of them by their place.
#[derive(Clone, Debug, Default)]
struct Cell {
    users: u64,
    sample: Vec<usize>,
}

impl<'p> Counter<'p> {
    fn new(key: &'p FlagKey, (old, new): (&'p Plan, &'p Plan)) -> Self {
        let (old, new) = (compiled(old, key), compiled(new, key));
        // The last outcome of each side is to be not decided.
        let outcomes = |flag: Option<&Flag>| flag.map_or(0, |flag| flag.variants.len()).saturating_add(1);
        let width = outcomes(new);
        let gets = |flag: Option<&'p Flag>, place: usize| {
            let variant = flag.and_then(|flag| flag.variants.get(place));
            variant.map(|variant| (variant.name.as_str(), variant.value.as_str()))
        };
        let default = |flag: Option<&'p Flag>| gets(flag, flag.map_or(0, |flag| usize::from(flag.default.0)));
        let moved = |from: usize, to: usize| match (gets(old, from), gets(new, to)) {
            (None, None) => false,
            (None, to) => to != default(new),
            (from, None) => from != default(old),
            (from, to) => from != to,
        };
        let cells = (0..outcomes(old)).flat_map(|from| (0..width).map(move |to| (from, to)));
        Self { key, old, new, moves: cells.map(|(from, to)| moved(from, to)).collect(), width }
    }

    fn moves(&self, spec: &RequestSpec, cells: &[Cell], ids: &Identities) -> Moves {
        let name = |flag: Option<&Flag>, place: usize, other: Option<&Flag>, there: usize| {
            let Some(variant) = flag.and_then(|flag| flag.variants.get(place)) else { return NOTHING.to_owned() };
            let twin = other.and_then(|flag| flag.variants.get(there)).filter(|twin| twin.name == variant.name);
            if twin.is_some() { format!("{} ({})", variant.name, variant.value) } else { variant.name.to_string() }
        };
        let mut moves = Moves { request: spec.place(), decided: false, users: 0, moved: 0, ways: Vec::new() };
        let nothing = cells.len().saturating_sub(1);
        for (place, (cell, moved)) in cells.iter().zip(&self.moves).enumerate() {
            moves.users += cell.users;
            moves.decided |= cell.users > 0 && place != nothing;
            if !moved || cell.users == 0 {
                continue;
            }
            let from = place.checked_div(self.width).unwrap_or(0);
            let to = place.checked_rem(self.width).unwrap_or(0);
            moves.moved += cell.users;
            moves.ways.push(Way {
                from: name(self.old, from, self.new, to),
                to: name(self.new, to, self.old, from),
                users: cell.users,
                sample: cell.sample.iter().map(|place| ids.id(*place).into_owned()).collect(),
            });
        }
        moves.ways.sort_by(|one, two| {
            two.users.cmp(&one.users).then_with(|| (&one.from, &one.to).cmp(&(&two.from, &two.to)))
        });
        moves
    }
}

/// Decides for all identities on both sides.
fn ask_all(
    counters: &[Counter<'_>],
    (old, new): (&Plan, &Plan),
    spec: &RequestSpec,
    survey: &Survey,
    progress: &dyn Progress,
) -> Vec<Vec<Cell>> {
    let sender = Sender::new(spec, &[old, new]);
    let places = |plan: &Plan| -> Vec<Option<usize>> {
        plan.flags().iter().map(|flag| counters.iter().position(|counter| counter.key == flag.key())).collect()
    };
    let (old_places, new_places) = (places(old), places(new));
    let empty: Vec<Vec<Cell>> = counters.iter().map(|counter| vec![Cell::default(); counter.moves.len()]).collect();
    let chunks = survey.ids.len().div_ceil(CHUNK);
    let one_chunk = |chunk: usize| {
        let (mut sender, mut cells) = (sender.clone(), empty.clone());
        let first = chunk * CHUNK;
        let last = first.saturating_add(CHUNK).min(survey.ids.len());
        let (mut from, mut to) = (vec![0; counters.len()], vec![0; counters.len()]);
        for place in first..last {
            let spec = sender.send_as(&survey.ids.id(place));
            let nothing = |flag: Option<&Flag>| flag.map_or(0, |flag| flag.variants.len());
            for ((from, to), counter) in from.iter_mut().zip(&mut to).zip(counters) {
                (*from, *to) = (nothing(counter.old), nothing(counter.new));
            }
            outcomes(old, &old_places, spec, survey.now, &mut from);
            outcomes(new, &new_places, spec, survey.now, &mut to);
            for (((from, to), counter), cells) in from.iter().zip(&to).zip(counters).zip(&mut cells) {
                let cell = from.saturating_mul(counter.width).saturating_add(*to);
                let moved = counter.moves.get(cell).copied().unwrap_or(false);
                if let Some(cell) = cells.get_mut(cell) {
                    cell.users += 1;
                    if moved && cell.sample.len() < SAMPLE {
                        cell.sample.push(place);
                    }
                }
            }
        }
        progress.advance(u64::try_from(last.saturating_sub(first)).unwrap_or(0));
        cells
    };
    let parts: Vec<Vec<Vec<Cell>>> = (0..chunks).into_par_iter().map(one_chunk).collect();
    let mut sum = empty;
    for part in parts {
        for (cell, more) in sum.iter_mut().flatten().zip(part.into_iter().flatten()) {
            cell.users += more.users;
            let room = SAMPLE.saturating_sub(cell.sample.len());
            cell.sample.extend(more.sample.into_iter().take(room));
        }
    }
    sum
}

/// Notes what each flag of a plan serves, at the place of its counter.
fn outcomes(plan: &Plan, places: &[Option<usize>], spec: &RequestSpec, now: Timestamp, served: &mut [usize]) {
    let request = spec.seen(plan.inputs());
    let decisions = decide(plan, &request, &Standing::NONE, now);
    let mut flags = plan.flags().iter().zip(places);
    // Both stand in the order of their keys.
    for decision in decisions.list() {
        let place = flags.find(|(flag, _)| std::ptr::eq(*flag, decision.flag())).and_then(|(_, place)| *place);
        if let Some(served) = place.and_then(|place| served.get_mut(place)) {
            *served = usize::from(decision.served().0);
        }
    }
}
