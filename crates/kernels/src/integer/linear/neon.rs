//! NEON: a tile is four registers of 4 rows. `smull` makes products of 16 bits and `sadalp` adds neighbours in 32.
//!
//! Both operands are signed: unsigned activations are taken as x − 128, and 128 times the sum of the weights is added at the end.

use std::arch::aarch64::*;

use super::scalar::finish;
use super::{HEADER, PAIR, Product, TILE_ROWS, Vector, WeightBits, quad};

/// Registers of a tile.
pub(super) const GROUPS: usize = 4;

/// See [`super`].
///
/// # Safety
/// As [`Product`] says.
#[target_feature(enable = "neon")]
pub(super) unsafe fn linear(product: &Product) {
    for tile in 0..product.rows.div_ceil(TILE_ROWS) {
        let mut walk = product.walk();
        let mut token = 0;
        while token < product.tokens {
            // SAFETY: there are so many tokens and tiles.
            token += unsafe {
                match product.tokens - token {
                    2.. => block(product, walk.take::<2>(&product.places), token, tile),
                    _ => block(product, walk.take::<1>(&product.places), token, tile),
                }
            };
        }
    }
}

/// `T` tokens of a tile, those at `x`. Returns `T`.
///
/// # Safety
/// As [`Product`] says, and it has the tokens and the tile.
#[target_feature(enable = "neon")]
unsafe fn block<const T: usize>(
    product: &Product,
    x: [*const u8; T],
    token: usize,
    tile: usize,
) -> usize {
    let vectors = product.tiles.wrapping_add(tile * product.tile_len);
    // Sums of two columns: of rows 0 and 1, and of rows 2 and 3, of each register.
    let mut acc = [[[vdupq_n_s32(0); 2]; GROUPS]; T];
    for run in 0..product.places.runs {
        let x = x.map(|x| x.wrapping_add(run * product.places.run_stride));
        for column in (0..product.columns).step_by(4) {
            // SAFETY: the tokens and the column are of the product.
            let x = x.map(|x| unsafe { activations(product, x, column) });
            for group in 0..GROUPS {
                let column = run * product.columns + column;
                // SAFETY: the quad is of the tile.
                let w = unsafe { load(product.bits, vectors, column, group) };
                for (acc, x) in acc.iter_mut().zip(x) {
                    let [low, high] = &mut acc[group];
                    *low = vpadalq_s16(*low, vmull_s8(vget_low_s8(w), vget_low_s8(x)));
                    *high = vpadalq_s16(*high, vmull_high_s8(w, x));
                }
            }
        }
    }
    for (t, acc) in acc.iter().enumerate() {
        let sums = acc.map(|[low, high]| vpaddq_s32(low, high));
        // SAFETY: the token and the tile are of the product.
        unsafe { write(product, token + t, tile, sums) };
    }
    T
}

/// Finishes the sums of a tile.
///
/// # Safety
/// As [`Product`] says, and it has the token and the tile.
#[inline]
#[target_feature(enable = "neon")]
pub(super) unsafe fn write(
    product: &Product,
    token: usize,
    tile: usize,
    sums: [int32x4_t; GROUPS],
) {
    let mut rows = [0i32; TILE_ROWS];
    // SAFETY: there is room for 16 integers; the token and the tile are of the product.
    unsafe {
        for (group, sums) in sums.into_iter().enumerate() {
            vst1q_s32(rows.as_mut_ptr().add(4 * group), sums);
        }
        finish(product, token, tile, &rows, if product.signed { 0 } else { 128 });
    }
}

/// The quad of activations at a column of the run at `x`, four times, as signed bytes.
///
/// # Safety
/// The run has the column, a multiple of 4.
#[inline]
#[target_feature(enable = "neon")]
pub(super) unsafe fn activations(product: &Product, x: *const u8, column: usize) -> int8x16_t {
    // SAFETY: the columns from `column` on, at most 4, are of the run.
    let quad = unsafe { quad(x, column, product.columns) };
    let flip = if product.signed { 0 } else { 0x8080_8080 };
    vreinterpretq_s8_u32(vdupq_n_u32(quad ^ flip))
}

/// 4 columns of 4 rows.
///
/// # Safety
/// `vectors` is a tile with the column, a multiple of 4.
#[inline]
#[target_feature(enable = "neon")]
pub(super) unsafe fn load(
    bits: WeightBits,
    vectors: *const Vector,
    column: usize,
    group: usize,
) -> int8x16_t {
    let index = match bits {
        WeightBits::Eight => column / 4,
        WeightBits::Four => column / PAIR,
    };
    let vector = vectors.wrapping_add(HEADER + index).cast::<i8>();
    // SAFETY: a vector has 64 bytes.
    let bytes = unsafe { vld1q_s8(vector.add(16 * group)) };
    match bits {
        WeightBits::Eight => bytes,
        WeightBits::Four if column % PAIR >= 4 => vshrq_n_s8::<4>(bytes),
        WeightBits::Four => vshrq_n_s8::<4>(vshlq_n_s8::<4>(bytes)),
    }
}
