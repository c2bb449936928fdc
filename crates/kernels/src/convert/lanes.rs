//! What conversions need of sixteen lanes beyond [`Lanes`].

use crate::lanes::{LANES, Lanes};

/// Bytes of a cache line.
const LINE: usize = 64;

/// Lines of a page of memory, at which the processor's own prefetchers end.
const PAGE: usize = 4096 / LINE;

/// Pages that are read side by side: the prefetchers follow one stream a page, and one stream alone brings 11 GB/s on Emerald Rapids where four bring 15.
const PAGES: usize = 4;

/// What to prefetch while `at` is read, of a pass that began at `start`: each line of the next four pages once while four pages are read.
#[inline(always)]
pub(super) fn ahead(start: *const f32, at: *const f32) -> *const f32 {
    const BLOCK: usize = PAGES * PAGE;
    let line = (at.addr() - start.addr()) / LINE;
    let (block, line) = (line / BLOCK, line % BLOCK);
    let line = (block + 1) * BLOCK + line % PAGES * PAGE + line / PAGES;
    start.wrapping_byte_add(line * LINE)
}

/// Integer operations, narrow loads and stores, and look-ups.
pub(crate) trait ConvertLanes: Lanes {
    /// Lane i is `x[i]`
    fn load_u8(self, x: &[u8; LANES]) -> Self::I;
    /// `out[i]` is lane i, which is below 256
    fn store_u8(self, v: Self::I, out: &mut [u8; LANES]);
    /// Lane i is `x[i]`
    fn load_u16(self, x: &[u16; LANES]) -> Self::I;
    /// `out[i]` is lane i, which is below 65536
    fn store_u16(self, v: Self::I, out: &mut [u16; LANES]);
    /// `out[i]` is lane i
    fn store_i(self, v: Self::I, out: &mut [i32; LANES]);
    /// `v >> N`, zeros from the left
    fn shr_i<const N: i32>(self, v: Self::I) -> Self::I;
    /// `v << n` where n is positive, `v >> -n` with zeros where it is negative; 0 where |n| > 31. |n| is at most 127.
    fn shift(self, v: Self::I, n: Self::I) -> Self::I;
    /// The low half of `a * b`
    fn mul_i(self, a: Self::I, b: Self::I) -> Self::I;
    /// `a < b` of signed integers
    fn lt_i(self, a: Self::I, b: Self::I) -> Self::M;
    /// `if m { a } else { b }`
    fn select_i(self, m: Self::M, a: Self::I, b: Self::I) -> Self::I;
    /// The smaller of signed integers
    fn min_i(self, a: Self::I, b: Self::I) -> Self::I;
    /// The larger of signed integers
    fn max_i(self, a: Self::I, b: Self::I) -> Self::I;
    /// The largest lane, signed
    fn reduce_max_i(self, v: Self::I) -> i32;
    /// Lane i is `table[v[i]]`; every lane is below 16
    fn look_up(self, table: &[f32; LANES], v: Self::I) -> Self::F;

    /// Lane i is the largest lane of `rows[i]`, signed
    #[inline(always)]
    fn max_of_each(self, rows: &[Self::I; LANES]) -> Self::I {
        let mut largest = [0.0; LANES];
        for (row, largest) in rows.iter().zip(&mut largest) {
            *largest = f32::from_bits(self.reduce_max_i(*row).cast_unsigned());
        }
        self.bits(self.load(&largest))
    }

    /// Asks for the cache line of `at`, which need not be readable, to be brought near
    fn prefetch(self, at: *const f32);

    /// `a < b` of unsigned integers
    #[inline(always)]
    fn lt_unsigned(self, a: Self::I, b: Self::I) -> Self::M {
        let flip = self.splat_i(i32::MIN);
        self.lt_i(self.xor_i(a, flip), self.xor_i(b, flip))
    }
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    use std::arch::x86_64::*;

    use super::{ConvertLanes, LANES};
    use crate::lanes::Avx512;

