//! The trees of manifests, and how a part of one is replaced.
//!
//! Never judges what stands in them.

use crate::error::CliError;
use tidegate_analysis::source::tree::Tree;
use tidegate_engine::config::Node;

pub(super) fn text(text: &str) -> Node {
    Node::Text(text.into())
}

pub(super) fn map<const N: usize>(entries: [(&str, Node); N]) -> Node {
    Node::Map(entries.into_iter().map(|(key, value)| (key.into(), value)).collect())
}

pub(super) fn list(items: impl IntoIterator<Item = Node>) -> Node {
    Node::List(items.into_iter().collect())
}

/// The tree of this kind in a committed file; the first one, if nothing in it has a kind.
pub(super) fn template(text: &str, kind: Option<&str>) -> Result<Node, CliError> {
    let trees = Tree::read(text, "the manifest").map_err(CliError::Broken)?;
    let fits = |tree: &&Tree| kind.is_none() || tree.field("kind").and_then(Tree::text) == kind;
    trees.iter().find(fits).map(Tree::node).ok_or_else(|| missing("a document"))
}

/// The manifests are part of the command, and tests render each of them: nobody meets this.
pub(super) fn missing(what: &str) -> CliError {
    CliError::Broken(format!("the manifest that this command was built with lacks {what}"))
}

/// What stands at a path of keys and places.
pub(super) fn at<'n>(node: &'n mut Node, path: &[&str]) -> Result<&'n mut Node, CliError> {
    path.iter()
        .try_fold(node, |node, step| match node {
            Node::Map(entries) => entries.iter_mut().find(|(key, _)| **key == **step).map(|(_, value)| value),
            Node::List(items) => items.get_mut(step.parse::<usize>().ok()?),
            Node::Null | Node::Bool(_) | Node::Number(_) | Node::Text(_) => None,
        })
        .ok_or_else(|| missing(&path.join(".")))
}

/// Writes over what stands at a path.
pub(super) fn put(node: &mut Node, path: &[&str], value: Node) -> Result<(), CliError> {
    *at(node, path)? = value;
    Ok(())
}

pub(super) fn remove(node: &mut Node, path: &[&str]) -> Result<(), CliError> {
    let Some((last, parents)) = path.split_last() else { return Ok(()) };
    if let Node::Map(entries) = at(node, parents)? {
        entries.retain(|(key, _)| **key != **last);
    }
    Ok(())
}

/// Adds to the map at a path.
pub(super) fn add(node: &mut Node, path: &[&str], key: &str, value: Node) -> Result<(), CliError> {
    match at(node, path)? {
        Node::Map(entries) => entries.push((key.into(), value)),
        _ => return Err(missing(&path.join("."))),
    }
    Ok(())
}
