//! Turns a [`Config`] into a [`Plan`]: the form in which a request is decided.
//!
//! Everything that can be worked out before a request comes is worked out here: names are resolved to places,
//! salts are hashed, weights are summed, headers are checked, flags are indexed by what they match. A plan is
//! immutable, and lists the inputs that it needs. Never looks at a request.

mod compile;
mod fingerprint;
mod index;
mod inputs;
mod parts;
mod reply;
mod stands;
mod varies;
mod watch;
mod work;

pub use compile::{DICTIONARY, HEADER_MAX};
pub use index::Index;
pub use inputs::{HeaderRole, Inputs, Property, Slot};
pub use parts::Parts;
pub use reply::Reply;
pub use stands::Waits;
pub use varies::Varies;
pub use watch::{Judged, Watch};

use crate::config::standing::Standing;
use crate::config::{
    self, Cache, Config, Exposure, Inspect, Kind, Metrics, Operator, SourceKind, Stage, Step, Telemetry,
};
use crate::decide::standing::{FlagStanding, Phase};
use crate::problem::Problems;
use crate::value::hash::Salt;
use crate::value::name::{FlagKey, HeaderValue, HostPattern, Method, OwnedHeader, PathPrefix, Prose, VariantName};
use crate::value::share::Ppm;
use crate::value::time::Timestamp;

#[derive(Debug)]
pub enum Compiled {
    /// It has no error: this is its plan.
    Ready(Plan),
    /// It has errors. This plan decides nothing, and still removes headers that clients may not send.
    Broken(Plan),
}

impl Compiled {
    /// The plan of a config without errors.
    #[must_use]
    pub fn ready(self) -> Option<Plan> {
        match self {
            Self::Ready(plan) => Some(plan),
            Self::Broken(_) => None,
        }
    }
}

#[derive(Debug, Default)]
pub struct Plan {
    pub flags: Box<[Flag]>,
    pub segments: Box<[Condition]>,
    /// The lists of identity sources; the first is the config's own.
    pub identities: Box<[Box<[Source]>]>,
    pub index: Index,
    /// The flags that are watched: guarded, limited or rescued.
    watches: Box<[Watch]>,
    pub dictionary: bool,
    pub cache: Cache,
    pub inspect: Option<Inspect>,
    pub inspect_slot: Option<Slot>,
    pub telemetry: Telemetry,
    /// The headers that two flags can write, of which the first must be kept, sorted.
    pub shared: Box<[OwnedHeader]>,
    /// Whether any variant answers in the upstream's place.
    pub replies: bool,
    /// Whether a decision depends on the time.
    needs_time: bool,
    /// The slot of the `accept` header, if a reply depends on it.
    pub accept: Option<Slot>,
    inputs: Inputs,
    mark: Mark,
    owned: Box<[OwnedHeader]>,
    revision: Option<Prose>,
    fingerprint: u64,
}

impl Plan {
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> (Compiled, Problems) {
        let mut parts = Parts::new(bytes.to_vec());
        loop {
            if let Some(done) = parts.step() {
                return done;
            }
        }
    }

    /// Compiles a config that was read with these problems, and adds those that only its whole shows.
    pub fn compile(config: &Config, problems: &mut Problems) -> Compiled {
        let mut plan = compile::plan(config, problems);
        if !problems.errors().is_empty() {
            return Compiled::Broken(Self::inert(plan.owned));
        }
        fingerprint::seal(config, &mut plan);
        Compiled::Ready(plan)
    }

    /// A plan that decides nothing, and still keeps clients from forging decisions: the headers of a config that
    /// could only half be read, and every name that a flag would have by itself.
    fn inert(owned: Box<[OwnedHeader]>) -> Self {
        let fingerprint = fingerprint::of_headers(&owned);
        Self { inputs: Inputs::inert(&owned), owned, fingerprint, ..Self::default() }
    }

    /// The author's name for the config.
    #[must_use]
    pub fn revision(&self) -> Option<&Prose> {
        self.revision.as_ref()
    }

