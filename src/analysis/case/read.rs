//! Reads a case file: each value where it stands, and everything that is wrong with it at once.
//!
//! Names of flags, variants and reasons are looked up in the config. Never runs a case.

use std::ops::Range;
use std::path::Path;
use std::rc::Rc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use super::{Case, Expect, ExpectedValues, Suite};
use crate::request::RequestSpec;
use crate::source::diagnostic::nearest;
use crate::source::tree::{Key, Places, Tree, Value};
use crate::source::{Diagnostic, Document, Loaded, ReadError, Refused, Severity, document};
use crate::words::time;
use tidegate_engine::config::{Inspect, Node};
use tidegate_engine::decide::Reason;
use tidegate_engine::output::effect::INSPECTION;
use tidegate_engine::plan::Plan;
use tidegate_engine::problem::{FieldPath, Quoted};
use tidegate_engine::value::time::Timestamp;

/// The inspection key of inline configs that have none.
const KEY: &str = "x-tidegate-inspect";

const SUITE: [&str; 6] = ["about", "config", "file", "at", "cases", "unreached"];
const CASE: [&str; 5] = ["name", "about", "request", "at", "expect"];
const REQUEST: [&str; 9] = ["method", "host", "path", "headers", "claims", "peer", "address", "proxy", "token"];
const EXPECT: [&str; 5] = ["decide", "flags", "upstream", "response", "inspection"];

/// What a case file turned out to be.
#[derive(Debug, Default)]
pub struct Read {
    pub suites: Vec<Suite>,
    pub problems: Vec<(Document, Vec<Diagnostic>)>,
    /// What could not be read at all, in the reader's words.
    pub broken: Vec<String>,
    /// How many timelines there are: they need a filter that lives.
    pub timelines: usize,
}

/// Finds the configs of a file that a case file names, by its path from where the command runs.
pub type Configs<'c> = &'c dyn Fn(&str) -> Result<Vec<Document>, ReadError>;

/// The suites in the text of a case file.
pub fn within(file: &str, text: &str, configs: Configs<'_>) -> Result<Read, ReadError> {
    let text: Rc<str> = text.into();
    let mut read = Read::default();
    for tree in document::trees(file, &text)? {
        let timelines = tree.field("timelines").map_or(0, |list| match &list.value {
            Value::List(items) => items.len(),
            Value::Scalar(_) | Value::Map(_) => 0,
        });
        if timelines > 0 {
            read.timelines += timelines;
            continue;
        }
        if tree.field("flags").is_some() && tree.field("cases").is_none() {
            return Err(ReadError::Unfit(format!("{file} is a config: name it as `file` in a case file")));
        }
        let document = Document::new(file, &text, Vec::new(), Places::new());
        let mut reader = Reader { text: &text, configs, found: Vec::new() };
        let suite = reader.suite(&tree, &document, &mut read);
        if reader.found.is_empty() {
            read.suites.extend(suite);
        } else {
            reader.found.sort_by_key(|one| one.span.as_ref().map(|span| span.start));
            read.problems.push((document, reader.found));
        }
    }
    if read.suites.is_empty() && read.problems.is_empty() && read.broken.is_empty() && read.timelines == 0 {
        return Err(ReadError::Unfit(format!("{file} contains no cases")));
    }
    Ok(read)
}

/// Reads values, and gathers what is wrong with them.
struct Reader<'t> {
    text: &'t str,
    configs: Configs<'t>,
    found: Vec<Diagnostic>,
}

