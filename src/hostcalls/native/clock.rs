//! The time of day, which Envoy's calls do not tell: the system's own, and in the model of Envoy the model's.

use std::time::Duration;

/// The time since the beginning of 1970.
#[cfg(not(any(test, feature = "model")))]
#[must_use]
#[allow(clippy::disallowed_methods, reason = "this is the host whose clock it is, and there is one")]
pub fn since_1970() -> Duration {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default()
}

#[cfg(any(test, feature = "model"))]
#[must_use]
pub fn since_1970() -> Duration {
    super::model::world(|world| world.now)
}
