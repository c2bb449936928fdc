//! Encoding by search in a table, for formats with few values: the same codes as [`Encoder`] gives, an order of magnitude faster.

use crate::encode::Encoder;
use crate::rounding::{Bracket, Rounding};

/// The most values of a table: those of 8 bits.
const MAX_VALUES: u64 = 256;

/// The values of a format in rising order, their codes, and where rounding to nearest turns.
#[derive(Clone, Debug)]
pub(crate) struct Tabulated {
    values: Vec<f64>,
    codes: Vec<u32>,
    is_even: Vec<bool>,
    /// For the modes that round to nearest: from `turns[i]` on, values become the one behind value i.
    turns: Option<Vec<f64>>,
    /// The code of −0, where there is one.
    negative_zero: Option<u32>,
}

impl Tabulated {
    /// `None` where there are more values than 256, or rounding does not only depend on the two values around.
    pub(crate) fn new(encoder: &Encoder) -> Option<Self> {
        if encoder.distinct_values() > MAX_VALUES || encoder.is_posit() {
            return None;
        }
        let mut table = Self {
            values: Vec::new(),
            codes: Vec::new(),
            is_even: Vec::new(),
            turns: None,
            negative_zero: None,
        };
        for (value, code, is_even) in encoder.ranks() {
            table.values.push(value);
            table.codes.push(code);
            table.is_even.push(is_even);
        }
        let rounding = encoder.options().rounding;
        if rounding.is_to_nearest() {
            let turns = (0..table.values.len().saturating_sub(1)).map(|below| {
                // The tie is the one value whose direction the mode decides.
                let tie = 0.5 * (table.values[below] + table.values[below + 1]);
                let up = table.bracket(below, tie).rounds_up(rounding, 0);
                if up { tie } else { tie.next_up() }
            });
            table.turns = Some(turns.collect());
        }
        let zeros = [0.0, -0.0].map(|zero| encoder.encode_with_bits(zero, 0));
        table.negative_zero = if zeros[0] == zeros[1] { None } else { zeros[1] };
        Some(table)
    }

    fn bracket(&self, below: usize, value: f64) -> Bracket {
        let (lower, upper) = (self.values[below], self.values[below + 1]);
        Bracket {
            value,
            below: lower,
            above: upper,
            tie: 0.5 * (lower + upper),
            below_is_even: self.is_even[below],
            above_is_even: self.is_even[below + 1],
        }
    }

    /// The code of a value. `None` where it is beyond the ends, or no number.
    pub(crate) fn encode(&self, value: f64, rounding: Rounding, random: u32) -> Option<u32> {
        let (first, last) = (*self.values.first()?, *self.values.last()?);
        if !(value >= first && value <= last) {
            return None;
        }
        let index = if let Some(turns) = &self.turns {
            turns.partition_point(|turn| *turn <= value)
        } else {
            let below = self.values.partition_point(|other| *other <= value) - 1;
            let up = self.values[below] != value
                && self.bracket(below, value).rounds_up(rounding, random);
            below + usize::from(up)
        };
        match self.negative_zero {
            Some(code) if self.values[index] == 0.0 && value.is_sign_negative() => Some(code),
            _ => Some(self.codes[index]),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::encode::{EncodeOptions, Encoder};
    use crate::random::random_bits;
    use crate::rounding::{Overflow, Rounding};

    /// Every format of few values, every mode: at the values, at the ties, beside both, between, beyond the ends.
    #[test]
    fn tables_give_the_codes_of_the_definition() {
        let mut formats = 0;
        for (name, format) in crate::all() {
            for rounding in Rounding::ALL {
                for overflow in [Overflow::Saturate, Overflow::Ieee, Overflow::Wrap] {
                    let options = EncodeOptions { rounding, overflow, ..EncodeOptions::default() };
                    let encoder = Encoder::new(&format.element, options);
                    let tabulated = encoder.clone().tabulated();
                    if !tabulated.has_table() {
                        continue;
                    }
                    formats += 1;
                    let mut values: Vec<f64> = encoder.ranks().map(|(value, ..)| value).collect();
                    let ties: Vec<f64> =
                        values.windows(2).map(|pair| 0.5 * (pair[0] + pair[1])).collect();
                    let thirds: Vec<f64> =
                        values.windows(2).map(|pair| pair[0] + (pair[1] - pair[0]) / 3.0).collect();
                    values.extend(ties.into_iter().chain(thirds));
                    values.extend([-0.0, 1e300, -1e300, f64::INFINITY, f64::NEG_INFINITY]);
                    for (index, value) in (0..).zip(values) {
                        for value in [value.next_down(), value, value.next_up()] {
                            let random = random_bits(3, index);
                            assert_eq!(
                                tabulated.encode_with_bits(value, random),
                                encoder.encode_with_bits(value, random),
                                "{name} {rounding:?} {overflow:?} {value:e}"
                            );
                        }
                    }
                }
            }
        }
        assert!(formats > 1000, "{formats}");
    }
}
