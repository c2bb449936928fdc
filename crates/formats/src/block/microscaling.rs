//! 4-bit floats (e2m1) with small floats as scales.
//!
//! ```text
//! MXFP4  u8 e      16 bytes of nibbles            E[q] 2^(e − 128)             32 elements
//! NVFP4  4 × u8 d  4 × 8 bytes of nibbles         E[q] ½ ue4m3(d)              64 elements, 16 a scale
//! ```
//!
//! E holds the doubled e2m1 values. As in ggml, −0 reads as 0, the e8m0 code 255 is 2^127 and not NaN, and the ue4m3 code 0x7F is 0 and not NaN.

use super::{UnpackedBlock, largest_magnitude, pack_nibbles, unpack_nibbles};

/// Twice the values of the e2m1 codes.
const DOUBLED_E2M1: [i8; 16] = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

fn look_up(q: u8) -> i8 {
    DOUBLED_E2M1[usize::from(q)]
}

/// 2^(code − 128), half the value of an e8m0 code.
fn half_e8m0(code: u8) -> f32 {
    match code {
        0 | 1 => f32::from_bits(0x0020_0000 << code),
        _ => f32::from_bits((u32::from(code) - 1) << 23),
    }
}

/// The value of a ue4m3 scale; the top bit is ignored.
fn ue4m3(code: u8) -> f32 {
    let exponent = code >> 3 & 15;
    let mantissa = f32::from(code & 7);
    match (exponent, code) {
        (_, 0x7F) => 0.0,
        (0, _) => mantissa / 512.0,
        // 2^(exponent − 7 − 3)
        _ => (8.0 + mantissa) * f32::from_bits((u32::from(exponent) + 117) << 23),
    }
}

pub(super) fn unpack_mxfp4(block: &[u8], unpacked: &mut UnpackedBlock) {
    unpacked.super_scale = half_e8m0(block[0]);
    unpack_nibbles(&block[1..], &mut unpacked.codes[..32], look_up);
}

pub(super) fn unpack_nvfp4(block: &[u8], unpacked: &mut UnpackedBlock) {
    unpacked.super_scale = 0.5;
    let (scales, nibbles) = block.split_at(4);
    for (sub_scale, &code) in unpacked.sub_scales.iter_mut().zip(scales) {
        *sub_scale = ue4m3(code);
    }
    for (codes, nibbles) in unpacked.codes.chunks_exact_mut(16).zip(nibbles.chunks_exact(8)) {
        unpack_nibbles(nibbles, codes, look_up);
    }
}

/// The exponent is ⌊log2 of the largest magnitude⌋ − 2, 2 being the exponent of 6, the largest e2m1 value; the code is the nearest, the lower one
/// of two equally near (so ties go toward zero).
pub(super) fn encode_mxfp4(values: &[f32], block: &mut [u8]) {
    // 127 + ⌊log2⌋ of a normal number; subnormal numbers are far below the smallest scale.
    let biased_exponent = largest_magnitude(values).to_bits() >> 23;
    #[expect(clippy::cast_possible_truncation, reason = "at most 252")]
    let exponent = biased_exponent.saturating_sub(2) as u8;
    let scale = half_e8m0(exponent);
    block[0] = exponent;
    pack_nibbles(values, &mut block[1..], |value| {
        let error = |q: u8| (f32::from(look_up(q)) * scale - value).abs();
        (1..16).fold(0, |best, q| if error(q) < error(best) { q } else { best })
    });
}
