//! AVX-512: a tile is one register, and `vpdpbusd` adds four products to each of its lanes.
//!
//! Its unsigned operand is the activation: signed ones are taken as x + 128, and 128 times the sum of the weights comes off the bias. Up to six tokens
//! by four tiles are held in registers, so that a weight is loaded once for six products and an activation once for four.

#![expect(clippy::needless_range_loop, reason = "indices are unrolled into registers")]

use std::arch::x86_64::*;

use crate::integer::dyadic::{Dyadic, Output};

use super::{HEADER, Product, Results, TILE_ROWS, Vector, Walk, WeightBits, quad};

/// A tile's numbers of the last step.
struct Scales {
    /// Of even rows and of odd rows, each with half a unit in 64 bits.
    multipliers: [__m512i; 2],
    halves: [__m512i; 2],
    /// Of all rows, and the same less 32.
    shifts: [__m512i; 2],
    way: Way,
}

/// How sums become results.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Every scale is 1.
    Limit,
    /// No shift is below 32: the high halves of the products are enough.
    High,
    Any,
}

/// The most tokens of a block.
const TOKENS: usize = 6;

/// See [`super`].
///
/// # Safety
/// As [`Product`] says.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512vbmi")]
pub(super) unsafe fn linear(product: &Product) {
    let tiles = product.rows.div_ceil(TILE_ROWS);
    let mut tile = 0;
    while tile < tiles {
        // SAFETY: there are so many tiles.
        tile += unsafe {
            match tiles - tile {
                4.. => group::<4>(product, tile),
                2.. => group::<2>(product, tile),
                _ => group::<1>(product, tile),
            }
        };
    }
}

/// All tokens of `V` tiles. Returns `V`.
///
/// # Safety
/// As [`Product`] says, and it has the tiles.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512vbmi")]
unsafe fn group<const V: usize>(product: &Product, tile: usize) -> usize {
    let first = product.tiles.wrapping_add(tile * product.tile_len);
    // SAFETY: a tile begins with its header.
    let scales: [Scales; V] = std::array::from_fn(|v| unsafe {
        Scales::of(first.wrapping_add(v * product.tile_len), product.output.zero_point)
    });
    let mut walk = product.walk();
    let mut token = 0;
    while token < product.tokens {
        // Blocks of like size: a rest of one token would leave the multipliers idle.
        let left = product.tokens - token;
        let size = left.div_ceil(left.div_ceil(TOKENS));
        // SAFETY: there are so many tokens.
        unsafe {
            match size {
                6 => block::<6, V>(product, &mut walk, (token, tile), &scales),
                5 => block::<5, V>(product, &mut walk, (token, tile), &scales),
                4 => block::<4, V>(product, &mut walk, (token, tile), &scales),
                3 => block::<3, V>(product, &mut walk, (token, tile), &scales),
                2 => block::<2, V>(product, &mut walk, (token, tile), &scales),
                _ => block::<1, V>(product, &mut walk, (token, tile), &scales),
            }
        }
        token += size;
    }
    V
}

/// `T` tokens of `V` tiles.
///
/// # Safety
/// As [`Product`] says, and it has the tokens and tiles; `walk` is at the first of them.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512vbmi")]
unsafe fn block<const T: usize, const V: usize>(
    product: &Product,
    walk: &mut Walk,
    (token, tile): (usize, usize),
    scales: &[Scales; V],
) {
    let x = walk.take::<T>(&product.places);
    let mut sums = [[_mm512_setzero_si512(); V]; T];
    let whole = (tile + V) * TILE_ROWS <= product.rows;
    // SAFETY: the product has the tokens and tiles, so all rows of whole tiles.
    unsafe {
        match product.bits {
            WeightBits::Eight => add_products::<T, V, false>(product, x, tile, &mut sums),
            WeightBits::Four => add_products::<T, V, true>(product, x, tile, &mut sums),
        }
        if whole && scales.iter().all(|scales| scales.way == Way::High) {
            match product.results {
                Results::I8 => write::<T, V, I8>(product, (token, tile), &sums, scales),
                Results::I16 => write::<T, V, I16>(product, (token, tile), &sums, scales),
                Results::I32 => write::<T, V, I32>(product, (token, tile), &sums, scales),
            }
        } else {
            write_any(product, (token, tile), sums.as_flattened(), scales);
        }
    }
}

