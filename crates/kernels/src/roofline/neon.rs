//! NEON: `smull`, `smlal2` and `sadalp`; a register is a quarter of a sum, so each is added to four times a round.

use std::arch::aarch64::*;
use std::arch::asm;

use super::{LINE, PREFETCH, SUMS};

/// Registers of a sum.
pub(super) const QUARTERS: usize = 4;

/// See [`super::ReadFn`].
#[target_feature(enable = "neon")]
pub(super) unsafe fn read(lines: &[[u8; LINE]]) -> u64 {
    let mut all = [vdupq_n_u8(0); 4];
    for line in lines {
        let ahead = line.as_ptr().wrapping_add(PREFETCH);
        // SAFETY: a hint, which reads nothing.
        unsafe {
            asm!("prfm pldl1keep, [{}]", in(reg) ahead, options(nostack, preserves_flags, readonly));
        }
        for (all, part) in all.iter_mut().zip(line.as_chunks::<16>().0) {
            // SAFETY: 16 bytes.
            *all = veorq_u8(*all, unsafe { vld1q_u8(part.as_ptr()) });
        }
    }
    let all = all.into_iter().fold(vdupq_n_u8(0), |a, b| veorq_u8(a, b));
    let all = vreinterpretq_u64_u8(all);
    vgetq_lane_u64::<0>(all) ^ vgetq_lane_u64::<1>(all)
}

/// See [`super::MultiplyFn`].
#[target_feature(enable = "neon")]
pub(super) unsafe fn multiply(rounds: u32, weights: [u8; 4], x: [i8; 4]) -> i32 {
    let (weights, x) = operands(weights, x);
    let mut sums = [vdupq_n_s32(0); SUMS];
    for _ in 0..rounds {
        for _ in 0..QUARTERS {
            for sum in &mut sums {
                let weights = hidden(weights);
                let products = vmull_s8(vget_low_s8(weights), vget_low_s8(x));
                let products = vmlal_high_s8(products, weights, x);
                *sum = vpadalq_s16(*sum, products);
            }
        }
    }
    total(sums)
}

/// Both sides four times over. Weights of 7 bits are signed bytes, too.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn operands(weights: [u8; 4], x: [i8; 4]) -> (int8x16_t, int8x16_t) {
    let repeat = |bytes: [u8; 4]| vreinterpretq_s8_s32(vdupq_n_s32(i32::from_le_bytes(bytes)));
    (repeat(weights), repeat(x.map(i8::cast_unsigned)))
}

#[inline]
#[target_feature(enable = "neon")]
pub(super) fn total(sums: [int32x4_t; SUMS]) -> i32 {
    vaddvq_s32(sums.into_iter().fold(vdupq_n_s32(0), |a, b| vaddq_s32(a, b)))
}

/// The same register, whose value the compiler forgets: else it would make one product of many equal ones.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn hidden(mut x: int8x16_t) -> int8x16_t {
    // SAFETY: no instruction at all.
    unsafe { asm!("/* {:v} */", inout(vreg) x, options(nomem, nostack, preserves_flags)) };
    x
}
