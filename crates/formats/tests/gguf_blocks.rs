//! Block formats against known answers, and what holds for all of them.
//!
//! `golden/gguf-blocks.json`: random blocks with their values, and values with their blocks; all equal to ggml's own C functions (August
//! 2026).

use dyadic_formats::float::CANONICAL_NAN;
use dyadic_formats::{FormatError, GgufType, UnpackedBlock};
use proptest::prelude::*;
use serde_json::Value;

fn golden() -> Value {
    serde_json::from_str(include_str!("golden/gguf-blocks.json")).expect("golden file is JSON")
}

fn by_name(name: &str) -> GgufType {
    GgufType::ALL
        .into_iter()
        .find(|block_type| block_type.name().eq_ignore_ascii_case(name))
        .unwrap_or_else(|| panic!("no type {name}"))
}

fn bytes_of_hex(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
}

#[expect(clippy::cast_possible_truncation, reason = "the golden values are f32 values")]
fn floats(values: &Value) -> Vec<f32> {
    values.as_array().unwrap().iter().map(|value| value.as_f64().unwrap() as f32).collect()
}

fn quantized() -> impl Iterator<Item = GgufType> {
    GgufType::ALL.into_iter().filter(|block_type| block_type.is_quantized())
}

#[test]
fn every_quantized_type_decodes_its_golden_block() {
    let golden = golden();
    let blocks = golden["gguf_dequant"]["blocks"].as_object().unwrap();
    assert_eq!(blocks.len(), quantized().count());
    for (name, block) in blocks {
        let block_type = by_name(name);
        let bytes = bytes_of_hex(block["hex"].as_str().unwrap());
        assert_eq!(block_type.block_len() as u64, block["n"].as_u64().unwrap(), "{name}");
        let mut values = vec![0.0; block_type.block_len()];
        block_type.decode(&bytes, &mut values).unwrap();

        let (head, tail) = (floats(&block["head"]), floats(&block["tail"]));
        assert_eq!(values[..head.len()], head, "{name}");
        assert_eq!(values[values.len() - tail.len()..], tail, "{name}");
        if block["values"].is_array() {
            assert_eq!(values, floats(&block["values"]), "{name}");
        }
        let weighted_sum = (1u32..)
            .zip(&values)
            .fold(0.0, |sum, (i, &value)| sum + f64::from(i) * f64::from(value));
        assert_eq!(
            weighted_sum.to_bits(),
            block["weighted_sum"].as_f64().unwrap().to_bits(),
            "{name}"
        );
    }
}

#[test]
fn encoders_equal_the_golden_blocks() {
    let golden = golden();
    let section = &golden["gguf_quantize"];
    let (uniform, ternary) = (floats(&section["x"]), floats(&section["tern_x"]));
    let blocks = section["blocks"].as_object().unwrap();
    assert_eq!(blocks.len(), quantized().filter(|block_type| block_type.can_encode()).count());
    for (name, expected) in blocks {
        let block_type = by_name(name);
        let source =
            if matches!(name.as_str(), "q2_0" | "tq1_0" | "tq2_0") { &ternary } else { &uniform };
        let mut bytes = vec![0xAA; block_type.block_bytes()];
        block_type.encode(&source[..block_type.block_len()], &mut bytes).unwrap();
        assert_eq!(bytes, bytes_of_hex(expected.as_str().unwrap()), "{name}");
    }
}

