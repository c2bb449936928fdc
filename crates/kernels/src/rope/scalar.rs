//! Rotary position embedding, one pair at a time: what the other files must equal.

use super::RopePairing;
use crate::lanes::canonical;

/// The pair `(a, b)` turned by the angle of `cos` and `sin`.
#[inline(always)]
pub(super) fn rotate(a: f32, b: f32, cos: f32, sin: f32) -> (f32, f32) {
    (canonical(a.mul_add(cos, -(b * sin))), canonical(b.mul_add(cos, a * sin)))
}

pub(super) fn rope(x: &mut [f32], head_dim: usize, cos: &[f32], sin: &[f32], pairing: RopePairing) {
    let half = cos.len();
    for head in x.chunks_exact_mut(head_dim) {
        for i in 0..half {
            let (a, b) = match pairing {
                RopePairing::Interleaved => (2 * i, 2 * i + 1),
                RopePairing::Halves => (i, i + half),
            };
            (head[a], head[b]) = rotate(head[a], head[b], cos[i], sin[i]);
        }
    }
}
