//! A cursor over the bytes of a file that cannot be made to read past their end.

use std::fmt::Arguments;

use super::GgufErrorKind;

/// Reads little-endian fields one after another. What a field is, for messages, is given as `format_args!`, which costs nothing unless the
/// read fails.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Reader<'a> {
    /// At `position`, which may lie past the end: then every read fails.
    pub(super) fn at(bytes: &'a [u8], position: usize) -> Self {
        Self { bytes, position }
    }

    /// Bytes from the beginning of the file to the next field.
    pub(super) fn position(&self) -> usize {
        self.position
    }

    /// Bytes from the next field to the end of the file.
    pub(super) fn remaining(&self) -> u64 {
        self.bytes.len().saturating_sub(self.position) as u64
    }

    pub(super) fn take(
        &mut self,
        len: u64,
        field: Arguments<'_>,
    ) -> Result<&'a [u8], GgufErrorKind> {
        let rest = self.bytes.get(self.position..).unwrap_or_default();
        let taken = usize::try_from(len).ok().and_then(|len| rest.get(..len)).ok_or_else(|| {
            GgufErrorKind::Truncated {
                field: field.to_string(),
                offset: self.position as u64,
                needed: len,
                available: rest.len() as u64,
            }
        })?;
        self.position += taken.len();
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(
        &mut self,
        field: Arguments<'_>,
    ) -> Result<[u8; N], GgufErrorKind> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N as u64, field)?);
        Ok(array)
    }

    pub(super) fn u32(&mut self, field: Arguments<'_>) -> Result<u32, GgufErrorKind> {
        self.array(field).map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self, field: Arguments<'_>) -> Result<u64, GgufErrorKind> {
        self.array(field).map(u64::from_le_bytes)
    }

    /// A text: its length as a 64-bit number, then its bytes.
    pub(super) fn string(&mut self, field: Arguments<'_>) -> Result<&'a [u8], GgufErrorKind> {
        let len = self.u64(format_args!("length of the {field}"))?;
        self.take(len, field)
    }

    /// A name: a text of 1 to `limit` bytes of UTF-8.
    pub(super) fn name(
        &mut self,
        limit: u64,
        field: Arguments<'_>,
    ) -> Result<&'a str, GgufErrorKind> {
        let offset = self.position as u64;
        let found = self.u64(format_args!("length of the {field}"))?;
        if found == 0 {
            return Err(GgufErrorKind::EmptyName { field: field.to_string(), offset });
        }
        if found > limit {
            let field = format!("length of the {field}");
            return Err(GgufErrorKind::Bounds { field, offset, found, limit });
        }
        let start = self.position as u64;
        std::str::from_utf8(self.take(found, field)?)
            .map_err(|_| GgufErrorKind::Utf8 { field: field.to_string(), offset: start })
    }

    /// How many of something follow, each of at least `smallest` bytes: never more than the rest of the file holds, so that the number is
    /// safe to reserve space for.
    pub(super) fn count(
        &mut self,
        smallest: u64,
        field: Arguments<'_>,
    ) -> Result<usize, GgufErrorKind> {
        let offset = self.position as u64;
        let found = self.u64(field)?;
        let limit = self.remaining() / smallest;
        match usize::try_from(found) {
            Ok(count) if found <= limit => Ok(count),
            _ => Err(GgufErrorKind::Bounds { field: field.to_string(), offset, found, limit }),
        }
    }
}
