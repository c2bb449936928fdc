//! Plain numbers, one a "block".

use super::GgufType;
use crate::float::{bf16_to_f32, canonical, f16_to_f32, f32_to_bf16, f32_to_f16};

pub(super) fn decode(block_type: GgufType, bytes: &[u8], out: &mut [f32]) {
    match block_type {
        GgufType::F32 => each(bytes, out, f32::from_le_bytes),
        GgufType::F16 => each(bytes, out, |b| f16_to_f32(u16::from_le_bytes(b))),
        GgufType::BF16 => each(bytes, out, |b| bf16_to_f32(u16::from_le_bytes(b))),
        GgufType::I8 => each(bytes, out, |b| f32::from(i8::from_le_bytes(b))),
        GgufType::I16 => each(bytes, out, |b| f32::from(i16::from_le_bytes(b))),
        #[expect(clippy::cast_precision_loss, reason = "rounds to the nearest f32")]
        GgufType::I32 => each(bytes, out, |b| i32::from_le_bytes(b) as f32),
        #[expect(clippy::cast_precision_loss, reason = "rounds to the nearest f32")]
        GgufType::I64 => each(bytes, out, |b| i64::from_le_bytes(b) as f32),
        #[expect(clippy::cast_possible_truncation, reason = "rounds to the nearest f32")]
        GgufType::F64 => each(bytes, out, |b| canonical(f64::from_le_bytes(b) as f32)),
        quantized => unreachable!("{quantized} is quantized"),
    }
}

fn each<const N: usize>(bytes: &[u8], out: &mut [f32], read: impl Fn([u8; N]) -> f32) {
    for (out, bytes) in out.iter_mut().zip(bytes.as_chunks().0) {
        *out = read(*bytes);
    }
}

pub(super) fn encode_f32(values: &[f32], block: &mut [u8]) {
    block.copy_from_slice(&values[0].to_le_bytes());
}

pub(super) fn encode_f16(values: &[f32], block: &mut [u8]) {
    block.copy_from_slice(&f32_to_f16(values[0]).to_le_bytes());
}

pub(super) fn encode_bf16(values: &[f32], block: &mut [u8]) {
    block.copy_from_slice(&f32_to_bf16(values[0]).to_le_bytes());
}
