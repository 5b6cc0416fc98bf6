//! Finds what is valid and can never work: a share of users that nobody can tell apart, a value that no request has, a
//! rule that nobody reaches.
//!
//! A proxy takes such a config, as it always has. What no request can ever fit is an error of the check; what may be
//! meant is a warning, with what to write to say so.

use core::net::IpAddr;

use super::debt::{self, Caps, Measure};
use super::{Finding, logic};
use crate::parts::{only_variant, sources};
use crate::source::Severity;
use crate::words;
use tidegate_engine::config::{Condition, Config, Exposure, Flag, Operator, Rule, Serve, Subject};
use tidegate_engine::problem::FieldPath;
use tidegate_engine::value::share::Ppm;
use tidegate_engine::value::time::{Span, Timestamp};

/// Everything of a config that can never work.
pub fn all(config: &Config, now: Timestamp) -> Vec<Finding> {
    let mut found = Vec::new();
    let root = FieldPath::ROOT;
    let segments = root.key("segments");
    for (name, condition) in &config.segments {
        values(condition, &segments.key(name.as_str()), &mut found);
    }
    let flags = root.key("flags");
    for (key, flag) in &config.flags {
        let at = flags.key(key.as_str());
        matches(flag, &at, &mut found);
        found.extend(small_limits(flag, &at));
        let rules = at.key("rules");
        for (place, rule) in flag.rules.iter().enumerate() {
            let at = rules.index(place);
            if let Some(when) = &rule.when {
                values(when, &at.key("when"), &mut found);
            }
            found.extend(anonymous(config, flag, rule, &at));
            found.extend(small(rule, &at));
        }
    }
    let measure = Measure { today: now, patience: Span::from_millis(u64::MAX), caps: Caps::default() };
    let proven = debt::all(config, measure).into_iter().filter_map(|finding| proven(config, &found, finding));
    let proven: Vec<Finding> = proven.collect();
    found.extend(proven);
    found
}

/// What a report proves of a rule or a segment, unless it has been said already.
fn proven(config: &Config, said: &[Finding], mut finding: Finding) -> Option<Finding> {
    let help = match finding.code {
        // A rule at 0 % waits for its day, and what is never reached is said when the config is read.
        "never-matches" if finding.path.strip_suffix(".when").is_some() => {
            if said.iter().any(|one| one.path.starts_with(&finding.path)) {
                return None;
            }
            "take the rule away, or change what its tests and the flag's match ask for together"
        }
        "shadowed" if !finding.message.starts_with("is never reached") => {
            let rule = finding.flag.as_deref().and_then(|key| config.flag(key))?.rules.get(finding.rule?)?;
            only_variant(&rule.serve)?;
            "take the rule away, give it a larger share, or move it in front of the other"
        }
        "unused-segment" => {
            let help = Some("use it in a rule, or take it away: when: {segment: ...}".to_owned());
            finding.severity = Severity::Note;
            return Some(finding.with_help(help));
        }
        _ => return None,
    };
    Some(finding.with_help(Some(help.to_owned())))
}

/// Whether a rule needs an identity now or later.
fn draws(rule: &Rule) -> bool {
    let part = |share: Ppm| share != Ppm::FULL && share != Ppm::NONE;
    let share = match &rule.exposure {
        Exposure::Fixed(share) => part(*share),
        Exposure::Steps(steps) => steps.iter().any(|step| part(step.share)),
    };
    share || matches!(&rule.serve, Serve::Split(_)) && only_variant(&rule.serve).is_none()
}

/// Without an identity a draw cannot tell users apart, and takes nobody.
fn anonymous(config: &Config, flag: &Flag, rule: &Rule, at: &FieldPath<'_>) -> Option<Finding> {
    if !draws(rule) || !sources(config, flag).is_empty() {
        return None;
    }
    let field = match (&rule.exposure, &rule.serve) {
        (Exposure::Steps(_), _) => "steps",
        (Exposure::Fixed(Ppm::FULL), Serve::Split(_)) => "serve",
        (Exposure::Fixed(_), _) => "percent",
    };
    let message = "draws users, and the config has no identity to tell them apart: the rule takes nobody";
    let finding = Finding::of_path(Severity::Error, "no-identity", at.key(field).to_string(), true, message.to_owned());
    let help = "say who is asking, at the head of the config: identity: [{header: x-user-id}]; for visitors without a name, identity: [{generate: {cookie: tg_id, maxAge: 30d}}]";
    Some(finding.with_help(Some(help.to_owned())))
}

