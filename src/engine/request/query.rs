//! Turns the query of a path into its parameters, as they were sent.

/// The parameters. Nothing is decoded here: most are never used.
pub(super) fn pairs(query: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    query.split(|byte| *byte == b'&').map(|pair| split(pair, b'='))
}

/// The bytes before and after the first `border`; all of them and none if there is no border.
#[inline]
pub(super) fn split(bytes: &[u8], border: u8) -> (&[u8], &[u8]) {
    let at = bytes.iter().position(|byte| *byte == border);
    let parts = at.and_then(|at| Some((bytes.get(..at)?, bytes.get(at.checked_add(1)?..)?)));
    parts.unwrap_or((bytes, b""))
}
