//! AVX-512: a tile is one register, and `vpdpbusd` adds four products to each of its lanes.
//!
//! Its unsigned operand is the activation: signed ones are taken as x + 128, and 128 times the sum of the weights comes off the bias. Up to six tokens
//! by four tiles are held in registers, so that a weight is loaded once for six products and an activation once for four.

#![expect(clippy::needless_range_loop, reason = "indices are unrolled into registers")]

use std::arch::x86_64::*;

use super::{HEADER, Product, Results, TILE_ROWS, Vector, WeightBits};

/// A tile's numbers of the last step, in 64-bit lanes: even rows and odd rows.
struct Scales {
    multipliers: [__m512i; 2],
    halves: [__m512i; 2],
    shifts: [__m512i; 2],
    /// Shifts less 32 of all rows, where none is below: then the high halves of the products are enough.
    high: Option<__m512i>,
}

/// See [`super`].
///
/// # Safety
/// As [`Product`] says.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512vbmi")]
pub(super) unsafe fn linear(product: &Product) {
    let mut token = 0;
    while token < product.tokens {
        // SAFETY: there are so many tokens.
        token += unsafe {
            match product.tokens - token {
                6.. => tiles::<6>(product, token),
                2.. => tiles::<2>(product, token),
                _ => tiles::<1>(product, token),
            }
        };
    }
}

/// `T` tokens of all tiles. Returns `T`.
///
/// # Safety
/// As [`Product`] says, and it has the tokens.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512vbmi")]
unsafe fn tiles<const T: usize>(product: &Product, token: usize) -> usize {
    let tiles = product.rows.div_ceil(TILE_ROWS);
    let mut tile = 0;
    while tile < tiles {
        // SAFETY: there are so many tiles.
        tile += unsafe {
            match tiles - tile {
                4.. => block::<T, 4>(product, token, tile),
                2.. => block::<T, 2>(product, token, tile),
                _ => block::<T, 1>(product, token, tile),
            }
        };
    }
    T
}

/// `T` tokens of `V` tiles. Returns `V`.
///
/// # Safety
/// As [`Product`] says, and it has the tokens and tiles.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512vbmi")]
unsafe fn block<const T: usize, const V: usize>(
    product: &Product,
    token: usize,
    tile: usize,
) -> usize {
    let mut sums = [[_mm512_setzero_si512(); T]; V];
    // SAFETY: the product has the tokens and tiles.
    unsafe {
        match product.bits {
            WeightBits::Eight => add_products::<T, V, false>(product, token, tile, &mut sums),
            WeightBits::Four => add_products::<T, V, true>(product, token, tile, &mut sums),
        }
    }
    for (v, values) in sums.iter_mut().enumerate() {
        let vectors = product.tiles.wrapping_add((tile + v) * product.tile_len);
        // SAFETY: a tile begins with its header.
        let scales = unsafe { Scales::of(vectors, product.output.zero_point) };
        if let Some(shifts) = scales.high {
            let zero = _mm512_set1_epi32(product.output.zero_point);
            let (min, max) =
                (_mm512_set1_epi32(product.output.min), _mm512_set1_epi32(product.output.max));
            for value in &mut *values {
                let [even, odd] = scales.products(*value);
                let high = _mm512_mask_blend_epi32(0xAAAA, _mm512_srli_epi64::<32>(even), odd);
                let shifted = _mm512_add_epi32(_mm512_srav_epi32(high, shifts), zero);
                *value = _mm512_min_epi32(_mm512_max_epi32(shifted, min), max);
            }
        } else {
            for value in &mut *values {
                scales.finish(value, product);
            }
        }
        for (t, &value) in values.iter().enumerate() {
            // SAFETY: the tokens and rows are of the product.
            unsafe { store(product, token + t, (tile + v) * TILE_ROWS, value) };
        }
    }
    V
}

