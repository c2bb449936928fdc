//! Scales: how the scale of a group follows from its elements.

use crate::element::Element;
use crate::encode::{EncodeOptions, Encoder};
use crate::float::{Float, power_of_two};
use crate::format::ScaleRule;
use crate::rounding::{NanPolicy, Overflow};

/// The e8m0 code of 2^exponent, the exponent clamped to what the format holds.
#[must_use]
pub fn e8m0_of_exponent(exponent: i32) -> u8 {
    u8::try_from(exponent.clamp(-127, 127) + 127).unwrap_or(254)
}

/// ⌊log2⌋ of a positive number; f32 subnormals count as 2^−126, as in microxcaling.
#[must_use]
pub fn floor_log2(value: f32) -> i32 {
    let field = value.to_bits() >> 23 & 0xFF;
    field.max(1).cast_signed() - 127
}

/// What a power-of-two scale needs to know of the elements.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PowerOfTwoScale {
    /// The rule: `Floor`, `Ceil`, `Even`, `FourThirds`, `LeastSquares` (which starts from `Floor`) or `SharedExponent`.
    pub rule: ScaleRule,
    /// ⌊log2⌋ of the largest element.
    pub max_exponent: i32,
    /// The largest element.
    pub max: f32,
    /// The bits of the largest significand behind the first one.
    pub mantissa_bits: u32,
}

impl PowerOfTwoScale {
    /// The rule for an element format.
    #[must_use]
    pub fn new(element: &Element, rule: ScaleRule) -> Self {
        let max = max_value(element);
        let mantissa_bits = match element {
            Element::Float(float) => u32::from(float.mantissa_bits),
            _ => element.bits().saturating_sub(2),
        };
        Self { rule, max_exponent: floor_log2(max), max, mantissa_bits }
    }

    /// The exponent of the scale of a group, from its largest magnitude, before clamping. A group of zeros has −127.
    #[must_use]
    pub fn exponent(&self, largest: f32) -> i32 {
        if largest == 0.0 {
            return -127;
        }
        let floor = floor_log2(largest) - self.max_exponent;
        match self.rule {
            ScaleRule::Ceil => {
                let fits = f64::from(largest) <= f64::from(self.max) * power_of_two(floor.into());
                if fits { floor } else { floor + 1 }
            }
            ScaleRule::Even => {
                // Half a unit of the element's last place carries into the exponent where the significand rounds to 2.
                let carried =
                    f32::from_bits(largest.to_bits() + (1 << (22 - self.mantissa_bits.min(22))));
                floor_log2(carried) - self.max_exponent
            }
            _ => floor,
        }
    }
}

/// The largest value of a format as f32.
#[must_use]
pub fn max_value(element: &Element) -> f32 {
    #[expect(clippy::cast_possible_truncation, reason = "the limits of element formats are f32")]
    let max = Encoder::new(element, EncodeOptions::default()).max() as f32;
    max
}

/// The largest magnitude of a format as f32.
#[must_use]
pub fn max_magnitude(element: &Element) -> f32 {
    let encoder = Encoder::new(element, EncodeOptions::default());
    #[expect(clippy::cast_possible_truncation, reason = "the limits of element formats are f32")]
    let max = encoder.max().max(-encoder.min()) as f32;
    max
}

/// Encodes scales: to the nearest, saturating, and never a positive one to 0.
#[derive(Clone, Debug)]
pub struct ScaleEncoder {
    element: Element,
    encoder: Encoder,
    min: f32,
}

impl ScaleEncoder {
    /// For a scale format.
    #[must_use]
    pub fn new(element: &Element) -> Self {
        let options = EncodeOptions {
            overflow: Overflow::Saturate,
            nan: NanPolicy::Max,
            ..EncodeOptions::default()
        };
        let encoder = Encoder::new(element, options);
        #[expect(clippy::cast_possible_truncation, reason = "rounds up to a normal f32")]
        let min = (encoder.min_positive() as f32).max(f32::MIN_POSITIVE);
        Self { element: element.clone(), encoder, min }
    }

    /// The code of a scale and the scale that it stands for. Where `scale` is 0 the code is that of 0, or of the smallest scale.
    #[must_use]
    pub fn encode(&self, scale: f32) -> (u32, f32) {
        let scale = if scale > 0.0 { scale.max(self.min) } else { scale };
        let code = self.encode_as_it_is(scale);
        (code, self.decode(code))
    }

    /// The code of a number; small ones may become 0.
    #[must_use]
    pub fn encode_as_it_is(&self, scale: f32) -> u32 {
        self.encoder.encode(scale.into(), 0).unwrap_or(0)
    }

