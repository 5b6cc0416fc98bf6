//! What the fleet's judge holds of one flag: turns what was counted, and what proxies say of themselves, into its phase
//! and the steps that its ramps may take.
//!
//! A phase only becomes more careful: what ends it is another generation of the flag, which is another [`Flag`]. Where
//! nothing is seen, nothing changes, and no step is granted. Never reads a clock.

use std::collections::{BTreeMap, BTreeSet};

use crate::scope::{Rules, Said, Scope, judge, places};
use crate::strata::{Strata, Stratum};
use crate::uneven::Uneven;
use tidegate_engine::config::standing::{Phase, Standing};
use tidegate_engine::config::{Action, Guard};
use tidegate_engine::plan::{Flag as Planned, Judged, Plan, Watch};
use tidegate_engine::value::name::Prose;
use tidegate_engine::value::time::Timestamp;
use tidegate_proxy::guard::evidence::Evidence;
use tidegate_proxy::guard::ledger::limits;
use tidegate_proxy::guard::verdict::{Breach, Limits, SAMPLE, Verdict};
use tidegate_proxy::guard::window::Cell;

/// In how many milliseconds proxies that go back by themselves are added up.
const TOGETHER: i64 = 600_000;

/// The name in entries that are written for a verdict.
pub const STEER: &str = "tidegate steer";

/// So many proxies that go back by themselves stop the fleet, or a twentieth of them, if that is more.
const ALARMED: usize = 3;

/// The variant of a rule that is compared with the baseline.
#[derive(Debug)]
pub struct Comparison {
    /// The rule among those that are judged.
    pub judged: u8,
    /// The rule among those of its flag, counted from 1.
    pub rule: u8,
    pub variant: String,
    strata: Strata,
    uneven: Uneven,
    /// By arm, since the ramp's last step: the variant's requests, and the baseline's.
    since_step: [u64; 2],
    said: Option<Said>,
}

/// A ramp of a flag.
#[derive(Debug, Default)]
struct Ramp {
    /// Whether some step of it is taken by a standing alone.
    waits: bool,
    /// How many steps it may have taken; none before a proxy or the config has said where it is.
    granted: Option<u8>,
    /// The fewest steps that any proxy had taken at the last look.
    seen: Option<u8>,
    /// Where it was held.
    held: Option<u8>,
}

impl Ramp {
    /// How many steps a standing allows it; none where it goes by itself.
    fn allowed(&self, phase: Phase) -> Option<u8> {
        match phase {
            Phase::Running => self.granted.filter(|_| self.waits),
            Phase::Held | Phase::RolledBack => self.held.or(self.seen),
        }
    }
}

/// Why a flag is where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A variant that does badly, compared over this many proxies.
    Breach { variant: String, rule: u8, breach: Breach, scope: Scope, proxies: usize },
    /// So many proxies, of so many, went back by themselves within ten minutes.
    Alarmed { proxies: usize, of: usize },
    /// It stood in the config, by this hand.
    Config { why: String, by: String },
}

/// Something that happened to a flag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Phase {
        from: Phase,
        to: Phase,
        cause: Cause,
    },
    /// A guard that only alerts has found something.
    Alert(Cause),
    /// Variant and baseline are both bad: the fault is elsewhere.
    BothBad {
        variant: String,
        breach: Breach,
    },
    /// A ramp may take one more step.
    Step {
        rule: u8,
        steps: u8,
    },
}

/// What one proxy says of a flag.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Whether it has the config in force that the judge has.
    pub is_current: bool,
    /// The code of its standing: 3 is rolled back.
    pub standing: u64,
    /// By rule: how many steps its ramp has taken.
    pub steps: BTreeMap<u8, u8>,
}

/// What the judge holds of one flag.
#[derive(Debug)]
pub struct Flag {
    pub key: String,
    pub generation: u64,
    /// The place of its watch in the plan.
    watch: usize,
    comparisons: Vec<Comparison>,
    limits: Vec<Limits>,
    guard: Option<Guard>,
    ramps: BTreeMap<u8, Ramp>,
    phase: Phase,
    since: Timestamp,
    cause: Option<Cause>,
    /// By proxy: since when it is rolled back by itself.
    alarmed: BTreeMap<String, Timestamp>,
    reported: (bool, bool),
}

