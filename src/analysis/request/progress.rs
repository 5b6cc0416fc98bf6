//! Tells whoever waits how far a long run is. Never draws anything.

/// Hears of each part of the work that is done, from any thread.
pub trait Progress: Sync {
    /// So many more identities have been asked about.
    fn advance(&self, steps: u64);
}

/// Nobody waits.
impl Progress for () {
    fn advance(&self, _: u64) {}
}
