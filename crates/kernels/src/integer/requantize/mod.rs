//! Changes of scale: `out = limit(round(x · scale) + zero point)`.
//!
//! With one scale for a tensor or one for each channel (the last dimension). The product has 64 bits, so nothing wraps ([`Dyadic::apply`]).

mod scalar;

use super::dyadic::{Dyadic, Integer, Output, Rounding};
use super::loop_op;
use crate::registry::Kernels;

/// How a tensor changes its scale.
#[derive(Clone, Copy, Debug)]
pub struct Requantize<'a> {
    /// One factor, or one for each channel.
    pub scales: &'a [Dyadic],
    /// The rule of rounding.
    pub rounding: Rounding,
    /// What follows.
    pub output: Output,
}

macro_rules! requantize {
    ($($op:ident $function:ident $name:literal $field:ident: $from:ty => $to:ty;)*) => {
        $(loop_op! {
            /// See [`Kernels::requantize`].
            static $op: $function = $name,
            fn(x: &[$from], by: &Requantize<'_>, out: &mut [$to]),
            scalar::requantize,
        })*

        $(impl Pair<$to> for $from {
            fn run(kernels: &Kernels, x: &[$from], by: &Requantize<'_>, out: &mut [$to]) {
                // SAFETY: the kernel was selected for a supported instruction set.
                unsafe { (kernels.$field.function)(x, by, out) };
            }
        })*
    };
}

/// A pair of types that a kernel converts between.
pub trait Pair<O: Integer>: Integer {
    /// Calls the kernel.
    #[doc(hidden)]
    fn run(kernels: &Kernels, x: &[Self], by: &Requantize<'_>, out: &mut [O]);
}

requantize! {
    REQUANTIZE_I8_I8 RequantizeI8I8Fn "requantize_i8_i8" requantize_i8_i8: i8 => i8;
    REQUANTIZE_I8_I16 RequantizeI8I16Fn "requantize_i8_i16" requantize_i8_i16: i8 => i16;
    REQUANTIZE_I16_I8 RequantizeI16I8Fn "requantize_i16_i8" requantize_i16_i8: i16 => i8;
    REQUANTIZE_I16_I16 RequantizeI16I16Fn "requantize_i16_i16" requantize_i16_i16: i16 => i16;
    REQUANTIZE_I32_I8 RequantizeI32I8Fn "requantize_i32_i8" requantize_i32_i8: i32 => i8;
    REQUANTIZE_I32_I16 RequantizeI32I16Fn "requantize_i32_i16" requantize_i32_i16: i32 => i16;
    REQUANTIZE_I32_I32 RequantizeI32I32Fn "requantize_i32_i32" requantize_i32_i32: i32 => i32;
}

impl Kernels {
    /// `out = limit(round(x · scale) + zero point)`, for i8, i16, i32 to i8, i16 and i32 to i32.
    ///
    /// # Panics
    /// Where the lengths differ, `x` is not a whole number of rows of one element for each scale, or the limits do not fit the type of `out`.
    pub fn requantize<I: Pair<O>, O: Integer>(&self, x: &[I], by: &Requantize<'_>, out: &mut [O]) {
        assert_eq!(x.len(), out.len(), "elements");
        assert!(!by.scales.is_empty() && x.len().is_multiple_of(by.scales.len()), "scales");
        assert!(by.output.fits::<O>(), "limits {:?}", by.output);
        I::run(self, x, by, out);
    }
}
