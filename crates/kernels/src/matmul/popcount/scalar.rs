//! The specification: every other kernel returns these bits.

use super::super::activations::ActivationBlock;
use super::super::layout::{TILE_ROWS, VECTOR};
use super::super::{Layout, Product};
use super::{BitBlock, Terms};

/// See [`super`].
///
/// # Safety
/// As [`super::PopcountFn`] says.
pub(super) unsafe fn matmul<L: Layout>(
    product: &Product<ActivationBlock>,
    planes: *const BitBlock,
    bits: usize,
) {
    // SAFETY: the product has a specification.
    let spec = unsafe { &*product.spec };
    debug_assert_eq!(spec.id, L::SPEC.id, "the layout of the kernel");
    let terms = Terms::new(spec);
    for step in product.steps(&[1]) {
        // SAFETY: a tile has `tile_bytes` bytes.
        let tile = unsafe { std::slice::from_raw_parts(step.weights, product.tile_bytes) };
        let mut acc = [0.0f32; TILE_ROWS];
        for block in 0..step.blocks {
            let at = step.activations.wrapping_add(block * step.panel);
            // SAFETY: the panels hold `blocks` blocks of each token, and planes are parallel.
            let (activations, planes) =
                unsafe { (&*at, &*planes.add(at.offset_from_unsigned(product.activations))) };
            let words = &tile[spec.block_offset(block)..][..spec.code_bytes()];
            for (row, acc) in acc.iter_mut().enumerate() {
                let mut differences = 0;
                for (i, words) in words.chunks_exact(VECTOR).enumerate() {
                    let word = std::array::from_fn(|byte| words[4 * row + byte]);
                    for (j, plane) in planes.planes[..bits].iter().enumerate() {
                        let count = (u32::from_le_bytes(word) ^ plane).count_ones();
                        differences += count.cast_signed() << (i + j);
                    }
                }
                let dot = terms.base(activations, planes) - (differences << terms.shift);
                let weights = spec.row_scales(tile, block, row);
                *acc = (dot as f32).mul_add(weights.scale[0] * activations.scale, *acc);
                if spec.has_minimums() {
                    *acc = weights.minimum[0].mul_add(activations.scaled_sum, *acc);
                }
            }
        }
        let values = acc.map(|value| if value.is_nan() { f32::NAN } else { value });
        // SAFETY: a step of one token of a valid product.
        unsafe { step.store(0, 0, values) };
    }
}
