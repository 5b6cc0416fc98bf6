//! Lines for Envoy's log, under the name `dynamic_modules`.

use super::abi::{self, Given, Level};
use core::fmt::Arguments;

/// Writes a line to Envoy's log, if that shows lines of this level.
pub fn log(level: Level, line: Arguments<'_>) {
    // SAFETY: takes a number, may be called from any thread, and changes nothing.
    if !unsafe { abi::log_enabled(level) } {
        return;
    }
    let text = line.to_string();
    // SAFETY: Envoy copies the text during the call, for which `text` lives; logging may be done from any thread.
    unsafe { abi::log(level, Given::new(text.as_bytes())) };
}
