//! What a format does to a tensor: errors, clipping, underflow.

use crate::element::Element;
use crate::encode::{EncodeOptions, Encoder};
use crate::error::FormatError;
use crate::format::{Format, Granularity, Storage, Zero};
use crate::quantized::{Groups, Quantized};
use crate::rounding::Rounding;
use crate::scale::max_magnitude;

/// Errors of a set of elements, as sums that can be merged.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ErrorStats {
    /// The number of elements.
    pub count: u64,
    /// Σ x².
    pub signal: f64,
    /// Σ (x − x̂)².
    pub noise: f64,
    /// The largest |x − x̂|.
    pub max_error: f64,
    /// Elements that overflow: beyond the largest magnitude of their group by more than half the last step, so that they would be rounded to something
    /// larger if the grid went on.
    pub clipped: u64,
    /// Elements that are not zero and became zero.
    pub underflowed: u64,
}

impl ErrorStats {
    fn add(&mut self, value: f32, decoded: f32, clipped: bool) {
        let (value, decoded) = (f64::from(value), f64::from(decoded));
        let error = (value - decoded).abs();
        self.count += 1;
        self.signal += value * value;
        self.noise += error * error;
        self.max_error = self.max_error.max(error);
        self.clipped += u64::from(clipped);
        self.underflowed += u64::from(value != 0.0 && decoded == 0.0);
    }

    /// Adds the sums of other elements.
    pub fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.signal += other.signal;
        self.noise += other.noise;
        self.max_error = self.max_error.max(other.max_error);
        self.clipped += other.clipped;
        self.underflowed += other.underflowed;
    }

    /// The signal to quantization noise ratio in decibels: infinite where nothing was lost, NaN where there is no signal either.
    #[must_use]
    pub fn sqnr_db(&self) -> f64 {
        10.0 * (self.signal / self.noise).log10()
    }

    /// The mean squared error; NaN of no elements.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a count of elements")]
    pub fn mse(&self) -> f64 {
        self.noise / self.count as f64
    }
}

/// The errors of a tensor, in all and in parts.
#[derive(Clone, Debug, PartialEq)]
pub struct Analysis {
    /// Of all elements.
    pub total: ErrorStats,
    /// Of each row.
    pub channels: Vec<ErrorStats>,
    /// Of each group that shares a scale; one, where there are no scales.
    pub groups: Vec<ErrorStats>,
}

impl Quantized {
    /// Compares with the values that were quantized.
    ///
    /// # Errors
    /// Where `values` has another length.
    pub fn analyse(&self, values: &[f32]) -> Result<Analysis, FormatError> {
        let mut decoded = vec![0.0; values.len()];
        self.dequantize(&mut decoded)?;
        self.compare(values, &decoded)
    }

    /// Compares with the values that were quantized; `decoded` is what decoding gave.
    ///
    /// # Errors
    /// Where `values` or `decoded` has another length.
    pub fn compare(&self, values: &[f32], decoded: &[f32]) -> Result<Analysis, FormatError> {
        let expected = self.rows.saturating_mul(self.columns);
        for (what, actual) in [("values", values.len()), ("decoded values", decoded.len())] {
            if actual != expected {
                return Err(FormatError::Length { what, expected, actual });
            }
        }
        let (granularity, limits) = self.limits();
        let groups = Groups::new(granularity, self.rows, self.columns);
        let mut analysis = Analysis {
            total: ErrorStats::default(),
            channels: vec![ErrorStats::default(); self.rows],
            groups: vec![ErrorStats::default(); groups.count()],
        };
        for (group, stats) in analysis.groups.iter_mut().enumerate() {
            let limit = limits.get(group).copied().unwrap_or(f32::INFINITY);
            for index in groups.spans(group).flatten() {
                let clipped = values[index].abs() > limit;
                stats.add(values[index], decoded[index], clipped);
                analysis.channels[index / self.columns].add(values[index], decoded[index], clipped);
            }
            analysis.total.merge(stats);
        }
        Ok(analysis)
    }

    /// The groups, and the magnitude beyond which each overflows; none for formats with zero points or minimums, which cover the range by definition, and
    /// for records.
    fn limits(&self) -> (Granularity, Vec<f32>) {
        let format = &self.format;
        let max = overflow_magnitude(&format.element);
        match (&format.scale, format.storage, &format.zero) {
            (None, Storage::Planar, _) => (Granularity::Tensor, vec![max]),
            (Some(scale), Storage::Planar, Zero::None) if format.alternatives.is_empty() => {
                let reader = self.reader();
                let count = reader.groups().count();
                let limits = (0..count).map(|group| reader.scale(group) * max);
                (scale.granularity, limits.collect())
            }
            (Some(scale), _, _) => (scale.granularity, Vec::new()),
            (None, Storage::Gguf(_) | Storage::MixedWidth(_), _) => {
                (Granularity::Tensor, Vec::new())
            }
        }
    }
}

/// The largest magnitude and half of its distance to the next smaller value.
fn overflow_magnitude(element: &Element) -> f32 {
    let max = max_magnitude(element);
    let options = EncodeOptions { rounding: Rounding::TowardZero, ..EncodeOptions::default() };
    let below = Encoder::new(element, options).round(f64::from(max).next_down(), 0);
    #[expect(clippy::cast_possible_truncation, reason = "a limit of an f32 format")]
    let half_step = (f64::from(max) - below.unwrap_or(0.0)) as f32 / 2.0;
    max + half_step
}

impl Format {
    /// Quantizes a matrix and compares.
    ///
    /// # Errors
    /// As [`Format::quantize`].
    pub fn analyse(
        &self,
        values: &[f32],
        rows: usize,
        columns: usize,
        options: &EncodeOptions,
    ) -> Result<Analysis, FormatError> {
        self.quantize(values, rows, columns, options)?.analyse(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clipped_and_underflowed_elements_are_counted_where_they_are() {
        let format = Format::parse("mxfp4").unwrap();
        let mut values = vec![1.0f32; 64];
        // In the first group the scale is 1: 7.5 is clipped to 6, 6.9 is rounded to it, and 0.2 becomes 0.
        values[3] = 7.5;
        values[5] = 6.9;
        values[4] = 0.2;
        let analysis = format.analyse(&values, 2, 32, &EncodeOptions::default()).unwrap();
        assert_eq!((analysis.groups[0].clipped, analysis.groups[0].underflowed), (1, 1));
        assert_eq!((analysis.groups[1].clipped, analysis.groups[1].noise), (0, 0.0));
        assert_eq!(analysis.channels, analysis.groups);
        assert_eq!(analysis.total.count, 64);
        assert_eq!(analysis.total.max_error, 1.5);
        assert!((analysis.total.noise - (2.25 + 0.81 + 0.04)).abs() < 1e-5);
        assert_eq!(analysis.groups[1].sqnr_db(), f64::INFINITY);
    }
}
