//! NEON without the integer dot product (Cortex-A72): a tile is four registers of 4 rows.
//!
//! A register of codes holds 4 columns of 4 rows. `smull` and `smlal` multiply them by 4 activations, twice side by side, into i16 sums of one product a column,
//! which are added up for as long as the largest code allows ([`run`]) and then pairwise in i32. Codes go in as signed bytes, at most 2 · 128 · 127 < 2¹⁵ a pair.

use std::arch::aarch64::*;

use super::activations::ActivationBlock;
use super::codes::{for_each_piece, trit_place};
use super::layout::{Codes, Minimum, Scales, TILE_ROWS, VECTOR};
use super::{Block, Layout, Product, Step, Terms};

/// 3^n: what brings digit n of a byte of trits to the top.
const POWERS: [u8; 5] = [1, 3, 9, 27, 81];

/// The least bytes whose product with 3 carries 1 and 2 out.
const THIRDS: [u8; 2] = [86, 171];

/// Registers of a tile.
pub(super) const GROUPS: usize = 4;

/// See [`super`].
///
/// # Safety
/// As [`Product`] says.
#[target_feature(enable = "neon")]
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
#[target_feature(enable = "neon")]
unsafe fn tokens<L: Layout, const T: usize>(step: &Step<ActivationBlock>) {
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
                let dots =
                    [dot::<L>(&codes, &activations[t], 0), dot::<L>(&codes, &activations[t], 4)];
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

/// What is subtracted from the codes as loaded to give the integers that they stand for.
pub(super) const fn offset(codes: Codes) -> i32 {
    match codes {
        Codes::Unsigned { .. } | Codes::Bipolar | Codes::Trits => codes.offset(),
        Codes::Signed8 | Codes::Table4(_) | Codes::Table { .. } | Codes::Numbers { .. } => 0,
    }
}

/// How many products can be added in i16.
const fn run(codes: Codes) -> usize {
    let largest = match codes {
        Codes::Unsigned { bits, .. } => (1 << bits) - 1,
        Codes::Bipolar | Codes::Trits => 2,
        Codes::Signed8 | Codes::Table4(_) | Codes::Table { .. } | Codes::Numbers { .. } => 128,
    };
    i16::MAX as usize / (127 * largest)
}

/// The dot products of 4 rows with 4 quads from `first` on.
#[inline]
#[target_feature(enable = "neon")]
fn dot<L: Layout>(codes: &[int8x16_t; 8], block: &ActivationBlock, first: usize) -> int32x4_t {
    let run = const { run(L::SPEC.codes) };
    let (mut low, mut high) = (vdupq_n_s32(0), vdupq_n_s32(0));
    for from in (first..first + 4).step_by(run) {
        let (mut low_products, mut high_products) = (vdupq_n_s16(0), vdupq_n_s16(0));
        for quad in from..(from + run).min(first + 4) {
            let four = vreinterpretq_s8_s32(vdupq_n_s32(block.quad(quad)));
            low_products = vmlal_s8(low_products, vget_low_s8(codes[quad]), vget_low_s8(four));
            high_products = vmlal_high_s8(high_products, codes[quad], four);
        }
        low = vpadalq_s16(low, low_products);
        high = vpadalq_s16(high, high_products);
    }
    vpaddq_s32(low, high)
}

/// Adds one block of one token, given the dot products of its halves.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn accumulate<L: Layout>(
    mut acc: float32x4_t,
    dots: [int32x4_t; 2],
    scales: &BlockScales,
    terms: &Terms<L>,
    block: &ActivationBlock,
) -> float32x4_t {
    if const { L::SPEC.scales.has_halves() } {
        for half in 0..2 {
            let start = vdupq_n_s32(terms.half_start(block, half));
            let dot = vcvtq_f32_s32(vaddq_s32(dots[half], start));
            acc = vfmaq_f32(acc, dot, vmulq_n_f32(scales.scale[half], block.scale));
            if terms.has_minimums() {
                acc = vfmaq_n_f32(acc, scales.minimum[half], block.scaled_half_sum(half));
            }
        }
    } else {
        let start = vdupq_n_s32(terms.start(block));
        let dot = vcvtq_f32_s32(vaddq_s32(vaddq_s32(dots[0], dots[1]), start));
        acc = vfmaq_f32(acc, dot, vmulq_n_f32(scales.scale[0], block.scale));
        if terms.has_minimums() {
            acc = vfmaq_n_f32(acc, scales.minimum[0], block.scaled_sum);
        }
    }
    acc
}

