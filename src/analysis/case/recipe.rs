//! Turns conditions into what a request needs for them to be true, or false.
//!
//! The values come from the config: those that its tests name, and values next to them. A request made this way may
//! still be taken by an earlier rule: callers check the decision.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use serde_json::{Map, Value};

use crate::request::RequestSpec;
use crate::request::identities::{is_sent, put};
use tidegate_engine::config::{Condition, Config, Operator, Source, SourceKind, Subject};
use tidegate_engine::decide::condition::test;
use tidegate_engine::value::version::Versions;

/// What a request must have, by what a condition looks at; `None` where it must not be there.
pub type Needs = BTreeMap<Subject, Option<Vec<u8>>>;

/// How many values of one test are tried, and how many ways to make one condition true.
const VALUES: usize = 8;
const WAYS: usize = 24;

/// Browsers of each class of device.
const DEVICES: [(&str, &str); 4] = [
    ("mobile", "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Mobile/15E148"),
    ("desktop", "Mozilla/5.0 (X11; Linux x86_64)"),
    ("tablet", "Mozilla/5.0 (Linux; Android 14; SM-X910) Chrome/130"),
    ("bot", "Mozilla/5.0 (compatible; Googlebot/2.1)"),
];

/// The ways that a config has.
#[derive(Debug)]
pub struct Recipes<'c> {
    config: &'c Config,
    /// The values that are worth a try.
    values: BTreeMap<Subject, Vec<Vec<u8>>>,
    /// Where identities stand, which are drawn for and not made up.
    identities: Vec<Subject>,
}

impl<'c> Recipes<'c> {
    pub fn new(config: &'c Config) -> Self {
        let lists =
            std::iter::once(&config.identity).chain(config.flags.iter().filter_map(|(_, f)| f.identity.as_ref()));
        let sent = |list: &'c Vec<Source>| list.iter().find(|source| is_sent(&source.kind)).or(list.first());
        let identities = lists.filter_map(sent).filter_map(|source| source_subject(&source.kind));
        let identities = identities.chain([Subject::Identity]).collect();
        let mut recipes = Self { config, values: BTreeMap::new(), identities };
        // What an ordinary request has is tried first.
        recipes.add(&Subject::Method, b"GET");
        recipes.add(&Subject::Host, b"shop.example");
        recipes.add(&Subject::Path, b"/");
        for (_, flag) in &config.flags {
            for host in &flag.matches.hosts {
                let host = host.wildcard().map_or_else(|| host.to_string(), |domain| format!("www.{domain}"));
                recipes.add(&Subject::Host, host.as_bytes());
            }
            for path in &flag.matches.paths {
                let path = if path.as_str().is_empty() { "/" } else { path.as_str() };
                recipes.add(&Subject::Path, path.as_bytes());
            }
            for method in &flag.matches.methods {
                recipes.add(&Subject::Method, method.as_str().as_bytes());
            }
            for when in flag.rules.iter().filter_map(|rule| rule.when.as_ref()) {
                recipes.gather(when);
            }
        }
        for (_, condition) in &config.segments {
            recipes.gather(condition);
        }
        // What no test asks for is there, too.
        for subject in recipes.values.keys().cloned().collect::<Vec<_>>() {
            let other = match subject {
                Subject::Method => "POST",
                Subject::Host => "other.example",
                Subject::Path => "/other",
                Subject::Address => "192.0.2.1",
                Subject::Device => continue,
                _ => "other",
            };
            recipes.add(&subject, other.as_bytes());
        }
        recipes
    }

    /// The values of this that are worth a try.
    pub fn values(&self, subject: &Subject) -> &[Vec<u8>] {
        self.values.get(subject).map_or(&[], Vec::as_slice)
    }

    /// Whether the identity stands here, or is what is asked.
    pub fn is_identity(&self, subject: &Subject) -> bool {
        self.identities.contains(subject)
    }

    fn add(&mut self, subject: &Subject, value: &[u8]) {
        let known = self.values.entry(subject.clone()).or_default();
        if !known.iter().any(|other| other == value) {
            known.push(value.to_vec());
        }
    }

    fn gather(&mut self, condition: &Condition) {
        match condition {
            Condition::All(parts) | Condition::Any(parts) => parts.iter().for_each(|part| self.gather(part)),
            Condition::Not(part) => self.gather(part),
            Condition::Segment(_) => {}
            Condition::Test(Subject::Device, _) => {
                for (class, _) in DEVICES {
                    self.add(&Subject::Device, class.as_bytes());
                }
            }
            Condition::Test(subject, operator) => {
                for value in examples(operator) {
                    self.add(subject, &value);
                }
            }
        }
    }

