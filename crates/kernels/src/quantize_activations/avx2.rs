//! AVX2: a block is four registers.

use std::arch::x86_64::*;

use super::{Group, SMALLEST};
use crate::matmul::activations::ActivationBlock;
use crate::matmul::layout::BLOCK;

/// See [`super`].
///
/// # Safety
/// As [`super::QuantizeActivationsFn`] says.
#[target_feature(enable = "avx2,fma")]
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
#[target_feature(enable = "avx2,fma")]
unsafe fn quantize_block(x: *const f32, out: &mut ActivationBlock, group: Group) {
    // SAFETY: 8 values each, of 32.
    let x = [0, 8, 16, 24].map(|first| unsafe { _mm256_loadu_ps(x.add(first)) });
    let amax = group.largest.unwrap_or_else(|| largest(x));
    if amax < SMALLEST {
        *out = ActivationBlock::ZERO;
        return;
    }
    if !amax.is_finite() {
        *out = ActivationBlock::new([0; BLOCK], f32::NAN);
        return;
    }
    let scale = amax / group.top;
    let inverse = _mm256_set1_ps(group.top / amax);
    // Rounds to nearest, ties to even: the rounding mode that no code of ours changes.
    let [a, b, c, d] = x.map(|x| _mm256_cvtps_epi32(_mm256_mul_ps(x, inverse)));
    // The packs interleave 128-bit lanes: dwords a0 b0 c0 d0 | a1 b1 c1 d1 of 4 codes each.
    let codes = _mm256_packs_epi16(_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d));
    let codes = _mm256_permutevar8x32_epi32(codes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
    let pairs = _mm256_maddubs_epi16(_mm256_set1_epi8(1), codes);
    let quads = _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
    let quads = _mm256_hadd_epi32(quads, quads);
    let halves = _mm256_hadd_epi32(quads, quads);
    let halves = [_mm256_extract_epi32::<0>(halves), _mm256_extract_epi32::<4>(halves)];
    // SAFETY: `codes` has 32 bytes.
    unsafe { _mm256_storeu_si256(out.codes.as_mut_ptr().cast(), codes) };
    out.set_sums(scale, halves);
}

/// The largest magnitude. As integers, magnitudes are ordered.
#[inline]
#[target_feature(enable = "avx2")]
fn largest(x: [__m256; 4]) -> f32 {
    let magnitude_bits = _mm256_set1_epi32(0x7FFF_FFFF);
    let amax = x.map(|x| _mm256_and_si256(_mm256_castps_si256(x), magnitude_bits));
    let amax = amax.into_iter().fold(_mm256_setzero_si256(), |a, b| _mm256_max_epu32(a, b));
    let amax = _mm_max_epu32(_mm256_castsi256_si128(amax), _mm256_extracti128_si256::<1>(amax));
    let amax = _mm_max_epu32(amax, _mm_shuffle_epi32::<0b00_00_11_10>(amax));
    let amax = _mm_max_epu32(amax, _mm_shuffle_epi32::<0b00_00_00_01>(amax));
    f32::from_bits(_mm_cvtsi128_si32(amax).cast_unsigned())
}
