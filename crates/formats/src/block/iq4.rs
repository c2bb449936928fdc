//! 4-bit codes of a non-linear code book.
//!
//! ```text
//! IQ4_NL  f16 d                          16 bytes of nibbles         C[q] d                     32 elements
//! IQ4_XS  f16 d  u16 high  4 bytes low   8 × 16 bytes of nibbles     C[q] d (s − 32)           256 elements
//! ```
//!
//! The 6-bit scale s of sub-block b has the nibble b % 2 of `low[b / 2]` and the bits 2 b of `high`.

use super::{UnpackedBlock, read_f16, unpack_nibbles};

/// The 16 values, chosen by the authors of ggml near the quantiles of a bell curve.
const CODE_BOOK: [i8; 16] =
    [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

fn look_up(q: u8) -> i8 {
    CODE_BOOK[usize::from(q)]
}

pub(super) fn unpack_iq4_nl(block: &[u8], unpacked: &mut UnpackedBlock) {
    unpacked.super_scale = read_f16(block, 0);
    unpack_nibbles(&block[2..], &mut unpacked.codes[..32], look_up);
}

pub(super) fn unpack_iq4_xs(block: &[u8], unpacked: &mut UnpackedBlock) {
    unpacked.super_scale = read_f16(block, 0);
    let high = u16::from_le_bytes([block[2], block[3]]);
    let low = &block[4..8];
    let sub_blocks = block[8..].chunks_exact(16).zip(unpacked.codes.chunks_exact_mut(32));
    for (b, (nibbles, codes)) in sub_blocks.enumerate() {
        let scale = u16::from(low[b / 2] >> (4 * (b % 2)) & 15) | (high >> (2 * b) & 3) << 4;
        unpacked.sub_scales[b] = f32::from(scale) - 32.0;
        unpack_nibbles(nibbles, codes, look_up);
    }
}
