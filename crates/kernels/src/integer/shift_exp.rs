//! I-ViT's exponential of shifts and additions, for arguments ≤ 0.
//!
//! ```text
//! p = max(d + (d >> 1) − (d >> 4), −n·I0)        d · log2 e, log2 e taken as 1.4375; I0 is 1 in units of the scale, rounded up
//! k = ⌊−p / I0⌋,  r = p + I0·k                    −I0 < r ≤ 0
//! e = (r + 2·I0) << n − k − 1                     2^(r/I0) taken as 1 + r/(2·I0); scale: that of d by 2^n
//! ```

/// The constants of an exponential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShiftExp {
    one: i32,
    bits: u32,
    /// ⌈2^20 / one⌉: `x · reciprocal >> 20` is `x / one` for x below 2^9.
    reciprocal: i32,
}

impl ShiftExp {
    /// `one` is I0 = ⌈1 / scale⌉, `bits` is n: 15 in Shiftmax, 23 in `ShiftGELU`. `None` where `one · 2^bits` is no positive i32.
    #[must_use]
    pub fn new(one: i32, bits: u32) -> Option<Self> {
        let fits = one >= 1 && (1..=30).contains(&bits) && one <= i32::MAX >> bits;
        fits.then(|| Self { one, bits, reciprocal: ((1 << 20) + one - 1) / one })
    }

    /// I0.
    #[must_use]
    pub const fn one(self) -> i32 {
        self.one
    }

    /// n.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.bits
    }

    /// The exponential of `d`, at most 0: `one · 2^bits` for 0. Positive arguments count as 0.
    #[must_use]
    pub fn apply(self, d: i32) -> i32 {
        let one = i64::from(self.one);
        let d = i64::from(d.min(0));
        let p = (d + (d >> 1) - (d >> 4)).max(-i64::from(self.bits) * one);
        let k = -p / one;
        #[expect(clippy::cast_possible_truncation, reason = "0 to bits, and one to 2 one")]
        self.shifted(k as i32, (p + one * k + 2 * one) as i32)
    }

    /// The same of a difference of two i8, −255 to 0, without a division.
    #[inline(always)]
    pub(super) fn apply_i8(self, d: i32) -> i32 {
        let limit = -self.bits.cast_signed() * self.one.min(512);
        let p = (d + (d >> 1) - (d >> 4)).max(limit);
        let k = (-p * self.reciprocal) >> 20;
        self.shifted(k, p + self.one * k + 2 * self.one)
    }

    #[inline(always)]
    fn shifted(self, k: i32, twice: i32) -> i32 {
        let bits = self.bits.cast_signed();
        // k = bits shifts right by one. At most one · 2^bits.
        #[expect(clippy::cast_possible_truncation, reason = "an i32 by `new`")]
        let exp = ((i64::from(twice) << (bits - k)) >> 1) as i32;
        exp
    }
}
