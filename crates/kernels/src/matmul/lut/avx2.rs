//! AVX2: a register is two groups of 16 rows, and two tables.

use std::arch::x86_64::*;

use super::super::activations::ActivationBlock;
use super::super::avx2::{load_scales, prefetch, store};
use super::super::{Layout, Product, Step, Terms};
use super::{GROUPS, TableBlock, factor};

/// See [`super`].
///
/// # Safety
/// As [`super::LutFn`] says.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn matmul<L: Layout>(product: &Product<ActivationBlock>) {
    for step in product.steps(&[1]) {
        // SAFETY: a step of a valid product.
        unsafe { token::<L>(product, &step) };
    }
}

/// # Safety
/// `step` is of one token of `product`, which is valid.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn token<L: Layout>(product: &Product<ActivationBlock>, step: &Step<ActivationBlock>) {
    let bits = const { L::SPEC.codes.bits() };
    let factor = const { factor(L::SPEC.codes) };
    let terms = Terms::<L>::new(step, const { L::SPEC.codes.offset() });
    let mut acc = [_mm256_setzero_ps(); 2];
    for block in step.blocks::<L>() {
        prefetch::<L>(&block);
        // SAFETY: tables and activations are parallel; the block is of a valid product.
        let (activations, tables) = unsafe {
            let index = block.activations.offset_from_unsigned(product.activations);
            (&*block.activations, &*product.tables.add(index))
        };
        // SAFETY: the codes of a block are that many bytes.
        let sums = unsafe { look_up(bits, block.codes, tables) };
        let offset = factor * ((1 << bits) - 1) * tables.least + terms.start(activations);
        for half in 0..2 {
            // SAFETY: the block is of a valid product.
            let scales = unsafe { load_scales::<L>(&block, half) };
            let sum = if factor == 2 { _mm256_slli_epi32::<1>(sums[half]) } else { sums[half] };
            let dot = _mm256_cvtepi32_ps(_mm256_add_epi32(sum, _mm256_set1_epi32(offset)));
            let scale = _mm256_mul_ps(scales.scale[0], _mm256_set1_ps(activations.scale));
            acc[half] = _mm256_fmadd_ps(dot, scale, acc[half]);
            if terms.has_minimums() {
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

/// `Σ_b 2^b Σ_g T_g[n_b(g)]` of rows 0 to 7, and of rows 8 to 15.
///
/// # Safety
/// `codes` are the planes of a block of `bits` bits.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn look_up(bits: u32, codes: *const u8, tables: &TableBlock) -> [__m256i; 2] {
    // SAFETY: each table has 16 bytes, and a next one where its index is even.
    let low = |group: usize| unsafe { _mm256_load_si256(tables.low[group].as_ptr().cast()) };
    // SAFETY: as above.
    let high = |group: usize| unsafe { _mm256_load_si256(tables.high[group].as_ptr().cast()) };
    let nibble = _mm256_set1_epi8(15);
    let nibbles = |at: usize| {
        // SAFETY: the planes of a block are that long.
        let x = unsafe { _mm256_loadu_si256(codes.wrapping_add(at).cast()) };
        let above = _mm256_srli_epi16::<4>(x);
        [_mm256_and_si256(x, nibble), _mm256_and_si256(above, nibble)]
    };
    let mut total = [_mm256_setzero_si256(); 2];
    let pairs = bits as usize / 2;
    for pair in 0..pairs {
        let (mut lows, mut highs) = ([_mm256_setzero_si256(); 2], [_mm256_setzero_si256(); 2]);
        for group in (0..GROUPS).step_by(2) {
            let indices = nibbles(128 * pair + 16 * group);
            let (low, high) = (low(group), high(group));
            for plane in 0..2 {
                let entry = _mm256_shuffle_epi8(low, indices[plane]);
                lows[plane] = _mm256_add_epi8(lows[plane], entry);
                let entry = _mm256_shuffle_epi8(high, indices[plane]);
                highs[plane] = _mm256_add_epi8(highs[plane], entry);
            }
        }
        let first = widen(lows[0], highs[0], 1);
        let second = widen(lows[1], highs[1], 2);
        for half in 0..2 {
            let sum = rows(_mm256_add_epi16(first[half], second[half]));
            let sum = if pair == 0 { sum } else { _mm256_slli_epi32::<2>(sum) };
            total[half] = _mm256_add_epi32(total[half], sum);
        }
    }
    if bits % 2 == 1 {
        let (mut lows, mut highs) = (_mm256_setzero_si256(), _mm256_setzero_si256());
        for group in (0..GROUPS / 2).step_by(2) {
            let indices = nibbles(128 * pairs + 16 * group);
            for (index, group) in [group, group + GROUPS / 2].into_iter().enumerate() {
                let entry = _mm256_shuffle_epi8(low(group), indices[index]);
                lows = _mm256_add_epi8(lows, entry);
                let entry = _mm256_shuffle_epi8(high(group), indices[index]);
                highs = _mm256_add_epi8(highs, entry);
            }
        }
        let sums = widen(lows, highs, 1);
        for half in 0..2 {
            let sum = rows(sums[half]);
            let sum = if pairs == 0 { sum } else { _mm256_slli_epi32::<2>(sum) };
            total[half] = _mm256_add_epi32(total[half], sum);
        }
    }
    total
}

/// `weight · (low + 32 · high)` in 16 bits: rows 0 to 7 of both groups, and rows 8 to 15.
#[inline]
#[target_feature(enable = "avx2")]
fn widen(low: __m256i, high: __m256i, weight: i16) -> [__m256i; 2] {
    let weights = _mm256_set1_epi16(weight | weight << (super::LOW_BITS + 8));
    [_mm256_unpacklo_epi8(low, high), _mm256_unpackhi_epi8(low, high)]
        .map(|bytes| _mm256_maddubs_epi16(bytes, weights))
}

/// The sum of both groups, for each of 8 rows.
#[inline]
#[target_feature(enable = "avx2")]
fn rows(sums: __m256i) -> __m256i {
    let sum = _mm_add_epi16(_mm256_castsi256_si128(sums), _mm256_extracti128_si256::<1>(sums));
    _mm256_cvtepi16_epi32(sum)
}
