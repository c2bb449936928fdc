//! Rounding against other implementations: the Python packages `ml_dtypes` and `gfloat` and `onnxruntime-node` by checksums of the results for the same values (made by
//! `scripts/oracle_formats.py` and `scripts/oracle_onnxruntime.mjs`), and the Cast vectors of the ONNX standard (`scripts/oracle_onnx.py`).

use dyadic_formats::float::Float;
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

/// CRC-32 as of zlib, of little-endian 16-bit codes.
fn checksum(codes: impl Iterator<Item = u16>) -> u64 {
    crc32(codes.flat_map(u16::to_le_bytes))
}

fn crc32(bytes: impl Iterator<Item = u8>) -> u64 {
    let table: Vec<u32> = (0..256u32)
        .map(|byte| {
            (0..8).fold(byte, |c, _| if c & 1 == 1 { c >> 1 ^ 0xEDB8_8320 } else { c >> 1 })
        })
        .collect();
    let crc =
        bytes.fold(u32::MAX, |crc, byte| crc >> 8 ^ table[(crc.to_le_bytes()[0] ^ byte) as usize]);
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

/// Every f32 whose low 10 bits are 0 through onnxruntime's Cast and back. Left out are its defects without saturation: e5m2 and e5m2fnuz make NaN of [61440, 65536) instead of
/// infinities, e4m3fn makes 448 of [480, 496) instead of NaN.
#[test]
fn nearest_even_equals_onnxruntime() {
    let golden: Value = serde_json::from_str(include_str!("golden/onnxruntime.json")).unwrap();
    let casts = golden.as_object().unwrap();
    assert_eq!(casts.len(), 10);
    for (case, expected) in casts {
        let (name, overflow) = case.split_once(' ').unwrap();
        let saturates = overflow == "saturate";
        let overflow = if saturates { Overflow::Saturate } else { Overflow::Ieee };
        let element: Element = name.parse().unwrap();
        let encoder =
            Encoder::new(&element, EncodeOptions { overflow, ..EncodeOptions::default() });
        let defects = match name {
            "e5m2" | "e5m2fnuz" => 61440.0..65536.0,
            "e4m3fn" => 480.0..496.0,
            _ => 0.0..0.0,
        };
        let is_defect = |value: f32| !saturates && defects.contains(&value.abs());
        let results = (0..1u32 << 22)
            .map(|high| f32::from_bits(high << 10))
            .filter(|value| !is_defect(*value))
            .flat_map(|value| {
                #[expect(
                    clippy::cast_possible_truncation,
                    reason = "values of the formats are f32"
                )]
                let result = encoder.round(value.into(), 0).unwrap() as f32;
                let bits = if result.is_nan() { 0x7FC0_0000 } else { result.to_bits() };
                bits.to_le_bytes()
            });
        assert_eq!(crc32(results), expected.as_u64().unwrap(), "{case}");
    }
}

/// The vectors of the standard, from every type that is here to every other.
#[test]
fn casts_equal_the_vectors_of_onnx() {
    let golden: Value = serde_json::from_str(include_str!("golden/onnx-cast.json")).unwrap();
    let cases = golden.as_object().unwrap();
    assert_eq!(cases.len(), 52);
    let mut compared = 0;
    for (case, vector) in cases {
        let element = |key: &str| -> Element { vector[key].as_str().unwrap().parse().unwrap() };
        let (from, to) = (element("from"), element("to"));
        let is_wide = matches!(&to, Element::Float(float) if float.bits() > 8);
        let options = EncodeOptions {
            overflow: match &to {
                Element::Int(_) => Overflow::Wrap,
                _ if is_wide || vector["saturate"] == false => Overflow::Ieee,
                _ => Overflow::Saturate,
            },
            rounding: match vector["round_mode"].as_str().unwrap() {
                "up" => Rounding::TowardPositive,
                _ => Rounding::NearestEven,
            },
            nan: dyadic_formats::NanPolicy::Zero,
            ..EncodeOptions::default()
        };
        let encoder = Encoder::new(&to, options);
        let codes = |key: &str| -> Vec<u32> {
            let codes = vector[key].as_array().unwrap().iter();
            codes.map(|code| u32::try_from(code.as_u64().unwrap()).unwrap()).collect()
        };
        for (input, expected) in codes("input").into_iter().zip(codes("output")) {
            let value = from.decode(input);
            // What e2m1 makes of NaN is left open; the vectors say −0.
            if value.is_nan() && to == Element::from(Float::E2M1) {
                continue;
            }
            let actual = encoder.encode(value, 0).unwrap();
            let both_nan = to.decode(actual).is_nan() && to.decode(expected).is_nan();
            assert!(
                actual == expected || both_nan,
                "{case}: {value:e} is {actual:#x}, not {expected:#x}"
            );
            compared += 1;
        }
    }
    assert_eq!(compared, 754);
}
