//! Conversions between f32 and low-bit formats, bit-equal to the definitions of `dyadic-formats`.
//!
//! ```text
//! encode          code = format(x)                     to nearest even, saturating; NaN is NaN, or the largest number where there is none
//! encode_random   code = format(x)                     stochastic: 32 random bits of the element's index, the rest of the distance dropped
//! decode          x = value(code)
//! encode_groups   scale = rule(max |x| of the group),  code = format(x · 1/scale or x / scale)
//! decode_groups   x = value(code) · scale
//! stream          out[i] = x[i]                        past the caches
//! pack, unpack    codes of one byte each ↔ codes of 1 to 7 bits without gaps (`dyadic_formats::pack`)
//! ```
//!
//! Kernels work on codes of one byte; the methods of [`Kernels`] pack them by way of a buffer in the first-level cache.

#![cfg_attr(not(test), expect(clippy::wildcard_imports, reason = "intrinsics name themselves"))]
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "bit fields of floats, lane numbers"
)]

mod codec;
mod elements;
mod groups;
mod lanes;
mod pack;
mod quantize;
mod stream;

#[cfg(test)]
mod tests;

use dyadic_formats::random::RandomKey;

pub use self::codec::CodeBook16;
pub(crate) use self::groups::GroupParams;
pub use self::groups::ScaleFormat;
pub(crate) use self::lanes::ConvertLanes;
pub(crate) use self::pack::{OPS_PACK, OPS_UNPACK, PackFn, UnpackFn};
pub(crate) use self::stream::{OP as STREAM, StreamFn};
use crate::lanes::lane_op;
use crate::registry::Op;

lane_op! {
    /// `out[i]` is `x[i]` as f16, overflowing to infinity; NaN is 0x7E00.
    static F32_TO_F16: F32ToF16Fn = "convert_f32_f16",
    fn(x: &[f32], out: &mut [u16]),
    scalar: elements::half::f32_to_f16_scalar,
    lanes: elements::half::f32_to_f16,
}

lane_op! {
    /// `out[i]` is the f16 `x[i]`.
    static F16_TO_F32: F16ToF32Fn = "convert_f16_f32",
    fn(x: &[u16], out: &mut [f32]),
    scalar: elements::half::f16_to_f32_scalar,
    lanes: elements::half::f16_to_f32,
}

lane_op! {
    /// `out[i]` is `x[i]` as bfloat16, overflowing to infinity; NaN is 0x7FC0.
    static F32_TO_BF16: F32ToBf16Fn = "convert_f32_bf16",
    fn(x: &[f32], out: &mut [u16]),
    scalar: elements::half::f32_to_bf16_scalar,
    lanes: elements::half::f32_to_bf16,
}

lane_op! {
    /// `out[i]` is the bfloat16 `x[i]`.
    static BF16_TO_F32: Bf16ToF32Fn = "convert_bf16_f32",
    fn(x: &[u16], out: &mut [f32]),
    scalar: elements::half::bf16_to_f32_scalar,
    lanes: elements::half::bf16_to_f32,
}

lane_op! {
    /// The bits of the largest |x|; above those of infinity where there is a NaN. 0 of nothing.
    static AMAX: AmaxFn = "amax_f32",
    fn(x: &[f32]) -> u32,
    scalar: groups::amax_scalar,
    lanes: groups::amax,
}

/// A kernel of `encode`: `codes` is as long as `x`.
pub(crate) type EncodeFn = unsafe fn(x: &[f32], codes: &mut [u8]);
/// A kernel of `decode`: `out` is as long as `codes`.
pub(crate) type DecodeFn = unsafe fn(codes: &[u8], out: &mut [f32]);
/// A kernel of `encode_random`: the index of `x[i]` is `first + i`, wrapping; `codes` is as long as `x`.
pub(crate) type EncodeRandomFn = unsafe fn(x: &[f32], key: RandomKey, first: u32, codes: &mut [u8]);
/// A kernel of `encode_groups`: `codes` is as long as `x`, and `scales` has the bytes of one scale a group. Whether all values were finite; else the
/// results mean nothing.
pub(crate) type EncodeGroupsFn =
    unsafe fn(params: &GroupParams, x: &[f32], codes: &mut [u8], scales: &mut [u8]) -> bool;
/// A kernel of `decode_groups`: lengths as in [`EncodeGroupsFn`].
pub(crate) type DecodeGroupsFn =
    unsafe fn(params: &GroupParams, codes: &[u8], scales: &[u8], out: &mut [f32]);

/// A table of one op: the scalar kernel and one for each instruction set over lanes.
macro_rules! family_op {
    ($prefix:literal $name:literal, fn($($arg:ident: $ty:ty),*) $(-> $ret:ty)?, scalar: $scalar:expr, lanes: |$s:ident| $lanes:expr) => {{
        fn scalar($($arg: $ty),*) $(-> $ret)? {
            $scalar
        }
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma,f16c")]
        fn avx2($($arg: $ty),*) $(-> $ret)? {
            // SAFETY: this function has the features that the token stands for.
            let $s = unsafe { $crate::lanes::Avx2::new() };
            $lanes
        }
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512vbmi")]
        fn avx512($($arg: $ty),*) $(-> $ret)? {
            // SAFETY: this function has the features that the token stands for.
            let $s = unsafe { $crate::lanes::Avx512::new() };
            $lanes
        }
        #[cfg(target_arch = "aarch64")]
        #[target_feature(enable = "neon")]
        fn neon($($arg: $ty),*) $(-> $ret)? {
            // SAFETY: this function has the features that the token stands for.
            let $s = unsafe { $crate::lanes::Neon::new() };
            $lanes
        }
        $crate::registry::Op {
            name: concat!($prefix, $name),
            kernels: &[
                $crate::registry::Kernel {
                    name: concat!($prefix, $name, "__scalar"),
                    isa: $crate::isa::Isa::Scalar,
                    function: scalar,
                },
                #[cfg(target_arch = "x86_64")]
                $crate::registry::Kernel {
                    name: concat!($prefix, $name, "__avx2"),
                    isa: $crate::isa::Isa::Avx2,
                    function: avx2,
                },
                #[cfg(target_arch = "x86_64")]
                $crate::registry::Kernel {
                    name: concat!($prefix, $name, "__avx512"),
                    isa: $crate::isa::Isa::Avx512,
                    function: avx512,
                },
                #[cfg(target_arch = "aarch64")]
                $crate::registry::Kernel {
                    name: concat!($prefix, $name, "__neon"),
                    isa: $crate::isa::Isa::Neon,
                    function: neon,
                },
            ],
        }
    }};
}

