//! Turns a [`Config`] into a [`Plan`]: looks names up, sums weights, gives out slots, checks the headers.
//!
//! Runs over a config with problems too, to find all of them; what cannot be resolved gets a stand-in, and the
//! problem that was noted keeps the plan from being used. Never looks at a request.

use std::sync::Arc;

use super::inputs::{Input, Interner};
use super::reply::Reply;
use super::watch::{GUARDS, Watch};
use super::{
    About, Condition, Flag, Index, Mark, Match, Plan, Property, Rule, Serve, Source, Subject, Variant, VariantId,
    Varies,
};
use super::{varies, work};
use crate::config::{self, Cache, Config, Exposure, Flag as FlagConfig, Headers, Metrics, SourceKind};
use crate::problem::{FieldPath, Found, Known, Problems, Wrong, known};
use crate::value::hash::Salt;
use crate::value::name::{FlagKey, HeaderName, HeaderValue, OwnedHeader, VariantName, item};
use crate::value::order;
use crate::value::share::Ppm;

pub const DICTIONARY: &str = "x-flags";

/// The longest dictionary, inspection header and filter state, in bytes: proxies and servers refuse headers of more
/// than 8 KiB.
pub const HEADER_MAX: usize = 4 * 1024;

/// The end of a warning about a header that the filter owns and a rule reads.
const READ: &str = "which a condition or identity reads: that sees what clients send";

/// How many segments a chain of references may have.
const CHAIN: usize = 16;

pub(super) fn plan(config: &Config, problems: &mut Problems) -> Plan {
    let mut parts = Parts::default();
    loop {
        if let Some(plan) = parts.step(config, problems) {
            return plan;
        }
    }
}

/// A plan that is made in parts, each of which takes a fraction of a millisecond: each segment, each flag, and what
/// only their whole shows.
#[derive(Debug, Default)]
pub(super) struct Parts {
    state: State,
    /// Whether the references between segments have been followed.
    followed: bool,
    segments: Vec<Condition>,
    flags: Vec<Flag>,
    written: Option<Written>,
    plan: Option<Plan>,
    checked: bool,
    /// How many flags know what caches have to know about them.
    varied: usize,
}

/// For how many flags the headers that they depend on are found in one part.
const VARIED: usize = 64;

impl Parts {
    /// Does the next part for this config, always the same one. Returns the plan once it is whole.
    pub(super) fn step(&mut self, config: &Config, problems: &mut Problems) -> Option<Plan> {
        let root = FieldPath::ROOT;
        let at = root.key("flags");
        if let Some(plan) = &mut self.plan {
            if !core::mem::replace(&mut self.checked, true) {
                work::check(plan, &at, problems);
                return None;
            }
            if config.cache != Cache::None && problems.errors().is_empty() && self.varied < plan.flags.len() {
                let varies = varies::some(plan, self.varied, VARIED);
                for (flag, varies) in plan.flags.iter_mut().skip(self.varied).zip(varies) {
                    flag.varies = varies;
                }
                self.varied = self.varied.saturating_add(VARIED);
                return None;
            }
            return self.plan.take();
        }
        let mut compiler = Compiler { config, state: core::mem::take(&mut self.state) };
        let segments = root.key("segments");
        if !core::mem::replace(&mut self.followed, true) {
            compiler.identity(&config.identity);
            follow(config, &segments, problems);
        } else if let Some((name, condition)) = config.segments.get(self.segments.len()) {
            self.segments.push(compiler.condition(condition, &segments.key(name.as_str()), problems));
        } else if let Some((key, flag)) = config.flags.get(self.flags.len()) {
            self.flags.push(compiler.flag(key, flag, &at.key(key.as_str()), problems));
        } else if let Some(written) = self.written.take() {
            let (segments, flags) = (core::mem::take(&mut self.segments), core::mem::take(&mut self.flags));
            self.plan = Some(compiler.whole(segments, flags, written));
            return None;
        } else {
            let watches = watches(config, &mut self.flags, &at, problems);
            let (owned, shared) = compiler.owned(&self.flags, &at, problems);
            for (flag, (key, written)) in self.flags.iter_mut().zip(&config.flags) {
                flag.plain = flag.plain();
                if config.headers == Headers::Dictionary && written.header.is_none() {
                    only_dictionary(flag, &written.header(key), written.route.as_ref());
                }
                flag.names = names(flag);
            }
            if config.headers == Headers::Dictionary {
                check_dictionary(&self.flags, &root, problems);
            }
            self.written = Some(Written { watches, owned, shared });
        }
        self.state = compiler.state;
        None
    }
}

