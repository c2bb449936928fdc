//! Normalization of rows of integers.
//!
//! Exact, for i8 or i16 rows of C ≤ 4096 numbers of scale S:
//!
//! ```text
//! s = Σ x,  q = Σ x²,  N_i = C·x_i − s,  D = C·q − s² + ε            ε = round(C²·eps / S²) ≤ 2^54, so D < 2^55; RMSNorm: without s
//! z_i = N_i · (2^44 div √(2^8 D)) >> 26                               (x_i − μ)/σ · 2^14, |z| < 2^20
//! out = limit(z·multiplier + offset + 2^(shift−1) >> shift)           of each channel: γ·2^−14 / scale, β / scale · 2^shift
//! ```
//!
//! I-ViT's and I-BERT's, to i32 of scale √C / 2^30 times γ of the channel:
//!
//! ```text
//! μ = Σ x / C to nearest, ties to even,  y = x − μ,  V = Σ y²,  k = √V         ten Newton steps from 2^16, or ⌊√V⌋, at least 1
//! out = (y · ⌊(2^31 − 1)/k⌋ >> 1) + bias                                      saturated
//! ```
//!
//! Ten steps do not reach the root below about 2^16: with standard deviations under 50 units the result is off by more than 0.014.

mod scalar;

use super::dyadic::{Dyadic, Integer, Output};
use super::loop_op;
use crate::registry::Kernels;

/// The longest row.
pub const MAX_WIDTH: usize = 4096;

/// The largest ε.
pub const MAX_EPSILON: u64 = 1 << 54;

/// γ and β of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NormChannel {
    scale: Dyadic,
    offset: i64,
}

impl NormChannel {
    /// `None` where the offset is 2^62 or more, so that no sum overflows.
    #[must_use]
    pub const fn new(scale: Dyadic, offset: i64) -> Option<Self> {
        if offset.unsigned_abs() < 1 << 62 { Some(Self { scale, offset }) } else { None }
    }

    /// γ·2^−14 by the scale of the result.
    #[must_use]
    pub const fn scale(self) -> Dyadic {
        self.scale
    }

    /// β by the scale of the result, times `2^shift`.
    #[must_use]
    pub const fn offset(self) -> i64 {
        self.offset
    }
}

/// An exact normalization.
#[derive(Clone, Copy, Debug)]
pub struct LayerNorm<'a> {
    /// γ and β: as many as a row has numbers.
    pub channels: &'a [NormChannel],
    /// ε, in units of the square of a sum.
    pub epsilon: u64,
    /// Whether the mean is subtracted; false for `RMSNorm`.
    pub subtract_mean: bool,
    /// What follows.
    pub output: Output,
}

/// How [`Kernels::i_layer_norm`] takes the square root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Root {
    /// Ten Newton steps from 2^16: I-ViT.
    TenSteps,
    /// The exact floor, at least 1: I-BERT.
    Exact,
}

impl Root {
    #[inline(always)]
    fn of(self, value: u64) -> i64 {
        match self {
            Self::TenSteps => newton_sqrt(value, 10),
            Self::Exact => value.isqrt().max(1),
        }
        .cast_signed()
    }
}

/// `steps` Newton steps towards the square root, from 2^16, at most 20.
///
/// # Panics
/// Where there are more than 16 steps and `value` is 0: the root would become 0.
#[inline(always)]
#[must_use]
pub fn newton_sqrt(value: u64, steps: u32) -> u64 {
    (0..steps).fold(1 << 16, |root, _| (root + value / root) >> 1)
}

/// `sum / count` to nearest, ties to even.
#[inline(always)]
pub(super) fn mean(sum: i64, count: i64) -> i64 {
    let (floor, rest) = (sum.div_euclid(count), sum.rem_euclid(count));
    let up = 2 * rest > count || (2 * rest == count && floor & 1 == 1);
    floor + i64::from(up)
}

/// A number of a row: i8 or i16.
pub trait NormInput: Integer {
    #[doc(hidden)]
    fn run_exact(kernels: &Kernels, x: &[Self], by: &LayerNorm<'_>, out: &mut [i8]);
    #[doc(hidden)]
    fn run_i(kernels: &Kernels, x: &[Self], bias: &[i32], root: Root, out: &mut [i32]);
}

macro_rules! norm {
    ($ty:ty; $exact:ident $exact_fn:ident $exact_name:literal $exact_field:ident
     $i:ident $i_fn:ident $i_name:literal $i_field:ident) => {
        loop_op! {
            /// See [`Kernels::layer_norm_exact`].
            static $exact: $exact_fn = $exact_name,
            fn(x: &[$ty], by: &LayerNorm<'_>, out: &mut [i8]),
            scalar::layer_norm,
        }
        loop_op! {
            /// See [`Kernels::i_layer_norm`].
            static $i: $i_fn = $i_name,
            fn(x: &[$ty], bias: &[i32], root: Root, out: &mut [i32]),
            scalar::i_layer_norm,
        }

        impl NormInput for $ty {
            fn run_exact(kernels: &Kernels, x: &[$ty], by: &LayerNorm<'_>, out: &mut [i8]) {
                // SAFETY: the kernel was selected for a supported instruction set.
                unsafe { (kernels.$exact_field.function)(x, by, out) };
            }

            fn run_i(kernels: &Kernels, x: &[$ty], bias: &[i32], root: Root, out: &mut [i32]) {
                // SAFETY: the kernel was selected for a supported instruction set.
                unsafe { (kernels.$i_field.function)(x, bias, root, out) };
            }
        }
    };
}

norm! { i8; LAYER_NORM_I8 LayerNormI8Fn "layer_norm_i8" layer_norm_i8
I_LAYER_NORM_I8 ILayerNormI8Fn "i_layer_norm_i8_i32" i_layer_norm_i8 }
norm! { i16; LAYER_NORM_I16 LayerNormI16Fn "layer_norm_i16_i8" layer_norm_i16
I_LAYER_NORM_I16 ILayerNormI16Fn "i_layer_norm_i16_i32" i_layer_norm_i16 }

fn check(x: usize, width: usize, out: usize) {
    assert_eq!(x, out, "elements");
    assert!((1..=MAX_WIDTH).contains(&width) && x.is_multiple_of(width), "rows of {width}");
}

impl Kernels {
    /// The exact normalization of rows of i8 or i16, requantized to 8 bits.
    ///
    /// # Panics
    /// Where the lengths differ or are not whole rows of 1 to [`MAX_WIDTH`] numbers, ε is above [`MAX_EPSILON`], or the limits do not fit i8.
    pub fn layer_norm_exact<T: NormInput>(&self, x: &[T], by: &LayerNorm<'_>, out: &mut [i8]) {
        check(x.len(), by.channels.len(), out.len());
        assert!(by.epsilon <= MAX_EPSILON, "epsilon {}", by.epsilon);
        assert!(by.output.fits::<i8>(), "limits {:?}", by.output);
        T::run_exact(self, x, by, out);
    }

    /// I-ViT's or I-BERT's normalization of rows of i8 or i16, to i32.
    ///
    /// # Panics
    /// Where the lengths differ or are not whole rows of 1 to [`MAX_WIDTH`] numbers.
    pub fn i_layer_norm<T: NormInput>(&self, x: &[T], bias: &[i32], root: Root, out: &mut [i32]) {
        check(x.len(), bias.len(), out.len());
        T::run_i(self, x, bias, root, out);
    }
}
