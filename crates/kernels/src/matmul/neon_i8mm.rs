//! NEON with the 8-bit matrix product (Neoverse V1, Apple M2): several tokens two by two, one as in [`super::neon_dotprod`].
//!
//! `smmla` multiplies 8 columns of two rows with 8 columns of two tokens: twice the products of `sdot`, for rows whose columns are brought together once
//! for all tokens.

use std::arch::aarch64::*;
use std::arch::asm;

use super::activations::ActivationBlock;
use super::neon::{GROUPS, accumulate, load_codes, load_scales, offset, store};
use super::{Layout, Product, Step, Terms, neon_dotprod};

/// See [`super`].
///
/// # Safety
/// As [`Product`] says.
#[target_feature(enable = "neon,dotprod,i8mm")]
pub(super) unsafe fn matmul<L: Layout>(product: &Product<ActivationBlock>) {
    for step in product.steps(&[4, 2, 1]) {
        // SAFETY: a step of a valid product has as many tokens as it says.
        unsafe {
            match step.tokens {
                4 => pairs::<L, 2>(&step),
                2 => pairs::<L, 1>(&step),
                _ => neon_dotprod::tokens::<L, 1>(&step),
            }
        }
    }
}

/// # Safety
/// `step` is of a valid product and has `2 * P` tokens.
#[target_feature(enable = "neon,dotprod,i8mm")]
unsafe fn pairs<L: Layout, const P: usize>(step: &Step<ActivationBlock>) {
    let terms = Terms::<L>::new(step, const { offset(L::SPEC.codes) });
    let mut acc = [[[vdupq_n_f32(0.0); 2]; P]; GROUPS];
    for block in step.blocks::<L>() {
        // SAFETY: the step has twice `P` tokens.
        let activations = unsafe { &*block.activations.cast::<[[ActivationBlock; 2]; P]>() };
        for group in 0..GROUPS {
            // SAFETY: the block is of a valid product.
            let (codes, scales) =
                unsafe { (load_codes::<L>(&block, group), load_scales::<L>(&block, group)) };
            let rows = pair_up(&codes);
            for pair in 0..P {
                let [first, second] = &activations[pair];
                let low = dots(&rows, first, second, 0);
                let high = dots(&rows, first, second, 2);
                for (t, block) in [first, second].into_iter().enumerate() {
                    let acc = &mut acc[group][pair][t];
                    *acc = accumulate(*acc, [low[t], high[t]], &scales, &terms, block);
                }
            }
        }
    }
    for group in 0..GROUPS {
        for pair in 0..P {
            for t in 0..2 {
                // SAFETY: that token is one of the step's.
                unsafe { store(step, 2 * pair + t, group, acc[group][pair][t]) };
            }
        }
    }
}

/// The quads of 4 rows, two by two: 8 columns of rows 0 and 1, and of rows 2 and 3.
#[inline]
#[target_feature(enable = "neon")]
fn pair_up(codes: &[int8x16_t; 8]) -> [[int8x16_t; 2]; 4] {
    let mut rows = [[vdupq_n_s8(0); 2]; 4];
    for (pair, rows) in rows.iter_mut().enumerate() {
        let first = vreinterpretq_s32_s8(codes[2 * pair]);
        let second = vreinterpretq_s32_s8(codes[2 * pair + 1]);
        *rows = [
            vreinterpretq_s8_s32(vzip1q_s32(first, second)),
            vreinterpretq_s8_s32(vzip2q_s32(first, second)),
        ];
    }
    rows
}

/// The dot products of 4 rows with the half of a block that begins with 8-column group `from`, for each of two tokens.
#[inline]
#[target_feature(enable = "neon,i8mm")]
fn dots(
    rows: &[[int8x16_t; 2]; 4],
    first: &ActivationBlock,
    second: &ActivationBlock,
    from: usize,
) -> [int32x4_t; 2] {
    let (mut upper, mut lower) = (vdupq_n_s32(0), vdupq_n_s32(0));
    for eight in from..from + 2 {
        // SAFETY: a block has four times 8 codes.
        let tokens = unsafe {
            let eight_of = |block: &ActivationBlock| vld1_s8(block.codes.as_ptr().add(8 * eight));
            vcombine_s8(eight_of(first), eight_of(second))
        };
        upper = smmla(upper, rows[eight][0], tokens);
        lower = smmla(lower, rows[eight][1], tokens);
    }
    [vuzp1q_s32(upper, lower), vuzp2q_s32(upper, lower)]
}

/// `acc[2i + j] += Σ_k a[8i + k] · b[8j + k]`. `vmmlaq_s32` is not stable yet.
#[inline]
#[target_feature(enable = "neon,i8mm")]
fn smmla(mut acc: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
    // SAFETY: a computation in registers, of a feature that this function has.
    unsafe {
        asm!(
            "smmla {acc:v}.4s, {a:v}.16b, {b:v}.16b",
            acc = inout(vreg) acc,
            a = in(vreg) a,
            b = in(vreg) b,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    acc
}