/// What a look is made under.
#[derive(Clone, Copy, Debug)]
pub struct Look<'l> {
    pub now: Timestamp,
    /// The length of a unit, in seconds.
    pub unit: u64,
    /// How many tests are made at once, beside the places of each.
    pub tests: usize,
    /// Whether proxies are seen at all.
    pub sees: bool,
    /// What each proxy says of this flag.
    pub told: &'l BTreeMap<String, Told>,
    /// By variant: how many of its endpoints are ready, as far as anybody knows.
    pub ready: &'l BTreeMap<String, Option<u32>>,
}

impl Flag {
    /// A watched flag of a plan, where its config has it.
    #[must_use]
    pub fn new(plan: &Plan, place: usize, now: Timestamp) -> Option<Self> {
        let watch = plan.watches().get(place)?;
        let flag = plan.flag_of(watch)?;
        let generation = watch.generation()?;
        let comparisons = watch.comparisons.iter().filter_map(|(judged, variant)| {
            Some(Comparison {
                judged: *judged,
                rule: watch.judged.get(usize::from(*judged))?.number(),
                variant: flag.variant(*variant)?.name().as_str().to_owned(),
                strata: Strata::default(),
                uneven: Uneven::default(),
                since_step: [0; 2],
                said: None,
            })
        });
        let ramps = watch.judged.iter().filter(|judged| !judged.steps(flag).is_empty());
        Some(Self {
            key: flag.key().as_str().to_owned(),
            generation,
            watch: place,
            comparisons: comparisons.collect(),
            limits: limits(watch),
            guard: watch.guard.clone(),
            ramps: ramps
                .map(|judged| {
                    let waits = judged.steps(flag).iter().any(|step| step.requires.waits_for_fleet());
                    (judged.number(), Ramp { waits, ..Ramp::default() })
                })
                .collect(),
            phase: Phase::Running,
            since: now,
            cause: None,
            alarmed: BTreeMap::new(),
            reported: (false, false),
        })
    }

    /// Takes up what stands in the config: it is never less careful.
    pub fn stands(&mut self, entry: &Standing) {
        if entry.phase > self.phase {
            (self.phase, self.since) = (entry.phase, entry.since);
            let [why, by] = [&entry.why, &entry.by].map(|text| text.as_ref().map_or("", Prose::as_str).to_owned());
            self.cause = Some(Cause::Config { why, by });
        }
        for (rule, steps) in &entry.steps {
            if let Some(ramp) = self.ramps.get_mut(rule) {
                if entry.phase == Phase::Running {
                    ramp.granted = Some(ramp.granted.map_or(*steps, |granted| granted.max(*steps)));
                } else {
                    ramp.held = Some(ramp.held.map_or(*steps, |held| held.min(*steps)));
                }
            }
        }
    }

    /// Nothing stands in the config any more: what a person had put there is over. A verdict is not, whoever takes it out.
    pub fn stands_free(&mut self, now: Timestamp) {
        if self.phase == Phase::Running || self.is_judged() {
            return;
        }
        (self.phase, self.since, self.cause) = (Phase::Running, now, None);
        self.ramps.values_mut().for_each(|ramp| ramp.held = None);
    }

    /// The same flag, at this place among the watches of a plan.
    #[must_use]
    pub fn at(mut self, watch: usize) -> Self {
        self.watch = watch;
        self
    }

    #[must_use]
    pub fn phase(&self) -> Phase {
        self.phase
    }

    #[must_use]
    pub fn since(&self) -> Timestamp {
        self.since
    }

    #[must_use]
    pub fn cause(&self) -> Option<&Cause> {
        self.cause.as_ref()
    }

    /// Whether a verdict has taken it to where it is, one that it has read back from the config among them, and not a
    /// person.
    #[must_use]
    pub fn is_judged(&self) -> bool {
        let by_hand = matches!(&self.cause, Some(Cause::Config { by, .. }) if by != STEER);
        self.phase != Phase::Running && !by_hand
    }

    /// By ramp: how many steps it may have taken, where it does not go by itself and that is known.
    #[must_use]
    pub fn steps(&self) -> BTreeMap<u8, u8> {
        self.ramps.iter().filter_map(|(rule, ramp)| Some((*rule, ramp.allowed(self.phase)?))).collect()
    }

    /// What was said of each comparison at the last look.
    pub fn said(&self) -> impl Iterator<Item = (&Comparison, &Said)> {
        self.comparisons.iter().filter_map(|comparison| Some((comparison, comparison.said.as_ref()?)))
    }

