//! Says how a problem is mended: what may have been meant, what is allowed, and how it is written.
//!
//! Every problem gets a line of help, of what the engine keeps of it as data, of the reference and of what people are
//! used to elsewhere. Never finds a problem, and never changes what the engine says of one.

use super::example::{self, Step};
use super::habits;
use tidegate_engine::config::schema::reference::SECTIONS;
use tidegate_engine::problem::{Found, Problem, Wrong};
use tidegate_engine::value::decimal::Decimal;

/// How to mend a problem; the text of the file around it may tell more than the problem does.
pub fn help(problem: &Problem, written: Option<&str>) -> Option<String> {
    let found = match problem.found() {
        Some(Found::Text(text)) => Some(&**text),
        Some(Found::Other(text)) => Some(&**text),
        None => None,
    };
    let last = last_key(problem.path());
    match problem.wrong() {
        Wrong::Syntax { words, .. } => Some(of_syntax(words).to_owned()),
        Wrong::UnknownField { section, known } => {
            Some(of_unknown_field(section, last.as_deref().or(found)?, &mut known.iter().map(|name| &**name)))
        }
        Wrong::UnknownName { known, .. } => of_unknown_name(problem, found, &mut known.iter().map(|name| &**name)),
        Wrong::UnknownWord { known } => {
            let names = || known.iter().map(|name| &**name);
            let field = last.unwrap_or_default();
            let meant = found.and_then(|found| habits::word(&field, found).or_else(|| nearest(found, names())));
            let meant = meant.filter(|meant| names().any(|name| name == *meant));
            Some(match meant {
                Some(word) if field.is_empty() => format!("did you mean {word}?"),
                None if field.is_empty() => {
                    format!("write one of them, such as {}", names().next().unwrap_or_default())
                }
                Some(word) => format!("did you mean {word}? {field}: {word}"),
                None => format!("write one of them, such as {field}: {}", names().next().unwrap_or_default()),
            })
        }
        Wrong::Repeated => Some("keep one of them: of two equal keys, a reader takes either".to_owned()),
        Wrong::Other(words) => of_value(problem, words, found, written),
    }
}

/// The name at the end of a path, where it ends in one.
fn last_key(path: &str) -> Option<String> {
    match example::steps(path).pop()? {
        Step::Key(key) => Some(key),
        Step::Index(_) => None,
    }
}

/// The name that is nearest to what was written, if one is near.
pub fn nearest<'k>(written: &str, names: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    let steps = |name: &str| strsim::damerau_levenshtein(&written.to_lowercase(), &name.to_lowercase());
    let most = written.chars().count().div_ceil(4).min(3);
    names.map(|name| (steps(name), name)).filter(|(steps, _)| *steps <= most).min().map(|(_, name)| name)
}

fn of_syntax(words: &str) -> &'static str {
    const ENDS: [(&str, &str); 11] = [
        ("is not JSON: trailing comma", "take the comma in front of it away: JSON has none behind the last element"),
        (
            "is not JSON: key must be a string",
            "put the key in double quotes, or write YAML in a file that ends in .yaml",
        ),
        ("is not JSON: EOF", "close what was opened: a brace, a bracket or a quote is missing at the end"),
        ("is not JSON: expected `,`", "put a comma between two elements, or take away what stands there by mistake"),
        ("is not JSON: expected `:`", "put a colon between the key and its value"),
        ("is not JSON: trailing characters", "keep one value in the file: take what follows it away"),
        ("is not JSON: begins with a byte order mark", "save the file as UTF-8 without a byte order mark"),
        ("is not JSON: invalid number", "write the number without leading zeros, or as text in double quotes"),
        ("is not JSON: control character", "write a line break in text as \\n"),
        (
            "is not JSON: expected value",
            "write a value here: text in double quotes, a number, true, false, null, [...] or {...}",
        ),
        ("is nested deeper", "flatten it: no part of a config nests so deep"),
    ];
    let found = ENDS.iter().find(|(begins, _)| words.starts_with(begins));
    found.map_or("write it as JSON, or as YAML in a file that ends in .yaml", |(_, help)| help)
}

