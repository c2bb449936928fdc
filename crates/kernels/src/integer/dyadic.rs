//! Dyadic numbers: `multiplier / 2^shift`, the only factors of the integer path.

/// `multiplier / 2^shift`, a change of scale (HAWQ-V3). The multiplier may be negative; the shift is 1 to 62.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(8))]
pub struct Dyadic {
    multiplier: i32,
    shift: u32,
}

/// How a product with a dyadic number becomes an integer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rounding {
    /// To nearest, ties towards +∞: `(z · multiplier + 2^(shift−1)) >> shift`. The rule everywhere but where another is asked for.
    #[default]
    Up,
    /// To nearest, ties to even: what HAWQ and I-ViT do (`torch.round`).
    Even,
}

impl Dyadic {
    /// 1: products with it are the identity.
    pub const ONE: Self = Self { multiplier: 1 << 30, shift: 30 };

    /// 0.
    pub const ZERO: Self = Self { multiplier: 0, shift: 1 };

    /// `multiplier / 2^shift`. `None` where the shift is not 1 to 62.
    #[must_use]
    pub const fn new(multiplier: i32, shift: u32) -> Option<Self> {
        if shift >= 1 && shift <= 62 { Some(Self { multiplier, shift }) } else { None }
    }

    /// The numerator.
    #[must_use]
    pub const fn multiplier(self) -> i32 {
        self.multiplier
    }

    /// The binary logarithm of the denominator, 1 to 62.
    #[must_use]
    pub const fn shift(self) -> u32 {
        self.shift
    }

    /// Half of the denominator.
    #[inline(always)]
    pub(super) const fn half(self) -> i64 {
        1 << (self.shift - 1)
    }

    /// `z` times the number, rounded to nearest, ties towards +∞. Nothing overflows: |z · multiplier| ≤ 2^62.
    #[inline(always)]
    #[must_use]
    pub const fn apply(self, z: i32) -> i64 {
        (z as i64 * self.multiplier as i64 + self.half()) >> self.shift
    }

    /// `z` times the number, rounded to nearest, ties to even.
    #[inline(always)]
    #[must_use]
    pub const fn apply_even(self, z: i32) -> i64 {
        let product = z as i64 * self.multiplier as i64;
        let floor = product >> self.shift;
        let rest = product & ((1 << self.shift) - 1);
        let up = rest > self.half() || (rest == self.half() && floor & 1 == 1);
        floor + up as i64
    }

    /// [`Dyadic::apply`] of 64 bits.
    #[must_use]
    pub const fn apply_wide(self, z: i64) -> i128 {
        (z as i128 * self.multiplier as i128 + self.half() as i128) >> self.shift
    }

    /// `z` times the number by the given rule.
    #[inline(always)]
    #[must_use]
    pub const fn apply_rounded(self, z: i32, rounding: Rounding) -> i64 {
        match rounding {
            Rounding::Up => self.apply(z),
            Rounding::Even => self.apply_even(z),
        }
    }
}

/// An integer that tensors are made of.
pub trait Integer: Copy + Into<i32> + private::Sealed {
    /// The least value.
    const MIN: i32;
    /// The greatest value.
    const MAX: i32;

    /// `value`, which lies in the range of the type.
    fn from_wide(value: i64) -> Self;
}

mod private {
    pub trait Sealed {}
}

macro_rules! integer {
    ($($ty:ty),*) => {$(
        impl private::Sealed for $ty {}
        impl Integer for $ty {
            const MIN: i32 = <$ty>::MIN as i32;
            const MAX: i32 = <$ty>::MAX as i32;

            #[expect(clippy::cast_possible_truncation, reason = "the value lies in the range")]
            #[inline(always)]
            fn from_wide(value: i64) -> Self {
                value as Self
            }
        }
    )*};
}

integer!(i8, i16, i32);

/// The last step of an op: a zero point is added, then the result is limited. Limits are also how `ReLU` and results of 4 bits are said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Output {
    /// The integer that stands for 0.
    pub zero_point: i32,
    /// The least result.
    pub min: i32,
    /// The greatest result.
    pub max: i32,
}

impl Output {
    /// Signed integers of so many bits, 2 to 32, zero at 0.
    ///
    /// # Panics
    /// Where `bits` is not 2 to 32.
    #[must_use]
    pub const fn bits(bits: u32) -> Self {
        assert!(bits >= 2 && bits <= 32, "2 to 32 bits");
        let max = i32::MAX >> (32 - bits);
        Self { zero_point: 0, min: -max - 1, max }
    }

