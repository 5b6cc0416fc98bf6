//! Tells what a file is that is no config of Tidegate: a flagd file, a Deployment, a template of Helm, a text with the
//! marks of a merge.
//!
//! By what such files always have, first where it cannot be read at all, then by its fields. Never says that a config
//! is wrong.

use std::ops::Range;

use super::remedy::nearest;
use super::tree::{Tree, Unread, Value};
use tidegate_engine::config::schema::reference::CONFIG;

/// What a file looks like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// What it is: `a flagd file`.
    pub what: String,
    /// What to do with it.
    pub help: String,
    /// What shows it.
    pub at: Range<usize>,
}

const GUIDE: &str = "docs/compared.md shows how flags of other tools are written here";

/// What is wrong with a text before it is read: nothing to be read, marks of a merge, another encoding.
pub fn broken(text: &str) -> Option<Look> {
    let line = |number: usize, length: usize| {
        let start: usize = text.split_inclusive('\n').take(number).map(str::len).sum();
        start..(start + length).min(text.len())
    };
    let look = |what: &str, help: &str, at| Some(Look { what: what.to_owned(), help: help.to_owned(), at });
    let nothing =
        text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#') || line.trim() == "---");
    if nothing {
        let begin = "begin so: version: 1, and below it flags: {checkout: {rules: [{serve: \"on\"}]}}";
        return look("is empty: there is nothing but blanks and comments in it", begin, 0..0);
    }
    let marks = |mark: &str| text.lines().position(|line| line.starts_with(mark));
    if let (Some(begin), Some(middle), Some(end)) = (marks("<<<<<<< "), marks("======="), marks(">>>>>>> "))
        && begin < middle
        && middle < end
    {
        let (first, mid, last) = (begin + 1, middle + 1, end + 1);
        return Some(Look {
            what: format!("has the marks of a merge that is not finished, in lines {first} to {last}"),
            help: format!(
                "keep {} or {}, and delete the three marks",
                lines(first + 1, mid - 1),
                lines(mid + 1, last - 1)
            ),
            at: line(begin, 7),
        });
    }
    None
}

/// Some lines, by their numbers.
fn lines(first: usize, last: usize) -> String {
    match last.checked_sub(first) {
        None => "nothing".to_owned(),
        Some(0) => format!("line {first}"),
        Some(_) => format!("lines {first} to {last}"),
    }
}

/// What a text looks like that cannot be read as YAML, and how it is mended.
pub fn unread(text: &str, unread: &Unread) -> Look {
    let Unread { message, at } = unread;
    let start = text.get(..at.start).and_then(|before| before.rfind('\n')).map_or(0, |end| end + 1);
    let number = text.get(..start).unwrap_or_default().matches('\n').count();
    let look = |what: String, help: &str, at: Range<usize>| Look { what, help: help.to_owned(), at };
    // A template is told by the first of its actions, wherever the reader gave up.
    if let Some(open) = text.find("{{") {
        let end = text.get(open..).and_then(|rest| rest.find('\n')).map_or(text.len(), |end| open + end);
        let action = text.get(open..end).unwrap_or_default();
        if action.contains(".Values")
            || action.contains("include ")
            || action.contains("{{-")
            || action.contains(".Release")
            || action.contains("}}")
        {
            let help = "check what Helm makes of it: helm template . | tidegate validate -";
            return look("is a template of Helm, which is no YAML before it is rendered".to_owned(), help, open..end);
        }
    }
    let tab = text.lines().enumerate().find(|(_, line)| {
        let blank = line.len() - line.trim_start().len();
        line.get(..blank).is_some_and(|blank| blank.contains('\t')) && !line.trim().is_empty()
    });
    if let Some((place, line)) = tab.filter(|(place, _)| message.contains("tab") || place.abs_diff(number) <= 1) {
        let begin: usize = text.split_inclusive('\n').take(place).map(str::len).sum();
        let column = line.find('\t').unwrap_or_default();
        let help = "write two spaces for each level: YAML takes no tab in front of a line";
        return look("is indented with a tab".to_owned(), help, begin + column..begin + column + 1);
    }
    let help = match &**message {
        message if message.contains("mapping values are not allowed") => {
            "put the value in quotes if the colon belongs to it, or begin a new line for the second key"
        }
        message
            if message.contains("did not find expected key")
                || message.contains("block mapping")
                || message.contains("indentation") =>
        {
            "indent the line like its neighbours: keys of one map begin in the same column"
        }
        message if message.contains("bracket") || message.contains("flow") || message.contains("','") => {
            "close each bracket and brace where it was opened, with commas between the elements: [a, b], {a: 1, b: 2}"
        }
        message if message.contains("quote") => "close the quote at the end of the text",
        message if message.contains("anchor") || message.contains("alias") => {
            "put the text in quotes: * begins an alias in YAML, as in \"*.shop.example\""
        }
        message if message.contains("cannot start") || message.contains("character") => {
            "put the text in quotes: YAML keeps @, `, %, & and * at the start of a text for itself"
        }
        message if message.contains("duplicate") => "keep one of the two",
        message if message.contains("utf") || message.contains("UTF") => "save the file as UTF-8",
        _ => "write it as YAML: keys and values with a colon and a space between them, lists with - in front",
    };
    Look { what: format!("cannot be read as YAML: {message}"), help: help.to_owned(), at: at.clone() }
}