    /// Methods that are one expression of intrinsics.
    macro_rules! direct {
        ($($name:ident($($arg:ident: $ty:ty),*) $(-> $ret:ty)? = $intrinsic:expr;)*) => {
            $(#[inline(always)]
            fn $name(self, $($arg: $ty),*) $(-> $ret)? {
                // SAFETY: a value of this type proves the features; the arrays have the bytes of the access.
                unsafe { $intrinsic }
            })*
        };
    }

    impl ConvertLanes for Avx512 {
        direct! {
            load_u8(x: &[u8; LANES]) -> __m512i = _mm512_cvtepu8_epi32(_mm_loadu_si128(x.as_ptr().cast()));
            store_u8(v: __m512i, out: &mut [u8; LANES]) =
                _mm_storeu_si128(out.as_mut_ptr().cast(), _mm512_cvtepi32_epi8(v));
            load_u16(x: &[u16; LANES]) -> __m512i = _mm512_cvtepu16_epi32(_mm256_loadu_si256(x.as_ptr().cast()));
            store_u16(v: __m512i, out: &mut [u16; LANES]) =
                _mm256_storeu_si256(out.as_mut_ptr().cast(), _mm512_cvtepi32_epi16(v));
            store_i(v: __m512i, out: &mut [i32; LANES]) = _mm512_storeu_si512(out.as_mut_ptr().cast(), v);
            shift(v: __m512i, n: __m512i) -> __m512i = _mm512_or_si512(
                _mm512_sllv_epi32(v, n),
                _mm512_srlv_epi32(v, _mm512_sub_epi32(_mm512_setzero_si512(), n)));
            mul_i(a: __m512i, b: __m512i) -> __m512i = _mm512_mullo_epi32(a, b);
            lt_i(a: __m512i, b: __m512i) -> __mmask16 = _mm512_cmplt_epi32_mask(a, b);
            select_i(m: __mmask16, a: __m512i, b: __m512i) -> __m512i = _mm512_mask_blend_epi32(m, b, a);
            min_i(a: __m512i, b: __m512i) -> __m512i = _mm512_min_epi32(a, b);
            max_i(a: __m512i, b: __m512i) -> __m512i = _mm512_max_epi32(a, b);
            reduce_max_i(v: __m512i) -> i32 = _mm512_reduce_max_epi32(v);
            look_up(table: &[f32; LANES], v: __m512i) -> __m512 =
                _mm512_permutexvar_ps(v, _mm512_loadu_ps(table.as_ptr()));
        }

        /// A tree that halves the rows and the lanes of each at every step.
        #[inline(always)]
        fn max_of_each(self, rows: &[__m512i; LANES]) -> __m512i {
            // SAFETY: a value of this type proves the features.
            unsafe {
                let eight: [_; 8] = std::array::from_fn(|i| {
                    let (a, b) = (rows[i], rows[i + 8]);
                    let low = _mm512_shuffle_i32x4::<0b01_00_01_00>(a, b);
                    _mm512_max_epi32(low, _mm512_shuffle_i32x4::<0b11_10_11_10>(a, b))
                });
                let four: [_; 4] = std::array::from_fn(|i| {
                    let (a, b) = (eight[i], eight[i + 4]);
                    let even = _mm512_shuffle_i32x4::<0b10_00_10_00>(a, b);
                    _mm512_max_epi32(even, _mm512_shuffle_i32x4::<0b11_01_11_01>(a, b))
                });
                let two: [_; 2] = std::array::from_fn(|i| {
                    let (a, b) = (four[i], four[i + 2]);
                    _mm512_max_epi32(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b))
                });
                let (a, b) = (_mm512_castsi512_ps(two[0]), _mm512_castsi512_ps(two[1]));
                let even = _mm512_castps_si512(_mm512_shuffle_ps::<0b10_00_10_00>(a, b));
                let odd = _mm512_castps_si512(_mm512_shuffle_ps::<0b11_01_11_01>(a, b));
                // Where the tree has left each row.
                let order = _mm512_setr_epi32(0, 2, 1, 3, 8, 10, 9, 11, 4, 6, 5, 7, 12, 14, 13, 15);
                _mm512_permutexvar_epi32(order, _mm512_max_epi32(even, odd))
            }
        }

