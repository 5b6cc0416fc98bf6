//! Turns a plan into a number: FNV-1a over its derived [`Hash`], the same on every platform.
//!
//! `usize` is written as eight bytes, so that the 32-bit module and a 64-bit command agree. Never used to draw:
//! that is [`crate::value::hash`].

use core::hash::Hasher;

use fnv::FnvHasher;

/// A hasher that sees no difference between platforms.
#[derive(Default)]
pub(super) struct Fingerprint(FnvHasher);

impl Hasher for Fingerprint {
    fn finish(&self) -> u64 {
        self.0.finish()
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0.write(bytes);
    }

    fn write_u16(&mut self, number: u16) {
        self.0.write(&number.to_le_bytes());
    }

    fn write_u32(&mut self, number: u32) {
        self.0.write(&number.to_le_bytes());
    }

    fn write_u64(&mut self, number: u64) {
        self.0.write(&number.to_le_bytes());
    }

    fn write_u128(&mut self, number: u128) {
        self.0.write(&number.to_le_bytes());
    }

    fn write_usize(&mut self, number: usize) {
        self.write_u64(u64::try_from(number).unwrap_or(u64::MAX));
    }

    // The discriminants of enums come as this one.
    fn write_isize(&mut self, number: isize) {
        self.write_u64(i64::try_from(number).unwrap_or(i64::MAX).cast_unsigned());
    }
}
