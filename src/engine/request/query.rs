//! Turns the query of a path into its parameters: names decoded, values as they were sent.

use std::borrow::Cow;

use percent_encoding::percent_decode;

/// The parameters, each with its name decoded. Values stay encoded: most are never looked at.
pub(super) fn pairs(query: &[u8]) -> impl Iterator<Item = (Cow<'_, [u8]>, &[u8])> {
    query.split(|byte| *byte == b'&').map(|pair| {
        let (name, value) = split(pair, b'=');
        (percent_decode(name).into(), value)
    })
}

/// The bytes before and after the first `border`; all of them and none if there is no border.
pub(super) fn split(bytes: &[u8], border: u8) -> (&[u8], &[u8]) {
    let at = bytes.iter().position(|byte| *byte == border);
    let parts = at.and_then(|at| Some((bytes.get(..at)?, bytes.get(at.checked_add(1)?..)?)));
    parts.unwrap_or((bytes, b""))
}
