//! Power-law formats (`PowerQuant`, NUPES): a uniform integer grid in |x|^a.

/// Codes q of `bits` bits in symmetric two's complement, with the value sign(q) (|q| / `q_max`)^(1/a) for `exponent` a in (0, 1]. a = 1 is the
/// uniform grid, a = 1/2 the square: q |q| / `q_max`².
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Power {
    /// The width: 2 to 16.
    pub bits: u8,
    /// a.
    pub exponent: f64,
}

impl Power {
    /// Whether the fields make a format.
    #[must_use]
    pub fn is_valid(self) -> bool {
        (2..=16).contains(&self.bits) && self.exponent > 0.01 && self.exponent <= 1.0
    }

    /// The largest code.
    #[must_use]
    pub const fn max(self) -> i64 {
        (1 << (self.bits - 1)) - 1
    }

    /// The value of an integer code.
    #[must_use]
    pub fn value(self, q: i64) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "at most 16 bits")]
        let ratio = q.unsigned_abs() as f64 / self.max() as f64;
        let magnitude = if ratio == 0.0 {
            0.0
        } else if self.exponent == 0.5 {
            ratio * ratio
        } else {
            power(ratio, 1.0 / self.exponent)
        };
        if q < 0 { -magnitude } else { magnitude }
    }
}

/// base^exponent for a base in (0, 1], from the four basic operations alone, so that it has the same bits on every machine. The relative error
/// is below 1e-13 for exponents up to 100.
pub(crate) fn power(base: f64, exponent: f64) -> f64 {
    exp2(log2(base) * exponent)
}

/// log2 of a positive normal number: its exponent plus 2 atanh((m − 1) / (m + 1)) / ln 2 for m in [√½, √2).
fn log2(value: f64) -> f64 {
    let bits = value.to_bits();
    let mut exponent = (bits >> 52).cast_signed() - 1023;
    let mut mantissa = f64::from_bits(bits & ((1 << 52) - 1) | 1023 << 52);
    if mantissa > std::f64::consts::SQRT_2 {
        mantissa /= 2.0;
        exponent += 1;
    }
    let t = (mantissa - 1.0) / (mantissa + 1.0);
    let square = t * t;
    // |t| < 0.1716: the 13th term is below 1e-20.
    let series = (0..13).rev().fold(0.0, |sum, k| sum * square + 1.0 / f64::from(2 * k + 1));
    #[expect(clippy::cast_precision_loss, reason = "at most 11 bits")]
    let exponent = exponent as f64;
    exponent + 2.0 * t * series * std::f64::consts::LOG2_E
}

/// 2^x for x in [−1022, 0].
fn exp2(x: f64) -> f64 {
    let whole = (x + 0.5).floor();
    let y = (x - whole) * std::f64::consts::LN_2;
    // |y| < 0.3466: the 16th term is below 1e-20.
    let series = (1..=16).rev().fold(1.0, |sum, k| 1.0 + sum * y / f64::from(k));
    #[expect(clippy::cast_possible_truncation, reason = "at least -1022")]
    let power = whole as i64;
    series * crate::float::power_of_two(power)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn power_is_as_good_as_that_of_the_standard_library() {
        for i in 1..=1000 {
            let base = f64::from(i) / 1000.0;
            for exponent in [1.0, 4.0 / 3.0, 2.0, std::f64::consts::PI, 30.0] {
                let (ours, theirs) = (power(base, exponent), base.powf(exponent));
                assert!(
                    (ours / theirs - 1.0).abs() < 1e-13,
                    "{base} ^ {exponent}: {ours} {theirs}"
                );
            }
        }
    }

    #[test]
    fn the_square_root_format_dequantizes_by_an_integer_product() {
        let format = Power { bits: 8, exponent: 0.5 };
        for q in -127i64..=127 {
            #[expect(clippy::cast_precision_loss, reason = "small")]
            let square = (q * q.abs()) as f64 / (127.0 * 127.0);
            assert!((format.value(q) - square).abs() < 1e-15);
        }
    }
}
