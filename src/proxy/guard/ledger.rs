//! The shared state of one flag's generation: its standing, the steps that its ramps may take, and the counts.
//!
//! All workers share one ledger per generation. Each adds its counts, and the first one after each quarter of a second
//! judges. A rollback is latched: it ends with a changed flag, which is another generation,
//! or by one retry. Time is handed in; a clock that jumps counts as one quarter of a second.

use super::event::{Event, EventKind};
use super::evidence::Evidence;
use super::tally::Tally;
use super::verdict::{Limits, SAMPLE, Verdict, judge};
use super::window::{Count, Measure, UNIT, Windows};
use crate::outcome::Bins;
use tidegate_engine::config::Action;
use tidegate_engine::decide::standing::{FlagStanding, JUDGED, Phase};
use tidegate_engine::plan::{Flag, Judged, Watch};
use tidegate_engine::value::share::Ppm;
use tidegate_engine::value::time::Timestamp;

/// The version of the encoding. A ledger in another one is ignored.
const FORM: u8 = 2;

/// How many bytes stand before the counts. A ledger may end there: then all counts are 0.
const HEAD: usize = 35;

/// After how long without a tick the clock is taken to have jumped, in milliseconds.
const JUMP: i64 = 20_000;

/// A client that waits this many times longer than the baseline's 99th percentile gets no answer any more.
const PATIENCE: u32 = 10;

/// A client that leaves sooner than this, in microseconds, was not kept waiting, however fast the baseline is.
const IMPATIENT: u32 = 100_000;

/// How many units the bins of one epoch take up.
const EPOCH: u32 = 256;

/// What is known of one flag's generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ledger {
    phase: Phase,
    /// Whether the one retry has been spent.
    retried: bool,
    /// Events without effect that have been reported.
    reported: Reported,
    since: Timestamp,
    /// When the last unit ended.
    last: Timestamp,
    /// An answer that takes longer than this, in microseconds, is slow.
    slow: u32,
    /// A client without an answer for longer than this, in microseconds, was kept waiting too long.
    patience: u32,
    /// By judged rule: how many steps its ramp may have taken.
    steps: [u8; JUDGED],
    /// By judged rule: the requests of both arms since its last step.
    since_step: [[u32; 2]; JUDGED],
    /// The baseline's times, in this epoch and the one before.
    epoch: u32,
    times: [Bins; 2],
    windows: Vec<Windows>,
}

/// What has been reported, so that it is not reported again at every tick.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Reported {
    breach: bool,
    both: bool,
}

impl Ledger {
    /// A new generation at this time: ramps are where the clock has them.
    #[must_use]
    pub fn new(watch: &Watch, flag: &Flag, now: Timestamp) -> Self {
        let mut steps = [0; JUDGED];
        for (step, judged) in steps.iter_mut().zip(&watch.judged) {
            *step = begun(flag, *judged, now);
        }
        Self {
            phase: Phase::Running,
            retried: false,
            reported: Reported::default(),
            since: now,
            last: now,
            slow: watch.slow().unwrap_or(u32::MAX),
            patience: watch.patience(),
            steps,
            since_step: Default::default(),
            epoch: 0,
            times: Default::default(),
            windows: vec![Windows::default(); watch.comparisons.len()],
        }
    }

    #[must_use]
    pub fn standing(&self) -> FlagStanding {
        FlagStanding {
            phase: self.phase,
            steps: self.steps,
            slow: self.slow,
            patience: self.patience,
            ..FlagStanding::default()
        }
    }

    #[must_use]
    pub fn since(&self) -> Timestamp {
        self.since
    }

    /// By comparison: what the variant and the baseline did in at most so many of the last seconds, and in how many.
    pub fn recent(&self, seconds: u64) -> impl Iterator<Item = (u64, Count, Count)> {
        let longest = move |windows: &Windows| {
            let window = windows.up_to(seconds).last();
            window.map(|(length, cell)| (length, cell.variant.sum(), cell.baseline.sum())).unwrap_or_default()
        };
        self.windows.iter().map(longest)
    }

    /// The baseline's times of the last minute or two.
    #[must_use]
    pub fn baseline(&self) -> Bins {
        let [now, before] = &self.times;
        let mut times = before.clone();
        times.merge(now);
        times
    }

