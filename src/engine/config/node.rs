//! Turns JSON into a tree that has lost nothing: duplicate keys, order and exact numbers are still there.
//!
//! `serde` alone would stop at the first problem and keep the last of two equal keys in silence. This tree is
//! what every format is read into, and what the rest of `config` reads from. Never deeper than [`DEPTH`].

use core::cell::Cell;
use core::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::problem::Found;

/// How deep lists and maps may nest.
pub(super) const DEPTH: usize = 16;

/// One value of a config, as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    Null,
    Bool(bool),
    /// A number, as its shortest decimal text: `50` and `50.0` are one.
    Number(Box<str>),
    Text(Box<str>),
    List(Vec<Node>),
    /// A map in the order of the file, duplicates included.
    Map(Vec<(Box<str>, Node)>),
}

impl Node {
    /// A number from a double, in its shortest decimal form.
    #[must_use]
    pub fn number(value: f64) -> Self {
        Self::Number(shortest(value).into())
    }

    /// What a message says of this value: never the inside of a list or map.
    #[must_use]
    pub fn found(&self) -> Found {
        Found::Other(match self {
            Self::Text(text) => return Found::text(text),
            Self::Null => "null".into(),
            Self::Bool(true) => "true".into(),
            Self::Bool(false) => "false".into(),
            Self::Number(text) if text.starts_with("0x") => "a number of more than 15 digits".into(),
            Self::Number(text) => text.clone().into_string().into(),
            Self::List(items) if items.is_empty() => "an empty list".into(),
            Self::List(items) => format!("a list of {}", items.len()).into(),
            Self::Map(entries) if entries.is_empty() => "an empty map".into(),
            Self::Map(_) => "a map".into(),
        })
    }
}

/// The shortest decimal text of a double of at most 15 digits, which is every double that a person writes.
///
/// The standard library's own would bring 25 KiB of tables and arithmetic into the module. What has more digits
/// than that is no decimal number here, but still one and the same text everywhere: its bits.
#[expect(
    clippy::float_arithmetic,
    clippy::float_cmp,
    reason = "whole numbers below 2^53 divide with one rounding: exact"
)]
#[expect(clippy::cast_possible_truncation, reason = "below 2^53")]
fn shortest(value: f64) -> String {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let mut unit = 1.0;
    for places in 0..=15_usize {
        let whole = (value * unit).round();
        if whole.abs() >= EXACT {
            break;
        }
        if whole / unit == value {
            let (sign, digits) = (if whole < 0.0 { "-" } else { "" }, (whole as i64).unsigned_abs().to_string());
            let padded = format!("{}{digits}", "0".repeat(places.saturating_add(1).saturating_sub(digits.len())));
            let (before, behind) = padded.split_at_checked(padded.len().saturating_sub(places)).unwrap_or_default();
            return if behind.is_empty() { format!("{sign}{before}") } else { format!("{sign}{before}.{behind}") };
        }
        unit *= 10.0;
    }
    format!("0x{:016x}", value.to_bits())
}

/// Why no tree can be read from bytes.
#[derive(Debug)]
pub enum Unread {
    NoJson(serde_json::Error),
    /// Lists and maps nest deeper than may be, from this place on.
    Deep(Place),
}

/// A place in a text, both counted as `serde_json` does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub line: usize,
    pub column: usize,
}

impl Unread {
    #[must_use]
    pub fn place(&self) -> Place {
        match self {
            Self::NoJson(error) => Place { line: error.line(), column: error.column() },
            Self::Deep(place) => *place,
        }
    }
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoJson(error) => error.fmt(f),
            Self::Deep(Place { line, column }) => {
                write!(f, "nested deeper than {DEPTH} at line {line} column {column}")
            }
        }
    }
}

impl Node {
    /// Reads JSON.
    ///
    /// # Errors
    ///
    /// Says why and where it cannot be read.
    pub fn from_json(json: &[u8]) -> Result<Self, Unread> {
        let deep = Cell::new(false);
        let mut from = serde_json::Deserializer::from_slice(json);
        let node = Seed::new(0, &deep).deserialize(&mut from).and_then(|node| from.end().map(|()| node));
        if deep.get() { Err(Unread::Deep(too_deep(json))) } else { node.map_err(Unread::NoJson) }
    }
}

/// Where JSON that is read up to there begins to nest too deep.
#[cold]
fn too_deep(json: &[u8]) -> Place {
    let (mut depth, mut place) = (0_usize, Place { line: 1, column: 0 });
    let (mut text, mut escaped) = (false, false);
    for byte in json {
        place.column = place.column.saturating_add(1);
        match byte {
            _ if escaped => escaped = false,
            b'\\' if text => escaped = true,
            b'"' => text = !text,
            b'[' | b'{' if !text => depth = depth.saturating_add(1),
            b']' | b'}' if !text => depth = depth.saturating_sub(1),
            b'\n' => place = Place { line: place.line.saturating_add(1), column: 0 },
            _ => {}
        }
        if depth > DEPTH {
            break;
        }
    }
    place
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let deep = Cell::new(false);
        let node = Seed::new(0, &deep).deserialize(deserializer);
        if deep.get() { Err(D::Error::custom(format_args!("nested deeper than {DEPTH}"))) } else { node }
    }
}

/// A value in a map of the root; none where it nests too deep.
pub(super) struct Inside(pub(super) Option<Node>);

impl<'de> Deserialize<'de> for Inside {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let deep = Cell::new(false);
        let node = Seed::new(2, &deep).deserialize(deserializer)?;
        Ok(Self((!deep.get()).then_some(node)))
    }
}

