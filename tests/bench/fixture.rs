//! What the engine is measured with: flags, and a request of a browser.

use serde_json::{Value, json};
use tidegate_engine::plan::Plan;
use tidegate_engine::request::Request;

pub const HEADERS: [(&[u8], &[u8]); 12] = [
    (b":authority", b"shop.example"),
    (b":path", b"/api/cart?item=7"),
    (b":method", b"GET"),
    (b":scheme", b"https"),
    (b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
    (b"accept", b"*/*"),
    (b"accept-language", b"en-US,en;q=0.5"),
    (b"cookie", b"session=0123456789abcdef; theme=dark"),
    (b"x-request-id", b"0f8fad5b-d9cb-469f-a165-70867728950e"),
    (b"x-forwarded-for", b"203.0.113.9"),
    (b"x-country", b"DE"),
    (b"x-user-id", b"user-4711"),
];

pub fn plan(flags: &Value) -> Plan {
    let config = json!({"version": 1, "identity": [{"header": "x-user-id"}], "flags": flags}).to_string();
    let (compiled, problems) = Plan::from_bytes(config.as_bytes());
    compiled.ready().unwrap_or_else(|| panic!("{problems}"))
}

/// A flag with one condition and a 50 % rollout, for requests that match this.
pub fn flag(matches: Value) -> Value {
    let mut flag = json!({"rules": [{"when": {"header": "x-country", "equals": "DE"}, "percent": 50, "serve": "on"}]});
    if !matches.is_null() {
        flag["match"] = matches;
    }
    flag
}

pub fn flags(count: usize, matches: impl Fn(usize) -> Value) -> Plan {
    let flags: serde_json::Map<String, Value> = (0..count).map(|n| (format!("flag-{n}"), flag(matches(n)))).collect();
    plan(&Value::Object(flags))
}

pub fn request(plan: &Plan) -> Request<'_> {
    Request::new(plan.inputs(), HEADERS.into_iter(), std::iter::empty())
}
