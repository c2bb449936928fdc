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
    let mut writer = Writer::new(bytes);
    for &code in codes {
        writer.push(code, bits);
    }
    writer.finish();
    Ok(())
}

/// Appends codes to a bit string.
struct Writer<'a> {
    target: &'a mut [u8],
    written: usize,
    pending: u64,
    pending_bits: u32,
}

impl<'a> Writer<'a> {
    fn new(target: &'a mut [u8]) -> Self {
        Self { target, written: 0, pending: 0, pending_bits: 0 }
    }

    fn push(&mut self, code: u32, bits: u32) {
        let mask = u64::from(low_mask(bits.to_le_bytes()[0]));
        self.pending |= (u64::from(code) & mask) << self.pending_bits;
        self.pending_bits += bits;
        while self.pending_bits >= 8 {
            self.target[self.written] = self.pending.to_le_bytes()[0];
            self.written += 1;
            self.pending >>= 8;
            self.pending_bits -= 8;
        }
    }

    /// Whole bytes, behind whole bytes.
    fn extend(&mut self, bytes: &[u8]) {
        self.target[self.written..self.written + bytes.len()].copy_from_slice(bytes);
        self.written += bytes.len();
    }

    /// Writes the bits of the last byte that is not full.
    fn finish(self) {
        if let Some(byte) = self.target.get_mut(self.written) {
            *byte = self.pending.to_le_bytes()[0];
        }
    }
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

/// Elements of a packed array, in an order of their own: element (i₀, i₁, …) of `shape` is that at `offset` + Σ iₖ × `strides[k]` of the array.
#[derive(Clone, Copy, Debug)]
pub struct Selection<'a> {
    /// The index of the first.
    pub offset: usize,
    /// How many there are along each axis.
    pub shape: &'a [usize],
    /// How far apart they are along each axis; as long as `shape`.
    pub strides: &'a [usize],
}

impl Selection<'_> {
    /// The number of elements; `None` on overflow.
    fn len(&self) -> Option<usize> {
        self.shape.iter().try_fold(1usize, |len, &n| len.checked_mul(n))
    }

    /// The index of the last element; `None` on overflow.
    fn last(&self) -> Option<usize> {
        self.shape.iter().zip(self.strides).try_fold(self.offset, |last, (&n, &stride)| {
            last.checked_add(n.saturating_sub(1).checked_mul(stride)?)
        })
    }
}

/// Copies packed codes of `bits` bits, the selected ones of `source` in row-major order to `target`.
///
/// # Errors
/// Where an element is outside `source`, or `target` is not as long as the packed codes.
///
/// # Panics
/// Where `bits` is not 1 to 32, or `shape` and `strides` differ in length.
pub fn select(
    source: &[u8],
    bits: u32,
    selection: &Selection<'_>,
    target: &mut [u8],
) -> Result<(), FormatError> {
    assert_eq!(selection.shape.len(), selection.strides.len(), "a stride for each axis");
    let len = selection.len().unwrap_or(usize::MAX);
    check(len, bits, target.len())?;
    if len == 0 {
        return Ok(());
    }
    let available = source.len() * 8 / bits as usize;
    let needed = selection.last().map_or(usize::MAX, |last| last.saturating_add(1));
    if needed > available {
        return Err(FormatError::Length {
            what: "packed codes to select from",
            expected: needed,
            actual: available,
        });
    }
    let (outer, inner) = selection.shape.split_at(selection.shape.len().saturating_sub(1));
    let (count, stride) = match (inner, selection.strides.last()) {
        ([count], Some(stride)) => (*count, *stride),
        _ => (1, 1),
    };
    let mut writer = Writer::new(target);
    let mut position = vec![0; outer.len()];
    let width = bits as usize / 8;
    let whole_bytes = bits.is_multiple_of(8) && stride == 1;
    let mut written = 0;
    loop {
        let along = position.iter().zip(selection.strides).map(|(i, stride)| i * stride);
        let first = selection.offset + along.sum::<usize>();
        if whole_bytes {
            writer.extend(&source[first * width..(first + count) * width]);
        } else {
            for i in 0..count {
                let code = get(source, bits, first + i * stride).unwrap_or_default();
                writer.push(code, bits);
            }
        }
        written += count;
        if written == len {
            break;
        }
        // The next position, the last axis fastest.
        for (i, n) in position.iter_mut().zip(outer).rev() {
            *i += 1;
            if *i < *n {
                break;
            }
            *i = 0;
        }
    }
    writer.finish();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every width, against unpacking, choosing and packing again: a transposed part, with a column left out at either side.
    #[test]
    fn selected_codes_are_those_of_the_unpacked_array() {
        let (rows, columns) = (5, 7);
        for bits in 1..=32u32 {
            let codes: Vec<u32> = (0..35u32)
                .map(|i| i.wrapping_mul(0x9E37_79B9) & low_mask(bits.to_le_bytes()[0]))
                .collect();
            let mut source = vec![0; packed_len(codes.len(), bits).unwrap()];
            pack(&codes, bits, &mut source).unwrap();
            for (offset, shape, strides) in [
                (1, [columns - 2, rows], [1, columns]),
                (columns + 1, [rows - 1, columns - 2], [columns, 1]),
            ] {
                let expected: Vec<u32> = (0..shape[0])
                    .flat_map(|i| (0..shape[1]).map(move |j| (i, j)))
                    .map(|(i, j)| codes[offset + i * strides[0] + j * strides[1]])
                    .collect();
                let mut target = vec![0xFF; packed_len(expected.len(), bits).unwrap()];
                let selection = Selection { offset, shape: &shape, strides: &strides };
                select(&source, bits, &selection, &mut target).unwrap();
                let mut actual = vec![0; expected.len()];
                unpack(&target, bits, &mut actual).unwrap();
                assert_eq!(actual, expected, "{bits}");
            }
        }
    }

    #[test]
    fn selections_outside_the_array_are_refused() {
        let source = [0u8; 4];
        let code = |offset, shape: &[usize], strides: &[usize], len| {
            let selection = Selection { offset, shape, strides };
            select(&source, 4, &selection, &mut vec![0; len]).map_err(|error| error.code())
        };
        assert_eq!(code(0, &[2, 4], &[4, 1], 4), Ok(()));
        assert_eq!(code(7, &[], &[], 1), Ok(()));
        assert_eq!(code(100, &[0], &[1], 0), Ok(()));
        for (offset, shape, strides, len) in [
            (1, [2, 4], [4, 1], 4),
            (0, [2, 4], [5, 1], 4),
            (0, [2, 4], [4, 1], 3),
            (usize::MAX, [2, 4], [4, 1], 4),
            (0, [2, 4], [usize::MAX, 1], 4),
            (0, [usize::MAX, 4], [0, 1], 4),
        ] {
            assert_eq!(code(offset, &shape, &strides, len), Err("ERR_SHAPE"));
        }
    }
}
