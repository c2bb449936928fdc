//! Attention of all heads over the tokens of one image, in integers.
//!
//! For each head, with q, k, v of i8 and rows t of queries:
//!
//! ```text
//! s[t][j] = limit8(round(Σ_d q[t][d] · k[j][d] · scores))                  head_dim^−½ folded into the scale
//! deferred    E = table[max_j s − s],  Σ = Σ_j E,  acc[d] = Σ_j E[j] · v[j][d]
//!             out[t][d] = limit(round(acc[d] · values / Σ)), ties away from zero: a row of weights sums to exactly 1
//! others      p = softmax of s in 8 or 16 bits,  out[t][d] = limit(round(Σ_j p[j] · v[j][d] · values))
//! ```
//!
//! |acc| ≤ 255 · 128 · tokens < 2^31 for up to [`MAX_TOKENS`] tokens. One division a row: the quotient is a product with the reciprocal of Σ,
//! corrected by one.

#![cfg_attr(
    all(target_arch = "x86_64", not(test)),
    expect(clippy::wildcard_imports, reason = "intrinsics name themselves")
)]

mod scalar;

#[cfg(target_arch = "x86_64")]
mod avx512;

use super::dyadic::{Dyadic, Output};
use super::linear::{HEADER, Matrix, Rows, TILE_ROWS, Vector, WeightBits};
use super::shift_exp::ShiftExp;
use super::{ibert, loop_op};
use crate::isa::Isa;
use crate::registry::{Kernel, Kernels, Op};

/// The most tokens: 255 · 65 793 < 2^24.
pub const MAX_TOKENS: usize = 65_793;

/// The largest head.
pub const MAX_HEAD_DIM: usize = 4096;

/// How scores become weights.
#[derive(Clone, Copy, Debug)]
pub enum Softmax<'a> {
    /// Exponentials of 8 bits, `⌊255 e^(−d·scale) + ½⌋`, divided by their sum at the end.
    Deferred(&'a [u8; 256]),
    /// [`Kernels::softmax_u15`]: for long rows, where 8 bits cut off the tail.
    U15(&'a [u16; 256]),
    /// [`Kernels::shiftmax_i16`].
    Shiftmax16(ShiftExp),
    /// [`Kernels::shiftmax_i8`].
    Shiftmax8(ShiftExp),
    /// [`ibert::softmax`], of `bits` bits.
    Ibert {
        /// The exponential.
        exp: ibert::Exp,
        /// Its requantization to 16 bits.
        requantize: Dyadic,
        /// Bits of a weight.
        bits: u32,
    },
}

/// The constants of an attention.
#[derive(Clone, Copy, Debug)]
pub struct Attention<'a> {
    /// Heads.
    pub heads: usize,
    /// Channels of a head.
    pub head_dim: usize,
    /// From products of queries and keys to scores.
    pub scores: Dyadic,
    /// From scores to weights.
    pub softmax: Softmax<'a>,
    /// From sums of values to results: the scale of the values (times that of the weights, where they have one) by that of the results.
    pub values: Dyadic,
    /// What follows.
    pub output: Output,
}

impl Attention<'_> {
    /// Whether there are heads, no sum can overflow, and tables begin with their greatest number.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        let softmax = match self.softmax {
            // Σ · 2^(shift − 1) stays below 2^62.
            Softmax::Deferred(table) => table[0] == 255 && self.values.shift() <= 39,
            Softmax::U15(table) => table[0] == 1 << 15 && table.iter().all(|&e| e <= 1 << 15),
            Softmax::Ibert { exp, requantize, bits } => {
                (1..=15).contains(&bits) && requantize.apply_wide(exp.apply(0)) > 0
            }
            Softmax::Shiftmax16(_) | Softmax::Shiftmax8(_) => true,
        };
        softmax
            && self.heads > 0
            && (1..=MAX_HEAD_DIM).contains(&self.head_dim)
            && self.heads.checked_mul(self.head_dim).is_some_and(|c| c < usize::MAX / 3)
            && self.output.fits::<i8>()
    }

    /// Channels of the result.
    #[must_use]
    pub fn channels(&self) -> usize {
        self.heads * self.head_dim
    }
}

/// Memory that calls of [`Kernels::attention`] share.
#[derive(Clone, Debug, Default)]
pub struct AttentionScratch {
    keys: Vec<Vector>,
    values: Vec<Vector>,
    scores: Vec<i8>,
    bytes: Vec<i8>,
    exponentials: Vec<u8>,
    totals: Vec<u32>,
    weights: Vec<i16>,
    sums: Vec<i32>,
}

