//! What is watched of a flag: the comparisons that its guard makes, the limits of its variants, its rescue.
//!
//! A rule that draws can be judged, because its draw leaves a fair sample at the baseline. Never counts anything.

use super::{Flag, Rule, Serve, VariantId};
use crate::config::{self, Config, Exposure, Guard, Identities, Step, TrafficLimit};
use crate::decide::standing::JUDGED;
use crate::problem::{FieldPath, Problems};
use crate::value::share::Ppm;
use crate::value::time::Span;

/// The most comparisons of one guard: each takes some 20 KB, which workers read and write on the tick.
const COMPARISONS: usize = 16;

/// The most guards of a config.
pub(super) const GUARDS: usize = 100;

/// What is watched of one flag.
#[derive(Debug)]
pub struct Watch {
    /// The place of the flag in the plan.
    pub flag: usize,
    /// Under which name its ledger is kept: the flag's key, and a number that changes with whatever the flag serves.
    /// Empty until the config is known to have no error.
    pub key: Box<str>,
    pub baseline: VariantId,
    pub guard: Option<Guard>,
    pub judged: Box<[Judged]>,
    /// By judged rule, each variant that is compared with the baseline.
    pub comparisons: Box<[(u8, VariantId)]>,
    pub limits: Box<[(VariantId, TrafficLimit)]>,
    pub rescue: Option<Span>,
}

/// The place of a rule that is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judged(usize);

impl Judged {
    /// The rule among those of its flag, counted from 1.
    #[must_use]
    pub fn number(self) -> u8 {
        u8::try_from(self.0.saturating_add(1)).unwrap_or(u8::MAX)
    }

    /// The steps of its ramp, if it is one.
    pub fn steps(self, flag: &Flag) -> &[Step] {
        flag.rules.get(self.0).map_or(&[], Rule::steps)
    }

    /// How many steps of its ramp the config's standing lets it take.
    #[must_use]
    pub fn cap(self, flag: &Flag) -> u8 {
        flag.rules.get(self.0).map_or(u8::MAX, |rule| rule.cap)
    }

    #[must_use]
    pub fn step(self, flag: &Flag, step: Option<u8>) -> Option<&Step> {
        self.steps(flag).get(usize::from(step?))
    }
}

impl Watch {
    /// The limit above which an answer is slow, in microseconds, if the config sets one.
    #[must_use]
    pub fn slow(&self) -> Option<u32> {
        let max = self.guard.as_ref()?.latency?.max?;
        Some(u32::try_from(max.millis().saturating_mul(1_000)).unwrap_or(u32::MAX))
    }

    /// The number in the name of its ledger: another one is another generation of the flag.
    #[must_use]
    pub fn generation(&self) -> Option<u64> {
        u64::from_str_radix(self.key.rsplit('/').next()?, 16).ok()
    }

    /// How long a client may wait without an answer, in microseconds, before the baseline's times are known.
    #[must_use]
    pub fn patience(&self) -> u32 {
        const UNKNOWN: u32 = 10_000_000;
        self.slow().unwrap_or(UNKNOWN)
    }

    /// Whether only requests of verified identities are counted.
    #[must_use]
    pub fn verified(&self) -> bool {
        self.guard.as_ref().is_some_and(|guard| guard.identities == Some(Identities::Verified))
    }

    /// Whether a decision depends on the time.
    pub(super) fn needs_time(&self) -> bool {
        self.rescue.is_some() || !self.limits.is_empty()
    }

    /// What has to be watched of a flag; `None` if nothing. Also marks the rules that are judged.
    pub(super) fn new(
        config: &Config,
        written: &config::Flag,
        flag: &mut Flag,
        at: &FieldPath<'_>,
        problems: &mut Problems,
    ) -> Option<Self> {
        let limits: Box<[_]> = (0..)
            .zip(&written.variants)
            .filter_map(|(place, variant)| Some((VariantId(place), variant.limit?)))
            .collect();
        if written.guard.is_none() && written.rescue.is_none() && limits.is_empty() {
            return None;
        }
        let (mut judged, mut comparisons) = (Vec::new(), Vec::new());
        if written.guard.is_some() {
            for (place, rule) in flag.rules.iter_mut().enumerate() {
                let compared = compared(rule, flag.baseline);
                if compared.is_empty() {
                    continue;
                }
                let number = u8::try_from(judged.len()).unwrap_or(u8::MAX);
                rule.judged = Some(number);
                judged.push(Judged(place));
                comparisons.extend(compared.into_iter().map(|variant| (number, variant)));
            }
            let at = at.key("guard");
            if judged.is_empty() {
                problems
                    .warning(&at, "judges nothing: no rule of the flag draws between the baseline and something else");
            }
            let mut sources = written.identity.as_ref().unwrap_or(&config.identity).iter();
            let verified = written.guard.as_ref().is_some_and(|guard| guard.identities == Some(Identities::Verified));
            if verified && !sources.any(|source| source.kind.is_verified()) {
                problems.warning(&at.key("identities"), "counts nobody: no source of identity is a claim or the peer");
            }
            if judged.len() > JUDGED || comparisons.len() > COMPARISONS {
                let (rules, variants) = (judged.len(), comparisons.len());
                let most = format_args!("at most {JUDGED} rules that draw and {COMPARISONS} variants in them");
                problems.error(&at, format_args!("can judge {most}, not {rules} and {variants}"));
            }
        }
        Some(Self {
            flag: 0,
            key: Box::default(),
            baseline: flag.baseline,
            guard: written.guard.clone(),
            judged: judged.into(),
            comparisons: comparisons.into(),
            limits,
            rescue: written.rescue,
        })
    }
}

/// The variants that a rule's draw exposes; none if it does not draw.
fn compared(rule: &Rule, baseline: VariantId) -> Vec<VariantId> {
    match &rule.serve {
        Serve::One(_) if rule.exposure == Exposure::Fixed(Ppm::FULL) => Vec::new(),
        Serve::One(only) => Some(*only).into_iter().filter(|variant| *variant != baseline).collect(),
        Serve::Split { bounds, .. } => {
            let mut variants: Vec<VariantId> = Vec::new();
            for (_, variant) in bounds {
                if *variant != baseline && !variants.contains(variant) {
                    variants.push(*variant);
                }
            }
            variants
        }
    }
}
