//! Sixteen lanes in one register of AVX-512.

use std::arch::x86_64::{
    __m512, __m512i, __mmask16, _CMP_LT_OQ, _CMP_NLE_UQ, _CMP_UNORD_Q, _MM_FROUND_NO_EXC,
    _MM_FROUND_TO_NEAREST_INT, _mm_loadu_si128, _mm256_loadu_ps, _mm256_loadu_si256,
    _mm256_storeu_si256, _mm512_add_epi32, _mm512_add_ps, _mm512_and_si512, _mm512_andnot_si512,
    _mm512_castps_si512, _mm512_castps256_ps512, _mm512_castsi512_ps, _mm512_cmp_ps_mask,
    _mm512_cvtepi8_epi32, _mm512_cvtepi32_ps, _mm512_cvtph_ps, _mm512_cvtps_epi32, _mm512_cvtps_ph,
    _mm512_cvtss_f32, _mm512_div_ps, _mm512_fmadd_ps, _mm512_i32gather_ps, _mm512_loadu_ps,
    _mm512_loadu_si512, _mm512_mask_blend_epi8, _mm512_mask_blend_ps, _mm512_mask_loadu_ps,
    _mm512_mask_storeu_ps, _mm512_maskz_scalef_ps, _mm512_max_ps, _mm512_min_ps,
    _mm512_movepi8_mask, _mm512_mul_ps, _mm512_or_si512, _mm512_permute_ps,
    _mm512_permutex2var_epi8, _mm512_permutexvar_ps, _mm512_roundscale_ps, _mm512_scalef_ps,
    _mm512_set1_epi16, _mm512_set1_epi32, _mm512_set1_ps, _mm512_setr_epi32, _mm512_shuffle_f32x4,
    _mm512_slli_epi32, _mm512_sllv_epi32, _mm512_sqrt_ps, _mm512_srav_epi32, _mm512_srli_epi32,
    _mm512_storeu_ps, _mm512_sub_epi32, _mm512_sub_ps, _mm512_xor_si512,
};

use super::{ByteTable, LANES, Lanes};

/// The proof that this CPU has the features of [`crate::Isa::Avx512`].
#[derive(Clone, Copy)]
pub(crate) struct Avx512(());

impl Avx512 {
    /// # Safety
    /// The CPU has the features of [`crate::Isa::Avx512`].
    #[inline(always)]
    pub(crate) unsafe fn new() -> Self {
        Self(())
    }

    /// `table[byte]` for each byte.
    #[expect(clippy::unused_self, reason = "the value proves the features")]
    #[inline(always)]
    fn permute_bytes(self, table: &[u8; 256], bytes: __m512i) -> __m512i {
        // SAFETY: a value of this type proves the features; the table has four times 64 bytes.
        unsafe {
            let at = table.as_ptr();
            let low = _mm512_permutex2var_epi8(
                _mm512_loadu_si512(at.cast()),
                bytes,
                _mm512_loadu_si512(at.add(64).cast()),
            );
            let high = _mm512_permutex2var_epi8(
                _mm512_loadu_si512(at.add(128).cast()),
                bytes,
                _mm512_loadu_si512(at.add(192).cast()),
            );
            _mm512_mask_blend_epi8(_mm512_movepi8_mask(bytes), low, high)
        }
    }

    /// The mask of the first `len` lanes.
    #[expect(clippy::cast_possible_truncation, reason = "`len` is at most 16")]
    #[inline(always)]
    fn first(len: usize) -> __mmask16 {
        debug_assert!(len <= LANES);
        ((1u32 << len) - 1) as __mmask16
    }
}

/// Folds the lanes by halves with an intrinsic: i with i + 8, i + 4, i + 2, i + 1.
macro_rules! fold {
    ($v:expr, $f:ident) => {{
        let v = $f($v, _mm512_shuffle_f32x4::<0b01_00_11_10>($v, $v));
        let v = $f(v, _mm512_shuffle_f32x4::<0b10_11_00_01>(v, v));
        let v = $f(v, _mm512_permute_ps::<0b01_00_11_10>(v));
        _mm512_cvtss_f32($f(v, _mm512_permute_ps::<0b10_11_00_01>(v)))
    }};
}

