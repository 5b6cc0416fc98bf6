//! Turns the payload of a bearer token into the values of its claims. Verifies nothing: a client can write any payload.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::config::{ClaimPath, Node};

/// The longest token whose claims are looked at.
const TOKEN_MAX: usize = 8 * 1024;

/// The payload of `Bearer header.payload.signature`, not verified.
#[must_use]
pub fn token_payload(authorization: &[u8]) -> Option<Node> {
    let (scheme, token) = authorization.split_at_checked(7)?;
    if !scheme.eq_ignore_ascii_case(b"bearer ") || token.len() > TOKEN_MAX {
        return None;
    }
    let mut parts = token.trim_ascii().split(|byte| *byte == b'.');
    let (_, payload, _) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    payload_from_json(&URL_SAFE_NO_PAD.decode(payload).ok()?)
}

/// The payload of a token, of which somebody else says whether it is verified.
#[must_use]
pub fn payload_from_json(json: &[u8]) -> Option<Node> {
    Node::from_json(json).ok()
}

/// A claim as bytes: text as it is, a number as its shortest decimal text, a boolean as its word.
#[must_use]
pub fn claim(payload: &Node, path: &ClaimPath) -> Option<Vec<u8>> {
    let mut node = payload;
    for name in &path.0 {
        let Node::Map(entries) = node else { return None };
        let mut named = entries.iter().filter(|(key, _)| key == name);
        // A claim that comes twice has no single value, like a header.
        let ((_, only), None) = (named.next()?, named.next()) else { return None };
        node = only;
    }
    match node {
        Node::Text(text) | Node::Number(text) => Some(text.as_bytes().to_vec()),
        Node::Bool(value) => Some(value.to_string().into_bytes()),
        Node::Null | Node::List(_) | Node::Map(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_that_is_none_has_no_claims() {
        let payload = |json: &str| format!("Bearer e30.{}.sig", URL_SAFE_NO_PAD.encode(json));
        let path = ClaimPath([Box::from("sub")].into());
        let read = |header: &str| token_payload(header.as_bytes()).and_then(|payload| claim(&payload, &path));
        assert_eq!(read(&payload(r#"{"sub": "ana"}"#)), Some(b"ana".to_vec()));
        assert_eq!(read(&payload(r#"{"sub": 5.0}"#)), Some(b"5".to_vec()));
        assert_eq!(read(&payload(r#"{"sub": "a", "sub": "b"}"#)), None);
        assert_eq!(read(&payload(r#"{"sub": ["a"]}"#)), None);
        for header in
            ["", "Bearer", "Bearer ", "Bearer a.b", "Bearer a.b.c.d", "Basic e30.e30.x", "Bearer ..", "Bearer e30.%.x"]
        {
            assert_eq!(read(header), None, "{header}");
        }
    }
}
