//! Products of bipolar integers by exclusive or and population count (`APNN-TC`; bit-serial products of 1 to 8 bits on either side).
//!
//! A bipolar integer of `n` bits is `Σ_b 2^b · (2 bit_b − 1)`: the odd numbers −(2^n − 1) to 2^n − 1, each plane a vector of ±1. So a dot product is
//! one of signs for each pair of planes:
//!
//! ```text
//! Σ_k w[k] · x[k] = Σ_i Σ_j 2^(i+j) · (K − 2 · popcount(w_i xor x_j))
//! ```
//!
//! exact in i32 for K · (2^wbits − 1) · (2^xbits − 1) < 2^31. The time is that of wbits · xbits passes over K / 8 bytes: it beats 8-bit products while the
//! product of the widths is small ([`MAX_WIDTHS`]).
//!
//! These kernels take any two widths, and matrices by the row. Weights of 1 to 4 bits that are packed for products with f32 results have others, under their scales:
//! [`crate::matmul::popcount`].
//!
//! Planes are rows of 64-bit words, bit k mod 64 of word k / 64 for column k; a row is padded to [`WORDS`] words with bits that are equal in weights and
//! activations (0), which count as matches and are taken out of K: K counts real columns, padding adds nothing to the popcount.
//!
//! ```text
//! planes[row][plane][word]
//! ```

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
use crate::registry::{Kernel, Kernels, Op};

/// Words that a row of a plane is padded to: one register of 512 bits.
pub const WORDS: usize = 8;

/// The largest product of widths for which this is meant to beat 8-bit products.
pub const MAX_WIDTHS: u32 = 8;

/// A matrix of bipolar integers as bit planes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BitPlanes {
    rows: usize,
    columns: usize,
    bits: u32,
    words_per_row: usize,
    words: Vec<u64>,
}

impl BitPlanes {
    /// The planes of codes 0 to 2^bits − 1, row-major; code `u` stands for `2u − (2^bits − 1)`.
    ///
    /// # Panics
    /// Where there is not one code for each element, or `bits` is not 1 to 8.
    #[must_use]
    pub fn new(codes: &[u8], rows: usize, columns: usize, bits: u32) -> Self {
        assert!((1..=8).contains(&bits), "{bits} bits");
        assert_eq!(Some(codes.len()), rows.checked_mul(columns), "codes");
        let words_per_row = columns.div_ceil(64).max(1).next_multiple_of(WORDS);
        let mut words = vec![0u64; rows * bits as usize * words_per_row];
        let planes = words.chunks_exact_mut(bits as usize * words_per_row);
        for (planes, codes) in planes.zip(codes.chunks_exact(columns.max(1))) {
            for (plane, out) in planes.chunks_exact_mut(words_per_row).enumerate() {
                for (word, codes) in out.iter_mut().zip(codes.chunks(64)) {
                    *word = codes
                        .iter()
                        .rev()
                        .fold(0, |word, code| word << 1 | u64::from(code >> plane & 1));
                }
            }
        }
        Self { rows, columns, bits, words_per_row, words }
    }

    /// The number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The number of columns.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// The bits of an integer.
    #[must_use]
    pub fn bits(&self) -> u32 {
        self.bits
    }

    /// The planes of a row, one behind the other.
    fn row(&self, row: usize) -> &[u64] {
        let len = self.bits as usize * self.words_per_row;
        &self.words[row * len..][..len]
    }
}

/// A kernel: `Σ_i Σ_j 2^(i+j) · popcount(w_i xor x_j)` of the planes of one row of weights and one of activations.
///
/// Its contract: the instruction set is supported; both slices are whole planes of `words` words, a multiple of [`WORDS`].
pub(crate) type BitplaneFn = unsafe fn(weights: &[u64], activations: &[u64], words: usize) -> u64;

/// The weighted number of differing bits.
pub(crate) static OP: Op<BitplaneFn> = Op {
    name: "bitplane_differences",
    kernels: &[
        Kernel {
            name: "bitplane_differences__scalar",
            isa: Isa::Scalar,
            function: scalar::differences,
        },
        #[cfg(target_arch = "x86_64")]
        Kernel { name: "bitplane_differences__avx2", isa: Isa::Avx2, function: avx2::differences },
        #[cfg(target_arch = "x86_64")]
        Kernel {
            name: "bitplane_differences__avx512",
            isa: Isa::Avx512,
            function: avx512::differences,
        },
        #[cfg(target_arch = "aarch64")]
        Kernel { name: "bitplane_differences__neon", isa: Isa::Neon, function: neon::differences },
    ],
};

impl Kernels {
    /// The products of each row of `activations` with each row of `weights`: `out[t][r]`, exact.
    ///
    /// # Panics
    /// Where the numbers of columns differ, `out` has not one element for each pair of rows, or a sum could overflow i32.
    pub fn matmul_bitplanes(&self, weights: &BitPlanes, activations: &BitPlanes, out: &mut [i32]) {
        let columns = weights.columns;
        assert_eq!(columns, activations.columns, "columns");
        assert_eq!(out.len(), weights.rows * activations.rows, "outputs");
        let largest = ((1i64 << weights.bits) - 1) * ((1 << activations.bits) - 1);
        let limit = i64::try_from(columns).ok().and_then(|columns| columns.checked_mul(largest));
        let all = limit.and_then(|limit| i32::try_from(limit).ok());
        let all = all.expect("sums below 2^31");
        let words = weights.words_per_row;
        for (token, out) in out.chunks_exact_mut(weights.rows.max(1)).enumerate() {
            let x = activations.row(token);
            for (row, out) in out.iter_mut().enumerate() {
                // SAFETY: the kernel was selected for a supported instruction set; rows are whole planes of as many words.
                let count = unsafe { (self.bitplane.function)(weights.row(row), x, words) };
                // At most `all`.
                #[expect(clippy::cast_possible_truncation, reason = "at most `all`, an i32")]
                let count = count as i32;
                // In two steps: twice the count may be twice an i32.
                *out = (all - count) - count;
            }
        }
    }

    /// The name of the kernel of [`Kernels::matmul_bitplanes`].
    #[must_use]
    pub fn matmul_bitplanes_name(&self) -> &'static str {
        self.bitplane.name
    }
}
