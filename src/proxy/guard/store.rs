//! What all workers of a filter share, by compare and swap: no worker waits for another.

/// How often a lost swap is tried again in one tick.
pub(super) const TRIES: usize = 3;

/// What all workers of a filter remember together.
pub trait Store {
    /// The value of a key, and its version.
    fn read(&mut self, key: &str) -> (Option<Vec<u8>>, Option<u32>);
    /// Writes a value if the key has no value, or still has this version; without a version, always. Returns whether it
    /// did.
    fn write(&mut self, key: &str, value: &[u8], version: Option<u32>) -> bool;

    /// Writes a value if no other worker has written one since this version was read. Returns whether it did.
    fn swap(&mut self, key: &str, value: &[u8], version: Option<u32>) -> bool {
        // No real version is this large: if the key had no value when it was read, a value written since makes this
        // fail.
        self.write(key, value, Some(version.unwrap_or(u32::MAX)))
    }
}

/// Changes the value of a key, and tries again if another worker was faster. Returns whether it succeeded.
pub(super) fn change(
    store: &mut dyn Store,
    key: &str,
    tries: usize,
    to: &mut dyn FnMut(Vec<u8>) -> Option<Vec<u8>>,
) -> bool {
    for _ in 0..tries {
        let (bytes, version) = store.read(key);
        let Some(next) = to(bytes.unwrap_or_default()) else { return false };
        if store.swap(key, &next, version) {
            return true;
        }
    }
    false
}
