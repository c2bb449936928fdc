//! Why an operation over tensors failed.

use dyadic_formats::GgufType;

use crate::Shape;

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TensorError {
    /// `DYADIC_THREADS` is not a number of threads.
    #[error("DYADIC_THREADS is '{value}'; expected a whole number from 1 to {max}")]
    InvalidThreads {
        /// What it is.
        value: String,
        /// The most threads that a pool may have.
        max: usize,
    },
    /// A type that no weights have.
    #[error("{format} is no type of weights")]
    UnsupportedFormat {
        /// The type.
        format: GgufType,
    },
    /// A matrix without rows or columns.
    #[error("a matrix of {shape} holds no weights")]
    EmptyShape {
        /// The shape.
        shape: Shape,
    },
    /// The bytes are not those of a matrix of this type and shape.
    #[error("{actual} bytes for a {format} matrix of {shape}; expected {}", match expected {
        Some(expected) => expected.to_string(),
        None => format!("rows of whole blocks of {}", format.block_len()),
    })]
    WeightBytes {
        /// The type.
        format: GgufType,
        /// The shape.
        shape: Shape,
        /// How many there should be. `None` where a row is no whole number of blocks or the number overflows.
        expected: Option<usize>,
        /// How many there are.
        actual: usize,
    },
    /// Something has the wrong number of elements.
    #[error("{what} has {actual} elements; expected {expected}")]
    Length {
        /// What it is.
        what: &'static str,
        /// How many it should have.
        expected: usize,
        /// How many it has.
        actual: usize,
    },
    /// A matrix has no such row.
    #[error("row {row} of a matrix of {rows} rows")]
    Row {
        /// The row.
        row: usize,
        /// How many there are.
        rows: usize,
    },
    /// Two arrays share a part of their memory.
    #[error("input and output overlap: they must be the same array, or have no element in common")]
    Overlap,
    /// The system grants no memory.
    #[error("no memory for {bytes} bytes of packed weights")]
    OutOfMemory {
        /// How much was asked for.
        bytes: usize,
    },
}

impl TensorError {
    pub(crate) fn check_length(
        what: &'static str,
        expected: usize,
        actual: usize,
    ) -> Result<(), Self> {
        if actual == expected { Ok(()) } else { Err(Self::Length { what, expected, actual }) }
    }

    /// The stable code that JavaScript sees as `error.code`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::InvalidThreads { .. } => "ERR_INVALID_THREADS",
            Self::UnsupportedFormat { .. } => "ERR_UNSUPPORTED_FORMAT",
            Self::EmptyShape { .. }
            | Self::WeightBytes { .. }
            | Self::Length { .. }
            | Self::Row { .. } => "ERR_SHAPE",
            Self::Overlap => "ERR_OVERLAP",
            Self::OutOfMemory { .. } => "ERR_OUT_OF_MEMORY",
        }
    }
}
