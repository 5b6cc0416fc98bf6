//! Turns the bytes of a config into a [`Config`]: what was written, parsed, with all that is wrong gathered.
//!
//! Each value is parsed here, once. Names of variants and segments are still names: [`crate::plan`] resolves
//! them. Never looks at a request, and never stops at the first problem.

mod condition;
mod encode;
mod flag;
mod guard;
mod identity;
mod node;
pub(crate) mod parts;
mod protobuf;
pub mod reader;
pub mod schema;
pub mod standing;

pub use condition::{Comparison, Condition, Operator, Relation, Subject};
pub use flag::{Exposure, Flag, Kind, Match, Metrics, Requires, Rule, Serve, Split, Stage, Step, Variant};
pub use guard::{Action, Errors, Failures, Guard, Identities, Latency, Reply, TrafficLimit};
pub use identity::{ClaimPath, Generate, Source, SourceKind};
pub use node::{Node, Place, Unread};

use crate::problem::{FieldPath, Problems, Wrong};
use crate::value::name::{FlagKey, HeaderValue, OwnedHeader, Prose, SegmentName};
use reader::{Field, Limit, Object};
use schema::reference::{INSPECT, TELEMETRY};
use standing::Standing;

pub const MAX_BYTES: usize = 512 * 1024;

const FLAGS: Limit = Limit::new(1_000, "flags");
const SEGMENTS: Limit = Limit::new(1_000, "segments");
const BYTES: Limit = Limit::new(MAX_BYTES, "bytes");

/// A config as it was written.
#[derive(Debug, Default)]
pub struct Config {
    /// The author's name for it.
    pub revision: Option<Prose>,
    /// Where identities come from, in order.
    pub identity: Vec<Source>,
    pub segments: Vec<(SegmentName, Condition)>,
    pub flags: Vec<(FlagKey, Flag)>,
    /// Whether all decisions travel as one dictionary, too.
    pub dictionary: bool,
    pub headers: Headers,
    pub cache: Cache,
    /// The header that asks to see the decisions.
    pub inspect: Option<Inspect>,
    pub telemetry: Telemetry,
    /// What has been decided so far about flags, by their keys.
    pub standing: Vec<(FlagKey, Standing)>,
}

impl Config {
    /// Whether anybody can see the page.
    #[must_use]
    pub fn has_page(&self) -> bool {
        self.inspect.as_ref().is_some_and(Inspect::has_page)
    }
}

/// By which headers a request tells of its decisions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Headers {
    /// Each flag by its own.
    #[default]
    Each,
    /// All flags by the dictionary, apart from those that route or name a header of their own.
    Dictionary,
}

impl Headers {
    const WORDS: [(&'static str, Self); 2] = [("each", Self::Each), ("dictionary", Self::Dictionary)];
}

/// What caches are told about responses that depend on a decision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cache {
    /// `vary` with the request headers that the decision depends on; `private` if it depends on something else.
    #[default]
    Vary,
    /// Only the client may cache them.
    Private,
    None,
}

impl Cache {
    const WORDS: [(&'static str, Self); 3] = [("vary", Self::Vary), ("private", Self::Private), ("none", Self::None)];
}

/// Where logs, traces and other services see the decisions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Telemetry {
    /// In the filter state, all of them, for access logs.
    pub access_log: bool,
    /// In the filter state, that of the flag that routes, part by part, for the tags of spans.
    pub spans: bool,
    /// In the request's baggage, for every hop behind this one.
    pub baggage: bool,
}

/// Who may see the decisions and the page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspect {
    pub header: Option<OwnedHeader>,
    /// The value that it must have, if not any.
    pub equals: Option<HeaderValue>,
    /// Whether the key opens the page, too.
    pub page: bool,
    /// The name, in its metadata, of a listener that shows the page to everybody.
    pub listener: Option<HeaderValue>,
}

impl Inspect {
    /// Whether anybody can see the page.
    #[must_use]
    pub fn has_page(&self) -> bool {
        self.page || self.listener.is_some()
    }

