//! AVX-512 VNNI: a sum is one register.

use std::arch::asm;
use std::arch::x86_64::*;

use super::{LINE, PREFETCH, SUMS};

/// See [`super::ReadFn`].
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn read(lines: &[[u8; LINE]]) -> u64 {
    let (fours, rest) = lines.as_chunks::<4>();
    let load = |line: &[u8; LINE]| {
        _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().wrapping_add(PREFETCH).cast());
        // SAFETY: a line is 64 bytes.
        unsafe { _mm512_loadu_si512(line.as_ptr().cast()) }
    };
    let mut all = [_mm512_setzero_si512(); 4];
    for four in fours {
        for (all, line) in all.iter_mut().zip(four) {
            *all = _mm512_xor_si512(*all, load(line));
        }
    }
    for line in rest {
        all[0] = _mm512_xor_si512(all[0], load(line));
    }
    let all = all.into_iter().fold(_mm512_setzero_si512(), |a, b| _mm512_xor_si512(a, b));
    let mut words = [0u64; LINE / 8];
    // SAFETY: 64 bytes.
    unsafe { _mm512_storeu_si512(words.as_mut_ptr().cast(), all) };
    words.into_iter().fold(0, |a, b| a ^ b)
}

/// See [`super::MultiplyFn`].
#[target_feature(enable = "avx512f,avx512vnni")]
pub(super) unsafe fn multiply(rounds: u32, weights: [u8; 4], x: [i8; 4]) -> i32 {
    let weights = _mm512_set1_epi32(i32::from_le_bytes(weights));
    let x = _mm512_set1_epi32(i32::from_le_bytes(x.map(i8::cast_unsigned)));
    let mut sums = [_mm512_setzero_si512(); SUMS].map(|sum| hidden(sum));
    for _ in 0..rounds {
        for sum in &mut sums {
            *sum = _mm512_dpbusd_epi32(*sum, weights, x);
        }
    }
    let sum = sums.into_iter().fold(_mm512_setzero_si512(), |a, b| _mm512_add_epi32(a, b));
    _mm512_reduce_add_epi32(sum)
}

/// The same register, whose value the compiler forgets: else it would make one sum of twelve equal ones.
#[inline]
#[target_feature(enable = "avx512f")]
fn hidden(mut x: __m512i) -> __m512i {
    // SAFETY: no instruction at all.
    unsafe { asm!("/* {} */", inout(zmm_reg) x, options(nomem, nostack, preserves_flags)) };
    x
}
