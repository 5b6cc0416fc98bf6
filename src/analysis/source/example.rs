//! Finds the field of the reference that a path leads to, and shows how it is written: `percent: 12.5`.
//!
//! The examples are made of the shapes of the reference, which the schema is made of, too. Never judges a value.

use tidegate_engine::config::schema::reference::{CONDITION, CONFIG, Entry, Section};
use tidegate_engine::config::schema::shape::Shape;

/// A step of a path: `flags.checkout.rules[2]` has four.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Key(String),
    Index(usize),
}

/// The steps of a path, as problems write it.
pub fn steps(path: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut rest = if path == "config" { "" } else { path };
    while !rest.is_empty() {
        if let Some(quoted) = rest.strip_prefix("[\"") {
            let (key, behind) = quoted.split_once("\"]").unwrap_or((quoted, ""));
            steps.push(Step::Key(key.to_owned()));
            rest = behind;
        } else if let Some(number) = rest.strip_prefix('[') {
            let (index, behind) = number.split_once(']').unwrap_or((number, ""));
            steps.push(index.parse().map_or_else(|_| Step::Key(index.to_owned()), Step::Index));
            rest = behind;
        } else {
            let name = rest.strip_prefix('.').unwrap_or(rest);
            let end = name.find(['.', '[']).unwrap_or(name.len());
            let (key, behind) = name.split_at(end);
            steps.push(Step::Key(key.to_owned()));
            rest = behind;
        }
    }
    steps
}

/// What stands at a path of a config: a field of a section, or something inside of one.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// The section that has the field.
    pub section: &'static Section,
    /// The field.
    pub entry: Option<&'static Entry>,
    /// What is due at the very place: an element, where the path ends in a list.
    pub shape: Shape,
    /// Whether that is the field itself, and nothing inside of it.
    whole: bool,
}

/// What the reference knows of a path; nothing below a field that it does not know.
pub fn place(path: &str) -> Option<Place> {
    let mut place = Place { section: &CONFIG, entry: None, shape: Shape::Map(&CONFIG), whole: true };
    for step in steps(path) {
        place = inside(place, &step)?;
    }
    Some(place)
}

fn inside(place: Place, step: &Step) -> Option<Place> {
    let shape = match (place.shape, step) {
        (Shape::Either(shapes), _) => {
            return shapes.iter().find_map(|shape| inside(Place { shape: *shape, ..place }, step));
        }
        (Shape::Map(section), Step::Key(key)) => {
            let entry = section.field(key)?;
            return Some(Place { section, entry: Some(entry), shape: entry.shape, whole: true });
        }
        (Shape::Test, Step::Key(key)) => {
            let entry = CONDITION.field(key)?;
            return Some(Place { section: &CONDITION, entry: Some(entry), shape: entry.shape, whole: true });
        }
        (Shape::Named { value, .. }, Step::Key(_)) => *value,
        (Shape::List(element) | Shape::ListOrNone(element), Step::Index(_)) => *element,
        _ => return None,
    };
    Some(Place { shape, whole: false, ..place })
}

impl Place {
    /// How the field is written, with its name: `percent: 12.5`; an element of a list without it.
    pub fn example(&self) -> String {
        match self.entry {
            Some(entry) if self.whole => format!("{}: {}", entry.name, field(self.section, entry)),
            _ => value(self.shape),
        }
    }

    /// What the field takes, for people: `0 to 100, in steps of 0.0001`.
    pub fn takes(&self) -> Option<String> {
        let entry = self.entry.filter(|_| self.whole)?;
        let takes = entry.takes().replace('`', "");
        let noun = ["list", "map", "name", "date", "duration", "header name", "cookie name", "parameter name"];
        let noun = noun.iter().chain(&["condition", "variant", "network", "comparison", "pattern", "time", "segment"]);
        let noun = noun.into_iter().any(|noun| takes.starts_with(noun));
        Some(match &*takes {
            "" => return None,
            "boolean" => "true or false".to_owned(),
            "operator, or text" => "an operator, or text".to_owned(),
            _ if noun => format!("a {takes}"),
            _ => takes,
        })
    }
}

