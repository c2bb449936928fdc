//! What can be wrong with a GGUF file.

use std::path::Path;

use super::ValueType;
use crate::file_kind::FileKind;

/// What is wrong with a GGUF file, and with which.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{file}: {kind}")]
pub struct GgufError {
    /// The path of the file, or of the part of a split one.
    pub file: String,
    /// What is wrong with it.
    pub kind: Box<GgufErrorKind>,
}

impl GgufError {
    pub(super) fn new(file: &Path, kind: GgufErrorKind) -> Self {
        Self { file: file.display().to_string(), kind: Box::new(kind) }
    }

    /// The stable code that JavaScript sees.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        self.kind.code()
    }
}

/// What can be wrong with a GGUF file. Offsets count bytes from the beginning of the file.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum GgufErrorKind {
    /// It does not begin with `GGUF`.
    #[error("not a GGUF file: it is {found}")]
    Magic {
        /// What it looks like.
        found: FileKind,
    },
    /// Its version is none that is read here.
    #[error("GGUF version {found} at offset 4 is not supported, only 2 and 3 are{}", if *found == 1 { "; convert the model again" } else { "" })]
    Version {
        /// The version of the file.
        found: u32,
    },
    /// It was written for big-endian machines.
    #[error("the file is big-endian (GGUF version {version}); only little-endian files are read")]
    ByteOrder {
        /// The version in that byte order.
        version: u32,
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
    /// A number is larger than it can be.
    #[error("the {field} at offset {offset} is {found}, expected at most {limit}")]
    Bounds {
        /// What the number is.
        field: String,
        /// Where it stands.
        offset: u64,
        /// The number.
        found: u64,
        /// The largest that is possible.
        limit: u64,
    },
    /// A type of metadata that GGUF does not define.
    #[error("the type of {field} at offset {offset} is {found}, expected 0 to 12")]
    ValueType {
        /// Whose type.
        field: String,
        /// Where it stands.
        offset: u64,
        /// Its number.
        found: u32,
    },
    /// A text is not UTF-8.
    #[error("the {field} at offset {offset} is not UTF-8")]
    Utf8 {
        /// What the text is.
        field: String,
        /// Where it begins.
        offset: u64,
    },
    /// A key or a tensor has no name.
    #[error("the {field} at offset {offset} is empty")]
    EmptyName {
        /// Whose name.
        field: String,
        /// Where its length stands.
        offset: u64,
    },
    /// Two metadata keys or two tensors have one name.
    #[error("the {what} \"{name}\" occurs twice")]
    Duplicate {
        /// `metadata key` or `tensor`.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// `general.alignment` is no power of two, or a tensor does not begin at a multiple of it.
    #[error("the {field} is {found}, expected {expected}")]
    Alignment {
        /// What is not aligned.
        field: String,
        /// Its value.
        found: u64,
        /// What it must be.
        expected: String,
    },
    /// A dimension of a tensor is 0, or its rows are no whole blocks.
    #[error("tensor \"{tensor}\" has the shape {shape:?}, {reason}")]
    Shape {
        /// Its name.
        tensor: String,
        /// Its dimensions, that of neighbouring elements first.
        shape: Vec<u64>,
        /// What is wrong with them.
        reason: String,
    },
    /// The size or the place of a tensor is no 64-bit number, or none that this machine can address.
    #[error("the {field} of tensor \"{tensor}\" overflows")]
    Overflow {
        /// Its name.
        tensor: String,
        /// What overflows.
        field: &'static str,
    },
    /// The data of two tensors share bytes.
    #[error(
        "tensor \"{second}\" begins at offset {offset}, inside the data of \"{first}\", which ends at {end}"
    )]
    Overlap {
        /// The tensor that begins first.
        first: String,
        /// Where its data ends.
        end: u64,
        /// The tensor that begins inside it.
        second: String,
        /// Where its data begins.
        offset: u64,
    },
    /// The tensor's type cannot be read.
    #[error("tensor \"{tensor}\" has the type {type_name} ({type_id}), which is not supported")]
    UnsupportedType {
        /// Its name.
        tensor: String,
        /// The number of the type in the file.
        type_id: u32,
        /// The name of the type, `unknown` where it has none.
        type_name: &'static str,
    },
    /// A metadata key that is needed is not there.
    #[error("metadata key \"{key}\" is missing, expected {expected}")]
    MissingKey {
        /// The key.
        key: String,
        /// The type that was asked for.
        expected: String,
    },
    /// A metadata value has another type than was asked for, or does not fit it.
    #[error("metadata key \"{key}\" at offset {offset} is {found}, expected {expected}")]
    WrongType {
        /// The key.
        key: String,
        /// Where its value begins.
        offset: u64,
        /// The type that was asked for.
        expected: String,
        /// What the file has.
        found: String,
    },
    /// There is no tensor of that name.
    #[error("tensor \"{tensor}\" is missing")]
    MissingTensor {
        /// The name.
        tensor: String,
    },
    /// The parts of a split file do not fit together.
    #[error("{reason}")]
    Split {
        /// What does not fit.
        reason: String,
    },
    /// A tensor given to the writer has another length than its shape and type ask for.
    #[error("tensor \"{tensor}\" takes {expected} bytes, {found} were given")]
    ByteLength {
        /// Its name.
        tensor: String,
        /// The bytes of its shape and type.
        expected: u64,
        /// The bytes that were given.
        found: u64,
    },
}

impl GgufErrorKind {
    /// The stable code that JavaScript sees.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Magic { .. } => "ERR_GGUF_MAGIC",
            Self::Version { .. } => "ERR_GGUF_VERSION",
            Self::ByteOrder { .. } => "ERR_GGUF_BYTE_ORDER",
            Self::Truncated { .. } => "ERR_GGUF_TRUNCATED",
            Self::Bounds { .. } | Self::EmptyName { .. } => "ERR_GGUF_BOUNDS",
            Self::ValueType { .. } => "ERR_GGUF_TYPE",
            Self::Utf8 { .. } => "ERR_GGUF_UTF8",
            Self::Duplicate { .. } => "ERR_GGUF_DUPLICATE",
            Self::Alignment { .. } => "ERR_GGUF_ALIGNMENT",
            Self::Shape { .. } | Self::ByteLength { .. } => "ERR_GGUF_SHAPE",
            Self::Overflow { .. } => "ERR_GGUF_OVERFLOW",
            Self::Overlap { .. } => "ERR_GGUF_OVERLAP",
            Self::UnsupportedType { .. } => "ERR_GGUF_UNSUPPORTED_TYPE",
            Self::MissingKey { .. } | Self::WrongType { .. } => "ERR_GGUF_METADATA",
            Self::MissingTensor { .. } => "ERR_GGUF_TENSOR",
            Self::Split { .. } => "ERR_GGUF_SPLIT",
        }
    }

    pub(super) fn value_type(field: String, offset: usize, found: u32) -> Self {
        debug_assert!(ValueType::from_id(found).is_none(), "{found} is a type");
        Self::ValueType { field, offset: offset as u64, found }
    }
}
