//! AVX2: `vpmaddubsw`, `vpmaddwd` and an addition; a register is half of a sum, so each is added to twice a round.

use std::arch::asm;
use std::arch::x86_64::*;

use super::{LINE, PREFETCH, SUMS};

/// See [`super::ReadFn`].
#[target_feature(enable = "avx2")]
pub(super) unsafe fn read(lines: &[[u8; LINE]]) -> u64 {
    let mut all = [_mm256_setzero_si256(); 4];
    let (pairs, rest) = lines.as_chunks::<2>();
    let load = |half: &[u8; LINE / 2]| {
        // SAFETY: half a line is 32 bytes.
        unsafe { _mm256_loadu_si256(half.as_ptr().cast()) }
    };
    let add = |all: &mut [__m256i], line: &[u8; LINE]| {
        _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().wrapping_add(PREFETCH).cast());
        for (all, half) in all.iter_mut().zip(line.as_chunks::<{ LINE / 2 }>().0) {
            *all = _mm256_xor_si256(*all, load(half));
        }
    };
    for [first, second] in pairs {
        add(&mut all[..2], first);
        add(&mut all[2..], second);
    }
    for line in rest {
        add(&mut all[..2], line);
    }
    let mut words = [0u64; 4];
    for all in all {
        let mut part = [0u64; 4];
        // SAFETY: 32 bytes.
        unsafe { _mm256_storeu_si256(part.as_mut_ptr().cast(), all) };
        words.iter_mut().zip(part).for_each(|(word, part)| *word ^= part);
    }
    words.into_iter().fold(0, |a, b| a ^ b)
}

/// See [`super::MultiplyFn`].
#[target_feature(enable = "avx2")]
pub(super) unsafe fn multiply(rounds: u32, weights: [u8; 4], x: [i8; 4]) -> i32 {
    let ones = _mm256_set1_epi16(1);
    let weights = _mm256_set1_epi32(i32::from_le_bytes(weights));
    let x = _mm256_set1_epi32(i32::from_le_bytes(x.map(i8::cast_unsigned)));
    let mut sums = [_mm256_setzero_si256(); SUMS];
    for _ in 0..rounds {
        for _ in 0..2 {
            for sum in &mut sums {
                let pairs = _mm256_maddubs_epi16(hidden(weights), x);
                *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(pairs, ones));
            }
        }
    }
    let sum = sums.into_iter().fold(_mm256_setzero_si256(), |a, b| _mm256_add_epi32(a, b));
    let mut lanes = [0i32; 8];
    // SAFETY: 32 bytes.
    unsafe { _mm256_storeu_si256(lanes.as_mut_ptr().cast(), sum) };
    lanes.into_iter().fold(0, i32::wrapping_add)
}

/// The same register, whose value the compiler forgets: else it would make one product of many equal ones.
#[inline]
#[target_feature(enable = "avx2")]
fn hidden(mut x: __m256i) -> __m256i {
    // SAFETY: no instruction at all.
    unsafe { asm!("/* {} */", inout(ymm_reg) x, options(nomem, nostack, preserves_flags)) };
    x
}
