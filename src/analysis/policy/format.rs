//! Turns a policy file into a [`Policy`], with all that is wrong gathered, as a config is read.
//!
//! Each value is parsed here, once. Never looks at a config: [`mod@super::judge`] does.

use std::collections::BTreeMap;

use super::freeze::{Freeze, Offset, Weekly};
use crate::lint::debt::Caps;
use crate::words;
use tidegate_engine::config::reader::{Field, Limit, Object, word};
use tidegate_engine::config::schema::reference::{Entry, Section};
use tidegate_engine::config::schema::shape::{self, NEEDED, Shape};
use tidegate_engine::config::{Kind, Node};
use tidegate_engine::problem::{FieldPath, Problems, Wrong};
use tidegate_engine::value::share::Ppm;
use tidegate_engine::value::time::{Span, Timestamp};

const LIST: Limit = Limit::new(100, "entries");
const OWNERS: Limit = Limit::new(1_000, "owners");

/// The word for what holds for every type.
const EVERY: &str = "every";

/// All types, in the order of their words.
const KINDS: [Kind; 4] = [Kind::Release, Kind::Experiment, Kind::Operational, Kind::KillSwitch];

/// A field of a policy. No schema is made of policies, so that their fields have no shape.
const fn entry(name: &'static str, takes: &'static str, without: &'static str, about: &'static str) -> Entry {
    shape::entry(name, Shape::Any, takes, without, about)
}

/// All kinds of maps in a policy.
pub static SECTIONS: [&Section; 7] = [&POLICY, &NAMES, &REQUIRED, &LIVES, &CAPS, &FREEZE, &WEEKLY];

static POLICY: Section = Section {
    title: "A policy",
    fields: &[
        entry("version", "`1`", NEEDED, "Version of this format."),
        entry(
            "names",
            "map of patterns, by type",
            "any",
            "What keys look like: `rel-*`, where `*` is any text and `?` one letter.",
        ),
        entry("required", "map of lists of fields, by type", "none", "The fields that a flag must have."),
        entry(
            "longestLife",
            "map of durations, by type",
            "any",
            "How long a flag may live, from `created` or from now; it must have an expiry date.",
        ),
        entry(
            "caps",
            "map of percentages, by stage",
            "any",
            "The largest share of all users that a stage may serve another variant than the baseline.",
        ),
        entry("largestStep", "percentage", "any", "By how many percentage points a share may rise at once."),
        entry(
            "freezes",
            "list",
            "none",
            "Times in which no step may begin, and no flag may change except back to the baseline.",
        ),
        entry("weeklyFreezes", "list", "none", "The same, each week."),
        entry(
            "owners",
            "map of lists of approvers",
            "anybody",
            "Who may own flags, and who approves what they change.",
        ),
        entry("approvers", "list of approvers", "none", "Who also approves every config."),
    ],
};

macro_rules! by_type {
    ($title:literal, $takes:literal, $without:literal, $every:literal) => {
        Section {
            title: $title,
            fields: &[
                entry("every", $takes, $without, $every),
                entry("release", $takes, "", "For releases."),
                entry("experiment", $takes, "", "For experiments."),
                entry("operational", $takes, "", "For operational flags."),
                entry("kill-switch", $takes, "", "For kill switches."),
            ],
        }
    };
}

static NAMES: Section =
    by_type!("`names`", "pattern, or list of patterns", "any", "For types without an entry of their own.");
static REQUIRED: Section = by_type!("`required`", "list of fields", "none", "For every type, in addition to its own.");
static LIVES: Section = by_type!("`longestLife`", "duration", "any", "For types without an entry of their own.");

static CAPS: Section = Section {
    title: "`caps`",
    fields: &[
        entry("experimental", "percentage", "any", "For flags that are new."),
        entry("trusted", "percentage", "any", "For flags that have proven themselves."),
        entry("stable", "percentage", "any", "For finished flags."),
    ],
};

static FREEZE: Section = Section {
    title: "A freeze",
    fields: &[
        entry("from", "date, or time with an offset", NEEDED, "When it begins."),
        entry("to", "date, or time with an offset", NEEDED, "When it ends."),
        entry("reason", "text", NEEDED, "Why; shown in messages."),
        entry("types", "list of types", "all", "The types of flags that it applies to."),
    ],
};

static WEEKLY: Section = Section {
    title: "A weekly freeze",
    fields: &[
        entry("from", "day and time: `Fri 16:00`", NEEDED, "When it begins."),
        entry("to", "day and time: `Mon 08:00`", NEEDED, "When it ends."),
        entry(
            "offset",
            "`+01:00`",
            "`Z`",
            "The offset from UTC of these times. It does not follow daylight saving time.",
        ),
        entry("reason", "text", NEEDED, "Why; shown in messages."),
        entry("types", "list of types", "all", "The types of flags that it applies to."),
    ],
};

