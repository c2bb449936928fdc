//! Why a file is not a decoder that can be run.

use thiserror::Error;

/// Errors of building a decoder from a file.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum DecoderError {
    /// An architecture that is not in the table.
    #[error("the architecture '{name}' is not supported; supported are: {known}")]
    Architecture {
        /// What the file says.
        name: String,
        /// The known ones.
        known: String,
    },
    /// A size or constant that cannot be.
    #[error("the metadata key '{key}' is not supported as it stands; expected {expected}")]
    Metadata {
        /// The key.
        key: String,
        /// What it should be.
        expected: &'static str,
    },
    /// A tensor of another shape than the sizes of the model ask for.
    #[error("the tensor '{name}' has shape {found:?}; expected {expected:?} (fastest first)")]
    Shape {
        /// The tensor.
        name: String,
        /// Its shape, fastest dimension first.
        found: Vec<usize>,
        /// What the metadata ask for.
        expected: Vec<usize>,
    },
}

impl DecoderError {
    /// The stable code that JavaScript sees.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Architecture { .. } => "ERR_MODEL_ARCHITECTURE",
            Self::Metadata { .. } => "ERR_MODEL_METADATA",
            Self::Shape { .. } => "ERR_MODEL_TENSOR_SHAPE",
        }
    }
}
