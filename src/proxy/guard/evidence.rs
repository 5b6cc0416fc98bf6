//! Turns four counts into evidence: how many bits speak for it that one arm fails more often than the other.
//!
//! The one-sided log-likelihood ratio of two binomials (the G statistic) in fixed point. Never a float: the same
//! counts give the same evidence on every platform.

use tidegate_engine::value::share::Ppm;

/// Evidence in 1024ths of a bit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Evidence(u32);

impl Evidence {
    pub const NONE: Self = Self(0);
    /// What a verdict needs: judged four times a second, chance alone does not reach it in years.
    pub const ENOUGH: Self = Self(24 * 1_024);

    /// The evidence that `variant` fails more often than `baseline`; none if it does not.
    ///
    /// One failure is taken off the variant, so that none decides by itself: with few of them, chance reaches further
    /// than the formula says.
    #[must_use]
    pub fn of(variant: Ratio, baseline: Ratio) -> Self {
        let variant = Ratio { count: variant.count.saturating_sub(1), ..variant };
        if !variant.exceeds(baseline) {
            return Self::NONE;
        }
        let total = u64::from(variant.of).saturating_add(u64::from(baseline.of));
        // Beyond 2^26 requests all counts are halved until they fit: there the evidence is not in doubt.
        let surplus = total.checked_ilog2().unwrap_or_default().saturating_sub(25);
        let [nc, kc, nb, kb] =
            [variant.of, variant.count, baseline.of, baseline.count].map(|count| u64::from(count) >> surplus);
        let (n, k) = (nc.saturating_add(nb), kc.saturating_add(kb));
        let more = [kc, nc.saturating_sub(kc), kb, nb.saturating_sub(kb), n].map(x_log_x);
        let less = [nc, nb, k, n.saturating_sub(k)].map(x_log_x);
        let sum = |parts: &[u64]| parts.iter().fold(0_u128, |sum, part| sum.saturating_add(u128::from(*part)));
        let bits = sum(&more).saturating_sub(sum(&less)) >> 22;
        Self(u32::try_from(bits).unwrap_or(u32::MAX))
    }

    /// What a verdict needs if so many proxies each judge for themselves and can err: one more bit halves the chance.
    #[must_use]
    pub fn enough_for(proxies: u32) -> Self {
        let more = u32::try_from(log2(proxies.into()) >> 22).unwrap_or(u32::MAX);
        Self(Self::ENOUGH.0.saturating_add(more))
    }

    /// The evidence divided by a factor in 1024ths, for a sample that counts for less.
    #[must_use]
    pub fn divided(self, by: u64) -> Self {
        let bits = (u64::from(self.0) << 10).checked_div(by).unwrap_or(0);
        Self(u32::try_from(bits).unwrap_or(u32::MAX))
    }

    /// The evidence in tenths of a bit, rounded down.
    #[must_use]
    pub fn tenths(self) -> u32 {
        let tenths = u64::from(self.0).saturating_mul(10) >> 10;
        u32::try_from(tenths).unwrap_or(u32::MAX)
    }
}

/// Of so many requests, so many failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ratio {
    pub of: u32,
    pub count: u32,
}

impl Ratio {
    /// The ratio in parts per million, rounded down; 0 without requests.
    #[must_use]
    pub fn parts(self) -> u32 {
        let parts = u64::from(self.count).saturating_mul(1_000_000).checked_div(u64::from(self.of)).unwrap_or(0);
        u32::try_from(parts).unwrap_or(u32::MAX)
    }

    #[must_use]
    pub fn rate(self) -> Ppm {
        Ppm::of(self.parts())
    }

    /// Whether this ratio is greater, exactly. Without requests it counts as 0.
    #[must_use]
    pub fn exceeds(self, other: Self) -> bool {
        let cross = |a: Self, b: Self| u64::from(a.count).saturating_mul(u64::from(b.of.max(1)));
        cross(self, other) > cross(other, self)
    }
}

/// x log2 x with 32 bits behind the point, for x up to 2^26.
fn x_log_x(x: u64) -> u64 {
    x.saturating_mul(log2(x))
}

/// log2 of 1 + i/64 with 32 bits behind the point.
#[rustfmt::skip]
static LOGS: [u32; 64] = [
    0x0000_0000, 0x05b9_e5a1, 0x0b5d_69bb, 0x10eb_38a0, 0x1663_f6fb, 0x1bc8_4241, 0x2118_b11a, 0x2655_d3c5,
    0x2b80_3474, 0x3098_57a0, 0x359e_bc5b, 0x3a93_dc98, 0x3f78_2d72, 0x444c_1f6b, 0x4910_1eac, 0x4dc4_933b,
    0x5269_e12f, 0x5700_68e8, 0x5b88_8736, 0x6002_958c, 0x646e_ea24, 0x68cd_d82a, 0x6d1f_afdd, 0x7164_beb5,
    0x759d_4f81, 0x79c9_aa88, 0x7dea_15a3, 0x81fe_d45d, 0x8608_2807, 0x8a06_4fd5, 0x8df9_88f5, 0x91e2_0ea1,
    0x95c0_1a3a, 0x9993_e356, 0x9d5d_9fd5, 0xa11d_83f5, 0xa4d3_c25e, 0xa880_8c38, 0xac24_1135, 0xafbe_7fa1,
    0xb350_0472, 0xb6d8_cb54, 0xba58_feb2, 0xbdd0_c7ca, 0xc140_4eae, 0xc4a7_ba58, 0xc807_30b0, 0xcb5e_d695,
    0xceae_cfeb, 0xd1f7_3f9c, 0xd538_47ac, 0xd872_0936, 0xdba4_a47b, 0xded0_38e6, 0xe1f4_e517, 0xe512_c6e5,
    0xe829_fb69, 0xeb3a_9f02, 0xee44_cd5a, 0xf148_a170, 0xf446_359b, 0xf73d_a38e, 0xfa2f_045e, 0xfd1a_708c,
];

