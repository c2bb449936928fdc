//! Deterministic inputs: lengths at which kernels break, values at which functions break, and a seeded generator.

/// Floats at which kernels break: zeros, subnormals, the ends of the range, infinities, NaNs quiet, signalling and negative.
pub const SPECIAL_F32: [f32; 24] = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    f32::from_bits(1),           // the smallest subnormal
    f32::from_bits(0x8000_0001), // and its negative
    f32::from_bits(0x007F_FFFF), // the largest subnormal
    f32::MIN_POSITIVE,
    -f32::MIN_POSITIVE,
    f32::MAX,
    f32::MIN,
    f32::INFINITY,
    f32::NEG_INFINITY,
    f32::from_bits(0x7FC0_0000), // the default NaN of Arm
    f32::from_bits(0xFFC0_0000), // the default NaN of x86
    f32::from_bits(0x7F80_0001), // signalling
    f32::from_bits(0xFFC1_2345), // with a payload
    0.5,
    1.5,
    2.5,
    88.722_83,    // exp just below overflow
    -87.336_55,   // exp at the smallest normal
    -103.972_08,  // exp at the smallest subnormal
    16_777_217.0, // rounds to 2^24
];

/// Lengths around every multiple of 16 that a tail can go wrong at, up to a few tiles of 64: 0 to 130, then a few large ones.
pub fn lengths() -> impl Iterator<Item = usize> {
    (0..=130).chain([191, 192, 193, 255, 256, 257, 576, 1000, 1023, 1536, 4099])
}

/// 0, 1, and the lengths around the first three multiples of `tile`.
#[must_use]
pub fn lengths_around(tile: usize) -> Vec<usize> {
    let mut lengths = vec![0, 1];
    for multiple in 1..=3 {
        let at = tile * multiple;
        lengths.extend([at.saturating_sub(1), at, at + 1]);
    }
    lengths.push(tile * 3 + tile / 2 + 3);
    lengths.sort_unstable();
    lengths.dedup();
    lengths
}

/// A small seeded generator (`SplitMix64`, Steele, Lea and Flood 2014): the same numbers on every machine and in every version.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// The generator of this seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// 32 random bits.
    pub fn next_u32(&mut self) -> u32 {
        (self.next_u64() >> 32) as u32
    }

    /// A random byte.
    pub fn next_u8(&mut self) -> u8 {
        (self.next_u64() >> 56) as u8
    }

    /// A random signed byte.
    pub fn next_i8(&mut self) -> i8 {
        self.next_u8().cast_signed()
    }

    /// A number below `bound`; 0 where `bound` is 0. The bias of at most `bound / 2^64` does not matter to tests.
    #[expect(clippy::cast_possible_truncation, reason = "the result is below a usize")]
    pub fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next_u64()) * bound as u128) >> 64) as usize
    }

    /// Uniform in [0, 1), a multiple of 2^-53.
    #[expect(clippy::cast_precision_loss, reason = "53 bits are exact")]
    pub fn uniform_f64(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// Uniform in [low, high], rounded to f32.
    #[expect(clippy::cast_possible_truncation, reason = "rounded on purpose")]
    pub fn uniform(&mut self, low: f32, high: f32) -> f32 {
        (f64::from(low) + (f64::from(high) - f64::from(low)) * self.uniform_f64()) as f32
    }

    /// About normal with mean 0 and standard deviation 1: the sum of twelve uniforms less 6, so the same bits on every machine.
    #[expect(clippy::cast_possible_truncation, reason = "rounded on purpose")]
    pub fn normal(&mut self) -> f32 {
        ((0..12).map(|_| self.uniform_f64()).sum::<f64>() - 6.0) as f32
    }

    /// Any float at all: random bits.
    pub fn any_f32(&mut self) -> f32 {
        f32::from_bits(self.next_u32())
    }

    /// `len` values as of [`Rng::uniform`].
    pub fn uniform_vec(&mut self, len: usize, low: f32, high: f32) -> Vec<f32> {
        (0..len).map(|_| self.uniform(low, high)).collect()
    }

    /// `len` values as of [`Rng::normal`], times `sigma`.
    pub fn normal_vec(&mut self, len: usize, sigma: f32) -> Vec<f32> {
        (0..len).map(|_| self.normal() * sigma).collect()
    }

    /// `len` values about normal, one in eight of them replaced by one of [`SPECIAL_F32`].
    pub fn special_vec(&mut self, len: usize) -> Vec<f32> {
        (0..len)
            .map(|_| {
                if self.below(8) == 0 {
                    SPECIAL_F32[self.below(SPECIAL_F32.len())]
                } else {
                    self.normal()
                }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{Rng, lengths_around};

    #[test]
    fn the_generator_is_the_published_one() {
        // The first outputs of SplitMix64 for seed 1234567 (Rosetta Code, "Pseudo-random numbers/Splitmix64").
        let mut rng = Rng::new(1_234_567);
        assert_eq!(rng.next_u64(), 6_457_827_717_110_365_317);
        assert_eq!(rng.next_u64(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn moments() {
        let mut rng = Rng::new(7);
        let values = rng.normal_vec(100_000, 1.0);
        let mean = values.iter().sum::<f32>() / 1e5;
        let variance = values.iter().map(|x| x * x).sum::<f32>() / 1e5;
        assert!(mean.abs() < 0.02 && (variance - 1.0).abs() < 0.02, "{mean} {variance}");
        assert!((0..1000).all(|_| rng.below(3) < 3));
    }

    #[test]
    fn lengths_lie_around_the_tile() {
        assert_eq!(lengths_around(16), [0, 1, 15, 16, 17, 31, 32, 33, 47, 48, 49, 59]);
    }
}