/// What is watched of all flags, and the headers that they write.
#[derive(Debug)]
struct Written {
    watches: Box<[Watch]>,
    owned: Vec<OwnedHeader>,
    shared: Box<[OwnedHeader]>,
}

struct Compiler<'c> {
    config: &'c Config,
    state: State,
}

/// What is known of the whole config while its parts are compiled.
#[derive(Debug, Default)]
struct State {
    inputs: Interner,
    identities: Vec<Box<[Source]>>,
    known_segments: Option<Known>,
}

impl Compiler<'_> {
    /// The plan of these segments and flags, but for its checks and what caches have to know.
    fn whole(&mut self, segments: Vec<Condition>, flags: Vec<Flag>, written: Written) -> Plan {
        let config = self.config;
        let Written { watches, owned, shared } = written;
        let inspect_slot = config.inspect.as_ref().and_then(|inspect| {
            let name = HeaderName::parse(inspect.header.as_ref()?.as_str()).ok()?;
            Some(self.state.inputs.slot(Input::Header(name)))
        });
        let fitting = |variant: &Variant| variant.reply.as_ref().is_some_and(|reply| !reply.forms.is_empty());
        let fits = flags.iter().flat_map(|flag| &flag.variants).any(fitting);
        let accept = HeaderName::parse("accept").ok().filter(|_| fits);
        let accept = accept.map(|name| self.state.inputs.slot(Input::Header(name)));
        let has_ramp = |flag: &Flag| flag.rules.iter().any(|rule| matches!(rule.exposure, Exposure::Steps(_)));
        let State { inputs, identities, known_segments: _ } = core::mem::take(&mut self.state);
        Plan {
            replies: flags.iter().flat_map(|flag| &flag.variants).any(|variant| variant.reply.is_some()),
            needs_time: flags.iter().any(has_ramp) || watches.iter().any(Watch::needs_time),
            accept,
            watches,
            index: Index::new(flags.iter().map(|flag| &flag.matches)),
            flags: flags.into(),
            segments: segments.into(),
            identities: identities.into(),
            dictionary: config.dictionary || config.headers == Headers::Dictionary,
            cache: config.cache,
            inspect: config.inspect.clone(),
            inspect_slot,
            telemetry: config.telemetry,
            shared,
            mark: Mark::default(),
            inputs: inputs.finish(&owned, config.telemetry.baggage),
            owned: owned.into(),
            revision: config.revision.clone(),
            fingerprint: 0,
        }
    }

    /// The place of a list of sources; equal lists share one, so that an identity is worked out once a request.
    fn identity(&mut self, sources: &[config::Source]) -> usize {
        let compiled: Box<[Source]> = sources.iter().map(|source| self.source(source)).collect();
        if let Some(place) = self.state.identities.iter().position(|known| *known == compiled) {
            return place;
        }
        self.state.identities.push(compiled);
        self.state.identities.len().saturating_sub(1)
    }

    fn source(&mut self, source: &config::Source) -> Source {
        let inputs = &mut self.state.inputs;
        let mut request_id = None;
        let input = match &source.kind {
            SourceKind::Claim(path) => Input::Property(Property::Claim(path.clone())),
            SourceKind::Header(name) => Input::Header(name.clone()),
            SourceKind::Cookie(name) => Input::Cookie(name.clone()),
            SourceKind::Query(name) => Input::Query(name.clone()),
            SourceKind::Peer => Input::Property(Property::Peer),
            SourceKind::Address => Input::Property(Property::Address),
            SourceKind::Proxy => Input::Property(Property::Proxy),
            SourceKind::UnverifiedClaim(path) => Input::TokenClaim(path.clone()),
            SourceKind::Generate(generate) => {
                request_id = inputs.request_id();
                Input::Cookie(generate.cookie.clone())
            }
        };
        let slot = inputs.slot(input);
        Source { slot, kind: source.kind.clone(), lower: source.lower, trim: source.trim, request_id }
    }

    fn condition(&mut self, condition: &config::Condition, at: &FieldPath<'_>, problems: &mut Problems) -> Condition {
        let mut each = |parts: &[config::Condition], name: &str| -> Box<[Condition]> {
            let at = at.key(name);
            let parts = parts.iter().enumerate();
            parts.map(|(index, part)| self.condition(part, &at.index(index), problems)).collect()
        };
        match condition {
            config::Condition::All(parts) => Condition::All(each(parts, "all")),
            config::Condition::Any(parts) => Condition::Any(each(parts, "any")),
            config::Condition::Not(part) => Condition::Not(Box::new(self.condition(part, &at.key("not"), problems))),
            config::Condition::Segment(name) => {
                let place = self.config.segment_place(name);
                if place.is_none() {
                    let mut names = self.config.segments.iter().map(|(name, _)| name.to_string().into());
                    let known = Arc::clone(self.state.known_segments.get_or_insert_with(|| known(&mut names)));
                    let wrong = Wrong::UnknownName { what: "a segment", known };
                    problems.error_found(&at.key("segment"), wrong, || Found::text(name.as_str()));
                }
                Condition::Segment(place.unwrap_or_default())
            }
            config::Condition::Test(subject, operator) => Condition::Test(self.subject(subject), operator.clone()),
        }
    }

    fn subject(&mut self, subject: &config::Subject) -> Subject {
        Subject::Slot(self.state.inputs.slot(match subject {
            config::Subject::Method => return Subject::Method,
            config::Subject::Host => return Subject::Host,
            config::Subject::Path => return Subject::Path,
            config::Subject::Identity => return Subject::Identity,
            config::Subject::Header(name) => Input::Header(name.clone()),
            config::Subject::Cookie(name) => Input::Cookie(name.clone()),
            config::Subject::Query(name) => Input::Query(name.clone()),
            config::Subject::Claim(path) => Input::Property(Property::Claim(path.clone())),
            config::Subject::UnverifiedClaim(path) => Input::TokenClaim(path.clone()),
            config::Subject::Peer => Input::Property(Property::Peer),
            config::Subject::Address => Input::Property(Property::Address),
            config::Subject::Proxy => Input::Property(Property::Proxy),
            config::Subject::Device => Input::Device,
        }))
    }

    fn flag(&mut self, key: &FlagKey, flag: &FlagConfig, at: &FieldPath<'_>, problems: &mut Problems) -> Flag {
        let header = flag.header(key);
        let variants = variants(key, flag, &header, at, problems);
        let mut names = Names { variants: &variants, known: None };
        let baseline = match &flag.baseline {
            Some(name) => names.find(name, &at.key("baseline"), problems),
            None if flag.variants.is_empty() => VariantId(1),
            None => {
                problems.error(&at.key("baseline"), "is required where variants are given");
                VariantId(0)
            }
        };
        let default = match &flag.default {
            Some(name) => names.find(name, &at.key("default"), problems),
            None => baseline,
        };
        let rules_at = at.key("rules");
        let mut rules = Vec::new();
        for (index, rule) in flag.rules.iter().enumerate() {
            let at = rules_at.index(index);
            rules.push(Rule {
                when: rule.when.as_ref().map(|when| self.condition(when, &at.key("when"), problems)),
                exposure: rule.exposure.clone(),
                cap: rule.exposure.cap(None),
                serve: names.serve(&rule.serve, &at.key("serve"), problems),
                judged: None,
            });
        }
        warn_shadowed(&rules, &rules_at, problems);
        let matches = Match {
            hosts: flag.matches.hosts.clone().into(),
            paths: flag.matches.paths.clone().into(),
            methods: flag.matches.methods.clone().into(),
        };
        Flag {
            key: key.clone(),
            draws: rules.iter().any(|rule: &Rule| rule.draws() || matches!(rule.serve, Serve::Split { .. })),
            matches,
            identity: flag.identity.as_ref().map_or(0, |sources| self.identity(sources)),
            salt: Salt::new(flag.salt.as_ref().map_or(key.as_str(), |salt| salt.as_str())),
            variants: variants.into(),
            baseline,
            default,
            kill: flag.kill,
            rules: rules.into(),
            routes: flag.route.is_some(),
            varies: Varies::Never,
            metrics: flag.metrics.unwrap_or(if flag.is_watched() { Metrics::All } else { Metrics::Decisions }),
            watch: None,
            plain: None,
            names: Box::default(),
            about: Box::new(About::of(flag)),
            stands: None,
        }
    }

    /// The headers of all flags, and those that two flags can write, sorted.
    fn owned(
        &self,
        flags: &[Flag],
        at: &FieldPath<'_>,
        problems: &mut Problems,
    ) -> (Vec<OwnedHeader>, Box<[OwnedHeader]>) {
        struct Writer<'f> {
            folded: String,
            header: &'f OwnedHeader,
            flag: &'f str,
        }
        let written = flags.iter().flat_map(|flag| {
            let headers = flag.variants.iter().flat_map(|variant| &variant.writes);
            headers.map(|(header, _)| (header, flag.key.as_str()))
        });
        let writers: Vec<Writer<'_>> =
            written.map(|(header, flag)| Writer { folded: header.as_str().replace('_', "-"), header, flag }).collect();
        // Sorted so that names which some server takes for the same header are next to each other, in key order.
        let order = order::of(writers.iter().map(|writer| writer.folded.as_bytes()));
        let mut owned: Vec<OwnedHeader> = Vec::new();
        let read = self.state.inputs.headers();
        let looked_at: Vec<&[u8]> =
            order::of(read.iter().map(String::as_bytes)).into_iter().map(|(name, _)| name).collect();
        let inspected = self.config.inspect.as_ref().and_then(|inspect| inspect.header.as_ref());
        let inspected = inspected.map(|header| header.as_str().replace('_', "-"));
        let mut shared: Vec<OwnedHeader> = Vec::new();
        for same in order.chunk_by(|(one, _), (two, _)| one == two) {
            let mut same = same.iter().filter_map(|(_, place)| writers.get(*place));
            let Some(first) = same.next() else { continue };
            let (header, winner) = (first.header, first.flag);
            owned.push(header.clone());
            if inspected.as_ref() == Some(&first.folded) {
                problems
                    .error(&at.key(winner), format_args!("may not write {header}: it is the key of inspect.header"));
            }
            if first.folded == DICTIONARY {
                let why = format_args!("may not write {header}: {DICTIONARY} is the dictionary of all flags");
                problems.error(&at.key(winner), why);
            }
            if looked_at.binary_search(&first.folded.as_bytes()).is_ok() {
                problems.warning(&at.key(winner), format_args!("writes {header}, {READ}"));
            }
            let (mut told, mut twin) = (winner, "");
            for Writer { header: other, flag, .. } in same {
                if *other != header {
                    if twin == *flag {
                        continue;
                    }
                    twin = *flag;
                    let why = format_args!("writes {other}, which some servers take for {header} of flags.{winner}");
                    problems.error(&at.key(flag), why);
                } else if *flag != told {
                    let why = format_args!("writes {header}, as flags.{winner} does: where both match, {winner} wins");
                    problems.warning(&at.key(flag), why);
                    let place = shared.partition_point(|known| known < header);
                    shared.insert(place, header.clone());
                    told = flag;
                }
            }
        }
        let header = self.config.inspect.as_ref().and_then(|inspect| inspect.header.as_ref());
        if let Some((header, folded)) = header.zip(inspected) {
            let at = FieldPath::ROOT;
            let at = at.key("inspect");
            if folded == DICTIONARY {
                problems.error(&at.key("header"), format_args!("may not be {DICTIONARY}, the dictionary of all flags"));
            }
            if looked_at.binary_search(&folded.as_bytes()).is_ok() {
                problems.warning(&at.key("header"), format_args!("is {header}, {READ}"));
            }
            owned.push(header.clone());
        }
        owned.extend(OwnedHeader::parse(DICTIONARY));
        (owned, shared.into())
    }
}

