//! INT16 with one exponent for a tensor (Das et al. 2018, arXiv 1802.00930): `real = q · 2^exponent`, |q| ≤ 32767. Its arithmetic is
//! `dyadic_kernels::integer::dfp`.

/// The largest mantissa; −32768 is not used.
const MOST: f64 = 32767.0;

/// The exponent and the mantissas of finite numbers, to nearest, ties to even: the largest magnitude has 15 bits. 0 where all are 0.
///
/// # Panics
/// Where a number is infinite or NaN.
#[must_use]
pub fn encode(x: &[f64]) -> (i32, Vec<i16>) {
    let largest = x.iter().fold(0.0, |largest: f64, x| largest.max(x.abs()));
    assert!(x.iter().all(|x| x.is_finite()), "numbers that are not finite");
    if largest == 0.0 {
        return (0, vec![0; x.len()]);
    }
    let mantissa = |x: f64, exponent: i32| (x * f64::from(-exponent).exp2()).round_ties_even();
    let mut exponent = exponent_of(largest) - 15;
    if mantissa(largest, exponent) > MOST {
        exponent += 1;
    }
    #[expect(clippy::cast_possible_truncation, reason = "at most 32767")]
    let mantissas = x.iter().map(|&x| mantissa(x, exponent) as i16).collect();
    (exponent, mantissas)
}

/// The exponent that brings a positive number to 1/2 to 1. Numbers are normal: scales and activations of f32 are.
fn exponent_of(x: f64) -> i32 {
    i32::try_from((x.to_bits() >> 52) & 0x7FF).unwrap_or(0) - 1022
}
