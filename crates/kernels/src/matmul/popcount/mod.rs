//! Products of weights and activations of 1 to 4 bits by exclusive or and population count, a bit plane of either at a time (APNN-TC, Feng et al. 2021).
//!
//! The contract and the bits of a result are those of [`super`]; only the integer sum of a block is made another way. Activations are odd integers
//! −(2^n − 1) to 2^n − 1, sums of signed powers of two; so are weights, but for a shift that the sum of the activations makes good:
//!
//! ```text
//! a = Σ_j 2^j (2 bit_j − 1),  q = 2u − (2^bits − 1) = Σ_i 2^i (2 bit_i − 1)                an activation; a code u
//! Σ_k q[k] · a[k] = (2^bits − 1) (2^n − 1) K − 2 D,  D = Σ_i Σ_j 2^(i + j) popcount(u_i xor a_j)
//! Σ_k (u[k] − z) · a[k] = (Σ_k q[k] · a[k] + (2^bits − 1 − 2z) Σ_k a[k]) / 2              exact; for signs Σ_k q[k] · a[k] itself
//! ```
//!
//! with K columns in a block, 32 or what a last one has: columns beyond have bits 0 in both, which differ nowhere. The time is that of bits · n passes over
//! the planes, so that this beats dot products of 8 bits while that product is small ([`MAX_WIDTHS`]).
//!
//! ```text
//! block = for each plane: [row] u32, bit k of column k                                     64 bytes a plane
//! ```
//!
//! Everything else of a tile is as in [`super::layout`].

mod scalar;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;

#[cfg(test)]
mod tests;

use super::activations::ActivationBlock;
use super::layout::{BLOCK, Codes, LayoutSpec, TILE_ROWS, VECTOR};
use super::{LayoutId, OutputColumns, Product, types};
use crate::isa::Isa;
use crate::registry::{Kernel, Kernels, Op};

/// The most bits of an activation.
pub const MAX_BITS: u32 = 4;

/// The largest product of widths for which products are made this way.
pub const MAX_WIDTHS: u32 = 8;

/// The planes of 32 activations of one token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BitBlock {
    /// Bit k of plane j is bit j of activation k.
    planes: [u32; MAX_BITS as usize],
    /// The largest activation, times how many there are.
    largest: i32,
}

impl BitBlock {
    /// The planes of odd integers of `bits` bits. Zeros are columns that there are not.
    ///
    /// # Panics
    /// Where `bits` is not 1 to 4.
    #[must_use]
    pub fn new(codes: &[i8; BLOCK], bits: u32) -> Self {
        assert!((1..=MAX_BITS).contains(&bits), "activations of {bits} bits");
        let top = (1 << bits) - 1;
        let mut block = Self::default();
        for (k, &code) in codes.iter().enumerate().filter(|(_, code)| **code != 0) {
            block.largest += top;
            for (plane, word) in block.planes.iter_mut().enumerate() {
                *word |= ((i32::from(code) + top).cast_unsigned() >> (plane + 1) & 1) << k;
            }
        }
        block
    }
}

/// A kernel. Its contract: that of [`super::MatmulFn`], and there are the planes of `bits` bits of each of the activations, in their order.
pub(crate) type PopcountFn = unsafe fn(&Product<ActivationBlock>, *const BitBlock, bits: usize);

