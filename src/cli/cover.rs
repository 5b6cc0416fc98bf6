//! Turns a config into requests of which each pair of variants of two flags has at least one, as far as there is any.
//!
//! Greedy: for the first pair that no request shows, ways are sought that lead there, with what shows most other pairs
//! beside it; then whatever turned out to be shown by others goes. What a request shows is what the engine decided.
//! The same at every run. Never claims that what was not found cannot be.

use std::collections::BTreeSet;

use super::ask::Question;
use super::load::Loaded;
use super::people::{Ids, Person};
use super::recipe::{Needs, Recipes, give, merge};
use super::screen::count;
use super::words;
use crate::config::Subject;
use crate::decide::decide;
use crate::plan::{Flag, Plan, Rule, Serve, VariantId};
use crate::standing::{Stand, Standing};
use crate::time::Timestamp;

/// How many ways to a variant are looked at, and how many that lead there are kept.
const TRIED: usize = 64;
const KEPT: usize = 6;

/// How many requests that fit are held against each other, and how many users may pass between them.
const FITS: usize = 16;
const BEHIND: usize = 256;

/// A flag and one of its variants, by their places.
type Cell = (usize, VariantId);

/// A request, and what it shows.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) question: Question,
    /// The flags that are decided, in order.
    pub(super) cells: Vec<Cell>,
}

/// What no request was found for.
#[derive(Debug)]
pub(super) struct Gap {
    pub(super) one: Cell,
    pub(super) other: Option<Cell>,
    pub(super) why: String,
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Cover {
    pub(super) rows: Vec<Row>,
    pub(super) gaps: Vec<Gap>,
    /// How many pairs are shown.
    pub(super) pairs: usize,
}

/// How many requests show each pair of cells.
struct Shown {
    /// The place of each flag's first cell.
    starts: Vec<usize>,
    size: usize,
    counts: Vec<u32>,
}

impl Shown {
    fn new(plan: &Plan) -> Self {
        let mut size: usize = 0;
        let mut starts = Vec::new();
        for flag in plan.flags() {
            starts.push(size);
            size = size.saturating_add(flag.variants.len());
        }
        Self { starts, size, counts: vec![0; size.saturating_mul(size)] }
    }

    fn place(&self, one: Cell, other: Cell) -> Option<usize> {
        let number = |(flag, variant): Cell| Some(self.starts.get(flag)?.saturating_add(usize::from(variant.0)));
        let (one, other) = (number(one)?, number(other)?);
        one.min(other).checked_mul(self.size)?.checked_add(one.max(other))
    }

    fn times(&self, one: Cell, other: Cell) -> u32 {
        self.place(one, other).and_then(|place| self.counts.get(place)).copied().unwrap_or_default()
    }

    /// How many pairs would be new.
    fn fresh(&self, cells: &[Cell]) -> usize {
        pairs(cells).filter(|(one, other)| self.times(*one, *other) == 0).count()
    }

    /// Counts a request, or takes it out.
    fn note(&mut self, row: &Row, change: fn(u32) -> u32) {
        for (one, other) in pairs(&row.cells) {
            if let Some(times) = self.place(one, other).and_then(|place| self.counts.get_mut(place)) {
                *times = change(*times);
            }
        }
    }
}

fn pairs(cells: &[Cell]) -> impl Iterator<Item = (Cell, Cell)> {
    let rest = |place: usize| cells.iter().skip(place.saturating_add(1));
    cells.iter().enumerate().flat_map(move |(place, one)| rest(place).map(move |other| (*one, *other)))
}

/// Looks for requests.
struct Finder<'l> {
    loaded: &'l Loaded,
    recipes: Recipes<'l>,
    now: Timestamp,
    users: u32,
    /// The hosts, paths and methods that are worth a try, each with the flags that take it.
    hosts: Vec<Spot>,
    paths: Vec<Spot>,
    methods: Vec<Spot>,
    /// The ways that lead to each variant, by flag and variant.
    ways: Vec<Vec<Vec<Needs>>>,
}

/// A part of a request, and whether each flag takes it.
struct Spot {
    value: Vec<u8>,
    takes: Vec<bool>,
}

