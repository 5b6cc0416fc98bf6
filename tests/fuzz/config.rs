//! Any bytes as a config: read and compiled without a panic, with problems that fit a log line, and to a plan that
//! does not depend on how the same config was written.

use tidegate_engine::config::{Config, Node};
use tidegate_engine::decide::decide;
use tidegate_engine::decide::standing::Standing;
use tidegate_engine::output::effect::on_request;
use tidegate_engine::plan::{Compiled, Plan};
use tidegate_engine::problem::{Problem, Problems};
use tidegate_engine::request::Request;
use tidegate_engine::value::time::Timestamp;

/// The longest message that is bearable in a log.
const LONGEST: usize = 16 * 1024;

pub fn check(bytes: &[u8]) {
    let (compiled, problems) = Plan::from_bytes(bytes);
    check_problems(&problems, bytes.len());
    let (again, same_problems) = Plan::from_bytes(bytes);
    assert_eq!(problems, same_problems, "a second reading has other problems");
    match (&compiled, &again) {
        (Compiled::Ready(plan), Compiled::Ready(again)) => {
            assert_eq!(problems.errors(), [], "a plan in spite of errors");
            assert_eq!(plan.fingerprint(), plan.fingerprint(), "a second look gives another fingerprint");
            assert_eq!(plan.fingerprint(), again.fingerprint(), "a second reading gives another plan");
            pass(plan);
        }
        (Compiled::Broken(plan), Compiled::Broken(again)) => {
            assert_ne!(problems.errors(), [], "no plan, and no word why");
            assert_eq!(plan.fingerprint(), again.fingerprint(), "a second reading strips other headers");
            assert!(plan.flags().is_empty(), "a broken config decides");
            pass(plan);
        }
        _ => panic!("a second reading has another outcome"),
    }
    match serde_json::from_slice::<Node>(bytes) {
        Ok(node) => {
            check_parts(&node, &compiled, &problems);
            check_forms(&node, &compiled, &problems);
        }
        // It may still be a protobuf, which does not begin like that.
        Err(error) if bytes.first() == Some(&b'{') => assert_ne!(problems.errors(), [], "taken in spite of {error}"),
        Err(_) => {}
    }
}

/// Each problem has a place and says something, in one line.
fn check_problems(problems: &Problems, size: usize) {
    let lists = [problems.errors(), problems.unknown_fields(), problems.warnings()];
    for problem in lists.into_iter().flatten() {
        let text = problem.to_string();
        assert!(!problem.path().is_empty() && text.len() > problem.path().len() + 2, "an empty problem: {text:?}");
        assert!(!text.contains(char::is_control), "a problem breaks its line: {text:?}");
        assert!(text.len() <= LONGEST, "a problem of {} bytes", text.len());
    }
    let count = lists.map(<[Problem]>::len).iter().sum::<usize>();
    assert!(count <= size + 8, "{count} problems of {size} bytes");
    assert!(!problems.one_line().contains(char::is_control), "the log line breaks");
}

/// JSON that is read part by part is what it is as a whole.
fn check_parts(node: &Node, compiled: &Compiled, problems: &Problems) {
    let mut same_problems = Problems::default();
    let config = Config::from_node(node, &mut same_problems);
    let whole = Plan::compile(&config, &mut same_problems);
    assert_eq!(*problems, same_problems, "as a whole it has other problems");
    assert_eq!(format!("{compiled:?}"), format!("{whole:?}"), "as a whole it is another plan");
}

/// The same tree, written in other ways, is the same plan.
fn check_forms(node: &Node, compiled: &Compiled, problems: &Problems) {
    if let Compiled::Ready(plan) = compiled {
        let turned = json(node);
        let (other, problems) = Plan::from_bytes(turned.as_bytes());
        let other = other.ready().unwrap_or_else(|| panic!("turned around it is refused: {problems}\n{turned}"));
        assert_eq!(plan.fingerprint(), other.fingerprint(), "turned around it is another plan:\n{turned}");
    }
    let mut message = Vec::new();
    if let Node::Map(entries) = node
        && !entries.is_empty()
        && write_struct(entries, &mut message).is_some()
    {
        let (other, same_problems) = Plan::from_bytes(&message);
        assert_eq!(*problems, same_problems, "as a protobuf it has other problems");
        let (Compiled::Ready(plan) | Compiled::Broken(plan), Compiled::Ready(other) | Compiled::Broken(other)) =
            (compiled, &other);
        assert_eq!(plan.fingerprint(), other.fingerprint(), "as a protobuf it is another plan");
    }
}