/// A percentage below one may have been meant as a fraction.
fn small(rule: &Rule, at: &FieldPath<'_>) -> Option<Finding> {
    match &rule.exposure {
        Exposure::Fixed(share) => fraction(*share, Ppm::of(9_999), "takes", &at.key("percent")),
        // Many ramps begin below one; few end there.
        Exposure::Steps(steps) => {
            let (place, last) = steps.iter().enumerate().max_by_key(|(_, step)| step.share)?;
            fraction(last.share, Ppm::TRIAL, "takes at most", &at.key("steps").index(place).key("percent"))
        }
    }
}

/// The same of what may fail.
fn small_limits(flag: &Flag, at: &FieldPath<'_>) -> Vec<Finding> {
    let Some(errors) = flag.guard.as_ref().and_then(|guard| guard.errors.as_ref()) else { return Vec::new() };
    let guard = at.key("guard");
    let at = guard.key("errors");
    let limits = [("max", errors.max), ("overBaseline", errors.over_baseline)];
    let told =
        limits.into_iter().filter_map(|(name, share)| fraction(share?, Ppm::of(9_999), "is a limit of", &at.key(name)));
    told.collect()
}

/// A share that is small, unless its sign says that it is meant: that is looked at where the file is known.
fn fraction(share: Ppm, most: Ppm, does: &str, at: &FieldPath<'_>) -> Option<Finding> {
    if share == Ppm::NONE || share > most {
        return None;
    }
    let one_in = 1_000_000_u32.checked_div(share.parts()).unwrap_or_default();
    let meant = Ppm::of(share.parts().saturating_mul(100)).to_string();
    let what = if does.starts_with("takes") { "users" } else { "requests" };
    let message = format!("{does} {share} of the {what}, one in {one_in}");
    let finding = Finding::of_path(Severity::Warning, "small-percent", at.to_string(), false, message);
    let name = at.to_string().rsplit('.').next().unwrap_or_default().to_owned();
    let help = format!(
        "did you mean {}? If {share} is meant, say so by its sign: {name}: \"{share}\"",
        meant.trim_end_matches('%')
    );
    Some(finding.with_help(Some(help)))
}

/// What is wrong with a value that no request has, and what to write instead.
struct Never {
    why: String,
    help: String,
}

#[expect(clippy::unnecessary_wraps, reason = "the shape that its callers return")]
fn never(why: impl Into<String>, help: impl Into<String>) -> Option<Never> {
    Some(Never { why: why.into(), help: help.into() })
}

/// Values in a flag's match that no request has.
fn matches(flag: &Flag, at: &FieldPath<'_>, found: &mut Vec<Finding>) {
    let at = at.key("match");
    let paths = at.key("paths");
    for (place, prefix) in flag.matches.paths.iter().enumerate() {
        if let Some(never) = pattern_in_prefix(prefix.as_str()) {
            found.push(impossible(&paths.index(place), false, never));
        }
    }
    let methods = at.key("methods");
    for (place, method) in flag.matches.methods.iter().enumerate() {
        let all = flag.matches.methods.iter().map(|one| match method_of(one.as_str(), "", "") {
            Some(_) => one.as_str().to_ascii_uppercase(),
            None => one.as_str().to_owned(),
        });
        let all = all.collect::<Vec<_>>().join(", ");
        if let Some(mut never) = method_of(method.as_str(), "", "") {
            never.help = format!("write methods: [{all}]");
            found.push(impossible(&methods.index(place), false, never));
        }
    }
}

fn impossible(at: &FieldPath<'_>, negated: bool, never: Never) -> Finding {
    let severity = if negated { Severity::Warning } else { Severity::Error };
    Finding::of_path(severity, "impossible-value", at.to_string(), false, never.why).with_help(Some(never.help))
}

/// Values in a condition that no request has.
fn values(condition: &Condition, at: &FieldPath<'_>, found: &mut Vec<Finding>) {
    walk(condition, at, false, found);
}

