//! Dyadic numbers from ratios of scales.

use dyadic_integer::Dyadic;
use dyadic_kernels::integer::dyadic::TfliteMultiplier;

/// The dyadic number nearest to a ratio, with 31 bits (section 1.1 of the specification). 0 where every product with 32 bits would be.
/// `None` where the ratio is not finite or 2^30 or more.
#[must_use]
pub fn dyadic(ratio: f64) -> Option<Dyadic> {
    of_bits(ratio, 31)
}

/// The same with so many bits, 2 to 31: 15 for multiplications of 16 bits. `None` where the ratio is not finite or 2^(bits − 1) or more.
#[must_use]
pub fn of_bits(ratio: f64, bits: u8) -> Option<Dyadic> {
    if !ratio.is_finite() {
        return None;
    }
    if ratio == 0.0 {
        return Some(Dyadic::ZERO);
    }
    let (multiplier, exponent) = mantissa(ratio.abs(), bits);
    match i32::from(bits) - exponent {
        shift @ 1..=62 => {
            let multiplier = if ratio < 0.0 { -multiplier } else { multiplier };
            Dyadic::new(multiplier, shift.unsigned_abs())
        }
        63.. => Some(Dyadic::ZERO),
        _ => None,
    }
}

/// `ratio = multiplier · 2^(exponent − bits)`, the multiplier from 2^(bits − 1) on and below 2^bits. Ratios of scales are normal numbers; others have an
/// exponent below −1021.
fn mantissa(ratio: f64, bits: u8) -> (i32, i32) {
    // ratio = fraction · 2^exponent, the fraction from 1/2 to 1.
    let exponent = i32::try_from((ratio.to_bits() >> 52) & 0x7FF).unwrap_or(0) - 1022;
    let fraction = ratio * f64::from(-exponent).exp2();
    let end = f64::from(bits).exp2();
    let multiplier = (fraction * end + 0.5).floor();
    // Rounded up to a power of two.
    let (multiplier, exponent) =
        if multiplier == end { (end / 2.0, exponent + 1) } else { (multiplier, exponent) };
    #[expect(clippy::cast_possible_truncation, reason = "a whole number below 2^31")]
    let multiplier = multiplier as i32;
    (multiplier, exponent)
}

/// A ratio from 0 on as TensorFlow Lite writes it. `None` where it is not finite or 2^30 or more.
#[must_use]
pub fn tflite(ratio: f64) -> Option<TfliteMultiplier> {
    if !(ratio.is_finite() && ratio >= 0.0) {
        return None;
    }
    let (multiplier, exponent) = if ratio == 0.0 { (0, 0) } else { mantissa(ratio, 31) };
    // Every product with 32 bits is 0.
    if exponent < -31 {
        return TfliteMultiplier::new(0, 0);
    }
    TfliteMultiplier::new(multiplier, exponent)
}

/// The same number with a shift of at most `most`, 1 to 62: fewer bits of the multiplier.
#[must_use]
pub fn limited(number: Dyadic, most: u32) -> Dyadic {
    let excess = number.shift().saturating_sub(most).min(40);
    if excess == 0 {
        return number;
    }
    let rounded = (i64::from(number.multiplier()) + (1_i64 << (excess - 1))) >> excess;
    let multiplier = i32::try_from(rounded).unwrap_or(0);
    Dyadic::new(multiplier, most).unwrap_or(Dyadic::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_become_the_nearest_dyadic_numbers() {
        assert_eq!(dyadic(1.0), Some(Dyadic::ONE));
        assert_eq!(dyadic(-0.75), Dyadic::new(-(3 << 29), 31));
        // Rounds up to a power of two, which is renormalised.
        assert_eq!(dyadic(1.0 - 1e-12), Some(Dyadic::ONE));
        assert_eq!(dyadic(0.0), Some(Dyadic::ZERO));
        assert_eq!(dyadic(1e-12), Some(Dyadic::ZERO));
        assert_eq!(dyadic(f64::MIN_POSITIVE / 8.0), Some(Dyadic::ZERO));
        assert_eq!(dyadic(2_f64.powi(30)), None);
        assert_eq!(dyadic(f64::NAN), None);
        for ratio in [1e-7, 0.3, 7.7, 1234.5] {
            let number = dyadic(ratio).expect("a number");
            let value = f64::from(number.multiplier()) / f64::from(number.shift()).exp2();
            assert!((value / ratio - 1.0).abs() <= 2_f64.powi(-31), "{ratio}");
        }
        assert_eq!(
            limited(dyadic(1e-6).expect("a number"), 46),
            Dyadic::new(70_368_744, 46).unwrap()
        );
    }
}
