//! Activations over [`Lanes`]. A NaN keeps its bits until the last step.

use super::scalar::{SILU_MIN, TANH, TANH_LARGE, TANH_SMALL};
use crate::exp::lanes::exp_parts;
use crate::lanes::{Binary, Lanes, zip, zip_in_place};

/// [`super::scalar::silu`], but a NaN keeps its bits.
#[inline(always)]
fn silu<S: Lanes>(s: S, x: S::F) -> S::F {
    let (zero, one, min) = (s.splat(0.0), s.splat(1.0), s.splat(SILU_MIN));
    let x = s.max(min, x);
    let (p, n) = exp_parts(s, s.max(min, s.neg(s.abs(x))));
    let denominator = s.add(one, s.scale(p, n));
    let negative = s.lt(x, zero);
    let quotient = s.div(s.select(negative, p, one), denominator);
    s.scale(s.mul(x, quotient), s.select(negative, n, zero))
}

/// [`super::scalar::tanh`], but a NaN keeps its payload.
#[inline(always)]
pub(crate) fn tanh<S: Lanes>(s: S, x: S::F) -> S::F {
    let magnitude = s.abs(x);
    let z = s.mul(x, x);
    let mut p = s.splat(TANH[0]);
    for c in &TANH[1..] {
        p = s.fma(p, z, s.splat(*c));
    }
    let small = s.fma(s.mul(p, z), x, x);

    let (p, n) = exp_parts(s, s.mul(s.splat(2.0), s.min(s.splat(TANH_LARGE), magnitude)));
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
        s.canonical(s.mul(silu(s, gate), up))
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
