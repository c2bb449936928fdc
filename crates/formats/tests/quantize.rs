//! Whole tensors: known answers, and what holds for every format.

use dyadic_formats::{
    EncodeOptions, Format, FormatError, Granularity, Groups, NanPolicy, Quantized, Rounding,
    StochasticBits, pack,
};
use proptest::prelude::*;

fn round_trip(text: &str, values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    let format = Format::parse(text).unwrap();
    let quantized = format.quantize(values, rows, columns, &EncodeOptions::default()).unwrap();
    let mut out = vec![0.0; values.len()];
    quantized.dequantize(&mut out).unwrap();
    out
}

#[test]
fn int4_groups_by_hand() {
    // amax 7 and 3.5: scales 1 and 0.5.
    let values = [7.0, -7.0, 2.5, 3.5, 0.4, -3.5, 0.25, 0.75];
    let format = Format::parse("int4:g4:f16").unwrap();
    let quantized = format.quantize(&values, 1, 8, &EncodeOptions::default()).unwrap();
    assert_eq!(quantized.codes, [0x97, 0x42, 0x91, 0x20]);
    assert_eq!(quantized.scales, [0x00, 0x3C, 0x00, 0x38]);
    assert_eq!(quantized.byte_len(), 8);
    let mut out = [0.0; 8];
    quantized.dequantize(&mut out).unwrap();
    assert_eq!(out, [7.0, -7.0, 2.0, 4.0, 0.5, -3.5, 0.0, 1.0]);
}

#[test]
fn zero_points_keep_zero_exact_and_round_before_they_move() {
    // Range −1 to 14: scale 1, zero point 1.
    let out = round_trip("int4:channel:zp", &[-1.0, 14.0, 0.0, 2.5, 3.5], 1, 5);
    assert_eq!(out, [-1.0, 14.0, 0.0, 2.0, 4.0]);
    // All positive: 0 stays in the range.
    assert_eq!(round_trip("uint2", &[3.0, 2.0, 1.0, 0.0], 1, 4), [3.0, 2.0, 1.0, 0.0]);
    // A minimum is not drawn to 0.
    assert_eq!(round_trip("int2:tensor:min", &[5.0, 6.0, 7.0, 8.0], 2, 2), [5.0, 6.0, 7.0, 8.0]);
}

#[test]
fn mx_blocks_follow_the_ocp_rules() {
    let mut values = [0.0f32; 32];
    values[..4].copy_from_slice(&[6.5, -5.0, 0.3, 1.0]);
    let format = Format::parse("mxfp4").unwrap();
    let quantized = format.quantize(&values, 1, 32, &EncodeOptions::default()).unwrap();
    // Scale 1; 6.5 saturates, −5 ties to −4, 0.3 to 0.5.
    assert_eq!(quantized.scales, [127]);
    assert_eq!(quantized.codes[..2], [0xE7, 0x21]);
    assert_eq!(quantized.codes.len(), 16);

    assert_eq!(format.quantize(&[0.0; 32], 1, 32, &EncodeOptions::default()).unwrap().scales, [0]);
    values[9] = f32::NAN;
    let error = format.quantize(&values, 1, 32, &EncodeOptions::default()).unwrap_err();
    assert_eq!(
        (error.code(), error.to_string().as_str()),
        ("ERR_NAN", "element 9 is NaN, which mxfp4 cannot hold; choose a NaN policy")
    );
    let options = EncodeOptions { nan: NanPolicy::Zero, ..EncodeOptions::default() };
    let quantized = format.quantize(&values, 1, 32, &options).unwrap();
    let mut out = [0.0; 32];
    quantized.dequantize(&mut out).unwrap();
    assert_eq!(quantized.scales, [0xFF]);
    assert!(out.iter().all(|value| value.is_nan()));
}

#[test]
fn nvfp4_has_a_scale_of_the_tensor_and_zeros_for_tiny_blocks() {
    let mut values = [0.0f32; 32];
    values[0] = 6.0 * 448.0;
    values[16] = 1e-3;
    let format = Format::parse("nvfp4").unwrap();
    let quantized = format.quantize(&values, 1, 32, &EncodeOptions::default()).unwrap();
    assert_eq!(quantized.super_scales, [1.0]);
    assert_eq!(quantized.scales, [0x7E, 0x00]);
    assert_eq!((quantized.codes[0], quantized.codes[8]), (0x07, 0x00));
    let mut out = [9.0; 32];
    quantized.dequantize(&mut out).unwrap();
    assert_eq!((out[0], out[16]), (2688.0, 0.0));
    assert_eq!(round_trip("nvfp4", &[0.0; 5], 1, 5), [0.0; 5]);
}

