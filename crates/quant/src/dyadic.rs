//! Dyadic numbers from ratios of scales.

use dyadic_integer::Dyadic;

/// The dyadic number nearest to a ratio, with 31 bits (section 1.1 of the specification). 0 where every product with 32 bits would be.
/// `None` where the ratio is not finite or 2^30 or more.
#[must_use]
pub fn dyadic(ratio: f64) -> Option<Dyadic> {
    if !ratio.is_finite() {
        return None;
    }
    if ratio == 0.0 {
        return Some(Dyadic::ZERO);
    }
    // |ratio| = fraction · 2^exponent, the fraction from 1/2 to 1. Ratios of scales are normal numbers; others become 0.
    let exponent = i32::try_from((ratio.abs().to_bits() >> 52) & 0x7FF).unwrap_or(0) - 1022;
    let fraction = ratio.abs() * f64::from(-exponent).exp2();
    let mut multiplier = (fraction * 2_147_483_648.0 + 0.5).floor();
    let mut shift = 31 - exponent;
    if multiplier == 2_147_483_648.0 {
        multiplier /= 2.0;
        shift -= 1;
    }
    match shift {
        1..=62 => {
            #[expect(clippy::cast_possible_truncation, reason = "a whole number below 2^31")]
            let multiplier = multiplier.copysign(ratio) as i32;
            Dyadic::new(multiplier, shift.unsigned_abs())
        }
        63.. => Some(Dyadic::ZERO),
        _ => None,
    }
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