    /// The variants that its rules serve beside the baseline.
    #[must_use]
    pub fn variants(&self) -> BTreeSet<&str> {
        self.comparisons.iter().map(|comparison| comparison.variant.as_str()).collect()
    }

    /// The rules with a step that waits for ready endpoints.
    #[must_use]
    pub fn waits_for_endpoints(&self, plan: &Plan) -> Vec<u8> {
        let watch = plan.watches().get(self.watch);
        let Some((watch, flag)) = watch.and_then(|watch| Some((watch, plan.flag_of(watch)?))) else {
            return Vec::new();
        };
        let waits = |judged: &&Judged| judged.steps(flag).iter().any(|step| step.requires.ready.is_some());
        watch.judged.iter().filter(waits).map(|judged| judged.number()).collect()
    }

    /// The comparison of a rule's variant.
    #[must_use]
    pub fn comparison(&self, rule: u8, variant: &str) -> Option<usize> {
        self.comparisons.iter().position(|one| one.rule == rule && one.variant == variant)
    }

    /// Adds what a proxy has counted in the unit that runs: by groups of proxies, and by groups of identities where it
    /// counts by those.
    pub fn add(&mut self, comparison: usize, stratum: &Stratum, counted: &Cell, by_identity: Option<&Cell>) {
        let Some(comparison) = self.comparisons.get_mut(comparison) else { return };
        comparison.strata.add(stratum, counted);
        if let Some(groups) = by_identity {
            comparison.uneven.add(groups);
        }
        let [variant, baseline] = &mut comparison.since_step;
        *variant += u64::from(counted.variant.requests());
        *baseline += u64::from(counted.baseline.requests());
    }

    /// How many tests its comparisons are at a look.
    #[must_use]
    pub fn tests(&self) -> usize {
        self.comparisons.iter().map(|comparison| places(&comparison.strata) * self.limits.len()).sum()
    }

    /// A unit is over: judges, and grants steps.
    pub fn advance(&mut self, plan: &Plan, look: &Look<'_>) -> Vec<Event> {
        let mut events = Vec::new();
        let watch = plan.watches().get(self.watch);
        let Some((watch, flag)) = watch.and_then(|watch| Some((watch, plan.flag_of(watch)?))) else { return events };
        if look.sees {
            for (rule, ramp) in &mut self.ramps {
                // A proxy with another config says nothing about this one's ramps, as long as some have it.
                let current = look.told.values().any(|told| told.is_current);
                let told = look.told.values().filter(|told| told.is_current == current);
                ramp.seen = told.filter_map(|told| told.steps.get(rule)).copied().min().or(ramp.seen);
            }
            self.judge(look, &mut events);
            self.count_alarms(look, &mut events);
            self.climb(watch, flag, look, &mut events);
        }
        for comparison in &mut self.comparisons {
            comparison.strata.advance();
            comparison.uneven.advance();
        }
        events
    }

    fn judge(&mut self, look: &Look<'_>, events: &mut Vec<Event>) {
        let Some(guard) = &self.guard else { return };
        let enough = Evidence::enough_for(u32::try_from(look.tests.max(1)).unwrap_or(u32::MAX));
        let rules = Rules { limits: &self.limits, enough, unit: look.unit, longest: guard.window.seconds() };
        let (mut found, mut both) = (None, None);
        for comparison in &mut self.comparisons {
            let said = judge(&comparison.strata, &comparison.uneven, &rules);
            let (rule, variant) = (comparison.rule, || comparison.variant.clone());
            match said.verdict {
                Verdict::Breached(breach) => {
                    let (proxies, scope) = (look.told.len(), said.scope.clone());
                    let cause = Cause::Breach { variant: variant(), rule, breach, scope, proxies };
                    let is_wide = said.scope == Scope::Fleet;
                    // What is bad everywhere counts before what is bad in one place.
                    if found.as_ref().is_none_or(|(known, _)| is_wide && !known) {
                        found = Some((is_wide, cause));
                    }
                }
                Verdict::BothBad(breach) => both = Some((variant(), breach)),
                Verdict::Healthy | Verdict::NotEnough => {}
            }
            comparison.said = Some(said);
        }
        let action = guard.action;
        let reported = (found.is_some(), both.is_some());
        match (found, both) {
            (Some((is_wide, cause)), _) => {
                let to = match action {
                    Action::Alert => Phase::Running,
                    Action::Rollback if is_wide => Phase::RolledBack,
                    Action::Rollback | Action::Hold => Phase::Held,
                };
                if action == Action::Alert && !self.reported.0 {
                    events.push(Event::Alert(cause));
                } else {
                    self.enter(to, cause, look.now, events);
                }
            }
            (None, Some((variant, breach))) if !self.reported.1 => events.push(Event::BothBad { variant, breach }),
            (None, _) => {}
        }
        self.reported = reported;
    }

