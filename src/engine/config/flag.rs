//! Turns the map of one flag into a [`Flag`].
//!
//! Names of variants are read but not looked up: [`crate::plan`] knows whether they exist. Never fills in what a
//! missing field means, but for words that are their own meaning.

use super::Node;
use super::condition::{self, Condition};
use super::guard::{self, Guard, Reply, TrafficLimit};
use super::identity::{self, Source};
use super::reader::{Field, HEADERS, Limit, word};
use super::schema::reference::{FLAG, MATCH, READY, ROUTE, RULE, SPLIT, STEP, VARIANT};
use crate::problem::Problems;
use crate::value::name::{FlagKey, HeaderValue, HostPattern, Method, OwnedHeader, PathPrefix, Prose, VariantName};
use crate::value::share::{MAX_WEIGHT, Ppm};
use crate::value::time::{Span, Timestamp};

const VARIANTS: Limit = Limit::new(64, "variants");
const RULES: Limit = Limit::new(100, "rules");
const STEPS: Limit = Limit::new(100, "steps");
const SPLITS: Limit = Limit::new(64, "parts");
const PATTERNS: Limit = Limit::new(100, "patterns");

/// A flag as it was written.
#[derive(Clone, Debug)]
pub struct Flag {
    pub kind: Kind,
    pub stage: Option<Stage>,
    pub owner: Option<Prose>,
    pub description: Option<Prose>,
    pub created: Option<Timestamp>,
    /// When it should be gone.
    pub expires: Option<Timestamp>,
    pub matches: Match,
    /// The header that the mesh's routes match.
    pub route: Option<OwnedHeader>,
    /// For how long a variant is avoided after its upstream could not be reached.
    pub rescue: Option<Span>,
    /// The header that tells the variant, if not the usual one.
    pub header: Option<OwnedHeader>,
    /// Empty if the config names none: then they are `on` and `off`.
    pub variants: Vec<Variant>,
    /// The safe variant.
    pub baseline: Option<VariantName>,
    /// The variant when no rule matched.
    pub default: Option<VariantName>,
    /// Whether everybody gets the baseline.
    pub kill: bool,
    /// Seeds the draws, if not the key: flags with one salt draw the same users.
    pub salt: Option<Prose>,
    pub identity: Option<Vec<Source>>,
    pub rules: Vec<Rule>,
    /// The limits that variants must keep.
    pub guard: Option<Guard>,
    /// What is counted of it, if that is written.
    pub metrics: Option<Metrics>,
}

impl Flag {
    /// The header that tells the variant of the flag with this key.
    #[must_use]
    pub fn header(&self, key: &FlagKey) -> OwnedHeader {
        self.header.clone().unwrap_or_else(|| OwnedHeader::of_flag(key))
    }

    /// Whether it routes or depends on how its variants answer: such flags get all metrics unless the config says
    /// otherwise.
    #[must_use]
    pub fn is_watched(&self) -> bool {
        let limited = self.variants.iter().any(|variant| variant.limit.is_some());
        self.route.is_some() || self.guard.is_some() || self.rescue.is_some() || limited
    }
}

/// What is counted of a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metrics {
    /// Decisions, answers and times.
    All,
    /// Decisions and answers.
    Counts,
    /// Decisions alone, which cost no call of the host.
    Decisions,
    None,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Release,
    /// To learn which variant is better.
    Experiment,
    Operational,
    KillSwitch,
}

impl Kind {
    /// The word for it in a config.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Experiment => "experiment",
            Self::Operational => "operational",
            Self::KillSwitch => "kill-switch",
        }
    }
}

/// How far along a flag is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Experimental,
    Trusted,
    Stable,
}

impl Stage {
    /// The word for it in a config.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Experimental => "experimental",
            Self::Trusted => "trusted",
            Self::Stable => "stable",
        }
    }
}

