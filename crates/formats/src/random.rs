//! Random bits as a function of a seed and an index, so that they depend neither on the order of evaluation nor on the number of threads or
//! SIMD lanes.
//!
//! The function is the 32-bit permutation `triple32` of Chris Wellons' hash prospector (mean avalanche bias 0.021 bits in 1000) over the low
//! half of the index, with a 64-bit key, made of the seed and the high half of the index, added in two places. It costs three 32-bit
//! multiplications, which every instruction set has; Philox costs ten rounds of wide ones.

/// The key of the random bits of 2^32 consecutive indices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RandomKey {
    /// Added to the low half of the index.
    pub first: u32,
    /// Added after the first round.
    pub second: u32,
}

impl RandomKey {
    /// The key of a seed and the high half of an index.
    #[must_use]
    pub const fn new(seed: u64, index_high: u32) -> Self {
        // The output function of SplitMix64, so that near seeds give unrelated keys.
        let mut key =
            seed.wrapping_add((index_high as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        key = (key ^ (key >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        key = (key ^ (key >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        key ^= key >> 31;
        #[expect(clippy::cast_possible_truncation, reason = "the two halves")]
        Self { first: key as u32, second: (key >> 32) as u32 }
    }

    /// 32 random bits for the low half of an index.
    #[must_use]
    #[inline]
    pub const fn bits(self, index_low: u32) -> u32 {
        let mut x = index_low.wrapping_add(self.first);
        x ^= x >> 17;
        x = x.wrapping_mul(0xED5A_D4BB).wrapping_add(self.second);
        x ^= x >> 11;
        x = x.wrapping_mul(0xAC4C_1B51);
        x ^= x >> 15;
        x = x.wrapping_mul(0x3184_8BAB);
        x ^ x >> 14
    }
}

/// 32 random bits for an index.
#[must_use]
#[inline]
pub const fn random_bits(seed: u64, index: u64) -> u32 {
    #[expect(clippy::cast_possible_truncation, reason = "the two halves")]
    RandomKey::new(seed, (index >> 32) as u32).bits(index as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_seeds_repeat_and_others_do_not() {
        let draws = |seed| (0..64).map(|i| random_bits(seed, i)).collect::<Vec<_>>();
        assert_eq!(draws(7), draws(7));
        for (a, b) in draws(7).iter().zip(draws(8)) {
            assert_ne!(*a, b);
        }
        assert_ne!(random_bits(7, 5), random_bits(7, 5 + (1 << 32)));
    }

    /// Bits are fair and pairs of neighbours, of one seed and of two, are independent: chi-square with 255 degrees of freedom.
    #[test]
    fn bytes_of_neighbours_are_uniform_and_independent() {
        let draws = 1u32 << 18;
        let chi_square = |count_of: &dyn Fn(u64) -> u8| {
            let mut counts = [0u32; 256];
            for index in 0..u64::from(draws) {
                counts[usize::from(count_of(index))] += 1;
            }
            let expected = f64::from(draws) / 256.0;
            counts.iter().map(|&c| (f64::from(c) - expected).powi(2) / expected).sum::<f64>()
        };
        let byte = |bits: u32, k: usize| bits.to_le_bytes()[k];
        for k in 0..4 {
            // 255 ± 6 standard deviations of √510.
            let fair = 255.0 - 136.0..255.0 + 136.0;
            assert!(fair.contains(&chi_square(&|i| byte(random_bits(1, i), k))));
            let neighbours = |i| byte(random_bits(1, i), k) ^ byte(random_bits(1, i + 1), k);
            assert!(fair.contains(&chi_square(&neighbours)));
            let seeds = |i| byte(random_bits(1, i), k) ^ byte(random_bits(2, i), k);
            assert!(fair.contains(&chi_square(&seeds)));
        }
    }
}
