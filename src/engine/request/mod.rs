//! Turns what the host gave into a [`Request`]: the borrowed view that `decide` looks at.
//!
//! Values are bytes, never text: a byte above 0x7f is an ordinary value. If a value comes more than once or is very
//! long, only that fact is kept: to pick one would let the client choose, and to read it all would let the client
//! decide how much CPU time it costs. Never asks the host for anything: what a plan needs is listed in its [`Inputs`].

mod cookie;
mod device;
pub mod headers;
mod query;
mod token;

pub use token::{claim, payload_from_json, token_payload};

use std::borrow::Cow;

use percent_encoding::percent_decode;

use crate::output::chain::{Chain, Writer};
use crate::plan::{HeaderRole, Inputs, Slot};
use crate::value::path;
use crate::value::search::LOOKED_AT;

/// How many cookies are looked at, and how many query parameters.
const PAIRS: usize = 512;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Value<'r> {
    #[default]
    Absent,
    One(Cow<'r, [u8]>),
    /// It comes more than once, or is too long: no single value can be used.
    Many,
}

impl<'r> Value<'r> {
    /// The value, if there is exactly one.
    #[inline]
    #[must_use]
    pub fn one(&self) -> Option<&[u8]> {
        match self {
            Self::One(bytes) => Some(bytes),
            Self::Absent | Self::Many => None,
        }
    }

    #[inline]
    fn add(&mut self, value: Cow<'r, [u8]>) {
        *self = match self {
            Self::Absent if value.len() <= LOOKED_AT => Self::One(value),
            Self::Absent | Self::One(_) | Self::Many => Self::Many,
        };
    }
}

/// What a plan can know of one request.
#[derive(Clone, Debug)]
pub struct Request<'r> {
    method: &'r [u8],
    host: Cow<'r, [u8]>,
    path: Cow<'r, [u8]>,
    values: Box<[Value<'r>]>,
    /// Headers with names that belong to the filter, until it is known who wrote them.
    owned: Vec<(&'r [u8], &'r [u8])>,
    kept: Vec<(&'r [u8], &'r [u8])>,
    removed: Vec<&'r [u8]>,
    forged: usize,
    baggage: Vec<&'r [u8]>,
    authorization: Token<'r>,
    /// How many cookies have been looked at.
    cookies: usize,
}

/// The `authorization` header. Apart from the other values, because a token may be longer.
#[derive(Clone, Copy, Debug)]
enum Token<'r> {
    None,
    One(&'r [u8]),
    Many,
}