    /// A number that is equal for equal plans, on every platform, and for a config written in any order.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// Tells instances with different plans apart in one filter chain.
    #[inline]
    #[must_use]
    pub fn mark(&self) -> &str {
        &self.mark.0
    }

    /// What must be fetched for a request.
    #[inline]
    #[must_use]
    pub fn inputs(&self) -> &Inputs {
        &self.inputs
    }

    /// The flags, in key order.
    #[inline]
    #[must_use]
    pub fn flags(&self) -> &[Flag] {
        &self.flags
    }

    #[inline]
    #[must_use]
    pub fn flag_of(&self, watch: &Watch) -> Option<&Flag> {
        self.flags.get(watch.flag)
    }

    /// What is watched of the flags.
    #[inline]
    #[must_use]
    pub fn watches(&self) -> &[Watch] {
        &self.watches
    }

    /// The headers that belong to the filter.
    #[must_use]
    pub fn owned_headers(&self) -> &[OwnedHeader] {
        &self.owned
    }

    /// Whether anybody can see the page.
    #[must_use]
    pub fn has_page(&self) -> bool {
        self.inspect.as_ref().is_some_and(Inspect::has_page)
    }

    /// Whether a decision depends on the time.
    #[inline]
    #[must_use]
    pub fn needs_time(&self) -> bool {
        self.needs_time
    }
}

/// The fingerprint of a plan as text.
#[derive(Debug, Default)]
struct Mark(Box<str>);

#[derive(Debug)]
pub struct Flag {
    pub key: FlagKey,
    pub matches: Match,
    /// Whether any of its rules draws.
    pub draws: bool,
    /// The place of its identity sources in the plan.
    pub identity: usize,
    pub salt: Salt,
    pub variants: Box<[Variant]>,
    pub baseline: VariantId,
    pub default: VariantId,
    pub kill: bool,
    pub rules: Box<[Rule]>,
    pub routes: bool,
    /// What caches have to know about its decision.
    pub varies: Varies,
    pub metrics: Metrics,
    /// Its place among the watched flags.
    pub watch: Option<u16>,
    /// What decides it, if that is one draw and nothing else.
    pub plain: Option<Plain>,
    /// The names of all headers that it writes, as the chain has them.
    pub names: Box<str>,
    /// What it is to people.
    pub about: Box<About>,
    /// What has been decided so far about it, as the config says; nothing where that is void.
    pub stands: Option<Box<Standing>>,
}

/// What a flag is to people. Decides nothing.
#[derive(Clone, Debug)]
pub struct About {
    pub kind: Kind,
    pub stage: Option<Stage>,
    pub owner: Option<Prose>,
    /// When it should be gone.
    pub expires: Option<Timestamp>,
}

/// The only rule of a flag that is not watched: a draw without a condition, at a share that never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plain {
    pub share: Ppm,
    pub serve: VariantId,
}

impl About {
    fn of(flag: &config::Flag) -> Self {
        let config::Flag { kind, stage, ref owner, expires, .. } = *flag;
        Self { kind, stage, owner: owner.clone(), expires }
    }
}

impl Flag {
    /// What decides it, if it is plain.
    fn plain(&self) -> Option<Plain> {
        let [Rule { when: None, exposure: Exposure::Fixed(share), serve: Serve::One(serve), .. }] = &*self.rules else {
            return None;
        };
        let draws = *share != Ppm::NONE && *share != Ppm::FULL;
        (draws && !self.kill && self.watch.is_none()).then_some(Plain { share: *share, serve: *serve })
    }

    #[must_use]
    pub fn key(&self) -> &FlagKey {
        &self.key
    }

    /// The share of identities that one of its rules draws at this time, as far as kill and guard let it.
    #[must_use]
    pub fn exposure(&self, rule: &Rule, now: Timestamp, standing: &FlagStanding) -> Ppm {
        let back = self.kill || self.is_back() || standing.phase == Phase::RolledBack;
        if back { Ppm::NONE } else { rule.share(now, standing, self.baseline) }
    }

