//! Activations over [`Lanes`]. A NaN keeps its bits until the last step.

use super::scalar::{
    GELU_MIN, GELU_TANH, GELU_TANH_MIN, NORMAL_TAIL, SIGMOID_ONE, SILU_MIN, TANH, TANH_LARGE,
    TANH_SMALL,
};
use crate::exp::lanes::{exp_parts, ln};
use crate::lanes::{Binary, Lanes, Unary, map_in_place, zip, zip_in_place};

/// `e^-|x|` as `(p, n)` of value `p * 2^n`; NaN passes.
#[inline(always)]
fn exp_of_magnitude<S: Lanes, const D: usize>(s: S, x: S::F) -> (S::F, S::F) {
    exp_parts::<S, D>(s, s.max(s.splat(SILU_MIN), s.neg(s.abs(x))))
}

/// [`super::scalar::sigmoid`].
#[inline(always)]
pub(super) fn sigmoid<S: Lanes, const D: usize>(s: S, x: S::F) -> S::F {
    let (zero, one) = (s.splat(0.0), s.splat(1.0));
    let (p, n) = exp_of_magnitude::<S, D>(s, x);
    let denominator = s.add(one, s.scale(p, n));
    let negative = s.lt(x, zero);
    s.scale(s.div(s.select(negative, p, one), denominator), s.select(negative, n, zero))
}

/// [`super::scalar::times_sigmoid`].
#[inline(always)]
fn times_sigmoid<S: Lanes, const D: usize>(s: S, factor: S::F, x: S::F) -> S::F {
    let (zero, one) = (s.splat(0.0), s.splat(1.0));
    let (p, n) = exp_of_magnitude::<S, D>(s, x);
    let denominator = s.add(one, s.scale(p, n));
    let negative = s.lt(x, zero);
    let quotient = s.div(s.select(negative, p, one), denominator);
    s.scale(s.mul(factor, quotient), s.select(negative, n, zero))
}

/// [`super::scalar::silu`].
#[inline(always)]
pub(super) fn silu<S: Lanes, const D: usize>(s: S, x: S::F) -> S::F {
    let x = s.max(s.splat(SILU_MIN), x);
    times_sigmoid::<S, D>(s, x, x)
}

/// [`super::scalar::gelu_tanh`].
#[inline(always)]
pub(super) fn gelu_tanh<S: Lanes, const D: usize>(s: S, x: S::F) -> S::F {
    let none = s.lt(x, s.splat(GELU_TANH_MIN));
    let x = s.max(s.splat(GELU_TANH_MIN), x);
    let slope = s.fma(s.mul(x, x), s.splat(GELU_TANH.1), s.splat(GELU_TANH.0));
    let u = s.min(s.splat(SIGMOID_ONE), s.mul(x, slope));
    s.select(none, s.splat(-0.0), times_sigmoid::<S, D>(s, x, u))
}

/// [`super::scalar::gelu`].
#[inline(always)]
pub(super) fn gelu<S: Lanes, const D: usize>(s: S, x: S::F) -> S::F {
    let three = s.splat(3.0);
    let none = s.lt(x, s.splat(GELU_MIN));
    let x = s.max(s.splat(GELU_MIN), x);
    let a = s.min(s.splat(-GELU_MIN), s.abs(x));
    let t = s.div(s.sub(a, three), s.add(a, three));
    let mut r = s.splat(NORMAL_TAIL[0]);
    for c in &NORMAL_TAIL[1..] {
        r = s.fma(r, t, s.splat(*c));
    }
    let square = s.mul(a, a);
    let rest = s.fma(a, a, s.neg(square));
    let (p, n) = exp_parts::<S, D>(s, s.mul(s.splat(-0.5), square));
    let tail = s.mul(r, s.fma(s.mul(p, rest), s.splat(-0.5), p));
    let below = s.scale(s.mul(x, tail), n);
    // From 2^-100 on nothing is left of it beside 1, and a subnormal number would take a hundred cycles.
    let rest_of_one = s.scale(tail, s.max(s.splat(-100.0), n));
    let above = s.mul(x, s.sub(s.splat(1.0), rest_of_one));
    s.select(none, s.splat(-0.0), s.select(s.lt(x, s.splat(0.0)), below, above))
}

