//! Reads an object of a cluster, and finds the config in it.
//!
//! What is not there is told with what is: the names of such objects here, and the namespaces of one of that name.
//! Never judges a config.

use kube::Api;
use kube::api::ListParams;
use kube::core::DynamicObject;
use serde_json::Value;
use tidegate_analysis::source::diagnostic::nearest;

use super::connect::Cluster;
use super::edit::{self, Path};
use super::place::{Kind, Place};
use super::trouble::{Cause, Trouble};

/// An object as it was read, and where its config stands.
#[derive(Clone, Debug)]
pub struct Held {
    place: Place,
    namespace: String,
    object: Value,
    at: Path,
}

impl Held {
    /// Where it is, with the key of a `ConfigMap`.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The whole object, as the API server has it.
    #[must_use]
    pub fn object(&self) -> &Value {
        &self.object
    }

    /// What can be changed of it: a config, as a map or, in a `ConfigMap`, as its text; all patches of an `EnvoyFilter`.
    #[must_use]
    pub fn content(&self) -> &Value {
        edit::at(&self.object, &self.at).unwrap_or(&Value::Null)
    }

    /// An annotation of it.
    #[must_use]
    pub fn annotation(&self, name: &str) -> Option<&str> {
        self.object.get("metadata")?.get("annotations")?.get(name)?.as_str()
    }

    /// The state that was read: every change of the object makes another one.
    #[must_use]
    pub fn version(&self) -> &str {
        self.object.pointer("/metadata/resourceVersion").and_then(Value::as_str).unwrap_or_default()
    }

    pub(super) fn at(&self) -> &Path {
        &self.at
    }
}

impl Cluster {
    /// Reads an object that holds a config.
    ///
    /// # Errors
    /// If it is not there, or may not be read, or holds none.
    pub fn read(&self, place: &Place) -> Result<Held, Trouble> {
        let kind = place.kind;
        let object = place.object();
        let asked = self.asked("get", kind.plural(), kind.group(), &object);
        let found = self.wait(self.api(kind).get(&place.name)).map_err(|error| asked.failed(&error));
        let found = found.map_err(|trouble| self.instead(place, trouble))?;
        let object = serde_json::to_value(found).unwrap_or_default();
        let mut place = place.clone();
        let at = config_of(&mut place, &object).map_err(|what| {
            Trouble::new(Cause::Foreign, format!("{} in namespace {} {what}", place.object(), self.namespace))
        })?;
        Ok(Held { place, namespace: self.namespace.clone(), object, at })
    }

    pub(super) fn api(&self, kind: Kind) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.namespace, &kind.resource())
    }

    /// Adds to an object that is not there which ones are.
    fn instead(&self, place: &Place, trouble: Trouble) -> Trouble {
        if trouble.cause != Cause::Missing || trouble.help.is_some() {
            return trouble;
        }
        let kind = place.kind;
        let names = |api: Api<DynamicObject>| -> Vec<(String, String)> {
            let list = self.wait(api.list_metadata(&ListParams::default())).map(|list| list.items).unwrap_or_default();
            let name =
                |meta: kube::core::ObjectMeta| (meta.namespace.unwrap_or_default(), meta.name.unwrap_or_default());
            list.into_iter().map(|one| name(one.metadata)).collect()
        };
        let here: Vec<String> = names(self.api(kind)).into_iter().map(|(_, name)| name).collect();
        if let Some(near) = nearest(&place.name, here.iter().map(String::as_str)) {
            return trouble.help(format!("did you mean {}/{near}?", kind.word()));
        }
        let all = names(Api::all_with(self.client.clone(), &kind.resource()));
        let elsewhere: Vec<&str> =
            all.iter().filter(|(_, name)| *name == place.name).map(|(namespace, _)| namespace.as_str()).collect();
        match (&elsewhere[..], &here[..]) {
            ([one], _) => trouble.help(format!("there is one in namespace {one}: add -n {one}")),
            ([_, _, ..], _) => {
                trouble.help(format!("there is one in each of these namespaces: {}", elsewhere.join(", ")))
            }
            ([], []) => trouble.help(format!("there is no {} at all in it: -n names another namespace", kind.name())),
            ([], _) => trouble.help(format!("there are {}", here.join(", "))),
        }
    }
}

