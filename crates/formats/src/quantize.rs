//! Whole tensors: the scales of every group, and codes under them.
//!
//! The arithmetic is that of f32, so that kernels can repeat it bit for bit. With s the scale as stored (times the super-scale, rounded to f32),
//! the code of x is that of x / s, a power of two being multiplied by instead; NVFP4 multiplies by its reciprocal as `TransformerEngine` does.
//! Decoding gives code × s, (code − zero point) × s, or code × s + minimum, unfused.

use crate::element::Element;
use crate::encode::{EncodeOptions, Encoder};
use crate::error::FormatError;
use crate::float::power_of_two;
use crate::format::{Format, ScaleRule, Storage, Zero};
use crate::pack;
use crate::quantized::{Groups, Quantized, Values, check_length};
use crate::rounding::{NanPolicy, Overflow, Rounding};
use crate::scale::{
    Nvfp4Scales, PowerOfTwoScale, ScaleEncoder, e8m0_of_exponent, is_power_of_two, max_magnitude,
};

/// The scale of a group and its codes.
#[derive(Clone, Debug, Default)]
struct GroupResult {
    scale: u32,
    zero: u32,
    selector: u32,
    codes: Vec<u32>,
}

/// The least mean magnitude that counts as a scale, as in `BitNet`.
const MIN_MEAN: f64 = 1e-5;
/// What the largest e2m1 value is mapped to by four-over-six.
const FOUR_OVER_SIX_TARGETS: [f32; 2] = [6.0, 4.0];

impl Format {
    /// Rounds a matrix of `rows` × `columns` into this format.
    ///
    /// # Errors
    /// Where `values` has another length, a value is not finite and the options reject it, or the format has no encoder.
    pub fn quantize(
        &self,
        values: &[f32],
        rows: usize,
        columns: usize,
        options: &EncodeOptions,
    ) -> Result<Quantized, FormatError> {
        check_length(values.len(), rows, columns)?;
        let mut quantized = Quantized {
            format: self.clone(),
            rows,
            columns,
            codes: Vec::new(),
            scales: Vec::new(),
            zeros: Vec::new(),
            selectors: Vec::new(),
            super_scales: Vec::new(),
        };
        if let Some((elements, bytes)) = self.storage.record() {
            self.check_records(columns)?;
            quantized.codes = vec![0; values.len() / elements * bytes];
        }
        match self.storage {
            Storage::Gguf(block_type) => {
                block_type.encode(values, &mut quantized.codes)?;
                return Ok(quantized);
            }
            Storage::MixedWidth(mixed) => {
                self.check_finite(values, options)?;
                mixed.encode(values, &mut quantized.codes)?;
                return Ok(quantized);
            }
            Storage::Planar => {}
        }
        if self.element == Element::Complex {
            return Err(FormatError::Unsupported {
                format: self.to_string(),
                operation: "encoded from real numbers",
            });
        }
        let Some(scale) = &self.scale else {
            quantized.codes =
                self.encode_plain(values.iter().map(|&value| value.into()), options)?;
            return Ok(quantized);
        };
        self.check_finite(values, options)?;
        let groups = Groups::new(scale.granularity, rows, columns);
        let quantizer = GroupQuantizer::new(self, scale.rule, &scale.element, options);
        let supers = quantizer.super_scales(values, &groups);
        let mut codes = vec![0u32; values.len()];
        let (mut scales, mut zeros, mut selectors) = (Vec::new(), Vec::new(), Vec::new());
        let (mut group_values, mut indices) = (Vec::new(), Vec::new());
        for group in 0..groups.count() {
            group_values.clear();
            indices.clear();
            for span in groups.spans(group) {
                group_values.extend_from_slice(&values[span.clone()]);
                indices.extend(span);
            }
            let result = quantizer.group(&group_values, &indices, supers.of_group(group))?;
            for (&index, &code) in indices.iter().zip(&result.codes) {
                codes[index] = code;
            }
            scales.push(result.scale);
            zeros.push(result.zero);
            selectors.push(result.selector);
        }
        quantized.codes = packed(&codes, self.element.bits());
        quantized.scales = packed(&scales, scale.element.bits());
        quantized.zeros = packed(&zeros, self.zero_bits());
        quantized.selectors = packed(&selectors, self.selector_bits());
        quantized.super_scales = supers.decode;
        Ok(quantized)
    }

