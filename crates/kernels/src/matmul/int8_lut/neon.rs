//! NEON: a register of nibbles is two groups of 8 rows and two planes, or of 16 rows and a single plane.

use std::arch::aarch64::*;

use super::super::layout::{BLOCK, TILE_ROWS};
use super::super::neon::{GROUPS as ROW_GROUPS, load_scales, store};
use super::super::{Block, Layout, Product, Step};
use super::{GROUP, GROUPS, Int8Tables, SMALLEST, TOP, blocks_per_group, center, doubling};

/// See [`super`].
///
/// # Safety
/// As [`super::TablesFn`] says.
#[target_feature(enable = "neon")]
pub(super) unsafe fn tables(x: &[[f32; BLOCK]], tables: &mut [Int8Tables]) {
    let mut largest = vdupq_n_u32(0);
    let mut sum = 0.0;
    for (index, x) in x.iter().enumerate() {
        // SAFETY: a block is eight registers.
        let x: [_; 8] =
            std::array::from_fn(|i| unsafe { vld1q_f32(x.as_ptr().wrapping_add(4 * i)) });
        let [low, high] = sums_of_four(x);
        let sums = vpaddq_f32(low, high);
        let sums = vpaddq_f32(sums, sums);
        let block_sum = vgetq_lane_f32::<0>(vpaddq_f32(sums, sums));
        sum = if index == 0 { block_sum } else { sum + block_sum };
        for sums in sums_of_four(x.map(|x| vabsq_f32(x))) {
            largest = vmaxq_u32(largest, vreinterpretq_u32_f32(sums));
        }
    }
    let largest = f32::from_bits(vmaxvq_u32(largest));
    let is_zero = largest < SMALLEST;
    let is_number = largest.is_finite();
    for (tables, x) in tables.iter_mut().zip(x) {
        tables.sum = 0.0;
        if is_zero || !is_number {
            tables.entries = Int8Tables::ZERO.entries;
            tables.half_scale = if is_number { 0.0 } else { f32::NAN };
            continue;
        }
        tables.half_scale = 0.5 * (largest / TOP);
        let factor = TOP / largest;
        let (groups, _) = x.as_chunks::<GROUP>();
        for (four, entries) in groups.iter().zip(&mut tables.entries) {
            let first = first_entries(four, factor);
            let opposite = vneg_s8(vrev64_s8(first));
            // SAFETY: a table is 16 bytes.
            unsafe { vst1q_s8(entries.as_mut_ptr(), vcombine_s8(first, opposite)) };
        }
    }
    tables[0].sum = sum;
}

/// Pairwise sums of the eight groups of a block, in order.
#[inline]
#[target_feature(enable = "neon")]
fn sums_of_four(x: [float32x4_t; 8]) -> [float32x4_t; 2] {
    [0, 4].map(|i| vpaddq_f32(vpaddq_f32(x[i], x[i + 1]), vpaddq_f32(x[i + 2], x[i + 3])))
}

/// Entries 0 to 7 of a group: those where its last activation is subtracted.
#[inline]
#[target_feature(enable = "neon")]
fn first_entries(four: &[f32; GROUP], factor: f32) -> int8x8_t {
    let [a, b, c, d] = *four;
    // SAFETY: four numbers each.
    let (first, second) =
        unsafe { (vld1q_f32([-a, a, -a, a].as_ptr()), vld1q_f32([-b, -b, b, b].as_ptr())) };
    let low = vaddq_f32(first, second);
    let [low, high] = [-c - d, c - d].map(|high| {
        let sum = vaddq_f32(low, vdupq_n_f32(high));
        vqmovn_s32(vcvtnq_s32_f32(vmulq_n_f32(sum, factor)))
    });
    vqmovn_s16(vcombine_s16(low, high))
}

/// See [`super`].
///
/// # Safety
/// As [`super::Int8LutFn`] says.
#[target_feature(enable = "neon")]
pub(super) unsafe fn matmul<L: Layout>(product: &Product<Int8Tables>) {
    for step in product.steps(&[1]) {
        // SAFETY: a step of one token of a valid product.
        unsafe { token::<L>(&step) };
    }
}

