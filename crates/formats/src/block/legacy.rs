//! ggml's first block formats: 32 elements, one scale, with or without a minimum.
//!
//! ```text
//! Q4_0  f16 d               16 bytes of nibbles     (q − 8) d
//! Q4_1  f16 d  f16 m        16 bytes of nibbles     q d + m
//! Q5_0  f16 d        u32 h  16 bytes of nibbles     (q − 16) d    bit i of h is the fifth bit of element i
//! Q5_1  f16 d  f16 m u32 h  16 bytes of nibbles     q d + m
//! Q8_0  f16 d               32 signed bytes         q d
//! ```
//!
//! Byte j holds element j in its low and element j + 16 in its high nibble.

use super::{
    UnpackedBlock, largest_magnitude, pack_nibbles, read_f16, reciprocal, unpack_nibbles, write_f16,
};

const LEN: usize = 32;

pub(super) fn unpack_q4_0(block: &[u8], unpacked: &mut UnpackedBlock) {
    unpacked.super_scale = read_f16(block, 0);
    unpack_nibbles(&block[2..], &mut unpacked.codes[..LEN], |q| q.cast_signed() - 8);
}

pub(super) fn unpack_q4_1(block: &[u8], unpacked: &mut UnpackedBlock) {
    unpacked.super_scale = read_f16(block, 0);
    unpacked.super_minimum = read_f16(block, 2);
    unpack_nibbles(&block[4..], &mut unpacked.codes[..LEN], u8::cast_signed);
}

pub(super) fn unpack_q5_0(block: &[u8], unpacked: &mut UnpackedBlock) {
    unpacked.super_scale = read_f16(block, 0);
    unpack_5_bits(&block[2..], &mut unpacked.codes[..LEN]);
    for code in &mut unpacked.codes[..LEN] {
        *code -= 16;
    }
}

pub(super) fn unpack_q5_1(block: &[u8], unpacked: &mut UnpackedBlock) {
    unpacked.super_scale = read_f16(block, 0);
    unpacked.super_minimum = read_f16(block, 2);
    unpack_5_bits(&block[4..], &mut unpacked.codes[..LEN]);
}

/// 4 bytes of fifth bits, then nibbles.
fn unpack_5_bits(bytes: &[u8], codes: &mut [i8]) {
    let (fifth_bits, nibbles) = bytes.split_at(4);
    unpack_nibbles(nibbles, codes, u8::cast_signed);
    for (i, code) in codes.iter_mut().enumerate() {
        *code |= (fifth_bits[i / 8] >> (i % 8) & 1).cast_signed() << 4;
    }
}

pub(super) fn unpack_q8_0(block: &[u8], unpacked: &mut UnpackedBlock) {
    unpacked.super_scale = read_f16(block, 0);
    for (code, &byte) in unpacked.codes.iter_mut().zip(&block[2..]) {
        *code = byte.cast_signed();
    }
}

/// The scale takes the sign that makes the first value of largest magnitude the code −8, the only one without a mirror image.
pub(super) fn encode_q4_0(values: &[f32], block: &mut [u8]) {
    let largest = values
        .iter()
        .fold(0.0f32, |largest, &value| if value.abs() > largest.abs() { value } else { largest });
    let scale = largest / -8.0;
    let inverse = reciprocal(scale);
    write_f16(block, 0, scale);
    #[expect(clippy::cast_possible_truncation, reason = "the cast saturates; 0 to 15.5 otherwise")]
    #[expect(clippy::cast_sign_loss, reason = "never below 0.4")]
    pack_nibbles(values, &mut block[2..], |value| ((value * inverse + 8.5) as u8).min(15));
}

pub(super) fn encode_q8_0(values: &[f32], block: &mut [u8]) {
    let scale = largest_magnitude(values) / 127.0;
    let inverse = reciprocal(scale);
    write_f16(block, 0, scale);
    for (byte, value) in block[2..].iter_mut().zip(values) {
        #[expect(clippy::cast_possible_truncation, reason = "the cast saturates")]
        let code = (value * inverse).round() as i8;
        *byte = code.cast_unsigned();
    }
}