impl Reader<'_> {
    fn wrong(&mut self, at: &FieldPath<'_>, span: &Range<usize>, message: impl Into<String>) {
        self.wrong_with(at, span, message, None);
    }

    fn wrong_with(&mut self, at: &FieldPath<'_>, span: &Range<usize>, message: impl Into<String>, near: Option<&str>) {
        let path = at.to_string();
        let path = if path == FieldPath::ROOT.to_string() { "cases".to_owned() } else { path };
        // Of a value of many lines, the first is enough.
        let line = self.text.get(span.clone()).and_then(|text| text.find('\n'));
        let span = line.map_or(span.clone(), |line| span.start..span.start + line);
        let help = near.map(|near| format!("did you mean {near}?"));
        self.found.push(Diagnostic {
            severity: Severity::Error,
            code: None,
            kind: "wrong-case",
            path,
            message: message.into(),
            help,
            span: Some(span),
        });
    }

    /// The entries of a map with these fields.
    fn object<'t>(&mut self, tree: &'t Tree, at: &FieldPath<'_>, what: &str, known: &[&str]) -> Option<&'t Tree> {
        for (key, _) in self.entries(tree, at)? {
            if !known.contains(&&*key.name) {
                let near = nearest(&key.name, known.iter().copied());
                self.wrong_with(&at.key(&key.name), &key.span, format!("is not a field of {what}"), near);
            }
        }
        Some(tree)
    }

    fn entries<'t>(&mut self, tree: &'t Tree, at: &FieldPath<'_>) -> Option<&'t [(Key, Tree)]> {
        let Value::Map(entries) = &tree.value else {
            self.wrong(at, &tree.span, "must be a map");
            return None;
        };
        Some(entries)
    }

    fn items<'t>(&mut self, tree: &'t Tree, at: &FieldPath<'_>) -> &'t [Tree] {
        let Value::List(items) = &tree.value else {
            self.wrong(at, &tree.span, "must be a list");
            return &[];
        };
        items
    }

    fn text(&mut self, tree: &Tree, at: &FieldPath<'_>) -> Option<String> {
        let wrong = match &tree.value {
            Value::Scalar(Node::Text(text)) => return Some(text.to_string()),
            Value::Scalar(Node::Bool(_)) => "is a boolean where text is needed: quote it",
            Value::Scalar(Node::Number(_)) => "is a number where text is needed: quote it",
            Value::Scalar(_) | Value::List(_) | Value::Map(_) => "must be text",
        };
        self.wrong(at, &tree.span, wrong);
        None
    }

    fn bytes(&mut self, tree: &Tree, at: &FieldPath<'_>) -> Option<Vec<u8>> {
        let text = self.text(tree, at)?;
        let bytes: Result<Vec<u8>, char> = text.chars().map(|c| u8::try_from(u32::from(c)).map_err(|_| c)).collect();
        let wrong = |c: char| format!("{} is not a byte: write each of its bytes as \\xNN", Quoted(&c.to_string()));
        bytes.map_err(|c| self.wrong(at, &tree.span, wrong(c))).ok()
    }

    fn time(&mut self, tree: &Tree, at: &FieldPath<'_>) -> Option<Timestamp> {
        let text = self.text(tree, at)?;
        time::parse(&text).map_err(|why| self.wrong(at, &tree.span, why)).ok()
    }

    fn suite(&mut self, tree: &Tree, document: &Document, read: &mut Read) -> Option<Suite> {
        let root = FieldPath::ROOT;
        self.object(tree, &root, "a case file", &SUITE)?;
        let at = tree.field("at").and_then(|time| self.time(time, &root.key("at")));
        let loaded = match (tree.field("config"), tree.field("file")) {
            (Some(config), None) => compile(inside(config, document), "config", read),
            (None, Some(file)) => self.named(file, &document.file, &root.key("file"), read),
            (Some(_), Some(file)) => {
                self.wrong(
                    &root.key("file"),
                    &file.span,
                    "is given in addition to config: a case file has one of them",
                );
                None
            }
            (None, None) => {
                self.wrong(&root, &tree.span, "need a config: inline as config, or by name as file");
                None
            }
        };
        let list = tree.field("cases").or_else(|| {
            self.wrong(&root, &tree.span, "are missing");
            None
        })?;
        let cases_at = root.key("cases");
        let cases: Vec<Case> = self
            .items(list, &cases_at)
            .iter()
            .enumerate()
            .filter_map(|(place, case)| self.case(case, &cases_at.index(place), at, loaded.as_ref()))
            .collect();
        Some(Suite { loaded: loaded?, text: Rc::clone(&document.text), cases })
    }

    /// The config of a file that is named, from where the case file stands.
    fn named(&mut self, tree: &Tree, file: &str, at: &FieldPath<'_>, read: &mut Read) -> Option<Loaded> {
        let name = self.text(tree, at)?;
        let folder = Path::new(file).parent().unwrap_or(Path::new(""));
        let path = folder.join(name);
        let mut found = match (self.configs)(&path.to_string_lossy()) {
            Ok(found) => found,
            Err(ReadError::Unfit(text)) => {
                self.wrong(at, &tree.span, text);
                return None;
            }
            Err(ReadError::Marked(marked)) => {
                let place = crate::source::diagnostic::position(&marked.text, marked.span.start);
                let (line, column) = place;
                self.wrong(at, &tree.span, format!("{} in {}:{line}:{column}", marked.message, marked.file));
                return None;
            }
            Err(ReadError::Broken(text)) => {
                read.broken.push(text);
                return None;
            }
        };
        if found.len() > 1 {
            let text = format!("contains {} configs: choose one, such as {}#1", found.len(), path.display());
            self.wrong(at, &tree.span, text);
            return None;
        }
        compile(found.pop()?, "", read)
    }

    fn case(
        &mut self,
        tree: &Tree,
        at: &FieldPath<'_>,
        time: Option<Timestamp>,
        loaded: Option<&Loaded>,
    ) -> Option<Case> {
        self.object(tree, at, "a case", &CASE)?;
        let name = match tree.field("name") {
            Some(name) => self.text(name, &at.key("name"))?,
            None => {
                self.wrong(at, &tree.span, "needs a name that says what it shows");
                return None;
            }
        };
        let own = tree.field("at").and_then(|time| self.time(time, &at.key("at")));
        let mut spec = match tree.field("request") {
            Some(request) => self.request(request, &at.key("request"))?,
            None => RequestSpec::new("GET", "shop.example", "/"),
        };
        let inspect = loaded.and_then(|loaded| loaded.config.inspect.as_ref());
        if let Some((key, value)) = inspect.and_then(Inspect::key) {
            // A request that comes with the header shows what becomes of it.
            if !spec.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(key)) {
                spec.headers.push((key.to_owned(), value.as_bytes().to_vec()));
            }
        }
        let expect_at = at.key("expect");
        let expect = match tree.field("expect") {
            Some(expect) => self.expect(expect, &expect_at, loaded)?,
            None => {
                self.wrong(at, &tree.span, "expects nothing");
                return None;
            }
        };
        Some(Case { name, at: own.or(time), spec, span: tree.span.clone(), expect })
    }

    fn request(&mut self, tree: &Tree, at: &FieldPath<'_>) -> Option<RequestSpec> {
        self.object(tree, at, "a request", &REQUEST)?;
        let mut spec = RequestSpec::new("GET", "shop.example", "/");
        for (field, name) in [("method", ":method"), ("host", ":authority"), ("path", ":path")] {
            if let Some(value) = tree.field(field).and_then(|value| self.bytes(value, &at.key(field))) {
                spec.replace(name, value);
            }
        }
        if let Some(headers) = tree.field("headers") {
            let at = at.key("headers");
            match &headers.value {
                Value::Map(entries) => {
                    for (key, value) in entries {
                        let value = self.bytes(value, &at.key(&key.name));
                        spec.headers.extend(value.map(|value| (key.name.to_string(), value)));
                    }
                }
                Value::List(items) => {
                    for (place, item) in items.iter().enumerate() {
                        let at = at.index(place);
                        let [name, value] = self.items(item, &at) else {
                            self.wrong(&at, &item.span, "must be a pair of name and value");
                            continue;
                        };
                        let (name, value) = (self.text(name, &at.index(0)), self.bytes(value, &at.index(1)));
                        spec.headers.extend(name.zip(value));
                    }
                }
                Value::Scalar(_) => self.wrong(&at, &headers.span, "must be a map, or a list of pairs"),
            }
        }
        let object = |reader: &mut Self, field: &str| {
            let tree = tree.field(field)?;
            reader.entries(tree, &at.key(field))?;
            Some(document::json(&tree.node()))
        };
        if let Some(serde_json::Value::Object(claims)) = object(self, "claims") {
            spec.claims = claims;
        }
        if let Some(payload) = object(self, "token") {
            let part = |json: &serde_json::Value| URL_SAFE_NO_PAD.encode(json.to_string());
            let token = format!("Bearer {}.{}.c2ln", part(&json!({"alg": "none"})), part(&payload));
            spec.headers.push(("authorization".to_owned(), token.into_bytes()));
        }
        let mut bytes = |field: &str| tree.field(field).and_then(|value| self.bytes(value, &at.key(field)));
        spec.peer = bytes("peer");
        spec.address = bytes("address");
        spec.proxy = bytes("proxy");
        Some(spec)
    }

    fn expect(&mut self, tree: &Tree, at: &FieldPath<'_>, loaded: Option<&Loaded>) -> Option<Expect> {
        self.object(tree, at, "an expectation", &EXPECT)?;
        if self.entries(tree, at)?.is_empty() {
            self.wrong(at, &tree.span, "expects nothing");
        }
        let mut expect = Expect::default();
        if let Some(decide) = tree.field("decide") {
            expect.decide = Some((decide.span.clone(), self.decided(decide, &at.key("decide"), loaded)));
        }
        if let Some(flags) = tree.field("flags") {
            expect.flags = self.decided(flags, &at.key("flags"), loaded);
        }
        if let Some(headers) = tree.field("upstream") {
            expect.upstream = self.headers(headers, &at.key("upstream"));
        }
        if let Some(headers) = tree.field("response") {
            expect.response = self.headers(headers, &at.key("response"));
        }
        if let Some(text) = tree.field("inspection") {
            let values = self.bytes(text, &at.key("inspection")).into_iter().collect();
            expect.inspection = Some(ExpectedValues { name: INSPECTION.to_owned(), values, span: text.span.clone() });
        }
        Some(expect)
    }

    /// What is expected of flags: `variant`, `variant reason`, or nothing where the flag is not decided.
    fn decided(&mut self, tree: &Tree, at: &FieldPath<'_>, loaded: Option<&Loaded>) -> Vec<ExpectedValues> {
        let mut list = Vec::new();
        for (key, value) in self.entries(tree, at).unwrap_or_default() {
            let at = at.key(&key.name);
            let text = match &value.value {
                Value::Scalar(Node::Null) => None,
                // To YAML, `on` and `off` are booleans.
                Value::Scalar(Node::Bool(on)) => Some(if *on { "on" } else { "off" }.to_owned()),
                Value::Scalar(_) | Value::List(_) | Value::Map(_) => match self.text(value, &at) {
                    Some(text) => Some(text),
                    None => continue,
                },
            };
            if let Some(loaded) = loaded {
                self.check(key, text.as_deref(), value, &at, &loaded.plan);
            }
            let values = text.map(String::into_bytes).into_iter().collect();
            list.push(ExpectedValues { name: key.name.to_string(), values, span: key.span.start..value.span.end });
        }
        list
    }

    /// Reports a flag, a variant or a reason that does not exist.
    fn check(&mut self, key: &Key, text: Option<&str>, value: &Tree, at: &FieldPath<'_>, plan: &Plan) {
        let Some(flag) = plan.flags().iter().find(|flag| flag.key().as_str() == &*key.name) else {
            let near = nearest(&key.name, plan.flags().iter().map(|flag| flag.key().as_str()));
            self.wrong_with(at, &key.span, "is not a flag of the config", near);
            return;
        };
        let Some(text) = text else { return };
        let mut words = text.split(' ');
        let variant = words.next().unwrap_or_default();
        let names = || flag.variants.iter().map(|variant| variant.name().as_str());
        if !names().any(|name| name == variant) {
            let known = names().collect::<Vec<_>>().join(", ");
            let wrong = format!("is not a variant of this flag (known: {known}; found {})", Quoted(variant));
            self.wrong_with(at, &value.span, wrong, nearest(variant, names()));
        }
        let codes = || Reason::ALL.into_iter().map(Reason::code);
        if let Some(reason) = words.find(|word| !codes().any(|code| code == *word)) {
            let known = codes().collect::<Vec<_>>().join(", ");
            let wrong = format!("is not a reason (known: {known}; found {})", Quoted(reason));
            self.wrong_with(at, &value.span, wrong, nearest(reason, codes()));
        }
    }

    /// What is expected of headers: a value, several, or nothing where there is to be none.
    fn headers(&mut self, tree: &Tree, at: &FieldPath<'_>) -> Vec<ExpectedValues> {
        let mut list = Vec::new();
        for (key, value) in self.entries(tree, at).unwrap_or_default() {
            let at = at.key(&key.name);
            let values = match &value.value {
                Value::Scalar(Node::Null) => Vec::new(),
                Value::List(items) => {
                    let items = items.iter().enumerate();
                    items.filter_map(|(place, item)| self.bytes(item, &at.index(place))).collect()
                }
                Value::Scalar(_) | Value::Map(_) => self.bytes(value, &at).into_iter().collect(),
            };
            list.push(ExpectedValues { name: key.name.to_string(), values, span: key.span.start..value.span.end });
        }
        list
    }
}

/// A config that stands inside of a case file.
fn inside(tree: &Tree, around: &Document) -> Document {
    let mut node = tree.node();
    if let Node::Map(entries) = &mut node {
        let has = |name: &str, entries: &[(Box<str>, Node)]| entries.iter().any(|(key, _)| &**key == name);
        if !has("version", entries) {
            entries.push(("version".into(), Node::Number("1".into())));
        }
        if !has("inspect", entries) {
            entries.push(("inspect".into(), Node::Map(vec![("header".into(), Node::Text(KEY.into()))])));
        }
    }
    Document { wire: document::wire(&node), places: tree.places(), ..around.clone() }
}

/// The config of a document, with every problem noted under this name; a field that is not known is one.
fn compile(document: Document, name: &str, read: &mut Read) -> Option<Loaded> {
    let refused = match Loaded::new(document, true) {
        Ok(loaded) => return Some(loaded),
        Err(refused) => *refused,
    };
    let Refused { document, mut errors } = refused;
    for one in errors.iter_mut().filter(|one| !name.is_empty() && one.path != name) {
        one.path = format!("{name}.{}", one.path);
    }
    read.problems.push((document, errors));
    None
}
