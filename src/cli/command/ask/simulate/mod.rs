//! `tidegate simulate`: counts who gets what over many identities, now and while ramps go on.
//!
//! The evaluator of the proxy decides, with guards that are satisfied. Never decides anything itself.

mod chart;
mod picture;

use std::fs;

use serde_json::{Map, Value, json};

use crate::error::{CliError, Found};
use crate::input::files::{VARIABLE, one_or_usual};
use crate::input::load::load;
use crate::input::time::When;
use crate::input::{RequestArgs, SampleArgs};
use crate::terminal::style::{FAINT, MAIN, ODD, paint};
use crate::terminal::{Rows, Screen};
use tidegate_analysis::request::{Identities, Sender};
use tidegate_analysis::simulate::course::{Course, Ramp, Ramps};
use tidegate_analysis::simulate::figure::{Estimate, Pair, percent, rounded};
use tidegate_analysis::simulate::tally::{FlagTally, Tally};
use tidegate_analysis::source::Loaded;
use tidegate_analysis::words::number::thousands;
use tidegate_analysis::words::time::moment;
use tidegate_analysis::words::unmatched;
use tidegate_engine::plan::{Compiled, Plan};
use tidegate_engine::problem::Problems;
use tidegate_engine::value::time::{Span, Timestamp};

/// How many pairs of flags are shown to people.
const PAIRS: usize = 10;

/// Count who gets what: shares with their reasons, overlaps between flags, ramps over time
///
/// Each user sends the request that the options describe, with the user's identity in the first source of each
/// identity list. Guards are assumed to be satisfied: nothing is rolled back, and no step waits.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The config, or a manifest that contains it [default: tidegate.yaml]
    #[arg(value_name = "FILE", env = VARIABLE, hide_env_values = true)]
    file: Option<String>,
    /// Only these flags
    #[arg(long, value_name = "KEY")]
    flag: Vec<String>,
    #[command(flatten)]
    when: When,
    /// Follow the ramps for this long, such as 36h or 14d
    #[arg(long, value_name = "TIME", value_parser = over)]
    over: Option<Span>,
    /// Also draw the ramps into this file, as SVG
    #[arg(long, value_name = "FILE", requires = "over")]
    svg: Option<String>,
    #[command(flatten)]
    sample: SampleArgs,
    #[command(flatten)]
    request: RequestArgs,
}

fn over(text: &str) -> Result<Span, String> {
    let span = Span::parse(text).map_err(|wrong| wrong.to_string())?;
    if span.millis() < 60_000 { Err("must be at least a minute".to_owned()) } else { Ok(span) }
}

pub(crate) fn run(args: &Args, screen: &mut Screen) -> Result<Found, CliError> {
    let file = one_or_usual(args.file.as_ref())?;
    let loaded = load(&file, screen)?;
    loaded.knows(&file, &args.flag)?;
    let spec = args.request.spec()?;
    let ids = args.sample.ids()?;
    let at = args.when.time();
    let Loaded { mut config, mut plan, .. } = loaded;
    if !args.flag.is_empty() {
        // What one flag does hangs on no other, and what is not shown need not be asked.
        config.flags.retain(|(key, _)| args.flag.iter().any(|wanted| wanted == key.as_str()));
        if let Compiled::Ready(fewer) = Plan::compile(&config, &mut Problems::default()) {
            plan = fewer;
        }
    }
    let sender = Sender::new(&spec, &[&plan]);
    let ramps = args.over.map(|over| (over, Ramps::new(config, at, over)));
    let steps = u64::try_from(ids.len()).unwrap_or(u64::MAX);
    let more = if ramps.as_ref().is_some_and(|(_, ramps)| !ramps.is_empty()) { steps } else { 0 };
    let bar = screen.progress(steps + more, "asking");
    let tally = Tally::of(&plan, &sender, &ids, at, &bar);
    let course = ramps.map(|(over, ramps)| ramps.course(at, over, &sender, &ids, &bar));
    bar.finish();

    let mut first = sender.clone();
    let request = first.send_as(&ids.id(0)).seen(plan.inputs());
    let passed = plan.flags().iter().zip(tally.flags()).filter(|(_, tally)| tally.decided() == 0);
    let passed = passed.map(|(flag, _)| (flag.key().to_string(), unmatched(flag, &request))).collect();
    let simulated = Simulated { plan: &plan, ids: &ids, at, tally, passed, course };
    if let (Some(file), Some(course)) = (&args.svg, &simulated.course) {
        if course.ramps.is_empty() {
            return Err(CliError::Usage(format!("--svg {file}: no decided flag has a ramp")));
        }
        let picture = picture::svg(course)?;
        fs::write(file, picture).map_err(|error| format!("cannot write {file}: {error}"))?;
    }
    if screen.is_json() {
        screen.json(&simulated.json())?;
    } else {
        simulated.show(screen)?;
    }
    Ok(Found::Nothing)
}