/// The bias and the products of `T` tokens, those at `x`, with `V` tiles, of nibbles or of bytes.
///
/// A function of its own, in which accumulators are indexed by constants alone: else they would live in memory.
///
/// # Safety
/// As [`Product`] says, and it has the tokens and the tiles.
#[inline(never)]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512vbmi")]
unsafe fn add_products<const T: usize, const V: usize, const NIBBLES: bool>(
    product: &Product,
    x: [*const u8; T],
    tile: usize,
    sums: &mut [[__m512i; V]; T],
) {
    let first = product.tiles.wrapping_add(tile * product.tile_len);
    let tile = |v: usize| first.wrapping_add(v * product.tile_len);
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
    for run in 0..product.places.runs {
        let x = x.map(|x| x.wrapping_add(run * product.places.run_stride));
        for quad in 0..quads {
            // SAFETY: the quad is of the tiles and tokens.
            unsafe {
                let w = weights::<V, NIBBLES>(first, product.tile_len, run * quads + quad);
                for t in 0..T {
                    let four = x[t].add(4 * quad).cast::<i32>().read_unaligned();
                    let four = _mm512_xor_si512(_mm512_set1_epi32(four), flip);
                    for v in 0..V {
                        acc[t][v] = _mm512_dpbusd_epi32(acc[t][v], four, w[v]);
                    }
                }
            }
        }
    }
    if !product.columns.is_multiple_of(4) {
        // SAFETY: there is one run, and tiles are padded to whole quads.
        unsafe {
            let w = weights::<V, NIBBLES>(first, product.tile_len, quads);
            for t in 0..T {
                let four = quad(x[t], 4 * quads, product.columns).cast_signed();
                let four = _mm512_xor_si512(_mm512_set1_epi32(four), flip);
                for v in 0..V {
                    acc[t][v] = _mm512_dpbusd_epi32(acc[t][v], four, w[v]);
                }
            }
        }
    }
    for t in 0..T {
        for v in 0..V {
            sums[t][v] = acc[t][v];
        }
    }
}

/// [`Results`], as constants.
const I8: u8 = 0;
const I16: u8 = 1;
const I32: u8 = 2;

/// Finishes the sums of whole tiles by [`Way::High`] and writes them.
///
/// # Safety
/// The tokens and all rows of the tiles are of the product, whose results are `R`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
unsafe fn write<const T: usize, const V: usize, const R: u8>(
    product: &Product,
    (token, tile): (usize, usize),
    sums: &[[__m512i; V]; T],
    scales: &[Scales; V],
) {
    let limits = Limits::of(product);
    let size = [1, 2, 4][R as usize];
    let first = product
        .out
        .cast::<u8>()
        .wrapping_add(size * (token * product.out_stride + tile * TILE_ROWS));
    for v in 0..V {
        let mut out = first.wrapping_add(size * v * TILE_ROWS);
        for t in 0..T {
            let value = limits.apply(scales[v].high(sums[t][v]));
            // SAFETY: 16 results from `out` on may be written.
            unsafe {
                match R {
                    I8 => _mm_storeu_si128(out.cast(), _mm512_cvtepi32_epi8(value)),
                    I16 => _mm256_storeu_si256(out.cast(), _mm512_cvtepi32_epi16(value)),
                    _ => _mm512_storeu_si512(out.cast(), value),
                }
            }
            out = out.wrapping_add(size * product.out_stride);
        }
    }
}

