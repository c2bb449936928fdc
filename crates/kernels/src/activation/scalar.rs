//! Activations, one element at a time: what the other files must equal.

use crate::exp::scalar::{exp_parts, scale};
use crate::lanes::canonical;

/// Below this silu is -0 in f32; the bound keeps `-infinity * 0` away and e^-|x| inside its range.
pub(super) const SILU_MIN: f32 = -140.0;

/// `x / (1 + e^-x)`, from `e^-|x| = p * 2^n` so that nothing overflows, the power of two last so that a subnormal is rounded once.
pub(super) fn silu(x: f32) -> f32 {
    let x = if SILU_MIN > x { SILU_MIN } else { x };
    let (p, n) = exp_parts(if -x.abs() > SILU_MIN { -x.abs() } else { SILU_MIN });
    let denominator = 1.0 + scale(p, n);
    let (p, n) = if x < 0.0 { (p, n) } else { (1.0, 0.0) };
    canonical(scale(x * (p / denominator), n))
}

pub(super) fn silu_mul(gate: &[f32], up: &[f32], out: &mut [f32]) {
    for ((out, &gate), &up) in out.iter_mut().zip(gate).zip(up) {
        *out = canonical(silu(gate) * up);
    }
}

pub(super) fn add(x: &mut [f32], y: &[f32]) {
    for (x, &y) in x.iter_mut().zip(y) {
        *x = canonical(*x + y);
    }
}