impl<'r> Request<'r> {
    /// Sorts a request's headers, in order and with Envoy's pseudo-headers, and the properties that `inputs`
    /// asked for, in its order.
    pub fn new<'h: 'r>(
        inputs: &'r Inputs,
        headers: impl Iterator<Item = (&'h [u8], &'h [u8])>,
        properties: impl Iterator<Item = Option<Vec<u8>>>,
    ) -> Self {
        let mut request = Self {
            method: b"",
            host: Cow::Borrowed(b""),
            path: Cow::Borrowed(b""),
            values: vec![Value::Absent; inputs.slots()].into(),
            owned: Vec::new(),
            kept: Vec::new(),
            removed: Vec::new(),
            forged: 0,
            baggage: Vec::new(),
            authorization: Token::None,
            cookies: 0,
        };
        let mut query: &[u8] = b"";
        for (name, value) in headers {
            match name {
                b":method" => request.method = value,
                b":path" => {
                    let (path, behind) = query::split(value, b'?');
                    (request.path, query) = (path::normal(path), behind);
                }
                b":authority" => request.host = bare_host(value),
                _ => inputs.header(name, |role| match role {
                    HeaderRole::Owned => {
                        request.owned.push((name, value));
                        request.removed.push(name);
                    }
                    HeaderRole::Cookies => request.cookies(inputs, value),
                    HeaderRole::Baggage => request.baggage.push(value),
                    // Blanks around a value are not part of it. HTTP/1.1 codecs remove them, HTTP/2 codecs do not.
                    HeaderRole::Slot(slot) => {
                        let value = value.trim_ascii();
                        if inputs.authorization == Some(slot) {
                            let first = matches!(request.authorization, Token::None);
                            request.authorization = if first { Token::One(value) } else { Token::Many };
                        }
                        request.add(slot, Cow::Borrowed(value));
                    }
                }),
            }
        }
        if !inputs.queries.is_empty() {
            request.query(inputs, query);
        }
        for ((_, slot), value) in inputs.properties.iter().zip(properties) {
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                request.add(*slot, Cow::Owned(value));
            }
        }
        if !inputs.token_claims.is_empty() {
            request.token(inputs);
        }
        if let Some(slot) = inputs.device
            && let Some(device) = request.device(inputs)
        {
            request.add(slot, Cow::Borrowed(device));
        }
        request.forged = request.owned.len();
        request
    }

    /// Whether it has headers that have to go before others are written.
    #[inline]
    #[must_use]
    pub fn has_twins(&self) -> bool {
        !self.removed.is_empty() || !self.kept.is_empty()
    }

    /// Whether it has headers with names that belong to the filter.
    #[inline]
    #[must_use]
    pub fn has_owned(&self) -> bool {
        !self.owned.is_empty()
    }

    /// Keeps the headers that an earlier instance wrote. Without this call, all of them count as forged.
    #[inline(never)]
    pub fn judge(&mut self, chain: &Chain<'_>) {
        self.forged = 0;
        self.removed.clear();
        for (name, value) in core::mem::take(&mut self.owned) {
            match chain.writer(name) {
                Writer::Earlier => self.kept.push((name, value)),
                Writer::Redirected => self.removed.push(name),
                Writer::Client => {
                    self.removed.push(name);
                    self.forged = self.forged.saturating_add(1);
                }
            }
        }
    }

    #[inline]
    #[must_use]
    pub fn method(&self) -> &[u8] {
        self.method
    }

    /// The host, lower-cased, without port and without a dot at its end.
    #[inline]
    #[must_use]
    pub fn host(&self) -> &[u8] {
        &self.host
    }

    /// The path in its normal form, without the query.
    #[inline]
    #[must_use]
    pub fn path(&self) -> &[u8] {
        &self.path
    }

    /// The names, as they were sent, of headers that belong to the filter and must be removed.
    #[inline]
    #[must_use]
    pub fn removed(&self) -> &[&'r [u8]] {
        &self.removed
    }

    /// How many owned headers a client has forged.
    #[inline]
    #[must_use]
    pub fn forged(&self) -> usize {
        self.forged
    }

    /// The names of owned headers that an earlier instance wrote.
    #[inline]
    pub fn kept(&self) -> impl Iterator<Item = &'r [u8]> {
        self.kept.iter().map(|(name, _)| *name)
    }

    /// The value of an owned header that an earlier instance wrote.
    #[must_use]
    pub fn earlier(&self, name: &str) -> Option<&'r [u8]> {
        self.kept.iter().find(|(known, _)| *known == name.as_bytes()).map(|(_, value)| *value)
    }

    /// The values of all `baggage` headers, if the plan adds to them.
    #[inline]
    #[must_use]
    pub fn baggage(&self) -> &[&'r [u8]] {
        &self.baggage
    }

    #[inline]
    #[must_use]
    pub fn value(&self, slot: Slot) -> &Value<'r> {
        self.values.get(slot.index()).unwrap_or(&Value::Absent)
    }

    #[inline]
    fn add(&mut self, slot: Slot, value: Cow<'r, [u8]>) {
        if let Some(known) = self.values.get_mut(slot.index()) {
            known.add(value);
        }
    }

    /// Reads one `cookie` header; there may be several.
    #[inline(never)]
    fn cookies(&mut self, inputs: &Inputs, header: &'r [u8]) {
        for pair in header.split(|byte| *byte == b';') {
            if self.cookies >= PAIRS {
                return;
            }
            self.cookies = self.cookies.saturating_add(1);
            if let Some((name, value)) = cookie::parse(pair)
                && let Some(slot) = inputs.cookie(name)
            {
                self.add(slot, decoded(value));
            }
        }
    }

    #[inline(never)]
    fn query(&mut self, inputs: &Inputs, query: &'r [u8]) {
        for (name, value) in query::pairs(query).take(PAIRS) {
            let name: Cow<'_, [u8]> = percent_decode(name).into();
            if let Some(slot) = inputs.query(&name) {
                self.add(slot, decoded(value));
            }
        }
    }

    /// Reads the claims of a bearer token's payload, verifying nothing.
    #[inline(never)]
    fn token(&mut self, inputs: &Inputs) {
        let Token::One(header) = self.authorization else { return };
        let Some(payload) = token_payload(header) else { return };
        for (path, slot) in &inputs.token_claims {
            if let Some(claim) = claim(&payload, path) {
                self.add(*slot, Cow::Owned(claim));
            }
        }
    }

    #[inline(never)]
    fn device(&self, inputs: &Inputs) -> Option<&'static [u8]> {
        let one = |slot: Option<Slot>| slot.and_then(|slot| self.value(slot).one());
        device::class(one(inputs.user_agent), || one(inputs.mobile_hint))
    }
}

