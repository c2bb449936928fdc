//! Sixteen lanes in four registers of NEON.

use std::arch::aarch64::{
    float32x4_t, int32x4_t, uint8x16x4_t, uint32x4_t, vaddq_f32, vaddq_s32, vaddq_u32, vandq_s32,
    vandq_u32, vbslq_f32, vceqq_f32, vcgtq_f32, vcltq_f32, vcvt_f16_f32, vcvt_f32_f16,
    vcvtnq_s32_f32, vcvtq_f32_s32, vdivq_f32, vdupq_n_f32, vdupq_n_s32, vdupq_n_u32, veorq_s32,
    vextq_f32, vfmaq_f32, vget_low_s8, vget_low_s16, vgetq_lane_f32, vld1_u16, vld1q_f32, vld1q_s8,
    vld1q_u8, vmaxvq_u32, vmovl_high_s8, vmovl_high_s16, vmovl_s8, vmovl_s16, vmulq_f32,
    vmulq_n_u32, vmvnq_u32, vorrq_s32, vqtbl4q_u8, vreinterpret_f16_u16, vreinterpret_u16_f16,
    vreinterpretq_f32_s32, vreinterpretq_f32_u8, vreinterpretq_s32_f32, vreinterpretq_u8_u32,
    vreinterpretq_u32_s32, vrev64q_f32, vrndnq_f32, vshlq_n_s32, vshrq_n_s32, vsqrtq_f32, vst1_u16,
    vst1q_f32, vst1q_s32, vsubq_f32, vsubq_s32, vzip1q_f32, vzip2q_f32,
};
use std::array;

use super::{LANES, Lanes};

/// The proof that this CPU has the features of [`crate::Isa::Neon`].
#[derive(Clone, Copy)]
pub(crate) struct Neon(());

impl Neon {
    /// # Safety
    /// The CPU has the features of [`crate::Isa::Neon`].
    #[inline(always)]
    pub(crate) unsafe fn new() -> Self {
        Self(())
    }

    /// `2^n` for `n` in -126..=127, and 0 for -127.
    #[inline(always)]
    fn pow2(self, n: I) -> F {
        self.float_of_bits(self.shl_i::<23>(self.add_i(n, self.splat_i(127))))
    }
}

/// Folds the lanes by halves with a function: i with i + 8, i + 4, i + 2, i + 1.
macro_rules! fold {
    ($v:expr, $f:ident) => {{
        let v = $f($f($v[0], $v[2]), $f($v[1], $v[3]));
        let v = $f(v, vextq_f32::<2>(v, v));
        vgetq_lane_f32::<0>($f(v, vrev64q_f32(v)))
    }};
}

/// Methods that are one intrinsic for each quarter.
macro_rules! quarters {
    ($($name:ident($($arg:ident: $ty:ty),*) -> $ret:ty = $intrinsic:expr;)*) => {
        $(#[inline(always)]
        fn $name(self, $($arg: $ty),*) -> $ret {
            // SAFETY: a value of this type proves the features.
            unsafe { [
                $intrinsic($($arg[0]),*),
                $intrinsic($($arg[1]),*),
                $intrinsic($($arg[2]),*),
                $intrinsic($($arg[3]),*),
            ] }
        })*
    };
}

type F = [float32x4_t; 4];
type I = [int32x4_t; 4];
type M = [uint32x4_t; 4];

/// `if a > b { a } else { b }`; the instruction FMAX would return NaN for a NaN in either place.
#[inline(always)]
unsafe fn max(a: float32x4_t, b: float32x4_t) -> float32x4_t {
    // SAFETY: the caller proves the features.
    unsafe { vbslq_f32(vcgtq_f32(a, b), a, b) }
}

impl Lanes for Neon {
    type F = F;
    type I = I;
    type M = M;

    const BLOCK: usize = 1;

