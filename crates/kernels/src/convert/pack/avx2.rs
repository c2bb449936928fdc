//! AVX2: 32 codes at a time.

use std::arch::x86_64::*;

use super::scalar;

const CODES: usize = 32;

/// Within 16 bytes: byte `j` is byte `j % BITS` of word `j / BITS`; bytes beyond are zero.
const fn gather<const BITS: usize>() -> [u8; 16] {
    let mut index = [0x80; 16];
    let mut j = 0;
    while j < 2 * BITS {
        index[j] = (j / BITS * 8 + j % BITS) as u8;
        j += 1;
    }
    index
}

/// Lane `i` of eight 16-bit lanes is the byte where code `i` begins and the next.
const fn window<const BITS: usize>() -> [u8; 16] {
    let mut index = [0x80; 16];
    let mut i = 0;
    while i < 8 {
        let first = i * BITS / 8;
        index[2 * i] = first as u8;
        if first + 1 < BITS {
            index[2 * i + 1] = (first + 1) as u8;
        }
        i += 1;
    }
    index
}

/// What lane `i` is multiplied by so that its code begins at bit 8.
const fn lift<const BITS: usize>() -> [u16; 8] {
    let mut factors = [0; 8];
    let mut i = 0;
    while i < 8 {
        factors[i] = 1 << (8 - i * BITS % 8);
        i += 1;
    }
    factors
}

/// See [`super::PackFn`]: neighbours are merged by multiply-adds, into 2, then 4 codes, the halves of a word by a shift.
#[target_feature(enable = "avx2")]
pub(super) fn pack<const BITS: usize>(codes: &[u8], bytes: &mut [u8]) {
    let (chunks, tail) = codes.as_chunks::<CODES>();
    let low = _mm256_set1_epi8(((1u32 << BITS) - 1) as i8);
    // Unsigned multipliers (2^7 is no i8) and codes below 2^7, which are positive as signed bytes.
    let pair = _mm256_set1_epi16(1 | 1 << (8 + BITS));
    let quad = _mm256_set1_epi32(1 | 1 << (16 + 2 * BITS));
    // SAFETY: the table has 16 bytes.
    let index = unsafe { _mm_loadu_si128(const { &gather::<BITS>() }.as_ptr().cast()) };
    let index = _mm256_broadcastsi128_si256(index);
    for (i, codes) in chunks.iter().enumerate() {
        // SAFETY: a chunk has 32 bytes.
        let codes = unsafe { _mm256_loadu_si256(codes.as_ptr().cast()) };
        let pairs = _mm256_maddubs_epi16(pair, _mm256_and_si256(codes, low));
        let quads = _mm256_madd_epi16(pairs, quad);
        let shift = _mm256_set1_epi64x(4 * BITS as i64);
        let high = _mm256_sllv_epi64(_mm256_srli_epi64::<32>(quads), shift);
        let words = _mm256_or_si256(_mm256_and_si256(quads, _mm256_set1_epi64x(0xFFFF_FFFF)), high);
        let packed = _mm256_shuffle_epi8(words, index);
        let mut halves = [0u8; 32];
        // SAFETY: the array has 32 bytes.
        unsafe { _mm256_storeu_si256(halves.as_mut_ptr().cast(), packed) };
        let (first, second) = bytes[4 * BITS * i..][..4 * BITS].split_at_mut(2 * BITS);
        first.copy_from_slice(&halves[..2 * BITS]);
        second.copy_from_slice(&halves[16..16 + 2 * BITS]);
    }
    scalar::pack::<BITS>(tail, &mut bytes[4 * BITS * chunks.len()..]);
}

/// See [`super::UnpackFn`]: each 16-bit lane takes the two bytes that hold its code.
#[target_feature(enable = "avx2")]
pub(super) fn unpack<const BITS: usize>(bytes: &[u8], codes: &mut [u8]) {
    let (chunks, tail) = codes.as_chunks_mut::<CODES>();
    let low = _mm256_set1_epi16((1 << BITS) - 1);
    // SAFETY: the tables have 16 bytes.
    let (index, factors) = unsafe {
        (
            _mm_loadu_si128(const { &window::<BITS>() }.as_ptr().cast()),
            _mm_loadu_si128(const { &lift::<BITS>() }.as_ptr().cast()),
        )
    };
    let (index, factors) =
        (_mm256_broadcastsi128_si256(index), _mm256_broadcastsi128_si256(factors));
    let whole = chunks.len();
    for (i, codes) in chunks.iter_mut().enumerate() {
        let packed = &bytes[4 * BITS * i..][..4 * BITS];
        let word = |k: usize| {
            let mut word = [0; 8];
            word[..BITS].copy_from_slice(&packed[k * BITS..(k + 1) * BITS]);
            i64::from_le_bytes(word)
        };
        let sixteen = |a: i64, b: i64| {
            let words = _mm256_set_epi64x(0, b, 0, a);
            let lanes = _mm256_mullo_epi16(_mm256_shuffle_epi8(words, index), factors);
            _mm256_and_si256(_mm256_srli_epi16::<8>(lanes), low)
        };
        let merged = _mm256_packus_epi16(sixteen(word(0), word(1)), sixteen(word(2), word(3)));
        let unpacked = _mm256_permute4x64_epi64::<0b11_01_10_00>(merged);
        // SAFETY: a chunk has 32 bytes.
        unsafe { _mm256_storeu_si256(codes.as_mut_ptr().cast(), unpacked) };
    }
    scalar::unpack::<BITS>(&bytes[4 * BITS * whole..], tail);
}
