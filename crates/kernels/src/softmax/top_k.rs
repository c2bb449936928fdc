//! The k largest elements without a full sort.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use crate::registry::Kernels;

/// Elements whose maximum is taken together: most blocks hold nothing that belongs to the best, and are passed over by one vector loop.
const BLOCK: usize = 256;

/// An element and its place, ordered so that the greatest is the one to be dropped first: the smallest value, and of equals the latest.
#[derive(Clone, Copy, PartialEq)]
struct Entry {
    value: f32,
    index: usize,
}

impl Eq for Entry {}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        compare(other.value, self.value).then(self.index.cmp(&other.index))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// NaN is below everything; both zeros are equal.
fn compare(a: f32, b: f32) -> Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| b.is_nan().cmp(&a.is_nan()))
}

impl Kernels {
    /// The indices of the `k` largest elements, the largest first, of equals the first; NaN is smaller than everything. All indices where
    /// there are fewer than `k`.
    #[must_use]
    pub fn top_k(&self, x: &[f32], k: usize) -> Vec<usize> {
        let k = k.min(x.len());
        let mut best = BinaryHeap::with_capacity(k);
        if k == 0 {
            return Vec::new();
        }
        for (block, values) in x.chunks(BLOCK).enumerate() {
            let worst = best.peek().copied().filter(|_| best.len() == k);
            if let Some(Entry { value, .. }) = worst
                && self.max(values) <= value
            {
                continue;
            }
            for (i, &value) in values.iter().enumerate() {
                let entry = Entry { value, index: block * BLOCK + i };
                if best.len() < k {
                    best.push(entry);
                } else if let Some(mut worst) = best.peek_mut()
                    && entry < *worst
                {
                    *worst = entry;
                }
            }
        }
        best.into_sorted_vec().into_iter().map(|entry| entry.index).collect()
    }
}

#[cfg(test)]
mod tests {
    use dyadic_testkit::Rng;

    use super::compare;
    use crate::{Isa, Kernels};

    #[test]
    fn agrees_with_a_sort() {
        let mut rng = Rng::new(1);
        for isa in Isa::supported() {
            let kernels = Kernels::for_isa(isa).unwrap();
            for len in [0, 1, 2, 255, 256, 257, 5000] {
                let mut x = rng.special_vec(len);
                // Many equal ones.
                x.iter_mut().skip(1).step_by(3).for_each(|x| *x = x.round());
                let mut sorted: Vec<usize> = (0..len).collect();
                sorted.sort_by(|&a, &b| compare(x[b], x[a]).then(a.cmp(&b)));
                for k in [0, 1, 2, 40, 300, 10_000] {
                    assert_eq!(kernels.top_k(&x, k), sorted[..k.min(len)], "{isa} {len} {k}");
                }
            }
        }
    }
}
