//! The specification: every other kernel returns these bits.

use super::super::Product;
use super::super::layout::TILE_ROWS;
use super::{CHAINS, Float};

/// See [`super`].
///
/// # Safety
/// As [`super::MatmulFloatFn`] says.
pub(super) unsafe fn matmul<F: Float>(product: &Product<f32>) {
    for step in product.steps(&[1]) {
        // SAFETY: a tile has `tile_bytes` bytes.
        let tile = unsafe { std::slice::from_raw_parts(step.weights, product.tile_bytes) };
        let mut acc = [[0.0f32; TILE_ROWS]; CHAINS];
        for k in 0..step.blocks {
            // SAFETY: the panels hold `blocks` numbers of each token.
            let x = unsafe { *step.activations.wrapping_add(k * step.panel) };
            for (row, acc) in acc[k % CHAINS].iter_mut().enumerate() {
                *acc = F::LAYOUT.load(tile, row, k).mul_add(x, *acc);
            }
        }
        let values = std::array::from_fn::<_, TILE_ROWS, _>(|row| {
            let value = (acc[0][row] + acc[1][row]) + (acc[2][row] + acc[3][row]);
            if value.is_nan() { f32::NAN } else { value }
        });
        // SAFETY: a step of one token of a valid product.
        unsafe { step.store(0, 0, values) };
    }
}
