//! Number formats: their facts, and single values in and out.

use dyadic_formats::lmul::{LMul, LMulVariant};
use dyadic_formats::{
    EncodeOptions, Encoder, Format, FormatError, Granularity, NanPolicy, Overflow, Remainder,
    Rounding, StochasticBits, Storage, Zero,
};
use napi::bindgen_prelude::Float32ArraySlice;
use napi_derive::napi;
use serde_json::{Value as Json, json};

use crate::error::{Result, guard};

/// What encoding does where a format leaves a choice; the defaults are those of [`EncodeOptions`].
#[napi(object, object_to_js = false)]
#[derive(Default)]
pub struct NativeEncodeOptions {
    /// A name of [`Rounding::name`].
    pub rounding: Option<String>,
    /// The random bits of `stochastic`: 1 to 32.
    pub random_bits: Option<u8>,
    /// What happens with the part of the distance that the random bits do not resolve.
    #[napi(ts_type = "'drop' | 'centre' | 'nearestEven' | 'nearestTiesToOdd'")]
    pub remainder: Option<String>,
    /// What values beyond the largest become.
    #[napi(ts_type = "'saturate' | 'ieee' | 'wrap'")]
    pub overflow: Option<String>,
    /// What NaN becomes where the format has none.
    #[napi(ts_type = "'throw' | 'zero' | 'max'")]
    pub nan: Option<String>,
    /// Whether an infinity that would saturate is NaN instead.
    pub infinity_is_nan: Option<bool>,
    /// Of the random modes: 0 to 2^53 − 1.
    pub seed: Option<f64>,
}

impl NativeEncodeOptions {
    pub(crate) fn read(&self) -> std::result::Result<EncodeOptions, FormatError> {
        let unknown = |operation| FormatError::Unsupported { format: "a value".into(), operation };
        let remainder = match self.remainder.as_deref() {
            None | Some("drop") => Remainder::Drop,
            Some("centre") => Remainder::Centre,
            Some("nearestEven") => Remainder::NearestEven,
            Some("nearestTiesToOdd") => Remainder::NearestTiesToOdd,
            Some(_) => return Err(unknown("rounded with such a remainder")),
        };
        let rounding = match self.rounding.as_deref() {
            None => Rounding::default(),
            Some(name) => Rounding::from_name(name).ok_or_else(|| unknown("rounded so"))?,
        };
        let rounding = match rounding {
            Rounding::Stochastic(bits) => {
                let count = self.random_bits.unwrap_or(bits.count).clamp(1, 32);
                Rounding::Stochastic(StochasticBits { count, remainder })
            }
            other => other,
        };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "TypeScript checks that the seed is an integer from 0 to 2^53 - 1"
        )]
        let seed = self.seed.map_or(0, |seed| seed as u64);
        Ok(EncodeOptions {
            rounding,
            overflow: match self.overflow.as_deref() {
                None | Some("saturate") => Overflow::Saturate,
                Some("ieee") => Overflow::Ieee,
                Some("wrap") => Overflow::Wrap,
                Some(_) => return Err(unknown("treated so on overflow")),
            },
            nan: match self.nan.as_deref() {
                None | Some("throw") => NanPolicy::Reject,
                Some("zero") => NanPolicy::Zero,
                Some("max") => NanPolicy::Max,
                Some(_) => return Err(unknown("treated so where it is NaN")),
            },
            infinity_is_nan: self.infinity_is_nan.unwrap_or(false),
            seed,
        })
    }
}

/// A format, read once.
#[napi]
pub struct NativeFormat {
    format: Format,
    /// The encoder of the last options: code books are sorted for each new one.
    encoder: Encoder,
}

#[napi]
impl NativeFormat {
    /// Reads a format string.
    #[napi(constructor)]
    pub fn new(text: String) -> Result<Self> {
        guard(|| {
            let format = Format::parse(&text)?;
            let encoder = Encoder::new(&format.element, EncodeOptions::default());
            Ok(Self { format, encoder })
        })
    }

    /// The facts, as JSON: those of [`dyadic_formats::Description`], and `scale`, `zeroPoint`, `superScale`, `selectorBits`, `record`.
    #[napi]
    pub fn describe(&self) -> Result<String> {
        guard(|| Ok(describe(&self.format).to_string()))
    }

    /// The value of a code.
    #[napi]
    pub fn decode(&self, code: u32) -> f64 {
        self.format.element.decode(code)
    }

    /// The code of a value; `random` are the bits that random modes compare.
    #[napi]
    pub fn encode(&mut self, value: f64, options: NativeEncodeOptions, random: u32) -> Result<u32> {
        guard(|| {
            let options = options.read()?;
            if *self.encoder.options() != options {
                self.encoder = Encoder::new(&self.format.element, options);
            }
            let code = self.encoder.encode_with_bits(value, random);
            let format = || self.format.element.to_string();
            Ok(code.ok_or_else(|| FormatError::Nan { format: format(), index: 0 })?)
        })
    }

