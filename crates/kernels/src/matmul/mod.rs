//! Products of packed low-bit weights and 8-bit activations: GEMV for one token, GEMM for many, one contract.
//!
//! ```text
//! y[t][r] = Σ_k  W[r][k] · x[t][k]         W[r][k] = scale · value + minimum,   x[t][k] = activation_scale · code
//! ```
//!
//! computed for each row `r` and token `t` alike as
//!
//! ```text
//! acc = 0
//! for each block of 32 columns, in order:                                (each half of 16, in order, where halves have their own scales)
//!     dot = Σ value · code                                               exact, in i32
//!     acc = fma(dot, scale · activation_scale, acc)
//!     acc = fma(minimum, activation_scale · Σ code, acc)                 where the layout has minimums
//! y = acc                                                                any NaN is the canonical one
//! ```
//!
//! So a result depends on neither the instruction set, nor how many tokens are computed together, nor which rows a thread takes.
//!
//! A kernel unpacks the codes of a block into registers once ([`layout`] draws how they lie), for up to 8 tokens, and then makes one chain of 4-way
//! integer dot products a token; scales are converted once a block. What it knows of a layout is its [`LayoutSpec`], a constant that the compiler
//! folds: a new width is an entry in the table below.
//!
//! Range: |value| ≤ 255 before its zero point is subtracted and |code| ≤ 127, so a block's dot product is below 32 · 255 · 127 < 2²⁰, exact in i32 and
//! f32.

#![cfg_attr(not(test), expect(clippy::wildcard_imports, reason = "intrinsics name themselves"))]
#![expect(clippy::cast_precision_loss, reason = "integers below 2^24 are exact in f32")]
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "bit positions and table entries of a byte"
)]
#![expect(
    clippy::needless_range_loop,
    reason = "one index walks the registers of accumulators, codes and activations alike"
)]

/// The op of a product for one layout: `prefix` and the name of the layout, and a kernel `module::matmul` for each instruction set beside the scalar one.
macro_rules! layout_op {
    ($prefix:literal, $name:ident, $text:literal, [$($module:ident $isa:ident $arch:literal),*]) => {
        Op {
            name: concat!($prefix, $text),
            kernels: &[
                Kernel {
                    name: concat!($prefix, $text, "__scalar"),
                    isa: Isa::Scalar,
                    function: scalar::matmul::<types::$name>,
                },
                $(#[cfg(target_arch = $arch)]
                Kernel {
                    name: concat!($prefix, $text, "__", stringify!($module)),
                    isa: Isa::$isa,
                    function: $module::matmul::<types::$name>,
                },)*
            ],
        }
    };
}

/// The ops of a product that only some layouts have.
macro_rules! layout_ops {
    ($function:ty, $prefix:literal, $kernels:tt, $($name:ident = $text:literal;)*) => {
        /// The layouts that have kernels here.
        const LAYOUTS: [LayoutId; [$($text),*].len()] = [$(LayoutId::$name),*];

        /// The products of each of them.
        pub(crate) static OPS: [Op<$function>; LAYOUTS.len()] =
            [$(layout_op!($prefix, $name, $text, $kernels)),*];

        fn index_of(id: LayoutId) -> Option<usize> {
            LAYOUTS.iter().position(|&layout| layout == id)
        }
    };
}

pub mod activations;
pub mod byte_lut;
mod codes;
pub mod float;
pub mod int8_lut;
pub mod layout;
pub mod lut;
pub mod popcount;
mod scalar;
mod walk;
pub mod weight_only;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod avxvnni;

#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(target_arch = "aarch64")]
mod neon_dotprod;
#[cfg(target_arch = "aarch64")]
mod neon_i8mm;

#[cfg(test)]
mod tests;

use std::marker::PhantomData;

use self::activations::ActivationBlock;
use self::layout::{Codes, Grouping, LayoutSpec, Scales, TILE_ROWS};
use self::walk::{Block, Product, Step, Terms};
use crate::isa::Isa;
use crate::registry::{Kernel, Kernels, Op};

