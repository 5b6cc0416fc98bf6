//! What can happen to a watched flag, as data and as a line of the log.
//!
//! Made by the ledger of a flag; the worker adds which flag it is.

use core::fmt;

use super::evidence::Ratio;
use super::verdict::Breach;
use tidegate_engine::decide::standing::Phase;
use tidegate_engine::value::share::Ppm;

/// An event, and the flag that it happened to.
#[derive(Clone, Debug)]
pub struct FlagEvent {
    /// The place of the flag among the watched ones.
    pub watch: usize,
    pub flag: String,
    pub event: Event,
}

/// A change of standing, or something that an operator should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub kind: EventKind,
    /// The name of the variant that it is about.
    pub variant: Option<String>,
    pub breach: Option<Breach>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// The flag goes from one phase to another.
    Phase(Phase, Phase),
    /// The ramp of this rule has taken this step, both counted from 1, to this share.
    Step(u8, u8, Ppm),
    /// A limit is broken, and the guard's action is `alert`.
    Alert,
    /// Baseline and variant both break a limit: nothing is moved.
    BothBad,
}

impl FlagEvent {
    /// Whether the flag was rolled back.
    #[must_use]
    pub fn rolled_back(&self) -> bool {
        matches!(self.event.kind, EventKind::Phase(_, Phase::RolledBack))
    }
}

impl fmt::Display for FlagEvent {
    /// `flag=checkout from=running to=rolled_back variant=v2 measure=errors evidence_bits=31.2 window=4s ...`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "flag={}", self.flag)?;
        match self.event.kind {
            EventKind::Phase(from, to) => write!(f, " from={} to={}", from.name(), to.name()),
            EventKind::Step(rule, step, share) => write!(f, " event=step rule={rule} step={step} exposure={share}"),
            EventKind::Alert => f.write_str(" event=breach"),
            EventKind::BothBad => f.write_str(" event=baseline_breached"),
        }?;
        if let Some(variant) = &self.event.variant {
            write!(f, " variant={variant}")?;
        }
        let Some(Breach { measure, seconds, evidence, variant, baseline }) = self.event.breach else { return Ok(()) };
        let (whole, tenth) = (evidence.tenths().wrapping_div(10), evidence.tenths().wrapping_rem(10));
        write!(f, " measure={} evidence_bits={whole}.{tenth} window={seconds}s", measure.code())?;
        for (name, ratio) in [("variant", variant), ("baseline", baseline)] {
            let Ratio { count, of } = ratio;
            write!(f, " {name}_rate={} {name}_count={count}/{of}", ratio.rate())?;
        }
        Ok(())
    }
}
