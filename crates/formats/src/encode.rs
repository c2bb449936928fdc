//! Encoding: the one definition for every format.
//!
//! The finite values of a format, in rising order, have consecutive ranks. To encode is to find the two ranks around a value, to choose one by
//! the rounding mode, and to treat what lies beyond the ends by the overflow policy. Everything is computed in f64 without rounding errors, so
//! the result is that of exact arithmetic, also straight from f64.

use crate::element::Element;
use crate::error::FormatError;
use crate::float::{Float, Subnormals, power_of_two};
use crate::int::{Fixed, Int, low_mask};
use crate::posit::Posit;
use crate::random::random_bits;
use crate::rounding::{Bracket, NanPolicy, Overflow, Rounding};
use crate::tabulated::Tabulated;

/// What encoding does where a format leaves a choice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct EncodeOptions {
    /// How values between two neighbours are rounded.
    pub rounding: Rounding,
    /// What values beyond the largest become.
    pub overflow: Overflow,
    /// What NaN becomes where the format has none.
    pub nan: NanPolicy,
    /// Whether an infinity that would saturate is NaN instead.
    pub infinity_is_nan: bool,
    /// The seed of the random modes.
    pub seed: u64,
}

/// The rising sequence of the finite values of a format.
#[derive(Clone, Debug)]
enum Ladder {
    /// offset + step × rank, the code being the low bits of rank + `code_offset`.
    Linear {
        min: i64,
        max: i64,
        step: f64,
        offset: f64,
        code_offset: i64,
        mask: u32,
    },
    Float(Float),
    Posit(Posit),
    /// Values and their codes.
    Table(Vec<(f64, u32)>),
}

/// How far ranks go beyond the numbers of a format, to either side; the ends are only compared.
const RANK_LIMIT: i64 = 1 << 60;

impl Ladder {
    fn new(element: &Element) -> Self {
        let linear = |int: Int, step: f64| Self::Linear {
            min: int.min(),
            max: int.max(),
            step,
            offset: 0.0,
            code_offset: 0,
            mask: low_mask(int.bits),
        };
        match element {
            Element::Int(int) => linear(*int, 1.0),
            Element::Fixed(Fixed { int, fraction_bits }) => {
                linear(*int, power_of_two(-i64::from(*fraction_bits)))
            }
            // 1 has the even rank 0, so that 0 becomes 1 also where there is only ±1.
            Element::Bipolar { bits } => {
                let half = 1i64 << (bits - 1);
                Self::Linear {
                    min: -half,
                    max: half - 1,
                    step: 2.0,
                    offset: 1.0,
                    code_offset: half,
                    mask: low_mask(*bits),
                }
            }
            Element::Ternary => {
                Self::Linear { min: -1, max: 1, step: 1.0, offset: 0.0, code_offset: 1, mask: 3 }
            }
            Element::Float(float) => Self::Float(*float),
            Element::Posit(posit) => Self::Posit(*posit),
            Element::SparseDigits(digits) => {
                let step = power_of_two(-i64::from(digits.fraction_bits));
                let values = digits.integers().map(|(n, code)| (f64::from(n) * step, code));
                Self::Table(values.collect())
            }
            Element::Power(power) => {
                let mask = low_mask(power.bits);
                let codes = -power.max()..=power.max();
                Self::Table(codes.map(|q| (power.value(q), low_bits(q, mask))).collect())
            }
            Element::CodeBook(_) => {
                let mut values: Vec<_> =
                    element.enumerate().map(|(code, value)| (value + 0.0, code)).collect();
                values.sort_by(|a, b| a.0.total_cmp(&b.0));
                values.dedup_by(|next, kept| next.0 == kept.0);
                Self::Table(values)
            }
            // The real numbers among the units.
            Element::Complex => Self::Table(vec![(-1.0, 2), (1.0, 0)]),
        }
    }

    fn ends(&self) -> (i64, i64) {
        match self {
            Self::Linear { min, max, .. } => (*min, *max),
            Self::Float(float) => {
                let max = float.rank_of_magnitude(i64::from(float.max_magnitude()));
                (if float.signed { -max } else { 0 }, max)
            }
            Self::Posit(posit) => {
                let max = i64::from(posit.not_a_real()) - 1;
                (-max, max)
            }
            Self::Table(values) => (0, values.len().cast_signed() as i64 - 1),
        }
    }

