//! Decodes Envoy's flags and properties, and encodes what its calls expect.
//!
//! Pure functions that are also compiled natively, for their tests. Never makes a host call.

use tidegate_engine::config::Node;
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
    pub(super) const CLIENT_PROTOCOL: u64 = 1 << 18;
    pub(super) const UPSTREAM_DURATION: u64 = 1 << 19;
    pub(super) const DURATION: u64 = 1 << 22;
    pub(super) const UPSTREAM_PROTOCOL: u64 = 1 << 23;
    pub(super) const NO_CLUSTER: u64 = 1 << 24;
    pub(super) const NO_NAME: u64 = 1 << 26;
    pub(super) const CLIENT_RESET: u64 = 1 << 28;

    /// The upstream could not be reached.
    pub(super) const UNREACHED: u64 = NO_HEALTHY_UPSTREAM | CONNECTION_FAILURE | NO_CLUSTER | NO_NAME;
    /// The upstream's answer was cut off, or never came.
    pub(super) const BROKEN: u64 =
        UPSTREAM_RESET | CONNECTION_TERMINATION | UPSTREAM_OVERFLOW | RETRY_LIMIT | UPSTREAM_PROTOCOL;
    /// A time limit of Envoy's was reached.
    pub(super) const LIMITS: u64 = UPSTREAM_TIMEOUT | STREAM_IDLE | UPSTREAM_DURATION | DURATION;
    /// The client left, or broke its own request. There is no flag for a client that resets an HTTP/2 stream without an
    /// error.
    pub(super) const CLIENT_LEFT: u64 = CLIENT_CLOSED | CLIENT_RESET | CLIENT_PROTOCOL;
}

/// What ended a request, from the flags of its response and the details of its code.
#[must_use]
pub fn ending(flags: u64, details: Option<&[u8]>) -> Ending {
    let has = |any: u64| flags & any != 0;
    Ending {
        client_left: has(flag::CLIENT_LEFT),
        // There is no flag for a stream that reached its maximum duration.
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

/// The number of a `:status`.
#[must_use]
pub fn status(text: &[u8]) -> Option<u64> {
    let digit = |byte: &u8| byte.is_ascii_digit().then(|| u64::from(byte & 0xf));
    let [hundreds, tens, ones] = text else { return None };
    Some(
        digit(hundreds)?
            .saturating_mul(100)
            .saturating_add(digit(tens)?.saturating_mul(10))
            .saturating_add(digit(ones)?),
    )
}

/// Whether Envoy accepts these headers in one call. With more than 1,024 of them, or more than 1 MiB, it accepts none
/// and leaves the request without any header, so stay at half of that.
#[must_use]
pub fn is_taken(headers: &[(&[u8], &[u8])]) -> bool {
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
    fn flags_say_what_ended_a_request() {
        let nothing = Ending::default();
        let left = Ending { client_left: true, ..nothing };
        let limit = Ending { time_limit: true, ..nothing };
        let [broken, unreached] =
            [Upstream::Broken, Upstream::Unreached].map(|upstream| Ending { upstream, ..nothing });
        for (flags, due) in [
            (0, nothing),
            // A rate limit, a fault that was injected, an answer of ext_authz: nothing that the version did.
            (1 << 10 | 1 << 11 | 1 << 12, nothing),
            (flag::CLIENT_CLOSED, left),
            (flag::CLIENT_RESET, left),
            (flag::CLIENT_PROTOCOL, left),
            (flag::UPSTREAM_TIMEOUT, limit),
            (flag::STREAM_IDLE, limit),
            (flag::UPSTREAM_DURATION, limit),
            (flag::DURATION, limit),
            (flag::UPSTREAM_RESET, broken),
            (flag::CONNECTION_TERMINATION, broken),
            (flag::UPSTREAM_OVERFLOW, broken),
            (flag::RETRY_LIMIT, broken),
            (flag::UPSTREAM_PROTOCOL, broken),
            (flag::NO_HEALTHY_UPSTREAM, unreached),
            (flag::CONNECTION_FAILURE, unreached),
            (flag::NO_CLUSTER, unreached),
            (flag::NO_NAME, unreached),
            // What was tried again has the flags of all tries.
            (flag::CONNECTION_FAILURE | flag::RETRY_LIMIT, unreached),
            (flag::UPSTREAM_RESET | flag::CLIENT_RESET, Ending { client_left: true, ..broken }),
            (flag::CONNECTION_FAILURE | flag::UPSTREAM_TIMEOUT, Ending { time_limit: true, ..unreached }),
        ] {
            assert_eq!(ending(flags, Some(b"via_upstream")), due, "{flags:x}");
        }
        assert_eq!(ending(0, Some(b"max_duration_timeout")), limit);
        assert_eq!(ending(0, None), nothing);
    }

    #[test]
    fn a_status_has_three_digits() {
        assert_eq!([&b"200"[..], b"504", b"101"].map(status), [Some(200), Some(504), Some(101)]);
        assert_eq!([&b""[..], b"20", b"2000", b"2x0", b"-20"].map(status), [None; 5]);
    }

    #[test]
    fn headers_that_are_too_many_or_too_large_are_not_taken() {
        let fits = |count: usize, length: usize| is_taken(&vec![(&b"x"[..], &*vec![0; length]); count]);
        assert!(fits(512, 1_023) && !fits(513, 1) && !fits(512, 1_024) && fits(1, 512 * 1_024 - 1));
    }

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
