//! Products of weights of 1 to 4 bits and 8-bit activations by table look-up (T-MAC, Wei et al. 2024): one token, no multiplication.
//!
//! The contract and the bits of a result are those of [`super`]; only the integer sum of a block is made another way. The bits of the codes are
//! taken plane by plane, four columns at once: four bits are an index into the sums of all subsets of their four activations.
//!
//! ```text
//! u = Σ_b 2^b · bit_b                                        a code, of its bit planes
//! Σ_k u[k] · a[k] = Σ_b 2^b · Σ_g T_g[n_b(g)] + (2^bits − 1) · least
//! T_g[n] = Σ_{t<4, bit t of n} a[4g + t] − least_g,  least_g = Σ_{t<4} min(a[4g + t], 0),  least = Σ_g least_g
//! ```
//!
//! So entries are 0 to 4 · 127 = 508: nine bits, and they stay exact where T-MAC rounds them to eight ([`super::int8_lut`]). An entry is `32 · high + low` in two tables
//! of bytes, and the sums of the eight look-ups of a block are at most 8 · 31 and 8 · 15, so they are added as bytes, and widened once a block. A sum of
//! two planes is below 2^14.
//!
//! ```text
//! block = for each pair of planes 2p, 2p + 1: byte [g][row] = n_2p(g) | n_2p+1(g) << 4         g = 0..8, 128 bytes
//!         then for a single last plane:       byte [g][row] = n(g) | n(g + 4) << 4             g = 0..4, 64 bytes
//! ```
//!
//! Everything else of a tile is as in [`super::layout`]. Time is linear in the number of planes: 1024 × 2048 weights in the cache of one core of a Sapphire
//! Rapids take 25, 42, 59 and 73 µs at 1, 2, 3 and 4 bits (R² > 0.99). There `vpmaddubsw` takes 34, 41, 66 and 42 µs, VNNI 20, 23, 33 and 23: tables win
//! for one bit without a 4-way dot product in hardware, and nowhere else ([`is_preferred`]). T-MAC's larger gains are over kernels whose rows are not
//! interleaved, and with one scale for thousands of activations; here both kinds end each block of 32 with the same conversion and multiply-add.

mod scalar;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "aarch64")]
mod neon;

#[cfg(test)]
mod tests;

use super::activations::ActivationBlock;
use super::layout::{BLOCK, Codes, LayoutSpec, TILE_ROWS};
use super::{LayoutId, MatmulFn, OutputColumns, Product, types};
use crate::isa::Isa;
use crate::registry::{Kernel, Kernels, Op};

/// Columns that share a table.
const GROUP: usize = 4;
/// Tables of a block.
const GROUPS: usize = BLOCK / GROUP;
/// Entries of a table.
const ENTRIES: usize = 1 << GROUP;
/// An entry is `high << LOW_BITS | low`.
const LOW_BITS: u32 = 5;

/// The tables of a block of one token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(32))]
pub struct TableBlock {
    low: [[u8; ENTRIES]; GROUPS],
    high: [[u8; ENTRIES]; GROUPS],
    /// The sum of the negative activations.
    least: i32,
}

impl TableBlock {
    /// The tables of 32 zeros.
    pub const ZERO: Self =
        Self { low: [[0; ENTRIES]; GROUPS], high: [[0; ENTRIES]; GROUPS], least: 0 };

    /// The tables of these activations.
    #[must_use]
    pub fn new(codes: &[i8; BLOCK]) -> Self {
        let mut tables = Self::ZERO;
        let (groups, _) = codes.as_chunks::<GROUP>();
        for (group, codes) in groups.iter().enumerate() {
            let least: i16 = codes.iter().map(|&code| i16::from(code).min(0)).sum();
            tables.least += i32::from(least);
            // 0 to 4 · 127. By doubling: the entries with bit t are those without it, plus a[t].
            let mut entries = [least.unsigned_abs(); ENTRIES];
            for (t, &code) in codes.iter().enumerate() {
                for n in 1 << t..2 << t {
                    entries[n] = entries[n - (1 << t)].wrapping_add_signed(code.into());
                }
            }
            tables.low[group] = entries.map(|entry| (entry & ((1 << LOW_BITS) - 1)) as u8);
            tables.high[group] = entries.map(|entry| (entry >> LOW_BITS) as u8);
        }
        tables
    }

    /// The sum of those of the four activations of a group whose bit is in `subset`.
    ///
    /// # Panics
    /// Where `group` is 8 or more or `subset` 16 or more.
    #[must_use]
    pub fn subset_sum(&self, group: usize, subset: usize) -> i32 {
        let entry =
            |n: usize| i32::from(self.high[group][n]) << LOW_BITS | i32::from(self.low[group][n]);
        entry(subset) - entry(0)
    }
}

/// A kernel. Its contract: that of [`MatmulFn`], and [`Product::tables`] are those of its activations, in the same order.
pub(crate) type LutFn = MatmulFn;

layout_ops! {
    LutFn, "lut_i8g32_", [avx2 Avx2 "x86_64", neon Neon "aarch64"],
    BipolarF16x4 = "b1_f16g128";
    BipolarGrouped = "b1_grouped";
    U2F16x2 = "u2z1_f16g64";
    U2F16x8 = "u2z1_f16g256";
    U2Grouped = "u2_grouped";
    U3Grouped = "u3_grouped";
    U4F16x4 = "u4z8_f16g128";
    U4Grouped = "u4_grouped";
}

/// Whether weights of a layout can be multiplied by tables.
#[must_use]
pub fn is_supported(id: LayoutId) -> bool {
    index_of(id).is_some()
}