/// Numbers and sizes as `ggml.h` and its block structures have them.
#[test]
fn ids_and_sizes_are_those_of_ggml() {
    let expected = [
        (0, "F32", 1, 4),
        (1, "F16", 1, 2),
        (2, "Q4_0", 32, 18),
        (3, "Q4_1", 32, 20),
        (6, "Q5_0", 32, 22),
        (7, "Q5_1", 32, 24),
        (8, "Q8_0", 32, 34),
        (10, "Q2_K", 256, 84),
        (11, "Q3_K", 256, 110),
        (12, "Q4_K", 256, 144),
        (13, "Q5_K", 256, 176),
        (14, "Q6_K", 256, 210),
        (20, "IQ4_NL", 32, 18),
        (23, "IQ4_XS", 256, 136),
        (24, "I8", 1, 1),
        (25, "I16", 1, 2),
        (26, "I32", 1, 4),
        (27, "I64", 1, 8),
        (28, "F64", 1, 8),
        (30, "BF16", 1, 2),
        (34, "TQ1_0", 256, 54),
        (35, "TQ2_0", 256, 66),
        (39, "MXFP4", 32, 17),
        (40, "NVFP4", 64, 36),
        (41, "Q1_0", 128, 18),
        (42, "Q2_0", 64, 18),
    ];
    let mut actual: Vec<_> =
        GgufType::ALL.iter().map(|t| (t.id(), t.name(), t.block_len(), t.block_bytes())).collect();
    actual.sort_unstable();
    assert_eq!(actual, expected);
    for block_type in GgufType::ALL {
        assert_eq!(GgufType::from_id(block_type.id()), Some(block_type));
        assert_eq!(GgufType::unsupported_name(block_type.id()), None);
    }
    assert_eq!(GgufType::from_id(16), None);
    assert_eq!(GgufType::unsupported_name(16), Some("IQ2_XXS"));
}

#[test]
fn plain_numbers_decode() {
    let decoded = |block_type: GgufType, bytes: &[u8]| {
        let mut out = [0.0];
        block_type.decode(bytes, &mut out).unwrap();
        out[0]
    };
    let value = |v: f32| v.to_bits();
    assert_eq!(value(decoded(GgufType::F32, &(-1.5f32).to_le_bytes())), value(-1.5));
    assert_eq!(value(decoded(GgufType::F64, &1e-3f64.to_le_bytes())), value(1e-3));
    assert_eq!(value(decoded(GgufType::F16, &0xFBFFu16.to_le_bytes())), value(-65504.0));
    assert_eq!(value(decoded(GgufType::BF16, &0x3F80u16.to_le_bytes())), value(1.0));
    assert_eq!(value(decoded(GgufType::I8, &[0x80])), value(-128.0));
    assert_eq!(value(decoded(GgufType::I16, &(-2i16).to_le_bytes())), value(-2.0));
    assert_eq!(value(decoded(GgufType::I32, &16_777_217i32.to_le_bytes())), value(16_777_216.0));
    assert_eq!(value(decoded(GgufType::I64, &i64::MIN.to_le_bytes())), value(-9.223_372e18));
}

/// Infinity × 0 is a negative NaN on x86 and a positive one on Arm.
#[test]
fn a_hostile_scale_decodes_to_the_canonical_nan() {
    let mut block = [0x88; 18];
    block[..2].copy_from_slice(&0x7C00u16.to_le_bytes());
    let mut out = [0.0; 32];
    GgufType::Q4_0.decode(&block, &mut out).unwrap();
    assert!(out.iter().all(|value| value.to_bits() == CANONICAL_NAN.to_bits()));
}

