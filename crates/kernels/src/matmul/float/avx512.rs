//! AVX-512: a row is a lane of one register.

use std::arch::x86_64::*;

use super::super::avx512::store;
use super::super::{Product, Step};
use super::{CHAINS, Float, FloatLayout};

/// How far ahead of the weights in use the next ones are fetched, in bytes.
const PREFETCH: usize = 4096;

/// See [`super`].
///
/// # Safety
/// As [`super::MatmulFloatFn`] says.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,fma,f16c")]
pub(super) unsafe fn matmul<F: Float>(product: &Product<f32>) {
    for step in product.steps(&[4, 2, 1]) {
        // SAFETY: a step of a valid product has as many tokens as it says.
        unsafe {
            match step.tokens {
                4 => tokens::<F, 4>(&step),
                2 => tokens::<F, 2>(&step),
                _ => tokens::<F, 1>(&step),
            }
        }
    }
}

/// # Safety
/// `step` is of a valid product and has `T` tokens.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,fma,f16c")]
unsafe fn tokens<F: Float, const T: usize>(step: &Step<f32>) {
    let column_bytes = 16 * const { F::LAYOUT.bytes() };
    let mut acc = [[_mm512_setzero_ps(); T]; CHAINS];
    let mut weights = step.weights;
    let mut activations = step.activations;
    for _ in 0..step.blocks / CHAINS {
        if T == 1 {
            for line in (0..CHAINS * column_bytes).step_by(64) {
                _mm_prefetch::<_MM_HINT_T0>(weights.wrapping_add(PREFETCH + line).cast());
            }
        }
        for acc in &mut acc {
            // SAFETY: the column is in the tile, and the panel has `T` tokens there.
            let (column, x) = unsafe { (load::<F>(weights), &*activations.cast::<[f32; T]>()) };
            for t in 0..T {
                acc[t] = _mm512_fmadd_ps(column, _mm512_set1_ps(x[t]), acc[t]);
            }
            weights = weights.wrapping_add(column_bytes);
            activations = activations.wrapping_add(step.panel);
        }
    }
    for t in 0..T {
        let low = _mm512_add_ps(acc[0][t], acc[1][t]);
        let high = _mm512_add_ps(acc[2][t], acc[3][t]);
        // SAFETY: token `t` is one of the step's.
        unsafe { store(step, t, _mm512_add_ps(low, high)) };
    }
}

/// # Safety
/// 16 elements are at `from`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn load<F: Float>(from: *const u8) -> __m512 {
    // SAFETY: 16 elements of 2 or 4 bytes.
    unsafe {
        match const { F::LAYOUT } {
            FloatLayout::F16 => _mm512_cvtph_ps(_mm256_loadu_si256(from.cast())),
            FloatLayout::Bf16 => {
                let bits = _mm512_cvtepu16_epi32(_mm256_loadu_si256(from.cast()));
                _mm512_castsi512_ps(_mm512_slli_epi32::<16>(bits))
            }
            FloatLayout::F32 => _mm512_loadu_ps(from.cast()),
        }
    }
}
