//! The distance between two samples.

use crate::error::FormatError;

/// The first Wasserstein distance of two samples: the area between their cumulative distributions, in the unit of the values; what it costs to move one
/// pile of sand into the other. It is what climate models in low precision are judged by (Paxton et al., "Climate Modeling in Low Precision", 2022).
///
/// Takes the time of sorting both. NaN where one sample is empty.
///
/// # Errors
/// Where a value is not finite.
pub fn wasserstein1(a: &[f64], b: &[f64]) -> Result<f64, FormatError> {
    let (a, b) = (sorted(a)?, sorted(b)?);
    if a.is_empty() || b.is_empty() {
        return Ok(f64::NAN);
    }
    let (mut below_a, mut below_b) = (0, 0);
    let mut last = a[0].min(b[0]);
    let mut area = 0.0;
    while below_a < a.len() || below_b < b.len() {
        let take_a = match (a.get(below_a), b.get(below_b)) {
            (Some(x), Some(y)) => x <= y,
            (in_a, _) => in_a.is_some(),
        };
        let next = if take_a { a[below_a] } else { b[below_b] };
        #[expect(clippy::cast_precision_loss, reason = "counts of elements")]
        let difference = below_a as f64 / a.len() as f64 - below_b as f64 / b.len() as f64;
        area += difference.abs() * (next - last);
        last = next;
        if take_a { below_a += 1 } else { below_b += 1 }
    }
    Ok(area)
}

fn sorted(values: &[f64]) -> Result<Vec<f64>, FormatError> {
    if let Some(index) = values.iter().position(|value| !value.is_finite()) {
        #[expect(clippy::cast_possible_truncation, reason = "infinity and NaN stay what they are")]
        let value = values[index] as f32;
        return Err(FormatError::NotFinite { format: "a sample".to_owned(), index, value });
    }
    let mut values = values.to_vec();
    values.sort_unstable_by(f64::total_cmp);
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_known_by_hand() {
        let distance = |a: &[f64], b: &[f64]| wasserstein1(a, b).unwrap();
        assert_eq!(distance(&[3.0, 1.0, 2.0], &[1.0, 2.0, 3.0]), 0.0);
        assert_eq!(distance(&[0.0, 1.0, 3.0], &[5.0, 6.0, 8.0]), 5.0);
        assert_eq!(distance(&[0.0], &[-2.0]), 2.0);
        // Half of the mass moves by 1.
        assert_eq!(distance(&[0.0, 0.0], &[0.0, 1.0]), 0.5);
        // Samples of different sizes: quantiles 0, 0, 0, 2, 2, 2 against 0, 0, 1, 1, 2, 2.
        assert!((distance(&[0.0, 2.0], &[0.0, 1.0, 2.0]) - 1.0 / 3.0).abs() < 1e-15);
        assert!(distance(&[], &[1.0]).is_nan());
        assert_eq!(wasserstein1(&[1.0], &[f64::NAN]).unwrap_err().code(), "ERR_NAN");
    }
}