    quarters! {
        add(a: F, b: F) -> F = vaddq_f32;
        sub(a: F, b: F) -> F = vsubq_f32;
        mul(a: F, b: F) -> F = vmulq_f32;
        div(a: F, b: F) -> F = vdivq_f32;
        fma(a: F, b: F, c: F) -> F = |a, b, c| vfmaq_f32(c, a, b);
        sqrt(v: F) -> F = vsqrtq_f32;
        round(v: F) -> F = vrndnq_f32;
        max(a: F, b: F) -> F = max;
        min(a: F, b: F) -> F = |a, b| vbslq_f32(vcltq_f32(a, b), a, b);
        lt(a: F, b: F) -> M = vcltq_f32;
        is_nan(v: F) -> M = |v| vmvnq_u32(vceqq_f32(v, v));
        select(m: M, a: F, b: F) -> F = vbslq_f32;
        bits(v: F) -> I = vreinterpretq_s32_f32;
        float_of_bits(v: I) -> F = vreinterpretq_f32_s32;
        add_i(a: I, b: I) -> I = vaddq_s32;
        sub_i(a: I, b: I) -> I = vsubq_s32;
        and_i(a: I, b: I) -> I = vandq_s32;
        or_i(a: I, b: I) -> I = vorrq_s32;
        xor_i(a: I, b: I) -> I = veorq_s32;
        to_int(v: F) -> I = vcvtnq_s32_f32;
        to_float(v: I) -> F = vcvtq_f32_s32;
        swap_pairs(v: F) -> F = vrev64q_f32;
    }

    #[inline(always)]
    fn any(self, m: M) -> bool {
        // Sums of 0 and -1: LLVM 22 makes one comparison of a maximum of `a > c | b > c`, and FMAXNM of a signalling NaN and a number is NaN.
        // SAFETY: a value of this type proves the features.
        unsafe { vmaxvq_u32(vaddq_u32(vaddq_u32(m[0], m[1]), vaddq_u32(m[2], m[3]))) != 0 }
    }

    #[inline(always)]
    fn splat(self, x: f32) -> F {
        // SAFETY: a value of this type proves the features.
        unsafe { [vdupq_n_f32(x); 4] }
    }

    #[inline(always)]
    fn splat_i(self, x: i32) -> I {
        // SAFETY: a value of this type proves the features.
        unsafe { [vdupq_n_s32(x); 4] }
    }

    #[inline(always)]
    fn look_up_16(self, table: &[f32; 16], index: I) -> F {
        // SAFETY: a value of this type proves the features; the table has 64 bytes.
        unsafe {
            let at = |i: usize| vld1q_u8(table.as_ptr().add(4 * i).cast());
            let bytes = uint8x16x4_t(at(0), at(1), at(2), at(3));
            index.map(|index| {
                // Bytes 4 i to 4 i + 3 of the table.
                let index = vandq_u32(vreinterpretq_u32_s32(index), vdupq_n_u32(15));
                let first = vmulq_n_u32(index, 0x0404_0404);
                let index = vaddq_u32(first, vdupq_n_u32(0x0302_0100));
                vreinterpretq_f32_u8(vqtbl4q_u8(bytes, vreinterpretq_u8_u32(index)))
            })
        }
    }

    #[inline(always)]
    fn look_up_256(self, table: &[f32; 256], index: I) -> F {
        index.map(|index| {
            let mut lanes = [0i32; 4];
            // SAFETY: a value of this type proves the features; four lanes are stored and loaded.
            unsafe {
                vst1q_s32(lanes.as_mut_ptr(), index);
                vld1q_f32(lanes.map(|lane| table[lane.cast_unsigned() as usize & 255]).as_ptr())
            }
        })
    }

    #[inline(always)]
    fn shl_i<const N: i32>(self, v: I) -> I {
        // SAFETY: a value of this type proves the features.
        array::from_fn(|i| unsafe { vshlq_n_s32::<N>(v[i]) })
    }

    #[inline(always)]
    fn sar_i<const N: i32>(self, v: I) -> I {
        // SAFETY: a value of this type proves the features.
        array::from_fn(|i| unsafe { vshrq_n_s32::<N>(v[i]) })
    }