    #[inline]
    #[must_use]
    pub fn variant(&self, id: VariantId) -> Option<&Variant> {
        self.variants.get(usize::from(id.0))
    }
}

/// The place of a variant in its flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct VariantId(pub u8);

/// A variant, with all that it writes.
#[derive(Debug)]
pub struct Variant {
    pub name: VariantName,
    pub value: HeaderValue,
    /// The headers for the upstream, each once.
    pub writes: Box<[(OwnedHeader, HeaderValue)]>,
    /// Its member of the dictionary: `checkout=v2`.
    pub member: Box<str>,
    /// The answer in the upstream's place.
    pub reply: Option<Reply>,
}

impl Variant {
    #[must_use]
    pub fn name(&self) -> &VariantName {
        &self.name
    }

    #[must_use]
    pub fn value(&self) -> &HeaderValue {
        &self.value
    }
}

/// The requests of a flag; an empty list takes all.
#[derive(Debug, Default)]
pub struct Match {
    pub hosts: Box<[HostPattern]>,
    pub paths: Box<[PathPrefix]>,
    pub methods: Box<[Method]>,
}

#[derive(Debug)]
pub struct Rule {
    pub when: Option<Condition>,
    pub exposure: Exposure,
    /// How many steps of its ramp it may take, whatever the clock says.
    pub cap: u8,
    pub serve: Serve,
    /// Its place among the rules that a guard judges.
    pub judged: Option<u8>,
}

impl Rule {
    /// The steps of its ramp, if it is one.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        match &self.exposure {
            Exposure::Fixed(_) => &[],
            Exposure::Steps(steps) => steps,
        }
    }

    /// Whether it takes only a share of the requests that its condition matches.
    #[must_use]
    pub fn draws(&self) -> bool {
        self.exposure != Exposure::Fixed(Ppm::FULL)
    }

    /// How many steps of its ramp are taken at this time, as far as the config's standing and the guard let it.
    #[inline]
    #[must_use]
    pub fn taken(&self, now: Timestamp, standing: &FlagStanding) -> usize {
        let begun = self.exposure.begun(now).min(usize::from(self.cap));
        let allowed = self.judged.and_then(|rule| standing.steps.get(usize::from(rule)));
        allowed.map_or(begun, |allowed| begun.min(usize::from(*allowed)))
    }

    /// The share of identities that the rule takes in at this time, as far as the guard lets it.
    #[inline]
    #[must_use]
    pub fn share(&self, now: Timestamp, standing: &FlagStanding, baseline: VariantId) -> Ppm {
        let share = match &self.exposure {
            Exposure::Fixed(share) => *share,
            Exposure::Steps(_) => self.exposure.after(self.taken(now, standing)),
        };
        let safe = matches!(self.serve, Serve::One(only) if only == baseline);
        if standing.phase == Phase::Trial && !safe { share.min(Ppm::TRIAL) } else { share }
    }
}

#[derive(Debug)]
pub enum Serve {
    One(VariantId),
    /// The upper bound of each variant's range in `0..total`, ascending.
    Split {
        total: u32,
        bounds: Box<[(u32, VariantId)]>,
    },
}

/// A condition whose names are resolved.
#[derive(Debug)]
pub enum Condition {
    All(Box<[Condition]>),
    Any(Box<[Condition]>),
    Not(Box<Condition>),
    /// The place of a segment in the plan.
    Segment(usize),
    Test(Subject, Operator),
}

/// Where a condition finds its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    Method,
    Host,
    Path,
    Identity,
    Slot(Slot),
}

/// A source of identity, and where its value is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    pub slot: Slot,
    pub kind: SourceKind,
    pub lower: bool,
    pub trim: bool,
    /// For a generated identity: where the request's own id is found.
    pub request_id: Option<Slot>,
}
