//! What has been decided so far about a flag, as the config carries it: how far it may go, since when, and why.
//!
//! Written by commands; read by every proxy with its config. Of two entries the more careful one wins, whoever wrote it
//! and whichever came first, so that two writers, or one with an old view, can do no harm. Says nothing about a flag that
//! has changed since. Never looks at a clock.

use super::flag::Exposure;
use super::node::Node;
use super::reader::{Field, Limit, steps, word};
use super::schema::reference::STANDING;
use crate::decide::standing;
use crate::problem::Problems;
use crate::value::name::Prose;
use crate::value::time::Timestamp;

const RULES: Limit = Limit::new(100, "rules");

/// How far a flag may go. The later one is the more careful.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// The rules decide, as far as the steps allow.
    Running,
    /// Ramps take no step that begins later than the entry.
    Held,
    /// Everybody gets the baseline.
    RolledBack,
}

impl Phase {
    /// The phase in which a guard lets a flag do the same.
    #[must_use]
    pub const fn as_guard(self) -> standing::Phase {
        match self {
            Self::Running => standing::Phase::Running,
            Self::Held => standing::Phase::Held,
            Self::RolledBack => standing::Phase::RolledBack,
        }
    }

    pub const ALL: [Self; 3] = [Self::Running, Self::Held, Self::RolledBack];

    /// The word for it in a config.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Held => "held",
            Self::RolledBack => "rolledBack",
        }
    }
}

/// What has been decided about one flag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The generation of the flag that it speaks of; for another one it is void.
    pub of: u64,
    pub phase: Phase,
    /// By rule, counted from 1: how many steps its ramp may have taken. In the order of the rules, each once.
    pub steps: Vec<(u8, u8)>,
    /// Since when the flag is in this phase.
    pub since: Timestamp,
    pub why: Option<Prose>,
    /// Who wrote it.
    pub by: Option<Prose>,
}

impl Standing {
    /// Whether it speaks of this generation.
    #[must_use]
    pub fn is_of(&self, generation: u64) -> bool {
        self.of == generation
    }

    /// The same, with more steps allowed to a rule: the one thing that is less careful than before, and so no part of
    /// [`merge`]. Only for a flag that runs; never takes a step away.
    #[must_use]
    pub fn granting(mut self, rule: u8, steps: u8) -> Option<Self> {
        if self.phase != Phase::Running {
            return None;
        }
        let granted = self.steps_of(rule).map_or(steps, |before| steps.max(before));
        self.set(rule, granted);
        Some(self)
    }

    /// How many steps the ramp of a rule may have taken, if it says so.
    #[must_use]
    pub fn steps_of(&self, rule: u8) -> Option<u8> {
        self.steps.iter().find(|(known, _)| *known == rule).map(|(_, steps)| *steps)
    }

    /// Allows a rule no more than so many steps.
    fn allow(&mut self, rule: u8, steps: u8) {
        let fewest = self.steps_of(rule).map_or(steps, |known| steps.min(known));
        self.set(rule, fewest);
    }

    fn set(&mut self, rule: u8, steps: u8) {
        self.steps.retain(|(known, _)| *known != rule);
        let place = self.steps.partition_point(|(known, _)| *known < rule);
        self.steps.insert(place, (rule, steps));
    }
}

/// The one entry that is at least as careful as both, for a flag of this generation.
///
/// The later phase wins, and of each rule the fewer steps; a rule that one entry does not name is as free as the other
/// one says. Since when, why and by whom come from the entry with the later phase, of two with one phase from the one
/// that is in it for longer. An entry for another generation loses to one for this one. The order of the two makes no
/// difference, nor does the order in which several are merged.
#[must_use]
pub fn merge(generation: u64, one: Standing, other: Standing) -> Standing {
    match (one.is_of(generation), other.is_of(generation)) {
        (true, false) => return one,
        (false, true) => return other,
        (false, false) => return if later(&one) >= later(&other) { one } else { other },
        (true, true) => {}
    }
    let (mut winner, loser) = if told(&one) >= told(&other) { (one, other) } else { (other, one) };
    for (rule, steps) in loser.steps {
        winner.allow(rule, steps);
    }
    winner
}