    /// Adds what a worker has counted.
    pub fn add(&mut self, watch: &Watch, tally: &Tally) {
        for ((windows, cell), (rule, _)) in self.windows.iter_mut().zip(&tally.cells).zip(&watch.comparisons) {
            windows.add(cell);
            if let Some([variant, baseline]) = self.since_step.get_mut(usize::from(*rule)) {
                *variant = variant.saturating_add(cell.variant.requests());
                *baseline = baseline.saturating_add(cell.baseline.requests());
            }
        }
        let [times, _] = &mut self.times;
        times.merge(&tally.times);
    }

    /// Closes the units that are over by now, and judges.
    pub fn advance(&mut self, watch: &Watch, flag: &Flag, now: Timestamp) -> Vec<Event> {
        let passed = now.millis().saturating_sub(self.last.millis());
        let units = if (0..JUMP).contains(&passed) {
            let units = passed.wrapping_div(UNIT);
            self.last = Timestamp::from_millis(self.last.millis().saturating_add(units.saturating_mul(UNIT)));
            units
        } else {
            // A jump of the clock must not shorten or lengthen a wait.
            let jump = passed.saturating_sub(UNIT);
            self.since = Timestamp::from_millis(self.since.millis().saturating_add(jump));
            self.last = now;
            1
        };
        for _ in 0..units {
            self.windows.iter_mut().for_each(Windows::advance);
            self.epoch = self.epoch.wrapping_add(1);
            if self.epoch & EPOCH.wrapping_sub(1) == 0 {
                let [now, before] = &mut self.times;
                *before = core::mem::take(now);
            }
        }
        let mut events = Vec::new();
        if units > 0 {
            (self.slow, self.patience) = self.times(watch);
            self.judge(watch, flag, now, &mut events);
        }
        events
    }

    /// The limits in microseconds above which an answer is slow, and above which a client was kept waiting too long.
    /// From the config if it has an absolute limit, otherwise from the baseline's recent times.
    fn times(&self, watch: &Watch) -> (u32, u32) {
        let latency = watch.guard.as_ref().and_then(|guard| guard.latency);
        let (max, factor) = (watch.slow(), latency.and_then(|latency| latency.over_baseline));
        if max.is_some() && factor.is_none() {
            return (max.unwrap_or(u32::MAX), self.patience);
        }
        let times = self.baseline();
        let count = times.count();
        if count < SAMPLE {
            return (u32::MAX, self.patience);
        }
        let slower = latency.map_or(10_000, |latency| latency.slower.parts());
        let slower = u64::from(count).saturating_mul(u64::from(slower)).wrapping_div(1_000_000);
        let baseline = times.all_but(u32::try_from(slower).unwrap_or(u32::MAX));
        let relative = factor.map(|factor| u64::from(baseline).saturating_mul(u64::from(factor)).wrapping_div(1_000));
        let slow = relative.map(|slow| u32::try_from(slow).unwrap_or(u32::MAX).max(max.unwrap_or(0)));
        let patience = max.unwrap_or(baseline.saturating_mul(PATIENCE).max(IMPATIENT));
        (slow.unwrap_or(u32::MAX), patience.max(slow.unwrap_or(0)))
    }

