//! Products of i8 activations with packed i8 or i4 weights, exact in i32, requantized for each output channel to i8, i16 or i32.
//!
//! ```text
//! acc[t][r] = bias[r] + Σ_k w[r][k] · x[t][k]
//! out[t][r] = limit(round(acc · scale[r]) + zero point)
//! ```
//!
//! No weight is −128, so |acc| ≤ 127 · 128 · K + |bias|, which [`LinearWeights::new`] holds below 2^31: K < 132 104 for a small bias.
//!
//! Weights are packed once, 16 rows to a tile, a row a lane of a vector, so that sums never cross lanes:
//!
//! ```text
//! tile    = bias i32[16], sums i32[16], multipliers i32[16], shifts i32[16], vector, vector, …     sums = Σ_k w[r][k]
//! vector  = 64 bytes; byte 4·row + j belongs to `row` and column 4·quad + j
//!   i8: a vector a quad
//!   i4: low nibble quad 2v, high nibble quad 2v + 1 of vector v
//! ```
//!
//! Columns are padded with zeros to whole pairs of quads, 8 columns. Kernels take activations as signed or as unsigned bytes: an instruction that
//! wants the other kind gets `x ± 128`, and `sums` takes the difference out.

#![cfg_attr(not(test), expect(clippy::wildcard_imports, reason = "intrinsics name themselves"))]

mod scalar;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(target_arch = "aarch64")]
mod neon_dotprod;

use std::ffi::c_void;

use super::dyadic::{Dyadic, Integer, Output};
use crate::isa::Isa;
use crate::registry::{Kernel, Kernels, Op};

/// Rows of a tile.
pub(super) const TILE_ROWS: usize = 16;

/// Columns of two quads: what activations are read by.
pub(super) const PAIR: usize = 8;

/// A vector of codes, or 16 integers of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(64))]
pub(super) struct Vector(pub(super) [u8; 64]);

impl Vector {
    const ZERO: Self = Self([0; 64]);

    pub(super) fn set(&mut self, lane: usize, value: i32) {
        self.0[4 * lane..][..4].copy_from_slice(&value.to_le_bytes());
    }
}

/// Vectors of a header.
pub(super) const HEADER: usize = 4;

/// The width of a weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WeightBits {
    /// −7 to 7, two in a byte.
    Four,
    /// −127 to 127.
    Eight,
}

impl WeightBits {
    /// The greatest weight.
    #[must_use]
    pub const fn max(self) -> i8 {
        match self {
            Self::Four => 7,
            Self::Eight => 127,
        }
    }

    /// Vectors of a pair of quads.
    const fn vectors(self) -> usize {
        match self {
            Self::Four => 1,
            Self::Eight => 2,
        }
    }
}

/// Why weights cannot be packed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinearError {
    /// Not one number for each element, or none at all.
    #[error("{rows} rows of {columns} columns need {expected} {what}, not {found}")]
    Length {
        /// What there is not enough or too much of.
        what: &'static str,
        /// Rows of the matrix.
        rows: usize,
        /// Columns of the matrix.
        columns: usize,
        /// How many there must be.
        expected: usize,
        /// How many there are.
        found: usize,
    },
    /// The matrix is empty or larger than memory.
    #[error("a matrix of {rows} rows and {columns} columns")]
    Shape {
        /// Rows of the matrix.
        rows: usize,
        /// Columns of the matrix.
        columns: usize,
    },
    /// A weight is too large for its width.
    #[error("weight {value} of row {row} is not within {max}")]
    Weight {
        /// Its row.
        row: usize,
        /// The weight.
        value: i8,
        /// The greatest magnitude.
        max: i8,
    },
    /// A sum could leave 32 bits.
    #[error("sums of row {row} can exceed 32 bits: {columns} columns, bias {bias}")]
    Sum {
        /// The row.
        row: usize,
        /// Columns of the matrix.
        columns: usize,
        /// Its bias.
        bias: i32,
    },
    /// The limits do not fit the type of the results.
    #[error("limits {0:?} do not fit the results")]
    Output(Output),
}

/// A matrix of weights, packed, with what follows the product: results of type `O`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinearWeights<O> {
    matrix: Matrix,
    output: Output,
    results: std::marker::PhantomData<O>,
}

/// Tiles of packed weights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Matrix {
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) bits: WeightBits,
    pub(super) vectors: Vec<Vector>,
}

