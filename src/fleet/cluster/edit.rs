//! Turns two states of an object into what has to be written: the fields that differ, and who owns them.
//!
//! The API server owns maps key by key, and lists whole; so a change inside of a list is one of the list. Never asks
//! anything: values in, values out.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::{Map, Value, json};

/// The names of the fields that lead to one.
pub(super) type Path = Vec<String>;

/// What differs between two states.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Edits {
    pub(super) sets: Vec<(Path, Value)>,
    pub(super) removals: Vec<Path>,
}

impl Edits {
    /// What makes one value of the other, both standing at this path.
    pub(super) fn between(at: &[String], old: &Value, new: &Value) -> Self {
        let mut edits = Self::default();
        edits.compare(&mut at.to_vec(), old, new);
        edits
    }

    fn compare(&mut self, at: &mut Path, old: &Value, new: &Value) {
        let (Value::Object(old), Value::Object(new)) = (old, new) else {
            if !alike(old, new) {
                self.sets.push((at.clone(), new.clone()));
            }
            return;
        };
        for (name, value) in new {
            at.push(name.clone());
            match old.get(name) {
                Some(before) => self.compare(at, before, value),
                None => self.sets.push((at.clone(), value.clone())),
            }
            at.pop();
        }
        for name in old.keys().filter(|name| !new.contains_key(*name)) {
            at.push(name.clone());
            self.removals.push(at.clone());
            at.pop();
        }
    }

    pub(super) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.sets.iter().map(|(path, _)| path).chain(&self.removals)
    }

    /// As JSON Patch has it. What stands around a field is there already.
    pub(super) fn patch(&self) -> Vec<Value> {
        let sets = self.sets.iter().map(|(path, value)| json!({"op": "add", "path": pointer(path), "value": value}));
        let removals = self.removals.iter().map(|path| json!({"op": "remove", "path": pointer(path)}));
        sets.chain(removals).collect()
    }
}

/// Whether two values are one; a number is the same with and without a fraction of nothing.
fn alike(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one == other || one.as_f64() == other.as_f64(),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| alike(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(key, one)| other.get(key).is_some_and(|other| alike(one, other)))
        }
        _ => one == other,
    }
}

/// The path as JSON Patch writes it.
fn pointer(path: &[String]) -> String {
    let mut text = String::new();
    for name in path {
        text.push('/');
        text.push_str(&name.replace('~', "~0").replace('/', "~1"));
    }
    text
}

/// The path as a person reads it.
pub(super) fn dotted(path: &[String]) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let mut text = String::new();
    for name in path {
        if name.chars().all(plain) {
            text += if text.is_empty() { "" } else { "." };
            text += name;
        } else {
            // Text always takes more.
            let _ = write!(text, "[{name:?}]");
        }
    }
    text
}

pub(super) fn at<'v>(value: &'v Value, path: &[String]) -> Option<&'v Value> {
    path.iter().try_fold(value, |value, name| value.get(name))
}

/// Puts a value where the path leads, making the maps around it.
pub(super) fn put(value: &mut Value, path: &[String], new: Value) {
    let Some((name, rest)) = path.split_first() else {
        *value = new;
        return;
    };
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    if let Value::Object(map) = value {
        put(map.entry(name.clone()).or_insert(Value::Null), rest, new);
    }
}

/// One that writes to an object, and how.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Manager {
    pub(super) name: String,
    /// `Apply` or `Update`.
    pub(super) operation: String,
    pub(super) fields: BTreeSet<Path>,
}

/// All that have written to an object, from its `metadata.managedFields`; what they say of the status left out.
pub(super) fn managers(object: &Value) -> Vec<Manager> {
    let list = object.pointer("/metadata/managedFields").and_then(Value::as_array);
    let text = |entry: &Value, name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let entries = list.into_iter().flatten().filter(|entry| text(entry, "subresource").is_empty());
    let manager = |entry: &Value| {
        let mut fields = BTreeSet::new();
        leaves(entry.get("fieldsV1").unwrap_or(&Value::Null), &mut Path::new(), &mut fields);
        Manager { name: text(entry, "manager"), operation: text(entry, "operation"), fields }
    };
    entries.map(manager).collect()
}