    /// Rounds a matrix of f64: without scales straight into the format, so that nothing is rounded twice; under scales as f32, which is what their
    /// arithmetic is in.
    ///
    /// # Errors
    /// As [`Format::quantize`].
    pub fn quantize_f64(
        &self,
        values: &[f64],
        rows: usize,
        columns: usize,
        options: &EncodeOptions,
    ) -> Result<Quantized, FormatError> {
        let is_plain = self.scale.is_none() && self.storage == Storage::Planar;
        if !is_plain || self.element == Element::Complex {
            #[expect(clippy::cast_possible_truncation, reason = "rounds")]
            let values: Vec<f32> = values.iter().map(|&value| value as f32).collect();
            return self.quantize(&values, rows, columns, options);
        }
        check_length(values.len(), rows, columns)?;
        Ok(Quantized {
            format: self.clone(),
            rows,
            columns,
            codes: self.encode_plain(values.iter().copied(), options)?,
            scales: Vec::new(),
            zeros: Vec::new(),
            selectors: Vec::new(),
            super_scales: Vec::new(),
        })
    }

    /// The packed codes of elements without scales.
    fn encode_plain(
        &self,
        values: impl Iterator<Item = f64>,
        options: &EncodeOptions,
    ) -> Result<Vec<u8>, FormatError> {
        let encoder = Encoder::new(&self.element, *options).tabulated();
        let codes = (0..).zip(values).map(|(index, value)| encoder.encode(value, index));
        Ok(packed(&codes.collect::<Result<Vec<u32>, _>>()?, self.element.bits()))
    }

    fn check_finite(&self, values: &[f32], options: &EncodeOptions) -> Result<(), FormatError> {
        match values.iter().position(|value| !value.is_finite()) {
            Some(index) if options.nan == NanPolicy::Reject => Err(FormatError::NotFinite {
                format: self.to_string(),
                index,
                value: values[index],
            }),
            _ => Ok(()),
        }
    }
}

fn packed(codes: &[u32], bits: u32) -> Vec<u8> {
    if bits == 0 {
        return Vec::new();
    }
    let mut bytes = vec![0; pack::packed_len(codes.len(), bits).unwrap_or(0)];
    pack::pack(codes, bits, &mut bytes).unwrap_or_else(|_| unreachable!("sized just above"));
    bytes
}

/// The super-scales of a tensor, or the number 1 for all.
struct Supers {
    nvfp4: Nvfp4Scales,
    decode: Vec<f32>,
    groups_each: usize,
}

impl Supers {
    fn of_group(&self, group: usize) -> Super {
        let decode = self.decode.get(group / self.groups_each).copied().unwrap_or(1.0);
        Super { nvfp4: self.nvfp4, decode }
    }
}

#[derive(Clone, Copy)]
struct Super {
    nvfp4: Nvfp4Scales,
    decode: f32,
}

/// One of several code books.
struct Alternative {
    values: Values,
    encoder: Encoder,
    max: f32,
}

/// Quantizes one group after another.
struct GroupQuantizer<'a> {
    format: &'a Format,
    rule: ScaleRule,
    encoder: Encoder,
    values: Values,
    /// Rounds to integers, before they are moved by a zero point.
    integers: Encoder,
    alternatives: Vec<Alternative>,
    scale: ScaleEncoder,
    /// Of minimums.
    minimum: Option<ScaleEncoder>,
    power: Option<PowerOfTwoScale>,
    max: f32,
}