/// Finishes and writes sums in any way, those of a token one after another.
///
/// # Safety
/// The tokens and tiles are of the product.
#[inline(never)]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
unsafe fn write_any(
    product: &Product,
    (token, tile): (usize, usize),
    sums: &[__m512i],
    scales: &[Scales],
) {
    let limits = Limits::of(product);
    for (t, sums) in sums.chunks_exact(scales.len()).enumerate() {
        for (v, (&sum, scales)) in sums.iter().zip(scales).enumerate() {
            let value = match scales.way {
                Way::Limit => limits.apply(sum),
                Way::High => limits.apply(scales.high(sum)),
                Way::Any => scales.any(sum, product.output),
            };
            // SAFETY: the token and the rows are of the product.
            unsafe { store(product, token + t, (tile + v) * TILE_ROWS, value) };
        }
    }
}

/// Zero point and limits.
struct Limits {
    zero: __m512i,
    min: __m512i,
    max: __m512i,
}

impl Limits {
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn of(product: &Product) -> Self {
        let Output { zero_point, min, max } = product.output;
        Self {
            zero: _mm512_set1_epi32(zero_point),
            min: _mm512_set1_epi32(min),
            max: _mm512_set1_epi32(max),
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn apply(&self, x: __m512i) -> __m512i {
        let x = _mm512_add_epi32(x, self.zero);
        _mm512_min_epi32(_mm512_max_epi32(x, self.min), self.max)
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
        let one = _mm512_set1_epi64(1);
        let half = |shift: __m512i| _mm512_sllv_epi64(one, _mm512_sub_epi64(shift, one));
        let even = _mm512_and_si512(shifts, _mm512_set1_epi64(0xFFFF_FFFF));
        let ones = (Dyadic::ONE.multiplier(), Dyadic::ONE.shift().cast_signed());
        let way = if zero_point == 0
            && _mm512_cmpneq_epi32_mask(multipliers, _mm512_set1_epi32(ones.0)) == 0
            && _mm512_cmpneq_epi32_mask(shifts, _mm512_set1_epi32(ones.1)) == 0
        {
            Way::Limit
        } else if _mm512_cmplt_epi32_mask(shifts, _mm512_set1_epi32(32)) == 0
            && zero_point.unsigned_abs() < 1 << 30
        {
            // Products are below 2^62, their high halves below 2^30.
            Way::High
        } else {
            Way::Any
        };
        Self {
            multipliers: [multipliers, _mm512_srli_epi64::<32>(multipliers)],
            halves: [half(even), half(_mm512_srli_epi64::<32>(shifts))],
            shifts: [shifts, _mm512_sub_epi32(shifts, _mm512_set1_epi32(32))],
            way,
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

    /// The rounded products for shifts from 32 on.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn high(&self, acc: __m512i) -> __m512i {
        let [even, odd] = self.products(acc);
        let high = _mm512_mask_shuffle_epi32::<0b11_11_01_01>(odd, 0x5555, even);
        _mm512_srav_epi32(high, self.shifts[1])
    }

    /// The last step for any shifts.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn any(&self, value: __m512i, output: Output) -> __m512i {
        let zero = _mm512_set1_epi64(output.zero_point.into());
        let (min, max) =
            (_mm512_set1_epi64(output.min.into()), _mm512_set1_epi64(output.max.into()));
        let [even, odd] = self.products(value);
        let limit = |x: __m512i, shift: __m512i| {
            let x = _mm512_add_epi64(_mm512_srav_epi64(x, shift), zero);
            _mm512_min_epi64(_mm512_max_epi64(x, min), max)
        };
        let low = _mm512_and_si512(self.shifts[0], _mm512_set1_epi64(0xFFFF_FFFF));
        let (even, odd) = (limit(even, low), limit(odd, _mm512_srli_epi64::<32>(self.shifts[0])));
        _mm512_mask_blend_epi32(0xAAAA, even, _mm512_slli_epi64::<32>(odd))
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
