//! The specification.

use super::KNOTS;

/// See [`super::LookupI8Fn`].
///
/// # Safety
/// None: it is called like the others.
pub(super) unsafe fn lookup_i8(x: &[i8], table: &[i8; 256], out: &mut [i8]) {
    for (&x, out) in x.iter().zip(out) {
        *out = table[usize::from(x.cast_unsigned() ^ 0x80)];
    }
}

/// See [`super`].
#[inline(always)]
pub(super) fn lookup_i16(x: &[i16], table: &[i16; KNOTS], out: &mut [i16]) {
    for (&x, out) in x.iter().zip(out) {
        let position = i32::from(x) + 32768;
        let (index, fraction) = ((position >> 7).cast_unsigned() as usize, position & 127);
        let (low, high) = (i32::from(table[index]), i32::from(table[index + 1]));
        #[expect(clippy::cast_possible_truncation, reason = "between two i16")]
        let between = (low + (((high - low) * fraction + 64) >> 7)) as i16;
        *out = between;
    }
}
