//! Element formats as types: one lane-wise function to encode, one to decode, and their scalar specifications.

use dyadic_formats::float::{Float, NonFinite};
use dyadic_formats::random::RandomKey;

use super::lanes::ConvertLanes;
use crate::lanes::{CANONICAL_NAN, LANES};

/// An element format of at most 8 bits with codes of one byte each.
pub(super) trait Codec: Copy {
    /// The code of a value: to nearest even, saturating; NaN is NaN, or the largest number of its sign where there is none.
    fn encode_one(self, x: f32) -> u8;
    /// The value of a code.
    fn decode_one(self, code: u8) -> f32;
    /// [`Codec::encode_one`] of each lane.
    fn encode<S: ConvertLanes>(self, s: S, x: S::F) -> S::I;
    /// [`Codec::decode_one`] of each lane.
    fn decode<S: ConvertLanes>(self, s: S, code: S::I) -> S::F;
}

/// A float of at most 8 bits with gradual subnormal numbers: its descriptor is [`FLOATS`]`[N]`.
#[derive(Clone, Copy)]
pub(super) struct MiniFloat<const N: usize>;

/// The floats that have kernels, with their names.
pub(super) const FLOATS: [(&str, Float); 9] = [
    ("e4m3fn", Float::E4M3FN),
    ("e5m2", Float::E5M2),
    ("e4m3", Float::E4M3),
    ("e3m4", Float::E3M4),
    ("e4m3fnuz", Float::E4M3FNUZ),
    ("e5m2fnuz", Float::E5M2FNUZ),
    ("e3m2", Float::E3M2),
    ("e2m3", Float::E2M3),
    ("e2m1", Float::E2M1),
];

pub(super) const E4M3FN: usize = 0;
pub(super) const E5M2: usize = 1;
pub(super) const E3M2: usize = 6;
pub(super) const E2M3: usize = 7;
pub(super) const E2M1: usize = 8;

const MAGNITUDE: i32 = i32::MAX;
const F32_INFINITY: i32 = 0x7F80_0000;

impl<const N: usize> MiniFloat<N> {
    const FLOAT: Float = FLOATS[N].1;
    const MANTISSA_BITS: i32 = Self::FLOAT.mantissa_bits as i32;
    /// The mantissa bits of an f32 that are rounded away.
    const DROPPED: i32 = 23 - Self::MANTISSA_BITS;
    const MAX: i32 = Self::FLOAT.max_magnitude().cast_signed();
    /// The exponent field that an f32 has for the smallest normal number.
    const MIN_EXPONENT: i32 = 128 - Self::FLOAT.bias;
    /// The difference of the magnitude code of a normal number and its shifted f32 bits.
    const REBIAS: i32 = (127 - Self::FLOAT.bias) << Self::MANTISSA_BITS;
    /// The bits of the largest number as f32.
    const MAX_BITS: i32 = (Self::MAX + Self::REBIAS) << Self::DROPPED;
    /// The bits of the f32 whose unit in the last place is the smallest subnormal number.
    const MAGIC: i32 = (Self::MIN_EXPONENT + Self::DROPPED) << 23;
    /// How far right the sign of an f32 goes.
    const SIGN_SHIFT: i32 = 32 - Self::FLOAT.bits().cast_signed();
    const SIGN: i32 = 1 << (Self::FLOAT.bits() - 1);
    /// The smallest subnormal number.
    const SMALLEST: f32 =
        f32::from_bits((128 - Self::FLOAT.bias - Self::MANTISSA_BITS).cast_unsigned() << 23);
    const NAN: Option<i32> = match Self::FLOAT.nan() {
        Some(nan) => Some(nan.cast_signed()),
        None => None,
    };
    const NAN_IS_NEGATIVE_ZERO: bool = matches!(Self::FLOAT.non_finite, NonFinite::NegativeZero);
    const HAS_INFINITY: bool = Self::FLOAT.infinity(false).is_some();

    /// The magnitude code with its sign, and NaN.
    #[inline(always)]
    fn finish<S: ConvertLanes>(s: S, x: S::F, magnitude: S::I) -> S::I {
        let sign = s.shift(s.bits(x), s.splat_i(-Self::SIGN_SHIFT));
        let sign = s.and_i(sign, s.splat_i(Self::SIGN));
        let code = s.or_i(magnitude, sign);
        let code = if Self::NAN_IS_NEGATIVE_ZERO {
            s.select_i(s.lt_i(magnitude, s.splat_i(1)), magnitude, code)
        } else {
            code
        };
        match Self::NAN {
            Some(nan) => s.select_i(s.is_nan(x), s.splat_i(nan), code),
            None => code,
        }
    }

