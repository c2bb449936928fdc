//! What can go wrong in this crate.

use crate::GgufType;

/// Why bytes or values could not be read or written in a format.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// The elements are no whole number of blocks.
    #[error("{format} needs a multiple of {block} elements, not {elements}")]
    PartialBlock {
        /// The block format.
        format: String,
        /// The elements of a block.
        block: usize,
        /// How many elements there are.
        elements: usize,
    },
    /// The bytes do not hold exactly the elements.
    #[error("{elements} elements of {format} take {expected} bytes, not {actual}")]
    ByteLength {
        /// The format.
        format: String,
        /// How many elements there are.
        elements: usize,
        /// How many bytes they take.
        expected: usize,
        /// How many bytes there are.
        actual: usize,
    },
    /// Two things that belong together have different lengths.
    #[error("{what}: expected {expected}, got {actual}")]
    Length {
        /// What has the wrong length.
        what: &'static str,
        /// The length that it should have.
        expected: usize,
        /// Its length.
        actual: usize,
    },
    /// The format has no such operation.
    #[error("{format} cannot be {operation}")]
    Unsupported {
        /// The format.
        format: String,
        /// What was asked for, as a participle: `unpacked`, `encoded`.
        operation: &'static str,
    },
    /// A value to be encoded is beyond what the scale of a block can hold; infinite values are.
    #[error("element {index} is {value}; {block_type} holds magnitudes up to {limit}")]
    OutOfRange {
        /// The block format.
        block_type: GgufType,
        /// The index of the element.
        index: usize,
        /// The value.
        value: f32,
        /// The largest magnitude that can be encoded.
        limit: f32,
    },
    /// A value to be encoded is not a number, the format has no code for it, and the options reject it.
    #[error("element {index} is NaN, which {format} cannot hold; choose a NaN policy")]
    Nan {
        /// The format.
        format: String,
        /// The index of the element.
        index: u64,
    },
    /// A value to be encoded under a scale is infinite or NaN, and the options reject it.
    #[error("element {index} is {value}, which {format} cannot hold; choose a NaN policy")]
    NotFinite {
        /// The format.
        format: String,
        /// The index of the element.
        index: usize,
        /// The value.
        value: f32,
    },
    /// A format string could not be read.
    #[error(transparent)]
    Parse(#[from] crate::parse::ParseError),
}

impl FormatError {
    /// The stable code that JavaScript sees.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::PartialBlock { .. } | Self::ByteLength { .. } | Self::Length { .. } => {
                "ERR_SHAPE"
            }
            Self::Unsupported { .. } => "ERR_FORMAT_UNSUPPORTED",
            Self::OutOfRange { .. } => "ERR_OUT_OF_RANGE",
            Self::Nan { .. } | Self::NotFinite { .. } => "ERR_NAN",
            Self::Parse(_) => "ERR_FORMAT_SYNTAX",
        }
    }
}
