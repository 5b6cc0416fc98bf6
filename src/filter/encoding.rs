//! Turns what Envoy says in bits and bytes into the words of a proxy, and says what it takes.
//!
//! Pure functions, which natively compile and are tested, too. Never makes a host call.

use tidegate_proxy::outcome::{Ending, Upstream};

/// The bits of Envoy's response flags.
mod flag {
    pub(super) const NO_HEALTHY_UPSTREAM: u64 = 1 << 1;
    pub(super) const UPSTREAM_TIMEOUT: u64 = 1 << 2;
    pub(super) const UPSTREAM_RESET: u64 = 1 << 4;
    pub(super) const CONNECTION_FAILURE: u64 = 1 << 5;
    pub(super) const CONNECTION_TERMINATION: u64 = 1 << 6;
    pub(super) const UPSTREAM_OVERFLOW: u64 = 1 << 7;
    pub(super) const CLIENT_CLOSED: u64 = 1 << 14;
    pub(super) const RETRY_LIMIT: u64 = 1 << 15;
    pub(super) const STREAM_IDLE: u64 = 1 << 16;
    pub(super) const UPSTREAM_DURATION: u64 = 1 << 19;
    pub(super) const DURATION: u64 = 1 << 22;
    pub(super) const UPSTREAM_PROTOCOL: u64 = 1 << 23;
    pub(super) const NO_CLUSTER: u64 = 1 << 24;
    pub(super) const NO_NAME: u64 = 1 << 26;
    pub(super) const CLIENT_RESET: u64 = 1 << 28;

    /// The version could not be reached.
    pub(super) const UNREACHED: u64 = NO_HEALTHY_UPSTREAM | CONNECTION_FAILURE | NO_CLUSTER | NO_NAME;
    /// The version broke its answer off, or gave none.
    pub(super) const BROKEN: u64 =
        UPSTREAM_RESET | CONNECTION_TERMINATION | UPSTREAM_OVERFLOW | RETRY_LIMIT | UPSTREAM_PROTOCOL;
    /// Envoy waited no longer.
    pub(super) const LIMITS: u64 = UPSTREAM_TIMEOUT | STREAM_IDLE | UPSTREAM_DURATION | DURATION;
    /// The client left. That it resets a stream of HTTP/2 without an error is told by no flag.
    pub(super) const CLIENT_LEFT: u64 = CLIENT_CLOSED | CLIENT_RESET;
}

/// What ended a request, from the flags of its response and the details of its code.
#[must_use]
pub fn ending(flags: u64, details: Option<&[u8]>) -> Ending {
    let has = |any: u64| flags & any != 0;
    Ending {
        client_left: has(flag::CLIENT_LEFT),
        // There is no flag for a stream that may last no longer.
        time_limit: has(flag::LIMITS) || details == Some(b"max_duration_timeout"),
        upstream: if has(flag::UNREACHED) {
            Upstream::Unreached
        } else if has(flag::BROKEN) {
            Upstream::Broken
        } else {
            Upstream::Fine
        },
    }
}

/// Whether Envoy takes these headers all at once: of more than 1,024 of them, or more than 1 MiB, it takes none, and
/// leaves the request without any. Half of that is far enough away.
#[must_use]
pub fn is_taken(headers: &[(&str, &[u8])]) -> bool {
    const MANY: usize = 512;
    const LARGE: usize = 512 * 1024;
    let bytes = headers.iter().map(|(name, value)| name.len().saturating_add(value.len()));
    headers.len() <= MANY && bytes.fold(0, usize::saturating_add) <= LARGE
}

/// `DeclarePropertyArguments {name, span: DownstreamRequest}` as protobuf, for a name of at most 127 bytes.
#[must_use]
pub fn declaration(name: &str) -> Vec<u8> {
    let mut arguments = vec![0x0a, u8::try_from(name.len()).unwrap_or_default()];
    arguments.extend_from_slice(name.as_bytes());
    arguments.extend_from_slice(&[0x28, 0x01]);
    arguments
}