/// Writes 4 rows of one token.
///
/// # Safety
/// `token < step.tokens`, and the step is of a valid product.
#[inline]
#[target_feature(enable = "neon")]
pub(super) unsafe fn store<A>(step: &Step<A>, token: usize, group: usize, acc: float32x4_t) {
    let acc = vbslq_f32(vceqq_f32(acc, acc), acc, vdupq_n_f32(f32::NAN));
    let mut values = [0.0f32; 4];
    // SAFETY: `values` has 4 elements; token and step are as the caller says.
    unsafe {
        vst1q_f32(values.as_mut_ptr(), acc);
        step.store(token, 4 * group, values);
    }
}

/// Shifts each byte right, or left where `by` is negative.
#[inline]
#[target_feature(enable = "neon")]
fn shift_right(x: uint8x16_t, by: i32) -> uint8x16_t {
    match by {
        1 => vshrq_n_u8::<1>(x),
        2 => vshrq_n_u8::<2>(x),
        3 => vshrq_n_u8::<3>(x),
        4 => vshrq_n_u8::<4>(x),
        5 => vshrq_n_u8::<5>(x),
        6 => vshrq_n_u8::<6>(x),
        7 => vshrq_n_u8::<7>(x),
        -1 => vshlq_n_u8::<1>(x),
        -2 => vshlq_n_u8::<2>(x),
        -3 => vshlq_n_u8::<3>(x),
        -4 => vshlq_n_u8::<4>(x),
        -5 => vshlq_n_u8::<5>(x),
        -6 => vshlq_n_u8::<6>(x),
        _ => x,
    }
}

/// The codes of rows 4·group to 4·group + 3 as signed bytes, a register for each quad.
///
/// # Safety
/// `block` is of a valid product.
#[inline]
#[target_feature(enable = "neon")]
pub(super) unsafe fn load_codes<L: Layout>(block: &Block, group: usize) -> [int8x16_t; 8] {
    let codes = const { L::SPEC.codes };
    let load = |vector: usize| {
        let at = block.codes.wrapping_add(vector * VECTOR + group * VECTOR / GROUPS);
        // SAFETY: the codes of a block are that many vectors.
        unsafe { vld1q_u8(at) }
    };
    if let Codes::Signed8 = codes {
        return std::array::from_fn(|quad| vreinterpretq_s8_u8(load(quad)));
    }
    if let Codes::Trits = codes {
        return std::array::from_fn(|quad| {
            let (vector, digit) = trit_place(block.phase, quad);
            // What the multiplications before carried out is lost; what the next one carries out is the digit.
            let rest = vmulq_u8(load(vector), vdupq_n_u8(POWERS[digit]));
            let digit = vaddq_u8(
                vcgeq_u8(rest, vdupq_n_u8(THIRDS[0])),
                vcgeq_u8(rest, vdupq_n_u8(THIRDS[1])),
            );
            vnegq_s8(vreinterpretq_s8_u8(digit))
        });
    }
    let mut quads = [vdupq_n_u8(0); 8];
    for_each_piece!(L::SPEC.codes.bits(), |piece| {
        let position = piece.to + codes.position();
        let mask = vdupq_n_u8((piece.mask() << position) as u8);
        let bits =
            shift_right(load(piece.vector), piece.from.cast_signed() - position.cast_signed());
        // The shift itself clears what is beside the highest field, and below position 0.
        let clear = piece.from + piece.bits == 8 && position == 0;
        let bits = if clear { bits } else { vandq_u8(bits, mask) };
        let quad = &mut quads[piece.quad];
        *quad = if piece.to == 0 { bits } else { vorrq_u8(*quad, bits) };
    });
    let table = match codes {
        Codes::Table4(table) => Some(table),
        Codes::Table { .. } => Some(&block.spec::<L>().table),
        _ => None,
    };
    if let Some(table) = table {
        // SAFETY: the table has 16 bytes.
        let table = unsafe { vld1q_s8(table.as_ptr()) };
        return quads.map(|indices| vqtbl1q_s8(table, indices));
    }
    quads.map(|quad| vreinterpretq_s8_u8(quad))
}

/// The scales of 4 rows in one block, of each half.
pub(super) struct BlockScales {
    pub(super) scale: [float32x4_t; 2],
    pub(super) minimum: [float32x4_t; 2],
}

