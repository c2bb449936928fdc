//! Products of weights of 1 and 2 bits and 8-bit activations by look-up of whole bytes of codes, 64 rows at once: one token, for `vpermi2b` of AVX-512.
//!
//! The contract and the bits of a result are those of [`super`]; only the integer sum of a block is made another way. A byte holds eight signs or four codes
//! of 2 bits, and a code stands for an odd integer, so that the opposite byte stands for the opposite numbers: half of a table is enough, and bit 7 of
//! an index says whether its entry is subtracted (LUT Tensor Core, Mo et al. 2024).
//!
//! ```text
//! q = 2u − (2^bits − 1)                                      the odd integer of a code u
//! Σ_k q[k] · a[k] = Σ_g ±T_g[i_g]                            g: the 4 or 8 bytes of a block
//! T_g[i] = Σ_f q_f(i | 128) · a[4 (8 / bits · v + f) + j]    g = 4v + j, field f of the byte: as codes lie in super::layout
//! Σ_k (u[k] − z) · a[k] = (Σ_g ±T_g[i_g] + (2^bits − 1 − 2z) Σ_k a[k]) / 2        exact; for signs Σ_g ±T_g[i_g] itself
//! ```
//!
//! An entry is at most 12 · 127 = 1524. It is `60 · high + low` in two tables of bytes: |low| ≤ 31 and |high| ≤ 26, so four look-ups are added as bytes, and
//! then one dot product instruction with the weights (1, 60) widens them to 32 bits. Tables are 256 bytes a group, too many for the first-level cache, so
//! a product goes through them a part at a time, and keeps unfinished sums where the results go.
//!
//! ```text
//! four tiles  = as one tile of super::layout, each part four times as long:
//!   header      = the four headers, one behind the other
//!   block       = for each group g: byte 16 (row / 4) + 8 (tile / 2) + 2 (row mod 4) + tile mod 2 is i_g
//! ```
//!
//! The order of the 64 bytes is the one in which sums leave the dot product as four times 16 rows.

mod scalar;

#[cfg(target_arch = "x86_64")]
mod avx512;

#[cfg(test)]
mod tests;

use super::activations::ActivationBlock;
#[cfg(target_arch = "x86_64")]
use super::layout::Codes;
use super::layout::{BLOCK, LayoutSpec, TILE_ROWS, VECTOR};
use super::{LayoutId, OutputColumns, Product, types};
use crate::isa::Isa;
use crate::registry::{Kernel, Kernels, Op};

/// Tiles that share a look-up.
pub const TILES: usize = 4;

/// Entries of a table.
const ENTRIES: usize = 128;

/// An entry is `BASE · high + low`.
const BASE: i16 = 60;

/// The table of one byte of codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(64))]
pub struct ByteTable {
    low: [i8; ENTRIES],
    high: [i8; ENTRIES],
}

impl ByteTable {
    /// The table of zeros.
    pub const ZERO: Self = Self { low: [0; ENTRIES], high: [0; ENTRIES] };

    /// The sum that a byte of codes stands for.
    #[must_use]
    pub fn sum(&self, codes: u8) -> i32 {
        let index = index_of_byte(codes);
        let entry = usize::from(index & 127);
        let sum = i32::from(BASE) * i32::from(self.high[entry]) + i32::from(self.low[entry]);
        if index < 128 { sum } else { -sum }
    }
}

/// Codes without their highest bit where that is set, else the opposite codes, marked as such.
const fn index_of_byte(codes: u8) -> u8 {
    if codes < 128 { !codes } else { codes ^ 128 }
}

/// The inverse of [`index_of_byte`].
const fn byte_of_index(index: u8) -> u8 {
    if index < 128 { index ^ 128 } else { !index }
}

/// Tables of a block.
#[must_use]
pub const fn groups(id: LayoutId) -> usize {
    4 * id.spec().codes.bits() as usize
}

/// What entries are made of: entry 0, and what each bit of an index adds.
fn terms(codes: &[i8; BLOCK], bits: usize, group: usize) -> (i16, [i16; 7]) {
    let fields = 8 / bits;
    let a = |field: usize| i16::from(codes[4 * (fields * (group / 4) + field) + group % 4]);
    let weight = |bit: usize| a(bit / bits) << (bit % bits + 1);
    let all: i16 = (0..fields).map(a).sum();
    (weight(7) - all * ((1 << bits) - 1), std::array::from_fn(weight))
}