    /// The header that asks, with a value that it may have.
    #[must_use]
    pub fn key(&self) -> Option<(&str, &str)> {
        let header = self.header.as_ref()?;
        Some((header.as_str(), self.equals.as_ref().map_or("1", |value| value.as_str())))
    }
}

impl Config {
    #[must_use]
    pub fn flag(&self, key: &str) -> Option<&Flag> {
        let place = self.flags.binary_search_by(|(known, _)| known.as_str().cmp(key)).ok()?;
        self.flags.get(place).map(|(_, flag)| flag)
    }

    /// What has been decided so far about the flag of this key, if the config says, void or not.
    #[must_use]
    pub fn standing(&self, key: &str) -> Option<&Standing> {
        let place = self.standing.binary_search_by(|(known, _)| known.as_str().cmp(key)).ok()?;
        self.standing.get(place).map(|(_, standing)| standing)
    }

    /// The place of the segment of this name.
    #[must_use]
    pub fn segment_place(&self, name: &SegmentName) -> Option<usize> {
        self.segments.binary_search_by(|(known, _)| known.cmp(name)).ok()
    }

    #[must_use]
    pub fn segment(&self, name: &SegmentName) -> Option<&Condition> {
        self.segments.get(self.segment_place(name)?).map(|(_, condition)| condition)
    }

    /// Reads JSON, or a `google.protobuf.Struct` in its wire form. The config is whole only if `problems` has no
    /// error; with one, it holds what could be read.
    pub fn from_bytes(bytes: &[u8], problems: &mut Problems) -> Self {
        if !Self::fits(bytes, problems) {
            return Self::default();
        }
        match Node::from_json(bytes) {
            Ok(node) => Self::from_tree(node, problems),
            Err(error) => {
                if let Some(node) = protobuf::read(bytes).filter(|_| !bytes.is_empty()) {
                    return Self::from_tree(node, problems);
                }
                let words = if bytes.is_empty() {
                    "is empty".to_owned()
                } else if bytes.first() == Some(&0x0a) && core::str::from_utf8(bytes).is_err() {
                    // It begins like a protobuf message, but it could not be read as a `Struct`.
                    "is neither JSON nor a google.protobuf.Struct: send it as JSON in a google.protobuf.StringValue"
                        .to_owned()
                } else if matches!(error, Unread::Deep(_)) {
                    format!("is {error}")
                } else if bytes.starts_with(b"\xef\xbb\xbf") {
                    "is not JSON: begins with a byte order mark".to_owned()
                } else {
                    format!("is not JSON: {error}")
                };
                let Place { line, column } = error.place();
                let wrong = if line == 0 { words.into() } else { Wrong::Syntax { words, line, column } };
                problems.error(&FieldPath::ROOT, wrong);
                Self::default()
            }
        }
    }

    /// Whether a config may have so many bytes.
    pub(crate) fn fits(bytes: &[u8], problems: &mut Problems) -> bool {
        BYTES.hold(&FieldPath::ROOT, bytes.len(), problems)
    }

    /// Reads a tree, whatever format it was written in.
    pub fn from_node(node: &Node, problems: &mut Problems) -> Self {
        Self::from_tree(node.clone(), problems)
    }

    fn from_tree(node: Node, problems: &mut Problems) -> Self {
        let mut tree = parts::Tree::new(node);
        loop {
            if let Some(config) = tree.step(problems) {
                return config;
            }
        }
    }

    fn read_head(&mut self, object: &Object<'_>, problems: &mut Problems) {
        if let Some(version) = object.required("version", problems)
            && *version.node != Node::Number("1".into())
        {
            version.wrong(problems, "must be 1, the version of the format that this module reads");
        }
        if let Some(revision) = object.field("revision") {
            self.revision = revision.parse(problems, Prose::parse_some);
        }
        if let Some(list) = object.field("identity") {
            self.identity = identity::sources(&list, problems).unwrap_or_default();
        }
    }

