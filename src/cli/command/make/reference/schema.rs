//! `tidegate schema`: the reference of the config as a JSON Schema, for editors and for programs that write configs.
//!
//! It knows which fields there are, what each takes and which belong together, and allows whatever a proxy takes. Never
//! knows what only a whole config shows, such as whether a variant exists: `tidegate validate` does.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::error::{CliError, Found};
use crate::terminal::Screen;
use tidegate_engine::config::schema::reference::{CONDITION, CONFIG, OPERATORS, SECTIONS, TOGETHER};
use tidegate_engine::config::schema::shape::{Entry, NEEDED, Section, Shape, Together};

/// Print the format of a config as a JSON Schema, for editors
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
An editor that knows the schema completes fields, shows what they mean and marks mistakes.

  tidegate schema > tidegate.schema.json

VS Code, with the YAML extension, and every other editor with yaml-language-server take the first line of a config:

  # yaml-language-server: $schema=tidegate.schema.json
")]
pub(crate) struct Args {}

pub(crate) fn run(_: &Args, screen: &mut Screen) -> Result<Found, CliError> {
    screen.json(&schema())?;
    Ok(Found::Nothing)
}

/// Where the schema of this version is kept: an editor can take it from there, too.
const ID: &str =
    concat!(env!("CARGO_PKG_REPOSITORY"), "/releases/download/v", env!("CARGO_PKG_VERSION"), "/schema.json");

/// The schemas that others name, by their names.
type Definitions = BTreeMap<String, Value>;

fn schema() -> Value {
    let mut definitions = Definitions::new();
    for section in SECTIONS.iter().filter(|section| !std::ptr::eq(**section, &raw const CONFIG)) {
        let map = if std::ptr::eq(*section, &raw const CONDITION) {
            condition(&mut definitions)
        } else {
            self::section(section, &mut definitions)
        };
        definitions.insert(slug(section), Value::Object(map));
    }
    let mut root = section(&CONFIG, &mut definitions);
    root.insert("$schema".to_owned(), "https://json-schema.org/draft/2020-12/schema".into());
    root.insert("$id".to_owned(), ID.into());
    root.insert("title".to_owned(), "A config of Tidegate".into());
    root.insert("$defs".to_owned(), definitions.into_iter().collect());
    Value::Object(root)
}

/// The name of a section among the definitions: `A part of a weighted serve` is `part-of-a-weighted-serve`.
fn slug(section: &Section) -> String {
    let title = section.title.replace('`', "").to_lowercase();
    title.trim_start_matches("a ").replace(' ', "-")
}

fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/$defs/{name}")})
}

/// A map with these fields and no others.
fn closed<'e>(entries: impl Iterator<Item = &'e Entry>, definitions: &mut Definitions) -> Map<String, Value> {
    let fields: Map<_, _> = entries.map(|entry| (entry.name.to_owned(), field(entry, definitions))).collect();
    let mut map = Map::new();
    map.insert("type".to_owned(), "object".into());
    map.insert("properties".to_owned(), fields.into());
    map.insert("additionalProperties".to_owned(), false.into());
    map
}

fn section(section: &Section, definitions: &mut Definitions) -> Map<String, Value> {
    let mut map = closed(section.fields.iter(), definitions);
    map.insert("title".to_owned(), section.title.replace('`', "").into());
    let needed: Vec<_> =
        section.fields.iter().filter(|field| field.without == NEEDED).map(|field| field.name).collect();
    if !needed.is_empty() {
        map.insert("required".to_owned(), needed.into());
    }
    let mut needs = Map::new();
    for (_, together) in TOGETHER.iter().filter(|(of, _)| std::ptr::eq(*of, section)) {
        match together {
            Together::AnyOf(names) => {
                map.insert("anyOf".to_owned(), present(names.iter().copied()));
            }
            Together::OneBut(others) => {
                let names = section.fields.iter().map(|field| field.name).filter(|name| !others.contains(name));
                map.insert("oneOf".to_owned(), present(names));
            }
            Together::Apart(one, other) => {
                map.insert("not".to_owned(), json!({"required": [one, other]}));
            }
            Together::Needs(one, other) => {
                needs.insert((*one).to_owned(), json!([other]));
            }
        }
    }
    if !needs.is_empty() {
        map.insert("dependentRequired".to_owned(), needs.into());
    }
    map
}

