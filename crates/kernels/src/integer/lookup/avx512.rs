//! AVX-512: `vpermi2b` looks 64 bytes up in half of the table at a time.

use std::arch::x86_64::*;

/// A table of 256 bytes in registers, in the order of the indices as unsigned bytes.
pub(crate) struct Table([__m512i; 4]);

impl Table {
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(crate) fn new(table: &[u8; 256]) -> Self {
        // SAFETY: the table has four times 64 bytes.
        Self(std::array::from_fn(|i| unsafe {
            _mm512_loadu_si512(table[64 * i..].as_ptr().cast())
        }))
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
    pub(crate) fn look_up(&self, index: __m512i) -> __m512i {
        let low = _mm512_permutex2var_epi8(self.0[0], index, self.0[1]);
        let high = _mm512_permutex2var_epi8(self.0[2], index, self.0[3]);
        _mm512_mask_blend_epi8(_mm512_movepi8_mask(index), low, high)
    }
}

/// See [`super::LookupI8Fn`].
///
/// # Safety
/// As that says.
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
pub(super) unsafe fn lookup_i8(x: &[i8], table: &[i8; 256], out: &mut [i8]) {
    let table = Table::new(&table.map(i8::cast_unsigned));
    let flip = _mm512_set1_epi8(i8::MIN);
    for start in (0..x.len()).step_by(64) {
        let mask = u64::MAX >> (64 - (x.len() - start).min(64));
        // SAFETY: the mask has only bytes of `x`, which is as long as `out`.
        unsafe {
            let index = _mm512_maskz_loadu_epi8(mask, x.as_ptr().add(start));
            let found = table.look_up(_mm512_xor_si512(index, flip));
            _mm512_mask_storeu_epi8(out.as_mut_ptr().add(start), mask, found);
        }
    }
}
