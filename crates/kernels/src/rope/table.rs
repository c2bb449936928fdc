//! The angles of rotary position embedding.

use std::f64::consts::PI;

use thiserror::Error;

use crate::elementary::{pow, sin_cos};

/// How the frequencies of a model are stretched to contexts longer than it was trained on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RopeScaling {
    /// As trained.
    None,
    /// All frequencies divided by `factor` (Chen et al. 2023, arXiv 2306.15595).
    Linear {
        /// The divisor, above 0.
        factor: f64,
    },
    /// Llama 3.1: low frequencies divided by `factor`, high ones kept, those between blended.
    Llama3 {
        /// The divisor of the low frequencies, above 0.
        factor: f64,
        /// Wavelengths above `original_context / low_frequency_factor` are low frequencies.
        low_frequency_factor: f64,
        /// Wavelengths below `original_context / high_frequency_factor` are high frequencies.
        high_frequency_factor: f64,
        /// The number of positions that the model was trained on.
        original_context: f64,
    },
}

/// What a [`RopeTable`] cannot be made of.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum RopeError {
    /// The rotated dimensions come in pairs.
    #[error("the rotary dimension must be even, not {0}")]
    OddDimension(usize),
    /// A frequency that is not a positive finite number.
    #[error(
        "frequency {index} of the rotary embedding is {value}: check its base, scaling and factors"
    )]
    Frequency {
        /// The pair of dimensions that it turns.
        index: usize,
        /// Its radians per position.
        value: f64,
    },
    /// One frequency factor is needed for each pair.
    #[error("{given} rotary frequency factors given, {expected} expected")]
    Factors {
        /// The number of pairs.
        expected: usize,
        /// The number of factors.
        given: usize,
    },
}

impl RopeError {
    /// The stable code that JavaScript sees.
    #[must_use]
    pub fn code(&self) -> &'static str {
        "ERR_ROPE"
    }
}

/// Cosines and sines of `position * frequency[i]`, computed in f64 from the four operations alone and rounded to f32: the same bits on
/// every machine.
#[derive(Clone, Debug)]
pub struct RopeTable {
    /// Radians per position of each pair.
    frequencies: Vec<f64>,
    /// `[positions][frequencies]`
    cos: Vec<f32>,
    /// `[positions][frequencies]`
    sin: Vec<f32>,
    positions: usize,
}

