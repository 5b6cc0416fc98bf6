//! Finds the configs in the text of a file: the file itself, or configs inside manifests.
//!
//! Knows `pluginConfig` of a `WasmPlugin` or `TrafficExtension`, and the `configuration` of a Wasm filter in an
//! `EnvoyFilter`, in an Envoy bootstrap, in a discovery file or by itself. Hands on the bytes that a proxy would get,
//! and the place of each field in the file. Never judges a config.

use std::ops::Range;
use std::rc::Rc;

use tidegate_analysis::source::document::wire;
use tidegate_analysis::source::tree::{Places, Tree, Value};
use tidegate_analysis::source::{Document, ReadError};
use tidegate_engine::problem::FieldPath;

/// The configs in the text of a file.
pub(crate) fn within(file: &str, text: &str) -> Result<Vec<Document>, ReadError> {
    let text: Rc<str> = text.into();
    let json = text.trim_start().starts_with('{');
    let trees = match Tree::read(&text, file) {
        Ok(trees) => trees,
        // What is wrong with JSON is told in JSON's words, by the reader that a proxy has.
        Err(_) if json => return Ok(vec![Document::new(file, &text, text.as_bytes().to_vec(), Places::new())]),
        Err(error) => return Err(ReadError::Broken(error)),
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
            found.push(Document::of_tree(file, &text, tree));
        }
    }
    if found.is_empty() {
        return Err(ReadError::Unfit(format!("{file} contains no config of Tidegate")));
    }
    Ok(found)
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

/// Whether a plugin is this filter, by its names or its config: there may be other plugins beside it.
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
