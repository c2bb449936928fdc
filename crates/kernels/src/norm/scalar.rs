//! Normalisation, one element at a time: what the other files must equal.

use crate::lanes::canonical;

/// The sum of the squares in 64 lanes: element i in lane i mod 64, each lane a chain of fused multiply-adds, merged by halves.
fn sum_of_squares(x: &[f32]) -> f32 {
    let mut lanes = [0.0f32; 64];
    for (i, &x) in x.iter().enumerate() {
        lanes[i % 64] = x.mul_add(x, lanes[i % 64]);
    }
    halving_sum(lanes)
}

/// Lane i + lane i + 32, then 16, 8, 4, 2, 1.
pub(super) fn halving_sum(mut lanes: [f32; 64]) -> f32 {
    for half in [32, 16, 8, 4, 2, 1] {
        for i in 0..half {
            lanes[i] += lanes[i + half];
        }
    }
    lanes[0]
}

/// `1 / sqrt(sum / len + eps)`
#[expect(clippy::cast_precision_loss, reason = "rows are shorter than 2^24")]
#[inline(always)]
pub(super) fn rms_scale(sum_of_squares: f32, len: usize, eps: f32) -> f32 {
    1.0 / (sum_of_squares / len as f32 + eps).sqrt()
}

pub(super) fn rms_norm(x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
    let scale = rms_scale(sum_of_squares(x), x.len(), eps);
    for ((out, &x), &w) in out.iter_mut().zip(x).zip(weight) {
        *out = canonical(x * scale * w);
    }
}

pub(super) fn add_rms_norm(
    residual: &mut [f32],
    delta: &[f32],
    weight: &[f32],
    eps: f32,
    out: &mut [f32],
) {
    for (residual, &delta) in residual.iter_mut().zip(delta) {
        *residual = canonical(*residual + delta);
    }
    rms_norm(residual, weight, eps, out);
}

/// The sum in 64 lanes: element i in lane i mod 64, merged by halves.
fn sum(x: &[f32]) -> f32 {
    let mut lanes = [0.0f32; 64];
    for (i, &x) in x.iter().enumerate() {
        lanes[i % 64] += x;
    }
    halving_sum(lanes)
}

/// `sum / len`
#[expect(clippy::cast_precision_loss, reason = "rows are shorter than 2^24")]
#[inline(always)]
pub(super) fn mean(sum: f32, len: usize) -> f32 {
    sum / len as f32
}

pub(super) fn layer_norm(x: &[f32], weight: &[f32], bias: &[f32], eps: f32, out: &mut [f32]) {
    let mean = mean(sum(x), x.len());
    let mut lanes = [0.0f32; 64];
    for (i, &x) in x.iter().enumerate() {
        lanes[i % 64] = (x - mean).mul_add(x - mean, lanes[i % 64]);
    }
    let scale = rms_scale(halving_sum(lanes), x.len(), eps);
    for ((out, &x), (&w, &b)) in out.iter_mut().zip(x).zip(weight.iter().zip(bias)) {
        *out = canonical(((x - mean) * scale).mul_add(w, b));
    }
}

/// `1 / max(sqrt(sum), eps)`
#[inline(always)]
pub(super) fn l2_scale(sum_of_squares: f32, eps: f32) -> f32 {
    let norm = sum_of_squares.sqrt();
    1.0 / if eps > norm { eps } else { norm }
}

pub(super) fn l2_norm(x: &[f32], eps: f32, out: &mut [f32]) {
    let scale = l2_scale(sum_of_squares(x), eps);
    for (out, &x) in out.iter_mut().zip(x) {
        *out = canonical(x * scale);
    }
}
