//! AVX2: `vpshufb` looks up in sixteen tables of 16, one for each high nibble; an index with its highest bit set gives 0.

use std::arch::x86_64::*;

use super::scalar;

/// See [`super::LookupI8Fn`].
///
/// # Safety
/// As that says.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn lookup_i8(x: &[i8], table: &[i8; 256], out: &mut [i8]) {
    let (chunks, rest) = x.as_chunks::<32>();
    let (out_chunks, out_rest) = out.as_chunks_mut::<32>();
    for (x, out) in chunks.iter().zip(out_chunks) {
        // SAFETY: a chunk has 32 bytes.
        let x = unsafe { _mm256_loadu_si256(x.as_ptr().cast()) };
        let index = _mm256_xor_si256(x, _mm256_set1_epi8(i8::MIN));
        let mut found = _mm256_setzero_si256();
        for (nibble, part) in table.as_chunks::<16>().0.iter().enumerate() {
            // SAFETY: a part has 16 bytes.
            let part =
                unsafe { _mm256_broadcastsi128_si256(_mm_loadu_si128(part.as_ptr().cast())) };
            #[expect(clippy::cast_possible_truncation, reason = "below 256")]
            let high = _mm256_set1_epi8((16 * nibble as u8).cast_signed());
            // 0 to 15 in this part; 0x70 more sets the highest bit of all others.
            let own = _mm256_adds_epu8(_mm256_xor_si256(index, high), _mm256_set1_epi8(0x70));
            found = _mm256_or_si256(found, _mm256_shuffle_epi8(part, own));
        }
        // SAFETY: a chunk has 32 bytes.
        unsafe { _mm256_storeu_si256(out.as_mut_ptr().cast(), found) };
    }
    // SAFETY: the specification asks for nothing more.
    unsafe { scalar::lookup_i8(rest, table, out_rest) };
}
