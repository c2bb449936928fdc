//! GPTQ, AWQ, `BitNet` and `I2_S` tensors are what an independent decoder made of them (`golden-lut.json`), and are multiplied.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    reason = "small integers"
)]

use std::num::NonZeroUsize;

use dyadic_kernels::Kernels;
use dyadic_tensor::checkpoint::{
    AwqTensor, BitnetScale, GptqTensor, GptqVersion, I2sOrder, unpack_bitnet, unpack_i2s,
};
use dyadic_tensor::pool::Pool;
use dyadic_tensor::{PackedWeights, Shape};
use serde_json::Value;

const SHAPE: Shape = Shape { rows: 8, columns: 32 };

fn golden() -> Value {
    serde_json::from_str(include_str!("../../kernels/tests/golden/golden-lut.json")).unwrap()
}

/// A list of integers, or one, flat.
fn integers(value: &Value) -> Vec<i64> {
    match value {
        Value::Array(values) => values.iter().flat_map(integers).collect(),
        value => vec![value.as_i64().unwrap()],
    }
}

#[expect(clippy::cast_sign_loss, reason = "words of 32 bits")]
fn words(value: &Value) -> Vec<u32> {
    integers(value).into_iter().map(|word| word as u32).collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    hex.as_bytes()
        .chunks_exact(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// Scales 1, 2, 4, … by output, as f16.
fn scales(outputs: usize) -> Vec<u16> {
    (0..outputs).map(|output| dyadic_formats::float::f32_to_f16(2f32.powi(output as i32))).collect()
}

/// Rows × columns from columns × rows, `2^row · (code − zero)`.
fn expected(codes: &[i64], zeros: &[i64]) -> Vec<f32> {
    let value = |row: usize, column: usize| {
        (codes[column * SHAPE.rows + row] - zeros[row]) as f32 * 2f32.powi(row as i32)
    };
    (0..SHAPE.rows)
        .flat_map(|row| (0..SHAPE.columns).map(move |column| value(row, column)))
        .collect()
}

fn decoded(tensor: &dyadic_formats::Quantized) -> Vec<f32> {
    let mut out = vec![0.0; tensor.rows * tensor.columns];
    tensor.dequantize(&mut out).unwrap();
    let pool = Pool::new(NonZeroUsize::MIN);
    let kernels = Kernels::active().unwrap();
    let packed = PackedWeights::from_quantized(kernels, &pool, 1, tensor).unwrap();
    let mut row = vec![0.0; tensor.columns];
    for (index, expected) in out.chunks_exact(tensor.columns).enumerate() {
        packed.decode_row(index, &mut row).unwrap();
        assert_eq!(row, expected, "packed row {index}");
    }
    out
}

#[test]
fn gptq_tensors_of_2_3_and_4_bits() {
    let golden = golden();
    let gptq = &golden["gptq"];
    for bits in [2u32, 3, 4] {
        let codes = integers(&gptq[format!("w{bits}")]);
        let qweight = words(&gptq[format!("qweight{bits}")]);
        // Only 4-bit zero points are in the file; others fill whole words with 32 outputs alone.
        if bits != 4 {
            continue;
        }
        let zeros = integers(&gptq["zeros4"]);
        for (version, name) in [(GptqVersion::V1, "qzeros4_v1"), (GptqVersion::V2, "qzeros4_v2")] {
            let tensor = GptqTensor {
                shape: SHAPE,
                bits,
                group: 32,
                qweight: &qweight,
                qzeros: &words(&gptq[name]),
                scales: &scales(8),
                g_idx: None,
                version,
            };
            let unpacked = tensor.unpack().unwrap();
            assert_eq!(unpacked.order, None);
            assert_eq!(decoded(&unpacked.tensor), expected(&codes, &zeros), "{name}");
        }
    }
}

#[test]
fn gptq_codes_of_3_bits_straddle_words() {
    let golden = golden();
    let gptq = &golden["gptq"];
    for bits in [2u32, 3] {
        let codes = integers(&gptq[format!("w{bits}")]);
        // Eight outputs four times, so that zero points fill words.
        let once = words(&gptq[format!("qweight{bits}")]);
        let qweight: Vec<u32> = once.chunks_exact(8).flat_map(|row| row.repeat(4)).collect();
        let tensor = GptqTensor {
            shape: Shape { rows: 32, columns: 32 },
            bits,
            group: 32,
            qweight: &qweight,
            qzeros: &vec![0; bits as usize],
            scales: &scales(8).repeat(4),
            g_idx: None,
            version: GptqVersion::V2,
        };
        let values = decoded(&tensor.unpack().unwrap().tensor);
        let expected = expected(&codes, &[0; 8]);
        assert_eq!(values[..256], expected, "{bits} bits");
        assert_eq!(values[256..512], expected, "{bits} bits, the next eight");
    }
}

#[test]
fn a_gptq_tensor_in_order_of_activations_is_sorted_by_group() {
    let golden = golden();
    let gptq = &golden["gptq"];
    let g_idx: Vec<u32> = (0..32).map(|column| (column + 1) % 2).collect();
    let mut all_scales = scales(8);
    all_scales.extend(scales(8).iter().map(|_| dyadic_formats::float::f32_to_f16(0.5)));
    let zeros = words(&gptq["qzeros4_v2"]).repeat(2);
    let tensor = GptqTensor {
        shape: SHAPE,
        bits: 4,
        group: 16,
        qweight: &words(&gptq["qweight4"]),
        qzeros: &zeros,
        scales: &all_scales,
        g_idx: Some(&g_idx),
        version: GptqVersion::V2,
    };
    let unpacked = tensor.unpack().unwrap();
    let order = unpacked.order.clone().unwrap();
    assert_eq!(order[..3], [1, 3, 5]);
    assert_eq!(order[16..19], [0, 2, 4]);
    let inputs: Vec<f32> = (0..32).map(|input| input as f32).collect();
    assert_eq!(unpacked.gather(&inputs)[15..17], [31.0, 0.0]);
    let plain = expected(&integers(&gptq["w4"]), &integers(&gptq["zeros4"]));
    let values = decoded(&unpacked.tensor);
    for row in 0..8 {
        for (j, &column) in order.iter().enumerate() {
            let value = plain[row * 32 + column as usize];
            let value = if j < 16 { value } else { value * 0.5 / 2f32.powi(row as i32) };
            assert_eq!(values[row * 32 + j], value);
        }
    }
    let mut uneven = g_idx.clone();
    uneven[0] = 0;
    assert_eq!(
        GptqTensor { g_idx: Some(&uneven), ..tensor }.unpack().unwrap_err().code(),
        "ERR_SHAPE"
    );
}

#[test]
fn awq_tensors() {
    let golden = golden();
    let tensor = AwqTensor {
        shape: SHAPE,
        group: 32,
        qweight: &words(&golden["awq"]["qweight"]),
        qzeros: &words(&golden["awq"]["qzeros"]),
        scales: &scales(8),
    };
    let codes = integers(&golden["gptq"]["w4"]);
    let zeros = integers(&golden["awq"]["zeros4"]);
    assert_eq!(decoded(&tensor.unpack().unwrap()), expected(&codes, &zeros));
    assert_eq!(AwqTensor { group: 33, ..tensor }.unpack().unwrap_err().code(), "ERR_SHAPE");
    assert_eq!(AwqTensor { qzeros: &[], ..tensor }.unpack().unwrap_err().code(), "ERR_SHAPE");
}

#[test]
fn bitnet_tensors() {
    let golden = golden();
    let ternary: Vec<f32> =
        integers(&golden["problem"]["ternary"]).into_iter().map(|t| t as f32).collect();
    let packed: Vec<u8> = golden["bitnet_hf"]["packed"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|row| bytes(row.as_str().unwrap()))
        .collect();
    let tensor = unpack_bitnet(SHAPE, &packed, BitnetScale::Divides(4.0)).unwrap();
    let quarter: Vec<f32> = ternary.iter().map(|t| t / 4.0).collect();
    assert_eq!(decoded(&tensor), quarter);
    let tensor = unpack_bitnet(SHAPE, &packed, BitnetScale::Multiplies(1.0)).unwrap();
    assert_eq!(decoded(&tensor), ternary);
    assert_eq!(
        unpack_bitnet(SHAPE, &packed[1..], BitnetScale::Multiplies(1.0)).unwrap_err().code(),
        "ERR_SHAPE"
    );

    for (name, order) in [("x86_128", I2sOrder::X86), ("arm_64", I2sOrder::Arm)] {
        let packed = bytes(golden["i2_s"][name].as_str().unwrap());
        let tensor = unpack_i2s(SHAPE, &packed, order, 1.0).unwrap();
        assert_eq!(decoded(&tensor), ternary, "{name}");
        let shape = Shape { rows: 1, columns: 96 };
        assert_eq!(unpack_i2s(shape, &packed, order, 1.0).unwrap_err().code(), "ERR_SHAPE");
    }
}
