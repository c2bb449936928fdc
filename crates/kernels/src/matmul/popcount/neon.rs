//! NEON: a register is one plane of 4 rows; `cnt` counts the bits of bytes.

use std::arch::aarch64::*;

use super::super::activations::ActivationBlock;
use super::super::layout::VECTOR;
use super::super::neon::{GROUPS, load_scales, store};
use super::super::{Layout, Product, Step};
use super::{BitBlock, Terms};

/// See [`super`].
///
/// # Safety
/// As [`super::PopcountFn`] says.
#[target_feature(enable = "neon")]
pub(super) unsafe fn matmul<L: Layout>(
    product: &Product<ActivationBlock>,
    planes: *const BitBlock,
    bits: usize,
) {
    for step in product.steps(&[1]) {
        // SAFETY: a step of a valid product.
        unsafe {
            match bits {
                1 => token::<L, 1>(product, &step, planes),
                2 => token::<L, 2>(product, &step, planes),
                3 => token::<L, 3>(product, &step, planes),
                _ => token::<L, 4>(product, &step, planes),
            }
        }
    }
}

/// # Safety
/// `step` is of one token of `product`, which is valid and has planes of `BITS` bits.
#[target_feature(enable = "neon")]
unsafe fn token<L: Layout, const BITS: usize>(
    product: &Product<ActivationBlock>,
    step: &Step<ActivationBlock>,
    planes: *const BitBlock,
) {
    // SAFETY: the product has a specification, which outlives it.
    let spec = unsafe { &*step.spec };
    let (terms, has_minimums) = (Terms::new(spec), spec.has_minimums());
    let shift = vdupq_n_s32(terms.shift.cast_signed());
    let mut acc = [vdupq_n_f32(0.0); GROUPS];
    for block in step.blocks::<L>() {
        // SAFETY: planes and activations are parallel; the block is of a valid product.
        let (activations, planes) = unsafe {
            let index = block.activations.offset_from_unsigned(product.activations);
            (&*block.activations, &*planes.add(index))
        };
        let base = vdupq_n_s32(terms.base(activations, planes));
        for (group, acc) in acc.iter_mut().enumerate() {
            // In 16 bits: at most 2 · 8 · 15 · 15.
            let mut differences = vdupq_n_u16(0);
            for word in planes.planes[..BITS].iter().rev() {
                let word = vreinterpretq_u8_u32(vdupq_n_u32(*word));
                // In bytes: at most 8 · 15.
                let mut of_word = vdupq_n_u8(0);
                for plane in (0..const { L::SPEC.codes.bits() as usize }).rev() {
                    let at = block.codes.wrapping_add(plane * VECTOR + group * VECTOR / GROUPS);
                    // SAFETY: the codes of a block are that many vectors.
                    let weights = unsafe { vld1q_u8(at) };
                    of_word =
                        vaddq_u8(vaddq_u8(of_word, of_word), vcntq_u8(veorq_u8(weights, word)));
                }
                differences = vpadalq_u8(vaddq_u16(differences, differences), of_word);
            }
            let differences = vreinterpretq_s32_u32(vpaddlq_u16(differences));
            let dot = vcvtq_f32_s32(vsubq_s32(base, vshlq_s32(differences, shift)));
            // SAFETY: the block is of a valid product.
            let scales = unsafe { load_scales::<L>(&block, group) };
            *acc = vfmaq_f32(*acc, dot, vmulq_n_f32(scales.scale[0], activations.scale));
            if has_minimums {
                *acc = vfmaq_n_f32(*acc, scales.minimum[0], activations.scaled_sum);
            }
        }
    }
    for (group, acc) in acc.into_iter().enumerate() {
        // SAFETY: the step has a token.
        unsafe { store(step, 0, group, acc) };
    }
}
