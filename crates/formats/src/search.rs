//! Formats that fit a tensor: the parameter of least squared error, found by trying.

use crate::codebook::Power;
use crate::element::Element;
use crate::encode::{EncodeOptions, Encoder};
use crate::error::FormatError;
use crate::float::{Float, NonFinite};
use crate::format::{Format, Granularity, ScaleRule};
use crate::int::{Fixed, Int};

/// A format with the ratio that it reached.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// The format.
    pub format: Format,
    /// Its signal to quantization noise ratio in decibels.
    pub sqnr_db: f64,
}

/// Every split of `bits` bits into a sign, exponent and mantissa bits, all codes finite, with the granularity given and f32 scales, best first.
///
/// # Errors
/// As [`Format::quantize`].
pub fn compare_float_splits(
    bits: u8,
    values: &[f32],
    rows: usize,
    columns: usize,
    granularity: Granularity,
) -> Result<Vec<Candidate>, FormatError> {
    let mut candidates = Vec::new();
    for exponent_bits in 1..bits.min(9) {
        let mantissa_bits = bits - 1 - exponent_bits;
        let Some(float) = Float::new(exponent_bits, mantissa_bits, true, Some(NonFinite::None))
        else {
            continue;
        };
        let format = Format::scaled(float.into(), Float::F32, granularity, ScaleRule::MaxMagnitude);
        let analysis = format.analyse(values, rows, columns, &EncodeOptions::default())?;
        candidates.push(Candidate { format, sqnr_db: analysis.total.sqnr_db() });
    }
    candidates.sort_by(|a, b| b.sqnr_db.total_cmp(&a.sqnr_db));
    Ok(candidates)
}

/// The squared error of rounding every value into an element format without a scale.
fn squared_error(element: &Element, values: &[f32]) -> Result<f64, FormatError> {
    let encoder = Encoder::new(element, EncodeOptions::default());
    let mut sum = 0.0;
    for (index, &value) in (0..).zip(values) {
        let decoded = element.decode(encoder.encode(value.into(), index)?);
        sum += (f64::from(value) - decoded).powi(2);
    }
    Ok(sum)
}

/// The fixed-point format of `bits` bits, symmetric, whose binary point gives the least squared error; of equals the one with more range.
///
/// Points from the one where the largest magnitude just fits to eight places further are tried: beyond that everything is clipped.
///
/// # Errors
/// Where a value is NaN.
pub fn search_binary_point(bits: u8, values: &[f32]) -> Result<Fixed, FormatError> {
    let largest = values.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
    // The largest magnitude is below 2^(exponent + 1).
    let exponent = if largest == 0.0 { 0 } else { crate::scale::floor_log2(largest) };
    let fits = i32::from(bits) - 2 - exponent;
    let mut best: Option<(f64, Fixed)> = None;
    for fraction_bits in fits - 1..=fits + 8 {
        let Ok(fraction_bits) = i8::try_from(fraction_bits.clamp(-64, 64)) else { continue };
        let fixed = Fixed { int: Int::symmetric(bits), fraction_bits };
        let error = squared_error(&Element::Fixed(fixed), values)?;
        if best.is_none_or(|(least, _)| error < least) {
            best = Some((error, fixed));
        }
    }
    Ok(best.map_or(Fixed { int: Int::symmetric(bits), fraction_bits: 0 }, |(_, fixed)| fixed))
}

/// The golden ratio's inverse: what each step of the search keeps of the interval.
const GOLDEN: f64 = 0.618_033_988_749_894_9;

/// The power-law format of `bits` bits whose exponent in [0.3, 1] gives the least squared error under the granularity given, by golden-section search to
/// 0.005 (the error is locally convex in the exponent), or 1 where the uniform grid is no worse.
///
/// # Errors
/// As [`Format::quantize`].
pub fn fit_power(
    bits: u8,
    values: &[f32],
    rows: usize,
    columns: usize,
    granularity: Granularity,
) -> Result<Candidate, FormatError> {
    let candidate = |exponent: f64| {
        let element = Element::Power(Power { bits, exponent });
        let format = Format::scaled(element, Float::F16, granularity, ScaleRule::MaxMagnitude);
        let analysis = format.analyse(values, rows, columns, &EncodeOptions::default())?;
        Ok::<_, FormatError>(Candidate { sqnr_db: analysis.total.sqnr_db(), format })
    };
    let (mut low, mut high) = (0.3, 1.0);
    let inner = |low: f64, high: f64| (high - GOLDEN * (high - low), low + GOLDEN * (high - low));
    let (mut left, mut right) = inner(low, high);
    let (mut at_left, mut at_right) = (candidate(left)?, candidate(right)?);
    while high - low > 0.005 {
        if at_left.sqnr_db > at_right.sqnr_db {
            high = right;
            (right, at_right) = (left, at_left);
            left = inner(low, high).0;
            at_left = candidate(left)?;
        } else {
            low = left;
            (left, at_left) = (right, at_right);
            right = inner(low, high).1;
            at_right = candidate(right)?;
        }
    }
    let best = if at_left.sqnr_db > at_right.sqnr_db { at_left } else { at_right };
    let uniform = candidate(1.0)?;
    Ok(if best.sqnr_db > uniform.sqnr_db { best } else { uniform })
}
