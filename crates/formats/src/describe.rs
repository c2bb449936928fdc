//! What people want to know of a format.

use std::fmt::Write as _;

use crate::element::Element;
use crate::encode::{EncodeOptions, Encoder};
use crate::float::Subnormals;
use crate::format::{Format, Granularity, Scale, Storage, Zero};
use crate::int::Fixed;
use crate::rounding::Rounding;

/// A run of bits of a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BitField {
    /// `sign`, `exponent`, `mantissa`, `integer`, `fraction`, `index`, `bits`.
    pub name: &'static str,
    /// Its width.
    pub bits: u32,
}

/// The facts about a format.
#[derive(Clone, Debug, PartialEq)]
pub struct Description {
    /// Its canonical name, which [`Format::parse`] reads.
    pub name: String,
    /// The family: `integer`, `bipolar`, `ternary`, `float`, `fixed point`, `sparse digits`, `code book`, `posit`, `power`, `complex`.
    pub family: &'static str,
    /// The bits of a code.
    pub bits: u32,
    /// The bits of an element with its share of scales.
    pub bits_per_element: f64,
    /// The fields of a code, from the most significant bit.
    pub fields: Vec<BitField>,
    /// The smallest and the largest finite value of an element, before scaling.
    pub range: (f64, f64),
    /// The smallest value above 0.
    pub min_positive: f64,
    /// The smallest normal number; for floats only.
    pub min_normal: Option<f64>,
    /// The distance from 1 to the next larger value; where 1 is a value and not the largest.
    pub epsilon: Option<f64>,
    /// The number of codes: 2^bits.
    pub codes: u64,
    /// The number of distinct finite values.
    pub distinct_values: u64,
    /// The number of codes that are NaN and that are infinite.
    pub nan_and_infinity_codes: (u64, u64),
    /// Every value with its code, rising; for up to 64 distinct values.
    pub values: Option<Vec<(f64, u32)>>,
    /// The scales in words: `f16 for each 128 elements`; empty where there are none.
    pub scales: String,
}

/// The most values that are listed.
const LISTED_VALUES: u64 = 64;

impl Format {
    /// The facts about this format.
    #[must_use]
    pub fn describe(&self) -> Description {
        let element = &self.element;
        let encoder = Encoder::new(element, EncodeOptions::default());
        let distinct_values = encoder.distinct_values();
        Description {
            name: self.to_string(),
            family: family(element),
            bits: element.bits(),
            bits_per_element: self.bits_per_element(),
            fields: fields(element),
            range: (encoder.min(), encoder.max()),
            min_positive: encoder.min_positive(),
            min_normal: min_normal(element),
            epsilon: epsilon(element),
            codes: 1 << element.bits(),
            distinct_values,
            nan_and_infinity_codes: special_codes(element),
            values: (distinct_values <= LISTED_VALUES).then(|| values(element, &encoder)),
            scales: self.scales_in_words(),
        }
    }

    fn scales_in_words(&self) -> String {
        let Some(Scale { element, granularity, .. }) = &self.scale else { return String::new() };
        let each = |granularity: Granularity| match granularity {
            Granularity::Tensor => "the tensor".to_owned(),
            Granularity::Channel => "each row".to_owned(),
            Granularity::Group(group) => format!("each {group} elements"),
            Granularity::Block { rows, columns } => format!("each block of {rows} × {columns}"),
        };
        let mut text = format!("{element} for {}", each(*granularity));
        match &self.zero {
            Zero::None => {}
            Zero::Constant(zero) => _ = write!(text, ", zero point {zero}"),
            Zero::Point => _ = write!(text, ", zero point {}", self.element),
            Zero::Minimum(minimum) => _ = write!(text, ", minimum {minimum}"),
        }
        if !self.alternatives.is_empty() {
            _ = write!(text, ", one of {} code books", self.alternatives.len());
        }
        if let Some(above) = &self.super_scale {
            _ = write!(text, ", {} for {}", above.element, each(above.granularity));
        }
        if let Storage::MixedWidth(mixed) = self.storage {
            _ = write!(text, ", 4-bit codes in {} of 32 groups", mixed.wide_groups());
        }
        if let Some((elements, bytes)) = self.storage.record() {
            let gguf = if matches!(self.storage, Storage::Gguf(_)) { "GGUF " } else { "" };
            _ = write!(text, "; {gguf}records of {bytes} bytes for {elements}");
        }
        text
    }
}

const fn family(element: &Element) -> &'static str {
    match element {
        Element::Int(_) => "integer",
        Element::Bipolar { .. } => "bipolar",
        Element::Ternary => "ternary",
        Element::Float(_) => "float",
        Element::Fixed(_) => "fixed point",
        Element::SparseDigits(_) => "sparse digits",
        Element::CodeBook(_) => "code book",
        Element::Posit(_) => "posit",
        Element::Power(_) => "power",
        Element::Complex => "complex",
    }
}

fn fields(element: &Element) -> Vec<BitField> {
    let field = |name, bits: u32| BitField { name, bits };
    let fields = match element {
        Element::Float(float) => vec![
            field("sign", float.signed.into()),
            field("exponent", float.exponent_bits.into()),
            field("mantissa", float.mantissa_bits.into()),
        ],
        Element::Int(int) => {
            vec![
                field("sign", int.signed.into()),
                field("integer", u32::from(int.bits) - u32::from(int.signed)),
            ]
        }
        Element::Fixed(Fixed { int, fraction_bits })
            if (0..=int.bits.cast_signed()).contains(fraction_bits) =>
        {
            let fraction = u32::from(fraction_bits.unsigned_abs());
            vec![field("integer", u32::from(int.bits) - fraction), field("fraction", fraction)]
        }
        Element::Posit(posit) => vec![field("sign", 1), field("bits", u32::from(posit.bits) - 1)],
        Element::CodeBook(book) => vec![field("index", book.bits())],
        _ => vec![field("bits", element.bits())],
    };
    fields.into_iter().filter(|field| field.bits > 0).collect()
}

