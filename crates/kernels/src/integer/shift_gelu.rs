//! I-ViT's GELU, x · σ(1.702 x), of shifts and additions.
//!
//! ```text
//! M = max(0, max of the row)
//! e = ShiftExp(x − M),  e0 = ShiftExp(−M)                    n = 23, scale 1.702 times that of x
//! σ = e · ⌊(2^31 − 1) / min(e + e0, 2^31 − 1)⌋ >> 24           scale 2^−7
//! out = limit(round(x · σ · scale))
//! ```
//!
//! The reference has M = max of the row, whose exponentials overflow in rows without a positive number; hence the 0. The result depends on the
//! row through M alone, which has 128 values: so the function is 128 tables.
//!
//! [`ShiftGelu::repaired`] is x · σ with σ from e^−|x| and an exact division: no row maximum, and an eighth of the error.

use super::dyadic::{Dyadic, Output};
use super::shift_exp::ShiftExp;
use crate::registry::Kernels;

/// The function as tables: one for each maximum of a row, 0 to 127, or one for all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShiftGelu {
    tables: Vec<[i8; 256]>,
}

/// σ(1.702 x), 0 to 127 of scale 2^−7, in a row whose maximum is `max`, not negative.
#[must_use]
pub fn sigmoid(exp: ShiftExp, x: i32, max: i32) -> i32 {
    let e = i64::from(exp.apply(x - max));
    let sum = (e + i64::from(exp.apply(-max))).clamp(1, i64::from(i32::MAX));
    #[expect(clippy::cast_possible_truncation, reason = "0 to 127")]
    let sigmoid = ((e * (i64::from(i32::MAX) / sum)) >> 24) as i32;
    sigmoid
}

/// σ(1.702 x), 0 to 256 of scale 2^−8, from e^−|x|.
#[must_use]
pub fn repaired_sigmoid(exp: ShiftExp, x: i32) -> i32 {
    let one = i64::from(exp.apply(0));
    let e = i64::from(exp.apply(-x.abs()));
    let numerator = if x >= 0 { one } else { e };
    #[expect(clippy::cast_possible_truncation, reason = "0 to 256")]
    let sigmoid = (numerator * 256 / (one + e)) as i32;
    sigmoid
}

fn table(sigmoid: impl Fn(i32) -> i32, scale: Dyadic, output: Output) -> [i8; 256] {
    assert!(output.fits::<i8>(), "limits {output:?}");
    std::array::from_fn(|index| {
        #[expect(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "0 to 255")]
        let x = index as i32 - 128;
        output.finish(scale.apply(x * sigmoid(x)))
    })
}

impl ShiftGelu {
    /// The published function; `scale` is that of x times 2^−7 by that of the result.
    ///
    /// # Panics
    /// Where the limits do not fit i8.
    #[must_use]
    pub fn new(exp: ShiftExp, scale: Dyadic, output: Output) -> Self {
        let tables = (0..128).map(|max| table(|x| sigmoid(exp, x, max), scale, output));
        Self { tables: tables.collect() }
    }

    /// The repaired function; `scale` is that of x times 2^−8 by that of the result.
    ///
    /// # Panics
    /// Where the limits do not fit i8.
    #[must_use]
    pub fn repaired(exp: ShiftExp, scale: Dyadic, output: Output) -> Self {
        Self { tables: vec![table(|x| repaired_sigmoid(exp, x), scale, output)] }
    }
}

impl Kernels {
    /// The function of rows of `width` numbers, requantized to 8 bits.
    ///
    /// # Panics
    /// Where the lengths differ or are not whole rows.
    pub fn shift_gelu(&self, x: &[i8], width: usize, function: &ShiftGelu, out: &mut [i8]) {
        assert_eq!(x.len(), out.len(), "elements");
        if let [table] = &function.tables[..] {
            return self.lookup(x, table, out);
        }
        if x.is_empty() {
            return;
        }
        assert!(width > 0 && x.len().is_multiple_of(width), "rows of {width}");
        for (x, out) in x.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
            let max = usize::from(x.iter().fold(0, |max, &x| x.max(max)).unsigned_abs());
            self.lookup(x, &function.tables[max], out);
        }
    }
}
