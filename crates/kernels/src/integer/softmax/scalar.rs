//! The specification, and the body of every kernel: loops that the compiler vectorises.

use crate::integer::dyadic::Integer;
use crate::integer::shift_exp::ShiftExp;

#[inline(always)]
fn max(row: &[i8]) -> i8 {
    row.iter().fold(i8::MIN, |max, &x| x.max(max))
}

/// The distance of a logit from the greatest.
#[inline(always)]
fn distance(max: i8, x: i8) -> usize {
    usize::from(max.wrapping_sub(x).cast_unsigned())
}

/// The sum of a table's entries for a row.
#[inline(always)]
fn sum(row: &[i8], max: i8, table: &[u16; 256]) -> u32 {
    row.iter().map(|&x| u32::from(table[distance(max, x)])).sum()
}

#[inline(always)]
pub(super) fn softmax_u8(x: &[i8], width: usize, table: &[u16; 256], out: &mut [u8]) {
    for (row, out) in x.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
        let max = max(row);
        let sum = sum(row, max, table);
        let reciprocal = ((255 << 23) + sum / 2) / sum;
        for (&x, out) in row.iter().zip(out) {
            let e = u32::from(table[distance(max, x)]);
            *out = ((e * reciprocal + (1 << 22)) >> 23).min(255) as u8;
        }
    }
}

#[inline(always)]
pub(super) fn softmax_u15(x: &[i8], width: usize, table: &[u16; 256], out: &mut [i16]) {
    for (row, out) in x.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
        let max = max(row);
        let sum = sum(row, max, table);
        let reciprocal = ((1 << 30) + sum / 2) / sum;
        for (&x, out) in row.iter().zip(out) {
            let e = u32::from(table[distance(max, x)]);
            *out = ((e * reciprocal + (1 << 14)) >> 15).min(32767) as i16;
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "limited to 2^31 - 1")]
#[inline(always)]
pub(super) fn shiftmax<T: Integer>(
    x: &[i8],
    width: usize,
    exp: ShiftExp,
    bits: u32,
    out: &mut [T],
) {
    for (row, out) in x.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
        let max = i32::from(max(row));
        let exp = |x: i8| exp.apply_i8(i32::from(x) - max);
        let sum: i64 = row.iter().map(|&x| i64::from(exp(x))).sum();
        let factor = i32::MAX / sum.min(i64::from(i32::MAX)) as i32;
        for (&x, out) in row.iter().zip(out) {
            *out = T::from_wide(i64::from((exp(x) * factor) >> (32 - bits)));
        }
    }
}