/// The requests that a flag decides; an empty list takes all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Match {
    pub hosts: Vec<HostPattern>,
    pub paths: Vec<PathPrefix>,
    pub methods: Vec<Method>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variant {
    pub name: VariantName,
    pub value: HeaderValue,
    pub headers: Vec<(OwnedHeader, HeaderValue)>,
    pub limit: Option<TrafficLimit>,
    /// An answer in the upstream's place.
    pub reply: Option<Reply>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    pub when: Option<Condition>,
    /// The share of identities that it takes in.
    pub exposure: Exposure,
    pub serve: Serve,
}

impl Rule {
    /// A rule at 0 %, in place of one that could not be read.
    fn nothing() -> Self {
        Self { when: None, exposure: Exposure::Fixed(Ppm::NONE), serve: Serve::Split(Vec::new()) }
    }
}

/// A share, or one that follows the clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exposure {
    Fixed(Ppm),
    /// The share changes at each step's time; before the first step it is 0 %.
    Steps(Box<[Step]>),
}

impl Exposure {
    /// How many steps have begun at this time.
    #[must_use]
    pub fn begun(&self, at: Timestamp) -> usize {
        match self {
            Self::Fixed(_) => 0,
            Self::Steps(steps) => steps.partition_point(|step| step.at <= at),
        }
    }

    /// The share once so many steps are taken.
    #[must_use]
    pub fn after(&self, taken: usize) -> Ppm {
        match self {
            Self::Fixed(share) => *share,
            Self::Steps(steps) => {
                taken.checked_sub(1).and_then(|last| steps.get(last)).map_or(Ppm::NONE, |step| step.share)
            }
        }
    }

    /// The share at this time, if no guard keeps a step from being taken.
    #[must_use]
    pub fn share_at(&self, at: Timestamp) -> Ppm {
        self.after(self.begun(at))
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub at: Timestamp,
    pub share: Ppm,
    pub requires: Requires,
    /// Who approved it, and when.
    pub approved: Option<Prose>,
}

impl Step {
    /// Whether it waits for an approval that it has not got.
    #[must_use]
    pub fn lacks_approval(&self) -> bool {
        self.requires.approval && self.approved.is_none()
    }
}

/// What a step waits for, besides its time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Requires {
    /// Until the guard finds the step before it healthy.
    pub healthy: bool,
    /// Until the standing in the config allows it: the fleet is healthy.
    pub fleet: bool,
    /// Until somebody approves of it.
    pub approval: bool,
    /// Until the standing in the config allows it: so many endpoints of the variant are ready.
    pub ready: Option<u32>,
}

impl Requires {
    pub const NOTHING: Self = Self { healthy: false, fleet: false, approval: false, ready: None };

    /// What a step waits for where it does not say.
    pub const HEALTHY: Self = Self { healthy: true, ..Self::NOTHING };

