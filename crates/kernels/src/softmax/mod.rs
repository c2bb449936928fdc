//! Softmax, its logarithm, and what is built of the same passes.
//!
//! ```text
//! softmax(x)_i = e^(x_i) / sum_j e^(x_j)
//!
//! algorithm   pass 1                 pass 2                      pass 3        memory traffic, elements
//! two-pass    (M, E) of the sum      m_i / M * 2^(n_i - E)       -             3 n
//! recompute   max                    sum of e^(x - max)          e^(x-max)/S   4 n
//! reload      max                    store e^(x - max), sum      times 1/S     5 n
//! online      max and sum at once    e^(x - max) / S             -             3 n
//! ```
//!
//! The two-pass algorithm (Dukhan and Ablavatski 2020, arXiv 2001.04438) keeps each exponential as a pair `(m, n)` of value `m * 2^n`, so that
//! nothing overflows and no maximum is subtracted. That is less traffic, and more accurate: the others round `x - max`. Relative errors: 1e-6
//! for two-pass, 5e-6 for the others.
//!
//! A row is worked on in chunks of 4096 elements. The sums of a chunk run in 64 lanes; the chunks are merged in order, in f64. So the bits
//! depend on the algorithm and the row, not on threads or instruction set. Recompute and reload return the same bits.

mod lanes;
mod options;
mod row;
mod scalar;
mod top_k;
mod total;

pub use options::{
    AUTO, Algorithm, EmptyRow, InfiniteRow, Mask, Run, SoftmaxOptions, Source, Target, serial,
};

use crate::lanes::lane_op;
use crate::registry::Kernels;

/// What a smaller x counts as: the weight of either is 0 beside anything that two-pass softmax is used for.
const LOWEST: f32 = -1_048_576.0;

/// What a larger x counts as: two-pass softmax is not used for either.
const HIGHEST: f32 = 1_048_576.0;

/// The sum of a chunk: of value `sum * 2^exponent`, or `sum * e^exponent` where the reference is a maximum (online).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pair {
    sum: f32,
    exponent: f32,
}

lane_op! {
    /// The largest element; NaN is passed over.
    static MAX: MaxFn = "max_f32",
    fn(x: &[f32]) -> f32,
    scalar: scalar::max,
    lanes: lanes::max,
}

lane_op! {
    /// The sum of `e^x` as a pair: pass 1 of two-pass.
    static EXT_EXP_SUM: ExtExpSumFn = "ext_exp_sum_f32",
    fn(x: &[f32]) -> Pair,
    scalar: scalar::ext_exp_sum,
    lanes: lanes::ext_exp_sum,
}

lane_op! {
    /// `out = e^x * factor * 2^-exponent`: pass 2 of two-pass.
    static EXT_EXP_SCALE: ExtExpScaleFn = "ext_exp_scale_f32",
    fn(x: &[f32], factor: f32, exponent: f32, out: &mut [f32]),
    scalar: scalar::ext_exp_scale,
    lanes: lanes::ext_exp_scale,
}

lane_op! {
    /// The sum of `e^(x - max)`: pass 2 of recompute.
    static EXP_SUM: ExpSumFn = "exp_sum_f32",
    fn(x: &[f32], max: f32) -> f32,
    scalar: scalar::exp_sum,
    lanes: lanes::exp_sum,
}

lane_op! {
    /// `out = e^(x - max) * factor`: the last pass of recompute and online.
    static EXP_SCALE: ExpScaleFn = "exp_scale_f32",
    fn(x: &[f32], max: f32, factor: f32, out: &mut [f32]),
    scalar: scalar::exp_scale,
    lanes: lanes::exp_scale,
}

lane_op! {
    /// `out = e^(x - max)`, and their sum: pass 2 of reload.
    static EXP_STORE: ExpStoreFn = "exp_store_f32",
    fn(x: &[f32], max: f32, out: &mut [f32]) -> f32,
    scalar: scalar::exp_store,
    lanes: lanes::exp_store,
}

lane_op! {
    /// `x *= factor`: pass 3 of reload.
    static SCALE: ScaleFn = "scale_f32",
    fn(x: &mut [f32], factor: f32),
    scalar: scalar::scale,
    lanes: lanes::scale,
}

lane_op! {
    /// The largest x and the sum of `e^(x - max)`: pass 1 of online.
    static ONLINE_SUM: OnlineSumFn = "online_sum_f32",
    fn(x: &[f32]) -> Pair,
    scalar: scalar::online_sum,
    lanes: lanes::online_sum,
}

lane_op! {
    /// `out = (x - high) - low`: the logarithm of softmax.
    static SUBTRACT: SubtractFn = "subtract_f32",
    fn(x: &[f32], high: f32, low: f32, out: &mut [f32]),
    scalar: scalar::subtract,
    lanes: lanes::subtract,
}

lane_op! {
    /// `out = x * scale`, of 8-bit integers.
    static WIDEN_I8: WidenI8Fn = "widen_i8_f32",
    fn(x: &[i8], scale: f32, out: &mut [f32]),
    scalar: scalar::widen_i8,
    lanes: lanes::widen_i8,
}

lane_op! {
    /// `out = x * 255` to nearest, ties to even, of numbers from 0 to 1; NaN becomes 0.
    static NARROW_U8: NarrowU8Fn = "narrow_f32_u8",
    fn(x: &[f32], out: &mut [u8]),
    scalar: scalar::narrow_u8,
    lanes: lanes::narrow_u8,
}

impl Kernels {
    /// The largest element: NaN is passed over, and no elements give -infinity.
    #[must_use]
    pub fn max(&self, x: &[f32]) -> f32 {
        // SAFETY: this set holds kernels that the CPU supports.
        unsafe { (self.max.function)(x) }
    }

    /// `x *= factor`.
    pub fn scale(&self, x: &mut [f32], factor: f32) {
        // SAFETY: this set holds kernels that the CPU supports.
        unsafe { (self.scale.function)(x, factor) }
    }
}

#[cfg(test)]
mod tests;