type Told<'s> = (Phase, core::cmp::Reverse<Timestamp>, Option<&'s str>, Option<&'s str>);

/// What decides whose words are kept: not the steps, of which each entry may have the fewer for another rule.
fn told(entry: &Standing) -> Told<'_> {
    let [why, by] = [&entry.why, &entry.by].map(|prose| prose.as_ref().map(Prose::as_str));
    (entry.phase, core::cmp::Reverse(entry.since), why, by)
}

/// Of two entries that are void the newer one is kept, which says more of what has been going on.
fn later(entry: &Standing) -> (Timestamp, u64, Told<'_>, &[(u8, u8)]) {
    (entry.since, entry.of, told(entry), &entry.steps)
}

impl Exposure {
    /// How many steps of a ramp may be taken whatever the clock says: up to the first one that waits for an approval,
    /// or for the fleet, and that it has not got; and no more than the standing of the flag allows.
    #[must_use]
    pub fn cap(&self, standing: Option<(&Standing, u8)>) -> u8 {
        let Self::Steps(all) = self else { return u8::MAX };
        let named = standing.and_then(|(standing, rule)| standing.steps_of(rule));
        let granted = usize::from(named.unwrap_or(0));
        let waits = |(place, step): (usize, &super::Step)| {
            step.lacks_approval() || (step.requires.waits_for_fleet() && place >= granted)
        };
        let open = all.iter().enumerate().position(waits).map_or(u8::MAX, short);
        let held = standing.filter(|(standing, _)| standing.phase == Phase::Held);
        let held = held.map_or(u8::MAX, |(standing, _)| short(self.begun(standing.since)));
        open.min(held).min(named.unwrap_or(u8::MAX))
    }
}

fn short(steps: usize) -> u8 {
    u8::try_from(steps).unwrap_or(u8::MAX)
}

/// Reads 16 hexadecimal digits.
fn generation(text: &str) -> Option<u64> {
    let digits = text.bytes().map(|byte| char::from(byte).to_digit(16));
    let number = digits.clone().try_fold(0_u64, |number, digit| Some(number << 4 | u64::from(digit?)));
    number.filter(|_| text.len() == 16)
}

/// Reads one entry.
pub(super) fn read(field: &Field<'_>, problems: &mut Problems) -> Option<Standing> {
    let object = field.object(&STANDING, problems)?;
    let mut known: Vec<(u8, u8)> = Vec::new();
    if let Some(map) = object.field("steps") {
        for (rule, taken) in map.members(RULES, problems) {
            let number = steps(rule, 0, 1..=100).and_then(|rule| u8::try_from(rule).ok());
            if number.is_none() {
                problems.error_of_key(&taken.at, "must be the number of a rule, counted from 1");
            }
            let taken = taken.steps(problems, 0, "", 0..=100, "must be a whole number from 0 to 100");
            known.extend(number.zip(taken.and_then(|taken| u8::try_from(taken).ok())));
        }
    }
    let of = object.required("of", problems).and_then(|of| {
        let number = match of.node {
            Node::Text(text) => generation(text),
            // YAML makes a number of some of them, and loses what stands at its ends.
            _ => None,
        };
        if number.is_none() {
            of.wrong(problems, "must be a generation: 16 hexadecimal digits, in quotes");
        }
        number
    });
    let phase = object.required("phase", problems).and_then(|phase| {
        let words = Phase::ALL.map(|phase| (phase.name(), phase));
        phase.parse(problems, |text| word(text, &words))
    });
    let since = object.required("since", problems).and_then(|since| since.parse(problems, Timestamp::parse));
    let mut prose = |name| object.field(name).and_then(|field| field.parse(problems, Prose::parse));
    let (why, by) = (prose("why"), prose("by"));
    let mut standing = Standing { of: of?, phase: phase?, steps: Vec::new(), since: since?, why, by };
    for (rule, taken) in known {
        standing.allow(rule, taken);
    }
    Some(standing)
}
