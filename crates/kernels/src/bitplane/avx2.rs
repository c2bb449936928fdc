//! AVX2: the bits of a nibble are a look-up (Muła), bytes are added by `vpsadbw`.

use std::arch::x86_64::*;

/// See [`super::BitplaneFn`].
///
/// # Safety
/// As that says.
#[target_feature(enable = "avx2")]
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
#[target_feature(enable = "avx2")]
fn count(w: &[u64], x: &[u64]) -> u64 {
    let table = _mm256_setr_epi8(
        0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4, 0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3,
        3, 4,
    );
    let nibble = _mm256_set1_epi8(15);
    let (w, _) = w.as_chunks::<4>();
    let (x, _) = x.as_chunks::<4>();
    let mut sums = _mm256_setzero_si256();
    // A byte counts at most 8 a step: 31 steps.
    for (w, x) in w.chunks(31).zip(x.chunks(31)) {
        let mut bytes = _mm256_setzero_si256();
        for (w, x) in w.iter().zip(x) {
            // SAFETY: both are 32 bytes.
            let (w, x) = unsafe {
                (_mm256_loadu_si256(w.as_ptr().cast()), _mm256_loadu_si256(x.as_ptr().cast()))
            };
            let bits = _mm256_xor_si256(w, x);
            let low = _mm256_shuffle_epi8(table, _mm256_and_si256(bits, nibble));
            let high = _mm256_and_si256(_mm256_srli_epi16::<4>(bits), nibble);
            let high = _mm256_shuffle_epi8(table, high);
            bytes = _mm256_add_epi8(bytes, _mm256_add_epi8(low, high));
        }
        sums = _mm256_add_epi64(sums, _mm256_sad_epu8(bytes, _mm256_setzero_si256()));
    }
    let mut lanes = [0u64; 4];
    // SAFETY: four words of 64 bits.
    unsafe { _mm256_storeu_si256(lanes.as_mut_ptr().cast(), sums) };
    lanes.iter().sum()
}
