//! NEON: a block is eight registers.

use std::arch::aarch64::*;

use super::{Group, SMALLEST};
use crate::matmul::activations::ActivationBlock;
use crate::matmul::layout::BLOCK;

/// See [`super`].
///
/// # Safety
/// As [`super::QuantizeActivationsFn`] says.
#[target_feature(enable = "neon")]
pub(super) unsafe fn quantize_activations(
    x: *const f32,
    columns: usize,
    out: *mut ActivationBlock,
    stride: usize,
    group: Group,
) {
    for index in 0..columns.div_ceil(BLOCK) {
        let left = columns - index * BLOCK;
        let mut padded = [0.0; BLOCK];
        let from = x.wrapping_add(index * BLOCK);
        let from = if left < BLOCK {
            // SAFETY: `left` values are left, fewer than `padded` has.
            unsafe { std::ptr::copy_nonoverlapping(from, padded.as_mut_ptr(), left) };
            padded.as_ptr()
        } else {
            from
        };
        // SAFETY: 32 values are at `from`, and block `index` may be written.
        unsafe { quantize_block(from, &mut *out.add(index * stride), group) };
    }
}

/// # Safety
/// `x` has 32 values.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn quantize_block(x: *const f32, out: &mut ActivationBlock, group: Group) {
    // SAFETY: 4 values each, of 32.
    let x: [_; 8] = std::array::from_fn(|index| unsafe { vld1q_f32(x.add(4 * index)) });
    let amax = group.largest.unwrap_or_else(|| {
        let amax = x.map(|x| vreinterpretq_u32_f32(vabsq_f32(x)));
        let amax = amax.into_iter().fold(vdupq_n_u32(0), |a, b| vmaxq_u32(a, b));
        f32::from_bits(vmaxvq_u32(amax))
    });
    if amax < SMALLEST {
        *out = ActivationBlock::ZERO;
        return;
    }
    if !amax.is_finite() {
        *out = ActivationBlock::new([0; BLOCK], f32::NAN);
        return;
    }
    let scale = amax / group.top;
    let inverse = group.top / amax;
    let codes = x.map(|x| vmovn_s32(vcvtnq_s32_f32(vmulq_n_f32(x, inverse))));
    let mut halves = [0; 2];
    for half in 0..2 {
        let [a, b, c, d] = [0, 1, 2, 3].map(|index| codes[4 * half + index]);
        let (low, high) = (vcombine_s16(a, b), vcombine_s16(c, d));
        halves[half] = i32::from(vaddvq_s16(vaddq_s16(low, high)));
        let codes = vcombine_s8(vmovn_s16(low), vmovn_s16(high));
        // SAFETY: `codes` has 16 bytes for each half.
        unsafe { vst1q_s8(out.codes.as_mut_ptr().add(16 * half), codes) };
    }
    out.set_sums(scale, halves);
}