/// What has to be watched. Also sets each flag's place in that list.
fn watches(config: &Config, flags: &mut [Flag], at: &FieldPath<'_>, problems: &mut Problems) -> Box<[Watch]> {
    let mut watches: Vec<Watch> = Vec::new();
    for (place, (flag, (key, written))) in flags.iter_mut().zip(&config.flags).enumerate() {
        if let Some(watch) = Watch::new(config, written, flag, &at.key(key.as_str()), problems) {
            flag.watch = u16::try_from(watches.len()).ok();
            watches.push(Watch { flag: place, ..watch });
        }
    }
    let guards = watches.iter().filter(|watch| watch.guard.is_some()).count();
    if guards > GUARDS {
        problems.error(at, format_args!("may have at most {GUARDS} guards, not {guards}"));
    }
    watches.into()
}

/// The variants of a flag, each with what it writes; `on` and `off` where none were named.
fn variants(
    key: &FlagKey,
    flag: &FlagConfig,
    header: &OwnedHeader,
    at: &FieldPath<'_>,
    problems: &mut Problems,
) -> Vec<Variant> {
    let at = at.key("variants");
    let mut variants: Vec<Variant> = Vec::new();
    let mut push = |name: &VariantName,
                    value: &HeaderValue,
                    more: &[(OwnedHeader, HeaderValue)],
                    reply: Option<&config::Reply>| {
        let mut writes = vec![(header.clone(), value.clone())];
        // The flag's own header may be the one that routes: write it once.
        writes.extend(flag.route.iter().filter(|route| *route != header).map(|route| (route.clone(), value.clone())));
        let index = variants.len();
        for (name, value) in more {
            if writes.iter().any(|(known, _)| known == name) {
                problems
                    .error(&at.index(index).key("headers").key(name.as_str()), "is already written by this variant");
            }
            writes.push((name.clone(), value.clone()));
        }
        if variants.iter().any(|known| known.name == *name) {
            problems.error(&at.index(index), format_args!("names {name} a second time"));
        }
        variants.push(Variant {
            name: name.clone(),
            value: value.clone(),
            writes: writes.into(),
            member: member(key, flag.variants.is_empty(), name, value),
            reply: reply.map(Reply::new),
        });
    };
    if flag.variants.is_empty() {
        for name in ["on", "off"].iter().filter_map(|name| VariantName::parse(name).ok()) {
            push(&name, &HeaderValue::from(&name), &[], None);
        }
    } else {
        let each = |variant: &config::Variant| {
            push(&variant.name, &variant.value, &variant.headers, variant.reply.as_ref());
        };
        flag.variants.iter().for_each(each);
    }
    variants
}