        #[inline(always)]
        fn prefetch(self, at: *const f32) {
            // SAFETY: a hint, which any address may be given to.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
        }

        #[inline(always)]
        fn shr_i<const N: i32>(self, v: __m512i) -> __m512i {
            // SAFETY: a value of this type proves the features.
            unsafe { _mm512_srlv_epi32(v, _mm512_set1_epi32(N)) }
        }

        #[inline(always)]
        fn lt_unsigned(self, a: __m512i, b: __m512i) -> __mmask16 {
            // SAFETY: a value of this type proves the features.
            unsafe { _mm512_cmplt_epu32_mask(a, b) }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::*;

    use super::{ConvertLanes, LANES};
    use crate::lanes::Avx2;

    type F = [__m256; 2];
    type I = [__m256i; 2];

    /// Methods that are one expression for each half.
    macro_rules! halves {
        ($($name:ident($($arg:ident: $ty:ty),*) -> $ret:ty = $intrinsic:expr;)*) => {
            $(#[inline(always)]
            fn $name(self, $($arg: $ty),*) -> $ret {
                // SAFETY: a value of this type proves the features.
                unsafe { [$intrinsic($($arg[0]),*), $intrinsic($($arg[1]),*)] }
            })*
        };
    }

    impl ConvertLanes for Avx2 {
        halves! {
            mul_i(a: I, b: I) -> I = _mm256_mullo_epi32;
            lt_i(a: I, b: I) -> F = |a, b| _mm256_castsi256_ps(_mm256_cmpgt_epi32(b, a));
            select_i(m: F, a: I, b: I) -> I = |m, a, b| _mm256_blendv_epi8(b, a, _mm256_castps_si256(m));
            min_i(a: I, b: I) -> I = _mm256_min_epi32;
            max_i(a: I, b: I) -> I = _mm256_max_epi32;
            shift(v: I, n: I) -> I = |v, n| _mm256_or_si256(
                _mm256_sllv_epi32(v, n),
                _mm256_srlv_epi32(v, _mm256_sub_epi32(_mm256_setzero_si256(), n)));
        }

        #[inline(always)]
        fn prefetch(self, at: *const f32) {
            // SAFETY: a hint, which any address may be given to.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
        }

        #[inline(always)]
        fn load_u8(self, x: &[u8; LANES]) -> I {
            // SAFETY: a value of this type proves the features; `x` has 16 bytes.
            unsafe {
                let bytes = _mm_loadu_si128(x.as_ptr().cast());
                [_mm256_cvtepu8_epi32(bytes), _mm256_cvtepu8_epi32(_mm_srli_si128::<8>(bytes))]
            }
        }

        #[inline(always)]
        fn store_u8(self, v: I, out: &mut [u8; LANES]) {
            // SAFETY: a value of this type proves the features; `out` has 16 bytes.
            unsafe {
                // Quarters of words come as 0 2 1 3.
                let words =
                    _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packus_epi32(v[0], v[1]));
                let (low, high) =
                    (_mm256_castsi256_si128(words), _mm256_extracti128_si256::<1>(words));
                _mm_storeu_si128(out.as_mut_ptr().cast(), _mm_packus_epi16(low, high));
            }
        }

        #[inline(always)]
        fn load_u16(self, x: &[u16; LANES]) -> I {
            // SAFETY: a value of this type proves the features; `x` has 32 bytes.
            unsafe {
                [
                    _mm256_cvtepu16_epi32(_mm_loadu_si128(x.as_ptr().cast())),
                    _mm256_cvtepu16_epi32(_mm_loadu_si128(x.as_ptr().add(8).cast())),
                ]
            }
        }

        #[inline(always)]
        fn store_u16(self, v: I, out: &mut [u16; LANES]) {
            // SAFETY: a value of this type proves the features; `out` has 32 bytes.
            unsafe {
                let words =
                    _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packus_epi32(v[0], v[1]));
                _mm256_storeu_si256(out.as_mut_ptr().cast(), words);
            }
        }

