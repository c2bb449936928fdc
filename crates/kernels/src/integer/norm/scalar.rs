//! The specification, and the body of every kernel: loops that the compiler vectorises.

use super::{LayerNorm, Root, mean};
use crate::integer::dyadic::Integer;

/// Rows that share unpacked channels.
const ROWS: usize = 8;

/// Channels that are unpacked at a time.
const CHUNK: usize = 64;

/// See [`super`].
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "the ranges that `super` states"
)]
#[inline(always)]
pub(super) fn layer_norm<T: Integer>(x: &[T], by: &LayerNorm<'_>, out: &mut [i8]) {
    let width = by.channels.len();
    let count = width as i32;
    let blocks = x.chunks(ROWS * width).zip(out.chunks_mut(ROWS * width));
    for (x, out) in blocks {
        let mut rows = [(0, 0); ROWS];
        for (row, x) in rows.iter_mut().zip(x.chunks_exact(width)) {
            *row = sum_and_factor(x, by);
        }
        for (chunk, channels) in by.channels.chunks(CHUNK).enumerate() {
            let mut multipliers = [0i32; CHUNK];
            let mut shifts = [0u32; CHUNK];
            let mut offsets = [0i64; CHUNK];
            for (i, channel) in channels.iter().enumerate() {
                multipliers[i] = channel.scale.multiplier();
                shifts[i] = channel.scale.shift();
                offsets[i] = channel.offset + channel.scale.half();
            }
            // All of one length, so that the loop needs no checks.
            let len = channels.len();
            let (multipliers, shifts, offsets) =
                (&multipliers[..len], &shifts[..len], &offsets[..len]);
            for (row, &(sum, factor)) in rows[..x.len() / width].iter().enumerate() {
                let first = row * width + chunk * CHUNK;
                let (x, out) = (&x[first..][..len], &mut out[first..][..len]);
                for i in 0..len {
                    let x: i32 = x[i].into();
                    let z = ((i64::from(count * x - sum) * factor) >> 26) as i32;
                    let scaled = i64::from(z) * i64::from(multipliers[i]) + offsets[i];
                    out[i] = by.output.finish(scaled >> (shifts[i] & 63));
                }
            }
        }
    }
}

/// s and `2^44 div √(2^8 D)` of a row.
#[expect(
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "the ranges that `super` states"
)]
#[inline(always)]
fn sum_and_factor<T: Integer>(x: &[T], by: &LayerNorm<'_>) -> (i32, i64) {
    let (mut sum, mut squares) = (0i32, 0i64);
    for &x in x {
        let x: i32 = x.into();
        sum += x;
        squares += i64::from(x * x);
    }
    let sum = if by.subtract_mean { sum } else { 0 };
    let spread = x.len() as i64 * squares - i64::from(sum) * i64::from(sum);
    let root = ((spread as u64 + by.epsilon) << 8).isqrt().max(1);
    (sum, ((1u64 << 44) / root) as i64)
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
