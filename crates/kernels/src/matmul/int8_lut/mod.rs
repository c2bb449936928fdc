//! Products of weights of 1 to 4 bits and f32 activations by rounded tables, as T-MAC has them (Wei et al. 2024): one token, no multiplication.
//!
//! As in [`super::lut`] four columns of a bit plane are an index into 16 sums. But these are sums of the activations themselves, rounded to 8 bits with one
//! scale for 64 columns, or for 32 where scales of the weights change within 64: a look-up has one table where exact sums take two, and a conversion to
//! f32 serves twice the columns. The error is one of its own, about that of rounding the activations to 8 bits for each 32 columns: with exact weights and
//! K = 4096 a mean square of 2.5 to 4.5e−5 of that of the result (normal activations), 3.2 to 7.9e−5 (0.5 % of them 20 times as large); tests bound it.
//!
//! 1024 × 2048 weights in the cache of one core of a Zen 4, by AVX2: 14, 19, 31 and 33 µs at 1, 2, 3 and 4 bits, where `vpmaddubsw` takes 31, 31, 36 and 32; a
//! third bit costs more than half of a pair, since its sums are widened in another way. The tables of 2048 activations take 1.2 µs, once for all matrices.
//!
//! ```text
//! σ = 2 bit − 1                                                                            the sign of a bit
//! T_g[n] = rint(Σ_{t<4} σ_t(n) · a[4g + t] / s),  s = max_g Σ_{t<4} |a[4g + t]| / 127      so T_g[15 − n] = −T_g[n]
//! u = ½ Σ_b 2^b σ_b + (2^bits − 1) / 2                                                     a code, of the signs of its bits
//!
//! acc = 0
//! for each run of blocks that share a scale, in order:
//!     t = 0, a = 0
//!     for each group of 32 or 64 columns, in order:
//!         t = fma(Σ_b 2^b Σ_g T_g[n_b(g)], s / 2, t)                                       the sum exact, in i16; twice it for weights of −1 and 1
//!         a = a + Σ_k x[k]                                                                 of the group, pairwise: ((x0 + x1) + (x2 + x3)) + …
//!     acc = fma(t, scale, acc)
//!     acc = fma(fma(scale, (2^bits − 1) / 2 − z, minimum), a, acc)                         but where that is known to be 0
//! y = acc                                                                                  any NaN is the canonical one
//! ```
//!
//! A sum is at most 16 · 127 · 15 = 30480. Where s is no number, or infinite, it counts as NaN, and tables are 0; where Σ|a| stays below 2^-100, s and the
//! tables are 0.
//!
//! ```text
//! block = for each pair of planes 2p, 2p + 1: byte [g / 2][row mod 8][row / 8][plane] = n(g) | n(g + 1) << 4      g even, 4 × 32 bytes
//!         then for a single last plane:       byte [g / 4][g mod 2][row] = n(g) | n(g + 2) << 4                   g mod 4 < 2, 2 × 32 bytes
//! ```
//!
//! So bytes of both planes of a row are neighbours, which one multiplication by (1, 2) merges and widens to 16 bits; and sums of rows r and r + 8, which a shift
//! takes apart. Everything else of a tile is as in [`super::layout`].

mod scalar;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "aarch64")]
mod neon;

#[cfg(test)]
mod tests;

use super::layout::{BLOCK, Codes, LayoutSpec, TILE_ROWS};
use super::{LayoutId, OutputColumns, Product, lut, types};
use crate::isa::Isa;
use crate::registry::{Kernel, Kernels, Op};

/// Columns that share a table.
const GROUP: usize = 4;
/// Tables of a block.
const GROUPS: usize = BLOCK / GROUP;
/// Entries of a table.
const ENTRIES: usize = 1 << GROUP;
/// The largest entry.
const TOP: f32 = 127.0;
/// Sums of magnitudes below it count as 0, so that neither 127 / s overflows nor s is subnormal.
const SMALLEST: f32 = f32::from_bits((127 - 100) << 23);

/// The most blocks that share a scale of tables.
pub const MAX_BLOCKS: usize = 2;

/// The tables of a block of one token.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C, align(32))]
pub struct Int8Tables {
    /// Sums of four activations with the signs that the bits of the index say, over `2 · half_scale`.
    pub entries: [[i8; ENTRIES]; GROUPS],
    /// Half of the scale of the entries: that of the group.
    pub half_scale: f32,
    /// The sum of the activations of the group; 0 in its second block.
    pub sum: f32,
}

impl Int8Tables {
    /// The tables of 32 zeros.
    pub const ZERO: Self = Self { entries: [[0; ENTRIES]; GROUPS], half_scale: 0.0, sum: 0.0 };
}

/// A kernel that makes the tables of a group. Its contract: the instruction set is supported, and there are 1 or 2 blocks and as many tables.
pub(crate) type TablesFn = unsafe fn(x: &[[f32; BLOCK]], tables: &mut [Int8Tables]);

/// The kernels that make tables.
pub(crate) static TABLES: Op<TablesFn> = Op {
    name: "int8_tables_f32",
    kernels: &[
        Kernel { name: "int8_tables_f32__scalar", isa: Isa::Scalar, function: scalar::tables },
        #[cfg(target_arch = "x86_64")]
        Kernel { name: "int8_tables_f32__avx2", isa: Isa::Avx2, function: avx2::tables },
        #[cfg(target_arch = "aarch64")]
        Kernel { name: "int8_tables_f32__neon", isa: Isa::Neon, function: neon::tables },
    ],
};

/// A kernel that multiplies. Its contract: that of [`super::MatmulFn`], of a product that has a specification, whose groups of tables are of as many blocks
/// as [`blocks_per_group`] says.
pub(crate) type Int8LutFn = unsafe fn(&Product<Int8Tables>);