/// The scales of rows 4·group to 4·group + 3.
///
/// # Safety
/// `block` is of a valid product.
#[inline]
#[target_feature(enable = "neon")]
pub(super) unsafe fn load_scales<L: Layout>(block: &Block, group: usize) -> BlockScales {
    let header = block.header;
    let scales = block.codes.wrapping_add(const { L::SPEC.code_bytes() });
    let f16 = |from: *const u8, index: usize| {
        let at = from.wrapping_add(32 * index + 8 * group);
        // SAFETY: the layout has 16 more halves there, of which these are 4.
        let bits = unsafe { vreinterpret_u16_u8(vld1_u8(at)) };
        vcvt_f32_f16(vreinterpret_f16_u16(bits))
    };
    let bytes = |index: usize| {
        let at = scales.wrapping_add(16 * index + 4 * group);
        // SAFETY: the layout has 16 more bytes there, of which these are 4.
        let four = unsafe { at.cast::<u32>().read_unaligned() };
        vmovl_u8(vreinterpret_u8_u32(vdup_n_u32(four)))
    };
    let integers = |index: usize| vmovl_u16(vget_low_u16(bytes(index)));
    let unsigned = |index: usize| vcvtq_f32_u32(integers(index));
    let signed = |index: usize| {
        let shifted = vshlq_n_s32::<24>(vreinterpretq_s32_u32(integers(index)));
        vcvtq_f32_s32(vshrq_n_s32::<24>(shifted))
    };
    let zero = [vdupq_n_f32(0.0); 2];
    let both = |value: float32x4_t| [value; 2];
    match const { L::SPEC.scales } {
        Scales::F16 { .. } => BlockScales { scale: both(f16(header, 0)), minimum: zero },
        Scales::F16Minimum => {
            BlockScales { scale: both(f16(header, 0)), minimum: both(f16(header, 1)) }
        }
        Scales::F16Halves => BlockScales { scale: [f16(scales, 0), f16(scales, 1)], minimum: zero },
        Scales::PowerOfTwo => {
            let exponent = integers(0);
            let normal = vshlq_n_u32::<23>(vsubq_u32(exponent, vdupq_n_u32(1)));
            // 2^-128 and 2^-127.
            let subnormal = vshlq_u32(vdupq_n_u32(0x0020_0000), vreinterpretq_s32_u32(exponent));
            let small = vcltq_u32(exponent, vdupq_n_u32(2));
            let scale = vreinterpretq_f32_u32(vbslq_u32(small, subnormal, normal));
            BlockScales { scale: both(scale), minimum: zero }
        }
        Scales::SuperI8 => {
            BlockScales { scale: both(vmulq_f32(f16(header, 0), signed(0))), minimum: zero }
        }
        Scales::SuperI8Halves => {
            let scale = f16(header, 0);
            let scale = [vmulq_f32(scale, signed(0)), vmulq_f32(scale, signed(1))];
            BlockScales { scale, minimum: zero }
        }
        Scales::SuperU8Minimum => BlockScales {
            scale: both(vmulq_f32(f16(header, 0), unsigned(0))),
            minimum: both(vmulq_f32(f16(header, 1), unsigned(1))),
        },
        Scales::SuperU4MinimumHalves => {
            let (scale, minimum) = (f16(header, 0), f16(header, 1));
            let pair = [integers(0), integers(1)];
            let low = |x| vcvtq_f32_u32(vandq_u32(x, vdupq_n_u32(15)));
            let high = |x| vcvtq_f32_u32(vshrq_n_u32::<4>(x));
            BlockScales {
                scale: pair.map(|x| vmulq_f32(scale, low(x))),
                minimum: pair.map(|x| vmulq_f32(minimum, high(x))),
            }
        }
        Scales::Grouped | Scales::GroupedHalves => {
            let halves = if const { L::SPEC.scales.has_halves() } { 2 } else { 1 };
            let grouping = block.spec::<L>().grouping;
            let number = |index: usize| {
                if grouping.wide {
                    let at = header.wrapping_add(64 * index + 16 * group);
                    // SAFETY: the header has 16 more f32 there, of which these are 4.
                    vreinterpretq_f32_u8(unsafe { vld1q_u8(at) })
                } else {
                    f16(header, index)
                }
            };
            let zero_points = header.wrapping_add(halves * TILE_ROWS * grouping.number_bytes());
            let minimum = |index: usize, scale: float32x4_t| match grouping.minimum {
                Minimum::None => vdupq_n_f32(0.0),
                Minimum::Number => number(halves + index),
                Minimum::ZeroPoint => {
                    let at = zero_points.wrapping_add(16 * index + 4 * group);
                    // SAFETY: the header has 16 more bytes there, of which these are 4.
                    let four = unsafe { at.cast::<u32>().read_unaligned() };
                    let zero = vmovl_s8(vreinterpret_s8_u32(vdup_n_u32(four)));
                    let minus = vnegq_s32(vmovl_s16(vget_low_s16(zero)));
                    vmulq_f32(vcvtq_f32_s32(minus), scale)
                }
            };
            let (low, high) = (number(0), number(halves - 1));
            BlockScales {
                scale: [low, high],
                minimum: [minimum(0, low), minimum(halves - 1, high)],
            }
        }
    }
}
