//! Finds the configs in the text of a file: the file itself, or configs inside manifests.
//!
//! Knows `pluginConfig` of a `WasmPlugin` or `TrafficExtension`, `config` in an `EnvoyExtensionPolicy`, texts in a
//! `ConfigMap`, the values of a Helm chart, and the `configuration` of a Wasm filter in an `EnvoyFilter`, in an Envoy
//! bootstrap, in a discovery file or by itself. Hands on the bytes that a proxy would get, and the place of each field
//! in the file. Never judges a config.

use std::ops::Range;
use std::rc::Rc;

use tidegate_analysis::source::document::wire;
use tidegate_analysis::source::look::{self, Look};
use tidegate_analysis::source::tree::{Places, Tree, Value};
use tidegate_analysis::source::{Document, Marked, ReadError};
use tidegate_engine::problem::FieldPath;

/// What is in the text of a file.
pub(crate) struct Contents {
    pub(crate) configs: Vec<Document>,
    /// All documents of the file, for what stands beside a config: routes.
    pub(crate) trees: Vec<Tree>,
    /// What the file is instead, where it has no config.
    pub(crate) foreign: Option<Marked>,
}

/// The configs in the text of a file that was named.
pub(crate) fn within(file: &str, text: &str) -> Result<Vec<Document>, ReadError> {
    let contents = contents(file, text, true)?;
    match contents.foreign {
        Some(foreign) => Err(ReadError::Marked(Box::new(foreign))),
        None => Ok(contents.configs),
    }
}

/// What is in the text of a file: more of it is taken for a config where somebody named the file.
pub(crate) fn contents(file: &str, text: &str, named: bool) -> Result<Contents, ReadError> {
    let text: Rc<str> = text.into();
    let marked = |look: Look, foreign: bool| Marked {
        file: file.to_owned(),
        text: Rc::clone(&text),
        message: look.what,
        help: look.help,
        span: look.at,
        foreign,
    };
    if let Some(look) = look::broken(&text) {
        return Err(ReadError::Marked(Box::new(marked(look, false))));
    }
    let json = text.trim_start_matches('\u{feff}').trim_start().starts_with('{') && !file.ends_with("ml");
    let (trees, twice) = match Tree::parse(&text, false) {
        Ok(trees) => (trees, None),
        // What is wrong with JSON is told in JSON's words, by the reader that a proxy has.
        Err(unread) => match Tree::parse(&text, true) {
            Ok(trees) => (trees, Some(unread)),
            Err(_) if json && (named || look::is_ours(&text)) => {
                let config = Document::new(file, &text, text.as_bytes().to_vec(), Places::new());
                return Ok(Contents { configs: vec![config], trees: Vec::new(), foreign: None });
            }
            Err(_) => return Err(ReadError::Marked(Box::new(marked(look::unread(&text, &unread), false)))),
        },
    };
    let mut found = Vec::new();
    for tree in &trees {
        let mut finder = Finder { file, text: &text, carrier: carrier(tree), found: &mut found };
        if is_manifest(tree) {
            finder.search(tree);
        } else if look::is_config(tree, named && trees.len() == 1) {
            found.push(Document::of_tree(file, &text, tree));
        } else {
            finder.nested(tree, "");
        }
    }
    // A key that stands twice is told with all else that is wrong, where it is a key of a config.
    if let Some(unread) = twice
        && !found.iter().any(|document| document.places.values().any(|(key, _)| key.contains(&unread.at.start)))
    {
        return Err(ReadError::Marked(Box::new(marked(look::unread(&text, &unread), false))));
    }
    let foreign = match (found.is_empty(), trees.first()) {
        (true, Some(first)) => Some(marked(look::of(first), true)),
        _ => None,
    };
    Ok(Contents { configs: found, trees, foreign })
}

