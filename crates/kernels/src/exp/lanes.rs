//! Exponential and logarithm over [`Lanes`].

use super::scalar::{
    EXP_RANGE, EXT_EXP, LN, LN2, LN2_EXCESS, LN2_HIGH, LN2_LOW, LOG2_E, LOG2_E_LOW, NORMALISE,
    SQRT_HALF_BITS, exp2_coefficients,
};
use crate::lanes::{CANONICAL_NAN, Lanes};

/// [`super::scalar::exp2_fraction`].
#[inline(always)]
fn exp2_fraction<S: Lanes, const D: usize>(s: S, f: S::F) -> S::F {
    let coefficients = exp2_coefficients::<D>();
    let mut p = s.splat(coefficients[D - 1]);
    for c in coefficients[..D - 1].iter().rev() {
        p = s.fma(p, f, s.splat(*c));
    }
    s.fma(p, f, s.splat(1.0))
}

/// [`super::scalar::exp_parts`].
#[inline(always)]
pub(crate) fn exp_parts<S: Lanes, const D: usize>(s: S, x: S::F) -> (S::F, S::F) {
    let n = s.round(s.mul(x, s.splat(LOG2_E)));
    let f = s.fma(x, s.splat(LOG2_E), s.neg(n));
    let f = s.fma(x, s.splat(LOG2_E_LOW), f);
    (exp2_fraction::<S, D>(s, f), n)
}

/// `x` clamped to [`EXP_RANGE`]. The constants come first, so that a NaN passes.
#[inline(always)]
fn clamp<S: Lanes>(s: S, x: S::F) -> S::F {
    s.max(s.splat(EXP_RANGE.0), s.min(s.splat(EXP_RANGE.1), x))
}

/// [`super::scalar::exp`].
#[inline(always)]
pub(crate) fn exp<S: Lanes, const D: usize>(s: S, x: S::F) -> S::F {
    let (p, n) = exp_parts::<S, D>(s, clamp(s, x));
    s.scale(p, n)
}

/// [`super::scalar::exp2`].
#[inline(always)]
pub(crate) fn exp2<S: Lanes, const D: usize>(s: S, x: S::F) -> S::F {
    let x = clamp(s, x);
    let n = s.round(x);
    s.scale(exp2_fraction::<S, D>(s, s.sub(x, n)), n)
}

/// [`super::scalar::ln`].
#[inline(always)]
pub(crate) fn ln<S: Lanes>(s: S, x: S::F) -> S::F {
    let tiny = s.lt(x, s.splat(f32::MIN_POSITIVE));
    let normal = s.select(tiny, s.mul(x, s.splat(NORMALISE.0)), x);
    let shift = s.select(tiny, s.splat(NORMALISE.1), s.splat(0.0));
    let bits = s.bits(normal);
    let exponent = s.sar_i::<23>(s.sub_i(bits, s.splat_i(SQRT_HALF_BITS)));
    let mantissa = s.float_of_bits(s.sub_i(bits, s.shl_i::<23>(exponent)));
    let f = s.sub(mantissa, s.splat(1.0));
    let n = s.add(s.to_float(exponent), shift);
    let z = s.mul(f, f);
    let mut p = s.splat(LN[0]);
    for c in &LN[1..] {
        p = s.fma(p, f, s.splat(*c));
    }
    let y = s.fma(s.mul(f, z), p, s.mul(n, s.splat(LN2_LOW)));
    let y = s.fma(z, s.splat(-0.5), y);
    let y = s.fma(n, s.splat(LN2_HIGH), s.add(f, y));

    let infinity = s.splat(f32::INFINITY);
    let y = s.select(s.lt(x, infinity), y, x);
    let y = s.select(s.lt(s.splat(0.0), s.abs(x)), y, s.splat(f32::NEG_INFINITY));
    let y = s.select(s.lt(x, s.splat(0.0)), s.splat(CANONICAL_NAN), y);
    s.select(s.is_nan(x), s.splat(CANONICAL_NAN), y)
}

/// [`super::scalar::ext_exp`].
#[inline(always)]
pub(crate) fn ext_exp<S: Lanes>(s: S, x: S::F) -> (S::F, S::F) {
    let n = s.round(s.mul(x, s.splat(LOG2_E)));
    let t = s.fma(n, s.splat(-LN2), x);
    let t = s.fma(n, s.splat(LN2_EXCESS), t);
    let mut m = s.splat(EXT_EXP[4]);
    for c in EXT_EXP[..4].iter().rev() {
        m = s.fma(m, t, s.splat(*c));
    }
    (s.fma(m, t, s.splat(1.0)), n)
}
