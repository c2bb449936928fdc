//! Posits: floating point with a run-length coded exponent, so that precision tapers off away from 1.

/// A posit of `bits` bits with `exponent_bits` exponent bits (2 in the standard of 2022).
///
/// Code 0 is 0 and code 2^(bits − 1) is not a real (`NaR`), which reads as NaN. A negative number is the two's complement of its mirror image. A positive one
/// is a run of k equal bits (regime r = k − 1 for ones, −k for zeros), their end, exponent bits e, fraction f: 2^(r 2^es + e) × 1.f; bits cut off
/// at the end are zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Posit {
    /// The width: 2 to 32.
    pub bits: u8,
    /// The most exponent bits: 0 to 4.
    pub exponent_bits: u8,
}

impl Posit {
    /// Whether the fields make a format whose values are all f64.
    #[must_use]
    pub const fn is_valid(self) -> bool {
        self.bits >= 2
            && self.bits <= 32
            && self.exponent_bits <= 4
            && ((self.bits as u32) << self.exponent_bits) < 1000
    }

    /// The code that is no number.
    #[must_use]
    pub const fn not_a_real(self) -> u32 {
        1 << (self.bits - 1)
    }

    /// The value of a code.
    #[must_use]
    pub fn decode(self, code: u32) -> f64 {
        let unused = 32 - u32::from(self.bits);
        let signed = (code << unused).cast_signed();
        match signed {
            0 => 0.0,
            i32::MIN => f64::NAN,
            _ => {
                let value = positive(u64::from(signed.unsigned_abs()) << 32, self.exponent_bits);
                if signed < 0 { -value } else { value }
            }
        }
    }

    /// The value of the posit with one bit more between two neighbouring positive codes: where rounding to nearest turns.
    pub(crate) fn tie_above(self, code: u32) -> f64 {
        let longer = u64::from(code) << 1 | 1;
        positive(longer << (63 - u32::from(self.bits)), self.exponent_bits)
    }
}

/// The value of a positive posit whose sign bit is bit 63.
fn positive(bits: u64, exponent_bits: u8) -> f64 {
    let body = bits << 1;
    let first = body >> 63;
    let run = if first == 1 { body.leading_ones() } else { body.leading_zeros() };
    let regime = if first == 1 { i64::from(run) - 1 } else { -i64::from(run) };
    let rest = body.checked_shl(run + 1).unwrap_or(0);
    let exponent = if exponent_bits == 0 { 0 } else { rest >> (64 - u32::from(exponent_bits)) };
    let fraction = rest << exponent_bits;
    let power = (regime << exponent_bits) + exponent.cast_signed();
    // The fraction has at most 31 bits, so that it fits above the lowest 12.
    crate::float::power_of_two(power) * f64::from_bits(1023 << 52 | fraction >> 12)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn posit8_has_the_values_of_the_standard() {
        let posit8 = Posit { bits: 8, exponent_bits: 2 };
        let value = |code| posit8.decode(code);
        assert_eq!(value(0x40), 1.0);
        assert_eq!(value(0xC0), -1.0);
        assert_eq!(value(0x7F), 2f64.powi(24));
        assert_eq!(value(0x01), 2f64.powi(-24));
        assert_eq!(value(0x48), 2.0);
        assert_eq!(value(0x44), 1.5);
        assert_eq!(value(0x60), 16.0);
        assert_eq!(value(0x38), 0.5);
        assert!(value(0x80).is_nan());
    }

    /// From the bit string, as the standard words it, for every code of 16 bits.
    #[test]
    fn posit16_equals_a_reading_of_the_bit_string() {
        let posit16 = Posit { bits: 16, exponent_bits: 2 };
        for code in 1..0x8000u32 {
            let string = format!("{code:016b}");
            let body = &string[1..];
            let first = body.chars().next().unwrap();
            let run = body.chars().take_while(|&c| c == first).count();
            let run = i32::try_from(run).unwrap();
            let regime = if first == '1' { run - 1 } else { -run };
            let tail: String = body
                .chars()
                .skip(usize::try_from(run).unwrap() + 1)
                .chain(std::iter::repeat_n('0', 16))
                .collect();
            let exponent = i32::from_str_radix(&tail[..2], 2).unwrap();
            let fraction = f64::from(u32::from_str_radix(&tail[2..16], 2).unwrap()) / 16384.0;
            let value = 2f64.powi(4 * regime + exponent) * (1.0 + fraction);
            assert_eq!(posit16.decode(code), value, "{code:#06x}");
            assert_eq!(posit16.decode(0x10000 - code), -value);
        }
    }
}