fn walk(condition: &Condition, at: &FieldPath<'_>, negated: bool, found: &mut Vec<Finding>) {
    match condition {
        Condition::All(parts) | Condition::Any(parts) => {
            let name = if matches!(condition, Condition::All(_)) { "all" } else { "any" };
            let list = at.key(name);
            for (place, part) in parts.iter().enumerate() {
                walk(part, &list.index(place), negated, found);
            }
        }
        Condition::Not(part) => walk(part, &at.key("not"), !negated, found),
        Condition::Segment(_) => {}
        Condition::Test(subject, operator) => {
            let name = words::subject(subject);
            let name = name.split(' ').next().unwrap_or_default();
            let inside = at.key(name);
            // A header has its name beside the operator, a host has the operator in a map.
            let map = if has_name(subject) { at } else { &inside };
            test(subject, operator, map, negated, found);
            if let Some(never) = no_such(subject) {
                found.push(impossible(&inside, negated, never));
            }
        }
    }
}

fn has_name(subject: &Subject) -> bool {
    matches!(
        subject,
        Subject::Header(_) | Subject::Cookie(_) | Subject::Query(_) | Subject::Claim(_) | Subject::UnverifiedClaim(_)
    )
}

/// A header that no request has when the filter sees it.
fn no_such(subject: &Subject) -> Option<Never> {
    let Subject::Header(name) = subject else { return None };
    (name.as_str() == "host")
        .then(|| never("is never there: Envoy keeps the host apart from the headers", "write host: shop.example"))
        .flatten()
}

fn test(subject: &Subject, operator: &Operator, map: &FieldPath<'_>, negated: bool, found: &mut Vec<Finding>) {
    let mut tell = |at: &FieldPath<'_>, value: &[u8], whole: bool| {
        let text = String::from_utf8_lossy(value);
        if let Some(never) = value_of(subject, &text, operator_name(operator), whole) {
            found.push(impossible(at, negated, never));
        }
    };
    match operator {
        Operator::Equals(value) => tell(&map.key("equals"), value, true),
        Operator::In(values) => {
            // Sorted when they were read: the place of each in the file is found by what it says.
            for value in values {
                tell(&map.key("in"), value, true);
            }
        }
        Operator::StartsWith(value) => tell(&map.key("startsWith"), value, false),
        Operator::EndsWith(value) => tell(&map.key("endsWith"), value, false),
        Operator::Contains(value) => tell(&map.key("contains"), value, false),
        Operator::Glob(value) => tell(&map.key("glob"), value, false),
        Operator::Exists(_) | Operator::Cidr(_) | Operator::Semver(_) | Operator::Number(_) => {}
    }
}

fn operator_name(operator: &Operator) -> &'static str {
    match operator {
        Operator::Equals(_) => "equals",
        Operator::In(_) => "in",
        Operator::StartsWith(_) => "startsWith",
        Operator::EndsWith(_) => "endsWith",
        Operator::Contains(_) => "contains",
        Operator::Glob(_) => "glob",
        Operator::Exists(_) | Operator::Cidr(_) | Operator::Semver(_) | Operator::Number(_) => "",
    }
}

/// Why no value of a subject is this one, or has it inside where the whole is not compared.
fn value_of(subject: &Subject, text: &str, operator: &str, whole: bool) -> Option<Never> {
    match subject {
        Subject::Device => device(text, operator, whole),
        Subject::Method if whole => method_of(text, "method: ", ""),
        Subject::Host => host(text, operator, whole),
        Subject::Path => path(text, operator, whole),
        Subject::Address if whole => address(text),
        Subject::Peer if whole => peer(text),
        _ => None,
    }
}

