//! Integer-only inference: every operation between the pixels of an image and the logits, without one floating-point instruction.
//!
//! A quantized tensor is `real = scale · (q − zero_point)`; activations are i8 or i16 with zero point 0, weights i8 or i4, never −128, and
//! every change of scale is a [`Dyadic`] number, rounded once, ties towards +∞ (HAWQ-V3). Scales, tables and constants are made once,
//! elsewhere, in floating point (`dyadic-quant`), and are integers here. All results are exact, so every instruction set, batch and thread
//! count gives the same bits. Widths are chosen so that nothing wraps; where a sum could, the constructor refuses.
//!
//! # What there is
//!
//! Methods of [`Kernels`](crate::Kernels); tensors are slices, channels last, one row a token.
//!
//! | method | what |
//! |---|---|
//! | `requantize(x, &Requantize { scales, rounding, output }, out)` | i8, i16, i32 to i8, i16, i32; one scale or one a channel |
//! | `add_quantized(x, y, &Add { x, y, output }, out)` | residual, i8 or i16; [`elementwise::add_tflite`] for TensorFlow Lite's |
//! | `multiply_quantized(x, y, &Multiply { .. }, out)`, `clamp_quantized(x, least, greatest, out)` | i8 or i16 |
//! | `linear(&LinearWeights, x, out)` | i8 activations, i8 or i4 weights, i8 / i16 / i32 results; packed once by [`linear::LinearWeights::new`] |
//! | `conv2d(&ConvolutionWeights, padded, first, out)` | the same of windows of an image; [`convolution::Conv2d`] has the shapes |
//! | `average_pool`, `max_pool` | i8, [`pool::Window`] |
//! | `lookup(x, table, out)` | any i8 function: 256 entries; `lookup_i16`: 513 knots |
//! | `softmax_u8`, `softmax_u15`, `shiftmax_i8`, `shiftmax_i16` | rows of i8 logits; [`softmax::index_softmax`], [`ibert::softmax`] |
//! | `attention(qkv, &Attention, scratch, out)` | scores, softmax and product with the values of all heads |
//! | `layer_norm_exact(x, &LayerNorm, out)` | i8 or i16 to i8, also RMSNorm |
//! | `i_layer_norm(x, bias, root, out)` | I-ViT's and I-BERT's, to i32; `requantize` by channel follows |
//! | `shift_gelu(x, width, &ShiftGelu, out)` | I-ViT's GELU with its requantization, i8 to i8 |
//! | [`dfp`], [`ibert`] | INT16 with a shared exponent; I-BERT's polynomials: plain functions |
//! | [`variants`] | Shiftmax, `ShiftGELU` and means as TVM and HAWQ round them: plain functions |
//!
//! Rows of the table without a kernel are plain Rust. The others are registered: `scalar.rs` is the specification.

#![deny(clippy::float_arithmetic)]

pub mod attention;
pub mod convolution;
pub mod dfp;
pub mod dyadic;
pub mod elementwise;
pub mod ibert;
pub mod linear;
pub mod lookup;
pub mod norm;
pub mod pool;
pub mod requantize;
pub mod shift_exp;
pub mod shift_gelu;
pub mod softmax;
pub mod variants;

pub use dyadic::{Dyadic, Integer, Output, Rounding};

/// Declares an op whose kernels are one loop over integers, compiled for each instruction set: its function type and its table. The body is
/// `#[inline(always)]`, else it would not be compiled with the features.
macro_rules! loop_op {
    (
        $(#[$doc:meta])*
        static $op:ident: $function:ident = $name:literal,
        fn($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)?,
        $body:path $(,)?
    ) => {
        #[doc = concat!("A kernel of `", $name, "`.")]
        pub(crate) type $function = unsafe fn($($ty),*) $(-> $ret)?;

        $(#[$doc])*
        pub(crate) static $op: $crate::registry::Op<$function> = {
            fn scalar($($arg: $ty),*) $(-> $ret)? {
                $body($($arg),*)
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2")]
            fn avx2($($arg: $ty),*) $(-> $ret)? {
                $body($($arg),*)
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512vbmi")]
            fn avx512($($arg: $ty),*) $(-> $ret)? {
                $body($($arg),*)
            }
            // NEON belongs to the base of 64-bit Arm: the specification is compiled with it.
            $crate::registry::op_table!($name, scalar: scalar, avx2: avx2, avx512: avx512)
        };
    };
}

pub(crate) use loop_op;