/// Finds the requests.
pub(super) fn cover(loaded: &Loaded, now: Timestamp, users: u32) -> Cover {
    let mut finder = Finder::new(loaded, now, users);
    let mut cover = Cover::default();
    let mut shown = Shown::new(&loaded.plan);
    let mut reached: Vec<(Cell, Row)> = Vec::new();
    for (place, flag) in loaded.plan.flags().iter().enumerate() {
        for variant in (0_u8..).take(flag.variants.len()).map(VariantId) {
            match finder.reach(place, flag, variant) {
                Ok(row) => reached.push(((place, variant), row)),
                Err(why) => cover.gaps.push(Gap { one: (place, variant), other: None, why }),
            }
        }
    }
    let cells: Vec<Cell> = reached.iter().map(|(cell, _)| *cell).collect();
    for (one, other) in pairs(&cells).filter(|(one, other)| one.0 != other.0) {
        if shown.times(one, other) > 0 {
            continue;
        }
        match finder.pair(one, other, &cells, &shown) {
            Ok(row) => {
                shown.note(&row, |times| times.saturating_add(1));
                cover.rows.push(row);
            }
            Err(why) => cover.gaps.push(Gap { one, other: Some(other), why }),
        }
    }
    // Later requests may have shown what the first ones were made for.
    cover.rows.retain(|row| {
        let needed = pairs(&row.cells).any(|(one, other)| shown.times(one, other) < 2);
        if !needed {
            shown.note(row, |times| times.saturating_sub(1));
        }
        needed
    });
    // A variant that has no pair at all is still to be seen.
    for (cell, row) in reached {
        if !cover.rows.iter().any(|row| row.cells.contains(&cell)) {
            cover.rows.push(row);
        }
    }
    cover.pairs = shown.counts.iter().filter(|times| **times > 0).count();
    cover
}

impl<'l> Finder<'l> {
    fn new(loaded: &'l Loaded, now: Timestamp, users: u32) -> Self {
        let recipes = Recipes::new(&loaded.config);
        let flags = loaded.plan.flags();
        let spots = |subject: Subject, takes: fn(&Flag, &[u8]) -> bool| {
            let values = recipes.values(&subject).iter();
            values
                .map(|value| Spot {
                    value: value.clone(),
                    takes: flags.iter().map(|flag| takes(flag, value)).collect(),
                })
                .collect::<Vec<_>>()
        };
        let hosts = spots(Subject::Host, |flag, host| flag.matches.takes_host(host));
        let paths = spots(Subject::Path, |flag, path| flag.matches.takes_path(path));
        let methods = spots(Subject::Method, |flag, method| flag.matches.takes_method(method));
        let ways = flags.iter().map(|flag| vec![Vec::new(); flag.variants.len()]).collect();
        Self { loaded, recipes, now, users, hosts, paths, methods, ways }
    }

    /// A request that gets a variant; the ways that lead to it are kept.
    fn reach(&mut self, place: usize, flag: &Flag, variant: VariantId) -> Result<Row, String> {
        if flag.kill && variant != flag.baseline {
            return Err("the flag is killed".to_owned());
        }
        let candidates = self.candidates(place, flag, variant);
        if candidates.is_empty() {
            return Err("nothing serves it".to_owned());
        }
        let cell = (place, variant);
        let mut first = None;
        let mut kept = Vec::new();
        for needs in candidates {
            if let Some(row) = self.find(&needs, &[cell], &|_| 0) {
                first = first.or(Some(row));
                kept.push(needs);
            }
            if kept.len() >= KEPT {
                break;
            }
        }
        if let Some(ways) = self.ways.get_mut(place).and_then(|flag| flag.get_mut(usize::from(variant.0))) {
            *ways = kept;
        }
        first.ok_or_else(|| self.nobody("gets it"))
    }

    fn nobody(&self, what: &str) -> String {
        format!("none of {} {what}", count(usize::try_from(self.users).unwrap_or(usize::MAX), "user"))
    }