/// What may have been meant by a field that a section does not have.
fn of_unknown_field(section: &'static str, written: &str, known: &mut dyn Iterator<Item = &str>) -> String {
    if let Some(instead) = habits::field(section, written) {
        return instead.to_owned();
    }
    let known: Vec<&str> = known.collect();
    if let Some(name) = nearest(written, known.iter().copied()) {
        return format!("did you mean {name}?");
    }
    let elsewhere = SECTIONS.iter().find_map(|other| other.field(written).map(|entry| (other, entry)));
    let list = format!("{} has {}", lower(section), known.join(", "));
    match elsewhere {
        Some((other, _)) if other.title != section => {
            format!("{written} is a field of {}; {list}", lower(other.title))
        }
        _ => list,
    }
}

/// A title in the middle of a sentence.
fn lower(title: &str) -> String {
    let (first, rest) = title.split_at_checked(1).unwrap_or_default();
    format!("{}{rest}", first.to_ascii_lowercase()).replace('`', "")
}

fn of_unknown_name(problem: &Problem, found: Option<&str>, known: &mut dyn Iterator<Item = &str>) -> Option<String> {
    let known: Vec<&str> = known.collect();
    let found = found?;
    if let Some(name) = nearest(found, known.iter().copied()) {
        let is_own = last_key(problem.path()).is_some_and(|name| matches!(&*name, "serve" | "variant"));
        let more =
            if is_own { format!(" If not, add it: variants: [{}, {found}]", known.join(", ")) } else { String::new() };
        return Some(format!("did you mean {name}?{more}"));
    }
    let is_segment = problem.path().ends_with(".segment");
    let define = format!("segments: {{{found}: {{header: x-employee, equals: \"true\"}}}}");
    Some(match (known.first(), is_segment) {
        (Some(first), true) => format!("name one that is defined, such as {first}, or define it: {define}"),
        (None, true) => format!("define it: {define}"),
        (Some(_), false) => {
            format!("name one of them, or add it to the variants: variants: [{}, {found}]", known.join(", "))
        }
        (None, false) => "name one that is defined".to_owned(),
    })
}

/// How a value is mended that is not as it must be.
fn of_value(problem: &Problem, words: &str, found: Option<&str>, written: Option<&str>) -> Option<String> {
    let path = problem.path();
    let last = last_key(path);
    if problem.is_about_key()
        && let Some(help) = of_key(path, words, last.as_deref())
    {
        return Some(help);
    }
    let place = example::place(path);
    let last = last.unwrap_or_default();
    if words.starts_with("is a boolean where text is needed") {
        let text = written.filter(|text| !text.contains('\n')).or(found).unwrap_or("on");
        let name = if last.is_empty() { String::new() } else { format!("{last}: ") };
        return Some(format!("YAML reads it as a boolean; in quotes it is text: {name}\"{}\"", text.trim_matches('"')));
    }
    if words.starts_with("is a number that is not exact") {
        return written.map(|text| format!("write it in quotes: {last}: \"{text}\""));
    }
    if let Some(help) = found.and_then(|found| special(path, &last, words, found)) {
        return Some(help);
    }
    if let Some(help) = of_rule(words, &last) {
        return Some(help);
    }
    let Some(place) = place else { return of_words(words) };
    let example = place.example();
    if words == "is required" {
        return Some(format!("add {example}"));
    }
    let takes = place.takes().map(|takes| format!("{last} takes {takes}: ")).unwrap_or_default();
    let begin = if takes.is_empty() { "write it so: " } else { &*takes };
    Some(format!("{begin}{example}"))
}

/// How a value is mended that stands outside of a config, as far as the rule tells it.
fn of_words(words: &str) -> Option<String> {
    let (_, example) = words.split_once(", such as ")?;
    let example = example.split(" (found").next().unwrap_or(example);
    Some(format!("write it like this: {example}"))
}

