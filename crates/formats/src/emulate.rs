//! Arithmetic in a format: every result is that of exact arithmetic, rounded once.
//!
//! Operands are f32. An operation is done in f64, its rounding error is found exactly (by an error-free transformation), and where there is one the last
//! bit of the result is made odd. A number so rounded to odd still tells any narrower format on which side of a value or of a tie the exact result
//! lies (Boldo and Melquiond, "Emulation of FMA and correctly rounded sums", 2008), so that the second rounding is right in every mode. It holds
//! for formats of up to 50 significant bits and for results that are normal numbers of f64; those of f32 operands are, but for quotients and products
//! of products.

use crate::element::Element;
use crate::encode::{EncodeOptions, Encoder};
use crate::error::FormatError;
use crate::format::Format;
use crate::random::random_bits;

/// An operation on up to three operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// a, rounded.
    Chop,
    /// a + b.
    Add,
    /// a − b.
    Subtract,
    /// a × b.
    Multiply,
    /// a ÷ b.
    Divide,
    /// √a.
    SquareRoot,
    /// a × b + c, rounded once.
    MultiplyAdd,
}

impl Operation {
    /// All of them with their names in JavaScript.
    pub const NAMED: [(Self, &'static str); 7] = [
        (Self::Chop, "chop"),
        (Self::Add, "add"),
        (Self::Subtract, "subtract"),
        (Self::Multiply, "multiply"),
        (Self::Divide, "divide"),
        (Self::SquareRoot, "sqrt"),
        (Self::MultiplyAdd, "fma"),
    ];

    /// The number of operands.
    #[must_use]
    pub const fn operands(self) -> usize {
        match self {
            Self::Chop | Self::SquareRoot => 1,
            Self::Add | Self::Subtract | Self::Multiply | Self::Divide => 2,
            Self::MultiplyAdd => 3,
        }
    }

    /// The exact result, rounded to odd.
    #[inline]
    fn apply(self, [a, b, c]: [f32; 3]) -> f64 {
        let [a, b, c] = [a, b, c].map(f64::from);
        match self {
            Self::Chop => a,
            Self::Add => sum_to_odd(a, b),
            Self::Subtract => sum_to_odd(a, -b),
            // 24 × 24 bits are exact.
            Self::Multiply => a * b,
            Self::Divide => {
                let quotient = a / b;
                // a − quotient × b has the sign of the error times that of b.
                to_odd(quotient, (-quotient).mul_add(b, a) * b.signum())
            }
            Self::SquareRoot => {
                let root = a.sqrt();
                to_odd(root, (-root).mul_add(root, a))
            }
            Self::MultiplyAdd => sum_to_odd(a * b, c),
        }
    }
}

/// a + b, rounded to odd; the error is that of Knuth's `TwoSum`.
#[inline]
fn sum_to_odd(a: f64, b: f64) -> f64 {
    let sum = a + b;
    let b_part = sum - a;
    let error = (a - (sum - b_part)) + (b - b_part);
    to_odd(sum, error)
}

/// The odd one of the two numbers around an exact result: `nearest`, or its neighbour toward the error. Where `nearest` is not finite it stays.
#[inline]
fn to_odd(nearest: f64, error: f64) -> f64 {
    if nearest.to_bits() & 1 == 1 || !nearest.is_finite() {
        nearest
    } else if error > 0.0 {
        nearest.next_up()
    } else if error < 0.0 {
        nearest.next_down()
    } else {
        nearest
    }
}

/// Numeric code in a format: each operation rounds each of its results.
///
/// Operations are numbered, and the random bits of a result depend on the seed, the number of the operation and the index of the result: a program
/// gives the same results each time, and no two of its operations share random bits.
#[derive(Clone, Debug)]
pub struct Emulator {
    format: Format,
    encoder: Encoder,
    seed: u64,
    operations: u64,
}

impl Emulator {
    /// For a format. One with scales rounds the f32 results of an operation as a matrix of one row.
    ///
    /// # Errors
    /// For formats that hold no real numbers.
    pub fn new(format: Format, options: EncodeOptions) -> Result<Self, FormatError> {
        if format.element == Element::Complex {
            let operation = "emulated with real numbers";
            return Err(FormatError::Unsupported { format: format.to_string(), operation });
        }
        let encoder = Encoder::new(&format.element, options);
        Ok(Self { format, encoder, seed: options.seed, operations: 0 })
    }

