//! A request as lines of text, so that a seed can be read: `name: value`, pseudo-headers too.
//!
//! What only Envoy knows stands under names of our own: `@claim.sub`, `@peer`, `@address`, `@proxy`, and `@now` in
//! milliseconds. A line without a colon is left out. Values are any bytes but a line break.

use tidegate_engine::output::effect::Effect;
use tidegate_engine::plan::{Plan, Property};
use tidegate_engine::request::{Request, host_address};
use tidegate_engine::value::time::Timestamp;

use super::encoding;

#[derive(Clone, Debug, Default)]
pub struct Message<'b> {
    pub headers: Vec<(&'b str, &'b [u8])>,
    pub properties: Vec<(&'b str, &'b [u8])>,
}

impl<'b> Message<'b> {
    pub fn read(bytes: &'b [u8]) -> Self {
        let mut message = Self::default();
        for line in bytes.split(|byte| *byte == b'\n') {
            // The colon in front belongs to a pseudo-header.
            let Some(colon) = line.iter().skip(1).position(|byte| *byte == b':') else { continue };
            let (name, value) = line.split_at(colon + 1);
            let value = value.strip_prefix(b":").unwrap_or_default();
            let value = value.strip_prefix(b" ").unwrap_or(value);
            let Ok(name) = std::str::from_utf8(name) else { continue };
            match name.strip_prefix('@') {
                Some(name) => message.properties.push((name, value)),
                None => message.headers.push((name, value)),
            }
        }
        message
    }

    /// All values of a header, its name in any case.
    pub fn all(&self, name: &str) -> Vec<&'b [u8]> {
        self.headers.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| *value).collect()
    }

    /// The value of a header that comes once.
    pub fn one(&self, name: &str) -> Option<&'b [u8]> {
        match self.all(name).as_slice() {
            [one] => Some(one.trim_ascii()),
            _ => None,
        }
    }

    /// The first value of a property, as the host has it.
    pub fn property(&self, name: &str) -> Option<&'b [u8]> {
        self.properties.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }

    pub fn now(&self) -> i64 {
        let text = self.property("now").and_then(|value| std::str::from_utf8(value).ok());
        text.and_then(|text| text.parse::<u32>().ok()).map_or(1_700_000_000_000, |number| i64::from(number) * 1_000)
    }

    pub fn timestamp(&self) -> Timestamp {
        Timestamp::from_millis(self.now())
    }

    /// Its headers in order.
    pub fn pairs(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.headers.iter().map(|(name, value)| (name.as_bytes(), *value))
    }

    /// What the engine sees of it.
    pub fn request<'r>(&'r self, plan: &'r Plan) -> Request<'r> {
        let properties = plan.inputs().properties().map(|property| {
            match property {
                // A name with a dot inside cannot be written here.
                Property::Claim(path) if path.0.iter().any(|name| name.contains('.')) => None,
                Property::Claim(path) => {
                    let value = self.property(&format!("claim.{}", path.0.join(".")));
                    value.map(|value| encoding::claim(value.to_vec()))
                }
                Property::Peer => self.property("peer").map(<[u8]>::to_vec),
                Property::Address => self.property("address").map(host_address),
                Property::Proxy => self.property("proxy").map(<[u8]>::to_vec),
            }
        });
        Request::new(plan.inputs(), self.pairs(), properties)
    }
}

/// The headers that the upstream gets, as Envoy applies the effects.
pub fn upstream<'h>(
    headers: impl Iterator<Item = (&'h str, &'h [u8])>,
    effects: &[Effect<'_>],
) -> Vec<(String, Vec<u8>)> {
    let mut headers: Vec<(String, Vec<u8>)> =
        headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_vec())).collect();
    for effect in effects {
        if let Effect::Remove(gone) = effect {
            headers.retain(|(name, _)| !name.as_bytes().eq_ignore_ascii_case(gone));
        }
        if let Some((name, value)) = effect.written() {
            headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
            headers.push((name.to_owned(), value.to_vec()));
        }
    }
    headers
}