fn min_normal(element: &Element) -> Option<f64> {
    let Element::Float(float) = element else { return None };
    let code = if float.subnormals == Subnormals::Absent { 0 } else { 1 << float.mantissa_bits };
    (code <= float.max_magnitude()).then(|| float.decode(code))
}

fn epsilon(element: &Element) -> Option<f64> {
    let encoder = Encoder::new(
        element,
        EncodeOptions { rounding: Rounding::TowardPositive, ..EncodeOptions::default() },
    );
    let decode = |value: f64| Some(element.decode(encoder.encode(value, 0).ok()?));
    let next = decode(1.0f64.next_up())?;
    (decode(1.0)? == 1.0 && next > 1.0).then_some(next - 1.0)
}

fn special_codes(element: &Element) -> (u64, u64) {
    match element {
        Element::Posit(_) => (1, 0),
        // NaN and infinities are the codes above the largest number of each sign, and −0 where it is NaN.
        Element::Float(float) => {
            let signs = if float.signed { 2 } else { 1 };
            let infinities = u64::from(float.infinity(false).is_some()) * signs;
            let magnitudes = 1u64 << (float.bits() - u32::from(float.signed));
            let above = (magnitudes - 1 - u64::from(float.max_magnitude())) * signs;
            let negative_zero = u64::from(float.signed && !float.has_negative_zero());
            (above - infinities + negative_zero, infinities)
        }
        _ => (0, 0),
    }
}

fn values(element: &Element, encoder: &Encoder) -> Vec<(f64, u32)> {
    let mut values: Vec<(f64, u32)> = element
        .enumerate()
        .filter(|(code, value)| encoder.encode(*value, 0).is_ok_and(|again| again == *code))
        .filter(|(_, value)| value.is_finite() && !(*value == 0.0 && value.is_sign_negative()))
        .map(|(code, value)| (value, code))
        .collect();
    values.sort_by(|a, b| a.0.total_cmp(&b.0));
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    fn describe(text: &str) -> Description {
        Format::parse(text).unwrap().describe()
    }

    #[test]
    fn e4m3fn_is_described_as_in_the_ocp_standard() {
        let e4m3 = describe("float8_e4m3fn");
        assert_eq!(
            (e4m3.name.as_str(), e4m3.family, e4m3.bits, e4m3.codes),
            ("e4m3fn", "float", 8, 256)
        );
        assert_eq!(
            e4m3.fields.iter().map(|f| (f.name, f.bits)).collect::<Vec<_>>(),
            [("sign", 1), ("exponent", 4), ("mantissa", 3)]
        );
        assert_eq!(
            (e4m3.range, e4m3.min_positive, e4m3.min_normal),
            ((-448.0, 448.0), 2f64.powi(-9), Some(2f64.powi(-6)))
        );
        assert_eq!(
            (e4m3.epsilon, e4m3.distinct_values, e4m3.nan_and_infinity_codes),
            (Some(0.125), 253, (2, 0))
        );
        assert_eq!(e4m3.values, None);
    }

    #[test]
    fn few_values_are_listed_in_order() {
        let values: Vec<f64> = describe("e2m1").values.unwrap().iter().map(|v| v.0).collect();
        assert_eq!(
            values,
            [-6.0, -4.0, -3.0, -2.0, -1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0]
        );
        assert_eq!(describe("ternary").values.unwrap(), [(-1.0, 0), (0.0, 1), (1.0, 2)]);
        assert_eq!(describe("nf4").values.unwrap().len(), 16);
        assert_eq!(describe("khot8k2").distinct_values, 57);
    }

    #[test]
    fn scales_are_told_in_words() {
        assert_eq!(describe("nvfp4").scales, "e4m3fn for each 16 elements, f32 for the tensor");
        assert_eq!(
            describe("int4:g128:f16:zp").scales,
            "f16 for each 128 elements, zero point uint4"
        );
        assert_eq!(
            describe("q4_k").scales,
            "uint6 for each 32 elements, minimum uint6, f16 for each 256 elements; GGUF records of 144 bytes for 256"
        );
        assert_eq!(describe("bitmod3").scales, "f16 for each 128 elements, one of 4 code books");
        assert_eq!(describe("e5m2").scales, "");
    }

    /// The counts by formula are those of going through all codes.
    #[test]
    fn counts_are_those_of_all_codes() {
        for (name, format) in crate::all().filter(|(_, format)| format.element.bits() <= 16) {
            let facts = format.describe();
            let values: Vec<f64> = format.element.enumerate().map(|(_, value)| value).collect();
            let count = |test: fn(&f64) -> bool| values.iter().copied().filter(test).count() as u64;
            assert_eq!(
                facts.nan_and_infinity_codes,
                (count(|v| v.is_nan()), count(|v| v.is_infinite())),
                "{name}"
            );
            assert_eq!(
                facts.min_positive,
                values.iter().copied().filter(|v| *v > 0.0).fold(f64::INFINITY, f64::min),
                "{name}"
            );
        }
    }
}