    /// [`super::scalar::encode_stochastic`] of each lane.
    #[inline(always)]
    pub(super) fn encode_stochastic<S: ConvertLanes>(s: S, x: S::F, random: S::I) -> S::I {
        let magnitude = s.and_i(s.bits(x), s.splat_i(MAGNITUDE));
        let magnitude = s.min_i(magnitude, s.splat_i(Self::MAX_BITS));
        let exponent = s.max_i(s.shr_i::<23>(magnitude), s.splat_i(1));
        let fraction = s.and_i(magnitude, s.splat_i(0x7F_FFFF));
        // A subnormal f32 has no implicit bit; its exponent field counts as 1.
        let is_normal = s.lt_i(s.splat_i(0x7F_FFFF), magnitude);
        let significand = s.select_i(is_normal, s.or_i(fraction, s.splat_i(0x80_0000)), fraction);
        let effective = s.max_i(exponent, s.splat_i(Self::MIN_EXPONENT));
        // How far left the significand goes so that what is rounded away fills 32 bits: 32 − DROPPED or less.
        let left = s.sub_i(s.splat_i(32 - Self::DROPPED), s.sub_i(effective, exponent));
        let left = s.max_i(left, s.splat_i(-90));
        let kept = s.shift(significand, s.sub_i(left, s.splat_i(32)));
        let rest = s.shift(significand, left);
        // rest + random ≥ 2^32
        let carry = s.lt_unsigned(s.xor_i(random, s.splat_i(-1)), rest);
        let one = s.select_i(carry, s.splat_i(1), s.splat_i(0));
        let base = s.sub_i(effective, s.splat_i(Self::MIN_EXPONENT));
        let base = s.shift(base, s.splat_i(Self::MANTISSA_BITS));
        let code = s.min_i(s.add_i(s.add_i(base, kept), one), s.splat_i(Self::MAX));
        Self::finish(s, x, code)
    }

    /// The scalar specification of [`MiniFloat::encode_stochastic`].
    pub(super) fn encode_stochastic_one(x: f32, random: u32) -> u8 {
        let magnitude = (x.to_bits().cast_signed() & MAGNITUDE).min(Self::MAX_BITS);
        let exponent = (magnitude >> 23).max(1);
        let fraction = u64::from((magnitude & 0x7F_FFFF).cast_unsigned());
        let significand = if magnitude >> 23 == 0 { fraction } else { fraction | 0x80_0000 };
        let effective = exponent.max(Self::MIN_EXPONENT);
        // In units of 2^−32 of the last place; what lies below is dropped.
        let left = 32 - Self::DROPPED - (effective - exponent);
        let scaled = if left >= 0 {
            significand << left
        } else {
            significand >> left.unsigned_abs().min(63)
        };
        let rounded = (scaled + u64::from(random)) >> 32;
        let code = ((effective - Self::MIN_EXPONENT) << Self::MANTISSA_BITS) + rounded as i32;
        Self::finish_one(x, code.min(Self::MAX))
    }

    /// The value of a code.
    const fn value(code: u8) -> f32 {
        let magnitude = code as i32 & (Self::SIGN - 1);
        let negative = code as i32 & Self::SIGN != 0;
        if Self::NAN_IS_NEGATIVE_ZERO && negative && magnitude == 0 {
            return CANONICAL_NAN;
        }
        if magnitude > Self::MAX {
            let is_infinity = Self::HAS_INFINITY && magnitude == Self::MAX + 1;
            return match (is_infinity, negative) {
                (true, false) => f32::INFINITY,
                (true, true) => f32::NEG_INFINITY,
                (false, _) => CANONICAL_NAN,
            };
        }
        let value = if magnitude < 1 << Self::MANTISSA_BITS {
            #[expect(clippy::cast_precision_loss, reason = "at most 8 bits")]
            let units = magnitude as f32;
            units * Self::SMALLEST
        } else {
            f32::from_bits(((magnitude + Self::REBIAS) << Self::DROPPED).cast_unsigned())
        };
        if negative { -value } else { value }
    }

    /// The values of the codes of a format of 4 bits.
    const fn values() -> [f32; LANES] {
        let mut values = [0.0; LANES];
        let mut code = 0;
        while code < LANES {
            values[code] = Self::value(code as u8);
            code += 1;
        }
        values
    }

    fn finish_one(x: f32, magnitude: i32) -> u8 {
        let code = match Self::NAN {
            Some(nan) if x.is_nan() => nan,
            _ if magnitude == 0 && Self::NAN_IS_NEGATIVE_ZERO => 0,
            _ if x.is_sign_negative() => magnitude | Self::SIGN,
            _ => magnitude,
        };
        code.to_le_bytes()[0]
    }
}