impl Matrix {
    /// A matrix of zeros, of scale 1. `None` where it is empty or larger than memory.
    pub(super) fn zeros([rows, columns]: [usize; 2], bits: WeightBits) -> Option<Self> {
        let pairs = columns.div_ceil(PAIR);
        let of_tile = pairs.checked_mul(bits.vectors())?.checked_add(HEADER)?;
        let len = rows.div_ceil(TILE_ROWS).checked_mul(of_tile)?;
        if len == 0 || columns == 0 || len > isize::MAX as usize / 64 {
            return None;
        }
        let mut matrix = Self { rows, columns, bits, vectors: vec![Vector::ZERO; len] };
        for tile in matrix.vectors.chunks_exact_mut(of_tile) {
            set_scales(tile, Dyadic::ONE);
        }
        Some(matrix)
    }

    /// Vectors of a tile.
    pub(super) fn tile_len(&self) -> usize {
        HEADER + self.columns.div_ceil(PAIR) * self.bits.vectors()
    }

    /// Sets one weight of a matrix of zeros.
    fn set(&mut self, row: usize, column: usize, weight: i8) {
        let of_tile = self.tile_len();
        let tile = &mut self.vectors[row / TILE_ROWS * of_tile..][..of_tile];
        let (quad, byte) = (column / 4, 4 * (row % TILE_ROWS) + column % 4);
        match self.bits {
            WeightBits::Eight => tile[HEADER + quad].0[byte] = weight.cast_unsigned(),
            WeightBits::Four => {
                let nibble = (weight.cast_unsigned() & 15) << (4 * (quad % 2));
                tile[HEADER + quad / 2].0[byte] |= nibble;
            }
        }
    }

    /// Sets the bias of a row and the sum of its weights.
    fn set_bias(&mut self, row: usize, bias: i32, sum: i32) {
        let tile = row / TILE_ROWS * self.tile_len();
        self.vectors[tile].set(row % TILE_ROWS, bias);
        self.vectors[tile + 1].set(row % TILE_ROWS, sum);
    }
}

/// Gives all rows of a tile one scale.
pub(super) fn set_scales(tile: &mut [Vector], scale: Dyadic) {
    for row in 0..TILE_ROWS {
        set_scale(tile, row, scale);
    }
}

fn set_scale(tile: &mut [Vector], row: usize, scale: Dyadic) {
    tile[2].set(row % TILE_ROWS, scale.multiplier());
    tile[3].set(row % TILE_ROWS, scale.shift().cast_signed());
}

/// What a matrix is made of.
#[derive(Clone, Copy, Debug)]
pub struct Linear<'a> {
    /// Rows, the output channels, and columns, the input channels.
    pub shape: [usize; 2],
    /// Row-major, one number an element whatever the width.
    pub weights: &'a [i8],
    /// The width that they are kept in.
    pub bits: WeightBits,
    /// One for each row.
    pub bias: &'a [i32],
    /// One for each row.
    pub scales: &'a [Dyadic],
    /// What follows.
    pub output: Output,
}

impl<O: LinearOutput> LinearWeights<O> {
    /// Packs a matrix.
    ///
    /// # Errors
    /// Names the number of elements, weight, bias or limits that does not fit.
    pub fn new(linear: &Linear<'_>) -> Result<Self, LinearError> {
        Self::pack(linear, linear.shape[1])
    }

    /// Packs a matrix of which all but `products` weights of a row are 0.
    pub(super) fn pack(linear: &Linear<'_>, products: usize) -> Result<Self, LinearError> {
        let Linear { shape: [rows, columns], weights, bits, bias, scales, output } = *linear;
        let shape_error = LinearError::Shape { rows, columns };
        let expected = rows.checked_mul(columns).ok_or(shape_error.clone())?;
        for (what, found, expected) in [
            ("weights", weights.len(), expected),
            ("biases", bias.len(), rows),
            ("scales", scales.len(), rows),
        ] {
            if found != expected {
                return Err(LinearError::Length { what, rows, columns, expected, found });
            }
        }
        if !output.fits::<O>() {
            return Err(LinearError::Output(output));
        }
        let matrix = Matrix::zeros([rows, columns], bits);
        let mut matrix = matrix.ok_or(shape_error)?;
        let max = bits.max();
        for (row, weights) in weights.chunks_exact(columns).enumerate() {
            for (column, &value) in weights.iter().enumerate() {
                if value < -max || value > max {
                    return Err(LinearError::Weight { row, value, max });
                }
                matrix.set(row, column, value);
            }
            // The bound holds whatever the weights: files are checked by their shape.
            let bias = bias[row];
            let largest = products as u128 * 127 * 128 + u128::from(bias.unsigned_abs());
            if largest > i32::MAX as u128 {
                return Err(LinearError::Sum { row, columns, bias });
            }
            matrix.set_bias(row, bias, weights.iter().map(|&w| i32::from(w)).sum());
            let of_tile = matrix.tile_len();
            set_scale(&mut matrix.vectors[row / TILE_ROWS * of_tile..], row, scales[row]);
        }
        Ok(Self { matrix, output, results: std::marker::PhantomData })
    }

