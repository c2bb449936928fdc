//! L-Mul: multiplication without multiplying mantissas (Luo and Sun, "Addition is All You Need", 2024).
//!
//! (1 + x) 2^i × (1 + y) 2^j is replaced by (1 + x + y + 2^−l) 2^(i + j): one integer addition of the bit patterns. An emulation for studies of
//! accuracy; on a CPU it is slower than a multiplication.

use crate::float::{Float, canonical};

/// What happens where 1 + x + y + 2^−l reaches 2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum LMulVariant {
    /// The formula of the paper as it stands.
    Linear,
    /// The carry of the integer addition goes into the exponent, where the mantissa counts twice: what one adder does.
    #[default]
    Carry,
}

/// A multiplication of numbers whose mantissas have `mantissa_bits` bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LMul {
    mantissa_bits: u8,
    variant: LMulVariant,
}

const F32_MANTISSA_BITS: u32 = 23;
const F32_ONE: i64 = 0x3F80_0000;
const F32_INFINITY: i64 = 0x7F80_0000;

impl LMul {
    /// For mantissas of 1 to 23 bits, to which operands are rounded (to nearest even) first.
    ///
    /// # Panics
    /// Where `mantissa_bits` is not 1 to 23.
    #[must_use]
    pub const fn new(mantissa_bits: u8, variant: LMulVariant) -> Self {
        assert!(mantissa_bits >= 1 && mantissa_bits <= 23, "mantissas have 1 to 23 bits");
        Self { mantissa_bits, variant }
    }

    /// l: the mantissa bits up to 3, then 3 for 4 bits and 4 for more.
    #[must_use]
    pub const fn offset(self) -> u32 {
        match self.mantissa_bits {
            bits @ 0..=3 => bits as u32,
            4 => 3,
            _ => 4,
        }
    }

    /// The product. Subnormal operands count as 0, results below the normal numbers become 0, above them infinity; with an infinite or NaN operand
    /// it is the true product.
    #[must_use]
    pub fn multiply(self, a: f32, b: f32) -> f32 {
        if !a.is_finite() || !b.is_finite() {
            return canonical(a * b);
        }
        let sign = (a.to_bits() ^ b.to_bits()) & 0x8000_0000;
        let (Some(x), Some(y)) = (self.rounded_magnitude(a), self.rounded_magnitude(b)) else {
            return f32::from_bits(sign);
        };
        let offset = 1i64 << (F32_MANTISSA_BITS - self.offset());
        let magnitude = match self.variant {
            LMulVariant::Carry => {
                let sum = x + y - F32_ONE + offset;
                u32::try_from(sum.min(F32_INFINITY)).unwrap_or(0)
            }
            LMulVariant::Linear => {
                let mantissa = |bits: i64| bits & ((1 << F32_MANTISSA_BITS) - 1);
                let exponent = |bits: i64| (bits >> F32_MANTISSA_BITS) - 127;
                #[expect(clippy::cast_precision_loss, reason = "26 bits")]
                let significand =
                    ((1 << F32_MANTISSA_BITS) + mantissa(x) + mantissa(y) + offset) as f64;
                let power = exponent(x) + exponent(y) - i64::from(F32_MANTISSA_BITS);
                #[expect(clippy::cast_possible_truncation, reason = "rounds")]
                let value = (significand * crate::float::power_of_two(power)) as f32;
                value.to_bits()
            }
        };
        let is_normal = magnitude >= 1 << F32_MANTISSA_BITS;
        f32::from_bits(sign | if is_normal { magnitude } else { 0 })
    }

    /// The bits of the magnitude with a mantissa of so few bits; `None` for zero and subnormal numbers.
    fn rounded_magnitude(self, value: f32) -> Option<i64> {
        let bits = value.to_bits() & 0x7FFF_FFFF;
        if bits < 1 << F32_MANTISSA_BITS {
            return None;
        }
        let dropped = F32_MANTISSA_BITS - u32::from(self.mantissa_bits);
        if dropped == 0 {
            return Some(bits.into());
        }
        let rounded = bits + (1 << (dropped - 1)) - 1 + (bits >> dropped & 1);
        Some(i64::from(rounded >> dropped << dropped))
    }