/// The value of a field, where its name says more than its shape.
fn field(section: &Section, entry: &Entry) -> String {
    let own = match (section.title, entry.name) {
        ("The config", "segments") => "{internal: {header: x-employee, equals: \"true\"}}",
        ("The config", "flags") => "{checkout: {rules: [{serve: \"on\"}]}}",
        ("The config", "standing") => {
            "{checkout: {of: \"0123456789abcdef\", phase: held, since: \"2026-12-01T09:00:00Z\"}}"
        }
        ("A standing", "of") => "\"0123456789abcdef\"",
        ("A standing", "steps") => "{\"1\": 2}",
        ("A standing", "why") => "errors of v2",
        ("A standing", "by") => "ana",
        ("A step", "approved") => "ana, 2026-12-01",
        ("The config", "revision") => "2026-11-23.4",
        ("A flag", "variants") => "[v1, v2]",
        ("A flag", "baseline") => "v1",
        ("A flag", "description") => "New checkout service",
        ("A flag", "rescue") => "30s",
        ("A flag", "salt") => "checkout-2",
        ("A flag" | "`route`", "header") => "x-upstream-version",
        ("`inspect`", "header") => "x-tidegate-inspect",
        ("`inspect`", "equals") => "a-word-of-your-own",
        ("`inspect`", "listener") => "inspection",
        ("`generate`", "cookie") => "tg_id",
        ("`generate`", "maxAge") => "30d",
        ("A variant", "value") => "v2",
        ("`errors` of a guard", "max") => "5%",
        ("`errors` of a guard", "overBaseline") => "2%",
        ("`latency` of a guard", "max") => "800ms",
        ("`latency` of a guard", "percentile") => "99",
        ("`reply`", "status") => "503",
        ("`reply`", "body") => "The shop is closed.",
        ("`reply`", "contentType") => "text/plain",
        ("A guard", "failures") => "[5xx, reset]",
        ("A guard", "retryAfter") => "1h",
        ("A guard", "rearm") => "2026-11-23",
        ("A step", "at") => "\"2026-12-01T09:00:00Z\"",
        ("A condition", "header") => "x-country",
        ("A condition", "equals") => "\"DE\"",
        ("A condition", "in") => "[DE, FR]",
        ("A condition", "startsWith") => "beta-",
        ("A condition", "endsWith") => "\"@shop.example\"",
        ("A condition", "contains") => "beta",
        ("A condition", "glob") => "\"beta-*\"",
        ("A condition", "exists") => "true",
        ("A condition", "method") => "GET",
        ("A condition", "host") => "shop.example",
        ("A condition", "path") => "{startsWith: /api/}",
        ("A condition", "peer") => "spiffe://cluster.local/ns/shop/sa/web",
        ("A condition", "address") => "{cidr: 10.0.0.0/8}",
        ("A condition", "device") => "mobile",
        ("A condition", "proxy") => "{startsWith: sidecar~}",
        ("A condition", "identity") => "{in: [ana, ben]}",
        _ => return value(entry.shape),
    };
    own.to_owned()
}

/// A value of a shape.
pub fn value(shape: Shape) -> String {
    let text = match shape {
        Shape::One => "1",
        Shape::Any | Shape::Prose | Shape::SomeProse | Shape::Lines | Shape::Bytes => "text",
        Shape::Boolean | Shape::True => "true",
        Shape::Words(words) => words.first().copied().unwrap_or_default(),
        Shape::HeaderName => "x-user-id",
        Shape::Parameter => "uid",
        Shape::Claim => "sub",
        Shape::Host => "shop.example",
        Shape::PathPrefix => "/api",
        Shape::Method => "GET",
        Shape::FlagKey => "checkout",
        Shape::Variant | Shape::HeaderValue => "v2",
        Shape::Segment => "internal",
        Shape::Date => "\"2027-03-01\"",
        Shape::Time => "\"2026-12-01T09:00:00Z\"",
        Shape::Duration => "10m",
        Shape::Percent => "12.5",
        Shape::Factor => "1.5x",
        Shape::Rate => "50/s",
        Shape::Network => "10.0.0.0/8",
        Shape::Semver => "\"^2.3\"",
        Shape::Comparison => "\">= 18\"",
        Shape::Test => "{equals: text}",
        Shape::Whole(least, most) => return if least == 0 { 1 } else { least.max(most.min(50)) }.to_string(),
        Shape::Map(section) => map(section),
        Shape::Named { key, value: inside } => return format!("{{{}: {}}}", value(*key), value(*inside)),
        Shape::List(element) | Shape::ListOrNone(element) => return format!("[{}]", value(*element)),
        Shape::Either(shapes) => return shapes.first().map_or_else(String::new, |shape| value(*shape)),
    };
    text.to_owned()
}

