//! The specification: every other kernel returns these bits.

use super::{Group, SMALLEST};
use crate::matmul::activations::ActivationBlock;
use crate::matmul::layout::BLOCK;

/// The block of 32 values.
pub(super) fn quantize_block(x: &[f32; BLOCK], group: Group) -> ActivationBlock {
    let amax = group.largest.unwrap_or_else(|| {
        // As integers, magnitudes are ordered, with infinity and then every NaN above all numbers.
        f32::from_bits(x.iter().map(|value| value.abs().to_bits()).fold(0, u32::max))
    });
    if amax < SMALLEST {
        return ActivationBlock::ZERO;
    }
    if !amax.is_finite() {
        return ActivationBlock::new([0; BLOCK], f32::NAN);
    }
    let inverse = group.top / amax;
    #[expect(clippy::cast_possible_truncation, reason = "-top to top")]
    let codes = x.map(|value| (value * inverse).round_ties_even() as i8);
    ActivationBlock::new(codes, amax / group.top)
}

/// See [`super`].
///
/// # Safety
/// As [`super::QuantizeActivationsFn`] says.
pub(super) unsafe fn quantize_activations(
    x: *const f32,
    columns: usize,
    out: *mut ActivationBlock,
    stride: usize,
    group: Group,
) {
    // SAFETY: `x` has `columns` values.
    let x = unsafe { std::slice::from_raw_parts(x, columns) };
    for (index, values) in x.chunks(BLOCK).enumerate() {
        let mut padded = [0.0; BLOCK];
        padded[..values.len()].copy_from_slice(values);
        // SAFETY: block `index` may be written.
        unsafe { *out.add(index * stride) = quantize_block(&padded, group) };
    }
}