layout_ops! {
    PopcountFn, "popcount_g32_", [avx2 Avx2 "x86_64", avx512 Avx512 "x86_64", neon Neon "aarch64"],
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

/// Whether weights of a layout can be multiplied by population counts.
#[must_use]
pub fn is_supported(id: LayoutId) -> bool {
    index_of(id).is_some()
}

/// What a dot product is made of beside the weighted number of differences: it is `base(block) − (D << shift)`.
#[derive(Clone, Copy)]
struct Terms {
    largest_weight: i32,
    center: i32,
    shift: u32,
}

impl Terms {
    #[inline(always)]
    fn new(spec: &LayoutSpec) -> Self {
        let largest_weight = (1 << spec.codes.bits()) - 1;
        match spec.codes {
            Codes::Bipolar => Self { largest_weight, center: 0, shift: 1 },
            codes => Self { largest_weight, center: largest_weight - 2 * codes.offset(), shift: 0 },
        }
    }

    /// Half of an even number where the weights are no signs.
    #[inline(always)]
    fn base(self, activations: &ActivationBlock, bits: &BitBlock) -> i32 {
        let doubled = self.largest_weight * bits.largest - self.center * activations.minus_sum;
        doubled >> (1 - self.shift)
    }
}

/// Moves the codes of a tile of [`super::layout`] into words of bit planes, within each block.
///
/// # Panics
/// Where the tile is shorter than `blocks` blocks.
pub fn to_words(spec: &LayoutSpec, tile: &mut [u8], blocks: usize) {
    for block in 0..blocks {
        let codes: [_; TILE_ROWS] = std::array::from_fn(|row| spec.codes(tile, block, row));
        let out = &mut tile[spec.block_offset(block)..][..spec.code_bytes()];
        for (plane, out) in out.chunks_exact_mut(VECTOR).enumerate() {
            for (codes, out) in codes.iter().zip(out.chunks_exact_mut(4)) {
                let bits = codes.iter().rev();
                let word = bits.fold(0, |word, code| word << 1 | u32::from(code >> plane & 1));
                out.copy_from_slice(&word.to_le_bytes());
            }
        }
    }
}

/// The inverse of [`to_words`], from `tile` into `out`.
///
/// # Panics
/// Where one of them is shorter than `blocks` blocks.
pub fn from_words(spec: &LayoutSpec, tile: &[u8], blocks: usize, out: &mut [u8]) {
    out.copy_from_slice(tile);
    for block in 0..blocks {
        let words = &tile[spec.block_offset(block)..][..spec.code_bytes()];
        for row in 0..TILE_ROWS {
            let quads = std::array::from_fn(|quad| {
                words.chunks_exact(VECTOR).enumerate().fold(0, |codes, (plane, words)| {
                    let nibble = u32::from(words[4 * row + quad / 2] >> (4 * (quad % 2)) & 15);
                    // Copies of the nibble 7 bits apart: bit t of it comes to stand in byte t.
                    codes | (nibble.wrapping_mul(0x0020_4081) & 0x0101_0101) << plane
                })
            });
            spec.store_codes(out, block, row, &quads);
        }
    }
}

impl Kernels {
    /// The product of some tiles of weights, their codes in words of bit planes ([`to_words`]), with all tokens of `activations`, odd integers of `bits`
    /// bits; otherwise as [`Kernels::matmul`]. `planes` holds the [`BitBlock`] of each of the activations.
    ///
    /// # Panics
    /// As [`Kernels::matmul`], and where the layout has no kernels here ([`is_supported`]).
    pub fn matmul_by_popcount(
        &self,
        layout: &LayoutSpec,
        weights: &[u8],
        blocks: usize,
        activations: &[ActivationBlock],
        (planes, bits): (&[BitBlock], u32),
        out: &mut OutputColumns<'_>,
    ) {
        if out.columns == 0 || out.tokens == 0 {
            return;
        }
        let index = layout.id.and_then(index_of).expect("a layout with kernels");
        assert!(layout.grouping.run > 0, "superblocks of no blocks");
        assert_eq!(planes.len(), activations.len(), "planes of each block of activations");
        assert!((1..=MAX_BITS).contains(&bits), "activations of {bits} bits");
        let tile_bytes = layout.tile_bytes(blocks).expect("the weights are in memory");
        let mut product = Product::new(weights, tile_bytes, blocks, activations, out);
        product.spec = layout;
        // SAFETY: the kernel was selected for a supported instruction set.
        unsafe { (self.popcount[index].function)(&product, planes.as_ptr(), bits as usize) };
    }

    /// The name of the kernel that multiplies weights of this layout by population counts.
    ///
    /// # Panics
    /// Where there is none.
    #[must_use]
    pub fn matmul_by_popcount_name(&self, layout: LayoutId) -> &'static str {
        self.popcount[index_of(layout).expect("a layout with kernels")].name
    }
}
