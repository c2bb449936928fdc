//! The specification, and the body of every kernel: loops that the compiler vectorises.

use super::{LayerNorm, Root, mean};
use crate::integer::dyadic::Integer;

/// See [`super`].
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "the ranges that `super` states"
)]
#[inline(always)]
pub(super) fn layer_norm<T: Integer>(x: &[T], by: &LayerNorm<'_>, out: &mut [i8]) {
    let width = by.channels.len();
    for (x, out) in x.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
        let count = width as i32;
        let (mut sum, mut squares) = (0i32, 0i64);
        for &x in x {
            let x: i32 = x.into();
            sum += x;
            squares += i64::from(x) * i64::from(x);
        }
        let sum = if by.subtract_mean { sum } else { 0 };
        let spread = i64::from(count) * squares - i64::from(sum) * i64::from(sum);
        let root = ((spread as u64 + by.epsilon) << 8).isqrt().max(1);
        let factor = ((1u64 << 44) / root) as i64;
        for ((&x, channel), out) in x.iter().zip(by.channels).zip(out) {
            let x: i32 = x.into();
            let z = (i64::from(count * x - sum) * factor) >> 26;
            let scaled = z * i64::from(channel.scale.multiplier()) + channel.offset;
            let value = (scaled + channel.scale.half()) >> channel.scale.shift();
            *out = by.output.finish(value);
        }
    }
}

/// See [`super`].
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "clamped, and sums of rows of 4096"
)]
#[inline(always)]
pub(super) fn i_layer_norm<T: Integer>(x: &[T], bias: &[i32], root: Root, out: &mut [i32]) {
    let width = bias.len();
    for (x, out) in x.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
        let sum: i64 = x.iter().map(|&x| i64::from(x.into())).sum();
        let mean = mean(sum, width as i64) as i32;
        let centred = |x: T| i64::from(x.into() - mean);
        let squares: i64 = x.iter().map(|&x| centred(x) * centred(x)).sum();
        let factor = i64::from(i32::MAX) / root.of(squares.cast_unsigned());
        for ((&x, &bias), out) in x.iter().zip(bias).zip(out) {
            let value = ((centred(x) * factor) >> 1) + i64::from(bias);
            *out = value.clamp(i32::MIN.into(), i32::MAX.into()) as i32;
        }
    }
}