    /// The value of a rank. Linear and floating-point sequences continue beyond their ends, the others do not.
    fn value(&self, rank: i64) -> f64 {
        match self {
            #[expect(clippy::cast_precision_loss, reason = "ranks beyond 2^53 are only compared")]
            Self::Linear { step, offset, .. } => offset + step * rank as f64,
            Self::Float(float) => {
                let magnitude = float.magnitude_value(float.magnitude_of_rank(rank.abs()));
                if rank < 0 { -magnitude } else { magnitude }
            }
            Self::Posit(posit) => posit.decode(low_bits(rank, u32::MAX)),
            Self::Table(values) => match usize::try_from(rank) {
                Ok(rank) if rank < values.len() => values[rank].0,
                Ok(_) => f64::INFINITY,
                Err(_) => f64::NEG_INFINITY,
            },
        }
    }

    fn code(&self, rank: i64, negative: bool) -> u32 {
        match self {
            Self::Linear { code_offset, mask, .. } => low_bits(rank + code_offset, *mask),
            Self::Float(float) => {
                let magnitude = low_bits(float.magnitude_of_rank(rank.abs()), u32::MAX);
                let negative_zero = rank == 0 && negative && float.has_negative_zero();
                float.with_sign(magnitude, rank < 0 || negative_zero)
            }
            Self::Posit(posit) => low_bits(rank, low_mask(posit.bits)),
            Self::Table(values) => values[usize::try_from(rank).unwrap_or(0)].1,
        }
    }

    fn is_even(&self, rank: i64) -> bool {
        match self {
            Self::Table(values) => usize::try_from(rank)
                .ok()
                .and_then(|rank| values.get(rank))
                .is_none_or(|v| v.1 % 2 == 0),
            _ => rank % 2 == 0,
        }
    }

    /// What lies equally near to a rank and the next.
    fn tie_above(&self, rank: i64) -> f64 {
        match self {
            // Rounding works on the bit string, not on the value.
            Self::Posit(posit) if rank >= 0 => posit.tie_above(low_bits(rank, u32::MAX)),
            Self::Posit(posit) => -posit.tie_above(low_bits(-rank - 1, u32::MAX)),
            // The sum of two neighbours is exact: they have few bits and near exponents.
            _ => 0.5 * (self.value(rank) + self.value(rank + 1)),
        }
    }

    /// The largest rank whose value is not above a finite `value`.
    fn floor(&self, value: f64) -> i64 {
        match self {
            Self::Linear { step, offset, .. } => {
                #[expect(clippy::cast_possible_truncation, reason = "the cast saturates")]
                let rank = ((value - offset) / step).floor() as i64;
                let rank = rank.clamp(-RANK_LIMIT, RANK_LIMIT);
                // The subtraction may have rounded up.
                if self.value(rank) > value { rank - 1 } else { rank }
            }
            Self::Float(float) if value == 0.0 => float.floor_rank_of_zero(),
            Self::Float(float) => {
                let magnitude = float.floor_magnitude(value.abs());
                let rank = float.rank_of_magnitude(magnitude);
                if value > 0.0 {
                    rank
                } else if self.value(rank) == -value {
                    -rank
                } else {
                    -rank - 1
                }
            }
            Self::Posit(_) | Self::Table(_) => {
                let (min, max) = self.ends();
                let (mut low, mut high) = (min - 1, max);
                while low < high {
                    let middle = low + (high - low + 1) / 2;
                    if self.value(middle) <= value { low = middle } else { high = middle - 1 }
                }
                low
            }
        }
    }
}

impl Float {
    const fn floor_rank_of_zero(&self) -> i64 {
        if matches!(self.subnormals, crate::float::Subnormals::Absent) { -1 } else { 0 }
    }
}

/// The low 32 bits of an integer in two's complement, and of these those of the mask.
fn low_bits(value: i64, mask: u32) -> u32 {
    #[expect(clippy::cast_possible_truncation, reason = "the low half is meant")]
    let low = value.cast_unsigned() as u32;
    low & mask
}

/// Rounds to nearest even in a float without going through codes: in f64, whole multiples of the step at the value.
#[derive(Clone, Copy, Debug)]
struct Quanta {
    mantissa_bits: i64,
    /// The exponent of the smallest normal number, whose step subnormal numbers have too.
    lowest: i64,
    max: f64,
    has_negative_zero: bool,
}

impl Quanta {
    /// `None` for floats whose codes are not even where their significands are, and other modes.
    fn new(element: &Element, options: &EncodeOptions) -> Option<Self> {
        let Element::Float(float) = element else { return None };
        let fits = float.signed
            && float.mantissa_bits > 0
            && float.subnormals == Subnormals::Gradual
            && options.rounding == Rounding::NearestEven;
        fits.then(|| Self {
            mantissa_bits: float.mantissa_bits.into(),
            lowest: i64::from(1 - float.bias),
            max: float.magnitude_value(float.max_magnitude().into()),
            has_negative_zero: float.has_negative_zero(),
        })
    }

