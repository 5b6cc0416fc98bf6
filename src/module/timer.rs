//! Counts ticks for the whole process, and has the main thread called on each one: Envoy gives its workers no timer.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, Once, PoisonError};
use std::time::Duration;

use tidegate_hostcalls::native::config::Scheduler;

/// The period of the tick, as in wasm.
const PERIOD: Duration = Duration::from_millis(250);

static TICK: AtomicU64 = AtomicU64::new(1);

/// Who is called on each tick, each with its number.
static CALLED: Mutex<Vec<(u64, Scheduler)>> = Mutex::new(Vec::new());

/// The number of this tick.
pub(crate) fn now() -> u64 {
    TICK.load(Ordering::Relaxed)
}

/// Calls a config on each tick, until it is taken off under this number.
pub(crate) fn add(number: u64, scheduler: Scheduler) {
    static STARTED: Once = Once::new();
    CALLED.lock().unwrap_or_else(PoisonError::into_inner).push((number, scheduler));
    STARTED.call_once(|| {
        // Without a thread an idle worker's last counts wait for its next request; all else goes on.
        drop(std::thread::Builder::new().name("tidegate".to_owned()).spawn(run));
    });
}

pub(crate) fn remove(number: u64) {
    CALLED.lock().unwrap_or_else(PoisonError::into_inner).retain(|(other, _)| *other != number);
}

/// The next tick begins.
pub(crate) fn next() {
    TICK.fetch_add(1, Ordering::Relaxed);
}

fn run() {
    loop {
        std::thread::sleep(PERIOD);
        next();
        for (_, scheduler) in CALLED.lock().unwrap_or_else(PoisonError::into_inner).iter_mut() {
            scheduler.commit();
        }
    }
}