/// A kernel of `exponentials_i8_u8`: exponentials of the distances from the greatest of each row, and the sum of each row.
///
/// Its contract: the instruction set is supported, `x` and `out` are as many rows of `width`, 1 to [`MAX_TOKENS`], as there are sums.
pub(crate) type ExponentialsFn =
    unsafe fn(x: &[i8], width: usize, table: &[u8; 256], out: &mut [u8], sums: &mut [u32]);

/// Exponentials of scores.
pub(crate) static EXPONENTIALS: Op<ExponentialsFn> = Op {
    name: "exponentials_i8_u8",
    kernels: &[
        Kernel {
            name: "exponentials_i8_u8__scalar",
            isa: Isa::Scalar,
            function: scalar::exponentials,
        },
        #[cfg(target_arch = "x86_64")]
        Kernel {
            name: "exponentials_i8_u8__avx512",
            isa: Isa::Avx512,
            function: avx512::exponentials,
        },
    ],
};

loop_op! {
    /// The deferred division.
    static DIVIDE: DivideFn = "divide_i32_i8",
    fn(acc: &[i32], total: u32, scale: Dyadic, output: Output, out: &mut [i8]),
    scalar::divide,
}

loop_op! {
    /// Values under weights of 16 bits.
    static WEIGHTED_SUM: WeightedSumFn = "weighted_sum_i16_i8",
    fn(weights: &[i16], v: &[i8], stride: usize, out: &mut [i32]),
    scalar::weighted_sum,
}

/// One head: its queries, keys and values, rows of `stride` numbers.
struct Head<'a> {
    q: &'a [i8],
    k: &'a [i8],
    v: &'a [i8],
    stride: usize,
    dim: usize,
    tokens: usize,
}

impl Head<'_> {
    /// Keys as the rows of a matrix.
    fn pack_keys(&self, scale: Dyadic, memory: Vec<Vector>) -> Matrix {
        let shape = [self.tokens, self.dim];
        let matrix = Matrix::zeros(shape, WeightBits::Eight, scale, memory);
        let mut matrix = matrix.expect("in memory");
        let of_tile = matrix.tile_len();
        for (row, k) in self.k.chunks(self.stride).enumerate() {
            let k = &k[..self.dim];
            let tile = &mut matrix.vectors[row / TILE_ROWS * of_tile + HEADER..];
            let (quads, rest) = k.as_chunks::<4>();
            for (vector, quad) in tile.iter_mut().zip(quads) {
                let bytes = &mut vector.0.as_chunks_mut::<4>().0[row % TILE_ROWS];
                *bytes = quad.map(i8::cast_unsigned);
            }
            for (byte, &k) in rest.iter().enumerate() {
                tile[quads.len()].0[4 * (row % TILE_ROWS) + byte] = k.cast_unsigned();
            }
            matrix.set_bias(row, 0, k.iter().map(|&k| i32::from(k)).sum());
        }
        matrix
    }

    /// Dimensions of the values as the rows of a matrix, tokens as its columns.
    fn pack_values(&self, memory: Vec<Vector>) -> Matrix {
        let shape = [self.dim, self.tokens];
        let matrix = Matrix::zeros(shape, WeightBits::Eight, Dyadic::ONE, memory);
        let mut matrix = matrix.expect("in memory");
        let of_tile = matrix.tile_len();
        for (tile, first) in (0..self.dim).step_by(TILE_ROWS).enumerate() {
            let dims = first..(first + TILE_ROWS).min(self.dim);
            let tile = &mut matrix.vectors[tile * of_tile..][..of_tile];
            let mut sums = [0i32; TILE_ROWS];
            for (quad, v) in self.v.chunks(4 * self.stride).enumerate() {
                let mut four = [[0i8; TILE_ROWS]; 4];
                for (four, v) in four.iter_mut().zip(v.chunks(self.stride)) {
                    four[..dims.len()].copy_from_slice(&v[dims.clone()]);
                }
                let bytes = tile[HEADER + quad].0.as_chunks_mut::<4>().0;
                for (row, (bytes, sum)) in bytes.iter_mut().zip(&mut sums).enumerate() {
                    *bytes = four.map(|v| v[row].cast_unsigned());
                    *sum += four.iter().map(|v| i32::from(v[row])).sum::<i32>();
                }
            }
            for (row, &sum) in dims.zip(&sums) {
                matrix.set_bias(row, 0, sum);
            }
        }
        matrix
    }
}