/// log2 with 32 bits behind the point; 0 for 0.
fn log2(x: u64) -> u64 {
    const LOG2_E: u64 = 0x1_7154_7653;
    let Some(exponent) = x.checked_ilog2() else { return 0 };
    // 1 <= mantissa < 2: the table has its first six bits, a short series the small rest.
    let mantissa = if exponent <= 32 { x << 32_u32.saturating_sub(exponent) } else { x >> exponent.saturating_sub(32) };
    let index = (mantissa >> 26) & 63;
    let near = (index | 64) << 26;
    let rest = (mantissa.saturating_sub(near) << 32).checked_div(near).unwrap_or(0);
    let power = |power: u64| power.saturating_mul(rest) >> 32;
    let (two, three, four) = (power(rest), power(power(rest)), power(power(power(rest))));
    let five = power(four);
    let up = rest.saturating_add(three.wrapping_div(3)).saturating_add(five.wrapping_div(5));
    let ln = up.saturating_sub(two >> 1).saturating_sub(four >> 2);
    let table = usize::try_from(index).ok().and_then(|index| LOGS.get(index)).copied().unwrap_or_default();
    (u64::from(exponent) << 32).saturating_add(u64::from(table)).saturating_add(ln.saturating_mul(LOG2_E >> 4) >> 28)
}

#[cfg(test)]
#[allow(
    clippy::float_arithmetic,
    clippy::cast_precision_loss,
    clippy::arithmetic_side_effects,
    reason = "floats are what it is held against"
)]
mod tests {
    use super::*;

    fn ratio(count: u32, of: u32) -> Ratio {
        Ratio { of, count }
    }

    fn in_floats(variant: Ratio, baseline: Ratio) -> f64 {
        let f = |x: f64| if x > 0.0 { x * x.log2() } else { 0.0 };
        let [nc, kc, nb, kb] = [variant.of, variant.count, baseline.of, baseline.count].map(f64::from);
        let kc = kc - 1.0;
        let (n, k) = (nc + nb, kc + kb);
        f(kc) + f(nc - kc) - f(nc) + f(kb) + f(nb - kb) - f(nb) - f(k) - f(n - k) + f(n)
    }

    #[test]
    fn logarithms_are_those_of_floats() {
        for x in (1..70_000_u64).chain((1..26).flat_map(|bit| [(1 << bit) - 1, 1 << bit, (1 << bit) + 12_345])) {
            let due = (x as f64).log2() * 4_294_967_296.0;
            assert!((log2(x) as f64 - due).abs() < 16.0, "{x}: {} {due}", log2(x));
        }
    }

    #[test]
    fn each_doubling_of_the_proxies_takes_one_bit_more() {
        for (proxies, tenths) in [(1, 240), (2, 250), (1_000, 339), (1_024, 340), (1_000_000, 439)] {
            assert_eq!(Evidence::enough_for(proxies).tenths(), tenths, "{proxies}");
        }
        assert_eq!(Evidence::enough_for(0), Evidence::ENOUGH);
    }

    #[test]
    fn evidence_is_that_of_floats() {
        for nc in [10, 37, 500, 6_000, 60_000, 600_000] {
            for nb in [10, 90, 9_999, 600_000] {
                for (kc, kb) in
                    [(2, 0), (nc / 2, nb / 100), (nc, 0), (nc, nb / 2), (nc / 20, nb / 100), (nc / 100 + 3, nb / 100)]
                {
                    let (variant, baseline) = (ratio(kc, nc), ratio(kb, nb));
                    if ratio(kc.saturating_sub(1), nc).exceeds(baseline) {
                        let found = f64::from(Evidence::of(variant, baseline).0) / 1_024.0;
                        let due = in_floats(variant, baseline);
                        assert!((found - due).abs() < 0.02, "{kc}/{nc} {kb}/{nb}: {found} {due}");
                    }
                }
            }
        }
    }

    #[test]
    fn no_worse_is_no_evidence() {
        assert_eq!(Evidence::of(ratio(0, 0), ratio(0, 0)), Evidence::NONE);
        assert_eq!(Evidence::of(ratio(5, 10), ratio(50, 100)), Evidence::NONE);
        assert_eq!(Evidence::of(ratio(1, 10), ratio(50, 100)), Evidence::NONE);
        assert!(Evidence::of(ratio(50, 100), ratio(1, 900)) > Evidence::ENOUGH);
        assert_eq!(Evidence::of(ratio(10, 10), ratio(0, 10)).tenths(), 151);
    }

    #[test]
    fn more_requests_than_fit_are_still_evidence() {
        let many = u32::MAX;
        assert!(Evidence::of(ratio(many / 2, many), ratio(many / 100, many)) > Evidence::ENOUGH);
        assert_eq!(Evidence::of(ratio(many, many), ratio(many, many)), Evidence::NONE);
    }
}