/// What a file of bytes looks like that is no text.
pub fn binary(bytes: &[u8]) -> Option<(&'static str, &'static str)> {
    const HEADS: [(&[u8], &str, &str); 7] = [
        (b"\0asm", "is a WebAssembly module", "name the config that the module gets, and not the module"),
        (b"\x7fELF", "is a program or a library", "name the config, and not the program"),
        (b"\x1f\x8b", "is compressed with gzip", "unpack it first: gunzip -c FILE | tidegate validate -"),
        (b"PK\x03\x04", "is a ZIP archive", "unpack it first"),
        (b"\xff\xfe", "is UTF-16", "save the file as UTF-8"),
        (b"\xfe\xff", "is UTF-16", "save the file as UTF-8"),
        (b"\x89PNG", "is a picture", "name the config"),
    ];
    HEADS.iter().find(|(head, ..)| bytes.starts_with(head)).map(|(_, what, help)| (*what, *help))
}

/// Whether a text speaks of Tidegate, so that what is wrong with it matters also where nobody named it.
pub fn is_ours(text: &str) -> bool {
    let key = |name: &str| text.lines().any(|line| line.trim_start().trim_start_matches('"').starts_with(name));
    text.contains("tidegate") || key("flags") && key("version")
}

/// Whether a file that cannot be read, and that nobody named, speaks of Tidegate.
pub fn matters(text: &str, message: &str) -> bool {
    // A template is nothing to be read, and what Helm makes of it is checked elsewhere.
    is_ours(text) && !message.starts_with("is a template") && !message.starts_with("is empty")
}

/// Whether a document is a config, by its fields.
pub fn is_config(tree: &Tree, named: bool) -> bool {
    let Value::Map(entries) = &tree.value else { return false };
    let known = |name: &str| CONFIG.field(name).is_some();
    let own = entries.iter().filter(|(key, _)| known(&key.name)).count();
    let near =
        entries.iter().any(|(key, _)| nearest(&key.name, ["flags", "segments", "identity"].into_iter()).is_some());
    let version = tree.field("version").is_some();
    // Without a version of ours, flags of another shape are another tool's.
    if (!version || tree.field("namespace").is_some()) && foreign_flags(tree).is_some() {
        return false;
    }
    let flags = tree.field("flags").is_some();
    // Flags alone may be a compiler's, where nobody says that they are ours.
    let sure = flags && (version || own >= 2);
    sure || named && (flags || own >= 2 || near || version && entries.len() == 1)
}

