//! AVX-512 VBMI: 64 codes at a time.

use std::arch::x86_64::*;

use super::scalar;

const CODES: usize = 64;

/// Byte `j` of the packed codes is byte `j % BITS` of word `j / BITS`.
const fn gather<const BITS: usize>() -> [u8; 64] {
    let mut index = [0; 64];
    let mut j = 0;
    while j < 8 * BITS {
        index[j] = (j / BITS * 8 + j % BITS) as u8;
        j += 1;
    }
    index
}

/// Byte `b` of word `q` is byte `q BITS + b` of the packed codes; bytes that no code of the word needs are any.
const fn scatter<const BITS: usize>() -> [u8; 64] {
    let mut index = [0; 64];
    let mut j = 0;
    while j < 64 {
        let byte = j % 8;
        index[j] = (j / 8 * BITS + if byte < BITS { byte } else { 0 }) as u8;
        j += 1;
    }
    index
}

/// See [`super::PackFn`]: neighbours are merged by multiply-adds, into 2, then 4 codes, the halves of a word by a shift.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi")]
pub(super) fn pack<const BITS: usize>(codes: &[u8], bytes: &mut [u8]) {
    let (chunks, tail) = codes.as_chunks::<CODES>();
    let bits = BITS as i64;
    let low = _mm512_set1_epi8(((1u32 << BITS) - 1) as i8);
    // Unsigned multipliers (2^7 is no i8) and codes below 2^7, which are positive as signed bytes.
    let pair = _mm512_set1_epi16(1 | 1 << (8 + BITS));
    let quad = _mm512_set1_epi32(1 | 1 << (16 + 2 * BITS));
    // SAFETY: the table has 64 bytes.
    let index = unsafe { _mm512_loadu_si512(const { &gather::<BITS>() }.as_ptr().cast()) };
    let mask = u64::MAX >> (64 - 8 * BITS);
    for (i, codes) in chunks.iter().enumerate() {
        // SAFETY: a chunk has 64 bytes.
        let codes = unsafe { _mm512_loadu_si512(codes.as_ptr().cast()) };
        let pairs = _mm512_maddubs_epi16(pair, _mm512_and_si512(codes, low));
        let quads = _mm512_madd_epi16(pairs, quad);
        let high = _mm512_sllv_epi64(_mm512_srli_epi64::<32>(quads), _mm512_set1_epi64(4 * bits));
        let words = _mm512_or_si512(_mm512_and_si512(quads, _mm512_set1_epi64(0xFFFF_FFFF)), high);
        let packed = _mm512_permutexvar_epi8(index, words);
        let out = &mut bytes[8 * BITS * i..][..8 * BITS];
        // SAFETY: the mask selects the bytes of `out`.
        unsafe { _mm512_mask_storeu_epi8(out.as_mut_ptr().cast(), mask, packed) };
    }
    scalar::pack::<BITS>(tail, &mut bytes[8 * BITS * chunks.len()..]);
}

/// See [`super::UnpackFn`]: each byte of a word takes the eight bits that begin at its code.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi")]
pub(super) fn unpack<const BITS: usize>(bytes: &[u8], codes: &mut [u8]) {
    let (chunks, tail) = codes.as_chunks_mut::<CODES>();
    let low = _mm512_set1_epi8(((1u32 << BITS) - 1) as i8);
    // SAFETY: the table has 64 bytes.
    let index = unsafe { _mm512_loadu_si512(const { &scatter::<BITS>() }.as_ptr().cast()) };
    let step = BITS as u64;
    // Byte i is i × BITS.
    let shifts = (1..8).fold(0, |shifts, i| shifts | (i * step) << (8 * i));
    let shifts = _mm512_set1_epi64(shifts.cast_signed());
    let mask = u64::MAX >> (64 - 8 * BITS);
    let whole = chunks.len();
    for (i, codes) in chunks.iter_mut().enumerate() {
        let packed = &bytes[8 * BITS * i..][..8 * BITS];
        // SAFETY: the mask selects the bytes of `packed`.
        let packed = unsafe { _mm512_maskz_loadu_epi8(mask, packed.as_ptr().cast()) };
        let words = _mm512_permutexvar_epi8(index, packed);
        let unpacked = _mm512_and_si512(_mm512_multishift_epi64_epi8(shifts, words), low);
        // SAFETY: a chunk has 64 bytes.
        unsafe { _mm512_storeu_si512(codes.as_mut_ptr().cast(), unpacked) };
    }
    scalar::unpack::<BITS>(&bytes[8 * BITS * whole..], tail);
}