    fn judge(&mut self, watch: &Watch, flag: &Flag, now: Timestamp, events: &mut Vec<Event>) {
        let Some(guard) = &watch.guard else { return };
        let limits = limits(watch);
        let (seconds, enough) = (guard.window.seconds(), Evidence::enough_for(guard.fleet));
        let mut healthy = [true; JUDGED];
        let (mut breach, mut both) = (None, None);
        for (windows, (rule, variant)) in self.windows.iter().zip(&watch.comparisons) {
            let verdict = judge(windows, seconds, &limits, enough);
            if let Some(healthy) = healthy.get_mut(usize::from(*rule)) {
                *healthy &= verdict == Verdict::Healthy;
            }
            let name = || flag.variant(*variant).map(|variant| variant.name().as_str().to_owned());
            match verdict {
                Verdict::Breached(found) => breach = Some((name(), found)),
                Verdict::BothBad(found) => both = Some((name(), found)),
                Verdict::Healthy | Verdict::NotEnough => {}
            }
        }
        let sampled =
            |rule: usize| self.since_step.get(rule).is_some_and(|arms| arms.iter().all(|requests| *requests >= SAMPLE));
        // A rule that few requests reach is no evidence, neither for nor against.
        let well = (0..watch.judged.len()).any(|rule| healthy.get(rule) == Some(&true) && sampled(rule));
        let reported = Reported { breach: breach.is_some(), both: both.is_some() };
        if let (Some((variant, found)), None) = (both, &breach) {
            // The fault is elsewhere: neither forward nor back.
            if !self.reported.both {
                events.push(Event { kind: EventKind::BothBad, variant, breach: Some(found) });
            }
            self.reported = reported;
            return;
        }
        match (self.phase, breach) {
            (Phase::Running | Phase::Trial, Some((variant, found))) => {
                let to = match guard.action {
                    Action::Rollback => Phase::RolledBack,
                    Action::Hold => Phase::Held,
                    Action::Alert => Phase::Running,
                };
                let kind = if to == self.phase { EventKind::Alert } else { EventKind::Phase(self.phase, to) };
                if kind != EventKind::Alert || !self.reported.breach {
                    events.push(Event { kind, variant, breach: Some(found) });
                }
                if to != self.phase {
                    // A variant that fails in its trial gets no other one.
                    self.retried |= self.phase == Phase::Trial;
                    self.enter(to, now);
                }
            }
            // While the config's standing has taken the flag back, there is nothing to climb for.
            (Phase::Running, None) if flag.is_back() => {}
            (Phase::Running, None) => self.climb(&healthy, watch, flag, now, events),
            (Phase::Trial, None) if well => {
                events.push(Event {
                    kind: EventKind::Phase(Phase::Trial, Phase::Running),
                    variant: None,
                    breach: None,
                });
                self.retried = true;
                self.enter(Phase::Running, now);
            }
            (Phase::RolledBack, _) => {
                let waited = now.millis().saturating_sub(self.since.millis());
                let due = |after: u64| i64::try_from(after).is_ok_and(|after| waited >= after);
                if !self.retried && guard.retry_after.is_some_and(|after| due(after.millis())) {
                    let kind = EventKind::Phase(Phase::RolledBack, Phase::Trial);
                    events.push(Event { kind, variant: None, breach: None });
                    self.enter(Phase::Trial, now);
                }
            }
            (Phase::Trial | Phase::Held, _) => {}
        }
        self.reported = reported;
    }

    /// Enters a phase, and starts to count again.
    fn enter(&mut self, phase: Phase, now: Timestamp) {
        let fresh = vec![Windows::default(); self.windows.len()];
        // A held variant goes on as it was, so its counts stay valid.
        if phase != Phase::Held {
            self.windows = fresh;
        }
        self.since_step = Default::default();
        (self.phase, self.since) = (phase, now);
    }

    /// Lets ramps take the steps that the clock and their health allow: one at a time.
    fn climb(&mut self, healthy: &[bool], watch: &Watch, flag: &Flag, now: Timestamp, events: &mut Vec<Event>) {
        for (place, judged) in watch.judged.iter().enumerate() {
            let (Some(taken), Some(arms)) = (self.steps.get_mut(place), self.since_step.get_mut(place)) else {
                continue;
            };
            let begun = begun(flag, *judged, now);
            if *taken > judged.cap(flag) {
                // The config's standing has taken steps back: from here the guard goes on, with counts of this share.
                *taken = judged.cap(flag);
                forget(&mut self.windows, arms, watch, place);
                continue;
            }
            if *taken >= begun {
                continue;
            }
            let here = judged.step(flag, taken.checked_sub(1));
            let next = judged.step(flag, Some(*taken));
            let nobody = here.is_none_or(|step| step.share.parts() == 0);
            let waits = next.is_some_and(|step| step.requires.healthy) && !nobody;
            let well = healthy.get(place) == Some(&true) && arms.iter().all(|requests| *requests >= SAMPLE);
            if waits && !well {
                continue;
            }
            *taken = taken.saturating_add(1);
            forget(&mut self.windows, arms, watch, place);
            let share = next.map_or(Ppm::NONE, |step| step.share);
            let kind = EventKind::Step(judged.number(), *taken, share);
            events.push(Event { kind, variant: None, breach: None });
        }
    }