/// Square blocks: W and its transpose quantize identically (papers.md, row 16).
#[test]
fn square_blocks_commute_with_transposition() {
    let (rows, columns) = (48, 40);
    let value = |r: usize, c: usize| {
        f32::from(i16::try_from((r * 7919 + c * 104_729) % 2001).unwrap() - 1000) / 37.0
    };
    let matrix: Vec<f32> = (0..rows * columns).map(|i| value(i / columns, i % columns)).collect();
    let transposed: Vec<f32> = (0..rows * columns).map(|i| value(i % rows, i / rows)).collect();
    let a = round_trip("nvfp4:16x16", &matrix, rows, columns);
    let b = round_trip("nvfp4:16x16", &transposed, columns, rows);
    for r in 0..rows {
        for c in 0..columns {
            assert_eq!(a[r * columns + c], b[c * rows + r]);
        }
    }
}

#[test]
fn ternary_and_binary_are_scaled_by_the_mean_magnitude() {
    // Mean 1: 0.4 becomes 0, 1.9 is clipped.
    assert_eq!(round_trip("ternary", &[0.4, -0.9, 1.9, -0.8], 2, 2), [0.0, -1.0, 1.0, -1.0]);
    assert_eq!(round_trip("binary", &[0.5, -1.5, 0.0, -0.0], 1, 4), [0.5, -0.5, 0.5, 0.5]);
}

/// BFP: the step is 2^(E + 2 − bits) for the exponent E of the largest magnitude.
#[test]
fn block_floating_point_shares_an_exponent() {
    let out = round_trip("bfp12:g4", &[5.0, -1.4, 0.6, 7.9], 1, 4);
    assert_eq!(out, [5.0, -1.0, 1.0, 7.0]);
}

#[test]
fn bitmod_chooses_the_special_value_that_fits() {
    let format = Format::parse("bitmod3:g4").unwrap();
    let quantized =
        |values: &[f32]| format.quantize(values, 1, 4, &EncodeOptions::default()).unwrap();
    assert_eq!(quantized(&[4.0, -2.0, 3.0, 1.0]).selectors, [0]);
    assert_eq!(quantized(&[4.0, -2.0, -3.0, 1.0]).selectors, [1]);
    assert_eq!(quantized(&[6.0, -2.0, -4.0, 1.0]).selectors, [2]);
    assert_eq!(quantized(&[-6.0, 2.0, 4.0, 1.0]).selectors, [3]);
}

#[test]
fn gguf_formats_store_their_records() {
    let values: Vec<f32> = (0..64u8).map(|i| f32::from(i) - 31.5).collect();
    let format = Format::parse("q8_0").unwrap();
    let quantized = format.quantize(&values, 2, 32, &EncodeOptions::default()).unwrap();
    assert_eq!(quantized.codes.len(), 68);
    assert!(quantized.analyse(&values).unwrap().total.sqnr_db() > 40.0);
    assert!(format.quantize(&values, 1, 64, &EncodeOptions::default()).is_ok());
    assert!(matches!(
        format.quantize(&values[..48], 3, 16, &EncodeOptions::default()),
        Err(FormatError::PartialBlock { .. })
    ));
}

#[test]
fn lengths_that_do_not_fit_are_refused() {
    let format = Format::parse("int8").unwrap();
    let error = format.quantize(&[0.0; 5], 2, 3, &EncodeOptions::default()).unwrap_err();
    assert_eq!(
        (error.code(), error.to_string().as_str()),
        ("ERR_SHAPE", "values of the matrix: expected 6, got 5")
    );
    assert!(format.quantize(&[], usize::MAX, 2, &EncodeOptions::default()).is_err());
    let empty = format.quantize(&[], 0, 7, &EncodeOptions::default()).unwrap();
    assert_eq!(empty.dequantize(&mut []), Ok(()));
}

