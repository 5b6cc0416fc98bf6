//! Turns what the host knows of a finished request into an [`Outcome`]: whether it failed, and how long it took.
//!
//! Judged is what the version did. A client that leaves before there was an answer says nothing about it, unless it
//! was kept waiting for longer than anybody should be. Never looks at a body, and never reads a clock: the two moments
//! that a time is made of are handed in.

pub mod ending;

use core::time::Duration;

use tidegate_engine::config::Failures;

/// What the host says of a request that is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The status of the response, if there was one.
    pub code: Option<u64>,
    /// What ended it, if it did not simply end.
    pub ending: Ending,
    /// The gRPC status, if it was a gRPC call.
    pub grpc: Option<u64>,
    /// How long the answer took.
    pub time: Time,
}

/// What ended a request before its time. More than one thing can be true, where it was tried again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ending {
    /// The client left. A client of HTTP/2 that resets its stream without an error may be told by nothing.
    pub client_left: bool,
    /// The proxy waited no longer.
    pub time_limit: bool,
    /// What the upstream did wrong.
    pub upstream: Upstream,
}

/// What an upstream did wrong, apart from what its answer says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Upstream {
    /// Nothing that the proxy knows of.
    #[default]
    Fine,
    /// It broke its answer off, or gave none.
    Broken,
    /// It was never reached: no connection, or no healthy host.
    Unreached,
}

/// How long an answer took, in microseconds from the end of the request: before that, the client sets the pace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Time {
    /// Until its headers came.
    Answered(u32),
    /// That long was waited for an answer that never began.
    Waited(u32),
    /// The request had not ended yet, or nobody looked.
    #[default]
    Unknown,
}

/// How far a request is, for the time of its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// The client is still sending.
    Sending,
    /// All of it was sent at this time.
    Since(Moment),
    /// The answer has begun, or nobody needs its time.
    Over(Time),
}

impl Wait {
    /// The client has sent all of the request.
    #[inline]
    pub fn sent(&mut self, clock: impl FnOnce() -> Moment) {
        if *self == Self::Sending {
            *self = Self::Since(clock());
        }
    }

    /// The headers of the answer are there.
    #[inline]
    pub fn answered(&mut self, clock: impl FnOnce() -> Moment) {
        match *self {
            Self::Over(_) => {}
            Self::Sending => *self = Self::Over(Time::Unknown),
            Self::Since(sent) => *self = Self::Over(Time::Answered(sent.until(clock()))),
        }
    }

    /// How long the answer took, once the request is done.
    #[inline]
    pub fn time(self, clock: impl FnOnce() -> Moment) -> Time {
        match self {
            Self::Sending => Time::Unknown,
            Self::Since(sent) => Time::Waited(sent.until(clock())),
            Self::Over(time) => time,
        }
    }
}

/// A moment of the host's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    seconds: u32,
    nanos: u32,
}

impl Moment {
    /// The moment this long after the beginning of 1970.
    #[inline]
    #[must_use]
    pub fn new(since: Duration) -> Self {
        Self { seconds: u32::try_from(since.as_secs()).unwrap_or(u32::MAX), nanos: since.subsec_nanos() }
    }

    /// The microseconds from here to a later moment; none where the clock went back meanwhile.
    #[inline]
    pub(crate) fn until(self, later: Self) -> u32 {
        let nanos = |moment: Self| {
            u64::from(moment.seconds).saturating_mul(1_000_000_000).saturating_add(u64::from(moment.nanos))
        };
        u32::try_from(nanos(later).saturating_sub(nanos(self)).wrapping_div(1_000)).unwrap_or(u32::MAX)
    }
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Whether it failed, by what the flag takes for a failure.
    pub failed: bool,
    /// Whether it never reached the version: the proxy could not connect, or found no healthy host.
    pub unreached: bool,
    /// Whether its client was kept waiting for too long, and left without an answer.
    pub hung: bool,
    /// The time to the answer, in microseconds, where the version was the one to set it.
    pub micros: Option<u32>,
}