    const WORDS: [(&'static str, Self); 4] = [
        ("healthy", Self::HEALTHY),
        ("nothing", Self::NOTHING),
        ("fleet", Self { fleet: true, ..Self::NOTHING }),
        ("approval", Self { approval: true, ..Self::NOTHING }),
    ];

    /// Whether only the standing in the config lets it be taken.
    #[must_use]
    pub fn waits_for_fleet(self) -> bool {
        self.fleet || self.ready.is_some()
    }

    fn and(self, other: Self) -> Self {
        Self {
            healthy: self.healthy || other.healthy,
            fleet: self.fleet || other.fleet,
            approval: self.approval || other.approval,
            ready: self.ready.max(other.ready),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Serve {
    One(VariantName),
    Split(Vec<Split>),
}

/// A variant's part in a draw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    pub variant: VariantName,
    pub weight: u32,
}

/// Reads a flag. Parts that cannot be read are left out, each with a problem.
pub(super) fn read(field: &Field<'_>, problems: &mut Problems) -> Option<Flag> {
    let object = field.object(&FLAG, problems)?;
    let mut prose = |name, parser: fn(&str) -> _| object.field(name).and_then(|field| field.parse(problems, parser));
    let (owner, description) = (prose("owner", Prose::parse), prose("description", Prose::parse));
    let salt = prose("salt", Prose::parse_some);
    let mut date = |name| object.field(name).and_then(|field| field.parse(problems, Timestamp::parse_date));
    let (created, expires) = (date("created"), date("expires"));
    let mut variant = |name| object.field(name).and_then(|field| variant_name(&field, problems));
    let (baseline, default) = (variant("baseline"), variant("default"));
    let kind = object.field("type").and_then(|field| {
        let words =
            [Kind::Release, Kind::Experiment, Kind::Operational, Kind::KillSwitch].map(|kind| (kind.name(), kind));
        field.parse(problems, |text| word(text, &words))
    });
    let stage = object.field("stage").and_then(|field| {
        let words = [Stage::Experimental, Stage::Trusted, Stage::Stable].map(|stage| (stage.name(), stage));
        field.parse(problems, |text| word(text, &words))
    });
    let metrics = object.field("metrics").and_then(|field| {
        let words = [
            ("all", Metrics::All),
            ("counts", Metrics::Counts),
            ("decisions", Metrics::Decisions),
            ("none", Metrics::None),
        ];
        field.parse(problems, |text| word(text, &words))
    });
    let matches = object.field("match").and_then(|field| matches(&field, problems));
    let route = object.field("route").and_then(|field| {
        let route = field.object(&ROUTE, problems)?;
        route.required("header", problems)?.parse(problems, OwnedHeader::parse)
    });
    let rescue = object.field("rescue").and_then(|field| {
        if object.field("route").is_none() {
            problems.error_of_key(&field.at, "needs route: a flag that does not route has nowhere else to go");
        }
        field.span(problems, 100..=600_000, "must be from 100ms to 10m")
    });
    let header = object.field("header").and_then(|field| field.parse(problems, OwnedHeader::parse));
    let variants = object.field("variants").map(|field| variants(&field, baseline.as_ref(), problems));
    let kill = object.field("kill").and_then(|field| field.boolean(problems));
    let identity = object.field("identity").and_then(|field| identity::sources(&field, problems));
    let guard = object.field("guard");
    let guarded = guard.is_some();
    let guard = guard.and_then(|field| guard::read(&field, problems));
    let rules = object.field("rules").and_then(|field| {
        // An empty list is allowed, because an overlay may empty it.
        let empty = *field.node == Node::List(Vec::new());
        // A rule that cannot be read keeps its place, so that problems of the others have the right index.
        let rule = |field: &Field<'_>, problems: &mut Problems| {
            Some(rule(field, guarded, problems).unwrap_or_else(Rule::nothing))
        };
        if empty { None } else { field.each(problems, RULES, rule) }
    });
    let variants = match variants {
        // Half a list of variants would only make up problems in the rules that name the other half.
        Some(variants) => variants?,
        None => Vec::new(),
    };
    // A baseline that could not be read has been reported already: do not report it as missing, too.
    let stand_in = || object.field("baseline").and(variants.first()).map(|variant| variant.name.clone());
    let baseline = baseline.or_else(stand_in);
    Some(Flag {
        kind: kind.unwrap_or(Kind::Release),
        stage,
        owner,
        description,
        created,
        expires,
        matches: matches.unwrap_or_default(),
        route,
        rescue,
        header,
        variants,
        baseline,
        default,
        kill: kill.unwrap_or_default(),
        salt,
        identity,
        rules: rules.unwrap_or_default(),
        guard,
        metrics,
    })
}

fn variant_name(field: &Field<'_>, problems: &mut Problems) -> Option<VariantName> {
    let text = field.switch(problems)?;
    field.parsed(problems, VariantName::parse(text))
}

fn matches(field: &Field<'_>, problems: &mut Problems) -> Option<Match> {
    let object = field.object(&MATCH, problems)?;
    Some(Match {
        hosts: object
            .field("hosts")
            .and_then(|list| list.each(problems, PATTERNS, |host, problems| host.parse(problems, HostPattern::parse)))
            .unwrap_or_default(),
        paths: object
            .field("paths")
            .and_then(|list| list.each(problems, PATTERNS, |path, problems| path.parse(problems, PathPrefix::parse)))
            .unwrap_or_default(),
        methods: object
            .field("methods")
            .and_then(|list| list.each(problems, PATTERNS, |method, problems| method.parse(problems, Method::parse)))
            .unwrap_or_default(),
    })
}

fn variants(field: &Field<'_>, baseline: Option<&VariantName>, problems: &mut Problems) -> Option<Vec<Variant>> {
    let written = field.list(problems)?.len();
    let read = field.each(problems, VARIANTS, |field, problems| {
        let variant = read_variant(field, problems)?;
        if variant.limit.is_some() && Some(&variant.name) == baseline {
            problems.error_of_key(
                &field.at.key("limit"),
                "may not stand at the baseline, which takes what the others may not",
            );
        }
        Some(variant)
    })?;
    (read.len() == written).then_some(read)
}

fn read_variant(field: &Field<'_>, problems: &mut Problems) -> Option<Variant> {
    if let Node::Null | Node::List(_) = field.node {
        field.wrong(problems, "must be a name, or a map with one");
        return None;
    }
    if !matches!(field.node, Node::Map(_)) {
        let name = variant_name(field, problems)?;
        let value = HeaderValue::from(&name);
        return Some(Variant { name, value, headers: Vec::new(), limit: None, reply: None });
    }
    let object = field.object(&VARIANT, problems)?;
    let name = object.required("name", problems).and_then(|name| variant_name(&name, problems));
    let value = object.field("value").map(|value| value.parse(problems, HeaderValue::parse));
    let mut headers = Vec::new();
    if let Some(map) = object.field("headers") {
        for (key, entry) in map.members(HEADERS, problems) {
            let name = OwnedHeader::parse(key).map_err(|wrong| problems.error_of_key(&entry.at, wrong)).ok();
            headers.extend(name.zip(entry.parse(problems, HeaderValue::parse)));
        }
    }
    let limit = object.field("limit").and_then(|limit| guard::throttle(&limit, problems));
    let reply = object.field("reply").and_then(|reply| guard::reply(&reply, problems));
    let name = name?;
    let value = match value {
        Some(value) => value?,
        None => HeaderValue::from(&name),
    };
    Some(Variant { name, value, headers, limit, reply })
}

fn rule(field: &Field<'_>, guarded: bool, problems: &mut Problems) -> Option<Rule> {
    let object = field.object(&RULE, problems)?;
    let when = object.field("when").map(|when| condition::read(&when, problems));
    let exposure = match (object.field("percent"), object.field("steps")) {
        (Some(_), Some(steps)) => {
            problems.error_of_key(&steps.at, "stands beside percent: a rule has one or the other");
            None
        }
        (Some(percent), None) => percent.share(problems).map(Exposure::Fixed),
        (None, Some(list)) => steps(&list, guarded, problems).map(|steps| Exposure::Steps(steps.into())),
        (None, None) => Some(Exposure::Fixed(Ppm::FULL)),
    };
    let serve = object.required("serve", problems).and_then(|serve| self::serve(&serve, problems));
    // A rule that could not be read keeps its place at 0 %, so that problems of later rules have the right index.
    Some(Rule {
        when: when.map(|condition| condition.unwrap_or(Condition::Any(Vec::new()))),
        exposure: exposure.unwrap_or(Exposure::Fixed(Ppm::NONE)),
        serve: serve.unwrap_or(Serve::Split(Vec::new())),
    })
}

fn steps(field: &Field<'_>, guarded: bool, problems: &mut Problems) -> Option<Vec<Step>> {
    let written = field.list(problems)?.len();
    let steps = field.each(problems, STEPS, |step, problems| {
        let object = step.object(&STEP, problems)?;
        let at = object.required("at", problems).and_then(|at| at.parse(problems, Timestamp::parse));
        let share = object.required("percent", problems).and_then(|percent| percent.share(problems));
        let requires = object.field("requires").map(|requires| self::requires(&requires, guarded, problems));
        let approved = object.field("approved");
        if let (Some(approved), None | Some(Some(Requires { approval: false, .. }))) = (&approved, requires) {
            problems.error_of_key(&approved.at, "needs requires: approval, or there is nothing to approve");
        }
        let approved = approved.and_then(|approved| approved.parse(problems, Prose::parse_some));
        let requires = requires.flatten().unwrap_or(Requires::HEALTHY);
        Some(Step { at: at?, share: share?, requires, approved })
    })?;
    if steps.len() < written {
        // If one time could not be read, the order of the steps is not known.
        return None;
    }
    for (index, pair) in steps.windows(2).enumerate() {
        let [before, after] = pair else { continue };
        let at = field.at.index(index.saturating_add(1));
        if after.at <= before.at {
            problems.error(&at.key("at"), "must be later than the step before it");
        } else if after.share < before.share {
            problems.warning(&at.key("percent"), "is lower than the step before it: takes users out again");
        }
    }
    Some(steps)
}

/// What a step waits for: one thing, or a list of them.
fn requires(field: &Field<'_>, guarded: bool, problems: &mut Problems) -> Option<Requires> {
    let Node::List(items) = field.node else { return requirement(field, guarded, problems) };
    if items.is_empty() {
        field.wrong(problems, "may not be empty");
        return None;
    }
    let mut requires = Requires::NOTHING;
    for (index, node) in items.iter().enumerate() {
        let more = requirement(&Field::new(node, field.at.index(index)), guarded, problems)?;
        requires = requires.and(more);
    }
    Some(requires)
}

fn requirement(field: &Field<'_>, guarded: bool, problems: &mut Problems) -> Option<Requires> {
    if let Node::Map(_) = field.node {
        let object = field.object(&READY, problems)?;
        let ready = object.required("ready", problems)?;
        let ready = ready.steps(problems, 0, "", 1..=10_000, "must be a whole number from 1 to 10000")?;
        return Some(Requires { ready: Some(ready), ..Requires::NOTHING });
    }
    let requires = field.parse(problems, |text| word(text, &Requires::WORDS))?;
    if !guarded && matches!(requires, Requires::HEALTHY | Requires::NOTHING) {
        problems.error_of_key(&field.at, "needs a guard: without one, no step waits for health");
    }
    Some(requires)
}

fn serve(field: &Field<'_>, problems: &mut Problems) -> Option<Serve> {
    if let Node::Null | Node::Map(_) = field.node {
        field.wrong(problems, "must be a variant, or a list of {variant, weight}");
        return None;
    }
    if !matches!(field.node, Node::List(_)) {
        return variant_name(field, problems).map(Serve::One);
    }
    let written = field.list(problems)?.len();
    let splits = field.each(problems, SPLITS, |part, problems| {
        let object = part.object(&SPLIT, problems)?;
        let variant = object.required("variant", problems).and_then(|variant| variant_name(&variant, problems));
        let weight = object.required("weight", problems);
        let weight = weight.and_then(|weight| {
            weight.steps(problems, 0, "", 0..=MAX_WEIGHT, "must be a whole number from 0 to 1000000")
        });
        Some(Split { variant: variant?, weight: weight? })
    })?;
    if splits.len() < written {
        return None;
    }
    if splits.iter().all(|split| split.weight == 0) {
        field.wrong(problems, "must have a weight above 0");
        return None;
    }
    Some(Serve::Split(splits))
}