    /// The largest scale.
    #[must_use]
    pub fn top(&self) -> f32 {
        #[expect(clippy::cast_possible_truncation, reason = "scales are f32 numbers")]
        let top = self.encoder.max() as f32;
        top
    }

    /// The value of a code.
    #[must_use]
    pub fn decode(&self, code: u32) -> f32 {
        #[expect(clippy::cast_possible_truncation, reason = "scales are f32 numbers")]
        let value = self.element.decode(code) as f32;
        value
    }
}

/// The scales of NVFP4, as `TransformerEngine` computes them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Nvfp4Scales {
    /// What values are multiplied by so that the largest block scale meets the top of e4m3: 448 × 6 / amax.
    pub encode: f32,
    /// Its reciprocal, the super-scale of the tensor.
    pub decode: f32,
}

/// The largest e2m1 value.
const E2M1_MAX: f32 = 6.0;

impl Nvfp4Scales {
    /// From the largest magnitude of the tensor; `scale_limit` is 448, or 256 for four-over-six, which needs room for 1.5 times as much.
    #[must_use]
    pub fn new(largest: f32, scale_limit: f32) -> Self {
        let encode =
            if largest == 0.0 { 1.0 } else { (scale_limit * E2M1_MAX / largest).min(f32::MAX) };
        Self { encode, decode: 1.0 / encode }
    }

    /// The unrounded scale of a block with this largest magnitude, mapped to `target` (6, or 4).
    #[must_use]
    pub fn block_scale(&self, largest: f32, target: f32) -> f32 {
        largest * (self.encode / target)
    }

    /// What the elements of a block are multiplied by, from its rounded scale. A scale of 0 gives 0, so that the block becomes zeros.
    #[must_use]
    pub fn element_scale(&self, scale: f32) -> f32 {
        if scale == 0.0 { 0.0 } else { (1.0 / (scale * self.decode)).min(f32::MAX) }
    }
}

/// Whether scales of this format are powers of two.
#[must_use]
pub(crate) fn is_power_of_two(element: &Element) -> bool {
    *element == Element::Float(Float::E8M0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exponent(element: Float, rule: ScaleRule, largest: f32) -> i32 {
        PowerOfTwoScale::new(&element.into(), rule).exponent(largest)
    }

    #[test]
    fn the_exponents_of_ocp_elements() {
        for (element, max_exponent) in [
            (Float::E4M3FN, 8),
            (Float::E5M2, 15),
            (Float::E2M3, 2),
            (Float::E3M2, 4),
            (Float::E2M1, 2),
        ] {
            assert_eq!(exponent(element, ScaleRule::Floor, 1.0), -max_exponent);
            assert_eq!(exponent(element, ScaleRule::Floor, 1.999), -max_exponent);
            assert_eq!(exponent(element, ScaleRule::Floor, 2.0), 1 - max_exponent);
        }
        let int8 = crate::Format::parse("mxint8").unwrap().element;
        assert_eq!(PowerOfTwoScale::new(&int8, ScaleRule::Floor).exponent(1.0), 0);
        // Zeros, and an f32 subnormal.
        assert_eq!(exponent(Float::E2M1, ScaleRule::Floor, 0.0), -127);
        assert_eq!(exponent(Float::E2M1, ScaleRule::Floor, 1e-45), -128);
        assert_eq!(
            (e8m0_of_exponent(-128), e8m0_of_exponent(0), e8m0_of_exponent(300)),
            (0, 127, 254)
        );
    }

    #[test]
    fn ceil_clips_nothing_and_even_turns_at_seven_quarters() {
        assert_eq!(exponent(Float::E2M1, ScaleRule::Ceil, 6.0), 0);
        assert_eq!(exponent(Float::E2M1, ScaleRule::Ceil, 6.01), 1);
        assert_eq!(exponent(Float::E2M1, ScaleRule::Even, 6.999), 0);
        assert_eq!(exponent(Float::E2M1, ScaleRule::Even, 7.0), 1);
    }

    #[test]
    fn nvfp4_uses_the_whole_range_of_its_scales() {
        let scales = Nvfp4Scales::new(3.0, 448.0);
        assert_eq!(scales.block_scale(3.0, 6.0), 448.0);
        assert_eq!(scales.element_scale(448.0), 2.0);
        assert_eq!(scales.element_scale(0.0), 0.0);
        assert_eq!(Nvfp4Scales::new(0.0, 448.0), Nvfp4Scales { encode: 1.0, decode: 1.0 });
        assert!(Nvfp4Scales::new(f32::MIN_POSITIVE, 448.0).decode > 0.0);
    }
}