/// A layout as a type, so that kernels are compiled for it.
trait Layout: 'static {
    const SPEC: LayoutSpec;
}

/// A kernel. Its contract: the instruction set is supported, and every pointer of [`Product`] is as that says.
pub(crate) type MatmulFn = unsafe fn(&Product<ActivationBlock>);

/// The values of the 4-bit code book of `IQ4_NL` and `IQ4_XS`.
const IQ4: [i8; 16] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

/// The 4-bit float e2m1, doubled.
const E2M1: [i8; 16] = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

/// The odd integers of 4 bits.
const ODD4: [i8; 16] = [-15, -13, -11, -9, -7, -5, -3, -1, 1, 3, 5, 7, 9, 11, 13, 15];

const fn unsigned(bits: u32, zero_point: u8) -> Codes {
    Codes::Unsigned { bits, zero_point }
}

/// Declares the layouts: `Name = "codes_scales": codes, scales;`.
macro_rules! layouts {
    ($($(#[$doc:meta])* $name:ident = $text:literal: $codes:expr, $scales:expr;)*) => {
        /// A layout of packed integer weights.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum LayoutId { $($(#[$doc])* $name,)* }

        impl LayoutId {
            /// All layouts.
            pub const ALL: [Self; [$($text),*].len()] = [$(Self::$name),*];

            /// What it is. Those with grouped scales, or with a table, are a pattern: callers set [`LayoutSpec::grouping`], the zero point and
            /// [`LayoutSpec::table`].
            #[must_use]
            pub const fn spec(self) -> &'static LayoutSpec {
                match self { $(Self::$name => &<types::$name as Layout>::SPEC,)* }
            }
        }

        mod types {
            use super::{Codes, Grouping, Layout, LayoutId, LayoutSpec, Scales, E2M1, IQ4, ODD4, unsigned};
            $(
                pub(super) struct $name;
                impl Layout for $name {
                    const SPEC: LayoutSpec = LayoutSpec {
                        id: Some(LayoutId::$name),
                        name: $text,
                        codes: $codes,
                        scales: $scales,
                        grouping: Grouping::DEFAULT,
                        table: [0; 16],
                    };
                }
            )*
        }

        /// The products of each layout, in the order of [`LayoutId`].
        pub(crate) static OPS: [Op<MatmulFn>; LayoutId::ALL.len()] = [$(
            layout_op!("matmul_i8g32_", $name, $text, [
                avx2 Avx2 "x86_64", avxvnni AvxVnni "x86_64", avx512 Avx512 "x86_64",
                neon Neon "aarch64", neon_dotprod NeonDotprod "aarch64", neon_i8mm NeonI8mm "aarch64"
            ]),
        )*];
    };
}

layouts! {
    /// `Q1_0`: signs, a scale for 128.
    BipolarF16x4 = "b1_f16g128": Codes::Bipolar, Scales::F16 { blocks: 4 };
    /// `Q2_0`: −1 to 2, a scale for 64.
    U2F16x2 = "u2z1_f16g64": unsigned(2, 1), Scales::F16 { blocks: 2 };
    /// `TQ1_0`, `TQ2_0`: ternary, a scale for 256.
    U2F16x8 = "u2z1_f16g256": unsigned(2, 1), Scales::F16 { blocks: 8 };
    /// `Q2_K`.
    U2Super = "u2_super_u4min_g16": unsigned(2, 0), Scales::SuperU4MinimumHalves;
    /// `Q3_K`.
    U3Super = "u3z4_super_i8_g16": unsigned(3, 4), Scales::SuperI8Halves;
    /// `Q4_0`.
    U4F16 = "u4z8_f16": unsigned(4, 8), Scales::F16 { blocks: 1 };
    /// 4-bit integers, a scale for 128.
    U4F16x4 = "u4z8_f16g128": unsigned(4, 8), Scales::F16 { blocks: 4 };
    /// `Q4_1`.
    U4F16Minimum = "u4_f16min": unsigned(4, 0), Scales::F16Minimum;
    /// `Q4_K`.
    U4Super = "u4_super_u8min": unsigned(4, 0), Scales::SuperU8Minimum;
    /// `IQ4_NL`.
    Iq4F16 = "iq4_f16": Codes::Table4(&IQ4), Scales::F16 { blocks: 1 };
    /// `IQ4_XS`.
    Iq4Super = "iq4_super_i8": Codes::Table4(&IQ4), Scales::SuperI8;
    /// 2-bit weights with 4-bit groups of large range.
    Odd4Super = "odd4_super_i8_g16": Codes::Table4(&ODD4), Scales::SuperI8Halves;
    /// `MXFP4`.
    E2m1PowerOfTwo = "e2m1_e8m0": Codes::Table4(&E2M1), Scales::PowerOfTwo;
    /// `NVFP4`.
    E2m1F16Halves = "e2m1_f16g16": Codes::Table4(&E2M1), Scales::F16Halves;
    /// `Q5_0`.
    U5F16 = "u5z16_f16": unsigned(5, 16), Scales::F16 { blocks: 1 };
    /// `Q5_1`.
    U5F16Minimum = "u5_f16min": unsigned(5, 0), Scales::F16Minimum;
    /// `Q5_K`.
    U5Super = "u5_super_u8min": unsigned(5, 0), Scales::SuperU8Minimum;
    /// `Q6_K`.
    U6Super = "u6z32_super_i8_g16": unsigned(6, 32), Scales::SuperI8Halves;
    /// `Q8_0`.
    I8F16 = "i8_f16": Codes::Signed8, Scales::F16 { blocks: 1 };
    /// 8-bit integers, a scale for 128.
    I8F16x4 = "i8_f16g128": Codes::Signed8, Scales::F16 { blocks: 4 };
    /// Signs, and 1-bit codes with a minimum.
    BipolarGrouped = "b1_grouped": Codes::Bipolar, Scales::Grouped;
    /// 2-bit integers.
    U2Grouped = "u2_grouped": unsigned(2, 0), Scales::Grouped;
    /// Ternary weights, five in a byte. Superblocks are a multiple of five blocks, or the whole row.
    TritsGrouped = "trits_grouped": Codes::Trits, Scales::Grouped;
    /// 2-bit integers in groups of 16.
    U2GroupedHalves = "u2_grouped16": unsigned(2, 0), Scales::GroupedHalves;
    /// 3-bit integers.
    U3Grouped = "u3_grouped": unsigned(3, 0), Scales::Grouped;
    /// 4-bit integers.
    U4Grouped = "u4_grouped": unsigned(4, 0), Scales::Grouped;
    /// 4-bit integers in groups of 16.
    U4GroupedHalves = "u4_grouped16": unsigned(4, 0), Scales::GroupedHalves;
    /// 5-bit integers.
    U5Grouped = "u5_grouped": unsigned(5, 0), Scales::Grouped;
    /// 6-bit integers.
    U6Grouped = "u6_grouped": unsigned(6, 0), Scales::Grouped;
    /// 7-bit integers.
    U7Grouped = "u7_grouped": unsigned(7, 0), Scales::Grouped;
    /// 8-bit integers.
    I8Grouped = "i8_grouped": Codes::Signed8, Scales::Grouped;
    /// 8-bit integers in groups of 16.
    I8GroupedHalves = "i8_grouped16": Codes::Signed8, Scales::GroupedHalves;
    /// Any four integers of 8 bits: complex units.
    T2Grouped = "t2_grouped": Codes::Table { bits: 2 }, Scales::Grouped;
    /// Any sixteen integers of 8 bits: 4-bit floats, code books.
    T4Grouped = "t4_grouped": Codes::Table { bits: 4 }, Scales::Grouped;
    /// Any sixteen integers of 8 bits in groups of 16.
    T4GroupedHalves = "t4_grouped16": Codes::Table { bits: 4 }, Scales::GroupedHalves;
}

/// Some columns of a row-major matrix of tokens × rows, borrowed for writing: the part of a product that one thread computes.
pub struct OutputColumns<'a> {
    out: *mut f32,
    stride: usize,
    tokens: usize,
    columns: usize,
    borrow: PhantomData<&'a mut [f32]>,
}

