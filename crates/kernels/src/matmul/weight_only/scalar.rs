//! The specification: every other kernel returns these bits.

use super::super::Product;
use super::super::layout::{BLOCK, TILE_ROWS};
use super::CHAINS;

/// See [`super`].
///
/// # Safety
/// As [`super::OP`] says.
pub(super) unsafe fn matmul(product: &Product<f32>) {
    // SAFETY: the product has a specification and values.
    let (spec, values) = unsafe { (&*product.spec, &*product.values) };
    let span = if spec.scales.has_halves() { BLOCK / 2 } else { BLOCK };
    for step in product.steps(&[1]) {
        // SAFETY: a tile has `tile_bytes` bytes.
        let tile = unsafe { std::slice::from_raw_parts(step.weights, product.tile_bytes) };
        let mut y = [0.0f32; TILE_ROWS];
        for (row, y) in y.iter_mut().enumerate().take(step.rows) {
            for first in (0..step.blocks).step_by(span) {
                let block = first / BLOCK;
                let codes = spec.codes(tile, block, row);
                let scales = spec.row_scales(tile, block, row);
                let half = first % BLOCK / (BLOCK / 2);
                let (mut dot, mut sum) = ([0.0f32; CHAINS], [0.0f32; CHAINS]);
                for k in first..(first + span).min(step.blocks) {
                    // SAFETY: the panels hold `blocks` numbers of each token.
                    let x = unsafe { *step.activations.wrapping_add(k * step.panel) };
                    let value = values[usize::from(codes[k % BLOCK])];
                    dot[k % CHAINS] = value.mul_add(x, dot[k % CHAINS]);
                    sum[k % CHAINS] += x;
                }
                let total = |of: [f32; CHAINS]| (of[0] + of[1]) + (of[2] + of[3]);
                *y = total(dot).mul_add(scales.scale[half], *y);
                if spec.has_minimums() {
                    *y = scales.minimum[half].mul_add(total(sum), *y);
                }
            }
        }
        let y = y.map(|value| if value.is_nan() { f32::NAN } else { value });
        // SAFETY: a step of one token of a valid product.
        unsafe { step.store(0, 0, y) };
    }
}
