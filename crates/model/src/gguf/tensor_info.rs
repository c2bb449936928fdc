//! The tensors that a file lists.

use std::ops::Range;

use dyadic_formats::GgufType;

use super::GgufErrorKind;
use super::reader::Reader;

/// ggml allows 63 bytes, builds of stable-diffusion.cpp 127.
const MAX_NAME_LEN: u64 = 127;

/// `GGML_MAX_DIMS`.
const MAX_DIMENSIONS: usize = 4;

/// The fewest bytes of a tensor in the list: the length of its name, a letter, the number of dimensions, type and offset.
pub(super) const SMALLEST: u64 = 8 + 1 + 4 + 4 + 8;

/// Where a tensor is and what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    name: Box<str>,
    shape: [usize; MAX_DIMENSIONS],
    dimensions: usize,
    type_id: u32,
    part: usize,
    offset: u64,
    /// `None` where the type is unknown.
    byte_len: Option<u64>,
}

impl TensorInfo {
    /// Its name, unique in the file.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its dimensions in the order of ggml: that of neighbouring elements first, so `[columns, rows]` of a matrix. Up to four, none of them
    /// 0; none at all for a single number.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape[..self.dimensions]
    }

    /// The number of elements: the product of the shape. It does not overflow.
    #[must_use]
    pub fn elements(&self) -> usize {
        self.shape().iter().product()
    }

    /// The number of its type in the file, which may be none that is known here.
    #[must_use]
    pub const fn type_id(&self) -> u32 {
        self.type_id
    }

    /// Its type, where that is one that can be read.
    #[must_use]
    pub fn known_type(&self) -> Option<GgufType> {
        GgufType::from_id(self.type_id)
    }

    /// The name of its type, `unknown` where it has none.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        self.known_type()
            .map(GgufType::name)
            .or_else(|| GgufType::unsupported_name(self.type_id))
            .unwrap_or("unknown")
    }

    /// The index of the part of a split file that holds its data; 0 in one that is not split.
    #[must_use]
    pub const fn part(&self) -> usize {
        self.part
    }

    /// Where its data begins, in bytes from the beginning of its part.
    #[must_use]
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// The length of its data in bytes; `None` where its type is none that can be read.
    #[must_use]
    pub const fn byte_len(&self) -> Option<u64> {
        self.byte_len
    }

    /// The bytes of its part that are its data; `None` as [`TensorInfo::byte_len`].
    pub(super) fn range(&self) -> Option<Range<usize>> {
        let start = usize::try_from(self.offset).ok()?;
        let len = usize::try_from(self.byte_len?).ok()?;
        Some(start..start.checked_add(len)?)
    }

    /// Reads one entry of the list. Its offset still counts from the beginning of the data.
    pub(super) fn read(reader: &mut Reader<'_>, index: usize) -> Result<Self, GgufErrorKind> {
        let name = reader.name(MAX_NAME_LEN, format_args!("name of tensor {index}"))?;
        let at = reader.position() as u64;
        let field = format_args!("number of dimensions of tensor \"{name}\"");
        let found = reader.u32(field)?;
        let dimensions = found as usize;
        if dimensions > MAX_DIMENSIONS {
            return Err(GgufErrorKind::Bounds {
                field: field.to_string(),
                offset: at,
                found: found.into(),
                limit: MAX_DIMENSIONS as u64,
            });
        }
        let mut file_shape = [1; MAX_DIMENSIONS];
        for (axis, dimension) in file_shape[..dimensions].iter_mut().enumerate() {
            *dimension = reader.u64(format_args!("dimension {axis} of tensor \"{name}\""))?;
        }
        let type_id = reader.u32(format_args!("type of tensor \"{name}\""))?;
        let offset = reader.u64(format_args!("offset of tensor \"{name}\""))?;

        let (shape, byte_len) = size(name, &file_shape[..dimensions], type_id)?;
        Ok(Self { name: name.into(), shape, dimensions, type_id, part: 0, offset, byte_len })
    }

    /// The same, its data in the part of that index.
    pub(super) fn in_part(self, part: usize) -> Self {
        Self { part, ..self }
    }

    /// Makes the offset count from the beginning of the file, and checks that the data lies in it.
    pub(super) fn place(
        &mut self,
        data_offset: u64,
        alignment: u64,
        file_len: u64,
    ) -> Result<(), GgufErrorKind> {
        if !self.offset.is_multiple_of(alignment) {
            return Err(GgufErrorKind::Alignment {
                field: format!("offset of tensor \"{}\"", self.name),
                found: self.offset,
                expected: format!("a multiple of the file's alignment, {alignment}"),
            });
        }
        let overflow =
            || GgufErrorKind::Overflow { tensor: self.name.to_string(), field: "offset" };
        let offset = data_offset.checked_add(self.offset).ok_or_else(overflow)?;
        let len = self.byte_len.unwrap_or(0);
        let end = offset.checked_add(len).ok_or_else(overflow)?;
        if end > file_len {
            return Err(GgufErrorKind::Truncated {
                field: format!("data of tensor \"{}\"", self.name),
                offset,
                needed: len,
                available: file_len.saturating_sub(offset),
            });
        }
        self.offset = offset;
        Ok(())
    }
}

