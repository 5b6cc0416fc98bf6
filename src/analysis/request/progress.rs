//! Tells a host how far a long run is. Never draws anything.

/// Is told how much of the work is done, from any thread.
pub trait Progress: Sync {
    /// So many more identities have been asked about.
    fn advance(&self, steps: u64);
}

impl Progress for () {
    fn advance(&self, _: u64) {}
}