    /// The sum of the products in f32, in order.
    #[must_use]
    pub fn dot(self, a: &[f32], b: &[f32]) -> f32 {
        a.iter().zip(b).fold(0.0, |sum, (&a, &b)| sum + self.multiply(a, b))
    }
}

/// The product of two codes of a signed float format by one integer addition ([`LMulVariant::Carry`]); saturating, without subnormal numbers. An
/// operand that is no finite number gives NaN, or the largest number where the format has none.
#[must_use]
pub fn multiply_codes(float: &Float, a: u32, b: u32) -> u32 {
    let sign_bit = 1u32 << (float.bits() - 1);
    let negative = (a ^ b) & sign_bit != 0;
    let magnitudes = [a, b].map(|code| code & (sign_bit - 1));
    if magnitudes.iter().any(|&magnitude| magnitude > float.max_magnitude()) {
        return float.nan().unwrap_or(float.max_magnitude());
    }
    let implicit = 1i64 << float.mantissa_bits;
    if magnitudes.iter().any(|&magnitude| i64::from(magnitude) < implicit) {
        return 0;
    }
    let lmul = LMul::new(float.mantissa_bits.max(1), LMulVariant::Carry);
    let offset = implicit >> lmul.offset();
    let sum = i64::from(magnitudes[0]) + i64::from(magnitudes[1])
        - (i64::from(float.bias) << float.mantissa_bits)
        + offset;
    if sum < implicit {
        return 0;
    }
    let magnitude = u32::try_from(sum).unwrap_or(u32::MAX).min(float.max_magnitude());
    if negative { magnitude | sign_bit } else { magnitude }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mean, mean magnitude and maximum of the relative error over all pairs of mantissas.
    fn errors(mantissa_bits: u8, variant: LMulVariant) -> [f64; 3] {
        let lmul = LMul::new(mantissa_bits, variant);
        // More bits than 9 are as good as continuous.
        let steps = 1u32 << mantissa_bits.min(9);
        let value = |k: u32| {
            1.0 + (f64::from(k) + if mantissa_bits > 9 { 0.5 } else { 0.0 }) / f64::from(steps)
        };
        let mut sums = [0.0f64; 3];
        for x in 0..steps {
            for y in 0..steps {
                let exact = value(x) * value(y);
                #[expect(clippy::cast_possible_truncation, reason = "exact")]
                let product = lmul.multiply(value(x) as f32, value(y) as f32);
                let error = f64::from(product) / exact - 1.0;
                sums[0] += error / f64::from(steps * steps);
                sums[1] += error.abs() / f64::from(steps * steps);
                sums[2] = sums[2].max(error.abs());
            }
        }
        sums.map(|error| error * 100.0)
    }

    /// Row 1 of the papers: the published table of errors.
    #[test]
    fn row_1_errors_over_all_mantissas_are_those_of_the_table() {
        use LMulVariant::{Carry, Linear};
        for (mantissa_bits, variant, [mean, mean_magnitude, max]) in [
            (2, Linear, [8.6, 11.1, 25.0]),
            (2, Carry, [14.7, 14.7, 25.0]),
            (3, Linear, [-1.0, 6.9, 18.2]),
            (3, Carry, [4.9, 5.2, 12.5]),
            (4, Linear, [-2.2, 6.9, 20.1]),
            (4, Carry, [4.9, 5.1, 12.5]),
            // The supremum, at x = y = 1, is 1 − 3.0625 / 4.
            (23, Linear, [-6.4, 7.6, 23.4]),
            (23, Carry, [0.41, 2.66, 7.29]),
        ] {
            let actual = errors(mantissa_bits, variant);
            for (actual, expected) in actual.iter().zip([mean, mean_magnitude, max]) {
                assert!(
                    (actual - expected).abs() < 0.11,
                    "{mantissa_bits} {variant:?}: {actual:?}"
                );
            }
        }
    }

    /// The claim that L-Mul with 4-bit mantissas matches products of e4m3 numbers, and with 3-bit mantissas beats e5m2: measured over mantissas,
    /// mean relative error. Neither holds for the adder.
    #[test]
    fn row_1_l_mul_with_4_bits_against_products_of_e4m3_and_3_bits_against_e5m2() {
        let rounded_product = |mantissa_bits: u8| {
            let steps = 1u32 << 9;
            let lmul = LMul::new(mantissa_bits, LMulVariant::Carry);
            let round = |k: u32| {
                #[expect(clippy::cast_possible_truncation, reason = "exact")]
                let value = (1.0 + (f64::from(k) + 0.5) / f64::from(steps)) as f32;
                let bits = u32::try_from(lmul.rounded_magnitude(value).unwrap()).unwrap();
                (f64::from(value), f64::from(f32::from_bits(bits)))
            };
            let mut sums = (0.0, 0.0);
            for x in 0..steps {
                for y in 0..steps {
                    let ((x, rounded_x), (y, rounded_y)) = (round(x), round(y));
                    #[expect(clippy::cast_possible_truncation, reason = "exact")]
                    let approximate = f64::from(lmul.multiply(rounded_x as f32, rounded_y as f32));
                    sums.0 += (rounded_x * rounded_y / (x * y) - 1.0).abs();
                    sums.1 += (approximate / (x * y) - 1.0).abs();
                }
            }
            let pairs = f64::from(steps * steps);
            (sums.0 / pairs, sums.1 / pairs)
        };
        let (e5m2_product, _) = rounded_product(2);
        let (e4m3_product, lmul_3_bits) = rounded_product(3);
        let (_, lmul_4_bits) = rounded_product(4);
        assert!(lmul_4_bits > e4m3_product, "{lmul_4_bits} {e4m3_product}");
        assert!(lmul_3_bits < 1.05 * e5m2_product, "{lmul_3_bits} {e5m2_product}");
    }

    #[test]
    fn special_operands_and_ranges() {
        let lmul = LMul::new(23, LMulVariant::Carry);
        assert_eq!(lmul.multiply(0.0, -3.0).to_bits(), (-0.0f32).to_bits());
        assert_eq!(lmul.multiply(1e-40, 3.0), 0.0);
        assert_eq!(lmul.multiply(1e-20, 1e-20), 0.0);
        assert_eq!(lmul.multiply(-1e30, 1e30), f32::NEG_INFINITY);
        assert_eq!(lmul.multiply(f32::INFINITY, -2.0), f32::NEG_INFINITY);
        assert!(lmul.multiply(f32::INFINITY, 0.0).is_nan());
        assert_eq!(lmul.multiply(1.0, 1.0), 1.0625);
        assert_eq!(lmul.dot(&[1.0, 2.0], &[1.0, -1.0]), -1.0625);
    }

    /// Codes of e4m3fn multiply as their values do with 3-bit mantissas, for every pair of normal numbers.
    #[test]
    fn codes_multiply_as_values_do() {
        let float = Float::E4M3FN;
        let lmul = LMul::new(3, LMulVariant::Carry);
        for a in 0..=255u32 {
            for b in 0..=255u32 {
                let values = [a, b].map(|code| float.decode(code));
                if values.iter().any(|value| value.is_nan() || value.abs() < 2f64.powi(-6)) {
                    continue;
                }
                #[expect(clippy::cast_possible_truncation, reason = "exact")]
                let expected = f64::from(lmul.multiply(values[0] as f32, values[1] as f32));
                let actual = float.decode(multiply_codes(&float, a, b));
                if expected.abs() < 2f64.powi(-6) {
                    assert_eq!(actual, 0.0);
                } else {
                    assert_eq!(actual, expected.clamp(-448.0, 448.0), "{a:#x} {b:#x}");
                }
            }
        }
        assert_eq!(multiply_codes(&float, 0x7F, 0x38), 0x7F);
    }
}