    /// `None` where the result is beyond the largest number, and for NaN.
    #[inline]
    fn round(self, value: f64) -> Option<f64> {
        let exponent = (value.to_bits() >> 52 & 0x7FF).cast_signed() - 1023;
        // 2^52 steps: a sum with it has no room for parts of one. Infinity and NaN where the value has an exponent beyond those of formats.
        let magic = power_of_two(exponent.max(self.lowest) - self.mantissa_bits + 52);
        let magnitude = (value.abs() + magic) - magic;
        if magnitude > self.max || magnitude.is_nan() {
            return None;
        }
        let is_plain_zero = magnitude == 0.0 && !self.has_negative_zero;
        Some(if is_plain_zero { 0.0 } else { magnitude.copysign(value) })
    }
}

/// Encodes values in one format with one set of options.
#[derive(Clone, Debug)]
pub struct Encoder {
    quanta: Option<Quanta>,
    table: Option<Box<Tabulated>>,
    element: Element,
    options: EncodeOptions,
    ladder: Ladder,
    min: i64,
    max: i64,
}

impl Encoder {
    /// What it does where the format leaves a choice.
    #[must_use]
    pub const fn options(&self) -> &EncodeOptions {
        &self.options
    }

    /// The largest finite value of the format.
    #[must_use]
    pub fn max(&self) -> f64 {
        self.ladder.value(self.max)
    }

    /// The smallest finite value of the format.
    #[must_use]
    pub fn min(&self) -> f64 {
        self.ladder.value(self.min)
    }

    /// The smallest value above 0.
    #[must_use]
    pub fn min_positive(&self) -> f64 {
        let rank = self.ladder.floor(0.0) + 1;
        self.ladder.value(rank.clamp(self.min, self.max))
    }

    /// The number of distinct finite values; 0 and −0 are one.
    #[must_use]
    pub fn distinct_values(&self) -> u64 {
        (self.max - self.min + 1).cast_unsigned()
    }

    /// Prepares to encode. Code books and other formats without a formula are sorted into a table.
    ///
    /// # Panics
    /// Where the element is not valid.
    #[must_use]
    pub fn new(element: &Element, options: EncodeOptions) -> Self {
        assert!(element.is_valid(), "{element:?} is no format");
        let ladder = Ladder::new(element);
        let (min, max) = ladder.ends();
        let quanta = Quanta::new(element, &options);
        Self { quanta, table: None, element: element.clone(), options, ladder, min, max }
    }

    /// The same encoder with a table, for encoding many values: it pays from some hundred on. Formats of more than 256 values have none.
    #[must_use]
    pub fn tabulated(mut self) -> Self {
        self.table = Tabulated::new(&self).map(Box::new);
        self
    }

    #[cfg(test)]
    pub(crate) const fn has_table(&self) -> bool {
        self.table.is_some()
    }

    pub(crate) const fn is_posit(&self) -> bool {
        matches!(self.ladder, Ladder::Posit(_))
    }

    /// The finite values in rising order, each with its code and whether that counts as even.
    pub(crate) fn ranks(&self) -> impl Iterator<Item = (f64, u32, bool)> {
        let ladder = &self.ladder;
        (self.min..=self.max)
            .map(|rank| (ladder.value(rank), ladder.code(rank, false), ladder.is_even(rank)))
    }

    /// The code of a value. `index` is the number of the element: with the seed it determines the random bits.
    ///
    /// # Errors
    /// Where `value` is NaN, the format has no NaN, and the options reject it.
    pub fn encode(&self, value: f64, index: u64) -> Result<u32, FormatError> {
        let random = if self.options.rounding.is_random() {
            random_bits(self.options.seed, index)
        } else {
            0
        };
        self.encode_with_bits(value, random)
            .ok_or_else(|| FormatError::Nan { format: self.element.to_string(), index })
    }

    /// The code of a value with 32 random bits of the caller's, which the other modes ignore. `None` where `value` is NaN, the format has no NaN, and
    /// the options reject it.
    #[must_use]
    pub fn encode_with_bits(&self, value: f64, random: u32) -> Option<u32> {
        if value.is_nan() {
            return self.encode_nan(value.is_sign_negative());
        }
        Some(self.encode_number(value, random))
    }

    /// The value of the code of a value.
    ///
    /// # Errors
    /// As [`Encoder::encode`].
    pub fn round(&self, value: f64, index: u64) -> Result<f64, FormatError> {
        if let Some(rounded) = self.quanta.and_then(|quanta| quanta.round(value)) {
            return Ok(rounded);
        }
        Ok(self.element.decode(self.encode(value, index)?))
    }

