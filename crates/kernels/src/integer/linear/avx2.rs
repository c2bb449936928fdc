//! AVX2: a tile is four registers of 4 rows by 2 sums; `vpmaddwd` adds two products of 16 bits, so nothing saturates.

use std::arch::x86_64::*;

use super::scalar::finish;
use super::{HEADER, PAIR, Product, TILE_ROWS, Vector, WeightBits, quad};

/// Registers of a tile.
const GROUPS: usize = 4;

/// See [`super`].
///
/// # Safety
/// As [`Product`] says.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn linear(product: &Product) {
    for tile in 0..product.rows.div_ceil(TILE_ROWS) {
        let mut walk = product.walk();
        let mut token = 0;
        while token < product.tokens {
            // SAFETY: there are so many tokens and tiles.
            token += unsafe {
                match product.tokens - token {
                    3.. => block(product, walk.take::<3>(&product.places), token, tile),
                    _ => block(product, walk.take::<1>(&product.places), token, tile),
                }
            };
        }
    }
}

/// `T` tokens of a tile, those at `x`. Returns `T`.
///
/// # Safety
/// As [`Product`] says, and it has the tokens and the tile.
#[target_feature(enable = "avx2")]
unsafe fn block<const T: usize>(
    product: &Product,
    x: [*const u8; T],
    token: usize,
    tile: usize,
) -> usize {
    let vectors = product.tiles.wrapping_add(tile * product.tile_len);
    let columns = product.columns;
    let mut acc = [[_mm256_setzero_si256(); GROUPS]; T];
    for run in 0..product.places.runs {
        let x = x.map(|x| x.wrapping_add(run * product.places.run_stride));
        for column in (0..columns).step_by(4) {
            let words = x.map(|x| {
                // SAFETY: the columns from `column` on, at most 4, are of the token.
                let bytes = _mm_cvtsi32_si128(unsafe { quad(x, column, columns) }.cast_signed());
                let words = if product.signed {
                    _mm_cvtepi8_epi16(bytes)
                } else {
                    _mm_cvtepu8_epi16(bytes)
                };
                _mm256_broadcastq_epi64(words)
            });
            for group in 0..GROUPS {
                // SAFETY: the quad is of the tile.
                let w = unsafe { load(product.bits, vectors, run * columns + column, group) };
                for (acc, words) in acc.iter_mut().zip(words) {
                    acc[group] = _mm256_add_epi32(acc[group], _mm256_madd_epi16(w, words));
                }
            }
        }
    }
    for (t, acc) in acc.iter().enumerate() {
        let rows = |pair: usize| {
            // Rows 0, 1, 4, 5 and 2, 3, 6, 7.
            let sums = _mm256_hadd_epi32(acc[2 * pair], acc[2 * pair + 1]);
            _mm256_permute4x64_epi64::<0b11_01_10_00>(sums)
        };
        let mut sums = [0i32; TILE_ROWS];
        // SAFETY: there is room for 16 integers; the token and the tile are of the product.
        unsafe {
            _mm256_storeu_si256(sums.as_mut_ptr().cast(), rows(0));
            _mm256_storeu_si256(sums.as_mut_ptr().add(8).cast(), rows(1));
            finish(product, token + t, tile, &sums, 0);
        }
    }
    T
}

/// 4 columns of 4 rows in words.
///
/// # Safety
/// `vectors` is a tile with the column, a multiple of 4.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn load(bits: WeightBits, vectors: *const Vector, column: usize, group: usize) -> __m256i {
    let index = match bits {
        WeightBits::Eight => column / 4,
        WeightBits::Four => column / PAIR,
    };
    let vector = vectors.wrapping_add(HEADER + index).cast::<u8>();
    // SAFETY: a vector has 64 bytes.
    let bytes = unsafe { _mm_load_si128(vector.add(16 * group).cast()) };
    let bytes = match bits {
        WeightBits::Eight => bytes,
        WeightBits::Four => {
            let high = column % PAIR >= 4;
            let nibbles = if high { _mm_srli_epi16::<4>(bytes) } else { bytes };
            let signed = _mm_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, -8, -7, -6, -5, -4, -3, -2, -1);
            _mm_shuffle_epi8(signed, _mm_and_si128(nibbles, _mm_set1_epi8(15)))
        }
    };
    _mm256_cvtepi8_epi16(bytes)
}