/// The innermost fields of a set as the API server writes it: `{"f:spec": {"f:url": {}}}`.
fn leaves(set: &Value, at: &mut Path, found: &mut BTreeSet<Path>) {
    let inner: Vec<(&str, &Value)> = set
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(name, inner)| Some((name.strip_prefix("f:")?, inner)))
        .collect();
    if inner.is_empty() && !at.is_empty() {
        found.insert(at.clone());
    }
    for (name, inner) in inner {
        at.push(name.to_owned());
        leaves(inner, at, found);
        at.pop();
    }
}

/// Whether one of two paths leads into what the other one leads to.
fn overlap(one: &[String], other: &[String]) -> bool {
    one.starts_with(other) || other.starts_with(one)
}

impl Manager {
    /// The fields of a change that it owns.
    pub(super) fn touched<'e>(&self, edits: &'e Edits) -> Vec<&'e Path> {
        edits.paths().filter(|path| self.fields.iter().any(|own| overlap(own, path))).collect()
    }

    /// Whether it writes the same again by itself, and was not one act of a person.
    pub(super) fn repeats(&self) -> bool {
        const ONCE: [&str; 8] = [
            "kubectl-edit",
            "kubectl-patch",
            "kubectl-create",
            "kubectl-replace",
            "kubectl-annotate",
            "kubectl-label",
            "kubectl-set",
            "pilot-discovery",
        ];
        self.operation == "Apply" || !ONCE.contains(&self.name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn path(text: &str) -> Path {
        text.split('.').map(str::to_owned).collect()
    }

    #[test]
    fn only_what_differs_is_written() {
        let old = json!({"kill": false, "rules": [{"percent": 5}], "owner": "web", "percent": 5});
        let new =
            json!({"kill": true, "rules": [{"percent": 25}], "percent": 5.0, "standing": {"a": {"phase": "held"}}});
        let edits = Edits::between(&path("spec"), &old, &new);
        let sets: Vec<String> = edits.sets.iter().map(|(path, value)| format!("{}={value}", dotted(path))).collect();
        assert_eq!(
            sets,
            ["spec.kill=true", "spec.rules=[{\"percent\":25}]", "spec.standing={\"a\":{\"phase\":\"held\"}}"]
        );
        assert_eq!(edits.removals, [path("spec.owner")]);
    }

    #[test]
    fn paths_are_written_as_they_must_be() {
        let path = ["metadata".to_owned(), "annotations".to_owned(), "tidegate.dev/changed~by".to_owned()];
        assert_eq!(pointer(&path), "/metadata/annotations/tidegate.dev~1changed~0by");
        assert_eq!(dotted(&path), "metadata.annotations[\"tidegate.dev/changed~by\"]");
    }

    #[test]
    fn owners_are_those_of_what_is_changed() {
        let object = json!({"metadata": {"managedFields": [
            {"manager": "kubectl", "operation": "Apply", "fieldsV1": {"f:spec": {"f:url": {}, "f:pluginConfig":
                {".": {}, "f:flags": {"f:a": {"f:rules": {}}}}}}},
            {"manager": "istiod", "operation": "Update", "subresource": "status", "fieldsV1": {"f:status": {}}},
            {"manager": "kubectl-edit", "operation": "Update", "fieldsV1": {"f:spec": {"f:pluginConfig": {"f:revision": {}}}}},
        ]}});
        let managers = managers(&object);
        assert_eq!(managers.iter().map(|one| &*one.name).collect::<Vec<_>>(), ["kubectl", "kubectl-edit"]);
        let edits =
            Edits { sets: vec![(path("spec.pluginConfig.flags.a"), json!({}))], removals: vec![path("spec.b")] };
        assert_eq!(managers[0].touched(&edits), [&path("spec.pluginConfig.flags.a")]);
        assert!(managers[1].touched(&edits).is_empty());
        assert!(managers[0].repeats() && !managers[1].repeats());
    }

    fn tree() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![any::<bool>().prop_map(Value::from), (0_i32..9).prop_map(Value::from)];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::btree_map("[a-c/~]", inner, 0..4).prop_map(|map| json!(map)),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_makes_the_one_of_the_other(old in tree(), new in tree()) {
            let edits = Edits::between(&[], &old, &new);
            let mut made = old.clone();
            for (path, value) in &edits.sets {
                put(&mut made, path, value.clone());
            }
            for path in &edits.removals {
                let (name, around) = path.split_last().unwrap();
                let around = around.iter().fold(&mut made, |value, name| &mut value[name.as_str()]);
                around.as_object_mut().unwrap().remove(name);
            }
            prop_assert_eq!(&made, &new);
            prop_assert_eq!(Edits::between(&[], &old, &old), Edits::default());
        }
    }
}
