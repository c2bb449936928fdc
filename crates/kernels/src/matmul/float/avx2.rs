//! AVX2: a tile is two registers of 8 rows.

use std::arch::x86_64::*;

use super::super::avx2::store;
use super::super::{Product, Step};
use super::{CHAINS, Float, FloatLayout};

/// How far ahead of the weights in use the next ones are fetched, in bytes.
const PREFETCH: usize = 4096;

/// See [`super`].
///
/// # Safety
/// As [`super::MatmulFloatFn`] says.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn matmul<F: Float>(product: &Product<f32>) {
    for step in product.steps(&[2, 1]) {
        // SAFETY: a step of a valid product has as many tokens as it says. 8 accumulators leave registers for the rest.
        unsafe {
            if step.tokens == 2 {
                tokens::<F, 2, 1>(&step, 0);
                tokens::<F, 2, 1>(&step, 1);
            } else {
                tokens::<F, 1, 2>(&step, 0);
            }
        }
    }
}

/// Registers `first` to `first + H - 1` of the tile, for `T` tokens.
///
/// # Safety
/// `step` is of a valid product and has `T` tokens; `first + H` is at most 2.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn tokens<F: Float, const T: usize, const H: usize>(step: &Step<f32>, first: usize) {
    let register_bytes = 8 * const { F::LAYOUT.bytes() };
    let mut acc = [[[_mm256_setzero_ps(); T]; H]; CHAINS];
    let mut weights = step.weights.wrapping_add(first * register_bytes);
    let mut activations = step.activations;
    for _ in 0..step.blocks / CHAINS {
        if T == 1 {
            for line in (0..2 * CHAINS * register_bytes).step_by(64) {
                _mm_prefetch::<_MM_HINT_T0>(weights.wrapping_add(PREFETCH + line).cast());
            }
        }
        for acc in &mut acc {
            // SAFETY: the panel has `T` tokens here.
            let x = unsafe { &*activations.cast::<[f32; T]>() };
            for half in 0..H {
                // SAFETY: the column is in the tile.
                let column = unsafe { load::<F>(weights.wrapping_add(half * register_bytes)) };
                for t in 0..T {
                    acc[half][t] = _mm256_fmadd_ps(column, _mm256_set1_ps(x[t]), acc[half][t]);
                }
            }
            weights = weights.wrapping_add(2 * register_bytes);
            activations = activations.wrapping_add(step.panel);
        }
    }
    for half in 0..H {
        for t in 0..T {
            let low = _mm256_add_ps(acc[0][half][t], acc[1][half][t]);
            let high = _mm256_add_ps(acc[2][half][t], acc[3][half][t]);
            // SAFETY: token `t` is one of the step's.
            unsafe { store(step, t, first + half, _mm256_add_ps(low, high)) };
        }
    }
}

/// # Safety
/// 8 elements are at `from`.
#[inline]
#[target_feature(enable = "avx2,f16c")]
unsafe fn load<F: Float>(from: *const u8) -> __m256 {
    // SAFETY: 8 elements of 2 or 4 bytes.
    unsafe {
        match const { F::LAYOUT } {
            FloatLayout::F16 => _mm256_cvtph_ps(_mm_loadu_si128(from.cast())),
            FloatLayout::Bf16 => {
                let bits = _mm256_cvtepu16_epi32(_mm_loadu_si128(from.cast()));
                _mm256_castsi256_ps(_mm256_slli_epi32::<16>(bits))
            }
            FloatLayout::F32 => _mm256_loadu_ps(from.cast()),
        }
    }
}