#[test]
fn wrong_lengths_and_types_are_refused() {
    let mut out = [0.0; 33];
    assert_eq!(
        GgufType::Q4_0.decode(&[0; 18], &mut out),
        Err(FormatError::PartialBlock { format: "Q4_0".to_owned(), block: 32, elements: 33 })
    );
    let error = GgufType::Q4_K.decode(&[0; 143], &mut [0.0; 256]).unwrap_err();
    assert_eq!(error.to_string(), "256 elements of Q4_K take 144 bytes, not 143");
    assert_eq!(error.code(), "ERR_SHAPE");
    assert_eq!(
        GgufType::F16.unpack(&[0; 2], &mut UnpackedBlock::default()),
        Err(FormatError::Unsupported { format: "F16".to_owned(), operation: "unpacked" })
    );
    let error = GgufType::Q6_K.encode(&[0.0; 256], &mut [0; 210]).unwrap_err();
    assert_eq!(
        (error.code(), error.to_string().as_str()),
        ("ERR_FORMAT_UNSUPPORTED", "Q6_K cannot be encoded")
    );
    let mut values = [1.0; 32];
    values[7] = 9e6;
    let error = GgufType::Q8_0.encode(&values, &mut [0; 34]).unwrap_err();
    assert_eq!(error.to_string(), "element 7 is 9000000; Q8_0 holds magnitudes up to 8319008");
    assert_eq!(error.code(), "ERR_OUT_OF_RANGE");
    for value in [f32::INFINITY, f32::NAN] {
        values[7] = value;
        assert!(GgufType::MXFP4.encode(&values, &mut [0; 17]).is_err());
    }
    assert_eq!(GgufType::Q8_0.byte_len(usize::MAX - 31), None);
}

/// The value of every element follows from what `unpack` gives, by the formula that [`UnpackedBlock`] states.
fn recomposed(block_type: GgufType, block: &[u8]) -> Vec<f32> {
    let mut unpacked = UnpackedBlock::default();
    block_type.unpack(block, &mut unpacked).unwrap();
    assert_eq!(unpacked.groups() * block_type.group_len(), block_type.block_len());
    let range = block_type.code_range().unwrap();
    unpacked
        .codes()
        .iter()
        .enumerate()
        .map(|(i, code)| {
            assert!(range.contains(code), "{block_type}: {code}");
            let group = i / block_type.group_len();
            let scaled = unpacked.scale(group) * f32::from(*code);
            if block_type.has_minimums() { scaled + unpacked.minimum(group) } else { scaled }
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_decode_to_what_their_parts_say(seed in prop::collection::vec(any::<u8>(), 2 * 210)) {
        for block_type in quantized() {
            let bytes = &seed[..2 * block_type.block_bytes()];
            let mut out = vec![0.0; 2 * block_type.block_len()];
            block_type.decode(bytes, &mut out).unwrap();
            let parts = bytes.chunks(block_type.block_bytes()).flat_map(|b| recomposed(block_type, b));
            for (value, part) in out.iter().zip(parts) {
                prop_assert!(value.to_bits() == part.to_bits() || (value.is_nan() && part.is_nan()));
            }
        }
    }

    #[test]
    fn encoding_keeps_the_error_within_a_step(
        values in prop::collection::vec(-8e3f32..8e3, 256),
        magnitude in -30i32..3,
    ) {
        let values: Vec<f32> = values.iter().map(|v| v * 2f32.powi(magnitude)).collect();
        // The widest distance between neighbouring codes over the largest magnitude, and half of it as error; MXFP4 clips 7.99 to 6.
        for (block_type, bound) in [(GgufType::Q4_0, 1.0 / 8.0), (GgufType::Q8_0, 0.51 / 127.0),
                (GgufType::TQ1_0, 0.501), (GgufType::TQ2_0, 0.501), (GgufType::Q2_0, 0.501), (GgufType::MXFP4, 0.25)] {
            let mut bytes = vec![0; block_type.byte_len(values.len()).unwrap()];
            block_type.encode(&values, &mut bytes).unwrap();
            let mut decoded = vec![0.0; values.len()];
            block_type.decode(&bytes, &mut decoded).unwrap();
            let len = block_type.block_len();
            for (block, decoded) in values.chunks(len).zip(decoded.chunks(len)) {
                let largest = block.iter().fold(0.0f32, |m, v| m.max(v.abs()));
                for (value, decoded) in block.iter().zip(decoded) {
                    // The f16 scale itself may be subnormal.
                    let allowed = largest * (bound + 1e-3) + 127.0 * 2f32.powi(-25);
                    prop_assert!((value - decoded).abs() <= allowed, "{block_type}: {value} became {decoded}");
                }
            }
        }
    }
}
