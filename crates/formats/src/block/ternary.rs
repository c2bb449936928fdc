//! Ternary weights, 256 with one scale.
//!
//! ```text
//! TQ1_0  48 bytes of 5 digits, 4 bytes of 4 digits, f16 d      (t − 1) d
//!        byte m < 32       elements m + 32 n,         n = 0 to 4
//!        byte 32 + m       elements 160 + m + 16 n,   n = 0 to 4
//!        byte 48 + m       elements 240 + m + 4 n,    n = 0 to 3
//! TQ2_0  2 × 32 bytes of 2-bit fields, f16 d                   (q − 1) d
//!        byte 32 h + m     elements 128 h + m + 32 n, n = 0 to 3 in bits 2 n
//! ```
//!
//! Five digits make a number v < 243, the first digit most significant, stored as the fraction ⌈256 v / 243⌉ / 256: the first digit is then
//! the integer part of 3 × the fraction, and the fractional part holds the others.

use super::{UnpackedBlock, largest_magnitude, read_f16, reciprocal, write_f16};

/// (first byte, bytes, first element, digits a byte) of the three parts of a `TQ1_0` block.
const TQ1_0_PARTS: [(usize, usize, usize, usize); 3] =
    [(0, 32, 0, 5), (32, 16, 160, 5), (48, 4, 240, 4)];

pub(super) fn unpack_tq1_0(block: &[u8], unpacked: &mut UnpackedBlock) {
    unpacked.super_scale = read_f16(block, 52);
    for (first_byte, bytes, first_element, digits) in TQ1_0_PARTS {
        for m in 0..bytes {
            let mut fraction = block[first_byte + m];
            for n in 0..digits {
                let digit = (u16::from(fraction) * 3).to_be_bytes()[0];
                fraction = fraction.wrapping_mul(3);
                unpacked.codes[first_element + m + n * bytes] = digit.cast_signed() - 1;
            }
        }
    }
}

pub(super) fn unpack_tq2_0(block: &[u8], unpacked: &mut UnpackedBlock) {
    unpacked.super_scale = read_f16(block, 64);
    for (h, bytes) in block[..64].chunks_exact(32).enumerate() {
        for (m, &byte) in bytes.iter().enumerate() {
            for n in 0..4 {
                unpacked.codes[128 * h + m + 32 * n] = (byte >> (2 * n) & 3).cast_signed() - 1;
            }
        }
    }
}

/// The digit 0, 1 or 2 of a value, for a scale of the largest magnitude.
fn digit(value: f32, inverse: f32) -> u8 {
    #[expect(clippy::cast_possible_truncation, reason = "0, 1 or 2")]
    #[expect(clippy::cast_sign_loss, reason = "0, 1 or 2")]
    let digit = ((value * inverse).round() + 1.0).clamp(0.0, 2.0) as u8;
    digit
}

pub(super) fn encode_tq1_0(values: &[f32], block: &mut [u8]) {
    let scale = largest_magnitude(values);
    let inverse = reciprocal(scale);
    for (first_byte, bytes, first_element, digits) in TQ1_0_PARTS {
        for m in 0..bytes {
            let number = (0..5).fold(0, |number, n| {
                let element = first_element + m + n * bytes;
                // A part with four digits fills the fifth place with 0.
                let next = if n < digits { digit(values[element], inverse) } else { 0 };
                number * 3 + u16::from(next)
            });
            #[expect(clippy::cast_possible_truncation, reason = "at most 255, for 242")]
            let fraction = (number * 256).div_ceil(243) as u8;
            block[first_byte + m] = fraction;
        }
    }
    write_f16(block, 52, scale);
}

pub(super) fn encode_tq2_0(values: &[f32], block: &mut [u8]) {
    let scale = largest_magnitude(values);
    let inverse = reciprocal(scale);
    for (h, bytes) in block[..64].chunks_exact_mut(32).enumerate() {
        for (m, byte) in bytes.iter_mut().enumerate() {
            *byte = (0..4)
                .rev()
                .fold(0, |fields, n| fields << 2 | digit(values[128 * h + m + 32 * n], inverse));
        }
    }
    write_f16(block, 64, scale);
}