/// Where the config stands in an object; the key of a `ConfigMap` is found, where none was said.
fn config_of(place: &mut Place, object: &Value) -> Result<Path, String> {
    let path = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Path>();
    let plugin = |names: &[&str]| {
        let at = path(names);
        match edit::at(object, &at) {
            Some(Value::Object(config)) if config.contains_key("flags") || config.contains_key("version") => Ok(at),
            Some(_) => Err("has a pluginConfig that is no config of Tidegate: it has no flags".to_owned()),
            None => Err(format!("has no {}, and so no config of Tidegate", edit::dotted(&at))),
        }
    };
    match place.kind {
        Kind::WasmPlugin => plugin(&["spec", "pluginConfig"]),
        Kind::TrafficExtension => plugin(&["spec", "wasm", "pluginConfig"]),
        Kind::EnvoyFilter => {
            let at = path(&["spec", "configPatches"]);
            edit::at(object, &at).map(|_| at).ok_or_else(|| "has no configPatches".to_owned())
        }
        Kind::ConfigMap => {
            let data = object.get("data").and_then(Value::as_object);
            let texts = data.into_iter().flatten().filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)));
            let texts: Vec<(&str, &str)> = texts.collect();
            let ours = |text: &str| {
                let json = text.trim_start().starts_with('{') && text.contains("\"flags\"");
                json || text.lines().any(|line| line.starts_with("flags:"))
            };
            let keys = || texts.iter().map(|(key, _)| *key).collect::<Vec<_>>().join(", ");
            let key = match &place.key {
                Some(key) => match texts.iter().find(|(name, _)| name == key) {
                    Some(_) => key.clone(),
                    None => return Err(format!("has no key {key} (it has {})", keys())),
                },
                None => {
                    let found: Vec<&str> = texts.iter().filter(|(_, text)| ours(text)).map(|(key, _)| *key).collect();
                    match found[..] {
                        [one] => one.to_owned(),
                        [] if texts.is_empty() => return Err("has no data, and so no config of Tidegate".to_owned()),
                        [] => return Err(format!("has no config of Tidegate under any of its keys ({})", keys())),
                        _ => {
                            let names = found.join(", ");
                            return Err(format!(
                                "has several configs ({names}): name one, as in {}:KEY",
                                place.object()
                            ));
                        }
                    }
                }
            };
            place.key = Some(key.clone());
            Ok(vec!["data".to_owned(), key])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn find(place: &str, object: &Value) -> Result<String, String> {
        let mut place = Place::parse(place).unwrap();
        config_of(&mut place, object).map(|at| edit::dotted(&at))
    }

    #[test]
    fn a_config_is_found_where_its_kind_has_it() {
        let config = json!({"version": 1, "flags": {}});
        assert_eq!(find("wasmplugin/a", &json!({"spec": {"pluginConfig": config}})).unwrap(), "spec.pluginConfig");
        let extension = json!({"spec": {"wasm": {"pluginConfig": config}}});
        assert_eq!(find("trafficextension/a", &extension).unwrap(), "spec.wasm.pluginConfig");
        let map = json!({"data": {"notes": "none", "shop.yaml": "version: 1\nflags: {}\n", "b": "{\"flags\": {}}"}});
        assert_eq!(find("cm/a:shop.yaml", &map).unwrap(), "data[\"shop.yaml\"]");
        assert!(find("cm/a", &map).unwrap_err().starts_with("has several configs (b, shop.yaml)"));
        assert_eq!(find("cm/a:c", &map).unwrap_err(), "has no key c (it has b, notes, shop.yaml)");
        assert_eq!(
            find("cm/a", &json!({"data": {"b": "x"}})).unwrap_err(),
            "has no config of Tidegate under any of its keys (b)"
        );
        assert_eq!(find("cm/a", &json!({})).unwrap_err(), "has no data, and so no config of Tidegate");
        let other = json!({"spec": {"pluginConfig": {"limit": 3}}});
        assert!(find("wasmplugin/a", &other).unwrap_err().contains("no flags"));
        assert!(find("wasmplugin/a", &json!({"spec": {}})).unwrap_err().starts_with("has no spec.pluginConfig"));
    }
}