impl Kernels {
    /// Attention of `qkv`, rows of `3 · channels` numbers (queries, keys, values; heads in order inside each), into rows of `channels`.
    ///
    /// # Panics
    /// Where the constants are not valid, or `qkv` and `out` are not as many whole rows, at most [`MAX_TOKENS`].
    pub fn attention(
        &self,
        qkv: &[i8],
        attention: &Attention<'_>,
        scratch: &mut AttentionScratch,
        out: &mut [i8],
    ) {
        assert!(attention.is_valid(), "{attention:?}");
        let channels = attention.channels();
        let (stride, dim) = (3 * channels, attention.head_dim);
        let tokens = qkv.len() / stride;
        assert_eq!(qkv.len(), tokens * stride, "queries, keys and values");
        assert_eq!(out.len(), tokens * channels, "results");
        assert!(tokens <= MAX_TOKENS, "{tokens} tokens");
        if tokens == 0 {
            return;
        }
        scratch.scores.resize(tokens * tokens, 0);
        for head in 0..attention.heads {
            let part = |index: usize| &qkv[index * channels + head * dim..];
            let head_of = Head { q: part(0), k: part(1), v: part(2), stride, dim, tokens };
            let keys = head_of.pack_keys(attention.scores, std::mem::take(&mut scratch.keys));
            let q = Rows { data: head_of.q, stride };
            let scores = (&mut scratch.scores[..], tokens);
            self.matrix_product(&keys, q, tokens, Output::bits(8), scores);
            scratch.keys = keys.vectors;
            self.weigh(&head_of, attention, scratch, channels, &mut out[head * dim..]);
        }
    }

    /// From scores to results of a head; rows of `out` are `stride` apart.
    fn weigh(
        &self,
        head: &Head<'_>,
        attention: &Attention<'_>,
        scratch: &mut AttentionScratch,
        stride: usize,
        out: &mut [i8],
    ) {
        let &Head { tokens, dim, .. } = head;
        let AttentionScratch { values, scores, bytes, exponentials, totals, weights, sums, .. } =
            scratch;
        match attention.softmax {
            Softmax::Deferred(table) => {
                exponentials.resize(tokens * tokens, 0);
                totals.resize(tokens, 0);
                sums.resize(tokens * dim, 0);
                // SAFETY: the kernel was selected for a supported instruction set.
                unsafe {
                    (self.exponentials.function)(scores, tokens, table, exponentials, totals);
                }
                let matrix = head.pack_values(std::mem::take(values));
                let x = Rows { data: &exponentials[..], stride: tokens };
                self.matrix_product(&matrix, x, tokens, Output::bits(32), (&mut sums[..], dim));
                *values = matrix.vectors;
                for (t, (sums, &total)) in sums.chunks_exact(dim).zip(&*totals).enumerate() {
                    let out = &mut out[t * stride..][..dim];
                    // SAFETY: the kernel was selected for a supported instruction set.
                    unsafe {
                        (self.divide.function)(
                            sums,
                            total,
                            attention.values,
                            attention.output,
                            out,
                        );
                    }
                }
                return;
            }
            Softmax::U15(table) => {
                weights.resize(tokens * tokens, 0);
                self.softmax_u15(scores, tokens, table, weights);
            }
            Softmax::Shiftmax16(exp) => {
                weights.resize(tokens * tokens, 0);
                self.shiftmax_i16(scores, tokens, exp, weights);
            }
            Softmax::Shiftmax8(exp) => {
                bytes.resize(tokens * tokens, 0);
                self.shiftmax_i8(scores, tokens, exp, bytes);
                weights.clear();
                weights.extend(bytes.iter().map(|&weight| i16::from(weight)));
            }
            Softmax::Ibert { exp, requantize, bits } => {
                weights.resize(tokens * tokens, 0);
                let rows = scores.chunks_exact(tokens).zip(weights.chunks_exact_mut(tokens));
                for (row, weights) in rows {
                    sums.clear();
                    sums.extend(row.iter().map(|&score| i32::from(score)));
                    ibert::softmax(sums, exp, requantize, bits, weights);
                }
            }
        }
        sums.resize(dim, 0);
        for (t, weights) in weights.chunks_exact(tokens).enumerate() {
            // SAFETY: the kernel was selected for a supported instruction set.
            unsafe { (self.weighted_sum.function)(weights, head.v, head.stride, &mut sums[..dim]) };
            for (out, &sum) in out[t * stride..][..dim].iter_mut().zip(&*sums) {
                *out = attention.output.finish(attention.values.apply(sum));
            }
        }
    }
}