struct Simulated<'s> {
    plan: &'s Plan,
    ids: &'s Identities,
    at: Timestamp,
    tally: Tally,
    /// The flags that do not match the request, and which part of it does not.
    passed: Vec<(String, &'static str)>,
    course: Option<Course>,
}

impl Simulated<'_> {
    fn users(&self) -> u64 {
        u64::try_from(self.ids.len()).unwrap_or(u64::MAX)
    }

    /// Pairs of flags of which both give something new to somebody; the most telling first.
    fn pairs(&self) -> Vec<(&str, &str, Pair)> {
        let flag = |place: usize| {
            let flag = self.plan.flags().get(place)?;
            let moved = self.tally.flags().get(place).map(FlagTally::moved).filter(|moved| *moved > 0)?;
            Some((flag.key().as_str(), moved))
        };
        let pairs = self.tally.pairs().filter_map(|((one, two), both)| {
            let ((one, moved_one), (two, moved_two)) = (flag(one)?, flag(two)?);
            Some((one, two, Pair::new(moved_one, moved_two, both, self.users())))
        });
        let mut pairs: Vec<_> = pairs.collect();
        let number = pairs.len();
        // Sorted by a stable sort: pairs that are alike stay in the order of their keys.
        pairs.sort_by_key(|(_, _, pair)| std::cmp::Reverse((pair.telling, pair.is_odd(number), pair.both)));
        pairs
    }

    fn show(&self, screen: &mut Screen) -> Result<(), CliError> {
        let users = thousands(self.users());
        let who = match self.ids {
            Identities::Sampled(_) => format!("user-0 to user-{}", self.users().saturating_sub(1)),
            Identities::Listed(_) => "as listed".to_owned(),
        };
        screen.line(format!("{users} users ({who}) at {}", moment(self.at)))?;
        screen.line("")?;
        let mut rows = Rows::new(&["flag", "variant", ">users", ">share", ">95% from", ">to", "why"]);
        for (flag, tally) in self.plan.flags().iter().zip(self.tally.flags()).filter(|(_, one)| one.decided() > 0) {
            let mut key = flag.key().as_str();
            for (variant, (count, reasons)) in flag.variants.iter().zip(tally.variants()) {
                let Estimate { part, low, high } = Estimate::new(count, self.users());
                let alone = reasons.len() == 1;
                let why = reasons.into_iter().map(|(reason, count)| {
                    if alone { reason.code().to_owned() } else { format!("{} {}", thousands(count), reason.code()) }
                });
                rows.add([
                    paint(MAIN, key),
                    variant.name().to_string(),
                    thousands(count),
                    percent(part),
                    percent(low),
                    percent(high),
                    why.collect::<Vec<_>>().join(", "),
                ]);
                key = "";
            }
        }
        if self.passed.len() < self.plan.flags().len() {
            screen.table(&rows)?;
        }
        for (key, part) in &self.passed {
            let why = format!("not decided: the {part} does not match");
            screen.line(format!("{}  {}", paint(MAIN, key), paint(FAINT, why)))?;
        }
        self.show_pairs(screen)?;
        match &self.course {
            Some(course) => show_course(course, screen),
            None => Ok(()),
        }
    }

    fn show_pairs(&self, screen: &mut Screen) -> Result<(), CliError> {
        let pairs = self.pairs();
        let telling = pairs.iter().filter(|(_, _, pair)| pair.telling).count();
        if telling == 0 {
            return Ok(());
        }
        screen.line("")?;
        let mut rows = Rows::new(&["off the baseline in both", "", ">users", ">by chance", ">", ""]);
        for (one, two, pair) in pairs.iter().take(telling.min(PAIRS)) {
            let odd = if pair.is_odd(pairs.len()) {
                paint(ODD, "not by chance: do they share a salt or an audience?")
            } else {
                String::new()
            };
            rows.add([
                paint(MAIN, one),
                paint(MAIN, two),
                thousands(pair.both),
                format!("{:.0}", pair.expected),
                pair.words(),
                odd,
            ]);
        }
        screen.table(&rows)?;
        if let Some(more) = telling.checked_sub(PAIRS).filter(|more| *more > 0) {
            let more = u64::try_from(more).unwrap_or(u64::MAX);
            screen.line(paint(FAINT, format!("and {} smaller ones, all in --output json", thousands(more))))?;
        }
        Ok(())
    }

    fn json(&self) -> Value {
        let decided = self.plan.flags().iter().zip(self.tally.flags()).filter(|(_, tally)| tally.decided() > 0);
        let flags = decided.map(|(flag, tally)| {
            let variants = flag.variants.iter().zip(tally.variants()).map(|(variant, (count, reasons))| {
                let reasons: Map<String, Value> =
                    reasons.into_iter().map(|(reason, count)| (reason.code().to_owned(), count.into())).collect();
                counted(variant.name().as_str(), count, self.users(), Some(reasons))
            });
            json!({
                "flag": flag.key().as_str(),
                "baseline": flag.variant(flag.baseline).map(|variant| variant.name().as_str()),
                "variants": variants.collect::<Vec<_>>(),
            })
        });
        let passed = self.passed.iter().map(|(key, part)| json!({"flag": key, "because": part}));
        let pairs = self.pairs();
        let pairs = pairs.iter().map(|(one, two, pair)| {
            json!({
                "flags": [one, two],
                "users": pair.both,
                "byChance": rounded(pair.expected),
                "deviations": rounded(pair.off),
                "odd": pair.is_odd(pairs.len()),
            })
        });
        json!({
            "at": moment(self.at),
            "revision": self.plan.revision().map(ToString::to_string),
            "users": self.users(),
            "flags": flags.collect::<Vec<_>>(),
            "notDecided": passed.collect::<Vec<_>>(),
            "overlaps": pairs.collect::<Vec<_>>(),
            "course": self.course.as_ref().map(course_json),
        })
    }
}

