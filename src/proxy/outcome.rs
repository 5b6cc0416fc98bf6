//! Turns what the host knows of a finished request into an [`Outcome`]: whether it failed, and how long it took.
//!
//! A client that goes away is no outcome: it says nothing about the version. Never looks at a body.

use tidegate_engine::config::Failures;

/// What the host says of a request that is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The status of the response, if there was one.
    pub code: Option<u64>,
    /// Envoy's flags of the response, as bits.
    pub flags: u64,
    /// The gRPC status, if it was a gRPC call.
    pub grpc: Option<u64>,
    /// The time from the request to the first byte of the response, or to the end where there was none, in
    /// nanoseconds.
    pub nanos: u64,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Whether it failed, by what the flag takes for a failure.
    pub failed: bool,
    /// Whether it never reached the version: Envoy could not connect, or found no healthy host.
    pub unreached: bool,
    /// The time to the response, in microseconds.
    pub micros: u32,
}

/// The bits of Envoy's response flags.
mod flag {
    pub(super) const NO_HEALTHY_UPSTREAM: u64 = 1 << 1;
    pub(super) const REQUEST_TIMEOUT: u64 = 1 << 2;
    pub(super) const REMOTE_RESET: u64 = 1 << 4;
    pub(super) const CONNECTION_FAILURE: u64 = 1 << 5;
    pub(super) const CONNECTION_TERMINATION: u64 = 1 << 6;
    pub(super) const CLIENT_WENT: u64 = 1 << 14;
    pub(super) const RETRY_LIMIT: u64 = 1 << 15;
    pub(super) const NO_CLUSTER: u64 = 1 << 24;

    pub(super) const RESETS: u64 =
        REQUEST_TIMEOUT | REMOTE_RESET | CONNECTION_FAILURE | CONNECTION_TERMINATION | RETRY_LIMIT;
    pub(super) const UNREACHED: u64 = NO_HEALTHY_UPSTREAM | CONNECTION_FAILURE | NO_CLUSTER;
}

impl Outcome {
    /// What became of the request; `None` where its client went away.
    #[must_use]
    pub fn new(answer: &Answer, failures: &Failures) -> Option<Self> {
        if answer.flags & flag::CLIENT_WENT != 0 {
            return None;
        }
        let code = answer.code.unwrap_or(0);
        // Those that OpenTelemetry counts as errors of a server.
        let grpc = answer.grpc.is_some_and(|status| matches!(status, 2 | 4 | 12 | 13 | 14 | 15));
        Some(Self {
            failed: failures.server_errors && code >= 500
                || failures.resets && (code == 0 || answer.flags & flag::RESETS != 0)
                || failures.grpc && grpc
                || failures.codes.iter().any(|known| u64::from(*known) == code),
            unreached: answer.flags & flag::UNREACHED != 0,
            micros: u32::try_from(answer.nanos.wrapping_div(1_000)).unwrap_or(u32::MAX),
        })
    }
}

/// Times in bins that grow by a sixteenth of an octave, from 64 microseconds to two minutes: any percentile is
/// good to 5 %.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bins([u32; BINS]);

/// 21 octaves of 16 bins.
const BINS: usize = 336;

impl Default for Bins {
    fn default() -> Self {
        Self([0; BINS])
    }
}

impl Bins {
    /// Counts a time.
    pub fn add(&mut self, micros: u32) {
        let micros = micros.clamp(1 << 6, (1 << 27) - 1);
        let octave = micros.ilog2().saturating_sub(4);
        let bin = (octave.saturating_sub(2) << 4) | ((micros >> octave) & 15);
        if let Some(count) = usize::try_from(bin).ok().and_then(|bin| self.0.get_mut(bin)) {
            *count = count.saturating_add(1);
        }
    }

    /// Adds what other bins have counted.
    pub fn merge(&mut self, other: &Self) {
        for (sum, count) in self.0.iter_mut().zip(&other.0) {
            *sum = sum.saturating_add(*count);
        }
    }

    /// The counts, for whoever keeps them.
    pub fn numbers(&mut self) -> impl Iterator<Item = &mut u32> {
        self.0.iter_mut()
    }

    /// How many times were counted.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.0.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// The time that all but this many counted ones stay below, in microseconds: the middle of its bin.
    #[must_use]
    pub fn all_but(&self, slower: u32) -> u32 {
        let mut left = slower;
        for (bin, count) in self.0.iter().enumerate().rev() {
            if *count > left {
                let bin = u32::try_from(bin).unwrap_or(u32::MAX);
                let octave = bin >> 4;
                let half = 1_u32.checked_shl(octave.saturating_add(1)).unwrap_or(0);
                return ((16 | (bin & 15)) << octave << 2).saturating_add(half);
            }
            left = left.saturating_sub(*count);
        }
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(code: Option<u64>, flags: u64, grpc: Option<u64>) -> Option<bool> {
        let answer = Answer { code, flags, grpc, nanos: 5_000_000 };
        Outcome::new(&answer, &Failures::default()).map(|outcome| outcome.failed)
    }

    #[test]
    fn a_server_fails_and_a_client_does_not() {
        for (code, flags, grpc, failed) in [
            (Some(200), 0, None, Some(false)),
            (Some(404), 0, None, Some(false)),
            (Some(429), 0, None, Some(false)),
            (Some(500), 0, None, Some(true)),
            (Some(503), flag::CONNECTION_FAILURE, None, Some(true)),
            (Some(504), flag::REQUEST_TIMEOUT, None, Some(true)),
            (Some(200), flag::CONNECTION_TERMINATION, None, Some(true)),
            (None, 0, None, Some(true)),
            (None, flag::CLIENT_WENT, None, None),
            (Some(200), flag::CLIENT_WENT, None, None),
            (Some(200), 0, Some(0), Some(false)),
            (Some(200), 0, Some(5), Some(false)),
            (Some(200), 0, Some(14), Some(true)),
        ] {
            assert_eq!(outcome(code, flags, grpc), failed, "{code:?} {flags:x} {grpc:?}");
        }
    }

    #[test]
    fn what_a_failure_is_can_be_said() {
        let only = Failures { server_errors: false, resets: false, grpc: false, codes: [429].into() };
        for (code, failed) in [(200, false), (429, true), (500, false)] {
            let answer = Answer { code: Some(code), ..Answer::default() };
            assert_eq!(Outcome::new(&answer, &only).unwrap().failed, failed, "{code}");
        }
    }

    #[test]
    fn a_percentile_is_good_to_five_in_a_hundred() {
        let times: Vec<u32> = (0..10_000_u32).map(|n| 100 + n * n / 40).collect();
        let mut bins = Bins::default();
        for time in &times {
            bins.add(*time);
        }
        assert_eq!(bins.count(), 10_000);
        for slower in [0, 1, 10, 100, 1_000, 5_000, 9_000, 9_999] {
            let due = times[times.len() - 1 - usize::try_from(slower).unwrap()];
            let found = bins.all_but(slower);
            assert!(found.abs_diff(due) * 20 <= due, "all but {slower}: {found}, not {due}");
        }
        for micros in [0, 64, u32::MAX] {
            bins.add(micros);
        }
    }
}
