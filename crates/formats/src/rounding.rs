//! Rounding: how a value between two neighbours of a format becomes one of them.

/// How a value between two representable neighbours is rounded.
///
/// "Even" and "odd" are those of the code, which for numbers with a sign bit is that of the magnitude. Distances are measured from the
/// neighbour that is nearer to zero, so that every mode but the two directed ones is symmetric about zero. The numbers in brackets are those of
/// Pychop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Rounding {
    /// To the nearer one, ties to the even one (1). The mode of IEEE 754 and of all hardware.
    #[default]
    NearestEven,
    /// To the larger one (2).
    TowardPositive,
    /// To the smaller one (3).
    TowardNegative,
    /// To the one nearer to zero (4).
    TowardZero,
    /// Away from zero with the probability of the distance (5), by comparing with random bits.
    Stochastic(StochasticBits),
    /// Either one with probability 1/2 (6).
    StochasticEqual,
    /// To the nearer one, ties toward zero (7).
    NearestTiesToZero,
    /// To the nearer one, ties away from zero (8).
    NearestTiesAway,
    /// To the nearer one, ties to the odd one (0).
    NearestTiesToOdd,
    /// To the odd one (9). Rounding the result again to fewer bits then equals one rounding.
    ToOdd,
    /// Toward positive or negative infinity with probability 1/2, as CADNA does (10).
    RandomDirected,
}

/// The random bits of stochastic rounding, and what happens with the part of the distance that they do not resolve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StochasticBits {
    /// How many random bits are compared: 1 to 32.
    pub count: u8,
    /// What happens with the rest of the distance.
    pub remainder: Remainder,
}

impl Default for StochasticBits {
    fn default() -> Self {
        Self { count: 32, remainder: Remainder::Drop }
    }
}

/// What stochastic rounding with r random bits R makes of a distance d before it compares; the names in brackets are gfloat's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Remainder {
    /// ⌊d 2^r⌋ + R ≥ 2^r (`StochasticFastest`): biased toward zero by up to 2^−r. What an integer addition below the mantissa does.
    Drop,
    /// ⌊d 2^(r+1)⌋ + 2 R + 1 ≥ 2^(r+1) (`StochasticFast`): biased by up to 2^(−r−1) either way.
    Centre,
    /// d 2^r rounded to nearest even, + R ≥ 2^r (`Stochastic`).
    NearestEven,
    /// d 2^r rounded to nearest, ties to odd, + R ≥ 2^r (`StochasticOdd`).
    NearestTiesToOdd,
}

impl Rounding {
    /// One of each mode, with the default random bits.
    pub const ALL: [Self; 11] = [
        Self::NearestEven,
        Self::TowardPositive,
        Self::TowardNegative,
        Self::TowardZero,
        Self::Stochastic(StochasticBits { count: 32, remainder: Remainder::Drop }),
        Self::StochasticEqual,
        Self::NearestTiesToZero,
        Self::NearestTiesAway,
        Self::NearestTiesToOdd,
        Self::ToOdd,
        Self::RandomDirected,
    ];

    /// Its name in JavaScript.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NearestEven => "nearestEven",
            Self::TowardPositive => "towardPositive",
            Self::TowardNegative => "towardNegative",
            Self::TowardZero => "towardZero",
            Self::Stochastic(_) => "stochastic",
            Self::StochasticEqual => "stochasticEqual",
            Self::NearestTiesToZero => "nearestTiesToZero",
            Self::NearestTiesAway => "nearestTiesAway",
            Self::NearestTiesToOdd => "nearestTiesToOdd",
            Self::ToOdd => "toOdd",
            Self::RandomDirected => "randomDirected",
        }
    }

    /// The mode of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rounding| rounding.name() == name)
    }

    /// Whether the nearer neighbour is taken, whatever happens at ties.
    pub(crate) const fn is_to_nearest(self) -> bool {
        matches!(
            self,
            Self::NearestEven
                | Self::NearestTiesToZero
                | Self::NearestTiesAway
                | Self::NearestTiesToOdd
        )
    }

    /// Whether the result depends on random bits.
    #[must_use]
    pub const fn is_random(self) -> bool {
        matches!(self, Self::Stochastic(_) | Self::StochasticEqual | Self::RandomDirected)
    }

    /// Whether a finite value of this sign beyond the largest number stays at the largest number where overflow is not saturated (IEEE 754-2019,
    /// section 7.4).
    pub(crate) const fn keeps_overflow_finite(self, negative: bool, random: u32) -> bool {
        match self {
            Self::TowardZero | Self::ToOdd => true,
            Self::TowardPositive => negative,
            Self::TowardNegative => !negative,
            Self::RandomDirected => negative == goes_up(random),
            _ => false,
        }
    }
}

