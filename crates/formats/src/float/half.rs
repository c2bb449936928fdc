//! The 16-bit floats: IEEE 754 binary16 (f16) and bfloat16, between their bits and `f32`.
//!
//! Every conversion from f32 rounds to nearest, ties to even, overflows to infinity, and keeps subnormals. Every NaN becomes the positive
//! quiet NaN without a payload.

use super::CANONICAL_NAN;

const F32_INFINITY: u32 = 0x7F80_0000;

/// The value of the binary16 number with these bits.
#[must_use]
#[inline]
pub const fn f16_to_f32(bits: u16) -> f32 {
    let sign = ((bits & 0x8000) as u32) << 16;
    let magnitude = (bits & 0x7FFF) as u32;
    if magnitude > 0x7C00 {
        return CANONICAL_NAN;
    }
    if magnitude == 0x7C00 {
        return f32::from_bits(sign | F32_INFINITY);
    }
    // The exponent field moves from 5 to 8 bits; the power of two makes up for the biases and renormalizes subnormals.
    let scaled = f32::from_bits(magnitude << 13) * f32::from_bits((254 - 15) << 23);
    f32::from_bits(sign | scaled.to_bits())
}

/// The bits of the binary16 number nearest to `value`.
#[must_use]
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the fields are placed within 16 bits")]
pub const fn f32_to_f16(value: f32) -> u16 {
    let bits = value.to_bits();
    let sign = (bits >> 16) as u16 & 0x8000;
    let magnitude = bits & 0x7FFF_FFFF;
    if magnitude > F32_INFINITY {
        return 0x7E00;
    }
    // 65520, the midpoint of the largest number and the next power of two.
    if magnitude >= 0x477F_F000 {
        return sign | 0x7C00;
    }
    // Below 2^-14, the smallest normal number, adding 0.5 makes the unit in the last place 2^-24, that of f16 subnormals.
    if magnitude < 0x3880_0000 {
        let shifted = f32::from_bits(magnitude) + 0.5;
        return sign | (shifted.to_bits() - 0.5f32.to_bits()) as u16;
    }
    let rebiased = magnitude - ((127 - 15) << 23);
    sign | ((rebiased + 0x0FFF + ((rebiased >> 13) & 1)) >> 13) as u16
}

/// The value of the bfloat16 number with these bits.
#[must_use]
#[inline]
pub const fn bf16_to_f32(bits: u16) -> f32 {
    super::canonical(f32::from_bits((bits as u32) << 16))
}

/// The bits of the bfloat16 number nearest to `value`.
#[must_use]
#[inline]
pub const fn f32_to_bf16(value: f32) -> u16 {
    let bits = value.to_bits();
    if value.is_nan() {
        return 0x7FC0;
    }
    ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(ours: f32, theirs: f32) -> bool {
        ours.to_bits() == theirs.to_bits() || (ours.is_nan() && theirs.is_nan())
    }

    #[test]
    fn every_code_decodes_as_the_half_crate_does_and_returns_to_itself() {
        for bits in 0..=u16::MAX {
            let f16 = ::half::f16::from_bits(bits);
            let bf16 = ::half::bf16::from_bits(bits);
            assert!(same(f16_to_f32(bits), f16.to_f32()), "f16 {bits:#06x}");
            assert!(same(bf16_to_f32(bits), bf16.to_f32()), "bf16 {bits:#06x}");
            if f16.is_nan() {
                assert_eq!(f16_to_f32(bits).to_bits(), CANONICAL_NAN.to_bits());
            } else {
                assert_eq!(f32_to_f16(f16_to_f32(bits)), bits);
            }
            if bf16.is_nan() {
                assert_eq!(bf16_to_f32(bits).to_bits(), CANONICAL_NAN.to_bits());
            } else {
                assert_eq!(f32_to_bf16(bf16_to_f32(bits)), bits);
            }
        }
    }

    /// Every f32 whose low 8 bits are 0, 1, 0x80 or 0xFF: all ties of both formats and their neighbours.
    #[test]
    fn encoding_rounds_as_the_half_crate_does() {
        for high in 0..1u32 << 24 {
            for low in [0, 1, 0x80, 0xFF] {
                let value = f32::from_bits(high << 8 | low);
                if value.is_nan() {
                    assert_eq!((f32_to_f16(value), f32_to_bf16(value)), (0x7E00, 0x7FC0));
                    continue;
                }
                assert_eq!(f32_to_f16(value), ::half::f16::from_f32(value).to_bits(), "{value:e}");
                assert_eq!(
                    f32_to_bf16(value),
                    ::half::bf16::from_f32(value).to_bits(),
                    "{value:e}"
                );
            }
        }
    }
}