impl<'a> OutputColumns<'a> {
    /// All columns of a matrix of `out.len() / columns` tokens.
    ///
    /// # Panics
    /// Where `columns` is 0 or does not divide the length.
    #[must_use]
    pub fn new(out: &'a mut [f32], columns: usize) -> Self {
        assert!(out.len().is_multiple_of(columns), "{} in rows of {columns}", out.len());
        Self {
            out: out.as_mut_ptr(),
            stride: columns,
            tokens: out.len() / columns,
            columns,
            borrow: PhantomData,
        }
    }

    /// `columns` columns from `out` on, of `tokens` rows that are `stride` elements apart.
    ///
    /// # Safety
    /// - `out[t * stride + c]` is in one writable allocation for all `t < tokens` and `c < columns`;
    /// - nothing else reads or writes these elements during `'a`.
    #[must_use]
    pub unsafe fn from_raw(out: *mut f32, stride: usize, tokens: usize, columns: usize) -> Self {
        Self { out, stride, tokens, columns, borrow: PhantomData }
    }

    /// The columns of `count` tiles of 16 from tile `first` on, or those of them that there are.
    #[must_use]
    pub fn tiles(&mut self, first: usize, count: usize) -> OutputColumns<'_> {
        let first = (first * TILE_ROWS).min(self.columns);
        OutputColumns {
            out: self.out.wrapping_add(first),
            columns: (self.columns - first).min(count * TILE_ROWS),
            borrow: PhantomData,
            ..*self
        }
    }

    /// Applies `change` to each token's part of the columns.
    pub fn for_each_token(&mut self, mut change: impl FnMut(usize, &mut [f32])) {
        for token in 0..self.tokens {
            let start = self.out.wrapping_add(token * self.stride);
            // SAFETY: by the contract of the constructors these elements are ours alone.
            change(token, unsafe { std::slice::from_raw_parts_mut(start, self.columns) });
        }
    }
}

