//! The specification: words of eight codes. NEON has no kernels of its own, since compilers vectorize these.

use super::WORD;

pub(super) fn pack<const BITS: usize>(codes: &[u8], bytes: &mut [u8]) {
    let (chunks, tail) = codes.as_chunks::<WORD>();
    let (out, out_tail) = bytes.as_chunks_mut::<BITS>();
    for (codes, out) in chunks.iter().zip(&mut *out) {
        out.copy_from_slice(&word::<BITS>(*codes).to_le_bytes()[..BITS]);
    }
    if !tail.is_empty() {
        let mut codes = [0; WORD];
        codes[..tail.len()].copy_from_slice(tail);
        let last = word::<BITS>(codes).to_le_bytes();
        // Seven codes of seven bits fill a chunk too.
        let rest = out.get_mut(chunks.len()).map_or(out_tail, |chunk| chunk.as_mut_slice());
        let len = rest.len();
        rest.copy_from_slice(&last[..len]);
    }
}

fn word<const BITS: usize>(codes: [u8; WORD]) -> u64 {
    let mask = (1 << BITS) - 1;
    codes.iter().rev().fold(0, |word, code| word << BITS | u64::from(code & mask))
}

pub(super) fn unpack<const BITS: usize>(bytes: &[u8], codes: &mut [u8]) {
    let mask = (1u64 << BITS) - 1;
    for (codes, bytes) in codes.chunks_mut(WORD).zip(bytes.chunks(BITS)) {
        let mut word = [0; 8];
        word[..bytes.len()].copy_from_slice(bytes);
        let word = u64::from_le_bytes(word);
        for (i, code) in codes.iter_mut().enumerate() {
            *code = (word >> (i * BITS) & mask).to_le_bytes()[0];
        }
    }
}
