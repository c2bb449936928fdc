//! Arrays in the data, little-endian, each padded to a multiple of [`ALIGNMENT`] bytes.

use super::ALIGNMENT;
use crate::error::FileErrorKind;

/// An integer of an array.
pub(super) trait Element: Copy {
    /// Its bytes.
    const BYTES: usize;
    fn read(bytes: &[u8]) -> Self;
    fn write(self, out: &mut Vec<u8>);
}

macro_rules! element {
    ($($ty:ty),*) => {$(
        impl Element for $ty {
            const BYTES: usize = size_of::<$ty>();

            fn read(bytes: &[u8]) -> Self {
                let mut array = [0; size_of::<$ty>()];
                array.copy_from_slice(bytes);
                Self::from_le_bytes(array)
            }

            fn write(self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }
        }
    )*};
}

element!(i8, u8, i16, i32, i64);

/// Reads arrays one after another.
pub(super) struct Reader<'a> {
    data: &'a [u8],
    /// Where the data begin in the file.
    start: usize,
    /// Bytes read.
    at: usize,
    /// The node that is read.
    pub(super) node: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(data: &'a [u8], start: usize) -> Self {
        Self { data, start, at: 0, node: 0 }
    }

    /// Bytes of the data that were not read.
    pub(super) fn rest(&self) -> usize {
        self.data.len() - self.at
    }

    /// The next bytes, which are there: nothing is allocated for more than the file has.
    fn take(&mut self, field: &str, bytes: usize) -> Result<&'a [u8], FileErrorKind> {
        let rest = &self.data[self.at..];
        let Some(padded) = bytes.checked_next_multiple_of(ALIGNMENT).filter(|&n| n <= rest.len())
        else {
            return Err(FileErrorKind::Truncated {
                field: format!("data of node {}, {field}", self.node),
                offset: (self.start + self.at) as u64,
                needed: bytes as u64,
                available: rest.len() as u64,
            });
        };
        if rest[bytes..padded].iter().any(|&byte| byte != 0) {
            return Err(FileErrorKind::Node {
                node: self.node,
                field: "padding",
                reason: format!("bytes after the {field} are not 0"),
            });
        }
        self.at += padded;
        Ok(&rest[..bytes])
    }

    pub(super) fn array<T: Element>(
        &mut self,
        field: &str,
        count: usize,
    ) -> Result<Vec<T>, FileErrorKind> {
        let bytes = self.take(field, count.saturating_mul(T::BYTES))?;
        Ok(bytes.chunks_exact(T::BYTES).map(T::read).collect())
    }

    pub(super) fn table<T: Element + Default>(
        &mut self,
        field: &str,
    ) -> Result<Box<[T; 256]>, FileErrorKind> {
        let mut table = Box::new([T::default(); 256]);
        table.copy_from_slice(&self.array(field, 256)?);
        Ok(table)
    }

    /// Weights of 4 bits, two in a byte, the first in the low half.
    pub(super) fn nibbles(&mut self, field: &str, count: usize) -> Result<Vec<i8>, FileErrorKind> {
        let bytes = self.take(field, count.div_ceil(2))?;
        if count % 2 == 1 && bytes.last().is_some_and(|byte| byte >> 4 != 0) {
            return Err(FileErrorKind::Node {
                node: self.node,
                field: "weight",
                reason: "the last half byte is not 0".into(),
            });
        }
        let codes =
            bytes.iter().flat_map(|byte| [(byte << 4).cast_signed() >> 4, byte.cast_signed() >> 4]);
        Ok(codes.take(count).collect())
    }
}

/// Appends an array.
pub(super) fn write<T: Element>(out: &mut Vec<u8>, elements: impl IntoIterator<Item = T>) {
    for element in elements {
        element.write(out);
    }
    out.resize(out.len().next_multiple_of(ALIGNMENT), 0);
}

/// Appends weights of 4 bits.
pub(super) fn write_nibbles(out: &mut Vec<u8>, codes: &[i8]) {
    let half = |code: i8| code.cast_unsigned() & 15;
    write(
        out,
        codes.chunks(2).map(|pair| half(pair[0]) | pair.get(1).map_or(0, |&c| half(c)) << 4),
    );
}