    /// The ways that may lead to a variant.
    fn candidates(&self, place: usize, flag: &Flag, variant: VariantId) -> Vec<Needs> {
        let Some((_, written)) = self.loaded.config.flags.get(place) else { return Vec::new() };
        let when = |rule: usize| written.rules.get(rule).and_then(|rule| rule.when.as_ref());
        let mut found: Vec<Needs> = Vec::new();
        if flag.kill {
            return vec![Needs::new()];
        }
        let ends: Vec<usize> =
            flag.rules.iter().enumerate().filter(|(_, rule)| self.ends(flag, rule)).map(|(at, _)| at).collect();
        // Every rule in front that would take the request for itself.
        let past = |ways: Vec<Needs>, before: usize| {
            ends.iter().filter(|rule| **rule < before).filter_map(|rule| when(*rule)).fold(ways, |ways, condition| {
                let others = self.recipes.ways(condition, false);
                let both = ways.iter().flat_map(|way| others.iter().filter_map(move |other| merge(way, other).ok()));
                both.take(TRIED).collect()
            })
        };
        let mut lead = |ways: Vec<Needs>, before: usize| {
            let clear = past(ways.clone(), before);
            for needs in ways.into_iter().chain(clear) {
                if found.len() < TRIED && !found.contains(&needs) {
                    found.push(needs);
                }
            }
        };
        for (at, rule) in flag.rules.iter().enumerate().filter(|(_, rule)| serves(rule, variant)) {
            lead(when(at).map_or_else(|| vec![Needs::new()], |when| self.recipes.ways(when, true)), at);
        }
        if variant == flag.default {
            lead(vec![Needs::new()], flag.rules.len());
        }
        found
    }

    /// Whether a rule takes everybody whom its condition is true for.
    fn ends(&self, flag: &Flag, rule: &Rule) -> bool {
        rule.share(self.now, &Stand::default(), flag.baseline) == crate::share::Ppm::FULL
    }

    /// A request that shows two variants, and as much beside them as can be had.
    fn pair(&self, one: Cell, other: Cell, cells: &[Cell], shown: &Shown) -> Result<Row, String> {
        let score = |cells: &[Cell]| shown.fresh(cells);
        let mut tried: BTreeSet<Needs> = BTreeSet::new();
        let mut clash = None;
        let mut apart = true;
        for way in self.ways(one) {
            for with in self.ways(other) {
                let needs = match merge(way, with) {
                    Ok(needs) => needs,
                    Err(subject) => {
                        clash = Some(subject);
                        continue;
                    }
                };
                if self.place(&needs, &[one, other]).is_none() {
                    continue;
                }
                apart = false;
                if !tried.insert(needs.clone()) {
                    continue;
                }
                let Some(plain) = self.find(&needs, &[one, other], &score) else { continue };
                let more = self.extend(&needs, one, other, cells, shown);
                let rich = (more != needs).then(|| self.find(&more, &[one, other], &score)).flatten();
                let better = rich.filter(|rich| score(&rich.cells) > score(&plain.cells));
                return Ok(better.unwrap_or(plain));
            }
        }
        Err(match clash {
            _ if !tried.is_empty() => self.nobody("gets both"),
            Some(subject) => format!("they need different values of {}", words::subject(subject)),
            None if apart => "no request is for both flags".to_owned(),
            None => self.nobody("gets both"),
        })
    }

    fn ways(&self, (flag, variant): Cell) -> &[Needs] {
        let ways = self.ways.get(flag).and_then(|flag| flag.get(usize::from(variant.0)));
        ways.map_or(&[], Vec::as_slice)
    }

    /// More that a request may have, so that it shows more pairs that are not shown yet.
    fn extend(&self, needs: &Needs, one: Cell, other: Cell, cells: &[Cell], shown: &Shown) -> Needs {
        let mut needs = needs.clone();
        let mut chosen = vec![one, other];
        for flag in 0..self.loaded.plan.flags().len() {
            if flag == one.0 || flag == other.0 {
                continue;
            }
            let gain = |cell: &Cell| chosen.iter().filter(|known| shown.times(**known, *cell) == 0).count();
            let mut best: Vec<(usize, Cell)> =
                cells.iter().filter(|cell| cell.0 == flag).map(|cell| (gain(cell), *cell)).collect();
            // The first of equals.
            best.sort_by_key(|(gain, _)| usize::MAX.saturating_sub(*gain));
            let merged = best.iter().filter(|(gain, _)| *gain > 0).find_map(|(_, cell)| {
                let both = self.ways(*cell).iter().filter_map(|way| merge(&needs, way).ok());
                let mut both = both.filter(|both| self.place(both, &[one, other]).is_some());
                both.next().map(|both| (*cell, both))
            });
            if let Some((cell, both)) = merged {
                needs = both;
                chosen.push(cell);
            }
        }
        needs
    }

