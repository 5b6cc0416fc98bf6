//! Turns a config without errors, and the plan that was made of it, into the numbers by which both are known again:
//! the fingerprint of the whole, and the generation of each flag that is watched.
//!
//! Names are written as what they stand for, so that another name for a segment, another order of the keys, or a
//! default that is written out makes no difference. Never asked for a request.

use super::{Flag, Mark, Plan, Serve, VariantId, stands};
use crate::config::{self, Condition, Config, Exposure, Headers, Source, Subject};
use crate::value::encode::{Encode, Encoder};
use crate::value::name::{FlagKey, OwnedHeader};

/// The version of what is written for a config. A new version changes the fingerprint of every config.
const PLAN: &str = "plan/1";

/// The version of what is written for a flag. A new version makes guards forget what they know, rollbacks included.
const FLAG: &str = "flag/1";

const SEGMENT: &str = "segment/1";

/// Gives a plan and its watched flags their numbers. For a config without errors: segments in a ring would never end.
pub(super) fn seal(config: &Config, plan: &mut Plan) {
    let mut parts = Parts::new(config);
    while !parts.step(config, plan) {}
}

impl Plan {
    /// The generation of a flag, guarded or not: a number that changes with whatever the flag serves, and that a standing
    /// speaks of. Asks for the config of which this plan was made.
    #[must_use]
    pub fn generation(&self, config: &Config, key: &str) -> Option<u64> {
        let place = self.flags.binary_search_by(|flag| flag.key.as_str().cmp(key)).ok()?;
        Segments { config, digests: vec![None; config.segments.len()] }.generation(self, place)
    }
}

/// The work on the numbers of a plan, in parts: each flag, each watched flag, and what has been decided about flags.
#[derive(Debug)]
pub(super) struct Parts {
    /// Those of the segments that were asked for.
    digests: Vec<Option<u64>>,
    /// What was written of the config; none once all is.
    out: Option<Encoder>,
    flags: usize,
    watches: usize,
    standing: usize,
}

impl Parts {
    pub(super) fn new(config: &Config) -> Self {
        // A segment is written where a rule asks it: one that nothing asks decides nothing.
        let Config { revision, identity, segments, flags, dictionary, headers, cache, inspect, telemetry, standing: _ } =
            config;
        let mut out = Encoder::new(PLAN);
        revision.encode(&mut out);
        identity.encode(&mut out);
        dictionary.encode(&mut out);
        cache.encode(&mut out);
        inspect.encode(&mut out);
        telemetry.encode(&mut out);
        // Came later: what does not use it keeps its number.
        if *headers != Headers::default() {
            headers.encode(&mut out);
        }
        out.length(flags.len());
        Self { digests: vec![None; segments.len()], out: Some(out), flags: 0, watches: 0, standing: 0 }
    }

    /// Does the next part for this config and its plan, always the same ones. Returns whether it was the last.
    pub(super) fn step(&mut self, config: &Config, plan: &mut Plan) -> bool {
        let mut known = Segments { config, digests: core::mem::take(&mut self.digests) };
        if let Some(mut out) = self.out.take() {
            if let Some(((key, written), flag)) = config.flags.get(self.flags).zip(plan.flags.get(self.flags)) {
                known.flag(key, written, flag, &mut out);
                // What changes how a flag is treated, and not what it serves.
                written.kill.encode(&mut out);
                written.rescue.encode(&mut out);
                flag.metrics.encode(&mut out);
                self.flags = self.flags.saturating_add(1);
                self.out = Some(out);
            } else {
                // What is no part of a flag came later, too.
                config.standing.iter().for_each(|entry| out.choice(0, entry));
                config.flags.iter().for_each(|(key, flag)| approvals(key, flag, &mut out));
                plan.fingerprint = out.finish();
                plan.mark = Mark(format!("@{:016x}", plan.fingerprint).into());
            }
        } else if let Some(place) = plan.watches.get(self.watches).map(|watch| watch.flag) {
            let generation = known.generation(plan, place);
            let key = plan.flags.get(place).map(|flag| &flag.key);
            if let Some(((key, generation), watch)) = key.zip(generation).zip(plan.watches.get_mut(self.watches)) {
                watch.key = format!("guard/{key}/{generation:016x}").into();
            }
            self.watches = self.watches.saturating_add(1);
        } else if let Some((key, standing)) = config.standing.get(self.standing) {
            if let Ok(place) = plan.flags.binary_search_by(|flag| flag.key.cmp(key))
                && let Some(generation) = known.generation(plan, place)
                && let Some(flag) = plan.flags.get_mut(place)
            {
                stands::apply(standing, generation, flag);
            }
            self.standing = self.standing.saturating_add(1);
        }
        self.digests = known.digests;
        let is_sealed = self.out.is_none() && self.watches >= plan.watches.len();
        is_sealed && self.standing >= config.standing.len()
    }
}