/// What configs must keep.
#[derive(Debug, Default)]
pub struct Policy {
    pub names: ByType<Vec<Box<str>>>,
    pub required: ByType<Vec<Needed>>,
    pub lives: ByType<Span>,
    pub caps: Option<Caps>,
    pub largest_step: Option<Ppm>,
    pub freezes: Vec<Freeze>,
    /// Who may own flags, each with who approves; everybody may where there is none.
    pub owners: Option<BTreeMap<Box<str>, Vec<Box<str>>>>,
    pub approvers: Vec<Box<str>>,
}

/// What holds for every type, and what for single ones.
#[derive(Debug)]
pub struct ByType<T> {
    every: Option<T>,
    own: Vec<(Kind, T)>,
}

impl<T> Default for ByType<T> {
    fn default() -> Self {
        Self { every: None, own: Vec::new() }
    }
}

impl<T> ByType<T> {
    /// What holds for this type alone.
    fn own(&self, kind: Kind) -> Option<&T> {
        self.own.iter().find(|(known, _)| *known == kind).map(|(_, value)| value)
    }

    /// What holds for this type: its own, or what holds for every.
    pub fn nearest(&self, kind: Kind) -> Option<&T> {
        self.own(kind).or(self.every.as_ref())
    }

    /// What holds for this type: what holds for every, and its own.
    pub fn both(&self, kind: Kind) -> impl Iterator<Item = &T> {
        self.every.iter().chain(self.own(kind))
    }
}

/// A field that a flag may be asked to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Needed {
    Stage,
    Owner,
    Description,
    Created,
    Expires,
    Match,
    Salt,
    Identity,
    Guard,
}

impl Needed {
    const ALL: [(&'static str, Self); 9] = [
        ("stage", Self::Stage),
        ("owner", Self::Owner),
        ("description", Self::Description),
        ("created", Self::Created),
        ("expires", Self::Expires),
        ("match", Self::Match),
        ("salt", Self::Salt),
        ("identity", Self::Identity),
        ("guard", Self::Guard),
    ];

    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, known)| *known == self).map_or("", |(name, _)| name)
    }
}

impl Policy {
    /// Reads a policy; it is whole only if `problems` has no error.
    pub fn read(node: &Node, problems: &mut Problems) -> Self {
        let root = Field::new(node, FieldPath::ROOT);
        let mut policy = Self::default();
        let Some(object) = root.object(&POLICY, problems) else { return policy };
        if let Some(version) = object.required("version", problems)
            && *version.node != Node::Number("1".into())
        {
            version.wrong(problems, "must be 1, the version of the format that this command reads");
        }
        if let Some(field) = object.field("names") {
            policy.names = by_type(&field, &NAMES, problems, patterns);
        }
        if let Some(field) = object.field("required") {
            policy.required = by_type(&field, &REQUIRED, problems, |field, problems| {
                field.each(problems, LIST, |item, problems| item.parse(problems, |text| word(text, &Needed::ALL)))
            });
        }
        if let Some(field) = object.field("longestLife") {
            policy.lives = by_type(&field, &LIVES, problems, |field, problems| field.parse(problems, Span::parse));
        }
        policy.caps = object.field("caps").and_then(|field| caps(&field, problems));
        policy.largest_step = object.field("largestStep").and_then(|field| {
            let step = field.share(problems)?;
            if step == Ppm::NONE {
                field.wrong(problems, "must be above 0, or no share could ever rise");
            }
            Some(step)
        });
        let mut list = |name, read: fn(&Field<'_>, &mut Problems) -> Option<Freeze>| {
            object.field(name).and_then(|field| field.each(problems, LIST, read)).unwrap_or_default()
        };
        policy.freezes = list("freezes", freeze);
        policy.freezes.extend(list("weeklyFreezes", weekly));
        policy.owners = object.field("owners").map(|field| {
            let mut owners = BTreeMap::new();
            for (owner, entry) in field.members(OWNERS, problems) {
                owners.insert(owner.into(), approvers(&entry, problems));
            }
            owners
        });
        policy.approvers = object.field("approvers").map_or_else(Vec::new, |field| approvers(&field, problems));
        policy
    }

    /// The shares that stages may have.
    pub fn caps(&self) -> Caps {
        self.caps.unwrap_or_default()
    }

    /// How many rules it has, of all kinds.
    pub fn rule_count(&self) -> usize {
        let by_type = [self.names.len(), self.required.len(), self.lives.len(), self.freezes.len()];
        let owners = self.owners.as_ref().map_or(0, BTreeMap::len);
        let single = [self.caps.is_some(), self.largest_step.is_some()].into_iter().filter(|is| *is).count();
        by_type.into_iter().chain([owners, single]).sum::<usize>()
    }
}

impl<T> ByType<T> {
    fn len(&self) -> usize {
        self.own.len().saturating_add(usize::from(self.every.is_some()))
    }
}

