//! Softmax of rows of i8 logits, in integers.
//!
//! ```text
//! softmax_u8    E[d] = ⌊2^15 e^(−d·scale) + ½⌋, d = max − x, a table made with the scale; Σ = Σ E
//!               R = (255·2^23 + ⌊Σ/2⌋) div Σ;  min(255, E·R + 2^22 >> 23)       scale 1/255
//! softmax_u15   R = (2^30 + ⌊Σ/2⌋) div Σ;      min(32767, E·R + 2^14 >> 15)      scale 2^−15
//! shiftmax      E = ShiftExp(x − max), n = 15; Σ = min(Σ E, 2^31 − 1); F = ⌊(2^31 − 1)/Σ⌋
//!               E·F >> 32 − bits                                                 scale 2^−(bits − 1), 16 bits in ViT, 8 in Swin
//! ```
//!
//! One division a row. Of 8 bits, a flat row of more than 510 (`softmax_u8`) or 128 (`shiftmax_i8`) logits becomes zeros: attention defers the
//! division instead ([`super::attention`]).

mod scalar;

use super::loop_op;
use super::shift_exp::ShiftExp;
use crate::registry::Kernels;

/// The longest row: sums of 2^15 stay below 2^32.
pub const MAX_WIDTH: usize = 131_071;

loop_op! {
    /// See [`Kernels::softmax_u8`].
    static SOFTMAX_U8: SoftmaxU8Fn = "softmax_i8_u8",
    fn(x: &[i8], width: usize, table: &[u16; 256], out: &mut [u8]),
    scalar::softmax_u8,
}

loop_op! {
    /// See [`Kernels::softmax_u15`].
    static SOFTMAX_U15: SoftmaxU15Fn = "softmax_i8_u15",
    fn(x: &[i8], width: usize, table: &[u16; 256], out: &mut [i16]),
    scalar::softmax_u15,
}

#[inline(always)]
fn shiftmax_8(x: &[i8], width: usize, exp: ShiftExp, out: &mut [i8]) {
    scalar::shiftmax(x, width, exp, 8, out);
}

#[inline(always)]
fn shiftmax_16(x: &[i8], width: usize, exp: ShiftExp, out: &mut [i16]) {
    scalar::shiftmax(x, width, exp, 16, out);
}

loop_op! {
    /// See [`Kernels::shiftmax_i8`].
    static SHIFTMAX_I8: ShiftmaxI8Fn = "shiftmax_i8_i8",
    fn(x: &[i8], width: usize, exp: ShiftExp, out: &mut [i8]),
    shiftmax_8,
}

loop_op! {
    /// See [`Kernels::shiftmax_i16`].
    static SHIFTMAX_I16: ShiftmaxI16Fn = "shiftmax_i8_i16",
    fn(x: &[i8], width: usize, exp: ShiftExp, out: &mut [i16]),
    shiftmax_16,
}

fn check(x: usize, width: usize, out: usize) {
    assert_eq!(x, out, "elements");
    assert!((1..=MAX_WIDTH).contains(&width) && x.is_multiple_of(width), "rows of {width}");
}

/// `table[0]` is e^0; a table of other numbers could divide by 0.
fn check_table(table: &[u16; 256]) {
    let ok = table[0] == 1 << 15 && table.iter().all(|&e| e <= 1 << 15);
    assert!(ok, "a table of exponentials begins with 2^15, its greatest number");
}

impl Kernels {
    /// Softmax of rows of `width` logits, 0 to 255 of scale 1/255.
    ///
    /// # Panics
    /// Where the lengths differ or are not whole rows, a row is longer than [`MAX_WIDTH`], or the table does not begin with its greatest number, 2^15.
    pub fn softmax_u8(&self, x: &[i8], width: usize, table: &[u16; 256], out: &mut [u8]) {
        check(x.len(), width, out.len());
        check_table(table);
        // SAFETY: the kernel was selected for a supported instruction set.
        unsafe { (self.softmax_u8.function)(x, width, table, out) };
    }

    /// Softmax of rows of `width` logits, 0 to 32767 of scale 2^−15.
    ///
    /// # Panics
    /// As [`Kernels::softmax_u8`].
    pub fn softmax_u15(&self, x: &[i8], width: usize, table: &[u16; 256], out: &mut [i16]) {
        check(x.len(), width, out.len());
        check_table(table);
        // SAFETY: the kernel was selected for a supported instruction set.
        unsafe { (self.softmax_u15.function)(x, width, table, out) };
    }

    /// Shiftmax of rows of `width` logits, 0 to 127 of scale 2^−7.
    ///
    /// # Panics
    /// Where the lengths differ or are not whole rows, or a row is longer than [`MAX_WIDTH`].
    pub fn shiftmax_i8(&self, x: &[i8], width: usize, exp: ShiftExp, out: &mut [i8]) {
        check(x.len(), width, out.len());
        // SAFETY: the kernel was selected for a supported instruction set.
        unsafe { (self.shiftmax_i8.function)(x, width, exp, out) };
    }

    /// Shiftmax of rows of `width` logits, 0 to 32767 of scale 2^−15.
    ///
    /// # Panics
    /// As [`Kernels::shiftmax_i8`].
    pub fn shiftmax_i16(&self, x: &[i8], width: usize, exp: ShiftExp, out: &mut [i16]) {
        check(x.len(), width, out.len());
        // SAFETY: the kernel was selected for a supported instruction set.
        unsafe { (self.shiftmax_i16.function)(x, width, exp, out) };
    }
}

/// `IntAttention`'s softmax of a row of i32 logits: 32 exponentials, `table[i]` of e^(−6.6·i/31) in 255ths. `clip` is 6.6 by the scale of the logits.
///
/// # Panics
/// Where the lengths differ, `clip` is not positive, or `table[0]` is 0.
pub fn index_softmax(x: &[i32], clip: i32, table: &[u8; 32], out: &mut [u8]) {
    assert_eq!(x.len(), out.len(), "elements");
    assert!(clip > 0 && table[0] > 0, "clip {clip}, table {table:?}");
    let max = i64::from(x.iter().copied().max().unwrap_or(0));
    let clip = i64::from(clip);
    let exp = |x: i32| {
        let index = (max - i64::from(x)).min(clip) * 31 / clip;
        u64::from(table[usize::try_from(index).expect("0 to 31")])
    };
    let sum: u64 = x.iter().map(|&x| exp(x)).sum();
    for (&x, out) in x.iter().zip(out) {
        #[expect(clippy::cast_possible_truncation, reason = "a part of 255")]
        let share = ((2 * 255 * exp(x) + sum) / (2 * sum)) as u8;
        *out = share;
    }
}
