//! Quantizes activations to 8 bits, one scale for each 32 columns: the right operand of [`crate::matmul`].
//!
//! For each block of 32 columns of a token, a last one padded with zeros:
//!
//! ```text
//! amax  = max |x|
//! scale = amax / 127                     0 where amax < 2^-100, NaN where amax is infinite or NaN; all codes are 0 in both cases
//! code  = round to nearest, ties to even (x · (127 / amax))                                −127 to 127
//! ```
//!
//! and the sums that [`ActivationBlock`] lists, which are exact.

#![cfg_attr(not(test), expect(clippy::wildcard_imports, reason = "intrinsics name themselves"))]

mod scalar;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;

#[cfg(target_arch = "aarch64")]
mod neon;

#[cfg(test)]
mod tests;

use crate::isa::Isa;
use crate::matmul::activations::{ActivationBlock, PANEL, panel_index, panel_width};
use crate::matmul::layout::BLOCK;
use crate::registry::{Kernel, Kernels, Op};

/// Below it a group counts as zeros, so that neither 127 / amax overflows nor a scale is subnormal.
const SMALLEST: f32 = f32::from_bits((127 - 100) << 23);

/// A kernel: quantizes `columns` values at `x` into blocks that are `stride` apart.
///
/// Its contract: the instruction set is supported, `x` has `columns` values, and `out[i * stride]` may be written for each
/// `i < columns.div_ceil(32)`.
pub(crate) type QuantizeActivationsFn =
    unsafe fn(x: *const f32, columns: usize, out: *mut ActivationBlock, stride: usize);

/// The kernels, the specification first.
pub(crate) static OP: Op<QuantizeActivationsFn> = Op {
    name: "quantize_activations_f32_i8g32",
    kernels: &[
        Kernel {
            name: "quantize_activations_f32_i8g32__scalar",
            isa: Isa::Scalar,
            function: scalar::quantize_activations,
        },
        #[cfg(target_arch = "x86_64")]
        Kernel {
            name: "quantize_activations_f32_i8g32__avx2",
            isa: Isa::Avx2,
            function: avx2::quantize_activations,
        },
        #[cfg(target_arch = "x86_64")]
        Kernel {
            name: "quantize_activations_f32_i8g32__avx512",
            isa: Isa::Avx512,
            function: avx512::quantize_activations,
        },
        #[cfg(target_arch = "aarch64")]
        Kernel {
            name: "quantize_activations_f32_i8g32__neon",
            isa: Isa::Neon,
            function: neon::quantize_activations,
        },
    ],
};

impl Kernels {
    /// Quantizes one panel: tokens `first` to at most `first + 7` of a batch whose tokens have `columns` values each, one behind the other in `x`.
    ///
    /// `panel` is the panel's part of the blocks of the batch ([`panel_index`]).
    ///
    /// # Panics
    /// Where `x` is not a whole number of tokens, `first` is no multiple of 8 below their number, or `panel` has not the length of the panel.
    pub fn quantize_activations(
        &self,
        x: &[f32],
        columns: usize,
        first: usize,
        panel: &mut [ActivationBlock],
    ) {
        let tokens = x.len().checked_div(columns).unwrap_or(0);
        assert_eq!(x.len(), tokens * columns, "values of {columns} columns");
        assert!(first.is_multiple_of(PANEL) && first < tokens, "panel {first} of {tokens} tokens");
        let blocks = columns.div_ceil(BLOCK);
        let width = panel_width(tokens, first);
        assert_eq!(panel.len(), width * blocks, "blocks of a panel");
        for token in 0..width {
            let x = &x[(first + token) * columns..][..columns];
            let out = &mut panel[panel_index(width, blocks, token, 0)..];
            // SAFETY: the kernel was selected for a supported instruction set; block `i` is at `i * width + token` of a panel of
            // `width * blocks`.
            unsafe {
                (self.quantize_activations.function)(x.as_ptr(), columns, out.as_mut_ptr(), width);
            }
        }
    }
}