impl<'a> GroupQuantizer<'a> {
    fn new(format: &'a Format, rule: ScaleRule, scale: &Element, options: &EncodeOptions) -> Self {
        let alternatives = format.alternatives.iter().map(|book| {
            let element = Element::CodeBook(book.clone());
            Alternative {
                encoder: Encoder::new(&element, *options).tabulated(),
                max: max_magnitude(&element),
                values: Values::new(element),
            }
        });
        Self {
            format,
            rule,
            encoder: Encoder::new(&format.element, *options).tabulated(),
            values: Values::new(format.element.clone()),
            integers: Encoder::new(
                &Element::Int(crate::int::Int::signed(32)),
                EncodeOptions { nan: NanPolicy::Zero, ..*options },
            ),
            alternatives: alternatives.collect(),
            scale: ScaleEncoder::new(scale),
            minimum: match &format.zero {
                Zero::Minimum(element) => Some(ScaleEncoder::new(element)),
                _ => None,
            },
            power: is_power_of_two(scale).then(|| PowerOfTwoScale::new(&format.element, rule)),
            max: max_magnitude(&format.element),
        }
    }

    fn super_scales(&self, values: &[f32], groups: &Groups) -> Supers {
        let mut supers = Supers {
            nvfp4: Nvfp4Scales { encode: 1.0, decode: 1.0 },
            decode: Vec::new(),
            groups_each: usize::MAX,
        };
        let Some(super_scale) = self.format.super_scale.as_ref().filter(|_| groups.count() > 0)
        else {
            return supers;
        };
        if matches!(self.rule, ScaleRule::TwoLevel | ScaleRule::FourOverSix) {
            let limit = if self.rule == ScaleRule::TwoLevel { 448.0 } else { 256.0 };
            supers.nvfp4 = Nvfp4Scales::new(largest_magnitude(values), limit);
            supers.decode = vec![supers.nvfp4.decode];
            return supers;
        }
        supers.groups_each = self.format.groups_of_super_scale();
        let encoder = ScaleEncoder::new(&super_scale.element);
        let scales: Vec<f32> = (0..groups.count())
            .map(|group| {
                groups.spans(group).map(|span| largest_magnitude(&values[span])).fold(0.0, f32::max)
            })
            .map(|largest| largest / self.max)
            .collect();
        let top = self.scale.top();
        supers.decode = scales
            .chunks(supers.groups_each)
            .map(|scales| match largest_magnitude(scales) {
                0.0 => 1.0,
                largest => encoder.encode(largest / top).1,
            })
            .collect();
        supers
    }

    fn group(
        &self,
        values: &[f32],
        indices: &[usize],
        above: Super,
    ) -> Result<GroupResult, FormatError> {
        let largest = largest_magnitude(values);
        match self.rule {
            ScaleRule::Floor
            | ScaleRule::Ceil
            | ScaleRule::Even
            | ScaleRule::FourThirds
            | ScaleRule::LeastSquares
            | ScaleRule::SharedExponent => self.power_of_two(values, indices, largest),
            ScaleRule::TwoLevel => {
                self.nvfp4(values, indices, above, largest, FOUR_OVER_SIX_TARGETS[0])
            }
            ScaleRule::FourOverSix => {
                let [six, four] = FOUR_OVER_SIX_TARGETS
                    .map(|target| self.nvfp4(values, indices, above, largest, target));
                let (six, four) = (six?, four?);
                let error = |result: &GroupResult| {
                    let scale = self.scale.decode(result.scale) * above.decode;
                    squared_error(&self.values, values, &result.codes, scale)
                };
                Ok(if error(&four) < error(&six) { four } else { six })
            }
            ScaleRule::MeanMagnitude => {
                let sum: f64 = values.iter().map(|value| f64::from(value.abs())).sum();
                #[expect(clippy::cast_precision_loss, reason = "a count of elements")]
                let mean = (sum / values.len() as f64).max(MIN_MEAN);
                #[expect(clippy::cast_possible_truncation, reason = "rounds")]
                let (scale, stored) = self.scale.encode(mean as f32);
                let codes = encode_all(&self.encoder, values, indices, |x| x / stored)?;
                Ok(GroupResult { scale, codes, ..GroupResult::default() })
            }
            ScaleRule::Range => self.affine(values, indices),
            ScaleRule::MaxMagnitude if !self.alternatives.is_empty() => {
                self.best_alternative(values, indices, largest)
            }
            ScaleRule::MaxMagnitude => {
                let (scale, stored) = self.max_scale(largest, self.max, above.decode);
                let codes = encode_all(&self.encoder, values, indices, |x| x / stored)?;
                Ok(GroupResult { scale, codes, ..GroupResult::default() })
            }
        }
    }

