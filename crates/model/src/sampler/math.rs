//! exp and ln in f64 that give the same bits on every machine: additions, multiplications and divisions in a written order, none fused.
//! (`f64::exp` and `f64::ln` call the platform's libm, which differs from one to the next.)

/// ln 2, split: the high part has 20 trailing zero bits, so its product with an exponent of up to 11 bits is exact.
const LN_2_HIGH: f64 = 6.931_471_803_691_238e-1;
const LN_2_LOW: f64 = 1.908_214_929_270_587_7e-10;

/// 1 / n! for n = 13 down to 0: over |r| <= ln(2) / 2 the first term left out, r^14 / 14!, is below 2^-57.
const INVERSE_FACTORIALS: [f64; 14] = [
    1.0 / 6_227_020_800.0,
    1.0 / 479_001_600.0,
    1.0 / 39_916_800.0,
    1.0 / 3_628_800.0,
    1.0 / 362_880.0,
    1.0 / 40_320.0,
    1.0 / 5_040.0,
    1.0 / 720.0,
    1.0 / 120.0,
    1.0 / 24.0,
    1.0 / 6.0,
    0.5,
    1.0,
    1.0,
];

/// e^x for x <= 0, within 2 ULP; 0 below -708, where the result would be subnormal.
///
/// x = n ln 2 + r, e^x = 2^n e^r.
#[inline]
pub(super) fn exp(x: f64) -> f64 {
    /// Adding and subtracting 1.5 * 2^52 rounds to the nearest integer, which is then in the low bits of the sum.
    const ROUND: f64 = 6_755_399_441_055_744.0;
    debug_assert!(x <= 0.0, "the largest logit is subtracted first");
    let clamped = if x > -708.0 { x } else { -708.0 };
    let shifted = clamped * std::f64::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (clamped - n * LN_2_HIGH) - n * LN_2_LOW;
    let mut sum = INVERSE_FACTORIALS[0];
    for factor in &INVERSE_FACTORIALS[1..] {
        sum = sum * r + factor;
    }
    // 2^n: n is at least -1022, the low 11 bits of `shifted` hold it in two's complement.
    let power = f64::from_bits((shifted.to_bits().wrapping_add(1023) & 0x7FF) << 52);
    if x > -708.0 { sum * power } else { 0.0 }
}

/// ln x for a finite x >= 2^-1022, within 2 ULP.
///
/// x = 2^n m with m in [sqrt(1/2), sqrt(2)); with s = (m - 1) / (m + 1), ln m = 2 (s + s^3 / 3 + s^5 / 5 + ...), |s| < 0.1716.
pub(super) fn ln(x: f64) -> f64 {
    debug_assert!(x.is_normal() && x > 0.0);
    let mut m = f64::from_bits(x.to_bits() & 0x000F_FFFF_FFFF_FFFF | 0x3FF0_0000_0000_0000);
    #[expect(clippy::cast_possible_wrap, reason = "11 bits")]
    let mut n = ((x.to_bits() >> 52) & 0x7FF) as i64 - 1023;
    if m >= std::f64::consts::SQRT_2 {
        m *= 0.5;
        n += 1;
    }
    #[expect(clippy::cast_precision_loss, reason = "|n| <= 1023")]
    let n = n as f64;
    let s = (m - 1.0) / (m + 1.0);
    let z = s * s;
    // s^21 / 21 is below 2^-57 of s.
    let mut sum = 0.0;
    for odd in [21.0, 19.0, 17.0, 15.0, 13.0, 11.0, 9.0, 7.0, 5.0, 3.0] {
        sum = (sum + 1.0 / odd) * z;
    }
    n * LN_2_HIGH + (2.0 * s + (2.0 * s * sum + n * LN_2_LOW))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ulps(a: f64, b: f64) -> u64 {
        a.to_bits().abs_diff(b.to_bits())
    }

    #[test]
    fn exp_is_within_two_ulps() {
        let mut x = 0.0;
        while x > -707.9 {
            assert!(ulps(exp(x), x.exp()) <= 2, "exp({x})");
            x -= 0.001_37 + x.abs() * 1e-5;
        }
        assert_eq!(exp(0.0).to_bits(), 1.0_f64.to_bits());
        assert_eq!(exp(-0.0).to_bits(), 1.0_f64.to_bits());
        assert_eq!(exp(-709.0).to_bits(), 0);
        assert_eq!(exp(f64::NEG_INFINITY).to_bits(), 0);
    }

    #[test]
    fn ln_is_within_two_ulps() {
        let mut x = 1e-300;
        while x < 1e300 {
            assert!(ulps(ln(x), x.ln()) <= 2, "ln({x}) = {} not {}", ln(x), x.ln());
            x *= 1.013_7;
        }
        // Close to 1, where cancellation would show.
        for i in 1..1000 {
            for x in [1.0 + f64::from(i) * 1e-5, 1.0 - f64::from(i) * 1e-5] {
                assert!(ulps(ln(x), x.ln()) <= 2, "ln({x})");
            }
        }
        assert_eq!(ln(1.0).to_bits(), 0);
    }
}
