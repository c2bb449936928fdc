//! The exponential over [`Lanes`].

use super::scalar::{EXP_RANGE, EXP2, EXT_EXP, LN2, LN2_EXCESS, LOG2_E, LOG2_E_LOW};
use crate::lanes::{Lanes, Unary, map};

/// [`super::scalar::exp_parts`].
#[inline(always)]
pub(crate) fn exp_parts<S: Lanes>(s: S, x: S::F) -> (S::F, S::F) {
    let n = s.round(s.mul(x, s.splat(LOG2_E)));
    let f = s.fma(x, s.splat(LOG2_E), s.neg(n));
    let f = s.fma(x, s.splat(LOG2_E_LOW), f);
    let mut p = s.splat(EXP2[6]);
    for c in EXP2[..6].iter().rev() {
        p = s.fma(p, f, s.splat(*c));
    }
    (s.fma(p, f, s.splat(1.0)), n)
}

/// [`super::scalar::exp`], but a NaN keeps its bits.
#[inline(always)]
pub(crate) fn exp<S: Lanes>(s: S, x: S::F) -> S::F {
    // The constants come first, so that a NaN passes.
    let (p, n) = exp_parts(s, s.max(s.splat(EXP_RANGE.0), s.min(s.splat(EXP_RANGE.1), x)));
    s.scale(p, n)
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

#[derive(Clone, Copy)]
struct Exp;

impl Unary for Exp {
    #[inline(always)]
    fn apply<S: Lanes>(self, s: S, x: S::F) -> S::F {
        s.canonical(exp(s, x))
    }
}

#[inline(always)]
pub(super) fn exp_slice<S: Lanes>(s: S, x: &[f32], out: &mut [f32]) {
    map(s, Exp, x, out);
}
