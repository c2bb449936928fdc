//! The specification: every other kernel returns these integers.

/// See [`super::BitplaneFn`].
///
/// # Safety
/// None: it is called like the others.
pub(super) unsafe fn differences(weights: &[u64], activations: &[u64], words: usize) -> u64 {
    let mut total = 0;
    for (i, w) in weights.chunks_exact(words.max(1)).enumerate() {
        for (j, x) in activations.chunks_exact(words.max(1)).enumerate() {
            let count: u64 = w.iter().zip(x).map(|(w, x)| u64::from((w ^ x).count_ones())).sum();
            total += count << (i + j);
        }
    }
    total
}