fn device(text: &str, operator: &str, whole: bool) -> Option<Never> {
    let known = logic::DEVICES.iter().any(|class| match operator {
        "startsWith" => class.starts_with(text),
        "endsWith" => class.ends_with(text),
        "contains" => class.contains(text),
        "glob" => true,
        _ => *class == text,
    });
    if known {
        return None;
    }
    let lower = text.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    let class = match () {
        () if has(&["ipad", "tab", "kindle"]) => "tablet",
        () if has(&["phone", "android", "ios", "mobi", "app"]) => "mobile",
        () if has(&["bot", "crawl", "spider"]) => "bot",
        () => "desktop",
    };
    let brands = [("iphone", "iPhone"), ("ipad", "iPad"), ("ios", "iPhone"), ("android", "Android")];
    let sent = brands.iter().find(|(name, _)| *name == lower).map_or(text, |(_, sent)| sent);
    let what = if whole { "is no device" } else { "is in no device" };
    never(
        format!("{what}: there are mobile, tablet, desktop and bot (found \"{text}\")"),
        format!(
            "write device: {class}; for more than that, look at the header: {{header: user-agent, contains: {sent}}}"
        ),
    )
}

/// The methods that HTTP and its extensions have, which are compared as they are sent.
fn method_of(text: &str, before: &str, behind: &str) -> Option<Never> {
    const METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];
    let upper = text.to_ascii_uppercase();
    (text != upper && METHODS.contains(&&*upper))
        .then(|| {
            let why = format!("is sent in capitals, and compared as it is sent (found \"{text}\")");
            never(why, format!("write {before}{upper}{behind}"))
        })
        .flatten()
}

fn host(text: &str, operator: &str, whole: bool) -> Option<Never> {
    let write = |host: &str| match operator {
        "equals" => format!("write host: {host}"),
        "in" => format!("write {host} in the list"),
        _ => format!("write host: {{{operator}: {host}}}"),
    };
    if let Some((_, rest)) = text.split_once("://") {
        let host = rest.split(['/', ':']).next().unwrap_or_default().to_ascii_lowercase();
        return never(format!("is a URL, and no host (found \"{text}\")"), write(&host));
    }
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        let why = format!("is compared in lower case, and this has capitals (found \"{text}\")");
        return never(why, write(&text.to_ascii_lowercase()));
    }
    if !whole {
        return None;
    }
    if let Some(domain) = text.strip_prefix('*') {
        let why = format!("is no host: equals and in know no star (found \"{text}\")");
        return never(
            why,
            format!("write host: {{endsWith: \"{domain}\"}}, or match: {{hosts: [\"*{domain}\"]}} in the flag"),
        );
    }
    if let Some((name, port)) = text.rsplit_once(':')
        && !port.is_empty()
        && port.bytes().all(|byte| byte.is_ascii_digit())
        && (!name.contains(':') || name.ends_with(']'))
    {
        return never(format!("is compared without its port, and this has one (found \"{text}\")"), write(name));
    }
    if text.contains('/') {
        let host = text.split('/').next().unwrap_or_default();
        return never(format!("is no host: it has a slash (found \"{text}\")"), write(host));
    }
    text.ends_with('.').then(|| {
        let why = format!("is compared without its last dot (found \"{text}\")");
        never(why, write(text.trim_end_matches('.')))
    })?
}

fn path(text: &str, operator: &str, whole: bool) -> Option<Never> {
    if let Some((front, query)) = text.split_once('?')
        && operator != "glob"
    {
        let name = query.split(['=', '&']).next().unwrap_or_default();
        let why = format!("is compared without the query, and this has a question mark (found \"{text}\")");
        return never(why, format!("write all: [{{path: {front}}}, {{query: {name}, exists: true}}]"));
    }
    let begins = whole || operator == "startsWith";
    if begins && text.starts_with('^') || whole && text.contains(".*") {
        let plain = text.trim_start_matches('^').split(['.', '*', '(', '[', '$', '\\']).next().unwrap_or_default();
        let why = format!("is compared as it stands: there are no regular expressions (found \"{text}\")");
        return never(why, format!("write path: {{startsWith: {}}}", or_slash(plain)));
    }
    if operator == "glob" && (text.starts_with('^') || text.contains(".*") || text.ends_with('$')) {
        let pattern = text.trim_start_matches('^').trim_end_matches('$').replace(".*", "*");
        let why = format!("is a regular expression, and a glob knows * and ? only (found \"{text}\")");
        return never(why, format!("write path: {{glob: \"{pattern}\"}}"));
    }
    if whole && text.contains('*') {
        let plain = text.split('*').next().unwrap_or_default();
        let why = format!("is compared as it stands: equals and in know no star (found \"{text}\")");
        return never(why, format!("write path: {{startsWith: {}}}, or path: {{glob: \"{text}\"}}", or_slash(plain)));
    }
    if begins && !text.starts_with('/') && !text.starts_with('*') {
        let plain =
            text.split_once("://").map_or(text, |(_, rest)| rest.find('/').and_then(|at| rest.get(at..)).unwrap_or(""));
        let why = format!("begins with a slash, and this does not (found \"{text}\")");
        let path = if plain.starts_with('/') { plain.to_owned() } else { format!("/{plain}") };
        let help = if operator == "equals" {
            format!("write path: {path}")
        } else {
            format!("write path: {{{operator}: {path}}}")
        };
        return never(why, help);
    }
    None
}