    /// The ways to make a condition true, or not.
    pub fn ways(&self, condition: &Condition, wanted: bool) -> Vec<Needs> {
        match condition {
            Condition::Not(part) => self.ways(part, !wanted),
            Condition::Segment(name) => {
                self.config.segment(name).map_or_else(Vec::new, |condition| self.ways(condition, wanted))
            }
            Condition::All(parts) if wanted => self.together(parts, wanted),
            Condition::Any(parts) if !wanted => self.together(parts, wanted),
            Condition::All(parts) | Condition::Any(parts) => {
                // The first way of each part before the second of any.
                let each: Vec<Vec<Needs>> = parts.iter().map(|part| self.ways(part, wanted)).collect();
                in_turn(&each).take(WAYS).cloned().collect()
            }
            Condition::Test(subject, operator) => {
                let absent = test(operator, None) == wanted;
                let always_there = matches!(subject, Subject::Method | Subject::Host | Subject::Path);
                let mut ways: Vec<Needs> = Vec::new();
                if absent && self.is_identity(subject) {
                    // Anybody else will do.
                    ways.push(Needs::new());
                } else if absent && !always_there {
                    ways.push([(subject.clone(), None)].into());
                }
                let fits = self.values(subject).iter().filter(|value| test(operator, Some(value)) == wanted);
                ways.extend(fits.take(VALUES).map(|value| Needs::from([(subject.clone(), Some(value.clone()))])));
                ways
            }
        }
    }

    fn together(&self, parts: &[Condition], wanted: bool) -> Vec<Needs> {
        parts.iter().fold(vec![Needs::new()], |ways, part| {
            let more = self.ways(part, wanted);
            let both = ways.iter().flat_map(|way| more.iter().filter_map(move |other| merge(way, other).ok()));
            both.take(WAYS).collect()
        })
    }
}

/// The first of each list, then the second of each, and so on.
pub fn in_turn(lists: &[Vec<Needs>]) -> impl Iterator<Item = &Needs> {
    let rounds = lists.iter().map(Vec::len).max().unwrap_or_default();
    (0..rounds).flat_map(move |round| lists.iter().filter_map(move |list| list.get(round)))
}

/// What both need, or what they need differently.
pub fn merge<'n>(one: &'n Needs, other: &Needs) -> Result<Needs, &'n Subject> {
    let differs =
        |(subject, value): &(&Subject, &Option<Vec<u8>>)| other.get(*subject).is_some_and(|due| due != *value);
    if let Some((subject, _)) = one.iter().find(differs) {
        return Err(subject);
    }
    let mut both = one.clone();
    both.extend(other.iter().map(|(subject, value)| (subject.clone(), value.clone())));
    Ok(both)
}

/// Whether a client can send all of it by itself.
pub fn is_sendable(needs: &Needs) -> bool {
    let inside =
        |subject: &Subject| matches!(subject, Subject::Claim(_) | Subject::Peer | Subject::Address | Subject::Proxy);
    !needs.iter().any(|(subject, value)| value.is_some() && inside(subject))
}

/// Where a request carries an identity, as conditions call it.
fn source_subject(kind: &SourceKind) -> Option<Subject> {
    Some(match kind {
        SourceKind::Claim(path) => Subject::Claim(path.clone()),
        SourceKind::Header(name) => Subject::Header(name.clone()),
        SourceKind::Cookie(name) => Subject::Cookie(name.clone()),
        SourceKind::Query(name) => Subject::Query(name.clone()),
        SourceKind::UnverifiedClaim(path) => Subject::UnverifiedClaim(path.clone()),
        SourceKind::Peer => Subject::Peer,
        SourceKind::Address => Subject::Address,
        SourceKind::Proxy => Subject::Proxy,
        SourceKind::Generate(_) => return None,
    })
}

/// Values that pass a test, and some next to them that do not.
fn examples(operator: &Operator) -> Vec<Vec<u8>> {
    match operator {
        Operator::Equals(value) | Operator::StartsWith(value) | Operator::Contains(value) => vec![value.to_vec()],
        // What is asked for its end mostly has something in front: an address, a host.
        Operator::EndsWith(value) => vec![[b"user", &**value].concat(), value.to_vec()],
        Operator::In(values) => values.iter().take(VALUES).map(|value| value.to_vec()).collect(),
        Operator::Exists(_) => vec![b"1".to_vec()],
        Operator::Cidr(networks) => {
            networks.iter().take(VALUES).map(|network| network.network().to_string().into_bytes()).collect()
        }
        Operator::Semver(wanted) => {
            let number = |part: Option<u64>| part.unwrap_or_default();
            let Versions::Like(one) = wanted else { return Vec::new() };
            let (major, minor, patch) = (one.major, number(one.minor), number(one.patch));
            let next = |part: u64| part.saturating_add(1);
            let pre = if one.pre.is_empty() { String::new() } else { format!("-{}", one.pre) };
            let around = [
                format!("{major}.{minor}.{patch}{pre}"),
                format!("{major}.{minor}.{}", next(patch)),
                format!("{major}.{}.0", next(minor)),
                format!("{}.0.0", next(major)),
                "0.0.0".to_owned(),
            ];
            around.map(String::into_bytes).into()
        }
        Operator::Number(wanted) => {
            let than = wanted.than().to_string();
            let whole: Option<i64> = than.split('.').next().and_then(|whole| whole.parse().ok());
            let near = whole.into_iter().flat_map(|whole| [whole.saturating_add(1), whole.saturating_sub(1)]);
            std::iter::once(than).chain(near.map(|number| number.to_string())).map(String::into_bytes).collect()
        }
        Operator::Glob(pattern) => {
            let shown = pattern.iter().filter(|byte| **byte != b'*');
            vec![shown.map(|byte| if *byte == b'?' { b'x' } else { *byte }).collect()]
        }
    }
}

