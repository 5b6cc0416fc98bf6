//! Says what is certain about conditions before any request: that one is never true, always true, or true whenever
//! another one is.
//!
//! A condition that has too many ways to be true, or tests that cannot be compared here, counts as one that may be
//! true. Never sees a request.

use std::collections::BTreeMap;

use crate::words;
use tidegate_engine::config::{Condition, Config, Flag, Match, Operator, Rule, Subject};
use tidegate_engine::decide::condition::test;

/// How many ways to be true are examined.
const MOST: usize = 512;

/// The classes that a device may have.
pub(super) const DEVICES: [&str; 4] = ["bot", "desktop", "mobile", "tablet"];

/// A test, and whether it must hold.
#[derive(Clone, Copy)]
struct Literal<'c> {
    subject: &'c Subject,
    /// Whether its identity is the config's own, where the flag has another.
    apart: bool,
    operator: &'c Operator,
    wanted: bool,
}

/// Tests that must hold together.
type All<'c> = Vec<Literal<'c>>;

/// Where conditions stand.
#[derive(Clone, Copy)]
struct Around<'c> {
    config: &'c Config,
    flag: &'c Flag,
}

/// Why the condition of a rule is never true, if that is certain.
pub fn never(config: &Config, flag: &Flag, rule: &Rule) -> Option<String> {
    let around = Around { config, flag };
    around.clash(&around.ways(rule.when.as_ref()?, true, false)?)
}

/// Whether every request fits a rule.
pub fn takes_all(config: &Config, flag: &Flag, rule: &Rule) -> bool {
    let Some(when) = &rule.when else { return true };
    let around = Around { config, flag };
    around.ways(when, false, false).is_some_and(|ways| around.clash(&ways).is_some())
}

/// Whether every request that fits one rule fits another rule, too.
pub fn within(config: &Config, flag: &Flag, one: &Rule, other: &Rule) -> bool {
    let Some(outer) = &other.when else { return true };
    if one.when.as_ref() == Some(outer) || takes_all(config, flag, other) {
        return true;
    }
    let around = Around { config, flag };
    let Some(inner) = &one.when else { return false };
    let both = around.ways(inner, true, false).zip(around.ways(outer, false, false));
    both.and_then(|(inner, outer)| product(&inner, &outer)).is_some_and(|ways| around.clash(&ways).is_some())
}

