//! Quantizes activations to 8 bits or fewer: the right operand of [`crate::matmul`].
//!
//! A group of columns shares a scale ([`Rounding`]): 32 columns of a token, more, or all. For each group, with `top` the largest code:
//!
//! ```text
//! amax  = max |x|
//! scale = amax / top                     0 where amax < 2^-100, NaN where amax is infinite or NaN; all codes are 0 in both cases
//! code  = round to nearest, ties to even (x · (top / amax))                                −top to top
//! ```
//!
//! and for each block of 32 columns, a last one padded with zeros, the sums that [`ActivationBlock`] lists, which are exact.

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

/// How activations are rounded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rounding {
    /// Columns that share a scale: a multiple of 32, or at least as many as there are.
    pub group: usize,
    /// The largest code, 1 to 127.
    pub top: f32,
}

/// What the blocks of a group share.
#[derive(Clone, Copy)]
pub(crate) struct Group {
    /// The largest magnitude; where absent, each block is a group.
    largest: Option<f32>,
    /// The largest code.
    top: f32,
}

/// A kernel: quantizes `columns` values at `x` into blocks that are `stride` apart.
///
/// Its contract: the instruction set is supported, `x` has `columns` values, `out[i * stride]` may be written for each `i < columns.div_ceil(32)`, and the
/// group says of its values what is so.
pub(crate) type QuantizeActivationsFn = unsafe fn(
    x: *const f32,
    columns: usize,
    out: *mut ActivationBlock,
    stride: usize,
    group: Group,
);

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
    /// Where `x` is not a whole number of tokens, `first` is no multiple of 8 below their number, `panel` has not the length of the panel, or a group
    /// ends within a block.
    pub fn quantize_activations(
        &self,
        x: &[f32],
        columns: usize,
        first: usize,
        panel: &mut [ActivationBlock],
        Rounding { group, top }: Rounding,
    ) {
        let tokens = x.len().checked_div(columns).unwrap_or(0);
        assert_eq!(x.len(), tokens * columns, "values of {columns} columns");
        assert!(first.is_multiple_of(PANEL) && first < tokens, "panel {first} of {tokens} tokens");
        let blocks = columns.div_ceil(BLOCK);
        let width = panel_width(tokens, first);
        assert_eq!(panel.len(), width * blocks, "blocks of a panel");
        assert!(group >= columns || group.is_multiple_of(BLOCK) && group > 0, "groups of {group}");
        for token in 0..width {
            let x = &x[(first + token) * columns..][..columns];
            let out = &mut panel[panel_index(width, blocks, token, 0)..];
            let quantize = |x: &[f32], out: &mut [ActivationBlock], largest| {
                let group = Group { largest, top };
                // SAFETY: the kernel was selected for a supported instruction set; block `i` of a token is at `i * width + token` of a panel of
                // `width * blocks`.
                unsafe {
                    let function = self.quantize_activations.function;
                    function(x.as_ptr(), x.len(), out.as_mut_ptr(), width, group);
                }
            };
            if group == BLOCK {
                quantize(x, out, None);
                continue;
            }
            for (index, x) in x.chunks(group).enumerate() {
                // SAFETY: the kernel was selected for a supported instruction set.
                let largest = f32::from_bits(unsafe { (self.amax.function)(x) });
                quantize(x, &mut out[index * group.div_ceil(BLOCK) * width..], Some(largest));
            }
        }
    }
}
