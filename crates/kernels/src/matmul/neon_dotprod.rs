//! NEON with the 4-way integer dot product (Cortex-A76): a tile is four registers of 4 rows.
//!
//! `sdot` by element takes 4 columns of 4 rows and one of four quads of activations: a lane sums the columns of its row.

use std::arch::aarch64::*;
use std::arch::asm;

use super::activations::ActivationBlock;
use super::neon::{GROUPS, accumulate, load_codes, load_scales, offset, store};
use super::{Layout, Product, Step, Terms};

/// See [`super`].
///
/// # Safety
/// As [`Product`] says.
#[target_feature(enable = "neon,dotprod")]
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
#[target_feature(enable = "neon,dotprod")]
pub(super) unsafe fn tokens<L: Layout, const T: usize>(step: &Step<ActivationBlock>) {
    let terms = Terms::<L>::new(step, const { offset(L::SPEC.codes) });
    let mut acc = [[vdupq_n_f32(0.0); T]; GROUPS];
    for block in step.blocks::<L>() {
        // SAFETY: the step has `T` tokens.
        let activations = unsafe { &*block.activations.cast::<[ActivationBlock; T]>() };
        for group in 0..GROUPS {
            // SAFETY: the block is of a valid product.
            let (codes, scales) =
                unsafe { (load_codes::<L>(&block, group), load_scales::<L>(&block, group)) };
            for t in 0..T {
                let dots = dots::<L>(&codes, &activations[t]);
                let acc = &mut acc[group][t];
                *acc = accumulate(*acc, dots, &scales, &terms, &activations[t]);
            }
        }
    }
    for group in 0..GROUPS {
        for t in 0..T {
            // SAFETY: token `t` is one of the step's.
            unsafe { store(step, t, group, acc[group][t]) };
        }
    }
}

/// The dot products of 4 rows with both halves of a block.
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn dots<L: Layout>(codes: &[int8x16_t; 8], block: &ActivationBlock) -> [int32x4_t; 2] {
    let from = block.codes.as_ptr();
    [0, 4].map(|first| {
        // SAFETY: each half of the codes has 16 bytes.
        let four = unsafe { vld1q_s8(from.add(4 * first)) };
        let dot = sdot::<0>(vdupq_n_s32(0), codes[first], four);
        let dot = sdot::<1>(dot, codes[first + 1], four);
        let dot = sdot::<2>(dot, codes[first + 2], four);
        sdot::<3>(dot, codes[first + 3], four)
    })
}

/// `acc[i] += Σ_j a[4i + j] · b[4·QUAD + j]`. `vdotq_laneq_s32` is not stable yet.
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn sdot<const QUAD: u32>(mut acc: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
    // SAFETY: a computation in registers, of a feature that this function has.
    unsafe {
        asm!(
            "sdot {acc:v}.4s, {a:v}.16b, {b:v}.4b[{quad}]",
            acc = inout(vreg) acc,
            a = in(vreg) a,
            b = in(vreg) b,
            quad = const QUAD,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    acc
}