fn by_type<T>(
    field: &Field<'_>,
    section: &'static Section,
    problems: &mut Problems,
    read: impl Fn(&Field<'_>, &mut Problems) -> Option<T>,
) -> ByType<T> {
    let mut found = ByType::default();
    let Some(object) = field.object(section, problems) else { return found };
    found.every = object.field(EVERY).and_then(|field| read(&field, problems));
    for one in KINDS {
        let value = object.field(words::kind(one)).and_then(|field| read(&field, problems));
        found.own.extend(value.map(|value| (one, value)));
    }
    found
}

/// One pattern, or several.
fn patterns(field: &Field<'_>, problems: &mut Problems) -> Option<Vec<Box<str>>> {
    let one = |field: &Field<'_>, problems: &mut Problems| field.parse(problems, pattern);
    match field.node {
        Node::List(_) => field.each(problems, LIST, one),
        _ => Some(vec![one(field, problems)?]),
    }
}

/// A pattern that a key can fit.
fn pattern(text: &str) -> Result<Box<str>, Wrong> {
    let fits = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '-' | '_' | '.' | '*' | '?');
    match text.chars().find(|c| !fits(*c)) {
        _ if text.is_empty() => Err("may not be empty".into()),
        None => Ok(text.into()),
        Some(c) => {
            Err(format!("matches no key: a key has lower-case letters, digits, '-', '_' and '.', and no '{c}'").into())
        }
    }
}

fn caps(field: &Field<'_>, problems: &mut Problems) -> Option<Caps> {
    let object = field.object(&CAPS, problems)?;
    let mut cap = |name| object.field(name).map_or(Some(Ppm::FULL), |field| field.share(problems));
    let (experimental, trusted, stable) = (cap("experimental"), cap("trusted"), cap("stable"));
    let caps = Caps { experimental: experimental?, trusted: trusted?, stable: stable? };
    if caps.experimental > caps.trusted || caps.trusted > caps.stable {
        problems.warning(&field.at, "allows an earlier stage more than a later one");
    }
    Some(caps)
}

fn freeze(field: &Field<'_>, problems: &mut Problems) -> Option<Freeze> {
    let object = field.object(&FREEZE, problems)?;
    let mut time = |name| {
        let field = object.required(name, problems)?;
        field.parse(problems, |text| {
            Timestamp::parse_date(text)
                .map_err(|_| "must be a date, or a time with an offset, such as 2026-12-24T12:00:00Z".into())
        })
    };
    let (from, to) = (time("from"), time("to"));
    let (reason, types) = rest(&object, problems);
    let (from, to) = (from?, to?);
    if to <= from {
        object.field("to")?.wrong(problems, "must be later than from");
        return None;
    }
    Some(Freeze::once(from, to, reason?, types?))
}

fn weekly(field: &Field<'_>, problems: &mut Problems) -> Option<Freeze> {
    let object = field.object(&WEEKLY, problems)?;
    let mut time = |name| object.required(name, problems).and_then(|field| field.parse(problems, Weekly::parse));
    let (from, to) = (time("from"), time("to"));
    let offset = object.field("offset").map_or(Some(Offset::UTC), |field| field.parse(problems, Offset::parse));
    let (reason, types) = rest(&object, problems);
    let (from, to) = (from?, to?);
    if to == from {
        object.field("to")?.wrong(problems, "must be a different time than from");
        return None;
    }
    Some(Freeze::weekly(from, to, offset?, reason?, types?))
}

/// The reason of a freeze, and the types that it holds for.
fn rest(object: &Object<'_>, problems: &mut Problems) -> (Option<Box<str>>, Option<Vec<Kind>>) {
    let reason = object.required("reason", problems).and_then(|field| {
        field.parse(problems, |text| {
            tidegate_engine::value::name::Prose::parse_some(text).map(|prose| prose.as_str().into())
        })
    });
    let words = KINDS.map(|one| (words::kind(one), one));
    let types = object.field("types").map_or(Some(KINDS.to_vec()), |field| {
        field.each(problems, LIST, |item, problems| item.parse(problems, |text| word(text, &words)))
    });
    (reason, types)
}

/// Users, teams and addresses, as CODEOWNERS has them; the list may be empty.
fn approvers(field: &Field<'_>, problems: &mut Problems) -> Vec<Box<str>> {
    let Some(items) = field.list(problems) else { return Vec::new() };
    let fields = items.iter().enumerate().map(|(index, node)| Field::new(node, field.at.index(index)));
    fields.filter_map(|field| field.parse(problems, approver)).collect()
}

fn approver(text: &str) -> Result<Box<str>, Wrong> {
    let name = text.strip_prefix('@');
    let (front, back) = text.split_once('@').unwrap_or((text, ""));
    let is_name = name.is_some_and(|name| !name.is_empty() && !name.contains('@'));
    let is_address = !front.is_empty() && !back.is_empty();
    let plain = text.chars().all(|c| c.is_ascii_graphic() && c != '#');
    if plain && (is_name || is_address) {
        Ok(text.into())
    } else {
        Err("must be a user or team, such as \"@shop/payments\", or an address".into())
    }
}