        #[inline(always)]
        fn store_i(self, v: I, out: &mut [i32; LANES]) {
            // SAFETY: a value of this type proves the features; `out` has 64 bytes.
            unsafe {
                _mm256_storeu_si256(out.as_mut_ptr().cast(), v[0]);
                _mm256_storeu_si256(out.as_mut_ptr().add(8).cast(), v[1]);
            }
        }

        #[inline(always)]
        fn shr_i<const N: i32>(self, v: I) -> I {
            // SAFETY: a value of this type proves the features.
            unsafe { [_mm256_srli_epi32::<N>(v[0]), _mm256_srli_epi32::<N>(v[1])] }
        }

        #[inline(always)]
        fn reduce_max_i(self, v: I) -> i32 {
            // SAFETY: a value of this type proves the features.
            unsafe {
                let v = _mm256_max_epi32(v[0], v[1]);
                let v = _mm_max_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256::<1>(v));
                let v = _mm_max_epi32(v, _mm_shuffle_epi32::<0b01_00_11_10>(v));
                _mm_cvtsi128_si32(_mm_max_epi32(v, _mm_shuffle_epi32::<0b10_11_00_01>(v)))
            }
        }

        #[inline(always)]
        fn look_up(self, table: &[f32; LANES], v: I) -> F {
            // SAFETY: a value of this type proves the features; `table` has 64 bytes.
            unsafe {
                let (low, high) =
                    (_mm256_loadu_ps(table.as_ptr()), _mm256_loadu_ps(table.as_ptr().add(8)));
                let half = |v: __m256i| {
                    // Bit 3 of the index, as a sign, chooses the half of the table.
                    let upper = _mm256_castsi256_ps(_mm256_slli_epi32::<28>(v));
                    _mm256_blendv_ps(
                        _mm256_permutevar8x32_ps(low, v),
                        _mm256_permutevar8x32_ps(high, v),
                        upper,
                    )
                };
                [half(v[0]), half(v[1])]
            }
        }
    }
}

#[cfg(target_arch = "aarch64")]
mod neon {
    use std::arch::aarch64::*;
    use std::array;

    use super::{ConvertLanes, LANES};
    use crate::lanes::Neon;

    type F = [float32x4_t; 4];
    type I = [int32x4_t; 4];
    type M = [uint32x4_t; 4];

    impl ConvertLanes for Neon {
        #[inline(always)]
        fn prefetch(self, at: *const f32) {
            // SAFETY: a hint, which any address may be given to.
            unsafe {
                std::arch::asm!("prfm pldl1keep, [{}]", in(reg) at, options(nostack, readonly, preserves_flags));
            }
        }