/// Something else that has `flags`.
fn foreign_flags(tree: &Tree) -> Option<Look> {
    let shows = |name: &str, what: &str, help: String| {
        let at = key_of(tree, name)?;
        Some(Look { what: what.to_owned(), help, at })
    };
    let flags = tree.field("flags")?;
    let Value::Map(entries) = &flags.value else {
        let help = "translate it: each flag becomes one under its key, below version: 1: flags: {checkout: {rules: [{serve: \"on\"}]}}; segments become segments, a rollout with a threshold becomes a rule with percent";
        return shows("flags", "is a file of Flipt, not a config of Tidegate", help.to_owned())
            .filter(|_| matches!(flags.value, Value::List(_)) && tree.field("namespace").is_some());
    };
    let has = |names: &[&str]| entries.iter().any(|(_, flag)| names.iter().all(|name| flag.field(name).is_some()));
    let states = has(&["variants", "defaultVariant"]) || has(&["state", "variants"]);
    let schema = tree.field("$schema").and_then(Tree::text).is_some_and(|schema| schema.contains("flagd"));
    if states || schema || tree.field("$evaluators").is_some() {
        let help = format!(
            "translate it: begin with version: 1; variants become a list with a baseline, variants: [v1, v2]; targeting becomes rules, defaultVariant becomes default, state: DISABLED becomes kill: true; {GUIDE}"
        );
        return shows(if schema { "$schema" } else { "flags" }, "is a file of flagd, not a config of Tidegate", help);
    }
    if has(&["variations"]) || has(&["environments"]) || tree.field("flagValues").is_some() {
        let help = format!(
            "translate it: begin with version: 1; variations become variants with a baseline, fallthrough becomes default, and one with a rollout becomes the last rule: weights of 75000 and 25000 are serve: [{{variant: v1, weight: 75}}, {{variant: v2, weight: 25}}]; on: false becomes kill: true; {GUIDE}"
        );
        return shows("flags", "is an export of LaunchDarkly, not a config of Tidegate", help);
    }
    None
}

fn key_of(tree: &Tree, name: &str) -> Option<Range<usize>> {
    let Value::Map(entries) = &tree.value else { return None };
    entries.iter().find(|(key, _)| &*key.name == name).map(|(key, _)| key.span.clone())
}

/// What a document is that is no config and carries none.
pub fn of(tree: &Tree) -> Look {
    kind(tree).or_else(|| flags_of_others(tree)).or_else(|| by_fields(tree)).unwrap_or_else(|| unknown(tree))
}

/// What holds flags for somebody else.
fn flags_of_others(tree: &Tree) -> Option<Look> {
    if let Some(look) = foreign_flags(tree) {
        return Some(look);
    }
    let shows = |name: &str, what: &str, help: &str| {
        Some(Look { what: what.to_owned(), help: help.to_owned(), at: key_of(tree, name)? })
    };
    if let Some(features) = tree.field("features") {
        let one = match &features.value {
            Value::List(items) => items.first(),
            Value::Map(entries) => entries.first().map(|(_, one)| one),
            Value::Scalar(_) => None,
        };
        let has = |name: &str| one.is_some_and(|one| one.field(name).is_some());
        if has("strategies") || has("enabled") && matches!(features.value, Value::List(_)) {
            let help = "translate it: begin with version: 1; each feature becomes a flag under its name, each strategy a rule: flexibleRollout with rollout: 25 is {percent: 25, serve: \"on\"}, constraints are its when, stickiness is identity; enabled: false becomes kill: true; docs/compared.md shows how flags of other tools are written here";
            return shows("features", "is a file of Unleash, not a config of Tidegate", help);
        }
        if has("defaultValue") || matches!(features.value, Value::Map(_)) && has("rules") {
            let help = "translate it: begin with version: 1; each feature becomes a flag, defaultValue its default; a condition is a rule's when, coverage: 0.25 is percent: 25, hashAttribute is identity";
            return shows("features", "is a file of GrowthBook, not a config of Tidegate", help);
        }
    }
    let Value::Map(entries) = &tree.value else { return None };
    let one =
        entries.iter().find(|(_, flag)| flag.field("variations").is_some() && flag.field("defaultRule").is_some());
    let (key, _) = one?;
    let help = "translate it: begin with version: 1, and put the flags into flags; variations become a list with a baseline, variants: [v1, v2]; targeting becomes rules, a query is a rule's when, percentage {v1: 75, v2: 25} is serve: [{variant: v1, weight: 75}, {variant: v2, weight: 25}]; defaultRule becomes default";
    shows(&key.name, "is a file of GO Feature Flag, not a config of Tidegate", help)
}

