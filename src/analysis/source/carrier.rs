//! Puts a config into an `EnvoyFilter` that carries one already: its text, and the names in the script that guards a
//! proxy without the module.
//!
//! All else of the manifest stays as it is. Never judges a config.

use serde_json::Value;

use tidegate_engine::plan::Plan;

/// What stands behind the names in the script of `envoy/istio/components/envoyfilter`.
const FLAGS: &str = "folded:find(\"^x%-flag\")";

/// The script of a proxy without the module, which takes away what only the filter may say: the names of this config.
/// None, where it is another script.
pub fn guarding(script: &str, plan: &Plan) -> Option<String> {
    let end = script.find(FLAGS)?;
    let (before, behind) = script.split_at_checked(end)?;
    let (head, _) = before.rsplit_once("if ")?;
    let mut names: Vec<String> = plan.owned_headers().iter().map(|name| name.as_str().replace('_', "-")).collect();
    names.retain(|name| !name.starts_with("x-flag"));
    names.sort_unstable();
    names.dedup();
    let tests = names.iter().map(|name| format!("folded == \"{name}\" or ")).collect::<Vec<_>>().concat();
    Some(format!("{head}if {tests}{behind}"))
}

/// Puts a config, written as JSON, in place of the one that the patches carry, however deep it stands.
///
/// # Errors
/// If they carry none, or several.
pub fn refill(patches: &mut Value, json: &str, plan: &Plan) -> Result<(), String> {
    match fill(patches, json, plan) {
        1 => Ok(()),
        0 => Err("carries no config of Tidegate".to_owned()),
        several => Err(format!("carries {several} configs of Tidegate, and only one can be rendered")),
    }
}

/// How many configs were put in.
fn fill(value: &mut Value, json: &str, plan: &Plan) -> usize {
    match value {
        Value::Array(items) => items.iter_mut().map(|item| fill(item, json, plan)).sum(),
        Value::Object(fields) => {
            let mut found = 0;
            for (name, field) in fields.iter_mut() {
                match (name.as_str(), &mut *field) {
                    ("inline_string", Value::String(script)) => {
                        if let Some(next) = guarding(script, plan) {
                            *script = next;
                        }
                    }
                    ("configuration", Value::Object(any)) => match any.get_mut("value") {
                        Some(Value::String(text)) if text.contains("\"flags\"") => {
                            *text = format!("{}\n", json.trim_end());
                            found = usize::saturating_add(found, 1);
                        }
                        Some(map) if map.get("flags").is_some() => {
                            *map = serde_json::from_str(json).unwrap_or_default();
                            found = usize::saturating_add(found, 1);
                        }
                        _ => {}
                    },
                    _ => found = usize::saturating_add(found, fill(field, json, plan)),
                }
            }
            found
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn plan(config: &str) -> Plan {
        Plan::from_bytes(config.as_bytes()).0.ready().unwrap()
    }

    #[test]
    fn the_config_and_the_names_are_exchanged_and_nothing_else() {
        let script = "for x do\n  if folded == \"x-upstream-version\" or folded:find(\"^x%-flag\") then\n end";
        let filter = |text: &str, script: &str| {
            json!([{"patch": {"value": {"default_source_code": {"inline_string": script}, "name": "tidegate"}}},
                {"patch": {"value": {"typed_config": {"config": {"name": "tidegate", "configuration":
                    {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": text}}}}}}])
        };
        let next = r#"{"version": 1, "flags": {"nav": {"header": "x_nav", "rules": [{"serve": "on"}]}}}"#;
        let mut patches = filter("{\"flags\": {}}\n", script);
        refill(&mut patches, next, &plan(next)).unwrap();
        let due = script.replace("x-upstream-version", "x-nav");
        assert_eq!(patches, filter(&format!("{next}\n"), &due));
        // And again, to where no name is left.
        let none = r#"{"version": 1, "flags": {}}"#;
        refill(&mut patches, none, &plan(none)).unwrap();
        assert_eq!(patches, filter(&format!("{none}\n"), &due.replace("folded == \"x-nav\" or ", "")));
        assert!(refill(&mut json!([{"a": 1}]), none, &plan(none)).is_err());
    }
}