fn counted(variant: &str, count: u64, of: u64, reasons: Option<Map<String, Value>>) -> Value {
    let mut told = Estimate::new(count, of).json();
    if let Value::Object(told) = &mut told {
        told.insert("variant".to_owned(), variant.into());
        told.insert("users".to_owned(), count.into());
        if let Some(reasons) = reasons {
            told.insert("reasons".to_owned(), reasons.into());
        }
    }
    told
}

fn show_course(course: &Course, screen: &mut Screen) -> Result<(), CliError> {
    if course.ramps.is_empty() {
        screen.line("")?;
        screen.line(paint(FAINT, "no decided flag has a ramp: nothing changes over time"))?;
    }
    for ramp in &course.ramps {
        for (name, lines) in chart::draw(course, ramp) {
            screen.line("")?;
            screen.line(format!("{}  {name}", paint(MAIN, &ramp.flag)))?;
            for line in lines {
                screen.line(line)?;
            }
        }
        screen.line("")?;
        let names: Vec<String> = ramp.variants.iter().map(|name| format!(">{name}")).collect();
        let columns: Vec<&str> = ["from"].into_iter().chain(names.iter().map(String::as_str)).collect();
        let mut rows = Rows::new(&columns);
        for one in &ramp.moments {
            let shares = one.counts.iter().map(|count| percent(Estimate::new(*count, course.users).part));
            rows.add([moment(one.at)].into_iter().chain(shares));
        }
        screen.table(&rows)?;
    }
    Ok(())
}

fn course_json(course: &Course) -> Value {
    let ramps = course.ramps.iter().map(|ramp: &Ramp| {
        let moments = ramp.moments.iter().map(|one| {
            let variants = ramp.variants.iter().zip(&one.counts);
            let variants = variants.map(|(name, count)| counted(name, *count, course.users, None));
            json!({"at": moment(one.at), "variants": variants.collect::<Vec<_>>()})
        });
        json!({"flag": ramp.flag, "moments": moments.collect::<Vec<_>>()})
    });
    json!({"from": moment(course.from), "to": moment(course.to), "flags": ramps.collect::<Vec<_>>()})
}
