//! Rotary position embedding over [`Lanes`].

use super::RopePairing;
use super::scalar::rotate;
use crate::lanes::{LANES, Lanes};

/// `(i, i + n/2)` are pairs: both halves are whole vectors.
#[inline(always)]
fn rotate_halves<S: Lanes>(s: S, x: &mut [f32], cos: &[f32], sin: &[f32]) {
    let (a, b) = x.split_at_mut(cos.len());
    let (a_chunks, a_tail) = a.as_chunks_mut::<LANES>();
    let (b_chunks, b_tail) = b.as_chunks_mut::<LANES>();
    let (cos_chunks, cos_tail) = cos.as_chunks::<LANES>();
    let (sin_chunks, sin_tail) = sin.as_chunks::<LANES>();
    let angles = cos_chunks.iter().zip(sin_chunks);
    for ((a, b), (cos, sin)) in a_chunks.iter_mut().zip(b_chunks).zip(angles) {
        let (u, v, c, t) = (s.load(a), s.load(b), s.load(cos), s.load(sin));
        s.store(s.canonical(s.fma(u, c, s.neg(s.mul(v, t)))), a);
        s.store(s.canonical(s.fma(v, c, s.mul(u, t))), b);
    }
    for ((a, b), (cos, sin)) in a_tail.iter_mut().zip(b_tail).zip(cos_tail.iter().zip(sin_tail)) {
        (*a, *b) = rotate(*a, *b, *cos, *sin);
    }
}

/// `(2i, 2i + 1)` are pairs: each lane needs its neighbour.
#[inline(always)]
fn rotate_neighbours<S: Lanes>(s: S, x: &mut [f32], cos: &[f32], sin: &[f32]) {
    // Even lanes get `-(b * sin)`, odd lanes `+(a * sin)`.
    let mut signs = [0.0f32; LANES];
    for sign in signs.iter_mut().step_by(2) {
        *sign = -0.0;
    }
    let signs = s.bits(s.load(&signs));
    let (chunks, tail) = x.as_chunks_mut::<LANES>();
    let (cos_chunks, cos_tail) = cos.as_chunks::<{ LANES / 2 }>();
    let (sin_chunks, sin_tail) = sin.as_chunks::<{ LANES / 2 }>();
    for (chunk, (cos, sin)) in chunks.iter_mut().zip(cos_chunks.iter().zip(sin_chunks)) {
        let v = s.load(chunk);
        let product = s.mul(s.swap_pairs(v), s.duplicate(sin));
        let signed = s.float_of_bits(s.xor_i(s.bits(product), signs));
        s.store(s.canonical(s.fma(v, s.duplicate(cos), signed)), chunk);
    }
    let pairs = tail.as_chunks_mut::<2>().0;
    for ([a, b], (cos, sin)) in pairs.iter_mut().zip(cos_tail.iter().zip(sin_tail)) {
        (*a, *b) = rotate(*a, *b, *cos, *sin);
    }
}

#[inline(always)]
pub(super) fn rope<S: Lanes>(
    s: S,
    x: &mut [f32],
    head_dim: usize,
    cos: &[f32],
    sin: &[f32],
    pairing: RopePairing,
) {
    let rotary_dim = 2 * cos.len();
    for head in x.chunks_exact_mut(head_dim) {
        let rotated = &mut head[..rotary_dim];
        match pairing {
            RopePairing::Interleaved => rotate_neighbours(s, rotated, cos, sin),
            RopePairing::Halves => rotate_halves(s, rotated, cos, sin),
        }
    }
}