    /// The format.
    #[must_use]
    pub const fn format(&self) -> &Format {
        &self.format
    }

    /// The options of the next operation: their seed is that of its random bits.
    #[must_use]
    pub fn next_options(&self) -> EncodeOptions {
        let half = |k| u64::from(random_bits(self.seed, 2 * self.operations + k));
        EncodeOptions { seed: half(0) << 32 | half(1), ..*self.encoder.options() }
    }

    /// Counts an operation that somebody else has done, with [`Emulator::next_options`].
    pub const fn count_operation(&mut self) {
        self.operations += 1;
    }

    fn next_operation(&mut self) -> EncodeOptions {
        let options = self.next_options();
        self.count_operation();
        options
    }

    /// Does an operation on each index. Operands of one element stand for as many as there are in `out`; those that the operation does not have are
    /// ignored.
    ///
    /// # Errors
    /// Where an operand is neither one element nor as long as `out`, or a result is NaN and neither format nor options have something for it.
    pub fn apply(
        &mut self,
        operation: Operation,
        operands: [&[f32]; 3],
        out: &mut [f32],
    ) -> Result<(), FormatError> {
        for operand in &operands[..operation.operands()] {
            if operand.len() != out.len() && operand.len() != 1 {
                let what = "elements of an operand";
                let (expected, actual) = (out.len(), operand.len());
                return Err(FormatError::Length { what, expected, actual });
            }
        }
        let at = |operand: &[f32], index: usize| match operand {
            [one] => *one,
            _ => operand.get(index).copied().unwrap_or(0.0),
        };
        let results =
            (0..out.len()).map(|index| operation.apply(operands.map(|operand| at(operand, index))));
        let options = self.next_operation();
        if self.format.scale.is_some() {
            #[expect(clippy::cast_possible_truncation, reason = "rounds, as is said")]
            let results: Vec<f32> = results.map(|result| result as f32).collect();
            return self.format.quantize(&results, 1, results.len(), &options)?.dequantize(out);
        }
        self.encoder.set_seed(options.seed);
        for ((index, result), out) in (0..).zip(results).zip(out) {
            *out = to_f32(self.encoder.round(result, index)?);
        }
        Ok(())
    }

    /// Rounds one number, straight from f64: one operation.
    ///
    /// # Errors
    /// Where it is NaN and neither format nor options have something for it.
    pub fn round(&mut self, value: f64) -> Result<f64, FormatError> {
        if self.encoder.options().rounding.is_random() {
            let options = self.next_operation();
            self.encoder.set_seed(options.seed);
        }
        self.encoder.round(value, 0)
    }

    /// The sum, from the first to the last element, each partial sum rounded.
    ///
    /// # Errors
    /// As [`Emulator::round`].
    pub fn sum(&mut self, values: &[f32]) -> Result<f32, FormatError> {
        self.accumulate(values.len(), |index, sum| Operation::Add.apply([sum, values[index], 0.0]))
    }

    /// The dot product, in order, each product and each partial sum rounded; with `fused` only the sums.
    ///
    /// # Errors
    /// Where the lengths differ, and as [`Emulator::round`].
    pub fn dot(&mut self, a: &[f32], b: &[f32], fused: bool) -> Result<f32, FormatError> {
        if a.len() != b.len() {
            let what = "elements of the second operand";
            return Err(FormatError::Length { what, expected: a.len(), actual: b.len() });
        }
        if fused {
            return self.accumulate(a.len(), |index, sum| {
                Operation::MultiplyAdd.apply([a[index], b[index], sum])
            });
        }
        let mut products = vec![0.0; a.len()];
        self.apply(Operation::Multiply, [a, b, &[]], &mut products)?;
        self.sum(&products)
    }

    fn accumulate(
        &mut self,
        len: usize,
        step: impl Fn(usize, f32) -> f64,
    ) -> Result<f32, FormatError> {
        if self.format.scale.is_some() {
            let operation = "summed in: it has scales";
            return Err(FormatError::Unsupported { format: self.format.to_string(), operation });
        }
        let options = self.next_operation();
        self.encoder.set_seed(options.seed);
        (0..len).try_fold(0.0, |sum, index| {
            Ok(to_f32(self.encoder.round(step(index, sum), index as u64)?))
        })
    }
}

fn to_f32(value: f64) -> f32 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "values of formats are f32, but of e9 and e10"
    )]
    let value = value as f32;
    crate::float::canonical(value)
}