    pub(super) const fn matrix(&self) -> &Matrix {
        &self.matrix
    }

    pub(super) const fn output(&self) -> Output {
        self.output
    }

    /// Output channels.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.matrix.rows
    }

    /// Input channels.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.matrix.columns
    }

    /// Bytes of packed weights.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.matrix.vectors.len() * size_of::<Vector>()
    }
}

/// A type of results: i8, i16 or i32.
pub trait LinearOutput: Integer {
    #[doc(hidden)]
    const RESULTS: Results;
}

/// What a kernel writes.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Results {
    /// Signed bytes.
    I8,
    /// Signed words.
    I16,
    /// Signed double words.
    I32,
}

impl LinearOutput for i8 {
    const RESULTS: Results = Results::I8;
}

impl LinearOutput for i16 {
    const RESULTS: Results = Results::I16;
}

impl LinearOutput for i32 {
    const RESULTS: Results = Results::I32;
}

/// The operands of a kernel.
pub(crate) struct Product {
    /// Tiles of `tile_len` vectors each.
    tiles: *const Vector,
    tile_len: usize,
    bits: WeightBits,
    rows: usize,
    /// Bytes of a run. More runs than one are of whole quads.
    columns: usize,
    /// Where the bytes of the tokens lie.
    x: *const u8,
    places: Places,
    /// Whether the bytes are signed.
    signed: bool,
    tokens: usize,
    /// `rows` results for each token, `out_stride` results apart.
    out: *mut c_void,
    out_stride: usize,
    results: Results,
    output: Output,
}

impl Product {
    /// The first byte of a token.
    fn token(&self, token: usize) -> *const u8 {
        let Places { stride, line, line_stride, first, .. } = self.places;
        let (line, token) = ((first + token) / line, (first + token) % line);
        self.x.wrapping_add(line * line_stride + token * stride)
    }

    /// Starts at the first token.
    fn walk(&self) -> Walk {
        let Places { line, first, .. } = self.places;
        Walk { next: self.token(0), left: line - first % line }
    }
}

/// A way along the tokens of a product.
struct Walk {
    next: *const u8,
    /// Tokens of this line that are still to come.
    left: usize,
}

impl Walk {
    /// The next `T` tokens.
    #[inline(always)]
    fn take<const T: usize>(&mut self, places: &Places) -> [*const u8; T] {
        std::array::from_fn(|_| {
            let token = self.next;
            self.next = token.wrapping_add(places.stride);
            self.left -= 1;
            if self.left == 0 {
                self.left = places.line;
                let line = places.line_stride.wrapping_sub(places.line * places.stride);
                self.next = self.next.wrapping_add(line);
            }
            token
        })
    }
}

/// Four bytes of a run from `column` on, zeros where it ends before.
///
/// # Safety
/// The run at `x` has `columns` bytes, more than `column`.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[inline(always)]
unsafe fn quad(x: *const u8, column: usize, columns: usize) -> u32 {
    // SAFETY: the columns from `column` on, at most 4, are of the run.
    unsafe {
        let from = x.add(column);
        if column + 4 <= columns {
            return from.cast::<u32>().read_unaligned();
        }
        let mut bytes = [0; 4];
        from.copy_to_nonoverlapping(bytes.as_mut_ptr(), columns - column);
        u32::from_le_bytes(bytes)
    }
}

/// A kernel of `linear_i8`. Its contract: the instruction set is supported and the operands are as [`Product`] says.
pub(crate) type LinearFn = unsafe fn(&Product);

