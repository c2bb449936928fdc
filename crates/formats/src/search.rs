//! Formats that fit a tensor: the parameter of least squared error, found by trying.

use crate::codebook::Power;
use crate::element::Element;
use crate::encode::EncodeOptions;
use crate::error::FormatError;
use crate::float::{Float, NonFinite, power_of_two};
use crate::format::{Format, Granularity, ScaleRule};
use crate::int::{Fixed, Int};
use crate::quantized::Groups;
use crate::scale::ScaleEncoder;

/// A format with the ratio that it reached.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// The format.
    pub format: Format,
    /// Its signal to quantization noise ratio in decibels.
    pub sqnr_db: f64,
}

/// The magnitudes of a matrix relative to the largest of their groups, sorted, with running sums: the squared error of any symmetric grid then takes
/// a look-up for each of its values, however many elements there are.
struct Magnitudes {
    /// |x| / s, rising, s being the scale that brings the largest magnitude of a group to 1.
    sorted: Vec<f32>,
    /// Σ s², Σ s |x| and Σ x² of the first so many.
    sums: Vec<[f64; 3]>,
}

impl Magnitudes {
    fn new(
        values: &[f32],
        rows: usize,
        columns: usize,
        granularity: Granularity,
        scale: Float,
    ) -> Result<Self, FormatError> {
        let expected = rows.saturating_mul(columns);
        if values.len() != expected {
            let what = "values of the matrix";
            return Err(FormatError::Length { what, expected, actual: values.len() });
        }
        if let Some(index) = values.iter().position(|value| !value.is_finite()) {
            let format = "a search".to_owned();
            return Err(FormatError::NotFinite { format, index, value: values[index] });
        }
        let groups = Groups::new(granularity, rows, columns);
        let encoder = ScaleEncoder::new(&scale.into());
        let mut scaled = Vec::with_capacity(values.len());
        for group in 0..groups.count() {
            let magnitudes =
                || groups.spans(group).flat_map(|span| &values[span]).map(|value| value.abs());
            let largest = magnitudes().fold(0.0, f32::max);
            let (_, scale) = encoder.encode(if largest == 0.0 { 1.0 } else { largest });
            scaled.extend(magnitudes().map(|magnitude| (magnitude / scale, scale)));
        }
        scaled.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
        let mut sums = Vec::with_capacity(scaled.len() + 1);
        let mut sum = [0.0f64; 3];
        sums.push(sum);
        for &(magnitude, scale) in &scaled {
            let (u, weight) = (f64::from(magnitude), f64::from(scale).powi(2));
            sum = [sum[0] + weight, sum[1] + weight * u, sum[2] + weight * u * u];
            sums.push(sum);
        }
        Ok(Self { sorted: scaled.into_iter().map(|(magnitude, _)| magnitude).collect(), sums })
    }

    /// The ratio in decibels that a grid of these rising magnitudes reaches.
    fn sqnr_db(&self, grid: impl Iterator<Item = f64>) -> f64 {
        let mut grid = grid.peekable();
        let mut noise = 0.0;
        let mut first = 0;
        while let Some(value) = grid.next() {
            let end = grid.peek().map_or(self.sorted.len(), |next| {
                let middle = f64::midpoint(value, *next);
                first + self.sorted[first..].partition_point(|u| f64::from(*u) <= middle)
            });
            let [weight, linear, square] =
                std::array::from_fn(|k| self.sums[end][k] - self.sums[first][k]);
            // Of equals the difference may fall below 0 by rounding.
            noise += f64::max(0.0, square - 2.0 * value * linear + value * value * weight);
            first = end;
        }
        let signal = self.sums[self.sorted.len()][2];
        10.0 * (signal / noise).log10()
    }
}

/// Every split of `bits` bits into a sign, exponent and mantissa bits, all codes finite, with the granularity given and f32 scales, best first.
///
/// The ratios leave out that scales are rounded to f32.
///
/// # Errors
/// Where `values` has another length, or a value is not finite.
pub fn compare_float_splits(
    bits: u8,
    values: &[f32],
    rows: usize,
    columns: usize,
    granularity: Granularity,
) -> Result<Vec<Candidate>, FormatError> {
    let magnitudes = Magnitudes::new(values, rows, columns, granularity, Float::F32)?;
    let splits = (1..bits.min(9)).filter_map(|exponent_bits| {
        Float::new(exponent_bits, bits - 1 - exponent_bits, true, Some(NonFinite::None))
    });
    let mut candidates: Vec<Candidate> = splits
        .map(|float| {
            let largest = i64::from(float.max_magnitude());
            let max = float.magnitude_value(largest);
            let grid = (0..=largest).map(|code| float.magnitude_value(code) / max);
            let format =
                Format::scaled(float.into(), Float::F32, granularity, ScaleRule::MaxMagnitude);
            Candidate { sqnr_db: magnitudes.sqnr_db(grid), format }
        })
        .collect();
    candidates.sort_by(|a, b| b.sqnr_db.total_cmp(&a.sqnr_db));
    Ok(candidates)
}