/// The bias and the products of `T` tokens with `V` tiles, of nibbles or of bytes.
///
/// A function of its own, in which accumulators are indexed by constants alone: else they would live in memory.
///
/// # Safety
/// As [`Product`] says, and it has the tokens and tiles.
#[inline(never)]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512vbmi")]
unsafe fn add_products<const T: usize, const V: usize, const NIBBLES: bool>(
    product: &Product,
    token: usize,
    tile: usize,
    sums: &mut [[__m512i; T]; V],
) {
    let first = product.tiles.wrapping_add(tile * product.tile_len);
    let tile = |v: usize| first.wrapping_add(v * product.tile_len);
    let (x, stride) = (product.x.wrapping_add(token * product.x_stride), product.x_stride);
    let flip = _mm512_set1_epi8(if product.signed { i8::MIN } else { 0 });
    let mut acc = [[_mm512_setzero_si512(); V]; T];
    for v in 0..V {
        // SAFETY: a tile begins with its header.
        let (bias, sums) = unsafe { (load(tile(v)), load(tile(v).add(1))) };
        let offset = if product.signed { _mm512_slli_epi32::<7>(sums) } else { flip };
        let start = _mm512_sub_epi32(bias, offset);
        for t in 0..T {
            acc[t][v] = start;
        }
    }
    let quads = product.columns / 4;
    for quad in 0..quads {
        // SAFETY: the quad is of the tiles and tokens.
        unsafe {
            let w = weights::<V, NIBBLES>(first, product.tile_len, quad);
            for t in 0..T {
                let four = x.wrapping_add(t * stride + 4 * quad).cast::<i32>().read_unaligned();
                let four = _mm512_xor_si512(_mm512_set1_epi32(four), flip);
                for v in 0..V {
                    acc[t][v] = _mm512_dpbusd_epi32(acc[t][v], four, w[v]);
                }
            }
        }
    }
    let rest = product.columns % 4;
    if rest > 0 {
        // SAFETY: the tiles are padded to whole quads, and `rest` columns of the tokens are copied.
        unsafe {
            let w = weights::<V, NIBBLES>(first, product.tile_len, quads);
            for t in 0..T {
                let mut bytes = [0u8; 4];
                let from = x.wrapping_add(t * stride + 4 * quads);
                from.copy_to_nonoverlapping(bytes.as_mut_ptr(), rest);
                let four = _mm512_set1_epi32(i32::from_le_bytes(bytes));
                let four = _mm512_xor_si512(four, flip);
                for v in 0..V {
                    acc[t][v] = _mm512_dpbusd_epi32(acc[t][v], four, w[v]);
                }
            }
        }
    }
    for t in 0..T {
        for v in 0..V {
            sums[v][t] = acc[t][v];
        }
    }
}

/// A quad of `V` tiles as signed bytes.
///
/// # Safety
/// The tiles, `tile_len` vectors each from `first` on, have the quad.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn weights<const V: usize, const NIBBLES: bool>(
    first: *const Vector,
    tile_len: usize,
    quad: usize,
) -> [__m512i; V] {
    let mut w = [_mm512_setzero_si512(); V];
    for (v, w) in w.iter_mut().enumerate() {
        let tile = first.wrapping_add(v * tile_len + HEADER);
        // SAFETY: the tile has the vector.
        *w = unsafe {
            if !NIBBLES {
                load(tile.wrapping_add(quad))
            } else if quad.is_multiple_of(2) {
                nibbles(load(tile.wrapping_add(quad / 2)))
            } else {
                nibbles(_mm512_srli_epi16::<4>(load(tile.wrapping_add(quad / 2))))
            }
        };
    }
    w
}

/// # Safety
/// `from` is a vector.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn load(from: *const Vector) -> __m512i {
    // SAFETY: a vector has 64 bytes, aligned.
    unsafe { _mm512_load_si512(from.cast()) }
}

/// The low nibbles of bytes, with their sign.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn nibbles(x: __m512i) -> __m512i {
    let signed = _mm_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, -8, -7, -6, -5, -4, -3, -2, -1);
    let table = _mm512_broadcast_i32x4(signed);
    _mm512_shuffle_epi8(table, _mm512_and_si512(x, _mm512_set1_epi8(15)))
}