/// How a key is mended: its name, or that it stands where it does.
fn of_key(path: &str, words: &str, last: Option<&str>) -> Option<String> {
    let steps = example::steps(path);
    match &*steps {
        [Step::Key(map), Step::Key(name)] if map == "flags" => {
            let rule = "a key is lower-case letters, digits, -, _ and ., beginning with a letter";
            return Some(match habits::key(name) {
                Some(key) => format!("write {key}: {rule}"),
                None => format!("write a name, such as checkout: {rule}"),
            });
        }
        [Step::Key(map), Step::Key(name)] if map == "segments" => {
            let good: String = name
                .chars()
                .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '-' })
                .collect();
            let good = good.trim_matches(|c: char| !c.is_ascii_alphanumeric());
            let good = if good.is_empty() { "internal" } else { good };
            return Some(format!("write {good}: a name is letters, digits, -, _ and ., at most 64 bytes"));
        }
        _ => {}
    }
    let last = last.unwrap_or_default();
    if words.starts_with("stands where an operator is due") {
        return Some("write one operator and its value, such as {equals: text} or {startsWith: text}".to_owned());
    }
    if words.contains("a condition looks at one thing") {
        return Some("write all: [{header: x-country, equals: DE}, {path: {startsWith: /api/}}]".to_owned());
    }
    if words.contains("a test has one operator") {
        return Some("write all: [{header: x-user, startsWith: a}, {header: x-user, endsWith: z}]".to_owned());
    }
    if words.contains("a source is one thing") {
        return Some("write identity: [{header: x-user-id}, {cookie: uid}]".to_owned());
    }
    if words.contains("which takes no operator") {
        return Some(format!(
            "take {last} away, or write all: [{{segment: internal}}, {{header: x-country, equals: DE}}]"
        ));
    }
    if let Some((_, instead)) = words.split_once("has no name: write ") {
        return Some(format!("move the operator into the map: {instead}"));
    }
    if words.starts_with("stands beside percent") {
        return Some("take percent away: each step has its own".to_owned());
    }
    if let Some(needs) = words.strip_prefix("needs ") {
        return Some(match needs.split([':', ' ']).next().unwrap_or_default() {
            "route" => "add route: {header: x-upstream-version}, or take rescue away".to_owned(),
            "header" => format!("add header: x-tidegate-inspect, or take {last} away"),
            "a" if needs.contains("guard") => "add a guard to the flag: guard: {errors: {overBaseline: 2%}}".to_owned(),
            "a" => format!("add body: The shop is closed., or take {last} away"),
            _ => "write action: rollback, or take retryAfter away".to_owned(),
        });
    }
    let header = "the name of a header is letters, digits and -, such as x-upstream-version";
    match () {
        () if words.contains("use contentType") => Some("write contentType: text/plain beside headers".to_owned()),
        () if words.contains("cannot be") => {
            Some("take it away, or write a header of your own, such as x-shop-version".to_owned())
        }
        () if words.contains("already written") => Some("keep one of the two".to_owned()),
        () if words.contains("may not stand at the baseline") => {
            Some("move limit to another variant: the baseline takes the rest".to_owned())
        }
        () if path.contains(".headers") => Some(header.to_owned()),
        () => None,
    }
}