/// A manifest of Kubernetes, by its kind.
fn kind(tree: &Tree) -> Option<Look> {
    let kind = tree.field("kind").and_then(Tree::text)?;
    let version = tree.field("apiVersion").and_then(Tree::text).unwrap_or_default();
    let at = tree.field("kind").map(|kind| kind.span.clone()).unwrap_or_default();
    let article = if kind.starts_with(['A', 'E', 'I', 'O', 'U']) { "an" } else { "a" };
    let name = tree.field("metadata").and_then(|data| data.field("name")).and_then(Tree::text);
    let named = name.map_or_else(String::new, |name| format!(" ({name})"));
    let help = match kind {
        "FeatureFlag" | "FeatureFlagConfiguration" | "FeatureFlagSource" if version.contains("openfeature") => {
            format!("it is the OpenFeature operator's, for flagd, not a config of Tidegate: begin with version: 1; variants become a list with a baseline, variants: [v1, v2]; targeting becomes rules, defaultVariant becomes default; {GUIDE}")
        }
        "Rollout" | "Canary" | "Experiment" if version.contains("argoproj") || version.contains("flagger") => {
            "steps with setWeight become steps of a rule: steps: [{at: \"2026-12-01T09:00:00Z\", percent: 10}], and its analysis a guard".to_owned()
        }
        "WasmPlugin" | "TrafficExtension" => {
            "put the config into spec.pluginConfig, or let tidegate render write the manifest".to_owned()
        }
        "EnvoyExtensionPolicy" => "put the config into spec.wasm[].config of the entry whose name is tidegate".to_owned(),
        "EnvoyFilter" => "put the config as JSON into the configuration of the Wasm filter, or let tidegate render write it".to_owned(),
        "ConfigMap" | "Secret" => "a config in it stands under a key of its own: data: {tidegate.yaml: |...}".to_owned(),
        "VirtualService" | "HTTPRoute" | "GRPCRoute" | "DestinationRule" => {
            "give it together with the config, and its routes are held against the variants: tidegate validate flags.yaml routes.yaml".to_owned()
        }
        "Kustomization" | "Component" => "check what it makes: kubectl kustomize . | tidegate validate -".to_owned(),
        _ => "name a file with a config, or a manifest that carries one: WasmPlugin, TrafficExtension, EnvoyFilter, EnvoyExtensionPolicy or ConfigMap".to_owned(),
    };
    let spec = tree.field("spec");
    let part = [spec, spec.and_then(|spec| spec.field("wasm"))]
        .into_iter()
        .flatten()
        .any(|spec| spec.field("pluginConfig").is_some());
    if part && matches!(kind, "WasmPlugin" | "TrafficExtension") {
        let what = format!("is a patch of {article} {kind}{named}: without url and version it is a part of one");
        let help = "check what it makes: kubectl kustomize . | tidegate validate -".to_owned();
        return Some(Look { what, help, at });
    }
    Some(Look { what: format!("is {article} {kind}{named}, and carries no config"), help, at })
}

/// Files of other programs, by fields that they always have.
fn by_fields(tree: &Tree) -> Option<Look> {
    const FILES: &[(&[&str], &str, &str)] = &[
        (&["cases"], "looks like cases for tidegate test", "run them: tidegate test FILE"),
        (&["timelines"], "looks like timelines of Tidegate's own tests", "they need a running filter"),
        (&["caps"], "looks like a policy of Tidegate", "check it: tidegate policy check FILE"),
        (&["freezes"], "looks like a policy of Tidegate", "check it: tidegate policy check FILE"),
        (&["longestLife"], "looks like a policy of Tidegate", "check it: tidegate policy check FILE"),
        (&["required", "names"], "looks like a policy of Tidegate", "check it: tidegate policy check FILE"),
        (
            &["resources", "patches"],
            "looks like a kustomization",
            "check what it makes: kubectl kustomize . | tidegate validate -",
        ),
        (
            &["static_resources"],
            "is a bootstrap of Envoy without Tidegate's filter",
            "put the config into the configuration of the filter, or name another file",
        ),
        (
            &["dynamic_resources"],
            "is a bootstrap of Envoy without Tidegate's filter",
            "put the config into the configuration of the filter, or name another file",
        ),
        (
            &["typed_config"],
            "is a part of an Envoy config without Tidegate's filter",
            "name the file that has the filter",
        ),
        (&["services"], "looks like a file of Docker Compose", "name a file with a config"),
        (&["jobs"], "looks like a workflow of GitHub", "name a file with a config"),
        (&["repos"], "looks like a file of pre-commit", "name a file with a config"),
        (&["scrape_configs"], "looks like a config of Prometheus", "name a file with a config"),
        (&["groups"], "looks like rules of Prometheus", "name a file with a config"),
        (&["panels"], "looks like a dashboard of Grafana", "name a file with a config"),
        (&["datasources"], "looks like a file of Grafana", "name a file with a config"),
        (&["openapi"], "looks like a description of an API (OpenAPI)", "name a file with a config"),
        (&["dependencies", "name"], "looks like a package.json or a Chart.yaml", "name a file with a config"),
        (
            &["appVersion"],
            "looks like a Chart.yaml of Helm",
            "check what the chart makes: helm template . | tidegate validate -",
        ),
        (
            &["replicaCount"],
            "looks like values of Helm without a config",
            "a config among values is a map with version and flags",
        ),
        (
            &["image"],
            "looks like values of Helm without a config",
            "a config among values is a map with version and flags",
        ),
        (&["meshConfig"], "looks like values of Istio's chart", "name a file with a config"),
        (
            &["properties"],
            "looks like a JSON Schema",
            "name a file with a config; tidegate schema writes Tidegate's own",
        ),
        (&["setWeight"], "looks like a part of a Rollout", "steps with setWeight become steps of a rule"),
    ];
    let found = FILES.iter().find(|(names, ..)| names.iter().all(|name| tree.field(name).is_some()));
    let (names, what, help) = found?;
    let at = key_of(tree, names.first()?)?;
    Some(Look { what: (*what).to_owned(), help: (*help).to_owned(), at })
}

