//! Conversion, one element at a time: what the other files must equal.

use half::f16;

use crate::lanes::canonical;

pub(super) fn f16_to_f32(x: &[u16], out: &mut [f32]) {
    for (out, &x) in out.iter_mut().zip(x) {
        *out = canonical(f16::from_bits(x).to_f32());
    }
}

pub(super) fn f32_to_f16(x: &[f32], out: &mut [u16]) {
    for (out, &x) in out.iter_mut().zip(x) {
        *out = f16::from_f32(canonical(x)).to_bits();
    }
}

/// A NaN keeps its payload.
#[inline(always)]
pub(super) fn bf16_value(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

#[inline(always)]
pub(super) fn bf16_bits(x: f32) -> u16 {
    let bits = x.to_bits();
    // Half of a unit, less the smallest bit where the upper half is even; a carry into the exponent is right.
    let rounded = bits.wrapping_add(0x7FFF + ((bits >> 16) & 1));
    if x.is_nan() { 0x7FC0 } else { (rounded >> 16) as u16 }
}