impl Outcome {
    /// What became of the request, where nobody is kept waiting for longer than `patience`, in microseconds; `None`
    /// where it says nothing about the version.
    #[inline]
    #[must_use]
    pub fn new(answer: &Answer, failures: &Failures, patience: u32) -> Option<Self> {
        let Answer { code, ending: Ending { client_left: left, time_limit, upstream }, grpc, time } = *answer;
        // `100 Continue` is Envoy's own word while the client still waits; `101` is an answer.
        let code = code.filter(|code| *code >= 200 || *code == 101).unwrap_or(0);
        // Those that OpenTelemetry counts as errors of a server, but 12: any client can name a method that is not there.
        let grpc = grpc.is_some_and(|status| matches!(status, 2 | 4 | 13 | 14 | 15));
        let error = failures.server_errors && code >= 500
            // Of a request that a client broke off, the status is made up by Envoy.
            || failures.grpc && grpc && !left
            || failures.codes.iter().any(|known| u64::from(*known) == code);
        let began = code != 0;
        let hung = !began && matches!(time, Time::Waited(micros) if micros > patience);
        let failed = if error {
            true
        } else if !began && (left || upstream == Upstream::Fine && !time_limit) {
            if !hung {
                return None;
            }
            failures.resets
        } else if left {
            // What it got was good so far. Who reads a stream always leaves in the middle.
            false
        } else if time_limit {
            // An answer that has begun well also takes too long where the client does not read it.
            if began && code < 500 && !grpc {
                return None;
            }
            failures.resets
        } else {
            failures.resets && upstream != Upstream::Fine
        };
        let micros = if let Time::Answered(micros) = time { Some(micros) } else { None };
        Some(Self { failed, unreached: upstream == Upstream::Unreached, hung, micros })
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

    /// The times that a half and 99 of 100 counted ones stay below, in microseconds; none where none was counted.
    #[must_use]
    pub fn percentiles(&self) -> Option<[u32; 2]> {
        let count = self.count();
        (count > 0).then(|| [2, 100].map(|part: u32| self.all_but(count.checked_div(part).unwrap_or(0))))
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

    const PATIENCE: u32 = 1_000_000;
    const NOTHING: Ending = Ending { client_left: false, time_limit: false, upstream: Upstream::Fine };
    const LEFT: Ending = Ending { client_left: true, ..NOTHING };
    const LIMIT: Ending = Ending { time_limit: true, ..NOTHING };
    const BROKEN: Ending = Ending { upstream: Upstream::Broken, ..NOTHING };
    const UNREACHED: Ending = Ending { upstream: Upstream::Unreached, ..NOTHING };

    fn judged(answer: Answer, failures: &Failures) -> Option<(bool, bool)> {
        Outcome::new(&answer, failures, PATIENCE).map(|outcome| (outcome.failed, outcome.hung))
    }

    #[test]
    fn a_server_fails_and_a_client_does_not() {
        for (code, ending, grpc, failed) in [
            (Some(200), NOTHING, None, Some(false)),
            (Some(404), NOTHING, None, Some(false)),
            (Some(429), NOTHING, None, Some(false)),
            (Some(500), NOTHING, None, Some(true)),
            (Some(503), UNREACHED, None, Some(true)),
            (Some(504), LIMIT, None, Some(true)),
            (Some(200), BROKEN, None, Some(true)),
            (None, BROKEN, None, Some(true)),
            // A limit of time that ends what began well, or what the client never finished.
            (Some(200), LIMIT, None, None),
            (Some(408), LIMIT, None, None),
            // The client left.
            (None, NOTHING, None, None),
            (None, LEFT, None, None),
            (None, Ending { client_left: true, ..BROKEN }, None, None),
            (Some(200), LEFT, None, Some(false)),
            (Some(500), LEFT, None, Some(true)),
            (Some(503), LEFT, None, Some(true)),
            // What Envoy says meanwhile, or makes up.
            (Some(100), LEFT, None, None),
            (Some(101), LEFT, None, Some(false)),
            (Some(200), LEFT, Some(13), Some(false)),
            (Some(200), NOTHING, Some(0), Some(false)),
            (Some(200), NOTHING, Some(5), Some(false)),
            (Some(200), NOTHING, Some(12), Some(false)),
            (Some(200), NOTHING, Some(14), Some(true)),
            (Some(200), LIMIT, Some(4), Some(true)),
        ] {
            let answer = Answer { code, ending, grpc, time: Time::Answered(5_000) };
            let seen = judged(answer, &Failures::default()).map(|(failed, _)| failed);
            assert_eq!(seen, failed, "{code:?} {ending:?} {grpc:?}");
        }
    }

    #[test]
    fn who_waits_too_long_and_leaves_says_that_the_version_hangs() {
        for ending in [NOTHING, LEFT] {
            for (time, due) in [
                (Time::Waited(PATIENCE), None),
                (Time::Waited(PATIENCE + 1), Some((true, true))),
                (Time::Unknown, None),
            ] {
                let answer = Answer { ending, time, ..Answer::default() };
                assert_eq!(judged(answer, &Failures::default()), due, "{ending:?} {time:?}");
            }
        }
    }

    #[test]
    fn what_a_failure_is_can_be_said() {
        let only = Failures { server_errors: false, resets: false, grpc: false, codes: [429].into() };
        for (code, failed) in [(200, false), (429, true), (500, false)] {
            let answer = Answer { code: Some(code), ..Answer::default() };
            assert_eq!(judged(answer, &only), Some((failed, false)), "{code}");
        }
        let only = Failures { server_errors: false, resets: true, grpc: false, codes: [].into() };
        for (code, ending, failed) in
            [(500, NOTHING, false), (503, UNREACHED, true), (504, LIMIT, true), (200, BROKEN, true)]
        {
            let answer = Answer { code: Some(code), ending, ..Answer::default() };
            assert_eq!(judged(answer, &only), Some((failed, false)), "{code} {ending:?}");
        }
    }

    #[test]
    fn a_time_is_from_the_end_of_the_request_to_the_beginning_of_the_answer() {
        let never = || -> Moment { panic!("nobody looks") };
        let at = |micros: u64| move || Moment::new(Duration::from_micros(micros));
        let mut wait = Wait::Sending;
        wait.sent(at(5_000));
        wait.sent(never);
        assert_eq!(wait.time(at(9_000)), Time::Waited(4_000));
        wait.answered(at(1_000_001));
        wait.answered(never);
        assert_eq!(wait.time(never), Time::Answered(995_001));
        // The answer is there before the request ends.
        let mut early = Wait::Sending;
        early.answered(never);
        early.sent(never);
        assert_eq!(early.time(never), Time::Unknown);
        // The clock goes back, or far ahead.
        for (now, micros) in [(0, 0), (u64::MAX, u32::MAX)] {
            let mut jumps = Wait::Since(at(5_000)());
            jumps.answered(at(now));
            assert_eq!(jumps.time(never), Time::Answered(micros));
        }
        let mut over = Wait::Over(Time::Unknown);
        over.sent(never);
        over.answered(never);
        assert_eq!(over.time(never), Time::Unknown);
        assert_eq!(Wait::Sending.time(never), Time::Unknown);
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