fn unknown(tree: &Tree) -> Look {
    let what = match &tree.value {
        Value::Map(entries) if entries.is_empty() => "is an empty map".to_owned(),
        Value::Map(entries) => {
            let names: Vec<&str> = entries.iter().take(4).map(|(key, _)| &*key.name).collect();
            let more = if entries.len() > 4 { ", ..." } else { "" };
            format!("is a map with {}{more}, and has no field of a config", names.join(", "))
        }
        Value::List(_) => "is a list, and a config is a map".to_owned(),
        Value::Scalar(_) => "is a single value, and a config is a map".to_owned(),
    };
    Look {
        what,
        help: "a config has version and flags: version: 1, flags: {checkout: {rules: [{serve: \"on\"}]}}".to_owned(),
        at: tree.span.start..tree.span.start,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn what(text: &str) -> String {
        let trees = Tree::read(text, "").unwrap();
        assert!(!is_config(&trees[0], false), "{text}");
        of(&trees[0]).what
    }

    #[test]
    fn the_files_of_others_are_called_by_their_names() {
        for (text, name) in [
            ("flags: {a: {state: ENABLED, variants: {x: 1}, defaultVariant: x}}", "flagd"),
            ("features: [{name: a, enabled: true, strategies: []}]", "Unleash"),
            ("features: {a: {defaultValue: true, rules: []}}", "GrowthBook"),
            ("flags: {a: {variations: [true, false], fallthrough: {variation: 0}}}", "LaunchDarkly"),
            ("a: {variations: {x: 1}, defaultRule: {variation: x}}", "GO Feature Flag"),
            ("{apiVersion: core.openfeature.dev/v1beta1, kind: FeatureFlag}", "FeatureFlag"),
            ("{apiVersion: apps/v1, kind: Deployment, metadata: {name: web}}", "a Deployment (web)"),
            ("{caps: {experimental: 10%}}", "policy"),
            ("[1]", "list"),
            ("{flags: {verbose: true}, image: web}", "values of Helm"),
            ("{version: '1.2', namespace: shop, flags: [{key: a}]}", "Flipt"),
        ] {
            assert!(what(text).contains(name), "{text}: {}", what(text));
        }
    }

    #[test]
    fn a_config_is_one_however_wrong_it_is() {
        for (text, named) in [
            ("{version: 1, flags: {}}", false),
            ("{version: 1, flags: {a: {state: ENABLED, variants: {x: 1}, defaultVariant: x}}}", false),
            ("{flags: {a: {rules: []}}}", true),
            ("{flags: {a: {rules: []}}, identity: []}", false),
            ("{flag: {a: {}}}", true),
            ("{version: 1, identty: []}", true),
        ] {
            assert!(is_config(&Tree::read(text, "").unwrap()[0], named), "{text}");
        }
    }

    #[test]
    fn a_merge_that_is_not_finished_is_told_by_its_lines() {
        let text = "version: 1\n<<<<<<< HEAD\na: 1\n=======\na: 2\n>>>>>>> main\n";
        let look = broken(text).unwrap();
        assert_eq!(look.help, "keep line 3 or line 5, and delete the three marks");
        assert_eq!(&text[look.at], "<<<<<<<");
    }
}
