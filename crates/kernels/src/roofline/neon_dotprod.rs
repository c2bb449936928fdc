//! NEON with the 4-way integer dot product.

use std::arch::aarch64::*;
use std::arch::asm;

use super::SUMS;
use super::neon::{QUARTERS, hidden, operands, total};

/// See [`super::MultiplyFn`].
#[target_feature(enable = "neon,dotprod")]
pub(super) unsafe fn multiply(rounds: u32, weights: [u8; 4], x: [i8; 4]) -> i32 {
    let (weights, x) = operands(weights, x);
    let mut sums = [vdupq_n_s32(0); SUMS];
    for _ in 0..rounds {
        for _ in 0..QUARTERS {
            for sum in &mut sums {
                *sum = sdot(*sum, hidden(weights), x);
            }
        }
    }
    total(sums)
}

/// `sum[i] += Σ_j a[4i + j] · b[4i + j]`. `vdotq_s32` is not stable yet.
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn sdot(mut sum: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
    // SAFETY: a computation in registers, of a feature that this function has.
    unsafe {
        asm!(
            "sdot {sum:v}.4s, {a:v}.16b, {b:v}.16b",
            sum = inout(vreg) sum,
            a = in(vreg) a,
            b = in(vreg) b,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sum
}