/// For each of these fields the schema of a map that has it.
fn present<'n>(names: impl Iterator<Item = &'n str>) -> Value {
    names.map(|name| json!({"required": [name]})).collect()
}

/// A condition looks at one thing, and has one operator exactly if that thing has a name.
fn condition(definitions: &mut Definitions) -> Map<String, Value> {
    let is_operator = |entry: &&Entry| OPERATORS.contains(&entry.name);
    let subjects = || CONDITION.fields.iter().filter(|entry| !is_operator(entry));
    let named = subjects().filter(|entry| match entry.shape {
        Shape::Test | Shape::Segment | Shape::Map(_) => false,
        Shape::List(inner) => !matches!(inner, Shape::Map(_)),
        _ => true,
    });
    let mut test = closed(CONDITION.fields.iter().filter(is_operator), definitions);
    for (field, value) in [
        ("title", "An operator, or text for equals".into()),
        ("type", json!(["object", "string", "number"])),
        ("minProperties", 1.into()),
        ("maxProperties", 1.into()),
        ("minLength", 1.into()),
    ] {
        test.insert(field.to_owned(), value);
    }
    definitions.insert("test".to_owned(), test.into());

    let mut map = section(&CONDITION, definitions);
    map.insert("oneOf".to_owned(), present(subjects().map(|entry| entry.name)));
    map.insert("if".to_owned(), json!({"anyOf": present(named.map(|entry| entry.name))}));
    map.insert("then".to_owned(), json!({"minProperties": 2, "maxProperties": 2}));
    map.insert("else".to_owned(), json!({"maxProperties": 1}));
    map
}

fn field(entry: &Entry, definitions: &mut Definitions) -> Value {
    let mut value = shape(entry.shape, definitions);
    let mut about = entry.about.to_owned();
    if !["", NEEDED].contains(&entry.without) {
        about = format!("{about} Without it: {}.", entry.without);
    }
    if let Some(map) = value.as_object_mut() {
        map.insert("title".to_owned(), entry.takes().replace('`', "").into());
        map.insert("description".to_owned(), about.into());
    }
    value
}

/// The schema of a shape.
fn shape(shape: Shape, definitions: &mut Definitions) -> Value {
    let mut inner = |shape: &Shape| self::shape(*shape, definitions);
    match shape {
        Shape::Any => json!(true),
        Shape::One => json!({"const": 1}),
        Shape::Boolean => json!({"type": "boolean"}),
        Shape::True => json!({"const": true}),
        Shape::Words(words) => json!({"enum": words}),
        Shape::Whole(least, most) => json!({
            "type": ["integer", "string"], "minimum": least, "maximum": most, "pattern": r"^\+?[0-9]+(\.0+)?$",
        }),
        Shape::Test => reference("test"),
        Shape::Map(section) => reference(&slug(section)),
        Shape::Named { key, value } => {
            let (key, value) = (inner(key), inner(value));
            json!({"type": "object", "propertyNames": key, "additionalProperties": value})
        }
        Shape::List(of) => json!({"type": "array", "items": inner(of), "minItems": 1}),
        Shape::ListOrNone(of) => json!({"type": "array", "items": inner(of)}),
        Shape::Either(shapes) => json!({"anyOf": shapes.iter().map(inner).collect::<Vec<_>>()}),
        _ => {
            let (name, value) = scalar(shape);
            definitions.insert(name.to_owned(), value);
            reference(name)
        }
    }
}

