//! NEON with the 4-way integer dot product (Cortex-A76): a tile is four registers of 4 rows, and `sdot` adds four products to each lane.

use std::arch::aarch64::*;
use std::arch::asm;

use super::neon::{GROUPS, activations, load, write};
use super::{Product, TILE_ROWS};

/// See [`super`].
///
/// # Safety
/// As [`Product`] says.
#[target_feature(enable = "neon,dotprod")]
pub(super) unsafe fn linear(product: &Product) {
    for tile in 0..product.rows.div_ceil(TILE_ROWS) {
        let mut walk = product.walk();
        let mut token = 0;
        while token < product.tokens {
            // SAFETY: there are so many tokens and tiles.
            token += unsafe {
                match product.tokens - token {
                    4.. => block(product, walk.take::<4>(&product.places), token, tile),
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
#[target_feature(enable = "neon,dotprod")]
unsafe fn block<const T: usize>(
    product: &Product,
    x: [*const u8; T],
    token: usize,
    tile: usize,
) -> usize {
    let vectors = product.tiles.wrapping_add(tile * product.tile_len);
    let mut acc = [[vdupq_n_s32(0); GROUPS]; T];
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
                    acc[group] = dot(acc[group], w, x);
                }
            }
        }
    }
    for (t, &sums) in acc.iter().enumerate() {
        // SAFETY: the token and the tile are of the product.
        unsafe { write(product, token + t, tile, sums) };
    }
    T
}

/// `acc` and the products of 4 columns in each lane.
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn dot(mut acc: int32x4_t, w: int8x16_t, x: int8x16_t) -> int32x4_t {
    // SAFETY: the instruction belongs to `dotprod` and reads registers only.
    unsafe {
        asm!(
            "sdot {acc:v}.4s, {w:v}.16b, {x:v}.16b",
            acc = inout(vreg) acc,
            w = in(vreg) w,
            x = in(vreg) x,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    acc
}