        #[inline(always)]
        fn load_u8(self, x: &[u8; LANES]) -> I {
            // SAFETY: a value of this type proves the features; `x` has 16 bytes.
            unsafe {
                let bytes = vld1q_u8(x.as_ptr());
                let (low, high) = (vmovl_u8(vget_low_u8(bytes)), vmovl_u8(vget_high_u8(bytes)));
                [
                    vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(low))),
                    vreinterpretq_s32_u32(vmovl_u16(vget_high_u16(low))),
                    vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(high))),
                    vreinterpretq_s32_u32(vmovl_u16(vget_high_u16(high))),
                ]
            }
        }

        #[inline(always)]
        fn store_u8(self, v: I, out: &mut [u8; LANES]) {
            // SAFETY: a value of this type proves the features; `out` has 16 bytes.
            unsafe {
                let word = |v| vmovn_u32(vreinterpretq_u32_s32(v));
                let low = vmovn_u16(vcombine_u16(word(v[0]), word(v[1])));
                let high = vmovn_u16(vcombine_u16(word(v[2]), word(v[3])));
                vst1q_u8(out.as_mut_ptr(), vcombine_u8(low, high));
            }
        }

        #[inline(always)]
        fn load_u16(self, x: &[u16; LANES]) -> I {
            // SAFETY: a value of this type proves the features; `x` has 32 bytes.
            array::from_fn(|i| unsafe {
                vreinterpretq_s32_u32(vmovl_u16(vld1_u16(x.as_ptr().add(4 * i))))
            })
        }

        #[inline(always)]
        fn store_u16(self, v: I, out: &mut [u16; LANES]) {
            for (i, v) in v.into_iter().enumerate() {
                // SAFETY: a value of this type proves the features; `out` has 32 bytes.
                unsafe {
                    vst1_u16(out.as_mut_ptr().add(4 * i), vmovn_u32(vreinterpretq_u32_s32(v)))
                };
            }
        }

        #[inline(always)]
        fn store_i(self, v: I, out: &mut [i32; LANES]) {
            for (i, v) in v.into_iter().enumerate() {
                // SAFETY: a value of this type proves the features; `out` has 64 bytes.
                unsafe { vst1q_s32(out.as_mut_ptr().add(4 * i), v) };
            }
        }

        #[inline(always)]
        fn shr_i<const N: i32>(self, v: I) -> I {
            // SAFETY: a value of this type proves the features.
            array::from_fn(|i| unsafe {
                vreinterpretq_s32_u32(vshlq_u32(vreinterpretq_u32_s32(v[i]), vdupq_n_s32(-N)))
            })
        }

        #[inline(always)]
        fn shift(self, v: I, n: I) -> I {
            // SAFETY: a value of this type proves the features.
            array::from_fn(|i| unsafe {
                vreinterpretq_s32_u32(vshlq_u32(vreinterpretq_u32_s32(v[i]), n[i]))
            })
        }

        #[inline(always)]
        fn mul_i(self, a: I, b: I) -> I {
            // SAFETY: a value of this type proves the features.
            array::from_fn(|i| unsafe { vmulq_s32(a[i], b[i]) })
        }

        #[inline(always)]
        fn lt_i(self, a: I, b: I) -> M {
            // SAFETY: a value of this type proves the features.
            array::from_fn(|i| unsafe { vcltq_s32(a[i], b[i]) })
        }

        #[inline(always)]
        fn select_i(self, m: M, a: I, b: I) -> I {
            // SAFETY: a value of this type proves the features.
            array::from_fn(|i| unsafe { vbslq_s32(m[i], a[i], b[i]) })
        }

        #[inline(always)]
        fn min_i(self, a: I, b: I) -> I {
            // SAFETY: a value of this type proves the features.
            array::from_fn(|i| unsafe { vminq_s32(a[i], b[i]) })
        }

        #[inline(always)]
        fn max_i(self, a: I, b: I) -> I {
            // SAFETY: a value of this type proves the features.
            array::from_fn(|i| unsafe { vmaxq_s32(a[i], b[i]) })
        }

        #[inline(always)]
        fn reduce_max_i(self, v: I) -> i32 {
            // SAFETY: a value of this type proves the features.
            unsafe { vmaxvq_s32(vmaxq_s32(vmaxq_s32(v[0], v[1]), vmaxq_s32(v[2], v[3]))) }
        }

        #[inline(always)]
        fn look_up(self, table: &[f32; LANES], v: I) -> F {
            // SAFETY: a value of this type proves the features; `table` has 64 bytes.
            unsafe {
                let bytes = table.as_ptr().cast::<u8>();
                let table = uint8x16x4_t(
                    vld1q_u8(bytes),
                    vld1q_u8(bytes.add(16)),
                    vld1q_u8(bytes.add(32)),
                    vld1q_u8(bytes.add(48)),
                );
                // The four bytes of entry n are bytes 4 n to 4 n + 3.
                let first = vdupq_n_s32(0x0302_0100);
                array::from_fn(|i| {
                    let index = vmlaq_n_s32(first, v[i], 0x0404_0404);
                    vreinterpretq_f32_u8(vqtbl4q_u8(table, vreinterpretq_u8_s32(index)))
                })
            }
        }
    }
}