impl<const N: usize> Codec for MiniFloat<N> {
    fn encode_one(self, x: f32) -> u8 {
        let magnitude = (x.to_bits().cast_signed() & MAGNITUDE).min(Self::MAX_BITS);
        let code = if magnitude < Self::MIN_EXPONENT << 23 {
            let sum = f32::from_bits(magnitude.cast_unsigned())
                + f32::from_bits(Self::MAGIC.cast_unsigned());
            sum.to_bits().cast_signed() - Self::MAGIC
        } else {
            let even = magnitude >> Self::DROPPED & 1;
            ((magnitude + (1 << (Self::DROPPED - 1)) - 1 + even) >> Self::DROPPED) - Self::REBIAS
        };
        Self::finish_one(x, code)
    }

    fn decode_one(self, code: u8) -> f32 {
        Self::value(code)
    }

    /// The processor rounds: a power of two is added whose last place is u, that of the result, be it normal or subnormal. The low bits of the sum are
    /// |x| / u then, to which each exponent above the smallest adds 2^M.
    #[inline(always)]
    fn encode<S: ConvertLanes>(self, s: S, x: S::F) -> S::I {
        let magnitude = s.and_i(s.bits(x), s.splat_i(MAGNITUDE));
        // Larger numbers, infinity and NaN become the largest number.
        let magnitude = s.min_i(magnitude, s.splat_i(Self::MAX_BITS));
        let exponent = s.and_i(magnitude, s.splat_i(F32_INFINITY));
        let exponent = s.max_i(exponent, s.splat_i(Self::MIN_EXPONENT << 23));
        let power = s.add_i(exponent, s.splat_i(Self::DROPPED << 23));
        let sum = s.add(s.float_of_bits(magnitude), s.float_of_bits(power));
        let units = s.sub_i(s.bits(sum), power);
        let above = s.sub_i(exponent, s.splat_i(Self::MIN_EXPONENT << 23));
        let code = s.add_i(units, s.shift(above, s.splat_i(-Self::DROPPED)));
        Self::finish(s, x, code)
    }

    #[inline(always)]
    fn decode<S: ConvertLanes>(self, s: S, code: S::I) -> S::F {
        if Self::FLOAT.bits() <= 4 {
            return s.look_up(const { &Self::values() }, code);
        }
        let magnitude = s.and_i(code, s.splat_i(Self::SIGN - 1));
        let sign = s.sub_i(code, magnitude);
        let wide = s.shift(magnitude, s.splat_i(Self::DROPPED));
        let normal = s.add_i(wide, s.splat_i(Self::REBIAS << Self::DROPPED));
        // Not by way of a subnormal f32: multiplying one costs 150 cycles on many processors.
        let subnormal = s.mul(s.to_float(magnitude), s.splat(Self::SMALLEST));
        let is_subnormal = s.lt_i(magnitude, s.splat_i(1 << Self::MANTISSA_BITS));
        let value = s.select(is_subnormal, subnormal, s.float_of_bits(normal));
        let sign = s.shift(sign, s.splat_i(Self::SIGN_SHIFT));
        let is_special = s.lt_i(s.splat_i(Self::MAX), magnitude);
        let value = if Self::HAS_INFINITY {
            let is_infinity = s.lt_i(magnitude, s.splat_i(Self::MAX + 2));
            let infinity = s.float_of_bits(s.splat_i(F32_INFINITY));
            let special = s.select(is_infinity, infinity, s.splat(CANONICAL_NAN));
            s.select(is_special, special, value)
        } else {
            value
        };
        let signed = s.float_of_bits(s.or_i(s.bits(value), sign));
        match Self::NAN {
            None => signed,
            Some(_) if Self::HAS_INFINITY => s.canonical(signed),
            Some(_) if Self::NAN_IS_NEGATIVE_ZERO => {
                // Only the code of −0 has no bits but the sign.
                let is_nan = s.lt_i(s.xor_i(code, s.splat_i(Self::SIGN)), s.splat_i(1));
                s.select(is_nan, s.splat(CANONICAL_NAN), signed)
            }
            Some(_) => s.select(is_special, s.splat(CANONICAL_NAN), signed),
        }
    }
}

/// Integers between −`max` and `max`, divided by `denominator`, a power of two (64 for MXINT8, else 1), in two's complement.
#[derive(Clone, Copy)]
pub(super) struct IntCodec {
    /// The smallest integer.
    pub(super) min: f32,
    /// The largest integer.
    pub(super) max: f32,
    /// What integers are divided by.
    pub(super) denominator: f32,
    /// The bits of a code.
    pub(super) bits: u32,
}

impl IntCodec {
    fn mask(self) -> i32 {
        (1 << self.bits) - 1
    }

    fn sign(self) -> i32 {
        1 << (self.bits - 1)
    }
}

