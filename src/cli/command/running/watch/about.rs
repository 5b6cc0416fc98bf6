//! Reads what Envoy was told of each flag from the dump of its configs: who owns it, until when it should be there, and
//! whether it is killed, and what has been decided about it elsewhere. No metric says that.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use tidegate_analysis::parts;
use tidegate_engine::config::Config;
use tidegate_engine::config::standing::Standing;
use tidegate_engine::plan::Plan;
use tidegate_engine::problem::Problems;
use tidegate_engine::value::time::Timestamp;
use tidegate_proxy::metrics::catalogue::plain;

/// Where filters can stand in the dump: those that were discovered, and those of a listener.
pub(super) const DUMPS: [&str; 3] = ["ecds_filters", "static_listeners", "dynamic_listeners"];

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FlagId {
    pub(crate) plugin: String,
    pub(crate) key: String,
}

/// What a config says of a flag.
#[derive(Clone, Debug)]
pub(crate) struct About {
    pub(crate) killed: bool,
    pub(crate) baseline: String,
    pub(crate) kind: &'static str,
    pub(crate) stage: Option<&'static str>,
    pub(crate) owner: Option<String>,
    pub(crate) expires: Option<Timestamp>,
    /// What the config says that was decided about it, unless that is void.
    pub(crate) stands: Option<Standing>,
    /// All of the config, which has more to say.
    pub(crate) config: Arc<Config>,
}

pub(crate) type Abouts = BTreeMap<FlagId, About>;

/// Adds the flags of all filters in a dump.
pub(super) fn read(dump: &Value, found: &mut Abouts) {
    match dump {
        Value::Object(object) => {
            let of = |name: &str| object.get(name).and_then(Value::as_str);
            // A filter in the sandbox, and one in Envoy's own process.
            let plugins = [("configuration", of("name")), ("filter_config", of("filter_name"))];
            for (config, plugin) in plugins {
                if let Some(config) = object.get(config) {
                    flags(config, plugin.unwrap_or_default(), found);
                }
            }
            object.values().for_each(|value| read(value, found));
        }
        Value::Array(list) => list.iter().for_each(|value| read(value, found)),
        _ => {}
    }
}

/// Adds the flags of a filter's config, if it is one of Tidegate.
fn flags(config: &Value, plugin: &str, found: &mut Abouts) {
    let bytes = match config.get("value") {
        Some(Value::String(text)) => text.clone().into_bytes(),
        Some(value @ Value::Object(_)) => value.to_string().into_bytes(),
        _ => return,
    };
    let plugin = if plugin.is_empty() { "tidegate".to_owned() } else { plain(plugin) };
    let config = Arc::new(Config::from_bytes(&bytes, &mut Problems::default()));
    let made = || Plan::compile(&config, &mut Problems::default()).ready();
    let plan = if config.standing.is_empty() { None } else { made() };
    let stands = |key: &str| {
        let (_, standing) = config.standing.iter().find(|(of, _)| of.as_str() == key)?;
        let generation = plan.as_ref()?.generation(&config, key)?;
        standing.is_of(generation).then(|| standing.clone())
    };
    for (key, flag) in &config.flags {
        let id = FlagId { plugin: plugin.clone(), key: key.as_str().to_owned() };
        let about = About {
            killed: flag.kill,
            baseline: parts::baseline(flag).to_owned(),
            kind: flag.kind.name(),
            stage: flag.stage.map(tidegate_engine::config::Stage::name),
            owner: flag.owner.as_ref().map(|owner| owner.as_str().to_owned()),
            expires: flag.expires,
            stands: stands(key.as_str()),
            config: Arc::clone(&config),
        };
        found.insert(id, about);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn flags_are_found_wherever_a_filter_stands() {
        let text = r#"{"version": 1, "flags": {"nav": {"owner": "web", "kill": true, "expires": "2027-01-01",
            "stage": "trusted", "rules": [{"serve": "on"}]}}}"#;
        let map = json!({"version": 1, "flags": {"checkout": {"variants": ["v1", "v2"], "baseline": "v1"}}});
        let dump = json!({"configs": [
            {"ecds_filter": {"typed_config": {"config": {"name": "tidegate", "configuration":
                {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": text}}}}},
            {"listener": [{"name": "edge/1", "filter_name": "edge/1", "filter_config":
                {"@type": "type.googleapis.com/google.protobuf.Struct", "value": map}}]},
            {"name": "other", "configuration": {"@type": "x", "value": "no config of ours"}},
            {"name": "other", "configuration": 7},
        ]});
        let mut found = Abouts::new();
        read(&dump, &mut found);
        let about = |plugin: &str, key: &str| &found[&FlagId { plugin: plugin.to_owned(), key: key.to_owned() }];
        let nav = about("tidegate", "nav");
        assert_eq!((nav.killed, &*nav.baseline, nav.owner.as_deref()), (true, "off", Some("web")));
        assert_eq!((nav.kind, nav.stage, nav.expires.is_some()), ("release", Some("trusted"), true));
        let checkout = about("edge_1", "checkout");
        assert_eq!((checkout.killed, &*checkout.baseline, checkout.owner.as_deref()), (false, "v1", None));
        assert_eq!(found.len(), 2);
    }
}