/// The decision of [`Rounding::RandomDirected`].
const fn goes_up(random: u32) -> bool {
    random >> 31 == 1
}

/// A value strictly between two neighbours.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bracket {
    pub(crate) value: f64,
    pub(crate) below: f64,
    pub(crate) above: f64,
    /// What lies equally near to both.
    pub(crate) tie: f64,
    pub(crate) below_is_even: bool,
    pub(crate) above_is_even: bool,
}

impl Bracket {
    /// Whether the value is rounded to `above`.
    pub(crate) fn rounds_up(&self, rounding: Rounding, random: u32) -> bool {
        // Of two neighbours of equal magnitude, as −1 and 1 of a format without zero, the upper one counts as the one away from zero where the
        // value is positive.
        let away_is_up = match self.below.abs().total_cmp(&self.above.abs()) {
            std::cmp::Ordering::Less => true,
            std::cmp::Ordering::Greater => false,
            std::cmp::Ordering::Equal => self.value >= 0.0,
        };
        // Where both are even or both odd, as in formats with gaps, the one nearer to zero counts as even.
        let even_is_up = match (self.below_is_even, self.above_is_even) {
            (true, false) => false,
            (false, true) => true,
            _ => !away_is_up,
        };
        let nearest = |tie_is_up: bool| {
            if self.value == self.tie { tie_is_up } else { self.value > self.tie }
        };
        match rounding {
            Rounding::NearestEven => nearest(even_is_up),
            Rounding::NearestTiesToOdd => nearest(!even_is_up),
            Rounding::NearestTiesToZero => nearest(!away_is_up),
            Rounding::NearestTiesAway => nearest(away_is_up),
            Rounding::TowardPositive => true,
            Rounding::TowardNegative => false,
            Rounding::TowardZero => !away_is_up,
            Rounding::ToOdd => !even_is_up,
            Rounding::RandomDirected => goes_up(random),
            Rounding::StochasticEqual => goes_up(random) == away_is_up,
            Rounding::Stochastic(bits) => {
                let from_zero =
                    if away_is_up { self.value - self.below } else { self.above - self.value };
                let distance = from_zero / (self.above - self.below);
                bits.rounds_away(distance, random) == away_is_up
            }
        }
    }
}

impl StochasticBits {
    /// Whether a value at this distance, in (0, 1), of the neighbour nearer to zero is rounded away from it.
    fn rounds_away(self, distance: f64, random: u32) -> bool {
        debug_assert!((1..=32).contains(&self.count), "1 to 32 random bits");
        let one = 1u64 << self.count;
        let random = u64::from(random >> (32 - u32::from(self.count)));
        #[expect(clippy::cast_precision_loss, reason = "at most 2^33")]
        #[expect(clippy::cast_possible_truncation, reason = "at most 2^33")]
        #[expect(clippy::cast_sign_loss, reason = "a distance is positive")]
        let scaled = |factor: u64| ((distance * factor as f64) as u64, distance * factor as f64);
        match self.remainder {
            Remainder::Drop => scaled(one).0 + random >= one,
            Remainder::Centre => scaled(2 * one).0 + 2 * random + 1 >= 2 * one,
            Remainder::NearestEven | Remainder::NearestTiesToOdd => {
                let (floor, exact) = scaled(one);
                #[expect(clippy::cast_precision_loss, reason = "at most 2^33")]
                let rest = exact - floor as f64;
                let tie_is_up = (floor % 2 == 1) == (self.remainder == Remainder::NearestEven);
                #[expect(clippy::float_cmp, reason = "a tie is exact")]
                let up = rest > 0.5 || rest == 0.5 && tie_is_up;
                floor + u64::from(up) + random >= one
            }
        }
    }
}

/// What a value beyond the largest number becomes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Overflow {
    /// The largest number of its sign.
    #[default]
    Saturate,
    /// Infinity where the format has one, else NaN where it has one, else the largest number.
    Ieee,
    /// For integers and fixed point, the value modulo the range, as two's complement arithmetic does; else as [`Overflow::Saturate`].
    Wrap,
}

/// What NaN becomes in a format that has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum NanPolicy {
    /// An error.
    #[default]
    Reject,
    /// The code nearest to zero.
    Zero,
    /// The largest number of its sign.
    Max,
}
