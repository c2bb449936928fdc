//! The specification: the product of [`super::super::scalar`], of tiles in their own order.

use super::super::activations::ActivationBlock;
use super::super::layout::{BLOCK, VECTOR};
use super::super::{Layout, Product, scalar};
use super::{BASE, ByteTable, FourVectors, TILES, byte_of_index, place, terms, to_tiles};

/// See [`super`].
///
/// # Safety
/// As [`super::ByteLutFn`] says.
pub(super) unsafe fn matmul<L: Layout>(product: &Product<ActivationBlock>, _: *const ByteTable) {
    // SAFETY: the product has a specification.
    let spec = unsafe { &*product.spec };
    let bytes = product.tiles * product.tile_bytes;
    // SAFETY: the product has that many bytes of weights.
    let fours = unsafe { std::slice::from_raw_parts(product.weights, bytes) };
    let mut weights = vec![0; bytes];
    let four_bytes = TILES * product.tile_bytes;
    for (four, tiles) in fours.chunks_exact(four_bytes).zip(weights.chunks_exact_mut(four_bytes)) {
        to_tiles(quads, spec, four, product.blocks, 0, tiles);
    }
    // SAFETY: the same product, of weights of the same size.
    unsafe { scalar::matmul::<L>(&Product { weights: weights.as_ptr(), ..*product }) };
}

/// See [`super::TablesFn`].
///
/// # Safety
/// None: it is called like the others.
pub(super) unsafe fn tables(codes: &[i8; BLOCK], tables: &mut [ByteTable]) {
    let bits = tables.len() / 4;
    for (group, table) in tables.iter_mut().enumerate() {
        let (first, steps) = terms(codes, bits, group);
        for (index, (low, high)) in table.low.iter_mut().zip(&mut table.high).enumerate() {
            let added = steps.iter().enumerate().filter(|(bit, _)| index >> bit & 1 == 1);
            let entry = first + added.map(|(_, step)| step).sum::<i16>();
            // The nearest, or at a tie nearly so.
            *high = ((i32::from(entry) * 546 + (1 << 14)) >> 15) as i8;
            *low = (entry - BASE * i16::from(*high)) as i8;
        }
    }
}

/// See [`super::QuadsFn`].
///
/// # Safety
/// None: it is called like the others.
pub(super) unsafe fn quads(groups: &FourVectors, vectors: &mut [[u8; VECTOR]; TILES]) {
    for (tile, vector) in vectors.iter_mut().enumerate() {
        for (at, byte) in vector.iter_mut().enumerate() {
            *byte = byte_of_index(groups[at % 4 * VECTOR + place(tile, at / 4)]);
        }
    }
}
