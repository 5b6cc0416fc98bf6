//! A config with one condition, and a value: the engine answers as a naive reader of the operator does.
//!
//! The first line is the subject and the operator, the second what it is held against, the rest is the value. So
//! `header glob`, `a*`, `abc` asks whether the header `abc` fits `a*`.

use std::cmp::Ordering;
use std::net::IpAddr;

use serde_json::{Value, json};
use tidegate_engine::decide::decide;
use tidegate_engine::decide::standing::Standing;
use tidegate_engine::plan::Plan;
use tidegate_engine::request::Request;
use tidegate_engine::value::time::Timestamp;

const OPERATORS: [&str; 10] =
    ["equals", "in", "startsWith", "endsWith", "contains", "exists", "cidr", "semver", "number", "glob"];

const SUBJECTS: [&str; 7] = ["header", "cookie", "query", "path", "method", "identity", "address"];

pub fn check(bytes: &[u8]) {
    let mut lines = bytes.splitn(3, |byte| *byte == b'\n');
    let mut line = || lines.next().unwrap_or_default();
    let (head, operand, value) = (line(), String::from_utf8_lossy(line()).into_owned(), line());
    let mut words = head.split(|byte| *byte == b' ');
    let subject = pick(&SUBJECTS, words.next());
    let operator = pick(&OPERATORS, words.next());

    let operand = match operator {
        "in" | "cidr" => json!(operand.split(',').collect::<Vec<_>>()),
        "exists" => json!(operand != "false"),
        _ => json!(operand),
    };
    let condition = match subject {
        "header" | "cookie" | "query" => json!({subject: "v", operator: operand}),
        _ => json!({subject: {operator: operand}}),
    };
    let config = json!({
        "version": 1,
        "identity": [{"header": "v"}],
        "flags": {"f": {"rules": [{"when": condition, "serve": "on"}]}},
    });
    let (compiled, problems) = Plan::from_bytes(config.to_string().as_bytes());
    let Some(plan) = compiled.ready() else {
        let refused = problems.errors().iter().all(|problem| problem.path().starts_with("flags.f.rules[0].when"));
        assert!(refused, "{problems}");
        assert!(!is_plain(operator, &operand), "refused: {problems}");
        return;
    };
    let found = served(&plan, subject, value);
    let seen = seen(subject, value);
    let expected = match (&seen, operator) {
        (None, "exists") => operand == json!(false),
        (None, _) => false,
        (Some(value), _) => holds(operator, &operand, value),
    };
    assert_eq!(found, expected, "{subject} {operator} {operand} on {seen:?}");
}

/// One of the words: the one that was written, or one by its first byte.
fn pick<'w>(words: &[&'w str], written: Option<&[u8]>) -> &'w str {
    let written = written.unwrap_or_default();
    let by_byte = usize::from(written.first().copied().unwrap_or_default()) % words.len();
    words.iter().find(|word| word.as_bytes() == written).unwrap_or(&words[by_byte])
}

/// What surely is an operand, whatever else may be.
fn is_plain(operator: &str, operand: &Value) -> bool {
    let fits = |text: &Value| text.as_str().is_some_and(|text| (1..=1_024).contains(&text.len()));
    match operator {
        "equals" | "startsWith" | "endsWith" | "contains" | "glob" => fits(operand),
        "in" => operand.as_array().is_some_and(|list| list.iter().all(fits)),
        "exists" => true,
        "number" => operand.as_str().is_some_and(|text| number(text.as_bytes()).is_some()),
        "cidr" => {
            let address = |text: &Value| text.as_str().is_some_and(|text| text.parse::<IpAddr>().is_ok());
            operand.as_array().is_some_and(|list| list.iter().all(address))
        }
        _ => false,
    }
}

fn served(plan: &Plan, subject: &str, value: &[u8]) -> bool {
    let encoded = || value.iter().map(|byte| format!("%{byte:02x}")).collect::<Vec<_>>().concat();
    let (name, text): (&str, Vec<u8>) = match subject {
        "cookie" => ("cookie", format!("a=b; v={}", encoded()).into_bytes()),
        "query" => (":path", format!("/?a=b&v={}", encoded()).into_bytes()),
        "path" => (":path", value.to_vec()),
        "method" => (":method", value.to_vec()),
        _ => ("v", value.to_vec()),
    };
    let properties = plan.inputs().properties().map(|_| Some(value.to_vec()));
    let request = Request::new(plan.inputs(), [(name.as_bytes(), &*text)].into_iter(), properties);
    let decisions = decide(plan, &request, &Standing::NONE, Timestamp::from_millis(0));
    decisions.list()[0].variant().name().as_str() == "on"
}