/// Leaves a flag's decision to the dictionary: its own header, which it has only by default, is not written.
fn only_dictionary(flag: &mut Flag, header: &OwnedHeader, route: Option<&OwnedHeader>) {
    for variant in &mut flag.variants {
        let writes = core::mem::take(&mut variant.writes).into_vec().into_iter();
        variant.writes = writes.filter(|(name, _)| name != header || route == Some(name)).collect();
    }
}

/// Warns if the dictionary cannot hold all flags: nothing else tells of those that are left out.
fn check_dictionary(flags: &[Flag], at: &FieldPath<'_>, problems: &mut Problems) {
    let longest = |flag: &Flag| flag.variants.iter().map(|variant| variant.member.len()).max().unwrap_or_default();
    let bytes = flags.iter().map(|flag| longest(flag).saturating_add(2)).fold(0, usize::saturating_add);
    if bytes > HEADER_MAX {
        let why = format_args!(
            "makes a dictionary of up to {bytes} bytes where all flags match, which ends after {HEADER_MAX}: requests \
             are not told of the flags behind that"
        );
        problems.warning(&at.key("headers"), why);
    }
}

/// The names of the headers that a flag can write, each once.
fn names(flag: &Flag) -> Box<str> {
    let mut all: Vec<&str> = Vec::new();
    for (name, _) in flag.variants.iter().flat_map(|variant| &variant.writes) {
        if !all.contains(&name.as_str()) {
            all.push(name.as_str());
        }
    }
    all.join(" ").into()
}

