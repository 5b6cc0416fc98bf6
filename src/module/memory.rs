//! What all workers of the process remember together, by name. Outlives every config; used on pushes and ticks, never
//! for a request.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

#[derive(Debug)]
struct Value {
    bytes: Vec<u8>,
    version: u32,
}

static MEMORY: Mutex<BTreeMap<String, Value>> = Mutex::new(BTreeMap::new());

/// Begins anew, as in a new process.
#[cfg(any(test, fuzzing))]
pub(crate) fn forget() {
    MEMORY.lock().unwrap_or_else(PoisonError::into_inner).clear();
}

/// The value of a name, and its version.
pub(crate) fn read(name: &str) -> (Option<Vec<u8>>, Option<u32>) {
    let memory = MEMORY.lock().unwrap_or_else(PoisonError::into_inner);
    memory.get(name).map(|value| (value.bytes.clone(), value.version)).unzip()
}

/// Writes a value if the name still has this version or no value; without a version, always. Returns whether it did.
pub(crate) fn write(name: &str, bytes: &[u8], version: Option<u32>) -> bool {
    let mut memory = MEMORY.lock().unwrap_or_else(PoisonError::into_inner);
    match memory.get_mut(name) {
        Some(value) if version.is_some_and(|version| version != value.version) => false,
        Some(value) => {
            value.bytes = bytes.to_vec();
            value.version = value.version.wrapping_add(1);
            true
        }
        None => {
            memory.insert(name.to_owned(), Value { bytes: bytes.to_vec(), version: 1 });
            true
        }
    }
}