/// The ops of the floats, in the order of [`codec::FLOATS`].
macro_rules! float_ops {
    ($($index:literal $name:literal),*) => {
        pub(crate) static OPS_ENCODE: [Op<EncodeFn>; codec::FLOATS.len()] = [$(family_op!(
            "encode_" $name,
            fn(x: &[f32], codes: &mut [u8]),
            scalar: elements::scalar::encode(codec::MiniFloat::<$index>, x, codes),
            lanes: |s| elements::encode(s, codec::MiniFloat::<$index>, x, codes)
        )),*];
        pub(crate) static OPS_DECODE: [Op<DecodeFn>; codec::FLOATS.len()] = [$(family_op!(
            "decode_" $name,
            fn(codes: &[u8], out: &mut [f32]),
            scalar: elements::scalar::decode(codec::MiniFloat::<$index>, codes, out),
            lanes: |s| elements::decode(s, codec::MiniFloat::<$index>, codes, out)
        )),*];
        pub(crate) static OPS_ENCODE_RANDOM: [Op<EncodeRandomFn>; codec::FLOATS.len()] = [$(family_op!(
            "encode_random_" $name,
            fn(x: &[f32], key: RandomKey, first: u32, codes: &mut [u8]),
            scalar: elements::scalar::encode_stochastic::<$index>(x, key, first, codes),
            lanes: |s| elements::encode_stochastic::<_, $index>(s, x, key, first, codes)
        )),*];
    };
}

float_ops!(0 "e4m3fn", 1 "e5m2", 2 "e4m3", 3 "e3m4", 4 "e4m3fnuz", 5 "e5m2fnuz", 6 "e3m2", 7 "e2m3", 8 "e2m1");

/// The ops of scaled groups: a codec and a rule each.
macro_rules! group_ops {
    ($($(#[$doc:meta])* $variant:ident $name:literal: |$params:ident| $codec:expr, $rule:ty;)*) => {
        /// A codec with a scale rule.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum GroupOp { $($(#[$doc])* $variant,)* }

        pub(crate) static OPS_ENCODE_GROUPS: [Op<EncodeGroupsFn>; [$($name),*].len()] = [$(family_op!(
            "encode_groups_" $name,
            fn($params: &GroupParams, x: &[f32], codes: &mut [u8], scales: &mut [u8]) -> bool,
            scalar: groups::scalar::encode::<_, $rule>($codec, $params, x, codes, scales),
            lanes: |s| groups::encode::<_, _, $rule>(s, $codec, $params, x, codes, scales)
        )),*];
        pub(crate) static OPS_DECODE_GROUPS: [Op<DecodeGroupsFn>; [$($name),*].len()] = [$(family_op!(
            "decode_groups_" $name,
            fn($params: &GroupParams, codes: &[u8], scales: &[u8], out: &mut [f32]),
            scalar: groups::scalar::decode::<_, $rule>($codec, $params, codes, scales, out),
            lanes: |s| groups::decode::<_, _, $rule>(s, $codec, $params, codes, scales, out)
        )),*];
    };
}

group_ops! {
    /// MXFP8.
    MxE4m3fn "mx_e4m3fn": |params| codec::MiniFloat::<{ codec::E4M3FN }>, groups::PowerOfTwo;
    /// MXFP8.
    MxE5m2 "mx_e5m2": |params| codec::MiniFloat::<{ codec::E5M2 }>, groups::PowerOfTwo;
    /// MXFP6.
    MxE3m2 "mx_e3m2": |params| codec::MiniFloat::<{ codec::E3M2 }>, groups::PowerOfTwo;
    /// MXFP6.
    MxE2m3 "mx_e2m3": |params| codec::MiniFloat::<{ codec::E2M3 }>, groups::PowerOfTwo;
    /// MXFP4.
    MxE2m1 "mx_e2m1": |params| codec::MiniFloat::<{ codec::E2M1 }>, groups::PowerOfTwo;
    /// MXINT8.
    MxInt "mx_int": |params| params.int, groups::PowerOfTwo;
    /// NVFP4.
    Nvfp4 "nvfp4": |params| codec::MiniFloat::<{ codec::E2M1 }>, groups::TwoLevel;
    /// Integers with amax scales.
    Int "int": |params| params.int, groups::MaxMagnitude;
    /// Code books with amax scales.
    Book "book": |params| params.book, groups::MaxMagnitude;
    /// Floats with amax scales.
    E4m3fn "e4m3fn": |params| codec::MiniFloat::<{ codec::E4M3FN }>, groups::MaxMagnitude;
    /// Floats with amax scales.
    E5m2 "e5m2": |params| codec::MiniFloat::<{ codec::E5M2 }>, groups::MaxMagnitude;
    /// Floats with amax scales.
    E2m1 "e2m1": |params| codec::MiniFloat::<{ codec::E2M1 }>, groups::MaxMagnitude;
}
