//! Sixteen lanes in two registers of AVX2.

use std::arch::x86_64::{
    __m256, __m256i, _CMP_LT_OQ, _CMP_UNORD_Q, _MM_FROUND_NO_EXC, _MM_FROUND_TO_NEAREST_INT,
    _mm_add_ps, _mm_cvtss_f32, _mm_loadu_si128, _mm_max_ps, _mm_permute_ps, _mm_srli_si128,
    _mm_storeu_si128, _mm256_add_epi32, _mm256_add_ps, _mm256_and_si256, _mm256_blendv_ps,
    _mm256_castps_si256, _mm256_castps256_ps128, _mm256_castsi256_ps, _mm256_cmp_ps,
    _mm256_cvtepi8_epi32, _mm256_cvtepi32_ps, _mm256_cvtph_ps, _mm256_cvtps_epi32, _mm256_cvtps_ph,
    _mm256_div_ps, _mm256_extractf128_ps, _mm256_fmadd_ps, _mm256_i32gather_ps, _mm256_loadu_ps,
    _mm256_loadu_si256, _mm256_maskload_ps, _mm256_maskstore_ps, _mm256_max_ps, _mm256_min_ps,
    _mm256_movemask_ps, _mm256_mul_ps, _mm256_or_ps, _mm256_or_si256, _mm256_permute_ps,
    _mm256_permutevar8x32_ps, _mm256_round_ps, _mm256_set1_epi32, _mm256_set1_ps,
    _mm256_setr_epi32, _mm256_slli_epi32, _mm256_sqrt_ps, _mm256_srai_epi32, _mm256_storeu_ps,
    _mm256_sub_epi32, _mm256_sub_ps, _mm256_xor_si256,
};

use super::{LANES, Lanes};

/// The proof that this CPU has the features of [`crate::Isa::Avx2`].
#[derive(Clone, Copy)]
pub(crate) struct Avx2(());

impl Avx2 {
    /// # Safety
    /// The CPU has the features of [`crate::Isa::Avx2`].
    #[inline(always)]
    pub(crate) unsafe fn new() -> Self {
        Self(())
    }

    /// `2^n` for `n` in -126..=127, and 0 for -127.
    #[inline(always)]
    fn pow2(self, n: I) -> F {
        self.float_of_bits(self.shl_i::<23>(self.add_i(n, self.splat_i(127))))
    }

    /// The masks of the first `len` of 16 lanes.
    #[inline(always)]
    fn first(len: usize) -> [__m256i; 2] {
        // Sixteen ones, then sixteen zeros: a window that starts `len` before the zeros.
        static WINDOW: [i32; 32] = {
            let mut window = [0; 32];
            let mut i = 0;
            while i < 16 {
                window[i] = -1;
                i += 1;
            }
            window
        };
        assert!(len <= LANES);
        let start = WINDOW[LANES - len..].as_ptr();
        // SAFETY: a value of this type proves the features; 16 elements follow any start of at most 16.
        unsafe { [_mm256_loadu_si256(start.cast()), _mm256_loadu_si256(start.add(8).cast())] }
    }
}

