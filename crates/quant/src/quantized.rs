//! The integer graph with the scales that its integers stand for: what conversion makes, and what is written to a file without the scales.

use crate::graph::{Shape, Windows};
use crate::plan::Width;

/// A dyadic number `multiplier / 2^shift`: products with it are `(z · multiplier + 2^(shift−1)) >> shift`, to nearest, ties towards +∞.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Factor {
    /// The numerator: 0, or a magnitude of at least 2^30.
    pub multiplier: i32,
    /// The binary logarithm of the denominator, 1 to 62.
    pub shift: u32,
}

impl Factor {
    /// 0.
    pub const ZERO: Self = Self { multiplier: 0, shift: 1 };

    /// The dyadic number nearest to a ratio, with 31 bits (section 1.1 of the specification). 0 where every product with 32 bits would be.
    /// `None` where the ratio is not finite or 2^30 or more.
    #[must_use]
    pub fn new(ratio: f64) -> Option<Self> {
        if !ratio.is_finite() {
            return None;
        }
        if ratio == 0.0 {
            return Some(Self::ZERO);
        }
        // |ratio| = fraction · 2^exponent, the fraction from 1/2 to 1. Scales are normal numbers.
        let exponent = i32::try_from((ratio.abs().to_bits() >> 52) & 0x7FF).unwrap_or(0) - 1022;
        let fraction = ratio.abs() * f64::from(-exponent).exp2();
        let mut multiplier = (fraction * 2_147_483_648.0 + 0.5).floor();
        let mut shift = 31 - exponent;
        if multiplier == 2_147_483_648.0 {
            multiplier /= 2.0;
            shift -= 1;
        }
        match shift {
            1..=62 => {
                #[expect(clippy::cast_possible_truncation, reason = "a whole number below 2^31")]
                let multiplier = multiplier.copysign(ratio) as i32;
                Some(Self { multiplier, shift: shift.unsigned_abs() })
            }
            63.. => Some(Self::ZERO),
            _ => None,
        }
    }

    /// The same number with a shift of at most `most`: fewer bits of the multiplier.
    #[must_use]
    pub fn limited(self, most: u32) -> Self {
        let excess = self.shift.saturating_sub(most);
        if excess == 0 {
            return self;
        }
        let rounded =
            (i64::from(self.multiplier) + (1_i64 << (excess.min(40) - 1))) >> excess.min(40);
        Self { multiplier: i32::try_from(rounded).unwrap_or(0), shift: most }
    }
}

/// A matrix of integer weights.
#[derive(Clone, Debug, PartialEq)]
pub struct Matrix {
    /// Their width, 8 or 4.
    pub bits: u32,
    /// `[outputs][inputs]`, symmetric; for a convolution the inputs are `[rows][columns][channels]`.
    pub codes: Vec<i8>,
    /// `[outputs]`, added to the sum of products.
    pub bias: Vec<i32>,
    /// `[outputs]`, by what the sum is multiplied.
    pub factors: Vec<Factor>,
    /// `[outputs]`: what a weight is multiplied by to be the number that it stands for.
    pub scales: Vec<f32>,
}

/// A channel of a layer norm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NormChannel {
    /// γ by the scale of the result.
    pub factor: Factor,
    /// β: by the scale of the result times `2^shift` (exact), or in units of the normalized value (others).
    pub offset: i64,
}

/// How a layer norm is made of integers; `dyadic_kernels::integer::norm` has the formulas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormKind {
    /// The exact norm.
    Exact {
        /// ε in units of the square of a sum.
        epsilon: u64,
    },
    /// I-LayerNorm of I-ViT, ten steps of Newton's.
    TenSteps,
    /// I-LayerNorm of I-BERT, the exact root.
    ExactRoot,
}

/// How the softmax of attention is made of integers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Softmax {
    /// A table of `255 e^(−d S)` for each distance d from the largest score; one division for each result, at the end.
    Deferred {
        /// The table.
        table: Box<[u8; 256]>,
    },
    /// Shiftmax to 16 bits.
    Shiftmax {
        /// 1 in units of the scale of the scores.
        one: i32,
    },
}

