//! Turns the ramps of a config and identities into a course: how many get which variant from when on.
//!
//! Between two steps nothing changes, so that each ramp is asked at its own steps and at no other time: the course is
//! exact, and as fine as the config. Never asks about a flag without a ramp.

use indicatif::ProgressBar;
use rayon::iter::{IntoParallelIterator, ParallelIterator};

use super::tally::{CHUNK, chunk};
use crate::cli::people::{Ids, Person};
use crate::config::{Config, Exposure};
use crate::decide::decide;
use crate::plan::{Flag, Plan};
use crate::problem::Problems;
use crate::standing::Standing;
use crate::time::{Span, Timestamp};

/// What becomes of all ramps.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Course {
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
    pub(super) users: u64,
    pub(super) ramps: Vec<Ramp>,
}

/// What becomes of one flag.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ramp {
    pub(super) flag: String,
    pub(super) variants: Vec<String>,
    /// The place of the baseline among the variants.
    pub(super) baseline: usize,
    /// From the beginning, and from each step on; ascending, never empty.
    pub(super) moments: Vec<Moment>,
}

/// What holds from a time on.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Moment {
    pub(super) at: Timestamp,
    /// By variant: how many get it.
    pub(super) counts: Vec<u64>,
}

impl Ramp {
    /// How many get a variant at a time.
    pub(super) fn count(&self, variant: usize, at: Timestamp) -> u64 {
        let begun = self.moments.partition_point(|moment| moment.at <= at).max(1);
        let moment = begun.checked_sub(1).and_then(|last| self.moments.get(last));
        moment.and_then(|moment| moment.counts.get(variant)).copied().unwrap_or_default()
    }

    /// The variants that anybody gets at some time, and that are not the baseline, by their places.
    pub(super) fn shown(&self) -> impl Iterator<Item = (usize, &str)> {
        let seen = |variant: usize| self.moments.iter().any(|one| one.counts.get(variant).is_some_and(|n| *n > 0));
        let variants = self.variants.iter().enumerate().map(|(place, name)| (place, name.as_str()));
        variants.filter(move |(place, _)| *place != self.baseline && seen(*place))
    }
}

/// A flag alone, and the times at which to ask about it.
struct Solo {
    plan: Plan,
    times: Vec<Timestamp>,
}

/// The ramps that these requests can meet, each in a plan of its own: what one flag does hangs on no other.
#[derive(Default)]
pub(super) struct Ramps(Vec<Solo>);

impl Ramps {
    /// Those of a config that decide in `plan`.
    pub(super) fn new(mut config: Config, from: Timestamp, over: Span) -> Self {
        let to = end(from, over);
        let mut solos = Vec::new();
        for flag in std::mem::take(&mut config.flags) {
            let exposures = flag.1.rules.iter().map(|rule| &rule.exposure);
            let steps = exposures.filter_map(|exposure| match exposure {
                Exposure::Steps(steps) => Some(steps.iter().map(|step| step.at)),
                Exposure::Fixed(_) => None,
            });
            let mut steps = steps.peekable();
            if steps.peek().is_none() {
                continue;
            }
            let mut times: Vec<Timestamp> =
                steps.flatten().filter(|at| from < *at && *at <= to).chain([from]).collect();
            times.sort_unstable();
            times.dedup();
            config.flags = vec![flag];
            // The whole config has compiled, and so does each part of it.
            solos.extend(Plan::compile(&config, &mut Problems::default()).ready().map(|plan| Solo { plan, times }));
        }
        Self(solos)
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many steps of a progress bar it takes to ask for so many.
    pub(super) fn work(&self, ids: &Ids) -> u64 {
        if self.is_empty() { 0 } else { u64::try_from(ids.len()).unwrap_or(u64::MAX) }
    }

    /// Asks for everybody, on all threads.
    pub(super) fn course(&self, from: Timestamp, over: Span, person: &Person, ids: &Ids, bar: &ProgressBar) -> Course {
        let none = || -> Vec<Ramp> { self.0.iter().filter_map(Solo::ramp).collect() };
        let chunks = if self.is_empty() { 0 } else { ids.len().div_ceil(CHUNK) };
        let work = (0..chunks).into_par_iter().fold(
            || (none(), person.clone()),
            |(mut ramps, mut person), number| {
                let places = chunk(number, ids.len());
                let asked = u64::try_from(places.len()).unwrap_or(u64::MAX);
                for place in places {
                    let question = person.asks(&ids.id(place));
                    for (solo, ramp) in self.0.iter().zip(&mut ramps) {
                        let request = question.seen(solo.plan.inputs());
                        for moment in &mut ramp.moments {
                            let decisions = decide(&solo.plan, &request, &Standing::NONE, moment.at);
                            let served = decisions.list().first().map(|decision| usize::from(decision.served().0));
                            if let Some(count) = served.and_then(|served| moment.counts.get_mut(served)) {
                                *count = count.saturating_add(1);
                            }
                        }
                    }
                }
                bar.inc(asked);
                (ramps, person)
            },
        );
        let mut ramps = work.map(|(ramps, _)| ramps).reduce(none, plus);
        // What does not match the request is not decided.
        ramps.retain(|ramp| ramp.moments.iter().flat_map(|moment| &moment.counts).any(|count| *count > 0));
        let users = u64::try_from(ids.len()).unwrap_or(u64::MAX);
        Course { from, to: end(from, over), users, ramps }
    }
}

impl Solo {
    fn ramp(&self) -> Option<Ramp> {
        let flag: &Flag = self.plan.flags().first()?;
        let moment = |at: &Timestamp| Moment { at: *at, counts: vec![0; flag.variants.len()] };
        Some(Ramp {
            flag: flag.key().to_string(),
            variants: flag.variants.iter().map(|variant| variant.name().to_string()).collect(),
            baseline: usize::from(flag.baseline.0),
            moments: self.times.iter().map(moment).collect(),
        })
    }
}

fn plus(mut ramps: Vec<Ramp>, more: Vec<Ramp>) -> Vec<Ramp> {
    let counts = |ramps: Vec<Ramp>| ramps.into_iter().flat_map(|ramp| ramp.moments).flat_map(|moment| moment.counts);
    let known = ramps.iter_mut().flat_map(|ramp| &mut ramp.moments).flat_map(|moment| &mut moment.counts);
    for (count, more) in known.zip(counts(more)) {
        *count = count.saturating_add(more);
    }
    ramps
}

fn end(from: Timestamp, over: Span) -> Timestamp {
    Timestamp::from_millis(from.millis().saturating_add_unsigned(over.millis()))
}
