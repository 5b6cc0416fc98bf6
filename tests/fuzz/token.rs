//! Any bytes as `authorization`, and any bytes as the payload of a token: no panic, and no claim that the payload
//! does not have.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use std::sync::LazyLock;
use tidegate_engine::config::{ClaimPath, Node};
use tidegate_engine::decide::decide;
use tidegate_engine::decide::standing::Standing;
use tidegate_engine::plan::Plan;
use tidegate_engine::request::{Request, claim, token_payload};
use tidegate_engine::value::time::Timestamp;

/// The longest token that is looked at.
const LONGEST: usize = 16 * 1024;

const PATHS: [&[&str]; 4] = [&["sub"], &["tier"], &["realm", "user"], &["a", "b", "c"]];

/// One flag for each path: on where the claim is there.
static PLAN: LazyLock<Plan> = LazyLock::new(|| {
    let flag = |path: &[&str]| {
        let when = serde_json::json!({"unverifiedClaim": path, "exists": true});
        serde_json::json!({"rules": [{"when": when, "serve": "on"}]})
    };
    let flags: serde_json::Map<String, Value> = PATHS.iter().map(|path| (path.join("."), flag(path))).collect();
    let config = serde_json::json!({"version": 1, "flags": flags}).to_string();
    Plan::from_bytes(config.as_bytes()).0.ready().expect("a good config")
});

pub fn check(bytes: &[u8]) {
    raw(bytes);
    payload(bytes);
}

/// The bytes are the header.
fn raw(header: &[u8]) {
    let payload = token_payload(header);
    if payload.is_some() {
        let (scheme, token) = header.split_at(7);
        assert_eq!(scheme.to_ascii_lowercase(), b"bearer ");
        assert_eq!(token.split(|byte| *byte == b'.').count(), 3, "a token has three parts");
    }
    // A request's values have no blanks around them: the engine sees to that before it looks for a token.
    agree(header, token_payload(header.trim_ascii()).as_ref());
}

/// The bytes are the payload.
fn payload(json: &[u8]) {
    let header = format!("bEARER e30.{}.sig", URL_SAFE_NO_PAD.encode(json)).into_bytes();
    let payload = token_payload(&header);
    let read = serde_json::from_slice::<Node>(json).ok().filter(|_| header.len() - 7 <= LONGEST);
    assert_eq!(payload, read, "the payload is not what was put in");
    agree(&header, payload.as_ref());
    let (Some(payload), Ok(value)) = (payload, serde_json::from_slice::<Value>(json)) else { return };
    for path in PATHS {
        let found = claim(&payload, &claim_path(path));
        assert_eq!(found, expected(&payload, &value, path), "{path:?}");
    }
}

/// The engine sees a claim where the functions beneath it do.
fn agree(header: &[u8], payload: Option<&Node>) {
    let headers = [(&b":path"[..], &b"/"[..]), (b"Authorization", header)];
    let request = Request::new(PLAN.inputs(), headers.into_iter(), std::iter::empty());
    let decisions = decide(&PLAN, &request, &Standing::NONE, Timestamp::from_millis(0));
    assert_eq!(decisions.list().len(), PATHS.len());
    for path in PATHS {
        let found = payload.and_then(|payload| claim(payload, &claim_path(path)));
        let on = decisions.find(&path.join(".")).expect("a flag").variant().name().as_str() == "on";
        assert_eq!(on, found.is_some(), "{path:?}");
    }
}

fn claim_path(path: &[&str]) -> ClaimPath {
    ClaimPath(path.iter().map(|name| Box::from(*name)).collect())
}

/// What a reader who keeps the last of two equal keys finds, if no key on the way came twice.
fn expected(payload: &Node, value: &Value, path: &[&str]) -> Option<Vec<u8>> {
    let (mut node, mut value) = (payload, value);
    for name in path {
        let Node::Map(entries) = node else { return None };
        if entries.iter().filter(|(key, _)| **key == **name).count() > 1 {
            return None;
        }
        value = value.get(name)?;
        node = &entries.iter().find(|(key, _)| **key == **name).expect("the other reader found it").1;
    }
    match value {
        Value::String(text) => Some(text.clone().into_bytes()),
        Value::Bool(true) => Some(b"true".to_vec()),
        Value::Bool(false) => Some(b"false".to_vec()),
        Value::Number(number) => {
            let Node::Number(text) = number
                .as_f64()
                .filter(|_| number.is_f64())
                .map_or_else(|| Node::Number(number.to_string().into()), Node::number)
            else {
                panic!("a number is a number")
            };
            Some(text.as_bytes().to_vec())
        }
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}
