//! NEON: a register is one group of 16 rows, and a table.

use std::arch::aarch64::*;

use super::super::activations::ActivationBlock;
use super::super::neon::{GROUPS as ROW_GROUPS, accumulate, load_scales, offset, store};
use super::super::{Layout, Product, Step, Terms};
use super::{GROUPS, LOW_BITS, TableBlock, factor};

/// See [`super`].
///
/// # Safety
/// As [`super::LutFn`] says.
#[target_feature(enable = "neon")]
pub(super) unsafe fn matmul<L: Layout>(product: &Product<ActivationBlock>) {
    for step in product.steps(&[1]) {
        // SAFETY: a step of a valid product.
        unsafe { token::<L>(product, &step) };
    }
}

/// # Safety
/// `step` is of one token of `product`, which is valid.
#[target_feature(enable = "neon")]
unsafe fn token<L: Layout>(product: &Product<ActivationBlock>, step: &Step<ActivationBlock>) {
    let bits = const { L::SPEC.codes.bits() };
    let factor = const { factor(L::SPEC.codes) };
    let terms = Terms::<L>::new(step, const { offset(L::SPEC.codes) });
    let mut acc = [vdupq_n_f32(0.0); ROW_GROUPS];
    for block in step.blocks::<L>() {
        // SAFETY: tables and activations are parallel; the block is of a valid product.
        let (activations, tables) = unsafe {
            let index = block.activations.offset_from_unsigned(product.activations);
            (&*block.activations, &*product.tables.add(index))
        };
        // SAFETY: the codes of a block are that many bytes.
        let sums = unsafe { look_up(bits, block.codes, tables) };
        let least = vdupq_n_s32(factor * ((1 << bits) - 1) * tables.least);
        for group in 0..ROW_GROUPS {
            // SAFETY: the block is of a valid product.
            let scales = unsafe { load_scales::<L>(&block, group) };
            let sum = if factor == 2 { vshlq_n_s32::<1>(sums[group]) } else { sums[group] };
            acc[group] = accumulate(acc[group], [sum, least], &scales, &terms, activations);
        }
    }
    for (group, acc) in acc.into_iter().enumerate() {
        // SAFETY: the step has a token.
        unsafe { store(step, 0, group, acc) };
    }
}

/// `Σ_b 2^b Σ_g T_g[n_b(g)]` of rows 4i to 4i + 3.
///
/// # Safety
/// `codes` are the planes of a block of `bits` bits.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn look_up(bits: u32, codes: *const u8, tables: &TableBlock) -> [int32x4_t; ROW_GROUPS] {
    // SAFETY: each table has 16 bytes.
    let load = |table: &[u8; 16]| unsafe { vld1q_u8(table.as_ptr()) };
    let nibbles = |at: usize| {
        // SAFETY: the planes of a block are that long.
        let x = unsafe { vld1q_u8(codes.wrapping_add(at)) };
        [vandq_u8(x, vdupq_n_u8(15)), vshrq_n_u8::<4>(x)]
    };
    let mut total = [vdupq_n_s32(0); ROW_GROUPS];
    let pairs = bits as usize / 2;
    for pair in 0..pairs {
        let (mut lows, mut highs) = ([vdupq_n_u8(0); 2], [vdupq_n_u8(0); 2]);
        for group in 0..GROUPS {
            let indices = nibbles(128 * pair + 16 * group);
            let (low, high) = (load(&tables.low[group]), load(&tables.high[group]));
            for plane in 0..2 {
                lows[plane] = vaddq_u8(lows[plane], vqtbl1q_u8(low, indices[plane]));
                highs[plane] = vaddq_u8(highs[plane], vqtbl1q_u8(high, indices[plane]));
            }
        }
        let (first, second) = (widen(lows[0], highs[0]), widen(lows[1], highs[1]));
        for half in 0..2 {
            let sum = vaddq_u16(first[half], vshlq_n_u16::<1>(second[half]));
            add(&mut total, half, sum, pair > 0);
        }
    }
    if bits % 2 == 1 {
        let (mut lows, mut highs) = (vdupq_n_u8(0), vdupq_n_u8(0));
        for group in 0..GROUPS / 2 {
            let indices = nibbles(128 * pairs + 16 * group);
            for (index, group) in [group, group + GROUPS / 2].into_iter().enumerate() {
                let (low, high) = (load(&tables.low[group]), load(&tables.high[group]));
                lows = vaddq_u8(lows, vqtbl1q_u8(low, indices[index]));
                highs = vaddq_u8(highs, vqtbl1q_u8(high, indices[index]));
            }
        }
        for (half, sum) in widen(lows, highs).into_iter().enumerate() {
            add(&mut total, half, sum, pairs > 0);
        }
    }
    total
}

/// `low + 32 · high` in 16 bits: rows 0 to 7, and rows 8 to 15.
#[inline]
#[target_feature(enable = "neon")]
fn widen(low: uint8x16_t, high: uint8x16_t) -> [uint16x8_t; 2] {
    const SHIFT: i32 = LOW_BITS.cast_signed();
    [
        vaddw_u8(vshll_n_u8::<SHIFT>(vget_low_u8(high)), vget_low_u8(low)),
        vaddw_u8(vshll_n_u8::<SHIFT>(vget_high_u8(high)), vget_high_u8(low)),
    ]
}

/// Adds the sums of 8 rows, times four where they are of planes 2 and 3.
#[inline]
#[target_feature(enable = "neon")]
fn add(total: &mut [int32x4_t; ROW_GROUPS], half: usize, sum: uint16x8_t, is_upper: bool) {
    let sums = [vmovl_u16(vget_low_u16(sum)), vmovl_u16(vget_high_u16(sum))];
    for (total, sum) in total[2 * half..].iter_mut().zip(sums) {
        let sum = vreinterpretq_s32_u32(sum);
        *total = vaddq_s32(*total, if is_upper { vshlq_n_s32::<2>(sum) } else { sum });
    }
}
