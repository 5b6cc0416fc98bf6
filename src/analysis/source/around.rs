//! Fits what is told of a problem to the config around it: the flag's own variants, the header that is asked, the
//! number that was written.
//!
//! The tables write of `v2`, `x-country` and 10 percent, because they know no config. Never finds a problem.

use serde_json::{Map, Value};

use super::Document;
use super::example::{Step, steps};
use super::remedy::nearest;
use tidegate_engine::problem::{Problem, Wrong};

/// A config, as the helps are fitted to it.
pub(super) struct Around {
    config: Value,
}

/// What a condition looks at by a name.
const NAMED: [&str; 4] = ["header", "cookie", "query", "claim"];
/// What a condition looks at that has no name.
const BARE: [&str; 8] = ["host", "path", "method", "device", "address", "identity", "peer", "proxy"];
const OPERATORS: [&str; 10] =
    ["equals", "in", "startsWith", "endsWith", "contains", "glob", "exists", "number", "semver", "cidr"];
/// Fields that take over the value of a field that is called otherwise elsewhere.
const TAKE_OVER: [&str; 8] = ["owner", "baseline", "default", "body", "status", "serve", "percent", "expires"];

impl Around {
    pub(super) fn of(document: &Document) -> Self {
        Self { config: serde_json::from_slice(&document.wire).unwrap_or(Value::Null) }
    }

    fn at(&self, path: &str) -> Option<&Value> {
        steps(path).iter().try_fold(&self.config, |value, step| match step {
            Step::Key(key) => value.get(key),
            Step::Index(index) => value.get(index),
        })
    }

    /// The config itself, which stands under `config` in a file of cases.
    fn root(&self, path: &str) -> &Value {
        let inside = self.config.get("config").filter(|_| path.starts_with("config."));
        inside.unwrap_or(&self.config)
    }

    /// The flag that a path leads into.
    fn flag(&self, path: &str) -> Option<&Value> {
        let bare = path.strip_prefix("config.").unwrap_or(path);
        match steps(bare).get(..2)? {
            [Step::Key(map), Step::Key(key)] if map == "flags" => self.root(path).get("flags")?.get(key),
            _ => None,
        }
    }

    /// The names of a flag's variants, as they are written.
    fn variants(&self, path: &str) -> Vec<String> {
        let field = |name: &str| self.flag(path)?.get(name);
        let listed = field("variants").or_else(|| field("variations"));
        let name = |one: &Value| one.as_str().or_else(|| one.get("name")?.as_str()).map(str::to_owned);
        match listed {
            Some(Value::Array(list)) => list.iter().filter_map(name).collect(),
            Some(Value::Object(map)) => map.keys().cloned().collect(),
            _ => Vec::new(),
        }
    }

    /// The variant that is safe, and the one that an example gives to somebody.
    fn names(&self, path: &str) -> (String, String) {
        let variants = self.variants(path);
        let baseline = self.flag(path).and_then(|flag| flag.get("baseline")?.as_str()).map(str::to_owned);
        let safe = baseline.filter(|name| variants.contains(name)).or_else(|| variants.first().cloned());
        let other = variants.iter().find(|name| Some(*name) != safe.as_ref()).cloned();
        match (safe, other) {
            (Some(safe), Some(other)) => (text(&safe), text(&other)),
            _ => ("\"off\"".to_owned(), "\"on\"".to_owned()),
        }
    }

    /// A help, with what the config has in place of what the tables know.
    pub(super) fn fit(&self, problem: &Problem, help: String) -> String {
        let path = problem.path();
        let unknown = matches!(problem.wrong(), Wrong::UnknownField { .. });
        if let Some(help) = self.condition(problem) {
            return help;
        }
        if let Some(help) = self.shape(problem) {
            return help;
        }
        let mut help = help;
        let alone = self.at(split(path).0).and_then(Value::as_object).is_some_and(|map| map.len() == 1);
        if alone && unknown && path.contains(".steps[") && help.starts_with("delete it: ") {
            help = help.replacen("delete it: ", "delete this step: ", 1);
        }
        if help.contains("variants: [on, off, ") && self.variants(path).is_empty() {
            help = help.replace("variants: [on, off, ", "variants: [\"on\", \"off\", ");
            help += ", and a baseline, which variants need: baseline: \"off\"";
        }
        if unknown && let Some(own) = self.at(path) {
            help = with_own(&help, own);
        }
        let (safe, other) = self.names(path);
        if !self.variants(path).is_empty() || help.contains("serve: v2") {
            for (example, own) in [
                ("serve: v2", &other),
                ("serve: \"on\"", &other),
                ("variant: v2", &other),
                ("variant: v1", &safe),
                ("default: v1", &safe),
                ("baseline: v1,", &safe),
            ] {
                // What is longer is another name.
                let name = example.split(':').next().unwrap_or_default();
                let end = if example.ends_with(',') { "," } else { "" };
                help = help.replace(example, &format!("{name}: {own}{end}"));
            }
        }
        let draws = help.contains("percent: ") && self.root(path).get("identity").is_none() && unknown;
        if draws {
            help += "; and at the head of the config: identity: [{header: x-user-id}]";
        }
        help
    }

