//! The specification, and the body of every kernel: loops over channels that the compiler vectorises.

use super::{Average, Window};

/// Channels whose sums are held at a time.
const CHUNK: usize = 64;

#[inline(always)]
pub(super) fn max_pool(x: &[i8], window: &Window, out: &mut [i8]) {
    for (position, out) in out.chunks_exact_mut(window.channels).enumerate() {
        out.fill(i8::MIN);
        for start in window.pixels(position) {
            for (out, &x) in out.iter_mut().zip(&x[start..]) {
                *out = x.max(*out);
            }
        }
    }
}

#[inline(always)]
pub(super) fn average_pool(x: &[i8], window: &Window, average: &Average, out: &mut [i8]) {
    for (position, out) in out.chunks_exact_mut(window.channels).enumerate() {
        for (chunk, out) in out.chunks_mut(CHUNK).enumerate() {
            let mut sums = [0i32; CHUNK];
            for start in window.pixels(position) {
                let x = &x[start + chunk * CHUNK..][..out.len()];
                for (sum, &x) in sums.iter_mut().zip(x) {
                    *sum += i32::from(x);
                }
            }
            for (out, &sum) in out.iter_mut().zip(&sums) {
                *out = match *average {
                    Average::SameScale => mean(sum, window.area()),
                    Average::Requantize { scale, output } => output.finish(scale.apply(sum)),
                };
            }
        }
    }
}

/// `sum / count`, rounded to nearest, ties away from zero. A mean of i8 is an i8.
#[expect(clippy::cast_possible_truncation, reason = "a mean of i8 is an i8")]
#[inline(always)]
fn mean(sum: i32, count: i32) -> i8 {
    let half = if sum > 0 { count / 2 } else { -(count / 2) };
    ((sum + half) / count) as i8
}