/// The value as its subject shows it.
fn seen<'v>(subject: &str, value: &'v [u8]) -> Option<&'v [u8]> {
    match subject {
        "path" => value.split(|byte| *byte == b'?').next(),
        // Blanks around the value of a header are none of it.
        "header" => Some(value.trim_ascii()),
        "identity" => Some(value.trim_ascii()).filter(|value| (1..=256).contains(&value.len())),
        "address" => Some(value).filter(|value| !value.is_empty()),
        _ => Some(value),
    }
}

fn holds(operator: &str, operand: &Value, value: &[u8]) -> bool {
    let text = operand.as_str().unwrap_or_default();
    let known = text.as_bytes();
    let list = || operand.as_array().into_iter().flatten().filter_map(Value::as_str);
    match operator {
        "equals" => known == value,
        "in" => list().any(|known| known.as_bytes() == value),
        "startsWith" => value.len() >= known.len() && value[..known.len()] == *known,
        "endsWith" => value.len() >= known.len() && value[value.len() - known.len()..] == *known,
        "contains" => (0..=value.len()).any(|at| value[at..].starts_with(known)),
        "exists" => *operand == json!(true),
        "cidr" => list().any(|network| inside(network, value)),
        "semver" => fits(text, value),
        "number" => compares(text, value),
        _ => glob(known, value),
    }
}

/// A table instead of a search: whether so much of the pattern fits so much of the value.
fn glob(pattern: &[u8], value: &[u8]) -> bool {
    let mut row = vec![false; value.len() + 1];
    row[0] = true;
    for byte in pattern {
        let mut next = vec![false; value.len() + 1];
        for at in 0..=value.len() {
            next[at] = match byte {
                b'*' => row[at] || at > 0 && next[at - 1],
                b'?' => at > 0 && row[at - 1],
                _ => at > 0 && row[at - 1] && value[at - 1] == *byte,
            };
        }
        row = next;
    }
    row[value.len()]
}

fn inside(network: &str, value: &[u8]) -> bool {
    let bits = |address: IpAddr| match address {
        IpAddr::V4(address) => format!("{:032b}", address.to_bits()),
        IpAddr::V6(address) => format!("{:0128b}", address.to_bits()),
    };
    let (address, length) =
        network.split_once('/').map_or((network, None), |(address, length)| (address, Some(length)));
    let network = bits(address.parse().expect("the config was taken"));
    let length = length.map_or(network.len(), |length| length.parse().expect("the config was taken"));
    let Some(client) = std::str::from_utf8(value).ok().and_then(|text| text.parse::<IpAddr>().ok()) else {
        return false;
    };
    let client = match client {
        IpAddr::V6(six) => six.to_ipv4_mapped().map_or(client, IpAddr::V4),
        IpAddr::V4(_) => client,
    };
    let client = bits(client);
    client.len() == network.len() && client[..length] == network[..length]
}

/// Sign, digits before the point without zeros in front, and twelve behind it.
fn number(text: &[u8]) -> Option<(bool, String, String)> {
    let text = std::str::from_utf8(text).ok()?;
    let (negative, digits) =
        text.strip_prefix('-').map_or((false, text.strip_prefix('+').unwrap_or(text)), |rest| (true, rest));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let all_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let fraction_kept = fraction.trim_end_matches('0');
    if !all_digits(whole) || !all_digits(fraction) || whole.len() > 24 || fraction_kept.len() > 12 {
        return None;
    }
    let (whole, fraction) = (format!("{whole:0>24}"), format!("{fraction_kept:0<12}"));
    let zero = whole.bytes().chain(fraction.bytes()).all(|byte| byte == b'0');
    Some((negative && !zero, whole, fraction))
}

fn compares(comparison: &str, value: &[u8]) -> bool {
    let comparison = comparison.trim();
    let signs = comparison.len() - comparison.trim_start_matches(['<', '>', '=', '!']).len();
    let (sign, than) = comparison.split_at(signs);
    let than = number(than.trim().as_bytes()).expect("the config was taken");
    let Some(value) = number(value) else { return false };
    let order = match (value.0, than.0) {
        (false, true) => Ordering::Greater,
        (true, false) => Ordering::Less,
        (false, false) => (value.1, value.2).cmp(&(than.1, than.2)),
        (true, true) => (than.1, than.2).cmp(&(value.1, value.2)),
    };
    match sign {
        "" | "=" | "==" => order.is_eq(),
        "!=" => order.is_ne(),
        "<" => order.is_lt(),
        "<=" => order.is_le(),
        ">" => order.is_gt(),
        ">=" => order.is_ge(),
        other => panic!("{other} was taken for a sign"),
    }
}