    /// The form in which it is kept.
    #[must_use]
    pub fn to_bytes(&mut self) -> Vec<u8> {
        let flags = u8::from(self.reported.breach) | u8::from(self.reported.both) << 1 | u8::from(self.retried) << 2;
        let mut bytes = vec![FORM, self.phase.code(), flags];
        bytes.extend(self.since.millis().to_le_bytes());
        bytes.extend(self.last.millis().to_le_bytes());
        bytes.extend(self.slow.to_le_bytes());
        bytes.extend(self.patience.to_le_bytes());
        bytes.extend(self.steps);
        let mut zeros: u32 = 0;
        for number in self.numbers() {
            if *number == 0 {
                zeros = zeros.saturating_add(1);
                continue;
            }
            put_zeros(&mut bytes, core::mem::take(&mut zeros));
            put(&mut bytes, *number);
        }
        put_zeros(&mut bytes, zeros);
        bytes
    }

    /// Reads a ledger of this flag; `None` if the bytes are not one.
    #[must_use]
    pub fn from_bytes(bytes: &[u8], watch: &Watch, flag: &Flag) -> Option<Self> {
        let (&[FORM, phase, flags], rest) = bytes.split_first_chunk()? else { return None };
        let (since, rest) = rest.split_first_chunk()?;
        let (last, rest) = rest.split_first_chunk()?;
        let (slow, rest) = rest.split_first_chunk()?;
        let (patience, rest) = rest.split_first_chunk()?;
        let (steps, mut rest) = rest.split_first_chunk()?;
        let time = |bytes: &[u8; 8]| Timestamp::from_millis(i64::from_le_bytes(*bytes));
        let mut ledger = Self::new(watch, flag, time(last));
        ledger.phase = Phase::of_code(phase)?;
        ledger.reported = Reported { breach: flags & 1 != 0, both: flags & 2 != 0 };
        (ledger.retried, ledger.since) = (flags & 4 != 0, time(since));
        (ledger.slow, ledger.steps) = (u32::from_le_bytes(*slow), *steps);
        ledger.patience = u32::from_le_bytes(*patience);
        if rest.is_empty() {
            return Some(ledger);
        }
        let mut zeros = 0_u32;
        for number in ledger.numbers() {
            if zeros > 0 {
                zeros = zeros.saturating_sub(1);
                continue;
            }
            *number = take(&mut rest)?;
            if *number == 0 {
                zeros = take(&mut rest)?;
            }
        }
        ledger.windows.iter_mut().for_each(Windows::sum_up);
        rest.is_empty().then_some(ledger)
    }

    fn numbers(&mut self) -> impl Iterator<Item = &mut u32> {
        let times = self.times.iter_mut().flat_map(Bins::numbers);
        let windows = self.windows.iter_mut().flat_map(Windows::numbers);
        [&mut self.epoch].into_iter().chain(self.since_step.as_flattened_mut()).chain(times).chain(windows)
    }
}

/// The standing in an encoded ledger, without reading the rest of it.
#[must_use]
pub fn standing(bytes: &[u8]) -> Option<FlagStanding> {
    let (&[FORM, phase, _], rest) = bytes.split_first_chunk()? else { return None };
    let (slow, rest) = rest.get(16..)?.split_first_chunk()?;
    let (patience, rest) = rest.split_first_chunk()?;
    let (steps, _) = rest.split_first_chunk()?;
    let [slow, patience] = [slow, patience].map(|bytes| u32::from_le_bytes(*bytes));
    Some(FlagStanding { phase: Phase::of_code(phase)?, steps: *steps, slow, patience, ..FlagStanding::default() })
}

/// An encoded ledger without its counts; `None` if it has none.
pub(super) fn without_counts(mut bytes: Vec<u8>) -> Option<Vec<u8>> {
    let has_more = bytes.len() > HEAD;
    bytes.truncate(HEAD);
    has_more.then_some(bytes)
}

/// Whether a unit of an encoded ledger is over.
#[must_use]
pub fn is_due(bytes: &[u8], now: Timestamp) -> bool {
    let last = bytes.get(11..).and_then(<[u8]>::first_chunk).map_or(0, |last| i64::from_le_bytes(*last));
    !(0..UNIT).contains(&now.millis().saturating_sub(last))
}