/// A kernel that makes the tables of a block for codes of 1 or 2 bits. Its contract: the instruction set is supported, and there are 4 tables for each bit.
pub(crate) type TablesFn = unsafe fn(codes: &[i8; BLOCK], tables: &mut [ByteTable]);

/// The kernels that make tables.
pub(crate) static TABLES: Op<TablesFn> = Op {
    name: "byte_tables_i8g32",
    kernels: &[
        Kernel { name: "byte_tables_i8g32__scalar", isa: Isa::Scalar, function: scalar::tables },
        #[cfg(target_arch = "x86_64")]
        Kernel { name: "byte_tables_i8g32__avx512", isa: Isa::Avx512, function: avx512::tables },
    ],
};

/// A vector of codes of each of four tiles, in the order of this module: the four groups of 64 bytes that it is made of.
type FourVectors = [u8; TILES * VECTOR];

/// A kernel that brings a vector of each of four tiles back into the order of [`super::layout`]. Its contract: the instruction set is supported.
pub(crate) type QuadsFn = unsafe fn(groups: &FourVectors, vectors: &mut [[u8; VECTOR]; TILES]);

/// The kernels that bring codes back.
pub(crate) static QUADS: Op<QuadsFn> = Op {
    name: "byte_quads_u8",
    kernels: &[
        Kernel { name: "byte_quads_u8__scalar", isa: Isa::Scalar, function: scalar::quads },
        #[cfg(target_arch = "x86_64")]
        Kernel { name: "byte_quads_u8__avx512", isa: Isa::Avx512, function: avx512::quads },
    ],
};

/// A kernel that multiplies. Its contract: that of [`super::MatmulFn`], its tiles are a multiple of [`TILES`], and there are the tables of each of the blocks
/// of activations, in their order.
pub(crate) type ByteLutFn = unsafe fn(&Product<ActivationBlock>, *const ByteTable);

layout_ops! {
    ByteLutFn, "byte_lut_i8g32_", [avx512 Avx512 "x86_64"],
    BipolarF16x4 = "b1_f16g128";
    BipolarGrouped = "b1_grouped";
    U2F16x2 = "u2z1_f16g64";
    U2F16x8 = "u2z1_f16g256";
    U2Grouped = "u2_grouped";
}

/// Whether `rows` rows of a layout can be multiplied by these tables: there are four tiles, and a kernel with more than the specification.
#[must_use]
pub fn is_supported(isa: Isa, id: LayoutId, rows: usize) -> bool {
    isa.includes(Isa::Avx512) && index_of(id).is_some() && rows > (TILES - 1) * TILE_ROWS
}

/// Where the byte of a row of a tile is among the 64 of a group.
const fn place(tile: usize, row: usize) -> usize {
    16 * (row / 4) + 8 * (tile / 2) + 2 * (row % 4) + tile % 2
}

/// Moves four tiles of [`super::layout`] into the order of this module.
///
/// # Panics
/// Where `tiles` is not four tiles of `blocks` blocks.
pub fn from_tiles(spec: &LayoutSpec, tiles: &mut [u8], blocks: usize) {
    let from = tiles.to_vec();
    let tile_bytes = tiles.len() / TILES;
    for block in 0..blocks {
        let (header, len) = (spec.header_offset(block), spec.header_bytes());
        let codes = spec.block_offset(block);
        for (tile, from) in from.chunks_exact(tile_bytes).enumerate() {
            tiles[TILES * header + tile * len..][..len].copy_from_slice(&from[header..][..len]);
        }
        for vector in 0..spec.codes.bits() as usize {
            for (tile, from) in from.chunks_exact(tile_bytes).enumerate() {
                let from = &from[codes + vector * VECTOR..][..VECTOR];
                let to = &mut tiles[TILES * (codes + vector * VECTOR)..][..TILES * VECTOR];
                for (row, bytes) in from.as_chunks::<4>().0.iter().enumerate() {
                    for (group, &byte) in bytes.iter().enumerate() {
                        to[group * VECTOR + place(tile, row)] = index_of_byte(byte);
                    }
                }
            }
        }
    }
}