/// A tensor from elsewhere: a part that is too short or too long is an error, whichever it is.
#[test]
fn parts_of_wrong_lengths_are_refused() {
    let values: Vec<f32> = (0..96u8).map(f32::from).collect();
    let damages: [fn(&mut Quantized); 10] = [
        |q| _ = q.codes.pop(),
        |q| q.codes.push(0),
        |q| _ = q.scales.pop(),
        |q| q.scales.push(0),
        |q| q.zeros.push(0),
        |q| q.selectors.push(0),
        |q| q.super_scales.push(1.0),
        |q| q.rows = 4,
        |q| q.rows = usize::MAX,
        |q| q.columns = 0,
    ];
    for text in ["int4:g32:f16:zp", "nvfp4", "bitmod3:g32", "nf4dq", "q8_0", "e4m3fn"] {
        let format = Format::parse(text).unwrap();
        let quantized = format.quantize(&values, 3, 32, &EncodeOptions::default()).unwrap();
        quantized.view().check().unwrap();
        for damage in damages {
            let mut damaged = quantized.clone();
            damage(&mut damaged);
            if damaged == quantized {
                continue;
            }
            assert_eq!(damaged.view().check().unwrap_err().code(), "ERR_SHAPE", "{text}");
            let mut out = vec![0.0; damaged.rows.saturating_mul(damaged.columns).min(200)];
            assert!(damaged.dequantize(&mut out).is_err(), "{text}");
        }
    }
}

/// The parts of an empty tensor are those that format and shape say, as are those of any other: NVFP4 has a super-scale only where there are groups.
#[test]
fn every_quantized_tensor_passes_its_check() {
    for (rows, columns) in [(0, 0), (0, 256), (3, 0), (1, 1), (2, 256), (3, 300)] {
        let values: Vec<f32> = (0u16..).map(|i| f32::from(i % 50)).take(rows * columns).collect();
        for (name, format) in dyadic_formats::all() {
            let options = EncodeOptions::default();
            if let Ok(quantized) = format.quantize(&values, rows, columns, &options) {
                assert_eq!(quantized.view().check(), Ok(()), "{name} {rows} {columns}");
            }
        }
    }
}

/// Some rows of a tensor, and its single elements, have the values that they have in the whole.
#[test]
fn rows_and_elements_decode_as_in_the_whole() {
    let (rows, columns) = (16, 256);
    let values: Vec<f32> =
        (0u16..).map(|i| f32::from(i % 97) - 40.0).take(rows * columns).collect();
    let mut split = 0;
    for (name, format) in dyadic_formats::all() {
        let Ok(quantized) = format.quantize(&values, rows, columns, &EncodeOptions::default())
        else {
            continue;
        };
        let mut whole = vec![0.0; values.len()];
        quantized.dequantize(&mut whole).unwrap();
        for index in [0, 1, 255, 256, 4000] {
            let value = quantized.view().value(index).unwrap();
            assert_eq!(value, f64::from(whole[index]), "{name}");
        }
        let Some(part) = quantized.view().rows(8..16) else { continue };
        let mut out = vec![0.0; 8 * columns];
        part.dequantize(&mut out).unwrap();
        assert_eq!(out, whole[8 * columns..], "{name}");
        split += 1;
    }
    // All but those whose super-scales cover more than eight rows.
    assert!(split > 60, "{split}");
    let blocks = Format::parse("int4:16x16").unwrap();
    let blocks = blocks.quantize(&values, rows, columns, &EncodeOptions::default()).unwrap();
    assert!(blocks.view().rows(8..16).is_none());
    assert!(blocks.view().rows(0..8).is_none());
    assert!(blocks.view().rows(0..16).is_some());
}

