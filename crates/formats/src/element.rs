//! Element formats: what one code means.

use crate::codebook::{CodeBook, Power};
use crate::encode::{EncodeOptions, Encoder};
use crate::error::FormatError;
use crate::float::Float;
use crate::int::{Fixed, Int, SparseDigits};
use crate::posit::Posit;

/// The meaning of one code, without scales: a plain value that every algorithm of this project takes.
#[derive(Clone, Debug, PartialEq)]
pub enum Element {
    /// An integer.
    Int(Int),
    /// An integer without zero: Σ 2^i (2 bᵢ − 1) over the bits bᵢ, which is 2 u − (2^n − 1) for the unsigned integer u. One bit is −1 or 1.
    Bipolar {
        /// The number of bits: 1 to 16.
        bits: u8,
    },
    /// −1, 0, 1 as the 2-bit codes 0, 1, 2. The code 3 reads as 2.
    Ternary,
    /// A floating-point number.
    Float(Float),
    /// An integer with a binary point.
    Fixed(Fixed),
    /// Fixed point with few non-zero digits.
    SparseDigits(SparseDigits),
    /// A list of values.
    CodeBook(CodeBook),
    /// A posit.
    Posit(Posit),
    /// A power of an integer.
    Power(Power),
    /// A unit of the Gaussian integers: code k is i^k. As a real number it reads as its real part; see [`crate::complex`].
    Complex,
}

impl From<Float> for Element {
    fn from(float: Float) -> Self {
        Self::Float(float)
    }
}

impl From<Int> for Element {
    fn from(int: Int) -> Self {
        Self::Int(int)
    }
}

impl From<CodeBook> for Element {
    fn from(book: CodeBook) -> Self {
        Self::CodeBook(book)
    }
}

impl Element {
    /// Whether its fields make a format; a descriptor of the constants and of `parse` always does.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        match self {
            Self::Int(int) => int.is_valid(),
            Self::Bipolar { bits } => (1..=16).contains(bits),
            Self::Float(float) => float.is_valid(),
            Self::Fixed(fixed) => fixed.int.is_valid() && fixed.fraction_bits.unsigned_abs() <= 64,
            Self::SparseDigits(digits) => digits.is_valid(),
            Self::CodeBook(book) => book.is_valid(),
            Self::Posit(posit) => posit.is_valid(),
            Self::Power(power) => power.is_valid(),
            Self::Ternary | Self::Complex => true,
        }
    }

    /// The number of bits of a code: 1 to 32.
    #[must_use]
    pub fn bits(&self) -> u32 {
        match self {
            Self::Int(int) | Self::Fixed(Fixed { int, .. }) => u32::from(int.bits),
            Self::Bipolar { bits } => u32::from(*bits),
            Self::Ternary | Self::Complex => 2,
            Self::Float(float) => float.bits(),
            Self::SparseDigits(digits) => u32::from(digits.bits),
            Self::CodeBook(book) => book.bits(),
            Self::Posit(posit) => u32::from(posit.bits),
            Self::Power(power) => u32::from(power.bits),
        }
    }

    /// The value of a code, exact but for [`Power`]. Bits above the width are ignored.
    #[must_use]
    pub fn decode(&self, code: u32) -> f64 {
        match self {
            Self::Int(int) => integer(int.decode(code)),
            Self::Bipolar { bits } => {
                let all_ones = crate::int::low_mask(*bits);
                2.0 * f64::from(code & all_ones) - f64::from(all_ones)
            }
            Self::Ternary => f64::from(code & 3) - 1.0,
            Self::Float(float) => float.decode(code),
            Self::Fixed(fixed) => {
                integer(fixed.int.decode(code))
                    * crate::float::power_of_two(-i64::from(fixed.fraction_bits))
            }
            Self::SparseDigits(digits) => {
                integer(Int::signed(digits.bits).decode(code))
                    * crate::float::power_of_two(-i64::from(digits.fraction_bits))
            }
            Self::CodeBook(book) => book.decode(code),
            Self::Posit(posit) => posit.decode(code),
            Self::Power(power) => power.value(Int::signed(power.bits).decode(code)),
            Self::Complex => crate::complex::decode(code).re,
        }
    }

    /// The code of a value. To encode many, make one [`Encoder`].
    ///
    /// # Errors
    /// Where `value` is NaN, the format has no NaN, and the options reject it.
    pub fn encode(&self, value: f64, options: &EncodeOptions) -> Result<u32, FormatError> {
        Encoder::new(self, *options).encode(value, 0)
    }

    /// All codes.
    pub fn codes(&self) -> impl Iterator<Item = u32> + use<> {
        0..=crate::int::low_mask(u8::try_from(self.bits()).unwrap_or(32))
    }

    /// All codes with their values.
    pub fn enumerate(&self) -> impl Iterator<Item = (u32, f64)> {
        self.codes().map(|code| (code, self.decode(code)))
    }
}

fn integer(value: i64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "at most 32 bits")]
    let value = value as f64;
    value
}