impl Scales {
    /// # Safety
    /// `tile` begins with its header.
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn of(tile: *const Vector, zero_point: i32) -> Self {
        // SAFETY: a header has four vectors.
        let (multipliers, shifts) = unsafe { (load(tile.add(2)), load(tile.add(3))) };
        let both = |x: __m512i| {
            [_mm512_and_si512(x, _mm512_set1_epi64(0xFFFF_FFFF)), _mm512_srli_epi64::<32>(x)]
        };
        let one = _mm512_set1_epi64(1);
        let pairs = both(shifts);
        let thirty_two = _mm512_set1_epi32(32);
        // Products are below 2^62, their high halves below 2^30.
        let high =
            _mm512_cmplt_epi32_mask(shifts, thirty_two) == 0 && zero_point.unsigned_abs() < 1 << 30;
        Self {
            multipliers: both(multipliers),
            halves: pairs.map(|shift| _mm512_sllv_epi64(one, _mm512_sub_epi64(shift, one))),
            shifts: pairs,
            high: high.then(|| _mm512_sub_epi32(shifts, thirty_two)),
        }
    }

    /// The products of 16 rows with their multipliers, and half a unit, in 64 bits.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn products(&self, acc: __m512i) -> [__m512i; 2] {
        let odd = _mm512_srli_epi64::<32>(acc);
        [
            _mm512_add_epi64(_mm512_mul_epi32(acc, self.multipliers[0]), self.halves[0]),
            _mm512_add_epi64(_mm512_mul_epi32(odd, self.multipliers[1]), self.halves[1]),
        ]
    }

    /// The last step for any shifts.
    #[inline(never)]
    #[target_feature(enable = "avx512f")]
    fn finish(&self, value: &mut __m512i, product: &Product) {
        let output = product.output;
        let zero = _mm512_set1_epi64(output.zero_point.into());
        let (min, max) =
            (_mm512_set1_epi64(output.min.into()), _mm512_set1_epi64(output.max.into()));
        let [even, odd] = self.products(*value);
        let limit = |x: __m512i, shift: __m512i| {
            let x = _mm512_add_epi64(_mm512_srav_epi64(x, shift), zero);
            _mm512_min_epi64(_mm512_max_epi64(x, min), max)
        };
        let (even, odd) = (limit(even, self.shifts[0]), limit(odd, self.shifts[1]));
        *value = _mm512_mask_blend_epi32(0xAAAA, even, _mm512_slli_epi64::<32>(odd));
    }
}

/// Writes the results of 16 rows of a token, or as many as there are.
///
/// # Safety
/// The token and the row are of the product.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
unsafe fn store(product: &Product, token: usize, row: usize, value: __m512i) {
    let at = token * product.out_stride + row;
    let rows = product.rows - row;
    // SAFETY: `rows` results from `at` on may be written.
    unsafe {
        if rows >= TILE_ROWS {
            match product.results {
                Results::I8 => {
                    _mm_storeu_si128(product.out.add(at).cast(), _mm512_cvtepi32_epi8(value));
                }
                Results::I16 => {
                    _mm256_storeu_si256(
                        product.out.add(2 * at).cast(),
                        _mm512_cvtepi32_epi16(value),
                    );
                }
                Results::I32 => _mm512_storeu_si512(product.out.add(4 * at).cast(), value),
            }
            return;
        }
        let mask = (1u16 << rows) - 1;
        match product.results {
            Results::I8 => {
                let bytes = _mm512_cvtepi32_epi8(value);
                _mm_mask_storeu_epi8(product.out.add(at).cast(), mask, bytes);
            }
            Results::I16 => {
                let words = _mm512_cvtepi32_epi16(value);
                _mm256_mask_storeu_epi16(product.out.add(2 * at).cast(), mask, words);
            }
            Results::I32 => {
                _mm512_mask_storeu_epi32(product.out.add(4 * at).cast(), mask, value);
            }
        }
    }
}
