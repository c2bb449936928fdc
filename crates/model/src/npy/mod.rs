//! `.npy`, the file format of one `NumPy` array: reading (versions 1 to 3) and writing.
//!
//! ```text
//! 93 "NUMPY"  major: u8  minor: u8  header length: u16, from version 2 on u32
//! {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }  spaces and a line feed up to a multiple of 64
//! data
//! ```
//!
//! Source: `numpy/lib/format.py`. Arrays of numbers in little-endian order are read, which is all that `NumPy` writes on common machines; arrays
//! of objects are pickles, which are programs, and are refused.

mod header;

use std::ops::Range;
use std::path::Path;

use crate::ModelError;
use crate::dtype::Dtype;
use crate::file_kind::FileKind;
use crate::file_map::{FileError, FileMap};
use header::Header;

const MAGIC: &[u8; 6] = b"\x93NUMPY";

/// What is wrong with an `.npy` file, and with which.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{file}: {kind}")]
pub struct NpyError {
    /// The path of the file.
    pub file: String,
    /// What is wrong with it.
    pub kind: NpyErrorKind,
}

impl NpyError {
    /// The stable code that JavaScript sees.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self.kind {
            NpyErrorKind::Magic { .. } => "ERR_NPY_MAGIC",
            NpyErrorKind::Version { .. } => "ERR_NPY_VERSION",
            NpyErrorKind::Truncated { .. } => "ERR_NPY_TRUNCATED",
            NpyErrorKind::Header { .. } => "ERR_NPY_HEADER",
            NpyErrorKind::Dtype { .. } => "ERR_NPY_DTYPE",
            NpyErrorKind::Overflow { .. } => "ERR_NPY_OVERFLOW",
            NpyErrorKind::ByteLength { .. } => "ERR_NPY_SHAPE",
        }
    }
}

/// What can be wrong with an `.npy` file. Offsets count bytes from the beginning of the file.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum NpyErrorKind {
    /// It does not begin as one.
    #[error("not an .npy file: it is {found}")]
    Magic {
        /// What it looks like.
        found: FileKind,
    },
    /// Its version is none that is read here.
    #[error("version {found} of the format at offset 6 is not supported, only 1 to 3 are")]
    Version {
        /// The major version.
        found: u8,
    },
    /// The file ends inside something.
    #[error(
        "the file ends inside the {field}: {needed} bytes expected at offset {offset}, {available} found"
    )]
    Truncated {
        /// What the bytes would be.
        field: &'static str,
        /// Where they begin.
        offset: u64,
        /// How many it takes.
        needed: u64,
        /// How many there are.
        available: u64,
    },
    /// The header is not the text of the dictionary that the format asks for.
    #[error("the header at offset {offset}: expected {expected}")]
    Header {
        /// Where something else stands.
        offset: u64,
        /// What should stand there.
        expected: String,
    },
    /// The elements are of a type that cannot be read.
    #[error("the elements are {found}, which is not supported")]
    Dtype {
        /// `descr` of the header, and what it means where that is not plain.
        found: String,
    },
    /// The number of bytes of the array overflows.
    #[error("the size of an array of {dtype} {shape:?} overflows")]
    Overflow {
        /// The type of its elements.
        dtype: Dtype,
        /// Its dimensions.
        shape: Vec<usize>,
    },
    /// The data has another length than shape and type ask for.
    #[error("an array of {dtype} {shape:?} takes {expected} bytes, found {found}")]
    ByteLength {
        /// The type of its elements.
        dtype: Dtype,
        /// Its dimensions.
        shape: Vec<usize>,
        /// The bytes of its shape and type.
        expected: u64,
        /// The bytes that there are.
        found: u64,
    },
}

/// An open `.npy` file. The data stays in the mapped file.
#[derive(Debug)]
pub struct NpyFile {
    file: FileMap,
    header: Header,
    data: Range<usize>,
}

impl NpyFile {
    /// Maps a file and reads its header.
    ///
    /// # Errors
    /// [`ModelError::File`] where the file cannot be opened, [`ModelError::Npy`] where it is of another kind or damaged.
    pub fn open(path: &Path) -> Result<Self, ModelError> {
        Self::read(FileMap::open(path)?)
    }

    /// Reads a file that is in memory already; `name` stands in messages for the path.
    ///
    /// # Errors
    /// As [`NpyFile::open`].
    pub fn from_bytes(name: &str, bytes: Vec<u8>) -> Result<Self, ModelError> {
        Self::read(FileMap::from_bytes(name, bytes))
    }

    fn read(file: FileMap) -> Result<Self, ModelError> {
        match parse(file.bytes(), file.bytes().len()) {
            Ok((header, data)) => Ok(Self { file, header, data }),
            Err(kind) => Err(NpyError { file: file.path().display().to_string(), kind }.into()),
        }
    }

    /// The type of the elements.
    #[must_use]
    pub const fn dtype(&self) -> Dtype {
        self.header.dtype
    }

    /// The dimensions; none for a single number. A dimension may be 0.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.header.shape
    }

    /// Whether the first dimension, not the last, is that of neighbouring elements.
    #[must_use]
    pub const fn fortran_order(&self) -> bool {
        self.header.fortran_order
    }

    /// The elements, from the mapped file.
    #[must_use]
    pub fn data(&self) -> &[u8] {
        // In the file, as was checked when it was opened.
        self.file.bytes().get(self.data.clone()).unwrap_or_default()
    }
}

