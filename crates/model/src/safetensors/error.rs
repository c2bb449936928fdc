//! What can be wrong with a safetensors file.

use std::path::Path;

use crate::file_kind::FileKind;

/// What is wrong with a safetensors file, and with which.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{file}: {kind}")]
pub struct SafetensorsError {
    /// The path of the file.
    pub file: String,
    /// What is wrong with it.
    pub kind: Box<SafetensorsErrorKind>,
}

impl SafetensorsError {
    pub(super) fn new(file: &Path, kind: SafetensorsErrorKind) -> Self {
        Self { file: file.display().to_string(), kind: Box::new(kind) }
    }

    /// The stable code that JavaScript sees.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        self.kind.code()
    }
}

/// What can be wrong with a safetensors file. Offsets count bytes from the beginning of the file.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SafetensorsErrorKind {
    /// It does not begin with a length and a JSON object.
    #[error("not a safetensors file: it is {found}")]
    Magic {
        /// What it looks like.
        found: FileKind,
    },
    /// The header is longer than the format allows.
    #[error("the header's length at offset 0 is {found}, expected at most {limit}")]
    HeaderLength {
        /// Its length in bytes.
        found: u64,
        /// The largest.
        limit: u64,
    },
    /// The file ends inside something.
    #[error(
        "the file ends inside the {field}: {needed} bytes expected at offset {offset}, {available} found; perhaps the download is incomplete"
    )]
    Truncated {
        /// What the bytes would be.
        field: String,
        /// Where they begin.
        offset: u64,
        /// How many it takes.
        needed: u64,
        /// How many there are.
        available: u64,
    },
    /// The header is no JSON object of tensors.
    #[error("the header at offset 8: {reason}")]
    Header {
        /// What the JSON reader found, and where.
        reason: String,
    },
    /// Two tensors have one name.
    #[error("the tensor \"{tensor}\" occurs twice")]
    Duplicate {
        /// The name.
        tensor: String,
    },
    /// The type of a tensor is not defined.
    #[error("tensor \"{tensor}\" has the type \"{found}\", which is not known")]
    Dtype {
        /// Its name.
        tensor: String,
        /// The name of the type.
        found: String,
    },
    /// The data of a tensor has another length than its shape and type ask for.
    #[error("tensor \"{tensor}\" of {dtype} {shape:?} takes {expected} bytes, found {found}")]
    ByteLength {
        /// Its name.
        tensor: String,
        /// The name of its type.
        dtype: &'static str,
        /// Its dimensions.
        shape: Vec<usize>,
        /// The bytes of its shape and type.
        expected: u64,
        /// The bytes that it has.
        found: u64,
    },
    /// The number of bytes of a tensor overflows or is no whole one.
    #[error("tensor \"{tensor}\" of {dtype} {shape:?} takes no possible number of bytes")]
    Overflow {
        /// Its name.
        tensor: String,
        /// The name of its type.
        dtype: &'static str,
        /// Its dimensions.
        shape: Vec<usize>,
    },
    /// The data of a tensor does not begin where that of the one before it ends: the format allows neither gaps nor overlaps.
    #[error(
        "tensor \"{tensor}\" has the data offsets {begin} to {end}, expected to begin at {expected}"
    )]
    Layout {
        /// Its name.
        tensor: String,
        /// Where its data begins, from the end of the header.
        begin: u64,
        /// Where its data ends.
        end: u64,
        /// Where it must begin.
        expected: u64,
    },
    /// Bytes follow the data of the last tensor.
    #[error("the file is {found} bytes long, expected {expected}")]
    Trailing {
        /// The end of the last tensor.
        expected: u64,
        /// The length of the file.
        found: u64,
    },
    /// There is no tensor of that name.
    #[error("tensor \"{tensor}\" is missing")]
    MissingTensor {
        /// The name.
        tensor: String,
    },
}

impl SafetensorsErrorKind {
    /// The stable code that JavaScript sees.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Magic { .. } => "ERR_SAFETENSORS_MAGIC",
            Self::HeaderLength { .. } => "ERR_SAFETENSORS_BOUNDS",
            Self::Truncated { .. } => "ERR_SAFETENSORS_TRUNCATED",
            Self::Header { .. } => "ERR_SAFETENSORS_HEADER",
            Self::Duplicate { .. } => "ERR_SAFETENSORS_DUPLICATE",
            Self::Dtype { .. } => "ERR_SAFETENSORS_DTYPE",
            Self::ByteLength { .. } => "ERR_SAFETENSORS_SHAPE",
            Self::Overflow { .. } => "ERR_SAFETENSORS_OVERFLOW",
            Self::Layout { .. } | Self::Trailing { .. } => "ERR_SAFETENSORS_LAYOUT",
            Self::MissingTensor { .. } => "ERR_SAFETENSORS_TENSOR",
        }
    }
}