    /// The code of amax / max over the super-scale, and what it stands for. A group of zeros has the scale 1.
    fn max_scale(&self, largest: f32, max: f32, above: f32) -> (u32, f32) {
        let wanted = if largest == 0.0 { 1.0 } else { largest / max / above };
        let (code, stored) = self.scale.encode(wanted);
        (code, stored * above)
    }

    fn power_of_two(
        &self,
        values: &[f32],
        indices: &[usize],
        largest: f32,
    ) -> Result<GroupResult, FormatError> {
        // A block with an infinity or a NaN is NaN as a whole.
        if values.iter().any(|value| !value.is_finite()) {
            let zeros = vec![0; values.len()];
            return Ok(GroupResult { scale: 0xFF, codes: zeros, ..GroupResult::default() });
        }
        let Some(rule) = &self.power else {
            return Err(FormatError::Unsupported {
                format: self.format.to_string(),
                operation: "scaled by powers of two",
            });
        };
        let first = match self.rule {
            ScaleRule::SharedExponent if largest > 0.0 => {
                crate::scale::floor_log2(largest) + 2 - self.format.element.bits().cast_signed()
            }
            _ => rule.exponent(largest),
        };
        let shrink = if self.rule == ScaleRule::FourThirds { 0.75 } else { 1.0 };
        let attempt = |exponent: i32| {
            let scale = e8m0_of_exponent(exponent);
            let factor = power_of_two_f32(127 - i32::from(scale)) * shrink;
            let codes = encode_all(&self.encoder, values, indices, |x| x * factor)?;
            Ok::<_, FormatError>(GroupResult {
                scale: scale.into(),
                codes,
                ..GroupResult::default()
            })
        };
        if self.rule != ScaleRule::LeastSquares {
            return attempt(first);
        }
        let mut best: Option<(f64, GroupResult)> = None;
        for exponent in [first, first - 1, first + 1] {
            let result = attempt(exponent)?;
            let scale = self.scale.decode(result.scale);
            let error = squared_error(&self.values, values, &result.codes, scale);
            if best.as_ref().is_none_or(|(least, _)| error < *least) {
                best = Some((error, result));
            }
        }
        Ok(best.map(|(_, result)| result).unwrap_or_default())
    }

    fn nvfp4(
        &self,
        values: &[f32],
        indices: &[usize],
        above: Super,
        largest: f32,
        target: f32,
    ) -> Result<GroupResult, FormatError> {
        let scale = self.scale.encode_as_it_is(above.nvfp4.block_scale(largest, target));
        let factor = above.nvfp4.element_scale(self.scale.decode(scale));
        let codes = encode_all(&self.encoder, values, indices, |x| x * factor)?;
        Ok(GroupResult { scale, codes, ..GroupResult::default() })
    }

    fn best_alternative(
        &self,
        values: &[f32],
        indices: &[usize],
        largest: f32,
    ) -> Result<GroupResult, FormatError> {
        let mut best: Option<(f64, GroupResult)> = None;
        for (selector, book) in (0..).zip(&self.alternatives) {
            let (scale, stored) = self.max_scale(largest, book.max, 1.0);
            let codes = encode_all(&book.encoder, values, indices, |x| x / stored)?;
            let error = squared_error(&book.values, values, &codes, stored);
            if best.as_ref().is_none_or(|(least, _)| error < *least) {
                best = Some((error, GroupResult { scale, selector, codes, zero: 0 }));
            }
        }
        Ok(best.map(|(_, result)| result).unwrap_or_default())
    }