/// What a document is called that carries a config.
fn carrier(tree: &Tree) -> String {
    let name = tree.field("metadata").and_then(|data| data.field("name")).and_then(Tree::text);
    let kind = tree.field("kind").and_then(Tree::text);
    match (kind, name) {
        (Some(kind), Some(name)) => format!("{kind} {name}"),
        (Some(kind), None) => kind.to_owned(),
        (None, _) => "Envoy".to_owned(),
    }
}

/// Whether a document is a manifest that may contain a config.
fn is_manifest(tree: &Tree) -> bool {
    const FIELDS: [&str; 8] = [
        "apiVersion",
        "kind",
        "static_resources",
        "resources",
        "admin",
        "dynamic_resources",
        "http_filters",
        "typed_config",
    ];
    FIELDS.iter().any(|field| tree.field(field).is_some()) && tree.field("flags").is_none()
}

/// Collects the configs of one document.
struct Finder<'a> {
    file: &'a str,
    text: &'a Rc<str>,
    carrier: String,
    found: &'a mut Vec<Document>,
}

impl Finder<'_> {
    fn take(&mut self, carrier: String, wire: Vec<u8>, places: Places) {
        self.found.push(Document { file: self.file.to_owned(), text: Rc::clone(self.text), carrier, wire, places });
    }

    /// Looks for configs in a manifest, however deep they stand.
    fn search(&mut self, tree: &Tree) {
        if let Value::List(items) = &tree.value {
            for item in items {
                self.search(item);
            }
        }
        // A list of Kubernetes carries whole manifests, each with a name of its own.
        if tree.field("apiVersion").is_some() && tree.field("kind").is_some() {
            let outer = std::mem::replace(&mut self.carrier, carrier(tree));
            self.fields(tree);
            self.carrier = outer;
        } else {
            self.fields(tree);
        }
    }

    fn fields(&mut self, tree: &Tree) {
        let Value::Map(entries) = &tree.value else { return };
        let policy = self.carrier.starts_with("EnvoyExtensionPolicy");
        if let Some(config) = tree.field(if policy { "config" } else { "pluginConfig" })
            && is_ours(tree, config)
            && !is_patch(tree, config)
        {
            match config.text() {
                Some(inner) => self.embedded(inner, config, &self.carrier.clone()),
                None => self.take(self.carrier.clone(), wire(&config.node()), config.places()),
            }
        }
        if let Some(any) = tree.field("configuration")
            && let (Some(kind), Some(value)) = (any.field("@type").and_then(Tree::text), any.field("value"))
        {
            match value.text() {
                Some(inner) if kind.ends_with("google.protobuf.StringValue") && is_ours(tree, value) => {
                    let places = embedded(self.text, inner, &value.span);
                    self.take(self.carrier.clone(), inner.as_bytes().to_vec(), places);
                }
                None if kind.ends_with("google.protobuf.Struct") && is_ours(tree, value) => {
                    self.take(self.carrier.clone(), wire(&value.node()), value.places());
                }
                _ => {}
            }
        }
        if self.carrier.starts_with("ConfigMap") || self.carrier.starts_with("Secret") {
            for name in ["data", "stringData"] {
                let Some(Value::Map(data)) = tree.field(name).map(|data| &data.value) else { continue };
                for (key, value) in data {
                    if let Some(inner) = value.text() {
                        self.embedded(inner, value, &format!("{}, {}", self.carrier, key.name));
                    }
                }
            }
            return;
        }
        for (key, value) in entries {
            match &*key.name {
                "pluginConfig" | "configuration" => {}
                "values" if self.carrier.starts_with("HelmRelease") => self.nested(value, "values"),
                _ => self.search(value),
            }
        }
    }

    /// Looks for a config in a text: one that is YAML or JSON, or a config of Envoy that has one.
    fn embedded(&mut self, inner: &str, value: &Tree, carrier: &str) {
        let Ok(trees) = Tree::parse(inner, false) else { return };
        for tree in &trees {
            if is_manifest(tree) {
                let text: Rc<str> = inner.into();
                let mut found = Vec::new();
                let mut finder =
                    Finder { file: self.file, text: &text, carrier: carrier.to_owned(), found: &mut found };
                finder.search(tree);
                for document in found {
                    let places = [(FieldPath::ROOT.to_string(), (value.span.clone(), value.span.clone()))].into();
                    self.take(carrier.to_owned(), document.wire, places);
                }
            } else if look::is_config(tree, false) {
                let json = inner.trim_start().starts_with('{');
                let bytes = if json { inner.as_bytes().to_vec() } else { wire(&tree.node()) };
                self.take(carrier.to_owned(), bytes, embedded(self.text, inner, &value.span));
            }
        }
    }

    /// Looks for configs among values, as those of a Helm chart: maps with `version` and `flags`.
    fn nested(&mut self, tree: &Tree, path: &str) {
        let Value::Map(entries) = &tree.value else { return };
        let plain = |name: &str| tree.field(name).is_some_and(|value| matches!(value.value, Value::Scalar(_)));
        if !path.is_empty() && plain("version") && look::is_config(tree, false) {
            self.take(format!("values {path}"), wire(&tree.node()), tree.places());
            return;
        }
        for (key, value) in entries {
            let dot = if path.is_empty() { "" } else { "." };
            let path = format!("{path}{dot}{}", key.name);
            match value.text() {
                Some(text) if look::is_ours(text) => self.embedded(text, value, &format!("values {path}")),
                _ => self.nested(value, &path),
            }
        }
    }
}

