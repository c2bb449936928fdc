//! NEON: a tile is four registers of 4 rows.

use std::arch::aarch64::*;

use super::super::neon::{GROUPS, store};
use super::super::{Product, Step};
use super::{CHAINS, Float, FloatLayout};

/// See [`super`].
///
/// # Safety
/// As [`super::MatmulFloatFn`] says.
#[target_feature(enable = "neon")]
pub(super) unsafe fn matmul<F: Float>(product: &Product<f32>) {
    for step in product.steps(&[4, 2, 1]) {
        // SAFETY: a step of a valid product has as many tokens as it says. 16 accumulators leave registers for the rest.
        unsafe {
            match step.tokens {
                4 => (0..GROUPS).for_each(|group| tokens::<F, 4, 1>(&step, group)),
                2 => [0, 2].into_iter().for_each(|group| tokens::<F, 2, 2>(&step, group)),
                _ => tokens::<F, 1, GROUPS>(&step, 0),
            }
        }
    }
}

/// Registers `first` to `first + G - 1` of the tile, for `T` tokens.
///
/// # Safety
/// `step` is of a valid product and has `T` tokens; `first + G` is at most [`GROUPS`].
#[target_feature(enable = "neon")]
unsafe fn tokens<F: Float, const T: usize, const G: usize>(step: &Step<f32>, first: usize) {
    let register_bytes = 4 * const { F::LAYOUT.bytes() };
    let mut acc = [[[vdupq_n_f32(0.0); T]; G]; CHAINS];
    let mut weights = step.weights.wrapping_add(first * register_bytes);
    let mut activations = step.activations;
    for _ in 0..step.blocks / CHAINS {
        for acc in &mut acc {
            // SAFETY: the panel has `T` tokens here.
            let x = unsafe { &*activations.cast::<[f32; T]>() };
            for group in 0..G {
                // SAFETY: the column is in the tile.
                let column = unsafe { load::<F>(weights.wrapping_add(group * register_bytes)) };
                for t in 0..T {
                    acc[group][t] = vfmaq_n_f32(acc[group][t], column, x[t]);
                }
            }
            weights = weights.wrapping_add(GROUPS * register_bytes);
            activations = activations.wrapping_add(step.panel);
        }
    }
    for group in 0..G {
        for t in 0..T {
            let low = vaddq_f32(acc[0][group][t], acc[1][group][t]);
            let high = vaddq_f32(acc[2][group][t], acc[3][group][t]);
            // SAFETY: token `t` is one of the step's.
            unsafe { store(step, t, first + group, vaddq_f32(low, high)) };
        }
    }
}

/// # Safety
/// 4 elements are at `from`.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn load<F: Float>(from: *const u8) -> float32x4_t {
    // SAFETY: 4 elements of 2 or 4 bytes.
    unsafe {
        match const { F::LAYOUT } {
            FloatLayout::F16 => {
                vcvt_f32_f16(vreinterpret_f16_u16(vreinterpret_u16_u8(vld1_u8(from))))
            }
            FloatLayout::Bf16 => {
                let bits = vshll_n_u16::<16>(vreinterpret_u16_u8(vld1_u8(from)));
                vreinterpretq_f32_u32(bits)
            }
            FloatLayout::F32 => vreinterpretq_f32_u8(vld1q_u8(from)),
        }
    }
}
