//! Integers and what is made of them: fixed point, bipolar integers, and numbers with few non-zero digits.

mod sparse_digits;

pub use sparse_digits::SparseDigits;

/// An integer format of 1 to 32 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Int {
    /// The number of bits.
    pub bits: u8,
    /// Two's complement, else 0 to 2^bits − 1.
    pub signed: bool,
    /// Signed, without −2^(bits − 1), which has no mirror image and which `vpmaddubsw` kernels cannot take.
    pub symmetric: bool,
}

impl Int {
    /// Two's complement without its lowest number: what weights are rounded to.
    #[must_use]
    pub const fn symmetric(bits: u8) -> Self {
        Self { bits, signed: true, symmetric: true }
    }

    /// Two's complement.
    #[must_use]
    pub const fn signed(bits: u8) -> Self {
        Self { bits, signed: true, symmetric: false }
    }

    /// 0 to 2^bits − 1.
    #[must_use]
    pub const fn unsigned(bits: u8) -> Self {
        Self { bits, signed: false, symmetric: false }
    }

    /// The smallest integer.
    #[must_use]
    pub const fn min(self) -> i64 {
        match (self.signed, self.symmetric) {
            (false, _) => 0,
            (true, false) => -(1 << (self.bits - 1)),
            (true, true) => -self.max(),
        }
    }

    /// The largest integer.
    #[must_use]
    pub const fn max(self) -> i64 {
        if self.signed { (1 << (self.bits - 1)) - 1 } else { (1 << self.bits) - 1 }
    }

    /// Whether the fields make a format with more than one number.
    #[must_use]
    pub const fn is_valid(self) -> bool {
        self.bits >= 1
            && self.bits <= 32
            && (self.signed || !self.symmetric)
            && !(self.symmetric && self.bits == 1)
    }

    /// The integer of a code.
    #[must_use]
    pub const fn decode(self, code: u32) -> i64 {
        let unused = 64 - self.bits as u32;
        if self.signed {
            ((code as i64) << unused) >> unused
        } else {
            (code & low_mask(self.bits)) as i64
        }
    }
}

/// Fixed point: an integer times 2^−`fraction_bits`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fixed {
    /// The integer.
    pub int: Int,
    /// How many of its bits stand behind the binary point; negative, or more than there are, where the point lies outside.
    pub fraction_bits: i8,
}

/// A mask of the low bits: 1 to 32.
pub(crate) const fn low_mask(bits: u8) -> u32 {
    u32::MAX >> (32 - bits as u32)
}
