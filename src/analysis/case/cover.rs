//! Finds requests that show each pair of variants of two flags at least once, as far as there are any.
//!
//! Greedy: for the first pair that no request shows yet, it looks for a request that shows it and as many other new
//! pairs as possible; requests that turn out to be unnecessary are dropped at the end. What a request shows is what
//! the engine decided. The result is the same at every run. Not found does not mean impossible.

use std::collections::BTreeSet;

use super::recipe::{Needs, Recipes, give, in_turn, is_sendable, merge};
use crate::request::{Identities, RequestSpec, Sender};
use crate::source::Loaded;
use crate::words;
use crate::words::number::count;
use tidegate_engine::config::Subject;
use tidegate_engine::decide::decide;
use tidegate_engine::decide::standing::{FlagStanding, Standing};
use tidegate_engine::plan::{Flag, Plan, Rule, Serve, VariantId};
use tidegate_engine::value::share::Ppm;
use tidegate_engine::value::time::Timestamp;

/// How many ways to a variant are looked at, and how many that lead there are kept.
const TRIED: usize = 64;
const KEPT: usize = 8;

/// How many fitting requests are compared, and after how many further users the search ends.
const FITS: usize = 16;
const BEHIND: usize = 256;

/// A flag and one of its variants, by their places.
type Cell = (usize, VariantId);

/// A request, and what it shows.
#[derive(Clone, Debug)]
pub struct Row {
    pub spec: RequestSpec,
    /// The flags that are decided, in order.
    pub cells: Vec<Cell>,
}

/// What no request was found for.
#[derive(Debug)]
pub struct Gap {
    pub one: Cell,
    pub other: Option<Cell>,
    pub why: String,
}

#[derive(Debug, Default)]
pub struct Cover {
    pub rows: Vec<Row>,
    pub gaps: Vec<Gap>,
    pub pairs: usize,
}

/// What became of a search.
enum Found {
    Row(Row),
    /// There is a draw, and no user was found who gets it.
    Nobody,
    /// No draw decides.
    Nothing,
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
            size += flag.variants.len();
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
    let rest = |place: usize| cells.iter().skip(place + 1);
    cells.iter().enumerate().flat_map(move |(place, one)| rest(place).map(move |other| (*one, *other)))
}

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

