//! What can go wrong in this crate.

use crate::GgufType;

/// Why bytes could not be read or written in a format.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// The elements are no whole number of blocks.
    #[error("{block_type} needs a multiple of {} elements, not {elements}", block_type.block_len())]
    PartialBlock {
        /// The block format.
        block_type: GgufType,
        /// How many elements there are.
        elements: usize,
    },
    /// The bytes do not hold exactly the elements.
    #[error("{elements} elements of {block_type} take {expected} bytes, not {actual}")]
    ByteLength {
        /// The block format.
        block_type: GgufType,
        /// How many elements were asked for.
        elements: usize,
        /// How many bytes they take.
        expected: usize,
        /// How many bytes there are.
        actual: usize,
    },
    /// The type has no integer codes or no encoder.
    #[error("{block_type} cannot be {operation}")]
    UnsupportedType {
        /// The block format.
        block_type: GgufType,
        /// What was asked for, as a participle: `unpacked`, `encoded`.
        operation: &'static str,
    },
    /// A value to be encoded is infinite or not a number, and the format has no code for it.
    #[error("element {index} is {value}, which {block_type} cannot hold")]
    NotFinite {
        /// The block format.
        block_type: GgufType,
        /// Its index.
        index: usize,
        /// The value.
        value: f32,
    },
}

impl FormatError {
    /// The stable code that JavaScript sees.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::PartialBlock { .. } | Self::ByteLength { .. } => "ERR_SHAPE",
            Self::UnsupportedType { .. } => "ERR_UNSUPPORTED_FORMAT",
            Self::NotFinite { .. } => "ERR_NOT_FINITE",
        }
    }
}
