//! Sine and cosine over [`Lanes`]. A NaN keeps being one until the last step.

use super::scalar::{self, COS, HALF_PI, NEAR, QUARTERS, SIN};
use crate::lanes::{LANES, Lanes};

/// [`super::scalar::turned`] of lanes up to [`NEAR`], of others some number.
#[inline(always)]
fn turned<S: Lanes>(s: S, x: S::F, quarters: i32) -> S::F {
    let n = s.round(s.mul(x, s.splat(QUARTERS)));
    let mut r = x;
    for part in HALF_PI {
        r = s.fma(n, s.splat(-part), r);
    }
    let n = s.add_i(s.to_int(n), s.splat_i(quarters));
    let z = s.mul(r, r);
    let (mut sin, mut cos) = (s.splat(SIN[0]), s.splat(COS[0]));
    for (c, d) in SIN[1..].iter().zip(&COS[1..]) {
        sin = s.fma(sin, z, s.splat(*c));
        cos = s.fma(cos, z, s.splat(*d));
    }
    let sin = s.fma(s.mul(sin, z), r, r);
    let cos = s.fma(s.mul(cos, z), z, s.fma(z, s.splat(-0.5), s.splat(1.0)));
    let odd = s.lt(s.splat(0.0), s.to_float(s.and_i(n, s.splat_i(1))));
    let sign = s.shl_i::<30>(s.and_i(n, s.splat_i(2)));
    s.float_of_bits(s.xor_i(s.bits(s.select(odd, cos, sin)), sign))
}

/// Where angles are too large for f32, all lanes are left to the specification: it is exact, and nobody's angles are.
#[inline(always)]
fn are_far<S: Lanes>(s: S, x: S::F) -> bool {
    s.any(s.lt(s.splat(NEAR), s.abs(x)))
}

/// Calls a scalar function on each lane.
#[inline(always)]
fn each<S: Lanes>(s: S, function: fn(f32) -> f32, x: S::F) -> S::F {
    let mut all = [0.0; LANES];
    s.store(x, &mut all);
    for x in &mut all {
        *x = function(*x);
    }
    s.load(&all)
}

/// [`super::scalar::sin`].
#[inline(always)]
pub(crate) fn sin<S: Lanes>(s: S, x: S::F) -> S::F {
    if are_far(s, x) {
        return each(s, scalar::sin, x);
    }
    let sign = s.and_i(s.bits(x), s.splat_i(i32::MIN));
    s.float_of_bits(s.xor_i(s.bits(turned(s, s.abs(x), 0)), sign))
}

/// [`super::scalar::cos`].
#[inline(always)]
pub(crate) fn cos<S: Lanes>(s: S, x: S::F) -> S::F {
    if are_far(s, x) {
        return each(s, scalar::cos, x);
    }
    turned(s, s.abs(x), 1)
}
