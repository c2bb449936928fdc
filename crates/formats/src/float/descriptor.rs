//! Floating-point formats of any width as descriptors.

/// Where a format keeps its infinities and NaNs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NonFinite {
    /// The top exponent: mantissa 0 is infinity, all others are NaN (IEEE 754).
    Ieee,
    /// NaN is the code of all ones of either sign; no infinity (`fn`, OCP e4m3).
    AllOnes,
    /// NaN is the code of −0, which does not exist; no infinity (`fnuz`, and the finite signed formats of IEEE P3109).
    NegativeZero,
    /// NaN is the code of −0, infinities are the codes of largest magnitude (the extended signed formats of IEEE P3109).
    NegativeZeroAndInfinity,
    /// Unsigned: NaN is the top code; no infinity.
    Top,
    /// Unsigned: NaN is the top code, infinity the one below (the extended unsigned formats of IEEE P3109).
    TopAndInfinity,
    /// Every code is a finite number.
    None,
}

/// What the exponent field 0 means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Subnormals {
    /// m × 2^(1 − bias − M), down to zero.
    Gradual,
    /// Zero, whatever the mantissa.
    Flushed,
    /// Nothing special: 1.m × 2^−bias. There is no zero. Unsigned formats only.
    Absent,
}

/// A floating-point format: sign, E exponent bits, M mantissa bits.
///
/// A number with exponent field e > 0 is ± (1 + m / 2^M) × 2^(e − bias).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Float {
    /// E: 0 to 10, so that every value is an f64.
    pub exponent_bits: u8,
    /// M: 0 to 23.
    pub mantissa_bits: u8,
    /// What is subtracted from the exponent field.
    pub bias: i32,
    /// Whether there is a sign bit.
    pub signed: bool,
    /// The meaning of the exponent field 0.
    pub subnormals: Subnormals,
    /// The codes that are no numbers.
    pub non_finite: NonFinite,
}

const fn signed(exponent_bits: u8, mantissa_bits: u8, bias: i32, non_finite: NonFinite) -> Float {
    Float {
        exponent_bits,
        mantissa_bits,
        bias,
        signed: true,
        subnormals: Subnormals::Gradual,
        non_finite,
    }
}

impl Float {
    /// IEEE binary32.
    pub const F32: Self = signed(8, 23, 127, NonFinite::Ieee);
    /// NVIDIA's TensorFloat-32: 19 bits.
    pub const TF32: Self = signed(8, 10, 127, NonFinite::Ieee);
    /// bfloat16.
    pub const BF16: Self = signed(8, 7, 127, NonFinite::Ieee);
    /// IEEE binary16.
    pub const F16: Self = signed(5, 10, 15, NonFinite::Ieee);
    /// OCP FP8 for range.
    pub const E5M2: Self = signed(5, 2, 15, NonFinite::Ieee);
    /// OCP FP8 for precision: largest number 448.
    pub const E4M3FN: Self = signed(4, 3, 7, NonFinite::AllOnes);
    /// IEEE-like e4m3: largest number 240.
    pub const E4M3: Self = signed(4, 3, 7, NonFinite::Ieee);
    /// AMD's and Graphcore's e4m3.
    pub const E4M3FNUZ: Self = signed(4, 3, 8, NonFinite::NegativeZero);
    /// AMD's and Graphcore's e5m2.
    pub const E5M2FNUZ: Self = signed(5, 2, 16, NonFinite::NegativeZero);
    /// Google's e4m3 with bias 11.
    pub const E4M3B11FNUZ: Self = signed(4, 3, 11, NonFinite::NegativeZero);
    /// IEEE-like e3m4.
    pub const E3M4: Self = signed(3, 4, 3, NonFinite::Ieee);
    /// OCP FP6 for range.
    pub const E3M2: Self = signed(3, 2, 3, NonFinite::None);
    /// OCP FP6 for precision.
    pub const E2M3: Self = signed(2, 3, 1, NonFinite::None);
    /// OCP FP4.
    pub const E2M1: Self = signed(2, 1, 1, NonFinite::None);
    /// An unsigned scale: 5 exponent, 3 mantissa bits.
    pub const UE5M3: Self = Self { signed: false, ..signed(5, 3, 15, NonFinite::Top) };
    /// An unsigned scale: 4 exponent, 3 mantissa bits.
    pub const UE4M3: Self = Self { signed: false, ..signed(4, 3, 7, NonFinite::Top) };
    /// The power-of-two scale of OCP Microscaling.
    pub const E8M0: Self =
        Self { signed: false, subnormals: Subnormals::Absent, ..signed(8, 0, 127, NonFinite::Top) };

