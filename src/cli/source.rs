//! Finds the configs in a file: the file itself, or what stands inside the manifests that carry one to a proxy.
//!
//! Knows `pluginConfig` of a `WasmPlugin` or `TrafficExtension`, and the `configuration` of a Wasm filter in an
//! `EnvoyFilter`, in an Envoy bootstrap, in a discovery file or by itself. What it hands on are the bytes that a proxy would get,
//! and where each field stands in the file. Never judges a config.

use std::fs;
use std::io::{self, Read};
use std::ops::Range;
use std::rc::Rc;

use super::Stop;
use super::git::Past;
use super::tree::{Places, Tree, Value};
use tidegate_engine::config::Node;
use tidegate_engine::problem::FieldPath;

/// A config, in the bytes in which a proxy would get it.
#[derive(Clone, Debug)]
pub(super) struct Document {
    /// The file, as it was named.
    pub(super) file: String,
    /// Its text.
    pub(super) text: Rc<str>,
    /// What carries the config: `EnvoyFilter tidegate`; nothing where the file is one.
    pub(super) carrier: String,
    pub(super) wire: Vec<u8>,
    pub(super) places: Places,
}

impl Document {
    /// The file, with what carries the config where something does.
    pub(super) fn name(&self) -> String {
        if self.carrier.is_empty() { self.file.clone() } else { format!("{} ({})", self.file, self.carrier) }
    }
}

/// Reads a file as it is; `-` is the standard input.
pub(super) fn bytes(path: &str) -> Result<Vec<u8>, Stop> {
    let mut bytes = Vec::new();
    let read = if path == "-" {
        io::stdin().read_to_end(&mut bytes).map(|_| ())
    } else {
        fs::read(path).map(|all| bytes = all)
    };
    read.map_err(|error| format!("cannot read {path}: {error}"))?;
    Ok(bytes)
}

/// Reads a file of text; `-` is the standard input.
pub(super) fn text(path: &str) -> Result<String, Stop> {
    String::from_utf8(bytes(path)?).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Stop::Usage(format!("cannot read {path}: byte {at} is not UTF-8"))
    })
}

/// The file, and which of its configs is meant: `FILE#2`.
pub(super) fn split(path: &str) -> (&str, Option<usize>) {
    match path.rsplit_once('#') {
        Some((file, number)) if !fs::exists(path).unwrap_or(false) => match number.parse::<usize>() {
            Ok(number) if number > 0 => (file, Some(number)),
            Ok(_) | Err(_) => (path, None),
        },
        Some(_) | None => (path, None),
    }
}

/// All configs in a file. `FILE#2` is the second of several.
pub(super) fn read(path: &str) -> Result<Vec<Document>, Stop> {
    let (path, wanted) = split(path);
    let file = if path == "-" { "<stdin>" } else { path };
    let text = match Past::parse(path) {
        Some(past) => past.text()?,
        None => text(path)?,
    };
    nth(file, wanted, within(file, &text)?)
}

/// The one that is wanted, or all.
pub(super) fn nth(file: &str, wanted: Option<usize>, found: Vec<Document>) -> Result<Vec<Document>, Stop> {
    let Some(wanted) = wanted else { return Ok(found) };
    let most = found.len();
    let document = found.into_iter().nth(wanted.saturating_sub(1));
    document
        .map(|document| vec![document])
        .ok_or_else(|| format!("{file} holds {most} configs, and no config {wanted}").into())
}

/// The configs in the text of a file.
pub(super) fn within(file: &str, text: &str) -> Result<Vec<Document>, Stop> {
    let text: Rc<str> = text.into();
    let json = text.trim_start().starts_with('{');
    let trees = match Tree::read(&text, file) {
        Ok(trees) => trees,
        // What is wrong with JSON is told in JSON's words, by the reader that a proxy has.
        Err(_) if json => return Ok(vec![plain(file, &text, text.as_bytes().to_vec(), Places::new())]),
        Err(error) => return Err(Stop::Broken(error)),
    };
    let mut found = Vec::new();
    for tree in &trees {
        if is_manifest(tree) {
            let name = tree.field("metadata").and_then(|data| data.field("name")).and_then(Tree::text);
            let kind = tree.field("kind").and_then(Tree::text);
            let carrier = match (kind, name) {
                (Some(kind), Some(name)) => format!("{kind} {name}"),
                (Some(kind), None) => kind.to_owned(),
                (None, _) => "Envoy".to_owned(),
            };
            search(&text, tree, &mut |wire, places| {
                found.push(Document {
                    file: file.to_owned(),
                    text: Rc::clone(&text),
                    carrier: carrier.clone(),
                    wire,
                    places,
                });
            });
        } else {
            // JSON goes to a proxy as it is written; YAML may begin with a brace, too.
            let as_it_is = json && (!file.ends_with("ml") || serde_json::from_str::<Node>(&text).is_ok());
            let wire = if as_it_is { text.as_bytes().to_vec() } else { wire(&tree.node()) };
            found.push(plain(file, &text, wire, tree.places()));
        }
    }
    if found.is_empty() {
        return Err(Stop::Usage(format!("{file} holds no config of Tidegate")));
    }
    Ok(found)
}

