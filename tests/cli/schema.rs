//! Holds the schema for editors to the reader: what a proxy takes it allows, and most of what is no config it refuses.
//!
//! Turns every config of the package, right or wrong, into a verdict of the schema. Never looks at how the schema is
//! made. `TIDEGATE_BLESS=1 cargo test -p tidegate --test cli schema` writes the committed copy anew.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a config that the schema judges wrongly stops its test, with a message"
)]

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use jsonschema::Validator;
use kit::envoy::repository;
use kit::invalid;
use serde_json::Value;
use tidegate_engine::config::Node;
use tidegate_engine::config::schema::reference::SECTIONS;

const COPY: &str = "envoy/schema.json";

/// What the command prints.
fn printed() -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_tidegate")).arg("schema").output().expect("the command runs");
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn schema() -> Value {
    serde_json::from_str(&printed()).expect("the schema is JSON")
}

fn validator() -> Validator {
    jsonschema::draft202012::new(&schema()).expect("the schema is one")
}

fn text(file: &str) -> String {
    fs::read_to_string(repository().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

#[track_caller]
fn allow(validator: &Validator, config: &Value, place: &str) {
    let errors: Vec<_> =
        validator.iter_errors(config).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{place}: {errors:#?}");
}

#[test]
fn the_committed_copy_is_what_the_command_prints() {
    if std::env::var_os("TIDEGATE_BLESS").is_some() {
        fs::write(repository().join(COPY), printed()).unwrap();
    } else {
        assert!(printed() == text(COPY), "write it anew: TIDEGATE_BLESS=1 cargo test -p tidegate --test cli schema");
    }
}

#[test]
fn it_is_a_schema_of_its_draft() {
    assert!(jsonschema::draft202012::meta::is_valid(&schema()), "{:?}", jsonschema::meta::validate(&schema()).err());
}

/// Every field of the reference is in the schema, with a title and what it means.
#[test]
fn it_knows_every_field_and_says_what_it_means() {
    let schema = schema();
    let maps: Vec<&Value> =
        std::iter::once(&schema).chain(schema["$defs"].as_object().expect("definitions").values()).collect();
    for section in SECTIONS {
        let names: Vec<&str> = section.fields.iter().map(|field| field.name).collect();
        let map = maps.iter().find(|map| {
            let known = map["properties"].as_object();
            known.is_some_and(|known| known.len() == names.len() && names.iter().all(|name| known.contains_key(*name)))
        });
        let map = map.unwrap_or_else(|| panic!("no map of the schema has the fields of {}", section.title));
        assert_eq!(map["additionalProperties"], false, "{}", section.title);
        for field in section.fields {
            let told = map["properties"][field.name]["description"].as_str().unwrap_or_default();
            assert!(told.starts_with(field.about), "{} of {}: {told:?}", field.name, section.title);
        }
    }
}

#[test]
fn every_config_of_the_package_is_allowed() {
    let validator = validator();
    let yaml = |file: &str| -> Vec<Value> { serde_saphyr::from_multiple(&text(file)).expect("the file is YAML") };
    allow(&validator, &yaml("tests/cli/configs/shop.yaml")[0], "shop.yaml");
    let plugin = "envoy/istio/components/wasmplugin/wasmplugin.yaml";
    allow(&validator, &yaml(plugin)[0]["spec"]["pluginConfig"], plugin);
    let embedded = |file: &str, pointer: &str| {
        let document = &yaml(file)[0];
        let value = document.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("{file}: {pointer}"));
        allow(&validator, &serde_json::from_str(value).unwrap(), file);
    };
    embedded("envoy/configs/filter.yaml", "/resources/0/typed_config/config/configuration/value");
    let second = "/spec/configPatches/1/patch/value/typed_config/config/configuration/value";
    embedded("envoy/istio/components/envoyfilter/envoyfilter.yaml", second);
    allow(&validator, &serde_json::from_str(&text("tests/fuzz/everything.json")).unwrap(), "everything.json");
    let pages =
        ["README.md", "docs/config.md", "docs/guards.md", "docs/metrics.md", "docs/recipes.md"].map(text).concat();
    let blocks = pages.split("\n```yaml").skip(1).filter_map(|block| block.split("\n```").next()?.split_once('\n'));
    let mut seen = 0;
    for (_, block) in blocks.filter(|(kind, _)| !kind.contains("wrong")) {
        let config: Value = serde_saphyr::from_str(block).unwrap();
        if config["version"] == 1 {
            allow(&validator, &config, block);
            seen += 1;
        }
    }
    assert!(seen >= 15, "the pages show configs");
    for suite in kit::case::suites() {
        allow(&validator, &serde_json::from_str(&suite.config()).unwrap(), &suite.name);
    }
}

/// The config as an editor sees it; none where a key stands twice, which no schema can tell.
fn plain(text: &str) -> Option<Value> {
    let value: Value = serde_json::from_str(text).ok()?;
    let node: Node = serde_json::from_str(text).ok()?;
    let again: Node = serde_json::from_str(&value.to_string()).ok()?;
    (size(&node) == size(&again)).then_some(value)
}

/// How many values there are.
fn size(node: &Node) -> usize {
    match node {
        Node::List(items) => 1 + items.iter().map(size).sum::<usize>(),
        Node::Map(entries) => 1 + entries.iter().map(|(_, value)| size(value)).sum::<usize>(),
        _ => 1,
    }
}

#[test]
fn what_a_proxy_takes_without_a_word_is_allowed() {
    let validator = validator();
    let mut allowed = 0;
    for case in invalid::cases() {
        let silent = !case.expect.iter().any(|line| line.starts_with("error ") || line.starts_with("unknown "));
        let Some(config) = plain(&case.text).filter(|_| silent) else { continue };
        allow(&validator, &config, &format!("{}: {}", case.place, case.hole));
        allowed += 1;
    }
    assert!(allowed >= 200, "{allowed} valid configs");
}

/// What a message says of an error that shows in one place of a config, whatever the rest of it says.
const STRUCTURAL: [&str; 14] = [
    "must be text",
    "is a boolean where text is needed",
    "must be a map",
    "must be a list",
    "must be true",
    "must be a number",
    "must be one of",
    "must have",
    "must name",
    "must look at one thing",
    "may not be empty",
    "may not contain",
    "is required",
    "stands beside",
];

#[test]
fn what_has_the_wrong_form_is_refused() {
    let validator = validator();
    let mut count: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    let mut passed = Vec::new();
    for case in invalid::cases() {
        let Some(config) = plain(&case.text) else { continue };
        let refused = usize::from(!validator.is_valid(&config));
        let mut note = |kind| {
            let (cases, hits) = count.entry(kind).or_default();
            (*cases, *hits) = (*cases + 1, *hits + refused);
        };
        let has = |kind: &str| case.expect.iter().any(|line| line.starts_with(kind));
        let structural = |line: &String| STRUCTURAL.iter().any(|form| line.contains(&format!(": {form}")));
        if has("unknown ") {
            note("a field that is not known");
            assert_eq!(refused, 1, "{}: {} passed", case.place, case.hole);
        } else if case.expect.iter().any(structural) {
            note("a wrong form");
            if refused == 0 {
                passed.push(format!("{}: {} {:?}", case.place, case.hole, case.expect));
            }
        } else if has("error ") {
            note("another error");
        }
    }
    for (kind, (cases, refused)) in &count {
        println!("{kind}: {refused} of {cases} refused");
    }
    println!("{}", passed.join("\n"));
    let (cases, refused) = count["a wrong form"];
    assert!(cases >= 800 && refused * 100 >= cases * 99, "{count:?}");
}
