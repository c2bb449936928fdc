//! NEON: `tbl` looks up in 64 bytes and gives 0 beyond them, so four of them make a table of 256.

use std::arch::aarch64::*;

use super::scalar;

/// See [`super::LookupI8Fn`].
///
/// # Safety
/// As that says.
#[target_feature(enable = "neon")]
pub(super) unsafe fn lookup_i8(x: &[i8], table: &[i8; 256], out: &mut [i8]) {
    let quarter = |i: usize| {
        // SAFETY: a quarter of the table has four times 16 bytes.
        let part = |j: usize| unsafe { vld1q_s8(table[64 * i + 16 * j..].as_ptr()) };
        int8x16x4_t(part(0), part(1), part(2), part(3))
    };
    let quarters = [quarter(0), quarter(1), quarter(2), quarter(3)];
    let (chunks, rest) = x.as_chunks::<16>();
    let (out_chunks, out_rest) = out.as_chunks_mut::<16>();
    for (x, out) in chunks.iter().zip(out_chunks) {
        // SAFETY: a chunk has 16 bytes.
        let x = unsafe { vld1q_u8(x.as_ptr().cast()) };
        let mut index = veorq_u8(x, vdupq_n_u8(0x80));
        let mut found = vdupq_n_s8(0);
        for quarter in quarters {
            found = vorrq_s8(found, vqtbl4q_s8(quarter, index));
            index = vsubq_u8(index, vdupq_n_u8(64));
        }
        // SAFETY: a chunk has 16 bytes.
        unsafe { vst1q_s8(out.as_mut_ptr(), found) };
    }
    // SAFETY: the specification asks for nothing more.
    unsafe { scalar::lookup_i8(rest, table, out_rest) };
}
