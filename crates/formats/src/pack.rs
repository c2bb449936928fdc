//! Codes of 1 to 32 bits, packed without gaps.
//!
//! Code i stands in the bits i × width and up of one little-endian bit string: bit b of the string is bit b % 8 of byte b / 8. 4-bit codes so have
//! the even element in the low nibble. Unused bits of the last byte are 0.

use crate::error::FormatError;
use crate::int::low_mask;

/// The number of bytes of `codes` packed codes of `bits` bits. `None` on overflow.
#[must_use]
pub const fn packed_len(codes: usize, bits: u32) -> Option<usize> {
    match codes.checked_mul(bits as usize) {
        Some(bits) => Some(bits.div_ceil(8)),
        None => None,
    }
}

fn check(codes: usize, bits: u32, bytes: usize) -> Result<(), FormatError> {
    assert!((1..=32).contains(&bits), "codes have 1 to 32 bits, not {bits}");
    let expected = packed_len(codes, bits).unwrap_or(usize::MAX);
    if bytes == expected {
        return Ok(());
    }
    let format = format!("{bits}-bit codes");
    Err(FormatError::ByteLength { format, elements: codes, expected, actual: bytes })
}

/// Packs the low `bits` bits of each code.
///
/// # Errors
/// Where `bytes` is not [`packed_len`] long.
///
/// # Panics
/// Where `bits` is not 1 to 32.
pub fn pack(codes: &[u32], bits: u32, bytes: &mut [u8]) -> Result<(), FormatError> {
    check(codes.len(), bits, bytes.len())?;
    let mask = u64::from(low_mask(bits.to_le_bytes()[0]));
    let mut pending = 0u64;
    let mut pending_bits = 0;
    let mut out = bytes.iter_mut();
    for &code in codes {
        pending |= (u64::from(code) & mask) << pending_bits;
        pending_bits += bits;
        while pending_bits >= 8 {
            if let Some(byte) = out.next() {
                *byte = pending.to_le_bytes()[0];
            }
            pending >>= 8;
            pending_bits -= 8;
        }
    }
    if let Some(byte) = out.next() {
        *byte = pending.to_le_bytes()[0];
    }
    Ok(())
}

/// The inverse of [`pack`].
///
/// # Errors
/// Where `bytes` is not [`packed_len`] long.
///
/// # Panics
/// Where `bits` is not 1 to 32.
pub fn unpack(bytes: &[u8], bits: u32, codes: &mut [u32]) -> Result<(), FormatError> {
    check(codes.len(), bits, bytes.len())?;
    let mask = low_mask(bits.to_le_bytes()[0]);
    let mut pending = 0u64;
    let mut pending_bits = 0;
    let mut input = bytes.iter();
    for code in codes {
        while pending_bits < bits {
            pending |= u64::from(input.next().copied().unwrap_or(0)) << pending_bits;
            pending_bits += 8;
        }
        #[expect(clippy::cast_possible_truncation, reason = "masked to at most 32 bits")]
        let low = pending as u32;
        *code = low & mask;
        pending >>= bits;
        pending_bits -= bits;
    }
    Ok(())
}

/// The packed code at an index, where it lies within `bytes`.
#[must_use]
pub fn get(bytes: &[u8], bits: u32, index: usize) -> Option<u32> {
    let first_bit = index.checked_mul(bits as usize)?;
    let (start, shift) = (first_bit / 8, first_bit % 8);
    let end = start.checked_add((shift + bits as usize).div_ceil(8))?;
    let window = bytes.get(start..end)?;
    let word = window.iter().rev().fold(0u64, |word, &byte| word << 8 | u64::from(byte));
    #[expect(clippy::cast_possible_truncation, reason = "masked to at most 32 bits")]
    let low = (word >> shift) as u32;
    Some(low & low_mask(bits.to_le_bytes()[0]))
}
