//! What ended a request, from what Envoy keeps of it: the same bits through either door.

use super::{Ending, Upstream};

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
}
