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
use super::linear::{HEADER, Matrix, Places, TILE_ROWS, WeightBits, set_scales};
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
    packed: Option<Packed>,
    scores: Vec<i8>,
    bytes: Vec<i8>,
    exponentials: Vec<u8>,
    totals: Vec<u32>,
    weights: Vec<i16>,
    sums: Vec<i32>,
}

/// A kernel of `exponentials_i8_u8`: exponentials of the distances from the greatest of each row, and the sum of each row.
///
/// Its contract: the instruction set is supported, `x` and `out` are as many rows as there are sums. `row` is how many numbers of a row count, 1 to
/// [`MAX_TOKENS`], and how many it has. What becomes of the others is not said.
pub(crate) type ExponentialsFn =
    unsafe fn(x: &[i8], row: (usize, usize), table: &[u8; 256], out: &mut [u8], sums: &mut [u32]);

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
    /// The deferred division of each row of sums by its total, to rows that lie `stride` apart.
    static DIVIDE: DivideFn = "divide_i32_i8",
    fn(acc: &[i32], totals: &[u32], scale: Dyadic, output: Output, out: &mut [i8], stride: usize),
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

/// Keys and values of a head as matrices. What no head of this shape writes is 0.
#[derive(Clone, Debug)]
struct Packed {
    tokens: usize,
    dim: usize,
    /// A row for each token, and as many zeros as fill the last tile.
    keys: Matrix,
    /// A row for each dimension, a column for each token.
    values: Matrix,
}

impl Packed {
    fn new(tokens: usize, dim: usize) -> Self {
        let zeros = |shape| Matrix::zeros(shape, WeightBits::Eight).expect("in memory");
        let keys = zeros([tokens.next_multiple_of(TILE_ROWS), dim]);
        Self { tokens, dim, keys, values: zeros([dim, tokens]) }
    }

    fn pack(&mut self, head: &Head<'_>, scale: Dyadic) {
        let of_tile = self.keys.tile_len();
        let tiles = self.keys.vectors.chunks_exact_mut(of_tile);
        for (tile, k) in tiles.zip(head.k.chunks(TILE_ROWS * head.stride)) {
            set_scales(tile, scale);
            for (lane, k) in k.chunks(head.stride).enumerate() {
                let k = &k[..head.dim];
                let (quads, rest) = k.as_chunks::<4>();
                for (vector, quad) in tile[HEADER..].iter_mut().zip(quads) {
                    vector.0.as_chunks_mut::<4>().0[lane] = quad.map(i8::cast_unsigned);
                }
                for (byte, &k) in rest.iter().enumerate() {
                    tile[HEADER + quads.len()].0[4 * lane + byte] = k.cast_unsigned();
                }
                tile[1].set(lane, k.iter().map(|&k| i32::from(k)).sum());
            }
        }
        let of_tile = self.values.tile_len();
        let tiles = self.values.vectors.chunks_exact_mut(of_tile);
        for (tile, first) in tiles.zip((0..head.dim).step_by(TILE_ROWS)) {
            let dims = first..(first + TILE_ROWS).min(head.dim);
            let mut sums = [0i32; TILE_ROWS];
            for (vector, v) in tile[HEADER..].iter_mut().zip(head.v.chunks(4 * head.stride)) {
                let mut four = [[0i8; TILE_ROWS]; 4];
                for (four, v) in four.iter_mut().zip(v.chunks(head.stride)) {
                    four[..dims.len()].copy_from_slice(&v[dims.clone()]);
                }
                for (row, out) in vector.0.as_chunks_mut::<4>().0.iter_mut().enumerate() {
                    let byte = |j: usize| u32::from(four[j][row].cast_unsigned()) << (8 * j);
                    *out = (byte(0) | byte(1) | byte(2) | byte(3)).to_le_bytes();
                }
                for (row, sum) in sums.iter_mut().enumerate() {
                    *sum += four.iter().map(|v| i32::from(v[row])).sum::<i32>();
                }
            }
            for (row, sum) in sums.into_iter().enumerate() {
                tile[1].set(row, sum);
            }
        }
    }
}