/// Whether a plugin is this filter, by its names or its config: there may be other plugins beside it.
fn is_ours(plugin: &Tree, config: &Tree) -> bool {
    let named = |field: &str| plugin.field(field).and_then(Tree::text).is_some_and(|name| name.contains("tidegate"));
    let looks = match config.text() {
        Some(text) => text.contains("\"flags\"") || text.lines().any(|line| line.starts_with("flags:")),
        None => config.field("flags").is_some(),
    };
    looks || ["pluginName", "name", "root_id", "rootID"].into_iter().any(named)
}

/// Whether it is a patch of a kustomization, which has a part of a config only.
fn is_patch(plugin: &Tree, config: &Tree) -> bool {
    let whole = ["url", "code", "image"].iter().any(|field| plugin.field(field).is_some());
    !whole && config.text().is_none() && config.field("version").is_none()
}

/// Where the fields of a config stand that is text inside of YAML; only where the text stands, if it was not written
/// line by line as it is.
fn embedded(text: &str, inner: &str, span: &Range<usize>) -> Places {
    let mut places: Places = [(FieldPath::ROOT.to_string(), (span.clone(), span.clone()))].into();
    let Some(lines) = lines(text, inner, span.start) else { return places };
    let Ok(trees) = Tree::parse(inner, true) else { return places };
    let outside = |at: usize| {
        let line = lines.partition_point(|(begins, _)| *begins <= at).saturating_sub(1);
        lines.get(line).map_or(span.start, |(begins, outside)| outside + at.saturating_sub(*begins))
    };
    let shift = |range: Range<usize>| outside(range.start)..outside(range.end);
    for (path, (key, value)) in trees.iter().flat_map(Tree::places) {
        places.insert(path, (shift(key), shift(value)));
    }
    places
}

/// For each line of text inside of YAML: where it begins, and where it begins in the file.
fn lines(text: &str, inner: &str, start: usize) -> Option<Vec<(usize, usize)>> {
    let mut found = Vec::new();
    let (mut begins, mut from) = (0_usize, start);
    for line in inner.split_inclusive('\n') {
        let content = line.trim_end_matches('\n');
        let at = from.checked_add(text.get(from..)?.find(content)?)?;
        // What stands between two lines is the end of one and the indentation of the next.
        let between = text.get(from..at)?;
        if begins > 0 && !between.trim().is_empty() {
            return None;
        }
        found.push((begins, at));
        begins += line.len();
        from = at + content.len();
    }
    Some(found)
}