fn or_slash(path: &str) -> &str {
    if path.starts_with('/') { path } else { "/" }
}

/// A prefix of a match that is written as a pattern.
fn pattern_in_prefix(text: &str) -> Option<Never> {
    if !text.contains('*') && !text.contains('$') && !text.contains('{') {
        return None;
    }
    let plain = text.split(['*', '$', '{', '(', '[', '\\']).next().unwrap_or_default();
    let plain = plain.trim_end_matches(['.', '/']);
    let plain = if plain.is_empty() { "/" } else { plain };
    never(
        format!("is compared as it stands: a prefix knows no pattern (found \"{text}\")"),
        format!("write the prefix, which takes all that is below: paths: [{plain}]"),
    )
}

fn address(text: &str) -> Option<Never> {
    if text.parse::<IpAddr>().is_ok() {
        return None;
    }
    if let Some((address, port)) = text.rsplit_once(':')
        && address.trim_matches(['[', ']']).parse::<IpAddr>().is_ok()
        && port.bytes().all(|byte| byte.is_ascii_digit())
    {
        return never(
            format!("is compared without its port, and this has one (found \"{text}\")"),
            format!("write address: \"{}\"", address.trim_matches(['[', ']'])),
        );
    }
    let numbers: Vec<&str> = text.split('.').take_while(|part| part.parse::<u8>().is_ok()).collect();
    let known = numbers.len();
    let cidr = if text.contains('/') {
        text.to_owned()
    } else if (1..4).contains(&known) {
        let rest = vec!["0"; 4_usize.saturating_sub(known)];
        format!("{}/{}", [numbers, rest].concat().join("."), known.saturating_mul(8))
    } else {
        return never(
            format!("is no address, and no client has another (found \"{text}\")"),
            "write the address, or its network: address: {cidr: 10.0.0.0/8}",
        );
    };
    never(
        format!("is a network, and equals and in compare with single addresses (found \"{text}\")"),
        format!("write address: {{cidr: {cidr}}}"),
    )
}