/// How deep the value to be read stands, and whether a value nests too deep.
///
/// Told beside the result: an error of our own would bring into the module what `serde_json` has to take such errors
/// apart again, which is 3 KB.
#[derive(Clone, Copy)]
struct Seed<'d> {
    depth: usize,
    deep: &'d Cell<bool>,
}

impl<'d> Seed<'d> {
    fn new(depth: usize, deep: &'d Cell<bool>) -> Self {
        Self { depth, deep }
    }

    /// For what is inside of a list or map; `None` if that may not be.
    fn inside(self) -> Option<Self> {
        let depth = self.depth.saturating_add(1);
        if depth > DEPTH {
            self.deep.set(true);
            return None;
        }
        Some(Self { depth, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Number(value.to_string().into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Number(value.to_string().into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Node, E> {
        Ok(Node::number(value))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Text(value.into()))
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Node, E> {
        Ok(Node::Text(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        // What is left unread ends the reading.
        let Some(inside) = self.inside() else { return Ok(Node::Null) };
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(inside)? {
            list.push(item);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
        let Some(inside) = self.inside() else { return Ok(Node::Null) };
        let mut map = Vec::new();
        while let Some(key) = entries.next_key_seed(Key)? {
            map.push((key, entries.next_value_seed(inside)?));
        }
        Ok(Node::Map(map))
    }
}

struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Box<str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Box<str>, D::Error> {
        match Seed::new(0, &Cell::new(false)).deserialize(deserializer)? {
            Node::Text(text) | Node::Number(text) => Ok(text),
            Node::Bool(value) => Ok(value.to_string().into()),
            Node::Null | Node::List(_) | Node::Map(_) => Err(D::Error::custom("a key must be text")),
        }
    }
}

/// A tree is written down where a config is made, which is never in a proxy.
#[cfg(not(target_arch = "wasm32"))]
mod write {
    use serde::ser::{Serialize, SerializeMap, Serializer};
    use serde_json::Number;

    use super::Node;

    impl Serialize for Node {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            match self {
                Self::Null => serializer.serialize_unit(),
                Self::Bool(value) => serializer.serialize_bool(*value),
                Self::Number(text) => number(text).serialize(serializer),
                Self::Text(text) => serializer.serialize_str(text),
                Self::List(items) => serializer.collect_seq(items),
                Self::Map(entries) => {
                    let mut map = serializer.serialize_map(Some(entries.len()))?;
                    entries.iter().try_for_each(|(key, value)| map.serialize_entry(key, value))?;
                    map.end()
                }
            }
        }
    }

    /// The number of a tree's text, which may be the bits of a double.
    fn number(text: &str) -> Option<Number> {
        if let Some(bits) = text.strip_prefix("0x") {
            return Number::from_f64(f64::from_bits(u64::from_str_radix(bits, 16).ok()?));
        }
        let whole = text.parse::<u64>().map(Number::from).or_else(|_| text.parse::<i64>().map(Number::from));
        whole.ok().or_else(|| Number::from_f64(text.parse().ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(json: &str) -> Result<Node, Unread> {
        Node::from_json(json.as_bytes())
    }

    #[test]
    fn numbers_have_one_text() {
        for (json, text) in [
            ("50", "50"),
            ("50.0", "50"),
            ("5e1", "50"),
            ("12.5", "12.5"),
            ("-0.0", "0"),
            ("0.0001", "0.0001"),
            ("-2.5", "-2.5"),
            ("1e300", "0x7e37e43c8800759c"),
        ] {
            assert_eq!(node(json).unwrap(), Node::Number(text.into()), "{json}");
        }
        assert_eq!(node("18446744073709551615").unwrap(), Node::Number("18446744073709551615".into()));
    }

    #[test]
    fn short_doubles_read_like_the_standard_library_writes_them() {
        for whole in (0..2_000_000).step_by(7) {
            for unit in [1.0, 10.0, 10_000.0, 1e6] {
                let value = f64::from(whole) / unit;
                assert_eq!(shortest(value), value.to_string());
                let negative = if whole == 0 { "0".to_owned() } else { format!("-{value}") };
                assert_eq!(shortest(-value), negative);
            }
        }
        assert_eq!(shortest(9_007_199_254_740_991.0), "9007199254740991");
        assert_eq!(shortest(0.1 + 0.2), "0x3fd3333333333334");
    }

    #[test]
    fn duplicates_and_order_survive() {
        let expected = [("b", "1"), ("a", "2"), ("b", "3")];
        let expected = expected.map(|(key, number)| (key.into(), Node::Number(number.into()))).to_vec();
        assert_eq!(node(r#"{"b": 1, "a": 2, "b": 3}"#).unwrap(), Node::Map(expected));
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(node(&nested(DEPTH)).is_ok());
        // Empty or not, before or behind what is no JSON, and with brackets that are text: the first place is told.
        let told = |json: &str| node(json).unwrap_err().to_string();
        for behind in ["", "[", "1]", "\"x\"", "]]", ",", " ]"] {
            let place = "nested deeper than 16 at line 2 column 23";
            assert_eq!(told(&format!("[\n\"\\\"[[\",{}{behind}", "[".repeat(DEPTH))).as_str(), place, "{behind}");
            assert!(
                told(&format!("[,\n{}{behind}", "[".repeat(DEPTH))).starts_with("expected value at line 1 column 2")
            );
        }
        assert_eq!(told(&format!("{}{{}}", "{\"a\":".repeat(DEPTH))), "nested deeper than 16 at line 1 column 81");
        assert!(serde_json::from_str::<Node>(&nested(DEPTH + 1)).is_err());
        assert!(node(&"[".repeat(100_000)).is_err());
    }
}
