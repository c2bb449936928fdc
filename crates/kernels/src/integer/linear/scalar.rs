//! The specification.

use super::{HEADER, PAIR, Product, Results, TILE_ROWS, Vector, WeightBits};
use crate::integer::dyadic::{Dyadic, Integer, Output};

/// See [`super`].
///
/// # Safety
/// As [`Product`] says.
pub(super) unsafe fn linear(product: &Product) {
    for row in 0..product.rows {
        // SAFETY: there are as many tiles as the rows need.
        let tile = unsafe {
            let first = product.tiles.add(row / TILE_ROWS * product.tile_len);
            std::slice::from_raw_parts(first, product.tile_len)
        };
        for token in 0..product.tokens {
            let lane = row % TILE_ROWS;
            let mut sum = tile[0].lane(lane);
            for run in 0..product.places.runs {
                // SAFETY: a run has `columns` bytes.
                let x = unsafe {
                    let first = product.token(token).add(run * product.places.run_stride);
                    std::slice::from_raw_parts(first, product.columns)
                };
                for (column, &x) in x.iter().enumerate() {
                    let x = if product.signed { i32::from(x.cast_signed()) } else { i32::from(x) };
                    sum += weight(product.bits, tile, lane, run * product.columns + column) * x;
                }
            }
            let scale = Dyadic::new(tile[2].lane(lane), tile[3].lane(lane).cast_unsigned());
            let value = scale.expect("packed from a dyadic number").apply(sum);
            // SAFETY: row `row` of token `token` is one of the results.
            unsafe { product.write(token, row, value) };
        }
    }
}

/// The weight of a lane and column.
fn weight(bits: WeightBits, tile: &[Vector], lane: usize, column: usize) -> i32 {
    let (quad, byte) = (column / 4, 4 * lane + column % 4);
    match bits {
        WeightBits::Eight => i32::from(tile[HEADER + quad].0[byte].cast_signed()),
        WeightBits::Four => {
            let pair = tile[HEADER + column / PAIR].0[byte];
            let high = if quad % 2 == 0 { pair << 4 } else { pair };
            i32::from(high.cast_signed() >> 4)
        }
    }
}

impl Product {
    /// Finishes and writes one result.
    ///
    /// # Safety
    /// The row and the token are of the product.
    unsafe fn write(&self, token: usize, row: usize, value: i64) {
        let at = token * self.out_stride + row;
        // SAFETY: by the contract of the product the result may be written.
        unsafe {
            match self.results {
                Results::I8 => self.out.cast::<i8>().add(at).write(self.output.finish(value)),
                Results::I16 => self.out.cast::<i16>().add(at).write(self.output.finish(value)),
                Results::I32 => self.out.cast::<i32>().add(at).write(self.output.finish(value)),
            }
        }
    }
}

/// Finishes and writes the sums of products of a tile, to which the bias and `offset` times the sum of the weights are still to be added.
///
/// # Safety
/// As [`Product`] says, and it has the token and the tile.
#[inline(always)]
pub(super) unsafe fn finish(
    product: &Product,
    token: usize,
    tile: usize,
    sums: &[i32; TILE_ROWS],
    offset: i32,
) {
    let first = tile * TILE_ROWS;
    let rows = (product.rows - first).min(TILE_ROWS);
    let at = token * product.out_stride + first;
    // SAFETY: a header has four vectors of 16 integers, and `rows` results from `at` on may be written.
    unsafe {
        let header =
            &*product.tiles.add(tile * product.tile_len).cast::<[[i32; TILE_ROWS]; HEADER]>();
        let out = product.out;
        match product.results {
            Results::I8 => {
                let out = std::slice::from_raw_parts_mut(out.cast::<i8>().add(at), rows);
                finish_rows(header, sums, offset, product.output, out);
            }
            Results::I16 => {
                let out = std::slice::from_raw_parts_mut(out.cast::<i16>().add(at), rows);
                finish_rows(header, sums, offset, product.output, out);
            }
            Results::I32 => {
                let out = std::slice::from_raw_parts_mut(out.cast::<i32>().add(at), rows);
                finish_rows(header, sums, offset, product.output, out);
            }
        }
    }
}

#[inline(always)]
fn finish_rows<O: Integer>(
    [bias, weights, multipliers, shifts]: &[[i32; TILE_ROWS]; HEADER],
    sums: &[i32; TILE_ROWS],
    offset: i32,
    output: Output,
    out: &mut [O],
) {
    let mut results = [O::from_wide(0); TILE_ROWS];
    for row in 0..TILE_ROWS {
        let sum = sums[row].wrapping_add(bias[row]).wrapping_add(offset.wrapping_mul(weights[row]));
        let shift = shifts[row].cast_unsigned() & 63;
        let half = (1i64 << shift) >> 1;
        let value = (i64::from(sum) * i64::from(multipliers[row]) + half) >> shift;
        results[row] = output.finish(value);
    }
    out.copy_from_slice(&results[..out.len()]);
}

impl Vector {
    /// An integer of a header.
    pub(super) fn lane(&self, lane: usize) -> i32 {
        i32::from_le_bytes(std::array::from_fn(|byte| self.0[4 * lane + byte]))
    }
}