/// A peer is the first URI of a certificate, and a URI has a scheme.
fn peer(text: &str) -> Option<Never> {
    if text.contains(':') {
        return None;
    }
    let id = if text.contains("/ns/") {
        text.to_owned()
    } else {
        format!("cluster.local/ns/shop/sa/{}", text.rsplit('/').next().unwrap_or_default())
    };
    never(
        format!("is the URI in a certificate, and this has no scheme (found \"{text}\")"),
        format!("write peer: spiffe://{}", id.trim_start_matches('/')),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use tidegate_engine::problem::Problems;

    fn found(flag: &Value, identity: &Value) -> Vec<(String, Severity, String)> {
        let text = json!({"version": 1, "identity": identity, "flags": {"f": flag}});
        let text = if identity.is_null() { json!({"version": 1, "flags": {"f": flag}}) } else { text };
        let mut problems = Problems::default();
        let config = Config::from_bytes(text.to_string().as_bytes(), &mut problems);
        assert_eq!(problems.count(), 0, "{problems}");
        let all = all(&config, Timestamp::from_millis(0));
        all.into_iter().map(|one| (one.path, one.severity, one.help.unwrap_or_default())).collect()
    }

    fn of(when: &Value) -> Vec<String> {
        let flag = json!({"rules": [{"when": when, "serve": "on"}]});
        found(&flag, &json!([{"header": "x-user"}])).into_iter().map(|(_, _, help)| help).collect()
    }

    #[test]
    fn what_no_request_has_is_told_with_what_it_has() {
        for (when, help) in [
            (json!({"device": "iphone"}), "write device: mobile"),
            (json!({"device": "iPad"}), "write device: tablet"),
            (json!({"host": "Shop.Example"}), "write host: shop.example"),
            (json!({"host": "shop.example:8080"}), "write host: shop.example"),
            (json!({"host": "https://shop.example/a"}), "write host: shop.example"),
            (json!({"host": {"in": ["*.shop.example"]}}), "write host: {endsWith: \".shop.example\"}"),
            (json!({"method": "get"}), "write method: GET"),
            (json!({"path": "/api/*"}), "write path: {startsWith: /api/}"),
            (json!({"path": "api"}), "write path: /api"),
            (json!({"path": "/api?x=1"}), "write all: [{path: /api}, {query: x"),
            (json!({"path": {"startsWith": "^/api"}}), "write path: {startsWith: /api}"),
            (json!({"path": {"glob": "^/api/.*$"}}), "write path: {glob: \"/api/*\"}"),
            (json!({"address": "10.0.0.0/8"}), "write address: {cidr: 10.0.0.0/8}"),
            (json!({"address": {"in": ["10.1.*"]}}), "write address: {cidr: 10.1.0.0/16}"),
            (json!({"address": "10.1.2.3:80"}), "write address: \"10.1.2.3\""),
            (json!({"peer": "cluster.local/ns/shop/sa/web"}), "write peer: spiffe://cluster.local/ns/shop/sa/web"),
            (json!({"header": "Host", "equals": "shop.example"}), "write host: shop.example"),
        ] {
            let said = of(&when);
            assert!(said.len() == 1 && said[0].starts_with(help), "{when}: {said:?}");
        }
        for fine in [
            json!({"device": "mobile"}),
            json!({"device": {"startsWith": "mob"}}),
            json!({"host": "shop.example"}),
            json!({"method": "PURGE"}),
            json!({"path": {"glob": "/api/*/x?"}}),
            json!({"address": "::1"}),
            json!({"address": {"cidr": "10.0.0.0/8"}}),
            json!({"peer": {"endsWith": "/sa/web"}}),
        ] {
            assert_eq!(of(&fine), [""; 0], "{fine}");
        }
    }

    #[test]
    fn a_draw_needs_an_identity() {
        for rule in [
            json!({"percent": 5, "serve": "on"}),
            json!({"serve": [{"variant": "on", "weight": 1}, {"variant": "off", "weight": 1}]}),
        ] {
            let said = found(&json!({"rules": [rule]}), &Value::Null);
            assert!(matches!(&*said, [(_, Severity::Error, _)]), "{said:?}");
        }
        for rule in
            [json!({"percent": 100, "serve": "on"}), json!({"percent": 0, "serve": "on"}), json!({"serve": "on"})]
        {
            assert!(found(&json!({"rules": [rule]}), &Value::Null).is_empty());
        }
    }

    #[test]
    fn a_small_share_is_asked_about() {
        let said = found(&json!({"rules": [{"percent": 0.05, "serve": "on"}]}), &json!([{"header": "x-user"}]));
        assert!(matches!(&*said, [(_, Severity::Warning, help)] if help.starts_with("did you mean 5?")), "{said:?}");
        let step = |day: &str, percent: f64| json!({"at": format!("2026-12-{day}T09:00:00Z"), "percent": percent});
        for (steps, asked) in
            [(vec![step("01", 0.1), step("02", 1.0)], 1), (vec![step("01", 0.1), step("02", 10.0)], 0)]
        {
            let flag = json!({"rules": [{"steps": steps, "serve": "on"}]});
            assert_eq!(found(&flag, &json!([{"header": "x-user"}])).len(), asked, "{flag}");
        }
        let guard =
            json!({"guard": {"errors": {"max": 0.05, "overBaseline": 2}}, "rules": [{"percent": 5, "serve": "on"}]});
        let said = found(&guard, &json!([{"claim": "sub"}]));
        assert!(matches!(&*said, [(path, ..)] if path == "flags.f.guard.errors.max"), "{said:?}");
    }
}
