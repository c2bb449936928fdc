//! Products of packed codes and f32 activations: weights are decoded, activations keep all their bits.
//!
//! Any layout whose codes have at most 8 bits, also those whose codes are no integers (`Codes::Numbers`): what a code means is a table of numbers.
//! For each row and token alike, with `span` a block of 32 columns, or half of one where halves have their own scales:
//!
//! ```text
//! y = 0
//! for each span, in order:                                                             the last one may be short
//!     dot[i] = 0, sum[i] = 0                                       i = 0..4
//!     for k in span, in order:
//!         dot[k mod 4] = fma(value[code[k]], x[k], dot[k mod 4])
//!         sum[k mod 4] = sum[k mod 4] + x[k]                       where the layout has minimums
//!     y = fma((dot[0] + dot[1]) + (dot[2] + dot[3]), scale, y)
//!     y = fma(minimum, (sum[0] + sum[1]) + (sum[2] + sum[3]), y)   where the layout has minimums
//! ```
//!
//! Activations are padded with zeros to a multiple of [`CHAINS`] columns; any NaN of a result is the canonical one.

mod lanes;
mod scalar;

#[cfg(test)]
mod tests;

use super::float::CHAINS;
use super::layout::{BLOCK, LayoutSpec};
use super::{OutputColumns, Product};
use crate::lanes::lane_op;
use crate::registry::Kernels;

lane_op! {
    /// Products of codes and f32 activations. Contract: every pointer of [`Product`] is as that says, with its specification and values; its
    /// `blocks` are columns, a multiple of [`CHAINS`].
    static OP: MatmulCodesFn = "matmul_f32_codes",
    fn(product: &Product<f32>),
    scalar: scalar::matmul,
    lanes: lanes::matmul,
}

/// What each code of a layout of integers means.
///
/// # Panics
/// Where codes are no integers.
#[must_use]
pub fn integer_values(layout: &LayoutSpec) -> [f32; 256] {
    let mask = 0xFF >> (8 - layout.codes.bits());
    std::array::from_fn(|code| {
        let code = code.to_le_bytes()[0] & mask;
        layout.value(code) as f32
    })
}

impl Kernels {
    /// The product of some tiles of weights with all tokens of `activations`, into as many columns of `out` as it has.
    ///
    /// `weights` are tiles of `columns` columns in the layout, `values` what its codes mean (for layouts of integers [`integer_values`]);
    /// `activations` are as for [`Kernels::matmul_float`]; `out` has `tokens` tokens.
    ///
    /// # Panics
    /// Where these lengths do not fit, or the tiles are not exactly those that the columns of `out` need.
    pub fn matmul_codes(
        &self,
        layout: &LayoutSpec,
        values: &[f32; 256],
        weights: &[u8],
        columns: usize,
        activations: &[f32],
        out: &mut OutputColumns<'_>,
    ) {
        if out.columns == 0 || out.tokens == 0 {
            return;
        }
        assert!(layout.grouping.run > 0, "superblocks of no blocks");
        let tile_bytes =
            layout.tile_bytes(columns.div_ceil(BLOCK)).expect("the weights are in memory");
        let columns = columns.next_multiple_of(CHAINS);
        let mut product = Product::new(weights, tile_bytes, columns, activations, out);
        product.spec = layout;
        product.values = values;
        // SAFETY: the kernel was selected for a supported instruction set; the blocks of a tile hold all columns, padded ones included.
        unsafe { (self.matmul_codes.function)(&product) };
    }

    /// The name of the kernel that multiplies codes by f32 activations.
    #[must_use]
    pub fn matmul_codes_name(&self) -> &'static str {
        self.matmul_codes.name
    }
}
