//! The published code books.

use std::borrow::Cow;

use super::CodeBook;

/// Dettmers et al., `QLoRA` (2023), as in bitsandbytes.
#[expect(
    clippy::excessive_precision,
    clippy::unreadable_literal,
    reason = "as published; the nearest f32 is meant"
)]
pub(super) static NF4: [f32; 16] = [
    -1.0,
    -0.6961928009986877,
    -0.5250730514526367,
    -0.39491748809814453,
    -0.28444138169288635,
    -0.18477343022823334,
    -0.09105003625154495,
    0.0,
    0.07958029955625534,
    0.16093020141124725,
    0.24611230194568634,
    0.33791524171829224,
    0.44070982933044434,
    0.5626170039176941,
    0.7229568362236023,
    1.0,
];

/// Yoshida, NF4 Isn't Information Theoretically Optimal (2023), block 64.
pub(super) static AF4: [f32; 16] = [
    -1.0,
    -0.694_410_1,
    -0.512_437_4,
    -0.373_695_1,
    -0.256_075_53,
    -0.149_824_78,
    -0.049_348_12,
    0.0,
    0.042_731_64,
    0.129_344_83,
    0.219_612_74,
    0.316_756_66,
    0.425_638_83,
    0.554_962_34,
    0.724_248_65,
    1.0,
];

pub(super) static BNB_FP4: [f32; 16] = [
    0.0,
    0.0625 / 12.0,
    8.0 / 12.0,
    1.0,
    4.0 / 12.0,
    6.0 / 12.0,
    2.0 / 12.0,
    3.0 / 12.0,
    -0.0,
    -0.0625 / 12.0,
    -8.0 / 12.0,
    -1.0,
    -4.0 / 12.0,
    -6.0 / 12.0,
    -2.0 / 12.0,
    -3.0 / 12.0,
];

pub(super) static IQ4_NL: [f32; 16] = [
    -127.0, -104.0, -83.0, -65.0, -49.0, -35.0, -22.0, -10.0, 1.0, 13.0, 25.0, 38.0, 53.0, 69.0,
    89.0, 113.0,
];

const fn bitmod(name: &'static str, values: &'static [f32]) -> CodeBook {
    CodeBook { name: Cow::Borrowed(name), values: Cow::Borrowed(values) }
}

/// The 3-bit types of `BitMoD` (2024): sign and magnitude over 0, 1, 2, 4, the redundant −0 replaced by ±3 (extra resolution) or ±6 (extra
/// asymmetry). One is chosen for each group.
pub static BITMOD3: [CodeBook; 4] = [
    bitmod("bitmod3+3", &[0.0, 1.0, 2.0, 4.0, 3.0, -1.0, -2.0, -4.0]),
    bitmod("bitmod3-3", &[0.0, 1.0, 2.0, 4.0, -3.0, -1.0, -2.0, -4.0]),
    bitmod("bitmod3+6", &[0.0, 1.0, 2.0, 4.0, 6.0, -1.0, -2.0, -4.0]),
    bitmod("bitmod3-6", &[0.0, 1.0, 2.0, 4.0, -6.0, -1.0, -2.0, -4.0]),
];

/// The 4-bit types of `BitMoD`: twice the e2m1 values, −0 replaced by ±10 or ±16.
pub static BITMOD4: [CodeBook; 4] = [
    bitmod("bitmod4+10", &e2m1_with(10.0)),
    bitmod("bitmod4-10", &e2m1_with(-10.0)),
    bitmod("bitmod4+16", &e2m1_with(16.0)),
    bitmod("bitmod4-16", &e2m1_with(-16.0)),
];

const fn e2m1_with(special: f32) -> [f32; 16] {
    [0.0, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, special, -1.0, -2.0, -3.0, -4.0, -6.0, -8.0, -12.0]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Standard normal quantile by bisection of the error function's integral.
    fn quantile(p: f64) -> f64 {
        let cdf = |x: f64| {
            // Simpson's rule from 0.
            let n = 2000;
            let h = x / f64::from(n);
            let density = |t: f64| (-t * t / 2.0).exp();
            let sum: f64 = (0..=n)
                .map(|i| {
                    let weight = if i == 0 || i == n { 1.0 } else { f64::from(2 + i % 2 * 2) };
                    weight * density(f64::from(i) * h)
                })
                .sum();
            0.5 + sum * h / 3.0 / (2.0 * std::f64::consts::PI).sqrt()
        };
        let (mut low, mut high) = (0.0, 8.0);
        for _ in 0..60 {
            let middle = f64::midpoint(low, high);
            if cdf(middle) < p { low = middle } else { high = middle }
        }
        low
    }

    /// The construction that bitsandbytes gives: 8 positive quantiles from 0.9677083 to 1/2 and 7 negative ones, over the largest.
    #[test]
    fn nf4_is_made_of_normal_quantiles() {
        let offset = 0.967_708_3;
        let spaced =
            |count: u32, i: u32| offset + (0.5 - offset) * f64::from(i) / f64::from(count - 1);
        let largest = quantile(offset);
        for i in 0..8 {
            let value = quantile(spaced(9, i)) / largest;
            assert!((value - f64::from(NF4[15 - i as usize])).abs() < 2e-7);
        }
        for i in 0..7 {
            let value = -quantile(spaced(8, i)) / largest;
            assert!((value - f64::from(NF4[i as usize])).abs() < 2e-7);
        }
    }

    /// What makes bit-serial `BitMoD` hardware possible.
    #[test]
    fn every_bitmod_value_is_a_sum_of_two_signed_powers_of_two() {
        let powers = || (0..5).map(|i| f32::from(1u8 << i)).chain([0.0]);
        for value in BITMOD3.iter().chain(&BITMOD4).flat_map(|book| book.values.iter()) {
            let two_terms =
                powers().any(|a| powers().any(|b| value.abs() == a + b || value.abs() == a - b));
            assert!(two_terms, "{value}");
        }
    }
}
