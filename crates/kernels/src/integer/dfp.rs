//! INT16 with one exponent for a tensor (Das et al. 2018): `real = q · 2^exponent`, |q| ≤ 32767.
//!
//! ```text
//! multiply      products of i32, exponents add
//! add           to the larger exponent, by shifts that round to nearest, ties to even
//! dot           in 64 bits; with s bits of headroom in both operands (|q| < 2^(15−s)) 2^(1+2s) products at a time fit an i32
//! down_convert  shifted right so that the largest has 15 bits, to nearest, ties to even
//! ```

use super::loop_op;
use crate::registry::Kernels;

/// Products of i16 that are summed in 32 bits: of operands with a bit of headroom.
const CHAIN: usize = 8;

/// Magnitudes below it have a bit of headroom: 8 · (2^14 − 1)² < 2^31.
const HEADROOM: u16 = 1 << 14;

/// `x / 2^shift` to nearest, ties to even, for a shift of 0 to 62.
fn shift_right_even(x: i64, shift: u32) -> i64 {
    let floor = x >> shift;
    let rest = x - (floor << shift);
    let twice = 2 * i128::from(rest);
    let unit = 1i128 << shift;
    floor + i64::from(twice > unit || (twice == unit && floor & 1 == 1))
}

/// `a · b`, element by element. Exponents add.
///
/// # Panics
/// Where the lengths differ.
pub fn multiply(a: &[i16], b: &[i16], out: &mut [i32]) {
    assert!(a.len() == b.len() && a.len() == out.len(), "elements");
    for ((&a, &b), out) in a.iter().zip(b).zip(out) {
        *out = i32::from(a) * i32::from(b);
    }
}

/// `a · 2^a_exponent + b · 2^b_exponent`, element by element. Returns the exponent of the result, the larger of the two.
///
/// # Panics
/// Where the lengths differ.
pub fn add(a: &[i16], a_exponent: i32, b: &[i16], b_exponent: i32, out: &mut [i32]) -> i32 {
    assert!(a.len() == b.len() && a.len() == out.len(), "elements");
    let exponent = a_exponent.max(b_exponent);
    // From 17 bits on nothing is left.
    let shift = |from: i32| exponent.abs_diff(from).min(17);
    let (a_shift, b_shift) = (shift(a_exponent), shift(b_exponent));
    for ((&a, &b), out) in a.iter().zip(b).zip(out) {
        let sum = shift_right_even(a.into(), a_shift) + shift_right_even(b.into(), b_shift);
        *out = i32::try_from(sum).expect("a sum of two i16");
    }
    exponent
}

/// Brings sums of exponent `exponent` to 16 bits. Returns the new exponent.
///
/// # Panics
/// Where the lengths differ or a sum is 2^62 or more.
pub fn down_convert(sums: &[i64], exponent: i32, out: &mut [i16]) -> i32 {
    assert_eq!(sums.len(), out.len(), "elements");
    let max = sums.iter().map(|sum| sum.unsigned_abs()).max().unwrap_or(0);
    assert!(max < 1 << 62, "a sum of {max}");
    let mut shift = (u64::BITS - max.leading_zeros()).saturating_sub(15);
    if shift_right_even(max.cast_signed(), shift) > i64::from(i16::MAX) {
        shift += 1;
    }
    for (&sum, out) in sums.iter().zip(out) {
        *out = i16::try_from(shift_right_even(sum, shift)).expect("15 bits and a sign");
    }
    exponent + shift.cast_signed()
}

/// The specification, and the body of every kernel.
#[inline(always)]
fn dot(a: &[i16], b: &[i16]) -> i64 {
    let product = |(&a, &b): (&i16, &i16)| i32::from(a) * i32::from(b);
    let has_headroom = |x: &[i16]| x.iter().fold(0, |max, x| x.unsigned_abs().max(max)) < HEADROOM;
    if has_headroom(a) && has_headroom(b) {
        let chunks = a.chunks(CHAIN).zip(b.chunks(CHAIN));
        chunks.map(|(a, b)| i64::from(a.iter().zip(b).map(product).sum::<i32>())).sum()
    } else {
        a.iter().zip(b).map(|pair| i64::from(product(pair))).sum()
    }
}

loop_op! {
    /// See [`Kernels::dot_dfp16`].
    static DOT_DFP16: DotDfp16Fn = "dot_dfp16",
    fn(a: &[i16], b: &[i16]) -> i64,
    dot,
}

impl Kernels {
    /// `Σ a·b`, exact. Exponents add. Faster where all magnitudes are below 2^14: one bit of headroom.
    ///
    /// # Panics
    /// Where the lengths differ or reach 2^31.
    #[must_use]
    pub fn dot_dfp16(&self, a: &[i16], b: &[i16]) -> i64 {
        assert!(a.len() == b.len() && a.len() < 1 << 31, "elements");
        // SAFETY: the kernel was selected for a supported instruction set.
        unsafe { (self.dot_dfp16.function)(a, b) }
    }
}