    /// The same without results below the zero point.
    #[must_use]
    pub const fn relu(self) -> Self {
        let min = if self.min > self.zero_point { self.min } else { self.zero_point };
        Self { min, ..self }
    }

    /// `value` with the zero point, limited.
    #[inline(always)]
    #[must_use]
    pub fn finish<T: Integer>(self, value: i64) -> T {
        let (min, max) = (i64::from(self.min), i64::from(self.max));
        T::from_wide((value + i64::from(self.zero_point)).max(min).min(max))
    }

    /// Whether the limits are in order and fit the type.
    #[must_use]
    pub fn fits<T: Integer>(self) -> bool {
        T::MIN <= self.min && self.min <= self.max && self.max <= T::MAX
    }
}

/// A multiplier of TensorFlow Lite: `multiplier · 2^(left_shift − 31)`. Its kernels round differently, so its models need its arithmetic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TfliteMultiplier {
    multiplier: i32,
    left_shift: i32,
}

impl TfliteMultiplier {
    /// `None` where the shift is not −31 to 30.
    #[must_use]
    pub const fn new(multiplier: i32, left_shift: i32) -> Option<Self> {
        if left_shift >= -31 && left_shift <= 30 {
            Some(Self { multiplier, left_shift })
        } else {
            None
        }
    }

    /// The product in the order of gemmlowp: doubled and rounded to 32 bits, then rounded again. `None` where `z · 2^left_shift` is no i32.
    #[must_use]
    pub fn apply_double(self, z: i32) -> Option<i32> {
        let left = self.left_shift.max(0);
        let right = (-self.left_shift).max(0).cast_unsigned();
        let shifted = i32::try_from(i64::from(z) << left).ok()?;
        Some(rounding_divide_by_power_of_two(
            saturating_rounding_doubling_high_mul(shifted, self.multiplier),
            right,
        ))
    }

    /// The product rounded once ("single rounding").
    #[must_use]
    pub const fn apply_single(self, z: i32) -> i64 {
        // 1 to 62.
        let shift = 31 - self.left_shift;
        (z as i64 * self.multiplier as i64 + (1 << (shift - 1))) >> shift
    }

    /// The product of a 48-bit integer with the multiplier reduced to 16 bits: the rule for sums of i16 products.
    ///
    /// # Panics
    /// Where `z` has more than 48 bits or the left shift is above 14.
    #[must_use]
    pub fn apply_wide(self, z: i64) -> i64 {
        assert!(z >> 47 == 0 || z >> 47 == -1, "{z} has more than 48 bits");
        assert!(self.left_shift <= 14, "left shift {}", self.left_shift);
        let reduced = if self.multiplier >= 0x7FFF_0000 {
            0x7FFF
        } else {
            (self.multiplier + (1 << 15)) >> 16
        };
        let shift = 15 - self.left_shift;
        (z * i64::from(reduced) + (1 << (shift - 1))) >> shift
    }
}

/// The high half of `2 a b`, rounded to nearest, ties towards +∞, saturated: gemmlowp's primitive and the instruction SQRDMULH of Arm.
#[expect(
    clippy::cast_possible_truncation,
    reason = "|a b| <= 2^62 and the one case of 2^31 is taken out"
)]
#[must_use]
pub const fn saturating_rounding_doubling_high_mul(a: i32, b: i32) -> i32 {
    if a == i32::MIN && b == i32::MIN {
        return i32::MAX;
    }
    let product = a as i64 * b as i64;
    let nudge = if product >= 0 { 1 << 30 } else { 1 - (1 << 30) };
    ((product + nudge) / (1 << 31)) as i32
}

/// `x / 2^exponent` rounded to nearest, ties away from zero: gemmlowp's primitive.
///
/// # Panics
/// Where the exponent is above 31.
#[must_use]
pub const fn rounding_divide_by_power_of_two(x: i32, exponent: u32) -> i32 {
    assert!(exponent <= 31, "exponents are 0 to 31");
    #[expect(clippy::cast_possible_truncation, reason = "below 2^31")]
    let mask = ((1i64 << exponent) - 1) as i32;
    let threshold = (mask >> 1) + (x < 0) as i32;
    (x >> exponent) + ((x & mask) > threshold) as i32
}
