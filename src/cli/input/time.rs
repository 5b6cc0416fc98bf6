//! The time that a command decides at, and how long things take.
//!
//! The only place of the command that reads a clock.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use tidegate_analysis::words::time::parse;
use tidegate_engine::value::time::Timestamp;

/// The time that is asked about.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub(crate) struct When {
    /// The time to decide at, such as 2026-12-01T09:00:00Z [default: now]
    #[arg(long, value_name = "TIME", value_parser = parse)]
    at: Option<Timestamp>,
}

impl When {
    /// The time that was said, or that it is.
    pub(crate) fn time(self) -> Timestamp {
        self.at.unwrap_or_else(now)
    }
}

/// What the clock of this machine says.
#[expect(clippy::disallowed_methods, reason = "a command runs in its user's time")]
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// A clock that never goes back, for how long things take.
#[expect(clippy::disallowed_methods, reason = "a command runs in its user's time")]
pub(crate) fn clock() -> Instant {
    Instant::now()
}
