//! AVX-512: a block is two registers.

use std::arch::x86_64::*;

use super::{Group, SMALLEST};
use crate::matmul::activations::ActivationBlock;
use crate::matmul::layout::BLOCK;

/// See [`super`].
///
/// # Safety
/// As [`super::QuantizeActivationsFn`] says.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
pub(super) unsafe fn quantize_activations(
    x: *const f32,
    columns: usize,
    out: *mut ActivationBlock,
    stride: usize,
    group: Group,
) {
    for index in 0..columns.div_ceil(BLOCK) {
        let first = index * BLOCK;
        let values = u32::MAX >> (BLOCK - (columns - first).min(BLOCK));
        #[expect(clippy::cast_possible_truncation, reason = "the two halves of the mask")]
        let masks = (values as u16, (values >> 16) as u16);
        // SAFETY: the mask selects only values before `columns`.
        let (low, high) = unsafe {
            (
                _mm512_maskz_loadu_ps(masks.0, x.wrapping_add(first)),
                _mm512_maskz_loadu_ps(masks.1, x.wrapping_add(first + 16)),
            )
        };
        // SAFETY: block `index` may be written.
        unsafe { quantize_block(low, high, &mut *out.add(index * stride), group) };
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
fn quantize_block(low: __m512, high: __m512, out: &mut ActivationBlock, group: Group) {
    let amax = group.largest.unwrap_or_else(|| {
        let magnitude = |x: __m512| _mm512_castps_si512(_mm512_abs_ps(x));
        let amax = _mm512_max_epu32(magnitude(low), magnitude(high));
        f32::from_bits(_mm512_reduce_max_epu32(amax))
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
    let inverse = _mm512_set1_ps(group.top / amax);
    // Rounds to nearest, ties to even: the rounding mode that no code of ours changes.
    let code = |x: __m512| _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(_mm512_mul_ps(x, inverse)));
    let (low, high) = (code(low), code(high));
    let ones = _mm_set1_epi8(1);
    let sum = |codes: __m128i| _mm_dpbusd_epi32(_mm_setzero_si128(), ones, codes);
    // Quarter sums of both halves: [l0+l1, l2+l3, h0+h1, h2+h3], then [low, high, …].
    let halves = _mm_hadd_epi32(sum(low), sum(high));
    let halves = _mm_hadd_epi32(halves, halves);
    let halves = [_mm_extract_epi32::<0>(halves), _mm_extract_epi32::<1>(halves)];
    // SAFETY: `codes` has 32 bytes.
    unsafe {
        _mm_storeu_si128(out.codes.as_mut_ptr().cast(), low);
        _mm_storeu_si128(out.codes.as_mut_ptr().add(16).cast(), high);
    }
    out.set_sums(scale, halves);
}