impl RopeTable {
    /// The table of frequencies `base^(-2i / rotary_dim)`, scaled, each divided by its factor where `factors` are given
    /// (`rope_freqs.weight` of a GGUF file). It holds no positions until [`RopeTable::extend_to`].
    ///
    /// # Errors
    /// Where `rotary_dim` is odd, the number of factors is not half of it, or a frequency comes out not positive and finite.
    pub fn new(
        rotary_dim: usize,
        base: f64,
        scaling: RopeScaling,
        factors: Option<&[f32]>,
    ) -> Result<Self, RopeError> {
        if !rotary_dim.is_multiple_of(2) {
            return Err(RopeError::OddDimension(rotary_dim));
        }
        let pairs = rotary_dim / 2;
        if let Some(factors) = factors
            && factors.len() != pairs
        {
            return Err(RopeError::Factors { expected: pairs, given: factors.len() });
        }
        let frequencies = (0..pairs)
            .map(|index| {
                #[expect(clippy::cast_precision_loss, reason = "dimensions are below 2^52")]
                let exponent = -((2 * index) as f64) / rotary_dim as f64;
                let factor = factors.map_or(1.0, |factors| f64::from(factors[index]));
                let value = scaling.apply(pow(base, exponent)) / factor;
                if value.is_finite() && value > 0.0 {
                    Ok(value)
                } else {
                    Err(RopeError::Frequency { index, value })
                }
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { frequencies, cos: Vec::new(), sin: Vec::new(), positions: 0 })
    }

    /// Makes the table hold the positions below `positions`; those that it holds already are kept.
    pub fn extend_to(&mut self, positions: usize) {
        let missing = positions.saturating_sub(self.positions) * self.frequencies.len();
        self.cos.reserve(missing);
        self.sin.reserve(missing);
        let (mut cos, mut sin) = (std::mem::take(&mut self.cos), std::mem::take(&mut self.sin));
        for position in self.positions..positions {
            self.push_angles(position as u64, &mut cos, &mut sin);
        }
        (self.cos, self.sin) = (cos, sin);
        self.positions = self.positions.max(positions);
    }

    /// Appends the cosines and the sines of a position, one for each pair, whether the table holds it or not.
    pub fn push_angles(&self, position: u64, cos: &mut Vec<f32>, sin: &mut Vec<f32>) {
        for frequency in &self.frequencies {
            #[expect(clippy::cast_precision_loss, reason = "positions are below 2^52")]
            let (s, c) = sin_cos(position as f64 * frequency);
            #[expect(clippy::cast_possible_truncation, reason = "rounded on purpose")]
            {
                cos.push(c as f32);
                sin.push(s as f32);
            }
        }
    }

    /// The number of positions that the table holds.
    #[must_use]
    pub fn positions(&self) -> usize {
        self.positions
    }

    /// The number of dimensions of a head that are rotated.
    #[must_use]
    pub fn rotary_dim(&self) -> usize {
        2 * self.frequencies.len()
    }

    /// Radians per position of each pair.
    #[must_use]
    pub fn frequencies(&self) -> &[f64] {
        &self.frequencies
    }

    /// The cosines and the sines of a position, one for each pair.
    ///
    /// # Panics
    /// Where the table does not hold the position: see [`RopeTable::extend_to`].
    #[must_use]
    pub fn at(&self, position: usize) -> (&[f32], &[f32]) {
        assert!(position < self.positions, "position {position} of {}", self.positions);
        let pairs = self.frequencies.len();
        let range = position * pairs..(position + 1) * pairs;
        (&self.cos[range.clone()], &self.sin[range])
    }
}

impl RopeScaling {
    /// The scaled form of a frequency.
    fn apply(self, frequency: f64) -> f64 {
        match self {
            Self::None => frequency,
            Self::Linear { factor } => frequency / factor,
            Self::Llama3 {
                factor,
                low_frequency_factor: low,
                high_frequency_factor: high,
                original_context,
            } => {
                // How many times the original context turns the pair.
                let turns = original_context * frequency / (2.0 * PI);
                if turns < low {
                    frequency / factor
                } else if turns > high {
                    frequency
                } else {
                    let blend = (turns - low) / (high - low);
                    (1.0 - blend) * frequency / factor + blend * frequency
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{RopeError, RopeScaling, RopeTable};

    #[test]
    fn frequencies_and_angles() {
        let mut table = RopeTable::new(64, 10_000.0, RopeScaling::None, None).unwrap();
        assert_eq!(table.frequencies().len(), 32);
        assert_eq!(table.frequencies()[0], 1.0);
        assert!((table.frequencies()[16] - 0.01).abs() < 1e-17);
        table.extend_to(10);
        table.extend_to(5000);
        assert_eq!(table.positions(), 5000);
        assert_eq!(table.at(0), (&[1.0f32; 32][..], &[0.0f32; 32][..]));
        for position in [1u16, 9, 10, 4999] {
            let (cos, sin) = table.at(position.into());
            for (i, frequency) in table.frequencies().iter().enumerate() {
                let angle = f64::from(position) * frequency;
                assert!((f64::from(cos[i]) - angle.cos()).abs() < 6.1e-8, "{position} {i}");
                assert!((f64::from(sin[i]) - angle.sin()).abs() < 6.1e-8, "{position} {i}");
            }
        }
    }

    #[test]
    fn llama3_scaling_keeps_high_and_divides_low_frequencies() {
        // The values of Llama 3.1: `rope_scaling` of its config.json.
        let scaling = RopeScaling::Llama3 {
            factor: 8.0,
            low_frequency_factor: 1.0,
            high_frequency_factor: 4.0,
            original_context: 8192.0,
        };
        let plain = RopeTable::new(128, 500_000.0, RopeScaling::None, None).unwrap();
        let scaled = RopeTable::new(128, 500_000.0, scaling, None).unwrap();
        let ratios: Vec<f64> = (plain.frequencies().iter().zip(scaled.frequencies()))
            .map(|(plain, scaled)| plain / scaled)
            .collect();
        assert_eq!((ratios[0], ratios[63]), (1.0, 8.0));
        assert!(ratios.is_sorted());
        // 8192 positions turn pair 32 by 8192 / (2 pi sqrt(500000)) = 1.844 turns: blend (1.844 - 1) / 3.
        let blend = (8192.0 / (2.0 * std::f64::consts::PI * 500_000.0f64.sqrt()) - 1.0) / 3.0;
        assert!((ratios[32] - 1.0 / ((1.0 - blend) / 8.0 + blend)).abs() < 1e-12);
    }

    #[test]
    fn factors_and_linear_scaling_divide() {
        let linear = RopeScaling::Linear { factor: 4.0 };
        let table = RopeTable::new(4, 100.0, linear, Some(&[1.0, 2.0])).unwrap();
        assert!((table.frequencies()[0] - 0.25).abs() < 1e-16);
        assert!((table.frequencies()[1] - 0.1 / 8.0).abs() < 1e-16);
    }

    #[test]
    fn nonsense_is_refused() {
        let table = |dim, base, factors| RopeTable::new(dim, base, RopeScaling::None, factors);
        assert_eq!(table(3, 1e4, None).unwrap_err(), RopeError::OddDimension(3));
        assert_eq!(
            table(4, 1e4, Some(&[1.0])).unwrap_err(),
            RopeError::Factors { expected: 2, given: 1 }
        );
        assert!(matches!(
            table(4, -1.0, None).unwrap_err(),
            RopeError::Frequency { index: 0, value } if value.is_nan()
        ));
        assert!(table(4, 1e4, Some(&[1.0, 0.0])).is_err());
    }
}
