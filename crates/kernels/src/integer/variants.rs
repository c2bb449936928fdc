//! What other implementations compute instead: plain functions, to read their results by, not to run a network with.
//!
//! ```text
//! TVM       the I-ViT of its published latencies: one = ⌊1/scale + 1⌋, the half of r is dropped, n is 16 in Shiftmax and 23 in ShiftGELU
//!           E = ((r >> 1) + one) << n − k;  E·⌊(2^31 − 1)/Σ E⌋ >> 24 of 8 bits;  all of it wraps in 32 bits
//! exact     Shiftmax with a 64-bit division: E·2^(bits − 1) / Σ E
//! HAWQ      a mean is trunc(mean + 0.01): one too many for negative means that are whole
//! ```

use super::shift_exp::ShiftExp;

/// TVM's exponential of `d`; positive arguments count as 0. `one` is ⌊1/scale + 1⌋.
#[expect(clippy::cast_possible_truncation, reason = "TVM's 32 bits wrap")]
fn tvm_exp(d: i32, one: i32, bits: u8) -> i32 {
    let (d, one, bits) = (i64::from(d.min(0)), i64::from(one), i64::from(bits));
    let p = (d + (d >> 1) - (d >> 4)).max(-bits * one);
    let k = -p / one;
    let r = p + k * one;
    (((r >> 1) + one) << (bits - k)) as i32
}

/// The part of `e` in `sum`, of 8 bits and wrapped.
fn tvm_share(e: i32, sum: i32) -> i32 {
    assert_ne!(sum, 0, "a sum that wraps to 0");
    e.wrapping_mul(i32::MAX / sum) >> 24
}

/// TVM's Shiftmax of a row, 0 to 127 of scale 2^−7 where nothing wraps. `one` is ⌊1/scale + 1⌋.
///
/// # Panics
/// Where the lengths differ, `one` is not positive, or the sum wraps to 0, by which TVM divides.
pub fn tvm_shiftmax(x: &[i8], one: i32, out: &mut [i8]) {
    assert_eq!(x.len(), out.len(), "elements");
    assert!(one > 0, "one is {one}");
    let max = i32::from(x.iter().copied().max().unwrap_or(0));
    let exp = |x: i8| tvm_exp(i32::from(x) - max, one, 16);
    let sum = x.iter().fold(0, |sum: i32, &x| sum.wrapping_add(exp(x)));
    for (&x, out) in x.iter().zip(out) {
        #[expect(clippy::cast_possible_truncation, reason = "a shift by 24 leaves 8 bits")]
        let share = tvm_share(exp(x), sum) as i8;
        *out = share;
    }
}

/// TVM's `ShiftGELU` of a row, of 2^−7 times the scale of x. `one` is ⌊1/(1.702 scale) + 1⌋.
///
/// # Panics
/// Where the lengths differ, `one` is not positive, or a sum wraps to 0, by which TVM divides.
pub fn tvm_shift_gelu(x: &[i8], one: i32, out: &mut [i32]) {
    assert_eq!(x.len(), out.len(), "elements");
    assert!(one > 0, "one is {one}");
    let max = i32::from(x.iter().copied().max().unwrap_or(0));
    let exp = |x: i32| tvm_exp(x, one, 23);
    for (&x, out) in x.iter().zip(out) {
        let e = exp(i32::from(x) - max);
        *out = i32::from(x) * tvm_share(e, e.wrapping_add(exp(-max)));
    }
}

/// Shiftmax of a row with an exact division, 0 to 2^(bits − 1) of scale 2^−(bits − 1): rows sum to 1 but for what is cut off.
///
/// # Panics
/// Where the lengths differ or `bits` is not 2 to 16.
pub fn shiftmax_exact(x: &[i8], exp: ShiftExp, bits: u32, out: &mut [u16]) {
    assert_eq!(x.len(), out.len(), "elements");
    assert!((2..=16).contains(&bits), "{bits} bits");
    let max = i32::from(x.iter().copied().max().unwrap_or(0));
    let exp = |x: i8| i64::from(exp.apply(i32::from(x) - max));
    let sum: i64 = x.iter().map(|&x| exp(x)).sum();
    for (&x, out) in x.iter().zip(out) {
        *out = u16::try_from((exp(x) << (bits - 1)) / sum).expect("at most 2^15");
    }
}

/// The mean of `count` numbers as HAWQ rounds it: towards 0, after 0.01 is added.
///
/// # Panics
/// Where `count` is 0.
#[must_use]
pub fn hawq_mean(sum: i32, count: u32) -> i32 {
    let count = i64::from(count);
    let mean = (100 * i64::from(sum) + count) / (100 * count);
    i32::try_from(mean).expect("no larger than the sum")
}
