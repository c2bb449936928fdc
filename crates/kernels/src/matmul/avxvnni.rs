//! AVX-VNNI: as [`super::avx2`], with the 4-way integer dot product.

use std::arch::x86_64::*;

use super::activations::ActivationBlock;
use super::avx2::{BlockScales, load_codes, load_scales, prefetch, store};
use super::{Layout, Product, Step, Terms};

/// See [`super`].
///
/// # Safety
/// As [`Product`] says.
#[target_feature(enable = "avx2,fma,f16c,avxvnni")]
pub(super) unsafe fn matmul<L: Layout>(product: &Product<ActivationBlock>) {
    for step in product.steps(&[4, 2, 1]) {
        // SAFETY: a step of a valid product has as many tokens as it says.
        unsafe {
            match step.tokens {
                4 => tokens::<L, 4>(&step),
                2 => tokens::<L, 2>(&step),
                _ => tokens::<L, 1>(&step),
            }
        }
    }
}

/// # Safety
/// `step` is of a valid product and has `T` tokens.
#[target_feature(enable = "avx2,fma,f16c,avxvnni")]
unsafe fn tokens<L: Layout, const T: usize>(step: &Step<ActivationBlock>) {
    let offset = const { L::SPEC.codes.offset() };
    let terms = Terms::<L>::new(step, offset);
    // One token leaves registers for all 16 rows, so that the weights are read in one go.
    let passes: &[&[usize]] = if T == 1 { &[&[0, 1]] } else { &[&[0], &[1]] };
    for &halves in passes {
        let mut acc = [[_mm256_setzero_ps(); T]; 2];
        for block in step.blocks::<L>() {
            if T == 1 {
                prefetch::<L>(&block);
            }
            // SAFETY: the step has `T` tokens.
            let [even, odd] = unsafe { block.activations::<T>() };
            for &half in halves {
                // SAFETY: the block is of a valid product.
                let (codes, scales) = unsafe {
                    (load_codes::<L, false>(&block, half), load_scales::<L>(&block, half))
                };
                for t in 0..T {
                    let acc = &mut acc[half][t];
                    *acc = accumulate(*acc, &codes, &scales, &terms, [&even[t], &odd[t]]);
                }
            }
        }
        for &half in halves {
            for t in 0..T {
                // SAFETY: token `t` is one of the step's.
                unsafe { store(step, t, half, acc[half][t]) };
            }
        }
    }
}

/// Adds one block of one token, given twice ([`Block::activations`]).
#[inline]
#[target_feature(enable = "avx2,fma,f16c,avxvnni")]
fn accumulate<L: Layout>(
    mut acc: __m256,
    codes: &[__m256i; 8],
    scales: &BlockScales,
    terms: &Terms<L>,
    [block, odd]: [&ActivationBlock; 2],
) -> __m256 {
    let dot = |start: i32, quads: std::ops::Range<usize>| {
        let mut dot = _mm256_set1_epi32(start);
        for quad in quads {
            let four = if quad % 2 == 0 { block.quad(quad) } else { odd.quad(quad) };
            dot = _mm256_dpbusd_avx_epi32(dot, codes[quad], _mm256_set1_epi32(four));
        }
        _mm256_cvtepi32_ps(dot)
    };
    let activation_scale = _mm256_set1_ps(block.scale);
    if const { L::SPEC.scales.has_halves() } {
        for half in 0..2 {
            let dot = dot(terms.half_start(block, half), 4 * half..4 * half + 4);
            let scale = _mm256_mul_ps(scales.scale[half], activation_scale);
            acc = _mm256_fmadd_ps(dot, scale, acc);
            if terms.has_minimums() {
                let sum = _mm256_set1_ps(block.scaled_half_sum(half));
                acc = _mm256_fmadd_ps(scales.minimum[half], sum, acc);
            }
        }
    } else {
        let dot = dot(terms.start(block), 0..8);
        let scale = _mm256_mul_ps(scales.scale[0], activation_scale);
        acc = _mm256_fmadd_ps(dot, scale, acc);
        if terms.has_minimums() {
            let sum = _mm256_set1_ps(block.scaled_sum);
            acc = _mm256_fmadd_ps(scales.minimum[0], sum, acc);
        }
    }
    acc
}