/// A map with the fields of a section.
fn map(section: &Section) -> &'static str {
    match section.title {
        "The config" => "{version: 1, flags: {checkout: {rules: [{serve: \"on\"}]}}}",
        "A source of identity" => "{header: x-user-id}",
        "`generate`" => "{cookie: tg_id, maxAge: 30d}",
        "`inspect`" => "{header: x-tidegate-inspect, equals: a-word-of-your-own}",
        "`telemetry`" => "{accessLog: true}",
        "A flag" => "{rules: [{serve: \"on\"}]}",
        "`match`" => "{hosts: [shop.example]}",
        "`route`" => "{header: x-upstream-version}",
        "A variant" => "{name: v2, value: v2}",
        "`limit`" => "{requests: 50/s}",
        "`reply`" => "{status: 503, body: The shop is closed.}",
        "A rule" => "{serve: v2}",
        "A step" => "{at: \"2026-12-01T09:00:00Z\", percent: 10}",
        "A part of a weighted `serve`" => "{variant: v2, weight: 1}",
        "A guard" => "{errors: {overBaseline: 2%}}",
        "`requires` of a step" => "{ready: 3}",
        "A standing" => "{of: \"0123456789abcdef\", phase: held, since: \"2026-12-01T09:00:00Z\"}",
        "`errors` of a guard" => "{max: 5%, overBaseline: 2%}",
        "`latency` of a guard" => "{percentile: 99, max: 800ms}",
        _ => "{header: x-country, equals: DE}",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::tree::Tree;
    use tidegate_engine::config::Config;
    use tidegate_engine::config::schema::reference::SECTIONS;
    use tidegate_engine::problem::Problems;

    /// A config around a map of a section, and the path of that map.
    fn around(section: &Section, map: &str) -> (String, &'static str) {
        let flag = |inside: String| format!("{{version: 1, flags: {{a: {inside}}}}}");
        match section.title {
            "The config" => (map.to_owned(), ""),
            "A source of identity" => (format!("{{version: 1, identity: [{map}]}}"), "identity[0]."),
            "`generate`" => (format!("{{version: 1, identity: [{{generate: {map}}}]}}"), "identity[0].generate."),
            "`inspect`" => (format!("{{version: 1, inspect: {map}}}"), "inspect."),
            "`telemetry`" => (format!("{{version: 1, telemetry: {map}}}"), "telemetry."),
            "A flag" => (flag(map.to_owned()), "flags.a."),
            "`match`" => (flag(format!("{{match: {map}}}")), "flags.a.match."),
            "`route`" => (flag(format!("{{route: {map}}}")), "flags.a.route."),
            "A variant" => (flag(format!("{{variants: [{map}]}}")), "flags.a.variants[0]."),
            "`limit`" => (flag(format!("{{variants: [{{limit: {map}}}]}}")), "flags.a.variants[0].limit."),
            "`reply`" => (flag(format!("{{variants: [{{reply: {map}}}]}}")), "flags.a.variants[0].reply."),
            "A rule" => (flag(format!("{{rules: [{map}]}}")), "flags.a.rules[0]."),
            "A step" => (flag(format!("{{guard: {{}}, rules: [{{steps: [{map}]}}]}}")), "flags.a.rules[0].steps[0]."),
            "A part of a weighted `serve`" => {
                (flag(format!("{{rules: [{{serve: [{map}]}}]}}")), "flags.a.rules[0].serve[0].")
            }
            "`requires` of a step" => (
                flag(format!("{{guard: {{}}, rules: [{{steps: [{{requires: {map}}}]}}]}}")),
                "flags.a.rules[0].steps[0].requires.",
            ),
            "A standing" => (format!("{{standing: {{a: {map}}}}}"), "standing.a."),
            "A guard" => (flag(format!("{{guard: {map}}}")), "flags.a.guard."),
            "`errors` of a guard" => (flag(format!("{{guard: {{errors: {map}}}}}")), "flags.a.guard.errors."),
            "`latency` of a guard" => (flag(format!("{{guard: {{latency: {map}}}}}")), "flags.a.guard.latency."),
            _ => (flag(format!("{{rules: [{{when: {map}}}]}}")), "flags.a.rules[0].when."),
        }
    }

    #[test]
    fn every_example_is_taken_by_the_reader() {
        for section in SECTIONS {
            for entry in section.fields {
                let (text, before) = around(section, &format!("{{{}: {}}}", entry.name, field(section, entry)));
                let trees = Tree::read(&text, "").unwrap_or_else(|error| panic!("{text}: {error}"));
                let mut problems = Problems::default();
                Config::from_node(&trees[0].node(), &mut problems);
                let path = format!("{before}{}", entry.name);
                let about = |path_of: &str| {
                    path_of.strip_prefix(&*path).is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric()))
                };
                let wrong = problems.errors().iter().chain(problems.unknown_fields());
                // What a field needs beside it is not the matter here.
                let wrong = wrong.filter(|one| about(one.path()) && !one.is_about_key());
                let told: Vec<String> = wrong.map(ToString::to_string).collect();
                assert!(told.is_empty(), "{text}\n{told:#?}");
                let found = place(&path).and_then(|place| place.entry).map(|entry| entry.name);
                assert_eq!(found, Some(entry.name), "{path}");
            }
        }
    }

    #[test]
    fn a_path_has_steps() {
        let key = |text: &str| Step::Key(text.to_owned());
        assert_eq!(
            steps("flags[\"a b\"].rules[2].when"),
            [key("flags"), key("a b"), key("rules"), Step::Index(2), key("when")]
        );
        assert_eq!(steps("config"), []);
    }
}
