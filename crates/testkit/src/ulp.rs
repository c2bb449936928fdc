//! Distances between floats, and assertions that say which element differs.

/// The number of floats that lie between `a` and `b`, counted over zero; both zeros are one. 0 for two NaNs, `u32::MAX` for one.
#[must_use]
pub fn distance_f32(a: f32, b: f32) -> u32 {
    match (a.is_nan(), b.is_nan()) {
        (true, true) => 0,
        (false, false) => ordinal(a).abs_diff(ordinal(b)),
        _ => u32::MAX,
    }
}

/// The place of a float in the order of all floats, zero at 0.
fn ordinal(x: f32) -> i32 {
    let magnitude = (x.to_bits() & 0x7FFF_FFFF).cast_signed();
    if x.is_sign_negative() { -magnitude } else { magnitude }
}

/// The distance of `actual` from `exact` in units in the last place of an f32 of the size of `exact`.
///
/// A correctly rounded result is at most 0.5. Equal infinities and two NaNs are 0; a mismatch of those is infinite. A finite `exact` beyond
/// the largest f32 may be answered by infinity.
#[must_use]
pub fn error_f32(actual: f32, exact: f64) -> f64 {
    let wide = f64::from(actual);
    if wide.is_nan() || exact.is_nan() {
        return if wide.is_nan() && exact.is_nan() { 0.0 } else { f64::INFINITY };
    }
    #[expect(clippy::cast_possible_truncation, reason = "rounding to f32 is what is measured")]
    let rounded = exact as f32;
    if actual.is_infinite() || rounded.is_infinite() {
        return if actual.to_bits() == rounded.to_bits() { 0.0 } else { f64::INFINITY };
    }
    // The exponent of the binade of `exact`, no smaller than that of the subnormals.
    let exponent = (((exact.to_bits() >> 52) & 0x7FF).cast_signed() - 1023).max(-126);
    let ulp = f64::from_bits((exponent - 23 + 1023).cast_unsigned() << 52);
    (wide - exact).abs() / ulp
}

/// The largest relative error of `actual` against `exact`, where an `exact` smaller than `floor` counts as `floor`.
///
/// # Panics
/// Where the lengths differ.
#[must_use]
pub fn max_relative_error(actual: &[f32], exact: &[f64], floor: f64) -> f64 {
    assert_eq!(actual.len(), exact.len(), "lengths");
    actual
        .iter()
        .zip(exact)
        .map(|(&a, &e)| {
            let error = (f64::from(a) - e).abs() / e.abs().max(floor);
            if error.is_nan() { f64::INFINITY } else { error }
        })
        .fold(0.0, f64::max)
}

/// Asserts that two slices hold the same bits, and says where they do not.
///
/// # Panics
/// Where they differ: with `context`, the first index, both values and both bit patterns.
pub fn assert_same_bits(actual: &[f32], expected: &[f32], context: &str) {
    assert_eq!(actual.len(), expected.len(), "{context}: lengths");
    for (index, (a, e)) in actual.iter().zip(expected).enumerate() {
        assert!(
            a.to_bits() == e.to_bits(),
            "{context}: element {index} of {} is {a:e} ({:08X}), expected {e:e} ({:08X})",
            actual.len(),
            a.to_bits(),
            e.to_bits(),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::{distance_f32, error_f32};

    #[test]
    fn distances() {
        assert_eq!(distance_f32(1.0, 1.0f32.next_up()), 1);
        assert_eq!(distance_f32(0.0, -0.0), 0);
        assert_eq!(distance_f32(f32::from_bits(1), -f32::from_bits(1)), 2);
        assert_eq!(distance_f32(f32::MAX, f32::INFINITY), 1);
        assert_eq!(distance_f32(f32::NAN, 0.0), u32::MAX);
    }

    #[test]
    fn errors() {
        assert_eq!(error_f32(1.0, 1.0), 0.0);
        assert_eq!(error_f32(1.0f32.next_up(), 1.0), 1.0);
        assert!(error_f32(0.1, 0.1) <= 0.5);
        assert_eq!(error_f32(f32::from_bits(1), 0.0), 1.0);
        assert_eq!(error_f32(f32::INFINITY, 1e39), 0.0);
        assert_eq!(error_f32(f32::INFINITY, 1.0), f64::INFINITY);
        assert_eq!(error_f32(f32::NAN, f64::NAN), 0.0);
    }
}
