//! One stored precision, any lower one at run time ("Double Rounding", 2025).

use crate::element::Element;
use crate::error::FormatError;
use crate::format::{Format, Scale, Storage, Zero};
use crate::int::Int;
use crate::pack;
use crate::quantized::{Quantized, QuantizedRef};
use crate::scale::ScaleEncoder;

/// The code of `to` bits that a stored code of `from` bits stands for: clamp(⌊w / 2^(from − to) + ½⌋) into two's complement.
///
/// # Panics
/// Where not 1 ≤ `to` ≤ `from` ≤ 32.
#[must_use]
pub fn lower_precision(code: i64, from: u8, to: u8) -> i64 {
    assert!(1 <= to && to <= from && from <= 32, "{from} bits have no view of {to}");
    let dropped = from - to;
    let half = (1i64 << dropped) >> 1;
    let int = Int::signed(to);
    ((code + half) >> dropped).clamp(int.min(), int.max())
}

impl Format {
    /// The format of the view with fewer bits.
    ///
    /// # Errors
    /// Where the codes are not signed integers with scales, or have fewer than `bits` bits.
    pub fn lower_precision(&self, bits: u8) -> Result<Self, FormatError> {
        let (int, _) = self.stored_integer(bits)?;
        let element = Element::Int(if bits == int.bits { int } else { Int::signed(bits) });
        Ok(Self { element, ..self.clone() })
    }

    /// The integer that is stored, which must have at least `bits` bits, and its scale.
    fn stored_integer(&self, bits: u8) -> Result<(Int, &Scale), FormatError> {
        match (&self.element, &self.scale, &self.zero, self.storage) {
            (Element::Int(int), Some(scale), Zero::None, Storage::Planar)
                if int.signed && (1..=int.bits).contains(&bits) =>
            {
                Ok((*int, scale))
            }
            _ => Err(FormatError::Unsupported {
                format: self.to_string(),
                operation: "viewed with so many bits",
            }),
        }
    }
}

impl QuantizedRef<'_> {
    /// The tensor with integer codes of fewer bits, each derived from the stored one alone; scales grow by the powers of two dropped.
    ///
    /// # Errors
    /// As [`Format::lower_precision`], and as [`Self::check`].
    pub fn lower_precision(&self, bits: u8) -> Result<Quantized, FormatError> {
        self.check()?;
        let (int, scale) = self.format.stored_integer(bits)?;
        let mut lower = Quantized {
            format: self.format.lower_precision(bits)?,
            rows: self.rows,
            columns: self.columns,
            codes: self.codes.to_vec(),
            scales: self.scales.to_vec(),
            zeros: Vec::new(),
            selectors: self.selectors.to_vec(),
            super_scales: self.super_scales.to_vec(),
        };
        if bits == int.bits {
            return Ok(lower);
        }
        let mut codes = vec![0u32; self.rows * self.columns];
        pack::unpack(self.codes, int.bits.into(), &mut codes)?;
        for code in &mut codes {
            let lower = lower_precision(int.decode(*code), int.bits, bits);
            #[expect(clippy::cast_possible_truncation, reason = "the low bits are packed")]
            let low = lower.cast_unsigned() as u32;
            *code = low;
        }
        lower.codes.resize(pack::packed_len(codes.len(), bits.into()).unwrap_or(0), 0);
        pack::pack(&codes, bits.into(), &mut lower.codes)?;

        let encoder = ScaleEncoder::new(&scale.element);
        let scale_bits = scale.element.bits();
        let mut scales = vec![0u32; self.scales.len() * 8 / scale_bits as usize];
        pack::unpack(self.scales, scale_bits, &mut scales)?;
        #[expect(clippy::cast_possible_truncation, reason = "at most 2^31")]
        let factor = crate::float::power_of_two((int.bits - bits).into()) as f32;
        for scale in &mut scales {
            *scale = encoder.encode(encoder.decode(*scale) * factor).0;
        }
        pack::pack(&scales, scale_bits, &mut lower.scales)?;
        Ok(lower)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EncodeOptions;

    /// Row 28 of the papers, the definition: rounding half up of w / 2^(h − l), clamped.
    #[test]
    fn row_28_every_int8_code_has_the_defined_view() {
        for code in -128i64..=127 {
            for to in 1..=8u8 {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_precision_loss,
                    reason = "small integers"
                )]
                let expected = ((code as f64 / f64::from(1u32 << (8 - to)) + 0.5).floor() as i64)
                    .clamp(-(1 << (to - 1)), (1 << (to - 1)) - 1);
                assert_eq!(lower_precision(code, 8, to), expected);
            }
            assert_eq!(lower_precision(code, 8, 8), code);
        }
    }

    /// The two-step error is at most half a step of each precision, where nothing is clamped.
    #[test]
    fn row_28_the_error_of_two_steps_is_bounded() {
        let values: Vec<f32> = (0..2001i16).map(|i| f32::from(i - 1000) / 1000.0).collect();
        let stored = Format::parse("int8:tensor")
            .unwrap()
            .quantize(&values, 1, 2001, &EncodeOptions::default())
            .unwrap();
        let high_step = 1.0 / 127.0;
        for bits in 2..8u8 {
            let view = stored.view().lower_precision(bits).unwrap();
            assert_eq!(view.format.to_string(), format!("int{bits}full"));
            let mut decoded = vec![0.0; values.len()];
            view.dequantize(&mut decoded).unwrap();
            let low_step = high_step * f32::from(1u8 << (8 - bits));
            let limit = low_step * (f32::from(1u8 << (bits - 1)) - 1.0);
            for (value, decoded) in values.iter().zip(&decoded) {
                if value.abs() <= limit {
                    assert!(
                        (value - decoded).abs() <= 0.5001 * (low_step + high_step),
                        "{bits} {value} {decoded}"
                    );
                }
            }
        }
        assert!(stored.view().lower_precision(9).is_err());
        let floats = Format::parse("mxfp4")
            .unwrap()
            .quantize(&values, 1, 2001, &EncodeOptions::default())
            .unwrap();
        assert_eq!(floats.view().lower_precision(2).unwrap_err().code(), "ERR_FORMAT_UNSUPPORTED");
    }
}