/// What a value shows of what was meant.
fn special(path: &str, last: &str, words: &str, found: &str) -> Option<String> {
    let element = path.trim_end_matches(|c: char| c == ']' || c.is_ascii_digit()).trim_end_matches('[');
    let around = last_key(element).unwrap_or_default();
    match (last, &*around) {
        ("percent" | "max" | "overBaseline" | "percentile", _) if words.contains("0 to 100") || words.contains("percentage") => {
            of_percent(last, found)
        }
        ("", "hosts") => {
            let host = found.split_once("://").map_or(found, |(_, host)| host);
            let host = host.split('/').next().unwrap_or_default();
            let host = host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit())).map_or(host, |(host, _)| host);
            let host = match host.rsplit_once('*') {
                Some((_, "" | ".")) => return Some("leave hosts out of match: then the flag decides for any host".to_owned()),
                Some((_, domain)) => format!("\"*.{}\"", domain.trim_start_matches('.')),
                None => host.to_owned(),
            };
            (!host.is_empty()).then(|| format!("write the host alone: hosts: [{host}]"))
        }
        ("", "paths") => {
            let path = found.split_once("://").map_or(found, |(_, rest)| rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/"));
            let path = path.trim_start_matches(['^', '*', '~']).split(['?', '#', '*', '$', '(', ' ']).next().unwrap_or_default();
            let path = path.trim_end_matches(['.', '/']);
            let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
            Some(format!("write the beginning of the path, which takes all that is below: paths: [{path}]"))
        }
        ("header", _) if words.contains("belongs to the request itself") => {
            Some("take a header of your own: header: x-upstream-version".to_owned())
        }
        ("header", _) if matches!(found.to_ascii_lowercase().as_str(), ":path" | ":method" | ":authority") => {
            let subject = match found.get(1..2) {
                Some("p" | "P") => "path: {startsWith: /api/}",
                Some("m" | "M") => "method: GET",
                _ => "host: shop.example",
            };
            Some(format!("a part of the request has a name of its own: {subject}"))
        }
        ("version", _) => Some("write version: 1; the author's own name for a config is revision".to_owned()),
        ("cidr", _) if found.contains('*') => {
            let numbers: Vec<&str> = found.split('.').take_while(|part| *part != "*").collect();
            let bits = numbers.len().saturating_mul(8);
            let rest = vec!["0"; 4_usize.saturating_sub(numbers.len())];
            Some(format!("write the network with its length: cidr: {}/{bits}", [numbers, rest].concat().join(".")))
        }
        ("serve", _) if found == "a map" => {
            Some("write the variant, or a list with weights: serve: v2, or serve: [{variant: v1, weight: 90}, {variant: v2, weight: 10}]".to_owned())
        }
        (_, "variants") if words.contains("must be a name") => Some("write its name: variants: [v1, v2]".to_owned()),
        ("flags" | "segments" | "variants" | "rules", _) if found.starts_with("a list") || found == "a map" => {
            let shape = match last {
                "flags" => "a map from the key of each flag to the flag: flags: {checkout: {rules: [{serve: \"on\"}]}}",
                "segments" => "a map from the name of each segment to its condition: segments: {internal: {header: x-employee, equals: \"true\"}}",
                "variants" => "a list, because it has an order: variants: [v1, v2], with values: [{name: v2, value: \"7\"}]",
                _ => "a list, because order decides: rules: [{serve: v2}]",
            };
            Some(format!("write {shape}"))
        }
        ("weight", _) => Some("weights are parts of their sum: 90 and 10, or 9 and 1: {variant: v2, weight: 10}".to_owned()),
        ("semver", _) => Some("write one comparison, and several in all: semver: \">=1.4.0\"".to_owned()),
        ("owner" | "description" | "name" | "baseline" | "default", _) if found == "null" => {
            Some(format!("write a value behind {last}:, or take the field away"))
        }
        _ if words.contains("may not contain") && matches!(last, "name" | "serve" | "baseline" | "default" | "variant" | "segment") => {
            let good: String = found.chars().map(|c| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '-' }).collect();
            Some(format!("a name is letters, digits, -, _ and .: {last}: {good}"))
        }
        _ => None,
    }
}

/// What a percentage may have been.
fn of_percent(last: &str, found: &str) -> Option<String> {
    let is_number = |c: char| c.is_ascii_digit() || c == '.';
    let from = found.find(is_number)?;
    let rest = found.get(from..)?;
    let (digits, behind) = rest.split_at(rest.find(|c| !is_number(c)).unwrap_or(rest.len()));
    let number = Decimal::parse(digits.as_bytes()).filter(|_| !behind.contains(is_number))?;
    let hundred = Decimal::parse(b"100")?;
    if let Some(thousands) = digits.strip_suffix("000")
        && Decimal::parse(thousands.as_bytes()).is_some_and(|share| share <= hundred)
        && number > hundred
    {
        return Some(format!(
            "{last} is from 0 to 100: {found} in thousandths of a percent, as LaunchDarkly counts, is {last}: {thousands}"
        ));
    }
    if number > hundred || found.starts_with('-') {
        return Some(format!("{last} is a share of all users: from 0, nobody, to 100, everybody: {last}: 10"));
    }
    let is_plain = from == 0 && matches!(behind, "" | "%");
    (!is_plain).then(|| format!("write the number, with or without %: {last}: {digits}"))
}

