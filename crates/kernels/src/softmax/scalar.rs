//! The passes of softmax over one chunk, one element at a time: what the other files must equal.
//!
//! Sums run in 64 lanes: element i in lane i mod 64. A last tile of fewer than 64 elements is filled up with -infinity, which weighs nothing.

use super::{HIGHEST, LOWEST, Pair};
use crate::attention::EMPTY_EXPONENT;
use crate::exp::scalar::{ext_exp, scale_down};
use crate::lanes::canonical;

/// The tiles of 64 elements of a chunk, the last filled up.
fn tiles(x: &[f32]) -> impl Iterator<Item = [f32; 64]> {
    x.chunks(64).map(|part| {
        let mut tile = [f32::NEG_INFINITY; 64];
        tile[..part.len()].copy_from_slice(part);
        tile
    })
}

/// `if a > b { a } else { b }`
pub(super) fn max_of(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

/// `e^x` as a pair, x clamped.
pub(super) fn bounded_ext_exp(x: f32) -> (f32, f32) {
    let below = if HIGHEST < x { HIGHEST } else { x };
    ext_exp(max_of(LOWEST, below))
}

/// `e^d` for a d <= 0; 0 below -87.7.
pub(super) fn exp_of_difference(d: f32) -> f32 {
    let (m, n) = bounded_ext_exp(d);
    scale_down(m, n)
}

/// Adds the lanes by halves: i and i + 32, then 16, 8, 4, 2, 1.
fn sum_64(mut lanes: [f32; 64]) -> f32 {
    for half in [32, 16, 8, 4, 2, 1] {
        for l in 0..half {
            lanes[l] += lanes[l + half];
        }
    }
    lanes[0]
}

/// The [`max_of`] of 16 lanes by the same halves.
fn max_16(mut lanes: [f32; 16]) -> f32 {
    for half in [8, 4, 2, 1] {
        for l in 0..half {
            lanes[l] = max_of(lanes[l], lanes[l + half]);
        }
    }
    lanes[0]
}

pub(super) fn max(x: &[f32]) -> f32 {
    x.iter().fold(f32::NEG_INFINITY, |max, &x| max_of(x, max))
}

pub(super) fn ext_exp_sum(x: &[f32]) -> Pair {
    // One exponent for each of 16 lanes; lane l of 64 uses that of lane l mod 16.
    let mut exponents = [EMPTY_EXPONENT; 16];
    let mut sums = [0.0f32; 64];
    for tile in tiles(x) {
        let pairs = tile.map(bounded_ext_exp);
        let old = exponents;
        for (l, &(_, n)) in pairs.iter().enumerate() {
            exponents[l % 16] = max_of(exponents[l % 16], n);
        }
        for (l, (sum, (m, n))) in sums.iter_mut().zip(pairs).enumerate() {
            let common = exponents[l % 16];
            *sum = sum.mul_add(scale_down(1.0, old[l % 16] - common), scale_down(m, n - common));
        }
    }
    // The four sums of a lane share its exponent: they are added before they are scaled.
    let common = max_16(exponents);
    let mut lanes = [0.0; 16];
    for (l, lane) in lanes.iter_mut().enumerate() {
        let sum = (sums[l] + sums[l + 32]) + (sums[l + 16] + sums[l + 48]);
        *lane = sum * scale_down(1.0, exponents[l] - common);
    }
    for half in [8, 4, 2, 1] {
        for l in 0..half {
            lanes[l] += lanes[l + half];
        }
    }
    Pair { sum: canonical(lanes[0]), exponent: canonical(common) }
}

pub(super) fn ext_exp_scale(x: &[f32], factor: f32, exponent: f32, out: &mut [f32]) {
    for (out, &x) in out.iter_mut().zip(x) {
        let (m, n) = bounded_ext_exp(x);
        *out = canonical(scale_down(m * factor, n - exponent));
    }
}

pub(super) fn exp_sum(x: &[f32], max: f32) -> f32 {
    let mut sums = [0.0f32; 64];
    for tile in tiles(x) {
        for (sum, x) in sums.iter_mut().zip(tile) {
            *sum += exp_of_difference(x - max);
        }
    }
    canonical(sum_64(sums))
}

pub(super) fn exp_scale(x: &[f32], max: f32, factor: f32, out: &mut [f32]) {
    for (out, &x) in out.iter_mut().zip(x) {
        *out = canonical(exp_of_difference(x - max) * factor);
    }
}

pub(super) fn exp_store(x: &[f32], max: f32, out: &mut [f32]) -> f32 {
    for (out, &x) in out.iter_mut().zip(x) {
        *out = canonical(exp_of_difference(x - max));
    }
    exp_sum(x, max)
}

pub(super) fn scale(x: &mut [f32], factor: f32) {
    for x in x {
        *x = canonical(*x * factor);
    }
}

pub(super) fn online_sum(x: &[f32]) -> Pair {
    let mut maxima = [f32::MIN; 16];
    let mut sums = [0.0f32; 64];
    for tile in tiles(x) {
        let old = maxima;
        for (l, &x) in tile.iter().enumerate() {
            maxima[l % 16] = max_of(maxima[l % 16], x);
        }
        for (l, (sum, x)) in sums.iter_mut().zip(tile).enumerate() {
            let max = maxima[l % 16];
            *sum = sum.mul_add(exp_of_difference(old[l % 16] - max), exp_of_difference(x - max));
        }
    }
    let max = max_16(maxima);
    let mut lanes = [0.0; 16];
    for (l, lane) in lanes.iter_mut().enumerate() {
        let sum = (sums[l] + sums[l + 32]) + (sums[l + 16] + sums[l + 48]);
        *lane = sum * exp_of_difference(maxima[l] - max);
    }
    for half in [8, 4, 2, 1] {
        for l in 0..half {
            lanes[l] += lanes[l + half];
        }
    }
    Pair { sum: canonical(lanes[0]), exponent: canonical(max) }
}

pub(super) fn subtract(x: &[f32], high: f32, low: f32, out: &mut [f32]) {
    for (out, &x) in out.iter_mut().zip(x) {
        *out = canonical((x - high) - low);
    }
}

pub(super) fn widen_i8(x: &[i8], scale: f32, out: &mut [f32]) {
    for (out, &x) in out.iter_mut().zip(x) {
        *out = canonical(f32::from(x) * scale);
    }
}

pub(super) fn narrow_u8(x: &[f32], out: &mut [u8]) {
    for (out, &x) in out.iter_mut().zip(x) {
        // A cast turns NaN into 0.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "from 0 to 255, rounded"
        )]
        {
            *out = (x * 255.0).round_ties_even() as u8;
        }
    }
}