pub fn cover(loaded: &Loaded, now: Timestamp, users: u32) -> Cover {
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
                shown.note(&row, |times| times + 1);
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
    // What was not found by looking may have been found beside what was looked for.
    cover.gaps.retain(|gap| gap.other.is_none_or(|other| shown.times(gap.one, other) == 0));
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
        let mut candidates = self.candidates(place, flag, variant);
        if candidates.is_empty() {
            return Err("no rule serves it".to_owned());
        }
        // What anybody can send is tried before what needs a token or a certificate.
        candidates.sort_by_key(|needs| !is_sendable(needs));
        let cell = (place, variant);
        let mut first = None;
        let mut kept = Vec::new();
        let mut drawn = false;
        for needs in candidates {
            match self.find(&needs, &[cell], &|_| 0) {
                Found::Row(row) => {
                    first = first.or(Some(row));
                    kept.push(needs);
                }
                Found::Nobody => drawn = true,
                Found::Nothing => {}
            }
            if kept.len() >= KEPT {
                break;
            }
        }
        if let Some(ways) = self.ways.get_mut(place).and_then(|flag| flag.get_mut(usize::from(variant.0))) {
            *ways = kept;
        }
        first.ok_or_else(|| self.nothing(drawn, "gets it"))
    }

    fn nothing(&self, drawn: bool, what: &str) -> String {
        let users = count(usize::try_from(self.users).unwrap_or(usize::MAX), "user");
        if drawn { format!("none of {users} {what}") } else { format!("no request was found that {what}") }
    }

    /// The ways that may lead to a variant.
    fn candidates(&self, place: usize, flag: &Flag, variant: VariantId) -> Vec<Needs> {
        let Some((_, written)) = self.loaded.config.flags.get(place) else { return Vec::new() };
        let when = |rule: usize| written.rules.get(rule).and_then(|rule| rule.when.as_ref());
        if flag.kill {
            return vec![Needs::new()];
        }
        let share = |rule: &Rule| rule.share(self.now, &FlagStanding::default(), flag.baseline);
        // Past every rule in front that would take the request, or its share of the users, for itself.
        let past = |ways: &[Needs], before: usize, from: Ppm| {
            let rules = flag.rules.iter().enumerate().take(before).filter(|(_, rule)| share(rule) >= from);
            rules.filter_map(|(at, _)| when(at)).fold(ways.to_vec(), |ways, condition| {
                let others = self.recipes.ways(condition, false);
                let both = ways.iter().flat_map(|way| others.iter().filter_map(move |other| merge(way, other).ok()));
                let both: Vec<Needs> = both.take(TRIED).collect();
                if both.is_empty() { ways } else { both }
            })
        };
        let tiers = |ways: Vec<Needs>, before: usize| {
            let [whole, any] = [Ppm::FULL, Ppm::of(1)].map(|from| past(&ways, before, from));
            [ways, whole, any]
        };
        let mut groups: Vec<Vec<Needs>> = Vec::new();
        for (at, _) in
            flag.rules.iter().enumerate().filter(|(_, rule)| serves(rule, variant) && share(rule) > Ppm::NONE)
        {
            let ways = when(at).map_or_else(|| vec![Needs::new()], |when| self.recipes.ways(when, true));
            groups.extend(tiers(ways, at));
        }
        if variant == flag.default {
            groups.extend(tiers(vec![Needs::new()], flag.rules.len()));
        }
        // The first way of each group before the second of any: unlike ways are worth more than many.
        let mut found: Vec<Needs> = Vec::new();
        for needs in in_turn(&groups) {
            if found.len() < TRIED && !found.contains(needs) {
                found.push(needs.clone());
            }
        }
        found
    }

    /// A request that shows two variants, and as much beside them as can be had.
    fn pair(&self, one: Cell, other: Cell, cells: &[Cell], shown: &Shown) -> Result<Row, String> {
        let score = |cells: &[Cell]| shown.fresh(cells);
        let mut tried: BTreeSet<Needs> = BTreeSet::new();
        let mut clash = None;
        let (mut apart, mut drawn) = (true, false);
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
                let plain = match self.find(&needs, &[one, other], &score) {
                    Found::Row(row) => row,
                    Found::Nobody => {
                        drawn = true;
                        continue;
                    }
                    Found::Nothing => continue,
                };
                let more = self.extend(&needs, one, other, cells, shown);
                if more != needs
                    && let Found::Row(rich) = self.find(&more, &[one, other], &score)
                    && score(&rich.cells) > score(&plain.cells)
                {
                    return Ok(rich);
                }
                return Ok(plain);
            }
        }
        Err(match clash {
            Some(subject) if tried.is_empty() => format!("they need different values of {}", words::subject(subject)),
            None if apart => "no request matches both flags".to_owned(),
            Some(_) | None => self.nothing(drawn, "gets both"),
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
        let Some([host, path, method]) = self.place(&needs, &[one, other]) else { return needs };
        let (host, path, method) = (host.to_vec(), path.to_vec(), method.to_vec());
        for (flag, known) in self.loaded.plan.flags().iter().enumerate() {
            if flag == one.0 || flag == other.0 || !known.matches.takes(&method, &host, &path) {
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
        let mut open = vec![true; self.loaded.plan.flags().len()];
        let mut pick = |subject: &Subject, spots: &'_ [Spot]| -> Option<usize> {
            let due = needs.get(subject).and_then(Option::as_deref);
            let fits = |spot: &&(usize, &Spot)| {
                let takes = |flag: usize| spot.1.takes.get(flag).copied().unwrap_or_default();
                due.is_none_or(|due| due == spot.1.value) && must.iter().all(|(flag, _)| takes(*flag))
            };
            let many = |spot: &Spot| open.iter().zip(&spot.takes).filter(|(known, takes)| **known && **takes).count();
            let all: Vec<(usize, &Spot)> = spots.iter().enumerate().collect();
            // The first of equals.
            let (at, spot) =
                all.iter().filter(fits).max_by_key(|(at, spot)| (many(spot), usize::MAX.saturating_sub(*at)))?;
            for (known, takes) in open.iter_mut().zip(&spot.takes) {
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
    fn find(&self, needs: &Needs, want: &[Cell], score: &dyn Fn(&[Cell]) -> usize) -> Found {
        let Some([host, path, method]) = self.place(needs, want) else { return Found::Nothing };
        let mut base = RequestSpec::new("GET", "", "/");
        base.replace(":authority", host.to_vec());
        base.replace(":path", path.to_vec());
        base.replace(":method", method.to_vec());
        give(&mut base, needs);
        let mut best: Option<(usize, Row)> = None;
        let shows = |spec: &RequestSpec| {
            let (cells, drew) = self.decided(spec);
            let hit = want.iter().all(|cell| cells.contains(cell));
            let can = want.iter().all(|cell| cells.contains(cell) || drew.contains(&cell.0));
            (cells, hit, can)
        };
        let fixed = needs.iter().find(|(subject, _)| self.recipes.is_identity(subject)).map(|(_, value)| value);
        let ids = match fixed {
            Some(Some(id)) => Identities::Listed([String::from_utf8_lossy(id).into()].into()),
            Some(None) => Identities::Sampled(0),
            None => Identities::Sampled(self.users),
        };
        let mut sender = Sender::outside(&base, &[&self.loaded.plan]);
        let (mut fits, mut last, mut draws) = (0_usize, 0_usize, false);
        for place in 0..ids.len() {
            let spec = sender.send_as(&ids.id(place));
            let (cells, hit, can) = shows(spec);
            if hit {
                let new = score(&cells);
                if best.as_ref().is_none_or(|(known, _)| new > *known) {
                    best = Some((new, Row { spec: spec.clone(), cells }));
                    last = place;
                }
                fits += 1;
            }
            // Where nothing is drawn, everybody gets the same.
            draws |= can;
            let done = !can || fits >= FITS || fits > 0 && place.saturating_sub(last) > BEHIND;
            if done {
                break;
            }
        }
        if best.is_none() && !matches!(fixed, Some(Some(_))) {
            let (cells, hit, _) = shows(&base);
            if hit {
                best = Some((0, Row { spec: base, cells }));
            }
        }
        match best {
            Some((_, row)) => Found::Row(row),
            None if draws => Found::Nobody,
            None => Found::Nothing,
        }
    }

    /// What is decided, and the flags for which there was a draw.
    fn decided(&self, spec: &RequestSpec) -> (Vec<Cell>, Vec<usize>) {
        let plan = &self.loaded.plan;
        let request = spec.seen(plan.inputs());
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

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "a test that goes wrong stops")]
mod tests {
    use super::*;
    use crate::source::Document;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn condition() -> impl Strategy<Value = Value> {
        let test = prop_oneof![
            (0..2_u8, 0..2_u8)
                .prop_map(|(name, value)| json!({"header": format!("x-{name}"), "equals": value.to_string()})),
            (0..2_u8).prop_map(|name| json!({"header": format!("x-{name}"), "exists": true})),
            (0..2_u8).prop_map(|name| json!({"cookie": format!("c{name}"), "in": ["a", "b"]})),
            Just(json!({"path": {"startsWith": "/api"}})),
        ];
        test.prop_recursive(2, 4, 2, |inner| {
            prop_oneof![
                inner.clone().prop_map(|part| json!({"not": part})),
                prop::collection::vec(inner.clone(), 1..3).prop_map(|parts| json!({"all": parts})),
                prop::collection::vec(inner, 1..3).prop_map(|parts| json!({"any": parts})),
            ]
        })
    }

    fn flag() -> impl Strategy<Value = Value> {
        let variants = || prop::sample::select(vec!["a", "b", "c"]);
        let serve = prop_oneof![
            variants().prop_map(Value::from),
            Just(json!([{"variant": "b", "weight": 1}, {"variant": "c", "weight": 3}])),
        ];
        let percent = prop::sample::select(vec![0, 10, 40, 100]);
        let rule = (prop::option::of(condition()), percent, serve).prop_map(|(when, percent, serve)| {
            let mut rule = json!({"percent": percent, "serve": serve});
            if let Some(when) = when {
                rule["when"] = when;
            }
            rule
        });
        let matched = prop::sample::select(vec![json!({}), json!({"paths": ["/api"]}), json!({"paths": ["/shop"]})]);
        let salt = prop::sample::select(vec!["one", "two", "three"]);
        (prop::collection::vec(rule, 0..3), matched, variants(), any::<bool>(), salt).prop_map(
            |(rules, matched, default, aligned, salt)| {
                let mut flag = json!({"variants": ["a", "b", "c"], "baseline": "a", "default": default, "rules": rules, "match": matched});
                if aligned {
                    flag["salt"] = salt.into();
                }
                flag
            },
        )
    }

    fn loaded(flags: &[Value]) -> Loaded {
        let flags: serde_json::Map<String, Value> =
            flags.iter().enumerate().map(|(place, flag)| (format!("f{place}"), flag.clone())).collect();
        let config = json!({"version": 1, "identity": [{"header": "x-user"}], "flags": flags});
        let document = Document::only("config", &config.to_string()).unwrap();
        let mut problems = tidegate_engine::problem::Problems::default();
        let config = tidegate_engine::config::Config::from_bytes(&document.wire, &mut problems);
        let plan = Plan::compile(&config, &mut problems).ready().unwrap_or_else(|| panic!("{problems}"));
        Loaded { document, config, plan }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, rng_seed: proptest::test_runner::RngSeed::Fixed(7), ..ProptestConfig::default() })]

        #[test]
        fn each_pair_is_shown_or_told(flags in prop::collection::vec(flag(), 2..5)) {
            let loaded = loaded(&flags);
            let now = Timestamp::from_millis(0);
            let cover = cover(&loaded, now, 2_000);
            let finder = Finder::new(&loaded, now, 0);
            for row in &cover.rows {
                prop_assert_eq!(&finder.decided(&row.spec).0, &row.cells);
            }
            let missing = |cell: Cell| cover.gaps.iter().any(|gap| gap.one == cell && gap.other.is_none());
            let apart = |one: Cell, other: Cell| cover.gaps.iter().any(|gap| gap.one == one && gap.other == Some(other));
            let cells: Vec<Cell> = (0..flags.len()).flat_map(|flag| (0..3).map(move |variant| (flag, VariantId(variant)))).collect();
            for (one, other) in pairs(&cells).filter(|(one, other)| one.0 != other.0) {
                let shown = cover.rows.iter().any(|row| row.cells.contains(&one) && row.cells.contains(&other));
                let told = missing(one) || missing(other) || apart(one, other);
                prop_assert!(shown != told, "{one:?} {other:?}: shown {shown}, told {told}");
            }
            // Requests that nobody looked for show nothing that was told to be out of reach.
            for number in 0_usize..2_000 {
                let paths: [&str; 3] = ["/api", "/shop", "/"];
                let mut spec = RequestSpec::new("GET", "shop.example", paths[number % 3]);
                let mut header = |name: &str, value: &str| spec.headers.push((name.to_owned(), value.as_bytes().to_vec()));
                for (place, name) in ["x-0", "x-1"].into_iter().enumerate() {
                    match (number / 3 / 3_usize.pow(u32::try_from(place).unwrap())) % 3 {
                        2 => {}
                        value => header(name, &value.to_string()),
                    }
                }
                if number / 27 % 2 == 1 {
                    header("cookie", "c0=a; c1=b");
                }
                header("x-user", &format!("user-{number}"));
                for (one, other) in pairs(&finder.decided(&spec).0) {
                    prop_assert!(!missing(one) && !missing(other) && !apart(one, other), "{one:?} {other:?} by {spec:?}");
                }
            }
        }
    }
}
