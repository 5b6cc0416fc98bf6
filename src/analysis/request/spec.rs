//! A request as a proxy would see it, with what only the proxy knows about it.
//!
//! Bytes all the way, as in the proxy. Never decides anything.

use std::fmt;

use serde_json::{Map, Value};

use tidegate_engine::config::Node;
use tidegate_engine::plan::{Inputs, Property};
use tidegate_engine::request::{Request, host_address};

/// The headers of which Envoy keeps one, with all values that a client sends joined by commas (seen in Envoy 1.40): a
/// filter never meets two of them.
const JOINED: [&str; 24] = [
    "accept",
    "accept-encoding",
    "access-control-request-headers",
    "access-control-request-method",
    "authorization",
    "cache-control",
    "content-encoding",
    "content-type",
    "expect",
    "grpc-accept-encoding",
    "grpc-timeout",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "origin",
    "pragma",
    "referer",
    "user-agent",
    "via",
    "x-client-trace-id",
    "x-forwarded-host",
    "x-forwarded-port",
];

/// A request, and what only a proxy knows about it.
#[derive(Clone, Debug, Default)]
pub struct RequestSpec {
    /// In order, with the pseudo-headers first.
    pub headers: Vec<(String, Vec<u8>)>,
    pub claims: Map<String, Value>,
    pub peer: Option<Vec<u8>>,
    pub address: Option<Vec<u8>>,
    pub proxy: Option<Vec<u8>>,
}

/// Which parts of a request somebody asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Given {
    pub method: bool,
    pub host: bool,
    pub path: bool,
}

impl RequestSpec {
    /// A request with nothing but its first line and host.
    pub fn new(method: &str, host: &str, path: &str) -> Self {
        Self::of(method.as_bytes(), host.as_bytes(), path.as_bytes())
    }

    pub fn of(method: &[u8], host: &[u8], path: &[u8]) -> Self {
        let pseudo = [(":method", method), (":scheme", b"http"), (":authority", host), (":path", path)];
        let headers = pseudo.into_iter().map(|(name, value)| (name.to_owned(), value.to_vec())).collect();
        Self { headers, ..Self::default() }
    }

    /// Makes this the only value of a header.
    pub fn replace(&mut self, name: &str, value: Vec<u8>) {
        match self.headers.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => *known = value,
            None => self.headers.push((name.to_owned(), value)),
        }
    }

    /// Makes one header of those that Envoy makes one of.
    pub fn join(&mut self) {
        let mut joined: Vec<(String, Vec<u8>)> = Vec::with_capacity(self.headers.len());
        for (name, value) in self.headers.drain(..) {
            let known = joined.iter_mut().find(|(known, _)| JOINED.contains(&&*name) && *known == name);
            match known {
                Some((_, known)) if known.is_empty() || value.is_empty() => known.extend(value),
                Some((_, known)) => known.extend([b",", value.as_slice()].concat()),
                None => joined.push((name, value)),
            }
        }
        self.headers = joined;
    }

    /// The value of the first header of this name.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_slice())
    }

    /// Its first line and host, in one: `GET shop.example/api`.
    pub fn place(&self) -> String {
        let part = |name: &str| String::from_utf8_lossy(self.header(name).unwrap_or_default()).into_owned();
        format!("{} {}{}", part(":method"), part(":authority"), part(":path"))
    }

    /// Its headers in order.
    pub fn pairs(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.headers.iter().map(|(name, value)| (name.as_bytes(), value.as_slice()))
    }

    /// What a plan sees of it.
    pub fn seen<'r>(&'r self, inputs: &'r Inputs) -> Request<'r> {
        Request::new(inputs, self.pairs(), inputs.properties().map(|property| self.property(property)))
    }

    fn property(&self, property: &Property) -> Option<Vec<u8>> {
        match property {
            Property::Claim(path) => {
                let mut names = path.0.iter();
                let first = self.claims.get(&**names.next()?)?;
                let claim = names.try_fold(first, |claims, name| claims.get(&**name))?;
                match claim {
                    Value::String(text) => Some(text.as_bytes().to_vec()),
                    Value::Number(number) => match Node::number(number.as_f64()?) {
                        Node::Number(text) => Some(text.as_bytes().to_vec()),
                        _ => None,
                    },
                    Value::Bool(value) => Some(value.to_string().into_bytes()),
                    Value::Null | Value::Array(_) | Value::Object(_) => None,
                }
            }
            Property::Peer => self.peer.clone(),
            Property::Address => self.address.as_deref().map(host_address),
            Property::Proxy => self.proxy.clone(),
        }
    }
}

/// `GET shop.example/api`, with what is not readable escaped.
impl fmt::Display for RequestSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = |name: &str| self.header(name).unwrap_or_default().escape_ascii();
        write!(f, "{} {}{}", part(":method"), part(":authority"), part(":path"))
    }
}