/// A value without its escapes; one that is too long to be looked at stays as it is.
fn decoded(value: &[u8]) -> Cow<'_, [u8]> {
    if value.len() > LOOKED_AT.saturating_mul(3) { Cow::Borrowed(value) } else { percent_decode(value).into() }
}

/// The host in lower case, without its port and the dots at its end: `Shop.example.:8443` and `[::1]:80` too.
#[inline]
fn bare_host(authority: &[u8]) -> Cow<'_, [u8]> {
    let plain = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.');
    if authority.iter().all(plain) && !authority.ends_with(b".") {
        return Cow::Borrowed(authority);
    }
    let colon = authority.iter().rposition(|byte| *byte == b':');
    let port = colon.and_then(|at| Some((authority.get(..at)?, authority.get(at.checked_add(1)?..)?)));
    let mut host = match port {
        // The colons inside of `[::1]` begin no port.
        Some((host, port))
            if port.iter().all(u8::is_ascii_digit) && (!host.contains(&b':') || host.ends_with(b"]")) =>
        {
            host
        }
        _ => authority,
    };
    while let Some(bare) = host.strip_suffix(b".") {
        host = bare;
    }
    if host.iter().any(u8::is_ascii_uppercase) { Cow::Owned(host.to_ascii_lowercase()) } else { Cow::Borrowed(host) }
}

/// A socket address without its port: `10.0.0.1:4711` and `[::1]:4711`.
#[must_use]
pub fn host_address(bytes: &[u8]) -> Vec<u8> {
    let bare = bare_host(bytes);
    let bare: &[u8] = &bare;
    bare.strip_prefix(b"[").and_then(|bare| bare.strip_suffix(b"]")).unwrap_or(bare).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_lose_their_port_and_case() {
        for (authority, host) in [
            ("shop.example", "shop.example"),
            ("Shop.Example:8443", "shop.example"),
            ("[::1]:80", "[::1]"),
            ("[::1]", "[::1]"),
            ("::1", "::1"),
            ("shop.example:", "shop.example"),
            ("shop:x", "shop:x"),
            ("Shop.example.", "shop.example"),
            ("shop.example.:443", "shop.example"),
            ("shop.example..", "shop.example"),
            ("", ""),
        ] {
            assert_eq!(bare_host(authority.as_bytes()), host.as_bytes(), "{authority}");
        }
        assert_eq!(host_address(b"[2001:db8::1]:443"), b"2001:db8::1");
        assert_eq!(host_address(b"10.0.0.1:4711"), b"10.0.0.1");
    }
}
