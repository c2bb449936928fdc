//! Sums of exponentials, and what the last pass makes of them.

use super::options::{EmptyRow, SoftmaxOptions};
use super::scalar::max_of;
use crate::elementary;
use crate::registry::Kernels;

/// `sum * 2^exponent`
#[derive(Clone, Copy)]
pub(super) struct Extended {
    pub(super) sum: f64,
    pub(super) exponent: f32,
}

impl Extended {
    pub(super) const EMPTY: Self = Self { sum: 0.0, exponent: crate::attention::EMPTY_EXPONENT };

    pub(super) fn merge(&mut self, sum: f64, exponent: f32) {
        let common = max_of(self.exponent, exponent);
        self.sum = self.sum * pow2(self.exponent - common) + sum * pow2(exponent - common);
        self.exponent = common;
    }
}

/// `2^n` for an integer-valued `n` <= 0, 0 below the normal numbers of f64.
fn pow2(n: f32) -> f64 {
    if n < -1022.0 {
        return 0.0;
    }
    #[expect(clippy::cast_possible_truncation, reason = "an integer of at most four digits")]
    let n = n as i64;
    f64::from_bits((n + 1023).cast_unsigned() << 52)
}

/// A sum of exponentials.
#[derive(Clone, Copy)]
pub(super) enum Total {
    Extended(Extended),
    /// `sum * e^max`
    Shifted {
        max: f32,
        sum: f64,
    },
}

impl Total {
    pub(super) fn sum(self) -> f64 {
        match self {
            Self::Extended(Extended { sum, .. }) | Self::Shifted { sum, .. } => sum,
        }
    }

    /// The natural logarithm: -infinity of no elements.
    pub(super) fn ln(self) -> f64 {
        match self {
            Self::Extended(Extended { sum, exponent }) => {
                f64::from(exponent) * std::f64::consts::LN_2 + elementary::ln(sum)
            }
            Self::Shifted { sum: 0.0, .. } => f64::NEG_INFINITY,
            Self::Shifted { max, sum } => f64::from(max) + elementary::ln(sum),
        }
    }
}

/// What the last pass does to each element.
#[derive(Clone, Copy)]
pub(super) enum Finish {
    Extended {
        factor: f32,
        exponent: f32,
    },
    Shifted {
        max: f32,
        factor: f32,
    },
    Subtract {
        high: f32,
        low: f32,
    },
    Fill(f32),
    /// One value for elements of +infinity, another for all others.
    OneHot {
        infinite: f32,
        finite: f32,
    },
}

impl Finish {
    #[expect(clippy::cast_possible_truncation, reason = "rounded on purpose")]
    pub(super) fn softmax(total: Total, len: usize, options: &SoftmaxOptions<'_>) -> Self {
        if total.sum().is_nan() {
            return Self::Fill(f32::NAN);
        }
        match total {
            // The product of a number and its rounded reciprocal need not be 1.
            _ if len == 1 && total.sum() > 0.0 && options.sink.is_none() => Self::Fill(1.0),
            _ if total.sum() == 0.0 => Self::Fill(match options.empty_row {
                EmptyRow::Zeros => 0.0,
                EmptyRow::Nan => f32::NAN,
                EmptyRow::Uniform => (1.0 / count(len)) as f32,
            }),
            Total::Extended(Extended { sum, exponent }) => {
                Self::Extended { factor: (1.0 / sum) as f32, exponent }
            }
            Total::Shifted { max, sum } => Self::Shifted { max, factor: (1.0 / sum) as f32 },
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "rounded on purpose")]
    pub(super) fn log_softmax(total: Total, len: usize, empty: EmptyRow) -> Self {
        if total.sum() == 0.0 {
            return Self::Fill(match empty {
                EmptyRow::Zeros => f32::NEG_INFINITY,
                EmptyRow::Nan => f32::NAN,
                EmptyRow::Uniform => -elementary::ln(count(len)) as f32,
            });
        }
        if total.sum().is_nan() {
            return Self::Fill(f32::NAN);
        }
        let ln = total.ln();
        let high = ln as f32;
        Self::Subtract { high, low: (ln - f64::from(high)) as f32 }
    }

    pub(super) fn apply(self, kernels: &Kernels, x: &[f32], out: &mut [f32]) {
        assert_eq!(x.len(), out.len());
        match self {
            // SAFETY: the set holds kernels that the CPU supports, and the lengths are equal.
            Self::Extended { factor, exponent } => unsafe {
                (kernels.ext_exp_scale.function)(x, factor, exponent, out);
            },
            // SAFETY: as above.
            Self::Shifted { max, factor } => unsafe {
                (kernels.exp_scale.function)(x, max, factor, out);
            },
            // SAFETY: as above.
            Self::Subtract { high, low } => unsafe {
                (kernels.subtract.function)(x, high, low, out);
            },
            Self::Fill(value) => out.fill(value),
            Self::OneHot { infinite, finite } => {
                for (out, &x) in out.iter_mut().zip(x) {
                    *out = if x == f32::INFINITY { infinite } else { finite };
                }
            }
        }
    }

    /// That of a row in which so many elements are infinite, a sink included, and none is NaN.
    #[expect(clippy::cast_possible_truncation, reason = "rounded on purpose")]
    pub(super) fn one_hot(infinities: usize, logarithm: bool) -> Self {
        let share = count(infinities);
        if logarithm {
            Self::OneHot { infinite: -elementary::ln(share) as f32, finite: f32::NEG_INFINITY }
        } else {
            Self::OneHot { infinite: (1.0 / share) as f32, finite: 0.0 }
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "rows are shorter than 2^52")]
fn count(len: usize) -> f64 {
    len as f64
}