    /// Unsigned integers with a zero point, or with a minimum.
    fn affine(&self, values: &[f32], indices: &[usize]) -> Result<GroupResult, FormatError> {
        let finite = values.iter().copied().filter(|value| value.is_finite());
        let (mut low, mut high) = finite
            .fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)));
        if low > high {
            (low, high) = (0.0, 0.0);
        }
        if self.minimum.is_none() {
            // Zero must have a code of its own.
            (low, high) = (low.min(0.0), high.max(0.0));
        }
        // Halves, so that the difference of the extremes does not overflow.
        let wanted = (high / 2.0 - low / 2.0) / (self.max / 2.0);
        let (scale, stored) = self.scale.encode(if wanted == 0.0 { 1.0 } else { wanted });
        if let Some(encoder) = &self.minimum {
            let zero = encoder.encode_as_it_is(low);
            let minimum = encoder.decode(zero);
            let codes = encode_all(&self.encoder, values, indices, |x| (x - minimum) / stored)?;
            return Ok(GroupResult { scale, zero, codes, selector: 0 });
        }
        #[expect(clippy::cast_possible_truncation, reason = "between 0 and the largest code")]
        #[expect(clippy::cast_sign_loss, reason = "between 0 and the largest code")]
        let zero = (-low / stored).round_ties_even().clamp(0.0, self.max) as u32;
        // Rounded first and moved then, as ONNX and GPTQ do: ties go to the even difference.
        let top = i64::from(crate::int::low_mask(self.format.element.bits().to_le_bytes()[0]));
        let options = self.integers.options();
        // What the encoder of integers does in this mode, as one instruction.
        let is_plain =
            options.rounding == Rounding::NearestEven && options.overflow != Overflow::Wrap;
        let codes = values.iter().zip(indices).map(|(&value, &index)| {
            let scaled = value / stored;
            #[expect(clippy::cast_possible_truncation, reason = "saturates; NaN becomes 0")]
            let rounded = if is_plain {
                scaled.round_ties_even() as i32
            } else {
                self.integers.encode(scaled.into(), index as u64)?.cast_signed()
            };
            let moved = (i64::from(rounded) + i64::from(zero)).clamp(0, top);
            Ok(u32::try_from(moved).unwrap_or(0))
        });
        Ok(GroupResult {
            scale,
            zero,
            codes: codes.collect::<Result<_, FormatError>>()?,
            selector: 0,
        })
    }
}

fn encode_all(
    encoder: &Encoder,
    values: &[f32],
    indices: &[usize],
    scaled: impl Fn(f32) -> f32,
) -> Result<Vec<u32>, FormatError> {
    let codes = values.iter().zip(indices);
    codes.map(|(&value, &index)| encoder.encode(scaled(value).into(), index as u64)).collect()
}

/// Σ (x − decoded)² in f64.
fn squared_error(decoded: &Values, values: &[f32], codes: &[u32], scale: f32) -> f64 {
    let errors = values
        .iter()
        .zip(codes)
        .map(|(&value, &code)| (f64::from(value) - f64::from(decoded.of(code) * scale)).powi(2));
    errors.sum()
}

/// The largest magnitude of the finite values.
fn largest_magnitude(values: &[f32]) -> f32 {
    let finite = values.iter().map(|value| value.abs()).filter(|value| value.is_finite());
    finite.fold(0.0, f32::max)
}

fn power_of_two_f32(power: i32) -> f32 {
    #[expect(clippy::cast_possible_truncation, reason = "an f32, maybe subnormal")]
    let value = power_of_two(power.into()) as f32;
    value
}