/// A member of an RFC 9651 dictionary: a boolean for a flag that is just on or off, a token or a string else.
fn member(key: &FlagKey, switch: bool, name: &VariantName, value: &HeaderValue) -> Box<str> {
    let item = match (switch, name.as_str()) {
        (true, "on") => "?1".into(),
        (true, _) => "?0".into(),
        (false, _) => item(value.as_str()),
    };
    format!("{key}={item}").into()
}

struct Names<'v> {
    variants: &'v [Variant],
    known: Option<Known>,
}

impl Names<'_> {
    fn find(&mut self, name: &VariantName, at: &FieldPath<'_>, problems: &mut Problems) -> VariantId {
        let place = (0..).zip(self.variants).find(|(_, variant)| variant.name == *name);
        if place.is_none() {
            let mut names = self.variants.iter().map(|variant| variant.name.to_string().into());
            let known = Arc::clone(self.known.get_or_insert_with(|| known(&mut names)));
            let wrong = Wrong::UnknownName { what: "a variant of this flag", known };
            problems.error_found(at, wrong, || Found::text(name.as_str()));
        }
        VariantId(place.map_or(0, |(place, _)| place))
    }

    fn serve(&mut self, serve: &config::Serve, at: &FieldPath<'_>, problems: &mut Problems) -> Serve {
        let splits = match serve {
            config::Serve::One(name) => return Serve::One(self.find(name, at, problems)),
            config::Serve::Split(splits) => splits,
        };
        let mut bounds = Vec::new();
        let mut total: u32 = 0;
        for (index, split) in splits.iter().enumerate() {
            let variant = self.find(&split.variant, &at.index(index).key("variant"), problems);
            total = total.saturating_add(split.weight);
            // A variant with weight 0 is never drawn, so it needs no bound.
            if split.weight > 0 {
                bounds.push((total, variant));
            }
        }
        match bounds.as_slice() {
            [(_, only)] => Serve::One(*only),
            _ => Serve::Split { total, bounds: bounds.into() },
        }
    }
}