/// # Safety
/// `step` is of one token of a valid product.
#[target_feature(enable = "neon")]
unsafe fn token<L: Layout>(step: &Step<Int8Tables>) {
    // SAFETY: the product has a specification, which outlives it.
    let spec = unsafe { &*step.spec };
    let group_blocks = blocks_per_group(spec, step.blocks);
    let center = center(spec.codes);
    let has_offset = center != 0.0 || spec.has_minimums();
    let block_bytes = const { L::SPEC.code_bytes() };
    let mut block = Block {
        spec: step.spec,
        header: step.weights,
        phase: 0,
        codes: step.weights,
        activations: std::ptr::null(),
    };
    let mut tables = step.activations;
    let mut acc = [vdupq_n_f32(0.0); ROW_GROUPS];
    let mut left = step.blocks;
    while left > 0 {
        let run = spec.blocks_per_header().min(left);
        left -= run;
        block.header = block.codes;
        block.codes = block.codes.wrapping_add(spec.header_bytes());
        let mut t = [vdupq_n_f32(0.0); ROW_GROUPS];
        let mut a = 0.0;
        let mut left_in_run = run;
        while left_in_run > 0 {
            let blocks = group_blocks.min(left_in_run);
            left_in_run -= blocks;
            // SAFETY: the panel has the tables of this block.
            let first = unsafe { &*tables };
            let mut sums = Sums::zero();
            for _ in 0..blocks {
                // SAFETY: the codes of a block are that many bytes, and the panel has its tables.
                unsafe { sums.add::<L>(block.codes, &*tables) };
                block.codes = block.codes.wrapping_add(block_bytes);
                tables = tables.wrapping_add(step.panel);
            }
            for (t, sums) in t.iter_mut().zip(sums.rows::<L>()) {
                *t = vfmaq_n_f32(*t, vcvtq_f32_s32(sums), first.half_scale);
            }
            a += first.sum;
        }
        for group in 0..ROW_GROUPS {
            // SAFETY: the header of these blocks is that of a valid product.
            let scales = unsafe { load_scales::<L>(&block, group) };
            acc[group] = vfmaq_f32(acc[group], t[group], scales.scale[0]);
            if has_offset {
                let offset = vfmaq_n_f32(scales.minimum[0], scales.scale[0], center);
                acc[group] = vfmaq_n_f32(acc[group], offset, a);
            }
        }
    }
    for (group, acc) in acc.into_iter().enumerate() {
        // SAFETY: the step has a token.
        unsafe { store(step, 0, group, acc) };
    }
}

/// Sums of entries in 16 bits.
struct Sums {
    /// Of each pair of planes, of both planes: rows r and r + 8 side by side, for r below 4 and from 4 on.
    both: [[int16x8_t; 2]; 2],
    /// The same of the upper plane alone.
    upper: [[int16x8_t; 2]; 2],
    /// Of a single plane: rows 0 to 7, and rows 8 to 15.
    single: [int16x8_t; 2],
}

impl Sums {
    #[inline]
    #[target_feature(enable = "neon")]
    fn zero() -> Self {
        let zero = [vdupq_n_s16(0); 2];
        Self { both: [zero; 2], upper: [zero; 2], single: zero }
    }

    /// Adds the look-ups of a block.
    ///
    /// # Safety
    /// `codes` are the nibbles of a block of the layout.
    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn add<L: Layout>(&mut self, codes: *const u8, tables: &Int8Tables) {
        let pairs = const { L::SPEC.codes.bits() as usize / 2 };
        // SAFETY: a table is 16 bytes.
        let table = |group: usize| unsafe { vld1q_s8(tables.entries[group].as_ptr()) };
        let nibbles = |register: usize| {
            // SAFETY: the nibbles of a block are that many registers.
            let x = unsafe { vld1q_u8(codes.wrapping_add(TILE_ROWS * register)) };
            [vandq_u8(x, vdupq_n_u8(15)), vshrq_n_u8::<4>(x)]
        };
        for even in (0..if pairs > 0 { GROUPS } else { 0 }).step_by(2) {
            let two = [table(even), table(even + 1)];
            for pair in 0..pairs {
                for half in 0..2 {
                    let indices = nibbles(pair * GROUPS + even + half);
                    for odd in 0..2 {
                        let entries = vqtbl1q_s8(two[odd], indices[odd]);
                        let (both, upper) =
                            (&mut self.both[pair][half], &mut self.upper[pair][half]);
                        *both = vpadalq_s8(*both, entries);
                        *upper = vsraq_n_s16::<8>(*upper, vreinterpretq_s16_s8(entries));
                    }
                }
            }
        }
        if const { L::SPEC.codes.bits() % 2 == 1 } {
            for register in 0..GROUPS / 2 {
                let indices = nibbles(pairs * GROUPS + register);
                for odd in 0..2 {
                    let group = register / 2 * 4 + register % 2 + 2 * odd;
                    let entries = vqtbl1q_s8(table(group), indices[odd]);
                    self.single[0] = vaddw_s8(self.single[0], vget_low_s8(entries));
                    self.single[1] = vaddw_high_s8(self.single[1], entries);
                }
            }
        }
    }

    /// The sums of rows 4i to 4i + 3.
    #[inline]
    #[target_feature(enable = "neon")]
    fn rows<L: Layout>(self) -> [int32x4_t; ROW_GROUPS] {
        let bits = const { L::SPEC.codes.bits() };
        let mut rows = [vdupq_n_s32(0); ROW_GROUPS];
        for half in 0..2 {
            let [low, high] =
                [0, 1].map(|pair| vaddq_s16(self.both[pair][half], self.upper[pair][half]));
            let sums = vreinterpretq_s32_s16(vaddq_s16(low, vshlq_n_s16::<2>(high)));
            rows[half] = vshrq_n_s32::<16>(vshlq_n_s32::<16>(sums));
            rows[2 + half] = vshrq_n_s32::<16>(sums);
        }
        if bits % 2 == 1 {
            for half in 0..2 {
                let sums = self.single[half];
                let sums = [vmovl_s16(vget_low_s16(sums)), vmovl_high_s16(sums)];
                for (rows, sums) in rows[2 * half..].iter_mut().zip(sums) {
                    let sums = if bits == 1 && doubling(const { L::SPEC.codes }) == 1 {
                        vshlq_n_s32::<1>(sums)
                    } else {
                        vshlq_n_s32::<2>(sums)
                    };
                    *rows = vaddq_s32(*rows, sums);
                }
            }
        }
        rows
    }
}