    /// The format with these fields and what goes without saying: gradual subnormals; the bias 2^(E−1) − 1, or one more where −0 is NaN or E is 1; and, where
    /// `non_finite` is `None`, IEEE specials from 8 bits on (unsigned: a NaN from 7 bits on) and none below.
    ///
    /// `None` where the fields are outside what a descriptor can hold.
    #[must_use]
    pub fn new(
        exponent_bits: u8,
        mantissa_bits: u8,
        signed: bool,
        non_finite: Option<NonFinite>,
    ) -> Option<Self> {
        let bits = exponent_bits.checked_add(mantissa_bits)?.checked_add(u8::from(signed))?;
        let non_finite = non_finite.unwrap_or(match (signed, bits) {
            (true, 8..) => NonFinite::Ieee,
            (false, 7..) => NonFinite::Top,
            _ => NonFinite::None,
        });
        let float = Self {
            exponent_bits,
            mantissa_bits,
            bias: Self::default_bias(exponent_bits, non_finite),
            signed,
            subnormals: Subnormals::Gradual,
            non_finite,
        };
        float.is_valid().then_some(float)
    }

    /// A format of IEEE P3109 (interim report): `bits` wide with a significand of `precision` bits (one of them hidden), with infinities where
    /// `extended`.
    ///
    /// `None` where the fields are outside what a descriptor can hold.
    #[must_use]
    pub fn p3109(bits: u8, precision: u8, signed: bool, extended: bool) -> Option<Self> {
        let exponent_bits = bits.checked_sub(precision)?.checked_add(u8::from(!signed))?;
        let non_finite = match (signed, extended) {
            (true, false) => NonFinite::NegativeZero,
            (true, true) => NonFinite::NegativeZeroAndInfinity,
            (false, false) => NonFinite::Top,
            (false, true) => NonFinite::TopAndInfinity,
        };
        let float = Self {
            exponent_bits,
            mantissa_bits: precision.checked_sub(1)?,
            bias: if exponent_bits == 0 || exponent_bits > 10 {
                0
            } else {
                1 << (exponent_bits - 1)
            },
            signed,
            subnormals: Subnormals::Gradual,
            non_finite,
        };
        float.is_valid().then_some(float)
    }

    pub(crate) const fn default_bias(exponent_bits: u8, non_finite: NonFinite) -> i32 {
        if exponent_bits == 0 || exponent_bits > 10 {
            return 0;
        }
        match non_finite {
            NonFinite::NegativeZero | NonFinite::NegativeZeroAndInfinity => {
                1 << (exponent_bits - 1)
            }
            // e1mY has bias 1 in use (FP4 and FP3), so that its numbers below 1 are subnormals.
            _ if exponent_bits == 1 => 1,
            _ => (1 << (exponent_bits - 1)) - 1,
        }
    }