impl Codec for IntCodec {
    fn encode_one(self, x: f32) -> u8 {
        let scaled = x * self.denominator;
        let scaled = if scaled > self.min { scaled } else { self.min };
        let scaled = if scaled < self.max { scaled } else { self.max };
        #[expect(clippy::cast_possible_truncation, reason = "between -128 and 127")]
        let code = scaled.round_ties_even() as i32 & self.mask();
        code.to_le_bytes()[0]
    }

    fn decode_one(self, code: u8) -> f32 {
        let integer = (i32::from(code) ^ self.sign()) - self.sign();
        #[expect(clippy::cast_precision_loss, reason = "8 bits")]
        let value = integer as f32 / self.denominator;
        value
    }

    #[inline(always)]
    fn encode<S: ConvertLanes>(self, s: S, x: S::F) -> S::I {
        let scaled = s.mul(x, s.splat(self.denominator));
        let scaled = s.min(s.max(scaled, s.splat(self.min)), s.splat(self.max));
        s.and_i(s.to_int(scaled), s.splat_i(self.mask()))
    }

    #[inline(always)]
    fn decode<S: ConvertLanes>(self, s: S, code: S::I) -> S::F {
        let sign = s.splat_i(self.sign());
        let integer = s.sub_i(s.xor_i(code, sign), sign);
        // Exact: the reciprocal of a power of two.
        s.mul(s.to_float(integer), s.splat(1.0 / self.denominator))
    }
}

/// A rising code book of 16 values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CodeBook16 {
    /// The values.
    pub(super) values: [f32; 16],
    /// Code i + 1 begins above `thresholds[i]`.
    pub(super) thresholds: [f32; 15],
}

impl CodeBook16 {
    /// From 16 rising values; `None` where they do not rise.
    #[must_use]
    pub fn new(values: &[f32]) -> Option<Self> {
        let values: [f32; 16] = values.try_into().ok()?;
        let mut thresholds = [0.0; 15];
        for (code, threshold) in thresholds.iter_mut().enumerate() {
            let (low, high) = (values[code], values[code + 1]);
            if low.partial_cmp(&high) != Some(std::cmp::Ordering::Less) {
                return None;
            }
            let middle = f64::midpoint(low.into(), high.into());
            #[expect(
                clippy::cast_possible_truncation,
                reason = "made not larger than the middle below"
            )]
            let rounded = middle as f32;
            // A tie goes to the even code: from an odd one it goes up.
            let is_above = f64::from(rounded) > middle;
            let tie_goes_up = f64::from(rounded) == middle && code % 2 == 1;
            *threshold = if is_above || tie_goes_up { rounded.next_down() } else { rounded };
        }
        Some(Self { values, thresholds })
    }
}

impl Codec for &CodeBook16 {
    fn encode_one(self, x: f32) -> u8 {
        self.thresholds.iter().map(|threshold| u8::from(x > *threshold)).sum()
    }

    fn decode_one(self, code: u8) -> f32 {
        self.values[usize::from(code & 15)]
    }

    /// A binary search: each step adds 8, 4, 2 or 1 where the threshold there is below.
    #[inline(always)]
    fn encode<S: ConvertLanes>(self, s: S, x: S::F) -> S::I {
        // Entry i is the threshold below code i.
        let mut table = [f32::NEG_INFINITY; LANES];
        table[1..].copy_from_slice(&self.thresholds);
        let mut code = s.splat_i(0);
        for step in [8, 4, 2, 1] {
            let candidate = s.or_i(code, s.splat_i(step));
            let is_above = s.lt(s.look_up(&table, candidate), x);
            code = s.select_i(is_above, candidate, code);
        }
        code
    }

    #[inline(always)]
    fn decode<S: ConvertLanes>(self, s: S, code: S::I) -> S::F {
        s.look_up(&self.values, s.and_i(code, s.splat_i(15)))
    }
}

/// The random bits of sixteen consecutive indices ([`RandomKey::bits`]).
#[inline(always)]
pub(super) fn random_bits<S: ConvertLanes>(s: S, key: RandomKey, index: S::I) -> S::I {
    let splat = |x: u32| s.splat_i(x.cast_signed());
    let x = s.add_i(index, splat(key.first));
    let x = s.xor_i(x, s.shr_i::<17>(x));
    let x = s.add_i(s.mul_i(x, splat(0xED5A_D4BB)), splat(key.second));
    let x = s.xor_i(x, s.shr_i::<11>(x));
    let x = s.mul_i(x, splat(0xAC4C_1B51));
    let x = s.xor_i(x, s.shr_i::<15>(x));
    let x = s.mul_i(x, splat(0x3184_8BAB));
    s.xor_i(x, s.shr_i::<14>(x))
}