/// [`super::scalar::rsqrt`].
#[inline(always)]
pub(super) fn rsqrt<S: Lanes>(s: S, x: S::F) -> S::F {
    s.div(s.splat(1.0), s.sqrt(x))
}

/// [`super::scalar::relu_squared`].
#[inline(always)]
pub(super) fn relu_squared<S: Lanes>(s: S, x: S::F) -> S::F {
    let x = s.max(s.splat(0.0), x);
    s.mul(x, x)
}

/// [`super::scalar::softplus`].
#[inline(always)]
pub(super) fn softplus<S: Lanes, const D: usize>(s: S, x: S::F) -> S::F {
    let one = s.splat(1.0);
    let (p, n) = exp_of_magnitude::<S, D>(s, x);
    let e = s.scale(p, n);
    let sum = s.add(one, e);
    let logarithm = s.add(ln(s, sum), s.div(s.sub(e, s.sub(sum, one)), sum));
    s.add(s.max(s.splat(0.0), x), logarithm)
}

/// [`super::scalar::tanh`].
#[inline(always)]
pub(crate) fn tanh<S: Lanes, const D: usize>(s: S, x: S::F) -> S::F {
    let magnitude = s.abs(x);
    let z = s.mul(x, x);
    let mut p = s.splat(TANH[0]);
    for c in &TANH[1..] {
        p = s.fma(p, z, s.splat(*c));
    }
    let small = s.fma(s.mul(p, z), x, x);

    let (p, n) = exp_parts::<S, D>(s, s.mul(s.splat(2.0), s.min(s.splat(TANH_LARGE), magnitude)));
    let one = s.splat(1.0);
    let tail = s.div(s.splat(2.0), s.add(s.scale(p, n), one));
    let sign = s.and_i(s.bits(x), s.splat_i(i32::MIN));
    let large = s.float_of_bits(s.or_i(s.bits(s.sub(one, tail)), sign));
    s.select(s.lt(magnitude, s.splat(TANH_SMALL)), small, large)
}

#[derive(Clone, Copy)]
struct SiluMul;

impl Binary for SiluMul {
    #[inline(always)]
    fn apply<S: Lanes>(self, s: S, gate: S::F, up: S::F) -> S::F {
        s.canonical(s.mul(silu::<S, 7>(s, gate), up))
    }
}

#[derive(Clone, Copy)]
struct Add;

impl Binary for Add {
    #[inline(always)]
    fn apply<S: Lanes>(self, s: S, x: S::F, y: S::F) -> S::F {
        s.canonical(s.add(x, y))
    }
}

#[inline(always)]
pub(super) fn silu_mul<S: Lanes>(s: S, gate: &[f32], up: &[f32], out: &mut [f32]) {
    zip(s, SiluMul, gate, up, out);
}

#[inline(always)]
pub(super) fn add<S: Lanes>(s: S, x: &mut [f32], y: &[f32]) {
    zip_in_place(s, Add, x, y);
}

#[derive(Clone, Copy)]
struct SoftCap {
    cap: f32,
}

impl Unary for SoftCap {
    #[inline(always)]
    fn apply<S: Lanes>(self, s: S, x: S::F) -> S::F {
        s.canonical(capped(s, x, self.cap))
    }
}

/// [`super::scalar::capped`].
#[inline(always)]
pub(crate) fn capped<S: Lanes>(s: S, x: S::F, cap: f32) -> S::F {
    s.mul(s.splat(cap), tanh::<S, 7>(s, s.mul(x, s.splat(1.0 / cap))))
}

#[inline(always)]
pub(super) fn soft_cap<S: Lanes>(s: S, x: &mut [f32], cap: f32) {
    map_in_place(s, SoftCap { cap }, x);
}
