//! AVX-512: exponentials looked up 64 at a time, and summed by `vpsadbw`.

use std::arch::x86_64::*;

use crate::integer::lookup::avx512::Table;

/// See [`super::ExponentialsFn`].
///
/// # Safety
/// As that says.
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
pub(super) unsafe fn exponentials(
    x: &[i8],
    (width, stride): (usize, usize),
    table: &[u8; 256],
    out: &mut [u8],
    sums: &mut [u32],
) {
    let table = Table::new(table);
    let mask = |start: usize| u64::MAX >> (64 - (width - start).min(64));
    let rows = x.chunks_exact(stride).zip(out.chunks_exact_mut(stride));
    for ((row, out), total) in rows.zip(sums) {
        let least = _mm512_set1_epi8(i8::MIN);
        // SAFETY: the mask has only bytes of the row.
        let load = |start: usize| unsafe {
            _mm512_mask_loadu_epi8(least, mask(start), row.as_ptr().add(start))
        };
        let mut max = least;
        for start in (0..width).step_by(64) {
            max = _mm512_max_epi8(max, load(start));
        }
        let max = _mm512_set1_epi8(greatest(max));
        let mut sum = _mm512_setzero_si512();
        for start in (0..width).step_by(64) {
            let found = table.look_up(_mm512_sub_epi8(max, load(start)));
            let found = _mm512_maskz_mov_epi8(mask(start), found);
            sum = _mm512_add_epi64(sum, _mm512_sad_epu8(found, _mm512_setzero_si512()));
            // SAFETY: the mask has only bytes of the row, and that of `out` is as long.
            unsafe {
                _mm512_mask_storeu_epi8(out.as_mut_ptr().add(start).cast(), mask(start), found);
            };
        }
        let sum = _mm512_reduce_add_epi64(sum).cast_unsigned();
        #[expect(clippy::cast_possible_truncation, reason = "255 for each of at most 65 793 bytes")]
        let sum = sum as u32;
        *total = sum;
    }
}

/// The greatest byte.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn greatest(x: __m512i) -> i8 {
    let x = _mm256_max_epi8(_mm512_castsi512_si256(x), _mm512_extracti64x4_epi64::<1>(x));
    let x = _mm_max_epi8(_mm256_castsi256_si128(x), _mm256_extracti128_si256::<1>(x));
    // Signed bytes as unsigned ones, upside down: `vphminposuw` finds the least word.
    let x = _mm_xor_si128(x, _mm_set1_epi8(i8::MAX));
    let x = _mm_min_epu8(x, _mm_srli_epi16::<8>(x));
    let least = _mm_extract_epi8::<0>(_mm_minpos_epu16(x));
    #[expect(clippy::cast_possible_truncation, reason = "a byte")]
    let byte = (least ^ 0x7F) as i8;
    byte
}
