//! Turns a salt and an identity into a point: where this identity stands in this flag's draws.
//!
//! The hash is `fnv1a64-fmix64/1`: FNV-1a over `salt ++ 0x00 ++ identity`, then `MurmurHash3`'s 64-bit finaliser.
//! FNV-1a alone is no hash for bucketing (unmixed, two 10 % flags can share all of their users); the finaliser
//! makes each bit depend on each byte. The high half of the result answers "is it exposed", the low half "to
//! which variant", so that the two draws are independent.
//!
//! Never uses floats or modulo, and never changes: the vectors below are frozen. A better hash gets a new name.

use core::hash::Hasher;

use fnv::FnvHasher;

/// What makes the draws of one flag independent of another's: FNV-1a, prepared up to the identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Salt(u64);

impl Salt {
    /// Hashes the salt's text and the border byte behind it, once for the life of a plan.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let mut state = FnvHasher::default();
        state.write(text.as_bytes());
        // The border: without it the salt "ab" with "c" and the salt "a" with "bc" would be one draw.
        state.write(&[0]);
        Self(state.finish())
    }

    /// The hash of what stands before the identity.
    #[must_use]
    pub fn state(self) -> u64 {
        self.0
    }

    /// Where `identity` stands under this salt.
    #[inline]
    #[must_use]
    pub fn point(self, identity: &[u8]) -> Point {
        let mut state = FnvHasher::with_key(self.0);
        state.write(identity);
        Point(mix(state.finish()))
    }

    /// The same under several salts at once, byte by byte: each step waits for the one before it, but not for those of
    /// the other salts.
    #[inline]
    #[must_use]
    pub fn points<const SALTS: usize>(salts: [Self; SALTS], identity: &[u8]) -> [Point; SALTS] {
        let mut states = salts.map(|salt| salt.0);
        for byte in identity {
            states = states.map(|state| (state ^ u64::from(*byte)).wrapping_mul(PRIME));
        }
        states.map(|state| Point(mix(state)))
    }
}

/// FNV's prime for 64 bits.
const PRIME: u64 = 0x0100_0000_01b3;

/// The place of one identity in the draws of one salt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point(u64);

impl Point {
    /// The draw for exposure: 0 to 999,999, exposed when below the rule's parts per million.
    #[inline]
    #[must_use]
    pub fn exposure(self) -> u32 {
        scale(self.0 >> 32, 1_000_000)
    }

    /// The draw for a variant: 0 to `total` - 1, held against the cumulative weights.
    #[inline]
    #[must_use]
    pub fn choice(self, total: u32) -> u32 {
        scale(self.0 & 0xffff_ffff, total)
    }

    /// The whole 64 bits, for those who only need a well-mixed number.
    #[inline]
    #[must_use]
    pub fn bits(self) -> u64 {
        self.0
    }
}

/// The same hash over bytes that come in parts.
#[derive(Debug)]
pub struct Stream(u64);

impl Default for Stream {
    fn default() -> Self {
        Self(FnvHasher::default().finish())
    }
}

impl Stream {
    pub fn write(&mut self, bytes: &[u8]) {
        let mut state = FnvHasher::with_key(self.0);
        state.write(bytes);
        self.0 = state.finish();
    }

    /// The hash of all bytes so far.
    #[must_use]
    pub fn finish(self) -> u64 {
        mix(self.0)
    }
}

/// Projects a 32-bit number onto `0..size` by a widening multiply: no modulo bias, no float.
#[inline]
fn scale(half: u64, size: u32) -> u32 {
    // A 32-bit number times a 32-bit number fits 64 bits, and its high half fits 32.
    u32::try_from(half.wrapping_mul(u64::from(size)) >> 32).unwrap_or(u32::MAX)
}

/// `MurmurHash3`'s 64-bit finaliser, `fmix64`.
#[inline]
const fn mix(mut k: u64) -> u64 {
    k ^= k >> 33;
    k = k.wrapping_mul(0xff51_afd7_ed55_8ccd);
    k ^= k >> 33;
    k = k.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    k ^ (k >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Salt, identity, state of FNV-1a, mixed. Frozen: a change here is a new version of the hash.
    const VECTORS: [(&str, &str, u64, u64); 6] = [
        ("checkout-v2", "user-1", 0x392c_939d_0548_1875, 0x9511_0a52_187f_010f),
        ("checkout-v2", "user-2", 0x392c_909d_0548_135c, 0x2732_c226_b667_60c3),
        ("new-nav", "jane@example.com", 0x451d_0e82_b8f5_ba8e, 0xc26f_c1b9_fad2_8950),
        ("new-nav", "10.0.0.1", 0xf821_328a_be68_f00f, 0x9028_93ec_636e_8aa7),
        ("a", "b", 0xe5d2_9919_0426_66b2, 0xab78_f5ec_a36d_0e2b),
        ("ab", "", 0xe720_0319_0541_fc1e, 0x7e8e_852b_4867_1ad6),
    ];

    #[test]
    fn the_vectors_are_frozen() {
        for (salt, identity, state, mixed) in VECTORS {
            let mut hasher = FnvHasher::with_key(Salt::new(salt).0);
            hasher.write(identity.as_bytes());
            assert_eq!(hasher.finish(), state, "{salt} {identity}");
            assert_eq!(Salt::new(salt).point(identity.as_bytes()).bits(), mixed, "{salt} {identity}");
        }
    }

    #[test]
    fn a_draw_stays_inside_its_range() {
        for bits in [0, 1, u64::MAX, 0xffff_ffff, 0xffff_ffff_0000_0000] {
            assert!(Point(bits).exposure() < 1_000_000);
            for total in [1, 2, 3, 1_000_000, u32::MAX] {
                assert!(Point(bits).choice(total) < total);
            }
        }
        assert_eq!(Point(u64::MAX).exposure(), 999_999);
        assert_eq!(Point(0).exposure(), 0);
    }
}
