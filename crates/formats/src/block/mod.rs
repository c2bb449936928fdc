//! Block formats: a run of elements that share scales, as one record of bytes.
//!
//! All the types that a GGUF file stores weights in. Sources: the block structures of ggml (`ggml-common.h`) and its reference conversions
//! (`ggml-quants.c`), which [`GgufType::decode`] and [`GgufType::encode`] equal bit for bit on every finite value. All fields are
//! little-endian.

mod gguf_type;
mod iq4;
mod k_quants;
mod legacy;
mod low_bit;
mod microscaling;
mod plain;
mod ternary;
mod unpacked;

pub use gguf_type::GgufType;
pub use unpacked::UnpackedBlock;

use crate::float::{f16_to_f32, f32_to_f16};

/// The little-endian f16 at `offset`.
fn read_f16(block: &[u8], offset: usize) -> f32 {
    f16_to_f32(u16::from_le_bytes([block[offset], block[offset + 1]]))
}

fn write_f16(block: &mut [u8], offset: usize, value: f32) {
    block[offset..offset + 2].copy_from_slice(&f32_to_f16(value).to_le_bytes());
}

/// `1 / scale`, or 0 for a scale of 0.
fn reciprocal(scale: f32) -> f32 {
    if scale == 0.0 { 0.0 } else { 1.0 / scale }
}

fn largest_magnitude(values: &[f32]) -> f32 {
    values.iter().fold(0.0, |largest, value| value.abs().max(largest))
}

/// The two 4-bit fields of each byte in the order of ggml's blocks of 32: all low nibbles, then all high nibbles.
fn unpack_nibbles(bytes: &[u8], codes: &mut [i8], code: impl Fn(u8) -> i8) {
    let (low, high) = codes.split_at_mut(bytes.len());
    for ((&byte, low), high) in bytes.iter().zip(low).zip(high) {
        *low = code(byte & 15);
        *high = code(byte >> 4);
    }
}

/// The inverse of [`unpack_nibbles`].
fn pack_nibbles(values: &[f32], bytes: &mut [u8], code: impl Fn(f32) -> u8) {
    let (low, high) = values.split_at(bytes.len());
    for ((byte, &low), &high) in bytes.iter_mut().zip(low).zip(high) {
        *byte = code(low) | code(high) << 4;
    }
}
