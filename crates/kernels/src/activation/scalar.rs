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

/// tanh(x) = x + x^3 P(x^2) for |x| < 0.625 (Cephes, `tanhf.c`): the coefficients of P, the highest power first.
pub(super) const TANH: [f32; 5] =
    [-5.704_989e-3, 2.063_909e-2, -5.373_971_6e-2, 1.333_144_2e-1, -0.333_332_8];

/// Below it the polynomial serves.
pub(super) const TANH_SMALL: f32 = 0.625;

/// From here on tanh is 1 in f32.
pub(super) const TANH_LARGE: f32 = 10.0;

/// `tanh(x)`, at most 2 ULP from the exact value.
pub(crate) fn tanh(x: f32) -> f32 {
    let magnitude = x.abs();
    if magnitude < TANH_SMALL {
        let z = x * x;
        let p = TANH[1..].iter().fold(TANH[0], |p, c| p.mul_add(z, *c));
        return (p * z).mul_add(x, x);
    }
    let bounded = if TANH_LARGE < magnitude { TANH_LARGE } else { magnitude };
    let (p, n) = exp_parts(2.0 * bounded);
    let tail = 2.0 / (scale(p, n) + 1.0);
    canonical((1.0 - tail).copysign(x))
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