/// One request through the plan: whatever was compiled can be used.
fn pass(plan: &Plan) {
    let headers: [(&str, &[u8]); 8] = [
        (":method", b"GET"),
        (":authority", b"shop.example:80"),
        (":path", b"/api/x?uid=1&q=%41"),
        ("cookie", b"uid=1; visitor=\"x\""),
        ("x-user-id", b"ana"),
        ("x-flag-a", b"forged"),
        ("x_flags", b"forged"),
        ("x-request-id", b"1"),
    ];
    let properties = plan.inputs().properties().map(|_| Some(b"10.0.0.1".to_vec()));
    let request =
        Request::new(plan.inputs(), headers.map(|(name, value)| (name.as_bytes(), value)).into_iter(), properties);
    let decisions = decide(plan, &request, &Standing::NONE, Timestamp::from_millis(1_700_000_000_000));
    let _ = on_request(plan, &request, &decisions);
}

/// JSON with each map turned around.
fn json(node: &Node) -> String {
    match node {
        Node::Null => "null".into(),
        Node::Bool(value) => value.to_string(),
        // What is no decimal number was kept as its bits; as text it reads the same.
        Node::Number(text) if text.starts_with("0x") => format!("\"{text}\""),
        Node::Number(text) => text.to_string(),
        Node::Text(text) => serde_json::to_string(&**text).unwrap(),
        Node::List(items) => format!("[{}]", items.iter().map(json).collect::<Vec<_>>().join(",")),
        Node::Map(entries) => {
            let entry = |(key, value): &(Box<str>, Node)| {
                format!("{}: {}", serde_json::to_string(&**key).unwrap(), json(value))
            };
            format!("{{{}}}", entries.iter().rev().map(entry).collect::<Vec<_>>().join(", "))
        }
    }
}

/// `google.protobuf.Struct`; `None` where a number is none that a double can hold.
fn write_struct(entries: &[(Box<str>, Node)], to: &mut Vec<u8>) -> Option<()> {
    for (key, node) in entries {
        let (mut entry, mut value) = (Vec::new(), Vec::new());
        write_value(node, &mut value)?;
        write_field(1, key.as_bytes(), &mut entry);
        write_field(2, &value, &mut entry);
        write_field(1, &entry, to);
    }
    Some(())
}

fn write_value(node: &Node, to: &mut Vec<u8>) -> Option<()> {
    let mut inside = Vec::new();
    match node {
        Node::Null => to.extend([0x08, 0]),
        Node::Bool(value) => to.extend([0x20, u8::from(*value)]),
        Node::Number(text) => {
            let number = match text.strip_prefix("0x") {
                Some(bits) => f64::from_bits(u64::from_str_radix(bits, 16).ok()?),
                None => text.parse().ok()?,
            };
            if Node::number(number) != *node {
                return None;
            }
            to.push(0x11);
            to.extend(number.to_le_bytes());
        }
        Node::Text(text) => write_field(3, text.as_bytes(), to),
        Node::Map(entries) => {
            write_struct(entries, &mut inside)?;
            write_field(5, &inside, to);
        }
        Node::List(items) => {
            for item in items {
                let mut value = Vec::new();
                write_value(item, &mut value)?;
                write_field(1, &value, &mut inside);
            }
            write_field(6, &inside, to);
        }
    }
    Some(())
}

fn write_field(number: u8, bytes: &[u8], to: &mut Vec<u8>) {
    to.push(number << 3 | 2);
    let mut length = bytes.len();
    while length >= 0x80 {
        to.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    to.push(length as u8);
    to.extend(bytes);
}