/// A version: three numbers, and what stands behind `-`.
struct Version<'t> {
    numbers: [u64; 3],
    pre: &'t str,
}

fn version(text: &str) -> Option<Version<'_>> {
    let (text, build) = text.split_once('+').map_or((text, None), |(text, build)| (text, Some(build)));
    let (numbers, pre) = text.split_once('-').map_or((text, None), |(numbers, pre)| (numbers, Some(pre)));
    let identifiers = |text: &str, zeros: bool| {
        text.split('.').all(|part| {
            let number = part.bytes().all(|byte| byte.is_ascii_digit());
            !part.is_empty()
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
                && (zeros || !number || part == "0" || !part.starts_with('0'))
        })
    };
    if !pre.is_none_or(|pre| identifiers(pre, false)) || !build.is_none_or(|build| identifiers(build, true)) {
        return None;
    }
    let numbers: Option<Vec<u64>> = numbers.split('.').map(plain_number).collect();
    Some(Version { numbers: numbers?.try_into().ok()?, pre: pre.unwrap_or_default() })
}

fn plain_number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    (digits && (text == "0" || !text.starts_with('0'))).then(|| text.parse().ok()).flatten()
}

impl Version<'_> {
    /// By the rules of semver.org, 11.
    fn order(&self, other: &Version<'_>) -> Ordering {
        let pre = |one: &str, two: &str| match (one.is_empty(), two.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => {
                // Numbers come first, and a longer one is a larger one.
                let key = |part: &str| {
                    let number = part.bytes().all(|byte| byte.is_ascii_digit());
                    (!number, if number { part.len() } else { 0 }, part.to_owned())
                };
                one.split('.').map(key).cmp(two.split('.').map(key))
            }
        };
        self.numbers.cmp(&other.numbers).then_with(|| pre(self.pre, other.pre))
    }
}

/// One comparison: from its lowest version on, and below the first that does not fit.
fn fits(comparison: &str, value: &[u8]) -> bool {
    let comparison = comparison.trim();
    let signs = comparison.len() - comparison.trim_start_matches(['<', '>', '=', '~', '^']).len();
    let (sign, than) = comparison.split_at(signs);
    let than = than.trim().split('+').next().unwrap_or_default();
    let (numbers, pre) = than.split_once('-').unwrap_or((than, ""));
    let given: Vec<u64> = numbers
        .split('.')
        .map_while(|part| (!matches!(part, "*" | "x" | "X")).then(|| part.parse().expect("taken")))
        .collect();
    let wild = numbers.split('.').count() > given.len();
    let Some(value) = std::str::from_utf8(value).ok().and_then(version) else { return false };

    let at = |place: usize| given.get(place).copied().unwrap_or_default();
    let low = Version { numbers: [at(0), at(1), at(2)], pre };
    // The first version that has another number at this place; `None` past the last number there is.
    let behind = |place: usize| {
        let mut numbers = [0; 3];
        numbers[..=place].copy_from_slice(&low.numbers[..=place]);
        for place in (0..=place).rev() {
            match numbers[place].checked_add(1) {
                Some(next) => {
                    numbers[place] = next;
                    return Some(numbers);
                }
                None => numbers[place] = 0,
            }
        }
        None
    };
    // A version in front of a release fits only a comparison that names one of the same release.
    if !value.pre.is_empty() && (pre.is_empty() || value.numbers != low.numbers) {
        return false;
    }
    let below = |end: Option<[u64; 3]>| end.is_none_or(|end| value.numbers < end);
    let at_least = value.order(&low).is_ge();
    let last = given.len().checked_sub(1);
    let same = || at_least && last.is_none_or(|last| below(behind(last)));
    match sign {
        "" if wild => same(),
        "=" if given.len() == 3 => value.order(&low).is_eq(),
        "=" => same(),
        ">" if given.len() == 3 => value.order(&low).is_gt(),
        ">" => last.is_some_and(|last| behind(last).is_some_and(|end| value.numbers >= end)),
        ">=" => at_least,
        "<" => value.order(&low).is_lt(),
        "<=" if given.len() == 3 => value.order(&low).is_le(),
        "<=" => last.is_none_or(|last| below(behind(last))),
        "~" => at_least && last.is_none_or(|last| below(behind(last.min(1)))),
        _ => {
            // A caret keeps the first number that is not 0.
            let first = given.iter().position(|number| *number != 0).or(last);
            at_least && first.is_none_or(|first| below(behind(first)))
        }
    }
}
