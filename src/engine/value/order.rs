//! Turns a list of keys into their order: the one sort of the program.
//!
//! Each type that is sorted adds another copy of the standard library's sort to the module, about 5 KiB. So everything
//! is sorted here, as bytes with a place. Equal keys stay in the order of their places.

/// Sorts keys by their bytes, and equal keys by the number that came with them.
#[inline(never)]
pub fn sort(keys: &mut [(&[u8], usize)]) {
    keys.sort_unstable();
}

/// The keys in order, each with its place in what was given.
pub fn of<'k>(keys: impl Iterator<Item = &'k [u8]>) -> Vec<(&'k [u8], usize)> {
    let mut keys: Vec<(&[u8], usize)> = keys.zip(0..).collect();
    sort(&mut keys);
    keys
}