/// Methods that are one intrinsic.
macro_rules! direct {
    ($($name:ident($($arg:ident: $ty:ty),*) -> $ret:ty = $intrinsic:expr;)*) => {
        $(#[inline(always)]
        fn $name(self, $($arg: $ty),*) -> $ret {
            // SAFETY: a value of this type proves the features.
            unsafe { $intrinsic }
        })*
    };
}

impl Lanes for Avx512 {
    type F = __m512;
    type I = __m512i;
    type M = __mmask16;

    const BLOCK: usize = 4;

    direct! {
        splat(x: f32) -> __m512 = _mm512_set1_ps(x);
        add(a: __m512, b: __m512) -> __m512 = _mm512_add_ps(a, b);
        sub(a: __m512, b: __m512) -> __m512 = _mm512_sub_ps(a, b);
        mul(a: __m512, b: __m512) -> __m512 = _mm512_mul_ps(a, b);
        div(a: __m512, b: __m512) -> __m512 = _mm512_div_ps(a, b);
        fma(a: __m512, b: __m512, c: __m512) -> __m512 = _mm512_fmadd_ps(a, b, c);
        sqrt(v: __m512) -> __m512 = _mm512_sqrt_ps(v);
        round(v: __m512) -> __m512 =
            _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(v);
        max(a: __m512, b: __m512) -> __m512 = _mm512_max_ps(a, b);
        min(a: __m512, b: __m512) -> __m512 = _mm512_min_ps(a, b);
        lt(a: __m512, b: __m512) -> __mmask16 = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, b);
        is_nan(v: __m512) -> __mmask16 = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(v, v);
        select(m: __mmask16, a: __m512, b: __m512) -> __m512 = _mm512_mask_blend_ps(m, b, a);
        bits(v: __m512) -> __m512i = _mm512_castps_si512(v);
        float_of_bits(v: __m512i) -> __m512 = _mm512_castsi512_ps(v);
        splat_i(x: i32) -> __m512i = _mm512_set1_epi32(x);
        add_i(a: __m512i, b: __m512i) -> __m512i = _mm512_add_epi32(a, b);
        sub_i(a: __m512i, b: __m512i) -> __m512i = _mm512_sub_epi32(a, b);
        and_i(a: __m512i, b: __m512i) -> __m512i = _mm512_and_si512(a, b);
        or_i(a: __m512i, b: __m512i) -> __m512i = _mm512_or_si512(a, b);
        xor_i(a: __m512i, b: __m512i) -> __m512i = _mm512_xor_si512(a, b);
        to_int(v: __m512) -> __m512i = _mm512_cvtps_epi32(v);
        to_float(v: __m512i) -> __m512 = _mm512_cvtepi32_ps(v);
        // "Not less or equal" keeps a NaN.
        scale_down(v: __m512, n: __m512) -> __m512 = _mm512_maskz_scalef_ps(
            _mm512_cmp_ps_mask::<_CMP_NLE_UQ>(n, _mm512_set1_ps(-127.0)), v, n);
        scale(v: __m512, n: __m512) -> __m512 = _mm512_scalef_ps(v, n);
        swap_pairs(v: __m512) -> __m512 = _mm512_permute_ps::<0b10_11_00_01>(v);
        duplicate(x: &[f32; LANES / 2]) -> __m512 = _mm512_permutexvar_ps(
            _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7),
            _mm512_castps256_ps512(_mm256_loadu_ps(x.as_ptr())));
        sum(v: __m512) -> f32 = fold!(v, _mm512_add_ps);
        reduce_max(v: __m512) -> f32 = fold!(v, _mm512_max_ps);
        load(x: &[f32; LANES]) -> __m512 = _mm512_loadu_ps(x.as_ptr());
        load_i8(x: &[i8; LANES]) -> __m512 =
            _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(x.as_ptr().cast())));
        load_f16(x: &[u16; LANES]) -> __m512 =
            _mm512_cvtph_ps(_mm256_loadu_si256(x.as_ptr().cast()));
    }

    #[inline(always)]
    fn any(self, m: __mmask16) -> bool {
        m != 0
    }

    #[inline(always)]
    fn look_up_16(self, table: &[f32; 16], index: __m512i) -> __m512 {
        // SAFETY: a value of this type proves the features.
        unsafe { _mm512_permutexvar_ps(index, _mm512_loadu_ps(table.as_ptr())) }
    }

    #[inline(always)]
    fn look_up_256(self, table: &[f32; 256], index: __m512i) -> __m512 {
        // SAFETY: a value of this type proves the features; masked indices are below 256.
        unsafe {
            let index = _mm512_and_si512(index, _mm512_set1_epi32(255));
            _mm512_i32gather_ps::<4>(index, table.as_ptr())
        }
    }

    #[inline(always)]
    fn look_up_bytes(self, table: &ByteTable, bytes: __m512i) -> [__m512; 4] {
        let Some([first, second]) = &table.upper else {
            return [
                self.look_up_256(&table.numbers, bytes),
                self.look_up_256(&table.numbers, self.sar_i::<8>(bytes)),
                self.look_up_256(&table.numbers, self.sar_i::<16>(bytes)),
                self.look_up_256(&table.numbers, self.sar_i::<24>(bytes)),
            ];
        };
        let (first, second) = (self.permute_bytes(first, bytes), self.permute_bytes(second, bytes));
        // SAFETY: a value of this type proves the features.
        unsafe {
            // Bytes 0 and 2, then 1 and 3, in the upper halves of words.
            let upper = _mm512_set1_epi16(0xFF00u16.cast_signed());
            let even = _mm512_or_si512(
                _mm512_and_si512(upper, _mm512_slli_epi32::<8>(first)),
                _mm512_andnot_si512(upper, second),
            );
            let odd = _mm512_or_si512(
                _mm512_and_si512(upper, first),
                _mm512_andnot_si512(upper, _mm512_srli_epi32::<8>(second)),
            );
            let words = _mm512_set1_epi32(0xFFFF_0000u32.cast_signed());
            [
                _mm512_castsi512_ps(_mm512_slli_epi32::<16>(even)),
                _mm512_castsi512_ps(_mm512_slli_epi32::<16>(odd)),
                _mm512_castsi512_ps(_mm512_and_si512(even, words)),
                _mm512_castsi512_ps(_mm512_and_si512(odd, words)),
            ]
        }
    }

    #[inline(always)]
    fn shl_i<const N: i32>(self, v: __m512i) -> __m512i {
        // SAFETY: a value of this type proves the features.
        unsafe { _mm512_sllv_epi32(v, _mm512_set1_epi32(N)) }
    }

    #[inline(always)]
    fn sar_i<const N: i32>(self, v: __m512i) -> __m512i {
        // SAFETY: a value of this type proves the features.
        unsafe { _mm512_srav_epi32(v, _mm512_set1_epi32(N)) }
    }

    #[inline(always)]
    fn load_partial(self, x: &[f32], fill: f32) -> __m512 {
        // SAFETY: a value of this type proves the features; lanes outside the mask are not read.
        unsafe { _mm512_mask_loadu_ps(_mm512_set1_ps(fill), Self::first(x.len()), x.as_ptr()) }
    }

    #[inline(always)]
    fn store(self, v: __m512, out: &mut [f32; LANES]) {
        // SAFETY: a value of this type proves the features; `out` has 16 elements.
        unsafe { _mm512_storeu_ps(out.as_mut_ptr(), v) }
    }

    #[inline(always)]
    fn store_partial(self, v: __m512, out: &mut [f32]) {
        // SAFETY: a value of this type proves the features; lanes outside the mask are not written.
        unsafe { _mm512_mask_storeu_ps(out.as_mut_ptr(), Self::first(out.len()), v) }
    }

    #[inline(always)]
    fn store_f16(self, v: __m512, out: &mut [u16; LANES]) {
        // SAFETY: a value of this type proves the features; `out` has 32 bytes.
        unsafe {
            let half = _mm512_cvtps_ph::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(v);
            _mm256_storeu_si256(out.as_mut_ptr().cast(), half);
        }
    }
}