/// What the beginning of an `.npy` file says, for somebody else to read the data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NpyHeader {
    /// The type of the elements.
    pub dtype: Dtype,
    /// Whether the first dimension, not the last, is that of neighbouring elements.
    pub fortran_order: bool,
    /// The dimensions.
    pub shape: Vec<usize>,
    /// Where the data lies, from the beginning of the file.
    pub data: Range<usize>,
}

/// Reads the header of a file of `file_len` bytes, of which `bytes` are the beginning, with the whole header.
///
/// # Errors
/// As [`NpyFile::open`].
pub fn read_header(name: &str, bytes: &[u8], file_len: usize) -> Result<NpyHeader, ModelError> {
    match parse(bytes, file_len) {
        Ok((Header { dtype, fortran_order, shape }, data)) => {
            Ok(NpyHeader { dtype, fortran_order, shape, data })
        }
        Err(kind) => Err(NpyError { file: name.to_owned(), kind }.into()),
    }
}

/// The bytes of an `.npy` file of version 1 with an array in C order, as `NumPy` writes it.
///
/// # Errors
/// `ERR_NPY_DTYPE` for a type that `NumPy` does not have, `ERR_NPY_SHAPE` where `data` has another length than shape and type ask for,
/// `ERR_NPY_OVERFLOW` where that is no 64-bit number, `ERR_NPY_HEADER` for a shape whose text is longer than 65 535 bytes.
pub fn to_npy(dtype: Dtype, shape: &[usize], data: &[u8]) -> Result<Vec<u8>, ModelError> {
    let mut bytes = header_bytes(dtype, shape, data.len())?;
    bytes.extend_from_slice(data);
    Ok(bytes)
}

/// What [`to_npy`] writes before `data_len` bytes of data.
///
/// # Errors
/// As [`to_npy`].
pub fn header_bytes(dtype: Dtype, shape: &[usize], data_len: usize) -> Result<Vec<u8>, ModelError> {
    let error = |kind| ModelError::from(NpyError { file: "new .npy file".to_owned(), kind });
    let Some(descr) = header::descr(dtype) else {
        return Err(error(NpyErrorKind::Dtype { found: dtype.name().to_owned() }));
    };
    check_len(dtype, shape, data_len).map_err(error)?;
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&[1, 0]);
    let text = header::text(descr, shape);
    let padded = (bytes.len() + 2 + text.len() + 1).next_multiple_of(64) - bytes.len() - 2;
    let Ok(len) = u16::try_from(padded) else {
        let expected = "at most 65535 bytes".to_owned();
        return Err(error(NpyErrorKind::Header { offset: 8, expected }));
    };
    bytes.extend_from_slice(&len.to_le_bytes());
    bytes.extend_from_slice(text.as_bytes());
    bytes.resize(bytes.len() + padded - text.len() - 1, b' ');
    bytes.push(b'\n');
    Ok(bytes)
}

/// Writes what [`to_npy`] makes.
///
/// # Errors
/// As [`to_npy`], and [`ModelError::File`] where the file cannot be written.
pub fn write_npy(
    path: &Path,
    dtype: Dtype,
    shape: &[usize],
    data: &[u8],
) -> Result<(), ModelError> {
    std::fs::write(path, to_npy(dtype, shape, data)?)
        .map_err(|error| FileError::from_io(path, "write", &error).into())
}

/// The header, and where the data is in a file of `file_len` bytes, of which `bytes` are the beginning.
fn parse(bytes: &[u8], file_len: usize) -> Result<(Header, Range<usize>), NpyErrorKind> {
    let magic = || NpyErrorKind::Magic { found: FileKind::of(bytes) };
    if !bytes.starts_with(MAGIC) {
        return Err(magic());
    }
    let truncated = |field, offset: usize, needed: usize| NpyErrorKind::Truncated {
        field,
        offset: offset as u64,
        needed: needed as u64,
        available: bytes.len().saturating_sub(offset) as u64,
    };
    let len_at = MAGIC.len() + 2;
    let major = *bytes.get(MAGIC.len()).ok_or_else(|| truncated("version", MAGIC.len(), 2))?;
    let field = bytes.get(len_at..).unwrap_or_default();
    let (header_at, len) = match (major, field) {
        (1, &[a, b, ..]) => (len_at + 2, usize::from(u16::from_le_bytes([a, b]))),
        (2 | 3, &[a, b, c, d, ..]) => (len_at + 4, u32::from_le_bytes([a, b, c, d]) as usize),
        (1, _) => return Err(truncated("length of the header", len_at, 2)),
        (2 | 3, _) => return Err(truncated("length of the header", len_at, 4)),
        (found, _) => return Err(NpyErrorKind::Version { found }),
    };
    let (header, _) = bytes
        .get(header_at..)
        .and_then(|rest| rest.split_at_checked(len))
        .ok_or_else(|| truncated("header", header_at, len))?;
    let data = header_at + header.len()..file_len;
    let header = header::parse(header, header_at)?;
    check_len(header.dtype, &header.shape, data.len())?;
    Ok((header, data))
}

/// That `found` bytes are what an array takes.
fn check_len(dtype: Dtype, shape: &[usize], found: usize) -> Result<(), NpyErrorKind> {
    let shape_vec = shape.to_vec();
    match dtype.byte_len(shape) {
        Some(expected) if expected == found => Ok(()),
        Some(expected) => Err(NpyErrorKind::ByteLength {
            dtype,
            shape: shape_vec,
            expected: expected as u64,
            found: found as u64,
        }),
        None => Err(NpyErrorKind::Overflow { dtype, shape: shape_vec }),
    }
}