/// Each way of the one with each of the other, if they are not too many.
fn product<'c>(one: &[All<'c>], other: &[All<'c>]) -> Option<Vec<All<'c>>> {
    if one.len().saturating_mul(other.len()) > MOST {
        return None;
    }
    let pair = |left: &All<'c>, right: &All<'c>| left.iter().chain(right).copied().collect::<All<'c>>();
    Some(one.iter().flat_map(|left| other.iter().map(move |right| pair(left, right))).collect())
}

impl<'c> Around<'c> {
    /// All ways in which a condition can be true, or untrue; none where they are too many.
    fn ways(self, condition: &'c Condition, wanted: bool, in_segment: bool) -> Option<Vec<All<'c>>> {
        match (condition, wanted) {
            (Condition::Not(part), _) => self.ways(part, !wanted, in_segment),
            (Condition::All(parts), true) | (Condition::Any(parts), false) => {
                let mut ways = vec![All::new()];
                for part in parts {
                    ways = product(&ways, &self.ways(part, wanted, in_segment)?)?;
                }
                Some(ways)
            }
            (Condition::Any(parts), true) | (Condition::All(parts), false) => {
                let mut ways = Vec::new();
                for part in parts {
                    ways.extend(self.ways(part, wanted, in_segment)?);
                }
                (ways.len() <= MOST).then_some(ways)
            }
            (Condition::Segment(name), _) => self.ways(self.config.segment(name)?, wanted, true),
            (Condition::Test(subject, operator), _) => {
                let apart = in_segment && *subject == Subject::Identity && self.flag.identity.is_some();
                Some(vec![vec![Literal { subject, apart, operator, wanted }]])
            }
        }
    }

    /// Why none of these ways is possible, if that is certain.
    fn clash(self, ways: &[All<'c>]) -> Option<String> {
        let reasons = ways.iter().map(|way| self.clash_of(way)).collect::<Option<Vec<_>>>()?;
        // No way at all is a condition without parts, which no config holds.
        reasons.into_iter().next()
    }

    fn clash_of(self, way: &All<'c>) -> Option<String> {
        let mut subjects: BTreeMap<(&Subject, bool), Vec<Literal<'c>>> = BTreeMap::new();
        for literal in way {
            subjects.entry((literal.subject, literal.apart)).or_default().push(*literal);
        }
        subjects.into_iter().find_map(|((subject, _), literals)| {
            let why = contradiction(subject, &literals, &self.flag.matches)?;
            let name = words::subject(subject);
            Some(match why {
                Why::Form(form) => format!("{name} {form}"),
                Why::Match => format!("no {name} of the flag's match passes {}", told(&literals)),
                Why::Together => format!("no {name} passes {}", told(&literals)),
            })
        })
    }
}

/// The tests of one subject, in a row.
fn told(literals: &[Literal<'_>]) -> String {
    let mut texts: Vec<String> = Vec::new();
    for literal in literals {
        let not = if literal.wanted { "" } else { "not " };
        let text = format!("{not}'{}'", words::operator(literal.operator));
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    texts.join(" and ")
}

/// Why tests of one subject cannot hold together.
enum Why {
    /// The value has a form that the subject never has.
    Form(&'static str),
    /// The flag's match allows no such value.
    Match,
    /// The tests contradict each other.
    Together,
}

fn contradiction(subject: &Subject, literals: &[Literal<'_>], matches: &Match) -> Option<Why> {
    let is_value = |literal: &&Literal<'_>| !matches!(literal.operator, Operator::Exists(_));
    let missing = literals.iter().any(|literal| *literal.operator == Operator::Exists(!literal.wanted));
    let present = literals
        .iter()
        .any(|literal| *literal.operator == Operator::Exists(literal.wanted) || literal.wanted && is_value(&literal));
    let always = matches!(subject, Subject::Method | Subject::Host | Subject::Path);
    if missing && (present || always) {
        return Some(Why::Together);
    }
    let (must, must_not): (Vec<&Literal<'_>>, Vec<&Literal<'_>>) =
        literals.iter().filter(is_value).partition(|literal| literal.wanted);
    if must.is_empty() {
        return None;
    }
    if let Some(form) = must.iter().find_map(|literal| wrong_form(subject, literal.operator)) {
        return Some(Why::Form(form));
    }
    let passes = |value: &[u8]| {
        must.iter().all(|literal| test(literal.operator, Some(value)))
            && !must_not.iter().any(|literal| test(literal.operator, Some(value)))
    };
    if let Some(values) = values(subject, &must) {
        let passing: Vec<&[u8]> = values.into_iter().filter(|value| passes(value)).collect();
        return match passing.iter().any(|value| in_match(subject, value, matches)) {
            _ if passing.is_empty() => Some(Why::Together),
            true => None,
            false => Some(Why::Match),
        };
    }
    let outside = |literal: &&Literal<'_>| match literal.operator {
        Operator::StartsWith(start) => !beginning_in_match(subject, start, matches),
        _ => false,
    };
    if must.iter().any(outside) {
        return Some(Why::Match);
    }
    let excluded = must.iter().any(|one| {
        must.iter().any(|other| disjoint(one.operator, other.operator))
            || must_not.iter().any(|other| implies(one.operator, other.operator))
    });
    (excluded || no_number(&must, &must_not)).then_some(Why::Together)
}

/// The only values that can pass, where they are known.
fn values<'c>(subject: &Subject, must: &[&Literal<'c>]) -> Option<Vec<&'c [u8]>> {
    let listed = must.iter().find_map(|literal| match literal.operator {
        Operator::Equals(value) => Some(vec![&**value]),
        Operator::In(values) => Some(values.iter().map(|value| &**value).collect()),
        _ => None,
    });
    let devices = || DEVICES.iter().map(|name| name.as_bytes()).collect();
    let listed = listed.or_else(|| (*subject == Subject::Device).then(devices));
    listed.map(|values: Vec<&[u8]>| {
        let known = |value: &&[u8]| *subject != Subject::Device || DEVICES.iter().any(|name| name.as_bytes() == *value);
        values.into_iter().filter(known).collect()
    })
}

/// What is wrong with what is asked of a subject, where it never looks like that.
fn wrong_form(subject: &Subject, operator: &Operator) -> Option<&'static str> {
    let asked: Vec<&[u8]> = match operator {
        Operator::Equals(value)
        | Operator::StartsWith(value)
        | Operator::EndsWith(value)
        | Operator::Contains(value) => {
            vec![value]
        }
        Operator::In(values) => values.iter().map(|value| &**value).collect(),
        _ => return None,
    };
    let whole = matches!(operator, Operator::Equals(_) | Operator::In(_));
    let begins = whole || matches!(operator, Operator::StartsWith(_));
    let every = |wrong: &dyn Fn(&[u8]) -> bool| asked.iter().all(|value| wrong(value));
    match subject {
        Subject::Host if every(&|host| host.iter().any(u8::is_ascii_uppercase)) => {
            Some("is compared in lower case, and this has capitals")
        }
        Subject::Host if whole && every(&has_port) => Some("is compared without its port, and this has one"),
        Subject::Path if every(&|path| path.contains(&b'?')) => {
            Some("is compared without the query, and this has a question mark")
        }
        Subject::Path if begins && every(&|path| !path.starts_with(b"/") && !path.starts_with(b"*")) => {
            Some("begins with a slash, and this does not")
        }
        _ => None,
    }
}

/// Whether a host is written with a port.
fn has_port(host: &[u8]) -> bool {
    let mut parts = host.rsplitn(2, |byte| *byte == b':');
    let port = parts.next().is_some_and(|port| !port.is_empty() && port.iter().all(u8::is_ascii_digit));
    port && parts.next().is_some_and(|name| !name.contains(&b':') || name.ends_with(b"]"))
}

/// Whether the flag's match allows this value of a subject.
fn in_match(subject: &Subject, value: &[u8], matches: &Match) -> bool {
    match subject {
        Subject::Method => {
            matches.methods.is_empty() || matches.methods.iter().any(|method| method.as_str().as_bytes() == value)
        }
        Subject::Host => matches.hosts.is_empty() || matches.hosts.iter().any(|pattern| pattern.takes(value)),
        Subject::Path => matches.paths.is_empty() || matches.paths.iter().any(|prefix| prefix.takes(value)),
        _ => true,
    }
}

/// Whether the flag's match allows a path that begins like this.
fn beginning_in_match(subject: &Subject, start: &[u8], matches: &Match) -> bool {
    if *subject != Subject::Path || matches.paths.is_empty() {
        return true;
    }
    let leaves = |prefix: &[u8]| prefix.starts_with(start) || in_match(subject, start, matches);
    // A beginning may end in the middle of a segment: `/api/x` of `/api`.
    matches.paths.iter().any(|prefix| leaves(prefix.as_str().as_bytes()))
}

/// Whether nothing passes both.
fn disjoint(one: &Operator, other: &Operator) -> bool {
    match (one, other) {
        (Operator::StartsWith(one), Operator::StartsWith(other)) => !one.starts_with(other) && !other.starts_with(one),
        (Operator::EndsWith(one), Operator::EndsWith(other)) => !one.ends_with(other) && !other.ends_with(one),
        (Operator::Cidr(one), Operator::Cidr(other)) => {
            !one.iter().any(|one| other.iter().any(|other| one.contains(other) || other.contains(one)))
        }
        _ => false,
    }
}

/// Whether what passes the one passes the other, too.
fn implies(one: &Operator, other: &Operator) -> bool {
    if one == other {
        return true;
    }
    match (one, other) {
        (Operator::StartsWith(one), Operator::StartsWith(other)) => one.starts_with(other),
        (Operator::EndsWith(one), Operator::EndsWith(other)) => one.ends_with(other),
        (Operator::StartsWith(one) | Operator::EndsWith(one) | Operator::Contains(one), Operator::Contains(other)) => {
            test(&Operator::Contains(other.clone()), Some(one))
        }
        (Operator::Cidr(one), Operator::Cidr(other)) => {
            one.iter().all(|one| other.iter().any(|other| other.contains(one)))
        }
        _ => false,
    }
}

/// Whether numbers are asked for, and none compares as all of them must.
///
/// If one does, there is one among those that are compared with and their neighbours: nothing changes in between.
fn no_number(must: &[&Literal<'_>], must_not: &[&Literal<'_>]) -> bool {
    let compared = |literals: &[&Literal<'_>]| -> Vec<_> {
        let wanted = literals.iter().filter_map(|literal| match literal.operator {
            Operator::Number(comparison) => Some(*comparison),
            _ => None,
        });
        wanted.collect()
    };
    let (is, is_not) = (compared(must), compared(must_not));
    let mut tried = is.iter().chain(&is_not).flat_map(|comparison| {
        let [below, above] = comparison.than().neighbours();
        [below, comparison.than(), above]
    });
    let fits = |number| is.iter().all(|one| one.holds(number)) && !is_not.iter().any(|one| one.holds(number));
    !is.is_empty() && !tried.any(fits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};
    use tidegate_engine::decide::standing::Standing;
    use tidegate_engine::decide::{Reason, decide};
    use tidegate_engine::plan::Plan;
    use tidegate_engine::problem::Problems;
    use tidegate_engine::request::Request;
    use tidegate_engine::value::time::Timestamp;

    const HEADERS: [Option<&str>; 9] =
        [None, Some("a"), Some("ab"), Some("abc"), Some("b"), Some("4"), Some("5"), Some("5.5"), Some("10.1.2.3")];
    const PATHS: [&str; 4] = ["/", "/a", "/a/b?c=a", "/b"];

    fn config(one: &Value, other: &Value) -> Config {
        let text = json!({
            "version": 1,
            "segments": {"s": {"any": [{"header": "x-a", "in": ["a", "5"]}, {"path": {"startsWith": "/b"}}]}},
            "flags": {
                "one": {"match": {"paths": ["/a", "/b"]}, "rules": [{"when": one, "serve": "on"}]},
                "other": {"match": {"paths": ["/a", "/b"]}, "rules": [{"when": other, "serve": "on"}]},
            },
        });
        let mut problems = Problems::default();
        let config = Config::from_bytes(text.to_string().as_bytes(), &mut problems);
        assert_eq!(problems.count(), 0, "{problems}");
        config
    }

    /// Whether each flag takes a request, for all requests that both look at.
    fn taken(config: &Config) -> Vec<(bool, bool)> {
        let plan = Plan::compile(config, &mut Problems::default()).ready().unwrap();
        let mut found = Vec::new();
        for path in PATHS {
            for method in ["GET", "POST"] {
                for value in HEADERS {
                    let first = [(":method", method), (":path", path), (":authority", "shop.example")];
                    let headers = first.into_iter().chain(value.map(|value| ("x-a", value)));
                    let headers = headers.map(|(name, value)| (name.as_bytes(), value.as_bytes()));
                    let request = Request::new(plan.inputs(), headers, plan.inputs().properties().map(|_| None));
                    let decisions = decide(&plan, &request, &Standing::NONE, Timestamp::from_millis(0));
                    let on = |key| decisions.find(key).map(|one| one.reason() == Reason::TargetingMatch);
                    found.extend(on("one").zip(on("other")));
                }
            }
        }
        found
    }

    fn test() -> impl Strategy<Value = Value> {
        let text = prop::sample::select(vec!["a", "ab", "b", "c", "4", "5"]);
        let operator = prop_oneof![
            text.clone().prop_map(|text| json!({"equals": text})),
            (text.clone(), text.clone()).prop_map(|(one, two)| json!({"in": [one, two]})),
            text.clone().prop_map(|text| json!({"startsWith": text})),
            text.clone().prop_map(|text| json!({"endsWith": text})),
            text.clone().prop_map(|text| json!({"contains": text})),
            any::<bool>().prop_map(|is| json!({"exists": is})),
            prop::sample::select(vec!["> 4", "< 5", ">= 5", "!= 5", "= 5", "<= 5.5"])
                .prop_map(|n| json!({"number": n})),
            prop::sample::select(vec!["10.0.0.0/8", "10.1.0.0/16", "11.0.0.0/8"]).prop_map(|net| json!({"cidr": net})),
            text.prop_map(|text| json!({"glob": format!("{text}*")})),
        ];
        let on_header = operator.prop_map(|mut test| {
            test.as_object_mut().unwrap().insert("header".to_owned(), "x-a".into());
            test
        });
        let path = prop::sample::select(vec!["/a", "/a/b", "/b", "/c"]);
        prop_oneof![
            6 => on_header,
            1 => prop::sample::select(vec!["GET", "POST"]).prop_map(|method| json!({"method": method})),
            1 => path.clone().prop_map(|path| json!({"path": path})),
            1 => path.prop_map(|path| json!({"path": {"startsWith": path}})),
            1 => Just(json!({"segment": "s"})),
        ]
    }

    fn condition() -> impl Strategy<Value = Value> {
        test().prop_recursive(3, 8, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 1..=3).prop_map(|parts| json!({"all": parts})),
                prop::collection::vec(inner.clone(), 1..=3).prop_map(|parts| json!({"any": parts})),
                inner.prop_map(|part| json!({"not": part})),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn what_is_said_of_a_condition_is_true_of_every_request(one in condition(), other in condition()) {
            let config = config(&one, &other);
            let [(_, first), (_, second)] = config.flags.as_slice() else { panic!("two flags") };
            let (inner, outer) = (&first.rules[0], &second.rules[0]);
            let taken = taken(&config);
            if let Some(why) = never(&config, first, inner) {
                prop_assert!(!taken.iter().any(|(one, _)| *one), "{why}");
            }
            if takes_all(&config, first, inner) {
                prop_assert!(taken.iter().all(|(one, _)| *one));
            }
            if within(&config, first, inner, outer) {
                prop_assert!(taken.iter().all(|(one, other)| !*one || *other));
            }
        }
    }

    #[test]
    fn a_host_is_matched_as_by_the_engine() {
        for (host, is_never) in [("www.shop.example", false), ("shop.example", true), (".shop.example", true)] {
            let text = json!({"version": 1, "flags": {"f": {
                "match": {"hosts": ["*.shop.example"]},
                "rules": [{"when": {"host": {"equals": host}}, "serve": "on"}],
            }}});
            let config = Config::from_bytes(text.to_string().as_bytes(), &mut Problems::default());
            let flag = config.flag("f").unwrap();
            assert_eq!(never(&config, flag, &flag.rules[0]).is_some(), is_never, "{host}");
        }
    }

    #[test]
    fn what_can_be_seen_is_said() {
        let all = |parts: Value| json!({"all": parts});
        let header = |name: &str, value: Value| json!({"header": "x-a", name: value});
        for (condition, is_never) in [
            (all(json!([header("startsWith", "ab".into()), header("startsWith", "b".into())])), true),
            (all(json!([header("startsWith", "ab".into()), header("startsWith", "a".into())])), false),
            (all(json!([header("number", "> 5".into()), header("number", "< 5.000000000001".into())])), true),
            (all(json!([header("number", "> 5".into()), header("number", "< 5.1".into())])), false),
            (all(json!([header("cidr", "10.0.0.0/8".into()), header("cidr", "11.0.0.0/8".into())])), true),
            (all(json!([header("exists", false.into()), header("equals", "a".into())])), true),
            (all(json!([{"segment": "s"}, header("equals", "b".into()), {"path": {"startsWith": "/a"}}])), true),
            (all(json!([{"segment": "s"}, {"not": {"segment": "s"}}])), true),
            (json!({"not": header("equals", "a".into())}), false),
            (json!({"device": "phone"}), true),
            (json!({"device": {"startsWith": "mob"}}), false),
            (json!({"host": "shop.example:8080"}), true),
            (json!({"path": {"startsWith": "a"}}), true),
            (json!({"path": "/c"}), true),
        ] {
            let config = config(&condition, &condition);
            let (_, flag) = &config.flags[0];
            assert_eq!(never(&config, flag, &flag.rules[0]).is_some(), is_never, "{condition}");
        }
        let both = json!({"any": [header("exists", true.into()), header("exists", false.into())]});
        let config = config(&both, &both);
        assert!(takes_all(&config, &config.flags[0].1, &config.flags[0].1.rules[0]));
    }
}