impl Kernels {
    /// Attention of `qkv`, rows of `3 · channels` numbers (queries, keys, values; heads in order inside each), into rows of `channels`: those of the
    /// queries from `first` on.
    ///
    /// # Panics
    /// Where the constants are not valid, `qkv` and `out` are no whole rows, `qkv` has more than [`MAX_TOKENS`] or fewer than `out` asks for.
    pub fn attention(
        &self,
        qkv: &[i8],
        first: usize,
        attention: &Attention<'_>,
        scratch: &mut AttentionScratch,
        out: &mut [i8],
    ) {
        assert!(attention.is_valid(), "{attention:?}");
        let channels = attention.channels();
        let (stride, dim) = (3 * channels, attention.head_dim);
        let tokens = qkv.len() / stride;
        assert_eq!(qkv.len(), tokens * stride, "queries, keys and values");
        let queries = out.len() / channels;
        assert_eq!(out.len(), queries * channels, "results");
        assert!(first <= tokens && queries <= tokens - first, "queries");
        assert!(tokens <= MAX_TOKENS, "{tokens} tokens");
        if queries == 0 {
            return;
        }
        let fits = |packed: &Packed| (packed.tokens, packed.dim) == (tokens, dim);
        let packed = scratch.packed.take().filter(fits);
        let mut packed = packed.unwrap_or_else(|| Packed::new(tokens, dim));
        let row = tokens.next_multiple_of(TILE_ROWS);
        scratch.scores.resize(queries * row, 0);
        for head in 0..attention.heads {
            let part = |index: usize| &qkv[index * channels + head * dim..];
            let q = &part(0)[first * stride..];
            let head_of = Head { q, k: part(1), v: part(2), stride, dim, tokens };
            packed.pack(&head_of, attention.scores);
            let q = (head_of.q, Places::apart(stride));
            let scores = (&mut scratch.scores[..], row);
            self.matrix_product(&packed.keys, q, queries, Output::bits(8), scores);
            self.weigh(&head_of, attention, &packed.values, scratch, &mut out[head * dim..]);
        }
        scratch.packed = Some(packed);
    }

    /// From scores to results of a head.
    fn weigh(
        &self,
        head: &Head<'_>,
        attention: &Attention<'_>,
        values: &Matrix,
        scratch: &mut AttentionScratch,
        out: &mut [i8],
    ) {
        let &Head { tokens, dim, .. } = head;
        let stride = attention.channels();
        let AttentionScratch { scores, bytes, exponentials, totals, weights, sums, .. } = scratch;
        let row = tokens.next_multiple_of(TILE_ROWS);
        let queries = scores.len() / row;
        if let Softmax::Deferred(table) = attention.softmax {
            exponentials.resize(queries * row, 0);
            totals.resize(queries, 0);
            sums.resize(queries * dim, 0);
            // SAFETY: the kernel was selected for a supported instruction set.
            unsafe {
                let width = (tokens, row);
                (self.exponentials.function)(scores, width, table, exponentials, totals);
            }
            let x = (&exponentials[..], Places::apart(row));
            self.matrix_product(values, x, queries, Output::bits(32), (&mut sums[..], dim));
            let (scale, output) = (attention.values, attention.output);
            // SAFETY: the kernel was selected for a supported instruction set.
            unsafe { (self.divide.function)(sums, totals, scale, output, out, stride) };
            return;
        }
        // What follows has no use for the numbers between rows.
        for query in 1..queries {
            scores.copy_within(query * row..query * row + tokens, query * tokens);
        }
        let scores = &scores[..queries * tokens];
        weights.resize(queries * tokens, 0);
        match attention.softmax {
            Softmax::Deferred(_) => {}
            Softmax::U15(table) => {
                self.softmax_u15(scores, tokens, table, weights);
            }
            Softmax::Shiftmax16(exp) => {
                self.shiftmax_i16(scores, tokens, exp, weights);
            }
            Softmax::Shiftmax8(exp) => {
                bytes.resize(queries * tokens, 0);
                self.shiftmax_i8(scores, tokens, exp, bytes);
                for (weight, &byte) in weights.iter_mut().zip(&*bytes) {
                    *weight = byte.into();
                }
            }
            Softmax::Ibert { exp, requantize, bits } => {
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
