//! Known answers, read from JSON.

#![allow(dead_code, reason = "each test program needs a part")]

use dyadic_kernels::integer::Dyadic;
use dyadic_kernels::integer::dyadic::TfliteMultiplier;
use serde_json::Value;

/// All sections of `golden-integer.json`.
pub(crate) fn all() -> Value {
    serde_json::from_str(include_str!("../golden/golden-integer.json")).unwrap()
}

/// One section.
pub(crate) fn golden(section: &str) -> Value {
    all()[section].take()
}

/// The list of that name, which is not empty.
pub(crate) fn list<'a>(section: &'a Value, name: &str) -> &'a [Value] {
    let list = section[name].as_array().unwrap();
    assert!(!list.is_empty());
    list
}

/// The integers of a value, nested lists one behind the other.
pub(crate) fn integers<T: TryFrom<i64>>(value: &Value) -> Vec<T> {
    match value {
        Value::Array(values) => values.iter().flat_map(integers).collect(),
        value => vec![integer(value)],
    }
}

/// An integer.
pub(crate) fn integer<T: TryFrom<i64>>(value: &Value) -> T {
    let wide = value.as_i64().unwrap_or_else(|| panic!("{value} is no integer"));
    T::try_from(wide).unwrap_or_else(|_| panic!("{wide} does not fit"))
}

/// A number.
pub(crate) fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

/// The numbers of a value, nested lists one behind the other.
pub(crate) fn numbers(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(values) => values.iter().flat_map(numbers).collect(),
        value => vec![number(value)],
    }
}

/// A factor between 2^−31 and 1 with 31 bits.
pub(crate) fn nearest_dyadic(factor: f64) -> Dyadic {
    let shift = (31..=61).find(|&shift| factor * 2f64.powi(shift) >= 2f64.powi(30)).unwrap();
    #[expect(clippy::cast_possible_truncation, reason = "below 2^31")]
    let multiplier = (factor * 2f64.powi(shift)).round().min(2_147_483_647.0) as i32;
    Dyadic::new(multiplier, shift.cast_unsigned()).unwrap()
}

/// A ratio below 1 as TensorFlow Lite writes it: 31 bits and a shift.
pub(crate) fn tflite_multiplier(ratio: f64) -> TfliteMultiplier {
    let left_shift = (-31..=0).find(|&shift| ratio < 2f64.powi(shift)).unwrap();
    #[expect(clippy::cast_possible_truncation, reason = "below 2^31")]
    let multiplier = (ratio * 2f64.powi(31 - left_shift)).round() as i32;
    TfliteMultiplier::new(multiplier, left_shift).unwrap()
}
