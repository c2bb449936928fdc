//! The specification, and the body of every kernel: loops that the compiler vectorises.

use super::Requantize;
use crate::integer::dyadic::{Dyadic, Integer, Rounding};

/// See [`super`].
#[inline(always)]
pub(super) fn requantize<I: Integer, O: Integer>(x: &[I], by: &Requantize<'_>, out: &mut [O]) {
    match by.rounding {
        Rounding::Up => rows(x, by, out, Dyadic::apply),
        Rounding::Even => rows(x, by, out, Dyadic::apply_even),
    }
}

#[inline(always)]
fn rows<I: Integer, O: Integer>(
    x: &[I],
    by: &Requantize<'_>,
    out: &mut [O],
    apply: impl Fn(Dyadic, i32) -> i64,
) {
    if let &[scale] = by.scales {
        for (&x, out) in x.iter().zip(out) {
            *out = by.output.finish(apply(scale, x.into()));
        }
        return;
    }
    let channels = by.scales.len();
    for (x, out) in x.chunks_exact(channels).zip(out.chunks_exact_mut(channels)) {
        for ((&x, &scale), out) in x.iter().zip(by.scales).zip(out) {
            *out = by.output.finish(apply(scale, x.into()));
        }
    }
}