    #[inline(always)]
    fn load(self, x: &[f32; LANES]) -> F {
        // SAFETY: a value of this type proves the features; `x` has 16 elements.
        array::from_fn(|i| unsafe { vld1q_f32(x.as_ptr().add(4 * i)) })
    }

    #[inline(always)]
    fn load_partial(self, x: &[f32], fill: f32) -> F {
        let mut whole = [fill; LANES];
        whole[..x.len()].copy_from_slice(x);
        self.load(&whole)
    }

    #[inline(always)]
    fn store(self, v: F, out: &mut [f32; LANES]) {
        for i in 0..4 {
            // SAFETY: a value of this type proves the features; `out` has 16 elements.
            unsafe { vst1q_f32(out.as_mut_ptr().add(4 * i), v[i]) };
        }
    }

    #[inline(always)]
    fn store_partial(self, v: F, out: &mut [f32]) {
        let mut whole = [0.0; LANES];
        self.store(v, &mut whole);
        let len = out.len();
        out.copy_from_slice(&whole[..len]);
    }

    #[inline(always)]
    fn scale_down(self, v: F, n: F) -> F {
        // An exponent field of 0 is the factor zero.
        let n = self.max(n, self.splat(-127.0));
        self.mul(v, self.pow2(self.to_int(n)))
    }

    #[inline(always)]
    fn scale(self, v: F, n: F) -> F {
        // Two factors, since 2^n itself may not be a normal number. The first product is exact.
        let n = self.to_int(n);
        let half = self.sar_i::<1>(n);
        self.mul(self.mul(v, self.pow2(half)), self.pow2(self.sub_i(n, half)))
    }

    #[inline(always)]
    fn sum(self, v: F) -> f32 {
        // SAFETY: a value of this type proves the features.
        unsafe { fold!(v, vaddq_f32) }
    }

    #[inline(always)]
    fn reduce_max(self, v: F) -> f32 {
        // SAFETY: a value of this type proves the features.
        unsafe { fold!(v, max) }
    }

    #[inline(always)]
    fn duplicate(self, x: &[f32; LANES / 2]) -> F {
        // SAFETY: a value of this type proves the features; `x` has 8 elements.
        unsafe {
            let (low, high) = (vld1q_f32(x.as_ptr()), vld1q_f32(x.as_ptr().add(4)));
            [
                vzip1q_f32(low, low),
                vzip2q_f32(low, low),
                vzip1q_f32(high, high),
                vzip2q_f32(high, high),
            ]
        }
    }

    #[inline(always)]
    fn load_i8(self, x: &[i8; LANES]) -> F {
        // SAFETY: a value of this type proves the features; `x` has 16 bytes.
        unsafe {
            let v = vld1q_s8(x.as_ptr());
            let (low, high) = (vmovl_s8(vget_low_s8(v)), vmovl_high_s8(v));
            [
                vcvtq_f32_s32(vmovl_s16(vget_low_s16(low))),
                vcvtq_f32_s32(vmovl_high_s16(low)),
                vcvtq_f32_s32(vmovl_s16(vget_low_s16(high))),
                vcvtq_f32_s32(vmovl_high_s16(high)),
            ]
        }
    }

    #[inline(always)]
    fn load_f16(self, x: &[u16; LANES]) -> F {
        // SAFETY: a value of this type proves the features; `x` has 16 elements.
        array::from_fn(|i| unsafe {
            vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(x.as_ptr().add(4 * i))))
        })
    }

    #[inline(always)]
    fn store_f16(self, v: F, out: &mut [u16; LANES]) {
        for i in 0..4 {
            // SAFETY: a value of this type proves the features; `out` has 16 elements.
            unsafe {
                vst1_u16(out.as_mut_ptr().add(4 * i), vreinterpret_u16_f16(vcvt_f16_f32(v[i])));
            }
        }
    }
}