/// The kernels, the specification first.
pub(crate) static OP: Op<LinearFn> = Op {
    name: "linear_i8",
    kernels: &[
        Kernel { name: "linear_i8__scalar", isa: Isa::Scalar, function: scalar::linear },
        #[cfg(target_arch = "x86_64")]
        Kernel { name: "linear_i8__avx2", isa: Isa::Avx2, function: avx2::linear },
        #[cfg(target_arch = "x86_64")]
        Kernel { name: "linear_i8__avx512", isa: Isa::Avx512, function: avx512::linear },
        #[cfg(target_arch = "aarch64")]
        Kernel { name: "linear_i8__neon", isa: Isa::Neon, function: neon::linear },
        #[cfg(target_arch = "aarch64")]
        Kernel {
            name: "linear_i8__neon_dotprod",
            isa: Isa::NeonDotprod,
            function: neon_dotprod::linear,
        },
    ],
};

/// Bytes that take part in a product: signed or unsigned.
pub(super) trait Byte: Copy {
    const SIGNED: bool;
}

impl Byte for i8 {
    const SIGNED: bool = true;
}

impl Byte for u8 {
    const SIGNED: bool = false;
}

/// Where the bytes of tokens lie: tokens `stride` apart, `line` of them in a line, lines `line_stride` apart, runs of a token's bytes `run_stride` apart.
#[derive(Clone, Copy)]
pub(super) struct Places {
    pub(super) stride: usize,
    pub(super) line: usize,
    pub(super) line_stride: usize,
    pub(super) runs: usize,
    pub(super) run_stride: usize,
    /// The first token, counted from that at the start of the data.
    pub(super) first: usize,
}

impl Places {
    /// Tokens of one run, `stride` apart.
    pub(super) const fn apart(stride: usize) -> Self {
        Self { stride, line: usize::MAX, line_stride: 0, runs: 1, run_stride: 0, first: 0 }
    }

    /// The end of the last byte of so many tokens, at least one.
    fn end(&self, tokens: usize, columns: usize) -> u128 {
        let wide = |count: usize, stride: usize| count as u128 * stride as u128;
        let tokens = self.first + tokens;
        let line = (tokens - 1) / self.line;
        wide(line, self.line_stride)
            + wide(tokens.min(self.line) - 1, self.stride)
            + wide(self.runs - 1, self.run_stride)
            + columns as u128
    }
}

impl Kernels {
    /// `out = limit(round((bias + W x) · scale) + zero point)` for each token: `x` has rows of `columns`, `out` rows of `rows` numbers.
    ///
    /// # Panics
    /// Where `x` and `out` are not as many whole rows.
    pub fn linear<O: LinearOutput>(&self, weights: &LinearWeights<O>, x: &[i8], out: &mut [O]) {
        let Matrix { rows, columns, .. } = weights.matrix;
        let tokens = x.len() / columns;
        assert_eq!(x.len(), tokens * columns, "activations of {columns} channels");
        assert_eq!(Some(out.len()), tokens.checked_mul(rows), "results of {rows} channels");
        let x = (x, Places::apart(columns));
        self.matrix_product(weights.matrix(), x, tokens, weights.output, (out, rows));
    }

    /// The same of a matrix and tokens of bytes that lie anywhere.
    ///
    /// # Panics
    /// Where the operands are shorter than the product needs.
    pub(super) fn matrix_product<B: Byte, O: LinearOutput>(
        &self,
        matrix: &Matrix,
        (x, places): (&[B], Places),
        tokens: usize,
        output: Output,
        (out, out_stride): (&mut [O], usize),
    ) {
        if tokens == 0 {
            return;
        }
        let Matrix { rows, columns, bits, ref vectors } = *matrix;
        let of_run = columns / places.runs;
        assert!(places.runs == 1 || of_run.is_multiple_of(4), "runs of {of_run} bytes");
        assert!(places.end(tokens, of_run) <= x.len() as u128, "activations");
        assert!(Places::apart(out_stride).end(tokens, rows) <= out.len() as u128, "results");
        assert!(out_stride >= rows, "results of a token overlap the next");
        let product = Product {
            tiles: vectors.as_ptr(),
            tile_len: matrix.tile_len(),
            bits,
            rows,
            columns: of_run,
            x: x.as_ptr().cast(),
            places,
            signed: B::SIGNED,
            tokens,
            out: out.as_mut_ptr().cast(),
            out_stride,
            results: O::RESULTS,
            output,
        };
        // SAFETY: the kernel was selected for a supported instruction set; the lengths were checked.
        unsafe { (self.linear_i8.function)(&product) };
    }
}
