//! Operations on elements of one or two tensors.
//!
//! ```text
//! add        limit(round(x · scale_x) + round(y · scale_y) + zero point)     two roundings: at most 1 unit away
//! multiply   limit(round(x y · scale) + zero point)
//! clamp      min(max(x, least), greatest)                                    ReLU, ReLU6
//! ```
//!
//! A factor of exactly 1 ([`Dyadic::ONE`]) is the identity, so a branch that already has the scale of the result passes unchanged.
//! Concatenation along channels is [`Kernels::requantize`] of each branch into its part of the result.

mod scalar;

use super::dyadic::{Dyadic, Integer, Output, TfliteMultiplier};
use super::loop_op;
use crate::registry::Kernels;

/// The factors of a residual addition: the scale of each branch by that of the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Add {
    /// Of the first branch.
    pub x: Dyadic,
    /// Of the second branch.
    pub y: Dyadic,
    /// What follows.
    pub output: Output,
}

/// The factor of a product: the product of the scales by that of the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Multiply {
    /// The factor.
    pub scale: Dyadic,
    /// What follows.
    pub output: Output,
}

/// An element of activations: i8 or i16.
pub trait Activation: Integer + Ord {
    #[doc(hidden)]
    fn run_add(kernels: &Kernels, x: &[Self], y: &[Self], by: &Add, out: &mut [Self]);
    #[doc(hidden)]
    fn run_multiply(kernels: &Kernels, x: &[Self], y: &[Self], by: &Multiply, out: &mut [Self]);
    #[doc(hidden)]
    fn run_clamp(kernels: &Kernels, x: &[Self], limits: [Self; 2], out: &mut [Self]);
}

macro_rules! elementwise {
    ($ty:ty;
     $add:ident $add_fn:ident $add_name:literal $add_field:ident
     $multiply:ident $multiply_fn:ident $multiply_name:literal $multiply_field:ident
     $clamp:ident $clamp_fn:ident $clamp_name:literal $clamp_field:ident) => {
        loop_op! {
            /// See [`Kernels::add_quantized`].
            static $add: $add_fn = $add_name,
            fn(x: &[$ty], y: &[$ty], by: &Add, out: &mut [$ty]),
            scalar::add,
        }
        loop_op! {
            /// See [`Kernels::multiply_quantized`].
            static $multiply: $multiply_fn = $multiply_name,
            fn(x: &[$ty], y: &[$ty], by: &Multiply, out: &mut [$ty]),
            scalar::multiply,
        }
        loop_op! {
            /// See [`Kernels::clamp_quantized`].
            static $clamp: $clamp_fn = $clamp_name,
            fn(x: &[$ty], min: $ty, max: $ty, out: &mut [$ty]),
            scalar::clamp,
        }

        impl Activation for $ty {
            fn run_add(kernels: &Kernels, x: &[$ty], y: &[$ty], by: &Add, out: &mut [$ty]) {
                // SAFETY: the kernel was selected for a supported instruction set.
                unsafe { (kernels.$add_field.function)(x, y, by, out) };
            }

            fn run_multiply(
                kernels: &Kernels,
                x: &[$ty],
                y: &[$ty],
                by: &Multiply,
                out: &mut [$ty],
            ) {
                // SAFETY: the kernel was selected for a supported instruction set.
                unsafe { (kernels.$multiply_field.function)(x, y, by, out) };
            }

            fn run_clamp(kernels: &Kernels, x: &[$ty], [min, max]: [$ty; 2], out: &mut [$ty]) {
                // SAFETY: the kernel was selected for a supported instruction set.
                unsafe { (kernels.$clamp_field.function)(x, min, max, out) };
            }
        }
    };
}

elementwise! { i8;
    ADD_I8 AddI8Fn "add_i8" add_i8
    MULTIPLY_I8 MultiplyI8Fn "multiply_i8" multiply_i8
    CLAMP_I8 ClampI8Fn "clamp_i8" clamp_i8
}

elementwise! { i16;
    ADD_I16 AddI16Fn "add_i16" add_i16
    MULTIPLY_I16 MultiplyI16Fn "multiply_i16" multiply_i16
    CLAMP_I16 ClampI16Fn "clamp_i16" clamp_i16
}

impl Kernels {
    /// `out = limit(round(x · scale_x) + round(y · scale_y) + zero point)`, i8 or i16.
    ///
    /// # Panics
    /// Where the lengths differ or the limits do not fit the type.
    pub fn add_quantized<T: Activation>(&self, x: &[T], y: &[T], by: &Add, out: &mut [T]) {
        assert!(x.len() == y.len() && x.len() == out.len(), "elements");
        assert!(by.output.fits::<T>(), "limits {:?}", by.output);
        T::run_add(self, x, y, by, out);
    }

    /// `out = limit(round(x y · scale) + zero point)`, i8 or i16.
    ///
    /// # Panics
    /// Where the lengths differ or the limits do not fit the type.
    pub fn multiply_quantized<T: Activation>(
        &self,
        x: &[T],
        y: &[T],
        by: &Multiply,
        out: &mut [T],
    ) {
        assert!(x.len() == y.len() && x.len() == out.len(), "elements");
        assert!(by.output.fits::<T>(), "limits {:?}", by.output);
        T::run_multiply(self, x, y, by, out);
    }

    /// `out = min(max(x, least), greatest)`, i8 or i16.
    ///
    /// # Panics
    /// Where the lengths differ.
    pub fn clamp_quantized<T: Activation>(&self, x: &[T], least: T, greatest: T, out: &mut [T]) {
        assert_eq!(x.len(), out.len(), "elements");
        T::run_clamp(self, x, [least, greatest], out);
    }
}

/// The addition of TensorFlow Lite for i8: both operands are shifted left by 20, brought to twice the larger scale, added and requantized, with
/// the two roundings of gemmlowp at each step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddTflite {
    /// The zero points of the operands.
    pub zero_points: [i32; 2],
    /// The scale of each operand by twice the larger one.
    pub inputs: [TfliteMultiplier; 2],
    /// Twice the larger scale by 2^20 times that of the result.
    pub result: TfliteMultiplier,
    /// What follows.
    pub output: Output,
}

/// `out = x + y` as TensorFlow Lite adds.
///
/// # Panics
/// Where the lengths differ, the limits do not fit, a zero point is no i8, or a multiplier is not below 1.
pub fn add_tflite(x: &[i8], y: &[i8], by: &AddTflite, out: &mut [i8]) {
    assert!(x.len() == y.len() && x.len() == out.len(), "elements");
    assert!(by.output.fits::<i8>(), "limits {:?}", by.output);
    assert!(by.zero_points.iter().all(|&zero| i8::try_from(zero).is_ok()), "zero points");
    // Below 2^29, so that the sum of two is an i32.
    let scaled = |q: i8, index: usize| {
        by.inputs[index]
            .apply_double((i32::from(q) - by.zero_points[index]) << 20)
            .expect("multipliers below 1")
    };
    for ((&x, &y), out) in x.iter().zip(y).zip(out) {
        let sum = scaled(x, 0) + scaled(y, 1);
        let sum = by.result.apply_double(sum).expect("a multiplier below 1");
        *out = by.output.finish(sum.into());
    }
}
