//! Normalisation over [`Lanes`].

use super::scalar::rms_scale;
use crate::lanes::{Binary, LANES, Lanes, zip};

#[inline(always)]
fn sum_of_squares<S: Lanes>(s: S, x: &[f32]) -> f32 {
    let mut sums = [s.splat(0.0); 4];
    let (blocks, tail) = x.as_chunks::<{ 4 * LANES }>();
    for block in blocks {
        for (sum, part) in sums.iter_mut().zip(block.as_chunks::<LANES>().0) {
            let v = s.load(part);
            *sum = s.fma(v, v, *sum);
        }
    }
    for (sum, part) in sums.iter_mut().zip(tail.chunks(LANES)) {
        let v = s.load_partial(part, 0.0);
        *sum = s.fma(v, v, *sum);
    }
    s.sum_64(sums)
}

/// `x * scale * weight`
#[derive(Clone, Copy)]
struct Apply {
    scale: f32,
}

impl Binary for Apply {
    #[inline(always)]
    fn apply<S: Lanes>(self, s: S, x: S::F, weight: S::F) -> S::F {
        s.canonical(s.mul(s.mul(x, s.splat(self.scale)), weight))
    }
}

#[inline(always)]
pub(super) fn rms_norm<S: Lanes>(s: S, x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
    let scale = rms_scale(sum_of_squares(s, x), x.len(), eps);
    zip(s, Apply { scale }, x, weight, out);
}

#[inline(always)]
pub(super) fn add_rms_norm<S: Lanes>(
    s: S,
    residual: &mut [f32],
    delta: &[f32],
    weight: &[f32],
    eps: f32,
    out: &mut [f32],
) {
    let mut sums = [s.splat(0.0); 4];
    let (blocks, tail) = residual.as_chunks_mut::<{ 4 * LANES }>();
    let (delta_blocks, delta_tail) = delta.as_chunks::<{ 4 * LANES }>();
    for (block, delta) in blocks.iter_mut().zip(delta_blocks) {
        let parts = block.as_chunks_mut::<LANES>().0.iter_mut();
        for ((sum, part), delta) in sums.iter_mut().zip(parts).zip(delta.as_chunks::<LANES>().0) {
            let v = s.canonical(s.add(s.load(part), s.load(delta)));
            s.store(v, part);
            *sum = s.fma(v, v, *sum);
        }
    }
    let parts = tail.chunks_mut(LANES).zip(delta_tail.chunks(LANES));
    for (sum, (part, delta)) in sums.iter_mut().zip(parts) {
        let v = s.canonical(s.add(s.load_partial(part, 0.0), s.load_partial(delta, 0.0)));
        s.store_partial(v, part);
        *sum = s.fma(v, v, *sum);
    }
    let scale = rms_scale(s.sum_64(sums), residual.len(), eps);
    zip(s, Apply { scale }, residual, weight, out);
}
