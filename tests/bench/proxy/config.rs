//! Configs of every size and kind that is measured.

use serde_json::{Map, Value, json};

/// A routing flag, and this many others.
pub fn routing(others: usize) -> Value {
    let mut flags = json!({"checkout": {
        "route": {"header": "x-upstream-version"}, "variants": ["v1", "v2"], "baseline": "v1",
        "rules": [{"percent": 10, "serve": "v2"}],
    }});
    for n in 1..=others {
        flags[format!("flag-{n}")] = json!({"rules": [{"percent": 50, "serve": "on"}]});
    }
    json!({"version": 1, "identity": [{"header": "x-user-id"}], "flags": flags})
}

/// The same with a field set for every flag.
pub fn each(others: usize, field: &str, value: &Value) -> Value {
    let mut config = routing(others);
    for flag in config["flags"].as_object_mut().expect("flags by name").values_mut() {
        flag[field] = value.clone();
    }
    config
}

/// The same with a guard on the routing flag.
pub fn guarded(others: usize) -> Value {
    let mut config = routing(others);
    config["flags"]["checkout"]["guard"] = json!({"errors": {"max": 5, "overBaseline": 2}});
    config
}

/// The same with a field of the whole config.
pub fn with(others: usize, field: &str, value: Value) -> Value {
    let mut config = routing(others);
    config[field] = value;
    config
}

/// No flag is for the host that is asked for.
pub fn elsewhere() -> Value {
    flags([("other".to_owned(), json!({"match": {"hosts": ["other.example"]}, "rules": [drawn()]}))])
}

/// Flags that route nothing, each with this many rules, of which the last one draws.
pub fn ruled(count: usize, rules: usize) -> Value {
    let rule = |n: usize| json!({"when": {"header": "x-country", "equals": format!("X{n}")}, "serve": "on"});
    let rules: Vec<Value> = (1..rules).map(rule).chain([drawn()]).collect();
    flags((0..count).map(|n| (format!("f{n}"), json!({"rules": rules}))))
}

/// One flag that asks for any of this many segments.
pub fn segmented(segments: usize) -> Value {
    let segment = |n: usize| (format!("s{n}"), json!({"header": "x-country", "equals": format!("X{n}")}));
    let any: Vec<Value> = (0..segments).map(|n| json!({"segment": format!("s{n}")})).collect();
    let mut config = flags([("f0".to_owned(), json!({"rules": [{"when": {"any": any}, "serve": "on"}, drawn()]}))]);
    config["segments"] = (0..segments).map(segment).collect::<Map<_, _>>().into();
    config
}

/// One flag that looks for the identity in a list of this length.
pub fn listed(length: usize) -> Value {
    let list: Vec<String> = (0..length).map(|n| format!("member-{n}")).collect();
    let listed = json!({"when": {"identity": {"in": list}}, "serve": "on"});
    flags([("f0".to_owned(), json!({"rules": [listed, drawn()]}))])
}

/// The largest config: 1,000 flags with 22 rules each, in short words.
pub fn largest() -> Value {
    let rules: Vec<Value> =
        (0..22).map(|n| if n < 11 { json!({"percent": n, "serve": "on"}) } else { json!({"serve": "on"}) }).collect();
    let matches = |n: usize| json!({"hosts": [format!("{n}.e")]});
    flags((0..1_000).map(|n| (format!("f{n}"), json!({"match": matches(n), "rules": rules}))))
}

fn drawn() -> Value {
    json!({"percent": 50, "serve": "on"})
}

fn flags(flags: impl IntoIterator<Item = (String, Value)>) -> Value {
    let flags: Map<String, Value> = flags.into_iter().collect();
    json!({"version": 1, "identity": [{"header": "x-user-id"}], "flags": flags})
}
