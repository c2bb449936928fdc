//! The specification, and the body of every kernel: loops that the compiler vectorises.

use super::{Add, Multiply};
use crate::integer::dyadic::Integer;

#[inline(always)]
pub(super) fn add<T: Integer>(x: &[T], y: &[T], by: &Add, out: &mut [T]) {
    for ((&x, &y), out) in x.iter().zip(y).zip(out) {
        *out = by.output.finish(by.x.apply(x.into()) + by.y.apply(y.into()));
    }
}

#[inline(always)]
pub(super) fn multiply<T: Integer>(x: &[T], y: &[T], by: &Multiply, out: &mut [T]) {
    for ((&x, &y), out) in x.iter().zip(y).zip(out) {
        let (x, y): (i32, i32) = (x.into(), y.into());
        *out = by.output.finish(by.scale.apply(x * y));
    }
}

#[inline(always)]
pub(super) fn clamp<T: Integer + Ord>(x: &[T], min: T, max: T, out: &mut [T]) {
    for (&x, out) in x.iter().zip(out) {
        *out = x.max(min).min(max);
    }
}
