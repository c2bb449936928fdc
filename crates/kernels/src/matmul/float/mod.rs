//! Products of floating-point weights (f32, f16, bf16) and f32 activations.
//!
//! Weights are tiles of 16 rows as in [`super`]; a block is one column: 16 elements, one a row. Columns are padded with zeros to a multiple of
//! [`CHAINS`]. For each row and token alike, with four accumulators so that fused steps need not wait for each other:
//!
//! ```text
//! acc[i] = 0                                               i = 0..4
//! for k in order: acc[k mod 4] = fma(W[r][k], x[t][k], acc[k mod 4])
//! y = (acc[0] + acc[1]) + (acc[2] + acc[3])                any NaN is the canonical one
//! ```

mod scalar;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;

#[cfg(target_arch = "aarch64")]
mod neon;

#[cfg(test)]
mod tests;

use dyadic_formats::float::{bf16_to_f32, f16_to_f32};

use super::layout::TILE_ROWS;
use super::{OutputColumns, Product};
use crate::isa::Isa;
use crate::registry::{Kernel, Kernels, Op};

/// Accumulators of a sum; columns are padded to a multiple.
pub const CHAINS: usize = 4;

/// A floating-point format of weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FloatLayout {
    /// IEEE binary16.
    F16,
    /// bfloat16.
    Bf16,
    /// IEEE binary32.
    F32,
}

impl FloatLayout {
    /// All formats.
    pub const ALL: [Self; 3] = [Self::F16, Self::Bf16, Self::F32];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::F32 => "f32",
        }
    }

    /// Bytes of an element.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            Self::F16 | Self::Bf16 => 2,
            Self::F32 => 4,
        }
    }

    /// Bytes of a tile of `columns` columns, padded. `None` on overflow.
    #[must_use]
    pub fn tile_bytes(self, columns: usize) -> Option<usize> {
        columns.checked_next_multiple_of(CHAINS)?.checked_mul(TILE_ROWS * self.bytes())
    }

    /// The element of `row` and `column` of a tile.
    ///
    /// # Panics
    /// Where the tile is shorter.
    #[inline]
    #[must_use]
    pub fn load(self, tile: &[u8], row: usize, column: usize) -> f32 {
        let at = (column * TILE_ROWS + row) * self.bytes();
        match self {
            Self::F16 => f16_to_f32(u16::from_le_bytes([tile[at], tile[at + 1]])),
            Self::Bf16 => bf16_to_f32(u16::from_le_bytes([tile[at], tile[at + 1]])),
            Self::F32 => f32::from_le_bytes([tile[at], tile[at + 1], tile[at + 2], tile[at + 3]]),
        }
    }
}

/// A format as a type, so that kernels are compiled for it.
trait Float: 'static {
    const LAYOUT: FloatLayout;
}

struct F16;
struct Bf16;
struct F32;

impl Float for F16 {
    const LAYOUT: FloatLayout = FloatLayout::F16;
}

impl Float for Bf16 {
    const LAYOUT: FloatLayout = FloatLayout::Bf16;
}

impl Float for F32 {
    const LAYOUT: FloatLayout = FloatLayout::F32;
}

/// A kernel. Its contract: the instruction set is supported, every pointer of [`Product`] is as that says, and its `blocks` are columns, a multiple of
/// [`CHAINS`].
pub(crate) type MatmulFloatFn = unsafe fn(&Product<f32>);

macro_rules! op {
    ($float:ty, $name:literal) => {
        Op {
            name: concat!("matmul_f32_", $name),
            kernels: &[
                Kernel {
                    name: concat!("matmul_f32_", $name, "__scalar"),
                    isa: Isa::Scalar,
                    function: scalar::matmul::<$float>,
                },
                #[cfg(target_arch = "x86_64")]
                Kernel {
                    name: concat!("matmul_f32_", $name, "__avx2"),
                    isa: Isa::Avx2,
                    function: avx2::matmul::<$float>,
                },
                #[cfg(target_arch = "x86_64")]
                Kernel {
                    name: concat!("matmul_f32_", $name, "__avx512"),
                    isa: Isa::Avx512,
                    function: avx512::matmul::<$float>,
                },
                #[cfg(target_arch = "aarch64")]
                Kernel {
                    name: concat!("matmul_f32_", $name, "__neon"),
                    isa: Isa::Neon,
                    function: neon::matmul::<$float>,
                },
            ],
        }
    };
}

/// The products of each format, in the order of [`FloatLayout`].
pub(crate) static OPS: [Op<MatmulFloatFn>; FloatLayout::ALL.len()] =
    [op!(F16, "f16"), op!(Bf16, "bf16"), op!(F32, "f32")];

impl Kernels {
    /// The product of some tiles of weights with all tokens of `activations`, into as many columns of `out` as it has.
    ///
    /// `weights` are tiles of `columns` columns, `activations` `tokens` times that many numbers, padded columns included, in panels
    /// ([`panel_index`](super::activations::panel_index) with a column for a block); `out` has `tokens` tokens.
    ///
    /// # Panics
    /// Where these lengths do not fit, or the tiles are not exactly those that the columns of `out` need.
    pub fn matmul_float(
        &self,
        layout: FloatLayout,
        weights: &[u8],
        columns: usize,
        activations: &[f32],
        out: &mut OutputColumns<'_>,
    ) {
        if out.columns == 0 || out.tokens == 0 {
            return;
        }
        let tile_bytes = layout.tile_bytes(columns).expect("the weights are in memory");
        let columns = columns.next_multiple_of(CHAINS);
        let product = Product::new(weights, tile_bytes, columns, activations, out);
        // SAFETY: the kernel was selected for a supported instruction set.
        unsafe { (self.matmul_float[layout as usize].function)(&product) };
    }

    /// The name of the kernel that multiplies weights of this format.
    #[must_use]
    pub fn matmul_float_name(&self, layout: FloatLayout) -> &'static str {
        self.matmul_float[layout as usize].name
    }
}
