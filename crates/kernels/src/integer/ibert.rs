//! I-BERT's polynomials: plain functions, for reference.
//!
//! ```text
//! exp      q ≤ 0: k = ⌊q/x0⌋, r = q − x0·k;  ((r + b)·r + c) << n − k          scale 0.35815147·S²/2^n, x0 = ⌊−ln 2/S⌋
//! erf      sgn(q)·((min(|q|, −b) + b)² + c) >> 14                               b, c < 0
//! gelu     q·(erf + one)                                                        one = ⌊1/scale of erf⌋ < 0
//! softmax  exp, requantized to 16 bits;  e·⌊2^32/Σ e⌋ >> 32 − bits               scale 2^−bits
//! ```

use super::dyadic::{Dyadic, Output};
use super::norm::mean;

/// The largest magnitude of the linear constants and of arguments that are not limited.
const LIMIT: i64 = 1 << 24;

/// The constants of the exponential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exp {
    b: i64,
    c: i64,
    x0: i64,
    bits: u32,
}

impl Exp {
    /// `None` where `x0` is not negative, `b` is below −x0 or above 2^24, `c` is not 1 to 2^32, or `bits` is above 30: results are then 0 to 2^62.
    #[must_use]
    pub fn new(b: i64, c: i64, x0: i64, bits: u32) -> Option<Self> {
        let fits = x0 < 0 && -x0 <= b && b <= LIMIT && (1..=1 << 32).contains(&c) && bits <= 30;
        fits.then_some(Self { b, c, x0, bits })
    }

    /// The exponential of `q`, at most 0. Positive arguments count as 0.
    #[must_use]
    pub fn apply(self, q: i64) -> i64 {
        let q = q.min(0).max(i64::from(self.bits) * self.x0);
        let k = q / self.x0;
        let r = q - self.x0 * k;
        (((r + self.b) * r + self.c) << (i64::from(self.bits) - k)).max(0)
    }
}

/// The constants of GELU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gelu {
    b: i64,
    c: i64,
    one: i64,
}

impl Gelu {
    /// `None` where `b` or `c` is not negative or a constant is below −2^24 (−2^48 for `c`).
    #[must_use]
    pub fn new(b: i64, c: i64, one: i64) -> Option<Self> {
        let fits = (-LIMIT..0).contains(&b) && (-(1 << 48)..0).contains(&c);
        (fits && (-(1 << 34)..=0).contains(&one)).then_some(Self { b, c, one })
    }

    /// The error function of `q`.
    #[must_use]
    pub fn erf(self, q: i32) -> i64 {
        let q = i64::from(q);
        let limited = q.abs().min(-self.b) + self.b;
        (q.signum() * (limited * limited + self.c)) >> 14
    }

    /// GELU of `q`, below 2^24 in magnitude.
    ///
    /// # Panics
    /// Where `q` is larger.
    #[must_use]
    pub fn apply(self, q: i32) -> i64 {
        assert!(i64::from(q).abs() < LIMIT, "{q} has more than 24 bits");
        i64::from(q) * (self.erf(q) + self.one)
    }
}

/// Softmax of a row, 0 to 2^bits − 1 of scale 2^−bits: `requantize` brings exponentials to 16 bits.
///
/// # Panics
/// Where the lengths differ, `bits` is not 1 to 15, or every exponential is 0.
pub fn softmax(x: &[i32], exp: Exp, requantize: Dyadic, bits: u32, out: &mut [i16]) {
    assert_eq!(x.len(), out.len(), "elements");
    assert!((1..=15).contains(&bits), "{bits} bits");
    let max = i64::from(x.iter().copied().max().unwrap_or(0));
    let output = Output::bits(16);
    let exp = |x: i32| {
        let wide = requantize.apply_wide(exp.apply(i64::from(x) - max));
        let limited = wide.clamp(output.min.into(), output.max.into());
        u64::try_from(limited).unwrap_or(0)
    };
    let sum: u64 = x.iter().map(|&x| exp(x)).sum();
    assert!(x.is_empty() || sum > 0, "exponentials of 16 bits are all 0");
    for (&x, out) in x.iter().zip(out) {
        let value = (exp(x) * ((1 << 32) / sum)) >> (32 - bits);
        let most = (1 << bits) - 1;
        #[expect(clippy::cast_possible_truncation, reason = "below 2^15")]
        let value = value.min(most) as i16;
        *out = value;
    }
}

/// The normalization of a row, to i32 of scale √C / 2^30 times γ of the channel: as [`super::norm`] with the exact root, of numbers shifted
/// right by `shift` so that their squares fit the reference's 32 bits.
///
/// # Panics
/// Where the lengths differ, there are none or more than 4096, or `shift` is above 31.
pub fn layer_norm(x: &[i32], shift: u32, bias: &[i32], out: &mut [i32]) {
    assert!(x.len() == bias.len() && x.len() == out.len(), "elements");
    assert!((1..=4096).contains(&x.len()) && shift <= 31, "{} numbers, shift {shift}", x.len());
    let count = i64::try_from(x.len()).expect("at most 4096");
    let mean = mean(x.iter().map(|&x| i64::from(x)).sum(), count);
    let squares: u128 = x
        .iter()
        .map(|&x| {
            let y = u128::from(((i64::from(x) - mean) >> shift).unsigned_abs());
            y * y
        })
        .sum();
    let root = i128::try_from((squares.isqrt() << shift).max(1)).expect("below 2^70");
    let factor = i128::from(i32::MAX) / root;
    for ((&x, &bias), out) in x.iter().zip(bias).zip(out) {
        let y = i128::from(i64::from(x) - mean);
        let value = ((y * factor) >> 1) + i128::from(bias);
        let value = value.clamp(i32::MIN.into(), i32::MAX.into());
        *out = i32::try_from(value).expect("clamped");
    }
}