/// The one document of a file that is no config and carries none, such as a policy.
pub(super) fn document(path: &str) -> Result<Document, Stop> {
    let text: Rc<str> = text(path)?.into();
    let file = if path == "-" { "<stdin>" } else { path };
    let trees = Tree::read(&text, file).map_err(Stop::Broken)?;
    match trees.as_slice() {
        [tree] => Ok(plain(file, &text, wire(&tree.node()), tree.places())),
        several => Err(Stop::Usage(format!("{file} holds {} documents, and should hold one", several.len()))),
    }
}

fn plain(file: &str, text: &Rc<str>, wire: Vec<u8>, places: Places) -> Document {
    Document { file: file.to_owned(), text: Rc::clone(text), carrier: String::new(), wire, places }
}

/// Whether a document is something that may carry a config, and is none itself.
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
    FIELDS.iter().any(|field| tree.field(field).is_some())
}

/// Looks for configs in a manifest, however deep they stand.
fn search(text: &str, tree: &Tree, found: &mut impl FnMut(Vec<u8>, Places)) {
    if let Some(config) = tree.field("pluginConfig")
        && is_ours(tree, config)
    {
        found(wire(&config.node()), config.places());
    }
    if let Some(any) = tree.field("configuration")
        && let (Some(kind), Some(value)) = (any.field("@type").and_then(Tree::text), any.field("value"))
    {
        match value.text() {
            Some(inner) if kind.ends_with("google.protobuf.StringValue") && is_ours(tree, value) => {
                found(inner.as_bytes().to_vec(), embedded(text, inner, &value.span));
            }
            None if kind.ends_with("google.protobuf.Struct") && is_ours(tree, value) => {
                found(wire(&value.node()), value.places());
            }
            _ => {}
        }
    }
    match &tree.value {
        Value::Scalar(_) => {}
        Value::List(items) => items.iter().for_each(|item| search(text, item, found)),
        Value::Map(entries) => {
            let inside = entries.iter().filter(|(key, _)| !matches!(&*key.name, "pluginConfig" | "configuration"));
            inside.for_each(|(_, value)| search(text, value, found));
        }
    }
}

/// Whether a plugin is this filter, by its names or by the look of its config: there may be other plugins beside it.
fn is_ours(plugin: &Tree, config: &Tree) -> bool {
    let named = |field: &str| plugin.field(field).and_then(Tree::text).is_some_and(|name| name.contains("tidegate"));
    let looks = match config.text() {
        Some(text) => text.contains("\"flags\""),
        None => config.field("flags").is_some(),
    };
    looks || ["pluginName", "name", "root_id"].into_iter().any(named)
}

/// Where the fields of a config stand that is text inside of YAML; only where the text stands, if it was not written
/// line by line as it is.
fn embedded(text: &str, inner: &str, span: &Range<usize>) -> Places {
    let mut places: Places = [(FieldPath::ROOT.to_string(), (span.clone(), span.clone()))].into();
    let Some(lines) = lines(text, inner, span.start) else { return places };
    let Ok(trees) = Tree::read(inner, "") else { return places };
    let outside = |at: usize| {
        let line = lines.partition_point(|(begins, _)| *begins <= at).saturating_sub(1);
        lines.get(line).map_or(span.start, |(begins, outside)| outside.saturating_add(at.saturating_sub(*begins)))
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
        begins = begins.saturating_add(line.len());
        from = at.saturating_add(content.len());
    }
    Some(found)
}

/// A tree as the JSON that reaches a proxy.
pub(super) fn wire(node: &Node) -> Vec<u8> {
    // A tree of values can always be written down.
    serde_json::to_vec(node).unwrap_or_default()
}

/// A tree as JSON.
pub(super) fn json(node: &Node) -> serde_json::Value {
    serde_json::to_value(node).unwrap_or_default()
}