    /// What was meant by a value of another shape: a map of weights, a name with a blank, a host of a match.
    fn shape(&self, problem: &Problem) -> Option<String> {
        let path = problem.path();
        let (_, last) = split(path);
        let own = self.at(path)?;
        match (problem.wrong(), last, own) {
            (Wrong::Other(words), "serve" | "baseline" | "default" | "variant", Value::String(name))
                if words.contains("may not contain") =>
            {
                let variants = self.variants(path);
                let near = nearest(name, variants.iter().map(String::as_str))?;
                Some(format!("did you mean {near}? {last}: {}", text(near)))
            }
            (Wrong::Other(_), "serve", Value::Object(map)) if map.values().all(Value::is_u64) && map.len() > 1 => {
                let parts = map.iter().map(|(name, weight)| format!("{{variant: {}, weight: {weight}}}", text(name)));
                Some(format!("write a list with weights: serve: [{}]", parts.collect::<Vec<_>>().join(", ")))
            }
            (Wrong::Other(_), "variants", Value::Object(map)) if !map.is_empty() => {
                let parts = map.iter().map(|(name, one)| match one.get("value").unwrap_or(one) {
                    Value::String(value) => format!("{{name: {}, value: {}}}", text(name), text(value)),
                    _ => text(name),
                });
                let parts = parts.collect::<Vec<_>>().join(", ");
                Some(format!("write a list, because it has an order: variants: [{parts}]"))
            }
            (Wrong::UnknownField { section: "A guard", .. }, "request-success-rate", own) => {
                let rate = own.get("min")?.as_u64().filter(|rate| *rate <= 100)?;
                let most = 100_u64.saturating_sub(rate);
                Some(format!("a success rate of {rate}% is an error rate of {most}%: errors: {{max: {most}%}}"))
            }
            (Wrong::UnknownField { section: "A guard", .. }, "request-duration", own) => {
                let most = own.get("max")?.as_u64()?;
                Some(format!("slow answers are latency: latency: {{percentile: 99, max: {most}ms}}"))
            }
            (Wrong::Other(_), "flags", Value::Array(flags)) => {
                let named = |one: &Value| Some(text(one.get("key").or_else(|| one.get("name"))?.as_str()?));
                let keys: Vec<String> = flags.iter().filter_map(named).map(|key| format!("{key}: {{...}}")).collect();
                (!keys.is_empty() && keys.len() == flags.len()).then(|| {
                    format!("write a map from the key of each flag to the flag: flags: {{{}}}", keys.join(", "))
                })
            }
            (Wrong::UnknownField { section: "A flag" | "`match`", .. }, _, own) => {
                let field = match last {
                    "host" | "hosts" | "authority" => "hosts",
                    "path" | "paths" | "prefix" | "uri" => "paths",
                    "method" | "methods" => "methods",
                    _ => return None,
                };
                let own = match own {
                    Value::String(one) => format!("[{}]", text(one)),
                    Value::Array(_) => written(own),
                    _ => return None,
                };
                Some(format!("the requests of a flag are a match, with lists: match: {{{field}: {own}}}"))
            }
            _ => None,
        }
    }

    /// How a condition is written that has a subject and an operator, and one of them wrong.
    fn condition(&self, problem: &Problem) -> Option<String> {
        let path = problem.path();
        let (parent, last) = split(path);
        match problem.wrong() {
            Wrong::UnknownField { section: "A condition", .. } => {
                let Value::Object(map) = self.at(parent)? else { return None };
                let (operator, value) = translated(last, map.get(last)?)?;
                let bare = steps(parent).pop();
                if let Some(Step::Key(subject)) = bare
                    && BARE.contains(&&*subject)
                {
                    return Some(format!("write {subject}: {{{operator}: {value}}}"));
                }
                let subject = subjects(map).into_iter().next()?;
                Some(format!("write {{{subject}, {operator}: {value}}}"))
            }
            Wrong::Other(words) if words.starts_with("must have an operator") => {
                let Value::Object(map) = self.at(path)? else { return None };
                let subject = subjects(map).into_iter().next()?;
                Some(format!(
                    "add an operator with its value: {{{subject}, equals: \"true\"}}, or {{{subject}, exists: true}}"
                ))
            }
            Wrong::Other(words)
                if words.contains("a condition looks at one thing") || words.contains("a test has one operator") =>
            {
                let Value::Object(map) = self.at(parent)? else { return None };
                let operators: Vec<String> =
                    OPERATORS.iter().filter_map(|name| Some(format!("{name}: {}", written(map.get(*name)?)))).collect();
                let each: Vec<String> = subjects(map)
                    .iter()
                    .flat_map(|subject| operators.iter().map(move |operator| format!("{{{subject}, {operator}}}")))
                    .collect();
                (each.len() > 1).then(|| format!("write all: [{}]", each.join(", ")))
            }
            Wrong::Other(words) if words.contains("which has no name: write ") => {
                let Value::Object(map) = self.at(parent)? else { return None };
                let subject = BARE.iter().find(|name| map.contains_key(**name))?;
                Some(format!("move the operator into the map: {subject}: {{{last}: {}}}", written(map.get(last)?)))
            }
            Wrong::Other(words) if words.contains("one comparison of versions") => {
                let Value::Object(map) = self.at(parent)? else { return None };
                let subject = subjects(map).into_iter().next()?;
                let parts: Vec<String> = map
                    .get(last)?
                    .as_str()?
                    .split([' ', ','])
                    .filter(|part| !part.is_empty())
                    .map(|part| format!("{{{subject}, semver: \"{part}\"}}"))
                    .collect();
                (parts.len() > 1).then(|| format!("write one comparison each: all: [{}]", parts.join(", ")))
            }
            _ => None,
        }
    }
}

