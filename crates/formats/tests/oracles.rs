//! Rounding against the Python packages `ml_dtypes` and `gfloat`: checksums of the codes of the same values, made by `scripts/oracle_formats.py`.

use dyadic_formats::random::random_bits;
use dyadic_formats::{
    Element, EncodeOptions, Encoder, Overflow, Remainder, Rounding, StochasticBits,
};
use serde_json::Value;

/// What stands for NaN, and for what a format cannot hold.
const NAN_CODE: u16 = 0xFFFF;

fn golden() -> Value {
    serde_json::from_str(include_str!("golden/oracles.json")).expect("golden file is JSON")
}

/// CRC-32 as of zlib.
fn checksum(codes: impl Iterator<Item = u16>) -> u64 {
    let table: Vec<u32> = (0..256u32)
        .map(|byte| {
            (0..8).fold(byte, |c, _| if c & 1 == 1 { c >> 1 ^ 0xEDB8_8320 } else { c >> 1 })
        })
        .collect();
    let crc = codes
        .flat_map(u16::to_le_bytes)
        .fold(u32::MAX, |crc, byte| crc >> 8 ^ table[(crc.to_le_bytes()[0] ^ byte) as usize]);
    u64::from(!crc)
}

fn code(element: &Element, encoder: &Encoder, value: f64, index: u64) -> u16 {
    match encoder.encode(value, index) {
        Ok(code) if !element.decode(code).is_nan() => u16::try_from(code).unwrap(),
        _ => NAN_CODE,
    }
}

/// Every f32 whose low 10 bits are 0: all ties of the 8-bit floats, and their subnormal numbers.
#[test]
fn nearest_even_equals_ml_dtypes() {
    let golden = golden();
    let formats = golden["ml_dtypes"].as_object().unwrap();
    assert_eq!(formats.len(), 12);
    for (name, expected) in formats {
        let element: Element = name.parse().unwrap();
        let options = EncodeOptions { overflow: Overflow::Ieee, ..EncodeOptions::default() };
        let encoder = Encoder::new(&element, options);
        // e8m0: ties, zero, negative and subnormal numbers differ by definition.
        let is_compared = |bits: &u32| {
            name != "e8m0"
                || bits & 0x7F_FFFF != 0x40_0000 && (0x80_0000..0x8000_0000).contains(bits)
        };
        let values = (0..1u32 << 22)
            .map(|high| high << 10)
            .filter(|bits| !f32::from_bits(*bits).is_nan())
            .filter(is_compared);
        let codes = values.map(|bits| code(&element, &encoder, f32::from_bits(bits).into(), 0));
        assert_eq!(checksum(codes), expected.as_u64().unwrap(), "{name}");
    }
}

fn value(i: u64) -> f64 {
    let (a, b) = (random_bits(1000, 2 * i), random_bits(1000, 2 * i + 1));
    let mantissa =
        if a & 1 == 1 { f64::from(b >> 26) / 64.0 } else { f64::from(b) / 2f64.powi(32) };
    let magnitude = (1.0 + mantissa) * 2f64.powi((a >> 8).rem_euclid(44).cast_signed() - 26);
    if a & 2 == 2 { -magnitude } else { magnitude }
}

fn rounding(name: &str) -> Rounding {
    let stochastic = |remainder| Rounding::Stochastic(StochasticBits { count: 5, remainder });
    match name {
        "stochasticDrop" => stochastic(Remainder::Drop),
        "stochasticCentre" => stochastic(Remainder::Centre),
        "stochasticNearestEven" => stochastic(Remainder::NearestEven),
        "stochasticNearestTiesToOdd" => stochastic(Remainder::NearestTiesToOdd),
        _ => Rounding::from_name(name).unwrap(),
    }
}

/// Nine modes, saturating and not, over floats of OCP, IEEE 754 and IEEE P3109, the random bits included.
#[test]
fn every_mode_equals_gfloat() {
    let golden = golden();
    let cases = golden["gfloat"].as_object().unwrap();
    assert_eq!(cases.len(), 15 * 9 * 2);
    for (case, expected) in cases {
        let [name, mode, overflow] = case.split(' ').collect::<Vec<_>>().try_into().unwrap();
        let element: Element = name.parse().unwrap();
        let Element::Float(float) = &element else { panic!("{name}") };
        let overflow = if overflow == "ieee" { Overflow::Ieee } else { Overflow::Saturate };
        let rounding = rounding(mode);
        let options = EncodeOptions { rounding, overflow, seed: 77, ..EncodeOptions::default() };
        let encoder = Encoder::new(&element, options);
        let codes = (0..2048).map(|i| {
            let value = if float.signed { value(i) } else { value(i).abs() };
            let cannot_hold = overflow == Overflow::Ieee
                && float.nan().is_none()
                && overflows(&element, &encoder, value, i);
            if cannot_hold { NAN_CODE } else { code(&element, &encoder, value, i) }
        });
        assert_eq!(checksum(codes), expected.as_u64().unwrap(), "{case}");
    }
}

/// gfloat refuses what we saturate: numbers that round beyond the largest of a format with neither infinity nor NaN. Found by rounding in a wider
/// format with the same steps.
fn overflows(element: &Element, encoder: &Encoder, value: f64, index: u64) -> bool {
    let Element::Float(float) = element else { return false };
    let toward_zero = match encoder.options().rounding {
        Rounding::TowardZero => true,
        Rounding::TowardPositive => value < 0.0,
        Rounding::TowardNegative => value > 0.0,
        _ => false,
    };
    let wider = dyadic_formats::float::Float { exponent_bits: float.exponent_bits + 1, ..*float };
    let wider = Element::Float(wider);
    let rounded = Encoder::new(&wider, *encoder.options()).encode(value, index).unwrap();
    !toward_zero && wider.decode(rounded).abs() > encoder.max()
}