/// Who approved of which step: no part of what a flag serves, so that an approval is no other flag.
fn approvals(key: &FlagKey, flag: &config::Flag, out: &mut Encoder) {
    for (rule, one) in (0_u64..).zip(&flag.rules) {
        let Exposure::Steps(steps) = &one.exposure else { continue };
        for (step, approved) in (0_u64..).zip(steps).filter_map(|(step, one)| Some((step, one.approved.as_ref()?))) {
            out.choice(1, key);
            out.number(rule);
            out.number(step);
            approved.encode(out);
        }
    }
}

/// The fingerprint of a plan that only removes headers.
pub(super) fn of_headers(owned: &[OwnedHeader]) -> u64 {
    let mut out = Encoder::new(PLAN);
    owned.encode(&mut out);
    out.finish()
}

/// A digest for each segment, so that a segment is read once however many rules use it.
struct Segments<'c> {
    config: &'c Config,
    digests: Vec<Option<u64>>,
}

impl Segments<'_> {
    /// A number for what the flag at this place serves.
    fn generation(&mut self, plan: &Plan, place: usize) -> Option<u64> {
        let (key, written) = self.config.flags.get(place)?;
        let mut out = Encoder::new(FLAG);
        self.flag(key, written, plan.flags.get(place)?, &mut out);
        Some(out.finish())
    }

    /// Writes what a flag serves and to which users. Leaves out what is only for people, such as the description.
    fn flag(&mut self, key: &FlagKey, written: &config::Flag, flag: &Flag, out: &mut Encoder) {
        let config::Flag {
            kind: _,
            stage: _,
            owner: _,
            description: _,
            created: _,
            expires: _,
            matches,
            route,
            rescue: _,
            header: _,
            variants,
            baseline: _,
            default: _,
            kill: _,
            salt: _,
            identity,
            rules,
            guard,
            metrics: _,
        } = written;
        let identity = identity.as_ref().unwrap_or(&self.config.identity);
        key.encode(out);
        identity.encode(out);
        flag.salt.encode(out);
        matches.encode(out);
        route.encode(out);
        written.header(key).encode(out);
        variants.encode(out);
        flag.baseline.encode(out);
        flag.default.encode(out);
        guard.encode(out);
        out.length(rules.len());
        for (written, rule) in rules.iter().zip(&flag.rules) {
            let config::Rule { when, exposure, serve: _ } = written;
            out.number(when.is_some().into());
            if let Some(when) = when {
                self.condition(when, identity, out);
            }
            exposure.encode(out);
            rule.serve.encode(out);
        }
    }

    /// A condition, where `identity` means these sources.
    fn condition(&mut self, condition: &Condition, identity: &[Source], out: &mut Encoder) {
        match condition {
            Condition::All(parts) => self.conditions(0, parts, identity, out),
            Condition::Any(parts) => self.conditions(1, parts, identity, out),
            Condition::Not(part) => self.conditions(2, core::slice::from_ref(part), identity, out),
            Condition::Segment(name) => {
                let digest = self.config.segment_place(name).map(|place| self.digest(place));
                out.choice(3, &digest);
            }
            Condition::Test(subject, operator) => {
                out.number(4);
                match subject {
                    Subject::Header(name) => out.choice(0, name),
                    Subject::Cookie(name) => out.choice(1, name),
                    Subject::Query(name) => out.choice(2, name),
                    Subject::Claim(path) => out.choice(3, path),
                    Subject::UnverifiedClaim(path) => out.choice(4, path),
                    Subject::Method => out.number(5),
                    Subject::Host => out.number(6),
                    Subject::Path => out.number(7),
                    Subject::Peer => out.number(8),
                    Subject::Address => out.number(9),
                    Subject::Device => out.number(10),
                    Subject::Proxy => out.number(11),
                    Subject::Identity => out.choice(12, identity),
                }
                operator.encode(out);
            }
        }
    }

    fn conditions(&mut self, number: u64, parts: &[Condition], identity: &[Source], out: &mut Encoder) {
        out.number(number);
        out.length(parts.len());
        for part in parts {
            self.condition(part, identity, out);
        }
    }

    fn digest(&mut self, place: usize) -> u64 {
        if let Some(Some(digest)) = self.digests.get(place) {
            return *digest;
        }
        let mut out = Encoder::new(SEGMENT);
        let config = self.config;
        if let Some((_, condition)) = config.segments.get(place) {
            // Inside a segment, the identity is always the config's own.
            self.condition(condition, &config.identity, &mut out);
        }
        let digest = out.finish();
        if let Some(known) = self.digests.get_mut(place) {
            *known = Some(digest);
        }
        digest
    }
}

impl Encode for VariantId {
    fn encode(&self, out: &mut Encoder) {
        out.number(self.0.into());
    }
}

impl Encode for Serve {
    fn encode(&self, out: &mut Encoder) {
        match self {
            Self::One(variant) => out.choice(0, variant),
            // The last bound is the total.
            Self::Split { total: _, bounds } => out.choice(1, bounds),
        }
    }
}