    /// `[codes, scales, zeros, selectors]` in bytes and the number of super-scales of a matrix.
    #[napi]
    pub fn part_lengths(&self, rows: u32, columns: u32) -> Result<Vec<f64>> {
        guard(|| {
            let parts = self.format.part_lengths(rows as usize, columns as usize)?;
            Ok(part_numbers(parts))
        })
    }

    /// Where a row begins in each of these; nothing where it does not begin at a byte or shares a group with the row before it.
    #[napi]
    pub fn part_offsets(&self, columns: u32, row: u32) -> Option<Vec<f64>> {
        self.format.part_offsets(columns as usize, row as usize).map(part_numbers)
    }
}

impl NativeFormat {
    pub(crate) const fn format(&self) -> &Format {
        &self.format
    }
}

fn part_numbers(parts: dyadic_formats::Parts) -> Vec<f64> {
    let parts = [parts.codes, parts.scales, parts.zeros, parts.selectors, parts.super_scales];
    #[expect(clippy::cast_precision_loss, reason = "below 2^53: 2^32 elements of 32 bits")]
    parts.map(|number| number as f64).to_vec()
}

/// The names of all formats that are listed.
#[napi]
pub fn format_names() -> Result<Vec<String>> {
    guard(|| Ok(dyadic_formats::all().map(|(name, _)| name).collect()))
}

fn describe(format: &Format) -> Json {
    let facts = format.describe();
    let (nan_codes, infinity_codes) = facts.nan_and_infinity_codes;
    let per = |granularity: Granularity| match granularity {
        Granularity::Tensor => json!({"per": "tensor"}),
        Granularity::Channel => json!({"per": "channel"}),
        Granularity::Group(size) => json!({"per": "group", "size": size}),
        Granularity::Block { rows, columns } => {
            json!({"per": "block", "rows": rows, "columns": columns})
        }
    };
    let scale_of = |element: &dyadic_formats::Element, granularity: Granularity| {
        let mut scale = per(granularity);
        scale["format"] = element.to_string().into();
        scale["bits"] = element.bits().into();
        scale
    };
    let zero = match &format.zero {
        Zero::None => Json::Null,
        Zero::Constant(value) => json!({"kind": "constant", "value": value}),
        Zero::Point => {
            json!({"kind": "point", "format": format.element.to_string(), "bits": format.zero_bits()})
        }
        Zero::Minimum(element) => {
            json!({"kind": "minimum", "format": element.to_string(), "bits": format.zero_bits()})
        }
    };
    let values = facts.values.map(|values| {
        let entries = values.into_iter().map(|(value, code)| json!({"value": value, "code": code}));
        Json::Array(entries.collect())
    });
    json!({
        "name": facts.name,
        "element": format.element.to_string(),
        "family": facts.family,
        "bits": facts.bits,
        "bitsPerElement": facts.bits_per_element,
        "fields": facts.fields.iter().map(|field| json!({"name": field.name, "bits": field.bits})).collect::<Vec<_>>(),
        "range": [facts.range.0, facts.range.1],
        "minPositive": facts.min_positive,
        "minNormal": facts.min_normal,
        "epsilon": facts.epsilon,
        "codes": facts.codes,
        "distinctValues": facts.distinct_values,
        "nanCodes": nan_codes,
        "infinityCodes": infinity_codes,
        "values": values,
        "scales": facts.scales,
        "scale": format.scale.as_ref().map(|scale| scale_of(&scale.element, scale.granularity)),
        "superScale": format.super_scale.as_ref().map(|scale| scale_of(&scale.element, scale.granularity)),
        "zeroPoint": zero,
        "selectorBits": format.selector_bits(),
        "record": format.storage.record().map(|(elements, bytes)| json!({"elements": elements, "bytes": bytes})),
        "isGguf": matches!(format.storage, Storage::Gguf(_)),
    })
}

/// The product of two numbers by L-Mul, rounded to f32 first.
#[napi]
pub fn l_mul(a: f64, b: f64, mantissa_bits: u8, linear: bool) -> Result<f64> {
    #[expect(clippy::cast_possible_truncation, reason = "L-Mul is defined on f32")]
    guard(|| Ok(l_mul_of(mantissa_bits, linear).multiply(a as f32, b as f32).into()))
}

/// The products of the elements of two arrays by L-Mul, into `out`. All three are equally long.
#[napi]
pub fn l_mul_arrays(
    a: &[f32],
    b: &[f32],
    mantissa_bits: u8,
    linear: bool,
    mut out: Float32ArraySlice<'_>,
) -> Result<()> {
    guard(|| {
        let l_mul = l_mul_of(mantissa_bits, linear);
        // SAFETY: TypeScript passes a buffer that nobody else uses during the call.
        for ((out, &a), &b) in unsafe { out.as_mut() }.iter_mut().zip(a).zip(b) {
            *out = l_mul.multiply(a, b);
        }
        Ok(())
    })
}

fn l_mul_of(mantissa_bits: u8, linear: bool) -> LMul {
    let variant = if linear { LMulVariant::Linear } else { LMulVariant::Carry };
    LMul::new(mantissa_bits.clamp(1, 23), variant)
}