    /// Takes another seed.
    pub(crate) const fn set_seed(&mut self, seed: u64) {
        self.options.seed = seed;
    }

    fn encode_nan(&self, negative: bool) -> Option<u32> {
        if let Some(nan) = self.nan() {
            return Some(nan);
        }
        match self.options.nan {
            NanPolicy::Reject => None,
            NanPolicy::Zero => Some(self.encode_number(0.0, 0)),
            NanPolicy::Max => {
                Some(self.ladder.code(if negative { self.min } else { self.max }, negative))
            }
        }
    }

    fn nan(&self) -> Option<u32> {
        match &self.element {
            Element::Float(float) => float.nan(),
            Element::Posit(posit) => Some(posit.not_a_real()),
            _ => None,
        }
    }

    fn encode_number(&self, value: f64, random: u32) -> u32 {
        let rounding = self.options.rounding;
        if let Some(code) = self.table.as_ref().and_then(|t| t.encode(value, rounding, random)) {
            return code;
        }
        let negative = value.is_sign_negative();
        if value.is_infinite() {
            return self.encode_infinity(negative);
        }
        if self.is_posit() {
            return self.encode_posit(value, random);
        }
        let ladder = &self.ladder;
        let below = ladder.floor(value);
        if below < self.min && !self.extends_below() {
            return self.encode_below(value, negative);
        }
        let rank = self.round_to_rank(value, below, random);
        if (self.min..=self.max).contains(&rank) {
            return ladder.code(rank, negative);
        }
        match (self.options.overflow, ladder) {
            (Overflow::Wrap, Ladder::Linear { .. }) => ladder
                .code(self.min + (rank - self.min).rem_euclid(self.max - self.min + 1), negative),
            (Overflow::Ieee, _)
                if !self.options.rounding.keeps_overflow_finite(rank < self.min, random) =>
            {
                self.overflowed(rank < self.min)
            }
            _ => ladder.code(rank.clamp(self.min, self.max), negative),
        }
    }

    /// Whether values below the smallest are rounded before they are clamped; else the smallest number is a wall.
    fn extends_below(&self) -> bool {
        match &self.ladder {
            Ladder::Linear { .. } => true,
            Ladder::Float(float) => float.signed,
            Ladder::Posit(_) | Ladder::Table(_) => false,
        }
    }

    /// A value below the smallest number of an unsigned float or a table.
    fn encode_below(&self, value: f64, negative: bool) -> u32 {
        let is_number = matches!(self.ladder, Ladder::Table(_)) || value > 0.0;
        match self.nan() {
            Some(nan) if self.options.overflow == Overflow::Ieee && !is_number => nan,
            _ => self.ladder.code(self.min, negative),
        }
    }

    /// Posits round neither to zero nor to what is no number.
    fn encode_posit(&self, value: f64, random: u32) -> u32 {
        let ladder = &self.ladder;
        let below = ladder.floor(value);
        if below < self.min || below == self.max {
            return ladder.code(below.clamp(self.min, self.max), false);
        }
        let rank = match self.round_to_rank(value, below, random) {
            0 if value > 0.0 => 1,
            0 if value < 0.0 => -1,
            rank => rank,
        };
        ladder.code(rank, false)
    }

    /// The rank that a value becomes; `below` is the largest rank that is not above it.
    fn round_to_rank(&self, value: f64, below: i64, random: u32) -> i64 {
        let ladder = &self.ladder;
        let below_value = ladder.value(below);
        // Beyond the limit of ranks the neighbours are not around the value.
        if below_value == value || below.abs() >= RANK_LIMIT {
            return below;
        }
        let bracket = Bracket {
            value,
            below: below_value,
            above: ladder.value(below + 1),
            tie: ladder.tie_above(below),
            below_is_even: ladder.is_even(below),
            above_is_even: ladder.is_even(below + 1),
        };
        below + i64::from(bracket.rounds_up(self.options.rounding, random))
    }

    fn encode_infinity(&self, negative: bool) -> u32 {
        match (&self.element, self.nan()) {
            (Element::Posit(_), Some(nan)) => nan,
            (_, Some(nan)) if self.options.infinity_is_nan => nan,
            _ if self.options.overflow == Overflow::Ieee => self.overflowed(negative),
            _ => self.ladder.code(if negative { self.min } else { self.max }, negative),
        }
    }

    /// What a number beyond the largest becomes under [`Overflow::Ieee`].
    fn overflowed(&self, negative: bool) -> u32 {
        let infinity = match &self.element {
            Element::Float(float) => float.infinity(negative),
            _ => None,
        };
        infinity.or(self.nan()).unwrap_or_else(|| {
            self.ladder.code(if negative { self.min } else { self.max }, negative)
        })
    }
}