/// The shape as numbers of this machine and, where the type is known, the bytes of the data.
fn size(
    name: &str,
    shape: &[u64],
    type_id: u32,
) -> Result<([usize; MAX_DIMENSIONS], Option<u64>), GgufErrorKind> {
    let invalid = |reason: String| GgufErrorKind::Shape {
        tensor: name.to_owned(),
        shape: shape.to_vec(),
        reason,
    };
    let overflow = |field| GgufErrorKind::Overflow { tensor: name.to_owned(), field };
    let mut checked = [1; MAX_DIMENSIONS];
    let mut elements = 1_usize;
    for (checked, &dimension) in checked.iter_mut().zip(shape) {
        if dimension == 0 {
            return Err(invalid("expected no dimension of 0".to_owned()));
        }
        *checked = usize::try_from(dimension).map_err(|_| overflow("shape"))?;
        elements = elements.checked_mul(*checked).ok_or_else(|| overflow("number of elements"))?;
    }
    let Some(block_type) = GgufType::from_id(type_id) else {
        return Ok((checked, None));
    };
    if !checked[0].is_multiple_of(block_type.block_len()) {
        let expected = block_type.block_len();
        return Err(invalid(format!("expected rows of a multiple of {expected} for {block_type}")));
    }
    let bytes = block_type.byte_len(elements).ok_or_else(|| overflow("number of bytes"))?;
    Ok((checked, Some(bytes as u64)))
}

/// What is asked of a tensor that is to be written.
pub(super) fn check(
    name: &str,
    shape: &[u64],
    block_type: GgufType,
    data_len: usize,
) -> Result<(), GgufErrorKind> {
    let bounds = |field: &str, found: usize, limit| GgufErrorKind::Bounds {
        field: format!("{field} of tensor \"{name}\""),
        offset: 0,
        found: found as u64,
        limit,
    };
    if name.is_empty() {
        return Err(GgufErrorKind::EmptyName { field: "name of a tensor".to_owned(), offset: 0 });
    }
    if name.len() as u64 > MAX_NAME_LEN {
        return Err(bounds("length of the name", name.len(), MAX_NAME_LEN));
    }
    if shape.len() > MAX_DIMENSIONS {
        return Err(bounds("number of dimensions", shape.len(), MAX_DIMENSIONS as u64));
    }
    let (_, byte_len) = size(name, shape, block_type.id())?;
    match byte_len {
        Some(expected) if expected != data_len as u64 => {
            let found = data_len as u64;
            Err(GgufErrorKind::ByteLength { tensor: name.to_owned(), expected, found })
        }
        _ => Ok(()),
    }
}
