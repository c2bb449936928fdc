//! NEON: `cnt` counts the bits of bytes.

use std::arch::aarch64::*;

/// See [`super::BitplaneFn`].
///
/// # Safety
/// As that says.
#[target_feature(enable = "neon")]
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
#[target_feature(enable = "neon")]
fn count(w: &[u64], x: &[u64]) -> u64 {
    let (w, _) = w.as_chunks::<2>();
    let (x, _) = x.as_chunks::<2>();
    let mut sums = vdupq_n_u64(0);
    // A byte counts at most 8 a step: 31 steps.
    for (w, x) in w.chunks(31).zip(x.chunks(31)) {
        let mut bytes = vdupq_n_u8(0);
        for (w, x) in w.iter().zip(x) {
            // SAFETY: both are 16 bytes.
            let bits = unsafe { veorq_u64(vld1q_u64(w.as_ptr()), vld1q_u64(x.as_ptr())) };
            bytes = vaddq_u8(bytes, vcntq_u8(vreinterpretq_u8_u64(bits)));
        }
        sums = vpadalq_u32(sums, vpaddlq_u16(vpaddlq_u8(bytes)));
    }
    vaddvq_u64(sums)
}
