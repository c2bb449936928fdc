//! How the codes of a quad lie in the bytes of a vector: whole, in pieces, or as digits.

use super::layout::{BLOCK, TILE_ROWS, VECTOR};

/// The vector and the digit of a quad of the block of this phase: its number among the five that share eight vectors.
pub(super) const fn trit_place(phase: usize, quad: usize) -> (usize, usize) {
    let digit = phase * (BLOCK / 4) % 5 + quad;
    (digit / 5, digit % 5)
}

/// The five digits of a byte: it holds their number to the base 3 as a fraction, v of 243 as ⌈256 v / 243⌉, so that each digit is what a
/// multiplication by 3 carries out (the code of `TQ1_0`).
#[must_use]
pub(super) const fn trits_of_byte(byte: u8) -> [u8; 5] {
    let (mut trits, mut rest) = ([0; 5], byte);
    let mut digit = 0;
    while digit < trits.len() {
        [rest, trits[digit]] = (rest as u16 * 3).to_le_bytes();
        digit += 1;
    }
    trits
}

/// The digits of each byte as fields of 2 bits: digits 0 to 3 in the first table, digit 4 in the second.
pub(super) static TRIT_FIELDS: [[u8; 256]; 2] = {
    let mut fields = [[0; 256]; 2];
    let mut byte = 0;
    while byte < 256 {
        let [a, b, c, d, e] = trits_of_byte(byte as u8);
        fields[0][byte] = a | b << 2 | c << 4 | d << 6;
        fields[1][byte] = e;
        byte += 1;
    }
    fields
};

/// The inverse of [`trits_of_byte`].
#[must_use]
pub(super) fn byte_of_trits(trits: [u8; 5]) -> u8 {
    let v = trits.iter().fold(0, |v, &trit| 3 * v + u32::from(trit));
    (256 * v).div_ceil(243).to_le_bytes()[0]
}

/// Some bits of the codes of a quad, in the bytes of a vector.
#[derive(Clone, Copy)]
pub(super) struct Piece {
    pub(super) quad: usize,
    pub(super) vector: usize,
    /// The position of the lowest of them in the bytes of the vector.
    pub(super) from: u32,
    /// Their position in the codes.
    pub(super) to: u32,
    /// How many they are.
    pub(super) bits: u32,
}

impl Piece {
    /// They, in bytes of which they are the lowest bits.
    pub(super) const fn mask(self) -> u32 {
        low_bits(self.bits)
    }
}

/// The most pieces of a width.
pub(super) const PIECES: usize = 14;

/// Piece `index` of codes of `bits` bits, if there are so many.
///
/// The bytes of each of the `bits` vectors begin with as many whole codes as they have room for. What is left of the bytes of all vectors, one after the
/// other, holds the other codes. So most codes are taken out by a mask alone.
pub(super) const fn piece(bits: u32, index: usize) -> Option<Piece> {
    let fields = (8 / bits) as usize;
    let whole = fields * bits as usize;
    if index < whole {
        let from = bits * (index % fields) as u32;
        return Some(Piece { quad: index, vector: index / fields, from, to: 0, bits });
    }
    let rest = 8 % bits;
    let mut piece = Piece { quad: whole, vector: 0, from: 8 - rest, to: 0, bits: 0 };
    let mut left = index - whole;
    while piece.quad < BLOCK / 4 {
        piece.bits =
            if 8 - piece.from < bits - piece.to { 8 - piece.from } else { bits - piece.to };
        if left == 0 {
            return Some(piece);
        }
        left -= 1;
        piece.from += piece.bits;
        piece.to += piece.bits;
        if piece.from == 8 {
            piece.from = 8 - rest;
            piece.vector += 1;
        }
        if piece.to == bits {
            piece.to = 0;
            piece.quad += 1;
        }
    }
    None
}

/// Repeats a body for each piece of codes of a constant number of bits, unrolled, since its registers are an array of the quads.
macro_rules! for_each_piece {
    ($bits:expr, |$piece:ident| $body:block) => {
        for_each_piece!($bits, $piece, $body, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13)
    };
    ($bits:expr, $piece:ident, $body:block, $($index:literal),*) => {
        $(if let Some($piece) = const { $crate::matmul::codes::piece($bits, $index) } $body)*
    };
}
pub(super) use for_each_piece;

/// All pieces of codes of `bits` bits.
fn pieces(bits: u32) -> impl Iterator<Item = Piece> {
    (0..PIECES).map_while(move |index| piece(bits, index))
}

/// A mask of the low `bits` of each byte.
pub(super) const fn low_bits(bits: u32) -> u32 {
    0x0101_0101 * (0xFF >> (8 - bits))
}

#[inline]
pub(super) fn load_quads(bits: u32, codes: &[u8], row: usize) -> [u32; 8] {
    let word = |offset: usize| {
        let at = offset + 4 * row;
        u32::from_le_bytes([codes[at], codes[at + 1], codes[at + 2], codes[at + 3]])
    };
    let mut quads = [0; 8];
    for piece in pieces(bits) {
        let bits = word(piece.vector * VECTOR) >> piece.from & piece.mask();
        quads[piece.quad] |= bits << piece.to;
    }
    quads
}

#[inline]
pub(super) fn store_quads(bits: u32, codes: &mut [u8], row: usize, quads: &[u32; 8]) {
    match bits {
        1 => store_quads_of::<1>(codes, row, quads),
        2 => store_quads_of::<2>(codes, row, quads),
        3 => store_quads_of::<3>(codes, row, quads),
        4 => store_quads_of::<4>(codes, row, quads),
        5 => store_quads_of::<5>(codes, row, quads),
        6 => store_quads_of::<6>(codes, row, quads),
        7 => store_quads_of::<7>(codes, row, quads),
        _ => store_quads_of::<8>(codes, row, quads),
    }
}

/// [`store_quads`] for a width that the compiler knows: loading a model is mostly this.
#[inline]
fn store_quads_of<const BITS: u32>(codes: &mut [u8], row: usize, quads: &[u32; 8]) {
    let (words, _) = codes.as_chunks_mut::<4>();
    let mut vectors = [0; 8];
    for_each_piece!(BITS, |piece| {
        vectors[piece.vector] |= (quads[piece.quad] >> piece.to & piece.mask()) << piece.from;
    });
    for (vector, word) in vectors.into_iter().take(BITS as usize).enumerate() {
        words[vector * TILE_ROWS + row] = word.to_le_bytes();
    }
}
