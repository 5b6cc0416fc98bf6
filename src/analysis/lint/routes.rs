//! Holds the variants of routing flags against the routes that are given beside the config: a variant that no route
//! leads to is answered by the baseline's upstream, and nothing says so.
//!
//! Reads `VirtualService`, `HTTPRoute` and `GRPCRoute`, and the routes of Envoy. Says nothing of a header that no route looks
//! at: its routes may be elsewhere.

use std::collections::{BTreeMap, BTreeSet};

use super::Finding;
use crate::parts::{baseline, variants};
use crate::source::Severity;
use crate::source::diagnostic::nearest;
use crate::source::tree::{Tree, Value};
use tidegate_engine::config::Config;
use tidegate_engine::problem::FieldPath;

/// What routes ask of headers.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    headers: BTreeMap<String, Asked>,
    /// The headers that choose an upstream by themselves.
    chosen: BTreeSet<String>,
}

/// The values of a header that lead somewhere.
#[derive(Clone, Debug, Default)]
struct Asked {
    exact: BTreeSet<String>,
    prefixes: BTreeSet<String>,
    /// Whether some route takes more than can be told here: any value, or a pattern.
    any: bool,
}

impl Routes {
    /// Adds what a document asks of headers.
    pub fn read(&mut self, tree: &Tree) {
        match &tree.value {
            Value::Scalar(_) => {}
            Value::List(items) => items.iter().for_each(|item| self.read(item)),
            Value::Map(entries) => {
                for (key, value) in entries {
                    match (&*key.name, value.text()) {
                        ("cluster_header", Some(header)) => {
                            self.chosen.insert(header.to_lowercase());
                        }
                        ("match", _) => self.matches(value),
                        ("matches", _) => {
                            each(value, &mut |one| self.matches(one));
                        }
                        _ => {}
                    }
                    self.read(value);
                }
            }
        }
    }

    fn matches(&mut self, tree: &Tree) {
        each(tree, &mut |one| {
            if let Some(headers) = one.field("headers") {
                self.asks(headers);
            }
        });
    }

    /// The headers of a match: a map from names in a `VirtualService`, a list elsewhere.
    fn asks(&mut self, headers: &Tree) {
        if let Value::Map(entries) = &headers.value {
            for (name, asked) in entries {
                let of = self.headers.entry(name.name.to_lowercase()).or_default();
                of.take(asked);
            }
        }
        if let Value::List(items) = &headers.value {
            for item in items {
                let Some(name) = item.field("name").and_then(Tree::text) else { continue };
                let of = self.headers.entry(name.to_lowercase()).or_default();
                let regular = item.field("type").and_then(Tree::text) == Some("RegularExpression");
                match item.field("value").filter(|_| !regular).and_then(Tree::text) {
                    Some(value) => {
                        of.exact.insert(value.to_owned());
                    }
                    None => of.take(item.field("string_match").unwrap_or(item)),
                }
            }
        }
    }

    /// The variants of a config that no route leads to.
    pub fn check(&self, config: &Config) -> Vec<Finding> {
        let mut found = Vec::new();
        for (key, flag) in &config.flags {
            let Some(header) = &flag.route else { continue };
            let header = header.as_str();
            let at = FieldPath::ROOT.key("flags").key(key.as_str()).to_string();
            if self.chosen.contains(header) {
                continue;
            }
            let Some(asked) = self.headers.get(header) else {
                if let Some(near) = nearest(header, self.headers.keys().map(String::as_str)) {
                    let message = format!("is a header that no route in these files looks at (found \"{header}\")");
                    let path = format!("{at}.route.header");
                    let finding = Finding::of_path(Severity::Warning, "no-route", path, false, message);
                    found.push(
                        finding
                            .with_help(Some(format!("the routes look at {near}: write the same name here and there"))),
                    );
                }
                continue;
            };
            for (place, (name, variant)) in variants(flag).into_iter().enumerate() {
                let value = variant.map_or(&*name, |variant| variant.value.as_str());
                if name == baseline(flag) || variant.is_some_and(|one| one.reply.is_some()) || asked.leads(value) {
                    continue;
                }
                let path =
                    if flag.variants.is_empty() { format!("{at}.route") } else { format!("{at}.variants[{place}]") };
                let message = format!("no route in these files leads to it: none takes {header}: {value}");
                let finding = Finding::of_path(Severity::Warning, "no-route", path, false, message);
                let help = format!(
                    "add a route for {header}: {value}, or, if {name}'s routes match another value: {{name: {name}, value: THAT}}"
                );
                found.push(finding.with_help(Some(help)));
            }
        }
        found
    }
}

impl Asked {
    /// Adds what one match asks of a header.
    fn take(&mut self, asked: &Tree) {
        let text = |names: [&str; 3]| names.iter().find_map(|name| asked.field(name)).and_then(Tree::text);
        if let Some(exact) = text(["exact", "exact_match", "exactMatch"]) {
            self.exact.insert(exact.to_owned());
        } else if let Some(prefix) = text(["prefix", "prefix_match", "prefixMatch"]) {
            self.prefixes.insert(prefix.to_owned());
        } else {
            self.any = true;
        }
    }

    fn leads(&self, value: &str) -> bool {
        self.any || self.exact.contains(value) || self.prefixes.iter().any(|prefix| value.starts_with(prefix.as_str()))
    }
}

/// The elements of a list, or the value itself.
fn each(tree: &Tree, take: &mut dyn FnMut(&Tree)) {
    match &tree.value {
        Value::List(items) => items.iter().for_each(take),
        Value::Map(_) | Value::Scalar(_) => take(tree),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_engine::problem::Problems;

    fn said(routes: &str) -> Vec<String> {
        let mut all = Routes::default();
        Tree::read(routes, "").unwrap().iter().for_each(|tree| all.read(tree));
        let text = r#"{"version": 1, "flags": {"f": {"route": {"header": "x-version"}, "variants": ["v1", "v2", "v3"], "baseline": "v1"}}}"#;
        let config = Config::from_bytes(text.as_bytes(), &mut Problems::default());
        all.check(&config).into_iter().map(|one| one.path).collect()
    }

    #[test]
    fn each_kind_of_route_leads_to_the_variants_that_it_names() {
        for (routes, missing) in [
            ("spec: {http: [{match: [{headers: {x-version: {exact: v2}}}, {headers: {X-Version: {exact: v3}}}]}]}", ""),
            ("spec: {http: [{match: [{headers: {x-version: {exact: v2}}}]}]}", "flags.f.variants[2]"),
            ("spec: {http: [{match: [{headers: {x-version: {prefix: v}}}]}]}", ""),
            ("spec: {http: [{match: [{headers: {x-version: {regex: 'v[23]'}}}]}]}", ""),
            ("spec: {rules: [{matches: [{headers: [{name: x-version, value: v3}]}]}]}", "flags.f.variants[1]"),
            (
                "routes: [{match: {prefix: /, headers: [{name: x-version, string_match: {exact: v2}}]}}]",
                "flags.f.variants[2]",
            ),
            ("routes: [{match: {prefix: /}, route: {cluster_header: x-version}}]", ""),
            ("spec: {http: [{match: [{headers: {x-versoin: {exact: v2}}}]}]}", "flags.f.route.header"),
            ("spec: {http: [{match: [{headers: {x-tenant: {exact: a}}}]}]}", ""),
        ] {
            assert_eq!(said(routes).join(" "), missing, "{routes}");
        }
    }
}