/// Forgets what was counted for a judged rule: the arms are compared only over a time in which their parts of the traffic
/// were the same, else an outage of both, after the step, would be more of the one's time than of the other's.
fn forget(windows: &mut [Windows], arms: &mut [u32; 2], watch: &Watch, place: usize) {
    *arms = Default::default();
    for (windows, (rule, _)) in windows.iter_mut().zip(&watch.comparisons) {
        if usize::from(*rule) == place {
            *windows = Windows::default();
        }
    }
}

/// How many steps of a ramp have begun, as far as the config's standing lets it take them.
fn begun(flag: &Flag, judged: Judged, now: Timestamp) -> u8 {
    let steps = judged.steps(flag);
    u8::try_from(steps.partition_point(|step| step.at <= now)).unwrap_or(u8::MAX).min(judged.cap(flag))
}

/// What the guard of a flag demands.
#[must_use]
pub fn limits(watch: &Watch) -> Vec<Limits> {
    let mut limits = Vec::with_capacity(2);
    let Some(guard) = &watch.guard else { return limits };
    if let Some(errors) = guard.errors {
        limits.push(Limits { measure: Measure::Errors, max: errors.max, over_baseline: errors.over_baseline });
    }
    // More than so many are slow: that is what it means that a percentile is over the limit.
    if let Some(latency) = guard.latency {
        limits.push(Limits { measure: Measure::Latency, max: Some(latency.slower), over_baseline: None });
    }
    limits
}

/// Seven bits a byte, the lowest first; the last byte has its top bit clear.
fn put(bytes: &mut Vec<u8>, mut number: u32) {
    loop {
        let [low, ..] = number.to_le_bytes();
        number >>= 7;
        bytes.push(if number == 0 { low & 0x7f } else { low | 0x80 });
        if number == 0 {
            return;
        }
    }
}

/// A run of zeros: a zero, and how many more follow it.
fn put_zeros(bytes: &mut Vec<u8>, zeros: u32) {
    if let Some(more) = zeros.checked_sub(1) {
        bytes.push(0);
        put(bytes, more);
    }
}

fn take(bytes: &mut &[u8]) -> Option<u32> {
    let mut number = 0_u32;
    for shift in [0, 7, 14, 21, 28] {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u32::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, clippy::indexing_slicing, clippy::unwrap_used, reason = "a test stops")]
mod tests {
    use super::*;
    use tidegate_engine::plan::Plan;

    /// A ledger after a quarter of a second, as it is kept. Frozen: another form of ledgers gets another number.
    const KEPT: &str = "\
        02000000d48bcea2010000fad48bcea201000000350c0000350c000100000000000000\
        0105ac0200700100bb040100680504010047ac0200b3050504010047ac020093030504010047\
        ac020093030504010047ac020093030504010047ac020093030504010047ac02009303050401\
        0047ac020093030504010047ac020093030504010047ac020093030504010047ac02000a";

    #[test]
    fn what_is_kept_is_frozen_and_read_back() {
        let config = br#"{"version": 1, "identity": [{"header": "x-user"}], "flags": {"checkout": {
            "variants": ["v1", "v2"], "baseline": "v1", "rules": [{"serve": "v2", "steps": [
                {"at": "2027-01-01T00:00:00Z", "percent": 5}, {"at": "2027-01-02T00:00:00Z", "percent": 50}]}],
            "guard": {"errors": {"max": "5%"}, "latency": {"percentile": 99, "max": "800ms"}}}}}"#;
        let plan = Plan::from_bytes(config).0.ready().unwrap();
        let (watch, begins) = (&plan.watches()[0], Timestamp::from_millis(1_798_761_600_000));
        let flag = plan.flag_of(watch).unwrap();
        let mut tally = Tally::new(watch);
        *tally.cells[0].group(true, 3).unwrap() = Count { requests: 5, failed: 4, slow: 1 };
        *tally.cells[0].group(false, 12).unwrap() = Count { requests: 300, failed: 0, slow: 0 };
        tally.times.add(5_000);
        let mut ledger = Ledger::new(watch, flag, begins);
        ledger.add(watch, &tally);
        ledger.advance(watch, flag, Timestamp::from_millis(begins.millis() + UNIT));
        let bytes = ledger.to_bytes();
        let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex.concat(), KEPT);
        let mut read = Ledger::from_bytes(&bytes, watch, flag).unwrap();
        assert_eq!(read, ledger);
        assert_eq!(read.to_bytes(), bytes);
        assert_eq!(standing(&bytes), Some(ledger.standing()));
    }
}
