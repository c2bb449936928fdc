//! Activations, one element at a time: what the other files must equal.

use crate::exp::scalar::{exp_parts, ln, scale};
use crate::lanes::canonical;

/// Below this silu is -0 in f32; the bound keeps `-infinity * 0` away and e^-|x| inside its range.
pub(super) const SILU_MIN: f32 = -140.0;

/// `e^-|x|` as `(p, n)` of value `p * 2^n`; NaN passes.
fn exp_of_magnitude<const D: usize>(x: f32) -> (f32, f32) {
    exp_parts::<D>(if SILU_MIN > -x.abs() { SILU_MIN } else { -x.abs() })
}

/// `1 / (1 + e^-x)`, from `e^-|x|` so that nothing overflows.
pub(super) fn sigmoid<const D: usize>(x: f32) -> f32 {
    let (p, n) = exp_of_magnitude::<D>(x);
    let denominator = 1.0 + scale(p, n);
    let (p, n) = if x < 0.0 { (p, n) } else { (1.0, 0.0) };
    scale(p / denominator, n)
}

/// `factor * sigmoid(x)`, the power of two last, so that a subnormal is rounded once.
fn times_sigmoid<const D: usize>(factor: f32, x: f32) -> f32 {
    let (p, n) = exp_of_magnitude::<D>(x);
    let denominator = 1.0 + scale(p, n);
    let (p, n) = if x < 0.0 { (p, n) } else { (1.0, 0.0) };
    scale(factor * (p / denominator), n)
}

/// `x * sigmoid(x)`; -0 at -infinity.
pub(super) fn silu<const D: usize>(x: f32) -> f32 {
    let x = if SILU_MIN > x { SILU_MIN } else { x };
    times_sigmoid::<D>(x, x)
}

/// `2 sqrt(2/pi)`, and that times 0.044715.
pub(super) const GELU_TANH: (f32, f32) = (f32::from_bits(0x3FCC_422A), 0.071_354_814);

/// `x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))`, which is `x * sigmoid(2 sqrt(2/pi) (x + 0.044715 x^3))`.
pub(super) fn gelu_tanh<const D: usize>(x: f32) -> f32 {
    if x < GELU_TANH_MIN {
        return -0.0;
    }
    let u = x * (x * x).mul_add(GELU_TANH.1, GELU_TANH.0);
    times_sigmoid::<D>(x, if SIGMOID_ONE < u { SIGMOID_ONE } else { u })
}

/// From here on a sigmoid is 1 in f32, and `e^-x` still a normal number.
pub(super) const SIGMOID_ONE: f32 = 64.0;

/// Below these gelu and its approximation are -0: about where they leave the normal numbers. Subnormal results would take a hundred cycles
/// each, and a few in a thousand activations are that far out.
pub(super) const GELU_MIN: f32 = -13.125;
/// See [`GELU_MIN`].
pub(super) const GELU_TANH_MIN: f32 = -10.0;

/// `Phi(-a) = e^(-a^2/2) R(t)` with `t = (a - 3) / (a + 3)` for a in [0, 15] (minimax by exchange, a relative error of 2^-26.9): the
/// coefficients of R, the highest power first.
pub(super) const NORMAL_TAIL: [f32; 10] = [
    f32::from_bits(0x3861_1E08),
    f32::from_bits(0x38F2_5035),
    f32::from_bits(0xB9B1_FCF1),
    f32::from_bits(0xBA80_F177),
    f32::from_bits(0x3B3E_5A5F),
    f32::from_bits(0x3BC8_EF8A),
    f32::from_bits(0xBD3D_4A26),
    f32::from_bits(0x3DFC_5D68),
    f32::from_bits(0xBE53_5B35),
    f32::from_bits(0x3DF8_DC4E),
];

/// `x Phi(x)`, Phi the normal distribution: `x/2 (1 + erf(x / sqrt(2)))` without its cancellation.
pub(super) fn gelu<const D: usize>(x: f32) -> f32 {
    if x < GELU_MIN {
        return -0.0;
    }
    let a = if -GELU_MIN < x.abs() { -GELU_MIN } else { x.abs() };
    let t = (a - 3.0) / (a + 3.0);
    let r = NORMAL_TAIL[1..].iter().fold(NORMAL_TAIL[0], |r, c| r.mul_add(t, *c));
    // a^2 in two parts: an error of 2^-24 in it would be one of 112 * 2^-24 in its exponential.
    let square = a * a;
    let rest = a.mul_add(a, -square);
    let (p, n) = exp_parts::<D>(-0.5 * square);
    let tail = r * (p * rest).mul_add(-0.5, p);
    if x < 0.0 { scale(x * tail, n) } else { x * (1.0 - scale(tail, n)) }
}

/// `1 / sqrt(x)`, both rounded.
pub(super) fn rsqrt(x: f32) -> f32 {
    1.0 / x.sqrt()
}

/// `max(0, x)^2`
pub(super) fn relu_squared(x: f32) -> f32 {
    let x = if 0.0 > x { 0.0 } else { x };
    x * x
}

/// `ln(1 + e^x)`
pub(super) fn softplus<const D: usize>(x: f32) -> f32 {
    let (p, n) = exp_of_magnitude::<D>(x);
    let e = scale(p, n);
    // ln(1 + e): what 1 + e loses of e counts by the derivative.
    let sum = 1.0 + e;
    let logarithm = ln(sum) + (e - (sum - 1.0)) / sum;
    (if 0.0 > x { 0.0 } else { x }) + logarithm
}

/// tanh(x) = x + x^3 P(x^2) for |x| < 0.625 (Cephes, `tanhf.c`): the coefficients of P, the highest power first.
pub(super) const TANH: [f32; 5] =
    [-5.704_989e-3, 2.063_909e-2, -5.373_971_6e-2, 1.333_144_2e-1, -0.333_332_8];

/// Below it the polynomial serves.
pub(super) const TANH_SMALL: f32 = 0.625;

/// From here on tanh is 1 in f32.
pub(super) const TANH_LARGE: f32 = 10.0;

/// `tanh(x)`; degree 7: at most 2 ULP from the exact value. A NaN keeps its payload.
pub(crate) fn tanh<const D: usize>(x: f32) -> f32 {
    let magnitude = x.abs();
    if magnitude < TANH_SMALL {
        let z = x * x;
        let p = TANH[1..].iter().fold(TANH[0], |p, c| p.mul_add(z, *c));
        return (p * z).mul_add(x, x);
    }
    let bounded = if TANH_LARGE < magnitude { TANH_LARGE } else { magnitude };
    let (p, n) = exp_parts::<D>(2.0 * bounded);
    let tail = 2.0 / (scale(p, n) + 1.0);
    (1.0 - tail).copysign(x)
}

pub(super) fn silu_mul(gate: &[f32], up: &[f32], out: &mut [f32]) {
    for ((out, &gate), &up) in out.iter_mut().zip(gate).zip(up) {
        *out = canonical(silu::<7>(gate) * up);
    }
}

pub(super) fn add(x: &mut [f32], y: &[f32]) {
    for (x, &y) in x.iter_mut().zip(y) {
        *x = canonical(*x + y);
    }
}

pub(super) fn soft_cap(x: &mut [f32], cap: f32) {
    for x in x {
        *x = canonical(capped(*x, cap));
    }
}

/// `cap * tanh(x / cap)`; a NaN keeps its bits.
pub(crate) fn capped(x: f32, cap: f32) -> f32 {
    cap * tanh::<7>(x * (1.0 / cap))
}
