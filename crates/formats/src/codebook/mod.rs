//! Code books: formats that are a list of values.

mod power;
mod tables;

use std::borrow::Cow;

pub use power::Power;
pub use tables::{BITMOD3, BITMOD4};

/// A list of values, one for each code.
#[derive(Clone, Debug, PartialEq)]
pub struct CodeBook {
    /// Its name.
    pub name: Cow<'static, str>,
    /// The values by code: a power of two of them, 2 to 65536, all finite. A value may occur twice; encoding gives the first of its codes.
    pub values: Cow<'static, [f32]>,
}

impl CodeBook {
    /// The 4-bit `NormalFloat` of `QLoRA`: quantiles of the normal distribution, with an exact zero.
    pub const NF4: Self = Self::table("nf4", &tables::NF4);
    /// The 4-bit `AbnormalFloat` for blocks of 64.
    pub const AF4: Self = Self::table("af4", &tables::AF4);
    /// The "fp4" of bitsandbytes, which is no e2m1: 0, 1/192, 8, 12, 4, 6, 2, 3 over 12, and their negatives.
    pub const BNB_FP4: Self = Self::table("bnbfp4", &tables::BNB_FP4);
    /// The non-linear 4-bit values of ggml's `IQ4_NL`.
    pub const IQ4_NL: Self = Self::table("iq4nl", &tables::IQ4_NL);

    pub(crate) const ALL: [Self; 4] = [Self::NF4, Self::AF4, Self::BNB_FP4, Self::IQ4_NL];

    const fn table(name: &'static str, values: &'static [f32]) -> Self {
        Self { name: Cow::Borrowed(name), values: Cow::Borrowed(values) }
    }

    /// Whether there is a value for each code of a whole number of bits, 1 to 16, and all are finite.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.values.len().is_power_of_two()
            && (2..=1 << 16).contains(&self.values.len())
            && self.values.iter().all(|value| value.is_finite())
    }

    /// The number of bits of a code.
    #[must_use]
    pub fn bits(&self) -> u32 {
        self.values.len().trailing_zeros()
    }

    /// The value of a code; bits above the width are ignored.
    #[must_use]
    pub fn decode(&self, code: u32) -> f64 {
        f64::from(self.values[code as usize & (self.values.len() - 1)])
    }
}
