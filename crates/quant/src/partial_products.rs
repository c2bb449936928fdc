//! How many partial products a multiplication by an 8-bit weight takes in hardware that makes one a cycle and skips zeros.
//!
//! The bit-weight dimension of "Exploring the Performance Improvement of Tensor Processing Engines through Transformation in the Bit-weight Dimension of
//! MACs" (HPCA 2025): the digits of a weight under an encoding, of which those that are not 0 cost a cycle each.

/// How a weight is written in digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Two's complement: digits 0 and 1, the last one negative.
    Binary,
    /// The bits of the magnitude; the sign costs nothing.
    SignMagnitude,
    /// Modified Booth: radix 4, digits −2 to 2 (`MacSorley` 1961).
    Booth4,
    /// The non-adjacent form: digits −1, 0 and 1, no two neighbours but one of them 0, the fewest that there can be (Reitwiesner 1960).
    Naf,
}

impl Encoding {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Binary, Self::SignMagnitude, Self::Booth4, Self::Naf];

    /// Its name, as options spell it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Binary => "binary",
            Self::SignMagnitude => "sign-magnitude",
            Self::Booth4 => "booth4",
            Self::Naf => "naf",
        }
    }

    /// How many digits of a weight are not 0.
    #[must_use]
    pub const fn digits(self, weight: i8) -> u32 {
        let x = weight as i32;
        match self {
            Self::Binary => weight.count_ones(),
            Self::SignMagnitude => weight.unsigned_abs().count_ones(),
            Self::Booth4 => {
                // Digit i is -2 b[2i+1] + b[2i] + b[2i-1]: 0 where the three bits are equal.
                let (mut digits, mut place) = (0, 0);
                while place < 8 {
                    let bits = ((x << 1) >> place) & 7;
                    digits += (bits != 0 && bits != 7) as u32;
                    place += 2;
                }
                digits
            }
            // The digits of x stand where 3x and x differ.
            Self::Naf => (x ^ (3 * x)).count_ones(),
        }
    }
}

/// The partial products of a matrix under one encoding.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PartialProducts {
    /// How weights are written.
    pub encoding: Encoding,
    /// The mean number of digits that are not 0; 0 where there are no weights.
    pub mean: f64,
    /// How many weights have each number of digits.
    pub counts: [u64; 9],
    /// The cycles of one product with the matrix: of each row `lanes` weights at a time, which go on together when the one with the most digits is
    /// done, at least one cycle.
    pub cycles: u64,
}

/// Counts the partial products of weights `[rows][columns]`.
///
/// # Panics
/// Where `columns` or `lanes` is 0, or the weights are no whole rows.
#[must_use]
pub fn partial_products(
    weights: &[i8],
    columns: usize,
    lanes: usize,
    encoding: Encoding,
) -> PartialProducts {
    assert!(columns > 0 && lanes > 0 && weights.len().is_multiple_of(columns), "whole rows");
    let mut counts = [0; 9];
    for &weight in weights {
        counts[encoding.digits(weight) as usize] += 1;
    }
    let total: u64 = (0..).zip(&counts).map(|(digits, count)| digits * count).sum();
    #[expect(clippy::cast_precision_loss, reason = "a mean")]
    let mean = total as f64 / weights.len().max(1) as f64;
    let groups = weights.chunks(columns).flat_map(|row| row.chunks(lanes));
    let slowest = groups.map(|group| -> u64 {
        group.iter().map(|&weight| encoding.digits(weight)).max().unwrap_or(0).max(1).into()
    });
    PartialProducts { encoding, mean, counts, cycles: slowest.sum() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Row 39 of the papers.
    #[test]
    fn row_39_uniform_int8_has_the_published_means() {
        let all: Vec<i8> = (i8::MIN..=i8::MAX).collect();
        let means = Encoding::ALL.map(|encoding| partial_products(&all, 256, 1, encoding).mean);
        // In 256ths, exact: 4, 3.504, 3 and 2.777.
        assert_eq!(means.map(|mean| mean * 256.0), [1024.0, 897.0, 768.0, 711.0]);
    }

    /// Against digits that are made one by one, from their definitions.
    #[test]
    fn digits_are_those_of_their_definitions() {
        for weight in i8::MIN..=i8::MAX {
            let mut rest = i32::from(weight);
            let mut naf = 0;
            while rest != 0 {
                // The digit that leaves a multiple of 4.
                let digit = if rest & 1 == 0 { 0 } else { 2 - rest.rem_euclid(4) };
                naf += u32::from(digit != 0);
                rest = (rest - digit) / 2;
            }
            assert_eq!(Encoding::Naf.digits(weight), naf, "{weight}");
            let bit = |place: i32| if place < 0 { 0 } else { i32::from(weight) >> place & 1 };
            let booth = (0..4).map(|i| -2 * bit(2 * i + 1) + bit(2 * i) + bit(2 * i - 1));
            assert_eq!(
                (0..4).zip(booth.clone()).map(|(i, digit)| digit << (2 * i)).sum::<i32>(),
                i32::from(weight)
            );
            let booth = booth.filter(|digit| *digit != 0).count();
            assert_eq!(Encoding::Booth4.digits(weight) as usize, booth, "{weight}");
        }
    }

    #[test]
    fn lanes_wait_for_the_slowest() {
        let products = partial_products(&[0, 1, 3, 7, 0, 0], 3, 2, Encoding::Binary);
        // 0 and 1; 3 alone; 7 and 0; 0 alone.
        assert_eq!(products.cycles, 1 + 2 + 3 + 1);
        assert_eq!(products.counts[..4], [3, 1, 1, 1]);
    }
}
