//! Turns ramps and identities into a course: how many users get which variant from which time on.
//!
//! Nothing changes between two steps, so each ramp is decided at its own steps only: the course is exact. Flags
//! without a ramp are not decided.

use std::collections::BTreeMap;

use rayon::iter::{IntoParallelIterator, ParallelIterator};

use super::tally::{CHUNK, chunk, placed};
use crate::request::progress::Progress;
use crate::request::{Identities, RequestSpec, Sender};
use tidegate_engine::config::{Config, Exposure, Flag};
use tidegate_engine::decide::decide;
use tidegate_engine::decide::standing::Standing;
use tidegate_engine::plan::Plan;
use tidegate_engine::problem::Problems;
use tidegate_engine::value::name::FlagKey;
use tidegate_engine::value::time::{Span, Timestamp};

/// What becomes of all ramps.
#[derive(Debug, PartialEq, Eq)]
pub struct Course {
    pub from: Timestamp,
    pub to: Timestamp,
    pub users: u64,
    pub ramps: Vec<Ramp>,
}

/// What becomes of one flag.
#[derive(Debug, PartialEq, Eq)]
pub struct Ramp {
    pub flag: String,
    pub variants: Vec<String>,
    /// The place of the baseline among the variants.
    pub baseline: usize,
    /// From the beginning, and from each step on; ascending, never empty.
    pub moments: Vec<Moment>,
}

/// What holds from a time on.
#[derive(Debug, PartialEq, Eq)]
pub struct Moment {
    pub at: Timestamp,
    /// By variant: how many get it.
    pub counts: Vec<u64>,
}

impl Ramp {
    /// How many get a variant at a time.
    pub fn count(&self, variant: usize, at: Timestamp) -> u64 {
        let begun = self.moments.partition_point(|moment| moment.at <= at).max(1);
        let moment = begun.checked_sub(1).and_then(|last| self.moments.get(last));
        moment.and_then(|moment| moment.counts.get(variant)).copied().unwrap_or_default()
    }

    /// The variants that anybody gets at some time, and that are not the baseline, by their places.
    pub fn shown(&self) -> impl Iterator<Item = (usize, &str)> {
        let seen = |variant: usize| self.moments.iter().any(|one| one.counts.get(variant).is_some_and(|n| *n > 0));
        let variants = self.variants.iter().enumerate().map(|(place, name)| (place, name.as_str()));
        variants.filter(move |(place, _)| *place != self.baseline && seen(*place))
    }
}

/// Flags whose ramps take their steps at the same times, and these times.
#[derive(Debug)]
struct Group {
    plan: Plan,
    times: Vec<Timestamp>,
}

/// The ramps of a config, in plans of their own: what one flag does hangs on no other.
#[derive(Debug, Default)]
pub struct Ramps(Vec<Group>);

impl Ramps {
    pub fn new(mut config: Config, from: Timestamp, over: Span) -> Self {
        let to = end(from, over);
        let mut groups: BTreeMap<Vec<Timestamp>, Vec<(FlagKey, Flag)>> = BTreeMap::new();
        for (key, flag) in std::mem::take(&mut config.flags) {
            let steps = flag.rules.iter().filter_map(|rule| match &rule.exposure {
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
            groups.entry(times).or_default().push((key, flag));
        }
        let groups = groups.into_iter().filter_map(|(times, flags)| {
            config.flags = flags;
            // The whole config has compiled, and so does each part of it.
            let plan = Plan::compile(&config, &mut Problems::default()).ready()?;
            Some(Group { plan, times })
        });
        Self(groups.collect())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Decides for all identities, on all threads.
    pub fn course(
        &self,
        from: Timestamp,
        over: Span,
        sender: &Sender,
        ids: &Identities,
        progress: &dyn Progress,
    ) -> Course {
        let none = || -> Vec<Vec<Ramp>> { self.0.iter().map(Group::ramps).collect() };
        let chunks = if self.is_empty() { 0 } else { ids.len().div_ceil(CHUNK) };
        let work = (0..chunks).into_par_iter().fold(
            || (none(), sender.clone()),
            |(mut ramps, mut sender), number| {
                let places = chunk(number, ids.len());
                let asked = u64::try_from(places.len()).unwrap_or(u64::MAX);
                for place in places {
                    let spec = sender.send_as(&ids.id(place));
                    for (group, ramps) in self.0.iter().zip(&mut ramps) {
                        group.add(spec, ramps);
                    }
                }
                progress.advance(asked);
                (ramps, sender)
            },
        );
        let ramps = work.map(|(ramps, _)| ramps).reduce(none, plus);
        let mut ramps: Vec<Ramp> = ramps.into_iter().flatten().collect();
        // What does not match the request is not decided.
        ramps.retain(|ramp| ramp.moments.iter().flat_map(|moment| &moment.counts).any(|count| *count > 0));
        ramps.sort_by(|one, two| one.flag.cmp(&two.flag));
        let users = u64::try_from(ids.len()).unwrap_or(u64::MAX);
        Course { from, to: end(from, over), users, ramps }
    }
}

impl Group {
    fn ramps(&self) -> Vec<Ramp> {
        let ramp = |flag: &tidegate_engine::plan::Flag| {
            let moment = |at: &Timestamp| Moment { at: *at, counts: vec![0; flag.variants.len()] };
            Ramp {
                flag: flag.key().to_string(),
                variants: flag.variants.iter().map(|variant| variant.name().to_string()).collect(),
                baseline: usize::from(flag.baseline.0),
                moments: self.times.iter().map(moment).collect(),
            }
        };
        self.plan.flags().iter().map(ramp).collect()
    }

    /// Counts what one user gets at each of the times.
    fn add(&self, spec: &RequestSpec, ramps: &mut [Ramp]) {
        let request = spec.seen(self.plan.inputs());
        for (moment, at) in self.times.iter().enumerate() {
            let decisions = decide(&self.plan, &request, &Standing::NONE, *at);
            for (place, decision) in placed(&self.plan, decisions.list()) {
                let moment = ramps.get_mut(place).and_then(|ramp| ramp.moments.get_mut(moment));
                let served = usize::from(decision.served().0);
                if let Some(count) = moment.and_then(|moment| moment.counts.get_mut(served)) {
                    *count += 1;
                }
            }
        }
    }
}

fn plus(mut ramps: Vec<Vec<Ramp>>, more: Vec<Vec<Ramp>>) -> Vec<Vec<Ramp>> {
    for (ramp, more) in ramps.iter_mut().flatten().zip(more.into_iter().flatten()) {
        for (moment, more) in ramp.moments.iter_mut().zip(more.moments) {
            for (count, more) in moment.counts.iter_mut().zip(more.counts) {
                *count += more;
            }
        }
    }
    ramps
}

fn end(from: Timestamp, over: Span) -> Timestamp {
    Timestamp::from_millis(from.millis().saturating_add_unsigned(over.millis()))
}