/// The inverse of [`from_tiles`] for those of the four tiles that `tiles` has: from tile `first` on, into `tiles`.
fn to_tiles(
    quads: QuadsFn,
    spec: &LayoutSpec,
    four: &[u8],
    blocks: usize,
    first: usize,
    tiles: &mut [u8],
) {
    let tile_bytes = four.len() / TILES;
    let mut vectors = [[0; VECTOR]; TILES];
    for block in 0..blocks {
        let (header, len) = (spec.header_offset(block), spec.header_bytes());
        for (index, tile) in tiles.chunks_exact_mut(tile_bytes).enumerate() {
            let from = &four[TILES * header + (first + index) * len..][..len];
            tile[header..][..len].copy_from_slice(from);
        }
        for vector in 0..spec.codes.bits() as usize {
            let codes = spec.block_offset(block) + vector * VECTOR;
            let groups = four[TILES * codes..].first_chunk().expect("four vectors");
            // SAFETY: our caller's kernel is one of a supported instruction set.
            unsafe { quads(groups, &mut vectors) };
            for (tile, vector) in tiles.chunks_exact_mut(tile_bytes).zip(&vectors[first..]) {
                tile[codes..][..VECTOR].copy_from_slice(vector);
            }
        }
    }
}

/// What the sum of the table entries lacks: twice the dot product of a block is that sum plus this times Σ a. For signs, the sum is all.
#[cfg(target_arch = "x86_64")]
const fn missing(codes: Codes) -> i32 {
    match codes {
        Codes::Unsigned { bits, zero_point } => (1 << bits) - 1 - 2 * zero_point as i32,
        _ => 0,
    }
}

impl Kernels {
    /// The inverse of [`from_tiles`] for those of the four tiles that `tiles` has: from tile `first` on, into `tiles`.
    ///
    /// # Panics
    /// Where `four` is not four tiles of `blocks` blocks, or `tiles` are no whole tiles of them.
    pub fn bytes_to_tiles(
        &self,
        spec: &LayoutSpec,
        four: &[u8],
        blocks: usize,
        first: usize,
        tiles: &mut [u8],
    ) {
        to_tiles(self.byte_quads.function, spec, four, blocks, first, tiles);
    }

    /// Makes the tables of these blocks of activations, for a layout of [`is_supported`].
    ///
    /// # Panics
    /// Where `tables` has not [`groups`] tables for each block.
    pub fn byte_tables(
        &self,
        id: LayoutId,
        activations: &[ActivationBlock],
        tables: &mut [ByteTable],
    ) {
        let groups = groups(id);
        assert_eq!(Some(tables.len()), activations.len().checked_mul(groups), "tables");
        for (block, tables) in activations.iter().zip(tables.chunks_exact_mut(groups)) {
            // SAFETY: the kernel was selected for a supported instruction set; there are 4 tables for each bit.
            unsafe { (self.byte_tables.function)(&block.codes, tables) };
        }
    }

    /// The product of a multiple of four tiles of weights in the order of [`from_tiles`] with all tokens of `activations`; otherwise as [`Kernels::matmul`].
    /// `tables` are those of the activations ([`Kernels::byte_tables`]).
    ///
    /// # Panics
    /// As [`Kernels::matmul`], and where the layout has no kernels here or the tables are too few.
    pub fn matmul_by_byte_tables(
        &self,
        layout: &LayoutSpec,
        weights: &[u8],
        blocks: usize,
        activations: &[ActivationBlock],
        tables: &[ByteTable],
        out: &mut OutputColumns<'_>,
    ) {
        if out.columns == 0 || out.tokens == 0 {
            return;
        }
        let id = layout.id.expect("a layout of integers");
        let index = index_of(id).expect("a layout with kernels");
        assert!(layout.grouping.run > 0, "superblocks of no blocks");
        assert_eq!(tables.len(), activations.len() * groups(id), "tables of all blocks");
        let tile_bytes = layout.tile_bytes(blocks).expect("the weights are in memory");
        let mut product = Product::new(weights, tile_bytes, blocks, activations, out);
        assert!(product.tiles.is_multiple_of(TILES), "{} tiles", product.tiles);
        product.spec = layout;
        // SAFETY: the kernel was selected for a supported instruction set.
        unsafe { (self.byte_lut[index].function)(&product, tables.as_ptr()) };
    }

    /// The name of the kernel of [`Kernels::matmul_by_byte_tables`].
    ///
    /// # Panics
    /// Where there is none.
    #[must_use]
    pub fn matmul_by_byte_tables_name(&self, layout: LayoutId) -> &'static str {
        self.byte_lut[index_of(layout).expect("a layout with kernels")].name
    }
}
