//! The specification, and the body of kernels: loops that the compiler vectorises.

use crate::integer::dyadic::{Dyadic, Output};

/// Dimensions of a head whose sums are held at a time.
const CHUNK: usize = 32;

/// Keys whose products fit 32 bits: 511 · 32767 · 128 < 2^31.
const KEYS: usize = 511;

/// Exponentials of the distances from the greatest of each row, and their sums.
#[inline(always)]
pub(super) fn exponentials(
    x: &[i8],
    (width, stride): (usize, usize),
    table: &[u8; 256],
    out: &mut [u8],
    sums: &mut [u32],
) {
    let rows = x.chunks_exact(stride).zip(out.chunks_exact_mut(stride));
    for ((row, out), total) in rows.zip(sums) {
        let row = &row[..width];
        let max = row.iter().fold(i8::MIN, |max, &x| x.max(max));
        *total = 0;
        for (&x, out) in row.iter().zip(out) {
            *out = table[usize::from(max.wrapping_sub(x).cast_unsigned())];
            *total += u32::from(*out);
        }
    }
}

/// `round(acc · scale / total)` of each row, ties away from zero, limited.
#[inline(always)]
pub(super) fn divide(
    acc: &[i32],
    totals: &[u32],
    scale: Dyadic,
    output: Output,
    out: &mut [i8],
    stride: usize,
) {
    let multiplier = u64::from(scale.multiplier().unsigned_abs());
    let dim = acc.len() / totals.len();
    let rows = acc.chunks_exact(dim).zip(out.chunks_mut(stride));
    for ((acc, out), &total) in rows.zip(totals) {
        let total = u64::from(total);
        // Below 2^62, as the product.
        let half = total << (scale.shift() - 1);
        let reciprocal = (1u64 << 32) / total;
        // Quotients from 256 on are beyond all limits.
        let most = total << 8;
        for (&acc, out) in acc.iter().zip(out) {
            let scaled = (u64::from(acc.unsigned_abs()) * multiplier + half) >> scale.shift();
            let scaled = scaled.min(most);
            // Exact or one too small.
            let quotient = (scaled * reciprocal) >> 32;
            let rest = scaled - quotient * total;
            let quotient = (quotient + u64::from(rest >= total)).cast_signed();
            let negative = (acc ^ scale.multiplier()) < 0;
            *out = output.finish(if negative { -quotient } else { quotient });
        }
    }
}

/// `Σ_j weights[j] · v[j · stride + d]` for each dimension, saturated to 32 bits.
#[expect(clippy::cast_possible_truncation, reason = "clamped")]
#[inline(always)]
pub(super) fn weighted_sum(weights: &[i16], v: &[i8], stride: usize, out: &mut [i32]) {
    for (chunk, out) in out.chunks_mut(CHUNK).enumerate() {
        let mut total = [0i64; CHUNK];
        for (first, weights) in weights.chunks(KEYS).enumerate() {
            let mut sums = [0i32; CHUNK];
            for (j, &weight) in weights.iter().enumerate() {
                let v = &v[(first * KEYS + j) * stride + chunk * CHUNK..][..out.len()];
                for (sum, &v) in sums.iter_mut().zip(v) {
                    *sum += i32::from(weight) * i32::from(v);
                }
            }
            for (total, sum) in total.iter_mut().zip(sums) {
                *total += i64::from(sum);
            }
        }
        for (out, total) in out.iter_mut().zip(total) {
            *out = total.clamp(i32::MIN.into(), i32::MAX.into()) as i32;
        }
    }
}
