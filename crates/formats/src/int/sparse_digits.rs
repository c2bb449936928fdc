//! Fixed-point numbers with at most k non-zero digits: products with them are k shifts and additions.

use super::low_mask;

/// Numbers of `bits` bits in two's complement whose magnitude is the sum of at most `terms` powers of two, times 2^−`fraction_bits`.
///
/// Rounding toward zero into the k-hot numbers keeps the k most significant ones of the magnitude (QFX, "k-hot"). Signed digits also allow
/// differences, 7 = 8 − 1: the numbers whose non-adjacent form has at most k non-zero digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SparseDigits {
    /// The width of a code: 2 to 16.
    pub bits: u8,
    /// The most non-zero digits: at least 1.
    pub terms: u8,
    /// How many bits stand behind the binary point.
    pub fraction_bits: i8,
    /// Whether digits may be −1.
    pub signed_digits: bool,
}

impl SparseDigits {
    /// Whether the fields make a format.
    #[must_use]
    pub const fn is_valid(self) -> bool {
        self.bits >= 2
            && self.bits <= 16
            && self.terms >= 1
            && self.fraction_bits.unsigned_abs() <= 64
    }

    /// Whether an integer has few enough digits.
    pub(crate) const fn contains(self, integer: i32) -> bool {
        let magnitude = integer.unsigned_abs();
        let ones = if self.signed_digits {
            // The non-zero digits of the non-adjacent form stand where n and 3 n differ.
            (magnitude ^ (3 * magnitude)).count_ones()
        } else {
            magnitude.count_ones()
        };
        ones <= self.terms as u32
    }

    /// The integers, rising, with their codes.
    pub(crate) fn integers(self) -> impl Iterator<Item = (i32, u32)> {
        let max = (1i32 << (self.bits - 1)) - 1;
        (-max..=max)
            .filter(move |&integer| self.contains(integer))
            .map(move |integer| (integer, integer.cast_unsigned() & low_mask(self.bits)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_8_bit_tables_are_those_counted_by_hand() {
        let count = |terms, signed_digits| {
            SparseDigits { bits: 8, terms, fraction_bits: 0, signed_digits }.integers().count()
        };
        // Σ_{i ≤ k} C(7, i) magnitudes, of which zero counts once.
        assert_eq!([count(1, false), count(2, false), count(3, false)], [15, 57, 127]);
        assert_eq!(count(7, false), 255);
        // Powers of two; with two terms also their sums and differences.
        assert_eq!(count(1, true), 15);
        let by_hand = (-127i32..=127)
            .filter(|n| {
                let powers = [0, 1, 2, 4, 8, 16, 32, 64, 128];
                powers.iter().any(|a| powers.iter().any(|b| n.abs() == a + b || n.abs() == a - b))
            })
            .count();
        assert_eq!(count(2, true), by_hand);
    }
}
