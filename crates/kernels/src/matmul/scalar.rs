//! The specification: every other kernel returns these bits.

use super::activations::ActivationBlock;
use super::layout::{BLOCK, TILE_ROWS};
use super::{Layout, Product};

const HALF: usize = BLOCK / 2;

/// See [`super`].
///
/// # Safety
/// As [`Product`] says.
pub(super) unsafe fn matmul<L: Layout>(product: &Product<ActivationBlock>) {
    let spec = if const { L::SPEC.scales.is_grouped() } {
        // SAFETY: products of grouped layouts have their specification.
        unsafe { &*product.spec }
    } else {
        const { &L::SPEC }
    };
    for step in product.steps(&[1]) {
        // SAFETY: a tile has `tile_bytes` bytes.
        let tile = unsafe { std::slice::from_raw_parts(step.weights, product.tile_bytes) };
        let mut acc = [0.0f32; TILE_ROWS];
        for block in 0..step.blocks {
            // SAFETY: the panels hold `blocks` blocks of each token.
            let activations = unsafe { &*step.activations.wrapping_add(block * step.panel) };
            for (row, acc) in acc.iter_mut().enumerate().take(step.rows) {
                let values = spec.values(tile, block, row);
                let weights = spec.row_scales(tile, block, row);
                let dot = |columns: std::ops::Range<usize>| -> i32 {
                    columns.map(|k| values[k] * i32::from(activations.codes[k])).sum()
                };
                if spec.scales.has_halves() {
                    for half in 0..2 {
                        let scale = weights.scale[half] * activations.scale;
                        let dot = dot(half * HALF..(half + 1) * HALF);
                        *acc = (dot as f32).mul_add(scale, *acc);
                        if spec.has_minimums() {
                            let sum = activations.scaled_half_sum(half);
                            *acc = weights.minimum[half].mul_add(sum, *acc);
                        }
                    }
                } else {
                    let scale = weights.scale[0] * activations.scale;
                    *acc = (dot(0..BLOCK) as f32).mul_add(scale, *acc);
                    if spec.has_minimums() {
                        *acc = weights.minimum[0].mul_add(activations.scaled_sum, *acc);
                    }
                }
            }
        }
        let values = acc.map(|value| if value.is_nan() { f32::NAN } else { value });
        // SAFETY: a step of one token of a valid product.
        unsafe { step.store(0, 0, values) };
    }
}
