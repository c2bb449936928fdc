//! AVX-512: a register is one plane of 16 rows, `vpopcntd` counts the bits of each.

use std::arch::x86_64::*;

use super::super::activations::ActivationBlock;
use super::super::avx2::prefetch;
use super::super::avx512::{BlockScales, load_scales, store};
use super::super::layout::VECTOR;
use super::super::{Layout, Product, Step};
use super::{BitBlock, Terms};

/// See [`super`].
///
/// # Safety
/// As [`super::PopcountFn`] says.
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi,avx512vpopcntdq")]
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
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi,avx512vpopcntdq")]
unsafe fn token<L: Layout, const BITS: usize>(
    product: &Product<ActivationBlock>,
    step: &Step<ActivationBlock>,
    planes: *const BitBlock,
) {
    // SAFETY: the product has a specification, which outlives it.
    let spec = unsafe { &*step.spec };
    let (terms, has_minimums) = (Terms::new(spec), spec.has_minimums());
    let mut acc = _mm512_setzero_ps();
    let mut scales = BlockScales { scale: [acc; 2], minimum: [acc; 2] };
    for block in step.blocks::<L>() {
        prefetch::<L>(&block);
        // SAFETY: planes and activations are parallel; the block is of a valid product.
        let (activations, planes) = unsafe {
            let index = block.activations.offset_from_unsigned(product.activations);
            (&*block.activations, &*planes.add(index))
        };
        let mut differences = _mm512_setzero_si512();
        for plane in (0..const { L::SPEC.codes.bits() as usize }).rev() {
            // SAFETY: the codes of a block are that many vectors.
            let weights =
                unsafe { _mm512_loadu_si512(block.codes.wrapping_add(plane * VECTOR).cast()) };
            let mut of_plane = _mm512_setzero_si512();
            for word in planes.planes[..BITS].iter().rev() {
                let word = _mm512_set1_epi32(word.cast_signed());
                let count = _mm512_popcnt_epi32(_mm512_xor_si512(weights, word));
                of_plane = _mm512_add_epi32(_mm512_slli_epi32::<1>(of_plane), count);
            }
            differences = _mm512_add_epi32(_mm512_slli_epi32::<1>(differences), of_plane);
        }
        let base = _mm512_set1_epi32(terms.base(activations, planes));
        if terms.shift == 1 {
            differences = _mm512_slli_epi32::<1>(differences);
        }
        let dot = _mm512_cvtepi32_ps(_mm512_sub_epi32(base, differences));
        if block.starts_run {
            // SAFETY: the block is of a valid product.
            scales = unsafe { load_scales::<L>(&block) };
        }
        let scale = _mm512_mul_ps(scales.scale[0], _mm512_set1_ps(activations.scale));
        acc = _mm512_fmadd_ps(dot, scale, acc);
        if has_minimums {
            let sum = _mm512_set1_ps(activations.scaled_sum);
            acc = _mm512_fmadd_ps(scales.minimum[0], sum, acc);
        }
    }
    // SAFETY: the step has a token.
    unsafe { store(step, 0, acc) };
}