/// What the rule that is broken tells by itself.
fn of_rule(words: &str, last: &str) -> Option<String> {
    let text = match () {
        () if words.starts_with("must have errors or latency") => {
            "add one of them: errors: {max: 5%, overBaseline: 2%}, or latency: {percentile: 99, max: 800ms}"
        }
        () if words.starts_with("must have max or overBaseline") && last == "latency" => {
            "add max: 800ms, or overBaseline: 1.5x"
        }
        () if words.starts_with("must have max or overBaseline") => "add max: 5%, or overBaseline: 2%",
        () if words.starts_with("must have requests or inFlight") => "add requests: 50/s, or inFlight: 100",
        () if words == "is required where variants are given" => {
            "add baseline: v1, the variant that is safe to fall back to"
        }
        () if words.starts_with("must name what it looks at") => {
            "write a subject and an operator: {header: x-country, equals: DE}"
        }
        () if words.starts_with("must have an operator") => {
            "add an operator with its value: {header: x-country, equals: DE}, or exists: true"
        }
        () if words.starts_with("must name a source") => {
            "write where the identity is: {header: x-user-id}, {cookie: uid} or {claim: sub}"
        }
        () if words.starts_with("must be true: this source has no name") => {
            return Some(format!("write {{{last}: true}}"));
        }
        () if words.starts_with("must be later than the step before it") => {
            "put the steps in the order of their times, each one later than the one before"
        }
        () if words.starts_with("must have a weight above 0") => {
            "give at least one part a weight: {variant: v2, weight: 1}"
        }
        () if words.starts_with("names ") => "take it away, or give it another name",
        () if words.starts_with("refers to itself") => {
            "take one segment out of the circle: write its condition where it is used"
        }
        () if words.starts_with("stands at the head of a chain") => {
            "write the conditions of some of them where they are used"
        }
        () if words.starts_with("is already written by this variant") => "keep one of the two headers",
        () if words.starts_with("takes every request") => "move this rule to the end, or give it a when or a percent",
        () if words.starts_with("is lower than the step before it") => {
            "put the steps in ascending order, if nobody is to be taken out again"
        }
        () if words.starts_with("says that there is a dictionary") => {
            "take one of the two away: headers: dictionary sends it already"
        }
        () if words.starts_with("judges nothing") => {
            "give a rule a share between a variant and the baseline: {percent: 10, serve: v2}"
        }
        () if words.starts_with("counts nobody") => {
            "add a claim to the identity: identity: [{claim: sub}], or write identities: any"
        }
        () if words.contains(" of at most ") => "split the config before it is full: one for each team or host",
        () if words.starts_with("may cost")
            || words.starts_with("can judge")
            || words.starts_with("may have at most") =>
        {
            "make it smaller: split the config, or shorten what is named"
        }
        () if words.starts_with("is shown to whoever sends the header") => "add equals: a-word-of-your-own",
        () if words.contains("where both match")
            || words.contains("is already written")
            || words.contains("as flags.") =>
        {
            "give one of the two another header, or keep their matches apart"
        }
        () if words.contains("inspect.header") || words.contains("the dictionary of all flags") => {
            "take another header: header: x-shop-version"
        }
        () if words.starts_with("is empty") => "begin so: {\"version\": 1, \"flags\": {}}",
        () if words.contains("google.protobuf.Struct") => {
            "put the config as JSON into a StringValue: \"@type\": type.googleapis.com/google.protobuf.StringValue"
        }
        () => return None,
    };
    Some(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_engine::config::schema::reference::Section;

    fn section(title: &str) -> &'static Section {
        SECTIONS.iter().find(|section| section.title == title).expect("there is such a section")
    }

    #[test]
    fn a_stranger_is_told_its_own_name_here() {
        let told = |title: &str, name: &str| {
            let section = section(title);
            of_unknown_field(section.title, name, &mut section.names())
        };
        assert_eq!(told("A flag", "ruls"), "did you mean rules?");
        assert!(told("A flag", "defaultVariant").contains("default: v1"));
        assert!(told("A rule", "weight").contains("percent: 10"));
        assert!(told("A rule", "owner").starts_with("owner is a field of a flag; a rule has when"));
    }

    #[test]
    fn shares_of_elsewhere_are_translated() {
        assert!(of_percent("percent", "50000").is_some_and(|help| help.ends_with("percent: 50")));
        assert!(of_percent("percent", "150").is_some_and(|help| help.contains("from 0, nobody")));
        assert!(of_percent("percent", "10 percent").is_some_and(|help| help.ends_with("percent: 10")));
        assert_eq!(of_percent("percent", "ten"), None);
        assert_eq!(of_percent("percent", "1/3"), None);
        assert!(of_percent("percentile", "p99").is_some_and(|help| help.ends_with("percentile: 99")));
    }
}
