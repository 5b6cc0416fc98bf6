//! Turns one part of a `cookie` header into a name and a value.

/// The name and the value, without blanks and quotes; `None` for a part without `=`, which is not a cookie.
pub(super) fn parse(pair: &[u8]) -> Option<(&[u8], &[u8])> {
    let pair = pair.trim_ascii();
    let equals = pair.iter().position(|byte| *byte == b'=')?;
    let (name, value) = pair.split_at_checked(equals)?;
    let value = value.strip_prefix(b"=").unwrap_or_default().trim_ascii_start();
    let quoted = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
    Some((name.trim_ascii_end(), quoted.unwrap_or(value)))
}
