//! AVX2: a register is one plane of 8 rows; the bits of a nibble are a look-up (Muła).

use std::arch::x86_64::*;

use super::super::activations::ActivationBlock;
use super::super::avx2::{BlockScales, load_scales, prefetch, store};
use super::super::layout::VECTOR;
use super::super::{Layout, Product, Step};
use super::{BitBlock, Terms};

/// See [`super`].
///
/// # Safety
/// As [`super::PopcountFn`] says.
#[target_feature(enable = "avx2,fma,f16c")]
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
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn token<L: Layout, const BITS: usize>(
    product: &Product<ActivationBlock>,
    step: &Step<ActivationBlock>,
    planes: *const BitBlock,
) {
    // SAFETY: the product has a specification, which outlives it.
    let spec = unsafe { &*step.spec };
    let (terms, has_minimums) = (Terms::new(spec), spec.has_minimums());
    let mut acc = [_mm256_setzero_ps(); 2];
    let mut scales = acc.map(|zero| BlockScales { scale: [zero; 2], minimum: [zero; 2] });
    for block in step.blocks::<L>() {
        prefetch::<L>(&block);
        // SAFETY: planes and activations are parallel; the block is of a valid product.
        let (activations, planes) = unsafe {
            let index = block.activations.offset_from_unsigned(product.activations);
            (&*block.activations, &*planes.add(index))
        };
        let base = _mm256_set1_epi32(terms.base(activations, planes));
        for half in 0..2 {
            // In 16 bits: at most 2 · 8 · 15 · 15.
            let mut differences = _mm256_setzero_si256();
            for word in planes.planes[..BITS].iter().rev() {
                let word = _mm256_set1_epi32(word.cast_signed());
                // In bytes: at most 8 · 15.
                let mut of_word = _mm256_setzero_si256();
                for plane in (0..const { L::SPEC.codes.bits() as usize }).rev() {
                    let at = block.codes.wrapping_add(plane * VECTOR + half * VECTOR / 2);
                    // SAFETY: the codes of a block are that many vectors.
                    let weights = unsafe { _mm256_loadu_si256(at.cast()) };
                    let count = count(_mm256_xor_si256(weights, word));
                    of_word = _mm256_add_epi8(_mm256_add_epi8(of_word, of_word), count);
                }
                let pairs = _mm256_maddubs_epi16(of_word, _mm256_set1_epi8(1));
                differences = _mm256_add_epi16(_mm256_add_epi16(differences, differences), pairs);
            }
            let weight = _mm256_set1_epi16(1 << terms.shift);
            let differences = _mm256_madd_epi16(differences, weight);
            let dot = _mm256_cvtepi32_ps(_mm256_sub_epi32(base, differences));
            if block.starts_run {
                // SAFETY: the block is of a valid product.
                scales[half] = unsafe { load_scales::<L>(&block, half) };
            }
            let scales = &scales[half];
            let scale = _mm256_mul_ps(scales.scale[0], _mm256_set1_ps(activations.scale));
            acc[half] = _mm256_fmadd_ps(dot, scale, acc[half]);
            if has_minimums {
                let sum = _mm256_set1_ps(activations.scaled_sum);
                acc[half] = _mm256_fmadd_ps(scales.minimum[0], sum, acc[half]);
            }
        }
    }
    for (half, acc) in acc.into_iter().enumerate() {
        // SAFETY: the step has a token.
        unsafe { store(step, 0, half, acc) };
    }
}

/// The number of ones in each byte.
#[inline]
#[target_feature(enable = "avx2")]
fn count(bits: __m256i) -> __m256i {
    let table = _mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
    let table = _mm256_broadcastsi128_si256(table);
    let nibble = _mm256_set1_epi8(15);
    let low = _mm256_and_si256(bits, nibble);
    let high = _mm256_and_si256(_mm256_srli_epi16::<4>(bits), nibble);
    _mm256_add_epi8(_mm256_shuffle_epi8(table, low), _mm256_shuffle_epi8(table, high))
}
