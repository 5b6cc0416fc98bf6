//! The native door over a model of Envoy: what an upstream and a client get from it, and what it tells Envoy to count.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value};
use tidegate_engine::plan::{Plan, Property};
use tidegate_engine::request::{Request, claim, host_address, payload_from_json};
use tidegate_hostcalls::native::model::{Fields, Pushed, World, world};
use tidegate_hostcalls::native::{Attribute, Headers};

use super::message::Message;
use super::module::door::Door;
use super::module::{local, memory, metrics, timer};

/// A proxy of its own with one config.
pub struct Native {
    pushed: Pushed<Door>,
    /// By metric and labels, since the beginning: what was added to counters.
    counted: BTreeMap<(String, Vec<String>), u64>,
}

/// What became of a request.
pub struct Seen {
    /// Whether it went on to its upstream.
    pub goes_on: bool,
    pub upstream: Fields,
    pub response: Fields,
    pub routes_cleared: bool,
}

impl Native {
    /// A new process that has taken this config; its first is taken whatever it is.
    pub fn new(config: &[u8]) -> Self {
        // A filter that is gone leaves its plan to the next tick of another one.
        if let Some(other) = Pushed::<Door>::new(b"other", br#"{"version": 1}"#) {
            timer::next();
            other.scheduled();
        }
        local::forget();
        memory::forget();
        metrics::forget();
        world(|world| *world = World::default());
        let pushed = Pushed::new(b"tidegate", config).expect("a first config is taken");
        Self { pushed, counted: BTreeMap::new() }
    }

    /// The value of a gauge without labels.
    pub fn gauge(name: &str) -> Option<u64> {
        world(|world| {
            let id = world.metrics.iter().position(|(known, _)| known == name)?;
            world.told.iter().rev().find(|(known, ..)| *known == id).map(|(.., value)| *value)
        })
    }

    /// Takes a request with these headers through, whose answer has this status.
    pub fn request(&mut self, message: &Message<'_>, headers: Fields, status: u16) -> Seen {
        let status = status.to_string().into_bytes();
        world(|world| {
            world.now = Duration::from_millis(message.now().unsigned_abs());
            world.headers = [headers, Fields::new(), vec![(b":status".to_vec(), status)], Fields::new()];
            world.state.clear();
            world.texts.clear();
            world.replies.clear();
            world.routes_cleared = 0;
            let text = |name| message.property(name).map(<[u8]>::to_vec);
            world.texts.extend(text("peer").map(|text| (Attribute::PeerUriSan as u32, text)));
            world.texts.extend(text("address").map(|text| (Attribute::SourceAddress as u32, text)));
            world.texts.insert(Attribute::ResponseCodeDetails as u32, b"via_upstream".to_vec());
            world.state.extend(text("proxy").map(|text| (b"tidegate.node".to_vec(), text)));
            world.state.extend(claims(message).map(|text| (b"tidegate.claims".to_vec(), text)));
        });
        let goes_on = self.pushed.request();
        world(|world| Seen {
            goes_on,
            upstream: std::mem::take(&mut world.headers[Headers::Request as usize]),
            response: std::mem::take(&mut world.headers[Headers::Response as usize]),
            routes_cleared: world.routes_cleared > 0,
        })
    }

    /// What is counted by now, and not 0, by the metric's name and its labels in order.
    pub fn counted(&mut self) -> &BTreeMap<(String, Vec<String>), u64> {
        timer::next();
        self.pushed.scheduled();
        world(|world| {
            for (id, labels, value) in world.told.drain(..) {
                let (name, _) = &world.metrics[id];
                if name.ends_with("total") {
                    let labels = labels.iter().map(|label| String::from_utf8(label.clone()).expect("text")).collect();
                    *self.counted.entry((name.clone(), labels)).or_default() += value;
                }
            }
        });
        self.counted.retain(|_, count| *count > 0);
        &self.counted
    }
}

/// The verified claims as JSON, as a filter in front has them; of two of one name the first.
fn claims(message: &Message<'_>) -> Option<Vec<u8>> {
    let mut all = Map::new();
    for (name, value) in &message.properties {
        if let (Some(path), Ok(value)) = (name.strip_prefix("claim."), std::str::from_utf8(value)) {
            put(&mut all, path, value);
        }
    }
    (!all.is_empty()).then(|| Value::Object(all).to_string().into_bytes())
}

fn put(map: &mut Map<String, Value>, path: &str, value: &str) {
    match path.split_once('.') {
        None => drop(map.entry(path).or_insert_with(|| value.into())),
        Some((first, rest)) => {
            if let Value::Object(inner) = map.entry(first).or_insert_with(|| Value::Object(Map::new())) {
                put(inner, rest, value);
            }
        }
    }
}

/// What the engine sees of a message that came to this door.
pub fn request<'r>(message: &'r Message<'_>, plan: &'r Plan) -> Request<'r> {
    let claims = claims(message).and_then(|claims| payload_from_json(&claims));
    let text = |name| message.property(name).map(<[u8]>::to_vec);
    let properties = plan.inputs().properties().map(|property| match property {
        Property::Claim(path) => claim(claims.as_ref()?, path),
        Property::Peer => text("peer"),
        Property::Address => message.property("address").map(host_address),
        Property::Proxy => text("proxy"),
    });
    Request::new(plan.inputs(), message.pairs(), properties)
}