layout_ops! {
    Int8LutFn, "int8_lut_f32_", [avx2 Avx2 "x86_64", neon Neon "aarch64"],
    BipolarF16x4 = "b1_f16g128";
    BipolarGrouped = "b1_grouped";
    U2F16x2 = "u2z1_f16g64";
    U2F16x8 = "u2z1_f16g256";
    U2Grouped = "u2_grouped";
    U3Grouped = "u3_grouped";
    U4F16 = "u4z8_f16";
    U4F16x4 = "u4z8_f16g128";
    U4Grouped = "u4_grouped";
}

/// Whether weights of a layout can be multiplied by these tables.
#[must_use]
pub fn is_supported(id: LayoutId) -> bool {
    index_of(id).is_some()
}

/// The blocks that share a scale of tables in a product with weights of a layout, `blocks` blocks in a row: 1 or 2.
#[must_use]
pub const fn blocks_per_group(spec: &LayoutSpec, blocks: usize) -> usize {
    let run = spec.blocks_per_header();
    if run.is_multiple_of(MAX_BLOCKS) || run >= blocks { MAX_BLOCKS } else { 1 }
}

/// What a code is less than half of the sum of its signs: (2^bits − 1) / 2 − z.
fn center(codes: Codes) -> f32 {
    match codes {
        Codes::Unsigned { bits, .. } => 0.5 * ((1 << bits) - 1 - 2 * codes.offset()) as f32,
        _ => 0.0,
    }
}

/// The power of two that sums of look-ups are multiplied by: codes of −1 and 1 are signs, others half of their sums.
const fn doubling(codes: Codes) -> u32 {
    matches!(codes, Codes::Bipolar) as u32
}

/// Where the nibble of a plane, a group and a row lies among the codes of a block: its byte, and the position of its lowest bit.
fn place(bits: u32, plane: u32, group: usize, row: usize) -> (usize, u32) {
    let pairs = (bits / 2) as usize;
    let pair_bytes = GROUPS * TILE_ROWS;
    if plane < 2 * pairs as u32 {
        let byte = group / 2 * 2 * TILE_ROWS + 4 * (row % 8) + 2 * (row / 8);
        ((plane / 2) as usize * pair_bytes + byte + (plane % 2) as usize, 4 * (group % 2) as u32)
    } else {
        let byte = (group / 4 * 2 + group % 2) * TILE_ROWS + row;
        (pairs * pair_bytes + byte, 4 * (group / 2 % 2) as u32)
    }
}

/// Moves the codes of a tile of [`super::layout`] into nibbles, within each block.
///
/// # Panics
/// Where the tile is shorter than `blocks` blocks.
pub fn to_nibbles(spec: &LayoutSpec, tile: &mut [u8], blocks: usize) {
    lut::to_nibbles(spec, tile, blocks, place);
}

/// The inverse of [`to_nibbles`], from `tile` into `out`.
///
/// # Panics
/// Where one of them is shorter than `blocks` blocks.
pub fn from_nibbles(spec: &LayoutSpec, tile: &[u8], blocks: usize, out: &mut [u8]) {
    lut::from_nibbles(spec, tile, blocks, out, place);
}

impl Kernels {
    /// The tables of one token for groups of `blocks_per_group` blocks. A last block is padded with zeros.
    ///
    /// # Panics
    /// Where there is not one table for each 32 of `x`, or groups are not of 1 or 2 blocks.
    pub fn int8_tables(&self, x: &[f32], blocks_per_group: usize, tables: &mut [Int8Tables]) {
        assert!(
            (1..=MAX_BLOCKS).contains(&blocks_per_group),
            "groups of {blocks_per_group} blocks"
        );
        assert_eq!(tables.len(), x.len().div_ceil(BLOCK), "tables");
        for (x, tables) in
            x.chunks(blocks_per_group * BLOCK).zip(tables.chunks_mut(blocks_per_group))
        {
            let mut blocks = [[0.0; BLOCK]; MAX_BLOCKS];
            blocks.as_flattened_mut()[..x.len()].copy_from_slice(x);
            // SAFETY: the kernel was selected for a supported instruction set, and there are as many tables.
            unsafe { (self.int8_tables.function)(&blocks[..tables.len()], tables) };
        }
    }

    /// The product of some tiles of weights, their codes in nibbles ([`to_nibbles`]), with all tokens of `tables`; otherwise as [`Kernels::matmul`].
    ///
    /// `tables` holds `tokens * blocks` tables in panels, made for groups of [`blocks_per_group`] blocks.
    ///
    /// # Panics
    /// As [`Kernels::matmul`], and where the layout has no kernels here ([`is_supported`]).
    pub fn matmul_by_int8_tables(
        &self,
        layout: &LayoutSpec,
        weights: &[u8],
        blocks: usize,
        tables: &[Int8Tables],
        out: &mut OutputColumns<'_>,
    ) {
        if out.columns == 0 || out.tokens == 0 {
            return;
        }
        let index = layout.id.and_then(index_of).expect("a layout with kernels");
        assert!(layout.grouping.run > 0, "superblocks of no blocks");
        let tile_bytes = layout.tile_bytes(blocks).expect("the weights are in memory");
        let mut product = Product::new(weights, tile_bytes, blocks, tables, out);
        product.spec = layout;
        // SAFETY: the kernel was selected for a supported instruction set.
        unsafe { (self.int8_lut[index].function)(&product) };
    }

    /// The name of the kernel that multiplies weights of this layout by rounded tables.
    ///
    /// # Panics
    /// Where there is none.
    #[must_use]
    pub fn matmul_by_int8_tables_name(&self, layout: LayoutId) -> &'static str {
        self.int8_lut[index_of(layout).expect("a layout with kernels")].name
    }
}
