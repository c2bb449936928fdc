//! Normalisation over [`Lanes`].

use super::scalar::{l2_scale, mean, rms_scale};
use crate::lanes::{Binary, LANES, Lanes, Unary, map, zip};

/// The sum of the elements, in 64 lanes.
#[inline(always)]
fn sum<S: Lanes>(s: S, x: &[f32]) -> f32 {
    let mut sums = [s.splat(0.0); 4];
    let (blocks, tail) = x.as_chunks::<{ 4 * LANES }>();
    for block in blocks {
        for (sum, part) in sums.iter_mut().zip(block.as_chunks::<LANES>().0) {
            *sum = s.add(*sum, s.load(part));
        }
    }
    for (sum, part) in sums.iter_mut().zip(tail.chunks(LANES)) {
        *sum = s.add(*sum, s.load_partial(part, 0.0));
    }
    s.sum_64(sums)
}

/// The sum of `(x - center)^2`, in 64 lanes.
#[inline(always)]
fn sum_of_squares<S: Lanes>(s: S, x: &[f32], center: f32) -> f32 {
    let middle = s.splat(center);
    let mut sums = [s.splat(0.0); 4];
    let (blocks, tail) = x.as_chunks::<{ 4 * LANES }>();
    for block in blocks {
        for (sum, part) in sums.iter_mut().zip(block.as_chunks::<LANES>().0) {
            let v = s.sub(s.load(part), middle);
            *sum = s.fma(v, v, *sum);
        }
    }
    for (sum, part) in sums.iter_mut().zip(tail.chunks(LANES)) {
        // What is beyond the row lies in the middle and adds nothing.
        let v = s.sub(s.load_partial(part, center), middle);
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
    let scale = rms_scale(sum_of_squares(s, x, 0.0), x.len(), eps);
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

/// `(x - mean) * scale`
#[derive(Clone, Copy)]
struct Center {
    mean: f32,
    scale: f32,
}

impl Unary for Center {
    #[inline(always)]
    fn apply<S: Lanes>(self, s: S, x: S::F) -> S::F {
        s.mul(s.sub(x, s.splat(self.mean)), s.splat(self.scale))
    }
}

#[inline(always)]
pub(super) fn layer_norm<S: Lanes>(
    s: S,
    x: &[f32],
    weight: &[f32],
    bias: &[f32],
    eps: f32,
    out: &mut [f32],
) {
    let mean = mean(sum(s, x), x.len());
    let scale = rms_scale(sum_of_squares(s, x, mean), x.len(), eps);
    let center = Center { mean, scale };
    let (chunks, tail) = x.as_chunks::<LANES>();
    let (weights, weight_tail) = weight.as_chunks::<LANES>();
    let (biases, bias_tail) = bias.as_chunks::<LANES>();
    let (outs, out_tail) = out.as_chunks_mut::<LANES>();
    for ((x, out), (w, b)) in chunks.iter().zip(outs).zip(weights.iter().zip(biases)) {
        let v = s.fma(center.apply(s, s.load(x)), s.load(w), s.load(b));
        s.store(s.canonical(v), out);
    }
    if !tail.is_empty() {
        let (w, b) = (s.load_partial(weight_tail, 0.0), s.load_partial(bias_tail, 0.0));
        let v = s.fma(center.apply(s, s.load_partial(tail, 0.0)), w, b);
        s.store_partial(s.canonical(v), out_tail);
    }
}

/// `x * factor`
#[derive(Clone, Copy)]
struct Scale {
    factor: f32,
}

impl Unary for Scale {
    #[inline(always)]
    fn apply<S: Lanes>(self, s: S, x: S::F) -> S::F {
        s.canonical(s.mul(x, s.splat(self.factor)))
    }
}

#[inline(always)]
pub(super) fn l2_norm<S: Lanes>(s: S, x: &[f32], eps: f32, out: &mut [f32]) {
    let factor = l2_scale(sum_of_squares(s, x, 0.0), eps);
    map(s, Scale { factor }, x, out);
}