/// Folds the lanes by halves with an intrinsic of 8 and one of 4 lanes: i with i + 8, i + 4, i + 2, i + 1.
macro_rules! fold {
    ($v:expr, $wide:ident, $narrow:ident) => {{
        let v = $wide($v[0], $v[1]);
        let v = $narrow(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
        let v = $narrow(v, _mm_permute_ps::<0b01_00_11_10>(v));
        _mm_cvtss_f32($narrow(v, _mm_permute_ps::<0b10_11_00_01>(v)))
    }};
}

/// Methods that are one intrinsic for each half.
macro_rules! halves {
    ($($name:ident($($arg:ident: $ty:ty),*) -> $ret:ty = $intrinsic:path;)*) => {
        $(#[inline(always)]
        fn $name(self, $($arg: $ty),*) -> $ret {
            // SAFETY: a value of this type proves the features.
            unsafe { [$intrinsic($($arg[0]),*), $intrinsic($($arg[1]),*)] }
        })*
    };
}

/// Methods that make two equal halves.
macro_rules! splats {
    ($($name:ident(x: $ty:ty) -> $ret:ty = $intrinsic:path;)*) => {
        $(#[inline(always)]
        fn $name(self, x: $ty) -> $ret {
            // SAFETY: a value of this type proves the features.
            unsafe { [$intrinsic(x); 2] }
        })*
    };
}

type F = [__m256; 2];
type I = [__m256i; 2];

impl Lanes for Avx2 {
    type F = F;
    type I = I;
    type M = F;

    const BLOCK: usize = 1;

    splats! {
        splat(x: f32) -> F = _mm256_set1_ps;
        splat_i(x: i32) -> I = _mm256_set1_epi32;
    }

    halves! {
        add(a: F, b: F) -> F = _mm256_add_ps;
        sub(a: F, b: F) -> F = _mm256_sub_ps;
        mul(a: F, b: F) -> F = _mm256_mul_ps;
        div(a: F, b: F) -> F = _mm256_div_ps;
        fma(a: F, b: F, c: F) -> F = _mm256_fmadd_ps;
        sqrt(v: F) -> F = _mm256_sqrt_ps;
        round(v: F) -> F = _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>;
        max(a: F, b: F) -> F = _mm256_max_ps;
        min(a: F, b: F) -> F = _mm256_min_ps;
        lt(a: F, b: F) -> F = _mm256_cmp_ps::<_CMP_LT_OQ>;
        bits(v: F) -> I = _mm256_castps_si256;
        float_of_bits(v: I) -> F = _mm256_castsi256_ps;
        add_i(a: I, b: I) -> I = _mm256_add_epi32;
        sub_i(a: I, b: I) -> I = _mm256_sub_epi32;
        and_i(a: I, b: I) -> I = _mm256_and_si256;
        or_i(a: I, b: I) -> I = _mm256_or_si256;
        xor_i(a: I, b: I) -> I = _mm256_xor_si256;
        to_int(v: F) -> I = _mm256_cvtps_epi32;
        to_float(v: I) -> F = _mm256_cvtepi32_ps;
        swap_pairs(v: F) -> F = _mm256_permute_ps::<0b10_11_00_01>;
    }

    #[inline(always)]
    fn any(self, m: F) -> bool {
        // SAFETY: a value of this type proves the features.
        unsafe { _mm256_movemask_ps(_mm256_or_ps(m[0], m[1])) != 0 }
    }

    #[inline(always)]
    fn is_nan(self, v: F) -> F {
        // SAFETY: a value of this type proves the features.
        unsafe {
            [_mm256_cmp_ps::<_CMP_UNORD_Q>(v[0], v[0]), _mm256_cmp_ps::<_CMP_UNORD_Q>(v[1], v[1])]
        }
    }

    #[inline(always)]
    fn select(self, m: F, a: F, b: F) -> F {
        // SAFETY: a value of this type proves the features.
        unsafe { [_mm256_blendv_ps(b[0], a[0], m[0]), _mm256_blendv_ps(b[1], a[1], m[1])] }
    }

    #[inline(always)]
    fn look_up_16(self, table: &[f32; 16], index: I) -> F {
        // SAFETY: a value of this type proves the features; both halves of the table have 8 elements.
        unsafe {
            let low = _mm256_loadu_ps(table.as_ptr());
            let high = _mm256_loadu_ps(table.as_ptr().add(8));
            // Bit 3 as the sign.
            let is_high = [
                _mm256_castsi256_ps(_mm256_slli_epi32::<28>(index[0])),
                _mm256_castsi256_ps(_mm256_slli_epi32::<28>(index[1])),
            ];
            let lows =
                [_mm256_permutevar8x32_ps(low, index[0]), _mm256_permutevar8x32_ps(low, index[1])];
            let highs = [
                _mm256_permutevar8x32_ps(high, index[0]),
                _mm256_permutevar8x32_ps(high, index[1]),
            ];
            [
                _mm256_blendv_ps(lows[0], highs[0], is_high[0]),
                _mm256_blendv_ps(lows[1], highs[1], is_high[1]),
            ]
        }
    }

    #[inline(always)]
    fn look_up_256(self, table: &[f32; 256], index: I) -> F {
        // SAFETY: a value of this type proves the features; masked indices are below 256.
        unsafe {
            let byte = _mm256_set1_epi32(255);
            [
                _mm256_i32gather_ps::<4>(table.as_ptr(), _mm256_and_si256(index[0], byte)),
                _mm256_i32gather_ps::<4>(table.as_ptr(), _mm256_and_si256(index[1], byte)),
            ]
        }
    }

    #[inline(always)]
    fn shl_i<const N: i32>(self, v: I) -> I {
        // SAFETY: a value of this type proves the features.
        unsafe { [_mm256_slli_epi32::<N>(v[0]), _mm256_slli_epi32::<N>(v[1])] }
    }

    #[inline(always)]
    fn sar_i<const N: i32>(self, v: I) -> I {
        // SAFETY: a value of this type proves the features.
        unsafe { [_mm256_srai_epi32::<N>(v[0]), _mm256_srai_epi32::<N>(v[1])] }
    }

    #[inline(always)]
    fn load(self, x: &[f32; LANES]) -> F {
        // SAFETY: a value of this type proves the features; `x` has 16 elements.
        unsafe { [_mm256_loadu_ps(x.as_ptr()), _mm256_loadu_ps(x.as_ptr().add(8))] }
    }

    #[inline(always)]
    fn load_partial(self, x: &[f32], fill: f32) -> F {
        let mask = Self::first(x.len());
        let fill = self.splat(fill);
        // SAFETY: a value of this type proves the features; lanes outside the mask are not read, and wrapping_add makes no claim of them.
        unsafe {
            let v = [
                _mm256_maskload_ps(x.as_ptr(), mask[0]),
                _mm256_maskload_ps(x.as_ptr().wrapping_add(8), mask[1]),
            ];
            self.select([_mm256_castsi256_ps(mask[0]), _mm256_castsi256_ps(mask[1])], v, fill)
        }
    }

    #[inline(always)]
    fn store(self, v: F, out: &mut [f32; LANES]) {
        // SAFETY: a value of this type proves the features; `out` has 16 elements.
        unsafe {
            _mm256_storeu_ps(out.as_mut_ptr(), v[0]);
            _mm256_storeu_ps(out.as_mut_ptr().add(8), v[1]);
        }
    }

    #[inline(always)]
    fn store_partial(self, v: F, out: &mut [f32]) {
        let mask = Self::first(out.len());
        // SAFETY: a value of this type proves the features; lanes outside the mask are not written, and wrapping_add makes no claim of them.
        unsafe {
            _mm256_maskstore_ps(out.as_mut_ptr(), mask[0], v[0]);
            _mm256_maskstore_ps(out.as_mut_ptr().wrapping_add(8), mask[1], v[1]);
        }
    }

    #[inline(always)]
    fn scale_down(self, v: F, n: F) -> F {
        // An exponent field of 0 is the factor zero. `max` returns its second operand for NaN.
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
        unsafe { fold!(v, _mm256_add_ps, _mm_add_ps) }
    }

    #[inline(always)]
    fn reduce_max(self, v: F) -> f32 {
        // SAFETY: a value of this type proves the features.
        unsafe { fold!(v, _mm256_max_ps, _mm_max_ps) }
    }

    #[inline(always)]
    fn duplicate(self, x: &[f32; LANES / 2]) -> F {
        // SAFETY: a value of this type proves the features; `x` has 8 elements.
        unsafe {
            let v = _mm256_loadu_ps(x.as_ptr());
            [
                _mm256_permutevar8x32_ps(v, _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3)),
                _mm256_permutevar8x32_ps(v, _mm256_setr_epi32(4, 4, 5, 5, 6, 6, 7, 7)),
            ]
        }
    }

    #[inline(always)]
    fn load_i8(self, x: &[i8; LANES]) -> F {
        // SAFETY: a value of this type proves the features; `x` has 16 bytes.
        unsafe {
            let v = _mm_loadu_si128(x.as_ptr().cast());
            [
                _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(v)),
                _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128::<8>(v))),
            ]
        }
    }

    #[inline(always)]
    fn load_f16(self, x: &[u16; LANES]) -> F {
        // SAFETY: a value of this type proves the features; `x` has 32 bytes.
        unsafe {
            [
                _mm256_cvtph_ps(_mm_loadu_si128(x.as_ptr().cast())),
                _mm256_cvtph_ps(_mm_loadu_si128(x.as_ptr().add(8).cast())),
            ]
        }
    }

    #[inline(always)]
    fn store_f16(self, v: F, out: &mut [u16; LANES]) {
        // SAFETY: a value of this type proves the features; `out` has 32 bytes.
        unsafe {
            let low = _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(v[0]);
            let high = _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(v[1]);
            _mm_storeu_si128(out.as_mut_ptr().cast(), low);
            _mm_storeu_si128(out.as_mut_ptr().add(8).cast(), high);
        }
    }
}
