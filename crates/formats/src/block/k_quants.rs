//! ggml's K-quants: 256 elements, one or two f16 super-scales, small integers as scales (and minimums) of groups of 16 or 32.
//!
//! ```text
//! Q2_K  16 bytes (scale, minimum)  64 bytes of 2 bits                     f16 d  f16 dmin     d s q − dmin m
//! Q3_K  32 bytes of third bits     64 bytes of 2 bits   12 bytes scales   f16 d               d (s − 32) (q − 4)
//! Q4_K  f16 d  f16 dmin  12 bytes scales                128 bytes of 4 bits                   d s q − dmin m
//! Q5_K  f16 d  f16 dmin  12 bytes scales  32 bytes of fifth bits  128 bytes of 4 bits         d s q − dmin m
//! Q6_K  128 bytes of 4 bits  64 bytes of 2 high bits  16 signed bytes of scales  f16 d        d s (q − 32)
//! ```

use super::{UnpackedBlock, read_f16};

/// The 2-bit fields of `Q2_K` and `Q3_K`. Each half of the block has 32 bytes; field j of byte l is element 32 j + l of the half.
fn unpack_2_bits(bytes: &[u8], codes: &mut [i8; 256]) {
    for (bytes, codes) in bytes.chunks_exact(32).zip(codes.chunks_exact_mut(128)) {
        for (j, codes) in codes.chunks_exact_mut(32).enumerate() {
            for (code, &byte) in codes.iter_mut().zip(bytes) {
                *code = (byte >> (2 * j) & 3).cast_signed();
            }
        }
    }
}

pub(super) fn unpack_q2_k(block: &[u8], unpacked: &mut UnpackedBlock) {
    unpack_2_bits(&block[16..80], &mut unpacked.codes);
    unpacked.super_scale = read_f16(block, 80);
    unpacked.super_minimum = -read_f16(block, 82);
    for (group, &byte) in block[..16].iter().enumerate() {
        unpacked.sub_scales[group] = f32::from(byte & 15);
        unpacked.sub_minimums[group] = f32::from(byte >> 4);
    }
}

pub(super) fn unpack_q3_k(block: &[u8], unpacked: &mut UnpackedBlock) {
    let third_bits = &block[..32];
    unpack_2_bits(&block[32..96], &mut unpacked.codes);
    for (step, codes) in unpacked.codes.chunks_exact_mut(32).enumerate() {
        for (code, &bits) in codes.iter_mut().zip(third_bits) {
            *code -= if bits >> step & 1 == 1 { 0 } else { 4 };
        }
    }
    let scales = &block[96..108];
    for (group, sub_scale) in unpacked.sub_scales.iter_mut().enumerate() {
        let low = scales[group % 8] >> (4 * (group / 8)) & 15;
        let high = scales[8 + group % 4] >> (2 * (group / 4)) & 3;
        *sub_scale = f32::from(low | high << 4) - 32.0;
    }
    unpacked.super_scale = read_f16(block, 108);
}

/// The 12 bytes that hold eight 6-bit scales and eight 6-bit minimums.
///
/// ```text
/// byte j < 4     scale j in bits 0-5, the two high bits of scale j + 4 above
/// byte 4 + j     minimum j in bits 0-5, the two high bits of minimum j + 4 above
/// byte 8 + j     the four low bits of scale j + 4, those of minimum j + 4 above
/// ```
fn unpack_6_bit_pairs(bytes: &[u8], unpacked: &mut UnpackedBlock) {
    for j in 0..4 {
        let (scale, minimum, low) = (bytes[j], bytes[4 + j], bytes[8 + j]);
        unpacked.sub_scales[j] = f32::from(scale & 63);
        unpacked.sub_minimums[j] = f32::from(minimum & 63);
        unpacked.sub_scales[j + 4] = f32::from(low & 15 | scale >> 6 << 4);
        unpacked.sub_minimums[j + 4] = f32::from(low >> 4 | minimum >> 6 << 4);
    }
}

/// The nibbles of `Q4_K` and `Q5_K`: each 32 bytes hold 32 elements in their low and the next 32 in their high nibbles.
fn unpack_4_bits(bytes: &[u8], codes: &mut [i8; 256]) {
    for (bytes, codes) in bytes.chunks_exact(32).zip(codes.chunks_exact_mut(64)) {
        super::unpack_nibbles(bytes, codes, u8::cast_signed);
    }
}

pub(super) fn unpack_q4_k(block: &[u8], unpacked: &mut UnpackedBlock) {
    unpacked.super_scale = read_f16(block, 0);
    unpacked.super_minimum = -read_f16(block, 2);
    unpack_6_bit_pairs(&block[4..16], unpacked);
    unpack_4_bits(&block[16..], &mut unpacked.codes);
}

pub(super) fn unpack_q5_k(block: &[u8], unpacked: &mut UnpackedBlock) {
    unpacked.super_scale = read_f16(block, 0);
    unpacked.super_minimum = -read_f16(block, 2);
    unpack_6_bit_pairs(&block[4..16], unpacked);
    unpack_4_bits(&block[48..], &mut unpacked.codes);
    let fifth_bits = &block[16..48];
    for (group, codes) in unpacked.codes.chunks_exact_mut(32).enumerate() {
        for (code, &bits) in codes.iter_mut().zip(fifth_bits) {
            *code |= (bits >> group & 1).cast_signed() << 4;
        }
    }
}

/// Each half of the block has 64 bytes of low and 32 bytes of high bits. Its quarter p of 32 elements reads low bits from bytes 32 (p % 2) on, in
/// nibble p / 2, and high bits from field p.
pub(super) fn unpack_q6_k(block: &[u8], unpacked: &mut UnpackedBlock) {
    let (low, high) = (&block[..128], &block[128..192]);
    for (half, codes) in unpacked.codes.chunks_exact_mut(128).enumerate() {
        let high = &high[32 * half..][..32];
        for (p, codes) in codes.chunks_exact_mut(32).enumerate() {
            let low = &low[64 * half + 32 * (p % 2)..][..32];
            for ((code, &low), &high) in codes.iter_mut().zip(low).zip(high) {
                let q = low >> (4 * (p / 2)) & 15 | (high >> (2 * p) & 3) << 4;
                *code = q.cast_signed() - 32;
            }
        }
    }
    for (sub_scale, &byte) in unpacked.sub_scales.iter_mut().zip(&block[192..208]) {
        *sub_scale = f32::from(byte.cast_signed());
    }
    unpacked.super_scale = read_f16(block, 208);
}