/// Warns of rules that can never be reached, because one before them takes every request.
fn warn_shadowed(rules: &[Rule], at: &FieldPath<'_>, problems: &mut Problems) {
    let takes_all = |rule: &Rule| {
        rule.when.is_none() && rule.exposure == Exposure::Fixed(Ppm::FULL) && matches!(rule.serve, Serve::One(_))
    };
    if let Some(last) = rules.iter().position(takes_all)
        && last.saturating_add(1) < rules.len()
    {
        problems.warning(&at.index(last), "takes every request: the rules behind it are never tried");
    }
}

/// Reports chains of references between segments that are too long, or a ring.
fn follow(config: &Config, at: &FieldPath<'_>, problems: &mut Problems) {
    let mut depths = vec![Depth::Unknown; config.segments.len()];
    for (place, (name, _)) in config.segments.iter().enumerate() {
        // The rest of a chain has been followed from its head, so a chain that is too long is reported once, at its head.
        let head = matches!(depths.get(place), Some(Depth::Unknown));
        if depth(place, config, &mut depths, at, problems) > CHAIN && head {
            let why = format_args!("stands at the head of a chain of more than {CHAIN} segments");
            problems.error(&at.key(name.as_str()), why);
            if let Some(depth) = depths.get_mut(place) {
                *depth = Depth::Known(0);
            }
        }
    }
}

/// How far the chain of references from a segment has been followed.
#[derive(Clone, Copy)]
enum Depth {
    Unknown,
    Open,
    Known(usize),
}

/// The length of the chain of references that starts at this segment. Reports each reference that closes a cycle.
fn depth(place: usize, config: &Config, depths: &mut [Depth], at: &FieldPath<'_>, problems: &mut Problems) -> usize {
    let Some((name, condition)) = config.segments.get(place) else { return 0 };
    if let Some(Depth::Known(depth)) = depths.get(place) {
        return *depth;
    }
    if let Some(depth) = depths.get_mut(place) {
        *depth = Depth::Open;
    }
    let mut deepest = 0;
    let mut open = vec![condition];
    let mut told = false;
    while let Some(condition) = open.pop() {
        match condition {
            config::Condition::All(parts) | config::Condition::Any(parts) => open.extend(parts.iter().rev()),
            config::Condition::Not(part) => open.push(part),
            config::Condition::Test(..) => {}
            config::Condition::Segment(next) => {
                let Some(place) = config.segment_place(next) else { continue };
                if matches!(depths.get(place), Some(Depth::Open)) {
                    // Report a cycle once per segment, however often the segment refers to itself.
                    if !told {
                        told = true;
                        let through = if next == name { String::new() } else { format!(", through {name}") };
                        problems.error(&at.key(next.as_str()), format_args!("refers to itself{through}"));
                    }
                    continue;
                }
                deepest = deepest.max(depth(place, config, depths, at, problems).saturating_add(1));
            }
        }
    }
    if let Some(depth) = depths.get_mut(place) {
        *depth = Depth::Known(deepest);
    }
    deepest
}