/// 4/3 keeps stochastic rounding unbiased: nothing is clipped.
#[test]
fn four_thirds_scales_leave_stochastic_rounding_unbiased() {
    let values = [0.11f32, -3.3, 7.0, 1.7, 0.9, 5.1, -0.02, 2.2];
    let format = Format::parse("mxfp4:g8:fourthirds").unwrap();
    let mut means = [0.0f64; 8];
    let draws = 4096u32;
    for seed in 0..draws {
        let options = EncodeOptions {
            rounding: Rounding::Stochastic(StochasticBits::default()),
            seed: seed.into(),
            ..EncodeOptions::default()
        };
        let quantized = format.quantize(&values, 1, 8, &options).unwrap();
        let mut out = [0.0; 8];
        quantized.dequantize(&mut out).unwrap();
        for (mean, value) in means.iter_mut().zip(out) {
            *mean += f64::from(value) / f64::from(draws);
        }
    }
    for (mean, value) in means.iter().zip(values) {
        // A step is at most 8/3; 5 standard errors of half a step.
        assert!((mean - f64::from(value)).abs() < 5.0 * 4.0 / 3.0 / 64.0, "{value} {mean}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn every_group_element_belongs_to_one_group(rows in 1usize..9, columns in 1usize..70, kind in 0u32..5, n in 1u32..40) {
        let granularity = [Granularity::Tensor, Granularity::Channel, Granularity::Group(n), Granularity::Block { rows: 1 + n % 4, columns: n },
            Granularity::Block { rows: 16, columns: 16 }][kind as usize];
        let groups = Groups::new(granularity, rows, columns);
        let mut owners = vec![None; rows * columns];
        for group in 0..groups.count() {
            for index in groups.spans(group).flatten() {
                prop_assert_eq!(owners[index].replace(group), None);
                prop_assert_eq!(groups.of_element(index), group);
            }
        }
        prop_assert!(owners.iter().all(Option::is_some));
    }

    /// Rounding what has been rounded changes nothing, wherever the scale is found again.
    #[test]
    fn quantizing_is_idempotent_where_the_scale_is_a_power_of_two(values in prop::collection::vec(-100f32..100.0, 96), seed in any::<u64>()) {
        for text in ["mxfp8_e4m3", "mxfp6_e2m3", "mxfp4:ceil", "mxint8", "bfp12", "msfp16", "e4m3fn", "q4.4", "posit8", "bf16"] {
            let once = round_trip(text, &values, 3, 32);
            let twice = round_trip(text, &once, 3, 32);
            prop_assert_eq!(&once, &twice, "{} {}", text, seed);
        }
    }

    #[test]
    fn any_values_and_shapes_survive(
        bits in prop::collection::vec(any::<u32>(), 1..80), columns in 1usize..20, seed in any::<u64>(),
    ) {
        let values: Vec<f32> = bits.iter().map(|b| f32::from_bits(*b)).collect();
        let rows = values.len() / columns;
        let values = &values[..rows * columns];
        let options = EncodeOptions { nan: NanPolicy::Zero, seed, rounding: Rounding::Stochastic(StochasticBits::default()), ..EncodeOptions::default() };
        for (name, format) in dyadic_formats::all() {
            if format.storage.record().is_some() || name == "complex2" {
                continue;
            }
            for format in [format.clone(), Format::parse(&format!("{name}:g7")).unwrap_or(format)] {
                let quantized = format.quantize(values, rows, columns, &options).unwrap();
                let mut out = vec![0.0; values.len()];
                quantized.dequantize(&mut out).unwrap();
            }
        }
    }

    #[test]
    fn packing_round_trips_at_every_width(codes in prop::collection::vec(any::<u32>(), 0..70)) {
        for bits in 1..=32u32 {
            let mask = u32::MAX >> (32 - bits);
            let mut bytes = vec![0xFF; pack::packed_len(codes.len(), bits).unwrap()];
            pack::pack(&codes, bits, &mut bytes).unwrap();
            let mut unpacked = vec![0; codes.len()];
            pack::unpack(&bytes, bits, &mut unpacked).unwrap();
            for (i, (code, unpacked)) in codes.iter().zip(&unpacked).enumerate() {
                prop_assert_eq!(code & mask, *unpacked);
                prop_assert_eq!(pack::get(&bytes, bits, i), Some(*unpacked));
                for bit in 0..bits {
                    let position = i * bits as usize + bit as usize;
                    prop_assert_eq!(u32::from(bytes[position / 8] >> (position % 8) & 1), code >> bit & 1);
                }
            }
            // Bits behind the last code are zero.
            let used = codes.len() * bits as usize;
            if !used.is_multiple_of(8) {
                prop_assert_eq!(bytes[used / 8] >> (used % 8), 0);
            }
            prop_assert_eq!(pack::get(&bytes, bits, codes.len() + 8), None);
        }
    }
}
