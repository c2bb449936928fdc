//! Elementary functions of f64 from the four operations alone, so that tables have the same bits on every machine.
//!
//! The C library's versions differ between systems in their last bits. These are within 2 ULP, which is 2^-28 of an f32 ULP; what is
//! rounded to f32 afterwards is correctly rounded but for one case in about 10^8.

/// ln(2), its upper 33 bits: `n * LN2_HIGH` is exact for |n| < 2^20.
const LN2_HIGH: f64 = f64::from_bits(0x3FE6_2E42_FEE0_0000);
/// ln(2) - [`LN2_HIGH`].
const LN2_LOW: f64 = f64::from_bits(0x3DEA_39EF_3579_3C76);
/// pi/2 in three parts of 33 bits and the rest (Cody and Waite 1980).
const HALF_PI: [f64; 4] = [
    f64::from_bits(0x3FF9_21FB_5440_0000),
    f64::from_bits(0x3DD0_B461_1A60_0000),
    f64::from_bits(0x3BA3_198A_2E00_0000),
    f64::from_bits(0x397B_839A_2520_49C1),
];

/// `2^n` for `n` in [-1022, 1023].
fn pow2(n: i64) -> f64 {
    f64::from_bits((n + 1023).cast_unsigned() << 52)
}

/// `e^x`: infinity above 709.78, 0 below -745.13.
#[must_use]
pub fn exp(x: f64) -> f64 {
    if x.is_nan() {
        return f64::NAN;
    }
    let x = x.clamp(-760.0, 720.0);
    let n = (x * std::f64::consts::LOG2_E).round_ties_even();
    let r = (x - n * LN2_HIGH) - n * LN2_LOW;
    // The Taylor series to r^13: |r| <= 0.347 leaves 4e-18.
    let mut p = 1.0;
    for k in (1..=13).rev() {
        p = 1.0 + p * r / f64::from(k);
    }
    #[expect(clippy::cast_possible_truncation, reason = "an integer of four digits")]
    let n = n as i64;
    // Two factors, since 2^n may not be a normal number.
    p * pow2(n / 2) * pow2(n - n / 2)
}

/// `1 / k!`
const FACTORIAL_RECIPROCALS: [f64; 14] = {
    let mut reciprocals = [1.0; 14];
    let (mut k, mut factor, mut factorial) = (1, 1.0, 1.0);
    while k < reciprocals.len() {
        factorial *= factor;
        reciprocals[k] = 1.0 / factorial;
        factor += 1.0;
        k += 1;
    }
    reciprocals
};

/// `e^x` for an x in [-708, 709], of anything else some number: without branches and divisions, for loops over lanes; within 2 ULP.
#[inline(always)]
pub(crate) fn exp_normal(x: f64) -> f64 {
    /// Added to a number below 2^51 it leaves the nearest integer in the last bits, ties to even.
    const ROUND: f64 = 6_755_399_441_055_744.0;
    let shifted = x * std::f64::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (x - n * LN2_HIGH) - n * LN2_LOW;
    let mut p = FACTORIAL_RECIPROCALS[13];
    for k in (0..13).rev() {
        p = p * r + FACTORIAL_RECIPROCALS[k];
    }
    let exponent = shifted.to_bits().wrapping_sub(ROUND.to_bits());
    p * f64::from_bits(exponent.wrapping_add(1023) << 52)
}

/// The natural logarithm: -infinity at 0, NaN below.
#[must_use]
pub fn ln(x: f64) -> f64 {
    if x.is_nan() || x < 0.0 {
        return f64::NAN;
    }
    if x == 0.0 {
        return f64::NEG_INFINITY;
    }
    if x == f64::INFINITY {
        return x;
    }
    let (x, shift) = if x < f64::MIN_POSITIVE { (x * pow2(54), -54) } else { (x, 0) };
    ln_normal(x, shift)
}

/// `1 / (2 k + 1)`
const ODD_RECIPROCALS: [f64; 13] = {
    let mut reciprocals = [0.0; 13];
    let (mut k, mut odd) = (0, 1.0);
    while k < reciprocals.len() {
        reciprocals[k] = 1.0 / odd;
        odd += 2.0;
        k += 1;
    }
    reciprocals
};