    /// Enters a phase that is more careful than the one it is in.
    fn enter(&mut self, to: Phase, cause: Cause, now: Timestamp, events: &mut Vec<Event>) {
        if to <= self.phase {
            return;
        }
        events.push(Event::Phase { from: self.phase, to, cause: cause.clone() });
        (self.phase, self.since, self.cause) = (to, now, Some(cause));
        for ramp in self.ramps.values_mut() {
            ramp.held = ramp.held.or(ramp.granted.filter(|_| ramp.waits).min(ramp.seen).or(ramp.seen));
        }
    }

    /// Where several proxies go back by themselves, the others must not go on.
    fn count_alarms(&mut self, look: &Look<'_>, events: &mut Vec<Event>) {
        const ROLLED_BACK: u64 = 3;
        self.alarmed.retain(|proxy, _| look.told.get(proxy).is_some_and(|told| told.standing == ROLLED_BACK));
        // Where another config is in force, it may be another generation that was taken back, by this very judge.
        for (proxy, _) in look.told.iter().filter(|(_, told)| told.standing == ROLLED_BACK && told.is_current) {
            self.alarmed.entry(proxy.clone()).or_insert(look.now);
        }
        let lately = |since: &&Timestamp| look.now.millis().saturating_sub(since.millis()) < TOGETHER;
        let (proxies, of) = (self.alarmed.values().filter(lately).count(), look.told.len());
        // Of fewer than three proxies, all.
        let alarm = ALARMED.max(of.div_ceil(20)).min(of.max(1));
        if proxies >= alarm {
            self.enter(Phase::Held, Cause::Alarmed { proxies, of }, look.now, events);
        }
    }

    /// Grants the steps that the clock and the health of the fleet allow: one at a time.
    fn climb(&mut self, watch: &Watch, flag: &Planned, look: &Look<'_>, events: &mut Vec<Event>) {
        for judged in &watch.judged {
            let (number, steps) = (judged.number(), judged.steps(flag));
            let Some(ramp) = self.ramps.get_mut(&number) else { continue };
            let Some(least) = ramp.seen else { continue };
            // Where nothing has been granted yet, proxies are where the clock has them.
            let granted = *ramp.granted.get_or_insert(least);
            if self.phase != Phase::Running {
                continue;
            }
            let Some(next) = steps.get(usize::from(granted)) else { continue };
            if next.at > look.now || next.lacks_approval() {
                continue;
            }
            let mut compared = self.comparisons.iter().filter(|comparison| comparison.rule == number);
            let here = granted.checked_sub(1).and_then(|last| steps.get(usize::from(last)));
            let nobody = here.is_none_or(|step| step.share.parts() == 0);
            let is_well = |comparison: &Comparison| {
                let healthy = comparison.said.as_ref().is_some_and(|said| said.verdict == Verdict::Healthy);
                healthy && comparison.since_step.iter().all(|requests| *requests >= u64::from(SAMPLE))
            };
            // A variant without traffic can only be found healthy once it has some.
            let waits = (next.requires.fleet || next.requires.healthy) && !nobody;
            let short = |comparison: &Comparison| {
                let ready = look.ready.get(&comparison.variant).copied().flatten().unwrap_or(0);
                next.requires.ready.is_some_and(|due| ready < due)
            };
            let arrived = least >= granted;
            if !arrived || compared.clone().any(short) || (waits && !compared.all(is_well)) {
                continue;
            }
            let granted = granted.saturating_add(1);
            ramp.granted = Some(granted);
            events.push(Event::Step { rule: number, steps: granted });
            for comparison in self.comparisons.iter_mut().filter(|comparison| comparison.rule == number) {
                comparison.since_step = [0; 2];
            }
        }
    }
}