/// Gives a request what it must have, but for the identity.
pub fn give(spec: &mut RequestSpec, needs: &Needs) {
    let mut token = Map::new();
    // The path first: parameters stand behind it.
    if let Some(Some(path)) = needs.get(&Subject::Path) {
        spec.replace(":path", path.clone());
    }
    for (subject, value) in needs.iter().filter_map(|(subject, value)| Some((subject, value.as_ref()?))) {
        let text = || String::from_utf8_lossy(value).into_owned();
        let escaped = || percent_encode(value, NON_ALPHANUMERIC).to_string();
        match subject {
            Subject::Header(name) => spec.headers.push((name.to_string(), value.clone())),
            Subject::Cookie(name) => {
                spec.headers.push(("cookie".to_owned(), format!("{name}={}", escaped()).into_bytes()));
            }
            Subject::Query(name) => {
                let path = spec.header(":path").unwrap_or(b"/").to_vec();
                let border = if path.contains(&b'?') { '&' } else { '?' };
                let parameter = format!("{border}{name}={}", escaped());
                spec.replace(":path", [path.as_slice(), parameter.as_bytes()].concat());
            }
            Subject::Claim(path) => put(&mut spec.claims, path, &text()),
            Subject::UnverifiedClaim(path) => put(&mut token, path, &text()),
            Subject::Method => spec.replace(":method", value.clone()),
            Subject::Host => spec.replace(":authority", value.clone()),
            Subject::Path | Subject::Identity => {}
            Subject::Peer => spec.peer = Some(value.clone()),
            Subject::Address => spec.address = Some(value.clone()),
            Subject::Proxy => spec.proxy = Some(value.clone()),
            Subject::Device => {
                let agent = DEVICES.iter().find(|(class, _)| class.as_bytes() == *value);
                spec.headers.extend(agent.map(|(_, agent)| ("user-agent".to_owned(), agent.as_bytes().to_vec())));
            }
        }
    }
    if !token.is_empty() {
        let payload = URL_SAFE_NO_PAD.encode(Value::Object(token).to_string());
        spec.headers.push(("authorization".to_owned(), format!("Bearer e30.{payload}.e30").into_bytes()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_engine::problem::Problems;

    #[test]
    fn a_way_makes_its_condition_true() {
        let conditions = [
            r#"{"header": "x-v", "in": ["a", "b"]}"#,
            r#"{"header": "x-v", "number": ">= 18"}"#,
            r#"{"all": [{"header": "x-v", "number": "> 18"}, {"header": "x-v", "number": "< 20.5"}]}"#,
            r#"{"header": "x-v", "semver": "^2.3"}"#,
            r#"{"not": {"header": "x-v", "exists": true}}"#,
            r#"{"all": [{"cookie": "c", "exists": true}, {"cookie": "c", "equals": "x"}]}"#,
            r#"{"any": [{"header": "x-v", "glob": "a*?"}, {"claim": "age", "number": "1"}]}"#,
            r#"{"address": {"cidr": "10.0.0.0/8"}}"#,
            r#"{"not": {"path": {"startsWith": "/a"}}}"#,
            r#"{"device": "tablet"}"#,
            r#"{"unverifiedClaim": ["a", "b"], "equals": "5"}"#,
            r#"{"query": "q", "equals": "a b"}"#,
        ];
        for condition in conditions {
            let json =
                format!(r#"{{"version": 1, "flags": {{"a": {{"rules": [{{"when": {condition}, "serve": "on"}}]}}}}}}"#);
            let mut problems = Problems::default();
            let config = Config::from_bytes(json.as_bytes(), &mut problems);
            let plan = tidegate_engine::plan::Plan::compile(&config, &mut problems).ready().expect(condition);
            let recipes = Recipes::new(&config);
            let when = config.flags[0].1.rules[0].when.as_ref().unwrap();
            for wanted in [true, false] {
                let ways = recipes.ways(when, wanted);
                assert!(!ways.is_empty(), "{condition} {wanted}");
                for needs in ways {
                    let mut spec = RequestSpec::new("GET", "shop.example", "/");
                    give(&mut spec, &needs);
                    let seen = spec.seen(plan.inputs());
                    let now = tidegate_engine::value::time::Timestamp::from_millis(0);
                    let decisions = tidegate_engine::decide::decide(
                        &plan,
                        &seen,
                        &tidegate_engine::decide::standing::Standing::NONE,
                        now,
                    );
                    let on = decisions.list()[0].variant().name().as_str() == "on";
                    assert_eq!(on, wanted, "{condition} with {needs:?}");
                }
            }
        }
    }
}