    fn read_segment(&mut self, key: &str, field: &Field<'_>, problems: &mut Problems) {
        let name = SegmentName::parse(key).map_err(|wrong| problems.error_of_key(&field.at, wrong)).ok();
        // A segment that could not be read keeps its name, so that rules that use it have no problem of their own.
        let condition = condition::read(field, problems).unwrap_or(Condition::Any(Vec::new()));
        self.segments.extend(name.map(|name| (name, condition)));
    }

    fn read_flag(&mut self, key: &str, field: &Field<'_>, problems: &mut Problems) {
        let name = FlagKey::parse(key).map_err(|wrong| problems.error_of_key(&field.at, wrong)).ok();
        let flag = flag::read(field, problems);
        self.flags.extend(name.zip(flag));
    }

    fn read_rest(&mut self, object: &Object<'_>, problems: &mut Problems) {
        if let Some(dictionary) = object.field("dictionary") {
            self.dictionary = dictionary.boolean(problems).unwrap_or_default();
        }
        if let Some(field) = object.field("headers") {
            self.headers = field.parse(problems, |text| reader::word(text, &Headers::WORDS)).unwrap_or_default();
            if self.headers == Headers::Dictionary && object.field("dictionary").is_some() && !self.dictionary {
                problems.error(&field.at, "says that there is a dictionary, and `dictionary` that there is none");
            }
        }
        if let Some(field) = object.field("cache") {
            self.cache = field.parse(problems, |text| reader::word(text, &Cache::WORDS)).unwrap_or_default();
        }
        if let Some(field) = object.field("inspect") {
            self.inspect = inspect(&field, problems);
        }
        if let Some(field) = object.field("telemetry") {
            self.telemetry = telemetry(&field, problems);
        }
        if let Some(map) = object.field("standing") {
            for (key, field) in map.members(FLAGS, problems) {
                let entry = standing::read(&field, problems);
                let place = self.flags.binary_search_by(|(known, _)| known.as_str().cmp(key));
                match place.ok().and_then(|place| self.flags.get(place)) {
                    Some((key, _)) => self.standing.extend(entry.map(|entry| (key.clone(), entry))),
                    // An overlay may have taken the flag away: nothing is decided about nothing.
                    None => problems.warning(&field.at, "is the standing of a flag that does not exist"),
                }
            }
        }
    }
}

fn telemetry(field: &Field<'_>, problems: &mut Problems) -> Telemetry {
    let Some(object) = field.object(&TELEMETRY, problems) else { return Telemetry::default() };
    let mut on = |name| object.field(name).and_then(|field| field.boolean(problems)).unwrap_or_default();
    Telemetry { access_log: on("accessLog"), spans: on("spans"), baggage: on("baggage") }
}

fn inspect(field: &Field<'_>, problems: &mut Problems) -> Option<Inspect> {
    let object = field.object(&INSPECT, problems)?;
    let listener = object.field("listener").map(|listener| listener.parse(problems, HeaderValue::parse));
    // With a listener of its own no key is needed; without either, `inspect` would do nothing.
    let header = if listener.is_some() { object.field("header") } else { object.required("header", problems) };
    let header = header.map(|header| header.parse(problems, OwnedHeader::parse));
    let equals = object.field("equals");
    if let Some(equals) = &equals
        && header.is_none()
    {
        problems.error_of_key(&equals.at, "needs header: it is the value of that");
    }
    let equals = equals.map(|equals| equals.secret(problems, HeaderValue::parse));
    let page = object.field("page");
    if let Some(page) = &page
        && header.is_none()
    {
        problems.error_of_key(&page.at, "needs header: it is for who carries the key");
    }
    let page = page.and_then(|page| page.boolean(problems)).unwrap_or_default();
    if page && header.is_some() && equals.is_none() {
        problems.warning(&field.at.key("page"), "is shown to whoever sends the header: give equals a word of your own");
    }
    Some(Inspect {
        header: match header {
            Some(header) => Some(header?),
            None => None,
        },
        page,
        listener: match listener {
            Some(listener) => Some(listener?),
            None => None,
        },
        equals: match equals {
            // A key that could not be read must not become "any value".
            Some(None) => return None,
            Some(Some(value)) => Some(value),
            None => None,
        },
    })
}
