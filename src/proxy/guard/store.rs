//! What all workers of a filter share, by compare and swap: nobody waits for anybody.

/// How often a lost swap is tried again in one tick.
pub(super) const TRIES: usize = 3;

/// What all workers of a filter remember together.
pub trait Store {
    /// What stands under a key, and its version.
    fn read(&mut self, key: &str) -> (Option<Vec<u8>>, Option<u32>);
    /// Writes a value, if it is still of this version, if there is one, or if none was given; whether it was.
    fn write(&mut self, key: &str, value: &[u8], version: Option<u32>) -> bool;

    /// Writes a value, if nobody else has written one since it was read, with this version; whether it was.
    fn swap(&mut self, key: &str, value: &[u8], version: Option<u32>) -> bool {
        // Where nothing stood, what stands there by now has another version than this one.
        self.write(key, value, Some(version.unwrap_or(u32::MAX)))
    }
}

/// Changes what stands under a key, as often as it takes until nobody else has been faster; whether that was done.
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