/// What a node does.
#[derive(Clone, Debug, PartialEq)]
pub enum QuantizedOp {
    /// pixel − 128.
    Input,
    /// A convolution; padding is 0.
    Conv2d {
        /// Filters.
        matrix: Matrix,
        /// Where they are applied.
        windows: Windows,
        /// Whether negative results become 0.
        relu: bool,
    },
    /// A product with each token.
    Linear {
        /// The weights.
        matrix: Matrix,
    },
    /// `class_row` goes first; every other token is `limit(factor · x + position)`.
    AddPosition {
        /// `[channels]`, the position of the first token already added.
        class_row: Vec<i16>,
        /// `[tokens][channels]`, of the scale of the result, without that of the first token.
        position: Vec<i16>,
        /// The scale of x by that of the result.
        factor: Factor,
    },
    /// A layer norm.
    LayerNorm {
        /// How.
        kind: NormKind,
        /// `[channels]`
        channels: Vec<NormChannel>,
    },
    /// Attention; q, k and v share a scale.
    Attention {
        /// The number of heads.
        heads: usize,
        /// From q · k to 8-bit scores, with head_dim^−0.5.
        scores: Factor,
        /// How scores become weights.
        softmax: Softmax,
        /// From the weighted sum of values to the result.
        output: Factor,
    },
    /// Any function of 8 bits: the result for −128 first.
    Lookup {
        /// The results.
        table: Box<[i8; 256]>,
    },
    /// `ShiftGELU` of I-ViT, whose result depends on the largest element of a token.
    ShiftGelu {
        /// 1 in units of 1.702 times the scale of the input.
        one: i32,
        /// From x σ, σ in units of 2^−7, to the result.
        factor: Factor,
    },
    /// `limit(factors[0] · a + factors[1] · b)`, each product rounded.
    Add {
        /// The scales of the inputs by that of the result.
        factors: [Factor; 2],
    },
    /// `limit(factor · (a · b))`.
    Multiply {
        /// The product of the scales of the inputs by that of the result.
        factor: Factor,
    },
    /// The largest of each window.
    MaxPool(Windows),
    /// `limit(factor · sum)` of each window.
    AveragePool {
        /// The windows.
        windows: Windows,
        /// The scale of the input by that of the result and the pixels of a window.
        factor: Factor,
    },
    /// Values side by side, each times its factor.
    Concat {
        /// For each input.
        factors: Vec<Factor>,
    },
    /// The first token.
    ClassRow,
}

/// A node.
#[derive(Clone, Debug, PartialEq)]
pub struct QuantizedNode {
    /// That of the float graph.
    pub name: String,
    /// What it does.
    pub op: QuantizedOp,
    /// The nodes that it reads.
    pub inputs: Vec<usize>,
    /// The shape of its value.
    pub shape: Shape,
    /// The width of its elements.
    pub width: Width,
    /// What an element is multiplied by to be the number that it stands for.
    pub scale: f32,
}

/// A network of integers.
#[derive(Clone, Debug, PartialEq)]
pub struct QuantizedGraph {
    /// What it is called.
    pub name: String,
    /// What each logit stands for.
    pub labels: Vec<String>,
    /// The shape of an image.
    pub input: Shape,
    /// The nodes in order of execution; as many as the float graph has.
    pub nodes: Vec<QuantizedNode>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_are_the_nearest_dyadic_numbers() {
        assert_eq!(Factor::new(1.0), Some(Factor { multiplier: 1 << 30, shift: 30 }));
        assert_eq!(Factor::new(-0.75), Some(Factor { multiplier: -(3 << 29), shift: 31 }));
        // Rounds up to a power of two, which is renormalised.
        assert_eq!(Factor::new(1.0 - 1e-12), Some(Factor { multiplier: 1 << 30, shift: 30 }));
        assert_eq!(Factor::new(0.0), Some(Factor::ZERO));
        assert_eq!(Factor::new(1e-12), Some(Factor::ZERO));
        assert_eq!(Factor::new(2_f64.powi(30)), None);
        assert_eq!(Factor::new(f64::NAN), None);
        for ratio in [1e-7, 0.3, 7.7, 1234.5] {
            let Factor { multiplier, shift } = Factor::new(ratio).expect("a factor");
            let value = f64::from(multiplier) / f64::from(shift).exp2();
            assert!((value / ratio - 1.0).abs() <= 2_f64.powi(-31), "{ratio}");
        }
        let limited = Factor::new(1e-6).expect("a factor").limited(46);
        assert_eq!((limited.shift, limited.multiplier), (46, 70_368_744));
    }
}
