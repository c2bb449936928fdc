//! One and two bits with one scale a block.
//!
//! ```text
//! Q1_0  f16 d  16 bytes   128 elements, bit i % 8 of byte i / 8:          1 is d, 0 is −d
//! Q2_0  f16 d  16 bytes    64 elements, field i % 4 of byte i / 4:        (q − 1) d, so −1 to 2
//! ```

use super::{UnpackedBlock, largest_magnitude, read_f16, reciprocal, write_f16};

pub(super) fn unpack_q1_0(block: &[u8], unpacked: &mut UnpackedBlock) {
    unpacked.super_scale = read_f16(block, 0);
    for (codes, &byte) in unpacked.codes.chunks_exact_mut(8).zip(&block[2..]) {
        for (bit, code) in codes.iter_mut().enumerate() {
            *code = if byte >> bit & 1 == 1 { 1 } else { -1 };
        }
    }
}

pub(super) fn unpack_q2_0(block: &[u8], unpacked: &mut UnpackedBlock) {
    unpacked.super_scale = read_f16(block, 0);
    for (codes, &byte) in unpacked.codes.chunks_exact_mut(4).zip(&block[2..]) {
        for (field, code) in codes.iter_mut().enumerate() {
            *code = (byte >> (2 * field) & 3).cast_signed() - 1;
        }
    }
}

/// The scale is the mean magnitude; zero counts as positive.
pub(super) fn encode_q1_0(values: &[f32], block: &mut [u8]) {
    let sum = values.iter().fold(0.0, |sum, value| sum + value.abs());
    write_f16(block, 0, sum / 128.0);
    for (byte, values) in block[2..].iter_mut().zip(values.chunks_exact(8)) {
        *byte = values.iter().rev().fold(0, |bits, &value| bits << 1 | u8::from(value >= 0.0));
    }
}

pub(super) fn encode_q2_0(values: &[f32], block: &mut [u8]) {
    let scale = largest_magnitude(values);
    let inverse = reciprocal(scale);
    write_f16(block, 0, scale);
    for (byte, values) in block[2..].iter_mut().zip(values.chunks_exact(4)) {
        #[expect(clippy::cast_possible_truncation, reason = "at most 2")]
        #[expect(clippy::cast_sign_loss, reason = "at least 0")]
        let code = |value: f32| ((value * inverse).round() + 1.0).clamp(0.0, 3.0) as u8;
        *byte = values.iter().rev().fold(0, |bits, &value| bits << 2 | code(value));
    }
}
