//! AVX-512: `vpopcntq` counts the bits of words.

use std::arch::x86_64::*;

/// See [`super::BitplaneFn`].
///
/// # Safety
/// As that says.
#[target_feature(enable = "avx512f,avx512vpopcntdq")]
pub(super) unsafe fn differences(weights: &[u64], activations: &[u64], words: usize) -> u64 {
    let mut total = 0;
    for (i, w) in weights.chunks_exact(words.max(1)).enumerate() {
        for (j, x) in activations.chunks_exact(words.max(1)).enumerate() {
            total += count(w, x) << (i + j);
        }
    }
    total
}

#[inline]
#[target_feature(enable = "avx512f,avx512vpopcntdq")]
fn count(w: &[u64], x: &[u64]) -> u64 {
    let (w, _) = w.as_chunks::<8>();
    let (x, _) = x.as_chunks::<8>();
    let mut sums = _mm512_setzero_si512();
    for (w, x) in w.iter().zip(x) {
        // SAFETY: both are 64 bytes.
        let bits = unsafe {
            let w = _mm512_loadu_si512(w.as_ptr().cast());
            _mm512_xor_si512(w, _mm512_loadu_si512(x.as_ptr().cast()))
        };
        sums = _mm512_add_epi64(sums, _mm512_popcnt_epi64(bits));
    }
    _mm512_reduce_add_epi64(sums).cast_unsigned()
}