    /// Whether the fields make a format whose values are all f64: 2 to 32 bits, specials that fit its sign, at least one number besides zero.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        let fits_sign = match self.non_finite {
            NonFinite::Ieee => self.mantissa_bits > 0 && self.exponent_bits > 0,
            NonFinite::AllOnes | NonFinite::None => true,
            NonFinite::NegativeZero | NonFinite::NegativeZeroAndInfinity => self.signed,
            NonFinite::Top | NonFinite::TopAndInfinity => !self.signed,
        };
        fits_sign
            && !(self.signed && self.subnormals == Subnormals::Absent)
            && self.exponent_bits <= 10
            && self.mantissa_bits <= 23
            && self.bias.abs() <= 512
            && (2..=32).contains(&self.bits())
            && self.max_magnitude() >= 1
    }

    /// The number of bits of a code.
    #[must_use]
    pub const fn bits(&self) -> u32 {
        self.magnitude_bits() + self.signed as u32
    }

    const fn magnitude_bits(&self) -> u32 {
        (self.exponent_bits + self.mantissa_bits) as u32
    }

    const fn all_ones(&self) -> u32 {
        u32::MAX >> (32 - self.magnitude_bits())
    }

    const fn sign_bit(&self) -> u32 {
        1 << self.magnitude_bits()
    }

    /// The code of the largest finite magnitude, without sign.
    #[must_use]
    pub const fn max_magnitude(&self) -> u32 {
        let all_ones = self.all_ones();
        match self.non_finite {
            NonFinite::Ieee => all_ones - (1 << self.mantissa_bits),
            NonFinite::AllOnes | NonFinite::NegativeZeroAndInfinity | NonFinite::Top => {
                all_ones - 1
            }
            NonFinite::TopAndInfinity => all_ones - 2,
            NonFinite::NegativeZero | NonFinite::None => all_ones,
        }
    }

    /// Whether −0 is a number.
    #[must_use]
    pub const fn has_negative_zero(&self) -> bool {
        self.signed
            && !matches!(
                self.non_finite,
                NonFinite::NegativeZero | NonFinite::NegativeZeroAndInfinity
            )
    }

    /// The code of NaN that encoding gives: quiet, positive, without payload. `None` where there is none.
    #[must_use]
    pub const fn nan(&self) -> Option<u32> {
        match self.non_finite {
            NonFinite::Ieee => Some(self.max_magnitude() + 1 + (1 << (self.mantissa_bits - 1))),
            NonFinite::AllOnes | NonFinite::Top | NonFinite::TopAndInfinity => {
                Some(self.all_ones())
            }
            NonFinite::NegativeZero | NonFinite::NegativeZeroAndInfinity => Some(self.sign_bit()),
            NonFinite::None => None,
        }
    }

    /// The code of an infinity. `None` where there is none.
    #[must_use]
    pub const fn infinity(&self, negative: bool) -> Option<u32> {
        let magnitude = match self.non_finite {
            NonFinite::Ieee | NonFinite::NegativeZeroAndInfinity => self.max_magnitude() + 1,
            NonFinite::TopAndInfinity if !negative => self.max_magnitude() + 1,
            _ => return None,
        };
        Some(if negative { magnitude | self.sign_bit() } else { magnitude })
    }

    /// The value of a code; bits above the width are ignored.
    #[must_use]
    pub fn decode(&self, code: u32) -> f64 {
        let magnitude = code & self.all_ones();
        let negative = self.signed && code & self.sign_bit() != 0;
        let nan_is_negative_zero =
            matches!(self.non_finite, NonFinite::NegativeZero | NonFinite::NegativeZeroAndInfinity);
        if nan_is_negative_zero && negative && magnitude == 0 {
            return f64::NAN;
        }
        if magnitude > self.max_magnitude() {
            let is_infinity = self.infinity(negative) == Some(self.with_sign(magnitude, negative));
            return match (is_infinity, negative) {
                (true, false) => f64::INFINITY,
                (true, true) => f64::NEG_INFINITY,
                (false, _) => f64::NAN,
            };
        }
        let value = self.magnitude_value(i64::from(magnitude));
        if negative { -value } else { value }
    }

    /// The value of a magnitude code, continued beyond the largest as if the exponent field were wider.
    pub(crate) fn magnitude_value(&self, magnitude: i64) -> f64 {
        let exponent = magnitude >> self.mantissa_bits;
        let mantissa = magnitude & ((1 << self.mantissa_bits) - 1);
        let implicit = 1i64 << self.mantissa_bits;
        let (significand, exponent) = match self.subnormals {
            Subnormals::Gradual if exponent == 0 => (mantissa, 1),
            Subnormals::Flushed if exponent == 0 => return 0.0,
            _ => (implicit + mantissa, exponent),
        };
        let power = exponent - i64::from(self.bias) - i64::from(self.mantissa_bits);
        #[expect(clippy::cast_precision_loss, reason = "at most 24 bits")]
        let significand = significand as f64;
        significand * power_of_two(power)
    }

    /// The place of a magnitude code in the rising sequence of distinct magnitudes.
    pub(crate) const fn rank_of_magnitude(&self, magnitude: i64) -> i64 {
        let skipped = (1 << self.mantissa_bits) - 1;
        match self.subnormals {
            Subnormals::Flushed if magnitude > skipped => magnitude - skipped,
            Subnormals::Flushed => 0,
            _ => magnitude,
        }
    }

    /// The inverse of [`Float::rank_of_magnitude`].
    pub(crate) const fn magnitude_of_rank(&self, rank: i64) -> i64 {
        match self.subnormals {
            Subnormals::Flushed if rank > 0 => rank + (1 << self.mantissa_bits) - 1,
            _ => rank,
        }
    }

    /// The largest magnitude code, continued as by [`Float::magnitude_value`], whose value is not above `value`, a positive finite number. −1 where
    /// there is none.
    pub(crate) fn floor_magnitude(&self, value: f64) -> i64 {
        const F64_MANTISSA_BITS: i64 = 52;
        let bits = value.to_bits();
        let field = (bits >> F64_MANTISSA_BITS).cast_signed();
        if field == 0 {
            // An f64 subnormal is below every number but zero.
            return if matches!(self.subnormals, Subnormals::Absent) { -1 } else { 0 };
        }
        let significand =
            (bits & ((1 << F64_MANTISSA_BITS) - 1) | 1 << F64_MANTISSA_BITS).cast_signed();
        let bias = i64::from(self.bias);
        let exponent = field - 1023;
        let lowest = match self.subnormals {
            Subnormals::Absent => -bias,
            _ => 1 - bias,
        };
        if exponent < lowest && !matches!(self.subnormals, Subnormals::Gradual) {
            return if matches!(self.subnormals, Subnormals::Absent) { -1 } else { 0 };
        }
        let mantissa_bits = i64::from(self.mantissa_bits);
        let shift = F64_MANTISSA_BITS - mantissa_bits + (lowest - exponent).max(0);
        let significand = if shift < 64 { significand >> shift } else { 0 };
        significand + ((exponent.max(lowest) + bias - 1) << mantissa_bits)
    }

    /// The code of a magnitude code and a sign.
    pub(crate) const fn with_sign(&self, magnitude: u32, negative: bool) -> u32 {
        if negative && self.signed { magnitude | self.sign_bit() } else { magnitude }
    }
}

/// 2^power as an f64: 0 below and infinity above what it can hold.
pub(crate) fn power_of_two(power: i64) -> f64 {
    match power {
        ..-1074 => 0.0,
        -1074..-1022 => f64::from_bits(1 << (power + 1074)),
        -1022..=1023 => f64::from_bits((power + 1023).cast_unsigned() << 52),
        _ => f64::INFINITY,
    }
}