/// What has nothing inside, with its name among the definitions.
fn scalar(shape: Shape) -> (&'static str, Value) {
    const TOKEN: &str = "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$";
    const LABEL: &str = "^[0-9A-Za-z][0-9A-Za-z._-]*$";
    const READABLE: &str = r"^[^\u0000-\u001f\u007f-\u009f]*$";
    // A number is read as its decimal text wherever text is needed.
    let text = |most: u32, pattern: &str| json!({"type": ["string", "number"], "maxLength": most, "pattern": pattern});
    let exact = |pattern: &str| json!({"type": "string", "pattern": pattern});
    let number =
        |pattern: &str| json!({"type": ["number", "string"], "minimum": 0, "maximum": 100, "pattern": pattern});
    match shape {
        Shape::Prose => ("text", text(1_000, READABLE)),
        Shape::SomeProse => ("some-text", text(1_000, &READABLE.replace('*', "+"))),
        Shape::Lines => ("lines", text(4_096, r"^[^\u0000-\u0008\u000b-\u001f\u007f-\u009f]*$")),
        Shape::Bytes => ("value", json!({"type": ["string", "number"], "minLength": 1, "maxLength": 1_024})),
        Shape::HeaderName => ("header-name", text(256, TOKEN)),
        Shape::HeaderValue => ("header-value", text(256, "^[!-~]([ -~]*[!-~])?$")),
        Shape::Parameter => ("parameter-name", text(256, TOKEN)),
        Shape::Claim => ("claim", text(256, r"^[^\u0000]+$")),
        Shape::Host => ("host", text(258, r"^(\*\.)?[0-9A-Za-z._:\[\]-]+$")),
        Shape::PathPrefix => ("path-prefix", text(1_024, "^/[!\"$->@-~]*$")),
        Shape::Method => ("method", text(64, TOKEN)),
        Shape::FlagKey => ("flag-key", text(64, "^[a-z][0-9a-z._-]*$")),
        // YAML makes booleans of on and off.
        Shape::Variant => {
            ("variant-name", json!({"type": ["string", "number", "boolean"], "maxLength": 64, "pattern": LABEL}))
        }
        Shape::Segment => ("segment-name", text(64, LABEL)),
        Shape::Date => ("date", exact(r"^[0-9]{4}-[0-9]{2}-[0-9]{2}(.[0-9]{2}:[0-9]{2}:.+)?$")),
        Shape::Time => {
            let pattern = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}.[0-9]{2}:[0-9]{2}:[0-9]{2}.*([Zz]|[+-][0-9]{2}:[0-9]{2})$";
            ("time", exact(pattern))
        }
        Shape::Duration => ("duration", exact("^([0-9]+(ms|s|m|h|d|w))+$")),
        Shape::Percent => ("percent", number(r"^[+-]?[0-9]+(\.[0-9]+)? *%?$")),
        Shape::Factor => ("factor", number(r"^\+?[0-9]+(\.[0-9]+)?x?$")),
        Shape::Rate => ("rate", exact(r"^\+?[0-9]+(\.0+)?/[sm]$")),
        Shape::Network => ("network", exact(r"^[0-9A-Fa-f.:]+(/[0-9]+)?$")),
        Shape::Semver => ("semver", json!({"type": ["string", "number"]})),
        Shape::Comparison => (
            "comparison",
            json!({"type": ["string", "number"], "pattern": r"^\s*([<>=!]=|[<>=])?\s*[+-]?[0-9]+(\.[0-9]+)?\s*$"}),
        ),
        // What is no scalar has been told by its own parts.
        Shape::Any
        | Shape::One
        | Shape::Boolean
        | Shape::True
        | Shape::Words(_)
        | Shape::Whole(..)
        | Shape::Test
        | Shape::Map(_)
        | Shape::Named { .. }
        | Shape::List(_)
        | Shape::ListOrNone(_)
        | Shape::Either(_) => ("anything", true.into()),
    }
}