impl Kernels {
    /// The product of some tiles of weights with all tokens of `activations`, into as many columns of `out` as it has.
    ///
    /// `weights` are tiles of `blocks` blocks in the layout, `activations` `tokens * blocks` blocks in panels
    /// ([`panel_index`](activations::panel_index)); `out` has `tokens` tokens.
    ///
    /// # Panics
    /// Where these lengths do not fit, the tiles are not exactly those that the columns of `out` need, or codes are no integers.
    pub fn matmul(
        &self,
        layout: &LayoutSpec,
        weights: &[u8],
        blocks: usize,
        activations: &[ActivationBlock],
        out: &mut OutputColumns<'_>,
    ) {
        if out.columns == 0 || out.tokens == 0 {
            return;
        }
        let id = layout.id.expect("a layout of integers");
        assert!(layout.grouping.run > 0, "superblocks of no blocks");
        let tile_bytes = layout.tile_bytes(blocks).expect("the weights are in memory");
        let mut product = Product::new(weights, tile_bytes, blocks, activations, out);
        product.spec = layout;
        // SAFETY: the kernel was selected for a supported instruction set.
        unsafe { (self.matmul[id as usize].function)(&product) };
    }

    /// The name of the kernel that multiplies weights of this layout.
    #[must_use]
    pub fn matmul_name(&self, layout: LayoutId) -> &'static str {
        self.matmul[layout as usize].name
    }
}
