//! Turns a `google.protobuf.Struct` in its wire form into a [`Node`].
//!
//! Envoy hands a `Struct` to a wasm filter as raw protobuf, not as the JSON that its documentation promises. A
//! config that was written so is read all the same. Never reads any other message: what does not parse as a
//! `Struct` to the last byte is `None`.

use super::node::{DEPTH, Node};

pub(super) fn read(bytes: &[u8]) -> Option<Node> {
    read_struct(bytes, 0)
}

/// `message Struct { map<string, Value> fields = 1; }`
fn read_struct(bytes: &[u8], depth: usize) -> Option<Node> {
    let depth = inside(depth)?;
    let mut entries = Vec::new();
    let mut message = Message(bytes);
    while let Some(field) = message.next()? {
        let (1, Wire::Bytes(entry)) = field else { return None };
        let (mut key, mut value) = ("", Node::Null);
        let mut entry = Message(entry);
        while let Some(field) = entry.next()? {
            match field {
                (1, Wire::Bytes(text)) => key = core::str::from_utf8(text).ok()?,
                (2, Wire::Bytes(bytes)) => value = read_value(bytes, depth)?,
                _ => return None,
            }
        }
        entries.push((key.into(), value));
    }
    Some(Node::Map(entries))
}

/// `message Value { oneof kind { NullValue 1; double 2; string 3; bool 4; Struct 5; ListValue 6; } }`
fn read_value(bytes: &[u8], depth: usize) -> Option<Node> {
    let mut value = Node::Null;
    let mut message = Message(bytes);
    while let Some(field) = message.next()? {
        value = match field {
            (1, Wire::Varint(_)) => Node::Null,
            (2, Wire::Fixed64(bits)) => {
                let number = f64::from_bits(bits);
                number.is_finite().then(|| Node::number(number))?
            }
            (3, Wire::Bytes(text)) => Node::Text(core::str::from_utf8(text).ok()?.into()),
            (4, Wire::Varint(bit)) => Node::Bool(bit != 0),
            (5, Wire::Bytes(map)) => read_struct(map, depth)?,
            (6, Wire::Bytes(list)) => read_list(list, depth)?,
            _ => return None,
        };
    }
    Some(value)
}

/// `message ListValue { repeated Value values = 1; }`
fn read_list(bytes: &[u8], depth: usize) -> Option<Node> {
    let depth = inside(depth)?;
    let mut items = Vec::new();
    let mut message = Message(bytes);
    while let Some(field) = message.next()? {
        let (1, Wire::Bytes(item)) = field else { return None };
        items.push(read_value(item, depth)?);
    }
    Some(Node::List(items))
}

fn inside(depth: usize) -> Option<usize> {
    depth.checked_add(1).filter(|depth| *depth <= DEPTH)
}

/// The fields of a message that have not been read yet.
struct Message<'b>(&'b [u8]);

enum Wire<'b> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'b [u8]),
}

impl<'b> Message<'b> {
    /// The next field: `None` where the bytes are no message, `Some(None)` at its end.
    #[expect(clippy::option_option, reason = "the two ends are different answers, and `?` serves both")]
    fn next(&mut self) -> Option<Option<(u64, Wire<'b>)>> {
        if self.0.is_empty() {
            return Some(None);
        }
        let tag = self.varint()?;
        let wire = match tag & 7 {
            0 => Wire::Varint(self.varint()?),
            1 => Wire::Fixed64(u64::from_le_bytes(self.take(8)?.try_into().ok()?)),
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                Wire::Bytes(self.take(length)?)
            }
            _ => return None,
        };
        Some(Some((tag >> 3, wire)))
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value: u64 = 0;
        for shift in (0..64).step_by(7) {
            let byte = *self.take(1)?.first()?;
            value |= u64::from(byte & 0x7f).checked_shl(shift)?;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn take(&mut self, length: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `{"version": 1, "on": true, "list": ["a", null, 2.5], "map": {}}` as protobuf writes it.
    const STRUCT: &[u8] = b"\x0a\x14\x0a\x07version\x12\x09\x11\0\0\0\0\0\0\xf0\x3f\
        \x0a\x08\x0a\x02on\x12\x02\x20\x01\
        \x0a\x1e\x0a\x04list\x12\x16\x32\x14\x0a\x03\x1a\x01a\x0a\x02\x08\0\x0a\x09\x11\0\0\0\0\0\0\x04\x40\
        \x0a\x09\x0a\x03map\x12\x02\x2a\0";

    #[test]
    fn a_struct_reads_like_its_json() {
        let json = r#"{"version": 1, "on": true, "list": ["a", null, 2.5], "map": {}}"#;
        assert_eq!(read(STRUCT), serde_json::from_str(json).ok());
    }

    #[test]
    fn what_is_cut_short_is_no_struct() {
        for end in 1..STRUCT.len() {
            let whole_entries = [22, 32, 64].contains(&end);
            assert_eq!(read(&STRUCT[..end]).is_some(), whole_entries, "{end}");
        }
        assert_eq!(read(b"{\"version\": 1}"), None);
        assert_eq!(read(&[0xff; 32]), None);
    }
}