/// `ln(x) + shift ln(2)` for a positive normal finite x, of anything else some number: without branches, so that a loop over lanes becomes
/// vector instructions.
#[inline(always)]
pub(crate) fn ln_normal(x: f64, shift: i64) -> f64 {
    // x = m 2^n with m in [sqrt(1/2), sqrt(2)).
    let bits = x.to_bits().cast_signed();
    let n = bits.wrapping_sub(std::f64::consts::FRAC_1_SQRT_2.to_bits().cast_signed()) >> 52;
    let m = f64::from_bits(bits.wrapping_sub(n << 52).cast_unsigned());
    // ln(m) = 2 artanh(s), s = (m - 1) / (m + 1), |s| < 0.172: to s^25, leaving 1e-21.
    let s = (m - 1.0) / (m + 1.0);
    let z = s * s;
    let mut p = 0.0;
    for k in (1..=12).rev() {
        p = z * (ODD_RECIPROCALS[k] + p);
    }
    #[expect(clippy::cast_precision_loss, reason = "an integer of four digits")]
    let n = (n + shift) as f64;
    n * LN2_HIGH + (2.0 * s + (2.0 * s * p + n * LN2_LOW))
}

/// `base^exponent` for a positive `base`, by way of the logarithm: a relative error of `|exponent * ln(base)| * 2^-52`.
#[must_use]
pub fn pow(base: f64, exponent: f64) -> f64 {
    exp(exponent * ln(base))
}

/// The sine and the cosine of `x` radians; absolute error below 2e-16 for |x| < 2^20. NaN from 2^30 on, where the reduction would not be exact.
#[must_use]
pub fn sin_cos(x: f64) -> (f64, f64) {
    if x.is_nan() || x.abs() >= f64::from(1u32 << 30) {
        return (f64::NAN, f64::NAN);
    }
    let n = (x * std::f64::consts::FRAC_2_PI).round_ties_even();
    let r = HALF_PI.iter().fold(x, |r, part| r - n * part);
    let z = r * r;
    // Taylor series to r^19 and r^18: |r| <= 0.786 leaves 1e-19.
    let (mut sin, mut cos) = (1.0, 1.0);
    for k in (1..=9).rev() {
        let k = f64::from(2 * k);
        sin = 1.0 - sin * z / (k * (k + 1.0));
        cos = 1.0 - cos * z / (k * (k - 1.0));
    }
    sin *= r;
    #[expect(clippy::cast_possible_truncation, reason = "below 2^30")]
    match (n as i64) & 3 {
        0 => (sin, cos),
        1 => (cos, -sin),
        2 => (-sin, -cos),
        _ => (-cos, sin),
    }
}

#[cfg(test)]
mod tests {
    use dyadic_testkit::Rng;

    use super::{exp, exp_normal, ln, pow, sin_cos};

    /// The distance in units in the last place of `exact`.
    fn ulps(actual: f64, exact: f64) -> f64 {
        (actual - exact).abs() / (exact.abs().next_up() - exact.abs())
    }

    #[test]
    fn exp_and_ln_agree_with_the_c_library() {
        let mut rng = Rng::new(1);
        for _ in 0..200_000 {
            let x = (rng.uniform_f64() - 0.5) * 1400.0;
            assert!(ulps(exp(x), x.exp()) <= 2.0, "exp({x})");
            assert!(ulps(exp_normal(x), x.exp()) <= 2.0, "exp_normal({x})");
            let y = f64::from_bits(rng.next_u64() >> 1);
            if y.is_finite() {
                assert!(ulps(ln(y), y.ln()) <= 2.0, "ln({y})");
            }
            let y = 1.0 + (rng.uniform_f64() - 0.5) * 0.5;
            assert!(ulps(ln(y), y.ln()) <= 2.0, "ln({y})");
        }
    }

    #[test]
    fn sin_cos_agrees_with_the_c_library() {
        let mut rng = Rng::new(2);
        for limit in [1.0, 1000.0, 1_048_576.0] {
            for _ in 0..100_000 {
                let x = (rng.uniform_f64() - 0.5) * 2.0 * limit;
                let (sin, cos) = sin_cos(x);
                assert!((sin - x.sin()).abs() < 3e-16 && (cos - x.cos()).abs() < 3e-16, "{x}");
            }
        }
    }

    #[test]
    fn special_values() {
        assert_eq!([exp(0.0), exp(-0.0), exp(f64::NEG_INFINITY)], [1.0, 1.0, 0.0]);
        assert_eq!(
            [exp(f64::INFINITY), exp(710.0), exp(-746.0)],
            [f64::INFINITY, f64::INFINITY, 0.0]
        );
        assert_eq!([ln(1.0), ln(0.0), ln(f64::INFINITY)], [0.0, f64::NEG_INFINITY, f64::INFINITY]);
        assert!(ln(-1.0).is_nan() && exp(f64::NAN).is_nan() && sin_cos(f64::INFINITY).0.is_nan());
        assert_eq!(sin_cos(0.0), (0.0, 1.0));
        assert_eq!(pow(10_000.0, 0.0), 1.0);
        assert!((pow(10_000.0, -0.5) - 0.01).abs() < 1e-16);
    }
}