    /// A host, a path and a method that all these flags take, and as many others as can be.
    fn place(&self, needs: &Needs, must: &[Cell]) -> Option<[&[u8]; 3]> {
        let mut taken = vec![true; self.loaded.plan.flags().len()];
        let mut pick = |subject: &Subject, spots: &'_ [Spot]| -> Option<usize> {
            let due = needs.get(subject).and_then(Option::as_deref);
            let fits = |spot: &&(usize, &Spot)| {
                let takes = |flag: usize| spot.1.takes.get(flag).copied().unwrap_or_default();
                due.is_none_or(|due| due == spot.1.value) && must.iter().all(|(flag, _)| takes(*flag))
            };
            let many = |spot: &Spot| taken.iter().zip(&spot.takes).filter(|(known, takes)| **known && **takes).count();
            let all: Vec<(usize, &Spot)> = spots.iter().enumerate().collect();
            // The first of equals.
            let (at, spot) =
                all.iter().filter(fits).max_by_key(|(at, spot)| (many(spot), usize::MAX.saturating_sub(*at)))?;
            for (known, takes) in taken.iter_mut().zip(&spot.takes) {
                *known &= takes;
            }
            Some(*at)
        };
        let host = pick(&Subject::Host, &self.hosts)?;
        let path = pick(&Subject::Path, &self.paths)?;
        let method = pick(&Subject::Method, &self.methods)?;
        Some([&self.hosts.get(host)?.value, &self.paths.get(path)?.value, &self.methods.get(method)?.value])
    }

    /// The request with these needs that shows these variants, and of several the one with the best score.
    fn find(&self, needs: &Needs, want: &[Cell], score: &dyn Fn(&[Cell]) -> usize) -> Option<Row> {
        let [host, path, method] = self.place(needs, want)?;
        let mut base = Question::new("GET", "", "/");
        base.replace(":authority", host.to_vec());
        base.replace(":path", path.to_vec());
        base.replace(":method", method.to_vec());
        give(&mut base, needs);
        let mut best: Option<(usize, Row)> = None;
        let shows = |question: &Question| {
            let (cells, drew) = self.decided(question);
            let hit = want.iter().all(|cell| cells.contains(cell));
            let can = want.iter().all(|cell| cells.contains(cell) || drew.contains(&cell.0));
            (cells, hit, can)
        };
        let fixed = needs.iter().find(|(subject, _)| self.recipes.is_identity(subject)).map(|(_, value)| value);
        let ids = match fixed {
            Some(Some(id)) => Ids::Listed([String::from_utf8_lossy(id).into()].into()),
            Some(None) => Ids::Sampled(0),
            None => Ids::Sampled(self.users),
        };
        let mut person = Person::new(&base, &[&self.loaded.plan]);
        let (mut fits, mut last) = (0_usize, 0_usize);
        for place in 0..ids.len() {
            let question = person.asks(&ids.id(place));
            let (cells, hit, can) = shows(question);
            if hit {
                let new = score(&cells);
                if best.as_ref().is_none_or(|(known, _)| new > *known) {
                    best = Some((new, Row { question: question.clone(), cells }));
                    last = place;
                }
                fits = fits.saturating_add(1);
            }
            // Where nothing is drawn, everybody gets the same.
            let done = !can || fits >= FITS || fits > 0 && place.saturating_sub(last) > BEHIND;
            if done {
                break;
            }
        }
        if best.is_none() && !matches!(fixed, Some(Some(_))) {
            let (cells, hit, _) = shows(&base);
            if hit {
                best = Some((0, Row { question: base, cells }));
            }
        }
        best.map(|(_, row)| row)
    }

    /// What is decided, and the flags for which there was a draw.
    fn decided(&self, question: &Question) -> (Vec<Cell>, Vec<usize>) {
        let plan = &self.loaded.plan;
        let request = question.seen(plan.inputs());
        let decisions = decide(plan, &request, &Standing::NONE, self.now);
        let mut cells = Vec::with_capacity(decisions.list().len());
        let mut drew = Vec::new();
        let mut flags = plan.flags().iter().enumerate();
        for decision in decisions.list() {
            let Some((place, _)) = flags.find(|(_, flag)| std::ptr::eq(*flag, decision.flag())) else { continue };
            cells.push((place, decision.served()));
            if decision.exposure().is_some() {
                drew.push(place);
            }
        }
        (cells, drew)
    }
}

/// Whether a rule may serve a variant.
fn serves(rule: &Rule, variant: VariantId) -> bool {
    match &rule.serve {
        Serve::One(only) => *only == variant,
        Serve::Split { bounds, .. } => bounds.iter().any(|(_, part)| *part == variant),
    }
}
