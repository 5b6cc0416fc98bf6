//! Chance for simulations: a seed gives the same numbers on every machine, since floats are only added, multiplied and
//! divided.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::should_implement_trait,
    reason = "what is counted here is small, and chances are not below 0"
)]

use std::array;

/// `SplitMix64`.
pub struct Chance(u64);

impl Chance {
    /// The same numbers for the same words.
    pub fn of(words: &[u64]) -> Self {
        let mut chance = Self(0);
        for word in words {
            chance.0 = chance.next() ^ word;
        }
        chance
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u32) -> u32 {
        (((self.next() >> 32) * u64::from(end)) >> 32) as u32
    }
}

/// So many requests come in while so many are due on average: a Poisson distribution, by its inverse.
pub struct Arrivals {
    /// The chance, in 2^64ths, of at most as many as the place says.
    at_most: Vec<u64>,
    /// The first place that a draw with this first byte can have.
    from: [u32; 256],
}

impl Arrivals {
    pub fn new(mean: f64) -> Self {
        let whole = 2_f64.powi(64);
        let (mut chance, mut sum, mut at_most) = (exp_of_minus(mean), 0.0, Vec::new());
        let mut count = 0.0;
        // Past the mean the sum ends where a further count no longer changes it.
        while count <= mean || sum + chance > sum {
            sum += chance;
            at_most.push((sum * whole) as u64);
            count += 1.0;
            chance *= mean / count;
        }
        let from = array::from_fn(|byte| at_most.partition_point(|bound| *bound <= (byte as u64) << 56) as u32);
        Self { at_most, from }
    }

    pub fn draw(&self, chance: &mut Chance) -> u32 {
        let draw = chance.next();
        let mut count = self.from[(draw >> 56) as usize];
        while self.at_most.get(count as usize).is_some_and(|bound| *bound <= draw) {
            count += 1;
        }
        count
    }
}

/// e^-x by its series, since what the platform offers may differ in the last bit.
fn exp_of_minus(x: f64) -> f64 {
    let small = x / 1_024.0;
    let (mut term, mut sum) = (1.0, 1.0);
    for n in 1..20 {
        term *= -small / f64::from(n);
        sum += term;
    }
    (0..10).fold(sum, |power, _| power * power)
}
