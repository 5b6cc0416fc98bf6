//! Decodes Envoy's properties, and encodes what its calls expect.
//!
//! Pure functions that are also compiled natively, for their tests. Never makes a host call.

use tidegate_engine::config::Node;

/// `DeclarePropertyArguments {name, span: DownstreamRequest}` as protobuf, for a name of at most 127 bytes.
#[must_use]
pub fn declaration(name: &str) -> Vec<u8> {
    let mut arguments = vec![0x0a, u8::try_from(name.len()).unwrap_or_default()];
    arguments.extend_from_slice(name.as_bytes());
    arguments.extend_from_slice(&[0x28, 0x01]);
    arguments
}

/// A verified claim as Envoy stores it: text as it is, a number as eight bytes, a boolean as one. Nothing for a map
/// or a list, which Envoy hands over as pairs of texts, each with a zero byte behind it.
///
/// The bytes do not say which they are. Eight bytes that read as text are text: a number would have to be above
/// 2^45 and end in no zero byte to be taken for text.
#[must_use]
pub fn claim(bytes: Vec<u8>) -> Vec<u8> {
    if let [bit @ (0 | 1)] = bytes.as_slice() {
        return if *bit == 1 { b"true".to_vec() } else { b"false".to_vec() };
    }
    let text = core::str::from_utf8(&bytes).is_ok_and(|text| !text.chars().any(char::is_control));
    match <[u8; 8]>::try_from(bytes.as_slice()) {
        Ok(number) if !text => match Node::number(f64::from_le_bytes(number)) {
            Node::Number(text) => text.as_bytes().to_vec(),
            _ => bytes,
        },
        _ if bytes.contains(&0) => Vec::new(),
        _ => bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_declaration_is_protobuf() {
        assert_eq!(declaration("ab"), [0x0a, 2, b'a', b'b', 0x28, 1]);
    }

    #[test]
    fn a_claim_is_text_number_or_boolean() {
        assert_eq!(claim(b"jane_doe".to_vec()), b"jane_doe");
        assert_eq!(claim("Zoë-123".as_bytes().to_vec()), "Zoë-123".as_bytes());
        assert_eq!(claim(4711.0_f64.to_le_bytes().to_vec()), b"4711");
        assert_eq!(claim(2.5_f64.to_le_bytes().to_vec()), b"2.5");
        assert_eq!(claim(9_007_199_254_740_991_f64.to_le_bytes().to_vec()), b"9007199254740991");
        assert_eq!(claim(vec![1]), b"true");
        assert_eq!(claim(vec![0]), b"false");
        assert_eq!(claim(b"1".to_vec()), b"1");
        assert_eq!(claim(b"\x01\0\0\0\x02\0\0\0\x06\0\0\0id\0inside\0".to_vec()), b"", "a map");
        assert_eq!(claim(vec![0; 4]), b"", "an empty one");
    }
}