/// The fixed-point format of `bits` bits, symmetric, whose binary point gives the least squared error; of equals the one with more range.
///
/// Points from the one where the largest magnitude just fits to eight places further are tried: beyond that nearly everything is clipped.
///
/// # Errors
/// Where a value is not finite.
///
/// # Panics
/// Where `bits` is not 2 to 32.
pub fn search_binary_point(bits: u8, values: &[f32]) -> Result<Fixed, FormatError> {
    let int = Int::symmetric(bits);
    assert!(int.is_valid(), "2 to 32 bits");
    if let Some(index) = values.iter().position(|value| !value.is_finite()) {
        let format = "fixed point".to_owned();
        return Err(FormatError::NotFinite { format, index, value: values[index] });
    }
    let largest = values.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
    // The largest magnitude is below 2^(exponent + 1).
    let exponent = if largest == 0.0 { 0 } else { crate::scale::floor_log2(largest) };
    let fits = i32::from(bits) - 2 - exponent;
    #[expect(clippy::cast_precision_loss, reason = "at most 31 bits")]
    let max = int.max() as f64;
    let mut best = (f64::INFINITY, Fixed { int, fraction_bits: 0 });
    for fraction_bits in fits - 1..=fits + 8 {
        let fraction_bits = i8::try_from(fraction_bits.clamp(-64, 64)).unwrap_or(0);
        let (up, down) =
            (power_of_two(fraction_bits.into()), power_of_two((-fraction_bits).into()));
        let errors = values.iter().map(|&value| {
            let value = f64::from(value);
            let rounded = (value * up).round_ties_even().clamp(-max, max) * down;
            (value - rounded).powi(2)
        });
        let error = errors.sum();
        if error < best.0 {
            best = (error, Fixed { int, fraction_bits });
        }
    }
    Ok(best.1)
}

/// The golden ratio's inverse: what each step of the search keeps of the interval.
const GOLDEN: f64 = 0.618_033_988_749_894_9;
/// The width of the interval at which the search ends.
const EXPONENT_TOLERANCE: f64 = 0.001;

/// The power-law format of `bits` bits whose exponent in [0.3, 1] gives the least squared error under the granularity given and f16 scales: the best of
/// a sweep by 0.05, made finer by golden-section search to 0.001.
///
/// # Errors
/// Where `values` has another length, or a value is not finite.
///
/// # Panics
/// Where `bits` is not 2 to 16.
pub fn fit_power(
    bits: u8,
    values: &[f32],
    rows: usize,
    columns: usize,
    granularity: Granularity,
) -> Result<Candidate, FormatError> {
    assert!((2..=16).contains(&bits), "2 to 16 bits");
    let magnitudes = Magnitudes::new(values, rows, columns, granularity, Float::F16)?;
    let sqnr_db = |exponent: f64| {
        let power = Power { bits, exponent };
        magnitudes.sqnr_db((0..=power.max()).map(|q| power.value(q)))
    };
    let swept = (6..=20u8).map(|step| f64::from(step) / 20.0);
    let coarse = swept.max_by(|a, b| sqnr_db(*a).total_cmp(&sqnr_db(*b))).unwrap_or(1.0);
    let (mut low, mut high) = ((coarse - 0.05).max(0.3), (coarse + 0.05).min(1.0));
    while high - low > EXPONENT_TOLERANCE {
        let (left, right) = (high - GOLDEN * (high - low), low + GOLDEN * (high - low));
        if sqnr_db(left) > sqnr_db(right) { high = right } else { low = left }
    }
    let fine = (f64::midpoint(low, high) * 1000.0).round() / 1000.0;
    let exponent = if sqnr_db(fine) > sqnr_db(coarse) { fine } else { coarse };
    let element = Element::Power(Power { bits, exponent });
    let format = Format::scaled(element, Float::F16, granularity, ScaleRule::MaxMagnitude);
    let analysis = format.analyse(values, rows, columns, &EncodeOptions::default())?;
    Ok(Candidate { sqnr_db: analysis.total.sqnr_db(), format })
}