/// Whether tables beat dot products on a cluster of CPUs, as measured (4096 × 4096 in the cache, one thread; see the `products` bench).
#[must_use]
pub fn is_preferred(isa: Isa, id: LayoutId) -> bool {
    let single_plane = id.spec().codes.bits() == 1;
    is_supported(id) && single_plane && matches!(isa, Isa::Avx2 | Isa::Neon)
}

/// Where the nibble of a plane, a group and a row lies among the codes of a block: its byte, and the position of its lowest bit.
fn place(bits: u32, plane: u32, group: usize, row: usize) -> (usize, u32) {
    let pairs = bits / 2;
    let pair_bytes = GROUPS * TILE_ROWS;
    if plane < 2 * pairs {
        ((plane / 2) as usize * pair_bytes + group * TILE_ROWS + row, 4 * (plane % 2))
    } else {
        let group_of_byte = group % (GROUPS / 2);
        let shift = 4 * (group / (GROUPS / 2)) as u32;
        (pairs as usize * pair_bytes + group_of_byte * TILE_ROWS + row, shift)
    }
}

/// Moves the codes of a tile of [`super::layout`] into bit planes, within each block.
///
/// # Panics
/// Where the tile is shorter than `blocks` blocks.
pub fn to_planes(spec: &LayoutSpec, tile: &mut [u8], blocks: usize) {
    to_nibbles(spec, tile, blocks, place);
}

/// The inverse of [`to_planes`], from `tile` into `out`.
///
/// # Panics
/// Where one of them is shorter than `blocks` blocks.
pub fn from_planes(spec: &LayoutSpec, tile: &[u8], blocks: usize, out: &mut [u8]) {
    from_nibbles(spec, tile, blocks, out, place);
}

/// [`to_planes`] with the nibbles where `place(bits, plane, group, row)` says.
pub(super) fn to_nibbles(
    spec: &LayoutSpec,
    tile: &mut [u8],
    blocks: usize,
    place: impl Fn(u32, u32, usize, usize) -> (usize, u32),
) {
    let bits = spec.codes.bits();
    for block in 0..blocks {
        let codes: [_; TILE_ROWS] = std::array::from_fn(|row| spec.codes(tile, block, row));
        let out = &mut tile[spec.block_offset(block)..][..spec.code_bytes()];
        out.fill(0);
        for (row, codes) in codes.iter().enumerate() {
            let (groups, _) = codes.as_chunks::<GROUP>();
            for (group, four) in groups.iter().enumerate() {
                for plane in 0..bits {
                    let nibble =
                        four.iter().rev().fold(0, |nibble, code| nibble << 1 | code >> plane & 1);
                    let (at, shift) = place(bits, plane, group, row);
                    out[at] |= nibble << shift;
                }
            }
        }
    }
}

/// The inverse of [`to_nibbles`], from `tile` into `out`.
pub(super) fn from_nibbles(
    spec: &LayoutSpec,
    tile: &[u8],
    blocks: usize,
    out: &mut [u8],
    place: impl Fn(u32, u32, usize, usize) -> (usize, u32),
) {
    let bits = spec.codes.bits();
    out.copy_from_slice(tile);
    for block in 0..blocks {
        let nibbles = &tile[spec.block_offset(block)..][..spec.code_bytes()];
        for row in 0..TILE_ROWS {
            let quads = std::array::from_fn(|group| {
                (0..bits).fold(0, |quad, plane| {
                    let (at, shift) = place(bits, plane, group, row);
                    let nibble = u32::from(nibbles[at] >> shift & 15);
                    // Copies of the nibble 7 bits apart: bit t of it comes to stand in byte t.
                    quad | (nibble.wrapping_mul(0x0020_4081) & 0x0101_0101) << plane
                })
            });
            spec.store_codes(out, block, row, &quads);
        }
    }
}

/// What the integer `codes` times activations is more than the sum of the look-ups times the factor of a code: for one of the layouts here.
#[inline(always)]
const fn factor(codes: Codes) -> i32 {
    if matches!(codes, Codes::Bipolar) { 2 } else { 1 }
}

impl Kernels {
    /// The product of some tiles of weights, their codes in bit planes ([`to_planes`]), with all tokens of `activations`; otherwise as
    /// [`Kernels::matmul`]. `tables` holds the [`TableBlock`] of each of the activations.
    ///
    /// # Panics
    /// As [`Kernels::matmul`], and where the layout has no kernels here ([`is_supported`]).
    pub fn matmul_by_tables(
        &self,
        layout: &LayoutSpec,
        weights: &[u8],
        blocks: usize,
        activations: &[ActivationBlock],
        tables: &[TableBlock],
        out: &mut OutputColumns<'_>,
    ) {
        if out.columns == 0 || out.tokens == 0 {
            return;
        }
        let index = layout.id.and_then(index_of).expect("a layout with kernels");
        assert!(layout.grouping.run > 0, "superblocks of no blocks");
        assert_eq!(tables.len(), activations.len(), "a table for each block of activations");
        let tile_bytes = layout.tile_bytes(blocks).expect("the weights are in memory");
        let mut product = Product::new(weights, tile_bytes, blocks, activations, out);
        product.spec = layout;
        product.tables = tables.as_ptr();
        // SAFETY: the kernel was selected for a supported instruction set.
        unsafe { (self.lut[index].function)(&product) };
    }

    /// The name of the kernel that multiplies weights of this layout by tables.
    ///
    /// # Panics
    /// Where there is none.
    #[must_use]
    pub fn matmul_by_tables_name(&self, layout: LayoutId) -> &'static str {
        self.lut[index_of(layout).expect("a layout with kernels")].name
    }
}