/// A path without its last step, and that step where it is a key.
pub(super) fn split(path: &str) -> (&str, &str) {
    path.rfind('.')
        .map_or(("", path), |at| (path.get(..at).unwrap_or_default(), path.get(at + 1..).unwrap_or_default()))
}

fn subjects(map: &Map<String, Value>) -> Vec<String> {
    let named = NAMED.iter().filter_map(|name| Some(format!("{name}: {}", text(map.get(*name)?.as_str()?))));
    named.collect()
}

/// An operator of elsewhere as one of ours, with its value.
fn translated(operator: &str, value: &Value) -> Option<(&'static str, String)> {
    let plain = || match value {
        Value::Array(_) | Value::Object(_) | Value::Null => None,
        Value::String(words) => Some(text(words)),
        other => Some(format!("\"{other}\"")),
    };
    let lower = operator.to_ascii_lowercase();
    Some(match &*lower {
        "exact" | "eq" | "is" | "equal" | "value" | "exactmatch" | "stringmatch" | "==" => ("equals", plain()?),
        "prefix" | "starts_with" | "prefixmatch" | "begins" => ("startsWith", plain()?),
        "suffix" | "ends_with" | "ends" | "suffixmatch" => ("endsWith", plain()?),
        "gte" => ("number", format!("\">= {}\"", value.as_f64()?)),
        "gt" => ("number", format!("\"> {}\"", value.as_f64()?)),
        "lte" => ("number", format!("\"<= {}\"", value.as_f64()?)),
        "lt" => ("number", format!("\"< {}\"", value.as_f64()?)),
        "values" | "oneof" | "isoneof" | "anyof" if value.is_array() => ("in", written(value)),
        "regex" | "regexp" | "safe_regex" | "matches" | "pattern" => {
            let pattern = value.as_str()?;
            let begins = pattern.starts_with('^');
            let ends = pattern.ends_with('$');
            let bare = pattern.trim_start_matches('^').trim_end_matches('$').trim_end_matches(".*");
            let open = pattern.trim_end_matches('$').ends_with(".*");
            let (bare, before) = bare.strip_prefix(".*").map_or((bare, false), |bare| (bare, true));
            let bare = bare.replace("\\.", ".");
            let literal = !bare.is_empty() && !bare.contains(['*', '+', '?', '[', '(', '{', '|', '\\']);
            if !literal {
                return None;
            }
            let operator = match (begins && !before, ends && !open) {
                (true, true) => "equals",
                (true, false) => "startsWith",
                (false, true) => "endsWith",
                (false, false) => "contains",
            };
            (operator, text(&bare))
        }
        _ => return None,
    })
}

/// A help whose example ends in a field that takes over what was written.
fn with_own(help: &str, own: &Value) -> String {
    let number = own.as_f64().or_else(|| own.as_str()?.trim_end_matches('%').parse().ok());
    if let (Some(number), true) = (number.filter(|number| (0.0..=100.0).contains(number)), help.contains("percent: 10"))
    {
        return help.replace("percent: 10", &format!("percent: {number}"));
    }
    let own = match own {
        Value::String(words) => text(words),
        Value::Number(number) => number.to_string(),
        _ => return help.to_owned(),
    };
    let at = TAKE_OVER.iter().find_map(|name| {
        let field = format!(" {name}: ");
        let at = help.rfind(&field)? + field.len();
        help.get(at..).is_some_and(|rest| !rest.contains([']', '}', ';', '['])).then_some(at)
    });
    at.and_then(|at| help.get(..at)).map_or_else(|| help.to_owned(), |front| format!("{front}{own}"))
}

/// A value as YAML on one line.
fn written(value: &Value) -> String {
    match value {
        Value::String(words) => text(words),
        Value::Array(list) => format!("[{}]", list.iter().map(written).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}

/// A text as YAML, in quotes where it would be read as something else.
fn text(words: &str) -> String {
    const BOOLEANS: [&str; 10] = ["on", "off", "yes", "no", "y", "n", "true", "false", "null", "~"];
    let plain = |c: char| c.is_alphanumeric() || "-_./ ".contains(c);
    let safe = words.starts_with(|c: char| c.is_alphabetic() || c == '/')
        && words.chars().all(plain)
        && !words.ends_with(' ')
        && !BOOLEANS.contains(&&*words.to_ascii_lowercase());
    if safe { words.to_owned() } else { Value::from(words).to_string() }
}
